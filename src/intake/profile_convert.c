/* Wire columns become columns: another name, another unit. What is only renamed is moved; what is converted leaves the
 * request's own column beside it. A column that was moved leaves an absent one behind, so that places stay what they are. */
#include <stdio.h>

#include "intake/intake.h"
#include "intake/profile_internal.h"

enum { SHOWN_BYTES = 32, DIGITS_MAX = 20, CODE_BYTES = 3 };

uint16_t batch_place(const struct batch *batch, const char *name)
{
    struct text wanted = text_of(name);
    enum column_id known = column_find(wanted);
    if (known != COLUMN_COUNT)
        return batch->columns[known].form == FORM_ABSENT ? COLUMN_NONE : (uint16_t)known;
    for (uint16_t i = 0; i < batch->other_count; i++)
        if (batch->others[i].form != FORM_ABSENT && text_equal(batch->others[i].name, wanted))
            return (uint16_t)(COLUMN_COUNT + i);
    return COLUMN_NONE;
}

struct column *batch_at(struct batch *batch, uint16_t place)
{
    return place < COLUMN_COUNT ? &batch->columns[place] : &batch->others[place - COLUMN_COUNT];
}

enum fault batch_place_take(uint16_t *out, struct batch *batch, const char *name, struct fault_note *note)
{
    enum column_id known = column_find(text_of(name));
    uint16_t free = 0;
    *out = known == COLUMN_COUNT ? batch_place(batch, name) : (uint16_t)known;
    if (*out != COLUMN_NONE) {
        batch_at(batch, *out)->name = text_of(name);
        return FAULT_NONE;
    }
    while (free < batch->other_count && (batch->others[free].form != FORM_ABSENT || batch->others[free].name.bytes))
        free++;
    if (free == OTHER_COLUMNS_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "column %.40s: more than %d columns of unknown names", name,
                         OTHER_COLUMNS_MAX);
    if (free == batch->other_count)
        batch->other_count++;
    batch->others[free] = (struct column){.name = text_of(name)};
    return *out = (uint16_t)(COLUMN_COUNT + free), FAULT_NONE;
}

enum fault profile_arena_fault(const struct batch *batch, struct fault_note *note)
{
    if (!arena_overflowed(&batch->arena))
        return FAULT_NONE;
    return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the batch does not fit its arena of %zu bytes", batch->arena.size);
}

/* --- cells ------------------------------------------------------------------------------------------------------------- */

struct conversion {
    struct batch *batch;
    const struct rule_column *rule;
    const struct column *source;
    uint16_t target;
    int64_t *cells; /* of floats too: their bits */
    uint8_t *valid;
};

static const char *wanted_text(const struct rule_column *rule)
{
    static const char *const wanted[CELL_KIND_COUNT] = {"a whole number", "a decimal", "a number",
                                                        "true or false",  "text",      "a time: microseconds since 1970"};
    static const char *const times[UNIT_COUNT] = {[UNIT_MS] = "a time: milliseconds since 1970",
                                                  [UNIT_S] = "a time: seconds since 1970",
                                                  [UNIT_ISO] = "a time: 2026-01-31T08:30:00Z"};
    if (rule->kind == CELL_TIME && times[rule->unit])
        return times[rule->unit];
    return rule->unit == UNIT_MAJOR ? "an amount in major units" : wanted[rule->kind];
}

static void cell_fails(const struct conversion *conversion, uint32_t row, unsigned places)
{
    const struct rule_column *rule = conversion->rule;
    char shown[SHOWN_BYTES], of[SHOWN_BYTES] = "";
    cell_show(shown, sizeof shown, conversion->source, row);
    if (rule->kind == CELL_DECIMAL || rule->unit == UNIT_MAJOR)
        snprintf(of, sizeof of, " of at most %u places", places);
    if (rule->is_answer)
        batch_row_tells(conversion->batch, row, conversion->target, RULE_COMPUTE, "answered %s, must be %s%s", shown, wanted_text(rule),
                        of);
    else
        batch_row_fails(conversion->batch, row, conversion->target, RULE_TYPE, "must be %s%s, is %s", wanted_text(rule), of, shown);
}

/* Decimal places of the row's currency; -1: it has none that is known, which its own check tells. */
static int places_of_currency(const struct batch *batch, uint32_t row)
{
    char code[CODE_BYTES + 1];
    const struct column *currencies = &batch->columns[COLUMN_currency];
    if (!column_is_valid(currencies, row) || column_text(currencies, row).bytes != CODE_BYTES)
        return -1;
    text_copy(code, sizeof code, column_text(currencies, row));
    return currency_exponent(code);
}

static bool number_convert(int64_t *out, const struct rule_column *rule, const struct column *source, uint32_t row, unsigned places)
{
    double real;
    if (source->form == FORM_F64) {
        memcpy(&real, source->data + 8 * (size_t)row, sizeof real);
        return rule->kind != CELL_BOOL && rule->kind != CELL_TIME && cell_real_exact(out, real, places);
    }
    int64_t value = column_i64(source, row);
    if (rule->kind == CELL_BOOL)
        return *out = value, value == 0 || value == 1;
    if (rule->kind == CELL_TIME) {
        static const int64_t factors[UNIT_COUNT] = {[UNIT_PLAIN] = 1, [UNIT_US] = 1, [UNIT_MS] = 1000, [UNIT_S] = 1000000};
        return factors[rule->unit] && !__builtin_mul_overflow(value, factors[rule->unit], out);
    }
    return cell_scaled(out, value, places);
}

static bool real_convert(int64_t *out, const struct column *source, uint32_t row)
{
    double real;
    if (source->form == FORM_I64)
        real = (double)column_i64(source, row);
    else if (!cell_real_read(&real, column_text(source, row)))
        return false;
    memcpy(out, &real, sizeof real);
    return true;
}

static bool cell_convert(int64_t *out, const struct conversion *conversion, uint32_t row, unsigned places)
{
    const struct column *source = conversion->source;
    if (conversion->rule->kind == CELL_FLOAT)
        return real_convert(out, source, row);
    if (source->form == FORM_I64 || source->form == FORM_F64)
        return number_convert(out, conversion->rule, source, row, places);
    return cell_read(out, conversion->rule, column_text(source, row), places);
}

static void cells_convert(const struct conversion *conversion)
{
    const struct rule_column *rule = conversion->rule;
    unsigned places = rule->kind == CELL_DECIMAL ? rule->places : 0;
    for (uint32_t row = 0; row < conversion->batch->row_count; row++) {
        conversion->cells[row] = 0;
        if (!column_is_valid(conversion->source, row))
            continue;
        int of_currency = rule->unit == UNIT_MAJOR ? places_of_currency(conversion->batch, row) : 0;
        if (of_currency < 0) {
            batch_row_fails(conversion->batch, row, conversion->target, RULE_TYPE, "major units need a currency to be converted");
            continue;
        }
        unsigned of = places + (unsigned)of_currency;
        if (cell_convert(&conversion->cells[row], conversion, row, of))
            conversion->valid[row / 8] |= (uint8_t)(1u << row % 8);
        else
            cell_fails(conversion, row, of);
    }
}

static enum fault numbers_make(struct column *out, struct conversion *conversion, struct fault_note *note)
{
    struct batch *batch = conversion->batch;
    conversion->cells = arena_take(&batch->arena, 8 * (size_t)batch->row_count, ROWS_ALIGN);
    conversion->valid = arena_take_zeroed(&batch->arena, (batch->row_count + 7) / 8, ROWS_ALIGN);
    if (!conversion->cells || !conversion->valid)
        return profile_arena_fault(batch, note);
    cells_convert(conversion);
    out->form = conversion->rule->kind == CELL_FLOAT ? FORM_F64 : FORM_I64;
    out->data = (const unsigned char *)conversion->cells;
    out->valid = conversion->valid;
    return FAULT_NONE;
}

/* Whole numbers as their digits. */
static enum fault texts_make(struct column *out, const struct conversion *conversion, struct fault_note *note)
{
    struct batch *batch = conversion->batch;
    const struct column *source = conversion->source;
    char *digits = arena_take(&batch->arena, (size_t)(DIGITS_MAX + 1) * batch->row_count + 1, 1);
    uint32_t *offsets = arena_take(&batch->arena, 4 * ((size_t)batch->row_count + 1), ROWS_ALIGN);
    uint8_t *valid = arena_take_zeroed(&batch->arena, (batch->row_count + 7) / 8, ROWS_ALIGN);
    uint32_t used = 0;
    if (!digits || !offsets || !valid)
        return profile_arena_fault(batch, note);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        offsets[row] = used;
        if (!column_is_valid(source, row))
            continue;
        if (source->form != FORM_I64) {
            cell_fails(conversion, row, 0);
            continue;
        }
        valid[row / 8] |= (uint8_t)(1u << row % 8);
        used += (uint32_t)snprintf(digits + used, DIGITS_MAX + 1, "%lld", (long long)column_i64(source, row));
    }
    offsets[batch->row_count] = used;
    *out = (struct column){.form = FORM_STR,
                           .name = out->name,
                           .data = (const unsigned char *)digits,
                           .offsets = (const unsigned char *)offsets,
                           .valid = valid};
    return FAULT_NONE;
}

/* --- columns ----------------------------------------------------------------------------------------------------------- */

static bool is_as_it_comes(const struct rule_column *rule, const struct column *source)
{
    if (rule->kind == CELL_TEXT)
        return source->form >= FORM_STR;
    if (rule->kind == CELL_FLOAT)
        return source->form == FORM_F64;
    if (rule->kind == CELL_TIME)
        return source->form == FORM_I64 && (rule->unit == UNIT_US || rule->unit == UNIT_PLAIN);
    return rule->kind == CELL_INT && rule->unit == UNIT_PLAIN && source->form == FORM_I64;
}

static void required_check(struct batch *batch, const struct column *source, uint16_t target)
{
    bool is_told = target < COLUMN_COUNT && column_needed_by(target, batch->op, true) &&
                   batch->columns[COLUMN_resource_kind].form == FORM_ABSENT; /* by the check of Sluice's own columns */
    if (!source->valid || is_told)
        return;
    bool had_types = target < COLUMN_COUNT && batch->rule_counts[target][RULE_TYPE] > 0; /* told already, null since */
    for (uint32_t row = 0; row < batch->row_count; row++)
        if (!column_is_valid(source, row) && !(had_types && batch->facts.invalid[row]))
            batch_row_fails(batch, row, target, RULE_MISSING, "is missing");
}

static enum fault source_missing(const struct batch *batch, const struct rule_column *rule, const struct profile *profile,
                                 struct fault_note *note)
{
    if (!rule->required || batch_place(batch, rule->name) != COLUMN_NONE)
        return FAULT_NONE;
    return fault_set(note, FAULT_schema, ROW_NONE, rule->known, "column %.40s is missing, profile %.40s needs it", rule->from,
                     profile->name);
}

enum fault convert_column(struct batch *batch, const struct rule_column *rule, const struct profile *profile, struct fault_note *note)
{
    uint16_t from = batch_place(batch, rule->from), there = batch_place(batch, rule->name);
    struct conversion conversion = {.batch = batch, .rule = rule};
    if (from == COLUMN_NONE && there == COLUMN_NONE)
        return source_missing(batch, rule, profile, note);
    if (from == COLUMN_NONE && there < COLUMN_COUNT) { /* under Sluice's own name, whose form was checked: as it comes */
        if (rule->required)
            required_check(batch, batch_at(batch, there), there);
        return FAULT_NONE;
    }
    if (from == COLUMN_NONE)
        from = there;
    if (there != COLUMN_NONE && there != from)
        return fault_set(note, FAULT_schema, ROW_NONE, rule->known, "columns %.40s and %.40s: profile %.30s makes one of them of the other",
                         rule->from, rule->name, profile->name);
    struct column source = *batch_at(batch, from); /* by value: the place may be taken over */
    bool moves = is_as_it_comes(rule, &source);
    if (moves)
        *batch_at(batch, from) = (struct column){0};
    enum fault fault = batch_place_take(&conversion.target, batch, rule->name, note);
    if (fault != FAULT_NONE)
        return fault;
    struct column made = moves ? source : (struct column){0};
    made.name = text_of(rule->name);
    conversion.source = &source;
    if (rule->required)
        required_check(batch, &source, conversion.target);
    if (!moves)
        fault = rule->kind == CELL_TEXT ? texts_make(&made, &conversion, note) : numbers_make(&made, &conversion, note);
    *batch_at(batch, conversion.target) = made;
    return fault;
}

/* Major units last: they need the currency, which may itself come under another name. */
enum fault convert_columns(struct batch *batch, const struct profile *profile, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (int major = 0; major < 2; major++)
        for (uint32_t i = 0; i < profile->column_count && fault == FAULT_NONE; i++)
            if ((profile->columns[i].unit == UNIT_MAJOR) == major)
                fault = convert_column(batch, &profile->columns[i], profile, note);
    return fault;
}
