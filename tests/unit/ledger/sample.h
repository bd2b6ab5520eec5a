#ifndef SLUICE_TESTS_UNIT_LEDGER_SAMPLE_H
#define SLUICE_TESTS_UNIT_LEDGER_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "batch/batch.h"
#include "ledger/filter.h"

/* Batches for tests and benches of the ledger: filled from a seed, as the rooms before it would leave them. */
struct sample {
    uint32_t rows;
    uint64_t seed;
    bool dicts;                     /* accounts and devices as dictionaries, else as texts */
    bool plain;                     /* no validity bitmaps, no other columns */
    const char *tenant, *id, *name; /* name NULL: the id */
    enum op op;                     /* OP_screen, OP_import, OP_label, OP_observe */
    uint64_t sequence;
    int64_t now_us;
};
enum { SAMPLE_ACCOUNTS = 5000, SAMPLE_SCENES = 6 };

static inline uint64_t sample_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline void sample_transfer(char out[40], uint64_t seed, uint32_t row)
{
    snprintf(out, 40, "t%llu-%07u", (unsigned long long)seed, row);
}

static inline void *sample_take(struct batch *batch, size_t bytes)
{
    void *block = arena_take_zeroed(&batch->arena, bytes, 64);
    MUST(block);
    return block;
}

static inline const unsigned char *sample_valid(struct batch *batch, const struct sample *sample, uint64_t *random)
{
    if (sample->plain)
        return NULL;
    unsigned char *valid = sample_take(batch, sample->rows / 8 + 1);
    for (uint32_t i = 0; i < sample->rows / 8 + 1; i++)
        valid[i] = (unsigned char)(sample_random(random) | sample_random(random));
    return valid;
}

/* A str column whose row i is prefix and the number that `of` gives; prefix NULL: the transfer's id. */
static inline struct column sample_str(struct batch *batch, const struct sample *sample, const char *prefix, uint32_t range,
                                       uint64_t *random)
{
    struct column column = {.form = FORM_STR};
    unsigned char *data = sample_take(batch, 40 * (size_t)sample->rows + 1), *offsets = sample_take(batch, 4 * ((size_t)sample->rows + 1));
    uint32_t at = 0;
    for (uint32_t row = 0; row < sample->rows; row++) {
        char text[40];
        if (prefix)
            snprintf(text, sizeof text, "%s%06u", prefix, (unsigned)(sample_random(random) % range));
        else
            sample_transfer(text, sample->seed, row);
        memcpy(offsets + 4 * (size_t)row, &at, 4);
        memcpy(data + at, text, strlen(text));
        at += (uint32_t)strlen(text);
    }
    memcpy(offsets + 4 * (size_t)sample->rows, &at, 4);
    column.data = data, column.offsets = offsets;
    return column;
}

static inline struct column sample_dict(struct batch *batch, const struct sample *sample, const char *prefix, uint32_t range,
                                        uint64_t *random)
{
    struct column column = {.form = range <= 256 ? FORM_DICT8 : FORM_DICT16, .value_count = range};
    unsigned width = range <= 256 ? 1 : 2;
    struct text *values = sample_take(batch, range * sizeof *values);
    char *data = sample_take(batch, 40 * (size_t)range);
    for (uint32_t i = 0; i < range; i++, data += 40)
        values[i] = (struct text){.data = data, .bytes = (uint32_t)snprintf(data, 40, "%s%06u", prefix, i)};
    unsigned char *codes = sample_take(batch, 4 * (size_t)sample->rows + 1);
    for (uint32_t row = 0; row < sample->rows; row++) {
        uint16_t code = (uint16_t)(sample_random(random) % range);
        memcpy(codes + (size_t)width * row, &code, width);
    }
    column.data = codes, column.values = values;
    return column;
}

static inline struct column sample_i64(struct batch *batch, const struct sample *sample, int64_t base, uint64_t range, uint64_t *random)
{
    struct column column = {.form = FORM_I64};
    unsigned char *data = sample_take(batch, 8 * (size_t)sample->rows + 1);
    for (uint32_t row = 0; row < sample->rows; row++) {
        int64_t value = base + (int64_t)(sample_random(random) % range);
        memcpy(data + 8 * (size_t)row, &value, 8);
    }
    column.data = data;
    return column;
}

static inline void sample_columns(struct batch *batch, const struct sample *sample, uint64_t *random)
{
    struct column *columns = batch->columns;
    columns[COLUMN_transfer_id] = sample_str(batch, sample, NULL, 0, random);
    columns[COLUMN_payer_id] =
        sample->dicts ? sample_dict(batch, sample, "A", SAMPLE_ACCOUNTS, random) : sample_str(batch, sample, "A", SAMPLE_ACCOUNTS, random);
    columns[COLUMN_payee_id] =
        sample->dicts ? sample_dict(batch, sample, "A", SAMPLE_ACCOUNTS, random) : sample_str(batch, sample, "A", SAMPLE_ACCOUNTS, random);
    columns[COLUMN_amount] = sample_i64(batch, sample, 1, 1000000, random);
    columns[COLUMN_time] = sample_i64(batch, sample, 1700000000000000, 86400000000u, random);
    columns[COLUMN_currency] = sample_dict(batch, sample, "C", 3, random);
    columns[COLUMN_channel] = sample_dict(batch, sample, "channel ", 5, random);
    columns[COLUMN_payer_device] = sample->dicts ? sample_dict(batch, sample, "device ", SAMPLE_ACCOUNTS, random)
                                                 : sample_str(batch, sample, "device ", SAMPLE_ACCOUNTS, random);
    columns[COLUMN_payer_network] = sample_dict(batch, sample, "AS", 40, random);
    if (sample->op == OP_import || sample->op == OP_label)
        columns[COLUMN_label] = sample_dict(batch, sample, "scene", 4, random);
    if (sample->plain)
        return;
    columns[COLUMN_memo] = sample_str(batch, sample, "memo no. ", 1000000, random);
    columns[COLUMN_memo].valid = sample_valid(batch, sample, random);
    batch->others[0] = sample_i64(batch, sample, -500000, 1000000, random);
    batch->others[0].form = FORM_F64, batch->others[0].name = text_of("their.figure");
    batch->others[1] = sample_dict(batch, sample, "value ", 300, random);
    batch->others[1].valid = sample_valid(batch, sample, random), batch->others[1].name = text_of("their.kind");
    batch->other_count = 2;
}

static inline void sample_facts(struct batch *batch, const struct sample *sample, uint64_t *random)
{
    MUST(batch_take_facts(batch, NULL) == FAULT_NONE);
    struct batch_facts *facts = &batch->facts;
    static const enum column_id keyed[] = {COLUMN_payer_id, COLUMN_payee_id, COLUMN_payer_device};
    uint64_t *keys[] = {facts->payer, facts->payee, facts->payer_device};
    for (unsigned i = 0; sample->plain && i < 3; i++)
        if (keys[i])
            column_hashes(&batch->columns[keyed[i]], sample->rows, batch->key_seed, keys[i], NULL);
    for (uint32_t row = 0; row < sample->rows; row++) {
        for (unsigned i = 0; i < 3; i++)
            if (keys[i] && !sample->plain)
                keys[i][row] = sample_random(random);
        if (facts->payer_network)
            facts->payer_network[row] = (uint32_t)sample_random(random) % 40 * 0x01000193u;
        if (facts->payer_network && sample->plain)
            facts->payer_network[row] =
                (uint32_t)filter_key(batch->key_seed, FILTER_ACCOUNT, column_text(&batch->columns[COLUMN_payer_network], row));
        facts->amount[row] = column_i64(&batch->columns[COLUMN_amount], row) * (sample->plain ? 1 : 7);
        facts->time_us[row] = column_i64(&batch->columns[COLUMN_time], row);
        facts->invalid[row] = !sample->plain && sample_random(random) % 50 == 0;
        if (facts->label)
            facts->label[row] = (uint8_t)(sample_random(random) % 3);
    }
}

/* One row in 100 is held, one in 500 rejected; both carry reasons. */
static inline void sample_results(struct batch *batch, const struct sample *sample, uint64_t *random)
{
    MUST(batch_take_results(batch, NULL) == FAULT_NONE);
    struct results *results = &batch->results;
    float *figures[] = {results->match,       results->runner_match, results->risk,        results->anomaly_own, results->anomaly_linked,
                        results->distance[0], results->distance[1],  results->distance[2], results->distance[3]};
    for (uint32_t row = 0; row < sample->rows; row++) {
        uint64_t draw = sample_random(random) % 500;
        results->verdict[row] = (uint8_t)(batch->facts.invalid[row] ? VERDICT_INVALID
                                          : draw == 0               ? VERDICT_REJECT
                                          : draw < 6                ? VERDICT_HOLD
                                                                    : VERDICT_PASS);
        bool stopped = results->verdict[row] == VERDICT_HOLD || results->verdict[row] == VERDICT_REJECT;
        results->level[row] = stopped ? LEVEL_HIGH : LEVEL_NONE;
        results->cause[row] = stopped ? CAUSE_SCENE : CAUSE_NONE;
        results->scene[row] = (uint8_t)(stopped ? 1 + sample_random(random) % (SAMPLE_SCENES - 1) : 0);
        results->runner_up[row] = stopped ? 2 : 0;
        results->risk_type[row] = results->scene[row];
        results->countermeasure[row] = stopped;
        for (unsigned i = 0; i < sizeof figures / sizeof *figures; i++)
            figures[i][row] = (float)(sample_random(random) >> 40) / 16777216.0f;
    }
}

static inline void sample_reasons(struct batch *batch, const struct sample *sample, uint64_t *random)
{
    for (uint32_t slice = 0; slice < batch->results.slice_count; slice++) {
        struct reason_block *block = &batch->results.reasons[slice];
        uint32_t first = slice * SLICE_ROWS, end = first + SLICE_ROWS < sample->rows ? first + SLICE_ROWS : sample->rows;
        block->row = sample_take(batch, SLICE_ROWS * sizeof *block->row);
        block->reason_count = sample_take(batch, SLICE_ROWS);
        block->reasons = sample_take(batch, SLICE_ROWS * REASONS_MAX * sizeof *block->reasons);
        for (uint32_t row = first; row < end; row++) {
            if (batch->results.scene[row] == 0)
                continue;
            block->row[block->count] = row;
            block->reason_count[block->count] = (uint8_t)(sample_random(random) % (REASONS_MAX + 1));
            for (unsigned k = 0; k < block->reason_count[block->count]; k++)
                block->reasons[block->count * REASONS_MAX + k] = (struct reason){
                    .feature = (uint16_t)(k * 7), .dimension = (uint16_t)(k % 4), .value = (float)k, .share = (float)(row % 100) / 8.0f};
            block->count++;
        }
    }
}

static inline void sample_make(struct batch *out, const struct sample *sample)
{
    uint64_t random = sample->seed * 77 + 5;
    MUST(batch_init(out, (sample->dicts ? 3u << 20 : 256u << 10) + (size_t)sample->rows * 1000, NULL) == FAULT_NONE);
    out->op = sample->op;
    out->tenant = text_of(sample->tenant ? sample->tenant : "tenant a");
    out->id = text_of(sample->id ? sample->id : "request 1");
    out->name = sample->name ? text_of(sample->name) : out->id;
    out->row_count = sample->rows;
    out->sequence = sample->sequence, out->now_us = sample->now_us;
    out->digest = (struct digest){sample_random(&random), sample_random(&random)};
    out->scene_epoch = 3, out->config_epoch = 4;
    out->reply_in_rows = !sample->plain;
    out->key_seed = sample->seed + 99, out->feedback_delay_us = 604800000000;
    sample_columns(out, sample, &random);
    MUST(batch_take_checks(out, 10, NULL) == FAULT_NONE);
    sample_facts(out, sample, &random);
    for (uint32_t row = 0; row < sample->rows; row++)
        if (out->facts.invalid[row])
            batch_row_fails(out, row, COLUMN_amount, RULE_RANGE, "amount of row %u is not above zero", row);
    if (sample->op == OP_screen) {
        sample_results(out, sample, &random);
        sample_reasons(out, sample, &random);
    }
    MUST(!arena_overflowed(&out->arena));
}

static inline bool sample_column_is_sound(const struct column *column, uint32_t rows)
{
    uint32_t before = 0, bound = 0;
    for (uint32_t row = 0; column->form == FORM_STR && row <= rows; row++, before = bound) {
        memcpy(&bound, column->offsets + 4 * (size_t)row, 4);
        if (bound < before)
            return false;
    }
    for (uint32_t row = 0; column->form >= FORM_DICT8 && row < rows; row++)
        if (column_is_valid(column, row) && column_code(column, row) >= column->value_count)
            return false;
    return true;
}

/* What every decoded batch promises, whatever its bytes were: nothing that is followed leads outside. */
static inline bool sample_is_sound(const struct batch *batch)
{
    const struct results *results = &batch->results;
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        if (!sample_column_is_sound(&batch->columns[i], batch->row_count))
            return false;
    for (unsigned i = 0; i < batch->other_count; i++)
        if (!sample_column_is_sound(&batch->others[i], batch->row_count))
            return false;
    for (uint32_t row = 0; row < batch->row_count; row++)
        if ((results->verdict && results->verdict[row] >= VERDICT_COUNT) || (results->level && results->level[row] >= LEVEL_COUNT) ||
            (results->cause && results->cause[row] >= CAUSE_COUNT))
            return false;
    for (uint32_t i = 0; i < results->slice_count; i++)
        for (uint32_t j = 0; j < results->reasons[i].count; j++)
            if (results->reasons[i].row[j] >= batch->row_count || results->reasons[i].reason_count[j] > REASONS_MAX)
                return false;
    return (unsigned)batch->op < OP_COUNT && (unsigned)batch->observe_kind < OBSERVE_COUNT;
}

static inline bool sample_texts_differ(struct text a, struct text b)
{
    return a.bytes != b.bytes || (a.bytes && memcmp(a.data, b.data, a.bytes) != 0);
}

static inline bool sample_columns_differ(const struct column *a, const struct column *b, uint32_t rows)
{
    if (a->form != b->form || a->value_count != b->value_count || !a->valid != !b->valid)
        return true;
    for (uint32_t row = 0; a->form != FORM_ABSENT && row < rows; row++) {
        if (column_is_valid(a, row) != column_is_valid(b, row))
            return true;
        if (a->form == FORM_I64 || a->form == FORM_F64) {
            if (column_i64(a, row) != column_i64(b, row))
                return true;
        } else if (column_is_valid(a, row) && sample_texts_differ(column_text(a, row), column_text(b, row))) {
            return true;
        }
    }
    return false;
}

static inline bool sample_arrays_differ(const void *a, const void *b, size_t bytes)
{
    return !a != !b || (a && bytes && memcmp(a, b, bytes) != 0);
}

static inline bool sample_reasons_differ(const struct results *a, const struct results *b)
{
    if (a->slice_count != b->slice_count)
        return true;
    for (uint32_t i = 0; i < a->slice_count; i++) {
        const struct reason_block *x = &a->reasons[i], *y = &b->reasons[i];
        if (x->count != y->count || (x->count && (memcmp(x->row, y->row, x->count * sizeof *x->row) != 0 ||
                                                  memcmp(x->reason_count, y->reason_count, x->count) != 0 ||
                                                  memcmp(x->reasons, y->reasons, x->count * REASONS_MAX * sizeof *x->reasons) != 0)))
            return true;
    }
    return false;
}

static inline bool sample_notes_differ(const struct batch *a, const struct batch *b)
{
    bool differ = a->note_count != b->note_count || memcmp(a->rule_counts, b->rule_counts, sizeof a->rule_counts) != 0;
    for (uint32_t i = 0; !differ && i < a->note_count; i++)
        differ = a->notes[i].row != b->notes[i].row || a->notes[i].column != b->notes[i].column ||
                 strcmp(a->notes[i].text, b->notes[i].text) != 0;
    return differ;
}

/* The first difference of all that a frame keeps; NULL: none. */
static inline const char *sample_difference(const struct batch *a, const struct batch *b)
{
    uint32_t rows = a->row_count;
    if (rows != b->row_count || a->op != b->op || a->sequence != b->sequence || a->now_us != b->now_us ||
        !digest_equal(a->digest, b->digest) || a->scene_epoch != b->scene_epoch || a->config_epoch != b->config_epoch ||
        a->observe_kind != b->observe_kind || a->reply_in_rows != b->reply_in_rows || a->key_seed != b->key_seed ||
        a->feedback_delay_us != b->feedback_delay_us || sample_texts_differ(a->tenant, b->tenant) || sample_texts_differ(a->id, b->id) ||
        sample_texts_differ(a->name, b->name))
        return "meta";
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        if (sample_columns_differ(&a->columns[i], &b->columns[i], rows))
            return column_name((uint16_t)i);
    for (unsigned i = 0; i < a->other_count || i < b->other_count; i++)
        if (a->other_count != b->other_count || sample_texts_differ(a->others[i].name, b->others[i].name) ||
            sample_columns_differ(&a->others[i], &b->others[i], rows))
            return "others";
    const struct batch_facts *f = &a->facts, *g = &b->facts;
    if (sample_arrays_differ(f->payer, g->payer, 8 * (size_t)rows) || sample_arrays_differ(f->payee, g->payee, 8 * (size_t)rows) ||
        sample_arrays_differ(f->payer_device, g->payer_device, 8 * (size_t)rows) ||
        sample_arrays_differ(f->payee_device, g->payee_device, 8 * (size_t)rows) ||
        sample_arrays_differ(f->payer_network, g->payer_network, 4 * (size_t)rows) ||
        sample_arrays_differ(f->amount, g->amount, 8 * (size_t)rows) || sample_arrays_differ(f->time_us, g->time_us, 8 * (size_t)rows) ||
        sample_arrays_differ(f->invalid, g->invalid, rows) || sample_arrays_differ(f->label, g->label, rows))
        return "facts";
    const struct results *r = &a->results, *s = &b->results;
    if (sample_arrays_differ(r->verdict, s->verdict, rows) || sample_arrays_differ(r->level, s->level, rows) ||
        sample_arrays_differ(r->cause, s->cause, rows) || sample_arrays_differ(r->scene, s->scene, rows) ||
        sample_arrays_differ(r->runner_up, s->runner_up, rows) || sample_arrays_differ(r->risk_type, s->risk_type, rows) ||
        sample_arrays_differ(r->countermeasure, s->countermeasure, rows) || sample_arrays_differ(r->match, s->match, 4 * (size_t)rows) ||
        sample_arrays_differ(r->runner_match, s->runner_match, 4 * (size_t)rows) ||
        sample_arrays_differ(r->risk, s->risk, 4 * (size_t)rows) ||
        sample_arrays_differ(r->anomaly_own, s->anomaly_own, 4 * (size_t)rows) ||
        sample_arrays_differ(r->anomaly_linked, s->anomaly_linked, 4 * (size_t)rows))
        return "results";
    for (unsigned i = 0; i < DIMENSION_COUNT; i++)
        if (sample_arrays_differ(r->distance[i], s->distance[i], 4 * (size_t)rows))
            return "distance";
    if (sample_reasons_differ(r, s))
        return "reasons";
    return sample_notes_differ(a, b) ? "notes" : NULL;
}

#endif
