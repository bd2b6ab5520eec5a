#ifndef SLUICE_WIRE_BATCH_READ_H
#define SLUICE_WIRE_BATCH_READ_H

#include "wire/wire.h"

/* What the two forms of a batch share. */

struct batch_reader {
    struct batch *batch;
    const struct batch_limits *limits;
    struct fault_note *note;
};
enum fault columns_read(struct batch_reader *reader, const struct wire_value *columns);
enum fault rows_read(struct batch_reader *reader, const struct wire_value *rows);

/* "column <name>: ..." with the column's id where it is a known one. */
enum fault reader_fault(struct batch_reader *reader, enum fault fault, uint32_t row, struct text column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* A new column of that name, its form FORM_ABSENT, its name set: a known one's place or the next other's. NULL: reader->note
 * tells why (name too long or not text, column there twice, too many). */
enum fault reader_column(struct column **out, struct batch_reader *reader, struct text name);
enum fault reader_arena_fault(struct batch_reader *reader);

#endif
