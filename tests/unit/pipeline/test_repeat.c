/* The same id again: while the first is on its way, while its stored answer is being read, after a failure, under another
 * configuration. One is recorded, all get the same answer, and other content is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

static void assert_same_reply(struct sent *a, struct sent *b)
{
    assert_string_equal(reply_fault(a), "ok");
    assert_string_equal(reply_fault(b), "ok");
    assert_true(replies_equal(a, b));
}

static void repeats_in_flight_wait_for_the_first(void **state)
{
    enum { REPEATS = 5 };
    struct sent sent[REPEATS] = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    gate_set(&commit_gate, true);
    for (unsigned i = 0; i < REPEATS; i++) {
        batch_of(&message, "a", "screen", "one", 50);
        post(&sent[i], &message);
        if (i == 0)
            gate_await(&commit_gate, 1);
    }
    rig_sleep_ms(50);
    for (unsigned i = 0; i < REPEATS; i++)
        assert_false(is_answered(&sent[i]));
    gate_set(&commit_gate, false);
    for (unsigned i = 0; i < REPEATS; i++)
        await(&sent[i]);
    for (unsigned i = 1; i < REPEATS; i++)
        assert_same_reply(&sent[0], &sent[i]);
    assert_int_equal(rig_committed(), 1);
    for (unsigned i = 0; i < REPEATS; i++)
        sent_fini(&sent[i]);
}

static void other_content_in_flight_is_refused(void **state)
{
    struct sent first = {0}, other = {0}, of_b = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    gate_set(&commit_gate, true);
    batch_of(&message, "a", "screen", "one", 50);
    post(&first, &message);
    gate_await(&commit_gate, 1);
    begin(&message, "a", "screen", "one", 2), columns(&message, 50, "one", 101);
    ask(&other, &message);
    assert_string_equal(reply_fault(&other), "conflict");
    batch_of(&message, "b", "screen", "one", 50); /* another tenant's id is another id */
    post(&of_b, &message);
    gate_set(&commit_gate, false);
    await(&first), await(&of_b);
    assert_string_equal(reply_fault(&first), "ok");
    assert_string_equal(reply_fault(&of_b), "ok");
    assert_int_equal(rig_committed(), 2);
    sent_fini(&first), sent_fini(&other), sent_fini(&of_b);
}

/* A repeat that comes while the stored answer of another repeat is being read. */
static void repeats_of_a_stored_answer(void **state)
{
    enum { REPEATS = 4 };
    struct sent first = {0}, sent[REPEATS] = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    batch_of(&message, "a", "screen", "one", 50);
    ask(&first, &message);
    gate_set(&stored_gate, true);
    for (unsigned i = 0; i < REPEATS; i++) {
        batch_of(&message, "a", "screen", "one", 50);
        post(&sent[i], &message);
        if (i == 0)
            gate_await(&stored_gate, 1);
    }
    rig_sleep_ms(50);
    gate_set(&stored_gate, false);
    for (unsigned i = 0; i < REPEATS; i++) {
        await(&sent[i]);
        assert_same_reply(&first, &sent[i]);
        sent_fini(&sent[i]);
    }
    sent_fini(&first);
}

/* After a reload the tenant stands at another place of the list. */
static void repeats_across_a_reload(void **state)
{
    static const char turned[] = "tenants:\n  - {name: b, token_hash: " TOKEN_HASH ", rights: [submit]}\n"
                                 "  - {name: a, token_hash: " TOKEN_HASH ", " RIG_RIGHTS "}\n";
    struct sent first = {0}, second = {0};
    struct wire_buffer message;
    struct fault_note note = {0};
    (void)state;
    rig_open(rig_config(NULL, NULL));
    gate_set(&commit_gate, true);
    batch_of(&message, "a", "screen", "one", 50);
    post(&first, &message);
    gate_await(&commit_gate, 1);
    struct config *config = rig_config(turned, NULL);
    assert_int_equal(pipeline_reload(pipeline, config, &note), FAULT_NONE);
    config_close(&config);
    batch_of(&message, "a", "screen", "one", 50);
    post(&second, &message);
    rig_sleep_ms(50);
    assert_false(is_answered(&second));
    gate_set(&commit_gate, false);
    await(&first), await(&second);
    assert_same_reply(&first, &second);
    assert_int_equal(rig_committed(), 1);
    sent_fini(&first), sent_fini(&second);
}

/* More repeats at once than questions may wait. */
static void no_repeat_is_refused(void **state)
{
    enum { REPEATS = 400 };
    static struct sent sent[REPEATS];
    struct sent question = {0};
    struct gate hold = GATE_OPEN;
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config("in_flight_max: 500\n"
                        "tenants:\n  - {name: a, token_hash: " TOKEN_HASH ", " RIG_RIGHTS "}\n",
                        NULL));
    memset(sent, 0, sizeof sent);
    hold.closed = true;
    question.hold = &hold;
    begin(&message, "a", "query", "q", 0);
    post(&question, &message);
    gate_await(&hold, 1); /* the asking thread stands */
    for (unsigned i = 0; i < REPEATS; i++) {
        batch_of(&message, "a", "screen", "one", 2);
        post(&sent[i], &message);
        if (i == 0)
            await(&sent[0]);
    }
    rig_sleep_ms(200);
    gate_set(&hold, false);
    for (unsigned i = 0; i < REPEATS; i++) {
        await(&sent[i]);
        assert_same_reply(&sent[0], &sent[i]);
    }
    for (unsigned i = 0; i < REPEATS; i++)
        sent_fini(&sent[i]);
    await(&question);
    sent_fini(&question);
}

static void repeats_share_the_fault_of_the_first(void **state)
{
    struct sent first = {0}, second = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    gate_set(&commit_gate, true);
    atomic_store(&commits_to_fail, 1);
    batch_of(&message, "a", "screen", "one", 50);
    post(&first, &message);
    gate_await(&commit_gate, 1);
    batch_of(&message, "a", "screen", "one", 50);
    post(&second, &message);
    rig_sleep_ms(50);
    gate_set(&commit_gate, false);
    await(&first), await(&second);
    assert_string_equal(reply_fault(&first), "ledger");
    assert_string_equal(reply_fault(&second), "ledger");
    assert_int_equal(rig_committed(), 0);
    sent_fini(&first), sent_fini(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(repeats_in_flight_wait_for_the_first),
        RIG_TEST(other_content_in_flight_is_refused),
        RIG_TEST(repeats_of_a_stored_answer),
        RIG_TEST(repeats_across_a_reload),
        RIG_TEST(no_repeat_is_refused),
        RIG_TEST(repeats_share_the_fault_of_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
