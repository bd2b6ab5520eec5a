#include "command/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch/batch.h"
#include "base/json.h"
#include "pipeline/config_value.h"

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

int64_t command_time_us(struct argp_state *state, const char *option, const char *text)
{
    int64_t us = 0;
    if (!integer_read(&us, text) && !value_moment_us(&us, text))
        argp_error(state, "--%s takes a day or a moment in UTC (2026-11-21, 2026-11-21T08:30:00), not '%s'", option, text);
    return us;
}
