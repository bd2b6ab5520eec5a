/* A request as JSON: what comes out is a message that passes the check of every message, and goes on as one; and it can be told as JSON. */
#include "fuzz/message.h"
#include "wire/json_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct batch_limits limits = FUZZ_LIMITS;
    struct wire_buffer message = {0}, json = {0};
    struct fault_note note = {0};
    struct json_reply told;
    struct request request;
    struct batch batch;
    if (wire_json_request(&message, text_of("screen"), text_of("t"), (const char *)data, bytes, &limits, &note) == FAULT_NONE) {
        MUST(wire_check(message.data, message.bytes, &note) == FAULT_NONE);
        MUST(wire_json_reply(&json, &told, message.data, message.bytes, SIZE_MAX, &note) == FAULT_NONE);
        if (wire_request_read(&request, message.data, message.bytes, &limits, &note) == FAULT_NONE) {
            MUST(batch_init(&batch, request.arena_bytes, &note) == FAULT_NONE);
            batch.op = request.op;
            if (wire_batch_read(&batch, &request, &limits, &note) == FAULT_NONE)
                for (size_t i = 0; i < COLUMN_COUNT; i++)
                    fuzz_touch_column(&batch.columns[i], batch.row_count);
            batch_fini(&batch);
        }
    }
    wire_buffer_fini(&message);
    wire_buffer_fini(&json);
    return 0;
}
