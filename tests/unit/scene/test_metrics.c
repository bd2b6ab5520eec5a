/* Figures against their definitions, pair by pair and cut by cut, and against numbers worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/metrics.h"
#include "scene/random.h"

enum { ROWS = 700, SCENES = 4 };

static void rows_make(struct metrics_row *rows, uint32_t count, uint32_t levels, uint64_t seed)
{
    struct random random = {.state = seed};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t label = random_below(&random, 10);
        rows[i] = (struct metrics_row){.label = (uint8_t)(label < SCENES ? label
                                                          : label == 9   ? METRICS_LABEL_UNKNOWN
                                                                         : 0),
                                       .named = (uint8_t)random_below(&random, SCENES),
                                       .day = i / 100,
                                       .account = random_below(&random, 40)};
        rows[i].score = (float)(random_below(&random, levels) + (rows[i].label % 4 ? levels / 3 : 0)) / 8.0f;
        rows[i].alerted = rows[i].score > (float)levels / 8.0f;
    }
}

static int risky(const struct metrics_row *row)
{
    return row->label != 0 && row->label != METRICS_LABEL_UNKNOWN;
}

static double auc_by_pairs(const struct metrics_row *rows, uint32_t count)
{
    double right = 0.0, pairs = 0.0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < count; k++)
            if (risky(&rows[i]) && rows[k].label == 0) {
                pairs += 1.0;
                right += rows[i].score > rows[k].score ? 1.0 : rows[i].score == rows[k].score ? 0.5 : 0.0;
            }
    return right / pairs;
}

/* Every distinct score is a cut: the recall it adds times the precision it has. */
static double average_precision_by_cuts(const struct metrics_row *rows, uint32_t count, uint8_t scene)
{
    double all = 0.0, sum = 0.0;
    for (uint32_t i = 0; i < count; i++)
        all += scene ? rows[i].label == scene : risky(&rows[i]);
    for (uint32_t i = 0; i < count; i++) {
        double found = 0.0, seen = 0.0, here = 0.0;
        uint32_t first = 0;
        while (rows[first].score != rows[i].score)
            first++;
        for (uint32_t k = 0; k < count; k++) {
            int hit = scene ? rows[k].label == scene : risky(&rows[k]);
            if (rows[k].score < rows[i].score || (!hit && rows[k].label != 0))
                continue;
            seen += 1.0;
            found += hit;
            here += hit && rows[k].score == rows[i].score;
        }
        sum += first == i && seen > 0.0 ? here / all * found / seen : 0.0;
    }
    return sum;
}

static void figures_follow_their_definitions(void **state)
{
    (void)state;
    struct metrics_row rows[ROWS];
    struct metrics metrics;
    const uint32_t levels[] = {3, 40, 100000};
    for (uint32_t i = 0; i < 3; i++) {
        rows_make(rows, ROWS, levels[i], 77 + i);
        assert_int_equal(metrics_measure(&metrics, rows, ROWS, SCENES, 5, NULL), FAULT_NONE);
        assert_true(fabs(metrics.auc_roc - auc_by_pairs(rows, ROWS)) < 1e-12);
        assert_true(fabs(metrics.average_precision - average_precision_by_cuts(rows, ROWS, 0)) < 1e-12);
        for (uint8_t s = 1; s < SCENES; s++)
            assert_true(fabs(metrics.scenes[s].average_precision - average_precision_by_cuts(rows, ROWS, s)) < 1e-12);
    }
}

static void counts_are_counts(void **state)
{
    (void)state;
    const struct metrics_row rows[] = {
        {.score = 0.9f, .label = 1, .named = 1, .alerted = 1},
        {.score = 0.8f, .label = 2, .named = 1, .alerted = 1},
        {.score = 0.7f, .label = 0, .named = 2, .alerted = 1},
        {.score = 0.6f, .label = 2, .named = 2, .alerted = 0},
        {.score = 0.5f, .label = METRICS_LABEL_UNKNOWN, .named = 2, .alerted = 1},
        {.score = 0.4f, .label = 0, .named = 1, .alerted = 0},
    };
    struct metrics metrics;
    assert_int_equal(metrics_measure(&metrics, rows, 6, 3, 1, NULL), FAULT_NONE);
    assert_int_equal(metrics.rows, 6);
    assert_int_equal(metrics.labelled, 5);
    assert_int_equal(metrics.risky, 3);
    assert_int_equal(metrics.alerts, 4);
    assert_int_equal(metrics.alerts_right, 2);
    assert_true(fabs(metrics.named_right - 2.0 / 3.0) < 1e-12);
    assert_int_equal(metrics.confusion[2][1], 1);
    assert_int_equal(metrics.confusion[2][0], 1);
    assert_int_equal(metrics.confusion[0][2], 1);
    assert_int_equal(metrics.scenes[2].alerted, 1);
}

/* Two days, k = 2. Day 0: cards a (risky, 0.9), b (0.8), c (risky, 0.1): a found, 1 of 2. Day 1: a is left out; c (risky, 0.7),
 * d (risky, 0.6), b (0.95): 1 of 2. */
static void card_precision_by_hand(void **state)
{
    (void)state;
    const struct metrics_row rows[] = {
        {.score = 0.9f, .label = 1, .account = 1},
        {.score = 0.2f, .label = 0, .account = 1},
        {.score = 0.8f, .label = 0, .account = 2},
        {.score = 0.1f, .label = 1, .account = 3},
        {.score = 0.99f, .label = 1, .account = 1, .day = 1},
        {.score = 0.7f, .label = 2, .account = 3, .day = 1},
        {.score = 0.6f, .label = 1, .account = 4, .day = 1},
        {.score = 0.95f, .label = 0, .account = 2, .day = 1},
    };
    struct metrics metrics;
    assert_int_equal(metrics_measure(&metrics, rows, 8, 3, 2, NULL), FAULT_NONE);
    assert_true(fabs(metrics.card_precision - 0.5) < 1e-12);
    assert_int_equal(metrics_measure(&metrics, rows, 8, 3, 1, NULL), FAULT_NONE); /* a, then b: a was found the day before */
    assert_true(fabs(metrics.card_precision - 0.5) < 1e-12);
    assert_int_equal(metrics_measure(&metrics, rows, 8, 3, 0, NULL), FAULT_NONE);
    assert_true(isnan(metrics.card_precision));
}

static void one_class_has_no_figures(void **state)
{
    (void)state;
    const struct metrics_row rows[2] = {{.score = 0.5f}, {.score = 0.25f}};
    const char *names[] = {"background", "a"};
    struct metrics metrics;
    assert_int_equal(metrics_measure(&metrics, rows, 2, 2, 1, NULL), FAULT_NONE);
    assert_true(isnan(metrics.auc_roc) && isnan(metrics.average_precision) && isnan(metrics.named_right));
    char *text = metrics_text(&metrics, names, 2);
    assert_non_null(strstr(text, "\"auc_roc\": null"));
    free(text);
}

static void memory_faults_leave_nothing(void **state)
{
    (void)state;
    struct metrics_row rows[20];
    struct metrics metrics;
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    rows_make(rows, 20, 10, 1);
    for (uint64_t nth = 0; nth < 20 && fault == FAULT_memory; nth++) {
        memory_fail_at(nth);
        fault = metrics_measure(&metrics, rows, 20, SCENES, 5, NULL);
        memory_fail_at(UINT64_MAX);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_follow_their_definitions), cmocka_unit_test(counts_are_counts),
        cmocka_unit_test(card_precision_by_hand),           cmocka_unit_test(one_class_has_no_figures),
        cmocka_unit_test(memory_faults_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
