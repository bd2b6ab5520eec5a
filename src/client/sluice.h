#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libsluice: hand batches to a Sluice server and read its verdicts. Self-contained: no other header of the project.
 * A sluice_client is safe from any thread. Calls return 0 or an enum sluice_error; sluice_error_text tells more. */

#define SLUICE_PROTOCOL 1

enum sluice_error {
    SLUICE_OK = 0,
    SLUICE_FAULT,        /* the server answered with a fault: sluice_reply_fault */
    SLUICE_UNREACHABLE,  /* nobody answered; the batch's state is unknown: ask sluice_status, send the same id again */
    SLUICE_TIMEOUT,      /* the time given was up; the state is unknown */
    SLUICE_MEMORY,
    SLUICE_ARGUMENT,     /* a wrong argument; nothing was sent */
    SLUICE_PROTOCOL_ERROR /* the answer is not of this protocol */
};

struct sluice_client;
struct sluice_batch;
struct sluice_reply;
struct sluice_call;

struct sluice_options {
    const char *const *urls;   /* servers; screen and all that changes state goes to urls[0] alone, score to the least loaded */
    size_t url_count;
    const char *tenant, *token;
    int64_t timeout_ms;        /* of one call, resends included; 0: 60000 */
    size_t in_flight_max;      /* asynchronous calls at once; 0: 16 */
    const char *tls_ca_file;   /* for tls+tcp; NULL: none */
    const char *tls_server_name;
};

int sluice_open(struct sluice_client **out, const struct sluice_options *options, char *error, size_t error_bytes);
void sluice_close(struct sluice_client **client_p);

/* A batch to send: columns are borrowed until the call returns (or the asynchronous one is done). */
int sluice_batch_new(struct sluice_batch **out, const char *id, uint32_t row_count);
void sluice_batch_free(struct sluice_batch **batch_p);
int sluice_batch_name(struct sluice_batch *batch, const char *name); /* batch name other than the id */
int sluice_batch_i64(struct sluice_batch *batch, const char *column, const int64_t *values, const uint8_t *valid_bitmap);
int sluice_batch_str(struct sluice_batch *batch, const char *column, const uint32_t *offsets, const char *data, const uint8_t *valid_bitmap);
int sluice_batch_dict16(struct sluice_batch *batch, const char *column, const uint16_t *codes, const char *const *values, uint32_t value_count, const uint8_t *valid_bitmap);

/* Blocking calls. op: "screen", "score", "import", "label"; observe takes its kind behind a colon: "observe:use". */
int sluice_call(struct sluice_client *client, const char *op, const struct sluice_batch *batch, int64_t deadline_ms, struct sluice_reply **out);
/* Asynchronous: at most in_flight_max at once (waits for room). done runs on a library thread. */
typedef void sluice_done_fn(void *context, int error, struct sluice_reply *reply); /* reply is yours, may be NULL */
int sluice_call_async(struct sluice_client *client, const char *op, const struct sluice_batch *batch, int64_t deadline_ms, sluice_done_fn *done, void *context);
int sluice_wait_all(struct sluice_client *client);

/* Without rows: "hello", "status", "result", "stats", "health"; name: batch name or NULL. */
int sluice_ask(struct sluice_client *client, const char *op, const char *name, struct sluice_reply **out);
struct sluice_query { const char *batch, *transfer, *account, *scene, *verdict, *cursor; int64_t from_us, to_us; uint32_t rows_max; };
int sluice_query(struct sluice_client *client, const struct sluice_query *query, struct sluice_reply **out);

/* A reply. Columns are valid until sluice_reply_free; NULL where the reply has none of that name. */
void sluice_reply_free(struct sluice_reply **reply_p);
const char *sluice_reply_fault(const struct sluice_reply *reply);      /* NULL: ok */
const char *sluice_reply_text(const struct sluice_reply *reply);       /* first note or "" */
int64_t sluice_reply_retry_after_ms(const struct sluice_reply *reply);
uint32_t sluice_reply_rows(const struct sluice_reply *reply);
const uint8_t *sluice_reply_u8(const struct sluice_reply *reply, const char *column);   /* verdict, level, cause, scene, runner_up, risk_type, countermeasure */
const float *sluice_reply_f32(const struct sluice_reply *reply, const char *column);    /* match, runner_match, risk, anomaly_own, anomaly_linked, distance_* */
const char *sluice_reply_name(const struct sluice_reply *reply, const char *table, uint32_t code); /* "verdict", "scene", "risk_type", … */
size_t sluice_reply_note_count(const struct sluice_reply *reply);
int sluice_reply_note(const struct sluice_reply *reply, size_t index, uint32_t *row, const char **column, const char **text);
/* The i-th reason (0 = strongest) of a row that did not pass: feature name, value, share; 0 when there is none. */
int sluice_reply_reason(const struct sluice_reply *reply, uint32_t row, size_t index, const char **feature, float *value, float *share);
const char *sluice_reply_string(const struct sluice_reply *reply, const char *key);     /* base, base_version, kernel, … */
int64_t sluice_reply_integer(const struct sluice_reply *reply, const char *key, int64_t fallback);
const void *sluice_reply_bytes(const struct sluice_reply *reply, size_t *byte_count);   /* the msgpack message itself */

const char *sluice_error_name(int error);

#ifdef __cplusplus
}
#endif
#endif
