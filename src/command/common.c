#define _XOPEN_SOURCE 700
#include "command/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "batch/batch.h"
#include "base/json.h"

void command_begin(void)
{
    json_use_memory();
}

int command_fail(int status, const char *name, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "sluice %s: ", name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return status;
}

int command_note_fail(const char *name, const struct fault_note *note)
{
    if (note->row == ROW_NONE)
        return command_fail(COMMAND_REFUSED, name, "%s", note->text);
    return command_fail(COMMAND_REFUSED, name, "line %u%s%s: %s", note->row, note->column == COLUMN_NONE ? "" : ", ",
                        column_name(note->column), note->text);
}

/* Digits with single underscores between them, then at most one e and a small exponent. */
static bool integer_read(int64_t *out, const char *text)
{
    int64_t value = 0;
    bool digits = false;
    for (; (*text >= '0' && *text <= '9') || (*text == '_' && digits); text++) {
        if (*text == '_')
            continue;
        digits = true;
        if (value > (INT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (*text - '0');
    }
    if (*text == 'e' && digits) {
        char *end;
        unsigned long exponent = strtoul(text + 1, &end, 10);
        if (end == text + 1 || exponent > 18)
            return false;
        for (text = end; exponent > 0; exponent--) {
            if (value > INT64_MAX / 10)
                return false;
            value *= 10;
        }
    }
    *out = value;
    return digits && *text == '\0';
}

int64_t command_integer(struct argp_state *state, const char *option, const char *text, int64_t least, int64_t most)
{
    int64_t value = 0;
    bool negative = text[0] == '-';
    if (!integer_read(&value, text + negative))
        argp_error(state, "--%s takes a whole number, not '%s'", option, text);
    value = negative ? -value : value;
    if (value < least || value > most)
        argp_error(state, "--%s takes %lld to %lld, not %s", option, (long long)least, (long long)most, text);
    return value;
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

int64_t command_time_us(struct argp_state *state, const char *option, const char *text)
{
    struct tm moment = {0};
    int64_t microseconds = 0;
    if (integer_read(&microseconds, text))
        return microseconds;
    const char *end = strptime(text, "%Y-%m-%d", &moment);
    if (end && *end == 'T')
        end = strptime(end, "T%H:%M:%S", &moment);
    if (end && *end == 'Z')
        end++;
    if (!end || *end)
        argp_error(state, "--%s takes a day or a moment in UTC (2026-11-21, 2026-11-21T08:30:00), not '%s'", option, text);
    int64_t days = civil_days(1900 + (int64_t)moment.tm_year, moment.tm_mon + 1, moment.tm_mday);
    return (days * 86400 + moment.tm_hour * 3600 + moment.tm_min * 60 + moment.tm_sec) * US_PER_SECOND;
}
