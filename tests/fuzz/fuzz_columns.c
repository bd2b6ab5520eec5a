/* The value of `columns` behind a right envelope; first byte: op, second: rows. */
#include "fuzz/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const enum op ops[] = {OP_screen, OP_import, OP_observe, OP_label};
    struct fault_note note = {0};
    if (bytes < 3 || wire_check(data + 2, bytes - 2, &note) != FAULT_NONE)
        return 0;
    struct request request = {.op = ops[data[0] % 4], .id = text_of("id"), .batch = text_of("id"), .row_count = data[1] ? data[1] : 1};
    request.observe_kind = request.op == OP_observe ? OBSERVE_USE : OBSERVE_NONE;
    request.body = data + 2;
    request.body_bytes = bytes - 2;
    const struct batch_limits limits = FUZZ_LIMITS;
    request.arena_bytes = batch_arena_bytes(&limits, request.row_count, request.body_bytes);
    fuzz_request(&request);
    return 0;
}
