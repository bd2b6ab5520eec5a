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
#include <time.h>

#include "base/memory.h"
#include "compute/device.h"
#include "compute/internal.h"

static uint64_t seed, state;

static uint64_t random_bits(void)
{
    uint64_t x = state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint32_t below(uint32_t end)
{
    return (uint32_t)((random_bits() >> 32) * end >> 32);
}

static float uniform(float low, float high)
{
    return low + (high - low) * (float)(random_bits() >> 40) * 0x1p-24f;
}

/* --- a base in memory ------------------------------------------------------------------------------------------------ */

static struct scene_column *columns_make(struct arena *arena, uint32_t count)
{
    struct scene_column *columns = arena_take(arena, count * sizeof *columns, 64);
    for (uint32_t j = 0; j < count; j++)
        columns[j] = (struct scene_column){.feature = (uint16_t)below(FEATURE_COUNT),
                                           .form = (enum scene_column_form)below(3),
                                           .edge = uniform(-1, 1),
                                           .edge_scale = uniform(0.1f, 2),
                                           .mean = uniform(-1, 1),
                                           .rscale = uniform(0.2f, 5)};
    return columns;
}

/* Clusters in crowds: many all but coincide, far from 0 and sharp, so that the product form cancels and winners are close. */
static void panel_make(struct panel *out, struct arena *arena, uint32_t columns, uint32_t clusters, uint32_t segments)
{
    float *ab = arena_take(arena, 2 * sizeof(float) * columns * clusters, 64), *start = arena_take(arena, sizeof(float) * clusters, 64);
    uint32_t *first = arena_take_zeroed(arena, sizeof *first * (segments + 1), 64);
    float sharp = below(3) ? 1.0f : 300.0f, far = below(3) ? 4.0f : 900.0f, spread = below(2) ? 1.0f : 1e-4f;
    for (uint32_t k = 0; k < clusters; k++) {
        first[1 + below(segments)]++;
        for (uint32_t j = 0; j < columns; j++) {
            float a = uniform(0, sharp), centre = (k % 4 ? -ab[2 * ((size_t)(k - 1) * columns + j) + 1] : uniform(-far, far));
            a = k % 4 ? ab[2 * ((size_t)(k - 1) * columns + j)] : a;
            centre = k % 4 ? centre + uniform(-spread, spread) : centre * a;
            ab[2 * ((size_t)k * columns + j)] = a;
            ab[2 * ((size_t)k * columns + j) + 1] = -centre;
        }
        start[k] = uniform(-3, 3);
    }
    for (uint32_t s = 0; s < segments; s++)
        first[s + 1] += first[s];
    *out = (struct panel){
        .column_count = columns, .cluster_count = clusters, .segment_count = segments, .segment_first = first, .ab = ab, .start = start};
}

/* Points in crowds too; segments of any size. */
static void points_make(struct points *out, struct arena *arena, uint32_t columns, uint32_t count, uint32_t segments)
{
    float *points = arena_take(arena, sizeof(float) * columns * count, 64),
          *weight = arena_take(arena, sizeof(float) * columns * count, 64);
    float *start = arena_take(arena, sizeof(float) * count, 64), far = below(3) ? 4.0f : 900.0f, spread = below(2) ? 1.0f : 1e-4f;
    uint32_t *first = arena_take_zeroed(arena, sizeof *first * (segments + 1), 64);
    for (uint32_t s = 0; s < segments; s++)
        first[s + 1] = 1;
    for (uint32_t k = segments; k < count; k++)
        first[1 + below(segments)]++;
    for (uint32_t s = 0; s < segments; s++)
        first[s + 1] += first[s];
    for (size_t i = 0; i < (size_t)columns * count; i++)
        points[i] = i / columns % 4 ? points[i - columns] + uniform(-spread, spread) : uniform(-far, far);
    scene_points_pack(weight, start, points, count, columns);
    *out = (struct points){
        .column_count = columns, .point_count = count, .segment_count = segments, .segment_first = first, .weight = weight, .start = start};
}

static void base_make(struct scene_base *base, struct arena *arena, bool whole)
{
    *base = (struct scene_base){.magic = (unsigned)SCENE_BASE_MAGIC, .name = "random", .scene_count = 1 + below(8)};
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        struct scene_dimension *dimension = &base->dimensions[g];
        if (!whole && below(4) == 0)
            continue;
        dimension->column_count = 1 + below(24);
        dimension->columns = columns_make(arena, dimension->column_count);
        panel_make(&dimension->panel, arena, dimension->column_count, 1 + below(70), base->scene_count);
    }
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        struct anomaly_set *set = &base->anomaly[i];
        if (!whole && below(3) == 0)
            continue;
        set->column_count = 1 + below(16);
        set->columns = columns_make(arena, set->column_count);
        points_make(&set->ensemble, arena, set->column_count, 2 * ANOMALY_SEGMENTS, ANOMALY_SEGMENTS);
    }
}

static void features_make(struct feature_block *out, struct arena *arena, uint32_t rows)
{
    out->row_count = rows;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++) {
        out->column[f] = arena_take_zeroed(arena, SLICE_ROWS * sizeof(float), 64);
        for (uint32_t i = 0; i < rows; i++)
            out->column[f][i] = below(10) ? uniform(-4, 8) : uniform(-1e6f, 1e6f);
    }
}

struct fixture {
    struct arena arena;
    struct scene_base base;
    struct feature_block features;
};

static void fixture_init(struct fixture *fixture, uint32_t rows, bool whole)
{
    assert_true(arena_init(&fixture->arena, 8 << 20));
    base_make(&fixture->base, &fixture->arena, whole);
    features_make(&fixture->features, &fixture->arena, rows);
    assert_false(arena_overflowed(&fixture->arena));
}

/* --- a device opened as far as scoring ---------------------------------------------------------------------------------- */

struct opened {
    const struct device_ops *ops;
    struct device *device;
    struct resident *resident;
    struct scratch *scratch;
};

static enum fault opened_init(struct opened *out, const struct device_ops *ops, unsigned cpu_mask, const struct scene_base *base,
                              struct fault_note *note)
{
    struct device_options options = {.cpu_mask = cpu_mask};
    *out = (struct opened){.ops = ops};
    enum fault fault = ops->open(&out->device, &options, note);
    if (fault == FAULT_NONE)
        fault = ops->prepare(&out->resident, out->device, base, note);
    if (fault == FAULT_NONE)
        fault = ops->scratch_take(&out->scratch, out->resident, note);
    return fault;
}

static void opened_fini(struct opened *opened)
{
    opened->ops->scratch_give(&opened->scratch);
    opened->ops->release(&opened->resident);
    opened->ops->close(&opened->device);
}

static bool rows_equal(const float *a, const float *b, size_t segments, uint32_t rows)
{
    for (size_t s = 0; s < segments && a; s++)
        if (memcmp(a + s * SLICE_ROWS, b + s * SLICE_ROWS, rows * sizeof(float)) != 0)
            return false;
    return !a == !b;
}

static void scores_equal(const struct scores *got, const struct scores *wanted, const struct scene_base *base, uint32_t rows)
{
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        size_t z_bytes = tile_count(rows) * TILE_ROWS * base->dimensions[g].column_count * sizeof(float);
        assert_int_equal(!got->distance[g], !base->dimensions[g].panel.cluster_count);
        assert_true(rows_equal(got->distance[g], wanted->distance[g], base->scene_count, rows));
        assert_true(!got->z[g] || memcmp(got->z[g], wanted->z[g], z_bytes) == 0);
    }
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        size_t z_bytes = tile_count(rows) * TILE_ROWS * base->anomaly[i].column_count * sizeof(float);
        assert_int_equal(!got->anomaly[i], !base->anomaly[i].ensemble.point_count);
        assert_true(rows_equal(got->anomaly[i], wanted->anomaly[i], 1, rows));
        assert_true(!got->z_anomaly[i] || memcmp(got->z_anomaly[i], wanted->z_anomaly[i], z_bytes) == 0);
    }
}

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
    const char *text = getenv("SLUICE_SEED");
    state = seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(devices_agree),   cmocka_unit_test(distances_are_true),
                                       cmocka_unit_test(threads_agree),   cmocka_unit_test(names_and_descriptions),
                                       cmocka_unit_test(memory_runs_out), cmocka_unit_test(scratch_stays_within_its_figure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
