/* Workers take what is nearest to a reply first: slices to score, then batches to encode, then the tenants' lines. */
#include "pipeline/internal.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"

static void progressed(struct pipeline *pipeline)
{
    atomic_fetch_add_explicit(&pipeline->progress, 1, memory_order_relaxed);
}

void worker_give_slice(struct pipeline *pipeline, struct slice *slice)
{
    pthread_mutex_lock(&pipeline->line_lock);
    MUST(pipeline->slices_waiting < pipeline->slice_count);
    pipeline->slices_ready[(pipeline->slices_head + pipeline->slices_waiting++) % pipeline->slice_count] = slice;
    pthread_cond_signal(&pipeline->line_changed);
    pthread_mutex_unlock(&pipeline->line_lock);
}

void worker_give_encode(struct pipeline *pipeline, struct job *job)
{
    pthread_mutex_lock(&pipeline->line_lock);
    job->next = NULL;
    *(pipeline->encode_last ? &pipeline->encode_last->next : &pipeline->encode_first) = job;
    pipeline->encode_last = job;
    pthread_cond_signal(&pipeline->line_changed);
    pthread_mutex_unlock(&pipeline->line_lock);
}

struct work { /* nothing: a slice that is kept for the challenger */
    struct slice *slice;
    struct job *resume, *begin;
};

static bool work_take(struct worker *worker, struct work *out)
{
    struct pipeline *pipeline = worker->pipeline;
    bool keeps = challenger_slices_kept(worker);
    *out = (struct work){0};
    pthread_mutex_lock(&pipeline->line_lock);
    for (;;) {
        if (pipeline->slices_waiting > 0) {
            out->slice = pipeline->slices_ready[pipeline->slices_head];
            pipeline->slices_head = (pipeline->slices_head + 1) % pipeline->slice_count;
            pipeline->slices_waiting--;
            break;
        }
        if ((out->resume = pipeline->encode_first)) {
            pipeline->encode_first = out->resume->next;
            if (!pipeline->encode_first)
                pipeline->encode_last = NULL;
            break;
        }
        if (keeps || (out->begin = line_pick(pipeline)) || pipeline->stopping)
            break;
        pthread_cond_wait(&pipeline->line_changed, &pipeline->line_lock);
    }
    worker->under_load = pipeline->waiting > 0;
    pthread_mutex_unlock(&pipeline->line_lock);
    return out->slice || out->resume || out->begin || keeps;
}

/* --- a slice: feature, scene, anomaly, decide ------------------------------------------------------------------ */

enum fault slice_score(struct worker *worker, struct slice *slice, struct fault_note *note)
{
    struct metrics *metrics = &worker->pipeline->metrics;
    struct job *job = slice->job;
    struct scores scores = {0};
    enum fault fault = FAULT_NONE;
    if (job->epoch->base) {
        struct step_watch watch = watch_begin();
        step_feature(worker, slice);
        watch_end(metrics, STEP_feature, watch);
        watch = watch_begin();
        fault = step_scene(worker, slice, &scores, note);
        watch_end(metrics, STEP_scene, watch);
        if (scores.fell_back)
            atomic_fetch_add_explicit(&metrics->device_fallbacks, 1, memory_order_relaxed);
    }
    if (fault != FAULT_NONE)
        return fault;
    struct step_watch watch = watch_begin();
    fault = step_decide(worker, slice, &scores, note);
    if (fault == FAULT_NONE)
        drift_slice_count(worker, slice, &scores);
    watch_end(metrics, STEP_decide, watch);
    return fault;
}

static void job_finish(struct job *job);

static void slice_run(struct worker *worker, struct slice *slice)
{
    struct job *job = slice->job;
    struct fault_note note = {0};
    if (slice_score(worker, slice, &note) == FAULT_NONE) {
        challenger_slice_keep(worker, slice);
    } else {
        pthread_mutex_lock(&job->arena_lock);
        if (job->note.fault == FAULT_NONE)
            job->note = note;
        pthread_mutex_unlock(&job->arena_lock);
    }
    MUST(queue_try_push(&worker->pipeline->slice_pool, slice));
    if (atomic_fetch_sub(&job->slices_left, 1) == 1)
        job_finish(job);
}

/* --- a whole batch: encode and reply at its end, decode to fill at its beginning --------------------------------- */

static void count_verdicts(struct job *job)
{
    const struct results *results = &job->batch.results;
    for (uint32_t row = 0; row < job->batch.row_count; row++)
        job->verdict_counts[results->verdict[row]]++;
    for (uint32_t row = 0; results->would && row < job->batch.row_count; row++)
        job->monitored_held += results->would[row] == VERDICT_HOLD || results->would[row] == VERDICT_REJECT;
    for (uint32_t row = 0; row < job->batch.row_count; row++)
        job->abnormal += (job->batch.facts.flags[row] & FLAG_ABNORMAL) != 0;
    if (job->note.fault == FAULT_NONE)
        brake_count(job, job->verdict_counts[VERDICT_HOLD] + job->verdict_counts[VERDICT_REJECT] + job->monitored_held);
}

static void job_finish(struct job *job)
{
    struct metrics *metrics = &job->pipeline->metrics;
    if (job->note.fault == FAULT_NONE && job->sequenced) {
        struct step_watch watch = watch_begin();
        job->step = STEP_record;
        step_record(job);
        watch_end(metrics, STEP_record, watch);
    }
    if (job->note.fault == FAULT_NONE) {
        struct step_watch watch = watch_begin();
        job->step = STEP_reply;
        step_reply(job);
        watch_end(metrics, STEP_reply, watch);
        if (job->reply.failed)
            fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the reply");
    }
    if (job->batch.op == OP_screen)
        count_verdicts(job);
    if (job->sequenced)
        record_give(job->pipeline, job); /* with its fault, if it has one: what follows it must not stand on it */
    else if (job->note.fault != FAULT_NONE)
        job_fail_note(job);
    else
        job_answer(job, &job->reply);
}

static enum step_next step_timed(struct worker *worker, struct job *job, enum batch_step step,
                                 enum step_next (*run)(struct worker *, struct job *))
{
    struct step_watch watch = watch_begin();
    job->step = step;
    enum step_next next = run(worker, job);
    watch_end(&worker->pipeline->metrics, step, watch);
    return next;
}

static void job_resume(struct worker *worker, struct job *job)
{
    job->next = NULL;
    if (job->step >= STEP_relate)
        job_finish(job);
    else if (step_timed(worker, job, STEP_fill, step_fill) == STEP_FAULT)
        job_fail_note(job);
}

static void job_begin(struct worker *worker, struct job *job)
{
    job->waited_ns = clock_steady_ns() - job->received_ns;
    histogram_add(&worker->pipeline->metrics.wait, job->waited_ns);
    enum step_next next = step_timed(worker, job, STEP_decode, step_decode);
    if (next == STEP_NEXT)
        next = step_timed(worker, job, STEP_check, step_check);
    if (next == STEP_NEXT)
        next = step_timed(worker, job, STEP_fill, step_fill);
    if (next == STEP_FAULT)
        job_fail_note(job);
}

static void worker_run(void *argument)
{
    struct worker *worker = argument;
    struct work work;
    while (work_take(worker, &work)) {
        if (work.slice)
            slice_run(worker, work.slice);
        else if (work.resume)
            job_resume(worker, work.resume);
        else if (work.begin)
            job_begin(worker, work.begin);
        else
            challenger_slice_settle(worker);
        progressed(worker->pipeline);
    }
}

bool worker_prepare(struct worker *worker)
{
    worker->feature_memory = memory_take_aligned((size_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float), 64);
    worker->decide_scratch = memory_take_aligned(decide_scratch_bytes(), 64);
    if (!worker->feature_memory || !worker->decide_scratch)
        return false;
    for (uint32_t i = 0; i < FEATURE_COUNT; i++)
        worker->features.column[i] = worker->feature_memory + (size_t)i * SLICE_ROWS;
    return true;
}

bool workers_start(struct pipeline *pipeline, bool pinned)
{
    pipeline->workers = memory_take_zeroed(pipeline->worker_count, sizeof *pipeline->workers);
    if (!pipeline->workers)
        return false;
    for (uint32_t i = 0; i < pipeline->worker_count; i++) {
        struct worker *worker = &pipeline->workers[i];
        char name[20];
        worker->pipeline = pipeline;
        worker->index = i;
        snprintf(name, sizeof name, "worker-%u", i);
        if (!worker_prepare(worker) || (pipeline->bases_may_change && !challenger_worker_open(worker)) ||
            !thread_start(&worker->thread, name, pinned ? (int)i : CPU_ANY, worker_run, worker))
            return false;
    }
    return true;
}

void worker_fini(struct worker *worker)
{
    challenger_worker_close(worker);
    memory_give(worker->feature_memory);
    memory_give(worker->decide_scratch);
    memory_give(worker->hashes);
    memory_give(worker->rules_scratch);
}

void workers_stop(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->line_lock);
    pipeline->stopping = true;
    pthread_cond_broadcast(&pipeline->line_changed);
    pthread_mutex_unlock(&pipeline->line_lock);
    for (uint32_t i = 0; pipeline->workers && i < pipeline->worker_count; i++) {
        struct worker *worker = &pipeline->workers[i];
        thread_join(&worker->thread);
        worker_fini(worker);
    }
    memory_give(pipeline->workers);
    pipeline->workers = NULL;
}
