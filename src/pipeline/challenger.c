/* A second base over the same slices. A worker keeps what it scored of a slice until nothing nearer to a reply waits, then scores it
 * under the challenger: replies do not wait for it, and nothing recorded is touched. Where more comes than can be kept, and of every
 * second slice while batches wait in line, rows are skipped, and counted. */
#include "pipeline/challenger.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"

enum { KEPT_SLICES = 8, UNDER_LOAD_ONE_IN = 2 };

struct kept_slice {
    struct challenger *challenger; /* held */
    struct feature_block features;
    float *memory;
    uint64_t sequence;
    uint32_t first, count, tenant;
    struct level_rules levels;
    uint8_t invalid[SLICE_ROWS], flags[SLICE_ROWS], verdict[SLICE_ROWS], scene[SLICE_ROWS];
    float match[SLICE_ROWS], risk[SLICE_ROWS];
    uint64_t key[SLICE_ROWS]; /* of tenant and transfer */
    char id[SLICE_ROWS][SWITCHED_ID_BYTES];
};

struct kept_slices { /* a worker's */
    uint32_t head, count;
    uint64_t turn;
    struct kept_slice slices[KEPT_SLICES];
    struct batch batch; /* what the challenger decides of one */
    struct reason_block reasons;
    pthread_mutex_t lock;
    uint8_t bytes[7][SLICE_ROWS];
    float floats[5 + DIMENSION_COUNT][SLICE_ROWS];
};

static size_t reasons_bytes(void)
{
    return SLICE_ROWS * (sizeof(uint32_t) + 1 + REASONS_MAX * sizeof(struct reason)) + 4096;
}

static size_t block_bytes(void)
{
    return (size_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float);
}

size_t challenger_worker_bytes(void)
{
    return sizeof(struct kept_slices) + KEPT_SLICES * block_bytes() + reasons_bytes();
}

size_t challenger_bytes(uint32_t worker_count)
{
    return sizeof(struct challenger) + REMEMBERED_ROWS * sizeof(struct remembered) + worker_count * sizeof(struct tally);
}

static void results_lay(struct kept_slices *kept)
{
    struct results *results = &kept->batch.results;
    uint8_t **bytes[] = {&results->verdict,   &results->level,     &results->cause,         &results->scene,
                         &results->runner_up, &results->risk_type, &results->countermeasure};
    float **floats[] = {&results->match, &results->runner_match, &results->risk, &results->anomaly_own, &results->anomaly_linked};
    for (uint32_t i = 0; i < 7; i++)
        *bytes[i] = kept->bytes[i];
    for (uint32_t i = 0; i < 5; i++)
        *floats[i] = kept->floats[i];
    for (uint32_t g = 0; g < DIMENSION_COUNT; g++)
        results->distance[g] = kept->floats[5 + g];
    results->reasons = &kept->reasons;
    results->slice_count = 1;
}

bool challenger_worker_open(struct worker *worker)
{
    struct kept_slices *kept = worker->kept = memory_take_zeroed(1, sizeof *kept);
    if (!kept)
        return false;
    pthread_mutex_init(&kept->lock, NULL);
    for (uint32_t i = 0; i < KEPT_SLICES; i++) {
        struct kept_slice *slice = &kept->slices[i];
        slice->memory = memory_take_aligned(block_bytes(), 64);
        if (!slice->memory)
            return false;
        for (uint32_t f = 0; f < FEATURE_COUNT; f++)
            slice->features.column[f] = slice->memory + (size_t)f * SLICE_ROWS;
    }
    if (batch_init(&kept->batch, reasons_bytes(), NULL) != FAULT_NONE)
        return false;
    results_lay(kept);
    return true;
}

void challenger_worker_close(struct worker *worker)
{
    struct kept_slices *kept = worker->kept;
    if (!kept)
        return;
    for (uint32_t i = 0; i < KEPT_SLICES; i++) {
        challenger_release(&kept->slices[i].challenger);
        memory_give(kept->slices[i].memory);
    }
    batch_fini(&kept->batch);
    pthread_mutex_destroy(&kept->lock);
    memory_give(kept);
    worker->kept = NULL;
}

/* --- on and off -------------------------------------------------------------------------------------------------------- */

struct challenger *challenger_hold(struct pipeline *pipeline)
{
    struct challengers *challengers = &pipeline->challengers;
    if (!atomic_load_explicit(&challengers->on, memory_order_relaxed))
        return NULL;
    pthread_mutex_lock(&challengers->lock);
    struct challenger *challenger = challengers->now;
    if (challenger)
        atomic_fetch_add(&challenger->users, 1);
    pthread_mutex_unlock(&challengers->lock);
    return challenger;
}

void challenger_release(struct challenger **challenger_p)
{
    struct challenger *challenger = *challenger_p;
    *challenger_p = NULL;
    if (!challenger || atomic_fetch_sub(&challenger->users, 1) > 1)
        return;
    epoch_release(&challenger->champion);
    epoch_release(&challenger->epoch);
    pthread_mutex_destroy(&challenger->lock);
    memory_give(challenger->tallies);
    memory_give(challenger->remembered);
    memory_give(challenger);
}

static void challenger_put(struct pipeline *pipeline, struct challenger *challenger)
{
    struct challengers *challengers = &pipeline->challengers;
    pthread_mutex_lock(&challengers->lock);
    struct challenger *before = challengers->now;
    challengers->now = challenger;
    atomic_store(&challengers->needs_batch_scope, challenger && challenger->epoch->base->needs_batch_scope);
    atomic_store(&challengers->on, challenger != NULL);
    pthread_mutex_unlock(&challengers->lock);
    if (before)
        log_line(LOG_INFO, "challenger", "base %s %s is no challenger any more", before->epoch->names.base_name,
                 before->epoch->names.base_version);
    challenger_release(&before);
}

void challenger_off(struct pipeline *pipeline)
{
    challenger_put(pipeline, NULL);
}

/* Both epochs are taken over. */
static enum fault challenger_make(struct challenger **out, struct epoch *champion, struct epoch *epoch, struct fault_note *note)
{
    uint32_t workers = epoch->pipeline->worker_count;
    struct challenger *challenger = memory_take_zeroed(1, sizeof *challenger);
    if (!challenger) {
        epoch_release(&champion);
        epoch_release(&epoch);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a challenger");
    }
    atomic_init(&challenger->users, 1);
    pthread_mutex_init(&challenger->lock, NULL);
    challenger->champion = champion;
    challenger->epoch = epoch;
    challenger->since_us = clock_wall_us();
    challenger->worker_count = workers;
    challenger->tallies = memory_take_zeroed(workers, sizeof *challenger->tallies);
    challenger->remembered = memory_take_zeroed(REMEMBERED_ROWS, sizeof *challenger->remembered);
    if (challenger->tallies && challenger->remembered)
        return *out = challenger, FAULT_NONE;
    challenger_release(&challenger);
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a challenger");
}

static enum fault challenger_set(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct challenger *challenger = NULL;
    struct epoch *epoch = NULL, *champion;
    if (!pipeline->workers[0].kept)
        return fault_set(&job->note, FAULT_denied, ROW_NONE, COLUMN_NONE, "no credential had the right model when the server started");
    challenger_off(pipeline); /* its epoch makes room */
    enum fault fault = bases_epoch_named(&epoch, job);
    if (fault != FAULT_NONE)
        return fault;
    champion = epoch_hold(pipeline);
    if (!champion->base || !epoch->base || digest_equal(champion->base->digest, epoch->base->digest)) {
        fault = fault_set(&job->note, FAULT_conflict, ROW_NONE, COLUMN_NONE,
                          champion->base ? "that base is the active one" : "no base is active to compare with");
        epoch_release(&champion);
        epoch_release(&epoch);
        return fault;
    }
    fault = challenger_make(&challenger, champion, epoch, &job->note);
    if (fault == FAULT_NONE) {
        log_line(LOG_INFO, "challenger", "base %s %s challenges %s %s", epoch->names.base_name, epoch->names.base_version,
                 champion->names.base_name, champion->names.base_version);
        challenger_put(pipeline, challenger);
    }
    return fault;
}

/* On the bases' thread, so that no base changes meanwhile. */
void challenger_run(struct job *job)
{
    enum fault fault = FAULT_NONE;
    if (job->request.base.base.bytes == 0 || text_equal(job->request.base.base, text_of("off")))
        challenger_off(job->pipeline);
    else
        fault = challenger_set(job);
    if (fault == FAULT_NONE)
        challenger_tell(job, false);
    if (fault == FAULT_NONE && job->reply.failed)
        fault = fault_set(&job->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the reply");
    if (fault == FAULT_NONE)
        job_answer(job, &job->reply);
    else
        job_fail_note(job);
}

/* --- a slice is kept --------------------------------------------------------------------------------------------------- */

static void add(atomic_uint_fast64_t *counter, uint64_t amount) /* the one writer's */
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

static uint64_t row_key(const struct batch *batch, struct text id)
{
    return hash64(batch->key_seed + batch->tenant_index, id.data, id.bytes) | 1;
}

static void rows_keep(struct kept_slice *out, const struct batch *batch, const struct slice *slice)
{
    const struct column *ids = &batch->columns[COLUMN_transfer_id];
    const struct results *results = &batch->results;
    memcpy(out->invalid, batch->facts.invalid + slice->first, slice->count);
    memcpy(out->flags, batch->facts.flags + slice->first, slice->count);
    memcpy(out->verdict, results->verdict + slice->first, slice->count);
    memcpy(out->scene, results->scene + slice->first, slice->count);
    memcpy(out->match, results->match + slice->first, slice->count * sizeof *out->match);
    memcpy(out->risk, results->risk + slice->first, slice->count * sizeof *out->risk);
    for (uint32_t i = 0; i < slice->count; i++) {
        uint32_t row = slice->first + i;
        struct text id = column_is_valid(ids, row) ? column_text(ids, row) : (struct text){0};
        out->key[i] = id.bytes ? row_key(batch, id) : 0;
        text_copy(out->id[i], sizeof out->id[i], id);
    }
}

/* The worker's features move into the slice, its memory to the worker. */
static void features_swap(struct worker *worker, struct kept_slice *slice)
{
    struct feature_block features = worker->features;
    float *memory = worker->feature_memory;
    worker->features = slice->features;
    worker->feature_memory = slice->memory;
    slice->features = features;
    slice->memory = memory;
}

static bool has_all(const struct batch *batch, const struct scene_base *base)
{
    return !base->needs_batch_scope || batch->facts.in_batch[0];
}

void challenger_slice_keep(struct worker *worker, const struct slice *slice)
{
    const struct job *job = slice->job;
    struct kept_slices *kept = worker->kept;
    struct challenger *challenger = kept && job->batch.op == OP_screen ? challenger_hold(worker->pipeline) : NULL;
    if (!challenger)
        return;
    const struct scene_base *base = challenger->epoch->base;
    bool sampled_out = worker->under_load && kept->turn++ % UNDER_LOAD_ONE_IN != 0;
    if (challenger->champion != job->epoch || kept->count == KEPT_SLICES || sampled_out || !has_all(&job->batch, base)) {
        add(&challenger->tallies[worker->index].skipped, slice->count);
        challenger_release(&challenger);
        return;
    }
    struct kept_slice *out = &kept->slices[(kept->head + kept->count++) % KEPT_SLICES];
    struct feature_set missing;
    for (size_t i = 0; i < sizeof missing.bits / sizeof *missing.bits; i++)
        missing.bits[i] = base->features.bits[i] & ~job->epoch->base->features.bits[i];
    feature_compute(&worker->features, &missing, &job->batch, slice->first, slice->count, &slice->figures, challenger->epoch->kernels);
    features_swap(worker, out);
    out->challenger = challenger;
    out->sequence = job->batch.sequence;
    out->first = slice->first;
    out->count = slice->count;
    out->tenant = job->tenant_index;
    out->levels = levels_of(job);
    rows_keep(out, &job->batch, slice);
}

bool challenger_slices_kept(const struct worker *worker)
{
    return worker->kept && worker->kept->count > 0;
}

/* --- and settled ------------------------------------------------------------------------------------------------------- */

static uint8_t scene_reached(const struct scene_base *base, uint8_t scene, float match)
{
    return scene && match >= base->scenes[scene].threshold ? scene : 0;
}

static void switched_note(struct challenger *challenger, const struct kept_slice *slice, const struct results *results, uint32_t i)
{
    struct switched *out = &challenger->switched[challenger->switched_count++ % SWITCHED_MAX];
    *out = (struct switched){.sequence = slice->sequence,
                             .row = slice->first + i,
                             .tenant = slice->tenant,
                             .verdict = {slice->verdict[i], results->verdict[i]},
                             .scene = {slice->scene[i], results->scene[i]},
                             .match = {slice->match[i], results->match[i]}};
    memcpy(out->id, slice->id[i], sizeof out->id);
}

static uint64_t score_bits(float risk, bool alerted)
{
    uint32_t bits;
    memcpy(&bits, &risk, sizeof bits);
    return bits | (alerted ? 0x80000000u : 0u); /* a risk has no sign */
}

static void row_remember(struct challenger *challenger, const struct kept_slice *slice, const struct results *results, uint32_t i)
{
    uint64_t key = slice->key[i];
    if (!key)
        return;
    struct remembered *place = &challenger->remembered[(key >> 20) % REMEMBERED_ROWS];
    uint64_t scores = score_bits(slice->risk[i], slice->verdict[i] != VERDICT_PASS) |
                      score_bits(results->risk[i], results->verdict[i] != VERDICT_PASS) << 32;
    atomic_store_explicit(&place->scores, scores, memory_order_relaxed);
    atomic_store_explicit(&place->check, key ^ scores, memory_order_relaxed);
}

static uint32_t rows_tally(struct challenger *challenger, struct tally *tally, const struct kept_slice *slice,
                           const struct results *results)
{
    const struct scene_base *champion = challenger->champion->base, *base = challenger->epoch->base;
    uint32_t switched = 0, rows = 0;
    for (uint32_t i = 0; i < slice->count; i++) {
        if (slice->invalid[i])
            continue;
        uint8_t old = slice->verdict[i], new = results->verdict[i];
        add(&tally->verdicts[old][new], 1);
        add(&tally->scenes[scene_reached(champion, slice->scene[i], slice->match[i])]
                          [scene_reached(base, results->scene[i], results->match[i])],
            1);
        add(&tally->tenant_held[slice->tenant][SIDE_CHAMPION], old != VERDICT_PASS);
        add(&tally->tenant_held[slice->tenant][SIDE_CHALLENGER], new != VERDICT_PASS);
        row_remember(challenger, slice, results, i);
        switched += old != new;
        rows++;
    }
    add(&tally->rows, rows);
    add(&tally->tenant_rows[slice->tenant], rows);
    return switched;
}

static enum fault slice_decide(struct worker *worker, struct kept_slice *slice, struct fault_note *note)
{
    const struct epoch *epoch = slice->challenger->epoch;
    struct kept_slices *kept = worker->kept;
    struct scores scores = {0};
    enum fault fault = epoch->device_ops->score(&scores, epoch->scratches[worker->index], epoch->resident, &slice->features, note);
    if (fault != FAULT_NONE)
        return fault;
    const struct decide_input input = {.base = epoch->base,
                                       .without_reasons = true,
                                       .strategy = &epoch->strategy,
                                       .levels = &slice->levels,
                                       .scores = &scores,
                                       .features = &slice->features,
                                       .kernels = epoch->kernels};
    kept->batch.row_count = slice->count;
    kept->batch.facts.invalid = slice->invalid;
    kept->batch.facts.flags = slice->flags;
    arena_reset(&kept->batch.arena);
    return verdict_decide(&kept->batch, 0, slice->count, &input, worker->decide_scratch, &kept->lock, note);
}

void challenger_slice_settle(struct worker *worker)
{
    struct kept_slices *kept = worker->kept;
    struct kept_slice *slice = &kept->slices[kept->head];
    struct challenger *challenger = slice->challenger;
    struct tally *tally = &challenger->tallies[worker->index];
    struct metrics *metrics = &worker->pipeline->metrics;
    struct fault_note note = {0};
    uint32_t switched = 0;
    if (atomic_load(&worker->pipeline->challengers.on) && slice_decide(worker, slice, &note) == FAULT_NONE) {
        switched = rows_tally(challenger, tally, slice, &kept->batch.results);
        atomic_fetch_add_explicit(&metrics->challenger_rows, slice->count, memory_order_relaxed);
        atomic_fetch_add_explicit(&metrics->challenger_switched, switched, memory_order_relaxed);
    } else {
        add(&tally->skipped, slice->count);
    }
    if (switched > 0) {
        pthread_mutex_lock(&challenger->lock);
        for (uint32_t i = 0; i < slice->count; i++)
            if (!slice->invalid[i] && slice->verdict[i] != kept->batch.results.verdict[i])
                switched_note(challenger, slice, &kept->batch.results, i);
        pthread_mutex_unlock(&challenger->lock);
    }
    kept->head = (kept->head + 1) % KEPT_SLICES;
    kept->count--;
    challenger_release(&slice->challenger);
}

/* --- labels ------------------------------------------------------------------------------------------------------------ */

static void label_count(struct challenger *challenger, uint64_t scores, bool bad)
{
    atomic_fetch_add_explicit(&challenger->labelled[bad], 1, memory_order_relaxed);
    for (int side = 0; side < SIDE_COUNT; side++) {
        uint32_t bits = (uint32_t)(scores >> (32 * side)), alerted = bits >> 31;
        float risk;
        bits &= 0x7fffffffu;
        memcpy(&risk, &bits, sizeof risk);
        uint32_t bin = (uint32_t)(risk * (float)RISK_BINS);
        bin = bin < RISK_BINS ? bin : RISK_BINS - 1;
        atomic_fetch_add_explicit(&challenger->risks[side][bad][bin], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&challenger->alerted[side][bad], alerted, memory_order_relaxed);
    }
}

/* Each row that is remembered counts once: with its first label. */
void challenger_labels(const struct job *job)
{
    const struct batch *batch = &job->batch;
    const struct column *ids = &batch->columns[COLUMN_transfer_id], *labels = &batch->columns[COLUMN_label];
    struct challenger *challenger = challenger_hold(job->pipeline);
    for (uint32_t row = 0; challenger && row < batch->row_count; row++) {
        if (batch->facts.invalid[row] || !column_is_valid(ids, row) || !column_is_valid(labels, row) || column_text(labels, row).bytes == 0)
            continue;
        uint64_t key = row_key(batch, column_text(ids, row));
        struct remembered *place = &challenger->remembered[(key >> 20) % REMEMBERED_ROWS];
        uint64_t check = atomic_load_explicit(&place->check, memory_order_relaxed);
        uint64_t scores = atomic_load_explicit(&place->scores, memory_order_relaxed);
        if ((check ^ scores) == key && atomic_compare_exchange_strong(&place->check, &check, 0))
            label_count(challenger, scores, !text_equal(column_text(labels, row), text_of("good")));
    }
    challenger_release(&challenger);
}
