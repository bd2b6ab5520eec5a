/* Configurations and bases of the time, out of the ledger, made ready as a server makes them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "pipeline/replay_internal.h"

enum { AWAIT_NS = 200000, STRATEGY_BYTES_MAX = 128 << 10 };

/* Classes and rules of the tenants that the new configuration knows; the others are as they were, without rules, whose numbers are of
 * another configuration. */
static void tenants_replace(struct config *config, const struct config *with)
{
    for (uint32_t t = 0; t < config->tenant_count; t++) {
        struct config_tenant *tenant = &config->tenants[t];
        rules_close(&tenant->rules);
        for (uint32_t i = 0; i < with->tenant_count; i++) {
            const struct config_tenant *by = &with->tenants[i];
            if (strcmp(by->name, tenant->name) != 0)
                continue;
            memcpy(tenant->verdict_of, by->verdict_of, sizeof tenant->verdict_of);
            tenant->abnormal = by->abnormal;
            tenant->anomaly_cap = by->anomaly_cap;
            tenant->rules = by->rules;
            if (tenant->rules)
                atomic_fetch_add(&tenant->rules->users, 1);
        }
    }
}

static enum fault config_of(struct config **out, struct replay *replay, const char *digest_hex, struct fault_note *note)
{
    const struct pipeline *pipeline = replay->pipeline;
    struct fault_note why = {0};
    struct digest digest;
    void *text = NULL;
    size_t bytes = 0;
    if (!digest_from_hex(&digest, digest_hex, strlen(digest_hex)))
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the stored epoch names no configuration");
    enum fault fault = pipeline->ledger_ops->document_get(pipeline->ledger, "config", digest, &text, &bytes, note);
    if (fault == FAULT_NONE && (fault = config_open_recorded(out, text, bytes, &why)) != FAULT_NONE)
        fault_set(note, fault, ROW_NONE, COLUMN_NONE, "the configuration %.8s of that time cannot be read: %.70s", digest_hex, why.text);
    memory_give(text);
    if (fault != FAULT_NONE)
        return fault;
    struct config *config = *out;
    snprintf(config->device, sizeof config->device, "%s", replay->options->device);
    config->cpu_mask = replay->options->cpu_mask;
    config->workers = replay->options->workers;
    if (replay->strategy) {
        config->strategy = replay->strategy->strategy;
        if (replay->strategy_has_levels)
            config->levels = replay->strategy->levels;
        if (replay->strategy_is_whole)
            tenants_replace(config, replay->strategy);
    }
    return FAULT_NONE;
}

static enum fault base_of(struct scene_base **out, const struct replay *replay, struct digest digest, struct fault_note *note)
{
    const struct digest none = {0};
    char *bytes = NULL;
    size_t byte_count = 0;
    *out = NULL;
    if (replay->options->base_path)
        return scene_base_open(out, replay->options->base_path, note);
    if (digest_equal(digest, none))
        return FAULT_NONE;
    enum fault fault = base_bytes_read(&bytes, &byte_count, replay->pipeline, digest, note);
    if (fault == FAULT_NONE)
        fault = scene_base_read(out, (const unsigned char *)bytes, byte_count, note);
    memory_give(bytes);
    return fault;
}

/* History is one block of these limits: a start under others made it anew from the whole log. */
static enum fault limits_stay(const struct replay *replay, const struct config *config, uint64_t sequence, struct fault_note *note)
{
    if (memcmp(&config->history, &replay->pipeline->history_limits, sizeof config->history) == 0)
        return FAULT_NONE;
    return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE,
                     "batch %" PRIu64 " had other limits of history than batch %" PRIu64 ": replay one span at a time", sequence,
                     replay->plan.to);
}

static void await_epochs(const struct replay *replay)
{
    const struct timespec pause = {.tv_nsec = AWAIT_NS};
    for (epochs_bury(replay->pipeline); atomic_load(&replay->pipeline->epochs) >= EPOCHS_MAX; epochs_bury(replay->pipeline))
        nanosleep(&pause, NULL);
}

enum fault replay_config_of(struct config **out, struct stored_names **names, struct replay *replay, const struct ledger_batch *line,
                            struct fault_note *note)
{
    *out = NULL;
    enum fault fault = epoch_names_stored(names, replay->pipeline, line->config_digest, note);
    if (fault == FAULT_NONE)
        fault = config_of(out, replay, (*names)->names.config_digest, note);
    return fault;
}

static enum fault epoch_open(struct replay *replay, struct replay_epoch *out, const struct ledger_batch *line, struct fault_note *note)
{
    struct config *config = NULL;
    struct scene_base *base = NULL;
    struct stored_names *names = NULL;
    enum fault fault = replay_config_of(&config, &names, replay, line, note);
    if (fault == FAULT_NONE)
        fault = limits_stay(replay, config, line->sequence, note);
    if (fault == FAULT_NONE)
        fault = base_of(&base, replay, line->base_digest, note);
    if (fault == FAULT_NONE)
        fault = epoch_make(&out->epoch, replay->pipeline, config, base, note);
    config_close(&config);
    stored_names_give(&names);
    return fault;
}

enum fault replay_epoch(struct replay *replay, const struct ledger_batch *line, struct fault_note *note)
{
    struct replay_epoch *epochs = replay->epochs, first;
    uint32_t at = 0;
    while (at < EPOCHS_MAX && !(epochs[at].epoch && digest_equal(epochs[at].document, line->config_digest)))
        at++;
    if (at < EPOCHS_MAX) {
        first = epochs[at];
    } else {
        enum fault fault;
        at = EPOCHS_MAX - 1;
        epoch_release(&epochs[at].epoch);
        await_epochs(replay);
        first = (struct replay_epoch){.document = line->config_digest};
        if ((fault = epoch_open(replay, &first, line, note)) != FAULT_NONE)
            return fault;
        replay->out->epochs++;
    }
    memmove(epochs + 1, epochs, at * sizeof *epochs);
    epochs[0] = first;
    return FAULT_NONE;
}

void replay_epochs_release(struct replay *replay)
{
    for (uint32_t i = 0; i < EPOCHS_MAX; i++)
        epoch_release(&replay->epochs[i].epoch);
    epochs_bury(replay->pipeline);
}

/* levels, strategy and countermeasures alone are no configuration: what else one must have is put behind them. */
enum fault replay_strategy_open(struct replay *replay, struct fault_note *note)
{
    static const char rest[] = "\nledger: none\nlisten: {data: ['ipc://none']}\ntenants: [{name: none, "
                               "token_hash: 0000000000000000000000000000000000000000000000000000000000000000}]\n";
    const char *path = replay->options->strategy_path;
    char *text = NULL;
    size_t bytes = 0;
    enum fault fault = file_read_all(&text, &bytes, path, STRATEGY_BYTES_MAX, note);
    if (fault != FAULT_NONE)
        return fault;
    bool is_whole = strncmp(text, "tenants:", 8) == 0 || strstr(text, "\ntenants:") != NULL;
    replay->strategy_is_whole = is_whole;
    replay->strategy_has_levels = strncmp(text, "levels:", 7) == 0 || strstr(text, "\nlevels:") != NULL;
    char *all = memory_take(bytes + sizeof rest);
    if (!all) {
        memory_give(text);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %.100s", path);
    }
    memcpy(all, text, bytes);
    memcpy(all + bytes, rest, sizeof rest);
    fault = config_open_text(&replay->strategy, path, all, is_whole ? bytes : strlen(all), note);
    memory_give(text);
    memory_give(all);
    return fault;
}
