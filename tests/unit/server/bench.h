#ifndef TESTS_SERVER_BENCH_H
#define TESTS_SERVER_BENCH_H

/* A front on free places over a fake pipeline, and clients of it. Included behind cmocka.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"
#include "server/server.h"

#include "unit/server/fake_pipeline.h"

#define CERTIFICATE "tests/unit/server/tls_certificate.pem"
#define KEY         "tests/unit/server/tls_key.pem"

enum { LIMIT = 100000, PATIENCE_MS = 5000 };

struct bench { /* a front on free places, over a fake pipeline */
    struct config config;
    struct pipeline *pipeline;
    struct server_front *front;
    char folder[32];
    int port;
};

static inline int port_free(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline struct bench *bench_make(uint32_t in_flight_max, uint32_t connections_max)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct config *config = &bench->config;
    strcpy(bench->folder, "/tmp/sluice-front-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    bench->pipeline = fake_open(LIMIT);
    bench->port = port_free();
    config->in_flight_max = in_flight_max;
    config->connections_max = connections_max;
    config->limits = BATCH_LIMITS_DEFAULT;
    config->limits.message_bytes_max = LIMIT;
    config->data_listen_count = config->admin_listen_count = 1;
    snprintf(config->data_listen[0], sizeof config->data_listen[0], "tcp://127.0.0.1:%d", bench->port);
    snprintf(config->admin_listen[0], sizeof config->admin_listen[0], "ipc://%s/admin", bench->folder);
    return bench;
}

static inline void bench_open(struct bench *bench)
{
    struct fault_note note = {0};
    if (server_front_open(&bench->front, &bench->config, bench->pipeline, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
}

static inline void bench_close(struct bench *bench)
{
    server_front_close(&bench->front);
    assert_null(bench->front);
    fake_close(bench->pipeline);
    rmdir(bench->folder);
    free(bench);
}

static inline nng_socket dial_tls(const char *url, nng_tls_config *tls)
{
    nng_socket client;
    nng_dialer dialer;
    assert_int_equal(nng_req0_open(&client), 0);
    nng_socket_set_ms(client, NNG_OPT_RECVTIMEO, PATIENCE_MS);
    nng_socket_set_ms(client, NNG_OPT_SENDTIMEO, PATIENCE_MS);
    nng_socket_set_ms(client, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    nng_socket_set_ms(client, NNG_OPT_RECONNMINT, 10);
    nng_socket_set_ms(client, NNG_OPT_RECONNMAXT, 50);
    assert_int_equal(nng_dialer_create(&dialer, client, url), 0);
    if (tls)
        assert_int_equal(nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls), 0);
    assert_int_equal(nng_dialer_start(dialer, NNG_FLAG_NONBLOCK), 0);
    return client;
}

static inline nng_socket dial(const char *url)
{
    return dial_tls(url, NULL);
}

/* An envelope; token as long as filler says, to make it large. It stands behind the id, or before it. */
static inline void tell_so(nng_socket client, const char *op, const char *id, size_t filler, bool id_last)
{
    struct wire_buffer out = {0};
    char *token = memset(malloc(filler + 1), 'x', filler + 1);
    wire_pack_map(&out, 4);
    wire_pack_text(&out, "v");
    wire_pack_i64(&out, 1);
    wire_pack_text(&out, "op");
    wire_pack_text(&out, op);
    for (unsigned i = 0; i < 2; i++) {
        bool is_id = (i == 0) != id_last;
        wire_pack_text(&out, is_id ? "id" : "token");
        wire_pack_str(&out, is_id ? text_of(id) : (struct text){token, (uint32_t)filler});
    }
    assert_false(out.failed);
    assert_int_equal(nng_send(client, out.data, out.bytes, 0), 0);
    wire_buffer_fini(&out);
    free(token);
}

static inline void tell(nng_socket client, const char *op, const char *id, size_t filler)
{
    tell_so(client, op, id, filler, false);
}

struct answer {
    char id[64], status[16], fault[16];
    int64_t retry_after_ms;
};

static inline int heard(struct answer *out, nng_socket client)
{
    nng_msg *message;
    *out = (struct answer){.id = "", .retry_after_ms = -1};
    int result = nng_recvmsg(client, &message, 0);
    if (result != 0)
        return result;
    struct fault_note note = {0};
    struct wire_value map, value;
    const unsigned char *at = nng_msg_body(message), *end = at + nng_msg_len(message);
    assert_int_equal(wire_check(at, (size_t)(end - at), &note), FAULT_NONE);
    assert_true(wire_next(&map, &at, end));
    if (wire_find(&value, &map, "id"))
        text_copy(out->id, sizeof out->id, value.text);
    if (wire_find(&value, &map, "status"))
        text_copy(out->status, sizeof out->status, value.text);
    if (wire_find(&value, &map, "fault"))
        text_copy(out->fault, sizeof out->fault, value.text);
    if (wire_find(&value, &map, "retry_after_ms"))
        out->retry_after_ms = value.integer;
    nng_msg_free(message);
    return 0;
}

static inline struct answer hear(nng_socket client)
{
    struct answer answer;
    int result = heard(&answer, client);
    if (result != 0)
        fail_msg("no answer: %s", nng_strerror(result));
    return answer;
}

static inline struct answer ask(nng_socket client, const char *op, const char *id)
{
    tell(client, op, id, 8);
    return hear(client);
}

static inline void wait_for(struct pipeline *pipeline, const unsigned *count, unsigned wanted)
{
    for (int i = 0; fake_count(pipeline, count) != wanted; i++) {
        if (i == PATIENCE_MS)
            fail_msg("count is %u, not %u", fake_count(pipeline, count), wanted);
        sleep_ms(1);
    }
}

/* A client that speaks the transport's bytes itself, and so need not read. */
static inline int dial_raw(int port)
{
    static const unsigned char greeting[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0}; /* REQ */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    unsigned char theirs[8];
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
    assert_int_equal(recv(fd, theirs, sizeof theirs, MSG_WAITALL), sizeof theirs);
    return fd;
}

static inline void tell_raw(int fd, uint32_t number)
{
    static const char body[] = "\x82\xa1v\x01\xa2op\xa5query"; /* {v: 1, op: "query"} */
    unsigned char frame[12 + sizeof body - 1] = {
        [7] = (unsigned char)(4 + sizeof body - 1), [8] = 0x80, [10] = (unsigned char)(number >> 8), [11] = (unsigned char)number};
    memcpy(frame + 12, body, sizeof body - 1);
    assert_int_equal(send(fd, frame, sizeof frame, MSG_NOSIGNAL), sizeof frame);
}

#endif
