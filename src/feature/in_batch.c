/* Rows received together, joined by payer, payee and pair over hash tables in the batch's arena; sums are integers, so
 * the order of rows tells nothing. Near duplicates: rows sorted by amount, then by pair (both stable, by digits), and a
 * window moved over each pair's amounts. Linear in the rows, whatever they are. */
#include "feature/feature.h"

#include <string.h>

#include "base/must.h"

enum { ALIGN = 64, GROUP_NONE = 0, AHEAD_ROWS = 16, DIGIT_BITS = 8, DIGITS = 64 / DIGIT_BITS, DIGIT_VALUES = 1 << DIGIT_BITS };

enum in_batch {
#define IN_BATCH(name, text) IN_BATCH_##name,
#include "feature/in_batch.tbl"
#undef IN_BATCH
    IN_BATCH_COUNT
};
_Static_assert(IN_BATCH_COUNT <= 8, "batch_facts has room for eight");

struct grouping {        /* equal keys share a group, numbered from 0 by first row */
    uint32_t *group;     /* of each row; undefined for rows left out */
    uint32_t *first_row; /* of each group */
    uint32_t *row_count; /* of each group */
    uint32_t group_count;
};

struct joining {
    const struct batch_facts *facts;
    uint32_t row_count;
    uint32_t *slots; /* group + 1, or GROUP_NONE; slot_count of them */
    uint32_t slot_count;
    struct grouping payers, payees, pairs;
    uint32_t *pairs_of_payer, *pairs_of_payee; /* distinct counterparties */
    uint64_t *pair_sum;
    uint32_t *order, *order_next; /* rows, sorted */
    float *out[IN_BATCH_COUNT];
};

/* --- memory --------------------------------------------------------------------------------------------------------- */

static uint32_t slot_count_for(uint32_t row_count)
{
    uint32_t count = 16;
    while (count < 2ull * row_count && count < 1u << 31)
        count *= 2;
    return count;
}

static size_t part_bytes(uint64_t count, size_t bytes)
{
    return (size_t)((count * bytes + ALIGN - 1) / ALIGN * ALIGN);
}

size_t feature_in_batch_bytes(uint32_t row_count)
{
    size_t words = 3 * 3 + 2 + 2, floats = IN_BATCH_COUNT;
    return (words + floats) * part_bytes(row_count, 4) + part_bytes(row_count, 8) + part_bytes(slot_count_for(row_count), 4) + ALIGN;
}

static uint32_t *words_take(struct arena *arena, uint64_t count)
{
    return arena_take_zeroed(arena, count * sizeof(uint32_t), ALIGN);
}

static void grouping_take(struct grouping *out, struct arena *arena, uint32_t row_count)
{
    out->group = words_take(arena, row_count);
    out->first_row = words_take(arena, row_count);
    out->row_count = words_take(arena, row_count);
}

static void scratch_take(struct joining *out, struct arena *arena)
{
    uint32_t row_count = out->row_count;
    out->slot_count = slot_count_for(row_count);
    out->slots = words_take(arena, out->slot_count);
    grouping_take(&out->payers, arena, row_count);
    grouping_take(&out->payees, arena, row_count);
    grouping_take(&out->pairs, arena, row_count);
    out->pairs_of_payer = words_take(arena, row_count);
    out->pairs_of_payee = words_take(arena, row_count);
    out->order = words_take(arena, row_count);
    out->order_next = words_take(arena, row_count);
    out->pair_sum = arena_take_zeroed(arena, (size_t)row_count * sizeof *out->pair_sum, ALIGN);
}

/* --- joins ---------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15u + (b << 29 | b >> 35);
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

/* Groups valid rows by keys a and b (b may be NULL). slots is used up and cleared again. */
static void rows_group(struct grouping *out, struct joining *joining, const uint64_t *a, const uint64_t *b)
{
    const uint8_t *invalid = joining->facts->invalid;
    uint32_t mask = joining->slot_count - 1, row_count = joining->row_count;
    for (uint32_t row = 0; row < row_count; row++) {
        if (row + AHEAD_ROWS < row_count)
            __builtin_prefetch(&joining->slots[mix(a[row + AHEAD_ROWS], b ? b[row + AHEAD_ROWS] : 0) & mask]);
        if (invalid[row])
            continue;
        uint32_t slot = (uint32_t)mix(a[row], b ? b[row] : 0) & mask;
        for (; joining->slots[slot] != GROUP_NONE; slot = (slot + 1) & mask) {
            uint32_t other = out->first_row[joining->slots[slot] - 1];
            if (a[other] == a[row] && (!b || b[other] == b[row]))
                break;
        }
        if (joining->slots[slot] == GROUP_NONE) {
            out->first_row[out->group_count++] = row;
            joining->slots[slot] = out->group_count;
        }
        out->group[row] = joining->slots[slot] - 1;
        out->row_count[out->group[row]]++;
    }
    memset(joining->slots, 0, joining->slot_count * sizeof *joining->slots);
}

static uint64_t amount_of(const struct batch_facts *facts, uint32_t row)
{
    return facts->amount[row] > 0 ? (uint64_t)facts->amount[row] : 0;
}

static void pairs_count(struct joining *joining)
{
    for (uint32_t pair = 0; pair < joining->pairs.group_count; pair++) {
        uint32_t row = joining->pairs.first_row[pair];
        joining->pairs_of_payer[joining->payers.group[row]]++;
        joining->pairs_of_payee[joining->payees.group[row]]++;
    }
    for (uint32_t row = 0; row < joining->row_count; row++) {
        if (joining->facts->invalid[row])
            continue;
        uint64_t *sum = &joining->pair_sum[joining->pairs.group[row]], amount = amount_of(joining->facts, row);
        *sum = amount > UINT64_MAX - *sum ? UINT64_MAX : *sum + amount;
    }
}

static void counts_write(struct joining *joining)
{
    for (uint32_t row = 0; row < joining->row_count; row++) {
        bool skipped = joining->facts->invalid[row];
        uint32_t payer = joining->payers.group[row], payee = joining->payees.group[row], pair = joining->pairs.group[row];
        joining->out[IN_BATCH_fan_in_payers][row] = skipped ? -1.0f : (float)joining->pairs_of_payee[payee];
        joining->out[IN_BATCH_fan_out_payees][row] = skipped ? -1.0f : (float)joining->pairs_of_payer[payer];
        joining->out[IN_BATCH_split_rows][row] = skipped ? -1.0f : (float)joining->pairs.row_count[pair];
        joining->out[IN_BATCH_split_sum][row] = skipped ? -1.0f : (float)joining->pair_sum[pair];
        joining->out[IN_BATCH_near_duplicates][row] = skipped ? -1.0f : 0.0f;
    }
}

/* --- near duplicates ------------------------------------------------------------------------------------------------ */

/* Rows whose pair has others; false: none. */
static uint32_t rows_repeated(const struct joining *joining)
{
    uint32_t count = 0;
    for (uint32_t row = 0; row < joining->row_count; row++)
        if (!joining->facts->invalid[row] && joining->pairs.row_count[joining->pairs.group[row]] > 1)
            joining->order[count++] = row;
    return count;
}

static unsigned digit_of(const struct joining *joining, uint32_t row, unsigned digit)
{
    uint64_t key = digit < DIGITS ? amount_of(joining->facts, row) : joining->pairs.group[row];
    return key >> digit % DIGITS * DIGIT_BITS & (DIGIT_VALUES - 1);
}

static void order_by_digit(struct joining *joining, uint32_t count, unsigned digit)
{
    uint32_t places[DIGIT_VALUES] = {0};
    for (uint32_t i = 0; i < count; i++)
        places[digit_of(joining, joining->order[i], digit)]++;
    if (places[digit_of(joining, joining->order[0], digit)] == count)
        return;
    for (uint32_t value = 0, before = 0; value < DIGIT_VALUES; value++) {
        uint32_t here = places[value];
        places[value] = before;
        before += here;
    }
    for (uint32_t i = 0; i < count; i++)
        joining->order_next[places[digit_of(joining, joining->order[i], digit)]++] = joining->order[i];
    uint32_t *swapped = joining->order;
    joining->order = joining->order_next;
    joining->order_next = swapped;
}

static bool is_near(uint64_t low, uint64_t high) /* they differ by at most 1 % of the higher */
{
    return high - low <= high / 100;
}

/* One pair's rows, amounts ascending: near ones of a row are a range around it that only moves up. */
static void near_count(struct joining *joining, const uint32_t *rows, uint32_t count)
{
    uint32_t from = 0, to = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t amount = amount_of(joining->facts, rows[i]);
        while (!is_near(amount_of(joining->facts, rows[from]), amount))
            from++;
        while (to < count && is_near(amount, amount_of(joining->facts, rows[to])))
            to++;
        joining->out[IN_BATCH_near_duplicates][rows[i]] = (float)(to - from - 1);
    }
}

static void near_duplicates_write(struct joining *joining)
{
    uint32_t count = rows_repeated(joining);
    for (unsigned digit = 0; count && digit < DIGITS + sizeof(uint32_t); digit++)
        order_by_digit(joining, count, digit);
    for (uint32_t from = 0, to; from < count; from = to) {
        uint32_t pair = joining->pairs.group[joining->order[from]];
        to = from + joining->pairs.row_count[pair];
        near_count(joining, joining->order + from, to - from);
    }
}

enum fault feature_in_batch(struct batch *batch, struct fault_note *note)
{
    MUST(batch->magic == (unsigned)BATCH_MAGIC && batch->facts.payer);
    struct joining joining = {.facts = &batch->facts, .row_count = batch->row_count};
    for (unsigned i = 0; i < IN_BATCH_COUNT; i++) {
        if (!batch->facts.in_batch[i])
            batch->facts.in_batch[i] = arena_take(&batch->arena, (size_t)batch->row_count * sizeof(float), ALIGN);
        joining.out[i] = batch->facts.in_batch[i];
    }
    size_t kept = batch->arena.used;
    scratch_take(&joining, &batch->arena);
    if (arena_overflowed(&batch->arena))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "batch arena of %zu bytes is too small to join %u rows",
                         batch->arena.size, batch->row_count);
    rows_group(&joining.payers, &joining, batch->facts.payer, NULL);
    rows_group(&joining.payees, &joining, batch->facts.payee, NULL);
    rows_group(&joining.pairs, &joining, batch->facts.payer, batch->facts.payee);
    pairs_count(&joining);
    counts_write(&joining);
    near_duplicates_write(&joining);
    batch->arena.used = kept; /* scratch goes back */
    return FAULT_NONE;
}
