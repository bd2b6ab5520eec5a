/* The ledger thread: batches commit in sequence order, in groups; a reply leaves only after its commit. When a group cannot
 * be committed, it and everything sequenced behind it is answered with a fault, and history is reloaded before the next
 * batch is taken, since it has seen rows that were never recorded. */
#include "pipeline/internal.h"

#include <time.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/must.h"

enum { GROUP_MAX = 256, RELOAD_PAUSE_NS = 200000000 };

void record_give(struct pipeline *pipeline, struct job *job)
{
    pthread_mutex_lock(&pipeline->record_lock);
    struct job **place = &pipeline->record_ring[job->batch.sequence % pipeline->record_capacity];
    MUST(*place == NULL);
    *place = job;
    pipeline->record_waiting++;
    pthread_cond_broadcast(&pipeline->record_changed);
    pthread_mutex_unlock(&pipeline->record_lock);
}

static struct job *ring_take(struct pipeline *pipeline)
{
    struct job **place = &pipeline->record_ring[pipeline->record_next % pipeline->record_capacity];
    struct job *job = *place;
    if (job) {
        *place = NULL;
        pipeline->record_next++;
        pipeline->record_waiting--;
    }
    return job;
}

/* The next batches in sequence, at least one; 0: stopping. */
static uint32_t group_take(struct pipeline *pipeline, struct job **group)
{
    uint32_t count = 0, most = pipeline->commit_batches_max < GROUP_MAX ? pipeline->commit_batches_max : GROUP_MAX;
    pthread_mutex_lock(&pipeline->record_lock);
    while (!(group[0] = ring_take(pipeline)) && !pipeline->record_stopping) {
        pthread_mutex_unlock(&pipeline->record_lock);
        pipeline->ledger_ops->idle(pipeline->ledger);
        pthread_mutex_lock(&pipeline->record_lock);
        if ((group[0] = ring_take(pipeline)) || pipeline->record_stopping)
            break;
        pthread_cond_wait(&pipeline->record_changed, &pipeline->record_lock);
    }
    if (group[0])
        for (count = 1; count < most && (group[count] = ring_take(pipeline)); count++) {
        }
    pipeline->record_next -= count; /* moves on when they are committed */
    pthread_mutex_unlock(&pipeline->record_lock);
    return count;
}

static void group_committed(struct pipeline *pipeline, uint32_t count)
{
    pthread_mutex_lock(&pipeline->record_lock);
    pipeline->record_next += count;
    pthread_cond_broadcast(&pipeline->record_changed);
    pthread_mutex_unlock(&pipeline->record_lock);
}

static enum fault group_commit(struct pipeline *pipeline, struct job **group, uint32_t count, struct fault_note *note)
{
    struct ledger_entry entries[GROUP_MAX];
    for (uint32_t i = 0; i < count; i++) {
        const struct epoch *epoch = group[i]->epoch;
        if (group[i]->note.fault != FAULT_NONE)
            return *note = group[i]->note, note->fault;
        entries[i] = (struct ledger_entry){.batch = &group[i]->batch,
                                           .frame = group[i]->frame,
                                           .config_digest = epoch->digest,
                                           .scenes = epoch->scene_names,
                                           .scene_count = epoch->names.scene_count};
        if (epoch->base)
            entries[i].base_digest = epoch->base->digest;
    }
    struct step_watch watch = watch_begin();
    FAILPOINT(commit);
    enum fault fault = pipeline->ledger_ops->commit(pipeline->ledger, entries, count, note);
    histogram_add(&pipeline->metrics.commit, clock_steady_ns() - watch.wall_ns);
    watch_end(&pipeline->metrics, STEP_record, watch);
    return fault;
}

static void job_unrecorded(struct job *job, const struct fault_note *note)
{
    if (job->note.fault == FAULT_NONE)
        job->note = *note;
    if (job->note.fault != FAULT_device && job->note.fault != FAULT_memory)
        job->note.fault = FAULT_ledger;
    job->batch.sequence = 0;
    atomic_fetch_sub(&job->pipeline->sequenced_pending, 1);
    job_fail_note(job);
}

/* Everything that holds a sequence number comes here in the end; all of it is refused. */
static void ring_fail(struct pipeline *pipeline, const struct fault_note *note)
{
    while (atomic_load(&pipeline->sequenced_pending) > 0) {
        pthread_mutex_lock(&pipeline->record_lock);
        while (pipeline->record_waiting == 0)
            pthread_cond_wait(&pipeline->record_changed, &pipeline->record_lock);
        struct job *job = NULL;
        for (uint32_t i = 0; i < pipeline->record_capacity && !job; i++)
            if ((job = pipeline->record_ring[i])) {
                pipeline->record_ring[i] = NULL;
                pipeline->record_waiting--;
            }
        pthread_mutex_unlock(&pipeline->record_lock);
        job_unrecorded(job, note);
    }
}

static void pause_ns(int64_t ns)
{
    struct timespec wait = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    nanosleep(&wait, NULL);
}

static void record_set_failing(struct pipeline *pipeline, bool failing)
{
    pthread_mutex_lock(&pipeline->sequence_lock);
    pipeline->recovering = failing;
    if (!failing)
        pipeline->sequence_next = pipeline->ledger_ops->last_sequence(pipeline->ledger) + 1;
    pthread_mutex_unlock(&pipeline->sequence_lock);
    pthread_mutex_lock(&pipeline->record_lock);
    pipeline->record_failing = failing;
    if (!failing)
        pipeline->record_next = pipeline->sequence_next;
    pthread_cond_broadcast(&pipeline->record_changed);
    pthread_mutex_unlock(&pipeline->record_lock);
}

static void recover(struct pipeline *pipeline, struct job **group, uint32_t count, const struct fault_note *failure)
{
    struct fault_note note = {0};
    log_line(LOG_ERROR, "ledger", "commit failed, history will be reloaded: %s", failure->text);
    atomic_fetch_add(&pipeline->metrics.commit_failures, 1);
    record_set_failing(pipeline, true);
    for (uint32_t i = 0; i < count; i++)
        job_unrecorded(group[i], failure);
    ring_fail(pipeline, failure);
    while (atomic_load(&pipeline->history_pending) > 0) /* scores on their way; none is added any more */
        pause_ns(1000000);
    while (history_rebuild(pipeline, &note) != FAULT_NONE) {
        atomic_store(&pipeline->ready, false);
        log_line(LOG_ERROR, "ledger", "history cannot be reloaded: %s", note.text);
        pause_ns(RELOAD_PAUSE_NS);
    }
    atomic_store(&pipeline->ready, true);
    record_set_failing(pipeline, false);
}

static void group_deliver(struct pipeline *pipeline, struct job **group, uint32_t count)
{
    struct metrics *metrics = &pipeline->metrics;
    atomic_fetch_add_explicit(&metrics->commit_groups, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics->commit_batches, count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        FAILPOINT(reply_leaves);
        atomic_fetch_sub(&pipeline->sequenced_pending, 1);
        job_answer(group[i], &group[i]->reply);
    }
}

void record_run(void *argument)
{
    struct pipeline *pipeline = argument;
    struct job *group[GROUP_MAX];
    uint32_t count;
    while ((count = group_take(pipeline, group)) > 0) {
        struct fault_note note = {0};
        if (group_commit(pipeline, group, count, &note) != FAULT_NONE) {
            recover(pipeline, group, count, &note);
        } else {
            group_committed(pipeline, count);
            group_deliver(pipeline, group, count);
        }
        atomic_fetch_add_explicit(&pipeline->progress, 1, memory_order_relaxed);
    }
}
