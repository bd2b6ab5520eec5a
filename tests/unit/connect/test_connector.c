#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "connect/connector.h"
#include "connect/http.h"
#include "unit/connect/service.h"

static const char key_text[] = "a key of the submitter's";

struct rig {
    struct service service;
    struct http *http;
    struct connector *connector;
};

static void rig_up(struct rig *rig, uint32_t failures_max, int64_t open_ms, uint32_t calls_max)
{
    static const char *const hosts[] = {"127.0.0.1"};
    struct fault_note note = {0};
    struct connect_secret key = {.bytes = sizeof key_text - 1}, token = {.bytes = 19};
    char url[64];
    memcpy(key.data, key_text, key.bytes);
    memcpy(token.data, "token-of-the-bearer", token.bytes);
    assert_true(service_start(&rig->service));
    assert_int_equal(http_open(&rig->http, &(struct http_options){.hosts = hosts, .host_count = 1, .plain = true}, &note), FAULT_NONE);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/releases", rig->service.port);
    const struct connector_options options = {.name = "bank",
                                              .url = url,
                                              .key = &key,
                                              .token = &token,
                                              .connect_ms = 1000,
                                              .total_ms = 2000,
                                              .answer_bytes_max = 1000,
                                              .calls_max = calls_max,
                                              .retry = {.first_ms = 10, .most_ms = 100},
                                              .failures_max = failures_max,
                                              .open_ms = open_ms};
    assert_int_equal(connector_open(&rig->connector, rig->http, &options, &note), FAULT_NONE);
}

static void rig_down(struct rig *rig)
{
    http_close(&rig->http);
    connector_close(&rig->connector);
    service_stop(&rig->service);
}

static enum connect_outcome send_one(struct rig *rig, const char *id, const char *body, struct fault_note *note)
{
    struct connect_answer answer;
    const struct connect_message message = {
        .subject = "release", .id = id, .content_type = "application/json", .body = body, .body_bytes = strlen(body)};
    *note = (struct fault_note){0};
    enum connect_outcome outcome = connector_call(rig->connector, &message, &answer, note);
    connect_answer_give(&answer);
    return outcome;
}

static void a_body_is_signed_under_its_key(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note;
    rig_up(&rig, 3, 1000, 1);
    assert_int_equal(send_one(&rig, "pay/r1", "{\"n\": 1}", &note), CONNECT_DONE);
    assert_string_equal(rig.service.key, "pay/r1");
    assert_string_equal(rig.service.kind, "application/json");
    assert_string_equal(rig.service.token, "Bearer token-of-the-bearer");
    char seconds[32], hex[65], expected[65];
    assert_int_equal(sscanf(rig.service.signature, "t=%31[0-9],v1=%64[0-9a-f]", seconds, hex), 2);
    unsigned char mac[SECRET_HASH_BYTES];
    char signed_text[128];
    snprintf(signed_text, sizeof signed_text, "%s.pay/r1.{\"n\": 1}", seconds);
    secret_mac_parts(mac, key_text, sizeof key_text - 1, &(struct secret_part){signed_text, strlen(signed_text)}, 1);
    secret_to_hex(expected, mac, sizeof mac);
    assert_string_equal(hex, expected);
    rig_down(&rig);
}

static void an_id_never_begins_a_header(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note;
    char longest[CONNECT_ID_BYTES_MAX + 200];
    rig_up(&rig, 0, 0, 1);
    assert_int_equal(send_one(&rig, "a\r\nAuthorization: x%\xc3\xa9 b", "{}", &note), CONNECT_DONE);
    assert_string_equal(rig.service.key, "a%0D%0AAuthorization:%20x%25%C3%A9%20b");
    assert_string_equal(rig.service.token, "Bearer token-of-the-bearer");
    memset(longest, 1, sizeof longest);
    longest[CONNECT_ID_BYTES_MAX] = 0;
    assert_int_equal(send_one(&rig, longest, "{}", &note), CONNECT_DONE);
    memset(longest, 1, sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(send_one(&rig, longest, "{}", &note), CONNECT_AGAIN);
    assert_int_equal(note.fault, FAULT_limit);
    rig_down(&rig);
}

static void a_status_is_done_again_or_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        enum connect_outcome outcome;
    } cases[] = {{200, CONNECT_DONE},    {202, CONNECT_DONE},    {204, CONNECT_DONE},    {301, CONNECT_AGAIN},   {307, CONNECT_AGAIN},
                 {400, CONNECT_REFUSED}, {401, CONNECT_AGAIN},   {403, CONNECT_AGAIN},   {404, CONNECT_AGAIN},   {408, CONNECT_AGAIN},
                 {409, CONNECT_REFUSED}, {413, CONNECT_REFUSED}, {415, CONNECT_REFUSED}, {422, CONNECT_REFUSED}, {425, CONNECT_AGAIN},
                 {429, CONNECT_AGAIN},   {500, CONNECT_AGAIN},   {502, CONNECT_AGAIN},   {503, CONNECT_AGAIN},   {504, CONNECT_AGAIN}};
    struct rig rig;
    struct fault_note note;
    struct connector_health health;
    uint64_t counts[3] = {0};
    rig_up(&rig, 0, 0, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[64];
        service_says(&rig.service, cases[i].status, "");
        assert_int_equal(send_one(&rig, "a", "{}", &note), cases[i].outcome);
        snprintf(expected, sizeof expected, cases[i].outcome == CONNECT_DONE ? "" : "bank: HTTP status %u", cases[i].status);
        assert_string_equal(note.text, expected);
        counts[cases[i].outcome]++;
    }
    connector_health(rig.connector, &health);
    assert_int_equal(health.counters[CONNECT_COUNT_calls], sizeof cases / sizeof cases[0]);
    assert_int_equal(health.counters[CONNECT_COUNT_delivered], counts[CONNECT_DONE]);
    assert_int_equal(health.counters[CONNECT_COUNT_failed], counts[CONNECT_AGAIN]);
    assert_int_equal(health.counters[CONNECT_COUNT_refused], counts[CONNECT_REFUSED]);
    assert_int_equal(health.counters[CONNECT_COUNT_out_bytes], 2 * sizeof cases / sizeof cases[0]);
    rig_down(&rig);
}

static void the_breaker_spares_a_silent_system(void **state)
{
    (void)state;
    struct rig rig;
    struct fault_note note;
    struct connector_health health;
    rig_up(&rig, 3, 200, 1);
    service_says(&rig.service, 503, "");
    for (int i = 0; i < 10; i++)
        assert_int_equal(send_one(&rig, "a", "{}", &note), CONNECT_AGAIN);
    assert_string_equal(note.text, "bank: kept back after 3 failures");
    assert_int_equal(rig.service.calls, 3);
    connector_health(rig.connector, &health);
    assert_int_equal(health.breaker, BREAKER_OPEN);
    assert_int_equal(health.counters[CONNECT_COUNT_kept_back], 7);
    assert_string_equal(health.last_failure, "bank: HTTP status 503");
    assert_in_range(connector_wait_ms(rig.connector, 1, 0), 100, 200);
    assert_int_equal(connector_wait_ms(rig.connector, 1, 5000), 5000);
    service_says(&rig.service, 200, "{}");
    service_pause(250);
    assert_int_equal(send_one(&rig, "a", "{}", &note), CONNECT_DONE);
    connector_health(rig.connector, &health);
    assert_int_equal(health.breaker, BREAKER_CLOSED);
    assert_true(health.last_done_us >= health.last_failed_us && health.last_failed_us > 0);
    rig_down(&rig);
}

static void *send_some(void *context)
{
    struct fault_note note;
    for (int i = 0; i < 5; i++)
        send_one(context, "a", "{}", &note);
    return NULL;
}

static void no_more_calls_at_once_than_allowed(void **state)
{
    (void)state;
    enum { SENDERS = 6 };
    struct rig rig;
    pthread_t threads[SENDERS];
    rig_up(&rig, 0, 0, 2);
    rig.service.delay_ms = 5;
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_some, &rig), 0);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rig.service.calls, 5 * SENDERS);
    assert_int_equal(rig.service.at_once_most, 2);
    rig_down(&rig);
}

static void secrets_come_from_files_or_the_environment(void **state)
{
    (void)state;
    char path[] = "/tmp/sluice-secret-XXXXXX", from[64];
    struct connect_secret secret;
    struct fault_note note = {0};
    int file = mkstemp(path);
    assert_true(file >= 0);
    snprintf(from, sizeof from, "file:%s", path);
    assert_int_equal(write(file, "0123456789abcdef\n", 17), 17);
    assert_int_equal(connect_secret_read(&secret, from, CONNECT_SECRET_BYTES_MIN, &note), FAULT_NONE);
    assert_int_equal(secret.bytes, 16);
    assert_memory_equal(secret.data, "0123456789abcdef", 16);
    assert_int_equal(fchmod(file, 0644), 0);
    assert_int_equal(connect_secret_read(&secret, from, CONNECT_SECRET_BYTES_MIN, &note), FAULT_denied);
    assert_null(strstr(note.text, "0123456789"));
    assert_int_equal(fchmod(file, 0600), 0);
    assert_int_equal(write(file, "more\n", 5), 5);
    assert_int_equal(connect_secret_read(&secret, from, CONNECT_SECRET_BYTES_MIN, &note), FAULT_syntax); /* two lines */
    assert_int_equal(ftruncate(file, 15), 0);
    assert_int_equal(connect_secret_read(&secret, from, CONNECT_SECRET_BYTES_MIN, &note), FAULT_limit);
    assert_int_equal(ftruncate(file, 4000), 0);
    assert_int_equal(connect_secret_read(&secret, from, CONNECT_SECRET_BYTES_MIN, &note), FAULT_limit);
    close(file);
    unlink(path);
    assert_int_equal(connect_secret_read(&secret, from, CONNECT_SECRET_BYTES_MIN, &note), FAULT_not_found);
    assert_int_equal(connect_secret_read(&secret, "file:/", CONNECT_SECRET_BYTES_MIN, &note), FAULT_not_found);
    assert_int_equal(connect_secret_read(&secret, "0123456789abcdef", CONNECT_SECRET_BYTES_MIN, &note), FAULT_syntax);
    assert_null(strstr(note.text, "0123456789"));
    setenv("SLUICE_TEST_SECRET", "fedcba9876543210", 1);
    assert_int_equal(connect_secret_read(&secret, "env:SLUICE_TEST_SECRET", CONNECT_SECRET_BYTES_MIN, &note), FAULT_NONE);
    assert_int_equal(secret.bytes, 16);
    unsetenv("SLUICE_TEST_SECRET");
    assert_int_equal(connect_secret_read(&secret, "env:SLUICE_TEST_SECRET", CONNECT_SECRET_BYTES_MIN, &note), FAULT_not_found);
    connect_secret_wipe(&secret);
    assert_int_equal(secret.bytes, 0);
}

static void a_url_off_the_list_is_refused_at_open(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1"};
    struct http *http = NULL;
    struct connector *connector = NULL;
    struct fault_note note = {0};
    assert_int_equal(http_open(&http, &(struct http_options){.hosts = hosts, .host_count = 1}, &note), FAULT_NONE);
    const struct connector_options options = {.name = "bank", .url = "http://127.0.0.1/"};
    assert_int_equal(connector_open(&connector, http, &options, &note), FAULT_denied);
    assert_null(connector);
    http_close(&http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_signed_under_its_key),        cmocka_unit_test(an_id_never_begins_a_header),
        cmocka_unit_test(a_status_is_done_again_or_refused),     cmocka_unit_test(the_breaker_spares_a_silent_system),
        cmocka_unit_test(no_more_calls_at_once_than_allowed),    cmocka_unit_test(secrets_come_from_files_or_the_environment),
        cmocka_unit_test(a_url_off_the_list_is_refused_at_open),
    };
    return secret_open() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
