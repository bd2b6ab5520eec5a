/* Commit: frames into segments, sync, one transaction. Until COMMIT has returned, nothing of a group can be found; when
 * anything fails before, the group is as if it had never been. */
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/must.h"
#include "ledger/frame.h"
#include "ledger/sqlite.h"

enum { IDLE_PAGES = 256, WAL_PAGES_MAX = 2048 };

static void checkpoint(struct ledger *ledger)
{
    int in_log = 0, moved = 0;
    FAILPOINT(ledger_checkpoint_before);
    int code = sqlite3_wal_checkpoint_v2(ledger->writer.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
    FAILPOINT(ledger_checkpoint_after);
    if (code != SQLITE_OK)
        log_line(LOG_WARN, "ledger", "the log could not be moved into the index: %s", sqlite3_errmsg(ledger->writer.db));
    else
        ledger->wal_pages = in_log - moved;
}

void sqlite_idle(struct ledger *ledger)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    pthread_mutex_lock(&ledger->write_lock);
    if (ledger->wal_pages >= IDLE_PAGES)
        checkpoint(ledger);
    pthread_mutex_unlock(&ledger->write_lock);
}

static enum fault tenant_ensure(struct connection *writer, int64_t *out, struct text tenant, struct fault_note *note)
{
    enum fault fault = tenant_find(writer, out, tenant, note);
    if (fault != FAULT_not_found)
        return fault;
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_tenant_put);
    statement_bind_text(statement, 1, tenant);
    return statement_integer(writer, statement, out, "record a tenant", note);
}

static struct digest scenes_digest(const struct ledger_entry *entry)
{
    struct digest digest = {0};
    for (uint32_t i = 0; i < entry->scene_count; i++) {
        digest.low = hash64(digest.low + i, entry->scenes[i], strlen(entry->scenes[i]));
        digest.high = hash64_pair(digest.high, digest.low, i);
    }
    return digest;
}

/* The number of the entry's list of scene names; 0: it has none. */
static enum fault scenes_ensure(struct connection *writer, int64_t *out, const struct ledger_entry *entry, struct fault_note *note)
{
    *out = 0;
    if (!entry->scenes || entry->scene_count == 0)
        return FAULT_NONE;
    struct digest digest = scenes_digest(entry);
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_scene_list_get);
    statement_bind_digest(statement, 1, &digest);
    enum fault fault = statement_integer(writer, statement, out, "look up scenes", note);
    if (fault != FAULT_not_found)
        return fault;
    statement = statement_take(writer, STATEMENT_scene_list_put);
    statement_bind_digest(statement, 1, &digest);
    fault = statement_integer(writer, statement, out, "record scenes", note);
    for (uint32_t i = 0; i < entry->scene_count && fault == FAULT_NONE; i++) {
        statement = statement_take(writer, STATEMENT_scene_put);
        sqlite3_bind_int64(statement, 1, *out);
        sqlite3_bind_int64(statement, 2, i);
        statement_bind_text(statement, 3, text_of(entry->scenes[i]));
        fault = statement_run(writer, statement, "record scenes", note);
    }
    return fault;
}

static enum fault batch_insert(struct connection *writer, const struct ledger_entry *entry, int64_t tenant, struct fault_note *note)
{
    const struct batch *batch = entry->batch;
    const struct frame *frame = entry->frame;
    int64_t scene_list;
    enum fault fault = scenes_ensure(writer, &scene_list, entry, note);
    if (fault != FAULT_NONE)
        return fault;
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_batch_put);
    sqlite3_bind_int64(statement, 1, (int64_t)batch->sequence);
    sqlite3_bind_int64(statement, 2, tenant);
    statement_bind_text(statement, 3, batch->id);
    if (!text_equal(batch->name, batch->id))
        statement_bind_text(statement, 4, batch->name);
    statement_bind_text(statement, 5, text_of(op_names[batch->op]));
    sqlite3_bind_int64(statement, 6, batch->now_us);
    sqlite3_bind_int64(statement, 7, batch->row_count);
    for (int i = 0; i < VERDICT_COUNT; i++)
        sqlite3_bind_int64(statement, 8 + i, frame->verdict_counts[i]);
    statement_bind_digest(statement, 12, &batch->digest);
    statement_bind_digest(statement, 13, &entry->base_digest);
    statement_bind_digest(statement, 14, &entry->config_digest);
    sqlite3_bind_int64(statement, 15, scene_list);
    sqlite3_bind_int64(statement, 16, frame->scene_mask);
    sqlite3_bind_int64(statement, 17, frame->segment);
    sqlite3_bind_int64(statement, 18, (int64_t)frame->start);
    sqlite3_bind_int64(statement, 19, (int64_t)frame->bytes);
    sqlite3_bind_int64(statement, 20, frame->filter_blocks);
    sqlite3_bind_int64(statement, 21, (int64_t)batch->key_seed);
    return statement_run(writer, statement, "record a batch", note);
}

static void bind_transfer(sqlite3_stmt *statement, int index, const struct batch *batch, uint32_t row)
{
    const struct column *column = &batch->columns[COLUMN_transfer_id];
    if (column_is_valid(column, row))
        statement_bind_text(statement, index, column_text(column, row));
}

static enum fault stopped_insert(struct connection *writer, const struct batch *batch, struct fault_note *note)
{
    const struct results *results = &batch->results;
    enum fault fault = FAULT_NONE;
    for (uint32_t row = 0; results->verdict && row < batch->row_count && fault == FAULT_NONE; row++) {
        if (results->verdict[row] == VERDICT_PASS)
            continue;
        sqlite3_stmt *statement = statement_take(writer, STATEMENT_stopped_put);
        sqlite3_bind_int64(statement, 1, (int64_t)batch->sequence);
        sqlite3_bind_int64(statement, 2, row);
        bind_transfer(statement, 3, batch, row);
        sqlite3_bind_int(statement, 4, results->verdict[row]);
        sqlite3_bind_int(statement, 5, results->level[row]);
        sqlite3_bind_int(statement, 6, results->scene[row]);
        sqlite3_bind_int(statement, 7, results->risk_type[row]);
        fault = statement_run(writer, statement, "record a row that did not pass", note);
    }
    return fault;
}

static enum fault labels_insert(struct connection *writer, const struct batch *batch, int64_t tenant, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    if (batch->op != OP_label || !batch->facts.label)
        return FAULT_NONE;
    for (uint32_t row = 0; row < batch->row_count && fault == FAULT_NONE; row++) {
        const struct column *column = &batch->columns[COLUMN_transfer_id];
        if ((batch->facts.invalid && batch->facts.invalid[row]) || !column_is_valid(column, row))
            continue;
        sqlite3_stmt *statement = statement_take(writer, STATEMENT_label_put);
        sqlite3_bind_int64(statement, 1, tenant);
        statement_bind_text(statement, 2, column_text(column, row));
        sqlite3_bind_int(statement, 3, batch->facts.label[row] & 3); /* above: what was known before */
        sqlite3_bind_int64(statement, 4, (int64_t)batch->sequence);
        sqlite3_bind_int64(statement, 5, row);
        fault = statement_run(writer, statement, "record a label", note);
    }
    return fault;
}

static enum fault base_change_insert(struct connection *writer, const struct ledger_entry *entry, struct fault_note *note)
{
    const struct ledger_base_change *change = entry->base_change;
    if (!change)
        return FAULT_NONE;
    sqlite3_stmt *statement = statement_take(writer, STATEMENT_base_change_put);
    sqlite3_bind_int64(statement, 1, (int64_t)entry->batch->sequence);
    statement_bind_text(statement, 2, text_of(op_names[entry->batch->op]));
    statement_bind_digest(statement, 3, &change->digest);
    statement_bind_digest(statement, 4, &change->before);
    statement_bind_text(statement, 5, text_of(change->who));
    sqlite3_bind_int64(statement, 6, entry->batch->now_us);
    statement_bind_text(statement, 7, text_of(change->name));
    statement_bind_text(statement, 8, text_of(change->version));
    sqlite3_bind_int64(statement, 9, (int64_t)change->bytes);
    sqlite3_bind_int64(statement, 10, change->golden_rows);
    statement_bind_text(statement, 11, text_of(change->signer));
    if (change->is_signed)
        sqlite3_bind_blob(statement, 12, change->signature, sizeof change->signature, SQLITE_STATIC);
    return statement_run(writer, statement, "record what became of a scene base", note);
}

static enum fault entry_insert(struct connection *writer, const struct ledger_entry *entry, struct fault_note *note)
{
    int64_t tenant;
    enum fault fault = tenant_ensure(writer, &tenant, entry->batch->tenant, note);
    entry->frame->tenant = tenant;
    if (fault == FAULT_NONE)
        fault = batch_insert(writer, entry, tenant, note);
    if (fault == FAULT_NONE)
        fault = stopped_insert(writer, entry->batch, note);
    if (fault == FAULT_NONE)
        fault = labels_insert(writer, entry->batch, tenant, note);
    if (fault == FAULT_NONE)
        fault = lists_insert(writer, entry->batch, tenant, note);
    if (fault == FAULT_NONE)
        fault = cases_insert(writer, entry, tenant, note);
    if (fault == FAULT_NONE)
        fault = base_change_insert(writer, entry, note);
    if (fault == FAULT_NONE)
        fault = life_insert(writer, entry, tenant, note);
    if (fault == FAULT_NONE)
        fault = messages_insert(writer, entry->messages, entry->message_count, tenant, entry->batch->sequence, entry->batch->now_us, note);
    if (fault == FAULT_NONE)
        fault = audit_insert(writer, entry->audit, note);
    return fault;
}

/* A COMMIT that failed may have left its record whole in the log, where a crash would find it. Another transaction is
 * written over it. */
static enum fault settle(struct ledger *ledger, struct fault_note *note)
{
    struct connection *writer = &ledger->writer;
    enum fault fault = statement_run(writer, statement_take(writer, STATEMENT_settle), "settle a failed commit", note);
    ledger->is_unsettled = fault != FAULT_NONE;
    return fault;
}

void transaction_undo(struct ledger *ledger, bool was_commit)
{
    struct connection *writer = &ledger->writer;
    ledger->is_unsettled |= was_commit;
    if (!sqlite3_get_autocommit(writer->db))
        statement_run(writer, statement_take(writer, STATEMENT_rollback), "roll back", NULL);
}

static enum fault transaction_run(struct ledger *ledger, const struct ledger_entry *entries, uint32_t count, struct fault_note *note)
{
    struct connection *writer = &ledger->writer;
    FAILPOINT(ledger_begin_before);
    enum fault fault = statement_run(writer, statement_take(writer, STATEMENT_begin), "begin", note);
    for (uint32_t i = 0; i < count && fault == FAULT_NONE; i++) {
        fault = entry_insert(writer, &entries[i], note);
        FAILPOINT(ledger_inside);
    }
    FAILPOINT(ledger_commit_before);
    bool committing = fault == FAULT_NONE;
    if (committing)
        fault = statement_run(writer, statement_take(writer, STATEMENT_commit), "commit", note);
    FAILPOINT(ledger_commit_after);
    if (fault != FAULT_NONE)
        transaction_undo(ledger, committing);
    return fault;
}

static enum fault frames_append(struct ledger *ledger, const struct ledger_entry *entries, uint32_t count, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < count && fault == FAULT_NONE; i++) {
        struct segment_place place = {0};
        struct frame *frame = entries[i].frame;
        FAILPOINT(ledger_append_before);
        fault = segment_append(&ledger->segments, &place, frame->data, frame->bytes, note);
        FAILPOINT(ledger_append_after);
        frame->segment = place.segment, frame->start = place.start;
    }
    FAILPOINT(ledger_sync_before);
    if (fault == FAULT_NONE)
        fault = segment_sync(&ledger->segments, note);
    FAILPOINT(ledger_sync_after);
    return fault;
}

static void entries_check(const struct ledger *ledger, const struct ledger_entry *entries, uint32_t count)
{
    uint64_t before = atomic_load(&ledger->last_sequence);
    for (uint32_t i = 0; i < count; i++) {
        MUST(entries[i].batch->sequence > before && entries[i].frame->magic == (unsigned)FRAME_HELD_MAGIC);
        before = entries[i].batch->sequence;
    }
}

/* The reserve is given to the disk so that reading, closing and the checkpoint go on; until it is there again nothing commits. */
static void ledger_becomes_full(struct ledger *ledger)
{
    if (!ledger->is_full)
        log_line(LOG_ERROR, "ledger", "disk full: nothing is recorded until %llu bytes are free",
                 2 * (unsigned long long)ledger->reserve_bytes);
    ledger->is_full = true;
    reserve_free(ledger);
}

void ledger_recover(struct ledger *ledger)
{
    if (ledger->segments.saw_full || ledger->writer.saw_full)
        ledger_becomes_full(ledger);
    if (ledger->is_unsettled && settle(ledger, NULL) != FAULT_NONE)
        log_line(LOG_ERROR, "ledger", "a failed commit is not settled yet: %s", sqlite3_errmsg(ledger->writer.db));
}

enum fault ledger_is_able(struct ledger *ledger, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    if (ledger->is_full && (fault = reserve_fill(ledger, note)) == FAULT_NONE) {
        ledger->is_full = false;
        log_line(LOG_INFO, "ledger", "there is room again");
    }
    if (fault == FAULT_NONE && ledger->is_unsettled)
        fault = settle(ledger, note);
    return fault;
}

static enum fault group_commit(struct ledger *ledger, const struct ledger_entry *entries, uint32_t count, struct fault_note *note)
{
    uint32_t segment = ledger->segments.segment;
    uint64_t tail = ledger->segments.tail;
    ledger->segments.saw_full = ledger->writer.saw_full = false;
    enum fault fault = frames_append(ledger, entries, count, note);
    if (fault == FAULT_NONE)
        fault = transaction_run(ledger, entries, count, note);
    if (fault != FAULT_NONE) {
        segment_retreat(&ledger->segments, segment, tail);
        ledger_recover(ledger);
    }
    return fault;
}

enum fault ledger_write_begin(struct ledger *ledger, struct fault_note *note)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    pthread_mutex_lock(&ledger->write_lock);
    enum fault fault = ledger_is_able(ledger, note);
    ledger->segments.saw_full = ledger->writer.saw_full = false;
    return fault;
}

enum fault ledger_write_end(struct ledger *ledger, enum fault fault, bool is_able)
{
    if (fault != FAULT_NONE && is_able) {
        transaction_undo(ledger, true);
        ledger_recover(ledger);
    }
    pthread_mutex_unlock(&ledger->write_lock);
    return fault;
}

enum fault sqlite_commit(struct ledger *ledger, struct ledger_entry *entries, uint32_t entry_count, struct fault_note *note)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    pthread_mutex_lock(&ledger->write_lock);
    entries_check(ledger, entries, entry_count);
    enum fault fault = ledger_is_able(ledger, note);
    if (fault == FAULT_NONE && entry_count > 0)
        fault = group_commit(ledger, entries, entry_count, note);
    if (fault == FAULT_NONE && entry_count > 0) {
        atomic_store(&ledger->last_sequence, entries[entry_count - 1].batch->sequence);
        summaries_follow(ledger, entries, entry_count);
    }
    if (ledger->wal_pages >= WAL_PAGES_MAX)
        checkpoint(ledger);
    pthread_mutex_unlock(&ledger->write_lock);
    for (uint32_t i = 0; i < entry_count; i++)
        entries[i].fault = fault;
    return fault;
}

enum fault sqlite_document_put(struct ledger *ledger, const char *kind, struct digest digest, const char *name, const void *bytes,
                               size_t byte_count, struct fault_note *note)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    pthread_mutex_lock(&ledger->write_lock);
    enum fault fault = ledger_is_able(ledger, note);
    if (fault == FAULT_NONE) {
        sqlite3_stmt *statement = statement_take(&ledger->writer, STATEMENT_document_put);
        statement_bind_text(statement, 1, text_of(kind));
        statement_bind_digest(statement, 2, &digest);
        statement_bind_text(statement, 3, text_of(name));
        sqlite3_bind_blob64(statement, 4, byte_count ? bytes : "", byte_count, SQLITE_STATIC);
        ledger->segments.saw_full = ledger->writer.saw_full = false;
        FAILPOINT(ledger_document_before);
        fault = statement_run(&ledger->writer, statement, "keep a document", note);
        FAILPOINT(ledger_document_after);
        if (fault != FAULT_NONE) {
            transaction_undo(ledger, true);
            ledger_recover(ledger);
        }
    }
    pthread_mutex_unlock(&ledger->write_lock);
    return fault;
}
