/* A pipeline of which nothing runs lends ledger, history, epochs and slices; around it three kinds of threads. The reader
 * takes frames in order and makes what is in the span ready: decode, check, fill. The caller's thread owns history: it reads a row's
 * figures, then adds the row, slice by slice, and takes results in order. Workers score slices; the last one of a batch compares it. */
#include "pipeline/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"
#include "pipeline/replay_internal.h"

enum { WORKERS_MAX = 256, IDLE_ARENAS_BYTES = 256 << 20, LEDGER_READERS = 3 };

struct replay_worker {
    struct replay *replay;
    struct worker worker;
};

static bool verifies(const struct replay *replay)
{
    return replay_verifies(replay->options);
}

/* --- jobs ------------------------------------------------------------------------------------------------------------- */

static void job_empty(struct replay *replay, struct replay_job *job)
{
    pthread_mutex_lock(&replay->lock);
    replay->bytes -= job->bytes;
    pthread_cond_broadcast(&replay->changed);
    pthread_mutex_unlock(&replay->lock);
    job->bytes = 0;
    arena_pool_give(&replay->pipeline->arenas, &job->job.batch.arena);
    job->job.batch = (struct batch){0};
    batch_fini(&job->stored);
    epoch_release(&job->job.epoch);
    stored_names_give(&job->names);
}

static void job_give(struct replay *replay, struct replay_job *job)
{
    job_empty(replay, job);
    queue_try_push(&replay->free_jobs, job); /* refused when the replay ends: jobs are freed with it */
}

static bool jobs_take(struct replay *replay)
{
    replay->jobs = memory_take_zeroed(REPLAY_JOBS, sizeof *replay->jobs);
    if (!replay->jobs || !queue_init(&replay->ready, REPLAY_JOBS) || !queue_init(&replay->free_jobs, REPLAY_JOBS))
        return false;
    for (uint32_t i = 0; i < REPLAY_JOBS; i++) {
        pthread_mutex_init(&replay->jobs[i].job.arena_lock, NULL);
        replay->jobs[i].job.magic = (unsigned)JOB_MAGIC;
        MUST(queue_try_push(&replay->free_jobs, &replay->jobs[i]));
    }
    return true;
}

static void jobs_fini(struct replay *replay)
{
    for (uint32_t i = 0; replay->jobs && i < REPLAY_JOBS; i++) {
        job_empty(replay, &replay->jobs[i]);
        pthread_mutex_destroy(&replay->jobs[i].job.arena_lock);
    }
    memory_give(replay->jobs);
}

/* --- the reader ------------------------------------------------------------------------------------------------------- */

static bool line_take(void *context, const struct ledger_batch *line)
{
    *(struct ledger_batch *)context = *line;
    return false;
}

static enum fault line_of(struct ledger_batch *out, const struct replay *replay, uint64_t sequence, struct fault_note *note)
{
    const struct pipeline *pipeline = replay->pipeline;
    const struct ledger_query query = {.verdict = -1, .after_sequence = sequence + 1, .rows_max = 1};
    *out = (struct ledger_batch){0};
    enum fault fault = pipeline->ledger_ops->batches(pipeline->ledger, &query, line_take, out, note);
    if (fault == FAULT_NONE && out->sequence != sequence)
        fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "batch %" PRIu64 " is not in the index", sequence);
    return fault;
}

static bool is_made_again(const struct replay *replay, const struct batch *batch)
{
    if (batch->row_count == 0)
        return false;
    return batch->op == OP_screen || (verifies(replay) && (batch->op == OP_import || batch->op == OP_observe));
}

/* Room for one more; false: the replay stops. */
static bool bytes_await(struct replay *replay, struct replay_job *job)
{
    pthread_mutex_lock(&replay->lock);
    while (!replay->stopping && replay->bytes && replay->bytes + job->bytes > REPLAY_BYTES_MAX)
        pthread_cond_wait(&replay->changed, &replay->lock);
    replay->bytes += job->bytes;
    bool goes_on = !replay->stopping;
    pthread_mutex_unlock(&replay->lock);
    return goes_on;
}

static enum fault job_make(struct replay *replay, struct replay_job *job, struct fault_note *note)
{
    struct ledger_batch line;
    job->is_replayed = job->stored.sequence >= replay->plan.from;
    job->is_scored = job->differs = job->is_done = false;
    job->rows_differ = 0;
    if (!job->is_replayed || !is_made_again(replay, &job->stored))
        return FAULT_NONE;
    enum fault fault = line_of(&line, replay, job->stored.sequence, note);
    if (fault == FAULT_NONE)
        fault = replay_epoch(replay, &line, note);
    if (fault == FAULT_NONE && !verifies(replay))
        fault = epoch_names_stored(&job->names, replay->pipeline, line.config_digest, note);
    if (fault == FAULT_NONE)
        fault = replay_batch_again(replay, job, note);
    job->is_scored = job->stored.op == OP_screen;
    if (fault == FAULT_NONE && !job->is_scored)
        replay_compare(job, false);
    return fault;
}

/* Takes the batch over: the ledger's walk gets an empty one back. */
static enum fault reader_take(void *context, struct batch *batch, struct fault_note *note)
{
    struct replay *replay = context;
    if (batch->sequence > replay->plan.to)
        return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "the span ends"); /* read_run's, told nobody */
    struct replay_job *job = queue_pop(&replay->free_jobs);
    if (!job)
        return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "stopped");
    job->stored = *batch;
    job->bytes = 4 * batch->arena.size; /* it, its frame and the batch again */
    *batch = (struct batch){0};
    if (!bytes_await(replay, job))
        return job_give(replay, job), fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "stopped");
    enum fault fault = job_make(replay, job, note);
    if (fault != FAULT_NONE || !queue_push(&replay->ready, job))
        job_give(replay, job);
    return fault;
}

static void reader_run(void *context)
{
    struct replay *replay = context;
    const struct pipeline *pipeline = replay->pipeline;
    struct fault_note note = {.row = ROW_NONE};
    enum fault fault = pipeline->ledger_ops->replay(pipeline->ledger, pipeline->history_sequence + 1, reader_take, replay, &note);
    replay_epochs_release(replay);
    replay->reader_fault = fault == FAULT_unavailable ? FAULT_NONE : fault;
    replay->reader_note = note;
    queue_close(&replay->ready);
}

/* --- workers ---------------------------------------------------------------------------------------------------------- */

static void fault_keep(struct replay *replay, enum fault fault, const struct fault_note *note)
{
    pthread_mutex_lock(&replay->lock);
    if (replay->worker_fault == FAULT_NONE) {
        replay->worker_fault = fault;
        replay->worker_note = *note;
    }
    pthread_mutex_unlock(&replay->lock);
}

static void batch_end(struct replay *replay, struct replay_job *job)
{
    struct fault_note note = {.row = ROW_NONE};
    enum fault fault = FAULT_NONE;
    if (verifies(replay))
        replay_compare(job, true);
    else
        fault = replay_tally_batch(replay, job, &note);
    if (fault != FAULT_NONE)
        fault_keep(replay, fault, &note);
    pthread_mutex_lock(&replay->lock);
    job->is_done = true;
    pthread_cond_broadcast(&replay->changed);
    pthread_mutex_unlock(&replay->lock);
}

static void worker_run(void *context)
{
    struct replay_worker *own = context;
    struct replay *replay = own->replay;
    for (struct slice *slice; (slice = queue_pop(&replay->slices));) {
        struct job *job = slice->job;
        struct fault_note note = {.row = ROW_NONE};
        enum fault fault = slice_score(&own->worker, slice, &note);
        if (fault != FAULT_NONE)
            fault_keep(replay, fault, &note);
        MUST(queue_try_push(&replay->pipeline->slice_pool, slice));
        if (atomic_fetch_sub(&job->slices_left, 1) == 1)
            batch_end(replay, (struct replay_job *)job); /* its first member */
    }
}

static bool workers_begin(struct replay *replay, struct replay_worker *workers)
{
    for (uint32_t i = 0; i < replay->pipeline->worker_count; i++) {
        char name[20];
        workers[i].replay = replay;
        workers[i].worker = (struct worker){.pipeline = replay->pipeline, .index = i};
        snprintf(name, sizeof name, "replay-%u", i);
        if (!worker_prepare(&workers[i].worker) || !thread_start(&workers[i].worker.thread, name, CPU_ANY, worker_run, &workers[i]))
            return false;
    }
    return true;
}

static void workers_end(struct replay *replay, struct replay_worker *workers)
{
    queue_close(&replay->slices);
    for (uint32_t i = 0; i < replay->pipeline->worker_count; i++) {
        thread_join(&workers[i].worker.thread);
        worker_fini(&workers[i].worker);
    }
}

/* --- history and results, in order ------------------------------------------------------------------------------------ */

static void difference_count(struct replay *replay, const struct replay_job *job)
{
    struct replay_result *out = replay->out;
    if (!job->differs)
        return;
    if (out->batches_differ++ == 0)
        out->first = job->difference;
    out->rows_differ += job->rows_differ;
}

static void job_count(struct replay *replay, const struct replay_job *job)
{
    struct replay_result *out = replay->out;
    out->batches++;
    out->rows += job->stored.row_count;
    out->screened += job->is_scored ? job->stored.row_count : 0;
}

/* The oldest one that is being scored. */
static void oldest_end(struct replay *replay)
{
    struct replay_job *job = replay->order[replay->order_first];
    pthread_mutex_lock(&replay->lock);
    while (!job->is_done)
        pthread_cond_wait(&replay->changed, &replay->lock);
    pthread_mutex_unlock(&replay->lock);
    replay->order_first = (replay->order_first + 1) % REPLAY_JOBS;
    replay->order_count--;
    if (verifies(replay))
        difference_count(replay, job);
    else if (replay->worker_fault == FAULT_NONE)
        replay_tell_switched(replay, job);
    job_count(replay, job);
    job_give(replay, job);
}

static void batch_begin(struct replay *replay, struct replay_job *job)
{
    struct pipeline *pipeline = replay->pipeline;
    struct batch *batch = &job->job.batch;
    uint32_t slice_count = batch_slice_count(batch);
    atomic_store(&job->job.slices_left, slice_count);
    replay->order[(replay->order_first + replay->order_count++) % REPLAY_JOBS] = job;
    for (uint32_t i = 0; i < slice_count; i++) {
        struct slice *slice = queue_pop(&pipeline->slice_pool);
        slice->job = &job->job;
        slice->index = i;
        slice->first = i * SLICE_ROWS;
        slice->count = batch->row_count - slice->first < SLICE_ROWS ? batch->row_count - slice->first : SLICE_ROWS;
        step_relate(pipeline, &job->job, slice);
        MUST(queue_try_push(&replay->slices, slice));
    }
}

/* The next in order; while none is ready, what is scored is taken. */
static struct replay_job *job_next(struct replay *replay)
{
    struct replay_job *job;
    while (replay->order_count == REPLAY_JOBS / 2)
        oldest_end(replay);
    while (!(job = queue_try_pop(&replay->ready)) && replay->order_count)
        oldest_end(replay);
    return job ? job : queue_pop(&replay->ready);
}

static bool fails(struct replay *replay)
{
    pthread_mutex_lock(&replay->lock);
    bool failed = replay->worker_fault != FAULT_NONE;
    pthread_mutex_unlock(&replay->lock);
    return failed;
}

static void batches_walk(struct replay *replay)
{
    struct pipeline *pipeline = replay->pipeline;
    const struct replay_options *options = replay->options;
    uint64_t rows_done = 0;
    int64_t begun_ns = clock_steady_ns(), span_ns = 0;
    for (struct replay_job *job; !fails(replay) && (job = job_next(replay));) {
        rows_done += job->stored.row_count;
        pipeline->history_sequence = job->stored.sequence;
        if (job->is_replayed && span_ns == 0)
            span_ns = clock_steady_ns();
        if (job->is_scored) {
            batch_begin(replay, job);
        } else {
            history_apply(pipeline, &job->stored);
            difference_count(replay, job);
            if (job->is_replayed)
                job_count(replay, job);
            else
                replay->out->history_rows += job->stored.row_count;
            job_give(replay, job);
        }
        if (options->progress)
            options->progress(options->context, rows_done, replay->plan.rows);
    }
    while (replay->order_count)
        oldest_end(replay);
    int64_t end_ns = clock_steady_ns();
    replay->out->seconds = span_ns ? 1e-9 * (double)(end_ns - span_ns) : 0.0;
    replay->out->seconds_all = 1e-9 * (double)(end_ns - begun_ns);
}

static void reader_stop(struct replay *replay)
{
    pthread_mutex_lock(&replay->lock);
    replay->stopping = true;
    pthread_cond_broadcast(&replay->changed);
    pthread_mutex_unlock(&replay->lock);
    queue_close(&replay->ready);
    queue_close(&replay->free_jobs);
    while (queue_pop(&replay->free_jobs)) /* what is in it is still popped */
        ;
    thread_join(&replay->reader);
}

static enum fault span_replay(struct replay *replay)
{
    struct replay_worker *workers = memory_take_zeroed(replay->pipeline->worker_count, sizeof *workers);
    bool started = workers && workers_begin(replay, workers) && thread_start(&replay->reader, "replay-read", CPU_ANY, reader_run, replay);
    if (started)
        batches_walk(replay);
    reader_stop(replay);
    if (workers)
        workers_end(replay, workers);
    memory_give(workers);
    if (!started)
        return fault_set(replay->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory or no thread to replay with");
    if (replay->worker_fault != FAULT_NONE)
        return *replay->note = replay->worker_note, replay->worker_fault;
    if (replay->reader_fault != FAULT_NONE)
        return *replay->note = replay->reader_note, replay->reader_fault;
    return FAULT_NONE;
}

/* --- opening and closing ---------------------------------------------------------------------------------------------- */

static uint32_t worker_count(const struct replay_options *options)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t count = options->workers ? options->workers : cpus > 0 ? (uint32_t)cpus : 1;
    return count < WORKERS_MAX ? count : WORKERS_MAX;
}

static enum fault lender_open(struct replay *replay)
{
    const struct replay_options *options = replay->options;
    struct pipeline *pipeline = replay->pipeline = memory_take_zeroed(1, sizeof *pipeline);
    if (!pipeline)
        return fault_set(replay->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to replay");
    pipeline->magic = (unsigned)PIPELINE_MAGIC;
    pipeline->ledger_ops = &ledger_sqlite;
    pipeline->history_ops = &history_memory;
    pipeline->worker_count = worker_count(options);
    locks_init(pipeline);
    arena_pool_init(&pipeline->arenas, IDLE_ARENAS_BYTES);
    uint32_t slices = 2 * pipeline->worker_count + 2;
    if (!slices_take(pipeline, slices) || !queue_init(&replay->slices, slices) || !jobs_take(replay))
        return fault_set(replay->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to replay");
    if (strlen(options->folder) >= sizeof pipeline->ledger_folder)
        return fault_set(replay->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the path of the ledger's folder is too long");
    snprintf(pipeline->ledger_folder, sizeof pipeline->ledger_folder, "%s", options->folder);
    const struct ledger_options ledger = {.folder = options->folder, .readers = LEDGER_READERS, .reads_only = true};
    return pipeline->ledger_ops->open(&pipeline->ledger, &ledger, replay->note);
}

static void replay_close(struct replay *replay)
{
    struct pipeline *pipeline = replay->pipeline;
    jobs_fini(replay);
    queue_fini(&replay->ready);
    queue_fini(&replay->free_jobs);
    queue_fini(&replay->slices);
    label_table_fini(&replay->labels);
    memory_give(replay->plan.labels);
    memory_give(replay->recorded);
    memory_give(replay->again);
    config_close(&replay->strategy);
    pthread_mutex_destroy(&replay->lock);
    pthread_cond_destroy(&replay->changed);
    if (!pipeline)
        return;
    epochs_bury(pipeline);
    if (pipeline->history)
        pipeline->history_ops->close(&pipeline->history);
    if (pipeline->ledger)
        pipeline->ledger_ops->close(&pipeline->ledger);
    slices_give(pipeline);
    arena_pool_fini(&pipeline->arenas);
    locks_fini(pipeline);
    memory_give(pipeline);
}

/* What the last batch of the span was screened under says how large history was. */
static enum fault history_start(struct replay *replay)
{
    struct ledger_batch line;
    struct config *config = NULL;
    struct stored_names *names = NULL;
    enum fault fault = line_of(&line, replay, replay->plan.to, replay->note);
    if (fault == FAULT_NONE)
        fault = replay_config_of(&config, &names, replay, &line, replay->note);
    if (fault == FAULT_NONE) {
        struct replay_result *out = replay->out;
        replay->pipeline->history_limits = config->history;
        snprintf(out->currency, sizeof out->currency, "%s", config->reference_currency);
        int digits = currency_exponent(config->reference_currency);
        out->currency_digits = digits < 0 ? 2 : digits;
        fault = replay_plan_start(replay);
    }
    config_close(&config);
    stored_names_give(&names);
    return fault;
}

/* A base or a strategy that cannot be used is told before history is built. */
static enum fault what_if_open(struct replay *replay)
{
    const struct replay_options *options = replay->options;
    struct scene_base *base = NULL;
    enum fault fault = options->strategy_path ? replay_strategy_open(replay, replay->note) : FAULT_NONE;
    if (fault == FAULT_NONE && options->base_path)
        fault = scene_base_open(&base, options->base_path, replay->note);
    if (base) {
        snprintf(replay->out->base_name, sizeof replay->out->base_name, "%s", base->name);
        snprintf(replay->out->base_version, sizeof replay->out->base_version, "%s", base->version);
        digest_to_hex(replay->out->base_digest, base->digest);
    }
    scene_base_close(&base);
    return fault == FAULT_NONE && !verifies(replay) ? replay_labels_read(replay) : fault;
}

enum fault replay_run(struct replay_result *out, const struct replay_options *options, struct fault_note *note)
{
    struct replay *replay = memory_take_zeroed(1, sizeof *replay);
    memset(out, 0, sizeof *out);
    if (!replay)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to replay");
    replay->options = options;
    replay->out = out;
    replay->note = note;
    pthread_mutex_init(&replay->lock, NULL);
    pthread_cond_init(&replay->changed, NULL);
    enum fault fault = lender_open(replay);
    if (fault == FAULT_NONE)
        fault = replay_plan_make(replay);
    if (fault == FAULT_NONE)
        fault = what_if_open(replay);
    if (fault == FAULT_NONE)
        fault = history_start(replay);
    if (fault == FAULT_NONE) {
        out->from_sequence = replay->plan.from;
        out->to_sequence = replay->plan.to;
        out->history_sequence = replay->pipeline->history_sequence;
        fault = replay_rows_expect(replay);
    }
    if (fault == FAULT_NONE)
        fault = span_replay(replay);
    if (fault == FAULT_NONE && !verifies(replay))
        fault = replay_tally_end(replay, note);
    replay_close(replay);
    memory_give(replay);
    return fault;
}
