#ifndef SLUICE_COMMAND_SHOW_H
#define SLUICE_COMMAND_SHOW_H

#include <stdio.h>

#include "client/sluice.h"
#include "wire/wire.h"

/* Any checked msgpack value for people. */

/* As JSON; indent < 0: on one line. Bytes are told by their number, texts that are not UTF-8 with U+FFFD. */
void show_json(FILE *out, const struct wire_value *value, int indent);
/* An array of maps as a table of the wanted keys (ended by NULL), in the order of the first row; an empty array prints nothing. */
void show_table(FILE *out, const struct wire_value *rows, const char *const *wanted);
/* As lines of CSV without a head, a cell for each of the columns (ended by NULL); empty where a map has none. */
void show_csv(FILE *out, const struct wire_value *rows, const char *const *columns);
/* That table, or all of each map as a line of JSON. */
void show_page(FILE *out, const struct wire_value *rows, const char *const *wanted, bool as_lines);
void show_time(char *out, size_t out_bytes, int64_t time_us); /* "2026-11-21 08:30:00", UTC */
bool show_reply_top(struct wire_value *out, const struct sluice_reply *reply);

#endif
