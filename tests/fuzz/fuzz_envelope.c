/* Whole messages: the id of one that is not read, the check, the envelope and, where there is one, the batch. */
#include "fuzz/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void walk(const struct wire_value *value)
{
    const unsigned char *at = value->inside;
    struct wire_value item;
    uint32_t count = value->type == WIRE_MAP ? 2 * value->count : value->type == WIRE_ARRAY ? value->count : 0;
    for (uint32_t i = 0; i < count; i++) {
        MUST(wire_next(&item, &at, value->end));
        walk(&item);
    }
    if (value->type == WIRE_STR || value->type == WIRE_BIN)
        fuzz_touch(value->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct batch_limits limits = FUZZ_LIMITS;
    struct fault_note note = {0};
    struct request request;
    struct wire_value value;
    const unsigned char *at = data;
    struct text id = wire_peek_id(data, bytes, &limits); /* of bytes that nobody has checked */
    fuzz_touch(id);
    if (wire_check(data, bytes, &note) != FAULT_NONE)
        return 0;
    MUST(wire_next(&value, &at, data + bytes) && at == data + bytes);
    walk(&value);
    enum fault fault = wire_request_read(&request, data, bytes, &limits, &note);
    if (fault == FAULT_NONE)
        MUST(id.bytes == 0 || text_equal(id, request.id));
    const struct text of_bases[] = {request.base.base, request.base.digest, request.base.signature,
                                    request.base.path, request.base.data,   request.base.golden};
    for (size_t i = 0; fault == FAULT_NONE && i < sizeof of_bases / sizeof *of_bases; i++)
        fuzz_touch(of_bases[i]);
    if (fault == FAULT_NONE)
        MUST(request.base.bytes >= 0 && request.base.offset >= 0);
    if (fault == FAULT_NONE && request.body)
        fuzz_request(&request);
    return 0;
}
