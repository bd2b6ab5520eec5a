/* When a commit fails, nothing of it and of what stands behind it is anywhere: not in the ledger, not in history, and each is
 * told so. What stands before it is recorded. The next batch works, and a close comes to an end whatever fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

/* Sends until the server takes again: history is being reloaded for a moment. */
static void screen_works(const char *id, int64_t sequence)
{
    for (unsigned tries = 0; tries < 2000; tries++) {
        struct sent sent = {0};
        struct wire_buffer message;
        batch_of(&message, "a", "screen", id, 20);
        ask(&sent, &message);
        bool refused = strcmp(reply_fault(&sent), "unavailable") == 0;
        if (refused)
            assert_true(reply_i64(&sent, "retry_after_ms") > 0);
        else
            assert_int_equal(reply_i64(&sent, "sequence"), sequence);
        sent_fini(&sent);
        if (!refused)
            return;
        rig_sleep_ms(2);
    }
    fail_msg("the server does not come back");
}

static void post_batches(struct sent *sent, unsigned count, const char *prefix, uint32_t rows)
{
    for (unsigned i = 0; i < count; i++) {
        struct wire_buffer message;
        char id[16];
        snprintf(id, sizeof id, "%s%u-", prefix, i);
        batch_of(&message, "a", i % 3 == 1 ? "import" : "screen", id, rows);
        post(&sent[i], &message);
    }
}

static void all_get(struct sent *sent, unsigned count, const char *fault)
{
    for (unsigned i = 0; i < count; i++) {
        await(&sent[i]);
        assert_string_equal(reply_fault(&sent[i]), fault);
        sent_fini(&sent[i]);
    }
}

static void assert_history_is_the_logs(void)
{
    rig_await_quiet();
    struct digest now = rig_history();
    pipeline_close(&pipeline);
    rig_forget_snapshot();
    rig_open(rig_config(NULL, NULL));
    assert_true(digest_equal(now, rig_history()));
}

static void nothing_of_a_failed_commit_is_anywhere(void **state)
{
    enum { BEHIND = 8 };
    struct sent first = {0}, behind[BEHIND] = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    screen_works("before", 1);
    rig_await_quiet();
    struct digest before = rig_history();
    atomic_store(&commits_to_fail, 1);
    gate_set(&commit_gate, true);
    batch_of(&message, "a", "screen", "first", 300);
    post(&first, &message);
    gate_await(&commit_gate, 1);
    post_batches(behind, BEHIND, "b", 200);
    rig_sleep_ms(30);
    gate_set(&commit_gate, false);
    await(&first);
    assert_string_equal(reply_fault(&first), "ledger");
    assert_string_equal(reply_note(&first), "the test wants it so");
    for (unsigned i = 0; i < BEHIND; i++) {
        await(&behind[i]);
        const char *fault = reply_fault(&behind[i]); /* unavailable: it came to its number after the failure */
        assert_true(strcmp(fault, "ledger") == 0 || strcmp(fault, "unavailable") == 0);
    }
    assert_string_equal(reply_fault(&behind[0]), "ledger");
    assert_string_equal(reply_note(&behind[0]), "a batch before it could not be recorded: the test wants it so");
    while (!atomic_load(&pipeline->ready))
        rig_sleep_ms(1);
    assert_int_equal(rig_committed(), 1);
    assert_true(digest_equal(before, rig_history()));
    expect_state("a", "b0-", "fault not_found");
    screen_works("after", 2);
    screen_works("first", 3); /* the id is free again */
    assert_history_is_the_logs();
    sent_fini(&first);
    for (unsigned i = 0; i < BEHIND; i++)
        sent_fini(&behind[i]);
}

/* --- a batch that fails by itself ----------------------------------------------------------------------------------------- */

enum { ILL_ROWS = 13 };

static enum fault ill_score(struct scores *out, struct scratch *scratch, const struct resident *resident,
                            const struct feature_block *features, struct fault_note *note)
{
    if (features->row_count == ILL_ROWS)
        return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "the device is ill");
    return device_cpu.score(out, scratch, resident, features, note);
}

static void what_stands_before_a_failure_is_recorded(void **state)
{
    static struct device_ops ill;
    struct sent first = {0}, before[3] = {0}, failing = {0}, behind[3] = {0};
    struct wire_buffer message;
    (void)state;
    rig_write_base("base.safetensors", 5);
    rig_open(rig_config(NULL, "base.safetensors"));
    ill = *pipeline->epoch->device_ops;
    ill.score = ill_score;
    pipeline->epoch->device_ops = &ill;
    gate_set(&commit_gate, true);
    batch_of(&message, "a", "screen", "first", 10);
    post(&first, &message);
    gate_await(&commit_gate, 1);
    post_batches(before, 3, "b", 10); /* all of these come into one group */
    rig_sleep_ms(30);
    batch_of(&message, "a", "screen", "ill", ILL_ROWS);
    post(&failing, &message);
    rig_sleep_ms(30);
    post_batches(behind, 3, "c", 10);
    rig_sleep_ms(30);
    gate_set(&commit_gate, false);
    all_get(&first, 1, "ok");
    all_get(before, 3, "ok");
    await(&failing);
    assert_string_equal(reply_note(&failing), "the device is ill");
    all_get(&failing, 1, "device");
    all_get(behind, 3, "ledger");
    screen_works("after", 5);
    batch_of(&message, "a", "score", "ill", ILL_ROWS); /* no number, no harm to others */
    expect(&message, "rows", "fault device");
    screen_works("after that", 6);
}

/* --- failures below ------------------------------------------------------------------------------------------------------- */

static atomic_uint syncs_to_fail;

static int ill_sync(int fd)
{
    if (atomic_load(&syncs_to_fail) == 0)
        return file_ops_system.sync(fd);
    atomic_fetch_sub(&syncs_to_fail, 1);
    return -1;
}

static void a_disk_that_does_not_sync(void **state)
{
    static struct file_ops ill;
    struct wire_buffer message;
    (void)state;
    ill = file_ops_system;
    ill.sync = ill_sync;
    file_ops = &ill;
    rig_open(rig_config(NULL, NULL));
    screen_works("before", 1);
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&syncs_to_fail, 1);
        batch_of(&message, "a", "screen", "unsynced", 30);
        expect(&message, "rows", "fault ledger");
        atomic_store(&syncs_to_fail, 0);
        char id[16];
        snprintf(id, sizeof id, "after%u", i);
        screen_works(id, 2 + i);
    }
    assert_history_is_the_logs();
    pipeline_close(&pipeline);
    file_ops = &file_ops_system;
}

static void a_reload_that_fails_is_tried_again(void **state)
{
    struct wire_buffer message;
    char why[160];
    (void)state;
    rig_open(rig_config(NULL, NULL));
    screen_works("before", 1);
    atomic_store(&replays_to_fail, 2);
    atomic_store(&commits_to_fail, 1);
    batch_of(&message, "a", "screen", "lost", 30);
    expect(&message, "rows", "fault ledger");
    assert_false(pipeline_ready(pipeline, why, sizeof why));
    assert_string_equal(why, "history is being rebuilt");
    expect_state("a", "before", "recorded"); /* questions are answered all the while */
    begin(&message, "a", "health", "h", 0);
    expect(&message, "ready", "0");
    begin(&message, "a", "stats", "s", 0);
    expect(&message, "id", "s");
    screen_works("after", 2);
    assert_true(pipeline_ready(pipeline, why, sizeof why));
    assert_history_is_the_logs();
}

static void closing_while_history_cannot_be_reloaded(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    screen_works("before", 1);
    rig_await_quiet();
    struct digest before = rig_history();
    atomic_store(&replays_to_fail, 1000000);
    atomic_store(&commits_to_fail, 1);
    batch_of(&message, "a", "screen", "lost", 30);
    expect(&message, "rows", "fault ledger");
    pipeline_close(&pipeline); /* and saves nothing of what it has */
    atomic_store(&replays_to_fail, 0);
    rig_open(rig_config(NULL, NULL));
    assert_int_equal(rig_committed(), 1);
    assert_true(digest_equal(before, rig_history()));
}

/* Labels that wait for labels whose commit fails. */
static void parked_labels_outlive_a_failure(void **state)
{
    struct sent sent[3] = {0};
    (void)state;
    rig_open(rig_config(NULL, NULL));
    screen_works("day", 1);
    atomic_store(&commits_to_fail, 1);
    gate_set(&commit_gate, true);
    for (unsigned i = 0; i < 3; i++) {
        char id[16];
        struct wire_buffer message;
        snprintf(id, sizeof id, "label%u", i);
        labels_of(&message, "a", id, "day", 10, i % 2 ? "good" : "mule");
        post(&sent[i], &message);
        if (i == 0)
            gate_await(&commit_gate, 1);
    }
    rig_sleep_ms(30);
    gate_set(&commit_gate, false);
    all_get(&sent[0], 1, "ledger");
    for (unsigned i = 1; i < 3; i++) {
        await(&sent[i]);
        const char *fault = reply_fault(&sent[i]);
        assert_true(strcmp(fault, "unavailable") == 0 || strcmp(fault, "ok") == 0);
        sent_fini(&sent[i]);
    }
    for (unsigned tries = 0; !atomic_load(&pipeline->ready) && tries < 2000; tries++)
        rig_sleep_ms(1);
    assert_history_is_the_logs();
}

/* --- leaving ---------------------------------------------------------------------------------------------------------------- */

struct sender {
    pthread_t thread;
    unsigned number, done, refused;
};

/* Posts until it is told to go away. */
static void *sender_run(void *argument)
{
    struct sender *sender = argument;
    for (unsigned i = 0; i < 100000 && !sender->refused; i++) {
        struct sent sent = {0};
        struct wire_buffer message;
        char id[32];
        snprintf(id, sizeof id, "s%u-%u-", sender->number, i);
        batch_of(&message, "a", "screen", id, 700);
        ask(&sent, &message);
        if (strcmp(reply_value(&sent, "rows"), "700") == 0)
            sender->done++;
        else if (strcmp(reply_value(&sent, "rows"), "fault busy") != 0)
            sender->refused += strcmp(reply_value(&sent, "rows"), "fault unavailable") == 0 ? 1 : 1000;
        sent_fini(&sent);
    }
    return NULL;
}

static void says_that_it_cannot_record(void **state)
{
    struct wire_buffer message;
    char why[160];
    (void)state;
    rig_open(rig_config(NULL, NULL));
    screen_works("before", 1);
    atomic_store(&commits_to_fail, 1);
    atomic_store(&looks_to_fail, 1);
    batch_of(&message, "a", "screen", "fails", 30);
    expect(&message, "rows", "fault ledger");
    while (!atomic_load(&pipeline->ready))
        rig_sleep_ms(1);
    assert_false(pipeline_ready(pipeline, why, sizeof why));
    assert_string_equal(why, "the ledger cannot record: no room");
    begin(&message, "a", "health", "h", 0);
    expect(&message, "why", "the ledger cannot record: no room");
    unsigned calls = atomic_load(&commit_calls);
    batch_of(&message, "a", "screen", "fails", 30);
    expect(&message, "rows", "fault ledger");
    assert_int_equal(atomic_load(&commit_calls), calls); /* refused before the way */
    batch_of(&message, "a", "score", "scored", 30);
    expect(&message, "rows", "30");
    atomic_store(&looks_to_fail, 0);
    while (!pipeline_ready(pipeline, why, sizeof why))
        rig_sleep_ms(1);
    assert_string_equal(why, "");
    screen_works("after", 2);
}

static void drained_under_load(void **state)
{
    enum { SENDERS = 4 };
    struct sender senders[SENDERS] = {0};
    struct wire_buffer message;
    char why[160];
    unsigned done = 0;
    (void)state;
    rig_open(rig_config("in_flight_max: 3\n" RIG_TENANTS, NULL));
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i].number = i;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_run, &senders[i]), 0);
    }
    rig_sleep_ms(150);
    pipeline_drain(pipeline);
    assert_int_equal(pipeline->in_flight, 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].refused, 1);
        done += senders[i].done;
    }
    assert_true(done > 0);
    assert_int_equal(rig_committed(), done); /* what was answered, and nothing else */
    assert_false(pipeline_ready(pipeline, why, sizeof why));
    assert_string_equal(why, "draining");
    begin(&message, "a", "health", "h", 0);
    expect(&message, "why", "draining");
    assert_history_is_the_logs();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(nothing_of_a_failed_commit_is_anywhere),
        RIG_TEST(what_stands_before_a_failure_is_recorded),
        RIG_TEST(a_disk_that_does_not_sync),
        RIG_TEST(a_reload_that_fails_is_tried_again),
        RIG_TEST(closing_while_history_cannot_be_reloaded),
        RIG_TEST(parked_labels_outlive_a_failure),
        RIG_TEST(says_that_it_cannot_record),
        RIG_TEST(drained_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
