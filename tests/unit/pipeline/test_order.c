/* Numbers without gaps, replies only behind their commit, and a history that is a function of the log: rebuilt from it, with
 * or without a snapshot, it has the same bits. Every size of batch at the edges of a slice; with a scene base and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

static const char *const many = "in_flight_max: 64\n" RIG_TENANTS;

static void open_with(bool with_base)
{
    if (with_base)
        rig_write_base("base.safetensors", 7);
    rig_open(rig_config(many, with_base ? "base.safetensors" : NULL));
}

/* --- numbers and replies -------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void numbers(bool with_base)
{
    enum { BATCHES = 48 };
    static const uint32_t sizes[] = {1, 2, SLICE_ROWS - 1, SLICE_ROWS, SLICE_ROWS + 1, 3 * SLICE_ROWS + 5, 16, 15};
    static struct sent sent[BATCHES];
    int64_t sequences[BATCHES];
    char id[16];
    memset(sent, 0, sizeof sent);
    open_with(with_base);
    for (unsigned i = 0; i < BATCHES; i++) {
        struct wire_buffer message;
        snprintf(id, sizeof id, "n%u-", i);
        batch_of(&message, i % 3 ? "a" : "b", "screen", id, sizes[i % 8]);
        post(&sent[i], &message);
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        await(&sent[i]);
        assert_string_equal(reply_fault(&sent[i]), "ok");
        sequences[i] = reply_i64(&sent[i], "sequence");
        assert_true((uint64_t)sequences[i] <= sent[i].committed_then);
        assert_int_equal(reply_i64(&sent[i], "rows"), sizes[i % 8]);
        sent_fini(&sent[i]);
    }
    qsort(sequences, BATCHES, sizeof *sequences, by_value);
    for (unsigned i = 0; i < BATCHES; i++)
        assert_int_equal(sequences[i], i + 1);
    assert_int_equal(rig_committed(), BATCHES);
}

static void numbers_without_gaps(void **state)
{
    (void)state;
    numbers(false);
}

static void numbers_without_gaps_with_a_base(void **state)
{
    (void)state;
    numbers(true);
}

static void no_reply_before_its_commit(void **state)
{
    enum { BATCHES = 6 };
    struct sent sent[BATCHES] = {0}, score = {0};
    (void)state;
    open_with(true);
    gate_set(&commit_gate, true);
    for (unsigned i = 0; i < BATCHES; i++) {
        struct wire_buffer message;
        char id[16];
        snprintf(id, sizeof id, "n%u-", i);
        batch_of(&message, "a", i % 2 ? "import" : "screen", id, 10);
        post(&sent[i], &message);
    }
    gate_await(&commit_gate, 1);
    struct wire_buffer message;
    batch_of(&message, "a", "score", "scored", 10);
    ask(&score, &message); /* is not recorded, so it waits for nobody */
    assert_string_equal(reply_fault(&score), "ok");
    assert_int_equal(reply_i64(&score, "sequence"), 0);
    for (unsigned i = 0; i < BATCHES; i++)
        assert_false(is_answered(&sent[i]));
    gate_set(&commit_gate, false);
    for (unsigned i = 0; i < BATCHES; i++) {
        await(&sent[i]);
        assert_string_equal(reply_fault(&sent[i]), "ok");
        sent_fini(&sent[i]);
    }
    sent_fini(&score);
}

static void the_index_is_tended_when_nothing_is_in_flight(void **state)
{
    struct sent held = {0};
    struct wire_buffer message;
    (void)state;
    open_with(false);
    batch_of(&message, "a", "screen", "first", 10);
    expect(&message, "rows", "10");
    while (atomic_load(&idle_calls) == 0)
        rig_sleep_ms(1);
    gate_set(&lookup_gate, true);
    batch_of(&message, "b", "screen", "held", 10);
    post(&held, &message);
    gate_await(&lookup_gate, 1);
    unsigned calls = atomic_load(&idle_calls);
    batch_of(&message, "a", "score", "scored", 10); /* does not come by the gate */
    expect(&message, "rows", "10");
    pthread_mutex_lock(&pipeline->record_lock);
    pthread_cond_broadcast(&pipeline->record_changed); /* the ledger thread looks up */
    pthread_mutex_unlock(&pipeline->record_lock);
    rig_sleep_ms(20);
    assert_int_equal(atomic_load(&idle_calls), calls);
    gate_set(&lookup_gate, false);
    await(&held);
    while (atomic_load(&idle_calls) == calls)
        rig_sleep_ms(1);
    sent_fini(&held);
}

/* --- sizes ------------------------------------------------------------------------------------------------------------ */

static uint32_t bytes_of_column(const struct sent *sent, const char *column)
{
    struct wire_value all, one, data;
    assert_true(reply_find(sent, "columns", &all) && wire_find(&one, &all, column) && wire_find(&data, &one, "data"));
    return data.text.bytes;
}

static int64_t sum_of_counts(const struct sent *sent)
{
    struct wire_value counts, one;
    int64_t sum = 0;
    assert_true(reply_find(sent, "counts", &counts));
    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        sum += wire_find(&one, &counts, verdict_names[i]) ? one.integer : 0;
    return sum;
}

static void sizes_at_the_edges_of_a_slice(void **state)
{
    static const uint32_t sizes[] = {1, 15, 16, 17, SLICE_ROWS - 1, SLICE_ROWS, SLICE_ROWS + 1, 2 * SLICE_ROWS, 2 * SLICE_ROWS + 1, 40000};
    (void)state;
    for (int with_base = 0; with_base < 2; with_base++) {
        open_with(with_base);
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char id[16];
            struct wire_buffer message;
            struct sent sent = {0};
            snprintf(id, sizeof id, "%d-%u-", with_base, i);
            batch_of(&message, "a", "screen", id, sizes[i]);
            ask(&sent, &message);
            assert_int_equal(reply_i64(&sent, "rows"), sizes[i]);
            assert_int_equal(bytes_of_column(&sent, "verdict"), sizes[i]);
            assert_int_equal(bytes_of_column(&sent, "match"), 4 * sizes[i]);
            assert_int_equal(sum_of_counts(&sent), sizes[i]);
            sent_fini(&sent);
        }
        pipeline_close(&pipeline);
    }
}

static void a_batch_of_no_rows_is_refused(void **state)
{
    struct wire_buffer message;
    (void)state;
    open_with(false);
    batch_of(&message, "a", "screen", "empty", 0);
    expect(&message, "rows", "fault schema");
    assert_int_equal(rig_committed(), 0);
    batch_of(&message, "a", "screen", "empty", 1); /* the id is free */
    expect(&message, "rows", "1");
}

/* --- history ---------------------------------------------------------------------------------------------------------- */

static void observe(struct wire_buffer *out, const char *id)
{
    begin(out, "a", "observe", id, 2), pair(out, "kind", "contact");
    wire_pack_text(out, "transfers");
    wire_pack_array(out, 2);
    for (unsigned i = 0; i < 2; i++) {
        wire_pack_map(out, 2);
        pair(out, "account_id", i ? "p1" : "p2");
        pair(out, "contact_id", "q3");
    }
}

/* Everything that changes history, many at a time. */
static void traffic(struct sent *sent, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char id[16], of[16];
        struct wire_buffer message;
        snprintf(id, sizeof id, "h%u-", i);
        snprintf(of, sizeof of, "h%u-", i / 2);
        if (i % 5 == 4)
            labels_of(&message, "a", id, of, 9, i % 2 ? "mule" : "good");
        else if (i % 7 == 3)
            observe(&message, id);
        else
            batch_of(&message, "a", i % 3 == 1 ? "import" : "screen", id, 50 + 400 * (i % 4));
        post(&sent[i], &message);
    }
    for (unsigned i = 0; i < count; i++) {
        await(&sent[i]);
        assert_string_equal(reply_fault(&sent[i]), "ok");
    }
}

static void assert_result_again(struct sent *first, const char *batch)
{
    struct sent again = {0};
    struct wire_buffer message;
    begin(&message, "a", "result", "r", 2), pair(&message, "batch", batch), pair(&message, "form", "columns");
    ask(&again, &message);
    assert_true(replies_equal(first, &again));
    sent_fini(&again);
}

static void history_is_a_function_of_the_log(void **state)
{
    enum { BATCHES = 40 };
    static struct sent sent[BATCHES];
    struct wire_buffer message;
    char hex[33];
    (void)state;
    memset(sent, 0, sizeof sent);
    open_with(true);
    traffic(sent, BATCHES);
    struct digest before = rig_history();
    pipeline_close(&pipeline);
    for (int with_snapshot = 1; with_snapshot >= 0; with_snapshot--) {
        if (!with_snapshot)
            rig_forget_snapshot();
        open_with(true);
        assert_true(digest_equal(before, rig_history()));
        assert_int_equal(rig_committed(), BATCHES);
        begin(&message, "a", "stats", "s", 0);
        digest_to_hex(hex, before);
        expect(&message, "history_digest_at_start", hex);
        for (unsigned i = 0; i < BATCHES; i += 6) {
            char id[16];
            snprintf(id, sizeof id, "h%u-", i);
            assert_result_again(&sent[i], id);
        }
        pipeline_close(&pipeline);
    }
    for (unsigned i = 0; i < BATCHES; i++)
        sent_fini(&sent[i]);
}

static void the_clock_never_goes_back(void **state)
{
    struct sent sent = {0};
    struct wire_buffer message;
    int64_t times[2];
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open_with(false);
        char id[8];
        snprintf(id, sizeof id, "t%u", i);
        batch_of(&message, "a", "screen", id, 3);
        expect(&message, "rows", "3");
        begin(&message, "a", "status", "s", 1), pair(&message, "batch", id);
        ask(&sent, &message);
        times[i] = reply_i64(&sent, "time");
        sent_fini(&sent);
        pipeline_close(&pipeline); /* with a snapshot: nothing is replayed at the next start */
        clock_wall_shift_us(-US_PER_DAY);
    }
    clock_wall_shift_us(0);
    assert_true(times[1] >= times[0]);
}

/* --- labels ----------------------------------------------------------------------------------------------------------- */

static void labels_wait_for_the_labels_before_them(void **state)
{
    enum { BATCHES = 5 };
    struct sent sent[BATCHES] = {0}, screened = {0};
    struct wire_buffer message;
    (void)state;
    open_with(false);
    batch_of(&message, "a", "screen", "day", 200);
    expect(&message, "rows", "200");
    gate_set(&commit_gate, true);
    for (unsigned i = 0; i < BATCHES; i++) {
        char id[16];
        snprintf(id, sizeof id, "label%u", i);
        labels_of(&message, "a", id, "day", 100 + i, i % 2 ? "good" : "mule");
        post(&sent[i], &message);
    }
    batch_of(&message, "a", "screen", "next", 20); /* does not wait for the parked ones */
    post(&screened, &message);
    gate_await(&commit_gate, 1);
    rig_sleep_ms(50);
    assert_int_equal(rig_sequence_next(), 4); /* day, the first labels, next */
    gate_set(&commit_gate, false);
    for (unsigned i = 0; i < BATCHES; i++) {
        await(&sent[i]);
        assert_string_equal(reply_fault(&sent[i]), "ok");
        assert_string_equal(reply_value(&sent[i], "notes"), "0");
        sent_fini(&sent[i]);
    }
    await(&screened);
    sent_fini(&screened);
    struct digest before = rig_history();
    pipeline_close(&pipeline);
    rig_forget_snapshot();
    open_with(false);
    assert_true(digest_equal(before, rig_history()));
}

static void labels_of_what_is_not_there(void **state)
{
    struct wire_buffer message;
    struct sent sent = {0};
    (void)state;
    open_with(false);
    batch_of(&message, "a", "screen", "day", 3);
    expect(&message, "rows", "3");
    labels_of(&message, "a", "labels", "day", 5, "good");
    ask(&sent, &message);
    assert_string_equal(reply_value(&sent, "notes"), "2");
    assert_string_equal(reply_note(&sent), "no transfer day3 is recorded");
    sent_fini(&sent);
    labels_of(&message, "a", "nothing", "other", 5, "good");
    expect(&message, "notes", "5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(numbers_without_gaps),
        RIG_TEST(numbers_without_gaps_with_a_base),
        RIG_TEST(no_reply_before_its_commit),
        RIG_TEST(the_index_is_tended_when_nothing_is_in_flight),
        RIG_TEST(sizes_at_the_edges_of_a_slice),
        RIG_TEST(a_batch_of_no_rows_is_refused),
        RIG_TEST(history_is_a_function_of_the_log),
        RIG_TEST(the_clock_never_goes_back),
        RIG_TEST(labels_wait_for_the_labels_before_them),
        RIG_TEST(labels_of_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
