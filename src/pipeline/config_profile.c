/* A profile's file, read by the reader of sluice.yaml: every value is text until intake takes it. */
#include "pipeline/config_profile.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "pipeline/config_yaml.h"

enum { PATH_BYTES = 48, COMMENT_BYTES = 384 };

static void lines_set(struct profile_plan *plan, const struct config_yaml *yaml)
{
    char path[PATH_BYTES];
    for (uint32_t i = 0; i < plan->columns_count; i++) {
        snprintf(path, sizeof path, "columns[%u]", i);
        plan->columns[i].line = config_yaml_line(yaml, path, NULL);
    }
    for (uint32_t i = 0; i < plan->tables_count; i++) {
        snprintf(path, sizeof path, "tables[%u]", i);
        plan->tables[i].line = config_yaml_line(yaml, path, NULL);
    }
    for (uint32_t i = 0; i < plan->associated_count; i++) {
        snprintf(path, sizeof path, "associated[%u]", i);
        plan->associated[i].line = config_yaml_line(yaml, path, NULL);
        for (uint32_t k = 0; k < plan->associated[i].fields_count; k++) {
            snprintf(path, sizeof path, "associated[%u].fields[%u]", i, k);
            plan->associated[i].fields[k].line = config_yaml_line(yaml, path, NULL);
        }
    }
    plan->require_line = config_yaml_line(yaml, "require", NULL);
    plan->fill_line = config_yaml_text_line(yaml, "fill");
    plan->post_line = config_yaml_text_line(yaml, "post");
}

enum fault config_profile_text(struct profile **out, const char *source, const char *text, size_t bytes, struct fault_note *note)
{
    struct config_yaml *yaml = NULL;
    struct profile_plan *plan = NULL;
    *out = NULL;
    if (bytes > PROFILE_BYTES_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%.80s is larger than %d bytes", source, PROFILE_BYTES_MAX);
    enum fault fault = config_yaml_open(&yaml, source, text, bytes, note);
    if (fault == FAULT_NONE)
        fault = profile_text_open(&plan, text, (uint32_t)bytes, source, yaml, note);
    if (fault == FAULT_NONE) {
        plan->source = config_source_tail(source);
        lines_set(plan, yaml);
        fault = profile_open(out, plan, note);
    }
    profile_text_close(&plan);
    config_yaml_close(&yaml);
    return fault;
}

static void profile_give(struct config_profile **profile_p)
{
    struct config_profile *profile = *profile_p;
    *profile_p = NULL;
    if (!profile || atomic_fetch_sub(&profile->users, 1) > 1)
        return;
    profile_close(&profile->profile);
    memory_give(profile->text);
    memory_give(profile);
}

enum fault config_profile_open(struct config_profile **out, const char *path, struct fault_note *note)
{
    struct config_profile *profile = *out = memory_take_zeroed(1, sizeof *profile);
    if (!profile)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %.100s", path);
    atomic_init(&profile->users, 1);
    snprintf(profile->path, sizeof profile->path, "%s", path);
    enum fault fault = file_read_all(&profile->text, &profile->bytes, path, PROFILE_BYTES_MAX, note);
    if (fault == FAULT_NONE) {
        profile->digest = hash128(0, profile->text, profile->bytes);
        fault = config_profile_text(&profile->profile, path, profile->text, profile->bytes, note);
    }
    if (fault != FAULT_NONE)
        profile_give(out);
    return fault;
}

void config_profile_close(struct config_profile **profile_p)
{
    profile_give(profile_p);
}

/* Two profiles for one product: which would it be? */
static enum fault product_is_free(const struct config_tenant *tenant, const struct reading *reading, const char *where, uint32_t index)
{
    const char *product = profile_product(tenant->profiles[index]->profile);
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(profile_product(tenant->profiles[i]->profile), product) == 0)
            return config_wrong(reading, where, product[0] ? "a second profile of product '%.40s'" : "a second default profile%.40s",
                                product);
    return FAULT_NONE;
}

enum fault config_read_profiles(struct config_tenant *tenant, const struct reading *reading, const char *prefix,
                                const struct tenant_text *text)
{
    enum fault fault = FAULT_NONE;
    tenant->profile_count = text->profiles_count;
    for (uint32_t i = 0; i < text->profiles_count && fault == FAULT_NONE && !reading->is_recorded; i++) {
        char where[PATH_BYTES], place[sizeof tenant->profiles[0]->path];
        snprintf(where, sizeof where, "%.24s.profiles[%u]", prefix, i);
        if (text->profiles[i][0] == '\0' || strpbrk(text->profiles[i], "\n\r") ||
            !config_path(place, sizeof place, reading, text->profiles[i]))
            return config_wrong(reading, where, "expected a path of 1 to %zu bytes", sizeof place - 1);
        fault = config_profile_open(&tenant->profiles[i], place, reading->note);
        if (fault == FAULT_NONE)
            fault = product_is_free(tenant, reading, where, i);
    }
    return fault;
}

enum fault config_tell_profiles(struct config *config, struct fault_note *note)
{
    size_t used = strlen(config->text), count = 0;
    for (uint32_t t = 0; t < config->tenant_count; t++)
        for (uint32_t i = 0; i < config->tenants[t].profile_count; i++)
            count += config->tenants[t].profiles[i] != NULL;
    if (count == 0)
        return FAULT_NONE;
    char *text = memory_resize(config->text, used + count * COMMENT_BYTES + 2);
    if (!text)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the configuration");
    config->text = text;
    for (uint32_t t = 0; t < config->tenant_count; t++)
        for (uint32_t i = 0; i < config->tenants[t].profile_count; i++) {
            const struct config_profile *profile = config->tenants[t].profiles[i];
            char hex[33];
            digest_to_hex(hex, profile->digest);
            used += (size_t)snprintf(text + used, COMMENT_BYTES, "\n# profile %s %s", hex, profile->path);
        }
    text[used++] = '\n';
    text[used] = '\0';
    config->digest = hash128(0, text, used);
    return FAULT_NONE;
}

void config_hold_parts(struct config *config)
{
    for (uint32_t t = 0; t < config->tenant_count; t++)
        if (config->tenants[t].rules)
            atomic_fetch_add(&config->tenants[t].rules->users, 1);
    for (uint32_t t = 0; t < config->tenant_count; t++)
        for (uint32_t i = 0; i < config->tenants[t].profile_count; i++)
            if (config->tenants[t].profiles[i])
                atomic_fetch_add(&config->tenants[t].profiles[i]->users, 1);
}

void config_close_parts(struct config *config)
{
    for (uint32_t t = 0; t < TENANTS_MAX; t++)
        rules_close(&config->tenants[t].rules);
    for (uint32_t t = 0; t < TENANTS_MAX; t++)
        for (uint32_t i = 0; i < TENANT_PROFILES_MAX; i++)
            profile_give(&config->tenants[t].profiles[i]);
}
