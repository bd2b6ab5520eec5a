/* Who is served when, and who is refused: shares of tenants, places, memory, waiting and deadlines. One worker, so that the
 * order of the sequence is the order of service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

#define TENANTS(weight_a, weight_b) \
    "workers: 1\nin_flight_max: 128\nqueue_wait_max: 60s\n" \
    "tenants:\n  - {name: a, token_hash: " TOKEN_HASH ", weight: " #weight_a ", " RIG_RIGHTS "}\n" \
    "  - {name: b, token_hash: " TOKEN_HASH ", weight: " #weight_b ", " RIG_RIGHTS "}\n"

static struct sent blocker;

/* The only worker stands, in a batch of `tenant`. */
static void worker_hold(const char *tenant)
{
    struct wire_buffer message;
    blocker = (struct sent){0};
    gate_set(&lookup_gate, true);
    batch_of(&message, tenant, "screen", "blocker", 1);
    post(&blocker, &message);
    gate_await(&lookup_gate, 1);
}

static void worker_release(void)
{
    gate_set(&lookup_gate, false);
    await(&blocker);
    assert_string_equal(reply_fault(&blocker), "ok");
    sent_fini(&blocker);
}

static void post_batches(struct sent *sent, unsigned count, const char *tenant, const char *prefix, uint32_t rows)
{
    for (unsigned i = 0; i < count; i++) {
        struct wire_buffer message;
        char id[16];
        snprintf(id, sizeof id, "%s%u-", prefix, i);
        batch_of(&message, tenant, "screen", id, rows);
        post(&sent[i], &message);
    }
}

/* How many of these have a sequence up to `last`. */
static unsigned served_by(struct sent *sent, unsigned count, int64_t last)
{
    unsigned served = 0;
    for (unsigned i = 0; i < count; i++) {
        await(&sent[i]);
        assert_string_equal(reply_fault(&sent[i]), "ok");
        served += reply_i64(&sent[i], "sequence") <= last;
    }
    return served;
}

static void finish(struct sent *sent, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        await(&sent[i]);
        sent_fini(&sent[i]);
    }
}

/* --- shares ------------------------------------------------------------------------------------------------------------ */

static void weights_share_the_rows(void **state)
{
    enum { EACH = 40 };
    struct sent of_a[EACH] = {0}, of_b[EACH] = {0};
    (void)state;
    rig_open(rig_config(TENANTS(3, 1), NULL));
    worker_hold("a");
    post_batches(of_a, EACH, "a", "a", 300);
    post_batches(of_b, EACH, "b", "b", 300);
    worker_release();
    unsigned first_a = served_by(of_a, EACH, 1 + EACH), first_b = served_by(of_b, EACH, 1 + EACH);
    assert_int_equal(first_a + first_b, EACH);
    assert_in_range(first_a, 29, 31);
    finish(of_a, EACH), finish(of_b, EACH);
}

static void rows_count_not_batches(void **state)
{
    enum { OF_A = 10, OF_B = 40 };
    struct sent of_a[OF_A] = {0}, of_b[OF_B] = {0};
    (void)state;
    rig_open(rig_config(TENANTS(1, 1), NULL));
    worker_hold("a");
    post_batches(of_a, OF_A, "a", "a", 4000);
    post_batches(of_b, OF_B, "b", "b", 900);
    worker_release();
    /* two batches of a have 8,200 rows' worth, eight of b 8,000 */
    assert_in_range(served_by(of_a, OF_A, 11), 1, 3);
    assert_in_range(served_by(of_b, OF_B, 11), 7, 9);
    finish(of_a, OF_A), finish(of_b, OF_B);
}

static void a_huge_batch_lets_small_ones_by(void **state)
{
    enum { HUGE = 6, SMALL = 30 };
    struct sent huge[HUGE] = {0}, small[SMALL] = {0};
    (void)state;
    rig_open(rig_config(TENANTS(1, 1), NULL));
    worker_hold("a");
    post_batches(huge, HUGE, "a", "h", 60000);
    post_batches(small, SMALL, "b", "s", 1);
    worker_release();
    assert_int_equal(served_by(small, SMALL, 1 + SMALL + 1), SMALL); /* all before the second huge one */
    finish(huge, HUGE), finish(small, SMALL);
}

static void waiting_for_nothing_earns_nothing(void **state)
{
    enum { EACH = 20 };
    struct sent alone[EACH] = {0}, of_a[EACH] = {0}, of_b[EACH] = {0};
    (void)state;
    rig_open(rig_config(TENANTS(1, 1), NULL));
    post_batches(alone, EACH, "a", "x", 500);
    finish(alone, EACH);
    worker_hold("a");
    post_batches(of_a, EACH, "a", "a", 500);
    post_batches(of_b, EACH, "b", "b", 500);
    worker_release();
    assert_in_range(served_by(of_b, EACH, EACH + 1 + EACH), EACH / 2 - 1, EACH / 2 + 1);
    finish(of_a, EACH), finish(of_b, EACH);
}

/* --- places and memory ------------------------------------------------------------------------------------------------- */

static void places_run_out(void **state)
{
    enum { PLACES = 8 };
    struct sent sent[PLACES] = {0}, refused = {0}, of_b[2] = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config("workers: 1\nin_flight_max: 8\n" RIG_TENANTS, NULL));
    worker_hold("a");
    post_batches(sent, 5, "a", "a", 5);
    batch_of(&message, "a", "screen", "more", 5); /* the last quarter is for others */
    ask(&refused, &message);
    assert_string_equal(reply_fault(&refused), "busy");
    assert_string_equal(reply_note(&refused), "6 requests of this tenant are in flight");
    assert_true(reply_i64(&refused, "retry_after_ms") >= 5);
    sent_fini(&refused);
    post_batches(of_b, 2, "b", "b", 5);
    batch_of(&message, "b", "screen", "more", 5);
    ask(&refused, &message);
    assert_string_equal(reply_note(&refused), "8 requests are in flight");
    sent_fini(&refused);
    worker_release();
    finish(sent, 5), finish(of_b, 2);
    batch_of(&message, "a", "screen", "more", 5); /* the id is free */
    expect(&message, "rows", "5");
}

static void memory_runs_out(void **state)
{
    struct sent sent[2] = {0}, refused = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(TENANTS(1, 1), NULL));
    worker_hold("a");
    post_batches(sent, 1, "a", "a", 5000);
    pipeline->budget_bytes = pipeline->reserved_bytes + 1000;
    batch_of(&message, "b", "screen", "more", 5000);
    ask(&refused, &message);
    assert_string_equal(reply_fault(&refused), "busy");
    sent_fini(&refused);
    pipeline->budget_bytes = 1000;
    batch_of(&message, "b", "screen", "more", 5000);
    ask(&refused, &message);
    assert_string_equal(reply_fault(&refused), "limit");
    sent_fini(&refused);
    worker_release();
    finish(sent, 1);
    rig_await_quiet();
    assert_int_equal(pipeline->reserved_bytes, 0);
}

/* --- waiting and deadlines --------------------------------------------------------------------------------------------- */

static void waiting_has_an_end(void **state)
{
    enum { BATCHES = 4 };
    struct sent sent[BATCHES] = {0};
    (void)state;
    rig_open(rig_config("workers: 1\nqueue_wait_max: 50ms\n" RIG_TENANTS, NULL));
    worker_hold("a");
    post_batches(sent, BATCHES, "a", "a", 5);
    for (unsigned i = 0; i < BATCHES; i++) {
        await(&sent[i]); /* while the worker still stands */
        assert_string_equal(reply_fault(&sent[i]), "busy");
        assert_true(reply_i64(&sent[i], "retry_after_ms") >= 5);
        assert_non_null(strstr(reply_note(&sent[i]), "ms for a worker"));
    }
    worker_release();
    finish(sent, BATCHES);
    assert_int_equal(rig_committed(), 1);
}

static void a_wait_is_told(void **state)
{
    struct sent prompt = {0}, waited = {0}, imported = {0}, again = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(TENANTS(1, 1), NULL));
    batch_of(&message, "a", "screen", "prompt", 5);
    ask(&prompt, &message);
    if (reply_i64(&prompt, "waited_ms") >= 0) /* a machine that is busy elsewhere */
        assert_true(reply_i64(&prompt, "waited_ms") >= 10);
    worker_hold("a");
    batch_of(&message, "a", "screen", "waited", 5);
    post(&waited, &message);
    batch_of(&message, "a", "import", "imported", 5);
    post(&imported, &message);
    rig_sleep_ms(40);
    worker_release();
    await(&waited), await(&imported);
    assert_in_range(reply_i64(&waited, "waited_ms"), 39, 60000);
    assert_in_range(reply_i64(&imported, "waited_ms"), 39, 60000);
    batch_of(&message, "a", "screen", "waited", 5);
    ask(&again, &message);
    assert_string_equal(reply_fault(&again), "ok");
    assert_int_equal(reply_i64(&again, "waited_ms"), -1);
    finish(&prompt, 1), finish(&waited, 1), finish(&imported, 1), finish(&again, 1);
}

static void with_deadline(struct wire_buffer *out, const char *op, const char *id, int64_t deadline_ms)
{
    begin(out, "a", op, id, 3), pair_i64(out, "deadline_ms", deadline_ms), columns(out, 5, id, 100);
}

static void deadline_before_admission(void **state)
{
    struct sent sent = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    with_deadline(&message, "screen", "late", 100);
    post_as_of(&sent, &message, clock_steady_ns() - 200000000);
    assert_true(is_answered(&sent)); /* at once, by the admitting thread */
    assert_string_equal(reply_fault(&sent), "deadline");
    sent_fini(&sent);
}

/* Behind others that may wait longer: answered in its time, not when its turn comes. */
static void deadline_in_the_middle_of_a_line(void **state)
{
    struct sent before[2] = {0}, after[2] = {0}, late = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(TENANTS(1, 1), NULL));
    worker_hold("a");
    post_batches(before, 2, "a", "a", 5);
    with_deadline(&message, "screen", "late", 30);
    post(&late, &message);
    post_batches(after, 2, "a", "z", 5);
    await(&late);
    assert_string_equal(reply_fault(&late), "deadline");
    assert_false(is_answered(&before[0]));
    worker_release();
    assert_int_equal(served_by(before, 2, 3), 2);
    assert_int_equal(served_by(after, 2, 5), 2);
    finish(before, 2), finish(after, 2), finish(&late, 1);
    expect_state("a", "late", "fault not_found");
}

static void deadline_before_the_sequence(void **state)
{
    struct sent sent = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    gate_set(&lookup_gate, true);
    with_deadline(&message, "screen", "late", 60);
    post(&sent, &message);
    gate_await(&lookup_gate, 1); /* decoding */
    rig_sleep_ms(90);
    gate_set(&lookup_gate, false);
    await(&sent);
    assert_string_equal(reply_fault(&sent), "deadline");
    assert_int_equal(rig_sequence_next(), 1);
    sent_fini(&sent);
}

static void no_deadline_after_the_sequence(void **state)
{
    struct sent sent = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    gate_set(&commit_gate, true);
    with_deadline(&message, "screen", "late", 60);
    post(&sent, &message);
    gate_await(&commit_gate, 1);
    rig_sleep_ms(90);
    gate_set(&commit_gate, false);
    await(&sent);
    assert_string_equal(reply_fault(&sent), "ok");
    sent_fini(&sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(weights_share_the_rows),
        RIG_TEST(rows_count_not_batches),
        RIG_TEST(a_huge_batch_lets_small_ones_by),
        RIG_TEST(waiting_for_nothing_earns_nothing),
        RIG_TEST(places_run_out),
        RIG_TEST(memory_runs_out),
        RIG_TEST(waiting_has_an_end),
        RIG_TEST(a_wait_is_told),
        RIG_TEST(deadline_before_admission),
        RIG_TEST(deadline_in_the_middle_of_a_line),
        RIG_TEST(deadline_before_the_sequence),
        RIG_TEST(no_deadline_after_the_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
