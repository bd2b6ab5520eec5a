#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/secret.h"
#include "connect/associated.h"
#include "connect/http.h"
#include "unit/connect/service.h"

struct rig {
    struct service service;
    struct http *http;
    struct connector *connector;
    struct associated *associated;
    struct associated_plan plan;
    int64_t until_ns;
    struct arena arena;
};

static void rig_up(struct rig *rig, enum associated_silence silence, uint32_t keys_max, uint32_t cached_max, int64_t expiry_ms)
{
    static const char *const hosts[] = {"127.0.0.1"};
    struct fault_note note = {0};
    char url[64];
    rig->until_ns = 0;
    assert_true(service_start(&rig->service));
    assert_true(arena_init(&rig->arena, 4 << 20));
    assert_int_equal(http_open(&rig->http, &(struct http_options){.hosts = hosts, .host_count = 1, .plain = true}, &note), FAULT_NONE);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/accounts", rig->service.port);
    const struct connector_options options = {.name = "bank",
                                              .url = url,
                                              .connect_ms = 1000,
                                              .total_ms = 1000,
                                              .answer_bytes_max = 60000,
                                              .retry = {.first_ms = 5, .most_ms = 10}};
    assert_int_equal(connector_open(&rig->connector, rig->http, &options, &note), FAULT_NONE);
    rig->plan = (struct associated_plan){
        .key_name = "account",
        .field_count = 3,
        .fields = {{.name = "limit", .type = ASSOCIATED_I64, .fallback = {.is_known = true, .integer = 500}},
                   {.name = "score", .type = ASSOCIATED_F64},
                   {.name = "segment", .type = ASSOCIATED_TEXT}},
        .silence = silence,
    };
    const struct associated_options asking = {
        .connector = rig->connector,
        .keys_max = keys_max,
        .attempts_max = 3,
        .cached_max = cached_max,
        .expiry_ms = expiry_ms,
    };
    assert_int_equal(associated_open(&rig->associated, &asking, &note), FAULT_NONE);
}

static void rig_down(struct rig *rig)
{
    associated_close(&rig->associated);
    http_close(&rig->http);
    connector_close(&rig->connector);
    service_stop(&rig->service);
    arena_fini(&rig->arena);
}

static enum fault ask(struct rig *rig, struct associated_answers *out, struct fault_note *note, uint32_t count, const char *const *names)
{
    struct text keys[16];
    for (uint32_t i = 0; i < count; i++)
        keys[i] = text_of(names[i]);
    *note = (struct fault_note){0};
    arena_reset(&rig->arena);
    return associated_ask(rig->associated, &rig->plan, keys, count, rig->until_ns, &rig->arena, out, note);
}

static void many_keys_are_one_request(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "", "a", "c", "b"};
    struct rig rig;
    struct associated_answers out;
    struct fault_note note;
    rig_up(&rig, ASSOCIATED_HOLD, 100, 0, 0);
    service_says(&rig.service, 200,
                 "{\"answers\": [{\"account\": \"b\", \"limit\": 7, \"score\": 0.5, \"segment\": \"gold\", \"more\": []},"
                 " {\"account\": \"a\", \"limit\": -1, \"score\": 2, \"segment\": null}]}");
    assert_int_equal(ask(&rig, &out, &note, 6, names), FAULT_NONE);
    assert_int_equal(rig.service.calls, 1);
    static const char body[] = "{\"keys\":[\"a\",\"b\",\"c\"],\"fields\":[\"limit\",\"score\",\"segment\"]}";
    assert_int_equal(rig.service.body_bytes, sizeof body - 1);
    assert_memory_equal(rig.service.body, body, sizeof body - 1);
    static const uint8_t states[] = {ASSOCIATED_ANSWERED, ASSOCIATED_ANSWERED, ASSOCIATED_UNKNOWN,
                                     ASSOCIATED_ANSWERED, ASSOCIATED_UNKNOWN,  ASSOCIATED_ANSWERED};
    assert_memory_equal(out.state, states, sizeof states);
    assert_int_equal(out.values[0].integer, -1);
    assert_true(out.values[1].real == 2.0);
    assert_false(out.values[2].is_known);
    assert_int_equal(out.values[3 * 3].integer, -1);
    assert_int_equal(out.values[5 * 3].integer, 7);
    assert_int_equal(out.values[5 * 3 + 2].text_bytes, 4);
    assert_memory_equal(out.values[5 * 3 + 2].text, "gold", 4);
    assert_false(out.values[4 * 3].is_known);
    assert_int_equal(out.asked, 3);
    rig_down(&rig);
}

static void more_keys_are_more_requests(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct rig rig;
    struct associated_answers out;
    struct fault_note note;
    rig_up(&rig, ASSOCIATED_HOLD, 2, 0, 0);
    service_says(&rig.service, 200, "{\"answers\": []}");
    assert_int_equal(ask(&rig, &out, &note, 5, names), FAULT_NONE);
    assert_int_equal(rig.service.calls, 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(out.state[i], ASSOCIATED_UNKNOWN);
    rig_down(&rig);
}

static void answers_are_kept_for_a_while(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b"};
    struct rig rig;
    struct associated_answers out;
    struct fault_note note;
    rig_up(&rig, ASSOCIATED_HOLD, 100, 1000, 200);
    service_says(&rig.service, 200, "{\"answers\": [{\"account\": \"a\", \"limit\": 9}]}");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&rig, &out, &note, 2, names), FAULT_NONE);
        assert_int_equal(rig.service.calls, 1);
        assert_int_equal(out.values[0].integer, 9);
        assert_int_equal(out.state[1], ASSOCIATED_UNKNOWN);
        assert_int_equal(out.kept, i == 0 ? 0 : 2);
    }
    service_pause(250);
    service_says(&rig.service, 200, "{\"answers\": [{\"account\": \"a\", \"limit\": 10}]}");
    assert_int_equal(ask(&rig, &out, &note, 2, names), FAULT_NONE);
    assert_int_equal(rig.service.calls, 2);
    assert_int_equal(out.values[0].integer, 10);
    rig_down(&rig);
}

static void few_places_keep_the_newest(void **state)
{
    (void)state;
    struct rig rig;
    struct associated_answers out;
    struct fault_note note;
    rig_up(&rig, ASSOCIATED_HOLD, 100, 4, 60000);
    for (int i = 0; i < 100; i++) {
        static char answers[100][80];
        char name[16], *answer = answers[i];
        const char *names[] = {name};
        snprintf(name, sizeof name, "k%d", i);
        snprintf(answer, sizeof answers[i], "{\"answers\": [{\"account\": \"%s\", \"limit\": %d}]}", name, i);
        service_says(&rig.service, 200, answer);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(ask(&rig, &out, &note, 1, names), FAULT_NONE);
            assert_int_equal(out.values[0].integer, i);
        }
    }
    assert_int_equal(rig.service.calls, 100);
    rig_down(&rig);
}

static void silence_holds_defaults_or_refuses(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "a"};
    for (int silence = ASSOCIATED_HOLD; silence <= ASSOCIATED_REFUSE; silence++) {
        struct rig rig;
        struct associated_answers out;
        struct fault_note note;
        rig_up(&rig, (enum associated_silence)silence, 100, 100, 60000);
        service_says(&rig.service, 503, "");
        enum fault fault = ask(&rig, &out, &note, 3, names);
        assert_int_equal(rig.service.calls, 3); /* attempts */
        if (silence == ASSOCIATED_REFUSE) {
            assert_int_equal(fault, FAULT_unavailable);
            assert_string_equal(note.text, "bank: HTTP status 503");
        } else {
            assert_int_equal(fault, FAULT_NONE);
            assert_int_equal(out.silent, 2);
            assert_int_equal(out.state[2], ASSOCIATED_SILENT);
            assert_int_equal(out.values[6].is_known, silence == ASSOCIATED_DEFAULTS);
            assert_int_equal(out.values[6].integer, silence == ASSOCIATED_DEFAULTS ? 500 : 0);
        }
        service_says(&rig.service, 200, "{\"answers\": [{\"account\": \"a\", \"limit\": 1}]}"); /* silence is not kept */
        assert_int_equal(ask(&rig, &out, &note, 3, names), FAULT_NONE);
        assert_int_equal(out.state[2], ASSOCIATED_ANSWERED);
        assert_int_equal(out.values[6].integer, 1);
        rig_down(&rig);
    }
}

static void a_wrong_answer_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *text;
    } cases[] = {
        {"{\"answers\": [{\"account\": \"a\", \"limit\": 1.5}]}", "the associated system's answer: 'limit' must be an integer"},
        {"{\"answers\": [{\"account\": \"a\", \"score\": \"1\"}]}", "the associated system's answer: 'score' must be a number"},
        {"{\"answers\": [{\"account\": \"a\", \"segment\": true}]}",
         "the associated system's answer: 'segment' must be a text of at most 64 bytes"},
        {"{\"answers\": [{\"limit\": 1}]}", "the associated system's answer: an item lacks 'account'"},
        {"{\"answers\": [{\"account\": \"x\"}]}", "the associated system's answer tells of a key twice, or of one that was not asked for"},
        {"{\"answers\": [{\"account\": \"a\", \"limit\": 3}, {\"account\": \"a\"}]}",
         "the associated system's answer tells of a key twice, or of one that was not asked for"},
        {"{\"answers\": {}}", "the associated system's answer lacks the list 'answers'"},
    };
    static const char *const names[] = {"a"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        struct associated_answers out;
        struct fault_note note;
        rig_up(&rig, ASSOCIATED_HOLD, 100, 100, 60000);
        service_says(&rig.service, 200, cases[i].answer);
        assert_int_equal(ask(&rig, &out, &note, 1, names), FAULT_NONE);
        assert_int_equal(out.state[0], ASSOCIATED_SILENT);
        assert_false(out.values[0].is_known);
        assert_string_equal(note.text, cases[i].text);
        rig_down(&rig);
    }
}

static void keys_are_bounded(void **state)
{
    (void)state;
    char name[ASSOCIATED_KEY_BYTES_MAX + 2];
    const char *const names[] = {"a", name};
    struct rig rig;
    struct associated_answers out;
    struct fault_note note;
    rig_up(&rig, ASSOCIATED_HOLD, 100, 0, 0);
    memset(name, 'k', sizeof name);
    name[ASSOCIATED_KEY_BYTES_MAX + 1] = 0;
    service_says(&rig.service, 200, "{\"answers\": [{\"account\": \"a\", \"limit\": 3}]}");
    assert_int_equal(ask(&rig, &out, &note, 2, names), FAULT_NONE);
    assert_int_equal(out.asked, 1); /* the other is longer than any that a system may be asked for */
    assert_int_equal(out.state[0], ASSOCIATED_ANSWERED);
    assert_int_equal(out.state[1], ASSOCIATED_UNKNOWN);
    struct arena small;
    struct text key = text_of("a");
    assert_true(arena_init(&small, 64));
    assert_int_equal(associated_ask(rig.associated, &rig.plan, &key, 1, 0, &small, &out, &note), FAULT_limit);
    arena_fini(&small);
    rig_down(&rig);
}

/* Behind a request without an answer the others are not sent; and no attempt is begun when time is over. */
static void silence_and_time_end_it(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    struct rig rig;
    struct associated_answers out;
    struct fault_note note;
    rig_up(&rig, ASSOCIATED_DEFAULTS, 1, 0, 0);
    service_says(&rig.service, 500, "");
    assert_int_equal(ask(&rig, &out, &note, 4, names), FAULT_NONE);
    assert_int_equal(rig.service.calls, 3); /* attempts for the first key */
    assert_int_equal(out.silent, 4);
    rig.until_ns = 1;
    assert_int_equal(ask(&rig, &out, &note, 4, names), FAULT_NONE);
    assert_int_equal(rig.service.calls, 3);
    assert_int_equal(out.silent, 4);
    assert_int_equal(out.values[3 * 3].integer, 500);
    rig_down(&rig);
}

static void any_is_a_text(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    static const char *const wanted[] = {"12.5", "true", "7", "x"};
    struct rig rig;
    struct associated_answers out;
    struct fault_note note;
    rig_up(&rig, ASSOCIATED_HOLD, 100, 0, 0);
    rig.plan.fields[0].type = ASSOCIATED_ANY;
    service_says(&rig.service, 200,
                 "{\"answers\": [{\"account\": \"a\", \"limit\": 12.50}, {\"account\": \"b\", \"limit\": true}, "
                 "{\"account\": \"c\", \"limit\": 7}, {\"account\": \"d\", \"limit\": \"x\"}]}");
    assert_int_equal(ask(&rig, &out, &note, 4, names), FAULT_NONE);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(out.values[3 * i].text_bytes, strlen(wanted[i]));
        assert_memory_equal(out.values[3 * i].text, wanted[i], strlen(wanted[i]));
    }
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_keys_are_one_request),
        cmocka_unit_test(more_keys_are_more_requests),
        cmocka_unit_test(answers_are_kept_for_a_while),
        cmocka_unit_test(few_places_keep_the_newest),
        cmocka_unit_test(silence_holds_defaults_or_refuses),
        cmocka_unit_test(a_wrong_answer_is_none),
        cmocka_unit_test(keys_are_bounded),
        cmocka_unit_test(silence_and_time_end_it),
        cmocka_unit_test(any_is_a_text),
    };
    json_use_memory();
    return secret_open() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
