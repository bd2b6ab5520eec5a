#ifndef SLUICE_BATCH_BATCH_H
#define SLUICE_BATCH_BATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/hash.h"
#include "batch/limits.h"

/* The noun that everything passes: one request's rows in columns, and what became of them.
 * Columns are views into the message (unaligned: read them through the functions here); everything
 * else lies in the batch's arena. One owner at a time; slices write disjoint row ranges of results. */

enum op {
#define OP(name, wire_name, changes, rows, right) OP_##name,
#include "batch/ops.tbl"
#undef OP
    OP_COUNT
};

enum right {
    RIGHT_NONE = 0,
    RIGHT_SUBMIT = 1,
    RIGHT_SCORE = 2,
    RIGHT_LABEL = 4,
    RIGHT_QUERY = 8,
    RIGHT_OPERATE = 16,
    RIGHT_EXPLAIN = 32,
    RIGHT_MODEL = 64,
    RIGHT_LIST = 128,
    RIGHT_PROCESS = 256
};

enum column_id {
#define COLUMN(name, type, needed, taken, text) COLUMN_##name,
#include "batch/columns.tbl"
#undef COLUMN
    COLUMN_COUNT
};

enum column_type { COLUMN_TEXT, COLUMN_TIME, COLUMN_MONEY };

enum column_form { FORM_ABSENT, FORM_I64, FORM_F64, FORM_STR, FORM_DICT8, FORM_DICT16, FORM_DICT32 };

struct text { /* borrowed bytes, no end mark */
    const char *data;
    uint32_t bytes;
};

struct column {
    enum column_form form;
    struct text name;
    const unsigned char *data;    /* i64 or f64 values, str bytes, or dict codes; unaligned */
    const unsigned char *offsets; /* str: u32 × (rows + 1), checked monotone and in range */
    const unsigned char *valid;   /* bitmap, LSB first; NULL: all valid */
    const struct text *values;    /* dict: checked, every valid code is below value_count */
    uint32_t value_count;
};

static inline bool column_is_valid(const struct column *column, uint32_t row)
{
    return column->form != FORM_ABSENT && (!column->valid || (column->valid[row >> 3] >> (row & 7) & 1));
}

static inline int64_t column_i64(const struct column *column, uint32_t row) /* of a valid cell of FORM_I64 */
{
    int64_t value;
    memcpy(&value, column->data + 8 * (size_t)row, sizeof value);
    return value;
}

static inline uint32_t column_code(const struct column *column, uint32_t row) /* of a valid cell of FORM_DICT* */
{
    uint32_t wide;
    uint16_t half;
    if (column->form == FORM_DICT8)
        return column->data[row];
    if (column->form == FORM_DICT16)
        return memcpy(&half, column->data + 2 * (size_t)row, sizeof half), half;
    return memcpy(&wide, column->data + 4 * (size_t)row, sizeof wide), wide;
}

static inline struct text column_text(const struct column *column, uint32_t row) /* of a valid cell of a text form */
{
    if (column->form != FORM_STR)
        return column->values[column_code(column, row)];
    uint32_t bounds[2];
    memcpy(bounds, column->offsets + 4 * (size_t)row, sizeof bounds);
    return (struct text){.data = (const char *)column->data + bounds[0], .bytes = bounds[1] - bounds[0]};
}

/* What kind of observation an observe batch holds. */
enum observe_kind { OBSERVE_NONE, OBSERVE_ATTRIBUTE, OBSERVE_CONTACT, OBSERVE_REGISTRATION, OBSERVE_USE, OBSERVE_COUNT };

enum dimension { DIMENSION_transaction, DIMENSION_device, DIMENSION_behaviour, DIMENSION_social, DIMENSION_COUNT };

enum verdict { VERDICT_PASS, VERDICT_HOLD, VERDICT_REJECT, VERDICT_INVALID, VERDICT_COUNT };
enum level { LEVEL_NONE, LEVEL_LOW, LEVEL_MEDIUM, LEVEL_HIGH, LEVEL_CRITICAL, LEVEL_COUNT };
/* What made the level: nothing, the best scene's match, the anomaly degree, both, a failed check; or what made the verdict
 * whatever the level is: a transfer id seen before, a party on a list, an associated system that did not answer, a rule of the
 * tenant's, which may have made the level too. */
enum cause {
    CAUSE_NONE,
    CAUSE_SCENE,
    CAUSE_ANOMALY,
    CAUSE_SCENE_AND_ANOMALY,
    CAUSE_CHECK,
    CAUSE_DUPLICATE,
    CAUSE_BLOCKED,
    CAUSE_RESTRICTED,
    CAUSE_ALLOWED,
    CAUSE_RULE,
    CAUSE_UNANSWERED,
    CAUSE_COUNT
};
static inline bool cause_is_scored(enum cause cause) /* the scores say why */
{
    return cause > CAUSE_NONE && cause < CAUSE_CHECK;
}

/* What the log says of a row, beside its scores. */
enum row_flag {
    FLAG_SEEN = 1,       /* the transfer's id, within the tenant's duplicate_days */
    FLAG_LISTED = 2,     /* << list: an account, device or address of it is on that list */
    FLAG_ABNORMAL = 16,  /* its level is one from which on the tenant calls a result abnormal */
    FLAG_UNANSWERED = 32 /* an associated system did not answer, and its profile says hold */
};
enum party_list { LIST_BLOCK, LIST_RESTRICT, LIST_ALLOW, LIST_COUNT };
enum listed_kind { LISTED_ACCOUNT, LISTED_DEVICE, LISTED_ADDRESS, LISTED_COUNT };
static inline uint8_t list_flag(enum party_list list)
{
    return (uint8_t)(FLAG_LISTED << list);
}

enum language { LANGUAGE_EN, LANGUAGE_ZH, LANGUAGE_COUNT }; /* of texts for people */
extern const char *const language_names[LANGUAGE_COUNT];    /* "en", "zh" */

extern const char *const dimension_names[DIMENSION_COUNT];
extern const char *const verdict_names[VERDICT_COUNT];
extern const char *const level_names_of_risk[LEVEL_COUNT];
extern const char *const cause_names[CAUSE_COUNT];
extern const char *const op_names[OP_COUNT];
extern const char *const observe_names[OBSERVE_COUNT];
extern const char *const list_names[LIST_COUNT], *const listed_names[LISTED_COUNT];

int currency_exponent(const char *code);  /* decimal places of its minor unit (currencies.tbl); -1: no code of ISO 4217 */
const char *column_name(uint16_t column); /* "" for COLUMN_NONE */
const char *column_meaning(uint16_t column);
enum column_type column_type_of(uint16_t column);
bool column_needed_by(uint16_t column, enum op op, bool is_funds);
bool column_taken_by(uint16_t column, enum op op);
enum column_id column_find(struct text name); /* COLUMN_COUNT: not a known one */
enum op op_find(struct text name);            /* OP_COUNT: not one */
bool op_changes_state(enum op op);
bool op_carries_rows(enum op op);
enum right op_right(enum op op);
static inline bool op_is_of_models(enum op op) /* base.put and its like */
{
    return op_right(op) == RIGHT_MODEL;
}

static inline bool op_is_told(enum op op) /* by a processor, of a second batch */
{
    return op == OP_consolidate || op == OP_report;
}
static inline bool op_lives(enum op op) /* changes the life of a recorded batch */
{
    return op == OP_release || op == OP_cancel || op_is_told(op);
}
static inline bool op_edits_lists(enum op op)
{
    return op == OP_list_put || op == OP_list_remove;
}
static inline bool op_is_of_connect(enum op op)
{
    return op == OP_connect_list || op == OP_connect_resend || op == OP_connect_health;
}
static inline bool op_is_about_accounts(enum op op) /* its rows hold account_id, not payer and payee */
{
    return op == OP_observe || op_edits_lists(op);
}

/* Facts of every row that the rooms after fill work on; arrays of row_count in the arena, 64-byte aligned.
 * Keys are hash64 over the account namespace and the id; 0: absent. Filled by intake. */
struct batch_facts {
    uint64_t *payer, *payee;
    uint64_t *transfer; /* of its id; screen, score; NULL in batches of before it was kept, as flags */
    uint64_t *payer_device, *payee_device, *payer_address, *payee_address; /* NULL: column absent */
    uint32_t *payer_network, *payee_network;                               /* 32-bit tags; NULL: column absent */
    int64_t *amount; /* reference minor units, through the rate table; 0 where not funds */
    int64_t *time_us;
    uint8_t *invalid;   /* 1: the row failed a check and goes no further */
    uint8_t *flags;     /* bits of enum row_flag; screen, score: history's; list.put, list.remove: which list */
    uint8_t *label;     /* import, label: 0 unknown, 1 good, 2 a risk scene; NULL: column absent */
    float *in_batch[8]; /* batch-scope figures, in the order of feature/in_batch.tbl; filled by feature */
};

/* Why a row did not pass, strongest first: features of the best scene (or of the anomaly) and their shares. */
struct reason {
    uint16_t feature; /* enum feature_id */
    uint16_t dimension;
    float value, share; /* the feature's value; its part of the evidence in nats, or of the raw anomaly degree where that is the cause */
};
struct reason_block { /* of one slice; count rows, ascending */
    uint32_t count;
    uint32_t *row;
    uint8_t *reason_count;
    struct reason *reasons; /* count × REASONS_MAX */
};

struct results { /* arrays of row_count; everything that is recorded and replied about a row */
    uint8_t *verdict, *level, *cause;
    uint8_t *scene, *runner_up; /* index into the base's scenes, 0 = background = none */
    uint8_t *would;             /* verdict without the monitor: verdict is pass where this is hold or reject; NULL: not monitored */
    uint8_t *rule;              /* number of the rule that made level or verdict, 0 = none; NULL: the tenant has none */
    uint8_t *risk_type, *countermeasure; /* index into the strategy's tables, 0 = none */
    float *match, *runner_match, *risk;
    float *anomaly_own, *anomaly_linked; /* calibrated, in [0, 1] */
    float *distance[DIMENSION_COUNT];    /* feature distance to the best scene */
    struct reason_block *reasons;        /* slice_count blocks, in row order */
    uint32_t slice_count;
};

/* Counts of failed checks per column and rule, beyond the notes that a reply holds. */
struct check_note {
    uint32_t row;
    uint16_t column; /* known, COLUMN_COUNT + place among the others, or COLUMN_NONE */
    char text[100];
};
/* A cell of a text file that could not be read as what its column holds; null in the column. */
struct wrong_cell {
    struct wrong_cell *next; /* row by row */
    uint32_t row;
    uint16_t column;
    struct text text; /* as it stood there, cut */
};
/* compute: a template's cell could not be computed; that is told, and the row goes on. */
enum check_rule {
    RULE_MISSING,
    RULE_RANGE,
    RULE_LENGTH,
    RULE_UNIQUE,
    RULE_ENUM,
    RULE_TIME,
    RULE_UTF8,
    RULE_TYPE,
    RULE_PATTERN,
    RULE_COMPUTE,
    RULE_COUNT
};
extern const char *const check_rule_names[RULE_COUNT];

enum { BATCH_COLUMNS_MAX = COLUMN_COUNT + OTHER_COLUMNS_MAX };

struct batch {
    unsigned magic;
    enum op op;
    enum observe_kind observe_kind;
    struct text tenant, id, name; /* name: the batch's own, the id when none was given */
    struct digest digest;         /* of op and decoded columns, see batch_digest */
    uint32_t tenant_index;
    uint32_t row_count;
    struct column columns[COLUMN_COUNT];
    struct column others[OTHER_COLUMNS_MAX];
    uint32_t other_count;
    bool reply_in_rows; /* answer in the form asked */

    uint64_t sequence; /* taken with the next three under one lock; 0: not taken */
    int64_t now_us;
    uint64_t scene_epoch, config_epoch;
    uint64_t key_seed;         /* of the account namespace; kept in the ledger, so that keys and history can be rebuilt */
    int64_t feedback_delay_us; /* of the tenant when the batch was taken; kept in the ledger for the same reason */
    int64_t duplicate_us;      /* how long a transfer's id counts as seen; 0: never */

    struct batch_facts facts;
    struct results results;
    struct wrong_cell *wrong; /* of a batch read from a text file: so that the server is told of them; NULL: none */
    struct check_note *notes;
    uint32_t note_count, note_max; /* room of notes, see batch_take_checks */
    uint32_t rule_counts[BATCH_COLUMNS_MAX][RULE_COUNT];
    struct arena arena;
};

enum { BATCH_MAGIC = 0x5b47c401 };

/* Of a known column or one of the others; empty for COLUMN_NONE. */
struct text batch_column_name(const struct batch *batch, uint16_t column);

/* Takes the arena. FAULT_memory when there is none. */
enum fault batch_init(struct batch *batch, size_t arena_bytes, struct fault_note *note);
void batch_fini(struct batch *batch); /* safe on zeroed memory */
/* facts.invalid and room for notes; done once, a second call changes nothing. Comes before the first batch_row_fails. */
enum fault batch_take_checks(struct batch *batch, uint32_t notes_max, struct fault_note *note);
/* The other facts arrays, cleared; those of absent columns stay NULL. In a batch of observations or of entries of lists payer is the
 * account, payee the contact, payer_device, _address and _network are its device, address and network; a label batch has both device
 * arrays. Done once; in_batch is taken by feature. */
enum fault batch_take_facts(struct batch *batch, struct fault_note *note);
/* Every results array, cleared, and one empty reason block per slice. */
enum fault batch_take_results(struct batch *batch, struct fault_note *note);
enum fault batch_take_rule(struct batch *batch, struct fault_note *note);  /* likewise, of a tenant with rules */
enum fault batch_take_would(struct batch *batch, struct fault_note *note); /* after it, of a batch that may be monitored */
uint32_t batch_slice_count(const struct batch *batch);
/* Marks the row invalid, counts the rule, keeps a note while there is room. Only before the batch is cut into slices.
 * COLUMN_NONE: the row as a whole, not counted by column. */
void batch_row_fails(struct batch *batch, uint32_t row, uint16_t column, enum check_rule rule, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same, but the row goes on. */
void batch_row_tells(struct batch *batch, uint32_t row, uint16_t column, enum check_rule rule, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* XXH3-128 over op, observe kind, batch name and the decoded columns in name order: the same for str or dict, for
 * rows or columns, for any map order; a column without a valid cell counts as absent. row_hashes: scratch of row_count. */
struct digest batch_digest(const struct batch *batch, uint64_t secret, uint64_t *row_hashes);

/* One 64-bit hash per row of a text column (0 where null, never 0 otherwise). Dict values are hashed once with
 * value_scratch (room for value_count); with NULL through a small cache. */
void column_hashes(const struct column *column, uint32_t row_count, uint64_t seed, uint64_t *out, uint64_t *value_scratch);

bool text_equal(struct text a, struct text b);
struct text text_of(const char *c_string);
void text_copy(char *out, size_t out_bytes, struct text text); /* cut to fit, never through a character; end mark set */
bool text_is_utf8(struct text text);
bool text_is_id(struct text text); /* UTF-8 without control characters */

#endif
