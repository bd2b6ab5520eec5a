/* Changes of a tenant take their numbers in order of receipt, however long each is decoded and filled. A batch that is filled
 * early waits in its tenant's order and holds no thread: whoever leaves the head of the order, numbered or answered, numbers
 * those behind that are filled. Labels have an order of their own, up to their claim, since they may wait there for a commit. */
#include "pipeline/internal.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/must.h"

/* --- order of receipt ------------------------------------------------------------------------------------------------ */

void order_enter(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    enum op op = job->request.op;
    if (!op_changes_state(op))
        return;
    struct order *order = job->order = op == OP_label ? &job->line->labels : &job->line->changes;
    pthread_mutex_lock(&pipeline->sequence_lock);
    job->order_before = order->last;
    *(order->last ? &order->last->order_next : &order->first) = job;
    order->last = job;
    pthread_mutex_unlock(&pipeline->sequence_lock);
}

static void order_unlink(struct job *job)
{
    struct order *order = job->order;
    *(job->order_before ? &job->order_before->order_next : &order->first) = job->order_next;
    *(job->order_next ? &job->order_next->order_before : &order->last) = job->order_before;
    job->order_before = job->order_next = NULL;
    job->order = NULL;
}

static enum fault sequence_refuses(struct job *job)
{
    if (job->pipeline->recovering)
        return job->note.retry_after_ms = RELOAD_RETRY_MS,
               fault_set(&job->note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "history is being reloaded after a failed commit");
    if (job_is_late(job))
        return fault_set(&job->note, FAULT_deadline, ROW_NONE, COLUMN_NONE, "deadline passed before the batch was taken");
    return FAULT_NONE;
}

static enum fault number(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct batch *batch = &job->batch;
    FAILPOINT(sequence);
    enum fault fault = sequence_refuses(job);
    if (fault != FAULT_NONE)
        return fault;
    int64_t now = clock_wall_us();
    pipeline->now_last_us = now > pipeline->now_last_us ? now : pipeline->now_last_us;
    batch->now_us = pipeline->now_last_us;
    if (!job->epoch->config->tenants[job->tenant_index].is_monitored && !brake_monitors(job))
        batch->results.would = NULL;
    batch->scene_epoch = batch->config_epoch = job->epoch->number;
    if (op_changes_state(batch->op)) {
        batch->sequence = pipeline->sequence_next++;
        job->sequenced = true;
        atomic_fetch_add(&pipeline->sequenced_pending, 1);
    }
    atomic_fetch_add(&pipeline->history_pending, 1);
    job->step = STEP_relate;
    MUST(queue_try_push(&pipeline->history_queue, job)); /* as wide as what may be in flight */
    return FAULT_NONE;
}

/* Numbers all whose turn it is; gives those that are refused. */
static struct job *changes_advance(struct order *order)
{
    struct job *refused = NULL;
    for (struct job *job; (job = order->first) && job->filled;) {
        order_unlink(job);
        if (number(job) != FAULT_NONE) {
            job->next = refused;
            refused = job;
        }
    }
    return refused;
}

static void labels_advance(struct pipeline *pipeline, struct order *order)
{
    for (struct job *job; (job = order->first) && job->filled;) {
        order_unlink(job);
        job->next = NULL;
        *(pipeline->labels_parked_last ? &pipeline->labels_parked_last->next : &pipeline->labels_parked) = job;
        pipeline->labels_parked_last = job;
    }
}

void jobs_fail(struct job *refused)
{
    while (refused) {
        struct job *job = refused;
        refused = job->next;
        job->next = NULL;
        job_fail_note(job);
    }
}

void sequence_take(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct job *refused = NULL;
    pthread_mutex_lock(&pipeline->sequence_lock);
    if (job->order) {
        job->filled = true;
        refused = changes_advance(job->order);
    } else if (number(job) != FAULT_NONE) {
        refused = job;
    }
    pthread_mutex_unlock(&pipeline->sequence_lock);
    jobs_fail(refused);
}

static bool now_take(void *context, const struct ledger_batch *last)
{
    *(int64_t *)context = last->now_us;
    return false;
}

/* Numbers and time go on behind the last batch, also when the machine's clock stands before it. */
enum fault sequence_start(struct pipeline *pipeline, struct fault_note *note)
{
    const struct ledger_query newest = {.verdict = -1, .rows_max = 1};
    pipeline->sequence_next = pipeline->record_next = pipeline->ledger_ops->last_sequence(pipeline->ledger) + 1;
    return pipeline->ledger_ops->batches(pipeline->ledger, &newest, now_take, &pipeline->now_last_us, note);
}

/* --- the claim of labels --------------------------------------------------------------------------------------------- */

/* Which label a transfer had before is read from the ledger: one label batch at a time is between there and its commit.
 * NULL: none waits, or one is there. */
static struct job *labels_next(struct pipeline *pipeline)
{
    struct job *job = pipeline->label_uncommitted ? NULL : pipeline->labels_parked;
    if (!job)
        return NULL;
    pipeline->labels_parked = job->next;
    if (!pipeline->labels_parked)
        pipeline->labels_parked_last = NULL;
    job->next = NULL;
    pipeline->label_uncommitted = job->holds_labels = true;
    return job;
}

bool labels_claim(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    if (job->holds_labels)
        return true;
    atomic_fetch_add(&pipeline->labels_resolving, 1);
    job->labels_counted = true;
    pthread_mutex_lock(&pipeline->sequence_lock);
    job->filled = true;
    labels_advance(pipeline, job->order);
    struct job *next = labels_next(pipeline);
    pthread_mutex_unlock(&pipeline->sequence_lock);
    if (next && next != job)
        worker_give_encode(pipeline, next);
    return next == job;
}

void labels_leave(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    if (!job->holds_labels)
        return;
    pthread_mutex_lock(&pipeline->sequence_lock);
    pipeline->label_uncommitted = false;
    struct job *next = labels_next(pipeline);
    pthread_mutex_unlock(&pipeline->sequence_lock);
    job->holds_labels = false;
    if (next)
        worker_give_encode(pipeline, next);
}

struct job *order_leave(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct order *order = job->order;
    struct job *refused = NULL, *next = NULL;
    if (!order)
        return NULL;
    pthread_mutex_lock(&pipeline->sequence_lock);
    order_unlink(job);
    if (job->request.op == OP_label) {
        labels_advance(pipeline, order);
        next = labels_next(pipeline);
    } else {
        refused = changes_advance(order);
    }
    pthread_mutex_unlock(&pipeline->sequence_lock);
    if (next)
        worker_give_encode(pipeline, next);
    return refused;
}
