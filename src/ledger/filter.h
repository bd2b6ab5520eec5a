#ifndef SLUICE_LEDGER_FILTER_H
#define SLUICE_LEDGER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/batch.h"

/* A blocked Bloom filter over the transfer and account ids of one frame: a key touches one block of 64 bytes, seven
 * words of bits and one word that checks them. 12 bits per distinct key: about 1 in 200 absent keys is told as there. */

enum { FILTER_BLOCK_BYTES = 64, FILTER_KEY_BITS = 12 };
enum filter_kind { FILTER_TRANSFER = 1, FILTER_ACCOUNT = 2 };

uint64_t filter_key(uint64_t seed, enum filter_kind kind, struct text id);
uint32_t filter_block_of(uint64_t key, uint32_t block_count);
/* false: the key is not in the frame. A block that is damaged answers true. */
bool filter_block_has(const void *block, uint32_t index, uint64_t seed, uint64_t key);

/* Keys that a batch's columns give, with repeats; and the scratch that making of its filter takes. */
size_t filter_keys_max(const struct batch *batch);
size_t filter_scratch_bytes(size_t keys_max);
/* Blocks that the keys need; 0: the op carries no transfers. Fills scratch for filter_write. */
uint32_t filter_plan(void *scratch, size_t *key_count, const struct batch *batch, uint64_t seed);
void filter_write(void *out, uint32_t block_count, const void *scratch, size_t key_count, uint64_t seed);

#endif
