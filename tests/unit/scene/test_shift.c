/* The stability index by hand and by asking all values; thinning keeps rows evenly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/random.h"
#include "scene/shift.h"

enum { VALUES = 400 };

/* Edges one after the other: the least value with at least i tenths of the earlier values at or below its place. */
static double psi_by_asking(const float *before, const float *after, uint32_t count)
{
    float rising[VALUES], edges[14];
    uint32_t edge_count = 0;
    double sum = 0.0;
    memcpy(rising, before, count * sizeof *rising);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = i + 1; k < count; k++)
            if (rising[k] < rising[i]) {
                float swap = rising[i];
                rising[i] = rising[k];
                rising[k] = swap;
            }
    for (uint32_t i = 1; i <= 10; i++) {
        float edge = rising[i * count / 10 < count ? i * count / 10 : count - 1];
        if (!edge_count || edge != edges[edge_count - 1])
            edges[edge_count++] = edge;
    }
    for (uint32_t b = 0; b < edge_count + 2; b++) {
        double p = 0.5, q = 0.5;
        for (uint32_t i = 0; i < count; i++)
            for (int late = 0; late < 2; late++) {
                float value = late ? after[i] : before[i];
                bool is_here = b == 0                ? value < rising[0]
                               : b == edge_count + 1 ? value > edges[edge_count - 1]
                                                     : value >= rising[0] && value <= edges[b - 1] && (b == 1 || value > edges[b - 2]);
                *(late ? &q : &p) += is_here;
            }
        p /= count + 0.5 * (edge_count + 2);
        q /= count + 0.5 * (edge_count + 2);
        sum += (q - p) * log(q / p);
    }
    return sum;
}

static void index_follows_its_definition(void **state)
{
    (void)state;
    const uint32_t levels[] = {1, 2, 5, 1000000};
    for (uint32_t i = 0; i < 8; i++) {
        float before[VALUES], after[VALUES], copy[VALUES];
        struct random random = {.state = 5 + i};
        for (uint32_t k = 0; k < VALUES; k++) {
            before[k] = (float)random_below(&random, levels[i % 4]);
            after[k] = (float)random_below(&random, levels[i % 4]) * (i < 4 ? 1.0f : 1.7f) - (i == 6 ? 1.0f : 0.0f);
        }
        memcpy(copy, before, sizeof copy);
        assert_true(fabs(shift_psi(copy, VALUES, after, VALUES) - psi_by_asking(before, after, VALUES)) < 1e-12);
    }
}

static void what_was_constant_and_moved_is_seen(void **state)
{
    (void)state;
    float before[100], above[100], below[100], same[100];
    for (uint32_t i = 0; i < 100; i++)
        before[i] = same[i] = 1.0f, above[i] = 2.0f, below[i] = 0.0f;
    assert_true(shift_psi(before, 100, same, 100) == 0.0);
    assert_true(shift_psi(before, 100, above, 100) > 5.0);
    assert_true(shift_psi(before, 100, below, 100) > 5.0);
}

static struct feature_block block; /* one row, as many values as features */
static float values[FEATURE_COUNT];

static void sample_is_thinned_evenly(void **state)
{
    (void)state;
    struct feature_set wanted = {{(uint64_t)1 << 3 | (uint64_t)1 << 5}};
    struct shift_sample sample;
    assert_int_equal(shift_sample_init(&sample, &wanted, NULL), FAULT_NONE);
    assert_int_equal(sample.feature_count, 2);
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        block.column[f] = &values[f];
    for (uint32_t row = 0; row < 5 * SHIFT_ROWS_MAX; row++) {
        values[3] = (float)row;
        values[5] = row < 5 * SHIFT_ROWS_MAX / 2 ? 0.0f : 1.0f;
        shift_sample_add(&sample, &block, 0);
    }
    assert_int_equal(sample.every, 8);
    assert_int_equal(sample.row_count, 5 * SHIFT_ROWS_MAX / 8);
    for (uint32_t i = 0; i < sample.row_count; i++)
        assert_true(sample.values[2 * (size_t)i] == (float)(8 * i));
    struct shift shifts[FEATURE_COUNT];
    uint32_t count;
    assert_int_equal(shift_measure(shifts, &count, &sample, NULL), FAULT_NONE);
    assert_int_equal(count, 2);
    assert_true(shifts[0].psi >= shifts[1].psi && shifts[1].psi > 5.0);
    for (uint32_t i = 0; i < 2; i++)
        if (shifts[i].feature == 5)
            assert_true(shifts[i].mean_before == 0.0 && shifts[i].mean_after == 1.0);
    memory_fail_at(0);
    assert_int_equal(shift_measure(shifts, &count, &sample, NULL), FAULT_memory);
    memory_fail_at(UINT64_MAX);
    shift_sample_fini(&sample);
    memory_fail_at(0);
    assert_int_equal(shift_sample_init(&sample, &wanted, NULL), FAULT_memory);
    memory_fail_at(UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_follows_its_definition),
        cmocka_unit_test(what_was_constant_and_moved_is_seen),
        cmocka_unit_test(sample_is_thinned_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
