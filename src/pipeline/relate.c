/* The history thread walks batches by sequence and rows by position: it reads a row's figures, then adds the row. History is
 * a function of the log alone, so a snapshot is saved only when all that it holds is committed. */
#include "pipeline/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
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
    challenger_labels(job);
    sequence_take(job);
    return STEP_DONE;
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
    struct step_watch watch = watch_begin();
    history_apply(pipeline, &job->batch);
    watch_end(&pipeline->metrics, STEP_relate, watch);
    worker_give_encode(pipeline, job);
}

/* For whoever asks: history itself is this thread's. */
void history_publish(struct pipeline *pipeline)
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
    if (job->batch.op != OP_label && job->batch.row_count > 0) /* a label has the time of its transfer */
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
