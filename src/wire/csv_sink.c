/* Every open sink gets exactly one cell a row, a null where the line has none. */
#include "wire/csv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

enum { NAME_SHOWN_MAX = 40, TEXT_BYTES_FIRST = 4096, WRONG_BYTES_MAX = 64, SHOWN_BYTES = 33 };

enum fault csv_fault(struct csv_reader *reader, enum fault fault, const struct sink *sink, const char *format, ...)
{
    char what[120], name[NAME_SHOWN_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (!sink || sink->known != COLUMN_NONE)
        return fault_set(reader->note, fault, reader->line, sink ? sink->known : COLUMN_NONE, "%s", what);
    text_copy(name, sizeof name, sink->name);
    return fault_set(reader->note, fault, reader->line, COLUMN_NONE, "column %s: %s", name, what);
}

/* Room for the marks of all rows that may come, the first time. */
static enum fault checks_take(struct csv_reader *reader)
{
    struct batch *batch = reader->batch;
    uint32_t row_count = batch->row_count;
    batch->row_count = reader->rows_max;
    enum fault fault = batch_take_checks(batch, reader->notes_max, reader->note);
    batch->row_count = row_count;
    return fault;
}

/* Bytes that would move a terminal's cursor are shown as ? */
static void row_note(struct csv_reader *reader, uint16_t column, char *what)
{
    for (char *c = what; *c; c++)
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
    batch_row_fails(reader->batch, reader->row, column, RULE_TYPE, "line %u: %s", reader->line, what);
}

static enum fault wrong_keep(struct csv_reader *reader, uint16_t column, struct text text)
{
    struct arena *arena = &reader->batch->arena;
    uint32_t bytes = text.bytes < WRONG_BYTES_MAX ? text.bytes : WRONG_BYTES_MAX;
    struct wrong_cell *cell = arena_take(arena, sizeof *cell, 16);
    char *copy = arena_take(arena, WRONG_BYTES_MAX + 1, 1);
    if (!cell || !copy)
        return csv_fault(reader, FAULT_limit, NULL, "the wrong cells do not fit the arena of %zu bytes", arena->size);
    text_copy(copy, bytes + 1, text);
    *cell = (struct wrong_cell){.row = reader->row, .column = column, .text = text_of(copy)};
    *reader->wrong_end = cell;
    reader->wrong_end = &cell->next;
    return FAULT_NONE;
}

enum fault sink_put_wrong(struct csv_reader *reader, struct sink *sink, struct text text, const char *format, ...)
{
    char what[100];
    va_list arguments;
    enum fault fault = checks_take(reader);
    if (fault == FAULT_NONE)
        fault = wrong_keep(reader, sink->known, text);
    if (fault != FAULT_NONE)
        return fault;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    row_note(reader, sink->known, what);
    sink_put_null(sink);
    return FAULT_NONE;
}

enum fault row_void(struct csv_reader *reader, const char *format, ...)
{
    char what[100];
    va_list arguments;
    enum fault fault = checks_take(reader);
    if (fault != FAULT_NONE)
        return fault;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    row_note(reader, COLUMN_NONE, what);
    for (uint32_t i = 0; i < reader->sink_count; i++) {
        struct sink *sink = &reader->sinks[i];
        if (sink->is_open && sink->row_count == reader->row)
            sink_put_null(sink);
        if (sink->is_open)
            sink->valid[reader->row >> 3] &= (unsigned char)~(1u << (reader->row & 7));
        sink->has_null = true;
    }
    reader->row_is_void = true;
    return FAULT_NONE;
}

enum fault sink_add(struct csv_reader *reader, struct text name)
{
    if (name.bytes == 0 || !text_is_id(name))
        return csv_fault(reader, FAULT_syntax, NULL, "a column's name must be UTF-8 and not empty");
    if (reader->sink_count == SINKS_MAX || reader->sink_count == reader->columns_max)
        return csv_fault(reader, FAULT_limit, NULL, "more than %u columns", reader->sink_count);
    char *copy = memory_take(name.bytes);
    if (!copy)
        return csv_fault(reader, FAULT_memory, NULL, "no memory for a column");
    memcpy(copy, name.data, name.bytes);
    enum column_id known = column_find(name);
    struct sink *sink = &reader->sinks[reader->sink_count++];
    *sink = (struct sink){.name = {.data = copy, .bytes = name.bytes}, .known = known == COLUMN_COUNT ? COLUMN_NONE : (uint16_t)known};
    if (known != COLUMN_COUNT) {
        sink->form = column_type_of(sink->known) == COLUMN_TEXT ? FORM_STR : FORM_I64;
        sink->is_time = column_type_of(sink->known) == COLUMN_TIME;
    }
    return FAULT_NONE;
}

enum fault sink_open(struct csv_reader *reader, struct sink *sink)
{
    struct arena *arena = &reader->batch->arena;
    sink->cells = arena_take_zeroed(arena, 8 * ((size_t)reader->rows_max + 1), 8);
    sink->valid = arena_take_zeroed(arena, (size_t)reader->rows_max / 8 + 1, 8);
    sink->is_open = true;
    sink->has_null = false;
    sink->row_count = 0;
    sink->text_bytes = 0;
    if (arena_overflowed(arena))
        return csv_fault(reader, FAULT_limit, sink, "%u rows do not fit the arena of %zu bytes", reader->rows_max, arena->size);
    return FAULT_NONE;
}

static void cell_done(struct sink *sink)
{
    sink->valid[sink->row_count >> 3] |= (unsigned char)(1u << (sink->row_count & 7));
    sink->row_count++;
}

static void offset_put(struct sink *sink)
{
    uint32_t offset = (uint32_t)sink->text_bytes;
    memcpy(sink->cells + 4 * ((size_t)sink->row_count + 1), &offset, sizeof offset);
}

enum fault sink_put_text(struct csv_reader *reader, struct sink *sink, const char *data, size_t bytes)
{
    if (bytes > sink->text_capacity - sink->text_bytes) {
        size_t capacity = sink->text_capacity ? 2 * sink->text_capacity : TEXT_BYTES_FIRST;
        capacity = capacity < sink->text_bytes + bytes ? sink->text_bytes + bytes : capacity;
        char *text = memory_resize(sink->text, capacity);
        if (!text)
            return csv_fault(reader, FAULT_memory, sink, "no memory for %zu bytes of text", capacity);
        sink->text = text;
        sink->text_capacity = capacity;
    }
    if (bytes)
        memcpy(sink->text + sink->text_bytes, data, bytes);
    sink->text_bytes += bytes;
    reader->text_bytes += bytes;
    offset_put(sink);
    cell_done(sink);
    return FAULT_NONE;
}

void sink_put_i64(struct sink *sink, int64_t value)
{
    memcpy(sink->cells + 8 * (size_t)sink->row_count, &value, sizeof value);
    cell_done(sink);
}

void sink_put_f64(struct sink *sink, double value)
{
    memcpy(sink->cells + 8 * (size_t)sink->row_count, &value, sizeof value);
    cell_done(sink);
}

void sink_put_null(struct sink *sink)
{
    if (sink->form == FORM_STR)
        offset_put(sink);
    sink->has_null = true;
    sink->row_count++;
}

void sink_make_floats(struct sink *sink)
{
    for (uint32_t row = 0; row < sink->row_count; row++) {
        int64_t integer;
        memcpy(&integer, sink->cells + 8 * (size_t)row, sizeof integer);
        double real = (double)integer;
        memcpy(sink->cells + 8 * (size_t)row, &real, sizeof real);
    }
    sink->form = FORM_F64;
}

static bool parse_integer(int64_t *out, const char *data, size_t bytes)
{
    bool negative = bytes > 0 && data[0] == '-';
    uint64_t value = 0, most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    size_t digits = bytes - negative;
    if (digits == 0 || digits > 19)
        return false;
    for (size_t i = negative; i < bytes; i++) {
        unsigned digit = (unsigned char)data[i] - '0';
        if (digit > 9)
            return false;
        value = 10 * value + digit; /* 19 digits fit 64 bits without a sign */
    }
    *out = (int64_t)(negative ? 0 - value : value);
    return value <= most;
}

/* `digits` digits at *at, moved behind them; false when there are not as many. */
static bool parse_digits(int64_t *out, const char **at, const char *end, size_t digits)
{
    *out = 0;
    for (size_t i = 0; i < digits; i++, (*at)++) {
        if (*at == end || **at < '0' || **at > '9')
            return false;
        *out = 10 * *out + (**at - '0');
    }
    return true;
}

static bool parse_mark(const char **at, const char *end, char mark)
{
    if (*at == end || **at != mark)
        return false;
    (*at)++;
    return true;
}

/* Days since 1970-01-01 in the Gregorian calendar, with years that begin in March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t march_year = month <= 2 ? year - 1 : year, month_of_march = (month + 9) % 12;
    int64_t days_before = 365 * march_year + march_year / 4 - march_year / 100 + march_year / 400;
    return days_before + (153 * month_of_march + 2) / 5 + day - 1 - 719468;
}

static bool day_exists(int64_t year, int64_t month, int64_t day)
{
    static const int64_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 && day <= lengths[month - 1] + (leap && month == 2);
}

/* YYYY-MM-DDTHH:MM:SS[.f…]Z with at most six digits of a second's fraction. */
static bool parse_time(int64_t *out, const char *at, size_t bytes)
{
    const char *end = at + bytes;
    int64_t year, month, day, hour, minute, second, digit, fraction = 0, unit = US_PER_SECOND;
    if (!parse_digits(&year, &at, end, 4) || !parse_mark(&at, end, '-') || !parse_digits(&month, &at, end, 2) ||
        !parse_mark(&at, end, '-') || !parse_digits(&day, &at, end, 2) || !parse_mark(&at, end, 'T') || !parse_digits(&hour, &at, end, 2) ||
        !parse_mark(&at, end, ':') || !parse_digits(&minute, &at, end, 2) || !parse_mark(&at, end, ':') ||
        !parse_digits(&second, &at, end, 2))
        return false;
    if (parse_mark(&at, end, '.')) {
        while (unit > 1 && parse_digits(&digit, &at, end, 1))
            fraction += digit * (unit /= 10);
        if (unit == US_PER_SECOND)
            return false;
    }
    if (!parse_mark(&at, end, 'Z') || at != end || !day_exists(year, month, day) || hour > 23 || minute > 59 || second > 59)
        return false;
    *out = days_of(year, month, day) * US_PER_DAY + ((hour * 60 + minute) * 60 + second) * US_PER_SECOND + fraction;
    return true;
}

const char *sink_wanted(const struct sink *sink)
{
    if (sink->is_time)
        return "microseconds or YYYY-MM-DDTHH:MM:SS[.ffffff]Z";
    if (sink->form == FORM_STR)
        return "text";
    if (sink->known == COLUMN_NONE)
        return sink->form == FORM_ABSENT ? "text or a number" : "a number as in the rows before";
    return column_type_of(sink->known) == COLUMN_MONEY ? "whole minor units (cents)" : "an integer";
}

enum fault sink_put_number_text(struct csv_reader *reader, struct sink *sink, const char *data, size_t bytes)
{
    int64_t value;
    if (!parse_integer(&value, data, bytes) && !(sink->is_time && parse_time(&value, data, bytes))) {
        char shown[SHOWN_BYTES];
        struct text text = {.data = data, .bytes = (uint32_t)bytes};
        text_copy(shown, sizeof shown, text);
        return sink_put_wrong(reader, sink, text, "must be %s, is %s", sink_wanted(sink), shown);
    }
    sink_put_i64(sink, value);
    return FAULT_NONE;
}

/* A copy in the batch's arena; *out.data NULL when it is full. */
static struct text arena_text(struct arena *arena, const char *data, size_t bytes)
{
    char *copy = arena_take(arena, bytes, 1);
    if (copy && bytes)
        memcpy(copy, data, bytes);
    return (struct text){.data = copy, .bytes = (uint32_t)bytes};
}

static enum fault sink_finish(struct csv_reader *reader, struct sink *sink)
{
    struct batch *batch = reader->batch;
    bool is_known = sink->known != COLUMN_NONE;
    if (!is_known && sink->form == FORM_ABSENT)
        return FAULT_NONE; /* never a value */
    if (!is_known && batch->other_count == OTHER_COLUMNS_MAX)
        return csv_fault(reader, FAULT_limit, sink, "more than %d columns of unknown names", OTHER_COLUMNS_MAX);
    struct text name = is_known ? text_of(column_name(sink->known)) : arena_text(&batch->arena, sink->name.data, sink->name.bytes);
    struct text text = {.data = (const char *)sink->cells};
    if (sink->form == FORM_STR)
        text = arena_text(&batch->arena, sink->text, sink->text_bytes);
    if (!name.data || !text.data)
        return csv_fault(reader, FAULT_limit, sink, "%zu bytes of text do not fit the arena", sink->text_bytes);
    struct column *column = is_known ? &batch->columns[sink->known] : &batch->others[batch->other_count++];
    *column = (struct column){
        .form = sink->form,
        .name = name,
        .data = (const unsigned char *)text.data,
        .offsets = sink->form == FORM_STR ? sink->cells : NULL,
        .valid = sink->has_null ? sink->valid : NULL,
    };
    return FAULT_NONE;
}

enum fault sinks_finish(struct csv_reader *reader, uint32_t row_count)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < reader->sink_count && fault == FAULT_NONE; i++) {
        struct sink *sink = &reader->sinks[i];
        if (sink->is_open && row_count > 0)
            fault = sink_finish(reader, sink);
        sink->is_open = false;
    }
    return fault;
}

void sinks_fini(struct csv_reader *reader)
{
    for (uint32_t i = 0; i < reader->sink_count; i++) {
        memory_give((void *)reader->sinks[i].name.data);
        memory_give(reader->sinks[i].text);
    }
    reader->sink_count = 0;
}
