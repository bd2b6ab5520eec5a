#ifndef SLUICE_WIRE_JSON_WIRE_H
#define SLUICE_WIRE_JSON_WIRE_H

#include "wire/wire.h"

/* Requests and replies as JSON: what comes by HTTP is turned into the message that it would have been, and its reply back, so
 * that both doors take and say the same. Pure functions. */

/* JSON: one object with the fields of a request but `op` and `token`, which are given; `v` is 1 and `form` is rows where it does not
 * tell; `data` and `golden` are base64. No bytes at all are an empty object. Read in one pass without a tree; what is
 * written is at most limits->message_bytes_max bytes. FAULT_syntax tells the byte. */
enum fault wire_json_request(struct wire_buffer *out, struct text op, struct text token, const char *json, size_t byte_count,
                             const struct batch_limits *limits, struct fault_note *note);

/* A message as JSON: bytes as base64, floats that are no number as null. Its fault and retry_after_ms beside it, FAULT_NONE where
 * it has none. FAULT_limit: more than bytes_max. */
struct json_reply {
    enum fault fault;
    int64_t retry_after_ms;
};
enum fault wire_json_reply(struct wire_buffer *out, struct json_reply *told, const void *message, size_t byte_count, size_t bytes_max,
                           struct fault_note *note);

#endif
