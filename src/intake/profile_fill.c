/* A template's columns into the batch: known ones feed what comes after, the others are recorded beside the request's own. */
#include "intake/profile_internal.h"

static size_t rows_rounded(uint32_t row_count)
{
    return ((size_t)row_count + TEMPLATE_CHUNK - 1) / TEMPLATE_CHUNK * TEMPLATE_CHUNK;
}

static uint32_t slots_for(uint32_t row_count)
{
    uint32_t slots = 2;
    while (slots < 2 * (uint64_t)row_count)
        slots *= 2;
    return slots;
}

size_t stage_arena_bytes(const struct stage *stage, uint32_t row_count)
{
    size_t rows = rows_rounded(row_count), bytes = 0, texts = 0;
    if (!stage->program)
        return 0;
    for (uint32_t i = 0; i < stage->made_count; i++) {
        bool is_text = stage->made[i].column.type == TEMPLATE_TEXT;
        bytes += rows / 8 + rows * (is_text ? sizeof(struct text) + 4 + 8 + 1 : 8) + rows / 8 + 8 * ROWS_ALIGN;
        texts += is_text;
    }
    /* beside it, work that is not given back: a table of texts each; a hash and a mark of each value, of fill and check */
    return bytes + texts * (4 * (size_t)slots_for(row_count) + ROWS_ALIGN) + template_scratch_bytes(stage->program) + ROWS_ALIGN;
}

/* --- cells into columns ------------------------------------------------------------------------------------------------ */

/* The values that differ move to the front; each is there once. */
static enum fault texts_store(struct column *out, struct batch *batch, struct text *texts, struct fault_note *note)
{
    uint32_t slot_count = slots_for(batch->row_count), count = 0;
    uint32_t *slots = arena_take_zeroed(&batch->arena, 4 * (size_t)slot_count, ROWS_ALIGN);
    uint32_t *codes = arena_take(&batch->arena, 4 * (size_t)batch->row_count, ROWS_ALIGN);
    struct text before = {0};
    if (!slots || !codes)
        return profile_arena_fault(batch, note);
    out->form = FORM_DICT32;
    out->data = (const unsigned char *)codes;
    out->values = texts;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        struct text text = texts[row];
        codes[row] = row ? codes[row - 1] : 0;
        if (!column_is_valid(out, row) || (before.data && text.data == before.data && text.bytes == before.bytes))
            continue;
        uint32_t slot = (uint32_t)hash64(batch->key_seed, text.data, text.bytes) & (slot_count - 1);
        while (slots[slot] && !text_equal(texts[slots[slot] - 1], text))
            slot = (slot + 1) & (slot_count - 1);
        if (!slots[slot]) {
            texts[count] = text;
            slots[slot] = ++count;
        }
        codes[row] = slots[slot] - 1;
        before = text;
    }
    out->value_count = count;
    return FAULT_NONE;
}

static enum fault bools_store(struct column *out, struct batch *batch, const uint64_t *bools, struct fault_note *note)
{
    int64_t *cells = arena_take(&batch->arena, 8 * (size_t)batch->row_count, ROWS_ALIGN);
    if (!cells)
        return profile_arena_fault(batch, note);
    for (uint32_t row = 0; row < batch->row_count; row++)
        cells[row] = (int64_t)(bools[row / 64] >> row % 64 & 1);
    out->form = FORM_I64;
    out->data = (const unsigned char *)cells;
    return FAULT_NONE;
}

static enum fault cells_store(struct batch *batch, uint16_t place, const struct template_cells *cells, enum template_type type,
                              struct fault_note *note)
{
    struct column made = {.name = batch_at(batch, place)->name, .valid = (const unsigned char *)cells->valid};
    enum fault fault = FAULT_NONE;
    if (type == TEMPLATE_TEXT) {
        made.form = FORM_DICT32; /* column_is_valid asks it */
        fault = texts_store(&made, batch, cells->texts, note);
    } else if (type == TEMPLATE_BOOL) {
        fault = bools_store(&made, batch, cells->bools, note);
    } else {
        made.form = type == TEMPLATE_FLOAT ? FORM_F64 : FORM_I64;
        made.data = type == TEMPLATE_FLOAT ? (const unsigned char *)cells->floats : (const unsigned char *)cells->exacts;
    }
    if (fault == FAULT_NONE)
        *batch_at(batch, place) = made;
    return fault;
}

/* --- running ----------------------------------------------------------------------------------------------------------- */

struct run {
    struct batch *batch;
    uint16_t places[PROFILE_OUTPUTS_MAX];
    struct template_cells cells[PROFILE_OUTPUTS_MAX];
};

static void on_failed(void *context, uint32_t output, uint32_t row, enum template_failure failure)
{
    struct run *run = context;
    batch_row_tells(run->batch, row, run->places[output], RULE_COMPUTE, "cannot be computed: %s", template_failure_names[failure]);
}

static bool cells_take(struct template_cells *out, struct batch *batch, enum template_type type)
{
    size_t rows = rows_rounded(batch->row_count);
    size_t bytes = type == TEMPLATE_TEXT ? rows * sizeof(struct text) : type == TEMPLATE_BOOL ? rows / 8 : rows * 8;
    void *block = arena_take(&batch->arena, bytes, ROWS_ALIGN);
    *out = (struct template_cells){
        .exacts = block, .floats = block, .texts = block, .bools = block, .valid = arena_take(&batch->arena, rows / 8, ROWS_ALIGN)};
    return block && out->valid;
}

enum fault stage_run(struct batch *batch, const struct stage *stage, const struct kernels *kernels, struct fault_note *note)
{
    const struct column *views[TEMPLATE_COLUMNS_MAX];
    struct run run = {.batch = batch};
    enum fault fault = FAULT_NONE;
    if (!stage->program)
        return FAULT_NONE;
    for (uint32_t i = 0; i < stage->input_count; i++) {
        uint16_t place = batch_place(batch, stage->inputs[i].name);
        views[i] = place == COLUMN_NONE ? NULL : batch_at(batch, place);
    }
    for (uint32_t i = 0; i < stage->made_count && fault == FAULT_NONE; i++) {
        fault = batch_place_take(&run.places[i], batch, stage->made[i].column.name, note);
        if (fault == FAULT_NONE && !cells_take(&run.cells[i], batch, stage->made[i].column.type))
            fault = profile_arena_fault(batch, note);
    }
    void *scratch = arena_take(&batch->arena, template_scratch_bytes(stage->program), ROWS_ALIGN);
    if (fault == FAULT_NONE && !scratch)
        fault = profile_arena_fault(batch, note);
    if (fault != FAULT_NONE)
        return fault;
    template_run(stage->program, views, batch->row_count, run.cells, scratch, kernels, on_failed, &run);
    for (uint32_t i = 0; i < stage->made_count && fault == FAULT_NONE; i++)
        fault = cells_store(batch, run.places[i], &run.cells[i], stage->made[i].column.type, note);
    return fault;
}
