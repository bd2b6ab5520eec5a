/* What an attempt came to is told to the breaker exactly once, and counted exactly once. */
#include "connect/connector.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/secret.h"
#include "connect/http.h"

enum { CONNECTOR_MAGIC = 0x434f4e4e, HEADERS_MAX = 6, HEADER_BYTES_MAX = 3 * CONNECT_ID_BYTES_MAX + 64 };

struct connector {
    unsigned magic;
    struct http *http;
    char name[CONNECT_NAME_BYTES_MAX + 1], url[HTTP_URL_BYTES_MAX + 1];
    struct connect_secret key, token;
    int64_t connect_ms, total_ms;
    size_t answer_bytes_max;
    uint32_t calls_max;
    struct retry_policy retry;
    connect_send_fn *send;
    void *send_context;
    pthread_mutex_t lock;
    pthread_cond_t room;
    uint32_t calls; /* at the moment */
    struct breaker breaker;
    struct connector_health health;
};

const char *const connect_counter_names[CONNECT_COUNTERS] = {
#define COUNTER(name, help) #name,
#include "connect/metrics.tbl"
#undef COUNTER
};
const char *const connect_counter_helps[CONNECT_COUNTERS] = {
#define COUNTER(name, help) help,
#include "connect/metrics.tbl"
#undef COUNTER
};
const char *const breaker_state_names[3] = {[BREAKER_CLOSED] = "closed", [BREAKER_OPEN] = "open", [BREAKER_TRYING] = "trying"};

_Static_assert(CONNECT_COUNTERS <= 16, "room in connector_health");

enum fault connector_open(struct connector **out, struct http *http, const struct connector_options *options, struct fault_note *note)
{
    *out = NULL;
    if (strlen(options->name) > CONNECT_NAME_BYTES_MAX || strlen(options->url) > HTTP_URL_BYTES_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "connector %.40s: its name or URL is too long", options->name);
    enum fault fault = options->send ? FAULT_NONE : http_url_check(http, options->url, note);
    if (fault != FAULT_NONE)
        return fault;
    struct connector *connector = memory_take_zeroed(1, sizeof *connector);
    if (!connector)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a connector");
    connector->magic = CONNECTOR_MAGIC;
    connector->http = http;
    snprintf(connector->name, sizeof connector->name, "%s", options->name);
    snprintf(connector->url, sizeof connector->url, "%s", options->url);
    if (options->key)
        connector->key = *options->key;
    if (options->token)
        connector->token = *options->token;
    connector->connect_ms = options->connect_ms;
    connector->total_ms = options->total_ms;
    connector->answer_bytes_max = options->answer_bytes_max;
    connector->calls_max = options->calls_max ? options->calls_max : 1;
    connector->retry = options->retry;
    connector->send = options->send;
    connector->send_context = options->send_context;
    connector->breaker = (struct breaker){.failures_max = options->failures_max, .open_ms = options->open_ms};
    pthread_mutex_init(&connector->lock, NULL);
    pthread_cond_init(&connector->room, NULL);
    *out = connector;
    return FAULT_NONE;
}

void connector_close(struct connector **connector_p)
{
    struct connector *connector = *connector_p;
    *connector_p = NULL;
    if (!connector)
        return;
    MUST(connector->magic == CONNECTOR_MAGIC && connector->calls == 0);
    connect_secret_wipe(&connector->key);
    connect_secret_wipe(&connector->token);
    pthread_cond_destroy(&connector->room);
    pthread_mutex_destroy(&connector->lock);
    connector->magic = 0;
    memory_give(connector);
}

const char *connector_name(const struct connector *connector)
{
    return connector->name;
}

/* Visible ASCII stays, all else is %XX: an id of a submitter's never begins a header of its own. */
static bool header_escape(char *out, size_t bytes, const char *name, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = (size_t)snprintf(out, bytes, "%s: ", name);
    for (const unsigned char *at = (const unsigned char *)value; *at; at++) {
        bool plain = *at > ' ' && *at < 0x7f && *at != '%';
        if (used + (plain ? 1 : 3) >= bytes)
            return false;
        if (plain)
            out[used++] = (char)*at;
        else {
            out[used++] = '%';
            out[used++] = digits[*at >> 4];
            out[used++] = digits[*at & 15];
        }
    }
    out[used] = 0;
    return true;
}

/* HMAC-SHA256 of "<seconds>.<id>.<body>". */
static void signature_make(char *out, size_t bytes, const struct connector *connector, const struct connect_message *message)
{
    char seconds[32], hex[2 * SECRET_HASH_BYTES + 1];
    unsigned char mac[SECRET_HASH_BYTES];
    snprintf(seconds, sizeof seconds, "%lld", (long long)(clock_wall_us() / US_PER_SECOND));
    const struct secret_part parts[] = {
        {seconds, strlen(seconds)}, {".", 1}, {message->id, strlen(message->id)}, {".", 1}, {message->body, message->body_bytes}};
    secret_mac_parts(mac, connector->key.data, connector->key.bytes, parts, sizeof parts / sizeof parts[0]);
    secret_to_hex(hex, mac, sizeof mac);
    snprintf(out, bytes, "Sluice-Signature: t=%s,v1=%s", seconds, hex);
}

static enum fault call_http(struct connector *connector, const struct connect_message *message, struct http_answer *answer,
                            struct fault_note *note)
{
    char text[HEADERS_MAX][HEADER_BYTES_MAX];
    const char *headers[HEADERS_MAX];
    uint32_t count = 0;
    if (!header_escape(text[count++], HEADER_BYTES_MAX, "Idempotency-Key", message->id))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "an id of more than %d bytes", CONNECT_ID_BYTES_MAX);
    snprintf(text[count++], HEADER_BYTES_MAX, "Content-Type: %s", message->content_type);
    snprintf(text[count++], HEADER_BYTES_MAX, "Sluice-Subject: %s", message->subject);
    snprintf(text[count++], HEADER_BYTES_MAX, "Expect:"); /* no round trip before the body */
    if (connector->key.bytes)
        signature_make(text[count++], HEADER_BYTES_MAX, connector, message);
    if (connector->token.bytes)
        snprintf(text[count++], HEADER_BYTES_MAX, "Authorization: Bearer %.*s", (int)connector->token.bytes,
                 (const char *)connector->token.data);
    for (uint32_t i = 0; i < count; i++)
        headers[i] = text[i];
    bool is_short = message->total_ms > 0 && message->total_ms < connector->total_ms;
    const struct http_request request = {.url = connector->url,
                                         .headers = headers,
                                         .header_count = count,
                                         .body = message->body,
                                         .body_bytes = message->body_bytes,
                                         .connect_ms = connector->connect_ms,
                                         .total_ms = is_short ? message->total_ms : connector->total_ms,
                                         .answer_bytes_max = connector->answer_bytes_max};
    enum fault fault = http_call(connector->http, &request, answer, note);
    secret_wipe(text, sizeof text);
    return fault;
}

/* A refusal of the message itself is for good. What says that the way is wrong (a credential, a path, a redirect) is put right by
 * the operator, and the message then goes. */
enum connect_outcome connect_status_outcome(uint32_t status)
{
    switch (status) {
    case 400:
    case 409:
    case 410:
    case 413:
    case 415:
    case 422:
        return CONNECT_REFUSED;
    default:
        return status >= 200 && status < 300 ? CONNECT_DONE : CONNECT_AGAIN;
    }
}

static void call_begin(struct connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    while (connector->calls >= connector->calls_max)
        pthread_cond_wait(&connector->room, &connector->lock);
    connector->calls++;
    pthread_mutex_unlock(&connector->lock);
}

static bool call_admit(struct connector *connector, size_t body_bytes, struct fault_note *note)
{
    pthread_mutex_lock(&connector->lock);
    int64_t now_ns = clock_steady_ns();
    bool admitted = breaker_admit(&connector->breaker, now_ns);
    if (admitted) {
        connector->health.counters[CONNECT_COUNT_calls]++;
        connector->health.counters[CONNECT_COUNT_out_bytes] += body_bytes;
    } else {
        connector->health.counters[CONNECT_COUNT_kept_back]++;
        fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "%s: kept back after %u failures", connector->name,
                  connector->breaker.failures);
        if (note)
            note->retry_after_ms = (uint32_t)breaker_wait_ms(&connector->breaker, now_ns);
    }
    pthread_mutex_unlock(&connector->lock);
    return admitted;
}

/* Under the lock. */
static void failure_note(struct connector *connector, const char *why)
{
    enum breaker_state before = connector->breaker.state;
    breaker_tell(&connector->breaker, false, clock_steady_ns());
    connector->health.counters[CONNECT_COUNT_failed]++;
    connector->health.last_failed_us = clock_wall_us();
    snprintf(connector->health.last_failure, sizeof connector->health.last_failure, "%s", why);
    if (connector->breaker.state == BREAKER_OPEN && before == BREAKER_CLOSED)
        log_line(LOG_WARN, "connect", "%s: not asked for %lld ms after %u failures: %s", connector->name,
                 (long long)connector->breaker.open_ms, connector->breaker.failures, why);
}

static void call_end(struct connector *connector, bool begun, enum connect_outcome outcome, size_t answer_bytes, const char *why)
{
    pthread_mutex_lock(&connector->lock);
    connector->calls--;
    pthread_cond_signal(&connector->room);
    if (begun && outcome == CONNECT_AGAIN)
        failure_note(connector, why);
    else if (begun) {
        if (connector->breaker.state != BREAKER_CLOSED)
            log_line(LOG_INFO, "connect", "%s: answers again", connector->name);
        breaker_tell(&connector->breaker, true, 0);
        connector->health.counters[outcome == CONNECT_DONE ? CONNECT_COUNT_delivered : CONNECT_COUNT_refused]++;
        if (outcome == CONNECT_DONE)
            connector->health.last_done_us = clock_wall_us();
        else
            snprintf(connector->health.last_failure, sizeof connector->health.last_failure, "%s", why);
    }
    connector->health.counters[CONNECT_COUNT_in_bytes] += answer_bytes;
    pthread_mutex_unlock(&connector->lock);
}

static enum connect_outcome post(struct connector *connector, const struct connect_message *message, struct connect_answer *out,
                                 struct fault_note *note)
{
    struct http_answer answer = {0};
    enum connect_outcome outcome = CONNECT_AGAIN;
    if (call_http(connector, message, &answer, note) == FAULT_NONE) {
        outcome = connect_status_outcome(answer.status);
        if (outcome != CONNECT_DONE)
            fault_set(note, outcome == CONNECT_REFUSED ? FAULT_denied : FAULT_unavailable, ROW_NONE, COLUMN_NONE, "%s: HTTP status %u",
                      connector->name, answer.status);
    }
    *out = (struct connect_answer){.body = answer.body, .body_bytes = answer.body_bytes, .retry_after_ms = answer.retry_after_ms};
    return outcome;
}

enum connect_outcome connector_call(struct connector *connector, const struct connect_message *message, struct connect_answer *out,
                                    struct fault_note *note)
{
    MUST(connector->magic == CONNECTOR_MAGIC);
    struct fault_note own = {0};
    note = note ? note : &own;
    *out = (struct connect_answer){0};
    call_begin(connector);
    bool begun = call_admit(connector, message->body_bytes, note);
    enum connect_outcome outcome = CONNECT_AGAIN;
    if (begun)
        outcome = connector->send ? connector->send(connector->send_context, message, out, note) : post(connector, message, out, note);
    if (outcome == CONNECT_DONE && message->read)
        outcome = message->read(message->context, out, note);
    call_end(connector, begun, outcome, out->body_bytes, note->text);
    if (!begun)
        out->retry_after_ms = note->retry_after_ms;
    return outcome;
}

int64_t connector_closed_ms(struct connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    int64_t closed = breaker_wait_ms(&connector->breaker, clock_steady_ns());
    pthread_mutex_unlock(&connector->lock);
    return closed;
}

int64_t connector_wait_ms(struct connector *connector, uint32_t failures, int64_t told_ms)
{
    uint64_t random;
    secret_random(&random, sizeof random);
    int64_t wait = retry_wait_ms(&connector->retry, failures, random);
    int64_t closed = connector_closed_ms(connector);
    wait = told_ms > wait ? told_ms : wait;
    return closed > wait ? closed : wait;
}

void connector_health(struct connector *connector, struct connector_health *out)
{
    pthread_mutex_lock(&connector->lock);
    *out = connector->health;
    out->breaker = connector->breaker.state;
    out->failures = connector->breaker.failures;
    pthread_mutex_unlock(&connector->lock);
}

void connect_answer_give(struct connect_answer *answer)
{
    memory_give(answer->body);
    *answer = (struct connect_answer){0};
}
