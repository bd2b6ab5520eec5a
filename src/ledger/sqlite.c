/* The embedded ledger: segment files for frames, one SQLite database that says which of them are committed. Whoever
 * holds the folder's lock is its only writer. A half-open ledger closes like a whole one. */
#define _GNU_SOURCE /* flock, getrandom */
#include "ledger/sqlite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "ledger/frame.h"

#define SEGMENT_BYTES_DEFAULT (UINT64_C(32) << 20)
#define RESERVE_BYTES_DEFAULT (UINT64_C(16) << 20)
enum { READERS_DEFAULT = 4, READERS_LEAST = 2, READERS_MAX = 64 };

static enum fault folder_fault(struct fault_note *note, const char *verb, const char *folder)
{
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "cannot %s ledger folder %.80s: %s", verb, folder, strerror(errno));
}

static enum fault folder_make(const struct ledger *ledger, struct fault_note *note)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", ledger->folder);
    if (mkdir(path, 0700) == 0)
        return file_ops->sync_folder(dirname(path)) == 0 ? FAULT_NONE : folder_fault(note, "keep", ledger->folder);
    return errno == EEXIST ? FAULT_NONE : folder_fault(note, "create", ledger->folder);
}

static enum fault folder_lock(struct ledger *ledger, struct fault_note *note)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/lock", ledger->folder);
    ledger->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ledger->lock_fd < 0)
        return folder_fault(note, "lock", ledger->folder);
    if (flock(ledger->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return FAULT_NONE;
    if (errno == EWOULDBLOCK)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "ledger folder %.80s is in use by another server", ledger->folder);
    return folder_fault(note, "lock", ledger->folder);
}

static enum fault secret_find(struct ledger *ledger, struct connection *connection, struct fault_note *note)
{
    int64_t secret = 0;
    enum fault fault =
        statement_integer(connection, statement_take(connection, STATEMENT_secret_get), &secret, "read the ledger's secret", note);
    ledger->secret = (uint64_t)secret;
    return fault;
}

static enum fault secret_read(struct ledger *ledger, struct fault_note *note)
{
    struct connection *writer = &ledger->writer;
    enum fault fault = secret_find(ledger, writer, note);
    if (fault == FAULT_not_found) {
        int64_t secret;
        if (getrandom(&secret, sizeof secret, 0) != sizeof secret)
            return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the system gives no random numbers");
        sqlite3_stmt *statement = statement_take(writer, STATEMENT_secret_put);
        sqlite3_bind_int64(statement, 1, secret);
        fault = statement_run(writer, statement, "keep the ledger's secret", note);
        ledger->secret = (uint64_t)secret;
    }
    return fault;
}

/* The frame that the index names last must be there, or the segments are not those of this index. */
static enum fault last_frame_check(const struct ledger *ledger, const struct index_line *last, struct fault_note *note)
{
    struct segment_reader reader;
    struct frame_header header = {0};
    segment_reader_init(&reader);
    enum fault fault = segment_read(&reader, ledger->folder, last->place.segment, last->place.start, &header, sizeof header, note);
    segment_reader_fini(&reader);
    if (fault == FAULT_NONE && (header.magic != FRAME_MAGIC || header.sequence != last->sequence))
        fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "frame %llu is not where the index has it (segment %u, offset %llu)",
                          (unsigned long long)last->sequence, last->place.segment, (unsigned long long)last->place.start);
    return fault;
}

static enum fault last_read(struct index_line *out, struct ledger *ledger, struct connection *connection, struct fault_note *note)
{
    *out = (struct index_line){.place.segment = 1};
    sqlite3_stmt *statement = statement_take(connection, STATEMENT_last);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        index_line_of(out, statement);
    sqlite3_reset(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return connection_fault(connection, code, "read the end of the index", note);
    atomic_store(&ledger->last_sequence, out->sequence);
    return FAULT_NONE;
}

static enum fault segments_open(struct ledger *ledger, uint64_t segment_bytes_max, struct fault_note *note)
{
    struct index_line last;
    enum fault fault = last_read(&last, ledger, &ledger->writer, note);
    if (fault != FAULT_NONE)
        return fault;
    fault = segment_writer_open(&ledger->segments, ledger->folder, segment_bytes_max, last.place, note);
    return fault == FAULT_NONE && last.sequence ? last_frame_check(ledger, &last, note) : fault;
}

static enum fault readers_open(struct ledger *ledger, uint32_t wanted, struct fault_note *note)
{
    uint32_t count = wanted < READERS_LEAST ? READERS_LEAST : wanted > READERS_MAX ? READERS_MAX : wanted;
    enum fault fault = FAULT_NONE;
    ledger->readers = memory_take_zeroed(count, sizeof *ledger->readers);
    if (!ledger->readers)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the ledger's readers");
    for (; ledger->reader_count < count && fault == FAULT_NONE; ledger->reader_count++) {
        struct reader *reader = &ledger->readers[ledger->reader_count];
        segment_reader_init(&reader->segments);
        reader->scene_list = -1;
        fault = ledger->reads_only ? connection_open_aside(&reader->connection, ledger->folder, note)
                                   : connection_open(&reader->connection, ledger->folder, false, note);
        reader_give(ledger, reader);
    }
    return fault;
}

static void sqlite_close(struct ledger **ledger_p)
{
    struct ledger *ledger = *ledger_p;
    if (!ledger)
        return;
    MUST(ledger->magic == LEDGER_MAGIC);
    for (uint32_t i = 0; i < ledger->reader_count; i++) {
        segment_reader_fini(&ledger->readers[i].segments);
        connection_close(&ledger->readers[i].connection);
    }
    if (ledger->writer.db && sqlite3_wal_checkpoint_v2(ledger->writer.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        log_line(LOG_WARN, "ledger", "the log could not be moved into the index; the next start does it");
    connection_close(&ledger->writer);
    segment_writer_close(&ledger->segments);
    summary_fini(&ledger->summary);
    if (ledger->lock_fd >= 0)
        close(ledger->lock_fd);
    pthread_mutex_destroy(&ledger->write_lock);
    pthread_mutex_destroy(&ledger->reader_lock);
    pthread_cond_destroy(&ledger->reader_free);
    memory_give(ledger->readers);
    memory_give(ledger);
    *ledger_p = NULL;
}

static int wal_grew(void *context, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct ledger *)context)->wal_pages = pages;
    return SQLITE_OK;
}

static enum fault sqlite_open_parts(struct ledger *ledger, const struct ledger_options *options, struct fault_note *note)
{
    enum fault fault = folder_make(ledger, note);
    if (fault == FAULT_NONE)
        fault = folder_lock(ledger, note);
    if (fault == FAULT_NONE)
        fault = connection_open(&ledger->writer, ledger->folder, true, note);
    if (fault == FAULT_NONE)
        fault = secret_read(ledger, note);
    if (fault == FAULT_NONE)
        fault = kept_open(ledger, note);
    if (fault == FAULT_NONE)
        fault = segments_open(ledger, options->segment_bytes_max ? options->segment_bytes_max : SEGMENT_BYTES_DEFAULT, note);
    if (fault == FAULT_NONE)
        fault = readers_open(ledger, options->readers ? options->readers : READERS_DEFAULT, note);
    if (fault == FAULT_NONE)
        fault = summaries_open(ledger, note);
    if (fault == FAULT_NONE && file_ops->sync_folder(ledger->folder) != 0)
        fault = folder_fault(note, "keep", ledger->folder);
    return fault;
}

static enum fault aside_open_parts(struct ledger *ledger, const struct ledger_options *options, struct fault_note *note)
{
    char path[PATH_MAX + 32];
    struct index_line last;
    int64_t kept_from = 1;
    snprintf(path, sizeof path, "%s/index.sqlite", ledger->folder);
    if (!file_exists(path))
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "%.100s holds no ledger", ledger->folder);
    enum fault fault = readers_open(ledger, options->readers ? options->readers : READERS_DEFAULT, note);
    if (fault != FAULT_NONE)
        return fault;
    struct reader *reader = reader_take(ledger);
    struct connection *connection = &reader->connection;
    fault = secret_find(ledger, connection, note);
    if (fault == FAULT_not_found)
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "%.100s holds no ledger", ledger->folder);
    if (fault == FAULT_NONE)
        fault = statement_integer(connection, statement_take(connection, STATEMENT_kept_get), &kept_from, "read what is kept", note);
    if (fault == FAULT_NONE || fault == FAULT_not_found)
        fault = last_read(&last, ledger, connection, note);
    atomic_store(&ledger->kept_from, (uint64_t)kept_from);
    reader_give(ledger, reader);
    return fault;
}

static enum fault sqlite_open(struct ledger **out, const struct ledger_options *options, struct fault_note *note)
{
    *out = NULL;
    if (strlen(options->folder) >= PATH_MAX - 64)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "the path of the ledger folder is too long");
    struct ledger *ledger = memory_take_zeroed(1, sizeof *ledger);
    if (!ledger)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the ledger");
    ledger->magic = LEDGER_MAGIC;
    ledger->lock_fd = -1;
    ledger->segments.fd = -1;
    ledger->reserve_bytes = options->reserve_bytes ? options->reserve_bytes : RESERVE_BYTES_DEFAULT;
    snprintf(ledger->folder, sizeof ledger->folder, "%s", options->folder);
    pthread_mutex_init(&ledger->write_lock, NULL);
    pthread_mutex_init(&ledger->reader_lock, NULL);
    pthread_cond_init(&ledger->reader_free, NULL);
    ledger->reads_only = options->reads_only;
    enum fault fault = options->reads_only ? aside_open_parts(ledger, options, note) : sqlite_open_parts(ledger, options, note);
    if (fault != FAULT_NONE) {
        sqlite_close(&ledger);
        return fault;
    }
    if (options->reads_only)
        return *out = ledger, FAULT_NONE;
    sqlite3_wal_hook(ledger->writer.db, wal_grew, ledger);
    if (reserve_fill(ledger, NULL) != FAULT_NONE) {
        ledger->is_full = true; /* what is there can be read; commits are refused until there is room */
        log_line(LOG_ERROR, "ledger", "disk full: no room for the reserve of %llu bytes", (unsigned long long)ledger->reserve_bytes);
    }
    *out = ledger;
    return FAULT_NONE;
}

struct reader *reader_take(struct ledger *ledger)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    pthread_mutex_lock(&ledger->reader_lock);
    while (!ledger->free_reader)
        pthread_cond_wait(&ledger->reader_free, &ledger->reader_lock);
    struct reader *reader = ledger->free_reader;
    ledger->free_reader = reader->next;
    pthread_mutex_unlock(&ledger->reader_lock);
    reader_refresh(ledger, reader);
    return reader;
}

/* What was one still file has a server now: from here on it is read as that server's. */
void reader_refresh(struct ledger *ledger, struct reader *reader)
{
    struct connection fresh;
    struct fault_note note = {0};
    if (!connection_is_stale(&reader->connection, ledger->folder))
        return;
    if (connection_open_aside(&fresh, ledger->folder, &note) != FAULT_NONE) {
        log_line(LOG_WARN, "ledger", "the index cannot be opened again: %s", note.text);
        connection_close(&fresh);
        return;
    }
    connection_close(&reader->connection);
    reader->connection = fresh;
}

void reader_give(struct ledger *ledger, struct reader *reader)
{
    pthread_mutex_lock(&ledger->reader_lock);
    reader->next = ledger->free_reader;
    ledger->free_reader = reader;
    pthread_cond_signal(&ledger->reader_free);
    pthread_mutex_unlock(&ledger->reader_lock);
}

enum fault reader_end(struct ledger *ledger, struct reader *reader, sqlite3_stmt *statement, int code, const char *what,
                      struct fault_note *note)
{
    enum fault fault = code == SQLITE_ROW || code == SQLITE_DONE ? FAULT_NONE : connection_fault(&reader->connection, code, what, note);
    sqlite3_reset(statement);
    reader_give(ledger, reader);
    return fault;
}

static uint64_t sqlite_secret(const struct ledger *ledger)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    return ledger->secret;
}

static uint64_t sqlite_last_sequence(const struct ledger *ledger)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    return atomic_load(&ledger->last_sequence);
}

static uint64_t sqlite_kept_from(const struct ledger *ledger)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    return atomic_load(&ledger->kept_from);
}

static uint64_t sqlite_disk_bytes(const struct ledger *ledger)
{
    MUST(ledger->magic == LEDGER_MAGIC);
    uint64_t bytes = 0;
    struct stat status;
    struct dirent *entry;
    DIR *folder = opendir(ledger->folder);
    while (folder && (entry = readdir(folder)))
        if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
            bytes += (uint64_t)status.st_blocks * 512;
    if (folder)
        closedir(folder);
    return bytes;
}

const struct ledger_ops ledger_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .secret = sqlite_secret,
    .last_sequence = sqlite_last_sequence,
    .kept_from = sqlite_kept_from,
    .commit = sqlite_commit,
    .find_request = sqlite_find_request,
    .find_batch = sqlite_find_batch,
    .read = sqlite_read,
    .find_transfer = sqlite_find_transfer,
    .find_transfers = sqlite_find_transfers,
    .query = sqlite_query,
    .batches = sqlite_batches,
    .idle = sqlite_idle,
    .retain = sqlite_retain,
    .replay = sqlite_replay,
    .label_find = sqlite_label_find,
    .document_put = sqlite_document_put,
    .document_get = sqlite_document_get,
    .base_changes = sqlite_base_changes,
    .outbox_next = sqlite_outbox_next,
    .outbox_rows = sqlite_outbox_rows,
    .outbox_mark = sqlite_outbox_mark,
    .life_find = sqlite_life_find,
    .outbox_find = sqlite_outbox_find,
    .told = sqlite_told,
    .told_counts = sqlite_told_counts,
    .listed = sqlite_listed,
    .life_due = sqlite_life_due,
    .row_state = sqlite_row_state,
    .disk_bytes = sqlite_disk_bytes,
    .messages = &sqlite_message_ops,
    .audit = &sqlite_audit_ops,
    .cases = &sqlite_case_ops,
};
