#ifndef SLUICE_LEDGER_SUMMARY_H
#define SLUICE_LEDGER_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "ledger/filter.h"

/* One filter over all ids of a full segment, so that a search opens only segments that may hold what it looks for. It lies
 * in filter-NNNNNNNN beside frames-NNNNNNNN. Nothing rests on it: it is not synced, what is missing or damaged says "maybe",
 * and the next start makes it again from the frames. */

struct summary_pair { /* whose ids are in it, and what they were hashed with */
    int64_t tenant;
    uint64_t key_seed;
};
enum { SUMMARY_PAIRS_MAX = 1024, SUMMARY_KEY_BITS = 8, SUMMARY_ASKED_MAX = 16 };

struct summary_header { /* little-endian; then the pairs, then, at a multiple of 64, the blocks */
    uint32_t magic, version;
    uint32_t segment, block_count; /* a power of two */
    uint64_t first_sequence, last_sequence;
    uint32_t pair_count, unused;
    uint64_t pairs_hash, unused_too;
    uint64_t checksum; /* of what is before it, seeded by the ledger's secret */
};
_Static_assert(sizeof(struct summary_header) == FILTER_BLOCK_BYTES, "blocks keep their alignment");

/* Of the segment that is being written. The writer's alone. */
struct summary {
    uint64_t secret;
    uint32_t segment; /* 0: none begun */
    bool is_partial;  /* it lacks ids: not to be kept */
    uint32_t block_count, pair_count;
    uint64_t first_sequence, last_sequence, id_count;
    unsigned char *blocks;
    struct summary_pair pairs[SUMMARY_PAIRS_MAX];
};
/* Takes memory for segments of that size. */
enum fault summary_init(struct summary *out, uint64_t secret, uint64_t segment_bytes, struct fault_note *note);
void summary_fini(struct summary *summary); /* safe on zeroed memory */
void summary_begin(struct summary *summary, uint32_t segment, uint64_t first_sequence);
/* The ids of one committed frame of the segment. */
void summary_add(struct summary *summary, uint64_t sequence, int64_t tenant, const struct filter_keys *keys);
/* When the segment is full. A failure is logged: the segment is then searched without. */
void summary_write(struct summary *summary, const char *folder);
void summary_remove(const char *folder, uint32_t segment);

/* Of a full segment, for one question. */
struct summary_view {
    int fd;
    struct summary_header header;
};
bool summary_view_open(struct summary_view *out, const char *folder, uint64_t secret, uint32_t segment); /* false: there is none to use */
void summary_view_close(struct summary_view *view);
/* false: none of the ids is in the segment. tenant 0: of anybody. */
bool summary_may_have(const struct summary_view *view, int64_t tenant, enum filter_kind kind, const struct text *ids, uint32_t id_count);

#endif
