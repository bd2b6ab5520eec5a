/* Which rows may go on. Columns are looked at one by one; where a whole column is quickly seen to be clean, its rows are
 * not looked at. A wrong cell makes its row invalid and never the batch; only a missing or foreign column does that. */
#include "intake/intake.h"

#include <stdio.h>

#include "intake/funds.h"
#include "intake/profile.h"

enum { SHOWN_BYTES_MAX = 24 };

static bool is_id(uint16_t column)
{
    static const uint16_t ids[] = {COLUMN_transfer_id,  COLUMN_payer_id,   COLUMN_payee_id,   COLUMN_order_id, COLUMN_payer_device,
                                   COLUMN_payee_device, COLUMN_account_id, COLUMN_contact_id, COLUMN_device_id};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i] == column)
            return true;
    return false;
}

/* What one text must be. */
struct text_rule {
    uint32_t bytes_least, bytes_max;
    bool is_id;
    const struct currency_table *currencies; /* NULL: no currency */
};

static struct text_rule text_rule_of(const struct batch *batch, const struct intake_rules *rules, uint16_t column)
{
    bool id = is_id(column) || (column == COLUMN_address && op_edits_lists(batch->op));
    return (struct text_rule){
        .bytes_least = id && column_needed_by(column, batch->op, false),
        .bytes_max = id ? rules->limits.id_bytes_max : rules->limits.text_bytes_max,
        .is_id = id,
        .currencies = column == COLUMN_currency ? &rules->currencies : NULL,
    };
}

static enum check_rule text_judge(const struct text_rule *rule, struct text text)
{
    if (text.bytes < rule->bytes_least)
        return RULE_MISSING;
    if (text.bytes > rule->bytes_max)
        return RULE_LENGTH;
    if (!(rule->is_id ? text_is_id(text) : text_is_utf8(text)))
        return RULE_UTF8;
    if (rule->currencies && currency_find(rule->currencies, text) == CURRENCY_NONE)
        return RULE_ENUM;
    return RULE_COUNT; /* fine */
}

static void text_fails(struct batch *batch, uint32_t row, uint16_t column, enum check_rule failed, const struct text_rule *rule)
{
    struct text text = column_text(&batch->columns[column], row);
    char shown[SHOWN_BYTES_MAX + 1];
    text_copy(shown, sizeof shown, text);
    if (failed == RULE_MISSING)
        batch_row_fails(batch, row, column, failed, "must not be empty");
    else if (failed == RULE_LENGTH)
        batch_row_fails(batch, row, column, failed, "%u bytes, at most %u are taken", text.bytes, rule->bytes_max);
    else if (failed == RULE_UTF8)
        batch_row_fails(batch, row, column, failed, "must be UTF-8%s", rule->is_id ? " without control characters" : "");
    else
        batch_row_fails(batch, row, column, failed, "%s is no currency with a rate here", shown);
}

/* A str column whose bytes are clean as a whole and whose lengths are within bounds. */
static bool str_is_clean(const struct column *column, uint32_t row_count, const struct text_rule *rule)
{
    uint32_t bounds[2] = {0}, first, least = UINT32_MAX, most = 0;
    if (rule->currencies)
        return false;
    memcpy(&first, column->offsets, sizeof first);
    for (uint32_t row = 0; row < row_count; row++) {
        memcpy(bounds, column->offsets + 4 * (size_t)row, sizeof bounds);
        uint32_t bytes = bounds[1] - bounds[0];
        least = bytes < least ? bytes : least;
        most = bytes > most ? bytes : most;
    }
    if (least < rule->bytes_least || most > rule->bytes_max)
        return false;
    return text_is_id((struct text){.data = (const char *)column->data + first, .bytes = bounds[1] - first});
}

static void check_str(struct batch *batch, uint16_t id, const struct text_rule *rule)
{
    const struct column *column = &batch->columns[id];
    struct text before = {0};
    enum check_rule failed = RULE_MISSING;
    if (str_is_clean(column, batch->row_count, rule))
        return;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (!column_is_valid(column, row))
            continue;
        struct text text = column_text(column, row);
        if (!before.data || !text_equal(text, before))
            failed = text_judge(rule, text);
        before = text;
        if (failed != RULE_COUNT)
            text_fails(batch, row, id, failed, rule);
    }
}

static enum fault check_dict(struct batch *batch, uint16_t id, const struct text_rule *rule, struct fault_note *note)
{
    const struct column *column = &batch->columns[id];
    bool any = false;
    uint8_t *judged = arena_take(&batch->arena, column->value_count, 1);
    if (!judged)
        return fault_set(note, FAULT_limit, ROW_NONE, id, "the batch does not fit its arena");
    for (uint32_t i = 0; i < column->value_count; i++) {
        judged[i] = (uint8_t)text_judge(rule, column->values[i]);
        any = any || judged[i] != RULE_COUNT;
    }
    for (uint32_t row = 0; any && row < batch->row_count; row++)
        if (column_is_valid(column, row) && judged[column_code(column, row)] != RULE_COUNT)
            text_fails(batch, row, id, (enum check_rule)judged[column_code(column, row)], rule);
    return FAULT_NONE;
}

static void check_amounts(struct batch *batch)
{
    const struct column *column = &batch->columns[COLUMN_amount];
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (!column_is_valid(column, row) || !row_is_funds(batch, row))
            continue;
        int64_t amount = column_i64(column, row);
        if (amount < 1 || amount > AMOUNT_MAX)
            batch_row_fails(batch, row, COLUMN_amount, RULE_RANGE, "must be 1 to %lld minor units, is %lld", AMOUNT_MAX, (long long)amount);
    }
}

static void check_times(struct batch *batch, uint16_t id)
{
    const struct column *column = &batch->columns[id];
    for (uint32_t row = 0; row < batch->row_count; row++) {
        int64_t time_us = column_i64(column, row);
        if ((time_us < 0 || time_us > TIME_US_MAX) && column_is_valid(column, row))
            batch_row_fails(batch, row, id, RULE_RANGE, "must be microseconds since 1970, before the year 10000, is %lld",
                            (long long)time_us);
    }
}

static void check_nulls(struct batch *batch, uint16_t id, bool of_funds)
{
    const struct column *column = &batch->columns[id];
    if (column->form != FORM_ABSENT && !column->valid)
        return;
    bool had_types = batch->rule_counts[id][RULE_TYPE] > 0; /* a cell of the wrong type was noted and is null now */
    for (uint32_t row = 0; row < batch->row_count; row++)
        if (!column_is_valid(column, row) && (!of_funds || row_is_funds(batch, row)) && !(had_types && batch->facts.invalid[row]))
            batch_row_fails(batch, row, id, RULE_MISSING, "is missing");
}

static enum fault check_column(struct batch *batch, uint16_t id, const struct intake_rules *rules, struct fault_note *note)
{
    const struct column *column = &batch->columns[id];
    bool needed = column_needed_by(id, batch->op, true), of_funds = needed && !column_needed_by(id, batch->op, false);
    bool some_other_kind = batch->columns[COLUMN_resource_kind].form != FORM_ABSENT;
    if (column->form != FORM_ABSENT && !column_taken_by(id, batch->op))
        return fault_set(note, FAULT_schema, ROW_NONE, id, "%s takes no column %s", op_names[batch->op], column_name(id));
    if (column->form == FORM_ABSENT && needed && !(of_funds && some_other_kind))
        return fault_set(note, FAULT_schema, ROW_NONE, id, "column %s is missing, %s needs it", column_name(id), op_names[batch->op]);
    if (needed)
        check_nulls(batch, id, of_funds);
    if (column->form == FORM_ABSENT)
        return FAULT_NONE;
    if (column_type_of(id) == COLUMN_TIME)
        return check_times(batch, id), FAULT_NONE;
    if (column_type_of(id) == COLUMN_MONEY)
        return check_amounts(batch), FAULT_NONE;
    struct text_rule rule = text_rule_of(batch, rules, id);
    if (column->form == FORM_STR)
        return check_str(batch, id, &rule), FAULT_NONE;
    return check_dict(batch, id, &rule, note);
}

/* An observation says something: what its kind is about is there, in one of two columns. */
static enum fault check_observation(struct batch *batch, struct fault_note *note)
{
    static const uint16_t about[OBSERVE_COUNT][2] = {
        [OBSERVE_ATTRIBUTE] = {COLUMN_opened_time, COLUMN_changed_time},
        [OBSERVE_CONTACT] = {COLUMN_contact_id, COLUMN_contact_id},
        [OBSERVE_REGISTRATION] = {COLUMN_device_id, COLUMN_device_id},
        [OBSERVE_USE] = {COLUMN_device_id, COLUMN_address},
    };
    uint16_t first = about[batch->observe_kind][0], second = about[batch->observe_kind][1];
    const struct column *columns[] = {&batch->columns[first], &batch->columns[second]};
    const char *joined = first == second ? "" : " or ", *other = first == second ? "" : column_name(second);
    if (columns[0]->form == FORM_ABSENT && columns[1]->form == FORM_ABSENT)
        return fault_set(note, FAULT_schema, ROW_NONE, first, "column %s%s%s is missing, kind %s needs it", column_name(first), joined,
                         other, observe_names[batch->observe_kind]);
    for (uint32_t row = 0; row < batch->row_count; row++)
        if (!column_is_valid(columns[0], row) && !column_is_valid(columns[1], row))
            batch_row_fails(batch, row, first, RULE_MISSING, "%s%s%s is missing", column_name(first), joined, other);
    return FAULT_NONE;
}

/* An entry names a list and something that is put on it. */
static enum fault check_listing(struct batch *batch, struct fault_note *note)
{
    static const uint16_t about[LISTED_COUNT] = {COLUMN_account_id, COLUMN_device_id, COLUMN_address};
    const struct column *lists = &batch->columns[COLUMN_list];
    uint32_t columns = 0;
    for (unsigned i = 0; i < LISTED_COUNT; i++)
        columns += batch->columns[about[i]].form != FORM_ABSENT;
    if (columns == 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_account_id, "one of the columns account_id, device_id, address is needed");
    for (uint32_t row = 0; row < batch->row_count; row++) {
        bool names_list = false, names_any = false;
        for (unsigned i = 0; i < LISTED_COUNT; i++)
            names_any |= column_is_valid(&batch->columns[about[i]], row) && column_text(&batch->columns[about[i]], row).bytes > 0;
        for (unsigned i = 0; i < LIST_COUNT && column_is_valid(lists, row); i++)
            names_list |= text_equal(column_text(lists, row), text_of(list_names[i]));
        if (!names_any)
            batch_row_fails(batch, row, COLUMN_account_id, RULE_MISSING, "account_id, device_id or address is missing");
        if (!names_list && column_is_valid(lists, row))
            batch_row_fails(batch, row, COLUMN_list, RULE_ENUM, "must be block, restrict or allow");
    }
    return FAULT_NONE;
}

/* Open addressing over row numbers; at most half full. */
static enum fault check_unique(struct batch *batch, uint64_t seed, struct fault_note *note)
{
    const struct column *column = &batch->columns[COLUMN_transfer_id];
    uint32_t slot_count = 2, row_count = batch->row_count;
    while (slot_count < 2 * (uint64_t)row_count)
        slot_count *= 2;
    uint64_t *hashes = arena_take(&batch->arena, sizeof *hashes * row_count, 8);
    uint32_t *slots = arena_take_zeroed(&batch->arena, sizeof *slots * slot_count, 64); /* row + 1; 0: empty */
    if (!hashes || !slots)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_transfer_id, "the batch does not fit its arena");
    column_hashes(column, row_count, seed, hashes, NULL);
    for (uint32_t row = 0; row < row_count; row++) {
        uint32_t slot = (uint32_t)hashes[row] & (slot_count - 1);
        if (hashes[row] == 0)
            continue; /* null: noted as missing */
        while (slots[slot] &&
               (hashes[slots[slot] - 1] != hashes[row] || !text_equal(column_text(column, slots[slot] - 1), column_text(column, row))))
            slot = (slot + 1) & (slot_count - 1);
        if (slots[slot])
            batch_row_fails(batch, row, COLUMN_transfer_id, RULE_UNIQUE, "the same as %u rows before", row - (slots[slot] - 1));
        else
            slots[slot] = row + 1;
    }
    return FAULT_NONE;
}

enum fault intake_check(struct batch *batch, const struct intake_rules *rules, struct fault_note *note)
{
    enum fault fault = batch_take_checks(batch, rules->limits.notes_max, note);
    for (uint16_t i = 0; i < COLUMN_COUNT && fault == FAULT_NONE; i++)
        if (!rules->profile || !profile_makes_last(rules->profile, i))
            fault = check_column(batch, i, rules, note);
    if (fault == FAULT_NONE && batch->op == OP_observe)
        fault = check_observation(batch, note);
    if (fault == FAULT_NONE && op_edits_lists(batch->op))
        fault = check_listing(batch, note);
    if (fault == FAULT_NONE && !op_is_about_accounts(batch->op))
        fault = check_unique(batch, rules->key_seed, note);
    return fault;
}

enum fault intake_check_made(struct batch *batch, const struct intake_rules *rules, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (uint16_t i = 0; i < COLUMN_COUNT && fault == FAULT_NONE; i++)
        if (rules->profile && profile_makes_last(rules->profile, i))
            fault = check_column(batch, i, rules, note);
    return fault;
}
