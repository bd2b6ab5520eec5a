#ifndef SLUICE_LEDGER_LEDGER_H
#define SLUICE_LEDGER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/hash.h"
#include "batch/batch.h"
#include "batch/life.h"

/* The one log of every change. Frames (columns and results of a batch, zstd, checksummed) are appended to segment files
 * and synced per commit group; the SQLite transaction after it is the commit point. A reply leaves only after it. Frames
 * past the last committed offset are cut at open. One thread commits; readers are any thread and see what is committed. */

struct ledger;
struct ledger_message_ops;
struct ledger_audit; /* ledger/audit.h */
struct ledger_audit_ops;

struct ledger_options {
    const char *folder;         /* created when absent; locked: a second server on it is refused */
    uint64_t segment_bytes_max; /* a new segment is begun beyond, default 32 MiB */
    uint64_t reserve_bytes;     /* kept back, freed when the disk is full, default 16 MiB */
    uint32_t readers;           /* read-only connections for queries, default 4, at least 2 */
    bool reads_only;            /* beside a server, or of a copy: nothing is written and no lock is taken; what is committed when it is
                                 * opened is there. Only ops that read; FAULT_not_found: no ledger there */
};

/* What a batch without rows did to the scene bases; one line of the index, kept for ever. */
enum { BASE_SIGNATURE_BYTES = 96 }; /* the public key, then the signature */
struct ledger_base_change {
    uint64_t sequence; /* of its batch, as op and now_us: what reading gives */
    enum op op;
    int64_t now_us;
    struct digest digest, before; /* the base; what was active before, zeros: none */
    char who[264];                /* tenant, and the credential's name behind a slash when it has one */
    char name[64], version[64], signer[33];
    uint64_t bytes;
    uint32_t golden_rows;
    bool is_signed;
    unsigned char signature[BASE_SIGNATURE_BYTES];
};
typedef bool ledger_base_fn(void *context, const struct ledger_base_change *change); /* false: enough */

/* The life of a screened batch. */
struct ledger_life {
    uint64_t sequence; /* of its first screening: what names it here */
    enum life_state state;
    uint32_t releases; /* second batches so far */
    int64_t due_us;    /* when what is left to correct is given up; 0: nothing waits for that */
    uint64_t changed;  /* sequence of the last change */
};
/* What a processor told of rows of a second batch, or was told of them; rows as a row_set. Borrowed. */
struct ledger_told {
    uint64_t entry; /* of the outbox */
    enum row_state state;
    const void *rows;
    size_t rows_bytes;
    uint32_t row_count;
};
typedef bool ledger_told_fn(void *context, const struct ledger_told *told); /* false: enough; may not call the ledger */
struct ledger_told_counts {
    uint64_t released, rows[ROW_STATE_COUNT]; /* of a screened batch, in all second batches; those ever told to be in a state */
};
/* What a change does to it; released: those rows leave as release number life.releases, as a row_set (ledger/row_set.h). */
struct ledger_life_change {
    struct ledger_life life; /* as it is behind the change; changed is set by commit */
    const void *released;    /* borrowed; NULL: nothing is released */
    size_t released_bytes;
    uint32_t released_rows;
    struct digest payload_digest;
    bool expires;                   /* what is held or invalid and still as it was screened is given up: ROW_EXPIRED */
    const struct ledger_told *told; /* borrowed; NULL: nothing */
};

struct ledger_due { /* zeros: before the first */
    int64_t due_us;
    uint64_t sequence;
};

/* Up to where rows may be dropped. What may still be released holds its segment, and with it those behind. */
struct ledger_retention {
    int64_t before_us;          /* older ones go; so do those whose time for corrections was over before it and that nobody released */
    int64_t unsettled_us;       /* open batches and dead letters, where they are older than this */
    uint64_t behind;            /* a snapshot of history holds all up to here */
    const char *const *senders; /* tenants whose second batches are sent: those that wait stay */
    uint32_t sender_count;
};
enum ledger_retained { RETAINED_NOTHING_OLD, RETAINED_HELD, RETAINED_DROPPED };

/* A second batch on its way to the processor. */
struct ledger_outbox {
    uint64_t entry;                                     /* ascending in order of release */
    uint64_t batch_sequence, sequence;                  /* of the first screening; of the change that released */
    char tenant[129], batch[129], derived_id[129 + 16]; /* <batch>/r<n>: what the processor must deduplicate by */
    struct digest payload_digest;                       /* of the rows and of what they were recorded with: never changes */
    uint32_t row_count, attempts;
    enum outbox_state state;
    int64_t due_us; /* not before */
};
/* Rows of one recorded batch that are in it, ascending; the batch is borrowed. Batches come in the order of their sequences: first the
 * screening, then resubmissions. false: enough */
typedef bool ledger_outbox_fn(void *context, const struct batch *batch, const uint32_t *rows, uint32_t row_count);

/* What is to leave for a connector. For (connector, recipient, id) there is one: a second is dropped without a word. */
enum { LETTER_ID_BYTES_MAX = 160, LETTER_PAYLOAD_BYTES_MAX = 64 << 10 };
struct ledger_message {                 /* borrowed */
    struct text connector, subject, id; /* connector: by its name in the configuration; subject: alarm, outcome, … */
    struct text recipient;              /* an address or number, or what is kept in order; those of one leave one behind the other */
    struct text payload;                /* a JSON object */
};
struct ledger_letter { /* one of them on its way, or a second batch */
    uint64_t entry, sequence;
    bool is_release;
    int64_t made_us, since_us, due_us; /* since: it waits for the connector */
    uint32_t attempts;
    enum outbox_state state;
    char connector[144], subject[32], recipient[256], id[LETTER_ID_BYTES_MAX + 1], why[120];
};
typedef bool ledger_letter_fn(void *context, const struct ledger_letter *letter); /* false: enough; may not call the ledger */
/* Those of one mail, oldest first. */
typedef bool ledger_letter_part_fn(void *context, struct text subject, struct text id, struct text payload, int64_t made_us);
struct ledger_letter_query {
    struct text connector;         /* empty: any */
    int state;                     /* -1: any */
    uint64_t after, after_release; /* paging: behind these */
    uint32_t rows_max;
};
struct ledger_letter_count { /* of one connector */
    char connector[144];
    uint64_t waiting, dead;
    int64_t oldest_us; /* of what waits; 0: nothing does */
};
typedef void ledger_letter_count_fn(void *context, const struct ledger_letter_count *count);
/* What is wrong with the server itself, and was told. since_us 0: it is over. */
struct ledger_alarm {
    char name[96], what[160];
    int64_t since_us;
};
typedef void ledger_alarm_fn(void *context, const struct ledger_alarm *alarm);

/* What is on a tenant's lists. */
struct ledger_listed { /* borrowed during the call back */
    enum party_list list;
    enum listed_kind kind;
    struct text value, memo;
    int64_t until_us; /* 0: for ever */
    uint64_t sequence;
};
struct ledger_list_query {
    struct text tenant, value;  /* value empty: any */
    int list;                   /* -1: any */
    int after_list, after_kind; /* paging: behind that entry; -1: from the first */
    struct text after_value;
    uint32_t rows_max;
};
typedef bool ledger_listed_fn(void *context, const struct ledger_listed *entry); /* false: enough; may not call the ledger */

/* One change, ready to commit: what frame_encode made of a batch, and what the index keeps. */
struct ledger_entry {
    const struct batch *batch; /* borrowed until ledger_commit returns; results NULL for ops without verdicts */
    struct frame *frame;       /* of frame_encode; stays the caller's */
    struct digest base_digest, config_digest;
    const char *const *scenes; /* names of the scene codes in results, borrowed; kept once per distinct list; NULL: none */
    uint32_t scene_count;
    const struct ledger_base_change *base_change; /* borrowed; NULL: none */
    const struct ledger_life_change *life;        /* borrowed; NULL: none */
    const struct ledger_message *messages;        /* borrowed; that leave because of it */
    uint32_t message_count;
    const struct ledger_audit *audit; /* borrowed; NULL: none */
    int64_t case_window_us;           /* an abnormal row joins the case of its account and scene that grew within so long */
    enum fault fault;                 /* set by ledger_commit */
};

/* Encodes columns, facts that history needs, results and notes. Any thread; takes memory, give it with frame_give. */
enum fault frame_encode(struct frame **out, const struct batch *batch, struct fault_note *note);
void frame_give(struct frame **frame_p);
size_t frame_bytes(const struct frame *frame);
/* The inverse: a batch with columns, facts, results and notes as they were, in its own arena (batch_fini). Hostile-safe. */
enum fault frame_decode(struct batch *out, const void *bytes, size_t byte_count, struct fault_note *note);

struct ledger_request { /* what is known under (tenant, id) */
    uint64_t sequence;
    struct digest digest;
    enum op op;
};

struct ledger_batch { /* one line of the index */
    uint64_t sequence;
    enum op op;
    char tenant[129], id[129], name[129];
    int64_t now_us;
    uint32_t row_count, verdict_counts[VERDICT_COUNT];
    struct digest digest, base_digest, config_digest;
};

/* What is zero or empty does not narrow. Newest batch first, its rows in their order; only ops that carry transfers. */
struct ledger_query {
    const char *tenant;                             /* NULL: all (operators only) */
    const char *batch, *transfer, *account, *scene; /* names; account: payer or payee */
    int64_t from_us, to_us;                         /* of the batch's now, to exclusive */
    int verdict;                                    /* -1: any */
    int state, level;                               /* 1 + enum row_state, 1 + enum level; 0: any */
    bool scene_decides;                             /* only rows that the scene kept from passing; else whose best one it is */
    uint64_t after_sequence;                        /* paging: rows behind (after_sequence, after_row) in that order; 0: from the newest */
    uint32_t after_row;
    uint32_t rows_max; /* of the page; 0: no bound */
};
/* A function that is called back may call the ledger again, as long as fewer such calls run at once than there are readers. */
struct ledger_row {            /* borrowed during the call back */
    const struct batch *batch; /* decoded; names through its columns */
    uint32_t row;
    const char *scene, *runner_up; /* names; "" where there is none or none was given to commit */
};
typedef bool ledger_row_fn(void *context, const struct ledger_row *row); /* false: enough */

/* A transfer that find_transfers found for a row of the ids asked for, and the label known of it. */
typedef void ledger_found_fn(void *context, uint32_t row, const struct ledger_row *found, uint8_t label);

struct ledger_ops {
    const char *name;
    enum fault (*open)(struct ledger **out, const struct ledger_options *options, struct fault_note *note);
    void (*close)(struct ledger **ledger_p);
    uint64_t (*secret)(const struct ledger *ledger);        /* seeds digests and keys; made at first open */
    uint64_t (*last_sequence)(const struct ledger *ledger); /* last committed, 0: none */
    uint64_t (*kept_from)(const struct ledger *ledger);     /* rows of batches before it were dropped; 1: of none */
    /* Entries in sequence order, all or none: append, sync, one transaction. Blocks. On FAULT_ledger nothing was recorded.
     * FAULT_limit in the text of a full disk is told as ledger, "disk full". No entries: tells whether some could be
     * recorded; after a full disk it looks whether there is room again. */
    enum fault (*commit)(struct ledger *ledger, struct ledger_entry *entries, uint32_t entry_count, struct fault_note *note);
    /* FAULT_not_found when the id is new. */
    enum fault (*find_request)(struct ledger *ledger, struct ledger_request *out, struct text tenant, struct text id,
                               struct fault_note *note);
    /* Of the batches under that name the newest that holds transfers; without one, the newest of the others. */
    enum fault (*find_batch)(struct ledger *ledger, struct ledger_batch *out, struct text tenant, struct text name,
                             struct fault_note *note);
    enum fault (*read)(struct ledger *ledger, struct batch *out, uint64_t sequence, struct fault_note *note); /* frame_decode of it */
    enum fault (*find_transfer)(struct ledger *ledger, struct text tenant, struct text transfer, uint64_t *sequence, uint32_t *row,
                                struct fault_note *note); /* the newest */
    /* The newest transfer of every id of a text column (str or dict), in one walk: calls for those that are recorded, a batch
     * at a time, in no order. skip (may be NULL): rows that are not asked for. For many ids; each found batch is decoded once. */
    enum fault (*find_transfers)(struct ledger *ledger, struct text tenant, const struct column *ids, uint32_t row_count,
                                 const uint8_t *skip, ledger_found_fn *each, void *context, struct fault_note *note);
    enum fault (*query)(struct ledger *ledger, const struct ledger_query *query, ledger_row_fn *each, void *context,
                        struct fault_note *note);
    /* Index lines of every op, newest first; of the query only tenant, batch, times, verdict, after_sequence, rows_max count. */
    enum fault (*batches)(struct ledger *ledger, const struct ledger_query *query, bool (*each)(void *, const struct ledger_batch *),
                          void *context, struct fault_note *note);
    /* Called by the committing thread when nothing is on its way to it: moves what the write-ahead log holds into the database.
     * Without it commit does so itself whenever the log has grown to its bound. */
    void (*idle)(struct ledger *ledger);
    /* Drops the oldest segment if it is full, each of its batches is older than that, and nothing of it may leave yet. Its ids stay;
     * reading its rows is FAULT_not_found. Blocks commits for a moment. */
    enum fault (*retain)(struct ledger *ledger, const struct ledger_retention *retention, enum ledger_retained *out,
                         struct fault_note *note);
    /* Every committed frame with sequence >= from, in order, decoded. FAULT_not_found: from is before kept_from. */
    enum fault (*replay)(struct ledger *ledger, uint64_t from, enum fault (*each)(void *, struct batch *, struct fault_note *),
                         void *context, struct fault_note *note);
    /* Labels: what was known before (0 unknown, 1 good, 2 risky) and where; written by commit of label batches. */
    enum fault (*label_find)(struct ledger *ledger, struct text tenant, struct text transfer, uint8_t *out, struct fault_note *note);
    /* Bases and configurations by digest, kept for replay. Put is durable; the same twice is one. */
    enum fault (*document_put)(struct ledger *ledger, const char *kind, struct digest digest, const char *name, const void *bytes,
                               size_t byte_count, struct fault_note *note);
    enum fault (*document_get)(struct ledger *ledger, const char *kind, struct digest digest, void **out, size_t *out_bytes,
                               struct fault_note *note);
    /* Newest first: the bases that were put, or everything else that was done to bases. */
    enum fault (*base_changes)(struct ledger *ledger, bool puts, ledger_base_fn *each, void *context, struct fault_note *note);
    /* The first second batch behind after_entry that nobody acknowledged and that is due; tenant NULL: of any. FAULT_not_found: none. */
    enum fault (*outbox_next)(struct ledger *ledger, struct ledger_outbox *out, const char *tenant, uint64_t after_entry, int64_t now_us,
                              struct fault_note *note);
    enum fault (*outbox_rows)(struct ledger *ledger, uint64_t entry, ledger_outbox_fn *each, void *context, struct fault_note *note);
    /* What became of sending it; durable when it returns. due_us: when it is tried again. */
    enum fault (*outbox_mark)(struct ledger *ledger, uint64_t entry, enum outbox_state state, uint32_t attempts, int64_t due_us,
                              struct fault_note *note);
    /* FAULT_not_found: the batch was never screened, or by a program that knew no lives. */
    enum fault (*life_find)(struct ledger *ledger, struct ledger_life *out, uint64_t sequence, struct fault_note *note);
    /* What became of a row behind its screening; ROW_SCREENED as well where lives are not known. */
    enum fault (*row_state)(struct ledger *ledger, enum row_state *out, uint64_t sequence, uint32_t row, struct fault_note *note);
    /* By its derived id, in whatever state; out_released_us: when it was released. */
    enum fault (*outbox_find)(struct ledger *ledger, struct ledger_outbox *out, int64_t *out_released_us, struct text tenant,
                              struct text derived_id, struct fault_note *note);
    /* All that was told of the rows of a second batch, in the order of the changes. */
    enum fault (*told)(struct ledger *ledger, uint64_t entry, ledger_told_fn *each, void *context, struct fault_note *note);
    enum fault (*told_counts)(struct ledger *ledger, struct ledger_told_counts *out, uint64_t sequence, struct fault_note *note);
    /* By list, kind and value; written by commit of list.put and list.remove batches. */
    enum fault (*listed)(struct ledger *ledger, const struct ledger_list_query *query, ledger_listed_fn *each, void *context,
                         struct fault_note *note);
    /* The next behind the cursor whose time is over, in the order in which it was; the cursor moves to it. FAULT_not_found: none. */
    enum fault (*life_due)(struct ledger *ledger, struct ledger_batch *out, struct ledger_due *cursor, int64_t now_us,
                           struct fault_note *note);
    uint64_t (*disk_bytes)(const struct ledger *ledger);
    const struct ledger_message_ops *messages;
    const struct ledger_audit_ops *audit;
    const struct ledger_case_ops *cases;
};

struct ledger_case { /* borrowed during the call back */
    uint64_t entry;
    struct text account, scene; /* empty: the row named none, no scene was its risk */
    enum level level;           /* the highest of its transfers */
    uint64_t transfers;
    int64_t opened_us, last_us;
};
struct ledger_case_transfer { /* borrowed during the call back */
    uint64_t sequence;
    uint32_t row;
    struct text transfer;
    enum level level;
    uint8_t verdict; /* of the screening */
};
struct ledger_case_query {
    struct text tenant, account; /* account empty: any */
    uint64_t entry, below;       /* entry 0: any; below: paging, 0: from the newest */
    uint32_t rows_max;
};
typedef bool ledger_case_fn(void *context, const struct ledger_case *one); /* false: enough; may not call the ledger */
typedef bool ledger_case_transfer_fn(void *context, const struct ledger_case_transfer *one);

/* Cases are opened by commit, in the transaction of the screening that is abnormal. */
struct ledger_case_ops {
    enum fault (*list)(struct ledger *ledger, const struct ledger_case_query *query, ledger_case_fn *each, void *context,
                       struct fault_note *note); /* newest first */
    enum fault (*transfers)(struct ledger *ledger, uint64_t entry, uint64_t after_sequence, int64_t after_row, uint32_t rows_max,
                            ledger_case_transfer_fn *each, void *context, struct fault_note *note);
};

/* What leaves for connectors other than processors. Writers: durable when they return, any thread. */
struct ledger_message_ops {
    /* In a transaction of their own: for what no change of the log causes. alarm: goes with them; NULL: none. */
    enum fault (*put)(struct ledger *ledger, const struct ledger_message *messages, uint32_t count, int64_t now_us,
                      const struct ledger_alarm *alarm, struct fault_note *note);
    /* The first behind after that waits, is due and is the first of its recipient's; quiet_us > 0: and nothing reached the recipient in
     * so long. FAULT_not_found: none. */
    enum fault (*next)(struct ledger *ledger, struct ledger_letter *out, struct text connector, uint64_t after, int64_t now_us,
                       int64_t quiet_us, struct fault_note *note);
    /* Up to most others that wait for the same recipient go with it from now on, whatever comes later. Once for each. */
    enum fault (*close)(struct ledger *ledger, uint64_t entry, uint32_t most, struct fault_note *note);
    enum fault (*read)(struct ledger *ledger, uint64_t entry, ledger_letter_part_fn *each, void *context, struct fault_note *note);
    /* What became of it and of those that go with it: OUTBOX_WAITING again not before due_us, OUTBOX_ACKNOWLEDGED, OUTBOX_DEAD. */
    enum fault (*mark)(struct ledger *ledger, uint64_t entry, enum outbox_state state, uint32_t attempts, int64_t due_us, int64_t now_us,
                       const char *why, struct fault_note *note);
    /* Second batches first, then the others, each by entry. */
    enum fault (*list)(struct ledger *ledger, const struct ledger_letter_query *query, ledger_letter_fn *each, void *context,
                       struct fault_note *note);
    /* Dead ones wait again: one entry, or 0: all of the connector (empty: of any). */
    enum fault (*resend)(struct ledger *ledger, bool release, uint64_t entry, struct text connector, int64_t now_us, uint32_t *out_count,
                         struct fault_note *note);
    enum fault (*counts)(struct ledger *ledger, ledger_letter_count_fn *each, void *context, struct fault_note *note);
    enum fault (*alarms)(struct ledger *ledger, ledger_alarm_fn *each, void *context, struct fault_note *note);
};
extern const struct ledger_ops ledger_sqlite;

#endif
