#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/secret.h"
#include "connect/http.h"
#include "connect/release_answer.h"
#include "connect/sender.h"
#include "unit/connect/service.h"

/* An outbox in memory: entries 1 to count, each with what became of it. */
enum { ENTRIES_MAX = 16 };
struct box {
    pthread_mutex_t lock;
    uint32_t count, fail_marks, payloads, given, too_large; /* too_large: an entry, from 1 */
    struct box_entry {
        enum { WAITS, DONE, DEAD } state;
        uint32_t attempts;
        int64_t due_us;
        char why[160];
    } entries[ENTRIES_MAX];
};

static enum fault box_next(void *context, struct outbox_entry *out, uint64_t after, int64_t now_us, struct fault_note *note)
{
    (void)note;
    struct box *box = context;
    enum fault fault = FAULT_not_found;
    pthread_mutex_lock(&box->lock);
    for (uint64_t i = after; i < box->count && fault != FAULT_NONE; i++)
        if (box->entries[i].state == WAITS && box->entries[i].due_us <= now_us) {
            *out = (struct outbox_entry){.entry = i + 1, .attempts = box->entries[i].attempts};
            snprintf(out->id, sizeof out->id, "payroll/pay/r%u", (unsigned)i + 1);
            snprintf(out->name, sizeof out->name, "pay/r%u", (unsigned)i + 1);
            fault = FAULT_NONE;
        }
    pthread_mutex_unlock(&box->lock);
    return fault;
}

static enum fault box_payload(void *context, const struct outbox_entry *entry, char **out, size_t *out_bytes, struct fault_note *note)
{
    struct box *box = context;
    pthread_mutex_lock(&box->lock);
    box->payloads++;
    bool fits = box->too_large != entry->entry;
    pthread_mutex_unlock(&box->lock);
    if (!fits)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "it has more than 10 bytes");
    char text[256];
    *out_bytes = (size_t)snprintf(text, sizeof text, "{\"id\": \"%s\"}", entry->id);
    *out = memory_copy_text(text);
    return FAULT_NONE;
}

static enum fault box_mark(void *context, const struct outbox_entry *entry, enum outbox_mark mark, uint32_t attempts, int64_t due_us,
                           const char *why, struct fault_note *note)
{
    struct box *box = context;
    enum fault fault = FAULT_NONE;
    pthread_mutex_lock(&box->lock);
    struct box_entry *kept = &box->entries[entry->entry - 1];
    if (box->fail_marks > 0) {
        box->fail_marks--;
        fault = fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "disk full");
    } else {
        kept->state = mark == OUTBOX_MARK_DONE ? DONE : mark == OUTBOX_MARK_REFUSED ? DEAD : WAITS;
        kept->attempts = attempts;
        kept->due_us = due_us;
        snprintf(kept->why, sizeof kept->why, "%s", why);
    }
    pthread_mutex_unlock(&box->lock);
    return fault;
}

static void box_give(void *context, char *bytes, size_t byte_count)
{
    struct box *box = context;
    assert_int_equal(strlen(bytes), byte_count);
    memory_give(bytes);
    pthread_mutex_lock(&box->lock);
    box->given++;
    pthread_mutex_unlock(&box->lock);
}

static const struct outbox_ops box_ops = {.next = box_next, .payload = box_payload, .give = box_give, .mark = box_mark};

struct rig {
    struct service service;
    struct http *http;
    struct connector *connector;
    struct sender *sender;
    struct box box;
};

static void rig_up(struct rig *rig, uint32_t count, const char *answer, uint32_t failures_max)
{
    static const char *const hosts[] = {"127.0.0.1"};
    struct fault_note note = {0};
    char url[64];
    memset(&rig->box, 0, sizeof rig->box);
    pthread_mutex_init(&rig->box.lock, NULL);
    rig->box.count = count;
    assert_true(service_start(&rig->service));
    service_says(&rig->service, 200, answer);
    assert_int_equal(http_open(&rig->http, &(struct http_options){.hosts = hosts, .host_count = 1, .plain = true}, &note), FAULT_NONE);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", rig->service.port);
    const struct connector_options options = {.name = "bank",
                                              .url = url,
                                              .connect_ms = 1000,
                                              .total_ms = 1000,
                                              .answer_bytes_max = 1000,
                                              .retry = {.first_ms = 20, .most_ms = 40},
                                              .failures_max = failures_max,
                                              .open_ms = 100};
    assert_int_equal(connector_open(&rig->connector, rig->http, &options, &note), FAULT_NONE);
}

static void rig_send(struct rig *rig, sender_answer_fn *answer)
{
    struct fault_note note = {0};
    const struct sender_options options = {.subject = "release",
                                           .content_type = "application/json",
                                           .connector = rig->connector,
                                           .outbox = &box_ops,
                                           .context = &rig->box,
                                           .answer = answer,
                                           .look_ms = 10};
    assert_int_equal(sender_open(&rig->sender, &options, &note), FAULT_NONE);
}

static void rig_down(struct rig *rig)
{
    http_close(&rig->http);
    sender_close(&rig->sender);
    connector_close(&rig->connector);
    service_stop(&rig->service);
    pthread_mutex_destroy(&rig->box.lock);
}

static bool all_are(struct rig *rig, int wanted)
{
    bool all = true;
    pthread_mutex_lock(&rig->box.lock);
    for (uint32_t i = 0; i < rig->box.count; i++)
        all = all && (int)rig->box.entries[i].state == wanted;
    pthread_mutex_unlock(&rig->box.lock);
    return all;
}

static void wait_until(struct rig *rig, int wanted)
{
    for (int i = 0; i < 500 && !all_are(rig, wanted); i++)
        service_pause(10);
    assert_true(all_are(rig, wanted));
}

static void all_that_waits_is_sent_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_up(&rig, 10, "", 3);
    rig_send(&rig, NULL);
    wait_until(&rig, DONE);
    service_pause(50);
    assert_int_equal(rig.service.calls, 10);
    assert_string_equal(rig.service.key, "payroll/pay/r10"); /* in order */
    pthread_mutex_lock(&rig.box.lock);
    rig.box.count = 11;
    pthread_mutex_unlock(&rig.box.lock);
    sender_wake(rig.sender);
    wait_until(&rig, DONE);
    assert_int_equal(rig.service.calls, 11);
    rig_down(&rig);
}

static void what_fails_is_sent_again_until_it_is_acknowledged(void **state)
{
    (void)state;
    struct rig rig;
    rig_up(&rig, 1, "{\"id\": \"pay/r1\", \"status\": \"accepted\"}", 0);
    rig.service.fail_next = 4;
    rig_send(&rig, sender_release_answer);
    wait_until(&rig, DONE);
    assert_int_equal(rig.service.calls, 5);
    assert_int_equal(rig.box.entries[0].attempts, 5);
    assert_int_equal(rig.box.payloads, 5);
    rig_down(&rig);
}

static void a_2xx_that_names_another_id_acknowledges_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct connector_health health;
    rig_up(&rig, 1, "{\"id\": \"pay/r2\", \"status\": \"accepted\"}", 0);
    rig_send(&rig, sender_release_answer);
    service_pause(300);
    assert_true(all_are(&rig, WAITS));
    pthread_mutex_lock(&rig.box.lock);
    assert_string_equal(rig.box.entries[0].why, "the processor answers to another id");
    pthread_mutex_unlock(&rig.box.lock);
    connector_health(rig.connector, &health);
    assert_int_equal(health.counters[CONNECT_COUNT_delivered], 0);
    service_says(&rig.service, 200, "<html>welcome</html>");
    service_pause(200);
    assert_true(all_are(&rig, WAITS));
    service_says(&rig.service, 200, "{\"id\": \"pay/r1\", \"status\": \"accepted\"}");
    wait_until(&rig, DONE);
    rig_down(&rig);
}

static void what_is_refused_is_a_dead_letter(void **state)
{
    (void)state;
    struct rig rig;
    rig_up(&rig, 1, "{\"id\": \"pay/r1\", \"status\": \"refused\", \"reason\": \"unknown\\tpayer\"}", 3);
    rig_send(&rig, sender_release_answer);
    wait_until(&rig, DEAD);
    assert_string_equal(rig.box.entries[0].why, "refused by the processor: unknown payer");
    assert_int_equal(rig.service.calls, 1);
    rig_down(&rig);
    rig_up(&rig, 3, "", 3);
    service_says(&rig.service, 422, "");
    rig_send(&rig, sender_release_answer);
    wait_until(&rig, DEAD);
    assert_int_equal(rig.service.calls, 3);
    rig_down(&rig);
}

static void what_cannot_be_sent_is_a_dead_letter(void **state)
{
    (void)state;
    struct rig rig;
    rig_up(&rig, 3, "", 3);
    rig.box.too_large = 2;
    rig_send(&rig, NULL);
    service_pause(300);
    pthread_mutex_lock(&rig.box.lock);
    assert_true(rig.box.entries[0].state == DONE && rig.box.entries[1].state == DEAD && rig.box.entries[2].state == DONE);
    assert_string_equal(rig.box.entries[1].why, "it has more than 10 bytes");
    assert_int_equal(rig.box.given, 2);
    pthread_mutex_unlock(&rig.box.lock);
    rig_down(&rig);
}

static void a_mark_that_fails_makes_the_same_bytes_go_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_up(&rig, 1, "", 0);
    rig.box.fail_marks = 2;
    rig_send(&rig, NULL);
    wait_until(&rig, DONE);
    assert_int_equal(rig.service.calls, 3);
    assert_string_equal(rig.service.key, "payroll/pay/r1");
    assert_int_equal(rig.box.entries[0].attempts, 1);
    rig_down(&rig);
}

static void a_silent_system_is_not_flooded(void **state)
{
    (void)state;
    struct rig rig;
    rig_up(&rig, 16, "", 2);
    rig.service.status = 503;
    rig_send(&rig, NULL);
    service_pause(450);
    assert_in_range(rig.service.calls, 3, 7); /* two, then one each 100 ms */
    rig.service.status = 200;
    wait_until(&rig, DONE);
    rig_down(&rig);
}

static void pages_instead_of_answers_open_the_breaker(void **state)
{
    (void)state;
    struct rig rig;
    struct connector_health health;
    rig_up(&rig, 16, "<html>welcome</html>", 2);
    rig_send(&rig, sender_release_answer);
    service_pause(450);
    assert_in_range(rig.service.calls, 3, 7); /* as a_silent_system_is_not_flooded */
    connector_health(rig.connector, &health);
    assert_int_not_equal(health.breaker, BREAKER_CLOSED);
    assert_int_equal(health.counters[CONNECT_COUNT_delivered], 0);
    assert_in_range(health.counters[CONNECT_COUNT_failed], rig.service.calls - 1, rig.service.calls);
    rig_down(&rig);
}

static void a_close_ends_a_call_under_way(void **state)
{
    (void)state;
    struct rig rig;
    rig_up(&rig, 1, "", 3);
    rig.service.delay_ms = 600;
    rig_send(&rig, NULL);
    service_pause(100);
    int64_t begun_ns = clock_steady_ns();
    http_close(&rig.http);
    sender_close(&rig.sender);
    assert_true(clock_steady_ns() - begun_ns < 400000000);
    assert_true(all_are(&rig, WAITS));
    rig_down(&rig);
}

static void answers_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum fault fault;
    } cases[] = {
        {"{\"id\": \"a/r1\", \"status\": \"accepted\"}", FAULT_NONE},
        {"{\"status\": \"refused\", \"id\": \"a/r1\", \"more\": [1]}", FAULT_NONE},
        {"{\"id\": \"a/r1\", \"status\": \"maybe\"}", FAULT_schema},
        {"{\"id\": \"a/r1\"}", FAULT_schema},
        {"{\"id\": 1, \"status\": \"accepted\"}", FAULT_schema},
        {"{\"id\": \"a/r2\", \"status\": \"accepted\"}", FAULT_conflict},
        {"{\"id\": \"a/r2\", \"id\": \"a/r1\", \"status\": \"accepted\"}", FAULT_syntax},
        {"[]", FAULT_schema},
        {"", FAULT_syntax},
        {"[[[[[[[[[[[[[[[[[[[[[[[[", FAULT_syntax},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct release_answer answer;
        struct fault_note note = {0};
        enum fault fault = release_answer_read(&answer, "a/r1", cases[i].text, strlen(cases[i].text), &note);
        if (fault != cases[i].fault)
            fail_msg("%s: %s, expected %s", cases[i].text, fault_name(fault), fault_name(cases[i].fault));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_waits_is_sent_once),
        cmocka_unit_test(what_fails_is_sent_again_until_it_is_acknowledged),
        cmocka_unit_test(a_2xx_that_names_another_id_acknowledges_nothing),
        cmocka_unit_test(what_is_refused_is_a_dead_letter),
        cmocka_unit_test(what_cannot_be_sent_is_a_dead_letter),
        cmocka_unit_test(a_mark_that_fails_makes_the_same_bytes_go_again),
        cmocka_unit_test(a_silent_system_is_not_flooded),
        cmocka_unit_test(pages_instead_of_answers_open_the_breaker),
        cmocka_unit_test(a_close_ends_a_call_under_way),
        cmocka_unit_test(answers_are_read_strictly),
    };
    return secret_open() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
