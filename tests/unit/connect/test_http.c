#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "connect/http.h"
#include "unit/connect/service.h"

static const char *const loopback[] = {"127.0.0.1"};

static struct http *http_of(const char *const *hosts, uint32_t host_count)
{
    struct http *http = NULL;
    struct fault_note note = {0};
    const struct http_options options = {.hosts = hosts, .host_count = host_count, .plain = true};
    assert_int_equal(http_open(&http, &options, &note), FAULT_NONE);
    return http;
}

static enum fault ask(struct http *http, unsigned port, const char *body, int64_t total_ms, size_t bytes_max, struct http_answer *answer,
                      struct fault_note *note)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/in", port);
    const char *const headers[] = {"Content-Type: application/json", "Idempotency-Key: a/r1"};
    const struct http_request request = {.url = url,
                                         .headers = headers,
                                         .header_count = 2,
                                         .body = body,
                                         .body_bytes = body ? strlen(body) : 0,
                                         .connect_ms = 1000,
                                         .total_ms = total_ms,
                                         .answer_bytes_max = bytes_max};
    *note = (struct fault_note){0};
    return http_call(http, &request, answer, note);
}

static void a_body_goes_out_and_an_answer_comes_back(void **state)
{
    (void)state;
    struct service service;
    struct http_answer answer;
    struct fault_note note;
    assert_true(service_start(&service));
    service_says(&service, 202, "{\"status\": \"accepted\"}");
    struct http *http = http_of(loopback, 1);
    for (unsigned i = 1; i <= 20; i++) {
        assert_int_equal(ask(http, service.port, "{\"a\": 1}", 5000, 1000, &answer, &note), FAULT_NONE);
        assert_int_equal(answer.status, 202);
        assert_string_equal(answer.body, "{\"status\": \"accepted\"}");
        assert_int_equal(service.calls, i);
        http_answer_give(&answer);
    }
    assert_int_equal(service.body_bytes, 8);
    assert_memory_equal(service.body, "{\"a\": 1}", 8);
    assert_string_equal(service.key, "a/r1");
    assert_int_equal(service.connections, 1); /* used again */
    http_close(&http);
    service_stop(&service);
}

static void an_answer_is_bounded(void **state)
{
    (void)state;
    struct service service;
    struct http_answer answer;
    struct fault_note note;
    assert_true(service_start(&service));
    char *long_answer = malloc(100001);
    memset(long_answer, 'x', 100000);
    long_answer[100000] = 0;
    service_says(&service, 200, long_answer);
    struct http *http = http_of(loopback, 1);
    assert_int_equal(ask(http, service.port, "{}", 5000, 99999, &answer, &note), FAULT_limit);
    assert_null(answer.body);
    assert_string_equal(note.text, "127.0.0.1: the answer has more than 99999 bytes");
    assert_int_equal(ask(http, service.port, "{}", 5000, 100000, &answer, &note), FAULT_NONE);
    assert_int_equal(answer.body_bytes, 100000);
    http_answer_give(&answer);
    http_close(&http);
    service_stop(&service);
    free(long_answer);
}

static void time_outs_and_silence_are_told(void **state)
{
    (void)state;
    struct service service;
    struct http_answer answer;
    struct fault_note note;
    assert_true(service_start(&service));
    service.delay_ms = 400;
    struct http *http = http_of(loopback, 1);
    assert_int_equal(ask(http, service.port, "{}", 50, 100, &answer, &note), FAULT_deadline);
    assert_string_equal(note.text, "127.0.0.1: no answer in time");
    service.delay_ms = 0;
    service_says(&service, 503, "");
    service.retry_after_s = 7;
    assert_int_equal(ask(http, service.port, "{}", 5000, 100, &answer, &note), FAULT_NONE);
    assert_int_equal(answer.status, 503);
    assert_int_equal(answer.retry_after_ms, 7000);
    http_answer_give(&answer);
    unsigned port = service.port;
    service_stop(&service);
    assert_int_equal(ask(http, port, "{}", 1000, 100, &answer, &note), FAULT_unavailable);
    http_close(&http);
}

static void redirects_are_not_followed(void **state)
{
    (void)state;
    struct service service, other;
    struct http_answer answer;
    struct fault_note note;
    char location[64];
    assert_true(service_start(&service));
    assert_true(service_start(&other));
    snprintf(location, sizeof location, "http://127.0.0.1:%u/", other.port);
    service_says(&service, 307, "");
    service.location = location;
    struct http *http = http_of(loopback, 1);
    assert_int_equal(ask(http, service.port, "{}", 5000, 100, &answer, &note), FAULT_NONE);
    assert_int_equal(answer.status, 307);
    assert_int_equal(other.calls, 0);
    http_answer_give(&answer);
    http_close(&http);
    service_stop(&service);
    service_stop(&other);
}

static void only_the_allow_list_is_asked(void **state)
{
    (void)state;
    static const char *const hosts[] = {"pay.example", "127.0.0.1:8080", "[::1]:99"};
    static const struct {
        const char *url;
        enum fault fault;
    } cases[] = {
        {"http://pay.example/a", FAULT_NONE},
        {"https://PAY.example:4443/a?b", FAULT_NONE},
        {"http://127.0.0.1:8080/", FAULT_NONE},
        {"http://[::1]:99/", FAULT_NONE},
        {"http://127.0.0.1:8081/", FAULT_denied},
        {"http://127.0.0.1/", FAULT_denied},
        {"http://pay.example.evil/", FAULT_denied},
        {"http://evil/pay.example", FAULT_denied},
        {"http://pay.example@evil/", FAULT_syntax},
        {"http://u:p@pay.example/", FAULT_syntax},
        {"file:///etc/passwd", FAULT_syntax},
        {"ftp://pay.example/", FAULT_denied},
        {"gopher://pay.example/", FAULT_denied},
        {"pay.example", FAULT_syntax},
        {"", FAULT_syntax},
    };
    struct http *http = http_of(hosts, 3);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fault_note note = {0};
        enum fault fault = http_url_check(http, cases[i].url, &note);
        if (fault != cases[i].fault)
            fail_msg("%s: %s, expected %s", cases[i].url, fault_name(fault), fault_name(cases[i].fault));
    }
    struct http_answer answer;
    struct fault_note note;
    assert_int_equal(ask(http, 1, "{}", 100, 100, &answer, &note), FAULT_denied);
    http_close(&http);
    const struct http_options strict = {.hosts = hosts, .host_count = 3};
    assert_int_equal(http_open(&http, &strict, &note), FAULT_NONE);
    assert_int_equal(http_url_check(http, "http://pay.example/", &note), FAULT_denied);
    assert_int_equal(http_url_check(http, "https://pay.example/", &note), FAULT_NONE);
    http_close(&http);
}

struct asker {
    struct http *http;
    unsigned port;
    enum fault fault;
};

static void *ask_often(void *context)
{
    struct asker *asker = context;
    for (int i = 0; i < 25 && asker->fault == FAULT_NONE; i++) {
        struct http_answer answer;
        struct fault_note note;
        asker->fault = ask(asker->http, asker->port, "{}", 5000, 100, &answer, &note);
        http_answer_give(&answer);
    }
    return NULL;
}

static void many_threads_ask_and_a_close_ends_their_calls(void **state)
{
    (void)state;
    enum { ASKERS = 8 };
    struct service service;
    assert_true(service_start(&service));
    struct asker askers[ASKERS];
    pthread_t threads[ASKERS];
    for (int round = 0; round < 2; round++) {
        struct http *http = http_of(loopback, 1);
        service.delay_ms = round == 0 ? 0 : 300;
        for (int i = 0; i < ASKERS; i++) {
            askers[i] = (struct asker){.http = http, .port = service.port};
            assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &askers[i]), 0);
        }
        if (round == 1) {
            service_pause(100);
            http_close(&http);
        }
        for (int i = 0; i < ASKERS; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(askers[i].fault, round == 0 ? FAULT_NONE : FAULT_unavailable);
        }
        http_close(&http);
    }
    service_stop(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_goes_out_and_an_answer_comes_back),
        cmocka_unit_test(an_answer_is_bounded),
        cmocka_unit_test(time_outs_and_silence_are_told),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(only_the_allow_list_is_asked),
        cmocka_unit_test(many_threads_ask_and_a_close_ends_their_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
