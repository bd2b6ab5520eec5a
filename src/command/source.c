#include "command/source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "command/command.h"
#include "wire/iso20022/iso20022.h"
#include "wire/wire.h"

enum { PIECE_BYTES = 1 << 20, LINE_BYTES_MEAN_MAX = 512 }; /* of a batch of lines; what is beyond needs smaller batches */

struct source {
    struct batch_limits limits;
    struct csv_reader *csv;  /* or */
    struct pain001 *pain001; /* or neither: a saved request */
    struct file_map saved;
    struct request request;
    bool saved_is_read;
    uint64_t rows_expected;
};

static bool ends_with(const char *text, const char *end)
{
    size_t text_bytes = strlen(text), end_bytes = strlen(end);
    return text_bytes >= end_bytes && strcmp(text + text_bytes - end_bytes, end) == 0;
}

/* Lines of a plain file, for progress alone. */
static uint64_t lines_count(const char *path)
{
    struct stat status;
    uint64_t lines = 0;
    char *piece = memory_take(PIECE_BYTES);
    FILE *file = piece && strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode) ? fopen(path, "r") : NULL;
    for (size_t got; file && (got = fread(piece, 1, PIECE_BYTES, file)) > 0;)
        for (const char *at = piece; (at = memchr(at, '\n', (size_t)(piece + got - at))) != NULL; at++)
            lines++;
    if (file)
        fclose(file);
    memory_give(piece);
    return lines;
}

static enum fault saved_open(struct source *source, const char *path, struct fault_note *note)
{
    enum fault fault = file_map_open(&source->saved, path, note);
    if (fault == FAULT_NONE)
        fault = wire_check(source->saved.data, source->saved.bytes, note);
    if (fault == FAULT_NONE)
        fault = wire_request_read(&source->request, source->saved.data, source->saved.bytes, &source->limits, note);
    if (fault == FAULT_NONE && !op_carries_rows(source->request.op))
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "the saved request has no rows");
    source->rows_expected = source->request.row_count;
    return fault;
}

bool source_is_pain001(const char *path)
{
    return ends_with(path, ".xml");
}

static enum fault pain001_of_file(struct source *source, const char *path, const struct file_map *held, struct fault_note *note)
{
    enum fault fault = held ? FAULT_NONE : file_map_open(&source->saved, path, note);
    held = held ? held : &source->saved;
    if (fault == FAULT_NONE)
        fault = pain001_open(&source->pain001, held->data, held->bytes, &source->limits, note);
    if (fault == FAULT_NONE)
        source->rows_expected = pain001_transactions(source->pain001);
    return fault;
}

enum fault source_open(struct source **out, const char *path, struct fault_note *note)
{
    return source_open_held(out, path, NULL, note);
}

enum fault source_open_held(struct source **out, const char *path, const struct file_map *held, struct fault_note *note)
{
    struct source *source = memory_take_zeroed(1, sizeof *source);
    if (!source)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to open %s", path);
    source->limits = BATCH_LIMITS_DEFAULT;
    enum fault fault;
    if (ends_with(path, ".columns")) {
        fault = saved_open(source, path, note);
    } else if (source_is_pain001(path)) {
        fault = pain001_of_file(source, path, held, note);
    } else {
        fault = csv_open(&source->csv, path, &source->limits, note);
        source->rows_expected = lines_count(path);
    }
    *out = source;
    if (fault != FAULT_NONE)
        source_close(out);
    return fault;
}

void source_close(struct source **source_p)
{
    struct source *source = *source_p;
    *source_p = NULL;
    if (!source)
        return;
    if (source->csv)
        csv_close(&source->csv);
    pain001_close(&source->pain001);
    file_map_close(&source->saved);
    memory_give(source);
}

static void batch_empty(struct batch *batch)
{
    struct arena arena = batch->arena;
    arena_reset(&arena);
    *batch = (struct batch){.magic = BATCH_MAGIC, .arena = arena};
}

static enum fault saved_read(struct source *source, struct batch *batch, struct fault_note *note)
{
    if (source->saved_is_read)
        return FAULT_NONE;
    source->saved_is_read = true;
    batch->id = source->request.id;
    batch->name = source->request.batch;
    enum fault fault = wire_batch_read(batch, &source->request, &source->limits, note);
    if (fault == FAULT_NONE && batch->note_count > 0) /* in rows form: it would go on as null */
        fault = fault_set(note, FAULT_schema, batch->notes[0].row, batch->notes[0].column, "%s", batch->notes[0].text);
    return fault;
}

enum fault source_read(struct source *source, struct batch *batch, uint32_t rows_max, struct fault_note *note)
{
    batch_empty(batch);
    if (source->pain001)
        return pain001_read(source->pain001, batch, rows_max, note);
    return source->csv ? csv_read(source->csv, batch, rows_max, note) : saved_read(source, batch, note);
}

uint32_t source_batch_rows(const struct source *source, uint32_t wanted)
{
    return source->csv || source->pain001 ? wanted : source->request.row_count;
}

size_t source_arena_bytes(const struct source *source, uint32_t rows)
{
    bool is_lines = source->csv || source->pain001;
    size_t bytes =
        is_lines ? (size_t)rows * LINE_BYTES_MEAN_MAX + source->limits.text_bytes_max * (size_t)COLUMN_COUNT : source->saved.bytes;
    return batch_arena_bytes(&source->limits, rows, bytes);
}

uint64_t source_rows_expected(const struct source *source)
{
    return source->rows_expected;
}

int source_refused(const char *name, const char *path, const struct fault_note *note)
{
    bool is_lines = !ends_with(path, ".columns");
    if (note->row == ROW_NONE && strstr(note->text, path))
        return command_fail(COMMAND_REFUSED, name, "%s", note->text);
    if (note->row == ROW_NONE)
        return command_fail(COMMAND_REFUSED, name, "%s: %s", path, note->text);
    if (note->column == COLUMN_NONE)
        return command_fail(COMMAND_REFUSED, name, "%s, %s %u: %s", path, is_lines ? "line" : "row", note->row, note->text);
    return command_fail(COMMAND_REFUSED, name, "%s, %s %u, %s: %s", path, is_lines ? "line" : "row", note->row, column_name(note->column),
                        note->text);
}
