#ifndef SLUICE_LEDGER_SQLITE_H
#define SLUICE_LEDGER_SQLITE_H

#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "ledger/ledger.h"
#include "ledger/segment.h"
#include "ledger/statements.h"
#include "ledger/summary.h"

/* What the files of the embedded ledger share. Only they include sqlite3.h. */

struct connection { /* of one thread at a time */
    sqlite3 *db;
    bool saw_full; /* the disk was full since this was cleared */
    bool is_still; /* opened as one file that nobody changes */
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* connection.c */
enum fault connection_open(struct connection *out, const char *folder, bool writes, struct fault_note *note); /* the writer migrates */
/* Read-only and of this program's schema. When nothing lies in a write-ahead log nothing is made beside the index either. */
enum fault connection_open_aside(struct connection *out, const char *folder, struct fault_note *note);
bool connection_is_stale(const struct connection *connection, const char *folder); /* a server began to write what was still */
void connection_close(struct connection *connection);                              /* safe on zeroed memory */
/* What SQLite said, as a fault: a full disk and memory by their names. */
enum fault connection_fault(struct connection *connection, int code, const char *what, struct fault_note *note);
sqlite3_stmt *statement_take(struct connection *connection, enum statement statement); /* reset, bindings cleared */
enum fault statement_run(struct connection *connection, sqlite3_stmt *statement, const char *what,
                         struct fault_note *note); /* no rows wanted */
/* The first column of the only row; FAULT_not_found without note when there is none. */
enum fault statement_integer(struct connection *connection, sqlite3_stmt *statement, int64_t *out, const char *what,
                             struct fault_note *note);
void statement_bind_text(sqlite3_stmt *statement, int index, struct text text); /* borrowed until the reset */
void statement_bind_digest(sqlite3_stmt *statement, int index, const struct digest *digest);
enum fault tenant_find(struct connection *connection, int64_t *out, struct text tenant, struct fault_note *note);

struct digest digest_of_column(sqlite3_stmt *statement, int column);
void text_of_column(char *out, size_t out_bytes, sqlite3_stmt *statement, int column);

/* Where a frame lies, and what is needed to look past it. */
struct index_line {
    uint64_t sequence, key_seed;
    struct segment_place place;
    int64_t scene_list, tenant;
    uint32_t rows, scene_mask, filter_blocks;
};
void index_line_of(struct index_line *out, sqlite3_stmt *statement);   /* of a statement that selects PLACE */
void batch_line_of(struct ledger_batch *out, sqlite3_stmt *statement); /* of one that selects LINE */

enum { SCENE_CODES = 256, SCENE_NAME_BYTES = 64, LINES_PER_STEP = 64 };

/* A thread's way into what is committed; taken from the pool for one call. */
struct reader {
    struct connection connection;
    struct segment_reader segments;
    int64_t scene_list; /* whose names these are; -1: none yet */
    char scene_names[SCENE_CODES][SCENE_NAME_BYTES];
    struct index_line lines[LINES_PER_STEP];
    struct reader *next;
};

struct ledger {
    unsigned magic;
    char folder[PATH_MAX];
    int lock_fd;
    uint64_t secret, reserve_bytes;
    bool reads_only;
    atomic_uint_fast64_t last_sequence;
    atomic_uint_fast64_t kept_from; /* frames of batches before it are no longer there */

    pthread_mutex_t write_lock; /* the writer's connection, segments and state: commit, idle, document_put */
    struct connection writer;
    struct segment_writer segments;
    struct summary summary; /* of the segment that is being written */
    bool is_full;           /* the reserve was given back to the disk and is not there yet again */
    bool is_unsettled;      /* a COMMIT failed and the log may still hold it */
    int wal_pages;

    pthread_mutex_t reader_lock;
    pthread_cond_t reader_free;
    struct reader *readers, *free_reader;
    uint32_t reader_count;
};
enum { LEDGER_MAGIC = 0x1ed9e401 };

struct reader *reader_take(struct ledger *ledger); /* waits for a free one */
void reader_refresh(struct ledger *ledger, struct reader *reader);
void reader_give(struct ledger *ledger, struct reader *reader);
/* The same behind its last step, whose code tells; nothing found is no fault. */
enum fault reader_end(struct ledger *ledger, struct reader *reader, sqlite3_stmt *statement, int code, const char *what,
                      struct fault_note *note);

/* reserve.c: space kept back so that a full disk can be survived */
enum fault reserve_fill(const struct ledger *ledger, struct fault_note *note);
void reserve_free(const struct ledger *ledger);

/* sqlite_commit.c */
enum fault sqlite_commit(struct ledger *ledger, struct ledger_entry *entries, uint32_t entry_count, struct fault_note *note);
void sqlite_idle(struct ledger *ledger);
enum fault ledger_is_able(struct ledger *ledger, struct fault_note *note);          /* to write; under write_lock */
void transaction_undo(struct ledger *ledger, bool was_commit);                      /* after a step of a transaction that failed */
void ledger_recover(struct ledger *ledger);                                         /* after a change that failed */
enum fault ledger_write_begin(struct ledger *ledger, struct fault_note *note);      /* a change beside the log; holds write_lock */
enum fault ledger_write_end(struct ledger *ledger, enum fault fault, bool is_able); /* is_able: begin was FAULT_NONE */
/* sqlite_lists.c */
enum fault lists_insert(struct connection *writer, const struct batch *batch, int64_t tenant, struct fault_note *note);
enum fault sqlite_listed(struct ledger *ledger, const struct ledger_list_query *query, ledger_listed_fn *each, void *context,
                         struct fault_note *note);
enum fault sqlite_base_changes(struct ledger *ledger, bool puts, ledger_base_fn *each, void *context, struct fault_note *note);
enum fault sqlite_document_put(struct ledger *ledger, const char *kind, struct digest digest, const char *name, const void *bytes,
                               size_t byte_count, struct fault_note *note);

/* sqlite_read.c */
enum fault sqlite_find_request(struct ledger *ledger, struct ledger_request *out, struct text tenant, struct text id,
                               struct fault_note *note);
enum fault sqlite_find_batch(struct ledger *ledger, struct ledger_batch *out, struct text tenant, struct text name,
                             struct fault_note *note);
enum fault sqlite_read(struct ledger *ledger, struct batch *out, uint64_t sequence, struct fault_note *note);
enum fault sqlite_replay(struct ledger *ledger, uint64_t from, enum fault (*each)(void *, struct batch *, struct fault_note *),
                         void *context, struct fault_note *note);
enum fault sqlite_document_get(struct ledger *ledger, const char *kind, struct digest digest, void **out, size_t *out_bytes,
                               struct fault_note *note);
enum fault frame_load(const struct ledger *ledger, struct reader *reader, struct batch *out, const struct index_line *line,
                      struct fault_note *note);

enum fault lines_from(struct reader *reader, uint32_t *out_count, uint64_t from, struct fault_note *note); /* upwards, into reader->lines */

/* sqlite_walk.c */
struct walk { /* one query on its way down the index */
    const struct ledger_query *query;
    int64_t tenant;                              /* 0: all */
    struct text transfer, account, scene, batch; /* data NULL: does not narrow */
    uint64_t below, least;                       /* the next step's lines have sequences in [least, below) */
    uint32_t left;                               /* rows, or lines, that the page still takes */
    bool transfers_only, is_done;
    enum fault fault; /* of looking up what became of a row */
    /* Ids of which one must be in a frame for it to count; none: every frame may. A segment without them is stepped over. */
    struct text asked[SUMMARY_ASKED_MAX];
    uint32_t asked_count, segment; /* the segment that was looked at last */
    enum filter_kind asked_kind;
};
/* FAULT_not_found: the tenant has recorded nothing. */
enum fault walk_init(struct walk *out, const struct ledger *ledger, struct reader *reader, const struct ledger_query *query,
                     bool transfers_only, struct fault_note *note);
void walk_ask(struct walk *walk, enum filter_kind kind, struct text id);
/* The next lines into reader->lines, all of one segment when ids are asked for; is_done: there are none behind them. */
enum fault walk_step(const struct ledger *ledger, struct walk *walk, struct reader *reader, uint32_t *out_count, struct fault_note *note);
sqlite3_stmt *walk_statement(const struct walk *walk, struct connection *connection, enum statement plain, enum statement named);

/* sqlite_query.c */
/* Names of a list of scenes into reader->scene_names. */
enum fault scenes_load(struct reader *reader, int64_t list, struct fault_note *note);
/* What a label batch said last of a transfer; FAULT_not_found: none did. */
enum fault label_read(struct connection *connection, uint8_t *out, int64_t tenant, struct text transfer, struct fault_note *note);
enum fault sqlite_find_transfer(struct ledger *ledger, struct text tenant, struct text transfer, uint64_t *sequence, uint32_t *row,
                                struct fault_note *note);
enum fault sqlite_query(struct ledger *ledger, const struct ledger_query *query, ledger_row_fn *each, void *context,
                        struct fault_note *note);
enum fault sqlite_batches(struct ledger *ledger, const struct ledger_query *query, bool (*each)(void *, const struct ledger_batch *),
                          void *context, struct fault_note *note);
enum fault sqlite_label_find(struct ledger *ledger, struct text tenant, struct text transfer, uint8_t *out, struct fault_note *note);

/* sqlite_retain.c */
enum fault sqlite_retain(struct ledger *ledger, const struct ledger_retention *retention, enum ledger_retained *out,
                         struct fault_note *note);
enum fault kept_open(struct ledger *ledger, struct fault_note *note); /* what is kept; leftovers of what is not are removed */
bool line_is_kept(const struct ledger *ledger, uint64_t sequence);

/* sqlite_summary.c */
/* Every full segment has its filter, made again where it is missing; that of the last one is filled as far as its frames go. */
enum fault summaries_open(struct ledger *ledger, struct fault_note *note);
void summaries_follow(struct ledger *ledger, const struct ledger_entry *entries, uint32_t entry_count); /* they are committed */

/* sqlite_life.c */
enum fault life_insert(struct connection *writer, const struct ledger_entry *entry, int64_t tenant, struct fault_note *note);
enum fault sqlite_outbox_next(struct ledger *ledger, struct ledger_outbox *out, const char *tenant, uint64_t after_entry, int64_t now_us,
                              struct fault_note *note);
enum fault sqlite_outbox_rows(struct ledger *ledger, uint64_t entry, ledger_outbox_fn *each, void *context, struct fault_note *note);
enum fault sqlite_outbox_mark(struct ledger *ledger, uint64_t entry, enum outbox_state state, uint32_t attempts, int64_t due_us,
                              struct fault_note *note);
/* As row_state and as query have it: of a row; whether a batch may have rows in that state. */
enum fault row_state_read(struct connection *connection, enum row_state *out, uint64_t sequence, uint32_t row, struct fault_note *note);
enum fault line_may_be(struct connection *connection, bool *out, uint64_t sequence, enum row_state state, struct fault_note *note);
enum fault sqlite_row_state(struct ledger *ledger, enum row_state *out, uint64_t sequence, uint32_t row, struct fault_note *note);
enum fault sqlite_life_due(struct ledger *ledger, struct ledger_batch *out, struct ledger_due *cursor, int64_t now_us,
                           struct fault_note *note);
enum fault told_insert(struct connection *writer, const struct ledger_entry *entry, struct fault_note *note);
/* What was told last of a row that was released; *out stays where nothing was. */
enum fault told_row_state(struct connection *connection, enum row_state *out, uint64_t sequence, uint32_t row, struct fault_note *note);
void outbox_of(struct ledger_outbox *out, sqlite3_stmt *statement);
enum fault sqlite_outbox_find(struct ledger *ledger, struct ledger_outbox *out, int64_t *out_released_us, struct text tenant,
                              struct text derived_id, struct fault_note *note);
enum fault sqlite_told(struct ledger *ledger, uint64_t entry, ledger_told_fn *each, void *context, struct fault_note *note);
enum fault sqlite_told_counts(struct ledger *ledger, struct ledger_told_counts *out, uint64_t sequence, struct fault_note *note);
enum fault sqlite_life_find(struct ledger *ledger, struct ledger_life *out, uint64_t sequence, struct fault_note *note);

/* sqlite_audit.c: audit_insert inside a transaction of the writer's */
extern const struct ledger_audit_ops sqlite_audit_ops;
enum fault audit_insert(struct connection *writer, const struct ledger_audit *line, struct fault_note *note);

/* sqlite_cases.c: cases_insert inside a transaction of the writer's */
extern const struct ledger_case_ops sqlite_case_ops;
enum fault cases_insert(struct connection *writer, const struct ledger_entry *entry, int64_t tenant, struct fault_note *note);

/* sqlite_messages.c: messages_insert inside a transaction of the writer's */
extern const struct ledger_message_ops sqlite_message_ops;
enum fault messages_insert(struct connection *writer, const struct ledger_message *messages, uint32_t count, int64_t tenant,
                           uint64_t sequence, int64_t now_us, struct fault_note *note);

/* sqlite_resolve.c */
enum fault sqlite_find_transfers(struct ledger *ledger, struct text tenant, const struct column *ids, uint32_t row_count,
                                 const uint8_t *skip, ledger_found_fn *each, void *context, struct fault_note *note);

#endif
