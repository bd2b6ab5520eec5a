/* Every device gives the reference's bits, on random bases, slice sizes and instruction sets, from many threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "compute/device.h"
#include "compute/internal.h"
#include "unit/compute/fixture.h"

/* --- tests ----------------------------------------------------------------------------------------------------------------- */

static void devices_agree_on(uint32_t rows, bool whole)
{
    static const unsigned masks[] = {0, CPU_AVX2, CPU_AVX2 | CPU_AVX512, CPU_NEON, CPU_MASK_ALL};
    struct fixture fixture;
    struct opened ref, other;
    struct scores wanted, got;
    fixture_init(&fixture, rows, whole);
    assert_int_equal(opened_init(&ref, &device_ref, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(ref.ops->score(&wanted, ref.scratch, ref.resident, &fixture.features, NULL), FAULT_NONE);
    for (size_t i = 0; i < 2 * sizeof masks / sizeof *masks; i++) {
        assert_int_equal(opened_init(&other, i & 1 ? &device_blas : &device_cpu, masks[i / 2], &fixture.base, NULL), FAULT_NONE);
        assert_int_equal(other.ops->score(&got, other.scratch, other.resident, &fixture.features, NULL), FAULT_NONE);
        scores_equal(&got, &wanted, &fixture.base, rows);
        opened_fini(&other);
    }
    opened_fini(&ref);
    arena_fini(&fixture.arena);
}

static void devices_agree(void **unused)
{
    (void)unused;
    static const uint32_t row_counts[] = {0, 1, 15, 16, 17, 100, 255, 256, 257, 511, 1000, SLICE_ROWS};
    for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts; i++)
        devices_agree_on(row_counts[i], i == 0);
    for (int i = 0; i < 8; i++)
        devices_agree_on(below(SLICE_ROWS + 1), true);
}

static void distances_are_true(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct opened cpu;
    struct scores scores;
    fixture_init(&fixture, 100, true);
    assert_int_equal(opened_init(&cpu, &device_cpu, CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
    assert_int_equal(cpu.ops->score(&scores, cpu.scratch, cpu.resident, &fixture.features, NULL), FAULT_NONE);
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        const struct panel *panel = &fixture.base.dimensions[g].panel;
        for (uint32_t row = 0; row < 100; row++)
            for (uint32_t s = 0; s < panel->segment_count; s++) {
                const float *z = scores.z[g] + (size_t)(row / TILE_ROWS) * TILE_ROWS * panel->column_count + row % TILE_ROWS;
                float least = INFINITY;
                for (uint32_t k = panel->segment_first[s]; k < panel->segment_first[s + 1]; k++)
                    least = fminf(least, kernel_distance(z, TILE_ROWS, panel, k));
                assert_true(scores.distance[g][s * SLICE_ROWS + row] == least);
            }
    }
    opened_fini(&cpu);
    arena_fini(&fixture.arena);
}

struct thread {
    pthread_t thread;
    const struct fixture *fixture;
    const struct opened *opened;
    struct scores wanted;
    bool same;
};

static void *thread_scores(void *argument)
{
    struct thread *thread = argument;
    struct scratch *scratch = NULL;
    struct scores got;
    thread->same = thread->opened->ops->scratch_take(&scratch, thread->opened->resident, NULL) == FAULT_NONE;
    for (int i = 0; i < 20 && thread->same; i++) {
        thread->opened->ops->score(&got, scratch, thread->opened->resident, &thread->fixture->features, NULL);
        for (unsigned g = 0; g < DIMENSION_COUNT; g++)
            thread->same &= rows_equal(got.distance[g], thread->wanted.distance[g], thread->fixture->base.scene_count, 700);
    }
    thread->opened->ops->scratch_give(&scratch);
    return NULL;
}

static void threads_agree(void **unused)
{
    (void)unused;
    static const struct device_ops *const all[] = {&device_cpu, &device_blas};
    struct fixture fixture;
    fixture_init(&fixture, 700, true);
    for (int i = 0; i < 2; i++) {
        struct opened opened;
        struct thread threads[4];
        struct scores wanted;
        assert_int_equal(opened_init(&opened, all[i], CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
        assert_int_equal(opened.ops->score(&wanted, opened.scratch, opened.resident, &fixture.features, NULL), FAULT_NONE);
        for (int t = 0; t < 4; t++) {
            threads[t] = (struct thread){.fixture = &fixture, .opened = &opened, .wanted = wanted};
            assert_int_equal(pthread_create(&threads[t].thread, NULL, thread_scores, &threads[t]), 0);
        }
        for (int t = 0; t < 4; t++) {
            pthread_join(threads[t].thread, NULL);
            assert_true(threads[t].same);
        }
        opened_fini(&opened);
    }
    arena_fini(&fixture.arena);
}

static void names_and_descriptions(void **unused)
{
    (void)unused;
    assert_ptr_equal(device_find("cpu"), &device_cpu);
    assert_ptr_equal(device_find("ref"), &device_ref);
    assert_ptr_equal(device_find("blas"), &device_blas);
    assert_null(device_find("abacus"));
    assert_null(device_find(""));
    struct device *device = NULL;
    struct device_options none = {.cpu_mask = 0};
    assert_int_equal(device_cpu.open(&device, &none, NULL), FAULT_NONE);
    assert_string_equal(device_cpu.describe(device), "cpu ref");
    assert_string_equal(device_cpu.kernels(device)->name, "ref");
    device_cpu.close(&device);
    assert_null(device);
    device_cpu.close(&device);
    assert_int_equal(device_blas.open(&device, &none, NULL), FAULT_NONE);
    assert_non_null(strstr(device_blas.describe(device), "blas "));
    assert_non_null(strstr(device_blas.describe(device), " + ref"));
    device_blas.close(&device);
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    static const struct device_ops *const all[] = {&device_cpu, &device_ref, &device_blas};
    struct fixture fixture;
    fixture_init(&fixture, 16, true);
    uint64_t live = memory_live_count();
    for (int i = 0; i < 3; i++) {
        enum fault fault = FAULT_memory;
        unsigned nth = 0;
        for (; fault != FAULT_NONE; nth++) {
            struct opened opened;
            struct fault_note note = {0};
            memory_fail_at(nth);
            fault = opened_init(&opened, all[i], CPU_MASK_ALL, &fixture.base, &note);
            memory_fail_at(UINT64_MAX);
            assert_true(fault == FAULT_NONE || (fault == FAULT_memory && note.text[0]));
            opened_fini(&opened);
            assert_int_equal(memory_live_count(), live);
        }
        assert_true(nth >= 4);
    }
    arena_fini(&fixture.arena);
}

static void scratch_stays_within_its_figure(void **unused)
{
    (void)unused;
    static const struct device_ops *const all[] = {&device_cpu, &device_ref, &device_blas};
    for (int i = 0; i < 12; i++) {
        struct fixture fixture;
        struct opened opened;
        fixture_init(&fixture, 16, i < 3);
        assert_int_equal(opened_init(&opened, all[i % 3], CPU_MASK_ALL, &fixture.base, NULL), FAULT_NONE);
        assert_true(opened.scratch->arena.size + sizeof *opened.scratch <= scratch_bytes(&fixture.base));
        opened_fini(&opened);
        arena_fini(&fixture.arena);
    }
    struct scene_base empty = {.magic = (unsigned)SCENE_BASE_MAGIC};
    struct opened opened;
    struct feature_block features = {.row_count = 16};
    struct scores scores;
    assert_int_equal(opened_init(&opened, &device_blas, CPU_MASK_ALL, &empty, NULL), FAULT_NONE);
    assert_int_equal(opened.ops->score(&scores, opened.scratch, opened.resident, &features, NULL), FAULT_NONE);
    for (unsigned g = 0; g < DIMENSION_COUNT; g++)
        assert_null(scores.distance[g]);
    opened_fini(&opened);
}

int main(void)
{
    seed_take();
    const struct CMUnitTest tests[] = {cmocka_unit_test(devices_agree),   cmocka_unit_test(distances_are_true),
                                       cmocka_unit_test(threads_agree),   cmocka_unit_test(names_and_descriptions),
                                       cmocka_unit_test(memory_runs_out), cmocka_unit_test(scratch_stays_within_its_figure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
