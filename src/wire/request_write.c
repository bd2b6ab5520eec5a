/* The client's side: a batch as a request, in columns form where it can be. Columns that the op does not take stay at home. */
#include "base/must.h"
#include "wire/pack.h"

bool column_is_sent(const struct batch *batch, uint16_t column)
{
    return batch->columns[column].form != FORM_ABSENT && column_taken_by(column, batch->op);
}

static void pack_valid(struct wire_buffer *out, const struct column *column, uint32_t row_count)
{
    if (column->valid)
        pack_key_bin(out, "valid", column->valid, ((size_t)row_count + 7) / 8);
}

static void pack_number(struct wire_buffer *out, const struct column *column, uint32_t row_count)
{
    wire_pack_map(out, 2 + (column->valid != NULL));
    pack_key_text(out, "type", column->form == FORM_I64 ? "i64" : "f64");
    pack_key_bin(out, "data", column->data, 8 * (size_t)row_count);
    pack_valid(out, column, row_count);
}

static void pack_str(struct wire_buffer *out, const struct column *column, uint32_t row_count)
{
    uint32_t data_bytes;
    memcpy(&data_bytes, column->offsets + 4 * (size_t)row_count, sizeof data_bytes);
    wire_pack_map(out, 3 + (column->valid != NULL));
    pack_key_text(out, "type", "str");
    pack_key_bin(out, "offsets", column->offsets, 4 * ((size_t)row_count + 1));
    pack_key_bin(out, "data", column->data, data_bytes);
    pack_valid(out, column, row_count);
}

static void pack_dict(struct wire_buffer *out, const struct column *column, uint32_t row_count)
{
    static const char *const code_names[] = {"u8", "u16", "u32"};
    unsigned width = column->form - FORM_DICT8;
    wire_pack_map(out, 4 + (column->valid != NULL));
    pack_key_text(out, "type", "dict");
    wire_pack_text(out, "values");
    wire_pack_array(out, column->value_count);
    for (uint32_t i = 0; i < column->value_count; i++)
        wire_pack_str(out, column->values[i]);
    pack_key_text(out, "code", code_names[width]);
    pack_key_bin(out, "codes", column->data, (size_t)row_count << width);
    pack_valid(out, column, row_count);
}

static void pack_column(struct wire_buffer *out, const struct column *column, struct text name, uint32_t row_count)
{
    wire_pack_str(out, name);
    if (column->form == FORM_STR)
        pack_str(out, column, row_count);
    else if (column->form == FORM_I64 || column->form == FORM_F64)
        pack_number(out, column, row_count);
    else
        pack_dict(out, column, row_count);
}

static size_t column_bytes(const struct column *column, uint32_t row_count)
{
    uint32_t data_bytes = 0;
    if (column->form == FORM_STR)
        memcpy(&data_bytes, column->offsets + 4 * (size_t)row_count, sizeof data_bytes);
    return data_bytes + 9 * (size_t)row_count + 128;
}

static void pack_columns(struct wire_buffer *out, const struct batch *batch)
{
    uint32_t count = batch->other_count;
    size_t bytes = 0;
    for (uint16_t i = 0; i < COLUMN_COUNT; i++)
        if (column_is_sent(batch, i))
            count++, bytes += column_bytes(&batch->columns[i], batch->row_count);
    for (uint32_t i = 0; i < batch->other_count; i++)
        bytes += column_bytes(&batch->others[i], batch->row_count);
    pack_reserve(out, bytes);
    wire_pack_text(out, "columns");
    wire_pack_map(out, count);
    for (uint16_t i = 0; i < COLUMN_COUNT; i++)
        if (column_is_sent(batch, i))
            pack_column(out, &batch->columns[i], text_of(column_name(i)), batch->row_count);
    for (uint32_t i = 0; i < batch->other_count; i++)
        pack_column(out, &batch->others[i], batch->others[i].name, batch->row_count);
}

enum fault wire_request_write(struct wire_buffer *out, const struct batch *batch, struct text token, int64_t deadline_ms,
                              struct fault_note *note)
{
    MUST(op_carries_rows(batch->op));
    bool is_observe = batch->op == OP_observe;
    wire_pack_map(out, 8 + (deadline_ms > 0) + is_observe);
    pack_key_i64(out, "v", 1);
    pack_key_text(out, "op", op_names[batch->op]);
    pack_key_str(out, "tenant", batch->tenant);
    pack_key_str(out, "token", token);
    pack_key_str(out, "id", batch->id);
    pack_key_str(out, "batch", batch->name);
    if (batch->wrong)
        pack_key_text(out, "form", "columns"); /* of the reply */
    else
        pack_key_i64(out, "rows", batch->row_count);
    if (deadline_ms > 0)
        pack_key_i64(out, "deadline_ms", deadline_ms);
    if (is_observe)
        pack_key_text(out, "kind", observe_names[batch->observe_kind]);
    if (batch->wrong)
        pack_request_rows(out, batch);
    else
        pack_columns(out, batch);
    return pack_done(out, note);
}
