/* Counts against a count row by row, and the index against its formula in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scene/drift.h"
#include "scene/random.h"
#include "tiny_base.h"

enum { SCENES = 4, COUNTERS_MAX = FEATURE_COUNT * (REFERENCE_EDGES + 1) + SCENES_MAX + DIMENSION_COUNT + 1 };

/* One slice with everything that is counted of it. */
struct rows {
    struct scene_base *base;
    struct batch batch;
    struct feature_block features;
    struct figures figures;
    struct drift_slice slice;
    float *distance[DIMENSION_COUNT];
    float columns[FEATURE_COUNT][SLICE_ROWS], figure[FIGURE_COUNT][SLICE_ROWS], distances[DIMENSION_COUNT][SCENES * SLICE_ROWS];
    float match[SLICE_ROWS];
    uint8_t invalid[SLICE_ROWS], scene[SLICE_ROWS];
    int64_t numbers[SLICE_ROWS];
};

static struct scene_base *base_open(bool with_reference)
{
    struct tiny_base tiny;
    struct scene_base *base = NULL;
    char *bytes = NULL;
    size_t byte_count;
    tiny_base_init(&tiny, SCENES, 6, 2, 11);
    if (with_reference)
        tiny_reference(&tiny);
    assert_int_equal(scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, NULL), FAULT_NONE);
    assert_int_equal(scene_base_read(&base, (unsigned char *)bytes, byte_count, NULL), FAULT_NONE);
    memory_give(bytes);
    tiny_base_fini(&tiny);
    return base;
}

static void rows_open(struct rows *rows)
{
    memset(rows, 0, sizeof *rows);
    rows->base = base_open(true);
    rows->batch = (struct batch){.row_count = SLICE_ROWS};
    rows->batch.facts.invalid = rows->invalid;
    rows->batch.facts.amount = rows->batch.facts.time_us = rows->numbers;
    rows->batch.results.scene = rows->scene;
    rows->batch.results.match = rows->match;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        rows->features.column[f] = rows->columns[f];
    for (uint32_t f = 0; f < FIGURE_COUNT; f++)
        rows->figures.column[f] = rows->figure[f];
    for (int g = 0; g < DIMENSION_COUNT; g++)
        rows->distance[g] = rows->distances[g];
    rows->slice = (struct drift_slice){.base = rows->base,
                                       .batch = &rows->batch,
                                       .count = SLICE_ROWS,
                                       .features = &rows->features,
                                       .figures = &rows->figures,
                                       .distance = rows->distance};
}

/* As the tiny reference says it is, one value and all; shift moves every feature by so many bins. */
static void rows_fill(struct rows *rows, struct random *random, uint32_t shift)
{
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        for (uint32_t i = 0; i < SLICE_ROWS; i++)
            rows->columns[f][i] = (float)(10.0 * random_unit(random) + shift);
    for (uint32_t i = 0; i < SLICE_ROWS; i++) {
        double unknown = random_unit(random);
        for (uint32_t f = 0; f < FIGURE_COUNT; f++)
            rows->figure[f][i] = unknown < 0.2 ? -1.0f : 3.0f;
        uint32_t draw = random_below(random, 12);
        rows->scene[i] = (uint8_t)(draw < SCENES ? draw : 1 + draw % (SCENES - 1));
        rows->match[i] = draw < SCENES ? 1.0f : 0.0f;
        for (int g = 0; g < DIMENSION_COUNT; g++)
            for (uint32_t s = 0; s < SCENES; s++)
                rows->distances[g][s * SLICE_ROWS + i] = (float)(random_below(random, 100) ? 9.0 * random_unit(random) : 7.0);
    }
}

/* --- what is counted ---------------------------------------------------------------------------------------------------- */

static void count_row(uint64_t *out, const struct rows *rows, uint32_t i)
{
    const struct scene_reference *reference = &rows->base->reference;
    uint32_t at = 0, unknown[FEATURE_COUNT];
    feature_unknown_count(unknown, &rows->base->features, &rows->batch, 0, i, 1, &rows->figures);
    for (uint32_t k = 0; k < reference->feature_count; k++) {
        for (uint32_t j = 0; j < REFERENCE_EDGES; j++)
            out[at++] += rows->columns[reference->feature[k]][i] > reference->edges[k * REFERENCE_EDGES + j];
        out[at++] += unknown[reference->feature[k]];
    }
    uint8_t scene = rows->scene[i];
    out[at + (scene && rows->match[i] >= rows->base->scenes[scene].threshold ? scene : 0)]++;
    at += SCENES;
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        bool far = true;
        for (uint32_t s = 0; s < SCENES; s++)
            far &= rows->distances[g][s * SLICE_ROWS + i] > reference->far[g];
        out[at++] += far;
    }
    out[at++]++;
    assert_int_equal(at, drift_counter_count(rows->base));
}

static void expect_counts(const struct rows *rows, uint32_t from, uint32_t count)
{
    static uint32_t got[COUNTERS_MAX];
    static uint64_t expected[COUNTERS_MAX];
    memset(got, 0xff, sizeof got);
    memset(expected, 0, sizeof expected);
    drift_count(got, &rows->slice, from);
    for (uint32_t i = from; i < from + count; i++)
        if (!rows->invalid[i])
            count_row(expected, rows, i);
    for (uint32_t i = 0; i < drift_counter_count(rows->base); i++)
        if (got[i] != expected[i])
            fail_msg("rows %u to %u: counter %u is %u, counted one by one %llu", from, from + count, i, got[i],
                     (unsigned long long)expected[i]);
}

static void counts_are_exact(void **state)
{
    (void)state;
    static struct rows rows;
    struct random random = {.state = 5};
    rows_open(&rows);
    rows_fill(&rows, &random, 1);
    for (uint32_t part = 0; part < SLICE_ROWS / DRIFT_ROWS; part++)
        expect_counts(&rows, drift_part(SLICE_ROWS, part + 400), DRIFT_ROWS);
    for (uint32_t i = 0; i < SLICE_ROWS; i++)
        rows.invalid[i] = random_below(&random, 5) == 0;
    expect_counts(&rows, 2 * DRIFT_ROWS, DRIFT_ROWS);
    static const uint32_t odd[] = {1, 2, 3, 7, 15, 17, 100, 127};
    for (uint32_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        rows.slice.count = odd[i];
        expect_counts(&rows, drift_part(odd[i], i), odd[i]);
    }
    memset(rows.invalid, 1, sizeof rows.invalid);
    expect_counts(&rows, 0, 127);
    rows.slice.count = 700;
    assert_int_equal(drift_part(700, 5), 640);
    assert_int_equal(drift_part(700, 6), 0);
    expect_counts(&rows, 640, 60);
    scene_base_close(&rows.base);
}

/* --- what is told of it --------------------------------------------------------------------------------------------------- */

static double psi_in_double(const double *counts, const double *reference, uint32_t bins)
{
    double rows = 0, rows_reference = 0, sum = 0;
    for (uint32_t i = 0; i < bins; i++) {
        rows += counts[i] + 0.5;
        rows_reference += reference[i] + 0.5;
    }
    for (uint32_t i = 0; i < bins; i++) {
        double p = (counts[i] + 0.5) / rows, q = (reference[i] + 0.5) / rows_reference;
        sum += (p - q) * (log(p) - log(q));
    }
    return sum;
}

static void index_is_its_formula(void **state)
{
    (void)state;
    struct random random = {.state = 77};
    for (int round = 0; round < 1000; round++) {
        uint64_t counts[12];
        uint32_t reference[12], bins = 2 + random_below(&random, 11);
        double counts_real[12], reference_real[12];
        for (uint32_t i = 0; i < bins; i++) {
            counts[i] = 1 + random_below(&random, 1u << random_below(&random, 30));
            reference[i] = random_below(&random, 1u << random_below(&random, 30));
            counts_real[i] = (double)counts[i], reference_real[i] = reference[i];
        }
        double got = drift_psi(counts, reference, bins), expected = psi_in_double(counts_real, reference_real, bins);
        if (!(fabs(got - expected) <= 1e-12 * (1.0 + expected)))
            fail_msg("round %d: %.17g, by the formula %.17g", round, got, expected);
    }
    assert_true(drift_psi((uint64_t[]){10, 20, 0}, (uint32_t[]){10, 20, 0}, 3) == 0.0);
    assert_true(drift_psi((uint64_t[]){0, 0}, (uint32_t[]){10, 20}, 2) == 0.0);
    assert_true(drift_psi((uint64_t[]){10, 20}, (uint32_t[]){0, 0}, 2) == 0.0);
    assert_true(fabs(drift_psi((uint64_t[]){900, 100}, (uint32_t[]){990, 10}, 2) - 0.2077) < 0.01);
}

static void count_slices(uint64_t *out, struct rows *rows, uint64_t seed, uint32_t slices, uint32_t shift)
{
    static uint32_t counts[COUNTERS_MAX];
    struct random random = {.state = seed};
    memset(out, 0, COUNTERS_MAX * sizeof *out);
    for (uint32_t k = 0; k < slices; k++) {
        rows_fill(rows, &random, shift);
        drift_count(counts, &rows->slice, drift_part(SLICE_ROWS, k));
        for (uint32_t i = 0; i < drift_counter_count(rows->base); i++)
            out[i] += counts[i];
    }
}

/* What was counted becomes what is held against. */
static void reference_take(struct scene_base *base, const uint64_t *counters)
{
    const struct scene_reference *reference = &base->reference;
    uint32_t *counts = (uint32_t *)(uintptr_t)reference->counts, *known = (uint32_t *)(uintptr_t)reference->known;
    uint32_t *scenes = (uint32_t *)(uintptr_t)reference->scenes, *distances = (uint32_t *)(uintptr_t)reference->distances;
    uint32_t rows = (uint32_t)counters[drift_counter_count(base) - 1];
    for (uint32_t k = 0; k < reference->feature_count; k++, counters += REFERENCE_EDGES + 1) {
        for (uint32_t j = 0; j < REFERENCE_BINS; j++)
            *counts++ = (uint32_t)((j ? counters[j - 1] : rows) - (j < REFERENCE_EDGES ? counters[j] : 0));
        *known++ = rows - (uint32_t)counters[REFERENCE_EDGES];
        *known++ = (uint32_t)counters[REFERENCE_EDGES];
    }
    for (uint32_t s = 0; s < base->scene_count; s++)
        *scenes++ = (uint32_t)*counters++;
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        *distances++ = rows - (uint32_t)*counters;
        *distances++ = (uint32_t)*counters++;
    }
}

static void shift_alarms_and_sameness_does_not(void **state)
{
    (void)state;
    static struct rows rows;
    static uint64_t counters[COUNTERS_MAX];
    static struct drift_report report;
    const struct drift_limits limits = DRIFT_LIMITS_DEFAULT;
    rows_open(&rows);
    count_slices(counters, &rows, 2, 100, 0);
    reference_take(rows.base, counters);
    count_slices(counters, &rows, 3, 40, 0);
    drift_report(&report, rows.base, counters, &limits);
    assert_true(report.reference && report.judged);
    assert_int_equal(report.rows, 40 * DRIFT_ROWS);
    if (report.level != DRIFT_NONE)
        fail_msg("the same traffic: %s at %g", report.worst, report.worst_psi);
    count_slices(counters, &rows, 3, 40, 2);
    drift_report(&report, rows.base, counters, &limits);
    assert_int_equal(report.level, DRIFT_ALARM);
    assert_true(report.over[DRIFT_ALARM] >= rows.base->reference.feature_count);
    assert_true(report.features[0].values.psi > 0.25 && report.features[0].unknown.psi < 0.1);
    count_slices(counters, &rows, 3, 3, 2);
    drift_report(&report, rows.base, counters, &limits);
    assert_true(!report.judged && report.level == DRIFT_NONE && report.worst_psi > 0.25);
    scene_base_close(&rows.base);
}

static void without_reference_nothing_is_told(void **state)
{
    (void)state;
    struct scene_base *base = base_open(false);
    static struct drift_report report;
    const struct drift_limits limits = DRIFT_LIMITS_DEFAULT;
    assert_int_equal(drift_counter_count(base), 0);
    drift_report(&report, base, NULL, &limits);
    assert_true(!report.reference && report.level == DRIFT_NONE && report.rows == 0);
    drift_report(&report, NULL, NULL, &limits);
    assert_true(!report.reference);
    scene_base_close(&base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact),
        cmocka_unit_test(index_is_its_formula),
        cmocka_unit_test(shift_alarms_and_sameness_does_not),
        cmocka_unit_test(without_reference_nothing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
