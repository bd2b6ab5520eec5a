/* The digest of a batch's content: it sees values, never their encoding. A text cell is its seeded 64-bit hash, a
 * number cell its 8 bytes, a null cell 0 beside the validity bits. A column without a valid cell counts as absent. */
#include "batch/batch.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_SLOTS = 1024, COLUMNS_MAX = COLUMN_COUNT + OTHER_COLUMNS_MAX };

static uint64_t text_hash(uint64_t seed, struct text text)
{
    uint64_t hash = hash64(seed, text.data, text.bytes);
    return hash ? hash : 1;
}

static void hash_with_table(const struct column *column, uint32_t row_count, uint64_t seed, uint64_t *out, uint64_t *value_hashes)
{
    for (uint32_t i = 0; i < column->value_count; i++)
        value_hashes[i] = text_hash(seed, column->values[i]);
    for (uint32_t row = 0; row < row_count; row++)
        out[row] = column_is_valid(column, row) ? value_hashes[column_code(column, row)] : 0;
}

/* Without room for all values: a direct-mapped cache by code. */
static void hash_with_cache(const struct column *column, uint32_t row_count, uint64_t seed, uint64_t *out)
{
    struct {
        uint64_t hash;
        uint32_t code;
    } cache[CACHE_SLOTS];
    memset(cache, 0, sizeof cache); /* hash 0: empty */
    for (uint32_t row = 0; row < row_count; row++) {
        out[row] = 0;
        if (!column_is_valid(column, row))
            continue;
        uint32_t code = column_code(column, row), slot = code % CACHE_SLOTS;
        if (!cache[slot].hash || cache[slot].code != code) {
            cache[slot].hash = text_hash(seed, column->values[code]);
            cache[slot].code = code;
        }
        out[row] = cache[slot].hash;
    }
}

void column_hashes(const struct column *column, uint32_t row_count, uint64_t seed, uint64_t *out, uint64_t *value_scratch)
{
    if (column->form == FORM_STR) {
        for (uint32_t row = 0; row < row_count; row++)
            out[row] = column_is_valid(column, row) ? text_hash(seed, column_text(column, row)) : 0;
    } else if (value_scratch) {
        hash_with_table(column, row_count, seed, out, value_scratch);
    } else {
        hash_with_cache(column, row_count, seed, out);
    }
}

static bool any_valid(const struct column *column, uint32_t row_count)
{
    if (column->form == FORM_ABSENT || !column->valid)
        return column->form != FORM_ABSENT && row_count > 0;
    for (uint32_t row = 0; row < row_count; row++)
        if (column_is_valid(column, row))
            return true;
    return false;
}

/* Validity by itself: the same for no bitmap and for one that says all valid, whatever its padding bits. */
static struct digest valid_digest(const struct column *column, uint32_t row_count, uint64_t seed)
{
    uint32_t whole = row_count / 8, rest = row_count % 8;
    bool all = true;
    for (uint32_t i = 0; column->valid && i < whole; i++)
        all = all && column->valid[i] == 0xff;
    uint8_t last = rest && column->valid ? column->valid[whole] & ((1u << rest) - 1) : (1u << rest) - 1;
    if (all && last == (1u << rest) - 1)
        return (struct digest){0};
    struct digest digest = hash128(seed, column->valid, whole);
    digest.low ^= hash64_pair(seed, last, row_count);
    return digest;
}

static struct digest values_digest(const struct column *column, uint32_t row_count, uint64_t seed, uint64_t *row_hashes)
{
    if (column->form != FORM_I64 && column->form != FORM_F64) {
        column_hashes(column, row_count, seed, row_hashes, NULL);
        return hash128(seed, row_hashes, sizeof *row_hashes * row_count);
    }
    if (!column->valid)
        return hash128(seed, column->data, sizeof *row_hashes * row_count);
    for (uint32_t row = 0; row < row_count; row++)
        row_hashes[row] = column_is_valid(column, row) ? (uint64_t)column_i64(column, row) : 0;
    return hash128(seed, row_hashes, sizeof *row_hashes * row_count);
}

static int by_name(const void *a, const void *b)
{
    const struct column *left = *(const struct column *const *)a, *right = *(const struct column *const *)b;
    uint32_t shorter = left->name.bytes < right->name.bytes ? left->name.bytes : right->name.bytes;
    int order = shorter ? memcmp(left->name.data, right->name.data, shorter) : 0;
    return order ? order : (left->name.bytes > right->name.bytes) - (left->name.bytes < right->name.bytes);
}

struct column_digest {
    struct digest name, valid, values;
    uint64_t form;
};

/* Of cells that could not be kept because of their type. By name, as everything here: a later list of columns or ops gives
 * the same. */
static struct digest wrong_digest(const struct batch *batch, uint64_t secret)
{
    struct {
        struct digest name;
        uint64_t count;
    } wrong[COLUMN_COUNT];
    size_t count = 0;
    for (uint16_t i = 0; i < COLUMN_COUNT; i++)
        if (batch->rule_counts[i][RULE_TYPE]) {
            const char *name = column_name(i);
            wrong[count].name = hash128(secret, name, strlen(name));
            wrong[count++].count = batch->rule_counts[i][RULE_TYPE];
        }
    return hash128(secret, wrong, count * sizeof *wrong);
}

struct digest batch_digest(const struct batch *batch, uint64_t secret, uint64_t *row_hashes)
{
    const struct column *columns[COLUMNS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (any_valid(&batch->columns[i], batch->row_count))
            columns[count++] = &batch->columns[i];
    for (size_t i = 0; i < batch->other_count; i++)
        if (any_valid(&batch->others[i], batch->row_count))
            columns[count++] = &batch->others[i];
    qsort(columns, count, sizeof *columns, by_name);

    struct {
        uint64_t kind, rows;
        struct digest op, name, wrong;
        struct column_digest columns[COLUMNS_MAX];
    } all;
    memset(&all, 0, sizeof all);
    all.kind = batch->observe_kind;
    all.rows = batch->row_count;
    all.op = hash128(secret, op_names[batch->op], strlen(op_names[batch->op]));
    all.name = hash128(secret, batch->name.data, batch->name.bytes);
    all.wrong = wrong_digest(batch, secret);
    for (size_t i = 0; i < count; i++) {
        bool is_number = columns[i]->form == FORM_I64 || columns[i]->form == FORM_F64;
        all.columns[i] = (struct column_digest){
            .name = hash128(secret, columns[i]->name.data, columns[i]->name.bytes),
            .valid = valid_digest(columns[i], batch->row_count, secret),
            .values = values_digest(columns[i], batch->row_count, secret, row_hashes),
            .form = is_number ? columns[i]->form : FORM_STR,
        };
    }
    size_t unused = sizeof *all.columns * (COLUMNS_MAX - count);
    return hash128(secret, &all, sizeof all - unused);
}
