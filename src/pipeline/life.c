/* The life of a batch behind its screening: who is settled, what leaves as a second batch, and when. A release is part of the change
 * that causes it and is committed with it. */
#include "pipeline/life.h"

#include "base/memory.h"

bool life_row_is_final(const struct strategy *strategy, const struct results *results, uint32_t row)
{
    enum cause cause = (enum cause)results->cause[row];
    bool scored = cause != CAUSE_DUPLICATE && cause != CAUSE_BLOCKED && cause != CAUSE_RESTRICTED && cause != CAUSE_UNANSWERED;
    uint8_t risk_type = results->risk_type[row];
    return results->verdict[row] != VERDICT_PASS &&
           (scored ? strategy_find(strategy, risk_type, (enum level)results->level[row]) : strategy_find_unscored(strategy, risk_type))
               .final;
}

static enum fault no_memory(struct job *job)
{
    return fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the rows of a second batch");
}

/* The rows never change behind it, nor does what they were recorded with. */
static void payload_seal(struct ledger_life_change *change, const struct batch *batch)
{
    uint64_t seed = hash64_pair(batch->digest.low, batch->digest.high, change->life.releases);
    change->payload_digest = hash128(seed, change->released, change->released_bytes);
}

void life_released(struct job_life *life, const struct batch *batch)
{
    row_set_end(&life->rows);
    if (life->rows.row_count == 0)
        return;
    life->change.life.releases++;
    life->change.released = life->rows.bytes;
    life->change.released_bytes = life->rows.byte_count;
    life->change.released_rows = life->rows.row_count;
    payload_seal(&life->change, batch);
}

enum fault life_begin(struct job *job)
{
    const struct batch *batch = &job->batch;
    const struct config_tenant *tenant = &job->epoch->config->tenants[job->tenant_index];
    struct job_life *life = job->life = memory_take_zeroed(1, sizeof *life);
    if (!life)
        return no_memory(job);
    uint32_t passed = 0, waiting = 0;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        bool passes = batch->results.verdict[row] == VERDICT_PASS;
        passed += passes;
        waiting += !passes && !life_row_is_final(&job->epoch->strategy, &batch->results, row);
    }
    bool releases = tenant->release == RELEASE_AT_ONCE || (tenant->release == RELEASE_SETTLED && waiting == 0);
    row_set_source(&life->rows, batch->sequence);
    for (uint32_t row = 0; releases && row < batch->row_count; row++)
        if (batch->results.verdict[row] == VERDICT_PASS)
            row_set_add(&life->rows, row);
    life->change.life.sequence = batch->sequence;
    if (releases && passed > 0)
        life_released(life, batch);
    life->change.life.state = waiting > 0 ? LIFE_AWAITING : passed == 0 ? LIFE_CLOSED : releases ? LIFE_RELEASED : LIFE_OPEN;
    life->change.life.due_us = waiting > 0 && tenant->corrections_us > 0 ? batch->now_us + tenant->corrections_us : 0;
    return life->rows.failed ? no_memory(job) : FAULT_NONE;
}

void life_give(struct job_life **life_p)
{
    if (*life_p)
        row_set_fini(&(*life_p)->rows);
    memory_give(*life_p);
    *life_p = NULL;
}
