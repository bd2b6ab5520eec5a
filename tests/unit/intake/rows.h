#ifndef SLUICE_TESTS_INTAKE_ROWS_H
#define SLUICE_TESTS_INTAKE_ROWS_H

/* Batches for intake, written as CSV, the shortest form to read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "intake/intake.h"
#include "wire/wire.h"

#define RULES \
    ((struct intake_rules){.limits = BATCH_LIMITS_DEFAULT, \
                           .currencies = {.count = 3, .rates = {{"EUR", 1ull << 32}, {"JPY", 2576980378ull}, {"KWD", 12884901888ull}}}, \
                           .key_seed = 42})

static inline void rows_read(struct batch *batch, enum op op, const char *csv)
{
    struct csv_reader *reader;
    struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    struct fault_note note = {0};
    assert_int_equal(batch_init(batch, batch_arena_bytes(&limits, 1000, 100000), &note), FAULT_NONE);
    assert_int_equal(csv_open_bytes(&reader, csv, strlen(csv), &limits, &note), FAULT_NONE);
    assert_int_equal(csv_read(reader, batch, 1000, &note), FAULT_NONE);
    csv_close(&reader);
    batch->op = op;
}

/* The text columns as dictionaries: one value a row, or one for all when they are the same. */
static inline void rows_to_dict(struct batch *batch)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        struct column *column = &batch->columns[i];
        if (column->form != FORM_STR)
            continue;
        struct text *values = arena_take(&batch->arena, sizeof *values * batch->row_count, 8);
        uint16_t *codes = arena_take(&batch->arena, sizeof *codes * batch->row_count, 8);
        uint32_t count = 0;
        for (uint32_t row = 0; row < batch->row_count; row++) {
            struct text text = column_text(column, row);
            uint32_t code = 0;
            while (code < count && !text_equal(values[code], text))
                code++;
            values[code] = text;
            count += code == count;
            codes[row] = (uint16_t)code;
        }
        *column = (struct column){.form = FORM_DICT16,
                                  .name = column->name,
                                  .data = (unsigned char *)codes,
                                  .valid = column->valid,
                                  .values = values,
                                  .value_count = count};
    }
}

#endif
