/* The build file, read by the reader of sluice.yaml: every value is text until a rule of build_keys.tbl takes it. */
#include "pipeline/build_file.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/must.h"
#include "pipeline/config_rules.h"
#include "pipeline/config_value.h"
#include "pipeline/config_yaml.h"

enum { BUILD_FILE_BYTES_MAX = 1 << 20, FIELD_BYTES = 80 };
enum form { AS_TEXT, AS_PATH, AS_DATE, AS_TIME, AS_COUNT, AS_REAL, AS_BOOL };

struct build_rule {
    const char *key;
    enum form form;
    size_t from, to, to_bytes;
    double least, most;
};
#define RULE(text, key, form, member, least, most) \
    {#key,  AS_##form, offsetof(struct text, key), offsetof(struct build_plan, member), sizeof(((struct build_plan *)0)->member), \
     least, most},
#define COUNT_OF(rules) (sizeof(rules) / sizeof((rules)[0]))

static const struct build_rule top_rules[] = {
#define BUILD_TOP(key, form, member, least, most, initial, meaning) RULE(build_text, key, form, member, least, most)
#include "pipeline/build_keys.tbl"
};
static const struct build_rule rows_rules[] = {
#define BUILD_ROWS(key, form, member, least, most, initial, meaning) RULE(build_rows_text, key, form, member, least, most)
#include "pipeline/build_keys.tbl"
};
static const struct build_rule learning_rules[] = {
#define BUILD_LEARNING(key, form, member, least, most, initial, meaning) RULE(build_learning_text, key, form, member, least, most)
#include "pipeline/build_keys.tbl"
};
static const struct build_rule threshold_rules[] = {
#define BUILD_THRESHOLDS(key, form, member, least, most, initial, meaning) RULE(build_thresholds_text, key, form, member, least, most)
#include "pipeline/build_keys.tbl"
};

const char *build_plan_keep(struct build_plan *plan, const char *text, size_t bytes)
{
    if (bytes >= sizeof plan->texts - plan->text_bytes)
        return NULL;
    char *kept = plan->texts + plan->text_bytes;
    memcpy(kept, text, bytes);
    kept[bytes] = '\0';
    plan->text_bytes += bytes + 1;
    return kept;
}

static enum fault text_store(const char **out, struct build_plan *plan, const struct reading *reading, const char *path, const char *value,
                             double most)
{
    char text[512];
    enum fault fault = config_name(text, (size_t)most + 1 < sizeof text ? (size_t)most + 1 : sizeof text, reading, path, value);
    if (fault != FAULT_NONE)
        return fault;
    *out = build_plan_keep(plan, text, strlen(text));
    return *out ? FAULT_NONE : config_wrong(reading, path, "the file holds too much text");
}

static enum fault path_store(const char **out, struct build_plan *plan, const struct reading *reading, const char *path, const char *value)
{
    char text[512];
    bool is_input = strcmp(value, "-") == 0;
    if (value[0] == '\0' || !config_path(text, sizeof text, reading, value))
        return config_wrong(reading, path, "expected a path of 1 to 255 bytes");
    *out = is_input ? build_plan_keep(plan, value, 1) : build_plan_keep(plan, text, strlen(text));
    return *out ? FAULT_NONE : config_wrong(reading, path, "the file holds too much text");
}

static enum fault count_store(void *to, const struct build_rule *rule, const struct reading *reading, const char *path, const char *value)
{
    int64_t number;
    if (!value_integer(&number, value) || (double)number < rule->least || (double)number > rule->most)
        return config_wrong(reading, path, "expected a whole number from %.0f to %.0f, is '%.40s'", rule->least, rule->most, value);
    uint32_t narrow = (uint32_t)number;
    MUST(rule->to_bytes == sizeof number || rule->to_bytes == sizeof narrow);
    memcpy(to, rule->to_bytes == sizeof number ? (void *)&number : (void *)&narrow, rule->to_bytes);
    return FAULT_NONE;
}

static enum fault number_store(void *to, const struct build_rule *rule, const struct reading *reading, const char *path, const char *value)
{
    double real;
    int64_t us;
    switch (rule->form) {
    case AS_REAL:
        if (!value_real(&real, value) || real < rule->least || real > rule->most)
            return config_wrong(reading, path, "expected a number from %g to %g, is '%.40s'", rule->least, rule->most, value);
        MUST(rule->to_bytes == sizeof real);
        memcpy(to, &real, sizeof real);
        return FAULT_NONE;
    case AS_BOOL:
        return value_bool(to, value) ? FAULT_NONE : config_wrong(reading, path, "expected true or false, is '%.40s'", value);
    case AS_DATE:
        if (!value_moment_us(&us, value))
            return config_wrong(reading, path, "expected a day or a moment in UTC such as 2026-11-21T08:30:00, is '%.40s'", value);
        break;
    default:
        if (!value_duration_us(&us, value) || (double)us > rule->most)
            return config_wrong(reading, path, "expected a time such as 12h or 7d, at most %.0fd, is '%.40s'", rule->most / 86400e6, value);
    }
    memcpy(to, &us, sizeof us);
    return FAULT_NONE;
}

static enum fault rules_read(struct build_plan *plan, const void *texts, const struct build_rule *rules, size_t count, const char *group,
                             const struct reading *reading)
{
    enum fault fault = FAULT_NONE;
    for (size_t i = 0; i < count && fault == FAULT_NONE; i++) {
        const struct build_rule *rule = &rules[i];
        const char *value, *kept;
        char path[FIELD_BYTES];
        void *to = (char *)plan + rule->to;
        memcpy(&value, (const char *)texts + rule->from, sizeof value);
        if (!value)
            continue;
        snprintf(path, sizeof path, "%s%s%s", group, *group ? "." : "", rule->key);
        if (rule->form <= AS_PATH) {
            fault = rule->form == AS_TEXT ? text_store(&kept, plan, reading, path, value, rule->most)
                                          : path_store(&kept, plan, reading, path, value);
            if (fault == FAULT_NONE)
                memcpy(to, &kept, sizeof kept);
        } else {
            fault = rule->form == AS_COUNT ? count_store(to, rule, reading, path, value) : number_store(to, rule, reading, path, value);
        }
    }
    return fault;
}

static enum fault features_read(struct feature_set *out, const char *name, char *const *texts, uint32_t count,
                                const struct reading *reading)
{
    for (uint32_t i = 0; i < count; i++) {
        char path[FIELD_BYTES];
        snprintf(path, sizeof path, "features.%s[%u]", name, i);
        if (!base_features_add(out, texts[i], strlen(texts[i])))
            return config_wrong(reading, path, "expected a feature of the catalogue or a dimension, is '%.60s'", texts[i]);
    }
    return FAULT_NONE;
}

static enum fault seeds_read(struct base_build_options *options, const struct build_learning_text *text, const struct reading *reading)
{
    for (uint32_t i = 0; i < text->seeds_count; i++) {
        char path[FIELD_BYTES];
        int64_t seed;
        snprintf(path, sizeof path, "learning.seeds[%u]", i);
        if (!value_integer(&seed, text->seeds[i]) || seed < 0)
            return config_wrong(reading, path, "expected a whole number from 0 on, is '%.40s'", text->seeds[i]);
        options->seeds[i] = (uint64_t)seed;
        options->seed_count = i + 1;
    }
    return FAULT_NONE;
}

static enum fault observations_read(struct build_plan *plan, const struct build_text *text, const struct reading *reading)
{
    struct past_options *past = &plan->options.past;
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < text->observations_count && fault == FAULT_NONE; i++) {
        const struct observation_text *from = &text->observations[i];
        struct past_observations *to = &past->observations[past->observation_count];
        char path[FIELD_BYTES];
        int kind = from->kind ? value_choice(from->kind, observe_names, OBSERVE_COUNT) : -1;
        snprintf(path, sizeof path, "observations[%u].kind", i);
        if (kind <= OBSERVE_NONE)
            return config_wrong(reading, path, "expected attribute, contact, registration or use, is '%.40s'",
                                from->kind ? from->kind : "");
        snprintf(path, sizeof path, "observations[%u].file", i);
        if (past->observation_count == PAST_OBSERVATIONS_MAX || !from->file)
            return config_wrong(reading, path, "expected a file, at most %d of them", PAST_OBSERVATIONS_MAX);
        to->kind = (enum observe_kind)kind;
        fault = path_store(&to->path, plan, reading, path, from->file);
        past->observation_count++;
    }
    return fault;
}

static enum fault risk_types_read(struct build_plan *plan, const struct build_text *text, const struct reading *reading)
{
    struct base_build_options *options = &plan->options;
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < text->risk_types_count && fault == FAULT_NONE; i++) {
        const struct scene_type_text *from = &text->risk_types[i];
        char path[FIELD_BYTES];
        snprintf(path, sizeof path, "risk_types[%u]", i);
        if (!from->scene || !from->risk_type || options->risk_type_count == SCENES_MAX)
            return config_wrong(reading, path, "expected scene and risk_type, at most %d of them", SCENES_MAX);
        fault = text_store(&options->risk_types[options->risk_type_count].scene, plan, reading, path, from->scene, 63);
        if (fault == FAULT_NONE)
            fault = text_store(&options->risk_types[options->risk_type_count].risk_type, plan, reading, path, from->risk_type, 63);
        options->risk_type_count++;
    }
    return fault;
}

static enum fault parts_read(struct build_plan *plan, const struct build_text *text, const struct reading *reading)
{
    struct base_build_options *options = &plan->options;
    enum fault fault = rules_read(plan, text, top_rules, COUNT_OF(top_rules), "", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(plan, &text->rows, rows_rules, COUNT_OF(rows_rules), "rows", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(plan, &text->learning, learning_rules, COUNT_OF(learning_rules), "learning", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(plan, &text->thresholds, threshold_rules, COUNT_OF(threshold_rules), "thresholds", reading);
    if (fault == FAULT_NONE)
        fault = seeds_read(options, &text->learning, reading);
    if (fault == FAULT_NONE)
        fault = features_read(&options->include, "include", text->features.include, text->features.include_count, reading);
    if (fault == FAULT_NONE)
        fault = features_read(&options->exclude, "exclude", text->features.exclude, text->features.exclude_count, reading);
    if (fault == FAULT_NONE)
        fault = observations_read(plan, text, reading);
    return fault == FAULT_NONE ? risk_types_read(plan, text, reading) : fault;
}

enum fault build_file_read_text(struct build_plan *plan, const char *source, const char *text, size_t bytes, struct fault_note *note)
{
    struct reading reading = {.source = source, .note = note};
    struct build_text *parts = NULL;
    const char *slash = strrchr(source, '/');
    size_t folder_bytes = slash ? (size_t)(slash - source) + 1 : 0;
    if (bytes > BUILD_FILE_BYTES_MAX || folder_bytes >= sizeof reading.folder)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%.80s is larger than %d bytes, or its path too long", source,
                         BUILD_FILE_BYTES_MAX);
    memcpy(reading.folder, source, folder_bytes);
    enum fault fault = config_yaml_open(&reading.yaml, source, text, bytes, note);
    if (fault == FAULT_NONE)
        fault = build_text_open(&parts, text, (uint32_t)bytes, source, reading.yaml, note);
    if (fault == FAULT_NONE)
        fault = parts_read(plan, parts, &reading);
    build_text_close(&parts);
    config_yaml_close(&reading.yaml);
    return fault;
}

enum fault build_file_read(struct build_plan *plan, const char *path, struct fault_note *note)
{
    char *text;
    size_t bytes;
    enum fault fault = file_read_all(&text, &bytes, path, BUILD_FILE_BYTES_MAX, note);
    if (fault == FAULT_NONE) {
        fault = build_file_read_text(plan, path, text, bytes, note);
        memory_give(text);
    }
    return fault;
}
