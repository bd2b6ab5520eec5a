/* The filter of one frame. Its seed is the batch's digest, which is seeded by a secret: nobody outside can choose ids that
 * collide. Size follows the number of distinct keys, counted by a bitmap before anything is written. */
#include "ledger/filter.h"

#include <string.h>

#include "base/must.h"

enum { WORDS = 7, BLOCK_BITS = 64 * WORDS };

/* Odd constants that give each word its own bit of the key's lower half. */
static const uint32_t salts[WORDS] = {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du, 0x705495c7u, 0x2df1424bu, 0x9efc4947u};

uint64_t filter_key(uint64_t seed, enum filter_kind kind, struct text id)
{
    return hash64(seed + (uint64_t)kind, id.data, id.bytes);
}

uint32_t filter_block_of(uint64_t key, uint32_t block_count)
{
    return (uint32_t)((key >> 32) * block_count >> 32);
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

static const struct { enum column_id column; enum filter_kind kind; } keyed[] = {
    {COLUMN_transfer_id, FILTER_TRANSFER}, {COLUMN_payer_id, FILTER_ACCOUNT}, {COLUMN_payee_id, FILTER_ACCOUNT}};
enum { KEYED = sizeof keyed / sizeof *keyed };

size_t filter_keys_max(const struct batch *batch)
{
    size_t count = 0;
    if (!column_taken_by(COLUMN_payer_id, batch->op))
        return 0;
    for (unsigned i = 0; i < KEYED; i++) {
        const struct column *column = &batch->columns[keyed[i].column];
        if (column->form != FORM_ABSENT)
            count += column->form == FORM_STR ? batch->row_count : column->value_count;
    }
    return count;
}

/* Bits of the counting bitmap: at least four for each key. */
static size_t bitmap_bits(size_t key_count)
{
    size_t bits = 512;
    while (bits < 4 * key_count)
        bits *= 2;
    return bits;
}

size_t filter_scratch_bytes(size_t keys_max)
{
    return 8 * keys_max + bitmap_bits(keys_max) / 8;
}

static size_t column_keys(uint64_t *out, const struct column *column, uint32_t row_count, uint64_t seed, enum filter_kind kind)
{
    size_t count = 0;
    if (column->form == FORM_STR) {
        for (uint32_t row = 0; row < row_count; row++)
            if (column_is_valid(column, row))
                out[count++] = filter_key(seed, kind, column_text(column, row));
    } else if (column->form != FORM_ABSENT) {
        for (; count < column->value_count; count++)
            out[count] = filter_key(seed, kind, column->values[count]);
    }
    return count;
}

/* Distinct keys by linear counting, a little high: -m·ln(1 - s/m) by its first terms, s ≤ m/4. */
static size_t distinct_count(unsigned char *bitmap, size_t bits, const uint64_t *keys, size_t key_count)
{
    size_t set = 0;
    memset(bitmap, 0, bits / 8);
    for (size_t i = 0; i < key_count; i++) {
        size_t bit = (size_t)(keys[i] >> 7) & (bits - 1);
        unsigned char mask = (unsigned char)(1u << (bit & 7));
        set += !(bitmap[bit >> 3] & mask);
        bitmap[bit >> 3] |= mask;
    }
    size_t estimate = set + set * set / (2 * bits) + set * set / bits * set / (3 * bits) + 1;
    return estimate < key_count ? estimate : key_count;
}

uint32_t filter_plan(void *scratch, size_t *key_count, const struct batch *batch, uint64_t seed)
{
    uint64_t *keys = scratch;
    size_t count = 0;
    *key_count = 0;
    if (filter_keys_max(batch) == 0)
        return 0;
    for (unsigned i = 0; i < KEYED; i++)
        count += column_keys(keys + count, &batch->columns[keyed[i].column], batch->row_count, seed, keyed[i].kind);
    *key_count = count;
    size_t distinct = distinct_count((unsigned char *)(keys + count), bitmap_bits(count), keys, count);
    return (uint32_t)((distinct * FILTER_KEY_BITS + BLOCK_BITS - 1) / BLOCK_BITS) + (distinct == 0);
}

void filter_write(void *out, uint32_t block_count, const void *scratch, size_t key_count, uint64_t seed)
{
    const uint64_t *keys = scratch;
    unsigned char *blocks = out;
    MUST(((uintptr_t)out & 7) == 0);
    memset(out, 0, (size_t)block_count * FILTER_BLOCK_BYTES);
    for (size_t i = 0; i < key_count; i++) {
        uint64_t *words = (uint64_t *)(void *)(blocks + (size_t)filter_block_of(keys[i], block_count) * FILTER_BLOCK_BYTES);
        for (unsigned word = 0; word < WORDS; word++)
            words[word] |= filter_bit(keys[i], word);
    }
    for (uint32_t i = 0; i < block_count; i++) {
        uint64_t *words = (uint64_t *)(void *)(blocks + (size_t)i * FILTER_BLOCK_BYTES);
        words[WORDS] = filter_check(words, i, seed);
    }
}
