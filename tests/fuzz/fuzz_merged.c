/* Merged fields and parts: any checked bytes give sets in order or a fault with a text, and nothing is left behind. */
#include "base/memory.h"
#include "fuzz/message.h"
#include "wire/merged.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void set_hold(const struct merged_set *set, const struct batch_limits *limits)
{
    MUST(set->count <= limits->rows_max);
    for (uint32_t i = 0; i < set->count; i++)
        MUST(merged_set_find(set, set->items[i]) == (int64_t)i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct batch_limits limits = FUZZ_LIMITS;
    struct fault_note note = {0};
    struct wire_value value;
    struct merged merged;
    const unsigned char *at = data;
    uint64_t live = memory_live_count();
    if (bytes == 0 || bytes > UINT32_MAX || wire_check(data, bytes, &note) != FAULT_NONE || !wire_next(&value, &at, data + bytes))
        return 0;
    const struct text text = {.data = (const char *)data, .bytes = (uint32_t)bytes};
    const struct request request = {.op = OP_consolidate, .fields = text, .part = value.type == WIRE_ARRAY ? text : (struct text){0}};
    enum fault fault = wire_merged_read(&merged, &request, &limits, 7, &note);
    MUST(fault == FAULT_NONE || note.text[0]);
    MUST(merged.sum_count <= MERGED_SUMS_MAX && merged.same_count <= MERGED_SAME_MAX);
    if (fault == FAULT_NONE) {
        set_hold(&merged.part, &limits);
        set_hold(&merged.payers, &limits);
        set_hold(&merged.payees, &limits);
    }
    merged_fini(&merged);
    MUST(memory_live_count() == live);
    return 0;
}
