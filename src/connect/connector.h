#ifndef SLUICE_CONNECT_CONNECTOR_H
#define SLUICE_CONNECT_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "connect/retry.h"

/* One outside system: where it is, how it is trusted, how often it is tried, and how it is. Any thread; calls block. */

struct http;
struct connector;

enum { CONNECT_SECRET_BYTES_MIN = 16, CONNECT_SECRET_BYTES_MAX = 256, CONNECT_NAME_BYTES_MAX = 143, CONNECT_ID_BYTES_MAX = 544 };

/* Never logged, never in a note; wiped by connect_secret_wipe. */
struct connect_secret {
    size_t bytes; /* 0: none */
    unsigned char data[CONNECT_SECRET_BYTES_MAX];
};
/* "file:PATH" (no one else may read it, one line end is dropped) or "env:NAME"; of at least so many bytes. */
enum fault connect_secret_read(struct connect_secret *out, const char *from, size_t least, struct fault_note *note);
void connect_secret_wipe(struct connect_secret *secret);

enum connect_outcome {
    CONNECT_DONE,    /* answered, and what a 2xx means */
    CONNECT_AGAIN,   /* worth another try with the same bytes */
    CONNECT_REFUSED, /* for good */
};

struct connect_answer {
    char *body; /* with an end mark behind it; NULL: none */
    size_t body_bytes;
    int64_t retry_after_ms; /* 0: not told */
};
void connect_answer_give(struct connect_answer *answer);

/* What a 2xx comes to; what is no answer is CONNECT_AGAIN, and a failure of the connector. The note says why. */
typedef enum connect_outcome connect_read_fn(void *context, const struct connect_answer *answer, struct fault_note *note);

struct connect_message {
    const char *recipient; /* of mail and SMS */
    const char *subject;   /* "release", "outcome": Sluice-Subject */
    const char *id;        /* Idempotency-Key, the same for every attempt, at most CONNECT_ID_BYTES_MAX bytes */
    const char *content_type;
    const void *body;
    size_t body_bytes;
    int64_t total_ms;      /* for this attempt, where that is less than the connector's; 0: the connector's */
    connect_read_fn *read; /* NULL: any 2xx is done */
    void *context;
};

/* How an attempt is made where it is no signed POST; the note says why it is not CONNECT_DONE. One call at a time. */
typedef enum connect_outcome connect_send_fn(void *context, const struct connect_message *message, struct connect_answer *out,
                                             struct fault_note *note);

struct connector_options {
    const char *name, *url;                   /* copied */
    const struct connect_secret *key, *token; /* what bodies are signed with; bearer token; NULL: none; copied */
    int64_t connect_ms, total_ms;
    size_t answer_bytes_max;
    uint32_t calls_max; /* at once; more wait */
    struct retry_policy retry;
    uint32_t failures_max; /* in a row, until the breaker opens; 0: it never does */
    int64_t open_ms;
    connect_send_fn *send; /* NULL: by POST */
    void *send_context;    /* borrowed until close */
};

struct connector_health {
    enum breaker_state breaker;
    uint32_t failures;                    /* in a row */
    int64_t last_done_us, last_failed_us; /* wall time; 0: never */
    char last_failure[160];
    uint64_t counters[16]; /* by enum connect_counter */
};
enum connect_counter {
#define COUNTER(name, help) CONNECT_COUNT_##name,
#include "connect/metrics.tbl"
#undef COUNTER
    CONNECT_COUNTERS
};
extern const char *const connect_counter_names[CONNECT_COUNTERS], *const connect_counter_helps[CONNECT_COUNTERS];
extern const char *const breaker_state_names[3]; /* closed, open, trying */

enum connect_outcome connect_status_outcome(uint32_t status); /* of HTTP */
/* http is borrowed until close. FAULT_denied: the URL is not on the allow list. */
enum fault connector_open(struct connector **out, struct http *http, const struct connector_options *options, struct fault_note *note);
void connector_close(struct connector **connector_p); /* no call is under way */
const char *connector_name(const struct connector *connector);
/* One attempt. The note says why it is not done; out is to be given whatever the outcome. */
enum connect_outcome connector_call(struct connector *connector, const struct connect_message *message, struct connect_answer *out,
                                    struct fault_note *note);
/* How long to wait behind so many failures of one message: the policy's wait, or what was told, or until the breaker lets through. */
int64_t connector_wait_ms(struct connector *connector, uint32_t failures, int64_t told_ms);
int64_t connector_closed_ms(struct connector *connector); /* how long the breaker lets nobody through; 0: it does */
void connector_health(struct connector *connector, struct connector_health *out);

#endif
