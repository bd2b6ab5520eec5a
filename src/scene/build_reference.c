/* What traffic will be held against: background rows of the training window in bins, how far they lie from the nearest cluster, and the
 * scenes of the rows behind it. Edges are tenths of an even sample; counts are of all rows that are learned from. */
#include "scene/builder.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { EDGE_SAMPLE_ROWS = 8192, FAR_CHUNKS = 64, FAR_ONE_IN = 100 };

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

/* values of the picked background rows, in order */
static uint32_t background_values(float *values, const struct builder *builder, uint32_t feature)
{
    const struct picked *picked = &builder->picked;
    uint32_t count = 0;
    for (uint32_t i = 0; i < picked->count; i++)
        if (picked->scene[i] == 0)
            values[count++] = builder->train->chunks[picked->row[i] / SLICE_ROWS].features.column[feature][picked->row[i] % SLICE_ROWS];
    return count;
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
    memset(counts, 0, REFERENCE_BINS * sizeof *counts);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bin = 0;
        for (uint32_t j = 0; j < REFERENCE_EDGES; j++)
            bin += values[i] > edges[j];
        counts[bin]++;
    }
}

static void count_features(struct builder *builder, float *values, float *sample)
{
    struct build_reference *reference = &builder->reference;
    for (uint32_t i = 0; i < builder->draft.reference.feature_count; i++) {
        uint32_t count = background_values(values, builder, reference->feature[i]);
        edges_find(reference->edges[i], values, count, sample);
        bins_count(reference->counts[i], values, count, reference->edges[i]);
        for (uint32_t side = 0; builder->options->known && side < REFERENCE_SIDES; side++)
            reference->known[i][side] = builder->options->known[reference->feature[i]][side];
    }
}

static float nearest_of(const struct scene_base *base, const float *distance, uint32_t row)
{
    float nearest = distance[row];
    for (uint32_t s = 1; s < base->scene_count; s++)
        if (distance[(size_t)s * SLICE_ROWS + row] < nearest)
            nearest = distance[(size_t)s * SLICE_ROWS + row];
    return nearest;
}

/* Distances of background rows of every n-th chunk, by dimension behind each other, stride FAR_CHUNKS · SLICE_ROWS. */
static uint32_t measure_distances(float *out, struct chunk_scores *scores, const struct builder *builder)
{
    const struct build_sample *train = builder->train;
    uint32_t step = (train->chunk_count + FAR_CHUNKS - 1) / FAR_CHUNKS, count = 0;
    for (uint32_t c = 0; c < train->chunk_count; c += step) {
        const struct build_chunk *chunk = &train->chunks[c];
        chunk_scenes_score(scores, builder, chunk);
        for (uint32_t i = 0; i < chunk->features.row_count; i++) {
            if (chunk->scene[i] != 0)
                continue;
            for (int g = 0; g < DIMENSION_COUNT; g++)
                if (builder->base->dimensions[g].panel.cluster_count)
                    out[(size_t)g * FAR_CHUNKS * SLICE_ROWS + count] = nearest_of(builder->base, scores->distance[g], i);
            count++;
        }
    }
    return count;
}

static enum fault count_far(struct builder *builder)
{
    struct build_reference *reference = &builder->reference;
    struct chunk_scores *scores = NULL;
    float *distances = memory_take((size_t)DIMENSION_COUNT * FAR_CHUNKS * SLICE_ROWS * sizeof *distances);
    enum fault fault = distances ? chunk_scores_take(&scores, builder) : build_no_memory(builder);
    if (fault == FAULT_NONE) {
        uint32_t count = measure_distances(distances, scores, builder);
        for (int g = 0; g < DIMENSION_COUNT; g++) {
            float *of_dimension = distances + (size_t)g * FAR_CHUNKS * SLICE_ROWS;
            if (!builder->base->dimensions[g].panel.cluster_count || count == 0)
                continue;
            qsort(of_dimension, count, sizeof *of_dimension, by_rising);
            reference->far[g] = of_dimension[(uint64_t)count * (FAR_ONE_IN - 1) / FAR_ONE_IN];
            for (uint32_t i = 0; i < count; i++)
                reference->distances[g][of_dimension[i] > reference->far[g]]++;
        }
    }
    chunk_scores_give(&scores);
    memory_give(distances);
    return fault;
}

enum fault build_reference(struct builder *builder)
{
    float *values = memory_take((size_t)builder->picked.count * sizeof *values);
    float *sample = memory_take(EDGE_SAMPLE_ROWS * sizeof *sample);
    enum fault fault = values && sample ? FAULT_NONE : build_no_memory(builder);
    if (fault == FAULT_NONE) {
        take_features(builder);
        count_features(builder, values, sample);
        fault = count_far(builder);
    }
    memory_give(values);
    memory_give(sample);
    return fault;
}
