/* What a look at the index says before anything is decoded: where the span lies, how many rows it takes to get there, and
 * which labels have arrived. Labels are asked for once, newest first, so that the last one of a transfer stands. */
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "pipeline/replay_internal.h"

struct looking {
    struct replay *replay;
    uint64_t history_from; /* rows from here on are walked */
    bool failed;
};

static bool label_note(struct replay_plan *plan, uint64_t sequence)
{
    if (plan->label_count == plan->label_capacity) {
        uint64_t capacity = plan->label_capacity ? 2 * plan->label_capacity : 1024;
        uint64_t *labels = memory_resize(plan->labels, capacity * sizeof *labels);
        if (!labels)
            return false;
        plan->labels = labels;
        plan->label_capacity = capacity;
    }
    plan->labels[plan->label_count++] = sequence;
    return true;
}

/* Newest first; times never fall with the sequence. */
static bool look_at(void *context, const struct ledger_batch *line)
{
    struct looking *looking = context;
    struct replay *replay = looking->replay;
    struct replay_plan *plan = &replay->plan;
    const struct replay_options *options = replay->options;
    uint64_t kept_from = replay->pipeline->ledger_ops->kept_from(replay->pipeline->ledger);
    bool below = (options->to_sequence && line->sequence > options->to_sequence) || line->now_us >= options->to_us;
    if (line->op == OP_label && !replay_verifies(options) && line->sequence >= kept_from && !label_note(plan, line->sequence))
        return looking->failed = true, false;
    if (below)
        return true;
    if (line->sequence < options->from_sequence || line->now_us < options->from_us)
        return !replay_verifies(options); /* labels may lie before it: of transfers that came again */
    if (plan->to == 0)
        plan->to = line->sequence, replay->out->to_us = line->now_us;
    plan->from = line->sequence, replay->out->from_us = line->now_us;
    return true;
}

static bool is_open_start(const struct replay_options *options)
{
    return options->from_sequence == 0 && options->from_us == INT64_MIN;
}

enum fault replay_plan_make(struct replay *replay)
{
    const struct pipeline *pipeline = replay->pipeline;
    struct replay_plan *plan = &replay->plan;
    struct looking looking = {.replay = replay};
    const struct ledger_query all = {.verdict = -1};
    enum fault fault = pipeline->ledger_ops->batches(pipeline->ledger, &all, look_at, &looking, replay->note);
    if (fault == FAULT_NONE && looking.failed)
        fault = fault_set(replay->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the labels' places");
    if (fault == FAULT_NONE && plan->from == 0)
        fault = fault_set(replay->note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no batch lies between --from and --to");
    return fault;
}

/* A start that was not given is the earliest that there is; only once the limits of history are known can it be said. */
enum fault replay_plan_start(struct replay *replay)
{
    struct replay_plan *plan = &replay->plan;
    uint64_t kept_from = replay->pipeline->ledger_ops->kept_from(replay->pipeline->ledger);
    if (is_open_start(replay->options)) {
        uint64_t earliest = history_earliest(replay->pipeline);
        if (earliest != UINT64_MAX && earliest > plan->from)
            plan->from = earliest;
        if (plan->from > plan->to)
            return fault_set(replay->note, FAULT_not_found, ROW_NONE, COLUMN_NONE,
                             "rows before batch %llu are dropped, and the earliest snapshot of history holds all of the span",
                             (unsigned long long)kept_from);
    } else if (plan->from < kept_from) {
        return fault_set(replay->note, FAULT_not_found, ROW_NONE, COLUMN_NONE,
                         "the span begins with batch %llu, but rows before batch %llu are no longer kept", (unsigned long long)plan->from,
                         (unsigned long long)kept_from);
    }
    return history_begin(replay->pipeline, plan->from, replay->note);
}

static bool rows_add(void *context, const struct ledger_batch *line)
{
    struct replay *replay = context;
    bool walked = line->sequence > replay->pipeline->history_sequence;
    if (line->sequence == replay->plan.from)
        replay->out->from_us = line->now_us;
    replay->plan.rows += walked ? line->row_count : 0;
    return walked;
}

enum fault replay_rows_expect(struct replay *replay)
{
    const struct pipeline *pipeline = replay->pipeline;
    const struct ledger_query query = {.verdict = -1, .after_sequence = replay->plan.to + 1};
    return pipeline->ledger_ops->batches(pipeline->ledger, &query, rows_add, replay, replay->note);
}

/* --- labels --------------------------------------------------------------------------------------------------------- */

/* Rows from the last: within a batch too the last label stands. */
static bool labels_take(struct label_table *table, const struct batch *batch)
{
    const struct column *ids = &batch->columns[COLUMN_transfer_id];
    for (uint32_t row = batch->row_count; row-- > 0;) {
        if (batch->facts.invalid[row] || !batch->facts.label || !column_is_valid(ids, row))
            continue;
        if (!label_table_put(table, batch->tenant, column_text(ids, row), batch->facts.label[row] & 3))
            return false;
    }
    return true;
}

enum fault replay_labels_read(struct replay *replay)
{
    const struct pipeline *pipeline = replay->pipeline;
    enum fault fault = FAULT_NONE;
    for (uint64_t i = 0; i < replay->plan.label_count && fault == FAULT_NONE; i++) {
        struct batch batch = {0};
        fault = pipeline->ledger_ops->read(pipeline->ledger, &batch, replay->plan.labels[i], replay->note);
        if (fault == FAULT_NONE && !labels_take(&replay->labels, &batch))
            fault = fault_set(replay->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the labels");
        batch_fini(&batch);
    }
    return fault;
}
