#include "verdict/consolidated.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

enum fault consolidated_begin(struct consolidated_tally *out, const struct merged *merged, uint64_t seed, uint32_t rows_max,
                              struct fault_note *note)
{
    *out = (struct consolidated_tally){.merged = merged, .seed = seed, .rows_max = rows_max};
    bool took = true;
    for (unsigned i = 0; i < PARTY_COUNT; i++) {
        size_t cells = (size_t)rows_max * (i == PARTY_DEVICE || i == PARTY_ADDRESS ? 2 : 1);
        out->parties[i].items = memory_take(cells * sizeof(struct digest) + 1);
        took = took && out->parties[i].items;
    }
    return took ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a consolidated check");
}

static void party_add(struct consolidated_tally *tally, enum consolidated_party party, const struct batch *batch, enum column_id id,
                      uint32_t row)
{
    const struct column *column = &batch->columns[id];
    struct merged_set *set = &tally->parties[party];
    if (!column_is_valid(column, row))
        return;
    struct text text = column_text(column, row);
    set->items[set->count++] = hash128(tally->seed, text.data, text.bytes);
}

static struct merged_sum *sum_of(struct consolidated_tally *tally, struct text currency)
{
    for (uint32_t i = 0; i < tally->sum_count; i++)
        if (text_equal(tally->sums[i].currency, currency))
            return &tally->sums[i];
    if (tally->sum_count == MERGED_SUMS_MAX || currency.bytes >= sizeof tally->currencies[0])
        return NULL;
    char *kept = tally->currencies[tally->sum_count];
    text_copy(kept, sizeof tally->currencies[0], currency);
    struct merged_sum *sum = &tally->sums[tally->sum_count++];
    *sum = (struct merged_sum){.currency = text_of(kept)};
    return sum;
}

static void amount_add(struct consolidated_tally *tally, const struct batch *batch, uint32_t row)
{
    const struct column *amounts = &batch->columns[COLUMN_amount], *currencies = &batch->columns[COLUMN_currency];
    if (!column_is_valid(amounts, row))
        return;
    struct merged_sum *sum = sum_of(tally, column_is_valid(currencies, row) ? column_text(currencies, row) : text_of(""));
    if (!sum || __builtin_add_overflow(sum->amount, column_i64(amounts, row), &sum->amount))
        tally->overflows = true;
}

static const struct column *column_named(const struct batch *batch, struct text name)
{
    enum column_id known = column_find(name);
    if (known < COLUMN_COUNT)
        return &batch->columns[known];
    for (uint32_t i = 0; i < batch->other_count; i++)
        if (text_equal(batch->others[i].name, name))
            return &batch->others[i];
    return NULL;
}

static bool is_same(const struct batch *batch, uint32_t row, const struct merged_same *same)
{
    const struct column *column = column_named(batch, same->name);
    if (!column || !column_is_valid(column, row) || column->form == FORM_F64)
        return false;
    if (column->form == FORM_I64)
        return !same->is_text && column_i64(column, row) == same->integer;
    return same->is_text && text_equal(column_text(column, row), same->text);
}

void consolidated_row(struct consolidated_tally *tally, const struct batch *batch, uint32_t row)
{
    static const struct {
        enum consolidated_party party;
        enum column_id column;
    } columns[] = {{PARTY_PAYER, COLUMN_payer_id},      {PARTY_PAYEE, COLUMN_payee_id},        {PARTY_DEVICE, COLUMN_payer_device},
                   {PARTY_DEVICE, COLUMN_payee_device}, {PARTY_ADDRESS, COLUMN_payer_address}, {PARTY_ADDRESS, COLUMN_payee_address}};
    const struct merged *merged = tally->merged;
    MUST(tally->count < tally->rows_max);
    tally->count++;
    for (unsigned i = 0; i < sizeof columns / sizeof *columns; i++)
        party_add(tally, columns[i].party, batch, columns[i].column, row);
    amount_add(tally, batch, row);
    for (uint32_t i = 0; i < merged->same_count && !tally->why[0]; i++)
        if (!is_same(batch, row, &merged->same[i]))
            snprintf(tally->why, sizeof tally->why, "%.*s is not the same in every transfer",
                     (int)(merged->same[i].name.bytes < 24 ? merged->same[i].name.bytes : 24), merged->same[i].name.data);
}

#define DIFFERS(...) (snprintf(tally->why, sizeof tally->why, __VA_ARGS__), false)

static bool set_agrees(struct consolidated_tally *tally, const struct merged_set *told, enum consolidated_party party, const char *what)
{
    const struct merged_set *is = &tally->parties[party];
    if (!told->is_there)
        return true;
    if (told->count != is->count)
        return DIFFERS("%s are %u, %u were merged", what, is->count, told->count);
    return memcmp(told->items, is->items, is->count * sizeof *is->items) == 0 || DIFFERS("%s are others than were merged", what);
}

static bool sums_agree(struct consolidated_tally *tally)
{
    const struct merged *merged = tally->merged;
    if (!merged->has_sums)
        return true;
    if (tally->overflows || tally->sum_count != merged->sum_count)
        return DIFFERS("currencies are %u, %u were merged", tally->sum_count, merged->sum_count);
    for (uint32_t i = 0; i < merged->sum_count; i++) {
        bool agrees = false;
        for (uint32_t k = 0; k < tally->sum_count; k++)
            agrees |= text_equal(tally->sums[k].currency, merged->sums[i].currency) && tally->sums[k].amount == merged->sums[i].amount;
        if (!agrees)
            return DIFFERS("the sum of %.*s differs", (int)(merged->sums[i].currency.bytes < 15 ? merged->sums[i].currency.bytes : 15),
                           merged->sums[i].currency.data);
    }
    return true;
}

bool consolidated_end(struct consolidated_tally *tally)
{
    const struct merged *merged = tally->merged;
    for (unsigned i = 0; i < PARTY_COUNT; i++)
        merged_set_sort(&tally->parties[i]);
    if (tally->why[0])
        return false;
    if (merged->has_count && merged->count != tally->count)
        return DIFFERS("transfers are %u, %lld were merged", tally->count, (long long)merged->count);
    return sums_agree(tally) && set_agrees(tally, &merged->payers, PARTY_PAYER, "payers") &&
           set_agrees(tally, &merged->payees, PARTY_PAYEE, "payees");
}

void consolidated_fini(struct consolidated_tally *tally)
{
    for (unsigned i = 0; i < PARTY_COUNT; i++)
        memory_give(tally->parties[i].items);
    *tally = (struct consolidated_tally){0};
}
