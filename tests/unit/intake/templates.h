#ifndef SLUICE_TESTS_TEMPLATES_H
#define SLUICE_TESTS_TEMPLATES_H

/* Rows to run templates on, and what they made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"
#include "intake/template.h"

enum { ROWS_MAX = 3000, OUTPUTS_MAX = 8 };

/* Columns: a and b ints, price of 2 places, rate a float, memo and country texts, flag a bool, at a time. */
static const struct template_column schema_columns[] = {
    {"a", TEMPLATE_EXACT, 0},   {"b", TEMPLATE_EXACT, 0},      {"price", TEMPLATE_EXACT, 2}, {"rate", TEMPLATE_FLOAT, 0},
    {"memo", TEMPLATE_TEXT, 0}, {"country", TEMPLATE_TEXT, 0}, {"flag", TEMPLATE_BOOL, 0},   {"at", TEMPLATE_TIME, 0},
};
enum { COLUMNS = sizeof schema_columns / sizeof *schema_columns };

static const struct text country_keys[] = {{"DE", 2}, {"FR", 2}, {"Iceland", 7}};
static const int64_t country_risks[] = {100, 250, 5};
static const int64_t number_keys[] = {-5, 0, 7};
static const struct text number_names[] = {{"minus five", 10}, {"nought", 6}, {"seven", 5}};
static const struct template_table tables[] = {
    {.name = "risk_of",
     .key_type = TEMPLATE_TEXT,
     .value_type = TEMPLATE_EXACT,
     .value_scale = 2,
     .count = 3,
     .text_keys = country_keys,
     .exacts = country_risks},
    {.name = "name_of",
     .key_type = TEMPLATE_EXACT,
     .value_type = TEMPLATE_TEXT,
     .count = 3,
     .exact_keys = number_keys,
     .texts = number_names},
};
static const struct template_schema schema = {schema_columns, COLUMNS, tables, 2};

/* Rows of all columns, and the columns of a batch over them. */
struct rows {
    uint32_t count;
    int64_t exacts[COLUMNS][ROWS_MAX];
    double floats[ROWS_MAX];
    char texts[ROWS_MAX * 8];
    uint32_t offsets[2][ROWS_MAX + 1];
    unsigned char valid[COLUMNS][ROWS_MAX / 8 + 1];
    char bytes[2][ROWS_MAX * 8];
    struct column columns[COLUMNS];
    const struct column *views[COLUMNS];
};

static inline void rows_bind(struct rows *rows)
{
    for (uint32_t i = 0; i < COLUMNS; i++) {
        struct column *column = &rows->columns[i];
        enum template_type type = schema_columns[i].type;
        *column = (struct column){.form = FORM_I64, .data = (const void *)rows->exacts[i], .valid = rows->valid[i]};
        if (type == TEMPLATE_FLOAT)
            *column = (struct column){.form = FORM_F64, .data = (const void *)rows->floats, .valid = rows->valid[i]};
        if (type == TEMPLATE_TEXT)
            *column = (struct column){.form = FORM_STR,
                                      .data = (const void *)rows->bytes[i - 4],
                                      .offsets = (const void *)rows->offsets[i - 4],
                                      .valid = rows->valid[i]};
        rows->views[i] = column;
    }
}

struct made {
    struct template_program *program;
    struct template_cells cells[OUTPUTS_MAX];
    uint8_t failed[OUTPUTS_MAX][ROWS_MAX + TEMPLATE_CHUNK]; /* 1 + failure */
};

static inline void on_failed(void *context, uint32_t output, uint32_t row, enum template_failure failure)
{
    struct made *made = context;
    assert_int_equal(made->failed[output][row], 0);
    made->failed[output][row] = (uint8_t)(1 + failure);
}

/* Each run with another of what this machine has. */
static inline const struct kernels *test_kernels(void)
{
    static const unsigned masks[] = {0, CPU_AVX2 | CPU_NEON, CPU_MASK_ALL};
    static struct kernels kernels;
    static unsigned turn;
    kernels_select(&kernels, masks[turn++ % 3]);
    return &kernels;
}

static inline void made_run(struct made *made, const char *source, const struct rows *rows)
{
    struct fault_note note = {0};
    *made = (struct made){0};
    if (template_open(&made->program, "t", 1, source, strlen(source), &schema, &note) != FAULT_NONE)
        fail_msg("%s\n%s", source, note.text);
    size_t room = (rows->count + TEMPLATE_CHUNK - 1) / TEMPLATE_CHUNK * TEMPLATE_CHUNK;
    assert_true(template_output_count(made->program) <= OUTPUTS_MAX);
    for (uint32_t i = 0; i < template_output_count(made->program); i++)
        made->cells[i] = (struct template_cells){.exacts = calloc(room, 8),
                                                 .floats = calloc(room, 8),
                                                 .texts = calloc(room, 16),
                                                 .bools = calloc(room / 8 + 8, 1),
                                                 .valid = calloc(room / 8 + 8, 1)};
    void *scratch = memory_take_aligned(template_scratch_bytes(made->program), 64);
    memset(scratch, 0xa5, template_scratch_bytes(made->program)); /* nothing is read before it is written */
    template_run(made->program, rows->views, rows->count, made->cells, scratch, test_kernels(), on_failed, made);
    memory_give(scratch);
}

static inline void made_free(struct made *made)
{
    for (uint32_t i = 0; i < OUTPUTS_MAX; i++) {
        free(made->cells[i].exacts);
        free(made->cells[i].floats);
        free(made->cells[i].texts);
        free(made->cells[i].bools);
        free(made->cells[i].valid);
    }
    template_close(&made->program);
    assert_null(made->program);
}

static inline bool bit(const uint64_t *bits, uint32_t row)
{
    return bits[row / 64] >> row % 64 & 1;
}

static inline void cell_text(char out[64], const struct made *made, uint32_t output, uint32_t row)
{
    const struct template_column *column = template_output(made->program, output);
    const struct template_cells *cells = &made->cells[output];
    if (!bit(cells->valid, row)) {
        snprintf(out, 64, "%s", made->failed[output][row] ? template_failure_names[made->failed[output][row] - 1] : "null");
        return;
    }
    switch (column->type) {
    case TEMPLATE_FLOAT:
        snprintf(out, 64, "%g", cells->floats[row]);
        break;
    case TEMPLATE_TEXT:
        text_copy(out, 64, cells->texts[row]);
        break;
    case TEMPLATE_BOOL:
        snprintf(out, 64, "%s", bit(cells->bools, row) ? "true" : "false");
        break;
    default:
        snprintf(out, 64, "%lld", (long long)cells->exacts[row]);
    }
}

#endif
