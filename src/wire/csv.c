/* Text files into batches, streamed: the buffer holds the record that is read and what came with it. A record is a line,
 * or several where a quoted field (RFC 4180) spans them. Whatever is wrong is told with its line: a cell or a number of
 * fields makes its row invalid, only what leaves open where the next row begins ends the file. */
#include "wire/csv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/must.h"

enum { READER_MAGIC = 0xc5fead01, BUFFER_BYTES = 1 << 18, RECORD_BYTES_MAX = 1 << 20 };

/* --- bytes ---------------------------------------------------------------------------------------------------------- */

/* Up to `bytes` more; 0: the end, -1: the file cannot be read. */
static int64_t source_read(struct csv_reader *reader, char *out, size_t bytes)
{
    if (reader->fd >= 0) {
        ssize_t got;
        do
            got = read(reader->fd, out, bytes);
        while (got < 0 && errno == EINTR);
        return got;
    }
    size_t some = bytes < reader->byte_count ? bytes : reader->byte_count;
    if (some)
        memcpy(out, reader->bytes, some);
    reader->bytes += some;
    reader->byte_count -= some;
    return (int64_t)some;
}

static enum fault buffer_grow(struct csv_reader *reader, size_t capacity)
{
    char *buffer = memory_resize(reader->buffer, capacity);
    reader->buffer = buffer ? buffer : reader->buffer;
    char *scratch = buffer ? memory_resize(reader->scratch, capacity) : NULL;
    reader->scratch = scratch ? scratch : reader->scratch;
    if (!scratch)
        return csv_fault(reader, FAULT_memory, NULL, "no memory to read %zu bytes", capacity);
    reader->capacity = capacity;
    return FAULT_NONE;
}

/* More bytes behind what is there, or at_end. */
static enum fault buffer_fill(struct csv_reader *reader)
{
    memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
    reader->end -= reader->start;
    reader->start = 0;
    if (reader->end == reader->capacity) {
        if (reader->capacity >= RECORD_BYTES_MAX)
            return csv_fault(reader, FAULT_limit, NULL, "a record of more than %d bytes", RECORD_BYTES_MAX);
        enum fault fault = buffer_grow(reader, 2 * reader->capacity);
        if (fault != FAULT_NONE)
            return fault;
    }
    int64_t got = source_read(reader, reader->buffer + reader->end, reader->capacity - reader->end);
    if (got < 0)
        return csv_fault(reader, FAULT_not_found, NULL, "cannot read on: %s", strerror(errno));
    reader->end += (size_t)got;
    reader->at_end = got == 0;
    return FAULT_NONE;
}

/* --- records -------------------------------------------------------------------------------------------------------- */

/* End of the record that begins at `at`, or NULL when it is not in the buffer as a whole. */
static const char *record_end(const struct csv_reader *reader, const char *at, const char *end, bool *has_quote)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const char *quote = reader->is_json ? NULL : memchr(at, '"', (size_t)((newline ? newline : end) - at));
    bool inside = false;
    *has_quote = quote != NULL;
    if (!quote)
        return newline;
    for (; quote < end; quote++) {
        inside ^= *quote == '"';
        if (*quote == '\n' && !inside)
            return quote;
    }
    return NULL;
}

/* The next record, not yet consumed; *out_found false at the end. */
static enum fault record_find(struct csv_reader *reader, struct record *out, bool *out_found)
{
    for (;;) {
        out->at = reader->buffer + reader->start;
        const char *end = reader->buffer + reader->end;
        out->end = record_end(reader, out->at, end, &out->has_quote);
        if (!out->end && reader->at_end)
            out->end = end;
        *out_found = out->at < end;
        if (out->end)
            return FAULT_NONE;
        enum fault fault = buffer_fill(reader);
        if (fault != FAULT_NONE)
            return fault;
    }
}

static void record_consume(struct csv_reader *reader, const struct record *record)
{
    const char *end = reader->buffer + reader->end, *newline = record->end;
    for (const char *at = record->at; record->has_quote && at < newline; at++)
        reader->line += *at == '\n';
    reader->line++;
    reader->start = (size_t)((newline < end ? newline + 1 : newline) - reader->buffer);
}

/* Without the CR of a CRLF. */
static struct record record_trim(struct record record)
{
    if (record.end > record.at && record.end[-1] == '\r')
        record.end--;
    return record;
}

static bool record_is_blank(const struct record *record)
{
    for (const char *at = record->at; at < record->end; at++)
        if (*at != ' ' && *at != '\t')
            return false;
    return true;
}

/* --- fields --------------------------------------------------------------------------------------------------------- */

struct field {
    const char *data;
    size_t bytes;
    bool is_quoted;
};

/* The quoted field at `at`, its doubled quotes made one; returns what follows it, NULL: note tells. */
static const char *field_unquote(struct csv_reader *reader, struct field *out, const char *at, const char *end)
{
    char *to = reader->scratch;
    const char *from = at + 1;
    for (;;) {
        const char *quote = memchr(from, '"', (size_t)(end - from));
        if (!quote) {
            csv_fault(reader, FAULT_syntax, NULL, "a quote is not closed");
            return NULL;
        }
        memcpy(to, from, (size_t)(quote - from));
        to += quote - from;
        if (quote + 1 == end || quote[1] != '"') {
            *out = (struct field){.data = reader->scratch, .bytes = (size_t)(to - reader->scratch), .is_quoted = true};
            return quote + 1;
        }
        *to++ = '"';
        from = quote + 2;
    }
}

/* The field at *at; *at goes to the next one, or to NULL behind the last. */
static enum fault field_next(struct csv_reader *reader, struct field *out, const char **at, const struct record *record)
{
    const char *behind = *at, *end = record->end;
    if (behind < end && *behind == '"') {
        behind = field_unquote(reader, out, behind, end);
        if (!behind)
            return FAULT_syntax;
        if (behind < end && *behind != ',')
            return csv_fault(reader, FAULT_syntax, NULL, "text behind a closing quote");
    } else {
        while (behind < end && *behind != ',')
            behind++;
        *out = (struct field){.data = *at, .bytes = (size_t)(behind - *at)};
        if (record->has_quote && memchr(*at, '"', out->bytes))
            return csv_fault(reader, FAULT_syntax, NULL, "a quote inside a field that does not begin with one");
    }
    *at = behind < end ? behind + 1 : NULL;
    return FAULT_NONE;
}

static enum fault put_field(struct csv_reader *reader, struct sink *sink, const struct field *field)
{
    if (field->bytes == 0 && !(field->is_quoted && sink->form == FORM_STR))
        return sink_put_null(sink), FAULT_NONE;
    if (sink->form == FORM_STR)
        return sink_put_text(reader, sink, field->data, field->bytes);
    return sink_put_number_text(reader, sink, field->data, field->bytes);
}

static enum fault put_record(struct csv_reader *reader, const struct record *record)
{
    const char *at = record->at;
    uint32_t count = 0;
    struct field field;
    for (; at; count++) {
        enum fault fault = field_next(reader, &field, &at, record);
        if (fault == FAULT_NONE && count < reader->sink_count)
            fault = put_field(reader, &reader->sinks[count], &field);
        if (fault != FAULT_NONE)
            return fault;
    }
    if (count == reader->sink_count)
        return FAULT_NONE;
    return row_void(reader, "%u fields, the header has %u", count, reader->sink_count);
}

/* --- the header ----------------------------------------------------------------------------------------------------- */

static enum fault header_field(struct csv_reader *reader, const struct field *field)
{
    struct text name = {.data = field->data, .bytes = (uint32_t)field->bytes};
    for (uint32_t i = 0; i < reader->sink_count; i++)
        if (text_equal(reader->sinks[i].name, name))
            return csv_fault(reader, FAULT_syntax, &reader->sinks[i], "the header has it twice");
    enum fault fault = sink_add(reader, name);
    if (fault == FAULT_NONE && reader->sinks[reader->sink_count - 1].known == COLUMN_NONE)
        reader->sinks[reader->sink_count - 1].form = FORM_STR;
    return fault;
}

/* A file of another kind is told as that, not by what is missing from it. */
static enum fault header_check(struct csv_reader *reader)
{
    char name[32];
    for (uint32_t i = 0; i < reader->sink_count; i++)
        if (reader->sinks[i].known != COLUMN_NONE)
            return FAULT_NONE;
    reader->line = reader->line > 1 ? reader->line - 1 : 1;
    text_copy(name, sizeof name, reader->sinks[0].name);
    bool is_split = reader->sink_count > 1 || !strpbrk(name, ";\t|");
    return csv_fault(reader, FAULT_syntax, NULL, "the first line must name the columns, with commas between them; %s",
                     is_split ? "none of its names is known" : "here they are parted by something else");
}

static enum fault header_read(struct csv_reader *reader)
{
    struct record record;
    bool found;
    enum fault fault = record_find(reader, &record, &found);
    if (fault != FAULT_NONE)
        return fault;
    struct record line = record_trim(record);
    struct field field;
    if (line.at < line.end && *line.at == '[')
        return csv_fault(reader, FAULT_syntax, NULL,
                         "neither a header of CSV nor JSON lines, which have one object a line and no brackets");
    for (const char *at = line.at; at;) {
        if ((fault = field_next(reader, &field, &at, &line)) != FAULT_NONE || (fault = header_field(reader, &field)) != FAULT_NONE)
            return fault;
    }
    record_consume(reader, &record);
    return header_check(reader);
}

/* Skips a byte order mark and blank lines; a file that begins with { is JSON lines. */
static enum fault form_find(struct csv_reader *reader)
{
    enum fault fault = FAULT_NONE;
    while (fault == FAULT_NONE && !reader->at_end && reader->end - reader->start < 3)
        fault = buffer_fill(reader);
    if (fault != FAULT_NONE)
        return fault;
    const char *line = reader->buffer + reader->start, *newline = memchr(line, '\n', reader->end - reader->start);
    const char *zero = memchr(line, 0, newline ? (size_t)(newline - line) : reader->end - reader->start);
    if (zero)
        return csv_fault(reader, FAULT_syntax, NULL, "not a CSV, JSON lines or pain.001 file: its byte %zu is 0", (size_t)(zero - line));
    if (reader->end - reader->start >= 3 && memcmp(reader->buffer + reader->start, "\xef\xbb\xbf", 3) == 0)
        reader->start += 3;
    for (;;) {
        for (; reader->start < reader->end; reader->start++) {
            char c = reader->buffer[reader->start];
            if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
                return reader->is_json = c == '{', FAULT_NONE;
            reader->line += c == '\n';
        }
        if (reader->at_end)
            return csv_fault(reader, FAULT_syntax, NULL, "the file is empty");
        if ((fault = buffer_fill(reader)) != FAULT_NONE)
            return fault;
    }
}

/* --- what others call ----------------------------------------------------------------------------------------------- */

static enum fault reader_begin(struct csv_reader **out, struct csv_reader *reader, const struct batch_limits *limits,
                               struct fault_note *note)
{
    reader->magic = READER_MAGIC;
    reader->line = 1;
    reader->note = note;
    reader->columns_max = limits->columns_max;
    reader->notes_max = limits->notes_max;
    enum fault fault = buffer_grow(reader, BUFFER_BYTES);
    if (fault == FAULT_NONE)
        fault = form_find(reader);
    if (fault == FAULT_NONE && !reader->is_json)
        fault = header_read(reader);
    *out = reader;
    if (fault != FAULT_NONE)
        csv_close(out);
    return fault;
}

static enum fault reader_new(struct csv_reader **out, struct fault_note *note)
{
    *out = memory_take_zeroed(1, sizeof **out);
    return *out ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read a file");
}

enum fault csv_open(struct csv_reader **out, const char *path, const struct batch_limits *limits, struct fault_note *note)
{
    struct csv_reader *reader;
    enum fault fault = reader_new(&reader, note);
    *out = NULL;
    if (fault != FAULT_NONE)
        return fault;
    reader->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (reader->fd >= 0 && fstat(reader->fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(reader->fd);
        reader->fd = -1;
        errno = EISDIR;
    }
    if (reader->fd >= 0)
        return reader_begin(out, reader, limits, note);
    memory_give(reader);
    return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "cannot open %s: %s", path, strerror(errno));
}

enum fault csv_open_bytes(struct csv_reader **out, const void *bytes, size_t byte_count, const struct batch_limits *limits,
                          struct fault_note *note)
{
    struct csv_reader *reader;
    enum fault fault = reader_new(&reader, note);
    *out = NULL;
    if (fault != FAULT_NONE)
        return fault;
    reader->fd = -1;
    reader->bytes = bytes;
    reader->byte_count = byte_count;
    return reader_begin(out, reader, limits, note);
}

enum fault csv_fault_of(struct fault_note *note, const char *path, enum fault fault)
{
    if (fault == FAULT_NONE || !note || note->row == ROW_NONE)
        return fault;
    struct fault_note of = *note;
    return fault_set(note, fault, ROW_NONE, COLUMN_NONE, "%.100s, line %u%s%s: %s", path, of.row, of.column == COLUMN_NONE ? "" : ", ",
                     column_name(of.column), of.text);
}

void csv_close(struct csv_reader **reader_p)
{
    struct csv_reader *reader = *reader_p;
    *reader_p = NULL;
    if (!reader)
        return;
    MUST(reader->magic == (unsigned)READER_MAGIC);
    if (reader->fd > STDIN_FILENO)
        close(reader->fd);
    sinks_fini(reader);
    memory_give(reader->buffer);
    memory_give(reader->scratch);
    reader->magic = 0;
    memory_give(reader);
}

static enum fault read_rows(struct csv_reader *reader)
{
    struct batch *batch = reader->batch;
    const struct arena *arena = &batch->arena;
    enum fault fault = FAULT_NONE;
    while (fault == FAULT_NONE && batch->row_count < reader->rows_max) {
        struct record record;
        bool found;
        if ((fault = record_find(reader, &record, &found)) != FAULT_NONE || !found)
            break;
        struct record line = record_trim(record);
        if (!record_is_blank(&line)) {
            size_t text_bytes = reader->text_bytes + (size_t)(line.end - line.at);
            if (text_bytes > arena->size - arena->used && batch->row_count > 0)
                break; /* the rest is the next batch's */
            reader->row = batch->row_count++;
            reader->row_is_void = false;
            fault = reader->is_json ? csv_json_row(reader, &line) : put_record(reader, &line);
            reader->has_rows = true;
        }
        if (fault == FAULT_NONE)
            record_consume(reader, &record);
    }
    return fault;
}

enum fault csv_read(struct csv_reader *reader, struct batch *batch, uint32_t rows_max, struct fault_note *note)
{
    MUST(reader->magic == (unsigned)READER_MAGIC && batch->magic == (unsigned)BATCH_MAGIC && rows_max > 0);
    memset(batch->columns, 0, sizeof batch->columns);
    batch->other_count = 0;
    batch->row_count = 0;
    reader->batch = batch;
    reader->rows_max = rows_max;
    reader->text_bytes = 0;
    reader->note = note;
    reader->wrong_end = &batch->wrong;
    batch->wrong = NULL;
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; !reader->is_json && i < reader->sink_count && fault == FAULT_NONE; i++)
        fault = sink_open(reader, &reader->sinks[i]);
    if (fault == FAULT_NONE)
        fault = read_rows(reader);
    if (fault == FAULT_NONE)
        fault = sinks_finish(reader, batch->row_count);
    reader->batch = NULL;
    reader->note = NULL;
    return fault;
}
