/* An epoch is made whole beside the running one, swapped in under one lock, and freed by whoever lets go last.
 * What later replies need of it (names, digests, kernel) is kept in the ledger under its digest. */
#include "pipeline/internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/must.h"
#include "pipeline/config_profile.h"
#include "pipeline/currencies.h"

enum { AWAIT_PAUSE_NS = 1000000, AWAIT_RETRY_MS = 5000 };

static enum fault config_copy(struct config **out, const struct config *config, struct fault_note *note)
{
    struct config *copy = memory_take(sizeof *copy);
    if (!copy)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the configuration");
    memcpy(copy, config, sizeof *copy);
    config_hold_parts(copy);
    copy->source = memory_copy_text(config->source ? config->source : "");
    copy->text = memory_copy_text(config->text ? config->text : "");
    *out = copy;
    return copy->source && copy->text ? FAULT_NONE
                                      : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the configuration");
}

/* --- lines of tenants: one for each name that an epoch knows, so that waiting jobs survive a change of configuration --- */

/* The line of that name, or one that is free. */
static struct tenant_line *line_find(struct pipeline *pipeline, const char *name)
{
    struct tenant_line *free_line = NULL;
    for (uint32_t i = 0; i < pipeline->line_count; i++) {
        struct tenant_line *line = &pipeline->lines[i];
        if (line->epochs && strcmp(line->name, name) == 0)
            return line;
        free_line = line->epochs ? free_line : line;
    }
    if (free_line)
        return free_line;
    MUST(pipeline->line_count < LINES_MAX); /* as wide as the tenants of all epochs together */
    return &pipeline->lines[pipeline->line_count++];
}

static struct tenant_line *line_hold(struct pipeline *pipeline, const struct config_tenant *tenant)
{
    pthread_mutex_lock(&pipeline->line_lock);
    struct tenant_line *line = line_find(pipeline, tenant->name);
    if (line->epochs++ == 0) {
        *line = (struct tenant_line){.weight = tenant->weight, .epochs = 1};
        snprintf(line->name, sizeof line->name, "%s", tenant->name);
    }
    pthread_mutex_unlock(&pipeline->line_lock);
    return line;
}

static void lines_release(struct epoch *epoch)
{
    pthread_mutex_lock(&epoch->pipeline->line_lock);
    for (uint32_t i = 0; i < TENANTS_MAX && epoch->lines[i]; i++)
        epoch->lines[i]->epochs--;
    pthread_mutex_unlock(&epoch->pipeline->line_lock);
}

/* Only now: a configuration that is refused changes nothing. */
static void lines_weigh(const struct epoch *epoch)
{
    pthread_mutex_lock(&epoch->pipeline->line_lock);
    for (uint32_t i = 0; i < epoch->config->tenant_count; i++)
        epoch->lines[i]->weight = epoch->config->tenants[i].weight;
    pthread_mutex_unlock(&epoch->pipeline->line_lock);
}

static void epoch_tenants(struct epoch *epoch)
{
    struct pipeline *pipeline = epoch->pipeline;
    uint64_t secret = pipeline->ledger_ops->secret(pipeline->ledger);
    for (uint32_t i = 0; i < epoch->config->tenant_count; i++) {
        const struct config_tenant *tenant = &epoch->config->tenants[i];
        epoch->key_seed[i] = hash64(secret, tenant->namespace_name, strlen(tenant->namespace_name));
        epoch->lines[i] = line_hold(pipeline, tenant);
    }
}

/* --- making ---------------------------------------------------------------------------------------------------------- */

static void epoch_free(struct epoch *epoch)
{
    for (uint32_t i = 0; epoch->scratches && i < epoch->pipeline->worker_count; i++)
        if (epoch->scratches[i])
            epoch->device_ops->scratch_give(&epoch->scratches[i]);
    memory_give(epoch->scratches);
    drift_close(&epoch->drift);
    if (epoch->resident)
        epoch->device_ops->release(&epoch->resident);
    if (epoch->device)
        epoch->device_ops->close(&epoch->device);
    scene_base_close(&epoch->base);
    config_close(&epoch->config);
    wire_buffer_fini(&epoch->document);
    lines_release(epoch);
    atomic_fetch_sub(&epoch->pipeline->epochs, 1);
    memory_give(epoch);
}

static enum fault epoch_scratches(struct epoch *epoch, struct fault_note *note)
{
    uint32_t count = epoch->pipeline->worker_count;
    epoch->scratches = memory_take_zeroed(count, sizeof *epoch->scratches);
    if (!epoch->scratches)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the workers");
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < count && fault == FAULT_NONE; i++)
        fault = epoch->device_ops->scratch_take(&epoch->scratches[i], epoch->resident, note);
    return fault == FAULT_NONE ? drift_open(&epoch->drift, epoch->base, &epoch->config->drift, count, note) : fault;
}

/* By number; risk types get theirs, whichever strategy it is that holds. */
static enum fault epoch_rules(struct epoch *epoch, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    epoch->rule_names[0] = "none";
    for (uint32_t t = 0; t < epoch->config->tenant_count && fault == FAULT_NONE; t++) {
        const struct tenant_rules *rules = epoch->config->tenants[t].rules;
        for (uint32_t i = 0; rules && i < rules->count && fault == FAULT_NONE; i++) {
            const struct tenant_rule *rule = &rules->rules[i];
            struct decide_rule *out = &epoch->rules[rules->first_number + i];
            *out = (struct decide_rule){.verdict = rule->verdict, .level = rule->level};
            fault = strategy_risk_type(&out->risk_type, &epoch->strategy, rule->risk_type, note);
            epoch->rule_names[rules->first_number + i] = rule->name;
            epoch->names.rule_count = rules->first_number + i + 1;
        }
    }
    return fault;
}

static enum fault epoch_device(struct epoch *epoch, struct fault_note *note)
{
    const struct config *config = epoch->config;
    epoch->device_ops = device_find(config->device);
    if (!epoch->device_ops)
        return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "no device %s in this build", config->device);
    struct device_options options = {.cpu_mask = config->cpu_mask, .name = config->device};
    enum fault fault = epoch->device_ops->open(&epoch->device, &options, note);
    if (fault != FAULT_NONE)
        return fault;
    epoch->kernels = epoch->device_ops->kernels(epoch->device);
    if (!epoch->base)
        return strategy_complete(&epoch->strategy, note);
    if ((fault = strategy_bind(&epoch->strategy, epoch->base, note)) != FAULT_NONE)
        return fault;
    fault = epoch->device_ops->prepare(&epoch->resident, epoch->device, epoch->base, note);
    return fault == FAULT_NONE ? epoch_scratches(epoch, note) : fault;
}

static void epoch_names(struct epoch *epoch)
{
    struct reply_names *names = &epoch->names;
    digest_to_hex(epoch->config_hex, epoch->config->digest);
    if (epoch->base)
        digest_to_hex(epoch->base_hex, epoch->base->digest);
    for (uint32_t i = 0; epoch->base && i < epoch->base->scene_count; i++)
        epoch->scene_names[i] = epoch->base->scenes[i].name;
    if (!epoch->base)
        epoch->scene_names[0] = "background";
    for (uint32_t i = 0; i < epoch->strategy.risk_type_count; i++)
        epoch->risk_names[i] = epoch->strategy.risk_types[i];
    for (uint32_t i = 0; i < epoch->strategy.countermeasure_count; i++) {
        countermeasure_join(epoch->measure_texts[i], &epoch->strategy.countermeasures[i]);
        epoch->measure_names[i] = epoch->measure_texts[i];
    }
    for (uint32_t i = 0; i < FEATURE_COUNT; i++)
        epoch->feature_names[i] = feature_infos[i].name;
    *names = (struct reply_names){
        .scenes = epoch->scene_names,
        .scene_count = epoch->base ? epoch->base->scene_count : 1,
        .risk_types = epoch->risk_names,
        .risk_type_count = epoch->strategy.risk_type_count,
        .countermeasures = epoch->measure_names,
        .countermeasure_count = epoch->strategy.countermeasure_count,
        .base_name = epoch->base ? epoch->base->name : "",
        .base_version = epoch->base ? epoch->base->version : "",
        .base_digest = epoch->base_hex,
        .config_digest = epoch->config_hex,
        .kernel = epoch->device_ops->describe(epoch->device),
        .features = epoch->feature_names,
        .feature_count = FEATURE_COUNT,
        .rules = epoch->rule_names,
        .rule_count = names->rule_count,
    };
}

static void pack_names(struct wire_buffer *out, const char *key, const char *const *names, uint32_t count)
{
    wire_pack_text(out, key);
    wire_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        wire_pack_text(out, names[i]);
}

static const char *const name_keys[] = {"base", "base_version", "base_digest", "config_digest", "kernel"};
enum { NAME_KEYS = sizeof name_keys / sizeof *name_keys };

static void pack_thresholds(struct wire_buffer *out, const struct scene_base *base)
{
    wire_pack_text(out, "thresholds");
    wire_pack_array(out, base ? base->scene_count : 0);
    for (uint32_t i = 0; base && i < base->scene_count; i++)
        wire_pack_f64(out, (double)base->scenes[i].threshold);
    wire_pack_text(out, "anomaly_thresholds");
    wire_pack_array(out, base ? ANOMALY_COUNT : 0);
    for (uint32_t i = 0; base && i < ANOMALY_COUNT; i++)
        wire_pack_f64(out, (double)base->anomaly[i].threshold);
}

static void pack_epoch(struct wire_buffer *out, const struct reply_names *names, const struct scene_base *base)
{
    const char *texts[NAME_KEYS] = {names->base_name, names->base_version, names->base_digest, names->config_digest, names->kernel};
    wire_pack_map(out, NAME_KEYS + 6 + (names->rule_count != 0));
    for (unsigned i = 0; i < NAME_KEYS; i++) {
        wire_pack_text(out, name_keys[i]);
        wire_pack_text(out, texts[i]);
    }
    pack_names(out, "scenes", names->scenes, names->scene_count);
    pack_names(out, "risk_types", names->risk_types, names->risk_type_count);
    pack_names(out, "countermeasures", names->countermeasures, names->countermeasure_count);
    pack_names(out, "features", names->features, names->feature_count);
    pack_thresholds(out, base);
    if (names->rule_count)
        pack_names(out, "rules", names->rules, names->rule_count);
}

static enum fault epoch_document(struct epoch *epoch, struct fault_note *note)
{
    pack_epoch(&epoch->document, &epoch->names, epoch->base);
    if (epoch->document.failed)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to keep the epoch");
    epoch->digest = hash128(0, epoch->document.data, epoch->document.bytes);
    return FAULT_NONE;
}

enum fault epoch_make(struct epoch **out, struct pipeline *pipeline, const struct config *config, struct scene_base *base,
                      struct fault_note *note)
{
    struct epoch *epoch = memory_take_zeroed(1, sizeof *epoch);
    *out = NULL;
    if (!epoch) {
        scene_base_close(&base);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for an epoch");
    }
    epoch->pipeline = pipeline;
    epoch->base = base;
    atomic_init(&epoch->users, 1);
    atomic_fetch_add(&pipeline->epochs, 1);
    enum fault fault = config_copy(&epoch->config, config, note);
    if (fault == FAULT_NONE) {
        epoch->strategy = config->strategy;
        epoch->intake.limits = config->limits;
        epoch_tenants(epoch);
        fault = epoch_rules(epoch, note);
        if (fault == FAULT_NONE)
            fault = currencies_from_config(&epoch->intake.currencies, config, note);
        if (fault == FAULT_NONE)
            fault = epoch_device(epoch, note);
    }
    if (fault == FAULT_NONE) {
        epoch_names(epoch);
        fault = epoch_document(epoch, note);
    }
    if (fault != FAULT_NONE)
        epoch_free(epoch);
    else
        *out = epoch;
    return fault;
}

/* --- using ----------------------------------------------------------------------------------------------------------- */

struct epoch *epoch_hold(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->epoch_lock);
    struct epoch *epoch = pipeline->epoch;
    atomic_fetch_add(&epoch->users, 1);
    pthread_mutex_unlock(&pipeline->epoch_lock);
    return epoch;
}

void epoch_release(struct epoch **epoch_p)
{
    struct epoch *epoch = *epoch_p;
    *epoch_p = NULL;
    if (!epoch || atomic_fetch_sub(&epoch->users, 1) > 1)
        return;
    struct bases *bases = &epoch->pipeline->bases;
    pthread_mutex_lock(&bases->lock);
    epoch->next_dead = bases->dead;
    bases->dead = epoch;
    pthread_mutex_unlock(&bases->lock);
}

void epochs_bury(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->bases.lock);
    struct epoch *dead = pipeline->bases.dead;
    pipeline->bases.dead = NULL;
    pthread_mutex_unlock(&pipeline->bases.lock);
    while (dead) {
        struct epoch *epoch = dead;
        dead = epoch->next_dead;
        epoch_free(epoch);
    }
}

struct epoch *epoch_swap(struct pipeline *pipeline, struct epoch *epoch)
{
    struct epoch *before = pipeline->epoch; /* whoever swaps holds bases.change_lock, or acts for who does */
    challenger_off(pipeline);               /* it compared itself with the one that goes */
    if (!digest_equal(epoch->config->digest, before->config->digest))
        lines_weigh(epoch);
    pthread_mutex_lock(&pipeline->epoch_lock);
    if (epoch->number == 0) /* it may have been the running one before */
        epoch->number = ++pipeline->epoch_count;
    pipeline->epoch = epoch;
    pthread_mutex_unlock(&pipeline->epoch_lock);
    return before;
}

static bool has_room(struct pipeline *pipeline, uint32_t count)
{
    pthread_mutex_lock(&pipeline->line_lock);
    bool fits = pipeline->reserved_bytes <= pipeline->budget_bytes;
    pthread_mutex_unlock(&pipeline->line_lock);
    epochs_bury(pipeline);
    pthread_mutex_lock(&pipeline->bases.lock);
    count += pipeline->bases.kept != NULL;
    pthread_mutex_unlock(&pipeline->bases.lock);
    count += atomic_load(&pipeline->challengers.on);
    return fits && atomic_load(&pipeline->epochs) < count;
}

enum fault epoch_await_room(struct pipeline *pipeline, uint32_t count, struct fault_note *note)
{
    const struct timespec pause = {.tv_nsec = AWAIT_PAUSE_NS};
    for (int64_t until_ns = clock_steady_ns() + pipeline->reload_wait_ns; !has_room(pipeline, count); nanosleep(&pause, NULL))
        if (clock_steady_ns() >= until_ns)
            return note->retry_after_ms = AWAIT_RETRY_MS,
                   fault_set(note, FAULT_busy, ROW_NONE, COLUMN_NONE,
                             "batches are still on their way under the configuration before this one");
    return FAULT_NONE;
}

/* --- keeping --------------------------------------------------------------------------------------------------------- */

/* The file as it was opened, not as it may be by now. */
static enum fault base_keep(struct pipeline *pipeline, const struct epoch *epoch, struct fault_note *note)
{
    struct file_map map;
    enum fault fault = file_map_open(&map, epoch->config->base_path, note);
    if (fault != FAULT_NONE)
        return fault;
    if (!digest_equal(hash128(0, map.data, map.bytes), epoch->base->digest))
        fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "%.100s changed while it was read", epoch->config->base_path);
    else
        fault =
            pipeline->ledger_ops->document_put(pipeline->ledger, "base", epoch->base->digest, epoch->base->name, map.data, map.bytes, note);
    file_map_close(&map);
    return fault;
}

/* History sums amounts in the reference currency: a ledger has one, from its first start on. */
static enum fault reference_keep(struct pipeline *pipeline, const char *reference, struct fault_note *note)
{
    const struct ledger_ops *ops = pipeline->ledger_ops;
    const struct digest only = {0};
    void *kept = NULL;
    size_t bytes = 0;
    enum fault fault = ops->document_get(pipeline->ledger, "reference_currency", only, &kept, &bytes, note);
    if (fault == FAULT_not_found)
        fault = ops->document_put(pipeline->ledger, "reference_currency", only, reference, reference, strlen(reference), note);
    else if (fault == FAULT_NONE && (bytes != strlen(reference) || memcmp(kept, reference, bytes) != 0))
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE,
                          "currencies.reference is %s, but this ledger's amounts are in %.*s: another reference needs a new ledger",
                          reference, (int)bytes, (const char *)kept);
    memory_give(kept);
    return fault;
}

/* For whoever asks later what a batch was converted by. */
static enum fault profiles_keep(struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t t = 0; t < config->tenant_count; t++)
        for (uint32_t i = 0; i < config->tenants[t].profile_count && fault == FAULT_NONE; i++) {
            const struct config_profile *profile = config->tenants[t].profiles[i];
            if (profile)
                fault = pipeline->ledger_ops->document_put(pipeline->ledger, "profile", profile->digest, profile->path, profile->text,
                                                           profile->bytes, note);
        }
    return fault;
}

enum fault epoch_keep(struct pipeline *pipeline, const struct epoch *epoch, struct fault_note *note)
{
    const struct ledger_ops *ops = pipeline->ledger_ops;
    const struct config *config = epoch->config;
    enum fault fault = reference_keep(pipeline, config->reference_currency, note);
    if (fault == FAULT_NONE)
        fault = ops->document_put(pipeline->ledger, "config", config->digest, config->source, config->text, strlen(config->text), note);
    if (fault == FAULT_NONE)
        fault = profiles_keep(pipeline, config, note);
    if (fault == FAULT_NONE && epoch->base && !epoch->base_is_kept)
        fault = base_keep(pipeline, epoch, note);
    if (fault == FAULT_NONE)
        fault = ops->document_put(pipeline->ledger, "epoch", epoch->digest, epoch->names.base_name, epoch->document.data,
                                  epoch->document.bytes, note);
    return fault;
}

/* The document's strings get their end marks in a copy laid out behind the struct. */
struct name_reader {
    char *at;
    bool broken;
};

static const char *name_copy(struct name_reader *reader, const struct wire_value *value)
{
    if (value->type != WIRE_STR) {
        reader->broken = true;
        return "";
    }
    char *copy = reader->at;
    memcpy(copy, value->text.data, value->text.bytes);
    copy[value->text.bytes] = '\0';
    reader->at += value->text.bytes + 1;
    return copy;
}

static uint32_t names_copy(struct name_reader *reader, const struct wire_value *map, const char *key, const char **out, uint32_t count_max)
{
    struct wire_value array, item;
    if (!wire_find(&array, map, key) || array.type != WIRE_ARRAY || array.count > count_max) {
        reader->broken = true;
        return 0;
    }
    const unsigned char *at = array.inside;
    for (uint32_t i = 0; i < array.count; i++) {
        if (!wire_next(&item, &at, array.end))
            return reader->broken = true, i;
        out[i] = name_copy(reader, &item);
    }
    return array.count;
}

/* Absent in documents of before they were kept. */
static uint32_t thresholds_copy(const struct wire_value *map, const char *key, float *out, uint32_t count_max)
{
    struct wire_value array, item;
    if (!wire_find(&array, map, key) || array.type != WIRE_ARRAY || array.count > count_max)
        return 0;
    const unsigned char *at = array.inside;
    for (uint32_t i = 0; i < array.count; i++)
        out[i] = wire_next(&item, &at, array.end) && item.type == WIRE_FLOAT ? (float)item.real : 0.0f;
    return array.count;
}

static enum fault names_read(struct stored_names *stored, const void *bytes, size_t byte_count, struct fault_note *note)
{
    const unsigned char *at = bytes;
    struct name_reader reader = {.at = stored->memory};
    struct wire_value map, value;
    enum fault fault = wire_check(bytes, byte_count, note);
    if (fault != FAULT_NONE)
        return fault;
    reader.broken = !wire_next(&map, &at, at + byte_count) || map.type != WIRE_MAP;
    const char *texts[NAME_KEYS] = {"", "", "", "", ""};
    for (unsigned i = 0; i < NAME_KEYS && !reader.broken; i++)
        texts[i] = wire_find(&value, &map, name_keys[i]) ? name_copy(&reader, &value) : (reader.broken = true, "");
    struct reply_names *names = &stored->names;
    if (!reader.broken) {
        names->scene_count = names_copy(&reader, &map, "scenes", stored->tables[0], 256);
        names->risk_type_count = names_copy(&reader, &map, "risk_types", stored->tables[1], 256);
        names->countermeasure_count = names_copy(&reader, &map, "countermeasures", stored->tables[2], 256);
        names->feature_count = names_copy(&reader, &map, "features", stored->features, STORED_FEATURES_MAX);
    }
    if (!reader.broken && wire_find(&value, &map, "rules"))
        names->rule_count = names_copy(&reader, &map, "rules", stored->tables[3], 256);
    if (reader.broken)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the stored epoch cannot be read");
    stored->threshold_count = thresholds_copy(&map, "thresholds", stored->thresholds, SCENES_MAX);
    if (thresholds_copy(&map, "anomaly_thresholds", stored->anomaly_thresholds, ANOMALY_COUNT) != ANOMALY_COUNT)
        stored->threshold_count = 0;
    names->base_name = texts[0], names->base_version = texts[1], names->base_digest = texts[2];
    names->config_digest = texts[3], names->kernel = texts[4];
    names->scenes = stored->tables[0], names->risk_types = stored->tables[1];
    names->rules = stored->tables[3];
    names->countermeasures = stored->tables[2], names->features = stored->features;
    return FAULT_NONE;
}

enum fault epoch_names_stored(struct stored_names **out, struct pipeline *pipeline, struct digest digest, struct fault_note *note)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    enum fault fault = pipeline->ledger_ops->document_get(pipeline->ledger, "epoch", digest, &bytes, &byte_count, note);
    if (fault != FAULT_NONE)
        return fault;
    struct stored_names *stored = memory_take_zeroed(1, sizeof *stored);
    if (stored)
        stored->memory = memory_take(2 * byte_count + 16);
    fault = stored && stored->memory ? names_read(stored, bytes, byte_count, note)
                                     : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a stored epoch");
    memory_give(bytes);
    if (fault != FAULT_NONE)
        stored_names_give(&stored);
    *out = stored;
    return fault;
}

void stored_names_give(struct stored_names **stored_p)
{
    if (*stored_p)
        memory_give((*stored_p)->memory);
    memory_give(*stored_p);
    *stored_p = NULL;
}
