/* Opens the rooms in order and closes them in reverse. Nothing is taken from outside before history stands where the ledger
 * ends; a drain answers all that was accepted, then saves history. */
#include "pipeline/audit.h"
#include "pipeline/internal.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "pipeline/alarms.h"
#include "pipeline/associates.h"
#include "pipeline/outward.h"
#include "pipeline/signed_on.h"

enum { TIMER_NS = 10000000, STANDSTILL_NS_LOG2 = 35 };
#define RELOAD_WAIT_NS 5000000000LL /* for batches under the configuration before the running one */

/* --- opening --------------------------------------------------------------------------------------------------------- */

bool locks_init(struct pipeline *pipeline)
{
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_mutex_init(&pipeline->epoch_lock, NULL);
    pthread_mutex_init(&pipeline->line_lock, NULL);
    pthread_mutex_init(&pipeline->registry_lock, NULL);
    pthread_mutex_init(&pipeline->challengers.lock, NULL);
    pthread_mutex_init(&pipeline->sequence_lock, NULL);
    pthread_mutex_init(&pipeline->record_lock, NULL);
    pthread_mutex_init(&pipeline->bases.change_lock, NULL);
    pthread_mutex_init(&pipeline->bases.lock, NULL);
    pthread_cond_init(&pipeline->bases.changed, NULL);
    pthread_cond_init(&pipeline->line_changed, &steady);
    pthread_cond_init(&pipeline->idle, &steady);
    pthread_cond_init(&pipeline->record_changed, &steady);
    pthread_condattr_destroy(&steady);
    return pipeline->locks_ready = true;
}

bool slices_take(struct pipeline *pipeline, uint32_t count)
{
    size_t columns = (size_t)count * FIGURE_COUNT;
    pipeline->slice_count = count;
    pipeline->slices_ready = memory_take_zeroed(count, sizeof *pipeline->slices_ready);
    pipeline->slice_memory = memory_take_zeroed(count, sizeof *pipeline->slice_memory);
    pipeline->figure_memory = memory_take_aligned(columns * FIGURE_COLUMN_FLOATS * sizeof(float), 64);
    if (!pipeline->slices_ready || !pipeline->slice_memory || !pipeline->figure_memory || !queue_init(&pipeline->slice_pool, count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct slice *slice = &pipeline->slice_memory[i];
        for (uint32_t f = 0; f < FIGURE_COUNT; f++)
            slice->figures.column[f] = pipeline->figure_memory + ((size_t)i * FIGURE_COUNT + f) * FIGURE_COLUMN_FLOATS;
        MUST(queue_try_push(&pipeline->slice_pool, slice));
    }
    return true;
}

void locks_fini(struct pipeline *pipeline)
{
    pthread_mutex_destroy(&pipeline->epoch_lock);
    pthread_mutex_destroy(&pipeline->line_lock);
    pthread_mutex_destroy(&pipeline->registry_lock);
    pthread_mutex_destroy(&pipeline->challengers.lock);
    pthread_mutex_destroy(&pipeline->sequence_lock);
    pthread_mutex_destroy(&pipeline->record_lock);
    pthread_mutex_destroy(&pipeline->bases.change_lock);
    pthread_mutex_destroy(&pipeline->bases.lock);
    pthread_cond_destroy(&pipeline->bases.changed);
    pthread_cond_destroy(&pipeline->line_changed);
    pthread_cond_destroy(&pipeline->idle);
    pthread_cond_destroy(&pipeline->record_changed);
}

void slices_give(struct pipeline *pipeline)
{
    queue_fini(&pipeline->slice_pool);
    memory_give(pipeline->slices_ready);
    memory_give(pipeline->slice_memory);
    memory_give(pipeline->figure_memory);
}

static bool tables_take(struct pipeline *pipeline, const struct config *config)
{
    uint32_t in_flight_max = config->in_flight_max;
    pipeline->in_flight_max = in_flight_max;
    pipeline->record_capacity = in_flight_max + 2; /* a change of the bases beside */
    pipeline->registry = memory_take_zeroed(in_flight_max + 1, sizeof *pipeline->registry);
    pipeline->record_ring = memory_take_zeroed(pipeline->record_capacity, sizeof *pipeline->record_ring);
    return pipeline->registry && pipeline->record_ring && queue_init(&pipeline->history_queue, in_flight_max + 2) &&
           queue_init(&pipeline->ask_queue, QUESTIONS_MAX + in_flight_max + 1) && queue_init(&pipeline->explain_queue, EXPLAINS_MAX) &&
           slices_take(pipeline, bounds_slice_count(config));
}

static void settings_take(struct pipeline *pipeline, const struct config *config)
{
    struct memory_bounds bounds;
    char parts[PARTS_BYTES];
    bounds_compute(&bounds, config);
    arena_pool_init(&pipeline->arenas, bounds.idle_arenas);
    pipeline->worker_count = bounds_worker_count(config);
    pipeline->bases_may_change = bounds_bases_may_change(config);
    pipeline->budget_bytes = bounds.batches;
    pipeline->total_bytes = bounds.total;
    pipeline->reply_bytes_max = bounds_reply_bytes(config);
    bounds_tell(parts, sizeof parts, &bounds);
    log_line(LOG_INFO, "pipeline", "%s", parts);
    pipeline->queue_wait_ns_max = config->queue_wait_ms_max * 1000000;
    pipeline->reload_wait_ns = RELOAD_WAIT_NS;
    pipeline->snapshot_interval_ns = config->snapshot_interval_s * 1000000000;
    pipeline->retention_us = config->retention_s * US_PER_SECOND;
    pipeline->commit_batches_max = config->commit_batches_max ? config->commit_batches_max : 1;
    pipeline->history_limits = config->history;
    pipeline->snapshot_ns = clock_steady_ns();
    snprintf(pipeline->ledger_folder, sizeof pipeline->ledger_folder, "%s", config->ledger_folder);
}

/* A segment at a time, behind the last snapshot only. */
static void rows_retain(struct pipeline *pipeline)
{
    struct fault_note note = {0};
    const char *senders[TENANTS_MAX];
    enum ledger_retained retained = RETAINED_NOTHING_OLD;
    uint64_t behind = atomic_load(&pipeline->snapshot_sequence);
    if (pipeline->retention_us == 0 || behind == pipeline->retained_sequence)
        return;
    const struct ledger_retention retention = {.before_us = clock_wall_us() - pipeline->retention_us,
                                               .unsettled_us = clock_wall_us() - 2 * pipeline->retention_us,
                                               .behind = behind,
                                               .senders = senders,
                                               .sender_count = outward_tenants(pipeline->outward, senders, TENANTS_MAX)};
    enum fault fault = pipeline->ledger_ops->retain(pipeline->ledger, &retention, &retained, &note);
    if (fault != FAULT_NONE)
        log_line(LOG_WARN, "pipeline", "old rows cannot be dropped: %s", note.text);
    if (retained == RETAINED_HELD)
        log_line(LOG_WARN, "pipeline", "old rows stay: what was released of them waits for its processor, or may be released yet");
    if (retained != RETAINED_DROPPED)
        pipeline->retained_sequence = behind; /* looked at again behind the next snapshot */
}

static void timer_run(void *argument)
{
    struct pipeline *pipeline = argument;
    const struct timespec tick = {.tv_nsec = TIMER_NS};
    for (bool stopping = false; !stopping;) {
        nanosleep(&tick, NULL);
        line_expire(pipeline);
        associates_expire(pipeline->associates);
        rows_retain(pipeline);
        drift_watch(pipeline);
        epochs_bury(pipeline);
        pthread_mutex_lock(&pipeline->line_lock);
        stopping = pipeline->stopping;
        pthread_mutex_unlock(&pipeline->line_lock);
    }
}

static enum fault threads_start(struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    bool started = workers_start(pipeline, config->pin_workers) &&
                   thread_start(&pipeline->history_thread, "history", CPU_ANY, history_run, pipeline) &&
                   thread_start(&pipeline->ledger_thread, "ledger", CPU_ANY, record_run, pipeline) &&
                   thread_start(&pipeline->ask_thread, "ask", CPU_ANY, ask_run, pipeline) &&
                   thread_start(&pipeline->explain_thread, "explain", CPU_ANY, explain_run, pipeline) &&
                   thread_start(&pipeline->timer_thread, "timer", CPU_ANY, timer_run, pipeline) && bases_run(pipeline);
    return started ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory or no thread to start with");
}

static void budget_set(struct pipeline *pipeline, uint64_t budget_bytes, uint64_t total_bytes)
{
    pthread_mutex_lock(&pipeline->line_lock);
    pipeline->budget_bytes = budget_bytes;
    pipeline->total_bytes = total_bytes;
    pthread_mutex_unlock(&pipeline->line_lock);
}

/* The active base may need more than the configuration tells. */
static enum fault budget_fit(struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    struct memory_bounds bounds;
    if (!pipeline->epoch->base_is_kept || !pipeline->epoch->base)
        return FAULT_NONE;
    bounds_compute(&bounds, config);
    bounds_add_active(&bounds, config, pipeline->epoch->base);
    budget_set(pipeline, bounds.batches, bounds.total);
    return bounds_check(&bounds, config, note);
}

static enum fault ledger_start(struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    const struct ledger_options options = {.folder = config->ledger_folder, .readers = bounds_reader_count(config)};
    struct scene_base *base = NULL;
    bool is_kept = false;
    enum fault fault = pipeline->ledger_ops->open(&pipeline->ledger, &options, note);
    if (fault == FAULT_NONE)
        fault = bases_start(pipeline, note);
    if (fault == FAULT_NONE)
        fault = bases_active_open(&base, &is_kept, pipeline, config, note);
    if (fault == FAULT_NONE)
        fault = epoch_make(&pipeline->epoch, pipeline, config, base, note);
    if (fault != FAULT_NONE)
        return fault;
    pipeline->epoch->base_is_kept = is_kept;
    if ((fault = budget_fit(pipeline, config, note)) != FAULT_NONE)
        return fault;
    bases_reloaded(pipeline, pipeline->epoch);
    pipeline->epoch->number = pipeline->epoch_count = 1;
    record_look(pipeline);
    if ((fault = epoch_keep(pipeline, pipeline->epoch, note)) == FAULT_NONE)
        fault = history_rebuild(pipeline, note);
    if (fault == FAULT_NONE)
        fault = audit_epoch(pipeline, NULL, pipeline->epoch, note);
    return fault == FAULT_NONE ? sequence_start(pipeline, note) : fault;
}

enum fault pipeline_open(struct pipeline **out, const struct config *config, struct fault_note *note)
{
    return pipeline_open_on(out, config, &ledger_sqlite, note);
}

enum fault pipeline_open_on(struct pipeline **out, const struct config *config, const struct ledger_ops *ledger_ops,
                            struct fault_note *note)
{
    struct pipeline *pipeline = memory_take_zeroed(1, sizeof *pipeline);
    if (!pipeline)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the pipeline");
    pipeline->magic = (unsigned)PIPELINE_MAGIC;
    pipeline->ledger_ops = ledger_ops;
    pipeline->history_ops = &history_memory;
    locks_init(pipeline);
    settings_take(pipeline, config);
    enum fault fault = tables_take(pipeline, config) && bases_open(pipeline)
                           ? ledger_start(pipeline, config, note)
                           : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the pipeline's tables");
    if (fault == FAULT_NONE)
        fault = outward_open(&pipeline->outward, pipeline, config, note);
    if (fault == FAULT_NONE)
        fault = signed_on_open(&pipeline->signed_on, config, note);
    if (fault == FAULT_NONE)
        fault = associates_open(&pipeline->associates, pipeline, config, note);
    if (fault == FAULT_NONE)
        fault = threads_start(pipeline, config, note);
    if (fault == FAULT_NONE)
        fault = alarms_open(&pipeline->alarms, pipeline, config, note);
    if (fault != FAULT_NONE) {
        pipeline_close(&pipeline);
        return fault;
    }
    pipeline->opened = true;
    atomic_store(&pipeline->ready, true);
    *out = pipeline;
    return FAULT_NONE;
}

/* --- closing --------------------------------------------------------------------------------------------------------- */

void pipeline_drain(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->line_lock);
    pipeline->draining = true;
    while (pipeline->in_flight > 0)
        pthread_cond_wait(&pipeline->idle, &pipeline->line_lock);
    pthread_mutex_unlock(&pipeline->line_lock);
}

static void threads_stop(struct pipeline *pipeline)
{
    bases_stop(pipeline); /* what it began goes the way of batches */
    associates_stop(pipeline->associates);
    workers_stop(pipeline);
    if (pipeline->history_queue.items)
        queue_close(&pipeline->history_queue);
    if (pipeline->ask_queue.items)
        queue_close(&pipeline->ask_queue);
    if (pipeline->explain_queue.items)
        queue_close(&pipeline->explain_queue);
    thread_join(&pipeline->history_thread);
    pthread_mutex_lock(&pipeline->record_lock);
    pipeline->record_stopping = true;
    pthread_cond_broadcast(&pipeline->record_changed);
    pthread_mutex_unlock(&pipeline->record_lock);
    thread_join(&pipeline->ledger_thread);
    thread_join(&pipeline->ask_thread);
    thread_join(&pipeline->explain_thread);
    thread_join(&pipeline->timer_thread);
}

void pipeline_close(struct pipeline **pipeline_p)
{
    struct pipeline *pipeline = *pipeline_p;
    struct fault_note note = {0};
    *pipeline_p = NULL;
    if (!pipeline)
        return;
    if (pipeline->opened)
        pipeline_drain(pipeline);
    alarms_close(&pipeline->alarms);
    threads_stop(pipeline);
    associates_close(&pipeline->associates);
    outward_close(&pipeline->outward); /* the ledger thread woke it */
    signed_on_close(&pipeline->signed_on);
    if (atomic_load(&pipeline->ready) && history_snapshot(pipeline, &note) != FAULT_NONE)
        log_line(LOG_WARN, "pipeline", "history snapshot failed: %s", note.text);
    if (pipeline->history)
        pipeline->history_ops->close(&pipeline->history);
    epoch_release(&pipeline->epoch);
    bases_close(pipeline);
    if (pipeline->ledger)
        pipeline->ledger_ops->close(&pipeline->ledger);
    arena_pool_fini(&pipeline->arenas);
    queue_fini(&pipeline->history_queue);
    queue_fini(&pipeline->ask_queue);
    queue_fini(&pipeline->explain_queue);
    slices_give(pipeline);
    memory_give(pipeline->registry);
    memory_give(pipeline->record_ring);
    locks_fini(pipeline);
    memory_give(pipeline);
}

/* --- while it runs --------------------------------------------------------------------------------------------------- */

/* What threads, tables and limits were made for at start. */
#define FIXED(member, key) \
    { \
        key, offsetof(struct config, member), sizeof((struct config *)NULL)->member \
    }
static const struct {
    const char *key;
    size_t offset, bytes;
} fixed_keys[] = {
    FIXED(ledger_folder, "ledger"),
    FIXED(limits, "limits"),
    FIXED(history, "history"),
    FIXED(workers, "workers"),
    FIXED(pin_workers, "pin_workers"),
    FIXED(in_flight_max, "in_flight_max"),
    FIXED(connections_max, "connections_max"),
    FIXED(queue_wait_ms_max, "queue_wait_max"),
    FIXED(memory_max, "memory_max"),
    FIXED(snapshot_interval_s, "snapshot_interval"),
    FIXED(retention_s, "retention"),
    FIXED(commit_batches_max, "commit_batches_max"),
    FIXED(sign_on, "sign_on but for its roles"),
    FIXED(associated_count, "associated"),
    FIXED(associated, "associated"),
};

static enum fault config_fits(const struct config *running, const struct config *next, struct fault_note *note)
{
    for (size_t i = 0; i < sizeof fixed_keys / sizeof *fixed_keys; i++)
        if (memcmp((const char *)running + fixed_keys[i].offset, (const char *)next + fixed_keys[i].offset, fixed_keys[i].bytes) != 0)
            return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%s cannot change while the server runs", fixed_keys[i].key);
    return FAULT_NONE;
}

static enum fault epoch_renew(struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    struct epoch *epoch = NULL;
    struct scene_base *base = NULL;
    bool is_kept = false;
    enum fault fault = epoch_await_room(pipeline, EPOCHS_RELOADED, note);
    if (fault == FAULT_NONE)
        fault = bases_active_open(&base, &is_kept, pipeline, config, note);
    if (fault == FAULT_NONE)
        fault = epoch_make(&epoch, pipeline, config, base, note);
    if (fault == FAULT_NONE) {
        epoch->base_is_kept = is_kept;
        fault = epoch_keep(pipeline, epoch, note);
    }
    if (fault == FAULT_NONE)
        fault = audit_epoch(pipeline, pipeline->epoch, epoch, note);
    if (fault == FAULT_NONE) {
        bases_reloaded(pipeline, epoch);
        epoch = epoch_swap(pipeline, epoch);
    }
    epoch_release(&epoch);
    return fault;
}

/* A larger base leaves less for batches: that is taken from them before the base is opened. */
static enum fault reload(struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    struct memory_bounds next;
    uint64_t budget = pipeline->budget_bytes, total = pipeline->total_bytes;
    enum fault fault = config_fits(pipeline->epoch->config, config, note);
    bounds_compute(&next, config); /* less for batches when the base is larger */
    if (pipeline->epoch->base_is_kept && pipeline->epoch->base)
        bounds_add_active(&next, config, pipeline->epoch->base);
    if (fault == FAULT_NONE)
        fault = bounds_check(&next, config, note);
    if (fault != FAULT_NONE)
        return fault;
    budget_set(pipeline, next.batches < budget ? next.batches : budget, total);
    fault = epoch_renew(pipeline, config, note);
    if (fault == FAULT_NONE)
        budget_set(pipeline, next.batches, next.total);
    else
        budget_set(pipeline, budget, total);
    if (fault == FAULT_NONE)
        atomic_fetch_add(&pipeline->metrics.reloads, 1);
    return fault;
}

enum fault pipeline_reload(struct pipeline *pipeline, const struct config *config, struct fault_note *note)
{
    pthread_mutex_lock(&pipeline->bases.change_lock);
    enum fault fault = reload(pipeline, config, note);
    pthread_mutex_unlock(&pipeline->bases.change_lock);
    return fault;
}

bool pipeline_ready(struct pipeline *pipeline, char *why, size_t why_bytes)
{
    pthread_mutex_lock(&pipeline->line_lock);
    bool draining = pipeline->draining, ready = atomic_load(&pipeline->ready), records = atomic_load(&pipeline->records);
    if (records || draining || !ready)
        snprintf(why, why_bytes, "%s", draining ? "draining" : ready ? "" : "history is being rebuilt");
    else
        snprintf(why, why_bytes, "the ledger cannot record: %s", pipeline->record_fault);
    pthread_mutex_unlock(&pipeline->line_lock);
    return ready && records && !draining;
}

bool pipeline_alive(struct pipeline *pipeline)
{
    int64_t now_ns = clock_steady_ns();
    pthread_mutex_lock(&pipeline->line_lock);
    bool waits = atomic_load(&pipeline->asking) == 0 && pipeline->in_flight > atomic_load(&pipeline->labels_resolving);
    uint64_t progress = atomic_load(&pipeline->progress);
    if (!waits || progress != pipeline->alive_progress || pipeline->alive_ns == 0) {
        pipeline->alive_progress = progress;
        pipeline->alive_ns = now_ns;
    }
    bool alive = now_ns - pipeline->alive_ns < 1LL << STANDSTILL_NS_LOG2;
    pthread_mutex_unlock(&pipeline->line_lock);
    return alive;
}
