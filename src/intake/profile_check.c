/* What cells must be beyond their type. All of a row is told, and all rows. */
#include <stdio.h>

#include "intake/profile_internal.h"

enum { SHOWN_BYTES = 32 };

struct checking {
    struct batch *batch;
    const struct rule_column *rule;
    const struct column *column;
    uint16_t place;
    struct pattern_work *work;
};

/* --- numbers ----------------------------------------------------------------------------------------------------------- */

static void exact_show(char *out, size_t out_bytes, int64_t value, const struct rule_column *rule)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value, power = 1;
    for (unsigned i = 0; i < rule->places; i++)
        power *= 10;
    int used = snprintf(out, out_bytes, "%s%llu", value < 0 ? "-" : "", (unsigned long long)(magnitude / power));
    if (rule->places && used > 0 && (size_t)used < out_bytes)
        snprintf(out + used, out_bytes - (size_t)used, ".%0*llu", (int)(rule->places & 15), (unsigned long long)(magnitude % power));
}

static void range_fails(const struct checking *checking, uint32_t row, const char *shown, const char *least, const char *most)
{
    const struct rule_column *rule = checking->rule;
    batch_row_fails(checking->batch, row, checking->place, RULE_RANGE, "must be %s%s%s%s%s, is %s", rule->has_least ? "at least " : "",
                    rule->has_least ? least : "", rule->has_least && rule->has_most ? " and " : "", rule->has_most ? "at most " : "",
                    rule->has_most ? most : "", shown);
}

static void exacts_check(const struct checking *checking)
{
    const struct rule_column *rule = checking->rule;
    int64_t least = rule->has_least ? rule->least : INT64_MIN, most = rule->has_most ? rule->most : INT64_MAX;
    char shown[SHOWN_BYTES], shown_least[SHOWN_BYTES], shown_most[SHOWN_BYTES];
    for (uint32_t row = 0; row < checking->batch->row_count; row++) {
        int64_t value = column_is_valid(checking->column, row) ? column_i64(checking->column, row) : least;
        if (value >= least && value <= most)
            continue;
        exact_show(shown, sizeof shown, value, rule);
        exact_show(shown_least, sizeof shown_least, least, rule);
        exact_show(shown_most, sizeof shown_most, most, rule);
        range_fails(checking, row, shown, shown_least, shown_most);
    }
}

static void reals_check(const struct checking *checking)
{
    const struct rule_column *rule = checking->rule;
    char shown[SHOWN_BYTES], least[SHOWN_BYTES], most[SHOWN_BYTES];
    snprintf(least, sizeof least, "%.9g", rule->least_real);
    snprintf(most, sizeof most, "%.9g", rule->most_real);
    for (uint32_t row = 0; row < checking->batch->row_count; row++) {
        double value;
        memcpy(&value, checking->column->data + 8 * (size_t)row, sizeof value);
        if (!column_is_valid(checking->column, row) ||
            !((rule->has_least && value < rule->least_real) || (rule->has_most && value > rule->most_real)))
            continue;
        snprintf(shown, sizeof shown, "%.9g", value);
        range_fails(checking, row, shown, least, most);
    }
}

static bool exact_is_listed(const struct rule_column *rule, int64_t value)
{
    uint32_t low = 0, high = rule->one_of_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rule->exacts[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rule->one_of_count && rule->exacts[low] == value;
}

static void listed_check(const struct checking *checking)
{
    char shown[SHOWN_BYTES];
    for (uint32_t row = 0; row < checking->batch->row_count; row++) {
        if (!column_is_valid(checking->column, row) || exact_is_listed(checking->rule, column_i64(checking->column, row)))
            continue;
        exact_show(shown, sizeof shown, column_i64(checking->column, row), checking->rule);
        batch_row_fails(checking->batch, row, checking->place, RULE_ENUM, "%s is none of the %u values", shown,
                        checking->rule->one_of_count);
    }
}

/* --- texts ------------------------------------------------------------------------------------------------------------- */

static bool text_is_listed(const struct rule_column *rule, struct text text)
{
    uint32_t low = 0, high = rule->one_of_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (template_text_order(rule->texts[middle], text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rule->one_of_count && text_equal(rule->texts[low], text);
}

static uint32_t characters(struct text text)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < text.bytes; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

enum { FAILS_LENGTH = 1, FAILS_ENUM = 2, FAILS_PATTERN = 4, FAILS_STEPS = 8, FAILS_MEMORY = 16 };

static unsigned text_judge(const struct checking *checking, struct text text)
{
    const struct rule_column *rule = checking->rule;
    unsigned fails = 0;
    uint32_t length = rule->has_length ? characters(text) : 0;
    if (rule->has_length && (length < rule->length_least || length > rule->length_most))
        fails |= FAILS_LENGTH;
    if (rule->one_of_count && !text_is_listed(rule, text))
        fails |= FAILS_ENUM;
    if (!rule->pattern)
        return fails;
    enum pattern_result result = pattern_match(rule->pattern, checking->work, text);
    static const unsigned told[] = {
        [PATTERN_FITS] = 0, [PATTERN_DIFFERS] = FAILS_PATTERN, [PATTERN_TAKES_LONG] = FAILS_STEPS, [PATTERN_TAKES_MEMORY] = FAILS_MEMORY};
    return fails | told[result];
}

static void text_fails(const struct checking *checking, uint32_t row, unsigned fails)
{
    const struct rule_column *rule = checking->rule;
    struct text text = column_text(checking->column, row);
    char shown[SHOWN_BYTES];
    cell_show(shown, sizeof shown, checking->column, row);
    if (fails & FAILS_LENGTH)
        batch_row_fails(checking->batch, row, checking->place, RULE_LENGTH, "must have %u to %u characters, %s has %u", rule->length_least,
                        rule->length_most, shown, characters(text));
    if (fails & FAILS_ENUM)
        batch_row_fails(checking->batch, row, checking->place, RULE_ENUM, "%s is none of the %u values", shown, rule->one_of_count);
    if (fails & FAILS_PATTERN)
        batch_row_fails(checking->batch, row, checking->place, RULE_PATTERN, "%s does not fit the pattern", shown);
    if (fails & FAILS_MEMORY)
        batch_row_fails(checking->batch, row, checking->place, RULE_PATTERN, "%s takes more than %d KiB to compare with the pattern", shown,
                        PATTERN_MEMORY_KIB_MAX);
    if (fails & FAILS_STEPS)
        batch_row_fails(checking->batch, row, checking->place, RULE_PATTERN, "%s takes more than %d steps to compare with the pattern",
                        shown, PATTERN_STEPS_MAX);
}

/* The same text as in the row before is judged once. */
static void strs_check(const struct checking *checking)
{
    struct text before = {0};
    unsigned fails = 0;
    for (uint32_t row = 0; row < checking->batch->row_count; row++) {
        if (!column_is_valid(checking->column, row))
            continue;
        struct text text = column_text(checking->column, row);
        if (!before.data || !text_equal(text, before))
            fails = text_judge(checking, text);
        before = text;
        if (fails)
            text_fails(checking, row, fails);
    }
}

static enum fault dict_check(const struct checking *checking, struct fault_note *note)
{
    const struct column *column = checking->column;
    uint8_t *judged = arena_take(&checking->batch->arena, column->value_count, 1);
    unsigned any = 0;
    if (!judged)
        return profile_arena_fault(checking->batch, note);
    for (uint32_t i = 0; i < column->value_count; i++)
        any |= judged[i] = (uint8_t)text_judge(checking, column->values[i]);
    for (uint32_t row = 0; any && row < checking->batch->row_count; row++)
        if (column_is_valid(column, row) && judged[column_code(column, row)])
            text_fails(checking, row, judged[column_code(column, row)]);
    return FAULT_NONE;
}

static enum fault texts_check(struct checking *checking, struct fault_note *note)
{
    const struct rule_column *rule = checking->rule;
    enum fault fault = FAULT_NONE;
    if (!rule->pattern && !rule->one_of_count && !rule->has_length)
        return FAULT_NONE;
    if (rule->pattern && !(checking->work = pattern_work_take(rule->pattern)))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to compare with a pattern");
    if (checking->column->form == FORM_STR)
        strs_check(checking);
    else
        fault = dict_check(checking, note);
    pattern_work_give(&checking->work);
    return fault;
}

/* --- sameness ---------------------------------------------------------------------------------------------------------- */

static bool cells_equal(const struct column *column, uint32_t a, uint32_t b)
{
    if (column->form == FORM_I64 || column->form == FORM_F64)
        return memcmp(column->data + 8 * (size_t)a, column->data + 8 * (size_t)b, 8) == 0;
    return text_equal(column_text(column, a), column_text(column, b));
}

/* The seed is the tenant's own and secret: nobody can choose cells that share a slot. */
static void cells_hash(uint64_t *out, const struct column *column, uint32_t row_count, uint64_t seed)
{
    if (column->form != FORM_I64 && column->form != FORM_F64) {
        column_hashes(column, row_count, seed, out, NULL);
        return;
    }
    for (uint32_t row = 0; row < row_count; row++) {
        uint64_t hash = hash64(seed, column->data + 8 * (size_t)row, 8);
        out[row] = column_is_valid(column, row) ? hash ? hash : 1 : 0;
    }
}

/* Open addressing over row numbers; at most half full. */
static enum fault unique_check(const struct checking *checking, struct fault_note *note)
{
    struct batch *batch = checking->batch;
    uint32_t slot_count = 2;
    while (slot_count < 2 * (uint64_t)batch->row_count)
        slot_count *= 2;
    uint64_t *hashes = arena_take(&batch->arena, sizeof *hashes * batch->row_count, ROWS_ALIGN);
    uint32_t *slots = arena_take_zeroed(&batch->arena, sizeof *slots * slot_count, ROWS_ALIGN); /* row + 1 */
    char shown[SHOWN_BYTES];
    if (!hashes || !slots)
        return profile_arena_fault(batch, note);
    cells_hash(hashes, checking->column, batch->row_count, batch->key_seed);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        uint32_t slot = (uint32_t)hashes[row] & (slot_count - 1);
        if (hashes[row] == 0)
            continue;
        while (slots[slot] && !(hashes[slots[slot] - 1] == hashes[row] && cells_equal(checking->column, slots[slot] - 1, row)))
            slot = (slot + 1) & (slot_count - 1);
        if (slots[slot]) {
            cell_show(shown, sizeof shown, checking->column, row);
            batch_row_fails(batch, row, checking->place, RULE_UNIQUE, "%s stands in row %u as well", shown, slots[slot] - 1);
        } else {
            slots[slot] = row + 1;
        }
    }
    return FAULT_NONE;
}

/* --- a column ---------------------------------------------------------------------------------------------------------- */

static bool form_fits(const struct rule_column *rule, const struct column *column)
{
    if (rule->kind == CELL_TEXT)
        return column->form >= FORM_STR;
    return column->form == (rule->kind == CELL_FLOAT ? FORM_F64 : FORM_I64);
}

static enum fault column_check(struct checking *checking, struct fault_note *note)
{
    const struct rule_column *rule = checking->rule;
    enum fault fault = FAULT_NONE;
    if (!form_fits(rule, checking->column))
        return FAULT_NONE; /* it came under its own name, as something else: a known column, which has its own check */
    if (rule->kind == CELL_TEXT)
        fault = texts_check(checking, note);
    else if (rule->has_least || rule->has_most)
        rule->kind == CELL_FLOAT ? reals_check(checking) : exacts_check(checking);
    if (rule->kind != CELL_TEXT && rule->one_of_count)
        listed_check(checking);
    return fault == FAULT_NONE && rule->unique ? unique_check(checking, note) : fault;
}

enum fault check_cells(struct batch *batch, const struct profile *profile, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < profile->column_count && fault == FAULT_NONE; i++) {
        struct checking checking = {.batch = batch, .rule = &profile->columns[i]};
        checking.place = batch_place(batch, checking.rule->name);
        if (checking.place == COLUMN_NONE)
            continue;
        checking.column = batch_at(batch, checking.place);
        fault = column_check(&checking, note);
    }
    return fault;
}
