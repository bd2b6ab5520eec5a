/* `sluice template`: checks a template, and shows what it makes of rows. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "command/cells.h"
#include "command/command.h"
#include "command/source.h"
#include "intake/template.h"
#include "wire/wire.h"

enum { ROWS_AT_ONCE = 16 * TEMPLATE_CHUNK, WRONG_TOLD_MAX = 20 };

struct options {
    const char *path, *rows;
};

static const struct argp_option argp_options[] = {
    {"rows", 'r', "FILE", 0, "Print what the template makes of these transfers (CSV, JSON lines or columns; - is standard input), as CSV",
     0},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct options *out = state->input;
    if (key == 'r')
        out->rows = argument;
    else if (key == ARGP_KEY_ARG && !out->path)
        out->path = argument;
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "one TEMPLATE, not '%s' as well", argument);
    else if (key == ARGP_KEY_END && !out->path)
        argp_error(state, "no TEMPLATE given");
    else if (key != ARGP_KEY_END)
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp template_argp = {
    .options = argp_options,
    .parser = option_parse,
    .args_doc = "TEMPLATE",
    .doc = "Checks a template of fill logic and says which columns it makes. Known columns have their types; a further column of the rows "
           "has the type that it was read with.",
};

/* --- columns ---------------------------------------------------------------------------------------------------------- */

struct sheet {
    struct template_column columns[TEMPLATE_COLUMNS_MAX];
    uint32_t count, known_count;
};

static void sheet_known(struct sheet *sheet)
{
    static const enum template_type types[] = {
        [COLUMN_TEXT] = TEMPLATE_TEXT, [COLUMN_TIME] = TEMPLATE_TIME, [COLUMN_MONEY] = TEMPLATE_EXACT};
    for (uint16_t i = 0; i < COLUMN_COUNT; i++) {
        sheet->columns[i] = (struct template_column){.type = types[column_type_of(i)]};
        snprintf(sheet->columns[i].name, sizeof sheet->columns[i].name, "%s", column_name(i));
    }
    sheet->count = sheet->known_count = COLUMN_COUNT;
}

static enum template_type type_of(const struct column *column)
{
    return column->form == FORM_F64 ? TEMPLATE_FLOAT : column->form == FORM_I64 ? TEMPLATE_EXACT : TEMPLATE_TEXT;
}

static void sheet_others(struct sheet *sheet, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->other_count; i++) {
        const struct column *column = &batch->others[i];
        if (column->name.bytes > TEMPLATE_NAME_MAX)
            continue; /* no template can name it */
        struct template_column *out = &sheet->columns[sheet->count++];
        *out = (struct template_column){.type = type_of(column)};
        text_copy(out->name, sizeof out->name, column->name);
    }
}

/* --- cells ------------------------------------------------------------------------------------------------------------ */

struct made {
    struct template_cells cells[TEMPLATE_COLUMNS_MAX];
    uint8_t *failed[TEMPLATE_COLUMNS_MAX]; /* by row: 1 + enum template_failure */
    void *scratch;
};

static bool made_take(struct made *made, const struct template_program *program)
{
    made->scratch = memory_take_aligned(template_scratch_bytes(program), 64);
    bool taken = made->scratch != NULL;
    for (uint32_t i = 0; i < template_output_count(program) && taken; i++) {
        char *block = memory_take_aligned(ROWS_AT_ONCE * sizeof(struct text), 64);
        uint64_t *valid = memory_take_zeroed(ROWS_AT_ONCE / 64, sizeof *valid);
        made->failed[i] = memory_take_zeroed(ROWS_AT_ONCE, 1);
        made->cells[i] = (struct template_cells){
            .exacts = (void *)block, .floats = (void *)block, .texts = (void *)block, .bools = (void *)block, .valid = valid};
        taken = block && valid && made->failed[i];
    }
    return taken;
}

static void made_give(struct made *made)
{
    for (uint32_t i = 0; i < TEMPLATE_COLUMNS_MAX; i++) {
        memory_give(made->cells[i].exacts);
        memory_give(made->cells[i].valid);
        memory_give(made->failed[i]);
    }
    memory_give(made->scratch);
}

static void on_failed(void *context, uint32_t output, uint32_t row, enum template_failure failure)
{
    struct made *made = context;
    made->failed[output][row] = (uint8_t)(1 + failure);
}

static void cell_print(const struct made *made, const struct template_column *column, uint32_t output, uint32_t row)
{
    const struct template_cells *cells = &made->cells[output];
    if (made->failed[output][row])
        printf("!%s", template_failure_names[made->failed[output][row] - 1]);
    if (!(cells->valid[row / 64] >> row % 64 & 1))
        return;
    switch (column->type) {
    case TEMPLATE_FLOAT:
        printf("%.17g", cells->floats[row]);
        break;
    case TEMPLATE_BOOL:
        printf("%s", cells->bools[row / 64] >> row % 64 & 1 ? "true" : "false");
        break;
    case TEMPLATE_TEXT:
        cells_print_text(cells->texts[row]);
        break;
    default:
        cells_print_exact(cells->exacts[row], column->scale);
    }
}

static void rows_print(const struct template_program *program, struct made *made, uint32_t row_count)
{
    uint32_t count = template_output_count(program);
    for (uint32_t row = 0; row < row_count; row++)
        for (uint32_t i = 0; i < count; i++) {
            cell_print(made, template_output(program, i), i, row);
            made->failed[i][row] = 0;
            putchar(i + 1 < count ? ',' : '\n');
        }
}

/* By name: a column without any value among these rows is not there, and those behind it have moved up. */
static const struct column *view_find(const struct template_column *wanted, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->other_count; i++)
        if (text_equal(batch->others[i].name, text_of(wanted->name)))
            return &batch->others[i];
    return NULL;
}

static void rows_run(const struct template_program *program, const struct sheet *sheet, const struct batch *batch, struct made *made)
{
    const struct column *views[TEMPLATE_COLUMNS_MAX];
    struct kernels kernels;
    kernels_select(&kernels, CPU_MASK_ALL);
    for (uint32_t i = 0; i < sheet->count; i++)
        views[i] = i < sheet->known_count ? &batch->columns[i] : view_find(&sheet->columns[i], batch);
    template_run(program, views, batch->row_count, made->cells, made->scratch, &kernels, on_failed, made);
    rows_print(program, made, batch->row_count);
}

/* Cells that could not be read are null here. */
static void wrong_tell(uint64_t *told, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->note_count; i++) {
        const char *column = column_name(batch->notes[i].column);
        if ((*told)++ < WRONG_TOLD_MAX)
            fprintf(stderr, "sluice template: %s%s%s\n", column, *column ? ": " : "", batch->notes[i].text);
    }
}

/* --- the command ------------------------------------------------------------------------------------------------------ */

static void columns_print(const struct template_program *program, bool as_head)
{
    uint32_t count = template_output_count(program);
    for (uint32_t i = 0; i < count; i++) {
        const struct template_column *column = template_output(program, i);
        if (as_head)
            printf("%s%s", column->name, i + 1 < count ? "," : "\n");
        else if (column->type == TEMPLATE_EXACT && column->scale)
            printf("%-24s decimal of %u place%s\n", column->name, column->scale, column->scale > 1 ? "s" : "");
        else
            printf("%-24s %s\n", column->name, column->type == TEMPLATE_EXACT ? "int" : template_type_names[column->type]);
    }
}

static enum fault columns_there(const struct template_program *program, const char *path, struct fault_note *note)
{
    return template_output_count(program) ? FAULT_NONE
                                          : fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "%.200s makes no column", path);
}

static enum fault read_and_run(struct source *source, struct sheet *sheet, const char *path, const char *text, size_t bytes,
                               struct fault_note *note)
{
    struct template_program *program = NULL;
    struct made made = {0};
    struct batch batch = {0};
    uint64_t wrong = 0;
    enum fault fault = batch_init(&batch, source_arena_bytes(source, ROWS_AT_ONCE), note);
    if (fault == FAULT_NONE)
        fault = source_read(source, &batch, ROWS_AT_ONCE, note);
    sheet_others(sheet, &batch);
    const struct template_schema schema = {.columns = sheet->columns, .column_count = sheet->count};
    if (fault == FAULT_NONE)
        fault = template_open(&program, path, 1, text, bytes, &schema, note);
    if (fault == FAULT_NONE)
        fault = columns_there(program, path, note);
    if (fault == FAULT_NONE && !made_take(&made, program))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for %u rows", (unsigned)ROWS_AT_ONCE);
    if (fault == FAULT_NONE)
        columns_print(program, true);
    while (fault == FAULT_NONE && batch.row_count > 0) {
        wrong_tell(&wrong, &batch);
        rows_run(program, sheet, &batch, &made);
        fault = source_read(source, &batch, ROWS_AT_ONCE, note);
    }
    if (fault == FAULT_NONE && wrong)
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "cells that cannot be read, taken as null: %llu",
                          (unsigned long long)wrong);
    made_give(&made);
    template_close(&program);
    batch_fini(&batch);
    return fault;
}

int command_template(int argc, char **argv)
{
    struct options options = {0};
    struct fault_note note = {0};
    struct source *source = NULL;
    struct sheet sheet;
    char *text = NULL;
    size_t bytes = 0;
    argp_parse(&template_argp, argc, argv, 0, NULL, &options);
    sheet_known(&sheet);
    enum fault fault = file_read_all(&text, &bytes, options.path, TEMPLATE_TEXT_MAX, &note);
    if (fault == FAULT_NONE && options.rows) {
        fault = source_open(&source, options.rows, &note);
        if (fault == FAULT_NONE)
            fault = read_and_run(source, &sheet, options.path, text, bytes, &note);
        csv_fault_of(&note, options.rows, fault);
    } else if (fault == FAULT_NONE) {
        struct template_program *program;
        const struct template_schema schema = {.columns = sheet.columns, .column_count = sheet.count};
        fault = template_open(&program, options.path, 1, text, bytes, &schema, &note);
        if (fault == FAULT_NONE)
            fault = columns_there(program, options.path, &note);
        if (fault == FAULT_NONE)
            columns_print(program, false);
        template_close(&program);
    }
    source_close(&source);
    memory_give(text);
    return fault == FAULT_NONE ? COMMAND_DONE : command_note_fail("template", &note);
}
