/* Every op by HTTP: the same answers as by the sockets, by a real client of HTTP; and clients that are slow, wrong or too large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batch/batch.h"
#include "flow/harness.h"
#include "pipeline/config.h"

enum { ROWS = 200, TEXT_BYTES = 1 << 20, MESSAGE_MAX = 256 << 10 };

static struct table *fresh;
static struct server server;
static char body_path[256], answer_path[256], answer[TEXT_BYTES];

#define JSON  "-H 'Content-Type: application/json'"
#define TOKEN "-H 'Authorization: Bearer " FLOW_TOKEN "'"

/* The status; the body is in answer. */
static int curl(const char *more, const char *path)
{
    char command[1024], told[16] = "0";
    remove(answer_path);
    snprintf(command, sizeof command, "curl -s -m 30 -o %s -w '%%{http_code}' %s http://127.0.0.1:%d%s", answer_path, more,
             server.http_port, path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    if (!fgets(told, sizeof told, pipe))
        told[0] = '0';
    pclose(pipe);
    answer[0] = '\0';
    if (access(answer_path, R_OK) == 0) {
        size_t bytes;
        char *text = flow_read(answer_path, &bytes);
        snprintf(answer, sizeof answer, "%s", text);
        free(text);
    }
    return atoi(told);
}

static int post(const char *path, const char *body)
{
    char more[512];
    flow_write(body_path, body, strlen(body));
    snprintf(more, sizeof more, JSON " " TOKEN " --data-binary @%s", body_path);
    return curl(more, path);
}

static void assert_answered(const char *text)
{
    if (!strstr(answer, text))
        fail_msg("'%s' is not in: %.1500s", text, answer);
}

/* Rows of the table, labels left out, as a request. */
static const char *rows_json(const char *id, uint32_t first, uint32_t count)
{
    static char text[TEXT_BYTES];
    size_t used = (size_t)snprintf(text, sizeof text, "{\"tenant\":\"flow\",\"id\":\"%s\",\"transfers\":[", id);
    for (uint32_t row = first; row < first + count; row++) {
        const char *comma = row == first ? "{" : ",{";
        for (uint32_t i = 0; i < fresh->column_count; i++) {
            const char *name = fresh->names[i], *cell = table_cell(fresh, row, name);
            enum column_id column = column_find(text_of(name));
            bool is_text = column == COLUMN_COUNT || column_type_of((uint16_t)column) == COLUMN_TEXT;
            if (strncmp(name, "label", 5) == 0 || !*cell)
                continue;
            used += (size_t)snprintf(text + used, sizeof text - used, is_text ? "%s\"%s\":\"%s\"" : "%s\"%s\":%s", comma, name, cell);
            comma = ",";
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "}");
    }
    snprintf(text + used, sizeof text - used, "]}");
    return text;
}

static uint32_t count_of(const char *text, const char *what)
{
    uint32_t count = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        count++;
    return count;
}

/* What came by HTTP is what comes by a socket: the same id and rows there give the stored answer, no conflict. */
static void test_both_doors_say_the_same(void **state)
{
    (void)state;
    struct sluice_client *client = client_open(&server);
    assert_int_equal(post("/v1/screen", rows_json("both", 0, ROWS)), 200);
    assert_answered("\"status\":\"ok\"");
    assert_int_equal(count_of(answer, "\"transfer_id\":"), ROWS);
    uint32_t passed = count_of(answer, "\"verdict\":\"pass\"");
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, "both", 0, ROWS);
    const uint8_t *verdicts = sluice_reply_u8(reply, "verdict");
    uint32_t passed_there = 0;
    for (uint32_t i = 0; i < ROWS; i++)
        passed_there += verdicts[i] == VERDICT_PASS;
    assert_int_equal(passed, passed_there);
    sluice_reply_free(&reply);
    sluice_close(&client);
    assert_int_equal(post("/v1/status", "{\"tenant\":\"flow\",\"batch\":\"both\"}"), 200);
    assert_int_equal(post("/v1/result", "{\"tenant\":\"flow\",\"batch\":\"both\"}"), 200);
    assert_int_equal(count_of(answer, "\"verdict\":\"pass\""), passed);
    assert_int_equal(post("/v1/screen", rows_json("both", 1, ROWS)), 409);
    assert_answered("\"fault\":\"conflict\"");
    assert_int_equal(post("/v1/query", "{\"tenant\":\"flow\",\"batch\":\"both\",\"rows_max\":3}"), 200);
}

static void test_every_op(void **state)
{
    (void)state;
    char path[64];
    for (int op = 0; op < OP_COUNT; op++) {
        snprintf(path, sizeof path, "/v1/%s", op_names[op]);
        int status = post(path, "{\"tenant\":\"flow\",\"id\":\"one of each\"}");
        bool is_known = status == 200 || status == 400 || status == 403 || status == 404 || status == 409;
        if (!is_known || strstr(answer, "there is no such op") || answer[0] != '{')
            fail_msg("%s: %d %s", path, status, answer);
    }
    assert_int_equal(post("/v1/hello", ""), 200);
    assert_answered("\"ops\"");
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    static const char hello[] = "{\"tenant\":\"flow\",\"batch\":\"x\"}";
    char more[512];
    assert_int_equal(post("/v1/nothing", hello), 404);
    assert_int_equal(post("/v1/status/x", hello), 404);
    assert_int_equal(post("/v1/status", "{\"tenant\":\"flow\""), 400);
    assert_answered("JSON, byte 16: a comma or } must be here");
    assert_int_equal(post("/v1/status", "{\"tenant\":\"flow\",\"colour\":1}"), 400);
    assert_answered("\"fault\":\"schema\"");
    assert_int_equal(post("/v1/screen", "{\"tenant\":\"flow\",\"id\":\"rows\",\"transfers\":[{\"amount\":\"x\"}]}"), 400);
    assert_int_equal(post("/v1/status", "{\"tenant\":\"flow\",\"batch\":\"nobody knows\"}"), 404);
    flow_write(body_path, hello, sizeof hello - 1);
    snprintf(more, sizeof more, JSON " --data-binary @%s", body_path);
    assert_int_equal(curl(more, "/v1/status"), 401);
    assert_answered("Authorization must be Bearer");
    snprintf(more, sizeof more, JSON " -H 'Authorization: Bearer wrong-token-0000' --data-binary @%s", body_path);
    assert_int_equal(curl(more, "/v1/status"), 401);
    assert_answered("\"fault\":\"auth\"");
    snprintf(more, sizeof more, JSON " -H 'Authorization: Bearer " OTHER_TOKEN "' --data-binary @%s", body_path);
    assert_int_equal(curl(more, "/v1/status"), 401);
    snprintf(more, sizeof more, TOKEN " --data-binary @%s", body_path);
    assert_int_equal(curl(more, "/v1/status"), 400);
    assert_answered("application/json");
    assert_int_equal(curl(JSON " " TOKEN, "/v1/status"), 400);
    assert_answered("POST");
    assert_int_equal(curl("", "/healthz"), 200);
    assert_int_equal(curl("-X POST", "/healthz"), 405);
}

static void test_too_large(void **state)
{
    (void)state;
    static char large[MESSAGE_MAX + 4096];
    char more[512];
    memset(large, ' ', sizeof large);
    flow_write(body_path, large, sizeof large);
    snprintf(more, sizeof more, JSON " " TOKEN " --data-binary @%s", body_path);
    assert_int_equal(curl(more, "/v1/status"), 413);
    assert_answered("\"fault\":\"limit\"");
    snprintf(more, sizeof more, JSON " " TOKEN " -H 'Transfer-Encoding: chunked' --data-binary @%s", body_path);
    assert_int_equal(curl(more, "/v1/status"), 413);
    flow_write(body_path, large, MESSAGE_MAX); /* as large as may be: all blanks, so that it asks for nothing */
    snprintf(more, sizeof more, JSON " " TOKEN " -H 'Transfer-Encoding: chunked' --data-binary @%s", body_path);
    assert_int_equal(curl(more, "/v1/hello"), 200);
    /* small as JSON, large as a message */
    size_t used = (size_t)snprintf(large, sizeof large, "{\"tenant\":\"flow\",\"x\":[");
    while (used < MESSAGE_MAX - 16)
        used += (size_t)snprintf(large + used, 16, "[],");
    snprintf(large + used, 16, "1]}");
    assert_int_equal(post("/v1/status", large), 413);
    assert_answered("as a message");
}

static int connection_open(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server.http_port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

#define HEAD \
    "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer " FLOW_TOKEN "\r\nContent-Length: "

/* Clients that begin and go to sleep take the places there are, for 10 s; probes are answered meanwhile. */
static void test_slow_clients(void **state)
{
    (void)state;
    int slow[HTTP_POSTS_MAX];
    for (int i = 0; i < HTTP_POSTS_MAX; i++) {
        slow[i] = connection_open();
        send_text(slow[i], HEAD "100\r\n\r\n{\"tenant\":");
    }
    int status = 0;
    for (int i = 0; i < 100 && status != 429; i++, sleep_ms(20))
        status = post("/v1/status", "{\"tenant\":\"flow\",\"batch\":\"both\"}");
    assert_int_equal(status, 429);
    assert_answered("\"fault\":\"busy\"");
    assert_int_equal(curl("", "/healthz"), 200);
    for (int i = 0; i < 400 && status != 200; i++, sleep_ms(50))
        status = post("/v1/status", "{\"tenant\":\"flow\",\"batch\":\"both\"}");
    assert_int_equal(status, 200);
    for (int i = 0; i < HTTP_POSTS_MAX; i++)
        close(slow[i]);
}

/* They do not wait for their answers. */
static void test_clients_that_leave(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = connection_open();
        send_text(fd, HEAD "33\r\n\r\n{\"tenant\":\"flow\",\"batch\":\"both\"} ");
        close(fd);
    }
    int status = 0;
    for (int i = 0; i < 100 && status != 200; i++, sleep_ms(50))
        status = post("/v1/status", "{\"tenant\":\"flow\",\"batch\":\"both\"}");
    assert_int_equal(status, 200);
}

static void test_off_and_tls(void **state)
{
    (void)state;
    struct server own = {0}, before = server;
    char certificate[256], key[256], command[1024], listen[768];
    server_begin(&own, &(struct server_options){.name = "off", .base = "", .http = true});
    server = own;
    assert_int_equal(post("/v1/hello", "{}"), 405);
    server_stop(&own);
    flow_path(certificate, sizeof certificate, "https.pem");
    flow_path(key, sizeof key, "https.key");
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout %s "
             "-out %s 2>/dev/null",
             key, certificate);
    assert_int_equal(system(command), 0);
    snprintf(listen, sizeof listen, "  http_ops: true\n  http_tls: true\n  tls_certificate: %s\n  tls_key: %s\n", certificate, key);
    server_begin(&own, &(struct server_options){.name = "tls", .base = "", .http = true, .listen = listen});
    server = own;
    snprintf(command, sizeof command,
             "--cacert %s --connect-to localhost:443:127.0.0.1:%d " JSON " " TOKEN " -d '{}' https://localhost/v1/hello", certificate,
             own.http_port);
    curl(command, "/healthz"); /* the first url is answered, the plain one behind it is not */
    assert_answered("\"ops\"");
    server_stop(&own);
    server = before;
}

static int setup(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    flow_path(body_path, sizeof body_path, "body.json");
    flow_path(answer_path, sizeof answer_path, "answer.json");
    server_begin(&server, &(struct server_options){
                              .http = true, .listen = "  http_ops: true\n", .top = "limits: {message_max: 256KiB, rows_max: 2000}\n"});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&server);
    table_free(fresh);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_doors_say_the_same),
        cmocka_unit_test(test_every_op),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_clients_that_leave),
        cmocka_unit_test(test_off_and_tls),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
