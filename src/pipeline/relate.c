/* The history thread walks batches by sequence and rows by position: it reads a row's figures, then adds the row. History is
 * a function of the log alone, so a snapshot is saved only when all that it holds is committed. */
#include "pipeline/internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"

enum { SNAPSHOT_LOOK_NS = 100000000, LABEL_SHOWN_BYTES = 64 };

/* --- labels -------------------------------------------------------------------------------------------------------- */

static uint8_t label_value(struct text label)
{
    return label.bytes == 0 ? 0 : text_equal(label, text_of("good")) ? 1 : 2;
}

struct labelling {
    struct batch *batch;
    uint8_t *found; /* of each row */
};

/* The row gets what its label acts on: the transfer's keys, time and amount, and the label that is known already. */
static void label_found(void *context, uint32_t row, const struct ledger_row *transfer, uint8_t before)
{
    struct labelling *labelling = context;
    const struct batch_facts *of = &transfer->batch->facts;
    struct batch_facts *facts = &labelling->batch->facts;
    uint32_t at = transfer->row;
    labelling->found[row] = 1;
    facts->payer[row] = of->payer[at];
    facts->payee[row] = of->payee[at];
    facts->payer_device[row] = of->payer_device ? of->payer_device[at] : 0;
    facts->payee_device[row] = of->payee_device ? of->payee_device[at] : 0;
    facts->amount[row] = of->amount[at];
    facts->time_us[row] = of->time_us[at];
    facts->label[row] = (uint8_t)(label_value(column_text(&labelling->batch->columns[COLUMN_label], row)) | before << 2);
}

static enum fault labels_resolve(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct batch *batch = &job->batch;
    const struct column *ids = &batch->columns[COLUMN_transfer_id];
    struct labelling labelling = {.batch = batch, .found = arena_take_zeroed(&batch->arena, batch->row_count, 64)};
    if (!labelling.found)
        return fault_set(&job->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch does not fit its arena");
    enum fault fault = pipeline->ledger_ops->find_transfers(pipeline->ledger, batch->tenant, ids, batch->row_count, batch->facts.invalid,
                                                            label_found, &labelling, &job->note);
    for (uint32_t row = 0; fault == FAULT_NONE && row < batch->row_count; row++)
        if (!batch->facts.invalid[row] && !labelling.found[row]) {
            struct text id = column_text(ids, row);
            batch_row_fails(batch, row, COLUMN_transfer_id, RULE_MISSING, "no transfer %.*s is recorded",
                            id.bytes < LABEL_SHOWN_BYTES ? (int)id.bytes : LABEL_SHOWN_BYTES, id.data);
        }
    return fault;
}

enum step_next labels_fill(struct job *job)
{
    FAILPOINT(labels_fill);
    enum fault fault = labels_resolve(job);
    atomic_fetch_sub(&job->pipeline->labels_resolving, 1);
    job->labels_counted = false;
    if (fault != FAULT_NONE)
        return STEP_FAULT;
    sequence_take(job);
    return STEP_DONE;
}

static void labels_apply(struct pipeline *pipeline, const struct batch *batch)
{
    const struct batch_facts *facts = &batch->facts;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (facts->invalid[row])
            continue;
        const struct history_label label = {
            .payer = facts->payer[row],
            .payee = facts->payee[row],
            .payer_device = facts->payer_device[row],
            .payee_device = facts->payee_device[row],
            .time_us = facts->time_us[row],
            .amount = facts->amount[row],
            .delay_us = batch->feedback_delay_us,
            .before = facts->label[row] >> 2,
            .after = facts->label[row] & 3,
        };
        pipeline->history_ops->label(pipeline->history, &label);
    }
}

/* --- relate --------------------------------------------------------------------------------------------------------- */

static void relate_slices(struct pipeline *pipeline, struct job *job)
{
    uint32_t slice_count = batch_slice_count(&job->batch);
    atomic_store(&job->slices_left, slice_count);
    if (slice_count == 0)
        worker_give_encode(pipeline, job);
    for (uint32_t i = 0; i < slice_count; i++) {
        struct slice *slice = queue_pop(&pipeline->slice_pool);
        slice->job = job;
        slice->index = i;
        slice->first = i * SLICE_ROWS;
        slice->count = job->batch.row_count - slice->first < SLICE_ROWS ? job->batch.row_count - slice->first : SLICE_ROWS;
        struct step_watch watch = watch_begin();
        step_relate(pipeline, job, slice);
        watch_end(&pipeline->metrics, STEP_relate, watch);
        worker_give_slice(pipeline, slice); /* the job may be answered and gone from the last one on */
    }
}

static void relate_whole(struct pipeline *pipeline, struct job *job)
{
    const struct batch *batch = &job->batch;
    const struct history_ops *ops = pipeline->history_ops;
    struct step_watch watch = watch_begin();
    if (batch->op == OP_import)
        ops->relate(pipeline->history, batch, 0, batch->row_count, batch->feedback_delay_us, true, NULL);
    else if (batch->op == OP_observe)
        ops->observe(pipeline->history, batch);
    else
        labels_apply(pipeline, batch);
    watch_end(&pipeline->metrics, STEP_relate, watch);
    worker_give_encode(pipeline, job);
}

/* For whoever asks: history itself is this thread's. */
static void history_publish(struct pipeline *pipeline)
{
    struct history_counts counts;
    pipeline->history_ops->count(pipeline->history, &counts);
    pthread_mutex_lock(&pipeline->line_lock);
    pipeline->history_counts = counts;
    pthread_mutex_unlock(&pipeline->line_lock);
}

static void fill_times(struct pipeline *pipeline, struct job *job)
{
    struct step_watch watch = watch_begin();
    if (job->batch.op != OP_label) /* a label has the time of its transfer */
        intake_fill_times(&job->batch, job->batch.now_us);
    watch_end(&pipeline->metrics, STEP_fill, watch);
}

static void history_take(struct pipeline *pipeline, struct job *job)
{
    if (job->sequenced) {
        pipeline->history_sequence = job->batch.sequence;
        pipeline->rows_since_snapshot += job->batch.row_count;
    }
    fill_times(pipeline, job);
    if (job->batch.op == OP_screen || job->batch.op == OP_score)
        relate_slices(pipeline, job);
    else
        relate_whole(pipeline, job);
    history_publish(pipeline); /* the job may be gone */
    atomic_fetch_sub(&pipeline->history_pending, 1);
    atomic_fetch_add_explicit(&pipeline->progress, 1, memory_order_relaxed);
}

/* Waits until all that history holds is committed; false: no snapshot is due, or a commit failed meanwhile. What history
 * holds is looked at only while no commit has failed: after that it is the ledger thread's until it is rebuilt. */
static bool snapshot_due(struct pipeline *pipeline)
{
    int64_t now_ns = clock_steady_ns();
    pthread_mutex_lock(&pipeline->record_lock);
    bool due = !pipeline->record_failing && pipeline->snapshot_interval_ns > 0 && pipeline->rows_since_snapshot > 0 &&
               now_ns - pipeline->snapshot_ns >= pipeline->snapshot_interval_ns;
    while (due && !pipeline->record_failing && !pipeline->record_stopping && pipeline->record_next <= pipeline->history_sequence)
        pthread_cond_wait(&pipeline->record_changed, &pipeline->record_lock);
    due = due && !pipeline->record_failing && pipeline->record_next > pipeline->history_sequence;
    pthread_mutex_unlock(&pipeline->record_lock);
    return due;
}

static void snapshot_if_due(struct pipeline *pipeline)
{
    struct fault_note note = {0};
    int64_t begin_ns = clock_steady_ns();
    if (!snapshot_due(pipeline))
        return;
    if (history_snapshot(pipeline, &note) != FAULT_NONE)
        log_line(LOG_WARN, "pipeline", "history snapshot failed: %s", note.text);
    pipeline->snapshot_ns = clock_steady_ns();
    histogram_add(&pipeline->metrics.snapshot, pipeline->snapshot_ns - begin_ns);
}

void history_run(void *argument)
{
    struct pipeline *pipeline = argument;
    for (;;) {
        struct job *job = queue_pop_until(&pipeline->history_queue, clock_steady_ns() + SNAPSHOT_LOOK_NS);
        if (job)
            history_take(pipeline, job);
        else if (queue_is_closed(&pipeline->history_queue))
            return;
        snapshot_if_due(pipeline);
    }
}

/* --- snapshot and rebuild ------------------------------------------------------------------------------------------ */

static bool snapshot_path(char out[PATH_MAX], const struct pipeline *pipeline)
{
    return (size_t)snprintf(out, PATH_MAX, "%s/history.snapshot", pipeline->ledger_folder) < PATH_MAX;
}

enum fault history_snapshot(struct pipeline *pipeline, struct fault_note *note)
{
    char path[PATH_MAX];
    MUST(snapshot_path(path, pipeline));
    FAILPOINT(snapshot);
    enum fault fault = pipeline->history_ops->save(pipeline->history, pipeline->history_sequence, path, note);
    if (fault == FAULT_NONE) {
        pipeline->rows_since_snapshot = 0;
        atomic_store(&pipeline->snapshot_sequence, pipeline->history_sequence);
        atomic_fetch_add(&pipeline->metrics.snapshots, 1);
    }
    return fault;
}

static enum fault rebuild_batch(void *context, struct batch *batch, struct fault_note *note)
{
    struct pipeline *pipeline = context;
    const struct history_ops *ops = pipeline->history_ops;
    (void)note;
    if (batch->op == OP_screen || batch->op == OP_import)
        ops->relate(pipeline->history, batch, 0, batch->row_count, batch->feedback_delay_us, true, NULL);
    else if (batch->op == OP_observe)
        ops->observe(pipeline->history, batch);
    else if (batch->op == OP_label)
        labels_apply(pipeline, batch);
    pipeline->history_sequence = batch->sequence;
    atomic_fetch_add_explicit(&pipeline->progress, 1, memory_order_relaxed);
    return FAULT_NONE;
}

static enum fault history_fresh(struct pipeline *pipeline, struct fault_note *note)
{
    if (pipeline->history)
        pipeline->history_ops->close(&pipeline->history);
    pipeline->history_sequence = 0;
    return pipeline->history_ops->open(&pipeline->history, &pipeline->history_limits, note);
}

/* The snapshot, when it can be used and holds nothing that was not committed; *out_from: up to where. What the log no longer has
 * only the snapshot knows: without it, history begins with what is kept only when somebody took the file away. */
static enum fault snapshot_load(struct pipeline *pipeline, uint64_t *out_from, const char *path, struct fault_note *note)
{
    struct fault_note why = {0};
    uint64_t last = pipeline->ledger_ops->last_sequence(pipeline->ledger), kept_from = pipeline->ledger_ops->kept_from(pipeline->ledger);
    bool is_there = file_exists(path);
    *out_from = 0;
    enum fault fault = is_there ? pipeline->history_ops->load(pipeline->history, out_from, path, &why) : FAULT_NONE;
    if (fault == FAULT_NONE && *out_from > last)
        fault = fault_set(&why, FAULT_ledger, ROW_NONE, COLUMN_NONE, "it is ahead of the ledger");
    if (fault != FAULT_NONE && kept_from > 1)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE,
                         "batches before %llu are no longer kept and history.snapshot cannot be used: %.60s", (unsigned long long)kept_from,
                         why.text);
    if (fault == FAULT_NONE && (is_there || kept_from == 1))
        return atomic_store(&pipeline->snapshot_sequence, *out_from), FAULT_NONE;
    if (fault != FAULT_NONE)
        log_line(LOG_WARN, "pipeline", "history snapshot not used, rebuilding from the log: %s", why.text);
    else
        log_line(LOG_WARN, "pipeline", "no history snapshot: history begins with batch %llu, the first whose rows are kept",
                 (unsigned long long)kept_from);
    *out_from = kept_from - 1;
    return history_fresh(pipeline, note);
}

enum fault history_rebuild(struct pipeline *pipeline, struct fault_note *note)
{
    char path[PATH_MAX];
    uint64_t from = 0;
    enum fault fault = history_fresh(pipeline, note);
    if (fault == FAULT_NONE && !snapshot_path(path, pipeline))
        fault = fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "ledger folder's path is too long");
    if (fault == FAULT_NONE)
        fault = snapshot_load(pipeline, &from, path, note);
    if (fault != FAULT_NONE)
        return fault;
    pipeline->history_sequence = from;
    pipeline->rows_since_snapshot = 0;
    fault = pipeline->ledger_ops->replay(pipeline->ledger, from + 1, rebuild_batch, pipeline, note);
    struct digest digest = pipeline->history_ops->state_digest(pipeline->history);
    pthread_mutex_lock(&pipeline->line_lock);
    pipeline->history_digest = digest;
    pthread_mutex_unlock(&pipeline->line_lock);
    history_publish(pipeline);
    return fault;
}
