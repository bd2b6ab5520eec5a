#ifndef SLUICE_TESTS_FUZZ_MESSAGE_H
#define SLUICE_TESTS_FUZZ_MESSAGE_H

/* What a server does with bytes from outside, as far as rooms wire and intake go; the limits are small, so that the fuzzer
 * reaches them. Everything that is read is read to its last byte. */
#include "base/must.h"
#include "intake/intake.h"
#include "wire/wire.h"

#define FUZZ_LIMITS \
    ((struct batch_limits){.message_bytes_max = 1 << 20, \
                           .rows_max = 5000, \
                           .columns_max = 20, \
                           .text_bytes_max = 200, \
                           .id_bytes_max = 64, \
                           .dict_values_max = 300, \
                           .notes_max = 10})

static uint64_t fuzz_sum; /* keeps reads alive */

static inline void fuzz_touch(struct text text)
{
    for (uint32_t i = 0; i < text.bytes; i++)
        fuzz_sum += (unsigned char)text.data[i];
}

static inline void fuzz_touch_column(const struct column *column, uint32_t row_count)
{
    fuzz_touch(column->name);
    for (uint32_t row = 0; row < row_count; row++) {
        if (!column_is_valid(column, row))
            continue;
        if (column->form == FORM_I64 || column->form == FORM_F64)
            fuzz_sum += (uint64_t)column_i64(column, row);
        else
            fuzz_touch(column_text(column, row));
    }
}

/* The batch goes through intake and into a reply; what is written is well-formed and, sent again, is the same batch. */
static inline void fuzz_batch(struct batch *batch)
{
    struct fault_note note = {0};
    const struct batch_limits limits = FUZZ_LIMITS;
    struct intake_rules rules = {.limits = limits, .currencies = {.count = 1, .rates = {{"EUR", 1ull << 32}}}, .key_seed = 1};
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        fuzz_touch_column(&batch->columns[i], batch->row_count);
    for (size_t i = 0; i < batch->other_count; i++)
        fuzz_touch_column(&batch->others[i], batch->row_count);
    if (intake_check(batch, &rules, &note) != FAULT_NONE)
        return;
    MUST(intake_fill(batch, &rules, &note) == FAULT_NONE);
    intake_fill_times(batch, 1795305599123456);
    struct wire_buffer reply = {0};
    MUST(wire_reply_done(&reply, batch, 0, &note) == FAULT_NONE);
    MUST(wire_check(reply.data, reply.bytes, &note) == FAULT_NONE);
    wire_buffer_fini(&reply);
}

/* Sent again by the client's writer: the same digest. Not where cells were lost to their type, unless a text file's reader kept
 * them, nor columns to their op. */
static inline void fuzz_again(const struct batch *batch, uint64_t *scratch)
{
    struct fault_note note = {0};
    const struct batch_limits limits = FUZZ_LIMITS;
    struct wire_buffer message = {0};
    struct request request;
    struct batch again;
    for (uint16_t i = 0; i < COLUMN_COUNT; i++)
        if ((batch->rule_counts[i][RULE_TYPE] && !batch->wrong) ||
            (batch->columns[i].form != FORM_ABSENT && !column_taken_by(i, batch->op)))
            return;
    MUST(wire_request_write(&message, batch, text_of("token"), 0, &note) == FAULT_NONE);
    MUST(wire_check(message.data, message.bytes, &note) == FAULT_NONE);
    MUST(wire_request_read(&request, message.data, message.bytes, &limits, &note) == FAULT_NONE || request.row_count == 0);
    if (request.row_count > 0) { /* rows may be more than the columns left have bytes */
        MUST(batch_init(&again, request.arena_bytes, &note) == FAULT_NONE);
        MUST(wire_batch_read(&again, &request, &limits, &note) == FAULT_NONE);
        MUST(digest_equal(batch_digest(batch, 3, scratch), batch_digest(&again, 3, scratch)));
        batch_fini(&again);
    }
    wire_buffer_fini(&message);
}

static inline void fuzz_request(const struct request *request)
{
    static uint64_t scratch[5000];
    struct fault_note note = {0};
    const struct batch_limits limits = FUZZ_LIMITS;
    struct batch batch;
    MUST(request->arena_bytes <= batch_arena_bytes(&limits, request->row_count, request->body_bytes));
    MUST(batch_init(&batch, request->arena_bytes, &note) == FAULT_NONE);
    enum fault fault = wire_batch_read(&batch, request, &limits, &note);
    MUST(fault == note.fault && !arena_overflowed(&batch.arena)); /* the arena always suffices */
    if (fault == FAULT_NONE) {
        fuzz_again(&batch, scratch);
        fuzz_batch(&batch);
        MUST(!arena_overflowed(&batch.arena));
    }
    batch_fini(&batch);
}

#endif
