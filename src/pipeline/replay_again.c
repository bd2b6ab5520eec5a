/* A batch of the log once more: its columns go through check and fill as they did when they came, under the configuration and
 * the base of their time. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "pipeline/replay_internal.h"

static size_t dict_values(const struct batch *batch)
{
    size_t values = 0;
    for (uint32_t i = 0; i < COLUMN_COUNT; i++)
        values += batch->columns[i].value_count;
    return values;
}

/* Its columns are the stored one's. */
static enum fault again_begin(struct replay_job *job, struct fault_note *note)
{
    const struct batch *stored = &job->stored;
    const struct batch_limits *limits = &job->job.epoch->config->limits;
    struct batch *again = &job->job.batch;
    size_t bytes =
        batch_decode_bytes(limits, stored->row_count, 0, dict_values(stored), false) + batch_work_bytes(limits, stored->row_count);
    struct arena arena;
    if (!arena_pool_take(&job->job.pipeline->arenas, &arena, arena_pool_size(bytes)))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a batch of %u rows", stored->row_count);
    *again = *stored;
    again->arena = arena;
    again->facts = (struct batch_facts){0};
    again->duplicate_us = 0;
    again->results = (struct results){0};
    again->notes = NULL;
    again->note_count = again->note_max = 0;
    memset(again->rule_counts, 0, sizeof again->rule_counts);
    enum fault fault = batch_take_facts(again, note);
    for (uint32_t row = 0; fault == FAULT_NONE && stored->facts.flags && row < again->row_count; row++)
        again->facts.flags[row] = stored->facts.flags[row] & FLAG_UNANSWERED; /* only the log knows */
    if (fault == FAULT_NONE && !stored->facts.flags)                          /* of before ids were looked up */
        again->facts.flags = NULL, again->facts.transfer = NULL;
    return fault;
}

static void tenant_take(struct replay_job *job, uint32_t index)
{
    job->job.tenant_index = job->job.batch.tenant_index = index;
    job->job.batch.duplicate_us = job->job.epoch->config->tenants[index].duplicate_days * US_PER_DAY;
}

static enum fault tenant_of(struct replay_job *job, struct fault_note *note)
{
    const struct config *config = job->job.epoch->config;
    for (uint32_t i = 0; i < config->tenant_count; i++)
        if (strcmp(config->tenants[i].name, job->tenant) == 0)
            return tenant_take(job, i), FAULT_NONE;
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the configuration of batch %" PRIu64 " knows no tenant %.60s",
                     job->stored.sequence, job->tenant);
}

static bool had_wrong_types(const struct batch *stored)
{
    for (uint32_t i = 0; i < COLUMN_COUNT; i++)
        if (stored->rule_counts[i][RULE_TYPE])
            return true;
    return false;
}

/* Its columns are recorded as its tenant's profile made them; which rows did not conform, the log alone knows. */
static bool had_profile(const struct replay_job *job)
{
    const struct job *of = &job->job;
    return of->epoch->config->tenants[of->tenant_index].profile_count > 0 && column_taken_by(COLUMN_amount, of->batch.op);
}

/* A cell of the wrong type came in a row, is null in its column and marked that row before check: those marks are the log's. Which
 * they are: invalid as recorded, and neither by check nor by time. */
static enum fault types_mark(struct replay_job *job, struct fault_note *note)
{
    struct batch *again = &job->job.batch;
    const struct batch *stored = &job->stored;
    uint8_t *checked = arena_take(&again->arena, again->row_count, 64);
    if (!checked)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch does not fit its arena");
    memcpy(checked, again->facts.invalid, again->row_count);
    intake_fill_times(again, again->now_us);
    for (uint32_t row = 0; row < again->row_count; row++)
        again->facts.invalid[row] = checked[row] || (stored->facts.invalid[row] && !again->facts.invalid[row]);
    return FAULT_NONE;
}

static enum fault check_and_fill(struct replay_job *job, struct fault_note *note)
{
    struct job *of = &job->job;
    bool wrong_types = had_wrong_types(&job->stored) || had_profile(job);
    enum fault fault = step_check(NULL, of) == STEP_NEXT ? FAULT_NONE : of->note.fault;
    if (fault == FAULT_NONE && wrong_types)
        fault = types_mark(job, &of->note);
    if (fault == FAULT_NONE)
        fault = fill_batch(of);
    if (!job->stored.results.would) /* monitored or not: as it was then */
        of->batch.results.would = NULL;
    if (fault != FAULT_NONE)
        return fault_set(note, fault, ROW_NONE, COLUMN_NONE, "batch %" PRIu64 ": %.90s", job->stored.sequence, of->note.text);
    intake_fill_times(&of->batch, of->batch.now_us);
    if (wrong_types)
        memcpy(of->batch.rule_counts, job->stored.rule_counts, sizeof of->batch.rule_counts);
    return FAULT_NONE;
}

enum fault replay_batch_again(struct replay *replay, struct replay_job *job, struct fault_note *note)
{
    struct job *of = &job->job;
    of->pipeline = replay->pipeline;
    of->epoch = replay->epochs[0].epoch;
    atomic_fetch_add(&of->epoch->users, 1);
    of->note = (struct fault_note){.row = ROW_NONE};
    text_copy(job->tenant, sizeof job->tenant, job->stored.tenant);
    enum fault fault = again_begin(job, note);
    if (fault == FAULT_NONE)
        fault = tenant_of(job, note);
    return fault == FAULT_NONE ? check_and_fill(job, note) : fault;
}
