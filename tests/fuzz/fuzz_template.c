/* A template is compiled and, when it can be, run on rows drawn from the same bytes. First byte: rows. */
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "intake/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { COLUMNS = 5, ROWS_MAX = 130 };

static const struct template_column schema_columns[COLUMNS] = {
    {"a", TEMPLATE_EXACT, 0}, {"p", TEMPLATE_EXACT, 2}, {"r", TEMPLATE_FLOAT, 0}, {"t", TEMPLATE_TEXT, 0}, {"w", TEMPLATE_TIME, 0}};
static const struct text keys[] = {{"a", 1}, {"b", 1}, {"cc", 2}};
static const int64_t values[] = {1, -1, INT64_MAX};
static const struct template_table table = {
    .name = "k", .key_type = TEMPLATE_TEXT, .value_type = TEMPLATE_EXACT, .count = 3, .text_keys = keys, .exacts = values};

static void on_failed(void *context, uint32_t output, uint32_t row, enum template_failure failure)
{
    MUST(output < TEMPLATE_COLUMNS_MAX && row < *(uint32_t *)context && failure < TEMPLATE_FAILURE_COUNT);
}

static void run(const struct template_program *program, const uint8_t *data, size_t bytes, uint32_t row_count)
{
    unsigned char cells[8 * ROWS_MAX], valid[ROWS_MAX / 8 + 1], texts[ROWS_MAX];
    uint32_t offsets[ROWS_MAX + 1];
    struct column columns[COLUMNS];
    const struct column *views[COLUMNS];
    struct template_cells made[TEMPLATE_COLUMNS_MAX];
    for (size_t i = 0; i < sizeof cells; i++)
        cells[i] = data[(i * 7 + i / 64) % bytes];
    for (size_t i = 0; i < sizeof valid; i++)
        valid[i] = (unsigned char)(data[i % bytes] | 0x55);
    for (uint32_t i = 0; i <= ROWS_MAX; i++)
        offsets[i] = i, texts[i < ROWS_MAX ? i : 0] = 'a' + i % 3;
    for (int i = 0; i < COLUMNS; i++) {
        columns[i] = (struct column){.form = i == 2 ? FORM_F64 : FORM_I64, .data = cells, .valid = i % 2 ? valid : NULL};
        if (i == 3)
            columns[i] = (struct column){.form = FORM_STR, .data = texts, .offsets = (const void *)offsets, .valid = valid};
        views[i] = &columns[i];
    }
    uint32_t count = template_output_count(program);
    char *room = memory_take_zeroed(count + 1, TEMPLATE_CHUNK * sizeof(struct text) + 256);
    void *scratch = memory_take_aligned(template_scratch_bytes(program), 64);
    MUST(room && scratch);
    for (uint32_t i = 0; i < count; i++) {
        char *at = room + i * (TEMPLATE_CHUNK * sizeof(struct text) + 256);
        made[i] = (struct template_cells){.exacts = (void *)at,
                                          .floats = (void *)at,
                                          .texts = (void *)at,
                                          .bools = (void *)at,
                                          .valid = (void *)(at + TEMPLATE_CHUNK * sizeof(struct text))};
    }
    template_run(program, views, row_count, made, scratch, &kernels_ref, on_failed, &row_count);
    memory_give(scratch);
    memory_give(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct template_schema schema = {schema_columns, COLUMNS, &table, 1};
    struct template_program *program;
    struct fault_note note = {0};
    if (bytes < 2)
        return 0;
    enum fault fault = template_open(&program, "f", 1, (const char *)data + 1, bytes - 1, &schema, &note);
    MUST((fault == FAULT_NONE) == (program != NULL));
    if (program)
        run(program, data, bytes, data[0] % ROWS_MAX);
    else
        MUST(strncmp(note.text, "f:", 2) == 0);
    template_close(&program);
    return 0;
}
