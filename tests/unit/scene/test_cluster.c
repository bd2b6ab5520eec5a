/* Clusters of rows whose groups are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/cluster.h"

enum { COLUMNS = 5 };

static const struct cluster_rules rules = {.count_max = 4, .rows_least = 10, .precision_max = 25.0, .shrink_rows = 10.0};

/* Rows in turn from groups whose centres lie 4 apart in every column, with a spread of about 0.5. */
static struct matrix rows_make(uint32_t row_count, uint32_t groups, uint64_t seed)
{
    struct matrix matrix = {.row_count = row_count, .column_count = COLUMNS};
    struct random random = {.state = seed};
    matrix.z = memory_take_aligned(tile_count(row_count) * TILE_ROWS * COLUMNS * sizeof(float), 64);
    for (uint32_t i = 0; i < row_count; i++)
        for (uint32_t j = 0; j < COLUMNS; j++) {
            double sum = 0.0;
            for (int k = 0; k < 12; k++)
                sum += random_unit(&random) - 0.5;
            *matrix_at(&matrix, i, j) = (float)(4.0 * (double)(i % groups) - 6.0 + 0.5 * sum);
        }
    return matrix;
}

static void groups_are_found(void **state)
{
    (void)state;
    struct matrix rows = rows_make(2000, 4, 1);
    struct clusters clusters;
    struct random random = {.state = 3};
    assert_int_equal(clusters_find(&clusters, &rows, &rules, &random, &kernels_ref, NULL), FAULT_NONE);
    assert_int_equal(clusters.count, 4);
    for (uint32_t group = 0; group < 4; group++) {
        uint32_t found = 0;
        for (uint32_t k = 0; k < clusters.count; k++) {
            double want = 4.0 * group - 6.0;
            if (fabs((double)clusters.centres[k * COLUMNS] - want) > 1.0)
                continue;
            found++;
            for (uint32_t j = 0; j < COLUMNS; j++) {
                assert_true(fabs((double)clusters.centres[k * COLUMNS + j] - want) < 0.1);
                assert_true(clusters.precisions[k * COLUMNS + j] > 1.0f && clusters.precisions[k * COLUMNS + j] < 6.0f);
            }
        }
        assert_int_equal(found, 1);
    }
    clusters_fini(&clusters);
    memory_give(rows.z);
}

static void instruction_sets_agree(void **state)
{
    (void)state;
    struct matrix rows = rows_make(1777, 3, 9);
    struct kernels best;
    struct clusters a, b;
    struct random first = {.state = 5}, second = {.state = 5};
    kernels_select(&best, CPU_MASK_ALL);
    assert_int_equal(clusters_find(&a, &rows, &rules, &first, &kernels_ref, NULL), FAULT_NONE);
    assert_int_equal(clusters_find(&b, &rows, &rules, &second, &best, NULL), FAULT_NONE);
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.centres, b.centres, a.count * COLUMNS * sizeof(float));
    assert_memory_equal(a.precisions, b.precisions, a.count * COLUMNS * sizeof(float));
    assert_memory_equal(a.offsets, b.offsets, a.count * sizeof(float));
    clusters_fini(&a);
    clusters_fini(&b);
    memory_give(rows.z);
}

static void few_or_equal_rows_are_one_cluster(void **state)
{
    (void)state;
    const uint32_t counts[] = {1, 2, 15, 200};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct matrix rows = rows_make(counts[i], 1, 2);
        struct clusters clusters;
        struct random random = {.state = i};
        for (uint32_t row = 0; row < counts[i]; row++)
            for (uint32_t j = 0; j < COLUMNS; j++)
                *matrix_at(&rows, row, j) = 1.25f;
        assert_int_equal(clusters_find(&clusters, &rows, &rules, &random, &kernels_ref, NULL), FAULT_NONE);
        assert_int_equal(clusters.count, 1);
        for (uint32_t j = 0; j < COLUMNS; j++)
            assert_true(clusters.centres[j] == 1.25f && clusters.precisions[j] == 25.0f);
        clusters_fini(&clusters);
        memory_give(rows.z);
    }
}

/* The offset is log(share) + ½ Σ log l, so that e^-δ is a share of a normal density, up to a constant. */
static void offsets_follow_the_formula(void **state)
{
    (void)state;
    struct matrix rows = rows_make(900, 3, 4);
    struct clusters clusters;
    struct random random = {.state = 8};
    double shares = 0.0;
    assert_int_equal(clusters_find(&clusters, &rows, &rules, &random, &kernels_ref, NULL), FAULT_NONE);
    for (uint32_t k = 0; k < clusters.count; k++) {
        double offset = (double)clusters.offsets[k];
        for (uint32_t j = 0; j < COLUMNS; j++)
            offset -= 0.5 * log((double)clusters.precisions[k * COLUMNS + j]);
        shares += exp(offset);
    }
    assert_true(fabs(shares - 1.0) < 1e-5);
    clusters_fini(&clusters);
    memory_give(rows.z);
}

static void memory_faults_leave_nothing(void **state)
{
    (void)state;
    struct matrix rows = rows_make(300, 2, 4);
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    for (uint64_t nth = 0; nth < 50 && fault == FAULT_memory; nth++) {
        struct clusters clusters = {0};
        struct random random = {.state = 8};
        memory_fail_at(nth);
        fault = clusters_find(&clusters, &rows, &rules, &random, &kernels_ref, NULL);
        memory_fail_at(UINT64_MAX);
        clusters_fini(&clusters);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
    memory_give(rows.z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_found),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(few_or_equal_rows_are_one_cluster),
        cmocka_unit_test(offsets_follow_the_formula),
        cmocka_unit_test(memory_faults_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
