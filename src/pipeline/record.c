/* The ledger thread: batches commit in sequence order, in groups; a reply leaves only after its commit. When a group cannot
 * be committed, it and everything sequenced behind it is answered with a fault, and history is reloaded before the next
 * batch is taken, since it has seen rows that were never recorded. */
#include "pipeline/audit.h"
#include "pipeline/internal.h"
#include "pipeline/life.h"
#include "pipeline/outward.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/must.h"

enum { GROUP_MAX = 256, SCORES_PAUSE_NS = 1000000, LOOK_NS = 250000000 };
#define RELOAD_PAUSE_NS_MIN 200000000LL
#define RELOAD_PAUSE_NS_MAX 10000000000LL

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

static void record_tell(struct pipeline *pipeline, const struct fault_note *note)
{
    pthread_mutex_lock(&pipeline->line_lock);
    snprintf(pipeline->record_fault, sizeof pipeline->record_fault, "%s", note->text);
    pthread_mutex_unlock(&pipeline->line_lock);
    atomic_store(&pipeline->records, note->fault == FAULT_NONE);
}

void record_look(struct pipeline *pipeline)
{
    struct fault_note note = {0};
    pipeline->ledger_ops->commit(pipeline->ledger, NULL, 0, &note);
    record_tell(pipeline, &note);
}

/* Until something is given, or for a while when the ledger cannot record: then it is looked at again. Under record_lock. */
static void ring_wait(struct pipeline *pipeline)
{
    int64_t until_ns = clock_steady_ns() + LOOK_NS;
    const struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    if (atomic_load(&pipeline->records))
        pthread_cond_wait(&pipeline->record_changed, &pipeline->record_lock);
    else
        pthread_cond_timedwait(&pipeline->record_changed, &pipeline->record_lock, &until);
}

/* A batch that failed stands alone, so that those before it are committed. */
static bool group_goes_on(const struct pipeline *pipeline, struct job *const *group, uint32_t count)
{
    const struct job *next = pipeline->record_ring[pipeline->record_next % pipeline->record_capacity];
    uint32_t audited = 0;
    for (uint32_t i = 0; i < count; i++)
        audited += audit_wants(group[i]);
    return next && next->note.fault == FAULT_NONE && group[count - 1]->note.fault == FAULT_NONE && audited < AUDITS_PER_GROUP;
}

/* Moving the index's log takes as long as some commits: a batch that is on its way would wait for it. */
static bool nothing_is_in_flight(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->line_lock);
    bool nothing = pipeline->in_flight == 0;
    pthread_mutex_unlock(&pipeline->line_lock);
    return nothing;
}

/* The next batches in sequence, at least one; 0: stopping. */
static uint32_t group_take(struct pipeline *pipeline, struct job **group)
{
    uint32_t count = 0, most = pipeline->commit_batches_max < GROUP_MAX ? pipeline->commit_batches_max : GROUP_MAX;
    pthread_mutex_lock(&pipeline->record_lock);
    while (!(group[0] = ring_take(pipeline)) && !pipeline->record_stopping) {
        pthread_mutex_unlock(&pipeline->record_lock);
        if (nothing_is_in_flight(pipeline))
            pipeline->ledger_ops->idle(pipeline->ledger);
        if (!atomic_load(&pipeline->records))
            record_look(pipeline);
        pthread_mutex_lock(&pipeline->record_lock);
        if ((group[0] = ring_take(pipeline)) || pipeline->record_stopping)
            break;
        ring_wait(pipeline);
    }
    if (group[0])
        for (count = 1; count < most && group_goes_on(pipeline, group, count); count++)
            group[count] = ring_take(pipeline);
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

static int64_t case_window_us(const struct job *job)
{
    return job->batch.op == OP_screen ? job->epoch->config->tenants[job->tenant_index].case_window_us : 0;
}

static enum fault group_commit(struct pipeline *pipeline, struct job **group, uint32_t count, struct fault_note *note)
{
    struct ledger_entry entries[GROUP_MAX];
    struct ledger_audit audits[AUDITS_PER_GROUP];
    uint32_t audit_count = 0;
    if (group[0]->note.fault != FAULT_NONE)
        return *note = group[0]->note, note->fault;
    for (uint32_t i = 0; i < count; i++) {
        if (outcome_add(group[i]) != FAULT_NONE)
            return *note = group[i]->note, note->fault;
        const struct epoch *epoch = group[i]->epoch;
        entries[i] = (struct ledger_entry){.batch = &group[i]->batch,
                                           .frame = group[i]->frame,
                                           .config_digest = epoch->digest,
                                           .scenes = epoch->scene_names,
                                           .scene_count = epoch->names.scene_count,
                                           .messages = group[i]->outbox.messages,
                                           .message_count = group[i]->outbox.count,
                                           .case_window_us = case_window_us(group[i])};
        if (epoch->base)
            entries[i].base_digest = epoch->base->digest;
        if (group[i]->life)
            entries[i].life = &group[i]->life->change;
        if (group[i]->change && !group[i]->life) {
            entries[i].base_change = &group[i]->change->record;
            entries[i].base_digest = group[i]->change->record.digest;
        }
        if (audit_wants(group[i])) {
            MUST(audit_count < AUDITS_PER_GROUP);
            audit_line(&audits[audit_count], group[i]);
            entries[i].audit = &audits[audit_count++];
        }
    }
    struct step_watch watch = watch_begin();
    FAILPOINT(commit);
    enum fault fault = pipeline->ledger_ops->commit(pipeline->ledger, entries, count, note);
    histogram_add(&pipeline->metrics.commit, clock_steady_ns() - watch.wall_ns);
    watch_end(&pipeline->metrics, STEP_record, watch);
    return fault;
}

/* What failed by itself keeps its own fault. */
static void job_unrecorded(struct job *job, const struct fault_note *note)
{
    if (job->note.fault == FAULT_NONE)
        job->note = *note;
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

/* false: the pipeline is closing. */
static bool record_pause(struct pipeline *pipeline, int64_t ns)
{
    int64_t until_ns = clock_steady_ns() + ns;
    const struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    pthread_mutex_lock(&pipeline->record_lock);
    while (!pipeline->record_stopping && clock_steady_ns() < until_ns)
        pthread_cond_timedwait(&pipeline->record_changed, &pipeline->record_lock, &until);
    bool stopping = pipeline->record_stopping;
    pthread_mutex_unlock(&pipeline->record_lock);
    return !stopping;
}

static void record_set_failing(struct pipeline *pipeline, bool failing)
{
    pthread_mutex_lock(&pipeline->sequence_lock);
    pipeline->recovering = failing;
    if (!failing)
        pipeline->sequence_next = pipeline->ledger_ops->last_sequence(pipeline->ledger) + 1;
    uint64_t next = pipeline->sequence_next; /* numbers are taken again from here on */
    pthread_mutex_unlock(&pipeline->sequence_lock);
    pthread_mutex_lock(&pipeline->record_lock);
    pipeline->record_failing = failing;
    if (!failing)
        pipeline->record_next = next;
    pthread_cond_broadcast(&pipeline->record_changed);
    pthread_mutex_unlock(&pipeline->record_lock);
}

/* Until it succeeds; false: the pipeline is closing, and history is not what the ledger says. */
static bool history_reload(struct pipeline *pipeline)
{
    struct fault_note note = {0};
    for (int64_t pause_ns = RELOAD_PAUSE_NS_MIN; history_rebuild(pipeline, &note) != FAULT_NONE;) {
        log_line(LOG_ERROR, "ledger", "history cannot be reloaded: %s", note.text);
        if (!record_pause(pipeline, pause_ns))
            return false;
        pause_ns = 2 * pause_ns < RELOAD_PAUSE_NS_MAX ? 2 * pause_ns : RELOAD_PAUSE_NS_MAX;
    }
    return true;
}

static void recover(struct pipeline *pipeline, struct job **group, uint32_t count, const struct fault_note *failure)
{
    struct fault_note behind = {0};
    fault_set(&behind, FAULT_ledger, ROW_NONE, COLUMN_NONE, "a batch before it could not be recorded: %.100s", failure->text);
    log_line(LOG_ERROR, "ledger", "commit failed, history will be reloaded: %s", failure->text);
    atomic_fetch_add(&pipeline->metrics.commit_failures, 1);
    atomic_store(&pipeline->ready, false);
    record_tell(pipeline, failure);
    record_set_failing(pipeline, true);
    for (uint32_t i = 0; i < count; i++)
        job_unrecorded(group[i], failure);
    ring_fail(pipeline, &behind);
    while (atomic_load(&pipeline->history_pending) > 0) /* scores on their way; none is added any more */
        record_pause(pipeline, SCORES_PAUSE_NS);
    if (!history_reload(pipeline))
        return;
    record_look(pipeline);
    record_set_failing(pipeline, false);
    atomic_store(&pipeline->ready, true);
}

static void group_deliver(struct pipeline *pipeline, struct job **group, uint32_t count)
{
    struct metrics *metrics = &pipeline->metrics;
    atomic_fetch_add_explicit(&metrics->commit_groups, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics->commit_batches, count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        FAILPOINT(reply_leaves);
        atomic_fetch_sub(&pipeline->sequenced_pending, 1);
        if (group[i]->change)
            base_change_act(group[i]);
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
            outward_wake(pipeline->outward);
        }
        atomic_fetch_add_explicit(&pipeline->progress, 1, memory_order_relaxed);
    }
}
