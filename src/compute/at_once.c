/* A slice on a device that scores all of it at once: the tiles of dimensions and anomaly sets stand one behind the other, so
 * that they go there in one piece, and so do the minima that come back. Square roots are the processor's. Where the device
 * fails, the processor's kernels score from the same tiles: the same bits. */
#include "compute/internal.h"

static const struct points *set_of(const struct scene_base *base, unsigned index)
{
    return index < DIMENSION_COUNT ? NULL : base_points(base, index - DIMENSION_COUNT);
}

void at_once_sets(struct opencl_set out[SET_COUNT], const struct scene_base *base)
{
    for (unsigned i = 0; i < SET_COUNT; i++) {
        const struct panel *panel = i < DIMENSION_COUNT ? base_panel(base, i) : NULL;
        const struct points *points = set_of(base, i);
        out[i] = panel ? opencl_set_of_panel(panel) : points ? opencl_set_of_points(points) : (struct opencl_set){0};
    }
}

void at_once_lay(struct scratch *scratch, struct arena *arena, size_t *bytes, const struct scene_base *base)
{
    struct opencl_set sets[SET_COUNT];
    size_t columns = 0, lines = 0;
    at_once_sets(sets, base);
    for (unsigned i = 0; i < SET_COUNT; i++) {
        columns += sets[i].column_count;
        lines += sets[i].segment_count;
        if (i >= DIMENSION_COUNT && sets[i].count)
            scratch->scores.anomaly[i - DIMENSION_COUNT] = block_take(arena, bytes, SLICE_ROWS);
    }
    scratch->tiles = block_take(arena, bytes, columns * SLICE_ROWS);
    scratch->lines = block_take(arena, bytes, lines * SLICE_ROWS);
    scratch->norm = block_take(arena, bytes, SLICE_ROWS);
}

/* Tiles of so many rows lie close together; minima keep their stride. */
static void tiles_make(struct scratch *scratch, const struct scene_base *base, const struct feature_block *features,
                       const struct kernels *kernels)
{
    const size_t rows = tile_count(features->row_count) * TILE_ROWS;
    struct scores *scores = &scratch->scores;
    float *z = scratch->tiles, *line = scratch->lines;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        if (!base_panel(base, g))
            continue;
        scores->z[g] = z;
        scores->distance[g] = line;
        scene_columns_tile(z, dimension->columns, dimension->column_count, features, kernels, scratch->column);
        z += rows * dimension->panel.column_count;
        line += (size_t)dimension->panel.segment_count * SLICE_ROWS;
    }
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        const struct anomaly_set *set = &base->anomaly[i];
        if (!base_points(base, i))
            continue;
        scores->z_anomaly[i] = z;
        scene_columns_tile(z, set->columns, set->column_count, features, kernels, scratch->column);
        z += rows * set->ensemble.column_count;
    }
}

static void degrees_make(struct scratch *scratch, const struct scene_base *base, uint32_t row_count, const struct kernels *kernels)
{
    const float *line = scratch->lines;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++)
        line += base_panel(base, g) ? (size_t)base_panel(base, g)->segment_count * SLICE_ROWS : 0;
    for (unsigned i = 0; i < ANOMALY_COUNT; i++) {
        const struct points *points = base_points(base, i);
        if (!points)
            continue;
        kernels->row_norm(scratch->norm, scratch->scores.z_anomaly[i], tile_count(row_count), points->column_count);
        kernels->sqrt_mean(scratch->scores.anomaly[i], line, SLICE_ROWS, scratch->norm, row_count, points->segment_count);
        line += (size_t)points->segment_count * SLICE_ROWS;
    }
}

static void processor_scores(struct scratch *scratch, const struct scene_base *base, uint32_t row_count, const struct kernels *kernels)
{
    const struct scores *scores = &scratch->scores;
    for (unsigned g = 0; g < DIMENSION_COUNT; g++)
        if (base_panel(base, g))
            kernels->panel_min(scores->distance[g], SLICE_ROWS, scores->z[g], tile_count(row_count), base_panel(base, g));
    for (unsigned i = 0; i < ANOMALY_COUNT; i++)
        if (base_points(base, i))
            kernels->points_mean(scores->anomaly[i], scores->z_anomaly[i], tile_count(row_count), base_points(base, i));
}

void at_once_score(struct scratch *scratch, const struct resident *resident, const struct feature_block *features)
{
    const struct kernels *kernels = &resident->device->kernels;
    tiles_make(scratch, resident->base, features, kernels);
    scratch->scores.fell_back = !opencl_minima(scratch->queue, scratch->lines, SLICE_ROWS, scratch->tiles, features->row_count);
    if (scratch->scores.fell_back)
        processor_scores(scratch, resident->base, features->row_count, kernels);
    else
        degrees_make(scratch, resident->base, features->row_count, kernels);
}
