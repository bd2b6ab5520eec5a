/* What is on the tenants' lists, in words: history holds only keys. Written with the batch that edits them. */
#include <string.h>

#include "base/must.h"
#include "ledger/sqlite.h"

static const enum column_id columns[LISTED_COUNT] = {
    [LISTED_ACCOUNT] = COLUMN_account_id, [LISTED_DEVICE] = COLUMN_device_id, [LISTED_ADDRESS] = COLUMN_address};

static enum fault entry_put(struct connection *writer, const struct batch *batch, uint32_t row, enum party_list list, enum listed_kind kind,
                            int64_t tenant, struct fault_note *note)
{
    bool puts = batch->op == OP_list_put;
    const struct column *ends = &batch->columns[COLUMN_until], *memos = &batch->columns[COLUMN_memo];
    sqlite3_stmt *statement = statement_take(writer, puts ? STATEMENT_listed_put : STATEMENT_listed_drop);
    sqlite3_bind_int64(statement, 1, tenant);
    sqlite3_bind_int(statement, 2, (int)list);
    sqlite3_bind_int(statement, 3, (int)kind);
    statement_bind_text(statement, 4, column_text(&batch->columns[columns[kind]], row));
    if (puts && column_is_valid(ends, row))
        sqlite3_bind_int64(statement, 5, column_i64(ends, row));
    if (puts)
        sqlite3_bind_int64(statement, 6, (int64_t)batch->sequence);
    if (puts && column_is_valid(memos, row))
        statement_bind_text(statement, 7, column_text(memos, row));
    return statement_run(writer, statement, "record an entry of a list", note);
}

static enum fault row_put(struct connection *writer, const struct batch *batch, uint32_t row, int64_t tenant, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (enum party_list list = 0; list < LIST_COUNT; list++)
        for (enum listed_kind kind = 0; kind < LISTED_COUNT && fault == FAULT_NONE; kind++) {
            const struct column *column = &batch->columns[columns[kind]];
            if (batch->facts.flags[row] == list_flag(list) && column_is_valid(column, row) && column_text(column, row).bytes > 0)
                fault = entry_put(writer, batch, row, list, kind, tenant, note);
        }
    return fault;
}

enum fault lists_insert(struct connection *writer, const struct batch *batch, int64_t tenant, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    if (!op_edits_lists(batch->op) || !batch->facts.flags)
        return FAULT_NONE;
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_listed_over);
    sqlite3_bind_int64(statement, 1, tenant);
    sqlite3_bind_int64(statement, 2, batch->now_us);
    fault = statement_run(writer, statement, "drop entries that are over", note);
    for (uint32_t row = 0; row < batch->row_count && fault == FAULT_NONE; row++)
        if (!batch->facts.invalid[row])
            fault = row_put(writer, batch, row, tenant, note);
    return fault;
}

static struct text text_at(sqlite3_stmt *statement, int column)
{
    return (struct text){.data = (const char *)sqlite3_column_text(statement, column),
                         .bytes = (uint32_t)sqlite3_column_bytes(statement, column)};
}

static bool entry_of(struct ledger_listed *out, sqlite3_stmt *statement)
{
    int list = sqlite3_column_int(statement, 0), kind = sqlite3_column_int(statement, 1);
    *out = (struct ledger_listed){.list = (enum party_list)list,
                                  .kind = (enum listed_kind)kind,
                                  .value = text_at(statement, 2),
                                  .until_us = sqlite3_column_int64(statement, 3),
                                  .sequence = (uint64_t)sqlite3_column_int64(statement, 4),
                                  .memo = text_at(statement, 5)};
    return list >= 0 && list < LIST_COUNT && kind >= 0 && kind < LISTED_COUNT;
}

enum fault sqlite_listed(struct ledger *ledger, const struct ledger_list_query *query, ledger_listed_fn *each, void *context,
                         struct fault_note *note)
{
    struct ledger_listed entry;
    int64_t tenant;
    MUST(ledger->magic == LEDGER_MAGIC);
    struct reader *reader = reader_take(ledger);
    enum fault fault = tenant_find(&reader->connection, &tenant, query->tenant, note);
    if (fault == FAULT_NONE) {
        sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_listed_get);
        int code;
        sqlite3_bind_int64(statement, 1, tenant);
        sqlite3_bind_int(statement, 2, query->list);
        sqlite3_bind_int(statement, 3, query->after_list);
        sqlite3_bind_int(statement, 4, query->after_kind);
        statement_bind_text(statement, 5, query->after_value);
        sqlite3_bind_int64(statement, 6, query->rows_max);
        if (query->value.bytes)
            statement_bind_text(statement, 7, query->value);
        while ((code = sqlite3_step(statement)) == SQLITE_ROW && entry_of(&entry, statement) && each(context, &entry))
            ;
        if (code != SQLITE_DONE && code != SQLITE_ROW)
            fault = connection_fault(&reader->connection, code, "read the lists", note);
        sqlite3_reset(statement);
    }
    reader_give(ledger, reader);
    if (fault == FAULT_not_found) /* nothing was recorded of that tenant yet */
        *note = (struct fault_note){.row = ROW_NONE, .column = COLUMN_NONE}, fault = FAULT_NONE;
    return fault;
}
