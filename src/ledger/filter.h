#ifndef SLUICE_LEDGER_FILTER_H
#define SLUICE_LEDGER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/batch.h"

/* A blocked Bloom filter over the transfer and account ids of one frame: a key touches one block of 64 bytes, seven
 * words of bits and one word that checks them. 16 bits per distinct key: about 1 in 1,000 absent keys is told as there. */

enum { FILTER_BLOCK_BYTES = 64, FILTER_KEY_BITS = 16 };
enum filter_kind { FILTER_TRANSFER = 1, FILTER_ACCOUNT = 2 };

/* Account keys are the hashes of column_hashes; a transfer's are told apart: its id may well be an account's. */
static inline uint64_t filter_key_of(enum filter_kind kind, uint64_t hash)
{
    return kind == FILTER_TRANSFER ? hash * 0x9e3779b97f4a7c15u : hash;
}
uint64_t filter_key(uint64_t seed, enum filter_kind kind, struct text id);
static inline uint32_t filter_block_of(uint64_t key, uint32_t block_count)
{
    return (uint32_t)((key >> 32) * block_count >> 32);
}
/* false: the key is not in the frame. A block that is damaged answers true. */
bool filter_block_has(const void *block, uint32_t index, uint64_t seed, uint64_t key);
bool filter_block_add(uint64_t *block, uint64_t key); /* true: the block did not have it */
void filter_block_seal(uint64_t *block, uint32_t index, uint64_t seed);

/* What a frame's filter is made of: per column one key for each row (str) or each value (dict), as column_hashes gives. */
enum { FILTER_COLUMNS = 3 };
extern const enum filter_kind filter_kinds[FILTER_COLUMNS];
struct filter_keys {
    uint64_t *keys[FILTER_COLUMNS]; /* of transfer_id, payer_id, payee_id; NULL: the column is absent */
    size_t counts[FILTER_COLUMNS];
    size_t total;
    uint64_t seed;
    bool is_of_transfers; /* else nothing was collected */
};
size_t filter_keys_bytes(const struct batch *batch);
size_t filter_bitmap_bytes(const struct batch *batch);
size_t filter_blocks_max(const struct batch *batch);
/* Keys lie in room. Nothing is collected, and the block count is 0, for an op that carries no transfers. */
void filter_collect(struct filter_keys *out, void *room, const struct batch *batch);
uint32_t filter_block_count(const struct filter_keys *keys, void *bitmap);
void filter_write(void *out, uint32_t block_count, const struct filter_keys *keys);

#endif
