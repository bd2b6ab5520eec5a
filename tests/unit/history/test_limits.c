/* Tables and pools that are full: who gives way, that it is the same every time, that nothing is written outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "history/sides.h"
#include "unit/history/world.h"

static struct stream stream;
static struct batch batch;

static void add_rows(struct history *history, uint32_t count)
{
    stream.count = count;
    stream_batch(&batch, &stream, OP_screen);
    history_memory.relate(history, &batch, 0, count, 0, true, NULL);
}

static float ask(struct history *history, uint64_t payer, int64_t time_us, enum figure_id figure)
{
    struct figure_rows rows = figure_rows_take(1);
    memset(&stream, 0, sizeof stream);
    stream.count = 1;
    stream.payer[0] = payer;
    stream.payee[0] = 999999;
    stream.time_us[0] = time_us;
    stream_batch(&batch, &stream, OP_score);
    relate_cut(&rows, history, &batch, 0, 1, 1, 0, false);
    float value = rows.row[0][figure];
    free(rows.row);
    return value;
}

/* Each of many accounts once; those seen last stay. */
static void test_longest_idle_gives_way(void **state)
{
    (void)state;
    enum { KEPT = 1000, ALL = 5000 };
    struct history *history = history_of(KEPT, 100000, 10, 100000, 10);
    struct history_counts counts;
    memset(&stream, 0, sizeof stream);
    for (uint32_t i = 0; i < ALL; i++) {
        stream.payer[i] = 1 + i;
        stream.payee[i] = 1;
        stream.amount[i] = 100;
        stream.time_us[i] = START_US + (int64_t)i * 10000000;
    }
    add_rows(history, ALL);
    history_memory.count(history, &counts);
    assert_in_range(counts.accounts, KEPT, KEPT + KEPT / 4 + SET_SLOTS);
    assert_int_equal(counts.accounts + counts.evicted, ALL);
    unsigned newest_known = 0, oldest_known = 0;
    for (uint32_t i = 0; i < 500; i++) {
        newest_known += ask(history, ALL - i, START_US + DAY_US, FIGURE_payer_age) >= 0.0f;
        oldest_known += ask(history, 2 + i, START_US + DAY_US, FIGURE_payer_age) >= 0.0f;
    }
    assert_int_equal(newest_known, 500);
    assert_int_equal(oldest_known, 0);
    assert_true(ask(history, 1, START_US + 5 * DAY_US / 8, FIGURE_payer_in_sum_1d) == 100.0f * ALL);
    history_memory.close(&history);
}

static void test_nothing_gives_way_below_the_limit(void **state)
{
    (void)state;
    struct history *history = history_of(5000, 100000, 10, 5000, 10);
    struct history_counts counts;
    memset(&stream, 0, sizeof stream);
    for (uint32_t i = 0; i < 4999; i++) {
        stream.payer[i] = 2 + i;
        stream.payee[i] = 1;
        stream.time_us[i] = START_US;
    }
    add_rows(history, 4999);
    history_memory.count(history, &counts);
    assert_true(counts.evicted <= 9999 / 100); /* whose two sets are full: one in 200 */
    assert_int_equal(counts.accounts + counts.links + counts.evicted, 5000 + 4999);
    assert_in_range(counts.events, 4950, 4999); /* sent by as many; what one received lies in a bucket record */
    assert_int_equal(counts.busy, 1);
    history_memory.close(&history);
}

/* Without bucket records the newest events stay. */
static void test_oldest_events_go(void **state)
{
    (void)state;
    struct history *history = history_of(100, 100000, 0, 100, 10);
    struct history_counts counts;
    memset(&stream, 0, sizeof stream);
    for (uint32_t i = 0; i < 1000; i++) {
        stream.payer[i] = 7;
        stream.payee[i] = 8;
        stream.time_us[i] = START_US + i * (DAY_US / 50);
    }
    add_rows(history, 1000);
    history_memory.count(history, &counts);
    assert_int_equal(counts.events, 2 * RING_EVENTS_MAX);
    assert_int_equal(counts.dropped + counts.events, 2000);
    int64_t now_us = START_US + 999 * (DAY_US / 50);
    assert_in_range((unsigned)ask(history, 7, now_us, FIGURE_payer_out_count_1d), 48, 51);
    assert_true(ask(history, 7, now_us, FIGURE_payer_out_count_30d) == RING_EVENTS_MAX);
    history_memory.close(&history);
}

/* A bucket record that was idle for a day goes to whom needs it now; one in use does not. */
static void test_idle_record_gives_way(void **state)
{
    (void)state;
    for (int idle = 0; idle < 2; idle++) {
        struct history *history = history_of(100, 100000, 2, 1000, 10);
        memset(&stream, 0, sizeof stream);
        for (uint32_t i = 0; i < 400; i++) {
            stream.payer[i] = i < 200 ? 7 : 9;
            stream.payee[i] = i < 200 ? 8 : 10;
            stream.time_us[i] = START_US + (int64_t)i * 1000000 + (i < 200 ? 0 : idle * 2 * DAY_US);
        }
        add_rows(history, 400);
        int64_t now_us = START_US + 3 * DAY_US;
        assert_true(ask(history, 7, now_us, FIGURE_payer_out_count_7d) == (idle ? 0.0f : 200.0f));
        assert_true(ask(history, 9, now_us, FIGURE_payer_out_count_7d) == (idle ? 200.0f : (float)RING_EVENTS_MAX));
        history_memory.close(&history);
    }
}

static void test_no_pools_at_all(void **state)
{
    (void)state;
    struct history *history = history_of(0, 0, 0, 0, 0);
    struct history_counts counts;
    const struct stream_shape shape = {.count = 2000, .accounts = 50, .devices = 10, .step_us = DAY_US / 10, .late_us = DAY_US};
    stream_fill(&stream, &shape);
    add_rows(history, shape.count);
    history_memory.count(history, &counts);
    assert_true(counts.accounts <= SET_SLOTS && counts.events == 0 && counts.busy == 0 && counts.dropped > 0);
    history_memory.close(&history);
}

/* What was idle for longer than any figure looks back gives its room back. */
static void test_sweep(void **state)
{
    (void)state;
    struct history *history = history_of(100, 100000, 10, 1000, 10);
    struct history_counts counts;
    memset(&stream, 0, sizeof stream);
    for (uint32_t i = 0; i < 1000; i++) {
        stream.payer[i] = i < 500 ? 1 + i % 3 : 20;
        stream.payee[i] = i < 500 ? 10 : 20;
        stream.time_us[i] = START_US + i + (i < 500 ? 0 : 80 * DAY_US);
    }
    add_rows(history, 1000);
    history_memory.count(history, &counts);
    assert_int_equal(counts.accounts, 5);
    assert_int_equal(counts.busy, 2); /* of the last account alone */
    assert_int_equal(counts.events, 0);
    history_memory.close(&history);
}

/* Times, amounts, delays and keys from end to end: no figure is NaN or infinite, nothing is undefined. */
static void test_extremes(void **state)
{
    (void)state;
    const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, START_US, INT64_MAX - 1, INT64_MAX, 4102444800000000};
    const int64_t amounts[] = {INT64_MIN, -1, 0, 1, INT64_MAX, 1000000000000000, 0x7fffffff, 0x80000000};
    const uint64_t keys[] = {0, 1, UINT64_MAX, 0x8000000000000000u, 0xffffffff};
    const int64_t delays[] = {INT64_MIN, 0, 7 * DAY_US, HISTORY_DELAY_MAX_US, INT64_MAX};
    struct history *history = history_of(3, 200, 2, 5, 2);
    struct figure_rows rows = figure_rows_take(STREAM_MAX);
    memset(&stream, 0, sizeof stream);
    stream.count = 4000;
    memset(stream.label_time_valid, 0x55, sizeof stream.label_time_valid);
    for (uint32_t i = 0; i < stream.count; i++) {
        stream.payer[i] = keys[world_below(5)], stream.payee[i] = keys[world_below(5)];
        stream.payer_device[i] = keys[world_below(5)], stream.payee_address[i] = keys[world_below(5)];
        stream.amount[i] = amounts[world_below(8)];
        stream.time_us[i] = times[world_below(9)];
        stream.label_time[i] = times[world_below(9)];
        stream.label[i] = (uint8_t)world_below(256);
    }
    stream_batch(&batch, &stream, OP_import);
    for (uint32_t i = 0; i < stream.count; i++) {
        const struct history_label label = {.payer = stream.payer[i],
                                            .payee = stream.payee[i],
                                            .payer_device = stream.payer_device[i],
                                            .time_us = stream.time_us[world_below(stream.count)],
                                            .amount = stream.amount[i],
                                            .before = (uint8_t)world_below(256),
                                            .after = (uint8_t)world_below(256)};
        relate_cut(&rows, history, &batch, i, 1, 1, delays[world_below(5)], true);
        history_memory.label(history, &label);
        for (unsigned f = 0; f < FIGURE_COUNT; f++)
            assert_true(rows.row[i][f] >= -1.0f && rows.row[i][f] <= 1e20f);
    }
    free(rows.row);
    history_memory.close(&history);
}

static void test_limits_refused(void **state)
{
    (void)state;
    const struct history_limits limits = {.accounts_max = 100, .links_max = UINT64_C(1) << 40};
    struct history *history;
    struct fault_note note = {0};
    assert_int_equal(history_memory.open(&history, &limits, &note), FAULT_limit);
    assert_null(history);
    assert_non_null(strstr(note.text, "links_max"));
}

static void test_no_memory(void **state)
{
    (void)state;
    const struct history_limits limits = {.accounts_max = 100};
    struct history *history;
    struct fault_note note = {0};
    uint64_t live = memory_live_count();
    for (uint64_t nth = 0; nth < 2; nth++) {
        memory_fail_at(nth);
        assert_int_equal(history_memory.open(&history, &limits, &note), FAULT_memory);
        assert_null(history);
    }
    memory_fail_at(UINT64_MAX);
    assert_int_equal(memory_live_count(), live);
}

static void test_bytes_are_told(void **state)
{
    (void)state;
    struct history *history = history_of(12345, 54321, 77, 99999, 1111);
    const struct history_limits limits = {
        .accounts_max = 12345, .events_max = 54321, .busy_max = 77, .links_max = 99999, .places_max = 1111};
    struct history_counts counts;
    history_memory.count(history, &counts);
    assert_int_equal(counts.bytes, history_bytes(&limits));
    history_memory.close(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_idle_gives_way),
        cmocka_unit_test(test_nothing_gives_way_below_the_limit),
        cmocka_unit_test(test_oldest_events_go),
        cmocka_unit_test(test_idle_record_gives_way),
        cmocka_unit_test(test_no_pools_at_all),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_limits_refused),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_bytes_are_told),
    };
    world_state = world_seed();
    return cmocka_run_group_tests_name("history limits", tests, NULL, NULL);
}
