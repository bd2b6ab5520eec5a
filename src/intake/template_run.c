/* Step by step over a chunk of rows: every step is a plain loop over whole words of 64 rows. Validity and bools are bits. Cells that
 * are not valid hold anything that a step may read. A cell that failed stays failed in all that is made of it; only the branch
 * that is not taken, and what `and` and `or` need not know, is not looked at. */
#include <string.h>

#include "base/must.h"
#include "intake/template_internal.h"
#include "intake/template_steps.h"

struct run {
    const struct template_program *program;
    const struct kernels *kernels;
    char *scratch;
    uint32_t first, rows, words; /* of the chunk */
};

static void *lane_of(const struct run *run, uint16_t reg)
{
    return run->scratch + run->program->offsets[reg];
}

/* --- input ------------------------------------------------------------------------------------------------------------ */

static bool is_readable(const struct column *column, enum template_type type)
{
    if (type == TEMPLATE_FLOAT)
        return column->form == FORM_F64;
    if (type == TEMPLATE_TEXT)
        return column->form >= FORM_STR;
    return column->form == FORM_I64;
}

static void load_valid(uint64_t *valid, const struct column *column, const struct run *run)
{
    memset(valid, 0, CHUNK_WORDS * sizeof *valid);
    if (!column->valid)
        memset(valid, 0xff, CHUNK_WORDS * sizeof *valid);
    else
        for (uint32_t byte = 0; byte < (run->rows + 7) / 8; byte++)
            valid[byte / 8] |= (uint64_t)column->valid[run->first / 8 + byte] << byte % 8 * 8;
    for (uint32_t word = 0; word < CHUNK_WORDS; word++) {
        uint32_t rows = run->rows > 64 * word ? run->rows - 64 * word : 0;
        valid[word] &= rows >= 64 ? UINT64_MAX : (UINT64_C(1) << rows) - 1;
    }
}

static void load_texts(struct text_lane *out, const struct column *column, const struct run *run)
{
    for (uint32_t i = 0; i < 64 * run->words; i++) {
        bool is_valid = out->head.valid[i / 64] >> i % 64 & 1;
        out->texts[i] = is_valid ? column_text(column, run->first + i) : (struct text){.data = "", .bytes = 0};
    }
}

static void load(const struct run *run, const struct step *step, const struct column *column)
{
    enum template_type type = run->program->inputs[step->index].type;
    struct lane *out = lane_of(run, step->out);
    bool is_there = column && is_readable(column, type);
    memset(out->head.failed, 0, sizeof out->head.failed);
    if (is_there)
        load_valid(out->head.valid, column, run);
    else
        memset(out->head.valid, 0, sizeof out->head.valid);
    if (type == TEMPLATE_TEXT) {
        load_texts((struct text_lane *)(void *)out, column, run);
        return;
    }
    size_t bytes = 8 * (size_t)run->rows;
    if (is_there)
        memcpy(out->exacts, column->data + 8 * (size_t)run->first, bytes);
    memset((char *)out->exacts + (is_there ? bytes : 0), 0, 8 * 64 * (size_t)run->words - (is_there ? bytes : 0));
    if (type == TEMPLATE_BOOL)
        steps_truth(out->bools, out->exacts, run->words);
    if (type == TEMPLATE_FLOAT)
        steps_finite(out->head.valid, out->floats, run->words);
}

static void fill_constant(const struct run *run, const struct constant *constant)
{
    struct lane *out = lane_of(run, constant->reg);
    memset(out->head.failed, 0, sizeof out->head.failed);
    memset(out->head.valid, constant->is_null ? 0 : 0xff, sizeof out->head.valid);
    for (uint32_t i = 0; i < TEMPLATE_CHUNK; i++)
        switch (constant->type) {
        case TEMPLATE_TEXT:
            ((struct text_lane *)(void *)out)->texts[i] = constant->is_null ? text_of("") : constant->text;
            break;
        case TEMPLATE_FLOAT:
            out->floats[i] = constant->real;
            break;
        case TEMPLATE_BOOL:
            out->bools[i / 64] = constant->exact ? UINT64_MAX : 0;
            break;
        default:
            out->exacts[i] = constant->exact;
        }
}

/* --- output ----------------------------------------------------------------------------------------------------------- */

static void store(const struct run *run, const struct step *step, struct template_cells *cells)
{
    enum template_type type = run->program->outputs[step->index].type;
    const struct lane *lane = lane_of(run, step->a);
    size_t rows = 64 * (size_t)run->words;
    memcpy(cells->valid + run->first / 64, lane->head.valid, run->words * sizeof *cells->valid);
    switch (type) {
    case TEMPLATE_TEXT:
        memcpy(cells->texts + run->first, ((const struct text_lane *)(const void *)lane)->texts, rows * sizeof *cells->texts);
        break;
    case TEMPLATE_FLOAT:
        memcpy(cells->floats + run->first, lane->floats, rows * sizeof *cells->floats);
        break;
    case TEMPLATE_BOOL:
        memcpy(cells->bools + run->first / 64, lane->bools, run->words * sizeof *cells->bools);
        break;
    default:
        memcpy(cells->exacts + run->first, lane->exacts, rows * sizeof *cells->exacts);
    }
}

/* Constants count for rows behind the end as well; what is told ends with the rows. */
static void tell_failures(const struct run *run, const struct step *step, template_failed_fn *failed, void *context)
{
    const struct lane_head *head = lane_of(run, step->a);
    for (uint32_t word = 0; word < run->words; word++) {
        uint64_t any = head->failed[TEMPLATE_OVERFLOW][word] | head->failed[TEMPLATE_BY_ZERO][word];
        for (; any; any &= any - 1) {
            uint32_t row = 64 * word + (uint32_t)__builtin_ctzll(any);
            bool by_zero = head->failed[TEMPLATE_BY_ZERO][word] >> row % 64 & 1;
            if (row < run->rows)
                failed(context, step->index, run->first + row, by_zero ? TEMPLATE_BY_ZERO : TEMPLATE_OVERFLOW);
        }
    }
}

/* --- a chunk ---------------------------------------------------------------------------------------------------------- */

static void step_run(const struct run *run, const struct step *step)
{
    const struct template_program *program = run->program;
    struct lane *out = lane_of(run, step->out);
    const void *a = lane_of(run, step->a), *b = lane_of(run, step->b), *c = lane_of(run, step->c);
    switch (step->op) {
    case STEP_IN:
    case STEP_IN_TEXT:
        steps_in(out, a, &program->lists[step->index], run->words);
        break;
    case STEP_LOOKUP:
        steps_lookup(out, a, &program->tables[step->index], run->words);
        break;
    case STEP_CHOOSE:
        steps_choose(out, a, b, c, (enum template_type)step->index, run->kernels, run->words);
        break;
    case STEP_DEFAULT:
        steps_default(out, a, b, (enum template_type)step->index, run->kernels, run->words);
        break;
    default:
        steps_arithmetic(out, step, a, b, run->kernels, run->words);
    }
}

static void chunk_run(const struct run *run, const struct column *const *columns, struct template_cells *outputs,
                      template_failed_fn *failed, void *context)
{
    const struct template_program *program = run->program;
    for (uint32_t i = 0; i < program->step_count; i++) {
        const struct step *step = &program->steps[i];
        if (step->op == STEP_LOAD)
            load(run, step, columns[step->index]);
        else if (step->op != STEP_STORE)
            step_run(run, step);
        else {
            store(run, step, &outputs[step->index]);
            if (failed)
                tell_failures(run, step, failed, context);
        }
    }
}

void template_run(const struct template_program *program, const struct column *const *columns, uint32_t row_count,
                  struct template_cells *outputs, void *scratch, const struct kernels *kernels, template_failed_fn *failed, void *context)
{
    MUST(program->magic == (unsigned)TEMPLATE_MAGIC);
    struct run run = {.program = program, .kernels = kernels, .scratch = scratch};
    for (uint32_t i = 0; i < program->constant_count; i++)
        fill_constant(&run, &program->constants[i]);
    for (run.first = 0; run.first < row_count; run.first += TEMPLATE_CHUNK) {
        run.rows = row_count - run.first < TEMPLATE_CHUNK ? row_count - run.first : TEMPLATE_CHUNK;
        run.words = (run.rows + 63) / 64;
        chunk_run(&run, columns, outputs, failed, context);
    }
}
