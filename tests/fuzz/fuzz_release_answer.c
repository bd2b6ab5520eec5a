/* What a processor answers: any bytes give an answer or a fault with a text, and nothing is left behind. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "connect/release_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct release_answer answer;
    struct fault_note note = {0};
    uint64_t live = memory_live_count();
    enum fault fault = release_answer_read(&answer, "pay/r1", data, size, &note);
    MUST(fault == FAULT_NONE || note.text[0]);
    MUST(answer.status == RELEASE_ACCEPTED || answer.status == RELEASE_REFUSED);
    MUST(memchr(answer.reason, 0, sizeof answer.reason));
    MUST(memory_live_count() == live);
    return 0;
}
