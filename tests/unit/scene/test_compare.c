/* Differences of two bases: the figures as metrics gives them, DeLong's error from all pairs, and intervals that hold what they promise.
 * The seed is printed, SLUICE_SEED gives another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/compare.h"
#include "scene/random.h"

enum { ROWS = 500, PAYERS = 90, DRAWS = 200 };
static uint64_t seed = 31;

/* `better`: how much the second score tells above the first. */
static void rows_make(struct metrics_row *first, struct metrics_row *second, uint32_t count, uint32_t levels, double better,
                      uint64_t seed_here)
{
    struct random random = {.state = seed_here};
    for (uint32_t i = 0; i < count; i++) {
        bool is_risky = random_below(&random, 8) == 0;
        first[i] = (struct metrics_row){.label = (uint8_t)(is_risky ? 1 + random_below(&random, 2) : 0),
                                        .named = (uint8_t)(1 + random_below(&random, 2)),
                                        .account = random_below(&random, PAYERS),
                                        .amount = 1 + random_below(&random, 10000)};
        if (random_below(&random, 20) == 0)
            first[i].label = METRICS_LABEL_UNKNOWN;
        second[i] = first[i];
        second[i].named = (uint8_t)(1 + random_below(&random, 2));
        double common = random_unit(&random);
        double a = 0.5 * common + 0.3 * random_unit(&random) + 0.15 * is_risky,
               b = 0.5 * common + 0.3 * random_unit(&random) + (0.15 + better) * is_risky;
        first[i].score = (float)(floor(fmin(a, 0.999) * levels) / levels);
        second[i].score = (float)(floor(fmin(b, 0.999) * levels) / levels);
        first[i].alerted = first[i].score > 0.7f;
        second[i].alerted = second[i].score > 0.7f;
    }
}

static double pair_part(const struct metrics_row *risky, const struct metrics_row *good)
{
    return risky->score > good->score ? 1.0 : risky->score == good->score ? 0.5 : 0.0;
}

/* Variance of the difference from every row's part, each by asking all rows of the other class. */
static double delong_by_pairs(const struct metrics_row *first, const struct metrics_row *second, uint32_t count)
{
    double variance = 0.0;
    for (int class = 0; class < 2; class ++) {
        double sum = 0.0, squares = 0.0, rows = 0.0;
        for (uint32_t i = 0; i < count; i++) {
            double part = 0.0, others = 0.0;
            if (first[i].label == METRICS_LABEL_UNKNOWN || (int)metrics_is_risky(&first[i]) != class)
                continue;
            for (uint32_t k = 0; k < count; k++) {
                if (first[k].label == METRICS_LABEL_UNKNOWN || (int)metrics_is_risky(&first[k]) == class)
                    continue;
                part += class ? pair_part(&second[i], &second[k]) - pair_part(&first[i], &first[k])
                              : pair_part(&second[k], &second[i]) - pair_part(&first[k], &first[i]);
                others += 1.0;
            }
            sum += part / others;
            squares += part / others * (part / others);
            rows += 1.0;
        }
        variance += (squares - sum * sum / rows) / (rows - 1.0) / rows;
    }
    return sqrt(variance);
}

static bool is_close(double a, double b, double bound)
{
    return (isnan(a) && isnan(b)) || fabs(a - b) <= bound;
}

static void values_are_those_of_metrics(void **state)
{
    (void)state;
    static struct metrics_row rows[2][ROWS];
    static struct metrics metrics;
    const uint32_t levels[] = {1, 4, 1000000};
    const struct metrics_options options = {.scene_count = 3};
    for (uint32_t i = 0; i < 3; i++) {
        static struct comparison comparison;
        rows_make(rows[0], rows[1], ROWS, levels[i], 0.1, seed + i);
        assert_int_equal(compare_measure(&comparison, rows[0], rows[1], ROWS, 40, 1, NULL), FAULT_NONE);
        for (int s = 0; s < 2; s++) {
            assert_int_equal(metrics_measure(&metrics, rows[s], ROWS, &options, NULL), FAULT_NONE);
            const double wanted[COMPARED_COUNT] = {
                metrics.auc_roc,
                metrics.average_precision,
                metrics.calibration[0].brier,
                metrics.named_right,
                metrics.alerts_labelled ? (double)metrics.alerts_right / (double)metrics.alerts_labelled : NAN,
                (double)metrics.alerts_right / (double)metrics.risky,
                (double)metrics.alerts_labelled / (double)metrics.labelled,
                (double)metrics.amount_caught / (double)(metrics.amount_caught + metrics.amount_missed),
            };
            for (int f = 0; f < COMPARED_COUNT; f++)
                assert_true(is_close(s ? comparison.figures[f].second.value : comparison.figures[f].first.value, wanted[f], 1e-12));
        }
        for (int f = 0; f < COMPARED_COUNT; f++) {
            const struct compared_figure *figure = &comparison.figures[f];
            assert_true(is_close(figure->difference.value, figure->second.value - figure->first.value, 0.0));
        }
        assert_true(is_close(comparison.auc_error, delong_by_pairs(rows[0], rows[1], ROWS), 1e-12));
    }
}

static void same_seed_same_bytes(void **state)
{
    (void)state;
    static struct metrics_row rows[2][ROWS];
    static struct comparison once, again;
    rows_make(rows[0], rows[1], ROWS, 20, 0.1, seed);
    assert_int_equal(compare_measure(&once, rows[0], rows[1], ROWS, 45, 1, NULL), FAULT_NONE);
    assert_int_equal(compare_measure(&again, rows[0], rows[1], ROWS, 45, 1, NULL), FAULT_NONE);
    assert_memory_equal(&once, &again, sizeof once);
    assert_int_equal(compare_measure(&again, rows[0], rows[1], ROWS, 45, 2, NULL), FAULT_NONE);
    assert_true(once.figures[COMPARED_AUC_ROC].difference.low != again.figures[COMPARED_AUC_ROC].difference.low);
}

/* Many tables without a true difference: most of the intervals hold 0; where there is a large one none does. */
static void intervals_hold_what_they_promise(void **state)
{
    (void)state;
    static struct metrics_row rows[2][ROWS];
    static struct comparison comparison;
    uint32_t held = 0, told = 0, by_delong = 0, tables = 60;
    double ratio = 0.0;
    for (uint32_t i = 0; i < tables; i++) {
        rows_make(rows[0], rows[1], ROWS, 1000000, 0.0, seed + 1000 + i);
        assert_int_equal(compare_measure(&comparison, rows[0], rows[1], ROWS, DRAWS, i, NULL), FAULT_NONE);
        const struct interval *difference = &comparison.figures[COMPARED_AUC_ROC].difference;
        held += difference->low <= 0.0 && difference->high >= 0.0;
        by_delong += comparison.auc_p >= 0.05;
        ratio += (difference->high - difference->low) / (2 * 1.96 * comparison.auc_error) / tables;
        rows_make(rows[0], rows[1], ROWS, 1000000, 0.6, seed + 2000 + i);
        assert_int_equal(compare_measure(&comparison, rows[0], rows[1], ROWS, DRAWS, i, NULL), FAULT_NONE);
        told += comparison.figures[COMPARED_AUC_ROC].difference.low > 0.0 && comparison.auc_p < 0.05;
    }
    printf("%u of %u hold 0, DeLong %u, %u told, width to DeLong's %.3f\n", held, tables, by_delong, told, ratio);
    assert_true(held >= tables * 8 / 10 && by_delong >= tables * 8 / 10);
    assert_int_equal(told, tables);
    assert_true(ratio > 0.85 && ratio < 1.15);
}

static void agreement_counts_rows(void **state)
{
    (void)state;
    const struct metrics_row first[] = {{.alerted = 1, .named = 1},
                                        {.label = 1, .alerted = 1, .named = 1},
                                        {.label = 1, .named = 2},
                                        {.label = METRICS_LABEL_UNKNOWN, .named = 1}};
    const struct metrics_row second[] = {{.alerted = 0, .named = 2},
                                         {.label = 1, .alerted = 1, .named = 2},
                                         {.label = 1, .alerted = 1, .named = 1},
                                         {.label = METRICS_LABEL_UNKNOWN, .named = 2}};
    struct comparison comparison;
    assert_int_equal(compare_measure(&comparison, first, second, 4, 40, 1, NULL), FAULT_NONE);
    assert_int_equal(comparison.agreement[0][1][0], 1);
    assert_int_equal(comparison.agreement[1][1][1], 1);
    assert_int_equal(comparison.agreement[1][0][1], 1);
    assert_int_equal(comparison.agreement[2][0][0], 1);
    assert_int_equal(comparison.switched, 2);
    assert_int_equal(comparison.renamed, 1);
}

static void one_class_has_no_differences(void **state)
{
    (void)state;
    static struct metrics_row rows[2][ROWS];
    static struct comparison comparison;
    rows_make(rows[0], rows[1], ROWS, 10, 0.1, seed);
    for (uint32_t i = 0; i < ROWS; i++)
        rows[0][i].label = rows[1][i].label = 0;
    assert_int_equal(compare_measure(&comparison, rows[0], rows[1], ROWS, 40, 1, NULL), FAULT_NONE);
    assert_true(isnan(comparison.figures[COMPARED_AUC_ROC].difference.value) && isnan(comparison.figures[COMPARED_AUC_ROC].first.low));
    assert_true(isnan(comparison.figures[COMPARED_RECALL].difference.low) && isnan(comparison.auc_p));
    assert_true(isfinite(comparison.figures[COMPARED_BRIER].difference.low));
    assert_int_equal(compare_measure(&comparison, rows[0], rows[1], 0, 40, 1, NULL), FAULT_NONE);
    assert_true(isnan(comparison.figures[COMPARED_BRIER].difference.value));
}

static void memory_faults_leave_nothing(void **state)
{
    (void)state;
    static struct metrics_row rows[2][ROWS];
    static struct comparison comparison;
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    rows_make(rows[0], rows[1], ROWS, 10, 0.1, seed);
    for (uint64_t nth = 0; nth < 60 && fault == FAULT_memory; nth++) {
        memory_fail_at(nth);
        fault = compare_measure(&comparison, rows[0], rows[1], ROWS, 40, 1, NULL);
        memory_fail_at(UINT64_MAX);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_metrics),      cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(intervals_hold_what_they_promise), cmocka_unit_test(agreement_counts_rows),
        cmocka_unit_test(one_class_has_no_differences),     cmocka_unit_test(memory_faults_leave_nothing),
    };
    const char *given = getenv("SLUICE_SEED");
    seed = given ? strtoull(given, NULL, 10) : seed;
    printf("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
