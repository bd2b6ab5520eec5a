/* History is a function of the order of calls: the same rows cut otherwise give the same figures and the same state;
 * scores leave nothing behind; what comes later changes nothing that was read before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/history/world.h"

static const struct stream_shape shape = {
    .count = 4000, .accounts = 150, .devices = 60, .step_us = DAY_US / 100, .late_us = 5 * DAY_US, .label_times = true};

static struct stream stream;
static struct batch batch;

static struct history *small_history(void) /* small enough that everything gives way to everything */
{
    return history_of(100, 1024, 6, 300, 40);
}

static int streams_open(void **state)
{
    (void)state;
    stream_fill(&stream, &shape);
    stream_batch(&batch, &stream, OP_import);
    return 0;
}

static void same_rows(const struct figure_rows *a, const struct figure_rows *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (unsigned f = 0; f < FIGURE_COUNT; f++)
            if (memcmp(&a->row[i][f], &b->row[i][f], sizeof(float)) != 0)
                fail_msg("row %u: %s is %.9g and %.9g", i, figure_names[f], (double)a->row[i][f], (double)b->row[i][f]);
}

static struct digest run(struct figure_rows *out, struct history *history, uint32_t cut)
{
    relate_cut(out, history, &batch, 0, shape.count, cut, 7 * DAY_US, true);
    struct digest digest = history_memory.state_digest(history);
    history_memory.close(&history);
    return digest;
}

static void test_cut(void **state)
{
    (void)state;
    const uint32_t cuts[] = {7, 16, 1000, SLICE_ROWS};
    struct figure_rows one = figure_rows_take(shape.count), other = figure_rows_take(shape.count);
    for (int small = 0; small < 2; small++) {
        struct digest digest = run(&one, small ? small_history() : history_of(1000, 100000, 100, 10000, 1000), 1);
        for (unsigned i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            assert_true(digest_equal(digest, run(&other, small ? small_history() : history_of(1000, 100000, 100, 10000, 1000), cuts[i])));
            same_rows(&one, &other, shape.count);
        }
        struct history *whole = small ? small_history() : history_of(1000, 100000, 100, 10000, 1000);
        history_memory.relate(whole, &batch, 0, shape.count, 7 * DAY_US, true, NULL);
        assert_true(digest_equal(digest, history_memory.state_digest(whole)));
        history_memory.close(&whole);
    }
    free(one.row);
    free(other.row);
}

static void test_score_leaves_nothing(void **state)
{
    (void)state;
    struct history *history = small_history();
    struct figure_rows before = figure_rows_take(shape.count), after = figure_rows_take(shape.count);
    history_memory.relate(history, &batch, 0, 2000, 7 * DAY_US, true, NULL);
    struct digest digest = history_memory.state_digest(history);
    relate_cut(&before, history, &batch, 2000, 2000, 1000, 7 * DAY_US, false);
    assert_true(digest_equal(digest, history_memory.state_digest(history)));
    relate_cut(&after, history, &batch, 2000, 2000, 13, 7 * DAY_US, false);
    for (uint32_t i = 0; i < 2000; i++)
        assert_memory_equal(before.row[2000 + i], after.row[2000 + i], sizeof *before.row);
    free(before.row);
    free(after.row);
    history_memory.close(&history);
}

static void test_later_rows_change_nothing(void **state)
{
    (void)state;
    struct figure_rows one = figure_rows_take(shape.count), other = figure_rows_take(shape.count);
    run(&one, small_history(), 500);
    for (uint32_t i = 3000; i < shape.count; i++) { /* another future */
        stream.payer[i] = 1 + world_below(150);
        stream.amount[i] = world_amount();
        stream.label[i] = 2;
        stream.time_us[i] -= (int64_t)world_below(30 * DAY_US);
    }
    run(&other, small_history(), 500);
    same_rows(&one, &other, 3000);
    free(one.row);
    free(other.row);
}

static void test_invalid_rows_are_not_there(void **state)
{
    (void)state;
    static struct stream without;
    struct figure_rows one = figure_rows_take(shape.count);
    struct digest digest = run(&one, small_history(), 100);
    memset(&without, 0, sizeof without);
    for (uint32_t i = 0; i < shape.count; i++) {
        uint32_t to = without.count;
        if (stream.invalid[i]) {
            for (unsigned f = 0; f < FIGURE_COUNT; f++)
                assert_true(one.row[i][f] == -1.0f);
            continue;
        }
        without.payer[to] = stream.payer[i], without.payee[to] = stream.payee[i];
        without.payer_device[to] = stream.payer_device[i], without.payee_device[to] = stream.payee_device[i];
        without.payer_address[to] = stream.payer_address[i], without.payee_address[to] = stream.payee_address[i];
        without.payer_network[to] = stream.payer_network[i], without.payee_network[to] = stream.payee_network[i];
        without.amount[to] = stream.amount[i], without.time_us[to] = stream.time_us[i];
        without.label[to] = stream.label[i], without.label_time[to] = stream.label_time[i];
        without.label_time_valid[to / 8] |= (uint8_t)((stream.label_time_valid[i / 8] >> i % 8 & 1) << to % 8);
        without.count++;
    }
    struct batch rest;
    struct history *history = small_history();
    stream_batch(&rest, &without, OP_import);
    history_memory.relate(history, &rest, 0, without.count, 7 * DAY_US, true, NULL);
    assert_true(digest_equal(digest, history_memory.state_digest(history)));
    history_memory.close(&history);
    free(one.row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cut, streams_open),
        cmocka_unit_test_setup(test_score_leaves_nothing, streams_open),
        cmocka_unit_test_setup(test_later_rows_change_nothing, streams_open),
        cmocka_unit_test_setup(test_invalid_rows_are_not_there, streams_open),
    };
    world_state = world_seed();
    return cmocka_run_group_tests_name("history order", tests, NULL, NULL);
}
