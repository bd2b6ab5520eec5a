/* Figures against their definitions, pair by pair and cut by cut, day by day and payer by payer, in double; and against numbers
 * worked out by hand. The seed is printed, SLUICE_SEED gives another. */
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
#include "scene/metrics.h"
#include "scene/random.h"
#include "scene/rank.h"

enum { ROWS = 700, SCENES = 4, DECIMALS = 2 };
static const struct metrics_options four_scenes = {.scene_count = SCENES, .decimals = DECIMALS};
static uint64_t seed = 77;

/* levels: distinct scores. risky_of: of that many rows one is risky; 0: none, 1: all. */
static void rows_make(struct metrics_row *rows, uint32_t count, uint32_t levels, uint32_t risky_of, uint64_t seed_here)
{
    struct random random = {.state = seed_here};
    for (uint32_t i = 0; i < count; i++) {
        bool is_risky = risky_of && random_below(&random, risky_of) == 0;
        rows[i] = (struct metrics_row){.label = (uint8_t)(is_risky ? 1 + random_below(&random, SCENES - 1) : 0),
                                       .named = (uint8_t)random_below(&random, SCENES),
                                       .day = 20000 + i / 100 * 3,
                                       .account = random_below(&random, 40) * 0x100000001u,
                                       .match = (float)random_below(&random, levels) / (float)levels,
                                       .anomaly_own = (float)random_below(&random, levels) / (float)levels,
                                       .anomaly_linked = (float)random_below(&random, levels) / (float)levels,
                                       .amount = (int64_t)(random_u64(&random) >> (34 + random_below(&random, 30)))};
        if (random_below(&random, 10) == 0)
            rows[i].label = METRICS_LABEL_UNKNOWN;
        rows[i].score = (float)(random_below(&random, levels) + (rows[i].label % 4 ? levels / 3 : 0)) / (float)(2 * levels);
        rows[i].alerted = rows[i].score > 0.4f;
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

static bool is_close(double a, double b)
{
    return (isnan(a) && isnan(b)) || fabs(a - b) < 1e-12 * (1.0 + fabs(b));
}

/* Pairs and cuts of another score. */
static void with_score(struct metrics_row *out, const struct metrics_row *rows, uint32_t count, enum metrics_score which)
{
    for (uint32_t i = 0; i < count; i++) {
        out[i] = rows[i];
        out[i].score = which == METRICS_RISK          ? rows[i].score
                       : which == METRICS_MATCH       ? rows[i].match
                       : which == METRICS_ANOMALY     ? fmaxf(rows[i].anomaly_own, rows[i].anomaly_linked)
                       : which == METRICS_ANOMALY_OWN ? rows[i].anomaly_own
                                                      : rows[i].anomaly_linked;
    }
}

static void figures_follow_their_definitions(void **state)
{
    (void)state;
    static struct metrics_row rows[ROWS], other[ROWS];
    static struct metrics metrics;
    const uint32_t levels[] = {1, 3, 40, 100000}, risky_of[] = {0, 1, 2, 10, 300};
    for (uint32_t i = 0; i < 20; i++) {
        rows_make(rows, ROWS, levels[i % 4], risky_of[i / 4], seed + i);
        assert_int_equal(metrics_measure(&metrics, rows, ROWS, &four_scenes, NULL), FAULT_NONE);
        assert_true(is_close(metrics.auc_roc, auc_by_pairs(rows, ROWS)));
        assert_true(is_close(metrics.average_precision, average_precision_by_cuts(rows, ROWS, 0)));
        for (uint8_t s = 1; s < SCENES; s++) {
            assert_true(is_close(metrics.scenes[s].average_precision, average_precision_by_cuts(rows, ROWS, s)));
            with_score(other, rows, ROWS, METRICS_RISK);
            for (uint32_t k = 0; k < ROWS; k++)
                other[k].label = other[k].label && other[k].label != s ? METRICS_LABEL_UNKNOWN : other[k].label;
            assert_true(is_close(metrics.scenes[s].auc_roc, auc_by_pairs(other, ROWS)));
        }
        for (int which = 0; which < METRICS_SCORE_COUNT; which++) {
            with_score(other, rows, ROWS, (enum metrics_score)which);
            assert_true(is_close(metrics.of_score[which].auc_roc, auc_by_pairs(other, ROWS)));
            assert_true(is_close(metrics.of_score[which].average_precision, average_precision_by_cuts(other, ROWS, 0)));
        }
    }
}

static void bands_follow_their_definition(void **state)
{
    (void)state;
    static struct metrics_row rows[ROWS], other[ROWS];
    static struct metrics metrics;
    const double edges[] = {1, 1000, 10000, 100000, 1000000, 1e18};
    rows_make(rows, ROWS, 30, 3, seed);
    assert_int_equal(metrics_measure(&metrics, rows, ROWS, &four_scenes, NULL), FAULT_NONE);
    int64_t caught = 0, missed = 0, held = 0;
    for (uint32_t b = 0; b < METRICS_BANDS; b++) {
        uint32_t count = 0;
        int64_t risky_amount = 0, caught_here = 0;
        for (uint32_t i = 0; i < ROWS; i++)
            if ((double)rows[i].amount >= edges[b] && (double)rows[i].amount < edges[b + 1] && rows[i].label != METRICS_LABEL_UNKNOWN)
                other[count++] = rows[i];
        assert_true(count > 20);
        for (uint32_t i = 0; i < count; i++) {
            risky_amount += risky(&other[i]) ? other[i].amount : 0;
            caught_here += risky(&other[i]) && other[i].alerted ? other[i].amount : 0;
            held += !risky(&other[i]) && other[i].alerted ? other[i].amount : 0;
        }
        caught += caught_here;
        missed += risky_amount - caught_here;
        assert_int_equal(metrics.bands[b].rows, count);
        assert_int_equal(metrics.bands[b].amount_risky, risky_amount);
        assert_int_equal(metrics.bands[b].amount_caught, caught_here);
        assert_true(is_close(metrics.bands[b].risk.auc_roc, auc_by_pairs(other, count)));
        assert_true(is_close(metrics.bands[b].risk.average_precision, average_precision_by_cuts(other, count, 0)));
    }
    assert_int_equal(metrics.amount_caught, caught);
    assert_int_equal(metrics.amount_missed, missed);
    assert_int_equal(metrics.amount_held_good, held);
}

/* Bins of a tenth, each found by asking all rows. */
static void calibration_follows_its_definition(void **state)
{
    (void)state;
    static struct metrics_row rows[ROWS];
    static struct metrics metrics;
    const uint32_t levels[] = {1, 10, 100000};
    for (uint32_t i = 0; i < 6; i++) {
        double error = 0.0, brier = 0.0, all = 0.0, outside = 0.0, share = 0.0;
        rows_make(rows, ROWS, levels[i % 3], i < 3 ? 2 : 200, seed + i);
        rows[3].score = 1.0f;
        rows[4].score = i % 2 ? 1.5f : -0.1f;
        rows[4].label = 0;
        assert_int_equal(metrics_measure(&metrics, rows, ROWS, &four_scenes, NULL), FAULT_NONE);
        for (uint32_t b = 0; b < 10; b++) {
            double rows_here = 0.0, risky_here = 0.0, sum = 0.0;
            for (uint32_t k = 0; k < ROWS; k++) {
                double score = (double)rows[k].score;
                bool is_in = rows[k].label != METRICS_LABEL_UNKNOWN && (double)(rows[k].score * 10) >= b &&
                             ((double)(rows[k].score * 10) < b + 1 || (b == 9 && score == 1.0));
                rows_here += is_in;
                risky_here += is_in && risky(&rows[k]);
                sum += is_in ? score : 0.0;
                brier += is_in ? pow(score - risky(&rows[k]), 2.0) : 0.0;
            }
            assert_int_equal(metrics.calibration[0].bins[b].rows, rows_here);
            assert_int_equal(metrics.calibration[0].bins[b].risky, risky_here);
            if (rows_here > 0.0) {
                assert_true(is_close(metrics.calibration[0].bins[b].mean, sum / rows_here));
                error += rows_here * fabs(sum / rows_here - risky_here / rows_here);
            }
            all += rows_here;
            share += risky_here;
        }
        for (uint32_t k = 0; k < ROWS; k++)
            outside += rows[k].label != METRICS_LABEL_UNKNOWN && !(rows[k].score >= 0.0f && rows[k].score <= 1.0f);
        assert_int_equal(outside, 1);
        assert_int_equal(metrics.calibration[0].outside, outside);
        assert_true(fabs(metrics.calibration[0].error - error / all) < 1e-9);
        assert_true(fabs(metrics.calibration[0].brier - brier / all) < 1e-9);
        assert_true(is_close(metrics.calibration[0].brier_base, share / all * (1.0 - share / all)));
    }
}

/* Places in the list of the day: a row's rows above it, and those equal to it, who share what is left of k. */
static double day_precision_by_places(const struct metrics_row *rows, uint32_t count, uint32_t day, uint32_t k)
{
    double hits = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        double above = 0.0, equal = 0.0;
        if (rows[i].day != day || !risky(&rows[i]))
            continue;
        for (uint32_t other = 0; other < count; other++)
            if (rows[other].day == day && rows[other].label != METRICS_LABEL_UNKNOWN) {
                above += rows[other].score > rows[i].score;
                equal += rows[other].score == rows[i].score;
            }
        hits += fmin(fmax(k - above, 0.0) / equal, 1.0);
    }
    return hits / k;
}

/* Payers numbered below 40, found by asking all rows; the best one k times over, the first row deciding. */
static double card_precision_by_search(const struct metrics_row *rows, uint32_t count, uint32_t day, uint32_t k, bool found[40])
{
    double best[40];
    uint32_t first[40];
    bool hit[40] = {false}, taken[40] = {false};
    double hits = 0.0;
    for (uint32_t c = 0; c < 40; c++) {
        best[c] = -1.0;
        for (uint32_t i = 0; i < count; i++)
            if (rows[i].day == day && rows[i].label != METRICS_LABEL_UNKNOWN && (uint32_t)rows[i].account == c && !found[c]) {
                first[c] = best[c] < 0.0 ? i : first[c];
                best[c] = fmax(best[c], (double)rows[i].score);
                hit[c] |= risky(&rows[i]);
            }
    }
    for (uint32_t place = 0; place < k; place++) {
        int top = -1;
        for (int c = 0; c < 40; c++)
            if (best[c] >= 0.0 && !taken[c] && (top < 0 || best[c] > best[top] || (best[c] == best[top] && first[c] < first[top])))
                top = c;
        if (top < 0)
            break;
        taken[top] = true;
        hits += hit[top];
    }
    for (uint32_t c = 0; c < 40; c++)
        found[c] |= taken[c] && hit[c];
    return hits / k;
}

static void days_follow_their_definition(void **state)
{
    (void)state;
    static struct metrics_row rows[ROWS];
    const uint32_t levels[] = {1, 3, 100000}, tops[] = {1, 7, 30, 500};
    for (uint32_t i = 0; i < 12; i++) {
        struct metrics_days days;
        struct metrics metrics;
        double precision = 0.0, card_precision = 0.0;
        bool found[40] = {false};
        rows_make(rows, ROWS, levels[i % 3], i < 6 ? 20 : 3, seed + i);
        assert_int_equal(metrics_days_take(&days, rows, ROWS, tops[i % 4], NULL), FAULT_NONE);
        assert_int_equal(days.count, 7);
        assert_int_equal(days.accounts, 40);
        for (uint32_t d = 0; d < days.count; d++) {
            assert_int_equal(days.days[d].day, 20000 + d * 3);
            assert_true(is_close(days.days[d].precision, day_precision_by_places(rows, ROWS, days.days[d].day, tops[i % 4])));
            assert_true(is_close(days.days[d].card_precision, card_precision_by_search(rows, ROWS, days.days[d].day, tops[i % 4], found)));
            precision += days.days[d].precision / 7;
            card_precision += days.days[d].card_precision / 7;
        }
        metrics_days_mean(&metrics, &days);
        assert_true(is_close(metrics.precision_top, precision));
        assert_true(is_close(metrics.card_precision, card_precision));
        metrics_days_give(&days);
    }
}

/* Every cut of the curve is one of the scores, with the rows from there on; the last has all of them. */
static void curve_is_of_cuts(void **state)
{
    (void)state;
    static struct metrics_row rows[ROWS];
    static struct metrics metrics;
    rows_make(rows, ROWS, 500, 5, seed);
    rows[9].score = -0.0f;
    rows[10].score = 0.0f;
    rows[11].score = -2.5f;
    rows[11].label = 0;
    assert_int_equal(metrics_measure(&metrics, rows, ROWS, &four_scenes, NULL), FAULT_NONE);
    assert_true(metrics.curve_count > 100);
    for (uint32_t p = 0; p < metrics.curve_count; p++) {
        uint64_t all[2] = {0, 0}, equal = 0;
        for (uint32_t i = 0; i < ROWS; i++)
            if (rows[i].label != METRICS_LABEL_UNKNOWN && rows[i].score >= metrics.curve[p].score)
                all[risky(&rows[i])]++, equal += rows[i].score == metrics.curve[p].score;
        assert_int_equal(metrics.curve[p].good, all[0]);
        assert_int_equal(metrics.curve[p].risky, all[1]);
        assert_true(equal > 0);
    }
    assert_true(metrics.curve[metrics.curve_count - 1].score == -2.5f);
    struct metrics_point few[5];
    struct ranked ranked;
    assert_int_equal(ranked_take(&ranked, rows, ROWS, METRICS_RISK, NULL), FAULT_NONE);
    assert_int_equal(rank_curve(few, 5, &ranked), 5);
    assert_true(few[4].score == -2.5f);
    for (uint32_t i = 1; i < ROWS; i++)
        assert_true(ranked_score(&ranked, i) <= ranked_score(&ranked, i - 1));
    ranked_give(&ranked);
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
    const struct metrics_options options = {.scene_count = 3};
    struct metrics metrics;
    assert_int_equal(metrics_measure(&metrics, rows, 6, &options, NULL), FAULT_NONE);
    assert_int_equal(metrics.alerts_labelled, 3);
    assert_int_equal(metrics.best[2][2], 1);
    assert_int_equal(metrics.best[0][1], 1);
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
    struct metrics_days days;
    struct metrics metrics;
    for (uint32_t k = 1; k <= 2; k++) { /* 1: a, then b: a was found the day before */
        assert_int_equal(metrics_days_take(&days, rows, 8, k, NULL), FAULT_NONE);
        metrics_days_mean(&metrics, &days);
        assert_true(fabs(metrics.card_precision - 0.5) < 1e-12);
        metrics_days_give(&days);
    }
}

static void one_class_has_no_figures(void **state)
{
    (void)state;
    const struct metrics_row rows[2] = {{.score = 0.5f}, {.score = 0.25f}};
    const char *names[] = {"background", "a"};
    const struct metrics_options options = {.scene_count = 2};
    static struct metrics metrics;
    assert_int_equal(metrics_measure(&metrics, rows, 2, &options, NULL), FAULT_NONE);
    assert_true(isnan(metrics.auc_roc) && isnan(metrics.average_precision) && isnan(metrics.named_right));
    char *text = metrics_text(&metrics, names, 2);
    assert_non_null(strstr(text, "\"auc_roc\": null"));
    free(text);
    assert_int_equal(metrics_measure(&metrics, rows, 0, &options, NULL), FAULT_NONE);
    assert_true(isnan(metrics.auc_roc) && isnan(metrics.calibration[0].error));
    assert_int_equal(metrics.curve_count, 0);
    struct metrics_days days;
    assert_int_equal(metrics_days_take(&days, rows, 0, 3, NULL), FAULT_NONE);
    metrics_days_mean(&metrics, &days);
    assert_true(isnan(metrics.card_precision));
    metrics_days_give(&days);
}

static void memory_faults_leave_nothing(void **state)
{
    (void)state;
    struct metrics_row rows[20];
    static struct metrics metrics;
    struct metrics_days days;
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    rows_make(rows, 20, 10, 3, 1);
    for (uint64_t nth = 0; nth < 40 && fault == FAULT_memory; nth++) {
        memory_fail_at(nth);
        fault = metrics_measure(&metrics, rows, 20, &four_scenes, NULL);
        memory_fail_at(UINT64_MAX);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
    fault = FAULT_memory;
    for (uint64_t nth = 0; nth < 40 && fault == FAULT_memory; nth++) {
        memory_fail_at(nth);
        fault = metrics_days_take(&days, rows, 20, 5, NULL);
        memory_fail_at(UINT64_MAX);
        metrics_days_give(&days);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_follow_their_definitions),
        cmocka_unit_test(bands_follow_their_definition),
        cmocka_unit_test(calibration_follows_its_definition),
        cmocka_unit_test(days_follow_their_definition),
        cmocka_unit_test(curve_is_of_cuts),
        cmocka_unit_test(counts_are_counts),
        cmocka_unit_test(card_precision_by_hand),
        cmocka_unit_test(one_class_has_no_figures),
        cmocka_unit_test(memory_faults_leave_nothing),
    };
    const char *given = getenv("SLUICE_SEED");
    seed = given ? strtoull(given, NULL, 10) : seed;
    printf("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
