/* The life of batches, and what is on its way out. A release is written in the transaction of the change that caused it; what
 * became of sending it is written by itself, since it changes nothing that was decided. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/memory.h"
#include "base/must.h"
#include "ledger/row_set.h"
#include "ledger/sqlite.h"

static enum fault outbox_insert(struct connection *writer, const struct ledger_entry *entry, int64_t tenant, struct fault_note *note)
{
    const struct ledger_life_change *change = entry->life;
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_outbox_put);
    sqlite3_bind_int64(statement, 1, tenant);
    sqlite3_bind_int64(statement, 2, (int64_t)change->life.sequence);
    sqlite3_bind_int64(statement, 3, change->life.releases);
    sqlite3_bind_int64(statement, 4, (int64_t)entry->batch->sequence);
    statement_bind_digest(statement, 5, &change->payload_digest);
    sqlite3_bind_blob64(statement, 6, change->released, change->released_bytes, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 7, change->released_rows);
    return statement_run(writer, statement, "record a release", note);
}

static enum fault rows_expire(struct connection *writer, uint64_t sequence, struct fault_note *note)
{
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_rows_expire);
    sqlite3_bind_int64(statement, 1, (int64_t)sequence);
    sqlite3_bind_int(statement, 2, ROW_EXPIRED);
    sqlite3_bind_int(statement, 3, VERDICT_HOLD);
    sqlite3_bind_int(statement, 4, VERDICT_INVALID);
    return statement_run(writer, statement, "record the end of the time for corrections", note);
}

enum fault life_insert(struct connection *writer, const struct ledger_entry *entry, int64_t tenant, struct fault_note *note)
{
    const struct ledger_life_change *change = entry->life;
    if (!change)
        return FAULT_NONE;
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_life_put);
    sqlite3_bind_int64(statement, 1, (int64_t)change->life.sequence);
    sqlite3_bind_int64(statement, 2, tenant);
    sqlite3_bind_int(statement, 3, change->life.state);
    sqlite3_bind_int64(statement, 4, change->life.releases);
    sqlite3_bind_int64(statement, 5, change->life.due_us);
    sqlite3_bind_int64(statement, 6, (int64_t)entry->batch->sequence);
    enum fault fault = statement_run(writer, statement, "record the life of a batch", note);
    if (fault == FAULT_NONE && change->released)
        fault = outbox_insert(writer, entry, tenant, note);
    if (fault == FAULT_NONE && change->expires)
        fault = rows_expire(writer, change->life.sequence, note);
    if (fault == FAULT_NONE && change->told)
        fault = told_insert(writer, entry, note);
    return fault;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static enum fault code_fault(struct connection *connection, int code, const char *what, struct fault_note *note)
{
    return code == SQLITE_ROW    ? FAULT_NONE
           : code == SQLITE_DONE ? fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "%s: none is there", what)
                                 : connection_fault(connection, code, what, note);
}

enum fault sqlite_life_find(struct ledger *ledger, struct ledger_life *out, uint64_t sequence, struct fault_note *note)
{
    *out = (struct ledger_life){0};
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_life_get);
    sqlite3_bind_int64(statement, 1, (int64_t)sequence);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        unsigned state = (unsigned)sqlite3_column_int(statement, 1);
        *out = (struct ledger_life){.sequence = sequence,
                                    .state = state < LIFE_COUNT ? (enum life_state)state : LIFE_CLOSED,
                                    .releases = (uint32_t)sqlite3_column_int64(statement, 2),
                                    .due_us = sqlite3_column_int64(statement, 3),
                                    .changed = (uint64_t)sqlite3_column_int64(statement, 4)};
    }
    sqlite3_reset(statement);
    enum fault fault = code_fault(&reader->connection, code, "look up the life of a batch", note);
    reader_give(ledger, reader);
    return fault;
}

enum fault sqlite_life_due(struct ledger *ledger, struct ledger_batch *out, struct ledger_due *cursor, int64_t now_us,
                           struct fault_note *note)
{
    *out = (struct ledger_batch){0};
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_life_due);
    sqlite3_bind_int64(statement, 1, now_us);
    sqlite3_bind_int64(statement, 2, cursor->due_us);
    sqlite3_bind_int64(statement, 3, (int64_t)cursor->sequence);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        batch_line_of(out, statement);
        *cursor = (struct ledger_due){sqlite3_column_int64(statement, sqlite3_column_count(statement) - 1), out->sequence};
    }
    sqlite3_reset(statement);
    enum fault fault = code_fault(&reader->connection, code, "look for batches whose time is over", note);
    reader_give(ledger, reader);
    return fault;
}

/* A row without a line of its own passed: it is where its batch is. */
static enum row_state row_state_of(sqlite3_stmt *statement)
{
    bool passed = sqlite3_column_type(statement, 2) == SQLITE_NULL || sqlite3_column_int(statement, 2) == VERDICT_PASS;
    unsigned state = (unsigned)sqlite3_column_int(statement, 3);
    if (state > ROW_SCREENED && state < ROW_STATE_COUNT)
        return (enum row_state)state;
    if (sqlite3_column_int(statement, 0) == LIFE_CANCELLED)
        return ROW_CANCELLED;
    return passed && sqlite3_column_int64(statement, 1) > 0 ? ROW_RELEASED : ROW_SCREENED;
}

static enum fault optional_end(struct connection *connection, sqlite3_stmt *statement, int code, struct fault_note *note)
{
    sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? FAULT_NONE
                                                     : connection_fault(connection, code, "look up what became of a row", note);
}

enum fault row_state_read(struct connection *connection, enum row_state *out, uint64_t sequence, uint32_t row, struct fault_note *note)
{
    *out = ROW_SCREENED;
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_row_state);
    sqlite3_bind_int64(statement, 1, (int64_t)sequence);
    sqlite3_bind_int64(statement, 2, row);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *out = row_state_of(statement);
    enum fault fault = optional_end(connection, statement, code, note);
    return fault == FAULT_NONE && *out == ROW_RELEASED ? told_row_state(connection, out, sequence, row, note) : fault;
}

/* Without its frame, so that others are not decoded. */
enum fault line_may_be(struct connection *connection, bool *out, uint64_t sequence, enum row_state state, struct fault_note *note)
{
    *out = state == ROW_SCREENED;
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_line_state);
    sqlite3_bind_int64(statement, 1, (int64_t)sequence);
    sqlite3_bind_int(statement, 2, state);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *out = state == ROW_SCREENED || sqlite3_column_int(statement, 2) ||
               (state == ROW_CANCELLED && sqlite3_column_int(statement, 0) == LIFE_CANCELLED) ||
               ((state >= ROW_RELEASED) && sqlite3_column_int64(statement, 1) > 0);
    return optional_end(connection, statement, code, note);
}

enum fault sqlite_row_state(struct ledger *ledger, enum row_state *out, uint64_t sequence, uint32_t row, struct fault_note *note)
{
    struct reader *reader = reader_take(ledger);
    enum fault fault = row_state_read(&reader->connection, out, sequence, row, note);
    reader_give(ledger, reader);
    return fault;
}

void outbox_of(struct ledger_outbox *out, sqlite3_stmt *statement)
{
    unsigned state = (unsigned)sqlite3_column_int(statement, 7);
    *out = (struct ledger_outbox){.entry = (uint64_t)sqlite3_column_int64(statement, 0),
                                  .batch_sequence = (uint64_t)sqlite3_column_int64(statement, 1),
                                  .sequence = (uint64_t)sqlite3_column_int64(statement, 2),
                                  .payload_digest = digest_of_column(statement, 4),
                                  .row_count = (uint32_t)sqlite3_column_int64(statement, 5),
                                  .attempts = (uint32_t)sqlite3_column_int64(statement, 6),
                                  .state = state < OUTBOX_COUNT ? (enum outbox_state)state : OUTBOX_FAILED,
                                  .due_us = sqlite3_column_int64(statement, 8)};
    text_of_column(out->derived_id, sizeof out->derived_id, statement, 3);
    text_of_column(out->tenant, sizeof out->tenant, statement, 9);
    text_of_column(out->batch, sizeof out->batch, statement, 10);
}

enum fault sqlite_outbox_next(struct ledger *ledger, struct ledger_outbox *out, const char *tenant, uint64_t after_entry, int64_t now_us,
                              struct fault_note *note)
{
    int64_t tenant_number = 0;
    *out = (struct ledger_outbox){0};
    struct reader *reader = reader_take(ledger);
    struct connection *connection = &reader->connection;
    enum fault fault = tenant ? tenant_find(connection, &tenant_number, text_of(tenant), note) : FAULT_NONE;
    if (fault == FAULT_NONE) {
        sqlite3_stmt *statement = statement_take(connection, STATEMENT_outbox_next);
        sqlite3_bind_int64(statement, 1, tenant_number);
        sqlite3_bind_int64(statement, 2, (int64_t)after_entry);
        sqlite3_bind_int64(statement, 3, now_us);
        int code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
            outbox_of(out, statement);
        sqlite3_reset(statement);
        fault = code_fault(connection, code, "look for a second batch", note);
    } else if (fault == FAULT_not_found) {
        fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "the tenant has recorded nothing");
    }
    reader_give(ledger, reader);
    return fault;
}

static enum fault payload_read(void **out, size_t *out_bytes, struct ledger *ledger, uint64_t entry, struct fault_note *note)
{
    *out = NULL, *out_bytes = 0;
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_outbox_payload);
    sqlite3_bind_int64(statement, 1, (int64_t)entry);
    int code = sqlite3_step(statement);
    enum fault fault = code_fault(&reader->connection, code, "read a second batch", note);
    if (fault == FAULT_NONE) {
        const void *bytes = sqlite3_column_blob(statement, 0);
        *out_bytes = (size_t)sqlite3_column_bytes(statement, 0);
        *out = memory_take(*out_bytes + 1);
        if (*out && bytes)
            memcpy(*out, bytes, *out_bytes);
        if (!*out)
            fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the rows of a second batch");
    }
    sqlite3_reset(statement);
    reader_give(ledger, reader);
    return fault;
}

/* The rows of the reader's source; the batch bounds them. */
static enum fault source_tell(struct row_set_reader *rows, const struct batch *batch, uint32_t *list, ledger_outbox_fn *each, void *context,
                              bool *out_enough, struct fault_note *note)
{
    uint32_t count = 0;
    while (row_set_next_run(rows)) {
        if (rows->row_at > batch->row_count)
            rows->broken = true;
        for (uint32_t i = 0; !rows->broken && i < rows->count; i++)
            list[count++] = rows->first + i;
    }
    if (rows->broken)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the rows of a second batch are damaged");
    *out_enough = !each(context, batch, list, count);
    return FAULT_NONE;
}

enum fault sqlite_outbox_rows(struct ledger *ledger, uint64_t entry, ledger_outbox_fn *each, void *context, struct fault_note *note)
{
    void *payload;
    size_t bytes;
    struct row_set_reader rows;
    bool enough = false;
    enum fault fault = payload_read(&payload, &bytes, ledger, entry, note);
    if (fault != FAULT_NONE)
        return fault;
    row_set_read(&rows, payload, bytes);
    while (fault == FAULT_NONE && !enough && row_set_next_source(&rows)) {
        struct batch batch;
        fault = sqlite_read(ledger, &batch, rows.sequence, note);
        if (fault != FAULT_NONE)
            break;
        uint32_t *list = memory_take((size_t)batch.row_count * sizeof *list + sizeof *list);
        fault = list ? source_tell(&rows, &batch, list, each, context, &enough, note)
                     : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the rows of a second batch");
        memory_give(list);
        batch_fini(&batch);
    }
    if (fault == FAULT_NONE && rows.broken)
        fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the rows of second batch %" PRIu64 " are damaged", entry);
    memory_give(payload);
    return fault;
}

enum fault sqlite_outbox_mark(struct ledger *ledger, uint64_t entry, enum outbox_state state, uint32_t attempts, int64_t due_us,
                              struct fault_note *note)
{
    MUST(ledger->magic == LEDGER_MAGIC && state < OUTBOX_COUNT);
    pthread_mutex_lock(&ledger->write_lock);
    enum fault fault = ledger_is_able(ledger, note);
    if (fault == FAULT_NONE) {
        sqlite3_stmt *statement = statement_take(&ledger->writer, STATEMENT_outbox_mark);
        sqlite3_bind_int64(statement, 1, (int64_t)entry);
        sqlite3_bind_int(statement, 2, state);
        sqlite3_bind_int64(statement, 3, attempts);
        sqlite3_bind_int64(statement, 4, due_us);
        ledger->segments.saw_full = ledger->writer.saw_full = false;
        FAILPOINT(ledger_outbox_before);
        fault = statement_run(&ledger->writer, statement, "mark a second batch", note);
        FAILPOINT(ledger_outbox_after);
        if (fault != FAULT_NONE) {
            transaction_undo(ledger, true);
            ledger_recover(ledger);
        }
    }
    pthread_mutex_unlock(&ledger->write_lock);
    return fault;
}
