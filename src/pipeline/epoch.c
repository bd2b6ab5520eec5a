/* An epoch is made whole beside the running one, swapped in under one lock, and freed by whoever lets go last.
 * What later replies need of it (names, digests, kernel) is kept in the ledger under its digest. */
#include "pipeline/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "pipeline/currencies.h"

static enum fault config_copy(struct config **out, const struct config *config, struct fault_note *note)
{
    struct config *copy = memory_take(sizeof *copy);
    if (!copy)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the configuration");
    memcpy(copy, config, sizeof *copy);
    copy->source = memory_copy_text(config->source ? config->source : "");
    copy->text = memory_copy_text(config->text ? config->text : "");
    *out = copy;
    return copy->source && copy->text ? FAULT_NONE
                                      : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the configuration");
}

static void epoch_free(struct epoch *epoch)
{
    if (epoch->resident)
        epoch->device_ops->release(&epoch->resident);
    if (epoch->device)
        epoch->device_ops->close(&epoch->device);
    scene_base_close(&epoch->base);
    config_close(&epoch->config);
    memory_give(epoch);
}

/* Every tenant name ever seen keeps its line, so that waiting jobs survive a change of configuration. */
static struct tenant_line *line_of(struct pipeline *pipeline, const char *name, uint32_t weight)
{
    struct tenant_line *line = NULL;
    pthread_mutex_lock(&pipeline->line_lock);
    for (uint32_t i = 0; i < pipeline->line_count && !line; i++)
        if (strcmp(pipeline->lines[i].name, name) == 0)
            line = &pipeline->lines[i];
    if (!line && pipeline->line_count < TENANTS_MAX) {
        line = &pipeline->lines[pipeline->line_count++];
        snprintf(line->name, sizeof line->name, "%s", name);
    }
    if (line)
        line->weight = weight ? weight : 1;
    pthread_mutex_unlock(&pipeline->line_lock);
    return line;
}

static enum fault epoch_tenants(struct epoch *epoch, struct pipeline *pipeline, struct fault_note *note)
{
    uint64_t secret = pipeline->ledger_ops->secret(pipeline->ledger);
    for (uint32_t i = 0; i < epoch->config->tenant_count; i++) {
        const struct config_tenant *tenant = &epoch->config->tenants[i];
        epoch->key_seed[i] = hash64(secret, tenant->namespace_name, strlen(tenant->namespace_name));
        epoch->lines[i] = line_of(pipeline, tenant->name, tenant->weight);
        if (!epoch->lines[i])
            return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "more than %d tenants since the start", TENANTS_MAX);
    }
    return FAULT_NONE;
}

static enum fault epoch_device(struct epoch *epoch, struct fault_note *note)
{
    const struct config *config = epoch->config;
    epoch->device_ops = device_find(config->device);
    if (!epoch->device_ops)
        return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "no device %s in this build", config->device);
    struct device_options options = {.cpu_mask = config->cpu_mask};
    enum fault fault = epoch->device_ops->open(&epoch->device, &options, note);
    if (fault != FAULT_NONE)
        return fault;
    epoch->kernels = epoch->device_ops->kernels(epoch->device);
    if (config->base_path[0] == '\0')
        return FAULT_NONE;
    if ((fault = scene_base_open(&epoch->base, config->base_path, note)) != FAULT_NONE ||
        (fault = strategy_bind(&epoch->strategy, epoch->base, note)) != FAULT_NONE)
        return fault;
    return epoch->device_ops->prepare(&epoch->resident, epoch->device, epoch->base, note);
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
        snprintf(epoch->measure_texts[i], sizeof epoch->measure_texts[i], "%s\x1f%s", epoch->strategy.countermeasures[i].name,
                 epoch->strategy.countermeasures[i].text);
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
    };
    char identity[512];
    int bytes = snprintf(identity, sizeof identity, "%s %s %s", epoch->config_hex, epoch->base_hex, names->kernel);
    epoch->digest = hash128(0, identity, (size_t)bytes);
}

enum fault epoch_make(struct epoch **out, struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    struct epoch *epoch = memory_take_zeroed(1, sizeof *epoch);
    if (!epoch)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for an epoch");
    atomic_init(&epoch->users, 1);
    enum fault fault = config_copy(&epoch->config, config, note);
    if (fault == FAULT_NONE) {
        epoch->strategy = config->strategy;
        epoch->intake.limits = config->limits;
        fault = currencies_from_config(&epoch->intake.currencies, config, note);
        if (fault == FAULT_NONE)
            fault = epoch_tenants(epoch, pipeline, note);
        if (fault == FAULT_NONE)
            fault = epoch_device(epoch, note);
    }
    if (fault != FAULT_NONE) {
        epoch_free(epoch);
        return fault;
    }
    epoch_names(epoch);
    *out = epoch;
    return FAULT_NONE;
}

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
    if (epoch && atomic_fetch_sub(&epoch->users, 1) == 1)
        epoch_free(epoch);
}

void epoch_swap(struct pipeline *pipeline, struct epoch *epoch)
{
    pthread_mutex_lock(&pipeline->epoch_lock);
    struct epoch *before = pipeline->epoch;
    epoch->number = ++pipeline->epoch_count;
    pipeline->epoch = epoch;
    pthread_mutex_unlock(&pipeline->epoch_lock);
    epoch_release(&before);
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

static void pack_epoch(struct wire_buffer *out, const struct reply_names *names)
{
    const char *texts[NAME_KEYS] = {names->base_name, names->base_version, names->base_digest, names->config_digest, names->kernel};
    wire_pack_map(out, NAME_KEYS + 4);
    for (unsigned i = 0; i < NAME_KEYS; i++) {
        wire_pack_text(out, name_keys[i]);
        wire_pack_text(out, texts[i]);
    }
    pack_names(out, "scenes", names->scenes, names->scene_count);
    pack_names(out, "risk_types", names->risk_types, names->risk_type_count);
    pack_names(out, "countermeasures", names->countermeasures, names->countermeasure_count);
    pack_names(out, "features", names->features, names->feature_count);
}

enum fault epoch_keep(struct pipeline *pipeline, const struct epoch *epoch, struct fault_note *note)
{
    const struct ledger_ops *ops = pipeline->ledger_ops;
    const struct config *config = epoch->config;
    enum fault fault =
        ops->document_put(pipeline->ledger, "config", config->digest, config->source, config->text, strlen(config->text), note);
    if (fault == FAULT_NONE && epoch->base) {
        struct file_map map;
        if ((fault = file_map_open(&map, config->base_path, note)) != FAULT_NONE)
            return fault;
        fault = ops->document_put(pipeline->ledger, "base", epoch->base->digest, epoch->base->name, map.data, map.bytes, note);
        file_map_close(&map);
    }
    if (fault != FAULT_NONE)
        return fault;
    struct wire_buffer packed = {0};
    pack_epoch(&packed, &epoch->names);
    fault = packed.failed
                ? fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to keep the epoch")
                : ops->document_put(pipeline->ledger, "epoch", epoch->digest, epoch->names.base_name, packed.data, packed.bytes, note);
    wire_buffer_fini(&packed);
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
    if (reader.broken)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the stored epoch cannot be read");
    names->base_name = texts[0], names->base_version = texts[1], names->base_digest = texts[2];
    names->config_digest = texts[3], names->kernel = texts[4];
    names->scenes = stored->tables[0], names->risk_types = stored->tables[1];
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
