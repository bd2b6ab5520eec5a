#ifndef SLUICE_TESTS_TINY_BASE_H
#define SLUICE_TESTS_TINY_BASE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/scene_base.h"

/* A small random scene base for tests, built in memory: give back with tiny_base_fini. */
struct tiny_base {
    struct scene_base base; /* what scene_base_write asks for; not packed */
    struct scene_column columns[DIMENSION_COUNT + ANOMALY_COUNT][DIMENSION_COLUMNS_MAX];
    uint32_t first[DIMENSION_COUNT][SCENES_MAX + 1];
    float *values[2 * DIMENSION_COUNT + DIMENSION_COUNT + 2 * ANOMALY_COUNT];
    uint16_t reference[FEATURE_COUNT];
    float edges[FEATURE_COUNT][REFERENCE_EDGES], far[DIMENSION_COUNT];
    uint32_t counts[FEATURE_COUNT][REFERENCE_BINS], known[FEATURE_COUNT][REFERENCE_SIDES], scenes[SCENES_MAX];
    uint32_t distances[DIMENSION_COUNT][REFERENCE_SIDES];
    uint32_t value_count;
    uint64_t state;
};

static inline float tiny_random(struct tiny_base *tiny, float low, float high)
{
    tiny->state = tiny->state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (float)(tiny->state >> 40) / 16777216.0f;
}

static inline float *tiny_values(struct tiny_base *tiny, size_t count, float low, float high)
{
    float *values = tiny->values[tiny->value_count++] = calloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = tiny_random(tiny, low, high);
    return values;
}

/* Features of one dimension in catalogue order, forms in turn. */
static inline uint32_t tiny_columns(struct tiny_base *tiny, struct scene_column *columns, int dimension, uint32_t most, bool forms)
{
    uint32_t count = 0;
    for (uint32_t f = 0; f < FEATURE_COUNT && count < most; f++) {
        if (dimension >= 0 && (int)feature_infos[f].dimension != dimension)
            continue;
        enum scene_column_form form = forms ? (enum scene_column_form)(count % 3) : FORM_VALUE;
        columns[count++] = (struct scene_column){.feature = (uint16_t)f,
                                                 .form = form,
                                                 .edge = form != FORM_VALUE ? 1.0f : 0.0f,
                                                 .edge_scale = form == FORM_OVERSHOOT ? 0.5f : 1.0f,
                                                 .mean = tiny_random(tiny, -1.0f, 1.0f),
                                                 .rscale = tiny_random(tiny, 0.5f, 2.0f)};
    }
    return count;
}

static inline void tiny_dimension(struct tiny_base *tiny, int g, uint32_t columns, uint32_t background, uint32_t clusters)
{
    struct scene_dimension *dimension = &tiny->base.dimensions[g];
    uint32_t scenes = tiny->base.scene_count, total = background + (scenes - 1) * clusters;
    dimension->columns = tiny->columns[g];
    dimension->column_count = tiny_columns(tiny, tiny->columns[g], g, columns, true);
    for (uint32_t s = 0; s < scenes; s++)
        tiny->first[g][s + 1] = tiny->first[g][s] + (s ? clusters : background);
    dimension->panel = (struct panel){.cluster_count = total, .segment_count = scenes, .segment_first = tiny->first[g]};
    dimension->centres = tiny_values(tiny, (size_t)total * dimension->column_count, -3.0f, 6.0f);
    dimension->precisions = tiny_values(tiny, (size_t)total * dimension->column_count, 0.0f, 4.0f);
    dimension->offsets = tiny_values(tiny, total, -3.0f, 0.0f);
}

static inline void tiny_anomaly(struct tiny_base *tiny, int which, uint32_t columns, uint32_t per_segment, uint32_t table)
{
    struct anomaly_set *set = &tiny->base.anomaly[which];
    struct scene_column *own = tiny->columns[DIMENSION_COUNT + which];
    set->columns = own;
    set->column_count = tiny_columns(tiny, own, which == ANOMALY_OWN ? (int)DIMENSION_transaction : -1, columns, false);
    set->ensemble.point_count = ANOMALY_SEGMENTS * per_segment;
    set->point_stride = (set->column_count + 7) / 8 * 8;
    set->points = tiny_values(tiny, (size_t)set->ensemble.point_count * set->point_stride, -2.0f, 2.0f);
    set->table_count = table;
    float *scores = tiny_values(tiny, table, 0.0f, 1.0f);
    for (uint32_t i = 0; i < table; i++)
        scores[i] = 1.0f + 6.0f * (float)i / (float)table;
    set->table = scores;
    set->threshold = 0.95f;
}

/* Background and scene_count - 1 scenes "scene_1" …, of risk types "risk_1" …; dimensions and both anomaly sets. */
static inline void tiny_base_init(struct tiny_base *tiny, uint32_t scene_count, uint32_t columns, uint32_t clusters, uint64_t seed)
{
    memset(tiny, 0, sizeof *tiny);
    tiny->state = seed;
    struct scene_base *base = &tiny->base;
    snprintf(base->name, sizeof base->name, "tiny");
    snprintf(base->version, sizeof base->version, "1");
    base->scene_count = scene_count;
    for (uint32_t s = 0; s < scene_count; s++) {
        struct scene *scene = &base->scenes[s];
        snprintf(scene->name, sizeof scene->name, s ? "scene_%u" : "background", s);
        if (s)
            snprintf(scene->risk_type, sizeof scene->risk_type, "risk_%u", s);
        scene->bias = tiny_random(tiny, -1.0f, 1.0f);
        scene->threshold = s ? tiny_random(tiny, 0.4f, 0.9f) : 0.0f;
        for (int g = 0; g < DIMENSION_COUNT; g++)
            scene->weight[g] = tiny_random(tiny, 0.1f, 1.0f);
    }
    for (int g = 0; g < DIMENSION_COUNT; g++)
        tiny_dimension(tiny, g, columns, 2 * clusters, clusters);
    tiny_anomaly(tiny, ANOMALY_OWN, columns, 8, 100);
    tiny_anomaly(tiny, ANOMALY_LINKED, 2 * columns, 8, 100);
}

/* A reference of every feature that its columns have: edges 1 … 9, a hundred rows in each bin, one in five not known, one in a hundred far
 * beyond distance 5, a tenth in scenes. */
static inline void tiny_reference(struct tiny_base *tiny)
{
    struct scene_base *base = &tiny->base;
    bool used[FEATURE_COUNT] = {false};
    for (int g = 0; g < DIMENSION_COUNT + ANOMALY_COUNT; g++) {
        uint32_t count = g < DIMENSION_COUNT ? base->dimensions[g].column_count : base->anomaly[g - DIMENSION_COUNT].column_count;
        for (uint32_t j = 0; j < count; j++)
            used[tiny->columns[g][j].feature] = true;
    }
    base->reference = (struct scene_reference){.feature = tiny->reference,
                                               .edges = tiny->edges[0],
                                               .counts = tiny->counts[0],
                                               .known = tiny->known[0],
                                               .scenes = tiny->scenes,
                                               .far = tiny->far,
                                               .distances = tiny->distances[0]};
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if (used[f])
            tiny->reference[base->reference.feature_count++] = (uint16_t)f;
    for (uint32_t i = 0; i < base->reference.feature_count; i++) {
        for (uint32_t j = 0; j < REFERENCE_EDGES; j++)
            tiny->edges[i][j] = (float)(j + 1);
        for (uint32_t j = 0; j < REFERENCE_BINS; j++)
            tiny->counts[i][j] = 100;
        tiny->known[i][0] = 800, tiny->known[i][1] = 200;
    }
    for (int g = 0; g < DIMENSION_COUNT; g++)
        tiny->far[g] = 5.0f, tiny->distances[g][0] = 990, tiny->distances[g][1] = 10;
    for (uint32_t s = 0; s < base->scene_count; s++)
        tiny->scenes[s] = s ? 10 : 90;
}

static inline void tiny_base_fini(struct tiny_base *tiny)
{
    for (uint32_t i = 0; i < tiny->value_count; i++)
        free(tiny->values[i]);
}

/* The same as a base that scoring uses: close it. NULL: it was refused, said on stderr. */
static inline struct scene_base *tiny_base_open(uint32_t scene_count, uint32_t columns, uint32_t clusters, uint64_t seed)
{
    struct tiny_base tiny;
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    char *bytes = NULL;
    size_t byte_count = 0;
    tiny_base_init(&tiny, scene_count, columns, clusters, seed);
    if (scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note) != FAULT_NONE ||
        scene_base_read(&base, (unsigned char *)bytes, byte_count, &note) != FAULT_NONE)
        fprintf(stderr, "tiny base refused: %s\n", note.text);
    memory_give(bytes);
    tiny_base_fini(&tiny);
    return base;
}

#endif
