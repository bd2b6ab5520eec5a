/* Every measured row becomes one metrics_row; what they come from differs: a base, or a file of scores. */
#include "pipeline/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "compute/device.h"
#include "verdict/verdict.h"
#include "wire/wire.h"

enum { READ_ROWS = 4096, LINE_BYTES_MEAN_MAX = 512 };

struct measured {
    const struct evaluate_options *options;
    struct evaluation *out;
    struct fault_note *note;
    struct metrics_row *rows;
    uint32_t count, capacity;
};

static enum fault no_memory(struct fault_note *note)
{
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to measure the transfers");
}

static enum fault measured_add(struct measured *measured, const struct metrics_row *row)
{
    if (measured->count == measured->capacity) {
        uint32_t capacity = measured->capacity ? 2 * measured->capacity : 65536;
        struct metrics_row *rows = memory_resize(measured->rows, capacity * sizeof *rows);
        if (!rows)
            return no_memory(measured->note);
        measured->rows = rows;
        measured->capacity = capacity;
    }
    measured->rows[measured->count++] = *row;
    return FAULT_NONE;
}

/* Index of a scene's name; "" and "background" are 0, new names are added. */
static enum fault scene_index(uint8_t *out, struct evaluation *names, struct text name, struct fault_note *note)
{
    *out = 0;
    if (name.bytes == 0)
        return FAULT_NONE;
    for (uint32_t i = 0; i < names->scene_count; i++)
        if (text_equal(name, text_of(names->scene_names[i])))
            return *out = (uint8_t)i, FAULT_NONE;
    if (names->scene_count == SCENES_MAX || name.bytes >= sizeof names->scene_names[0])
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_label, "scene %.*s: more than %d scenes, or the name is too long",
                         (int)(name.bytes < 40 ? name.bytes : 40), name.data, SCENES_MAX - 1);
    *out = (uint8_t)names->scene_count;
    text_copy(names->scene_names[names->scene_count++], sizeof names->scene_names[0], name);
    return FAULT_NONE;
}

static enum fault label_index(uint8_t *out, struct evaluation *names, const struct batch *batch, uint32_t row, struct fault_note *note)
{
    const struct column *labels = &batch->columns[COLUMN_label];
    struct text name = column_is_valid(labels, row) ? column_text(labels, row) : (struct text){0};
    *out = name.bytes == 0 ? METRICS_LABEL_UNKNOWN : 0;
    if (name.bytes == 0 || text_equal(name, text_of("good")))
        return FAULT_NONE;
    return scene_index(out, names, name, note);
}

/* --- with a base ---------------------------------------------------------------------------------------------------- */

struct scoring {
    struct scene_base *base;
    const struct device_ops *ops;
    struct device *device;
    struct resident *resident;
    struct scratch *scratch;
    void *decide_scratch;
    struct strategy strategy;
    struct level_rules levels;
    struct batch results; /* one slice's decisions */
    pthread_mutex_t lock;
};

static void scoring_close(struct scoring *scoring)
{
    if (scoring->scratch)
        scoring->ops->scratch_give(&scoring->scratch);
    if (scoring->resident)
        scoring->ops->release(&scoring->resident);
    if (scoring->device)
        scoring->ops->close(&scoring->device);
    scene_base_close(&scoring->base);
    batch_fini(&scoring->results);
    memory_give(scoring->decide_scratch);
    pthread_mutex_destroy(&scoring->lock);
}

static enum fault scoring_open(struct scoring *scoring, const struct evaluate_options *options, struct fault_note *note)
{
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    const struct device_options device_options = {.cpu_mask = CPU_MASK_ALL, .name = options->device};
    memset(scoring, 0, sizeof *scoring);
    pthread_mutex_init(&scoring->lock, NULL);
    scoring->levels = options->past.config ? options->past.config->levels : LEVEL_RULES_DEFAULT;
    if (options->past.config)
        scoring->strategy = options->past.config->strategy;
    else
        strategy_default(&scoring->strategy);
    scoring->decide_scratch = memory_take_aligned(decide_scratch_bytes(), 64);
    scoring->ops = device_find(options->device);
    if (!scoring->ops)
        return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "no device %.40s in this build", options->device);
    if (!scoring->decide_scratch)
        return no_memory(note);
    enum fault fault = scene_base_open(&scoring->base, options->base_path, note);
    if (fault == FAULT_NONE)
        fault = strategy_bind(&scoring->strategy, scoring->base, note);
    if (fault == FAULT_NONE)
        fault = batch_init(&scoring->results, batch_arena_bytes(&limits, SLICE_ROWS, 0), note);
    if (fault == FAULT_NONE)
        fault = scoring->ops->open(&scoring->device, &device_options, note);
    if (fault == FAULT_NONE)
        fault = scoring->ops->prepare(&scoring->resident, scoring->device, scoring->base, note);
    if (fault == FAULT_NONE)
        fault = scoring->ops->scratch_take(&scoring->scratch, scoring->resident, note);
    return fault;
}

/* Decisions of one slice, as rows 0 … of scoring->results. */
static enum fault decide(struct scoring *scoring, const struct past_slice *slice, struct fault_note *note)
{
    struct batch *results = &scoring->results;
    struct arena arena = results->arena;
    struct scores scores = {0};
    arena_reset(&arena);
    *results = (struct batch){.magic = (unsigned)BATCH_MAGIC, .op = OP_score, .row_count = slice->count, .arena = arena};
    enum fault fault = batch_take_checks(results, 0, note);
    if (fault == FAULT_NONE)
        fault = batch_take_results(results, note);
    if (fault == FAULT_NONE)
        fault = scoring->ops->score(&scores, scoring->scratch, scoring->resident, &slice->features, note);
    if (fault != FAULT_NONE)
        return fault;
    memcpy(results->facts.invalid, slice->batch->facts.invalid + slice->first, slice->count);
    const struct decide_input input = {.base = scoring->base,
                                       .strategy = &scoring->strategy,
                                       .levels = &scoring->levels,
                                       .scores = &scores,
                                       .features = &slice->features,
                                       .kernels = scoring->ops->kernels(scoring->device)};
    return verdict_decide(results, 0, slice->count, &input, scoring->decide_scratch, &scoring->lock, note);
}

static enum fault measure_row(struct measured *measured, const struct scoring *scoring, const struct past_slice *slice, uint32_t i)
{
    const struct batch *batch = slice->batch;
    const struct results *results = &scoring->results.results;
    uint32_t row = slice->first + i;
    struct metrics_row out = {.score = results->risk[i],
                              .named = results->scene[i],
                              .alerted = results->verdict[i] != VERDICT_PASS,
                              .day = (uint32_t)(batch->facts.time_us[row] / US_PER_DAY),
                              .account = batch->facts.payer[row]};
    enum fault fault = label_index(&out.label, measured->out, batch, row, measured->note);
    if (fault == FAULT_NONE)
        fault = measured_add(measured, &out);
    if (fault == FAULT_NONE && measured->options->each) {
        const struct evaluated_row each = {.transfer = column_text(&batch->columns[COLUMN_transfer_id], row),
                                           .scene = scoring->base->scenes[results->scene[i]].name,
                                           .risk = results->risk[i],
                                           .match = results->match[i],
                                           .anomaly = results->anomaly_own[i] > results->anomaly_linked[i] ? results->anomaly_own[i]
                                                                                                           : results->anomaly_linked[i]};
        measured->options->each(measured->options->context, &each);
    }
    return fault;
}

static enum fault measure_slice(struct measured *measured, struct scoring *scoring, const struct past_slice *slice)
{
    const struct evaluate_options *options = measured->options;
    if (!slice->has_features)
        return FAULT_NONE;
    enum fault fault = decide(scoring, slice, measured->note);
    for (uint32_t i = 0; fault == FAULT_NONE && i < slice->count; i++) {
        int64_t time_us = slice->batch->facts.time_us[slice->first + i];
        if (!slice->batch->facts.invalid[slice->first + i] && time_us >= options->from_us && time_us < options->to_us)
            fault = measure_row(measured, scoring, slice, i);
    }
    return fault;
}

static enum fault measure_past(struct measured *measured, struct scoring *scoring)
{
    struct past_options options = measured->options->past;
    struct past *past = NULL;
    struct past_slice slice;
    options.wanted = scoring->base->features;
    options.from_us = measured->options->from_us;
    options.kernels = scoring->ops->kernels(scoring->device);
    enum fault fault = past_open(&past, &options, measured->note);
    while (fault == FAULT_NONE) {
        fault = past_next(past, &slice, measured->note);
        if (fault != FAULT_NONE || slice.count == 0)
            break;
        fault = measure_slice(measured, scoring, &slice);
    }
    if (past) {
        measured->out->rows_read = past_rows(past);
        measured->out->rows_invalid = past_rows_invalid(past);
    }
    past_close(&past);
    return fault;
}

static enum fault measure_base(struct measured *measured)
{
    struct scoring scoring;
    struct evaluation *out = measured->out;
    enum fault fault = scoring_open(&scoring, measured->options, measured->note);
    if (fault == FAULT_NONE) {
        memcpy(out->base_name, scoring.base->name, sizeof out->base_name);
        memcpy(out->base_version, scoring.base->version, sizeof out->base_version);
        digest_to_hex(out->base_digest, scoring.base->digest);
        out->scene_count = scoring.base->scene_count;
        for (uint32_t s = 0; s < out->scene_count; s++)
            memcpy(out->scene_names[s], scoring.base->scenes[s].name, sizeof out->scene_names[s]);
        fault = measure_past(measured, &scoring);
    }
    scoring_close(&scoring);
    return fault;
}

/* --- with a file of scores ------------------------------------------------------------------------------------------ */

struct score {
    struct digest transfer; /* both 0: empty place */
    float risk;
    uint8_t scene;
};

struct score_table {
    struct score *places;
    uint64_t count, size; /* size: a power of two */
};

static struct score *score_place(struct score *places, uint64_t size, struct digest transfer)
{
    uint64_t at = transfer.low & (size - 1);
    while ((places[at].transfer.low || places[at].transfer.high) && !digest_equal(places[at].transfer, transfer))
        at = (at + 1) & (size - 1);
    return &places[at];
}

static enum fault score_put(struct score_table *table, const struct score *score, struct fault_note *note)
{
    if (2 * table->count >= table->size) {
        uint64_t size = table->size ? 2 * table->size : 65536;
        struct score *places = memory_take_zeroed(size, sizeof *places);
        if (!places)
            return no_memory(note);
        for (uint64_t i = 0; i < table->size; i++)
            if (table->places[i].transfer.low || table->places[i].transfer.high)
                *score_place(places, size, table->places[i].transfer) = table->places[i];
        memory_give(table->places);
        table->places = places;
        table->size = size;
    }
    struct score *place = score_place(table->places, table->size, score->transfer);
    if (digest_equal(place->transfer, score->transfer))
        return fault_set(note, FAULT_conflict, ROW_NONE, COLUMN_transfer_id, "a transfer has two scores");
    *place = *score;
    table->count++;
    return FAULT_NONE;
}

typedef enum fault file_rows_fn(void *context, const struct batch *batch, struct fault_note *note);

static enum fault read_file(const char *path, file_rows_fn *take, void *context, struct fault_note *note)
{
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    struct csv_reader *reader = NULL;
    struct batch batch = {0};
    size_t bytes = (size_t)READ_ROWS * LINE_BYTES_MEAN_MAX + (size_t)limits.text_bytes_max * COLUMN_COUNT;
    enum fault fault = batch_init(&batch, batch_arena_bytes(&limits, READ_ROWS, bytes), note);
    if (fault == FAULT_NONE)
        fault = csv_open(&reader, path, &limits, note);
    while (fault == FAULT_NONE) {
        struct arena arena = batch.arena;
        arena_reset(&arena);
        batch = (struct batch){.magic = (unsigned)BATCH_MAGIC, .arena = arena};
        fault = csv_read(reader, &batch, READ_ROWS, note);
        if (fault != FAULT_NONE || batch.row_count == 0)
            break;
        fault = take(context, &batch, note);
    }
    if (reader)
        csv_close(&reader);
    batch_fini(&batch);
    return fault;
}

static const struct column *other_find(const struct batch *batch, const char *name)
{
    for (uint32_t i = 0; i < batch->other_count; i++)
        if (text_equal(batch->others[i].name, text_of(name)))
            return &batch->others[i];
    return NULL;
}

static bool is_text(const struct column *column)
{
    return column && column->form != FORM_ABSENT && column->form != FORM_I64 && column->form != FORM_F64;
}

/* Columns that it does not know come from CSV as text, from JSON lines as numbers. */
static bool number_at(float *out, const struct column *column, uint32_t row)
{
    char digits[64], *end = digits;
    double real;
    if (!column || !column_is_valid(column, row))
        return false;
    if (column->form == FORM_F64)
        return memcpy(&real, column->data + 8 * (size_t)row, sizeof real), *out = (float)real, *out == *out;
    if (!is_text(column))
        return false;
    text_copy(digits, sizeof digits, column_text(column, row));
    *out = strtof(digits, &end);
    return end != digits && *end == '\0' && *out == *out;
}

struct score_reading {
    struct score_table table;
    struct measured *measured;
};

static enum fault take_scores(void *context, const struct batch *batch, struct fault_note *note)
{
    struct score_reading *reading = context;
    const struct column *risk = other_find(batch, "risk"), *scene = other_find(batch, "scene");
    const struct column *transfer = &batch->columns[COLUMN_transfer_id];
    if (!is_text(transfer) || !risk)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "a file of scores has the columns transfer_id and risk");
    for (uint32_t row = 0; row < batch->row_count; row++) {
        struct score score = {0};
        if (!column_is_valid(transfer, row) || !number_at(&score.risk, risk, row))
            return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "score %u: no transfer_id, or risk is no number",
                             (uint32_t)reading->table.count + 1);
        struct text id = column_text(transfer, row);
        score.transfer = hash128(0, id.data, id.bytes);
        enum fault fault = FAULT_NONE;
        if (is_text(scene) && column_is_valid(scene, row))
            fault = scene_index(&score.scene, reading->measured->out, column_text(scene, row), note);
        if (fault == FAULT_NONE)
            fault = score_put(&reading->table, &score, note);
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

static enum fault measure_score(struct score_reading *reading, const struct batch *batch, uint32_t row)
{
    struct measured *measured = reading->measured;
    struct text id = column_text(&batch->columns[COLUMN_transfer_id], row), payer = column_text(&batch->columns[COLUMN_payer_id], row);
    struct digest transfer = hash128(0, id.data, id.bytes);
    const struct score *score = reading->table.size ? score_place(reading->table.places, reading->table.size, transfer) : NULL;
    if (!score || !digest_equal(score->transfer, transfer))
        return fault_set(measured->note, FAULT_not_found, ROW_NONE, COLUMN_transfer_id, "transfer %.*s has no score",
                         (int)(id.bytes < 64 ? id.bytes : 64), id.data);
    struct metrics_row out = {.score = score->risk,
                              .named = score->scene,
                              .account = hash64(0, payer.data, payer.bytes),
                              .day = (uint32_t)(column_i64(&batch->columns[COLUMN_time], row) / US_PER_DAY)};
    enum fault fault = label_index(&out.label, measured->out, batch, row, measured->note);
    return fault == FAULT_NONE ? measured_add(measured, &out) : fault;
}

static enum fault take_labels(void *context, const struct batch *batch, struct fault_note *note)
{
    struct score_reading *reading = context;
    const struct evaluate_options *options = reading->measured->options;
    const struct column *columns = batch->columns, *times = &columns[COLUMN_time];
    if (!is_text(&columns[COLUMN_transfer_id]) || !is_text(&columns[COLUMN_payer_id]) || !is_text(&columns[COLUMN_label]) ||
        times->form != FORM_I64)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE,
                         "labelled transfers have the columns transfer_id, payer_id, time, label");
    enum fault fault = FAULT_NONE;
    for (uint32_t row = 0; fault == FAULT_NONE && row < batch->row_count; row++) {
        reading->measured->out->rows_read++;
        bool whole = column_is_valid(&columns[COLUMN_transfer_id], row) && column_is_valid(&columns[COLUMN_payer_id], row) &&
                     column_is_valid(times, row);
        reading->measured->out->rows_invalid += !whole;
        if (whole && column_i64(times, row) >= options->from_us && column_i64(times, row) < options->to_us)
            fault = measure_score(reading, batch, row);
    }
    return fault;
}

static enum fault measure_scores(struct measured *measured)
{
    struct score_reading reading = {.measured = measured};
    struct evaluation *out = measured->out;
    out->scene_count = 1;
    snprintf(out->scene_names[0], sizeof out->scene_names[0], "background");
    enum fault fault = read_file(measured->options->scores_path, take_scores, &reading, measured->note);
    if (fault == FAULT_NONE)
        fault = read_file(measured->options->past.path, take_labels, &reading, measured->note);
    memory_give(reading.table.places);
    return fault;
}

enum fault evaluate_run(struct evaluation *out, const struct evaluate_options *options, struct fault_note *note)
{
    struct measured measured = {.options = options, .out = out, .note = note};
    memset(out, 0, sizeof *out);
    enum fault fault = options->base_path ? measure_base(&measured) : measure_scores(&measured);
    if (fault == FAULT_NONE && measured.count == 0)
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "no row to measure in %.100s", options->past.path);
    if (fault == FAULT_NONE)
        fault = metrics_measure(&out->metrics, measured.rows, measured.count, out->scene_count, options->card_k, note);
    memory_give(measured.rows);
    return fault;
}
