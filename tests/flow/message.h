#ifndef SLUICE_TESTS_FLOW_MESSAGE_H
#define SLUICE_TESTS_FLOW_MESSAGE_H

#include "flow/harness.h"
#include "wire/wire.h"

/* Messages as bytes, for what the client library would never send, and for reading replies field by field. */

/* Version, op, tenant, token and id of tenant "flow", with room for further pairs. */
void message_begin(struct wire_buffer *out, const char *op, const char *id, uint32_t further_pairs);
void message_begin_as(struct wire_buffer *out, const char *tenant, const char *token, const char *op, const char *id,
                      uint32_t further_pairs);
void message_pair(struct wire_buffer *out, const char *key, const char *value);
void message_integer(struct wire_buffer *out, const char *key, int64_t value);
/* Rows of a table as a list of maps (the rows form), numbers as numbers, empty cells left out. */
void message_transfers(struct wire_buffer *out, const struct table *table, uint32_t first, uint32_t count, const char *const *left_out);
/* A column {type, data}, {type, offsets, data}. */
void message_column_i64(struct wire_buffer *out, const char *name, const int64_t *values, uint32_t count);
void message_column_str(struct wire_buffer *out, const char *name, const char *const *values, uint32_t count);

struct wire_value message_map(const void *bytes, size_t byte_count); /* MUST be one */
struct wire_value reply_map(const struct sluice_reply *reply);
bool map_text(char *out, size_t out_bytes, const struct wire_value *map, const char *key);
double map_number(const struct wire_value *map, const char *key); /* MUST be one */

/* Sends over a bare socket; the fault of the answer, "ok", or "silence". Gives the buffer's memory back. */
const char *message_ask(const char *url, struct wire_buffer *message);
extern char message_note[256]; /* text of the first note of the last fault */

#endif
