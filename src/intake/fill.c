/* The facts of every row. Where a column is a dictionary, a value is worked out once. Empty ids are absent ones: key 0. */
#include "intake/intake.h"

#include "base/clock.h"
#include "intake/funds.h"

__extension__ typedef unsigned __int128 uint128;

uint32_t currency_find(const struct currency_table *table, struct text code)
{
    for (uint32_t i = 0; i < table->count && code.bytes == 3; i++)
        if (memcmp(code.data, table->rates[i].code, 3) == 0)
            return i;
    return CURRENCY_NONE;
}

static enum fault arena_fault(const struct batch *batch, struct fault_note *note)
{
    if (!arena_overflowed(&batch->arena))
        return FAULT_NONE;
    return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch does not fit its arena of %zu bytes", batch->arena.size);
}

static void fill_keys(struct batch *batch, uint64_t *out, enum column_id id, uint64_t seed)
{
    const struct column *column = &batch->columns[id];
    if (column->form == FORM_ABSENT || !out)
        return;
    uint64_t *value_hashes = NULL, empty = hash64(seed, "", 0);
    if (column->form != FORM_STR && !(value_hashes = arena_take(&batch->arena, sizeof *value_hashes * column->value_count, 8)))
        return;
    column_hashes(column, batch->row_count, seed, out, value_hashes);
    for (uint32_t row = 0; row < batch->row_count; row++)
        out[row] = out[row] == empty ? 0 : out[row];
}

/* Networks are few: the low half of their hash tells them apart. */
static enum fault fill_networks(struct batch *batch, uint32_t *out, enum column_id id, uint64_t seed, struct fault_note *note)
{
    if (batch->columns[id].form == FORM_ABSENT || !out)
        return FAULT_NONE;
    uint64_t *keys = arena_take(&batch->arena, sizeof *keys * batch->row_count, 8);
    if (!keys)
        return arena_fault(batch, note);
    fill_keys(batch, keys, id, seed);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        uint32_t tag = (uint32_t)keys[row];
        out[row] = keys[row] && tag == 0 ? 1 : tag;
    }
    return arena_fault(batch, note);
}

static enum fault fill_places(struct batch *batch, uint64_t seed, struct fault_note *note)
{
    struct batch_facts *facts = &batch->facts;
    bool is_observe = op_is_about_accounts(batch->op);
    fill_keys(batch, facts->payer, is_observe ? COLUMN_account_id : COLUMN_payer_id, seed);
    fill_keys(batch, facts->payee, is_observe ? COLUMN_contact_id : COLUMN_payee_id, seed);
    fill_keys(batch, facts->transfer, COLUMN_transfer_id, seed);
    fill_keys(batch, facts->payer_device, is_observe ? COLUMN_device_id : COLUMN_payer_device, seed);
    fill_keys(batch, facts->payer_address, is_observe ? COLUMN_address : COLUMN_payer_address, seed);
    fill_keys(batch, facts->payee_device, COLUMN_payee_device, seed);
    fill_keys(batch, facts->payee_address, COLUMN_payee_address, seed);
    enum fault fault = fill_networks(batch, facts->payer_network, is_observe ? COLUMN_network : COLUMN_payer_network, seed, note);
    return fault == FAULT_NONE ? fill_networks(batch, facts->payee_network, COLUMN_payee_network, seed, note) : fault;
}

/* Nearest reference minor unit, at least one. */
static int64_t amount_in_reference(int64_t amount, uint64_t factor_q32)
{
    uint128 wide = ((uint128)(uint64_t)amount * factor_q32 + (1u << 31)) >> 32;
    if (wide < 1)
        return 1;
    return wide > (uint128)AMOUNT_MAX ? AMOUNT_MAX : (int64_t)wide;
}

static void fill_amounts(struct batch *batch, const struct currency_table *table)
{
    const struct column *amounts = &batch->columns[COLUMN_amount], *codes = &batch->columns[COLUMN_currency];
    struct text before = {0};
    uint32_t place = CURRENCY_NONE;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (batch->facts.invalid[row] || !column_is_valid(amounts, row) || !column_is_valid(codes, row) || !row_is_funds(batch, row))
            continue;
        struct text code = column_text(codes, row);
        if (!before.data || !text_equal(code, before))
            place = currency_find(table, code);
        before = code;
        if (place != CURRENCY_NONE)
            batch->facts.amount[row] = amount_in_reference(column_i64(amounts, row), table->rates[place].factor_q32);
    }
}

static void fill_labels(struct batch *batch)
{
    const struct column *labels = &batch->columns[COLUMN_label];
    if (!batch->facts.label)
        return;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        struct text label = column_is_valid(labels, row) ? column_text(labels, row) : (struct text){0};
        batch->facts.label[row] = label.bytes == 0 ? 0 : text_equal(label, text_of("good")) ? 1 : 2;
    }
}

static void fill_lists(struct batch *batch)
{
    const struct column *lists = &batch->columns[COLUMN_list];
    for (uint32_t row = 0; op_edits_lists(batch->op) && row < batch->row_count; row++)
        for (enum party_list list = 0; list < LIST_COUNT && column_is_valid(lists, row); list++)
            if (text_equal(column_text(lists, row), text_of(list_names[list])))
                batch->facts.flags[row] = list_flag(list);
}

enum fault intake_fill(struct batch *batch, const struct intake_rules *rules, struct fault_note *note)
{
    enum fault fault = batch_take_facts(batch, note);
    if (fault != FAULT_NONE)
        return fault;
    fill_amounts(batch, &rules->currencies);
    fill_labels(batch);
    fill_lists(batch);
    return fill_places(batch, rules->key_seed, note);
}

static int64_t time_of(struct batch *batch, uint32_t row, int64_t now_us)
{
    const struct column *times = &batch->columns[COLUMN_time];
    if (batch->facts.invalid[row] || !column_is_valid(times, row))
        return now_us;
    int64_t time_us = column_i64(times, row);
    if (time_us > now_us + TRANSFER_AHEAD_US_MAX) {
        batch_row_fails(batch, row, COLUMN_time, RULE_TIME, "%lld seconds ahead of now, at most %lld are taken",
                        (long long)((time_us - now_us) / US_PER_SECOND), TRANSFER_AHEAD_US_MAX / US_PER_SECOND);
        return now_us;
    }
    if (time_us < now_us - TRANSFER_AGE_US_MAX && (batch->op == OP_screen || batch->op == OP_score)) {
        batch_row_fails(batch, row, COLUMN_time, RULE_TIME, "%lld days ago, at most %lld are taken: import older transfers",
                        (long long)((now_us - time_us) / US_PER_DAY), TRANSFER_AGE_US_MAX / US_PER_DAY);
        return now_us;
    }
    return time_us;
}

/* An entry that is over already would do nothing. */
static void check_ends(struct batch *batch, int64_t now_us)
{
    const struct column *ends = &batch->columns[COLUMN_until];
    for (uint32_t row = 0; batch->op == OP_list_put && row < batch->row_count; row++)
        if (!batch->facts.invalid[row] && column_is_valid(ends, row) && column_i64(ends, row) <= now_us)
            batch_row_fails(batch, row, COLUMN_until, RULE_TIME, "is over already, %lld seconds ago",
                            (long long)((now_us - column_i64(ends, row)) / US_PER_SECOND));
}

void intake_fill_times(struct batch *batch, int64_t now_us)
{
    for (uint32_t row = 0; row < batch->row_count; row++)
        batch->facts.time_us[row] = time_of(batch, row, now_us);
    check_ends(batch, now_us);
}
