/* What traffic will be held against: background rows of the training window in bins, how far they lie from the nearest cluster, and the
 * scenes of the rows behind it. Edges are tenths of an even sample; counts are of all rows that are learned from. */
#include "scene/builder.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { EDGE_SAMPLE_ROWS = 8192, FAR_SLICES = 64, FAR_ONE_IN = 100 };

static int by_rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void note_columns(struct feature_set *set, const struct scene_column *columns, uint32_t count)
{
    for (uint32_t j = 0; j < count; j++)
        set->bits[columns[j].feature / 64] |= 1ull << columns[j].feature % 64;
}

static void take_features(struct builder *builder)
{
    struct build_reference *reference = &builder->reference;
    struct scene_base *draft = &builder->draft;
    struct feature_set set = {0};
    for (int g = 0; g < DIMENSION_COUNT; g++)
        note_columns(&set, draft->dimensions[g].columns, draft->dimensions[g].column_count);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        note_columns(&set, draft->anomaly[i].columns, draft->anomaly[i].column_count);
    draft->reference.feature_count = 0;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if (set.bits[f / 64] >> f % 64 & 1)
            reference->feature[draft->reference.feature_count++] = (uint16_t)f;
    draft->reference.feature = reference->feature;
    draft->reference.edges = reference->edges[0];
    draft->reference.counts = reference->counts[0];
    draft->reference.known = reference->known[0];
    draft->reference.scenes = reference->scenes;
    draft->reference.far = reference->far;
    draft->reference.distances = reference->distances[0];
}

static void edges_find(float edges[REFERENCE_EDGES], const float *values, uint32_t count, float *sample)
{
    uint32_t taken = count < EDGE_SAMPLE_ROWS ? count : EDGE_SAMPLE_ROWS;
    for (uint32_t i = 0; i < taken; i++)
        sample[i] = values[(uint64_t)i * count / taken];
    qsort(sample, taken, sizeof *sample, by_rising);
    for (uint32_t j = 0; j < REFERENCE_EDGES; j++)
        edges[j] = sample[(uint64_t)(j + 1) * taken / REFERENCE_BINS];
}

static void bins_count(uint32_t counts[REFERENCE_BINS], const float *values, uint32_t count, const float edges[REFERENCE_EDGES])
{
    uint32_t above = count;
    for (uint32_t bin = 0; bin < REFERENCE_BINS; bin++) {
        uint32_t higher = 0;
        for (uint32_t i = 0; bin < REFERENCE_EDGES && i < count; i++)
            higher += values[i] > edges[bin];
        counts[bin] = above - higher;
        above = higher;
    }
}

static void count_work(void *context, uint32_t part, uint32_t thread)
{
    struct builder *builder = context;
    struct build_reference *reference = &builder->reference;
    const uint32_t feature = reference->feature[part], count = builder->picked.scene_first[1];
    float sample[EDGE_SAMPLE_ROWS];
    (void)thread;
    edges_find(reference->edges[part], builder->picked.column[feature], count, sample);
    bins_count(reference->counts[part], builder->picked.column[feature], count, reference->edges[part]);
    for (uint32_t side = 0; builder->options->known && side < REFERENCE_SIDES; side++)
        reference->known[part][side] = builder->options->known[feature][side];
}

static float nearest_of(const struct scene_base *base, const float *distance, uint32_t row)
{
    float nearest = distance[row];
    for (uint32_t s = 1; s < base->scene_count; s++)
        if (distance[(size_t)s * SLICE_ROWS + row] < nearest)
            nearest = distance[(size_t)s * SLICE_ROWS + row];
    return nearest;
}

struct farness {
    struct builder *builder;
    float *distances; /* [dimension][FAR_SLICES · SLICE_ROWS] */
    uint32_t step, count;
};

/* A slice of background, of which every step-th is looked at. */
static void measure_work(void *context, uint32_t part, uint32_t thread)
{
    struct farness *farness = context;
    const struct builder *builder = farness->builder;
    const uint32_t first = part * farness->step * SLICE_ROWS, left = builder->picked.scene_first[1] - first;
    const struct feature_block slice = build_slice(builder, first, left < SLICE_ROWS ? left : SLICE_ROWS);
    struct chunk_scores *scores = builder->scores[thread];
    chunk_scenes_score(scores, builder, &slice);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        for (uint32_t i = 0; builder->base->dimensions[g].panel.cluster_count && i < slice.row_count; i++)
            farness->distances[((size_t)g * FAR_SLICES + part) * SLICE_ROWS + i] = nearest_of(builder->base, scores->distance[g], i);
}

static void far_work(void *context, uint32_t part, uint32_t thread)
{
    struct farness *farness = context;
    struct build_reference *reference = &farness->builder->reference;
    float *distances = farness->distances + (size_t)part * FAR_SLICES * SLICE_ROWS;
    (void)thread;
    if (!farness->builder->base->dimensions[part].panel.cluster_count || farness->count == 0)
        return;
    qsort(distances, farness->count, sizeof *distances, by_rising);
    reference->far[part] = distances[(uint64_t)farness->count * (FAR_ONE_IN - 1) / FAR_ONE_IN];
    for (uint32_t i = 0; i < farness->count; i++)
        reference->distances[part][distances[i] > reference->far[part]]++;
}

static enum fault count_far(struct builder *builder)
{
    const uint32_t rows = builder->picked.scene_first[1], slices = (rows + SLICE_ROWS - 1) / SLICE_ROWS;
    struct farness farness = {.builder = builder, .step = (slices + FAR_SLICES - 1) / FAR_SLICES};
    const uint32_t looked_at = (slices + farness.step - 1) / farness.step, last = (looked_at - 1) * farness.step * SLICE_ROWS;
    farness.count = (looked_at - 1) * SLICE_ROWS + (rows - last < SLICE_ROWS ? rows - last : SLICE_ROWS);
    farness.distances = memory_take((size_t)DIMENSION_COUNT * FAR_SLICES * SLICE_ROWS * sizeof *farness.distances);
    if (!farness.distances)
        return build_no_memory(builder);
    team_run(builder->team, looked_at, measure_work, &farness);
    team_run(builder->team, DIMENSION_COUNT, far_work, &farness);
    memory_give(farness.distances);
    return FAULT_NONE;
}

enum fault build_reference(struct builder *builder)
{
    take_features(builder);
    team_run(builder->team, builder->draft.reference.feature_count, count_work, builder);
    return count_far(builder);
}
