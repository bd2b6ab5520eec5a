#ifndef SLUICE_TESTS_CLIENT_FAKE_H
#define SLUICE_TESTS_CLIENT_FAKE_H

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "wire/wire.h"

/* nng frees what belonged to a connection on threads of its own, now and then after main has returned, and loses a message
 * that it is just giving to a broken connection. What is ours is counted by memory_live_count. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so";
}

/* A server of a few lines in this process: what it answers is a function of the test. */

enum { FAKE_THREADS = 8, FAKE_REQUEST_BYTES = 4096 };
enum fake_act { FAKE_ANSWER, FAKE_HANG_UP, FAKE_SILENCE };

struct fake;
typedef enum fake_act fake_fn(struct fake *fake, const struct wire_value *request, unsigned nth, struct wire_buffer *reply);

struct fake {
    char url[128];
    nng_socket socket;
    pthread_t threads[FAKE_THREADS];
    fake_fn *answer; /* of everything but hello; nth counts from 0 */
    int64_t protocol, message_bytes, rows;
    const char *hello_fault;
    atomic_bool stopping;
    atomic_uint requests, hellos, busy, busiest;
    pthread_mutex_t lock;
    unsigned char first[FAKE_REQUEST_BYTES]; /* of the first request, to compare resends with */
    size_t first_bytes;
    atomic_uint unlike_first;
};

static void fake_text(struct wire_buffer *out, const char *key, const char *value)
{
    wire_pack_text(out, key);
    wire_pack_text(out, value);
}

static void fake_i64(struct wire_buffer *out, const char *key, int64_t value)
{
    wire_pack_text(out, key);
    wire_pack_i64(out, value);
}

static void fake_ok(struct wire_buffer *out, uint32_t further)
{
    wire_pack_map(out, 3 + further);
    fake_i64(out, "v", 1);
    fake_text(out, "id", "");
    fake_text(out, "status", "ok");
}

static inline void fake_fault(struct wire_buffer *out, enum fault fault, uint32_t retry_after_ms, const char *text)
{
    struct fault_note note = {0};
    fault_set(&note, fault, ROW_NONE, COLUMN_NONE, "%s", text);
    note.retry_after_ms = retry_after_ms;
    wire_reply_fault(out, text_of(""), &note);
}

static void fake_hello(struct fake *fake, struct wire_buffer *out)
{
    atomic_fetch_add(&fake->hellos, 1);
    if (fake->hello_fault) {
        fake_fault(out, fault_from_name(fake->hello_fault), 0, "who are you");
        return;
    }
    wire_pack_map(out, 5);
    fake_i64(out, "v", fake->protocol);
    fake_text(out, "id", "");
    fake_text(out, "status", "ok");
    wire_pack_text(out, "limits");
    wire_pack_map(out, 2);
    fake_i64(out, "message_bytes", fake->message_bytes);
    fake_i64(out, "rows", fake->rows);
    wire_pack_text(out, "columns");
    wire_pack_map(out, 1);
    fake_text(out, "amount", "i64");
}

static void fake_remember(struct fake *fake, const void *bytes, size_t byte_count)
{
    pthread_mutex_lock(&fake->lock);
    if (fake->first_bytes == 0 && byte_count <= FAKE_REQUEST_BYTES) {
        memcpy(fake->first, bytes, byte_count);
        fake->first_bytes = byte_count;
    } else if (fake->first_bytes != byte_count || memcmp(fake->first, bytes, byte_count) != 0) {
        atomic_fetch_add(&fake->unlike_first, 1);
    }
    pthread_mutex_unlock(&fake->lock);
}

static enum fake_act fake_serve(struct fake *fake, nng_msg *message, struct wire_buffer *reply)
{
    struct wire_value request, op;
    struct fault_note note = {0};
    const unsigned char *at = nng_msg_body(message);
    MUST(wire_check(at, nng_msg_len(message), &note) == FAULT_NONE);
    MUST(wire_next(&request, &at, at + nng_msg_len(message)) && wire_find(&op, &request, "op") && op.type == WIRE_STR);
    if (text_equal(op.text, text_of("hello"))) {
        fake_hello(fake, reply);
        return FAKE_ANSWER;
    }
    fake_remember(fake, nng_msg_body(message), nng_msg_len(message));
    unsigned busy = atomic_fetch_add(&fake->busy, 1) + 1, busiest = atomic_load(&fake->busiest);
    while (busy > busiest && !atomic_compare_exchange_weak(&fake->busiest, &busiest, busy))
        continue;
    enum fake_act act = fake->answer(fake, &request, atomic_fetch_add(&fake->requests, 1), reply);
    atomic_fetch_sub(&fake->busy, 1);
    return act;
}

static void *fake_run(void *argument)
{
    struct fake *fake = argument;
    nng_ctx context;
    nng_aio *aio;
    MUST(nng_ctx_open(&context, fake->socket) == 0 && nng_aio_alloc(&aio, NULL, NULL) == 0);
    while (!atomic_load(&fake->stopping)) {
        nng_aio_set_timeout(aio, 20);
        nng_ctx_recv(context, aio);
        nng_aio_wait(aio);
        if (nng_aio_result(aio) != 0)
            continue;
        nng_msg *message = nng_aio_get_msg(aio);
        nng_pipe pipe = nng_msg_get_pipe(message);
        struct wire_buffer reply = {0};
        enum fake_act act = fake_serve(fake, message, &reply);
        nng_msg_free(message);
        if (act == FAKE_HANG_UP)
            nng_pipe_close(pipe);
        if (act == FAKE_ANSWER) {
            MUST(nng_msg_alloc(&message, reply.bytes) == 0);
            memcpy(nng_msg_body(message), reply.data, reply.bytes);
            nng_aio_set_msg(aio, message);
            nng_ctx_send(context, aio);
            nng_aio_wait(aio);
            if (nng_aio_result(aio) != 0)
                nng_msg_free(nng_aio_get_msg(aio));
        }
        wire_buffer_fini(&reply);
    }
    nng_aio_free(aio);
    nng_ctx_close(context);
    return NULL;
}

static void fake_fill(struct fake *fake, fake_fn *answer)
{
    memset(fake, 0, sizeof *fake);
    fake->answer = answer;
    fake->protocol = 1;
    fake->message_bytes = 1 << 20;
    fake->rows = 100000;
    pthread_mutex_init(&fake->lock, NULL);
    MUST(nng_rep0_open(&fake->socket) == 0);
}

static void fake_start(struct fake *fake)
{
    for (int i = 0; i < FAKE_THREADS; i++)
        MUST(pthread_create(&fake->threads[i], NULL, fake_run, fake) == 0);
}

static inline void fake_open(struct fake *fake, const char *name, fake_fn *answer)
{
    fake_fill(fake, answer);
    snprintf(fake->url, sizeof fake->url, "ipc:///tmp/sluice-test-%s-%ld.ipc", name, (long)getpid());
    MUST(nng_listen(fake->socket, fake->url, NULL, 0) == 0);
    fake_start(fake);
}

/* On a free port of loopback; the file has certificate and key. */
static inline void fake_open_tls(struct fake *fake, fake_fn *answer, const char *certificate_and_key)
{
    nng_listener listener;
    nng_tls_config *tls;
    int port = 0;
    fake_fill(fake, answer);
    MUST(nng_tls_config_alloc(&tls, NNG_TLS_MODE_SERVER) == 0 && nng_tls_config_cert_key_file(tls, certificate_and_key, NULL) == 0);
    MUST(nng_listener_create(&listener, fake->socket, "tls+tcp://127.0.0.1:0") == 0);
    MUST(nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, tls) == 0 && nng_listener_start(listener, 0) == 0);
    MUST(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0);
    nng_tls_config_free(tls);
    snprintf(fake->url, sizeof fake->url, "tls+tcp://127.0.0.1:%d", port);
    fake_start(fake);
}

static void fake_close(struct fake *fake)
{
    atomic_store(&fake->stopping, true);
    for (int i = 0; i < FAKE_THREADS; i++)
        pthread_join(fake->threads[i], NULL);
    nng_close(fake->socket); /* after its contexts: nng 1.5 does not bear both at once */
    pthread_mutex_destroy(&fake->lock);
    if (strncmp(fake->url, "ipc://", 6) == 0)
        unlink(fake->url + strlen("ipc://"));
}

#endif
