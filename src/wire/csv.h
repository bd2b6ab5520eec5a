#ifndef SLUICE_WIRE_CSV_H
#define SLUICE_WIRE_CSV_H

#include "wire/wire.h"

/* What the reader of lines (csv.c), its columns (csv_sink.c) and the JSON form (csv_json.c) share. */

enum { SINKS_MAX = COLUMN_COUNT + OTHER_COLUMNS_MAX };

/* A column in the making. Numbers, offsets and validity lie in the batch's arena from the start; text is gathered in
 * memory of the reader's, because its size is known only at the end, and then copied there. */
struct sink {
    struct text name;      /* a copy of the reader's */
    uint16_t known;        /* enum column_id; COLUMN_NONE: an unknown column */
    enum column_form form; /* FORM_STR, FORM_I64, FORM_F64; FORM_ABSENT: an unknown column of a JSON file without a value yet */
    bool is_time;          /* ISO 8601 is taken beside integers */
    bool is_open;          /* it has a place in the batch that is being read */
    uint32_t row_count;    /* cells put so far */
    unsigned char *cells;  /* offsets or numbers */
    unsigned char *valid;
    bool has_null;
    char *text;
    size_t text_bytes, text_capacity;
};

struct csv_reader {
    unsigned magic;
    int fd;            /* -1: from memory */
    const char *bytes; /* of csv_open_bytes: what is not read yet */
    size_t byte_count;
    char *buffer; /* [start, end) is not consumed yet */
    size_t capacity, start, end;
    bool at_end; /* nothing more comes into the buffer */
    bool is_json;
    uint32_t line; /* of the record at start; counts from 1 */
    char *scratch; /* one field without its quotes; as large as the buffer */
    uint32_t columns_max, notes_max;
    struct sink sinks[SINKS_MAX];
    uint32_t sink_count;
    struct batch *batch;    /* while csv_read runs */
    uint32_t rows_max, row; /* row: the one that is being read */
    struct wrong_cell **wrong_end;
    bool row_is_void, has_rows; /* of the row at hand; of the file: one was read */
    size_t text_bytes;          /* gathered by all sinks in this batch */
    struct fault_note *note;
};

/* One line of the file, or several where a quoted field spans them; without its end. */
struct record {
    const char *at, *end;
    bool has_quote;
};

/* A fault ends the file; what is wrong with a row alone is sink_put_wrong's and row_void's. "line" goes into the note's row;
 * text names an unknown column. sink NULL: the whole line. */
enum fault csv_fault(struct csv_reader *reader, enum fault fault, const struct sink *sink, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
enum fault sink_add(struct csv_reader *reader, struct text name); /* a new one at sinks[sink_count - 1] */
enum fault sink_open(struct csv_reader *reader, struct sink *sink);
enum fault sink_put_text(struct csv_reader *reader, struct sink *sink, const char *data, size_t bytes); /* of FORM_STR */
void sink_put_i64(struct sink *sink, int64_t value);
void sink_put_f64(struct sink *sink, double value);
void sink_put_null(struct sink *sink);
void sink_make_floats(struct sink *sink); /* the integers put so far */
/* Null; the row is invalid, with a note that says what the cell must be. `text`: what the server is to see of it. */
enum fault sink_put_wrong(struct csv_reader *reader, struct sink *sink, struct text text, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* No cell of the row that is being read holds; it is invalid, with this note. */
enum fault row_void(struct csv_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *sink_wanted(const struct sink *sink); /* what its cells must be, for notes */
/* An integer, or for times an ISO 8601 time, as text. */
enum fault sink_put_number_text(struct csv_reader *reader, struct sink *sink, const char *data, size_t bytes);
/* All open sinks become columns of the batch. */
enum fault sinks_finish(struct csv_reader *reader, uint32_t row_count);
void sinks_fini(struct csv_reader *reader);
/* One JSON object as the next row. */
enum fault csv_json_row(struct csv_reader *reader, const struct record *record);

#endif
