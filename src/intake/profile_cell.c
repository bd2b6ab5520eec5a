/* One text, or one number, as a cell of its kind. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "intake/profile_internal.h"
#include "intake/template_internal.h"

enum { REAL_BYTES_MAX = 64, SHOWN_BYTES = 24 };

const char *const cell_kind_names[CELL_KIND_COUNT] = {"int", "decimal", "float", "bool", "text", "time"};
const char *const cell_unit_names[UNIT_COUNT] = {"minor", "major", "us", "ms", "s", "iso"};

bool cell_scaled(int64_t *out, int64_t value, unsigned places)
{
    for (unsigned i = 0; i < places; i++)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    *out = value;
    return true;
}

/* [-+]digits[.digits], no more decimal places than places but for zeros. */
bool cell_exact_read(int64_t *out, struct text text, unsigned places)
{
    bool negative = text.bytes && text.data[0] == '-', point = false, digits = false;
    int64_t value = 0;
    unsigned after = 0;
    for (uint32_t i = text.bytes && (negative || text.data[0] == '+'); i < text.bytes; i++) {
        char c = text.data[i];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        digits = true;
        if (point && after == places) {
            if (c != '0')
                return false;
            continue;
        }
        after += point;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, negative ? -(c - '0') : c - '0', &value))
            return false;
    }
    return digits && text.data[text.bytes - 1] != '.' && cell_scaled(out, value, places - after);
}

bool cell_real_read(double *out, struct text text)
{
    char copy[REAL_BYTES_MAX + 1], *end;
    if (text.bytes == 0 || text.bytes > REAL_BYTES_MAX)
        return false;
    for (uint32_t i = 0; i < text.bytes; i++)
        if (!text.data[i] || !strchr("0123456789.eE+-", text.data[i]))
            return false;
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    *out = strtod(copy, &end);
    return *end == '\0' && isfinite(*out);
}

bool cell_bool_read(int64_t *out, struct text text)
{
    static const char *const names[] = {"false", "true", "0", "1"};
    for (int i = 0; i < 4; i++)
        if (text_equal(text, text_of(names[i])))
            return *out = i & 1, true;
    return false;
}

bool cell_time_read(int64_t *out, struct text text, enum cell_unit unit)
{
    static const int64_t factors[UNIT_COUNT] = {[UNIT_PLAIN] = 1, [UNIT_US] = 1, [UNIT_MS] = 1000, [UNIT_S] = US_PER_SECOND};
    int64_t value;
    if (unit != UNIT_ISO)
        return cell_exact_read(&value, text, 0) && !__builtin_mul_overflow(value, factors[unit], out);
    if (text.bytes == 20 && text.data[19] == 'Z')
        text.bytes--;
    return template_date_read(out, text);
}

/* Of all decimals with so many places the float is nearest to one alone while there are no more than 15 digits. */
bool cell_real_exact(int64_t *out, double value, unsigned places)
{
    double power = 1;
    for (unsigned i = 0; i < places; i++)
        power *= 10;
    double scaled = value * power, whole = scaled < 0 ? ceil(scaled - 0.5) : floor(scaled + 0.5);
    if (!(fabs(whole) < 1e15) || whole / power != value)
        return false;
    *out = (int64_t)whole;
    return true;
}

bool cell_read(int64_t *out, const struct rule_column *rule, struct text text, unsigned places)
{
    switch (rule->kind) {
    case CELL_BOOL:
        return cell_bool_read(out, text);
    case CELL_TIME:
        return cell_time_read(out, text, rule->unit);
    default:
        return cell_exact_read(out, text, places);
    }
}

void cell_show(char *out, size_t out_bytes, const struct column *column, uint32_t row)
{
    double real;
    if (column->form == FORM_I64)
        snprintf(out, out_bytes, "%lld", (long long)column_i64(column, row));
    else if (column->form == FORM_F64)
        snprintf(out, out_bytes, "%.9g", (memcpy(&real, column->data + 8 * (size_t)row, sizeof real), real));
    else
        text_copy(out, out_bytes < SHOWN_BYTES + 1 ? out_bytes : SHOWN_BYTES + 1, column_text(column, row));
}
