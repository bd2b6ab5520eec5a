/* Scores are kept by the hash of their transfer; then the labelled transfers are read and look theirs up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "intake/intake.h"
#include "pipeline/measured.h"
#include "wire/wire.h"

enum { READ_ROWS = 4096, LINE_BYTES_MEAN_MAX = 512 };

struct score {
    struct digest transfer; /* both 0: empty place */
    float risk, match, anomaly;
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
            return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the scores");
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
        fault = csv_fault_of(note, path, csv_open(&reader, path, &limits, note));
    while (fault == FAULT_NONE) {
        struct arena arena = batch.arena;
        arena_reset(&arena);
        batch = (struct batch){.magic = (unsigned)BATCH_MAGIC, .arena = arena};
        fault = csv_fault_of(note, path, csv_read(reader, &batch, READ_ROWS, note));
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
    bool currencies_differ;
};

/* A column that is there has a number in every row. */
static enum fault take_degree(float *out, bool *known, const char *name, const struct column *column, uint32_t row, struct fault_note *note)
{
    *known = column != NULL;
    if (column && !number_at(out, column, row))
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "a score has a %s that is no number", name);
    return FAULT_NONE;
}

static enum fault take_scores(void *context, const struct batch *batch, struct fault_note *note)
{
    struct score_reading *reading = context;
    struct evaluation *out = reading->measured->out;
    const struct column *risk = other_find(batch, "risk"), *scene = other_find(batch, "scene");
    const struct column *match = other_find(batch, "match"), *anomaly = other_find(batch, "anomaly");
    const struct column *transfer = &batch->columns[COLUMN_transfer_id];
    if (!is_text(transfer) || !risk)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "a file of scores has the columns transfer_id and risk");
    out->knows_scenes = is_text(scene);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        struct score score = {0};
        if (!column_is_valid(transfer, row) || !number_at(&score.risk, risk, row))
            return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "score %u: no transfer_id, or risk is no number",
                             (uint32_t)reading->table.count + 1);
        struct text id = column_text(transfer, row);
        score.transfer = hash128(0, id.data, id.bytes);
        enum fault fault = FAULT_NONE;
        if (is_text(scene) && column_is_valid(scene, row))
            fault = measured_scene(&score.scene, reading->measured, column_text(scene, row));
        if (fault == FAULT_NONE)
            fault = take_degree(&score.match, &out->knows_match, "match", match, row, note);
        if (fault == FAULT_NONE)
            fault = take_degree(&score.anomaly, &out->knows_anomaly, "anomaly", anomaly, row, note);
        if (fault == FAULT_NONE)
            fault = score_put(&reading->table, &score, note);
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

/* Amounts are told while all of them are in one currency that is known. */
static int64_t take_amount(struct score_reading *reading, const struct batch *batch, uint32_t row)
{
    const struct column *amounts = &batch->columns[COLUMN_amount], *currencies = &batch->columns[COLUMN_currency];
    struct evaluation *out = reading->measured->out;
    if (amounts->form != FORM_I64 || !column_is_valid(amounts, row) || !is_text(currencies) || !column_is_valid(currencies, row))
        return 0;
    struct text currency = column_text(currencies, row);
    if (currency.bytes != sizeof out->currency - 1)
        return 0;
    if (out->currency[0] == '\0' && !reading->currencies_differ)
        text_copy(out->currency, sizeof out->currency, currency);
    if (!text_equal(currency, text_of(out->currency)) || currency_exponent(out->currency) < 0) {
        reading->currencies_differ = true;
        out->currency[0] = '\0';
        return 0;
    }
    out->decimals = (uint32_t)currency_exponent(out->currency);
    int64_t amount = column_i64(amounts, row);
    return amount > 0 && amount <= AMOUNT_MAX ? amount : 0;
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
    int64_t time_us = column_i64(&batch->columns[COLUMN_time], row);
    if (time_us < 0 || time_us > TIME_US_MAX)
        return fault_set(measured->note, FAULT_schema, ROW_NONE, COLUMN_time, "transfer %.*s: time out of range",
                         (int)(id.bytes < 64 ? id.bytes : 64), id.data);
    struct metrics_row out[EVALUATE_SIDES] = {{.score = score->risk,
                                               .match = score->match,
                                               .anomaly_own = score->anomaly,
                                               .anomaly_linked = score->anomaly,
                                               .named = score->scene,
                                               .account = hash64(0, payer.data, payer.bytes),
                                               .day = (uint32_t)(time_us / US_PER_DAY),
                                               .amount = take_amount(reading, batch, row)}};
    enum fault fault = measured_label(&out[0].label, measured, batch, row);
    return fault == FAULT_NONE ? measured_add(measured, out, time_us) : fault;
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

enum fault measure_scores(struct measured *measured)
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
