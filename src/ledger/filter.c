/* The filter of one frame. It is seeded by the secret of the account namespace: nobody outside can choose ids that
 * collide. Size follows the number of distinct keys, counted by a bitmap before anything is written. */
#include "ledger/filter.h"

#include <string.h>

#include "base/must.h"

enum { WORDS = 7, BLOCK_BITS = 64 * WORDS };

/* Odd constants that give each word its own bit of the key's lower half. */
static const uint32_t salts[WORDS] = {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du, 0x705495c7u, 0x2df1424bu, 0x9efc4947u};

uint64_t filter_key(uint64_t seed, enum filter_kind kind, struct text id)
{
    uint32_t offsets[2] = {0, id.bytes};
    struct column column = {.form = FORM_STR, .data = (const unsigned char *)id.data, .offsets = (const unsigned char *)offsets};
    uint64_t hash;
    column_hashes(&column, 1, seed, &hash, NULL);
    return filter_key_of(kind, hash);
}

static uint64_t filter_bit(uint64_t key, unsigned word)
{
    return UINT64_C(1) << ((uint32_t)key * salts[word] >> 26);
}

static uint64_t filter_check(const uint64_t *words, uint32_t index, uint64_t seed)
{
    return hash64(seed ^ (uint64_t)index << 32, words, sizeof *words * WORDS);
}

bool filter_block_has(const void *block, uint32_t index, uint64_t seed, uint64_t key)
{
    uint64_t words[WORDS + 1];
    memcpy(words, block, sizeof words);
    bool has = true;
    for (unsigned i = 0; i < WORDS; i++)
        has = has && (words[i] & filter_bit(key, i));
    return has || words[WORDS] != filter_check(words, index, seed);
}

bool filter_block_add(uint64_t *block, uint64_t key)
{
    uint64_t fresh = 0;
#define ADD(i) fresh |= ~block[i] & filter_bit(key, i), block[i] |= filter_bit(key, i) /* a loop costs half as much again */
    ADD(0), ADD(1), ADD(2), ADD(3), ADD(4), ADD(5), ADD(6);
#undef ADD
    return fresh != 0;
}

void filter_block_seal(uint64_t *block, uint32_t index, uint64_t seed)
{
    block[WORDS] = filter_check(block, index, seed);
}

static const enum column_id keyed[FILTER_COLUMNS] = {COLUMN_transfer_id, COLUMN_payer_id, COLUMN_payee_id};
const enum filter_kind filter_kinds[FILTER_COLUMNS] = {FILTER_TRANSFER, FILTER_ACCOUNT, FILTER_ACCOUNT};

static size_t keys_of_column(const struct batch *batch, unsigned i)
{
    const struct column *column = &batch->columns[keyed[i]];
    if (column->form == FORM_ABSENT || !column_taken_by(COLUMN_payer_id, batch->op))
        return 0;
    return column->form == FORM_STR ? batch->row_count : column->value_count;
}

static size_t keys_total(const struct batch *batch)
{
    size_t total = 0;
    for (unsigned i = 0; i < FILTER_COLUMNS; i++)
        total += keys_of_column(batch, i);
    return total;
}

/* Bits of the counting bitmap: at least four for each key. */
static size_t bitmap_bits(size_t key_count)
{
    size_t bits = 512;
    while (bits < 4 * key_count)
        bits *= 2;
    return bits;
}

static size_t blocks_for(size_t distinct)
{
    return distinct * FILTER_KEY_BITS / BLOCK_BITS + 1;
}

size_t filter_keys_bytes(const struct batch *batch)
{
    return 8 * keys_total(batch);
}

size_t filter_bitmap_bytes(const struct batch *batch)
{
    return bitmap_bits(keys_total(batch)) / 8;
}

size_t filter_blocks_max(const struct batch *batch)
{
    return blocks_for(keys_total(batch));
}

void filter_collect(struct filter_keys *out, void *room, const struct batch *batch)
{
    uint64_t *at = room;
    *out = (struct filter_keys){.seed = batch->key_seed, .is_of_transfers = column_taken_by(COLUMN_payer_id, batch->op)};
    for (unsigned i = 0; i < FILTER_COLUMNS; i++) {
        const struct column *column = &batch->columns[keyed[i]];
        size_t count = keys_of_column(batch, i);
        out->keys[i] = count ? at : NULL;
        out->counts[i] = count;
        if (count && column->form == FORM_STR)
            column_hashes(column, batch->row_count, out->seed, at, NULL);
        else if (count)
            column_hashes(column, 0, out->seed, NULL, at); /* the values alone */
        at += count;
        out->total += count;
    }
}

/* Distinct keys by linear counting, a little high: -m·ln(1 - s/m) by its first terms, s ≤ m/4. */
uint32_t filter_block_count(const struct filter_keys *keys, void *bitmap)
{
    size_t bits = bitmap_bits(keys->total), set = 0;
    unsigned char *bytes = bitmap;
    if (!keys->is_of_transfers)
        return 0;
    memset(bytes, 0, bits / 8);
    for (unsigned i = 0; i < FILTER_COLUMNS; i++)
        for (size_t j = 0; j < keys->counts[i]; j++) {
            size_t bit = (size_t)(filter_key_of(filter_kinds[i], keys->keys[i][j]) >> 7) & (bits - 1);
            unsigned char mask = (unsigned char)(1u << (bit & 7));
            set += !(bytes[bit >> 3] & mask);
            bytes[bit >> 3] |= mask;
        }
    size_t distinct = set + set * set / (2 * bits) + set * set / bits * set / (3 * bits) + 1;
    return (uint32_t)blocks_for(distinct < keys->total ? distinct : keys->total);
}

void filter_write(void *out, uint32_t block_count, const struct filter_keys *keys)
{
    unsigned char *blocks = out;
    MUST(((uintptr_t)out & 7) == 0);
    memset(out, 0, (size_t)block_count * FILTER_BLOCK_BYTES);
    for (unsigned i = 0; i < FILTER_COLUMNS && block_count; i++)
        for (size_t j = 0; j < keys->counts[i]; j++) {
            uint64_t key = filter_key_of(filter_kinds[i], keys->keys[i][j]);
            filter_block_add((uint64_t *)(void *)(blocks + (size_t)filter_block_of(key, block_count) * FILTER_BLOCK_BYTES), key);
        }
    for (uint32_t i = 0; i < block_count; i++)
        filter_block_seal((uint64_t *)(void *)(blocks + (size_t)i * FILTER_BLOCK_BYTES), i, keys->seed);
}
