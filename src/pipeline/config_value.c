/* A reader writes *out only when the whole text was of its form. */
#define _XOPEN_SOURCE 700
#include "pipeline/config_value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Digits at the start of text, whatever follows; NULL: none, too many, or a leading zero. */
static const char *digits_read(uint64_t *out, const char *text)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (value > ((uint64_t)INT64_MAX - digit) / 10)
            return NULL;
        value = value * 10 + digit;
    }
    if (at == text || (text[0] == '0' && at > text + 1))
        return NULL;
    *out = value;
    return at;
}

static bool united_read(uint64_t *out, const char *text, const struct unit *units, size_t count)
{
    uint64_t value;
    const char *rest = digits_read(&value, text);
    for (size_t i = 0; rest && i < count; i++) {
        if (strcmp(rest, units[i].name) != 0)
            continue;
        if (value > INT64_MAX / units[i].factor)
            return false;
        *out = value * units[i].factor;
        return true;
    }
    return false;
}

bool value_integer(int64_t *out, const char *text)
{
    uint64_t value;
    bool negative = text[0] == '-';
    const char *rest = digits_read(&value, text + negative);
    if (!rest || *rest != '\0')
        return false;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

bool value_bytes(uint64_t *out, const char *text)
{
    static const struct unit units[] = {
        {"", 1}, {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}};
    return united_read(out, text, units, sizeof units / sizeof units[0]);
}

bool value_duration_us(int64_t *out, const char *text)
{
    static const struct unit units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}, {"d", 86400000000}};
    uint64_t value;
    if (!united_read(&value, text, units, sizeof units / sizeof units[0]))
        return false;
    *out = (int64_t)value;
    return true;
}

/* Days from the epoch of a civil date; months count from 1, the year begins in March so that leap days end it. */
static int64_t civil_days(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

bool value_moment_us(int64_t *out, const char *text)
{
    struct tm moment = {0};
    if (value_integer(out, text))
        return true;
    const char *end = strptime(text, "%Y-%m-%d", &moment);
    if (end && *end == 'T')
        end = strptime(end, "T%H:%M:%S", &moment);
    if (end && *end == 'Z')
        end++;
    if (!end || *end)
        return false;
    int64_t days = civil_days(1900 + (int64_t)moment.tm_year, moment.tm_mon + 1, moment.tm_mday);
    *out = (days * 86400 + moment.tm_hour * 3600 + moment.tm_min * 60 + moment.tm_sec) * US_PER_SECOND;
    return true;
}

bool value_real(double *out, const char *text)
{
    if (text[0] == '\0' || text[strspn(text, "0123456789.eE+-")] != '\0')
        return false; /* neither blanks nor hexadecimal, nan, inf */
    char *end;
    double value = strtod(text, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *out = value;
    return true;
}

bool value_bool(bool *out, const char *text)
{
    static const char *const names[] = {"false", "true"};
    int choice = value_choice(text, names, 2);
    if (choice >= 0)
        *out = choice == 1;
    return choice >= 0;
}

int value_choice(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return (int)i;
    return -1;
}
