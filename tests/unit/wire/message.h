#ifndef SLUICE_TESTS_WIRE_MESSAGE_H
#define SLUICE_TESTS_WIRE_MESSAGE_H

/* Hand-made requests for tests: written pair by pair with the plain writers, read as a server reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/wire.h"

#define LIMITS BATCH_LIMITS_DEFAULT

static inline void put_pair_text(struct wire_buffer *out, const char *key, const char *value)
{
    wire_pack_text(out, key);
    wire_pack_text(out, value);
}

static inline void put_pair_int(struct wire_buffer *out, const char *key, int64_t value)
{
    wire_pack_text(out, key);
    wire_pack_i64(out, value);
}

static inline void put_pair_bin(struct wire_buffer *out, const char *key, const void *bytes, size_t byte_count)
{
    wire_pack_text(out, key);
    wire_pack_bin(out, bytes, byte_count);
}

/* v, op, tenant, token and id: 5 of the pairs. */
static inline void put_envelope(struct wire_buffer *out, uint32_t more_pairs, const char *op)
{
    wire_pack_map(out, 5 + more_pairs);
    put_pair_int(out, "v", 1);
    put_pair_text(out, "op", op);
    put_pair_text(out, "tenant", "payroll-a");
    put_pair_text(out, "token", "secret");
    put_pair_text(out, "id", "2026-11-21-0007");
}

/* What a server does with a message: check, envelope, arena, rows. The batch is there only when FAULT_NONE came. */
static inline enum fault take_batch(struct batch *batch, const struct wire_buffer *message, const struct batch_limits *limits,
                                    struct fault_note *note)
{
    struct request request;
    *note = (struct fault_note){0};
    *batch = (struct batch){0};
    enum fault fault = wire_check(message->data, message->bytes, note);
    if (fault == FAULT_NONE)
        fault = wire_request_read(&request, message->data, message->bytes, limits, note);
    if (fault != FAULT_NONE)
        return fault;
    assert_true(request.arena_bytes <= batch_arena_bytes(limits, request.row_count, message->bytes));
    assert_int_equal(batch_init(batch, request.arena_bytes, note), FAULT_NONE);
    fault = wire_batch_read(batch, &request, limits, note);
    if (fault != FAULT_NONE)
        batch_fini(batch);
    return fault;
}

/* The message is refused with that fault, naming these words; it is given back. */
static inline void assert_refused(struct wire_buffer *message, const struct batch_limits *limits, enum fault fault, const char *words)
{
    struct batch batch;
    struct fault_note note;
    assert_false(message->failed);
    enum fault got = take_batch(&batch, message, limits, &note);
    if (got != fault || !strstr(note.text, words))
        fail_msg("wanted %s with \"%s\", got %s with \"%s\"", fault_name(fault), words, fault_name(got), note.text);
    assert_int_equal(note.fault, fault);
    wire_buffer_fini(message);
}

static inline bool text_is(struct text text, const char *wanted)
{
    return text_equal(text, text_of(wanted));
}

#endif
