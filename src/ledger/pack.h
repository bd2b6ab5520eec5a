#ifndef SLUICE_LEDGER_PACK_H
#define SLUICE_LEDGER_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "batch/batch.h"

/* The body of a frame, written front to back and read the same way. Integers are brought to the fewest bytes that hold
 * (value - base), or the step from the value before; blocks that gain by it are compressed (zstd's fastest search,
 * with Huffman codes).
 *     bytes: u32 raw, u32 stored (equal: as they are), stored bytes
 *     texts: u8 width (0: as they are, else all first bytes first), bytes
 *     ints:  u8 mode (bytes per value 0..8, 0x10: steps), [i64 base unless width and no steps], [i64 first if steps], bytes
 *     or:    u8 0x20, u8 usual value, u32 bytes of sparse_write, these: values of one byte that are mostly the usual one */

/* The writer has room for all it is asked to write: the caller computed the bound. */
struct packer {
    unsigned char *start, *at, *end;
    void *context;      /* of zstd, pack_context_init; NULL: nothing is compressed */
    size_t arena_bytes; /* what the reader will take for arrays and texts */
};
enum { PACK_BLOCK_BYTES = 32 }; /* a block's own bytes at the most */

size_t pack_workspace_bytes(void);
void *pack_context_init(void *workspace); /* 8-byte aligned; nothing to give back */
void pack_uint(struct packer *packer, uint64_t value, unsigned width);
void pack_raw(struct packer *packer, const void *data, size_t bytes);
void pack_text(struct packer *packer, struct text text); /* u32 length and bytes */
void pack_block(struct packer *packer, const void *data, size_t bytes, bool gains);
void pack_ints(struct packer *packer, const void *values, unsigned width, uint32_t count, bool gains); /* width 1, 2, 4, 8; unaligned */
void pack_bounds(struct packer *packer, uint32_t width, uint32_t count); /* as pack_ints of the u32 0, width, 2 × width, … */
/* The bytes of count texts; width: of each, 0 when they differ. scratch: room for all of them. */
void pack_texts(struct packer *packer, const void *data, size_t bytes, unsigned width, uint32_t count, unsigned char *scratch);
void pack_array_taken(struct packer *packer, size_t bytes); /* the reader takes an array of bytes */

/* The reader believes nothing: after the first wrong byte everything reads as zero and broken stays set. */
struct unpacker {
    const unsigned char *at, *end;
    void *context;       /* of zstd, unpack_context_init */
    struct arena *arena; /* arrays and texts lie in it */
    bool broken;
};

size_t unpack_workspace_bytes(void);
void *unpack_context_init(void *workspace);
uint64_t unpack_uint(struct unpacker *unpacker, unsigned width);
const unsigned char *unpack_raw(struct unpacker *unpacker, size_t bytes); /* where they lie; NULL: broken */
struct text unpack_text(struct unpacker *unpacker);
void *unpack_array(struct unpacker *unpacker, size_t bytes);                  /* cleared; NULL: broken */
void *unpack_bytes(struct unpacker *unpacker, size_t bytes);                  /* exactly so many; NULL: broken */
void *unpack_texts(struct unpacker *unpacker, size_t bytes, uint32_t count);  /* NULL: broken */
void *unpack_ints(struct unpacker *unpacker, unsigned width, uint32_t count); /* NULL: broken */

#endif
