#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libsluice: hand batches to a Sluice server and read its verdicts. Self-contained: no other header of the project.
 * A sluice_client is safe from any thread. Calls return 0 or an enum sluice_error; where a reply is given beside it,
 * sluice_reply_fault and sluice_reply_text tell more. */

#define SLUICE_API      __attribute__((visibility("default")))
#define SLUICE_PROTOCOL 1

enum sluice_error {
    SLUICE_OK = 0,
    SLUICE_FAULT,       /* refused with a fault, by the server or by its limits before sending: sluice_reply_fault */
    SLUICE_UNREACHABLE, /* nobody answered; the batch's state is unknown: ask for its status, send the same id again */
    SLUICE_TIMEOUT,     /* the time given was up, and what became of it could not be learnt either; the state is unknown */
    SLUICE_MEMORY,
    SLUICE_ARGUMENT,      /* a wrong argument; nothing was sent */
    SLUICE_PROTOCOL_ERROR /* the answer is not of this protocol */
};

struct sluice_client;
struct sluice_batch;
struct sluice_reply;

struct sluice_options {
    const char *const *urls; /* servers; screen and all that changes state goes to urls[0] alone, score to the least loaded */
    size_t url_count;
    const char *tenant, *token;
    /* Of one call, resends and waiting for a busy server included; 0: 60000. Behind it a call that changes state asks what became of
     * it, and sends the same id once more: a quarter of the time longer, 5 s at the most. */
    int64_t timeout_ms;
    size_t in_flight_max;        /* asynchronous calls at once; 0: 16 */
    const char *tls_ca_file;     /* PEM, for tls+tcp; NULL: none */
    const char *tls_server_name; /* name that the certificate must bear; NULL: the url's host */
};

/* Greets urls[0] and checks version and limits. On an error writes why. Takes at most 5 s when nobody is there. */
SLUICE_API int sluice_open(struct sluice_client **out, const struct sluice_options *options, char *error, size_t error_bytes);
/* Calls still in flight end with SLUICE_UNREACHABLE. No other thread may be in a call. */
SLUICE_API void sluice_close(struct sluice_client **client_p);

/* A batch to send: columns are borrowed until the last call with it has returned; id and names are copied. Numbers are
 * int64 (money in minor units, times in microseconds since the epoch, UTC). Bitmaps: LSB first, 1 valid, NULL all valid. */
SLUICE_API int sluice_batch_new(struct sluice_batch **out, const char *id, uint32_t row_count);
SLUICE_API void sluice_batch_free(struct sluice_batch **batch_p);
SLUICE_API int sluice_batch_name(struct sluice_batch *batch, const char *name); /* batch name other than the id */
SLUICE_API int sluice_batch_i64(struct sluice_batch *batch, const char *column, const int64_t *values, const uint8_t *valid_bitmap);
/* offsets: row_count + 1, from 0, never falling; text i is data[offsets[i]] to data[offsets[i + 1]]. */
SLUICE_API int sluice_batch_str(struct sluice_batch *batch, const char *column, const uint32_t *offsets, const char *data,
                                const uint8_t *valid_bitmap);
SLUICE_API int sluice_batch_dict16(struct sluice_batch *batch, const char *column, const uint16_t *codes, const char *const *values,
                                   uint32_t value_count, const uint8_t *valid_bitmap);

/* Blocking. op: "screen", "score", "import", "label"; observe takes its kind behind a colon: "observe:use".
 * deadline_ms from receipt by the server, 0: none. *out is NULL where there is no answer; else free it, whatever is returned. */
SLUICE_API int sluice_call(struct sluice_client *client, const char *op, const struct sluice_batch *batch, int64_t deadline_ms,
                           struct sluice_reply **out);
/* Asynchronous: at most in_flight_max at once (waits for room, except when called from done). When it returns, the batch
 * is free again. done runs on a library thread, once, if and only if this returned 0. */
typedef void sluice_done_fn(void *context, int error, struct sluice_reply *reply); /* reply is yours, may be NULL */
SLUICE_API int sluice_call_async(struct sluice_client *client, const char *op, const struct sluice_batch *batch, int64_t deadline_ms,
                                 sluice_done_fn *done, void *context);
SLUICE_API int sluice_wait_all(struct sluice_client *client); /* until every done has run; not from within one */

/* Without rows: "hello", "status", "result", "stats", "health"; name: batch name or NULL. */
SLUICE_API int sluice_ask(struct sluice_client *client, const char *op, const char *name, struct sluice_reply **out);
/* What is NULL or 0 does not narrow. scene kept the transfer from passing, or best_scene is its best one, whatever the verdict: one
 * of both. state: a verdict (nothing became of the row yet), released, expired, cancelled. cursor: of the page before. */
struct sluice_query {
    const char *batch, *transfer, *account, *scene, *best_scene, *verdict, *cursor;
    int64_t from_us, to_us;
    uint32_t rows_max;
    const char *state, *level;
};
SLUICE_API int sluice_query(struct sluice_client *client, const struct sluice_query *query, struct sluice_reply **out);
/* What is on the tenant's lists; needs the right list. What is NULL or 0 does not narrow. list: block, restrict or allow; value: an
 * account, device or address. Edited with sluice_call, ops "list.put" and "list.remove". */
struct sluice_list_query {
    const char *list, *value, *cursor;
    uint32_t rows_max;
};
SLUICE_API int sluice_lists(struct sluice_client *client, const struct sluice_list_query *query, struct sluice_reply **out);
/* Cases, newest first, or with entry the transfers of one, by pages; needs the right query. What is NULL or 0 does not narrow. */
struct sluice_case_query {
    const char *entry, *account, *cursor;
    uint32_t rows_max;
};
SLUICE_API int sluice_cases(struct sluice_client *client, const struct sluice_case_query *query, struct sluice_reply **out);
/* What leaves for connectors and processors; needs the right operate. What is NULL or 0 does not narrow. state: waiting, acknowledged
 * or dead. How each connector is: sluice_ask, op "connect.health". */
struct sluice_outbox_query {
    const char *connector, *state, *cursor;
    uint32_t rows_max;
};
SLUICE_API int sluice_outbox(struct sluice_client *client, const struct sluice_outbox_query *query, struct sluice_reply **out);
/* Dead letters wait again: one entry as it was listed, or with NULL all of the connector. */
SLUICE_API int sluice_resend(struct sluice_client *client, const char *connector, const char *entry, struct sluice_reply **out);
/* Why a recorded transfer got its verdict; batch: its name, NULL: the newest with that transfer_id. In full for who
 * has the right explain. */
SLUICE_API int sluice_explain(struct sluice_client *client, const char *batch, const char *transfer, struct sluice_reply **out);

/* op release or cancel: a batch that was screened; id names the change. docs/states.md. */
SLUICE_API int sluice_change(struct sluice_client *client, const char *op, const char *id, const char *batch, struct sluice_reply **out);

/* Of a second batch that reached its processor, or of a part of it; needs the right process. op consolidate: may it be executed as its
 * fields were merged? The reply's `verdict` is execute or return. op report: what became of it. docs/states.md. */
struct sluice_told {
    const char *id, *batch;       /* batch: the derived id */
    const char *const *transfers; /* the part; NULL: all */
    uint32_t transfer_count;
    const char *fields;      /* of consolidate: a JSON object */
    const char *state, *why; /* of report: executed or failed; why may be NULL */
};
SLUICE_API int sluice_tell(struct sluice_client *client, const char *op, const struct sluice_told *told, struct sluice_reply **out);

/* Scene bases in a running server; each needs the right model. sluice_ask with "base.list" tells which are there. id names the change:
 * the same id again tells what was recorded and does nothing. */
struct sluice_base {
    const char *id;
    const char *path;  /* below the server's base_folder, golden distances and signature beside it; or NULL, and: */
    const void *bytes; /* the file, borrowed */
    size_t byte_count;
    const void *golden; /* the file of golden distances, or NULL */
    size_t golden_bytes;
    const char *signature; /* what `sluice base sign` wrote, or NULL */
};
/* Goes on where a put of the same file was cut off. When it returns 0 the base is verified, kept and ready to be activated. */
SLUICE_API int sluice_base_put(struct sluice_client *client, const struct sluice_base *base, struct sluice_reply **out);
/* base: a name (the newest that was put under it) or a digest or its first 6 digits and more. Batches received after the reply are
 * scored under it. */
SLUICE_API int sluice_base_activate(struct sluice_client *client, const char *id, const char *base, struct sluice_reply **out);
SLUICE_API int sluice_base_rollback(struct sluice_client *client, const char *id,
                                    struct sluice_reply **out); /* the one before is active again */
/* base, named as above, is scored beside the active one from now on; NULL: none is. `base.compare` (sluice_ask) tells both. */
SLUICE_API int sluice_base_challenger(struct sluice_client *client, const char *base, struct sluice_reply **out);

/* A reply. What it gives is valid until sluice_reply_free; NULL where the reply has none of that name. */
SLUICE_API void sluice_reply_free(struct sluice_reply **reply_p);
SLUICE_API const char *sluice_reply_fault(const struct sluice_reply *reply); /* NULL: ok */
SLUICE_API const char *sluice_reply_text(const struct sluice_reply *reply);  /* first note or "" */
SLUICE_API int64_t sluice_reply_retry_after_ms(const struct sluice_reply *reply);
SLUICE_API uint32_t sluice_reply_rows(const struct sluice_reply *reply);
/* verdict, level, cause, scene, runner_up, risk_type, countermeasure: codes of the tables below */
SLUICE_API const uint8_t *sluice_reply_u8(const struct sluice_reply *reply, const char *column);
/* match, runner_match, risk, anomaly_own, anomaly_linked, distance_* */
SLUICE_API const float *sluice_reply_f32(const struct sluice_reply *reply, const char *column);
/* The text behind a code: table "verdict", "level", "cause", "scene", "risk_type", "countermeasure", "countermeasure_text", … */
SLUICE_API const char *sluice_reply_name(const struct sluice_reply *reply, const char *table, uint32_t code);
SLUICE_API size_t sluice_reply_note_count(const struct sluice_reply *reply);
/* 0, or SLUICE_ARGUMENT past the last note. row: UINT32_MAX where the note is about the whole; column may be "". */
SLUICE_API int sluice_reply_note(const struct sluice_reply *reply, size_t index, uint32_t *row, const char **column, const char **text);
/* The index-th reason (0 = strongest) of a row that did not pass: feature name, value, share (NaN where the credential
 * may not see them). 1 when there is one, else 0. */
SLUICE_API int sluice_reply_reason(const struct sluice_reply *reply, uint32_t row, size_t index, const char **feature, float *value,
                                   float *share);
SLUICE_API const char *sluice_reply_string(const struct sluice_reply *reply, const char *key); /* base, base_version, kernel, … */
SLUICE_API int64_t sluice_reply_integer(const struct sluice_reply *reply, const char *key, int64_t fallback);
SLUICE_API const void *sluice_reply_bytes(const struct sluice_reply *reply, size_t *byte_count); /* the msgpack message itself */

SLUICE_API const char *sluice_error_name(int error);

#ifdef __cplusplus
}
#endif
#endif
