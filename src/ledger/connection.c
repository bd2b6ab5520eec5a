/* One SQLite connection with its statements. The writer's makes and migrates the schema; the write-ahead log is moved
 * into the database by the writer alone, when it chooses to. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "ledger/sqlite.h"

enum { APPLICATION_ID = 0x534c5543 /* "SLUC" */, BUSY_MS = 2000 };

static const struct {
    int version;
    const char *sql;
} migrations[] = {
#define MIGRATION(version, ...) {version, __VA_ARGS__},
#include "ledger/schema.tbl"
#undef MIGRATION
};
enum { MIGRATION_COUNT = sizeof migrations / sizeof *migrations };

static const struct {
    int who;
    const char *sql;
} statement_texts[STATEMENT_COUNT] = {
#define STATEMENT(name, who, sql) [STATEMENT_##name] = {who, sql},
    LEDGER_STATEMENTS(STATEMENT)
#undef STATEMENT
};

enum fault connection_fault(struct connection *connection, int code, const char *what, struct fault_note *note)
{
    connection->saw_full |= (code & 0xff) == SQLITE_FULL;
    if ((code & 0xff) == SQLITE_FULL)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "disk full: cannot %s", what);
    if ((code & 0xff) == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to %s", what);
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "cannot %s: %.90s (%d)", what,
                     connection->db ? sqlite3_errmsg(connection->db) : sqlite3_errstr(code), code);
}

static enum fault connection_script(struct connection *connection, const char *sql, const char *what, struct fault_note *note)
{
    int code = sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? FAULT_NONE : connection_fault(connection, code, what, note);
}

static enum fault pragma_read(struct connection *connection, const char *sql, int *out, struct fault_note *note)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        *out = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? FAULT_NONE : connection_fault(connection, code, "read the index", note);
}

static enum fault connection_is_wal(struct connection *connection, struct fault_note *note)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(connection->db, "PRAGMA journal_mode", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    const char *mode = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    bool is_wal = mode && strcmp(mode, "wal") == 0;
    sqlite3_finalize(statement);
    if (code != SQLITE_ROW)
        return connection_fault(connection, code, "read the index", note);
    return is_wal ? FAULT_NONE
                  : fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the file system of the ledger cannot hold a write-ahead log");
}

static enum fault migrate_to(struct connection *connection, int version, const char *sql, struct fault_note *note)
{
    char last[64];
    snprintf(last, sizeof last, "PRAGMA user_version = %d; COMMIT", version);
    log_line(LOG_INFO, "ledger", "index schema %d", version);
    enum fault fault = connection_script(connection, "BEGIN IMMEDIATE", "migrate the index", note);
    if (fault == FAULT_NONE)
        fault = connection_script(connection, sql, "migrate the index", note);
    if (fault == FAULT_NONE)
        fault = connection_script(connection, last, "migrate the index", note);
    if (fault != FAULT_NONE && !sqlite3_get_autocommit(connection->db))
        sqlite3_exec(connection->db, "ROLLBACK", NULL, NULL, NULL);
    return fault;
}

static enum fault connection_migrate(struct connection *connection, struct fault_note *note)
{
    int version = 0, application = 0, known = migrations[MIGRATION_COUNT - 1].version;
    char mark[64];
    enum fault fault = pragma_read(connection, "PRAGMA user_version", &version, note);
    if (fault == FAULT_NONE)
        fault = pragma_read(connection, "PRAGMA application_id", &application, note);
    if (fault == FAULT_NONE && version != 0 && application != APPLICATION_ID)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the file index.sqlite belongs to another program");
    if (fault == FAULT_NONE && version > known)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the ledger has schema %d, this program knows up to %d", version,
                         known);
    if (fault == FAULT_NONE && version == 0) {
        snprintf(mark, sizeof mark, "PRAGMA application_id = %d", APPLICATION_ID);
        fault = connection_script(connection, mark, "mark the index", note);
    }
    for (unsigned i = 0; i < MIGRATION_COUNT && fault == FAULT_NONE; i++)
        if (migrations[i].version > version)
            fault = migrate_to(connection, migrations[i].version, migrations[i].sql, note);
    return fault;
}

static enum fault connection_prepare(struct connection *connection, int who, struct fault_note *note)
{
    for (unsigned i = 0; i < STATEMENT_COUNT; i++) {
        if (!(statement_texts[i].who & who))
            continue;
        int code =
            sqlite3_prepare_v3(connection->db, statement_texts[i].sql, -1, SQLITE_PREPARE_PERSISTENT, &connection->statements[i], NULL);
        if (code != SQLITE_OK)
            return connection_fault(connection, code, "prepare the index", note);
    }
    return FAULT_NONE;
}

static const char writer_settings[] =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
    "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF;"
    "PRAGMA journal_size_limit = 67108864";
static const char reader_settings[] = "PRAGMA query_only = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
                                      "PRAGMA cache_size = -8192; PRAGMA trusted_schema = OFF";

enum fault connection_open(struct connection *out, const char *folder, bool writes, struct fault_note *note)
{
    char path[PATH_MAX + 32];
    *out = (struct connection){0};
    snprintf(path, sizeof path, "%s/index.sqlite", folder);
    int flags = (writes ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(path, &out->db, flags, NULL);
    if (code != SQLITE_OK)
        return connection_fault(out, code, "open the index", note);
    sqlite3_extended_result_codes(out->db, 1);
    sqlite3_busy_timeout(out->db, BUSY_MS);
    enum fault fault = connection_script(out, writes ? writer_settings : reader_settings, "set up the index", note);
    if (fault == FAULT_NONE && writes)
        fault = connection_is_wal(out, note);
    if (fault == FAULT_NONE && writes)
        fault = connection_migrate(out, note);
    return fault == FAULT_NONE ? connection_prepare(out, writes ? WRITES : READS, note) : fault;
}

/* --- aside of a server ------------------------------------------------------------------------------------------------- */

static bool wal_is_there(const char *folder)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/index.sqlite-wal", folder);
    return file_exists(path);
}

/* As a URI, since only that can say that nobody changes the file. */
static void index_uri(char *out, size_t out_bytes, const char *folder, bool is_still)
{
    size_t at = (size_t)snprintf(out, out_bytes, "file:");
    for (const char *c = folder; *c && at + 4 < out_bytes; c++)
        at += (size_t)snprintf(out + at, out_bytes - at, *c == '?' || *c == '#' || *c == '%' ? "%%%02X" : "%c", (unsigned char)*c);
    snprintf(out + at, out_bytes - at, "/index.sqlite?mode=ro%s", is_still ? "&immutable=1" : "");
}

static enum fault connection_is_current(struct connection *connection, struct fault_note *note)
{
    int version = 0, application = 0, known = migrations[MIGRATION_COUNT - 1].version;
    enum fault fault = pragma_read(connection, "PRAGMA user_version", &version, note);
    if (fault == FAULT_NONE)
        fault = pragma_read(connection, "PRAGMA application_id", &application, note);
    if (fault == FAULT_NONE && version != 0 && application != APPLICATION_ID)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the file index.sqlite belongs to another program");
    if (fault == FAULT_NONE && version != known)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the ledger has schema %d, this program reads %d: %s", version, known,
                         version < known ? "a start of its server brings it there" : "a later program is needed");
    return fault;
}

enum fault connection_open_aside(struct connection *out, const char *folder, struct fault_note *note)
{
    char uri[3 * PATH_MAX + 64];
    *out = (struct connection){.is_still = !wal_is_there(folder)};
    index_uri(uri, sizeof uri, folder, out->is_still);
    int code = sqlite3_open_v2(uri, &out->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
    if (code != SQLITE_OK)
        return connection_fault(out, code, "open the index", note);
    sqlite3_extended_result_codes(out->db, 1);
    sqlite3_busy_timeout(out->db, BUSY_MS);
    enum fault fault = connection_script(out, reader_settings, "set up the index", note);
    if (fault == FAULT_NONE)
        fault = connection_is_current(out, note);
    return fault == FAULT_NONE ? connection_prepare(out, READS, note) : fault;
}

bool connection_is_stale(const struct connection *connection, const char *folder)
{
    return connection->is_still && wal_is_there(folder);
}

void connection_close(struct connection *connection)
{
    for (unsigned i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(connection->statements[i]);
    if (connection->db)
        MUST(sqlite3_close(connection->db) == SQLITE_OK);
    *connection = (struct connection){0};
}

sqlite3_stmt *statement_take(struct connection *connection, enum statement statement)
{
    sqlite3_stmt *taken = connection->statements[statement];
    MUST(taken);
    sqlite3_reset(taken);
    sqlite3_clear_bindings(taken);
    return taken;
}

enum fault statement_run(struct connection *connection, sqlite3_stmt *statement, const char *what, struct fault_note *note)
{
    int code = sqlite3_step(statement);
    enum fault fault = code == SQLITE_DONE || code == SQLITE_ROW ? FAULT_NONE : connection_fault(connection, code, what, note);
    sqlite3_reset(statement);
    return fault;
}

enum fault statement_integer(struct connection *connection, sqlite3_stmt *statement, int64_t *out, const char *what,
                             struct fault_note *note)
{
    int code = sqlite3_step(statement);
    enum fault fault = code == SQLITE_ROW    ? FAULT_NONE
                       : code == SQLITE_DONE ? FAULT_not_found
                                             : connection_fault(connection, code, what, note);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return fault;
}

void statement_bind_text(sqlite3_stmt *statement, int index, struct text text)
{
    sqlite3_bind_text(statement, index, text.bytes ? text.data : "", (int)text.bytes, SQLITE_STATIC);
}

void statement_bind_digest(sqlite3_stmt *statement, int index, const struct digest *digest)
{
    sqlite3_bind_blob(statement, index, digest, sizeof *digest, SQLITE_STATIC);
}

enum fault tenant_find(struct connection *connection, int64_t *out, struct text tenant, struct fault_note *note)
{
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_tenant_get);
    statement_bind_text(statement, 1, tenant);
    return statement_integer(connection, statement, out, "look up a tenant", note);
}

struct digest digest_of_column(sqlite3_stmt *statement, int column)
{
    struct digest digest = {0};
    const void *bytes = sqlite3_column_blob(statement, column);
    if (bytes && sqlite3_column_bytes(statement, column) == (int)sizeof digest)
        memcpy(&digest, bytes, sizeof digest);
    return digest;
}

void index_line_of(struct index_line *out, sqlite3_stmt *statement)
{
    *out = (struct index_line){
        .sequence = (uint64_t)sqlite3_column_int64(statement, 0),
        .rows = (uint32_t)sqlite3_column_int64(statement, 1),
        .key_seed = (uint64_t)sqlite3_column_int64(statement, 2),
        .scene_list = sqlite3_column_int64(statement, 3),
        .scene_mask = (uint32_t)sqlite3_column_int64(statement, 4),
        .place = {.segment = (uint32_t)sqlite3_column_int64(statement, 5),
                  .start = (uint64_t)sqlite3_column_int64(statement, 6),
                  .bytes = (uint64_t)sqlite3_column_int64(statement, 7)},
        .filter_blocks = (uint32_t)sqlite3_column_int64(statement, 8),
        .tenant = sqlite3_column_int64(statement, 9),
    };
}

void text_of_column(char *out, size_t out_bytes, sqlite3_stmt *statement, int column)
{
    const char *data = (const char *)sqlite3_column_text(statement, column);
    text_copy(out, out_bytes, (struct text){.data = data ? data : "", .bytes = (uint32_t)sqlite3_column_bytes(statement, column)});
}

void batch_line_of(struct ledger_batch *out, sqlite3_stmt *statement)
{
    *out = (struct ledger_batch){
        .sequence = (uint64_t)sqlite3_column_int64(statement, 0),
        .now_us = sqlite3_column_int64(statement, 2),
        .row_count = (uint32_t)sqlite3_column_int64(statement, 3),
        .digest = digest_of_column(statement, 8),
        .base_digest = digest_of_column(statement, 9),
        .config_digest = digest_of_column(statement, 10),
    };
    char op[16];
    text_of_column(op, sizeof op, statement, 1);
    out->op = op_find(text_of(op));
    for (int i = 0; i < VERDICT_COUNT; i++)
        out->verdict_counts[i] = (uint32_t)sqlite3_column_int64(statement, 4 + i);
    text_of_column(out->id, sizeof out->id, statement, 11);
    text_of_column(out->name, sizeof out->name, statement, 12);
    text_of_column(out->tenant, sizeof out->tenant, statement, 13);
}
