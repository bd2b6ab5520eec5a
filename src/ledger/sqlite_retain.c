/* Retention: whole segments go, oldest first, one transaction each. The index is told before the files go; what a stop
 * between the two leaves behind, the next start removes. Lines of the index stay: an id that was used stays used. */
#include "base/failpoint.h"
#include "base/log.h"
#include "base/must.h"
#include "ledger/sqlite.h"

struct span { /* one full segment */
    uint32_t segment;
    uint64_t last_sequence;
    int64_t newest_us;
};

/* The segment that begins at the sequence; FAULT_not_found: it is the one that is written, or none. */
static enum fault span_read(struct span *out, struct connection *writer, uint64_t from, struct fault_note *note)
{
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_segment_lines);
    int code;
    *out = (struct span){.newest_us = INT64_MIN};
    sqlite3_bind_int64(statement, 1, (int64_t)from);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        uint32_t segment = (uint32_t)sqlite3_column_int64(statement, 2);
        int64_t now_us = sqlite3_column_int64(statement, 1);
        if (out->segment && segment != out->segment)
            break;
        out->segment = segment;
        out->last_sequence = (uint64_t)sqlite3_column_int64(statement, 0);
        out->newest_us = now_us > out->newest_us ? now_us : out->newest_us;
    }
    sqlite3_reset(statement);
    return code == SQLITE_ROW    ? FAULT_NONE
           : code == SQLITE_DONE ? FAULT_not_found
                                 : connection_fault(writer, code, "look for old segments", note);
}

static enum fault kept_write(struct connection *writer, uint64_t kept_from, struct fault_note *note)
{
    enum fault fault = statement_run(writer, statement_take(writer, STATEMENT_begin), "begin", note);
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_kept_put);
    sqlite3_bind_int64(statement, 1, (int64_t)kept_from);
    if (fault == FAULT_NONE)
        fault = statement_run(writer, statement, "drop a segment", note);
    statement = statement_take(writer, STATEMENT_stopped_drop);
    sqlite3_bind_int64(statement, 1, (int64_t)kept_from);
    if (fault == FAULT_NONE)
        fault = statement_run(writer, statement, "drop rows of a segment", note);
    statement = statement_take(writer, STATEMENT_message_drop);
    sqlite3_bind_int64(statement, 1, (int64_t)kept_from);
    if (fault == FAULT_NONE)
        fault = statement_run(writer, statement, "drop what was delivered", note);
    FAILPOINT(ledger_retain_before_commit);
    if (fault == FAULT_NONE)
        fault = statement_run(writer, statement_take(writer, STATEMENT_commit), "commit", note);
    FAILPOINT(ledger_retain_after_commit);
    return fault;
}

static void segment_drop(const char *folder, uint32_t segment)
{
    segment_remove(folder, segment);
    FAILPOINT(ledger_retain_between_files);
    summary_remove(folder, segment);
}

/* Whether something of these batches may leave yet. */
static enum fault span_holds(bool *out, struct connection *writer, uint64_t from, const struct span *span,
                             const struct ledger_retention *retention, struct fault_note *note)
{
    int64_t found = 0;
    enum fault fault = FAULT_not_found;
    for (uint32_t i = 0; i < retention->sender_count && fault == FAULT_not_found; i++) {
        int64_t tenant;
        fault = tenant_find(writer, &tenant, text_of(retention->senders[i]), note);
        if (fault != FAULT_NONE)
            continue;
        sqlite3_stmt *statement = statement_take(writer, STATEMENT_retain_waits);
        sqlite3_bind_int64(statement, 1, (int64_t)from);
        sqlite3_bind_int64(statement, 2, (int64_t)span->last_sequence);
        sqlite3_bind_int64(statement, 3, tenant);
        fault = statement_integer(writer, statement, &found, "look for what is to leave", note);
    }
    if (fault == FAULT_not_found) {
        sqlite3_stmt *statement = statement_take(writer, STATEMENT_retain_unsettled);
        sqlite3_bind_int64(statement, 1, (int64_t)from);
        sqlite3_bind_int64(statement, 2, (int64_t)span->last_sequence);
        sqlite3_bind_int64(statement, 3, retention->before_us > 0 ? retention->before_us : 0);
        sqlite3_bind_int64(statement, 4, retention->unsettled_us);
        fault = statement_integer(writer, statement, &found, "look for what is not settled", note);
    }
    *out = fault == FAULT_NONE;
    return fault == FAULT_not_found ? FAULT_NONE : fault;
}

static enum fault retain_one(struct ledger *ledger, const struct ledger_retention *retention, enum ledger_retained *out,
                             struct fault_note *note)
{
    bool holds;
    struct span span;
    uint64_t kept_from = atomic_load(&ledger->kept_from);
    enum fault fault = span_read(&span, &ledger->writer, kept_from, note);
    if (fault != FAULT_NONE || span.newest_us >= retention->before_us || span.last_sequence > retention->behind)
        return fault == FAULT_not_found ? FAULT_NONE : fault;
    fault = span_holds(&holds, &ledger->writer, kept_from, &span, retention, note);
    if (fault != FAULT_NONE || holds)
        return *out = holds ? RETAINED_HELD : RETAINED_NOTHING_OLD, fault;
    ledger->segments.saw_full = ledger->writer.saw_full = false;
    fault = kept_write(&ledger->writer, span.last_sequence + 1, note);
    if (fault != FAULT_NONE)
        return transaction_undo(ledger, true), ledger_recover(ledger), fault;
    atomic_store(&ledger->kept_from, span.last_sequence + 1);
    segment_drop(ledger->folder, span.segment);
    log_line(LOG_INFO, "ledger", "segment %u is dropped: its batches, up to %llu, are older than retention allows", span.segment,
             (unsigned long long)span.last_sequence);
    *out = RETAINED_DROPPED;
    return FAULT_NONE;
}

enum fault sqlite_retain(struct ledger *ledger, const struct ledger_retention *retention, enum ledger_retained *out,
                         struct fault_note *note)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    *out = RETAINED_NOTHING_OLD;
    pthread_mutex_lock(&ledger->write_lock);
    enum fault fault = retain_one(ledger, retention, out, note);
    pthread_mutex_unlock(&ledger->write_lock);
    return fault;
}

enum fault kept_open(struct ledger *ledger, struct fault_note *note)
{
    int64_t kept_from = 1;
    struct index_line first;
    struct connection *writer = &ledger->writer;
    enum fault fault = statement_integer(writer, statement_take(writer, STATEMENT_kept_get), &kept_from, "read what is kept", note);
    if (fault != FAULT_NONE && fault != FAULT_not_found)
        return fault;
    atomic_store(&ledger->kept_from, (uint64_t)kept_from);
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_first);
    sqlite3_bind_int64(statement, 1, kept_from);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        index_line_of(&first, statement);
    sqlite3_reset(statement);
    for (uint32_t segment = first.place.segment; code == SQLITE_ROW && kept_from > 1 && segment-- > 1;)
        if (!segment_remove(ledger->folder, segment))
            break;
        else
            summary_remove(ledger->folder, segment);
    return code == SQLITE_ROW || code == SQLITE_DONE ? FAULT_NONE : connection_fault(writer, code, "read what is kept", note);
}

bool line_is_kept(const struct ledger *ledger, uint64_t sequence)
{
    return sequence >= atomic_load(&ledger->kept_from);
}
