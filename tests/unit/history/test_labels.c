/* When a label acts, to the second; what becomes of it when it is changed, repeated or of a transfer that is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/history/world.h"

#define DELAY_US (7 * DAY_US)
#define SIX_US   (6 * 3600000000LL)
#define DAY_0    (17700 * DAY_US)

struct scene {
    struct stream stream;
    struct batch batch;
    struct history *history;
    struct figure_rows figures;
};

static void scene_open(struct scene *out, bool busy, enum op op)
{
    memset(out, 0, sizeof *out);
    out->history = history_of(100, busy ? 0 : 10000, 10, 1000, 100);
    stream_batch(&out->batch, &out->stream, op);
    out->figures = figure_rows_take(STREAM_MAX);
}

static void scene_close(struct scene *scene)
{
    history_memory.close(&scene->history);
    free(scene->figures.row);
}

static uint32_t row_append(struct scene *scene, int64_t time_us, uint8_t label, int64_t label_time_us)
{
    struct stream *s = &scene->stream;
    uint32_t row = s->count++;
    s->payer[row] = 11;
    s->payee[row] = 22;
    s->payer_device[row] = 33;
    s->amount[row] = 5000;
    s->time_us[row] = time_us;
    s->label[row] = label;
    s->label_time[row] = label_time_us;
    if (label_time_us)
        s->label_time_valid[row / 8] |= (uint8_t)(1 << row % 8);
    scene->batch.row_count = s->count;
    return row;
}

static void add(struct scene *scene, int64_t time_us, uint8_t label, int64_t label_time_us)
{
    uint32_t row = row_append(scene, time_us, label, label_time_us);
    history_memory.relate(scene->history, &scene->batch, row, 1, DELAY_US, true, NULL);
}

static const float *ask(struct scene *scene, int64_t time_us, bool counted)
{
    uint32_t row = row_append(scene, time_us, 0, 0);
    relate_cut(&scene->figures, scene->history, &scene->batch, row, 1, 1, DELAY_US, counted);
    return scene->figures.row[row];
}

static void relabel(struct scene *scene, int64_t time_us, uint8_t before, uint8_t after)
{
    const struct history_label label = {.payer = 11,
                                        .payee = 22,
                                        .payer_device = 33,
                                        .time_us = time_us,
                                        .amount = 5000,
                                        .delay_us = DELAY_US,
                                        .before = before,
                                        .after = after};
    history_memory.label(scene->history, &label);
}

/* Labelled at once, it still acts only from the end of its six hours + delay on; on its device from the end of its day. */
static void test_acts_after_delay(void **state)
{
    (void)state;
    for (int busy = 0; busy < 2; busy++) {
        struct scene scene;
        scene_open(&scene, busy, OP_screen);
        add(&scene, DAY_0 + 1, 0, 0);
        relabel(&scene, DAY_0 + 1, 0, 2);
        assert_true(ask(&scene, DAY_0 + SIX_US + DELAY_US - 1, false)[FIGURE_payer_bad_7d] == 0.0f);
        const float *figures = ask(&scene, DAY_0 + SIX_US + DELAY_US, false);
        assert_true(figures[FIGURE_payer_bad_1d] == 1.0f && figures[FIGURE_payee_bad_30d] == 1.0f &&
                    figures[FIGURE_payer_known_7d] == 1.0f);
        assert_true(figures[FIGURE_payer_bad_gap] == 7 * 86400.0f && figures[FIGURE_payer_device_bad] == 0.0f);
        assert_true(ask(&scene, DAY_0 + DAY_US + DELAY_US - 1, false)[FIGURE_payer_device_bad] == 0.0f);
        figures = ask(&scene, DAY_0 + DAY_US + DELAY_US, false);
        assert_true(figures[FIGURE_payer_device_bad] == 1.0f && figures[FIGURE_payee_bad_gap] == 7 * 86400.0f + 18 * 3600.0f);
        scene_close(&scene);
    }
}

static void test_replaced_in_place(void **state)
{
    (void)state;
    const int64_t later = DAY_0 + 10 * DAY_US;
    for (int busy = 0; busy < 2; busy++) {
        struct scene scene;
        scene_open(&scene, busy, OP_screen);
        add(&scene, DAY_0, 0, 0);
        add(&scene, DAY_0, 0, 0); /* a twin */
        relabel(&scene, DAY_0, 0, 2);
        assert_true(ask(&scene, later, false)[FIGURE_payer_bad_7d] == 1.0f);
        relabel(&scene, DAY_0, 0, 2);
        assert_true(ask(&scene, later, false)[FIGURE_payer_bad_7d] == 2.0f);
        relabel(&scene, DAY_0, 2, 1);
        const float *figures = ask(&scene, later, false);
        assert_true(figures[FIGURE_payer_bad_7d] == 1.0f && figures[FIGURE_payer_device_bad] == 1.0f &&
                    figures[FIGURE_payer_known_7d] == 2.0f);
        relabel(&scene, DAY_0, 2, 1);
        assert_true(ask(&scene, later, false)[FIGURE_payee_bad_7d] == 0.0f);
        relabel(&scene, DAY_0, 2, 1);               /* one too many */
        relabel(&scene, DAY_0 + 40 * DAY_US, 0, 2); /* of a transfer that never was */
        relabel(&scene, DAY_0 - 90 * DAY_US, 0, 2);
        assert_true(ask(&scene, later, false)[FIGURE_payee_bad_7d] == 0.0f);
        scene_close(&scene);
    }
}

/* An imported label that came to be known long after the transfer acts from the first row of that time on. */
static void test_import_waits(void **state)
{
    (void)state;
    const int64_t known = DAY_0 + 12 * DAY_US;
    struct scene scene;
    scene_open(&scene, false, OP_import);
    add(&scene, DAY_0, 2, known);
    assert_true(ask(&scene, known - 1000000, true)[FIGURE_payer_bad_30d] == 0.0f);
    assert_true(ask(&scene, known + 1, false)[FIGURE_payer_bad_30d] == 0.0f); /* a score moves no time */
    const float *figures = ask(&scene, known, true);
    assert_true(figures[FIGURE_payer_bad_30d] == 1.0f && figures[FIGURE_payer_device_bad] == 1.0f);
    scene_close(&scene);
}

static void test_label_op_replaces_waiting(void **state)
{
    (void)state;
    struct scene scene;
    struct history_counts counts;
    scene_open(&scene, false, OP_import);
    add(&scene, DAY_0, 2, DAY_0 + 12 * DAY_US);
    relabel(&scene, DAY_0, 2, 1);
    assert_true(ask(&scene, DAY_0 + 20 * DAY_US, true)[FIGURE_payer_bad_30d] == 0.0f);
    add(&scene, DAY_0 + 20 * DAY_US, 1, DAY_0 + 29 * DAY_US);
    relabel(&scene, DAY_0 + 20 * DAY_US, 1, 2);
    assert_true(ask(&scene, DAY_0 + 28 * DAY_US, true)[FIGURE_payer_bad_30d] == 1.0f);
    assert_true(ask(&scene, DAY_0 + 31 * DAY_US, true)[FIGURE_payer_bad_30d] == 1.0f);
    history_memory.count(scene.history, &counts);
    assert_int_equal(counts.dropped, 0);
    scene_close(&scene);
}

/* Room of labels that waited is used again. */
static void test_waiting_again(void **state)
{
    (void)state;
    struct scene scene;
    struct history_counts counts;
    scene_open(&scene, false, OP_import);
    for (int64_t i = 0; i < 5000; i++)
        add(&scene, DAY_0 + i * 1000000, 2, DAY_0 + DELAY_US + (i + 100) * 1000000 + (i < 4000 ? 1 - DELAY_US : 0));
    history_memory.count(scene.history, &counts);
    assert_true(counts.dropped < 1000); /* of the last thousand, that wait all together */
    scene_close(&scene);
}

/* More labels wait than there is room for: some are given up and counted, none acts early. */
static void test_too_many_wait(void **state)
{
    (void)state;
    struct scene scene;
    struct history_counts counts;
    scene_open(&scene, false, OP_import);
    for (uint32_t i = 0; i < 2000; i++)
        add(&scene, DAY_0 + (int64_t)i * 1000000, 2, DAY_0 + 20 * DAY_US + i);
    history_memory.count(scene.history, &counts);
    assert_true(counts.dropped >= 2000 - 10000 / 16);
    assert_true(ask(&scene, DAY_0 + 19 * DAY_US, true)[FIGURE_payer_bad_30d] == 0.0f);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acts_after_delay), cmocka_unit_test(test_replaced_in_place), cmocka_unit_test(test_import_waits),
        cmocka_unit_test(test_waiting_again),    cmocka_unit_test(test_too_many_wait),     cmocka_unit_test(test_label_op_replaces_waiting),
    };
    return cmocka_run_group_tests_name("history labels", tests, NULL, NULL);
}
