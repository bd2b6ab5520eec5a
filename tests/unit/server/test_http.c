#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/http.h"
#include "server/http_watch.h"

#include "unit/server/fake_pipeline.h"

static int port_free(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static const char *dial_from = "127.0.0.1";

static int dial_with(int port, int receive_bytes)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(inet_pton(AF_INET, dial_from, &from.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    if (receive_bytes > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int dial(int port)
{
    return dial_with(port, 0);
}

/* Sends bytes as they are, reads until the server closes. */
static const char *ask(int port, const char *request)
{
    static char answer[65536];
    size_t used = 0;
    int fd = dial(port);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (ssize_t got; used + 1 < sizeof answer && (got = recv(fd, answer + used, sizeof answer - 1 - used, 0)) > 0;)
        used += (size_t)got;
    answer[used] = '\0';
    close(fd);
    return answer;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static enum fault open_at(struct server_http **out, const char *listen, struct fault_note *note)
{
    static struct config config; /* all else is off */
    snprintf(config.http_listen, sizeof config.http_listen, "%s", listen);
    return server_http_open(out, &config, note);
}

static int opened(struct server_http **out)
{
    char listen[32];
    struct fault_note note = {0};
    int port = port_free();
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    if (open_at(out, listen, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    return port;
}

static void expect(int port, const char *request, const char *status, const char *words)
{
    const char *answer = ask(port, request);
    if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || strncmp(answer + 9, status, strlen(status)) != 0 || !strstr(answer, words))
        fail_msg("expected %s … %s for %s\nis %s", status, words, request, answer);
}

static void before_the_pipeline_it_is_alive_and_not_ready(void **state)
{
    (void)state;
    struct server_http *http;
    int port = opened(&http);
    expect(port, GET("/healthz"), "200", "ok");
    expect(port, GET("/readyz"), "503", "starting");
    expect(port, GET("/metrics"), "200", "version=0.0.4");
    server_http_close(&http);
    assert_null(http);
}

static void it_tells_what_the_pipeline_tells(void **state)
{
    (void)state;
    struct server_http *http;
    struct pipeline *pipeline = fake_open(1000);
    int port = opened(&http);
    server_http_serve(http, pipeline, NULL);
    expect(port, GET("/healthz"), "200", "ok");
    expect(port, GET("/readyz"), "200", "ready");
    expect(port, GET("/metrics"), "200", "\nfake 1\n");
    fake_set(pipeline, &pipeline->standing, true);
    expect(port, GET("/healthz"), "503", "stands still");
    fake_set(pipeline, &pipeline->not_ready, true);
    expect(port, GET("/readyz"), "503", "the fake is not ready");
    server_http_close(&http);
    fake_close(pipeline);
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const missing[] = {GET("/"),         GET("/healthz/"),   GET("/healthz%00y"), GET("/%68ealthz"),
                                          GET("//healthz"), GET("/../healthz"), GET("/HEALTHZ")};
    struct server_http *http;
    int port = opened(&http);
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        expect(port, missing[i], "404", "there are");
    expect(port, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", "405", "Allow: GET, HEAD");
    expect(port, "DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405", "Allow: GET, HEAD");
    expect(port, "HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200", "Content-Length: 3");
    assert_null(strstr(ask(port, "HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "ok"));
    assert_non_null(strstr(ask(port, "rubbish\r\n\r\n"), "")); /* any answer or none; the next one counts */
    expect(port, GET("/healthz?x=1"), "200", "ok");
    server_http_close(&http);
}

static void idle_connections_do_not_shut_others_out_for_good(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct server_http *http;
    int port = opened(&http), fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = dial(port);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    const char *answer = "";
    for (int tries = 0; tries < 50 && !strstr(answer, "200"); tries++) {
        answer = ask(port, GET("/healthz"));
        sleep_ms(20);
    }
    assert_non_null(strstr(answer, "200"));
    server_http_close(&http);
}

static void one_address_leaves_room_for_others(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct server_http *http;
    int port = opened(&http), fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = dial(port);
    sleep_ms(100);
    dial_from = "127.0.0.2";
    expect(port, GET("/healthz"), "200", "ok");
    dial_from = "127.0.0.1";
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    server_http_close(&http);
}

static void a_large_request_is_cut_off(void **state)
{
    (void)state;
    enum { BYTES = 200000 };
    struct server_http *http;
    int port = opened(&http);
    char *request = malloc(BYTES + 1);
    memset(request, 'a', BYTES);
    memcpy(request, "GET /", 5);
    request[BYTES] = '\0';
    int fd = dial(port);
    for (size_t sent = 0; sent < BYTES;) {
        ssize_t bytes = send(fd, request + sent, BYTES - sent, MSG_NOSIGNAL);
        if (bytes <= 0)
            break;
        sent += (size_t)bytes;
    }
    close(fd);
    free(request);
    expect(port, GET("/healthz"), "200", "ok");
    server_http_close(&http);
}

static void wrong_addresses_are_told(void **state)
{
    (void)state;
    struct server_http *http = (void *)1, *second;
    struct fault_note note = {0};
    assert_int_equal(open_at(&http, "no.such.host.:1", &note), FAULT_unavailable);
    assert_null(http);
    assert_non_null(strstr(note.text, "no.such.host"));
    assert_int_equal(open_at(&http, "9180", &note), FAULT_unavailable);
    int port = opened(&http);
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    assert_int_equal(open_at(&second, listen, &note), FAULT_unavailable);
    assert_non_null(strstr(note.text, "in use"));
    server_http_close(&http);
}

/* --- ops: who is slow, and who is a stranger ------------------------------------------------------------------------------- */

static int opened_ops(struct server_http **out, struct pipeline *pipeline, const struct http_patience *patience)
{
    static struct config config;
    struct fault_note note = {0};
    int port = port_free();
    config = (struct config){.http_ops = true, .limits = BATCH_LIMITS_DEFAULT};
    config.limits.message_bytes_max = 32 << 20;
    snprintf(config.http_listen, sizeof config.http_listen, "127.0.0.1:%d", port);
    if (server_http_open_with(out, &config, patience, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    server_http_serve(*out, pipeline, NULL);
    return port;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The bytes until the server closes, which it has to do within some seconds. */
static size_t drain(int fd)
{
    static char bytes[65536];
    size_t all = 0;
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        all += (size_t)got;
    assert_true(got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK));
    close(fd);
    return all;
}

#define POST_HEAD(token, length) \
    "POST /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer " token \
    "\r\nContent-Length: " length "\r\n\r\n"
#define PATIENT 60000

static void strangers_take_no_place(void **state)
{
    (void)state;
    enum { MANY = 24 };
    struct server_http *http;
    struct pipeline *pipeline = fake_open(1000);
    struct http_patience patience = {PATIENT, PATIENT, PATIENT, PATIENT, 1 << 20};
    int port = opened_ops(&http, pipeline, &patience), fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial(port);
        send_text(fds[i], POST_HEAD("token-of-nobody", "100") "{");
    }
    expect(port, POST_HEAD("token-of-nobody", "2") "{}", "401", "\"fault\":\"auth\"");
    expect(port, POST_HEAD(FAKE_TOKEN, "2") "{}", "200", "\"status\":\"ok\"");
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    for (int i = 0; i < HTTP_POSTS_MAX; i++) {
        fds[i] = dial(port);
        send_text(fds[i], POST_HEAD(FAKE_TOKEN, "100") "{");
    }
    sleep_ms(200);
    expect(port, POST_HEAD(FAKE_TOKEN, "2") "{}", "429", "\"fault\":\"busy\"");
    for (int i = 0; i < HTTP_POSTS_MAX; i++)
        close(fds[i]);
    server_http_close(&http);
    fake_close(pipeline);
}

/* Bytes keep coming, so that no connection is ever idle. */
static void drips_are_cut_off(void **state)
{
    (void)state;
    static const char *const begun[] = {"GET /healthz HTTP/1.1\r\nX: ", POST_HEAD(FAKE_TOKEN, "10000") "{",
                                        POST_HEAD("token-of-nobody", "10000") "{"};
    struct pipeline *pipeline = fake_open(1000);
    for (int which = 0; which < 3; which++) {
        struct server_http *http;
        struct http_patience patience = {PATIENT, PATIENT, PATIENT, PATIENT, 1 << 20};
        *(which == 0 ? &patience.head_ms : which == 1 ? &patience.body_ms : &patience.stranger_ms) = 300;
        int port = opened_ops(&http, pipeline, &patience), fd = dial(port), sent = 0;
        send_text(fd, begun[which]);
        while (sent < 500 && send(fd, "x", 1, MSG_NOSIGNAL) == 1)
            sent++, sleep_ms(10);
        assert_in_range(sent, 10, 499);
        close(fd);
        expect(port, GET("/healthz"), "200", "ok");
        server_http_close(&http);
    }
    fake_close(pipeline);
}

static void who_takes_no_answer_is_cut_off(void **state)
{
    (void)state;
    enum { REPLY = 16 << 20 };
    struct server_http *http;
    struct pipeline *pipeline = fake_open(1000);
    struct http_patience patience = {PATIENT, PATIENT, PATIENT, 400, 1 << 30};
    int port = opened_ops(&http, pipeline, &patience), fds[HTTP_POSTS_MAX];
    atomic_store(&pipeline->reply_bytes, REPLY);
    for (int i = 0; i < HTTP_POSTS_MAX; i++) {
        fds[i] = dial_with(port, 4096);
        send_text(fds[i], POST_HEAD(FAKE_TOKEN, "2") "{}");
    }
    while (atomic_load(&pipeline->large_replies) < HTTP_POSTS_MAX)
        sleep_ms(10);
    atomic_store(&pipeline->reply_bytes, 0);
    const char *answer = "";
    for (int tries = 0; tries < 400 && !strstr(answer, "HTTP/1.1 200"); tries++, sleep_ms(50))
        answer = ask(port, POST_HEAD(FAKE_TOKEN, "2") "{}");
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    uint32_t cut = 0; /* one at least: the others may be a moment younger */
    for (int i = 0; i < HTTP_POSTS_MAX; i++)
        cut += drain(fds[i]) < REPLY;
    assert_true(cut > 0);
    patience.answer_ms = PATIENT;
    server_http_close(&http);
    port = opened_ops(&http, pipeline, &patience);
    atomic_store(&pipeline->reply_bytes, REPLY);
    int fd = dial(port);
    send_text(fd, POST_HEAD(FAKE_TOKEN, "2") "{}");
    assert_true(drain(fd) >= REPLY); /* who takes it gets all of it */
    server_http_close(&http);
    fake_close(pipeline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_pipeline_it_is_alive_and_not_ready),
        cmocka_unit_test(it_tells_what_the_pipeline_tells),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(idle_connections_do_not_shut_others_out_for_good),
        cmocka_unit_test(one_address_leaves_room_for_others),
        cmocka_unit_test(a_large_request_is_cut_off),
        cmocka_unit_test(wrong_addresses_are_told),
        cmocka_unit_test(strangers_take_no_place),
        cmocka_unit_test(drips_are_cut_off),
        cmocka_unit_test(who_takes_no_answer_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
