#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { TEXT_BYTES = 1024, LINE_BYTES = 6 * TEXT_BYTES + 256 };

static atomic_int least_level = LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_level_set(enum log_level least)
{
    atomic_store(&least_level, (int)least);
}

static size_t json_escape(char *out, const char *text)
{
    char *at = out;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            *at++ = '\\', *at++ = (char)c;
        else if (c < 0x20)
            at += sprintf(at, "\\u%04x", c);
        else
            *at++ = (char)c;
    }
    return (size_t)(at - out);
}

void log_line(enum log_level level, const char *room, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
        return;
    char text[TEXT_BYTES], line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int64_t now = clock_wall_us();
    time_t second = (time_t)(now / US_PER_SECOND);
    struct tm utc;
    gmtime_r(&second, &utc);
    size_t used = strftime(line, 64, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)sprintf(line + used, ".%06dZ\",\"level\":\"%s\",\"room\":\"%s\",\"text\":\"", (int)(now % US_PER_SECOND),
                            level_names[level], room);
    used += json_escape(line + used, text);
    used += (size_t)sprintf(line + used, "\"}\n");
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* nowhere left to say it */
}
