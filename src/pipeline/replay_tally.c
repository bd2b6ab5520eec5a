/* What would have been against what was: rows and money by verdict, tenant and what stopped them, and both against the labels
 * that have arrived. Sums are integers: which worker adds first does not matter. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "pipeline/replay_internal.h"

static void sum_add(struct replay_sum *sum, int64_t amount)
{
    sum->rows++;
    sum->amount += amount;
}

static uint32_t scene_place(struct replay_result *out, const char *name)
{
    uint32_t count = out->scene_count;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(out->scenes[i], name) == 0)
            return i;
    if (count == REPLAY_NAMES_MAX)
        return REPLAY_NAMES_MAX - 1;
    snprintf(out->scenes[count], sizeof out->scenes[count], "%s", count == REPLAY_NAMES_MAX - 1 ? "(others)" : name);
    return out->scene_count++;
}

static uint32_t tenant_place(struct replay_result *out, const char *name)
{
    uint32_t count = out->tenant_count;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(out->tenants[i], name) == 0)
            return i;
    if (count == REPLAY_NAMES_MAX)
        return REPLAY_NAMES_MAX - 1;
    snprintf(out->tenants[count], sizeof out->tenants[count], "%s", count == REPLAY_NAMES_MAX - 1 ? "(others)" : name);
    return out->tenant_count++;
}

static const char *scene_name(const struct reply_names *names, const struct results *results, uint32_t row)
{
    uint8_t code = results->scene[row];
    return code && code < names->scene_count ? names->scenes[code] : "";
}

/* Of monitored rows what it would have been. */
static enum verdict verdict_of(const struct results *results, uint32_t row)
{
    return (enum verdict)(results->would ? results->would : results->verdict)[row];
}

static const char *stopped_by(const struct reply_names *names, const struct results *results, uint32_t row)
{
    switch (results->cause[row]) {
    case CAUSE_CHECK:
        return "(invalid)";
    case CAUSE_DUPLICATE:
        return "(duplicate)";
    case CAUSE_BLOCKED:
        return "(blocked)";
    case CAUSE_RESTRICTED:
        return "(restricted)";
    case CAUSE_RULE:
        return results->rule && results->rule[row] < names->rule_count ? names->rules[results->rule[row]] : "(rule)";
    case CAUSE_ANOMALY:
        return "(anomaly)";
    case CAUSE_SCENE:
    case CAUSE_SCENE_AND_ANOMALY:
        return scene_name(names, results, row);
    default:
        return "(none)";
    }
}

static uint8_t label_of(const struct replay *replay, struct text tenant, struct text transfer)
{
    uint8_t label = 0;
    return label_table_find(&replay->labels, tenant, transfer, &label) ? label : 0;
}

static bool labelled_grow(struct replay *replay)
{
    uint32_t capacity = replay->labelled_capacity ? 2 * replay->labelled_capacity : 4096;
    struct replay_scored *recorded = memory_resize(replay->recorded, capacity * sizeof *recorded);
    if (recorded)
        replay->recorded = recorded;
    struct replay_scored *again = memory_resize(replay->again, capacity * sizeof *again);
    if (again)
        replay->again = again;
    if (!recorded || !again)
        return false;
    replay->labelled_capacity = capacity;
    return true;
}

static struct replay_scored scored_of(const struct results *results, uint32_t row, uint8_t label)
{
    return (struct replay_scored){.risk = results->risk[row], .risky = label == 2, .alerted = verdict_of(results, row) != VERDICT_PASS};
}

static enum fault label_add(struct replay *replay, const struct replay_job *job, uint32_t row, struct fault_note *note)
{
    const struct batch *stored = &job->stored, *again = &job->job.batch;
    const struct column *ids = &stored->columns[COLUMN_transfer_id];
    uint8_t label = column_is_valid(ids, row) ? label_of(replay, stored->tenant, column_text(ids, row)) : 0;
    if (label == 0 || again->facts.invalid[row])
        return FAULT_NONE;
    if (replay->labelled == replay->labelled_capacity && !labelled_grow(replay))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for more than %u labelled rows", replay->labelled);
    replay->recorded[replay->labelled] = scored_of(&stored->results, row, label);
    replay->again[replay->labelled++] = scored_of(&again->results, row, label);
    return FAULT_NONE;
}

/* Under the replay's lock. */
static enum fault rows_add(struct replay *replay, const struct replay_job *job, struct fault_note *note)
{
    struct replay_result *out = replay->out;
    const struct batch *stored = &job->stored, *again = &job->job.batch;
    uint32_t tenant = tenant_place(out, job->tenant);
    enum fault fault = FAULT_NONE;
    for (uint32_t row = 0; row < stored->row_count && fault == FAULT_NONE; row++) {
        unsigned before = verdict_of(&stored->results, row), after = verdict_of(&again->results, row);
        int64_t amount = stored->facts.amount[row];
        sum_add(&out->agreement[before][after], amount);
        sum_add(&out->by_tenant[tenant][0][before], amount);
        sum_add(&out->by_tenant[tenant][1][after], amount);
        if (before != VERDICT_PASS)
            sum_add(&out->by_scene[scene_place(out, stopped_by(&job->names->names, &stored->results, row))][0][before], amount);
        if (after != VERDICT_PASS)
            sum_add(&out->by_scene[scene_place(out, stopped_by(&job->job.epoch->names, &again->results, row))][1][after], amount);
        if (replay->labels.count)
            fault = label_add(replay, job, row, note);
    }
    return fault;
}

enum fault replay_tally_batch(struct replay *replay, const struct replay_job *job, struct fault_note *note)
{
    if (!job->stored.results.verdict || !job->stored.results.cause || !job->stored.results.scene || !job->stored.results.risk)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "batch %" PRIu64 " was recorded without verdicts",
                         job->stored.sequence);
    pthread_mutex_lock(&replay->lock);
    enum fault fault = rows_add(replay, job, note);
    pthread_mutex_unlock(&replay->lock);
    return fault;
}

void replay_tell_switched(const struct replay *replay, const struct replay_job *job)
{
    const struct batch *stored = &job->stored, *again = &job->job.batch;
    const struct column *ids = &stored->columns[COLUMN_transfer_id];
    for (uint32_t row = 0; replay->options->switched && row < stored->row_count; row++) {
        if (verdict_of(&stored->results, row) == verdict_of(&again->results, row))
            continue;
        struct text transfer = column_is_valid(ids, row) ? column_text(ids, row) : (struct text){0};
        const struct replay_row told = {
            .sequence = stored->sequence,
            .tenant = job->tenant,
            .batch = stored->name,
            .transfer = transfer,
            .time_us = stored->facts.time_us[row],
            .amount = stored->facts.amount[row],
            .recorded = verdict_of(&stored->results, row),
            .again = verdict_of(&again->results, row),
            .recorded_scene = scene_name(&job->names->names, &stored->results, row),
            .again_scene = scene_name(&job->job.epoch->names, &again->results, row),
            .recorded_risk = stored->results.risk[row],
            .again_risk = again->results.risk[row],
            .label = transfer.bytes ? label_of(replay, stored->tenant, transfer) : 0,
        };
        replay->options->switched(replay->options->context, &told);
    }
}

enum fault replay_tally_end(struct replay *replay, struct fault_note *note)
{
    replay->out->labels = replay->labels.count;
    enum fault fault = replay_measure(&replay->out->recorded, replay->recorded, replay->labelled, note);
    return fault == FAULT_NONE ? replay_measure(&replay->out->again, replay->again, replay->labelled, note) : fault;
}
