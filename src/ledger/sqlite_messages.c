/* What leaves for connectors. Put in the transaction of the change that causes it, or by itself; marked by itself, since sending
 * changes nothing that was decided. */
#include <string.h>

#include "base/failpoint.h"
#include "base/must.h"
#include "ledger/sqlite.h"

static enum fault message_insert(struct connection *writer, const struct ledger_message *message, int64_t tenant, uint64_t sequence,
                                 int64_t now_us, struct fault_note *note)
{
    MUST(message->id.bytes <= LETTER_ID_BYTES_MAX && message->payload.bytes <= LETTER_PAYLOAD_BYTES_MAX);
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_message_put);
    sqlite3_bind_int64(statement, 1, tenant);
    sqlite3_bind_int64(statement, 2, (int64_t)sequence);
    statement_bind_text(statement, 3, message->connector);
    statement_bind_text(statement, 4, message->subject);
    statement_bind_text(statement, 5, message->recipient);
    statement_bind_text(statement, 6, message->id);
    sqlite3_bind_int64(statement, 7, now_us);
    sqlite3_bind_blob64(statement, 8, message->payload.data, message->payload.bytes, SQLITE_STATIC);
    return statement_run(writer, statement, "record what is to leave", note);
}

enum fault messages_insert(struct connection *writer, const struct ledger_message *messages, uint32_t count, int64_t tenant,
                           uint64_t sequence, int64_t now_us, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < count && fault == FAULT_NONE; i++)
        fault = message_insert(writer, &messages[i], tenant, sequence, now_us, note);
    return fault;
}

/* --- writing by itself ------------------------------------------------------------------------------------------------- */

static enum fault alarm_write(struct connection *writer, const struct ledger_alarm *alarm, struct fault_note *note)
{
    if (!alarm)
        return FAULT_NONE;
    sqlite3_stmt *statement = statement_take(writer, alarm->since_us ? STATEMENT_alarm_put : STATEMENT_alarm_drop);
    statement_bind_text(statement, 1, text_of(alarm->name));
    if (alarm->since_us) {
        sqlite3_bind_int64(statement, 2, alarm->since_us);
        statement_bind_text(statement, 3, text_of(alarm->what));
    }
    return statement_run(writer, statement, "record an alarm", note);
}

static enum fault messages_put(struct ledger *ledger, const struct ledger_message *messages, uint32_t count, int64_t now_us,
                               const struct ledger_alarm *alarm, struct fault_note *note)
{
    struct connection *writer = &ledger->writer;
    enum fault fault = ledger_write_begin(ledger, note);
    bool is_able = fault == FAULT_NONE;
    if (is_able)
        fault = statement_run(writer, statement_take(writer, STATEMENT_begin), "begin", note);
    if (fault == FAULT_NONE)
        fault = messages_insert(writer, messages, count, 0, atomic_load(&ledger->last_sequence), now_us, note);
    if (fault == FAULT_NONE)
        fault = alarm_write(writer, alarm, note);
    FAILPOINT(ledger_message_before);
    if (fault == FAULT_NONE)
        fault = statement_run(writer, statement_take(writer, STATEMENT_commit), "commit", note);
    FAILPOINT(ledger_message_after);
    return ledger_write_end(ledger, fault, is_able);
}

/* The statement with what is bound by the caller, alone in its transaction. */
static enum fault alone_run(struct ledger *ledger, sqlite3_stmt *statement, uint32_t *out_count, const char *what, struct fault_note *note)
{
    FAILPOINT(ledger_outbox_before);
    enum fault fault = statement_run(&ledger->writer, statement, what, note);
    if (out_count)
        *out_count += fault == FAULT_NONE ? (uint32_t)sqlite3_changes(ledger->writer.db) : 0;
    FAILPOINT(ledger_outbox_after);
    return fault;
}

static enum fault messages_close(struct ledger *ledger, uint64_t entry, uint32_t most, struct fault_note *note)
{
    enum fault fault = ledger_write_begin(ledger, note);
    bool is_able = fault == FAULT_NONE;
    if (is_able) {
        sqlite3_stmt *statement = statement_take(&ledger->writer, STATEMENT_message_close);
        sqlite3_bind_int64(statement, 1, (int64_t)entry);
        sqlite3_bind_int64(statement, 2, most);
        fault = alone_run(ledger, statement, NULL, "close a digest", note);
    }
    return ledger_write_end(ledger, fault, is_able);
}

static enum fault messages_mark(struct ledger *ledger, uint64_t entry, enum outbox_state state, uint32_t attempts, int64_t due_us,
                                int64_t now_us, const char *why, struct fault_note *note)
{
    MUST(state < OUTBOX_COUNT);
    enum fault fault = ledger_write_begin(ledger, note);
    bool is_able = fault == FAULT_NONE;
    if (is_able) {
        sqlite3_stmt *statement = statement_take(&ledger->writer, STATEMENT_message_mark);
        sqlite3_bind_int64(statement, 1, (int64_t)entry);
        sqlite3_bind_int(statement, 2, state);
        sqlite3_bind_int64(statement, 3, attempts);
        sqlite3_bind_int64(statement, 4, due_us);
        sqlite3_bind_int64(statement, 5, state == OUTBOX_ACKNOWLEDGED ? now_us : 0);
        statement_bind_text(statement, 6, text_of(why ? why : ""));
        fault = alone_run(ledger, statement, NULL, "mark what left", note);
    }
    return ledger_write_end(ledger, fault, is_able);
}

static enum fault messages_resend(struct ledger *ledger, bool release, uint64_t entry, struct text connector, int64_t now_us,
                                  uint32_t *out_count, struct fault_note *note)
{
    *out_count = 0;
    enum fault fault = ledger_write_begin(ledger, note);
    bool is_able = fault == FAULT_NONE;
    if (is_able) {
        sqlite3_stmt *statement = statement_take(&ledger->writer, release ? STATEMENT_outbox_resend : STATEMENT_message_resend);
        sqlite3_bind_int64(statement, 1, (int64_t)entry);
        statement_bind_text(statement, 2, connector);
        if (!release)
            sqlite3_bind_int64(statement, 3, now_us);
        fault = alone_run(ledger, statement, out_count, "send dead letters again", note);
    }
    return ledger_write_end(ledger, fault, is_able);
}

/* --- reading ----------------------------------------------------------------------------------------------------------- */

static void letter_of(struct ledger_letter *out, sqlite3_stmt *statement, bool is_release)
{
    unsigned state = (unsigned)sqlite3_column_int(statement, 5);
    *out = (struct ledger_letter){.is_release = is_release,
                                  .entry = (uint64_t)sqlite3_column_int64(statement, 0),
                                  .sequence = (uint64_t)sqlite3_column_int64(statement, 1),
                                  .made_us = sqlite3_column_int64(statement, 2),
                                  .due_us = sqlite3_column_int64(statement, 3),
                                  .attempts = (uint32_t)sqlite3_column_int64(statement, 4),
                                  .state = state < OUTBOX_COUNT ? (enum outbox_state)state : OUTBOX_FAILED,
                                  .since_us = sqlite3_column_int64(statement, 11)};
    text_of_column(out->connector, sizeof out->connector, statement, 6);
    text_of_column(out->subject, sizeof out->subject, statement, 7);
    text_of_column(out->recipient, sizeof out->recipient, statement, 8);
    text_of_column(out->id, sizeof out->id, statement, 9);
    text_of_column(out->why, sizeof out->why, statement, 10);
}

static enum fault messages_next(struct ledger *ledger, struct ledger_letter *out, struct text connector, uint64_t after, int64_t now_us,
                                int64_t quiet_us, struct fault_note *note)
{
    *out = (struct ledger_letter){0};
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_message_next);
    statement_bind_text(statement, 1, connector);
    sqlite3_bind_int64(statement, 2, (int64_t)after);
    sqlite3_bind_int64(statement, 3, now_us);
    sqlite3_bind_int64(statement, 4, quiet_us);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        letter_of(out, statement, false);
    enum fault fault = reader_end(ledger, reader, statement, code, "look for what waits", note);
    return fault == FAULT_NONE && code == SQLITE_DONE ? fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "nothing waits") : fault;
}

static struct text text_at(sqlite3_stmt *statement, int column)
{
    const char *data = sqlite3_column_blob(statement, column);
    return (struct text){.data = data ? data : "", .bytes = (uint32_t)sqlite3_column_bytes(statement, column)};
}

static enum fault messages_read(struct ledger *ledger, uint64_t entry, ledger_letter_part_fn *each, void *context, struct fault_note *note)
{
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_message_read);
    int code;
    sqlite3_bind_int64(statement, 1, (int64_t)entry);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW &&
           each(context, text_at(statement, 0), text_at(statement, 1), text_at(statement, 2), sqlite3_column_int64(statement, 3)))
        ;
    return reader_end(ledger, reader, statement, code, "read what leaves", note);
}

static enum fault page_read(struct ledger *ledger, const struct ledger_letter_query *query, bool releases, uint32_t *left, bool *out_enough,
                            ledger_letter_fn *each, void *context, struct fault_note *note)
{
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, releases ? STATEMENT_outbox_list : STATEMENT_message_list);
    int code;
    sqlite3_bind_int64(statement, 1, (int64_t)(releases ? query->after_release : query->after));
    sqlite3_bind_int64(statement, 2, *left);
    sqlite3_bind_int(statement, 3, query->state);
    statement_bind_text(statement, 4, query->connector);
    while (!*out_enough && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct ledger_letter letter;
        letter_of(&letter, statement, releases);
        *out_enough = !each(context, &letter);
        --*left;
    }
    return reader_end(ledger, reader, statement, *out_enough ? SQLITE_ROW : code, "list what leaves", note);
}

static enum fault messages_list(struct ledger *ledger, const struct ledger_letter_query *query, ledger_letter_fn *each, void *context,
                                struct fault_note *note)
{
    uint32_t left = query->rows_max;
    bool enough = false;
    enum fault fault = page_read(ledger, query, true, &left, &enough, each, context, note);
    return fault == FAULT_NONE && !enough && left > 0 ? page_read(ledger, query, false, &left, &enough, each, context, note) : fault;
}

static enum fault counts_read(struct ledger *ledger, enum statement which, ledger_letter_count_fn *each, void *context,
                              struct fault_note *note)
{
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, which);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct ledger_letter_count count = {.waiting = (uint64_t)sqlite3_column_int64(statement, 1),
                                            .dead = (uint64_t)sqlite3_column_int64(statement, 2),
                                            .oldest_us = sqlite3_column_int64(statement, 3)};
        text_of_column(count.connector, sizeof count.connector, statement, 0);
        each(context, &count);
    }
    return reader_end(ledger, reader, statement, code, "count what waits", note);
}

static enum fault messages_counts(struct ledger *ledger, ledger_letter_count_fn *each, void *context, struct fault_note *note)
{
    enum fault fault = counts_read(ledger, STATEMENT_outbox_counts, each, context, note);
    return fault == FAULT_NONE ? counts_read(ledger, STATEMENT_message_counts, each, context, note) : fault;
}

static enum fault messages_alarms(struct ledger *ledger, ledger_alarm_fn *each, void *context, struct fault_note *note)
{
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_alarm_list);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct ledger_alarm alarm = {.since_us = sqlite3_column_int64(statement, 1)};
        text_of_column(alarm.name, sizeof alarm.name, statement, 0);
        text_of_column(alarm.what, sizeof alarm.what, statement, 2);
        each(context, &alarm);
    }
    return reader_end(ledger, reader, statement, code, "read the alarms", note);
}

const struct ledger_message_ops sqlite_message_ops = {
    .put = messages_put,
    .next = messages_next,
    .close = messages_close,
    .read = messages_read,
    .mark = messages_mark,
    .list = messages_list,
    .resend = messages_resend,
    .counts = messages_counts,
    .alarms = messages_alarms,
};
