#ifndef SLUICE_TESTS_COMPUTE_FIXTURE_H
#define SLUICE_TESTS_COMPUTE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compute/device.h"

/* Random bases and features in memory, a device opened as far as scoring, and scores compared: what the device tests share. */

static uint64_t seed, state; /* splitmix64 */

static inline uint64_t random_bits(void)
{
    uint64_t x = state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint32_t below(uint32_t end)
{
    return (uint32_t)((random_bits() >> 32) * end >> 32);
}

static inline float uniform(float low, float high)
{
    return low + (high - low) * (float)(random_bits() >> 40) * 0x1p-24f;
}

/* --- a base in memory ------------------------------------------------------------------------------------------------ */

static inline struct scene_column *columns_make(struct arena *arena, uint32_t count)
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
static inline void panel_make(struct panel *out, struct arena *arena, uint32_t columns, uint32_t clusters, uint32_t segments)
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
static inline void points_make(struct points *out, struct arena *arena, uint32_t columns, uint32_t count, uint32_t segments)
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

static inline void base_make(struct scene_base *base, struct arena *arena, bool whole)
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

static inline void features_make(struct feature_block *out, struct arena *arena, uint32_t rows)
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

static inline void fixture_init(struct fixture *fixture, uint32_t rows, bool whole)
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

static inline enum fault opened_init(struct opened *out, const struct device_ops *ops, unsigned cpu_mask, const struct scene_base *base,
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

static inline void opened_fini(struct opened *opened)
{
    opened->ops->scratch_give(&opened->scratch);
    opened->ops->release(&opened->resident);
    opened->ops->close(&opened->device);
}

static inline bool rows_equal(const float *a, const float *b, size_t segments, uint32_t rows)
{
    for (size_t s = 0; s < segments && a; s++)
        if (memcmp(a + s * SLICE_ROWS, b + s * SLICE_ROWS, rows * sizeof(float)) != 0)
            return false;
    return !a == !b;
}

static inline void scores_equal(const struct scores *got, const struct scores *wanted, const struct scene_base *base, uint32_t rows)
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

static inline void seed_take(void)
{
    const char *text = getenv("SLUICE_SEED");
    state = seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
}

#endif
