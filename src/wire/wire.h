#ifndef SLUICE_WIRE_WIRE_H
#define SLUICE_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"

/* msgpack ⇄ batch and reply. Pure functions; the only user of msgpack.h. Bytes are hostile until wire_check has passed. */

/* One pass over the bytes: depth ≤ 16, every container count ≤ bytes left, exactly one object. Allocates nothing. */
enum fault wire_check(const void *bytes, size_t byte_count, struct fault_note *note);

/* The envelope: every field borrowed from the message; the fields on the wire are envelope.tbl. */
struct request {
    int version;
    enum op op;
    struct text tenant, token, id, batch; /* batch: the id when absent */
    int64_t deadline_ms;                  /* from receipt; 0: none */
    enum observe_kind observe_kind;
    bool in_rows;        /* the batch came as `transfers`; of an op without rows: reply_in_rows */
    bool reply_in_rows;  /* `form`, or the form that the batch came in */
    struct text product; /* of all rows; empty: the rows say it */
    uint8_t language;    /* enum language + 1; 0: the tenant's */
    uint32_t row_count;
    size_t arena_bytes;        /* the arena that this very batch needs, feature_in_batch_bytes aside; ≤ batch_arena_bytes */
    const unsigned char *body; /* value of `columns` or `transfers` */
    size_t body_bytes;
    /* of query, transfer also of explain; empty or 0 when absent */
    struct text transfer, account, scene, best_scene, cursor, verdict, level;
    struct text list;                    /* of list.list */
    struct text connector, state, entry; /* of connect.list and connect.resend; entry also of case.show, state of report */
    struct text why, part, fields;       /* of consolidate and report; the last two as messages, empty when absent */
    int64_t from_us, to_us, rows_max;
    struct base_request { /* of base.put and its like; empty or 0 when absent */
        struct text base, digest, signature, path, data, golden;
        int64_t bytes, offset;
    } base;
};
/* Of checked bytes. On a fault `id` is set if it could be read, so that the reply can name it. */
enum fault wire_request_read(struct request *out, const void *bytes, size_t byte_count, const struct batch_limits *limits,
                             struct fault_note *note);

/* The id of a message of which nothing else is read, for the fault that answers it: empty when there is none, or when it stands
 * behind more than 4,096 values. The bytes need not be checked. */
struct text wire_peek_id(const void *bytes, size_t byte_count, const struct batch_limits *limits);

/* The rows of the request into the batch (columns become views into the message; rows form is copied to the arena).
 * Structure only: types, sizes, offsets, codes, bitmaps. What a row must have is intake's. */
/* In rows form a cell of the wrong type makes its row invalid with a note (facts.invalid is then there). */
enum fault wire_batch_read(struct batch *batch, const struct request *request, const struct batch_limits *limits, struct fault_note *note);

/* Growing output; give back with wire_buffer_fini. failed: memory ran out, bytes are not to be used. */
struct wire_buffer {
    char *data;
    size_t bytes, capacity;
    bool failed;
};
void wire_buffer_fini(struct wire_buffer *buffer);

struct reply_names { /* code tables and provenance of a verdict reply */
    const char *const *scenes;
    uint32_t scene_count;
    const char *const *risk_types;
    uint32_t risk_type_count;
    const char *const *countermeasures;
    uint32_t countermeasure_count; /* name, text in each language, correct, confirm; 0x1f between; what is at the end may be left out */
    enum language language;        /* of the texts of countermeasures */
    const char *const *rules;      /* of tenants, by number */
    uint32_t rule_count;           /* 0: there are none */
    const char *base_name, *base_version, *base_digest, *config_digest, *kernel;
    bool with_margins; /* caller has the explain right: reasons carry values and shares */
    const char *const *features;
    uint32_t feature_count;
    uint32_t waited_ms; /* for a worker; 0: not worth a word. Never of a stored reply */
};
/* Verdict reply of screen, score and result: columns or rows as batch->reply_in_rows says. */
enum fault wire_reply_verdicts(struct wire_buffer *out, const struct batch *batch, const struct reply_names *names,
                               struct fault_note *note);
/* What a reply has at the most: beside rows; of each row in columns; of each row in rows, its transfer_id aside. */
enum { REPLY_HEAD_BYTES = 448 << 10, REPLY_ROW_BYTES = 106 };
size_t wire_reply_row_bytes(const struct reply_names *names);
/* Reply of import, observe, label: sequence, row count, notes. waited_ms: as above. */
enum fault wire_reply_done(struct wire_buffer *out, const struct batch *batch, uint32_t waited_ms, struct fault_note *note);
void wire_reply_fault(struct wire_buffer *out, struct text id, const struct fault_note *fault); /* never fails but for memory */

/* Plain maps for hello, status, query, stats, health: a small writer over msgpack-c. */
void wire_pack_map(struct wire_buffer *out, uint32_t pairs);
void wire_pack_array(struct wire_buffer *out, uint32_t count);
void wire_pack_text(struct wire_buffer *out, const char *text);
void wire_pack_str(struct wire_buffer *out, struct text text);
void wire_pack_i64(struct wire_buffer *out, int64_t value);
void wire_pack_f64(struct wire_buffer *out, double value);
void wire_pack_bool(struct wire_buffer *out, bool value);
void wire_pack_nil(struct wire_buffer *out);
void wire_pack_bin(struct wire_buffer *out, const void *bytes, size_t byte_count);

/* Reading a reply (client side) or any checked object: a cursor over checked bytes. */
enum wire_type { WIRE_NIL, WIRE_BOOL, WIRE_INT, WIRE_FLOAT, WIRE_STR, WIRE_BIN, WIRE_ARRAY, WIRE_MAP, WIRE_EXT };
struct wire_value {
    enum wire_type type;
    int64_t integer;               /* WIRE_INT, WIRE_BOOL */
    double real;                   /* WIRE_FLOAT; integers beyond INT64_MAX count as floats */
    struct text text;              /* WIRE_STR, WIRE_BIN: borrowed */
    uint32_t count;                /* WIRE_ARRAY: items, WIRE_MAP: pairs */
    const unsigned char *at, *end; /* of the value's own bytes; items of containers begin at `inside` */
    const unsigned char *inside;
};
/* The value at `at`; `at` moves behind it (over its whole content). Only after wire_check. false: no more. */
bool wire_next(struct wire_value *out, const unsigned char **at, const unsigned char *end);
bool wire_find(struct wire_value *out, const struct wire_value *map, const char *key);
const char *wire_type_name(enum wire_type type); /* "nil", "an integer", ... */

/* Text files into batches, for tools: header line names the columns; money and times are integers. row = line.
 * A cell that cannot be read, or a line with too many or too few, makes its row invalid with a note (facts.invalid is then there). */
struct csv_reader;
enum fault csv_open(struct csv_reader **out, const char *path, const struct batch_limits *limits,
                    struct fault_note *note); /* "-": standard input */
enum fault csv_open_bytes(struct csv_reader **out, const void *bytes, size_t byte_count, const struct batch_limits *limits,
                          struct fault_note *note);
/* The next at most rows_max rows in batch (batch_init'ed, arena_reset by the caller); 0 rows: end. Reads .csv and .jsonl alike. */
enum fault csv_read(struct csv_reader *reader, struct batch *batch, uint32_t rows_max, struct fault_note *note);
/* Puts the file beside the line into a fault of the two above, for those who read several; open and read alike. */
enum fault csv_fault_of(struct fault_note *note, const char *path, enum fault fault);
void csv_close(struct csv_reader **reader_p);
/* A request as the client library sends it: in columns form, in rows form where a cell of a text file could not be read. */
enum fault wire_request_write(struct wire_buffer *out, const struct batch *batch, struct text token, int64_t deadline_ms,
                              struct fault_note *note);

#endif
