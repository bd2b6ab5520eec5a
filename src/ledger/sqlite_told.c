/* What a processor was told of the rows of a second batch, and what it told of them: one line for each change. */
#include "base/must.h"
#include "ledger/row_set.h"
#include "ledger/sqlite.h"

static enum outbox_state outbox_behind(enum row_state state)
{
    return state == ROW_CONSOLIDATED ? OUTBOX_CONSOLIDATED
           : state == ROW_RETURNED   ? OUTBOX_RETURNED
           : state == ROW_FAILED     ? OUTBOX_FAILED
                                     : OUTBOX_EXECUTED;
}

/* The outbox's line says what was told last; what holds of each row is in the lines. */
enum fault told_insert(struct connection *writer, const struct ledger_entry *entry, struct fault_note *note)
{
    const struct ledger_told *told = entry->life->told;
    MUST(told->state > ROW_RELEASED && told->state < ROW_STATE_COUNT);
    if (told->row_count == 0)
        return FAULT_NONE;
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_told_put);
    sqlite3_bind_int64(statement, 1, (int64_t)told->entry);
    sqlite3_bind_int64(statement, 2, (int64_t)entry->batch->sequence);
    sqlite3_bind_int(statement, 3, told->state);
    sqlite3_bind_blob64(statement, 4, told->rows, told->rows_bytes, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 5, told->row_count);
    enum fault fault = statement_run(writer, statement, "record what became of a second batch", note);
    if (fault != FAULT_NONE)
        return fault;
    statement = statement_take(writer, STATEMENT_told_state);
    sqlite3_bind_int64(statement, 1, (int64_t)told->entry);
    sqlite3_bind_int(statement, 2, outbox_behind(told->state));
    return statement_run(writer, statement, "record what became of a second batch", note);
}

enum fault sqlite_outbox_find(struct ledger *ledger, struct ledger_outbox *out, int64_t *out_released_us, struct text tenant,
                              struct text derived_id, struct fault_note *note)
{
    enum { RELEASED_AT = 11 }; /* behind what outbox_of reads */
    int64_t number = 0;
    *out = (struct ledger_outbox){0}, *out_released_us = 0;
    struct reader *reader = reader_take(ledger);
    enum fault fault = tenant_find(&reader->connection, &number, tenant, note);
    if (fault == FAULT_NONE) {
        sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_outbox_find);
        sqlite3_bind_int64(statement, 1, number);
        sqlite3_bind_text(statement, 2, derived_id.data, (int)derived_id.bytes, SQLITE_STATIC);
        int code = sqlite3_step(statement);
        if (code == SQLITE_ROW) {
            outbox_of(out, statement);
            *out_released_us = sqlite3_column_int64(statement, RELEASED_AT);
        } else if (code != SQLITE_DONE) {
            fault = connection_fault(&reader->connection, code, "look up a second batch", note);
        }
        sqlite3_reset(statement);
    }
    reader_give(ledger, reader);
    if (fault == FAULT_not_found || (fault == FAULT_NONE && out->entry == 0))
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no second batch %.*s was released",
                         (int)(derived_id.bytes < 80 ? derived_id.bytes : 80), derived_id.data);
    return fault;
}

enum fault sqlite_told(struct ledger *ledger, uint64_t entry, ledger_told_fn *each, void *context, struct fault_note *note)
{
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_told_get);
    sqlite3_bind_int64(statement, 1, (int64_t)entry);
    int code;
    bool enough = false;
    while (!enough && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        unsigned state = (unsigned)sqlite3_column_int(statement, 0);
        const struct ledger_told told = {.entry = entry,
                                         .state = state < ROW_STATE_COUNT ? (enum row_state)state : ROW_FAILED,
                                         .rows = sqlite3_column_blob(statement, 1),
                                         .rows_bytes = (size_t)sqlite3_column_bytes(statement, 1),
                                         .row_count = (uint32_t)sqlite3_column_int64(statement, 2)};
        enough = !each(context, &told);
    }
    sqlite3_reset(statement);
    enum fault fault = enough || code == SQLITE_DONE
                           ? FAULT_NONE
                           : connection_fault(&reader->connection, code, "read what became of a second batch", note);
    reader_give(ledger, reader);
    return fault;
}

static bool set_holds(const void *bytes, size_t byte_count, uint64_t sequence, uint32_t row)
{
    struct row_set_reader rows;
    row_set_read(&rows, bytes, byte_count);
    while (row_set_next_source(&rows))
        while (rows.sequence == sequence && row_set_next_run(&rows))
            if (row >= rows.first && row - rows.first < rows.count)
                return true;
    return false;
}

enum fault told_row_state(struct connection *connection, enum row_state *out, uint64_t sequence, uint32_t row, struct fault_note *note)
{
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_told_of_batch);
    sqlite3_bind_int64(statement, 1, (int64_t)sequence);
    int code;
    bool found = false;
    while (!found && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(statement, 1);
        unsigned state = (unsigned)sqlite3_column_int(statement, 0);
        found = state < ROW_STATE_COUNT && set_holds(bytes, (size_t)sqlite3_column_bytes(statement, 1), sequence, row);
        if (found)
            *out = (enum row_state)state;
    }
    sqlite3_reset(statement);
    return found || code == SQLITE_DONE ? FAULT_NONE : connection_fault(connection, code, "read what became of a row", note);
}

enum fault sqlite_told_counts(struct ledger *ledger, struct ledger_told_counts *out, uint64_t sequence, struct fault_note *note)
{
    *out = (struct ledger_told_counts){0};
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_told_counts);
    sqlite3_bind_int64(statement, 1, (int64_t)sequence);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        int state = sqlite3_column_int(statement, 0);
        uint64_t rows = (uint64_t)sqlite3_column_int64(statement, 1);
        if (state < 0)
            out->released = rows;
        else if (state < ROW_STATE_COUNT)
            out->rows[state] = rows;
    }
    sqlite3_reset(statement);
    enum fault fault =
        code == SQLITE_DONE ? FAULT_NONE : connection_fault(&reader->connection, code, "count what became of second batches", note);
    reader_give(ledger, reader);
    return fault;
}
