/* A batch's arrays all lie in its arena and are taken once. Rows are marked invalid by one thread, before the batch is
 * cut into slices; after that each slice writes its own rows only. */
#include "batch/batch.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"

enum { ARRAY_ALIGN = 64 };

enum fault batch_init(struct batch *batch, size_t arena_bytes, struct fault_note *note)
{
    *batch = (struct batch){.magic = (unsigned)BATCH_MAGIC};
    if (arena_init(&batch->arena, arena_bytes))
        return FAULT_NONE;
    batch_fini(batch);
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a batch of %zu bytes", arena_bytes);
}

void batch_fini(struct batch *batch)
{
    arena_fini(&batch->arena);
    batch->magic = 0;
}

static void *array_take(struct batch *batch, size_t item_bytes)
{
    return arena_take_zeroed(&batch->arena, item_bytes * batch->row_count, ARRAY_ALIGN);
}

static void *array_take_of(struct batch *batch, enum column_id column, size_t item_bytes)
{
    return batch->columns[column].form == FORM_ABSENT ? NULL : array_take(batch, item_bytes);
}

static enum fault arena_fault(const struct batch *batch, struct fault_note *note)
{
    if (!arena_overflowed(&batch->arena))
        return FAULT_NONE;
    return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "a batch of %u rows does not fit its arena of %zu bytes", batch->row_count,
                     batch->arena.size);
}

enum fault batch_take_checks(struct batch *batch, uint32_t notes_max, struct fault_note *note)
{
    MUST(batch->magic == (unsigned)BATCH_MAGIC);
    if (!batch->facts.invalid)
        batch->facts.invalid = array_take(batch, sizeof *batch->facts.invalid);
    if (!batch->notes) {
        batch->notes = arena_take(&batch->arena, sizeof *batch->notes * notes_max, ARRAY_ALIGN);
        batch->note_max = notes_max;
    }
    return arena_fault(batch, note);
}

/* An observation's device, address and network stand where a payer's do. A label's row has the devices of the transfer
 * that it speaks of. */
static void take_places(struct batch *batch)
{
    struct batch_facts *facts = &batch->facts;
    bool is_observe = op_is_about_accounts(batch->op);
    facts->payer_device = array_take_of(batch, is_observe ? COLUMN_device_id : COLUMN_payer_device, sizeof *facts->payer_device);
    facts->payer_address = array_take_of(batch, is_observe ? COLUMN_address : COLUMN_payer_address, sizeof *facts->payer_address);
    facts->payer_network = array_take_of(batch, is_observe ? COLUMN_network : COLUMN_payer_network, sizeof *facts->payer_network);
    facts->payee_device = array_take_of(batch, COLUMN_payee_device, sizeof *facts->payee_device);
    facts->payee_address = array_take_of(batch, COLUMN_payee_address, sizeof *facts->payee_address);
    facts->payee_network = array_take_of(batch, COLUMN_payee_network, sizeof *facts->payee_network);
    if (batch->op == OP_label && !facts->payer_device)
        facts->payer_device = array_take(batch, sizeof *facts->payer_device);
    if (batch->op == OP_label && !facts->payee_device)
        facts->payee_device = array_take(batch, sizeof *facts->payee_device);
}

enum fault batch_take_facts(struct batch *batch, struct fault_note *note)
{
    MUST(batch->magic == (unsigned)BATCH_MAGIC);
    struct batch_facts *facts = &batch->facts;
    if (facts->time_us)
        return FAULT_NONE;
    if (!facts->invalid)
        facts->invalid = array_take(batch, sizeof *facts->invalid);
    facts->payer = array_take(batch, sizeof *facts->payer);
    facts->payee = array_take(batch, sizeof *facts->payee);
    take_places(batch);
    if (batch->op == OP_screen || batch->op == OP_score) {
        facts->transfer = array_take(batch, sizeof *facts->transfer);
        facts->flags = array_take(batch, sizeof *facts->flags);
    } else if (op_edits_lists(batch->op)) {
        facts->flags = array_take(batch, sizeof *facts->flags);
    }
    facts->amount = array_take(batch, sizeof *facts->amount);
    facts->label = array_take_of(batch, COLUMN_label, sizeof *facts->label);
    facts->time_us = array_take(batch, sizeof *facts->time_us);
    return arena_fault(batch, note);
}

enum fault batch_take_results(struct batch *batch, struct fault_note *note)
{
    MUST(batch->magic == (unsigned)BATCH_MAGIC && !batch->results.verdict);
    struct results *results = &batch->results;
    uint8_t **codes[] = {&results->verdict,   &results->level,     &results->cause,         &results->scene,
                         &results->runner_up, &results->risk_type, &results->countermeasure};
    float **figures[] = {&results->match, &results->runner_match, &results->risk, &results->anomaly_own, &results->anomaly_linked};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        *codes[i] = array_take(batch, sizeof **codes[i]);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        *figures[i] = array_take(batch, sizeof **figures[i]);
    for (size_t i = 0; i < DIMENSION_COUNT; i++)
        results->distance[i] = array_take(batch, sizeof *results->distance[i]);
    results->would = results->rule = NULL;
    results->slice_count = batch_slice_count(batch);
    results->reasons = arena_take_zeroed(&batch->arena, sizeof *results->reasons * results->slice_count, ARRAY_ALIGN);
    return arena_fault(batch, note);
}

enum fault batch_take_rule(struct batch *batch, struct fault_note *note)
{
    batch->results.rule = array_take(batch, sizeof *batch->results.rule);
    return arena_fault(batch, note);
}

enum fault batch_take_would(struct batch *batch, struct fault_note *note)
{
    batch->results.would = array_take(batch, sizeof *batch->results.would);
    return arena_fault(batch, note);
}

uint32_t batch_slice_count(const struct batch *batch)
{
    return batch->row_count / SLICE_ROWS + (batch->row_count % SLICE_ROWS != 0);
}

static void row_note(struct batch *batch, uint32_t row, uint16_t column, enum check_rule rule, const char *format, va_list arguments)
{
    MUST(batch->facts.invalid && row < batch->row_count && (unsigned)rule < RULE_COUNT);
    MUST(column < BATCH_COLUMNS_MAX || column == COLUMN_NONE);
    if (column != COLUMN_NONE)
        batch->rule_counts[column][rule]++;
    if (batch->note_count == batch->note_max)
        return;
    struct check_note *note = &batch->notes[batch->note_count++];
    note->row = row;
    note->column = column;
    vsnprintf(note->text, sizeof note->text, format, arguments);
}

void batch_row_fails(struct batch *batch, uint32_t row, uint16_t column, enum check_rule rule, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    row_note(batch, row, column, rule, format, arguments);
    va_end(arguments);
    batch->facts.invalid[row] = 1;
}

void batch_row_tells(struct batch *batch, uint32_t row, uint16_t column, enum check_rule rule, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    row_note(batch, row, column, rule, format, arguments);
    va_end(arguments);
}

struct text batch_column_name(const struct batch *batch, uint16_t column)
{
    if (column < COLUMN_COUNT || column >= COLUMN_COUNT + batch->other_count)
        return text_of(column_name(column));
    return batch->others[column - COLUMN_COUNT].name;
}

/* Upper bounds, array by array, of what the functions above and the other rooms take. */

enum {
    FACTS_ROW_BYTES = 7 * sizeof(uint64_t) + 2 * sizeof(uint32_t) + 2 * sizeof(int64_t) + 3 * sizeof(uint8_t),
    RESULTS_ROW_BYTES = 9 * sizeof(uint8_t) + (5 + DIMENSION_COUNT) * sizeof(float),
    PRODUCT_ROW_BYTES = sizeof(uint8_t), /* of one that the envelope names */
    REASONS_ROW_BYTES = sizeof(uint32_t) + sizeof(uint8_t) + REASONS_MAX * sizeof(struct reason),
    ARRAYS_MAX = 64,       /* arrays of row_count in facts, results and scratch, each may lose ARRAY_ALIGN */
    ARRAYS_PER_SLICE = 3,  /* of a reason block */
    ARRAYS_PER_COLUMN = 3, /* data, offsets, validity */
};

size_t batch_work_bytes(const struct batch_limits *limits, uint32_t row_count)
{
    size_t slice_count = row_count / SLICE_ROWS + 1;
    size_t row_bytes = FACTS_ROW_BYTES + RESULTS_ROW_BYTES + REASONS_ROW_BYTES + PRODUCT_ROW_BYTES + SCRATCH_ROW_BYTES;
    return row_count * row_bytes + slice_count * (sizeof(struct reason_block) + ARRAYS_PER_SLICE * ARRAY_ALIGN) +
           limits->notes_max * sizeof(struct check_note) + ARRAYS_MAX * ARRAY_ALIGN;
}

size_t batch_decode_bytes(const struct batch_limits *limits, uint32_t row_count, size_t wire_bytes, size_t dict_values, bool in_rows)
{
    size_t padding = (size_t)limits->columns_max * ARRAYS_PER_COLUMN * ARRAY_ALIGN;
    if (!in_rows) /* the values' texts, and intake's scratch: a hash and a mark each */
        return padding + dict_values * (sizeof(struct text) + sizeof(uint64_t) + sizeof(uint8_t));
    size_t column_bytes = ((size_t)row_count + 1) * sizeof(int64_t) + row_count / 8 + 1;
    return padding + limits->columns_max * (column_bytes + sizeof(struct column)) + wire_bytes;
}

size_t batch_arena_bytes(const struct batch_limits *limits, uint32_t row_count, size_t wire_bytes)
{
    size_t dict_values = (size_t)limits->columns_max * limits->dict_values_max;
    if (dict_values > wire_bytes) /* a value costs at least a byte */
        dict_values = wire_bytes;
    size_t columns = batch_decode_bytes(limits, row_count, wire_bytes, dict_values, false);
    size_t rows = batch_decode_bytes(limits, row_count, wire_bytes, 0, true);
    return batch_work_bytes(limits, row_count) + (rows > columns ? rows : columns);
}
