/* Reading what is committed: any thread, each with a reader of its own for the time of one call. No statement stays open
 * while a frame is decoded or a caller's function runs, so that nothing holds the log back. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "ledger/frame.h"
#include "ledger/sqlite.h"

static enum fault not_found(struct fault_note *note, const char *what, struct text name)
{
    return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no %s %.*s is known", what, name.bytes < 100 ? (int)name.bytes : 100,
                     name.bytes ? name.data : "");
}

static enum fault request_read(struct ledger_request *out, struct connection *connection, struct text tenant_name, struct text id,
                               struct fault_note *note)
{
    int64_t tenant;
    enum fault fault = tenant_find(connection, &tenant, tenant_name, note);
    if (fault != FAULT_NONE)
        return fault;
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_request_get);
    sqlite3_bind_int64(statement, 1, tenant);
    statement_bind_text(statement, 2, id);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        out->sequence = (uint64_t)sqlite3_column_int64(statement, 0);
        const void *digest = sqlite3_column_blob(statement, 1);
        if (digest && sqlite3_column_bytes(statement, 1) == (int)sizeof out->digest)
            memcpy(&out->digest, digest, sizeof out->digest);
        out->op = op_find(text_of((const char *)sqlite3_column_text(statement, 2)));
    }
    sqlite3_reset(statement);
    return code == SQLITE_ROW    ? FAULT_NONE
           : code == SQLITE_DONE ? FAULT_not_found
                                 : connection_fault(connection, code, "look up a request", note);
}

enum fault sqlite_find_request(struct ledger *ledger, struct ledger_request *out, struct text tenant, struct text id,
                               struct fault_note *note)
{
    *out = (struct ledger_request){0};
    struct reader *reader = reader_take(ledger);
    enum fault fault = request_read(out, &reader->connection, tenant, id, note);
    reader_give(ledger, reader);
    return fault == FAULT_not_found ? not_found(note, "request", id) : fault;
}

static enum fault batch_read(struct ledger_batch *out, struct connection *connection, struct text tenant_name, struct text name,
                             struct fault_note *note)
{
    int64_t tenant;
    enum fault fault = tenant_find(connection, &tenant, tenant_name, note);
    if (fault != FAULT_NONE)
        return fault;
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_batch_get);
    sqlite3_bind_int64(statement, 1, tenant);
    statement_bind_text(statement, 2, name);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        batch_line_of(out, statement);
    sqlite3_reset(statement);
    return code == SQLITE_ROW    ? FAULT_NONE
           : code == SQLITE_DONE ? FAULT_not_found
                                 : connection_fault(connection, code, "look up a batch", note);
}

enum fault sqlite_find_batch(struct ledger *ledger, struct ledger_batch *out, struct text tenant, struct text name, struct fault_note *note)
{
    *out = (struct ledger_batch){0};
    struct reader *reader = reader_take(ledger);
    enum fault fault = batch_read(out, &reader->connection, tenant, name, note);
    reader_give(ledger, reader);
    return fault == FAULT_not_found ? not_found(note, "batch", name) : fault;
}

/* The sequence and the place are named in every fault of a frame: it is what an operator looks for. */
static enum fault frame_damaged(struct fault_note *note, const struct index_line *line, const char *why)
{
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "frame %llu (segment %u, offset %llu): %.80s",
                     (unsigned long long)line->sequence, line->place.segment, (unsigned long long)line->place.start, why);
}

static enum fault frame_load_into(void *bytes, const struct ledger *ledger, struct reader *reader, struct batch *out,
                                  const struct index_line *line, struct fault_note *note)
{
    struct fault_note why = {0};
    enum fault fault =
        segment_read(&reader->segments, ledger->folder, line->place.segment, line->place.start, bytes, line->place.bytes, &why);
    if (fault == FAULT_NONE)
        fault = frame_decode(out, bytes, line->place.bytes, &why);
    if (fault == FAULT_NONE && (out->sequence != line->sequence || out->row_count != line->rows)) {
        batch_fini(out);
        fault = fault_set(&why, FAULT_ledger, ROW_NONE, COLUMN_NONE, "it is another one's");
    }
    return fault == FAULT_ledger ? frame_damaged(note, line, why.text)
           : fault == FAULT_NONE ? FAULT_NONE
                                 : fault_set(note, fault, ROW_NONE, COLUMN_NONE, "%s", why.text);
}

enum fault frame_load(const struct ledger *ledger, struct reader *reader, struct batch *out, const struct index_line *line,
                      struct fault_note *note)
{
    *out = (struct batch){0};
    if (line->place.bytes < sizeof(struct frame_header) || line->place.bytes > UINT32_MAX)
        return frame_damaged(note, line, "impossible length");
    void *bytes = memory_take(line->place.bytes);
    if (!bytes)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read a frame");
    enum fault fault = frame_load_into(bytes, ledger, reader, out, line, note);
    memory_give(bytes);
    return fault;
}

enum fault sqlite_read(struct ledger *ledger, struct batch *out, uint64_t sequence, struct fault_note *note)
{
    *out = (struct batch){0};
    struct reader *reader = reader_take(ledger);
    struct connection *connection = &reader->connection;
    struct index_line line;
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_line_get);
    sqlite3_bind_int64(statement, 1, (int64_t)sequence);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        index_line_of(&line, statement);
    sqlite3_reset(statement);
    enum fault fault;
    if (code == SQLITE_ROW && !line_is_kept(ledger, sequence))
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "the rows of batch %llu are no longer kept",
                          (unsigned long long)sequence);
    else if (code == SQLITE_ROW)
        fault = frame_load(ledger, reader, out, &line, note);
    else if (code == SQLITE_DONE)
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no batch has sequence %llu", (unsigned long long)sequence);
    else
        fault = connection_fault(connection, code, "look up a batch", note);
    reader_give(ledger, reader);
    return fault;
}

enum fault lines_from(struct reader *reader, uint32_t *out_count, uint64_t from, struct fault_note *note)
{
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_lines_up);
    int code;
    sqlite3_bind_int64(statement, 1, (int64_t)from);
    sqlite3_bind_int64(statement, 2, LINES_PER_STEP);
    for (*out_count = 0; (code = sqlite3_step(statement)) == SQLITE_ROW && *out_count < LINES_PER_STEP;)
        index_line_of(&reader->lines[(*out_count)++], statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? FAULT_NONE : connection_fault(&reader->connection, code, "read the index", note);
}

enum fault sqlite_replay(struct ledger *ledger, uint64_t from, enum fault (*each)(void *, struct batch *, struct fault_note *),
                         void *context, struct fault_note *note)
{
    if (!line_is_kept(ledger, from ? from : 1))
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "batches before %llu are no longer kept, nothing begins at %llu",
                         (unsigned long long)atomic_load(&ledger->kept_from), (unsigned long long)from);
    struct reader *reader = reader_take(ledger);
    struct batch batch;
    uint32_t count;
    enum fault fault;
    do {
        reader_refresh(ledger, reader);
        fault = lines_from(reader, &count, from, note);
        for (uint32_t i = 0; i < count && fault == FAULT_NONE; i++) {
            fault = frame_load(ledger, reader, &batch, &reader->lines[i], note);
            if (fault == FAULT_NONE) {
                fault = each(context, &batch, note);
                batch_fini(&batch);
            }
            from = reader->lines[i].sequence + 1;
        }
    } while (fault == FAULT_NONE && count == LINES_PER_STEP);
    reader_give(ledger, reader);
    return fault;
}

enum fault sqlite_document_get(struct ledger *ledger, const char *kind, struct digest digest, void **out, size_t *out_bytes,
                               struct fault_note *note)
{
    *out = NULL, *out_bytes = 0;
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_document_get);
    statement_bind_text(statement, 1, text_of(kind));
    statement_bind_digest(statement, 2, &digest);
    int code = sqlite3_step(statement);
    enum fault fault = FAULT_NONE;
    if (code == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(statement, 0);
        size_t byte_count = (size_t)sqlite3_column_bytes(statement, 0);
        *out = memory_take(byte_count);
        if (*out && byte_count && bytes)
            memcpy(*out, bytes, byte_count);
        *out_bytes = *out ? byte_count : 0;
        if (!*out)
            fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a %s of %zu bytes", kind, byte_count);
    } else if (code == SQLITE_DONE) {
        fault = not_found(note, kind, text_of("of that digest"));
    } else {
        fault = connection_fault(&reader->connection, code, "read a document", note);
    }
    sqlite3_reset(statement);
    reader_give(ledger, reader);
    return fault;
}
