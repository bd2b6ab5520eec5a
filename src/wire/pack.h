#ifndef SLUICE_WIRE_PACK_H
#define SLUICE_WIRE_PACK_H

#include "wire/wire.h"

/* What replies and requests are written with, beside the plain writers of wire.h. */

/* Room for that many bytes more, in one step. */
void pack_reserve(struct wire_buffer *out, size_t bytes);
void pack_key_text(struct wire_buffer *out, const char *key, const char *text); /* NULL: "" */
void pack_key_str(struct wire_buffer *out, const char *key, struct text text);
void pack_key_i64(struct wire_buffer *out, const char *key, int64_t value);
void pack_key_f32(struct wire_buffer *out, const char *key, float value);
void pack_key_bin(struct wire_buffer *out, const char *key, const void *bytes, size_t byte_count);
/* Text that may hold foreign bytes: what is not UTF-8 is told with ? in place of each byte beyond ASCII. */
void pack_clean(struct wire_buffer *out, struct text text);
/* A bin whose bytes follow in pieces of pack_bytes, byte_count in all. */
void pack_bin_head(struct wire_buffer *out, size_t byte_count);
void pack_bytes(struct wire_buffer *out, const void *bytes, size_t byte_count);
void pack_names(struct wire_buffer *out, const char *key, const char *const *names, uint32_t count);
/* Of a request: what the op does not take stays at home. */
bool column_is_sent(const struct batch *batch, uint16_t column);
/* `transfers`: the batch in rows. */
void pack_request_rows(struct wire_buffer *out, const struct batch *batch);
/* Of a countermeasure as struct reply_names has it. */
struct text measure_name(const char *measure);
struct text measure_text(const char *measure, enum language language);
void pack_measure_hints(struct wire_buffer *out, const char *measure); /* keys correct and confirm */
/* FAULT_memory when the buffer failed. */
enum fault pack_done(const struct wire_buffer *out, struct fault_note *note);

#endif
