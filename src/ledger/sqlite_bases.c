/* What became of scene bases, read a page at a time: no statement is open while a caller's function runs. */
#include <string.h>

#include "base/must.h"
#include "ledger/sqlite.h"

enum { CHANGES_PER_STEP = 16 };

static void change_of(struct ledger_base_change *out, sqlite3_stmt *statement)
{
    char op[32];
    const void *signature = sqlite3_column_blob(statement, 11);
    text_of_column(op, sizeof op, statement, 1);
    *out = (struct ledger_base_change){
        .sequence = (uint64_t)sqlite3_column_int64(statement, 0),
        .op = op_find(text_of(op)),
        .digest = digest_of_column(statement, 2),
        .before = digest_of_column(statement, 3),
        .now_us = sqlite3_column_int64(statement, 5),
        .bytes = (uint64_t)sqlite3_column_int64(statement, 8),
        .golden_rows = (uint32_t)sqlite3_column_int64(statement, 9),
        .is_signed = signature && sqlite3_column_bytes(statement, 11) == BASE_SIGNATURE_BYTES,
    };
    text_of_column(out->who, sizeof out->who, statement, 4);
    text_of_column(out->name, sizeof out->name, statement, 6);
    text_of_column(out->version, sizeof out->version, statement, 7);
    text_of_column(out->signer, sizeof out->signer, statement, 10);
    if (out->is_signed)
        memcpy(out->signature, signature, sizeof out->signature);
}

static enum fault changes_before(struct ledger_base_change *out, uint32_t *out_count, struct ledger *ledger, bool puts, uint64_t before,
                                 struct fault_note *note)
{
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_base_changes);
    int code;
    sqlite3_bind_int(statement, 1, puts);
    sqlite3_bind_int64(statement, 2, (int64_t)before);
    sqlite3_bind_int(statement, 3, CHANGES_PER_STEP);
    for (*out_count = 0; (code = sqlite3_step(statement)) == SQLITE_ROW && *out_count < CHANGES_PER_STEP;)
        change_of(&out[(*out_count)++], statement);
    return reader_end(ledger, reader, statement, code, "read the scene bases", note);
}

enum fault sqlite_base_changes(struct ledger *ledger, bool puts, ledger_base_fn *each, void *context, struct fault_note *note)
{
    struct ledger_base_change changes[CHANGES_PER_STEP];
    uint64_t before = INT64_MAX;
    uint32_t count;
    MUST(ledger->magic == LEDGER_MAGIC);
    do {
        enum fault fault = changes_before(changes, &count, ledger, puts, before, note);
        if (fault != FAULT_NONE)
            return fault;
        for (uint32_t i = 0; i < count; i++) {
            if (!each(context, &changes[i]))
                return FAULT_NONE;
            before = changes[i].sequence;
        }
    } while (count == CHANGES_PER_STEP);
    return FAULT_NONE;
}
