/* What an associated system answers: any bytes give values within their bounds or a fault with a text, and nothing is left behind. */
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/must.h"
#include "connect/associated.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool value_check(void *context, struct text key, const struct associated_value *values)
{
    uint32_t *count = context;
    MUST(key.data && values[0].text_bytes <= ASSOCIATED_TEXT_BYTES_MAX);
    return ++*count < 100;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct associated_plan plan = {.key_name = "account",
                                                .field_count = 4,
                                                .fields = {{.name = "segment", .type = ASSOCIATED_TEXT},
                                                           {.name = "limit", .type = ASSOCIATED_I64},
                                                           {.name = "score", .type = ASSOCIATED_F64},
                                                           {.name = "rate", .type = ASSOCIATED_ANY}}};
    struct fault_note note = {0};
    uint64_t live = memory_live_count();
    uint32_t count = 0;
    enum fault fault = associated_answer_read(&plan, data, size, value_check, &count, &note);
    MUST(fault == FAULT_NONE || note.text[0]);
    MUST(memory_live_count() == live);
    return 0;
}
