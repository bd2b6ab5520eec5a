/* A batch as a request in rows form: the one that can say of a single cell that it is of the wrong type. */
#include "wire/pack.h"

/* The columns that are sent. */
struct sent {
    const struct column *columns[COLUMN_COUNT + OTHER_COLUMNS_MAX];
    uint16_t known[COLUMN_COUNT + OTHER_COLUMNS_MAX];
    uint32_t count;
};

static void sent_find(struct sent *out, const struct batch *batch)
{
    out->count = 0;
    for (uint16_t i = 0; i < COLUMN_COUNT; i++)
        if (column_is_sent(batch, i)) {
            out->known[out->count] = i;
            out->columns[out->count++] = &batch->columns[i];
        }
    for (uint32_t i = 0; i < batch->other_count; i++) {
        out->known[out->count] = COLUMN_NONE;
        out->columns[out->count++] = &batch->others[i];
    }
}

static void pack_cell(struct wire_buffer *out, const struct column *column, uint32_t row)
{
    double real;
    if (column->form == FORM_F64)
        wire_pack_f64(out, (memcpy(&real, column->data + 8 * (size_t)row, sizeof real), real));
    else if (column->form == FORM_I64)
        wire_pack_i64(out, column_i64(column, row));
    else
        wire_pack_str(out, column_text(column, row));
}

/* Where text is wanted what was there is no text; a truth value stands for it. */
static void pack_wrong(struct wire_buffer *out, const struct wrong_cell *cell)
{
    wire_pack_text(out, column_name(cell->column));
    if (column_type_of(cell->column) == COLUMN_TEXT)
        wire_pack_bool(out, true);
    else
        pack_clean(out, cell->text);
}

/* *wrong: the first wrong cell at or behind this row; goes to the first behind it. */
static void pack_row(struct wire_buffer *out, const struct batch *batch, const struct sent *sent, uint32_t row,
                     const struct wrong_cell **wrong)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sent->count; i++)
        count += column_is_valid(sent->columns[i], row);
    for (const struct wrong_cell *cell = *wrong; cell && cell->row == row; cell = cell->next)
        count += column_is_sent(batch, cell->column);
    wire_pack_map(out, count);
    for (uint32_t i = 0; i < sent->count; i++) {
        if (!column_is_valid(sent->columns[i], row))
            continue;
        wire_pack_str(out, sent->known[i] != COLUMN_NONE ? text_of(column_name(sent->known[i])) : sent->columns[i]->name);
        pack_cell(out, sent->columns[i], row);
    }
    for (; *wrong && (*wrong)->row == row; *wrong = (*wrong)->next)
        if (column_is_sent(batch, (*wrong)->column))
            pack_wrong(out, *wrong);
}

void pack_request_rows(struct wire_buffer *out, const struct batch *batch)
{
    struct sent sent;
    const struct wrong_cell *wrong = batch->wrong;
    sent_find(&sent, batch);
    wire_pack_text(out, "transfers");
    wire_pack_array(out, batch->row_count);
    for (uint32_t row = 0; row < batch->row_count; row++)
        pack_row(out, batch, &sent, row, &wrong);
}
