#ifndef SLUICE_LEDGER_FRAME_H
#define SLUICE_LEDGER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/batch.h"
#include "ledger/filter.h"
#include "ledger/ledger.h"

/* A frame as it lies in a segment: header, body, filter; each begins at a multiple of 64 bytes. Little-endian. Version 1 had
 * no sparse bytes, else it is the same. */

enum { FRAME_MAGIC = 0x4d465153 /* "SQFM" */, FRAME_VERSION = 2, FRAME_ALIGN = 64 };
/* A body never unpacks to more than this times its own bytes: encode pads, decode refuses. */
enum { FRAME_RATIO_MAX = 4096 };

struct frame_header {
    uint32_t magic, version;
    uint64_t sequence;
    uint64_t body_bytes;  /* a multiple of 64 */
    uint64_t arena_bytes; /* what the decoded batch takes */
    uint64_t key_seed;    /* of the batch: account keys and the filter are seeded by it */
    uint32_t filter_blocks, row_count;
    uint64_t unused;   /* 0 */
    uint64_t checksum; /* of everything before it, then of body and filter, see frame_checksum */
};
_Static_assert(sizeof(struct frame_header) == FRAME_ALIGN, "the header is one filter block long");

struct frame {
    unsigned magic;
    uint32_t filter_blocks;
    uint32_t scene_mask; /* bit s: a row names scene s (31: or a later one) as its best */
    uint32_t verdict_counts[VERDICT_COUNT];
    uint32_t segment; /* where commit put it, and whose it is */
    uint64_t start;
    int64_t tenant;
    size_t bytes;
    struct filter_keys keys; /* for the segment's summary; they lie behind the room of data */
    unsigned char data[];
};
enum { FRAME_HELD_MAGIC = 0xf4a3e001 };

/* bytes: the whole frame, its header included. */
uint64_t frame_checksum(const void *bytes, size_t byte_count);
/* Lengths fit, magic, version and checksum are right. */
bool frame_is_whole(const void *bytes, size_t byte_count);
static inline size_t frame_filter_offset(const struct frame_header *header)
{
    return sizeof *header + (size_t)header->body_bytes;
}

/* The arrays of facts and results that a frame keeps, in the order in which it keeps them; the list only grows. */
struct frame_field {
    const char *name;
    uint16_t offset;   /* of the pointer in its struct */
    uint8_t width;     /* bytes of an element */
    bool gains;        /* worth a try of zstd */
    uint16_t column;   /* i64 column that it often equals, or COLUMN_COUNT */
    uint16_t keyed[2]; /* text columns whose keys it may be: of transfers, of observations; or COLUMN_COUNT */
};
/* How a frame keeps an array; AS_KEYS + i: the keys of column keyed[i], not stored. */
enum { FIELD_ABSENT, FIELD_HERE, FIELD_AS_COLUMN, FIELD_AS_KEYS, FIELD_HOW_COUNT = FIELD_AS_KEYS + 2 };
/* A key as intake makes it of a hash of column_hashes: 0 for the empty text; a tag of 4 bytes is its lower half, never 0. */
static inline uint64_t frame_key_of(uint64_t hash, uint64_t empty, unsigned width)
{
    if (hash == empty || width == 8)
        return hash == empty ? 0 : hash;
    return hash && !(uint32_t)hash ? 1 : (uint32_t)hash;
}
extern const struct frame_field frame_fact_fields[], frame_result_fields[];
extern const unsigned frame_fact_field_count, frame_result_field_count;
void *frame_field_get(const void *fields, const struct frame_field *field);
void frame_field_set(void *fields, const struct frame_field *field, void *array);

#endif
