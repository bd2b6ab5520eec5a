/* Frames of a segment: bytes whose checksum is right but whose content is any. What decodes can be walked cell by cell, and
 * encodes to a frame that decodes to the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "ledger/frame.h"
#include "unit/ledger/sample.h"

enum { ARENA_MAX = 8 << 20, INPUT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Header and length as a frame without a filter has them; rows, seed and arena are the input's, as far as they may be. */
static size_t frame_dress(unsigned char *out, const uint8_t *data, size_t size)
{
    struct frame_header header;
    size_t body = (size - sizeof header) & ~(size_t)63, bytes = sizeof header + body;
    memcpy(out, data, bytes);
    memcpy(&header, out, sizeof header);
    header.magic = FRAME_MAGIC, header.version = FRAME_VERSION;
    header.body_bytes = body, header.filter_blocks = 0;
    if (header.arena_bytes > ARENA_MAX)
        header.arena_bytes %= ARENA_MAX;
    memcpy(out, &header, sizeof header);
    header.checksum = frame_checksum(out, bytes);
    memcpy(out, &header, sizeof header);
    return bytes;
}

static void batch_walk(const struct batch *batch)
{
    struct batch again;
    struct frame *frame;
    MUST(sample_is_sound(batch));
    MUST(frame_encode(&frame, batch, NULL) == FAULT_NONE);
    MUST(frame_decode(&again, frame->data, frame_bytes(frame), NULL) == FAULT_NONE);
    MUST(sample_difference(batch, &again) == NULL);
    frame_give(&frame);
    batch_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct batch batch;
    struct fault_note note = {0};
    uint64_t live = memory_live_count();
    if (size < sizeof(struct frame_header) || size > INPUT_MAX)
        return 0;
    unsigned char *bytes = memory_take(size);
    MUST(bytes);
    size_t byte_count = frame_dress(bytes, data, size);
    enum fault fault = frame_decode(&batch, bytes, byte_count, &note);
    MUST(fault == FAULT_NONE || fault == FAULT_ledger || fault == FAULT_memory);
    if (fault == FAULT_NONE) {
        batch_walk(&batch);
        batch_fini(&batch);
    }
    memory_give(bytes);
    MUST(memory_live_count() == live);
    return 0;
}
