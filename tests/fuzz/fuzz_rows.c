/* The value of `transfers` behind a right envelope; first byte: op. */
#include "fuzz/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const enum op ops[] = {OP_screen, OP_import, OP_observe, OP_label};
    const struct batch_limits limits = FUZZ_LIMITS;
    struct fault_note note = {0};
    struct wire_value value;
    const unsigned char *at = data + 1;
    if (bytes < 2 || wire_check(data + 1, bytes - 1, &note) != FAULT_NONE || !wire_next(&value, &at, data + bytes) ||
        value.type != WIRE_ARRAY || value.count == 0 || value.count > limits.rows_max)
        return 0;
    struct request request = {
        .op = ops[data[0] % 4], .id = text_of("id"), .batch = text_of("id"), .row_count = value.count, .in_rows = true};
    request.observe_kind = request.op == OP_observe ? OBSERVE_USE : OBSERVE_NONE;
    request.body = data + 1;
    request.body_bytes = bytes - 1;
    request.arena_bytes =
        batch_work_bytes(&limits, request.row_count) + batch_decode_bytes(&limits, request.row_count, request.body_bytes, 0, true);
    fuzz_request(&request);
    return 0;
}
