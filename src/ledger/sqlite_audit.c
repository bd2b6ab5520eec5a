/* The audit log: lines chained by hash, written with the change that they tell of or by themselves. */
#include <inttypes.h>
#include <string.h>

#include "base/must.h"
#include "base/secret.h"
#include "ledger/audit.h"
#include "ledger/sqlite.h"

_Static_assert((int)AUDIT_HASH_BYTES == (int)SECRET_HASH_BYTES, "lines are chained by SHA-256");

/* Over the hash before and every field in turn; texts with their end marks, so none can lend another its letters. */
static void line_hash(unsigned char out[AUDIT_HASH_BYTES], const unsigned char before[AUDIT_HASH_BYTES], const struct ledger_audit *line)
{
    const uint64_t numbers[] = {line->entry, line->sequence, (uint64_t)line->now_us, line->digest.low, line->digest.high};
    const struct secret_part parts[] = {
        {before, AUDIT_HASH_BYTES},
        {numbers, sizeof numbers},
        {line->who, strlen(line->who) + 1},
        {line->action, strlen(line->action) + 1},
        {line->object, strlen(line->object) + 1},
        {line->before, strlen(line->before) + 1},
        {line->after, strlen(line->after) + 1},
    };
    secret_hash_parts(out, parts, sizeof parts / sizeof *parts);
}

static void hash_of_column(unsigned char out[AUDIT_HASH_BYTES], sqlite3_stmt *statement, int column)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    memset(out, 0, AUDIT_HASH_BYTES);
    if (bytes && sqlite3_column_bytes(statement, column) == AUDIT_HASH_BYTES)
        memcpy(out, bytes, AUDIT_HASH_BYTES);
}

static void line_of(struct ledger_audit *out, sqlite3_stmt *statement)
{
    *out = (struct ledger_audit){.entry = (uint64_t)sqlite3_column_int64(statement, 0),
                                 .sequence = (uint64_t)sqlite3_column_int64(statement, 1),
                                 .digest = digest_of_column(statement, 2),
                                 .now_us = sqlite3_column_int64(statement, 3)};
    text_of_column(out->who, sizeof out->who, statement, 4);
    text_of_column(out->action, sizeof out->action, statement, 5);
    text_of_column(out->object, sizeof out->object, statement, 6);
    text_of_column(out->before, sizeof out->before, statement, 7);
    text_of_column(out->after, sizeof out->after, statement, 8);
    hash_of_column(out->hash, statement, 9);
}

static enum fault head_read(struct connection *connection, struct ledger_audit_head *out, struct fault_note *note)
{
    *out = (struct ledger_audit_head){0};
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_audit_head);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        out->entry = (uint64_t)sqlite3_column_int64(statement, 0);
        hash_of_column(out->hash, statement, 1);
    }
    sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? FAULT_NONE : connection_fault(connection, code, "read the audit log", note);
}

enum fault audit_insert(struct connection *writer, const struct ledger_audit *line, struct fault_note *note)
{
    struct ledger_audit_head head;
    if (!line)
        return FAULT_NONE;
    enum fault fault = head_read(writer, &head, note);
    if (fault != FAULT_NONE)
        return fault;
    struct ledger_audit whole = *line;
    whole.entry = head.entry + 1;
    line_hash(whole.hash, head.hash, &whole);
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_audit_put);
    sqlite3_bind_int64(statement, 1, (int64_t)whole.entry);
    sqlite3_bind_int64(statement, 2, (int64_t)whole.sequence);
    statement_bind_digest(statement, 3, &whole.digest);
    sqlite3_bind_int64(statement, 4, whole.now_us);
    statement_bind_text(statement, 5, text_of(whole.who));
    statement_bind_text(statement, 6, text_of(whole.action));
    statement_bind_text(statement, 7, text_of(whole.object));
    statement_bind_text(statement, 8, text_of(whole.before));
    statement_bind_text(statement, 9, text_of(whole.after));
    sqlite3_bind_blob(statement, 10, whole.hash, sizeof whole.hash, SQLITE_STATIC);
    return statement_run(writer, statement, "record a line of the audit log", note);
}

static enum fault audit_put(struct ledger *ledger, const struct ledger_audit *line, struct fault_note *note)
{
    struct connection *writer = &ledger->writer;
    enum fault fault = ledger_write_begin(ledger, note);
    bool is_able = fault == FAULT_NONE;
    if (is_able)
        fault = statement_run(writer, statement_take(writer, STATEMENT_begin), "begin", note);
    if (fault == FAULT_NONE)
        fault = audit_insert(writer, line, note);
    if (fault == FAULT_NONE)
        fault = statement_run(writer, statement_take(writer, STATEMENT_commit), "commit", note);
    return ledger_write_end(ledger, fault, is_able);
}

static sqlite3_stmt *lines_statement(struct reader *reader, const struct ledger_audit_query *query)
{
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_audit_list);
    sqlite3_bind_int64(statement, 1, (int64_t)query->after);
    sqlite3_bind_int64(statement, 2, query->from_us);
    sqlite3_bind_int64(statement, 3, query->to_us ? query->to_us : INT64_MAX);
    statement_bind_text(statement, 4, query->who);
    statement_bind_text(statement, 5, query->action);
    sqlite3_bind_int64(statement, 6, query->rows_max);
    return statement;
}

static enum fault audit_list(struct ledger *ledger, const struct ledger_audit_query *query, ledger_audit_fn *each, void *context,
                             struct fault_note *note)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = lines_statement(reader, query);
    struct ledger_audit line;
    bool enough = false;
    int code = SQLITE_DONE;
    while (!enough && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        line_of(&line, statement);
        enough = !each(context, &line);
    }
    return reader_end(ledger, reader, statement, code, "read the audit log", note);
}

/* --- verify ------------------------------------------------------------------------------------------------------------ */

/* The line against what it should follow and against what it says; out becomes it. */
static enum fault line_check(struct ledger_audit_head *out, const struct ledger_audit *line, const struct ledger_audit_head *known,
                             struct fault_note *note)
{
    unsigned char hash[AUDIT_HASH_BYTES];
    if (line->entry != out->entry + 1)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "entry %" PRIu64 " is missing", out->entry + 1);
    line_hash(hash, out->hash, line);
    if (memcmp(hash, line->hash, sizeof hash) != 0)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "entry %" PRIu64 " is not as it was written", line->entry);
    if (known && known->entry == line->entry && memcmp(known->hash, line->hash, sizeof hash) != 0)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "entry %" PRIu64 " or one before it is not what it once was",
                         line->entry);
    out->entry = line->entry;
    memcpy(out->hash, line->hash, sizeof out->hash);
    return FAULT_NONE;
}

/* Every change that is audited has its line, and that line names the content. */
static enum fault changes_check(struct reader *reader, struct fault_note *note)
{
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_audit_lacks);
    int code;
    enum fault fault = FAULT_NONE;
    while (fault == FAULT_NONE && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        char op[32];
        text_of_column(op, sizeof op, statement, 1);
        if (op_is_audited(op_find(text_of(op))))
            fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "%s, change %lld, has no entry", op,
                              (long long)sqlite3_column_int64(statement, 0));
    }
    if (fault == FAULT_NONE && code != SQLITE_DONE)
        fault = connection_fault(&reader->connection, code, "read the index", note);
    sqlite3_reset(statement);
    return fault;
}

static enum fault audit_verify(struct ledger *ledger, struct ledger_audit_head *out, const struct ledger_audit_head *known,
                               struct fault_note *note)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = lines_statement(reader, &(struct ledger_audit_query){.rows_max = UINT32_MAX});
    struct ledger_audit line;
    enum fault fault = FAULT_NONE;
    int code = SQLITE_DONE;
    *out = (struct ledger_audit_head){0};
    while (fault == FAULT_NONE && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        line_of(&line, statement);
        fault = line_check(out, &line, known, note);
    }
    if (fault == FAULT_NONE && code == SQLITE_DONE)
        fault = changes_check(reader, note);
    if (fault == FAULT_NONE && known && known->entry > out->entry)
        fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "entry %" PRIu64 " is missing", out->entry + 1);
    enum fault ended = reader_end(ledger, reader, statement, code, "read the audit log", fault == FAULT_NONE ? note : NULL);
    return fault != FAULT_NONE ? fault : ended;
}

const struct ledger_audit_ops sqlite_audit_ops = {.put = audit_put, .list = audit_list, .verify = audit_verify};
