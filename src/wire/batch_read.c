/* A batch gets its columns here and nothing else: what a row must have is intake's to say. */
#include "wire/batch_read.h"

#include <stdarg.h>
#include <stdio.h>

#include "wire/lead.h"

enum { NAME_SHOWN_MAX = 40 };

enum fault reader_fault(struct batch_reader *reader, enum fault fault, uint32_t row, struct text column, const char *format, ...)
{
    char what[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    char name[NAME_SHOWN_MAX + 1];
    text_copy(name, sizeof name, column);
    enum column_id known = column_find(column);
    return fault_set(reader->note, fault, row, known == COLUMN_COUNT ? COLUMN_NONE : (uint16_t)known, "column %s: %s", name, what);
}

static enum fault other_column(struct column **out, struct batch_reader *reader, struct text name)
{
    struct batch *batch = reader->batch;
    for (uint32_t i = 0; i < batch->other_count; i++)
        if (text_equal(batch->others[i].name, name))
            return reader_fault(reader, FAULT_schema, ROW_NONE, name, "it is there twice");
    if (name.bytes == 0 || name.bytes > reader->limits->id_bytes_max || !text_is_id(name))
        return reader_fault(reader, FAULT_schema, ROW_NONE, name, "a name is 1 to %u bytes of UTF-8 without control characters",
                            reader->limits->id_bytes_max);
    if (batch->other_count == OTHER_COLUMNS_MAX)
        return reader_fault(reader, FAULT_limit, ROW_NONE, name, "more than %d columns of unknown names", OTHER_COLUMNS_MAX);
    *out = &batch->others[batch->other_count++];
    **out = (struct column){.name = name};
    return FAULT_NONE;
}

enum fault reader_column(struct column **out, struct batch_reader *reader, struct text name)
{
    enum column_id known = column_find(name);
    if (known == COLUMN_COUNT)
        return other_column(out, reader, name);
    struct column *column = &reader->batch->columns[known];
    if (column->name.data)
        return reader_fault(reader, FAULT_schema, ROW_NONE, name, "it is there twice");
    column->name = text_of(column_name((uint16_t)known));
    *out = column;
    return FAULT_NONE;
}

enum fault reader_arena_fault(struct batch_reader *reader)
{
    const struct arena *arena = &reader->batch->arena;
    if (!arena_overflowed(arena))
        return FAULT_NONE;
    return fault_set(reader->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch does not fit its arena of %zu bytes", arena->size);
}

/* One product for all rows is a column that says it in every row: checked, recorded and part of the digest like one that was sent. */
static enum fault product_spread(struct batch_reader *reader, struct text product)
{
    struct batch *batch = reader->batch;
    struct column *column = &batch->columns[COLUMN_product_code];
    bool is_twice = column->form != FORM_ABSENT;
    for (uint32_t i = 0; i < batch->other_count; i++)
        is_twice |= text_equal(batch->others[i].name, text_of("product"));
    if (is_twice)
        return fault_set(reader->note, FAULT_schema, ROW_NONE, COLUMN_product_code, "field product and a column both name the product");
    struct text *value = arena_take(&batch->arena, sizeof *value, 64);
    unsigned char *codes = arena_take_zeroed(&batch->arena, batch->row_count, 64);
    if (!value || !codes)
        return reader_arena_fault(reader);
    *value = product;
    *column = (struct column){
        .form = FORM_DICT8, .name = text_of(column_name(COLUMN_product_code)), .data = codes, .values = value, .value_count = 1};
    return FAULT_NONE;
}

enum fault wire_batch_read(struct batch *batch, const struct request *request, const struct batch_limits *limits, struct fault_note *note)
{
    struct batch_reader reader = {.batch = batch, .limits = limits, .note = note};
    struct wire_value body;
    memset(batch->columns, 0, sizeof batch->columns);
    batch->other_count = 0;
    batch->op = request->op;
    batch->observe_kind = request->observe_kind;
    batch->tenant = request->tenant;
    batch->id = request->id;
    batch->name = request->batch;
    batch->row_count = request->row_count;
    batch->reply_in_rows = request->reply_in_rows;
    if (!request->body || !value_begin(&body, request->body, request->body + request->body_bytes) ||
        body.type != (request->in_rows ? WIRE_ARRAY : WIRE_MAP))
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "the request has no rows");
    body.end = request->body + request->body_bytes;
    enum fault fault = request->in_rows ? rows_read(&reader, &body) : columns_read(&reader, &body);
    return fault == FAULT_NONE && request->product.bytes ? product_spread(&reader, request->product) : fault;
}
