/* Columns in the order of columns.tbl, then the batch's others in theirs; what is null is left out. */
#include "wire/release.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "wire/pack.h"

enum { NUMBER_BYTES = 40 };

static void put(struct wire_buffer *out, const char *text)
{
    pack_bytes(out, text, strlen(text));
}

/* What is not UTF-8 is told with ? in place of each byte beyond ASCII, as in replies. */
static void put_text(struct wire_buffer *out, struct text text)
{
    bool clean = text_is_utf8(text);
    uint32_t from = 0;
    put(out, "\"");
    for (uint32_t i = 0; i < text.bytes; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        char escaped[8] = "?";
        if (byte >= ' ' && byte != '"' && byte != '\\' && byte != 0x7f && (byte < 0x80 || clean))
            continue;
        if (byte < 0x80)
            snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        pack_bytes(out, text.data + from, i - from);
        put(out, escaped);
        from = i + 1;
    }
    pack_bytes(out, text.data + from, text.bytes - from);
    put(out, "\"");
}

static void put_cell(struct wire_buffer *out, const struct column *column, uint32_t row)
{
    char number[NUMBER_BYTES];
    double real;
    if (column->form == FORM_I64)
        snprintf(number, sizeof number, "%" PRId64, column_i64(column, row));
    else if (column->form == FORM_F64) {
        memcpy(&real, column->data + 8 * (size_t)row, sizeof real);
        snprintf(number, sizeof number, isfinite(real) ? "%.17g" : "null", real);
    } else {
        put_text(out, column_text(column, row));
        return;
    }
    put(out, number);
}

static void put_row(struct wire_buffer *out, const struct batch *batch, uint32_t row)
{
    bool first = true;
    put(out, "{");
    for (uint32_t i = 0; i < COLUMN_COUNT + batch->other_count; i++) {
        const struct column *column = i < COLUMN_COUNT ? &batch->columns[i] : &batch->others[i - COLUMN_COUNT];
        if (!column_is_valid(column, row))
            continue;
        if (!first)
            put(out, ",");
        first = false;
        put_text(out, i < COLUMN_COUNT ? text_of(column_name((uint16_t)i)) : column->name);
        put(out, ":");
        put_cell(out, column, row);
    }
    put(out, "}");
}

void release_begin(struct wire_buffer *out, const struct release_head *head)
{
    char count[NUMBER_BYTES];
    put(out, "{\"id\":");
    put_text(out, text_of(head->id));
    put(out, ",\"tenant\":");
    put_text(out, text_of(head->tenant));
    put(out, ",\"batch\":");
    put_text(out, text_of(head->batch));
    snprintf(count, sizeof count, ",\"rows\":%" PRIu32, head->row_count);
    put(out, count);
    put(out, ",\"transfers\":[");
}

void release_rows(struct wire_buffer *out, const struct batch *batch, const uint32_t *rows, uint32_t row_count, size_t bytes_max,
                  uint32_t *told)
{
    for (uint32_t i = 0; i < row_count && !out->failed && out->bytes <= bytes_max; i++) {
        put(out, (*told)++ ? ",\n" : "\n");
        put_row(out, batch, rows[i]);
    }
}

enum fault release_end(struct wire_buffer *out, struct fault_note *note)
{
    put(out, "]}");
    return pack_done(out, note);
}
