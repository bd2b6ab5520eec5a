/* Clusters of every scene in every dimension, and the draft read back as scoring sees it. */
#include "scene/builder.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { SHRINK_ROWS = 20, CLUSTER_ROWS_LEAST = 10, CLUSTER_TILES_MAX = 2048 };

static bool append(float **all, uint32_t count, const float *more, uint32_t more_count)
{
    float *grown = memory_resize(*all, ((size_t)count + more_count) * sizeof *grown);
    if (!grown)
        return false;
    memcpy(grown + count, more, more_count * sizeof *grown);
    *all = grown;
    return true;
}

/* Of very many rows an even sample of tiles: clusters are where training starts. */
static void thin(struct matrix *rows)
{
    const size_t floats = (size_t)rows->column_count * TILE_ROWS, tiles = rows->row_count / TILE_ROWS;
    if (tiles <= CLUSTER_TILES_MAX)
        return;
    for (size_t tile = 0; tile < CLUSTER_TILES_MAX; tile++)
        memmove(rows->z + tile * floats, rows->z + tile * tiles / CLUSTER_TILES_MAX * floats, floats * sizeof *rows->z);
    rows->row_count = CLUSTER_TILES_MAX * TILE_ROWS;
}

static enum fault add_scene(struct builder *builder, int g, uint8_t scene)
{
    struct scene_dimension *dimension = &builder->draft.dimensions[g];
    struct clusters *all = &builder->clusters[g], found;
    const struct build_options *options = builder->options;
    struct matrix rows;
    struct cluster_rules rules = {.count_max = scene ? options->scene_clusters : options->background_clusters,
                                  .rows_least = CLUSTER_ROWS_LEAST,
                                  .precision_max = builder->precision_max,
                                  .shrink_rows = SHRINK_ROWS,
                                  .team = builder->team};
    enum fault fault = build_matrix(&rows, builder, dimension->columns, dimension->column_count, scene);
    if (fault != FAULT_NONE)
        return fault;
    thin(&rows);
    fault = clusters_find(&found, &rows, &rules, &builder->random, &builder->kernels, builder->note);
    matrix_fini(&rows);
    if (fault != FAULT_NONE)
        return fault;
    uint32_t columns = dimension->column_count;
    if (!append(&all->centres, all->count * columns, found.centres, found.count * columns) ||
        !append(&all->precisions, all->count * columns, found.precisions, found.count * columns) ||
        !append(&all->offsets, all->count, found.offsets, found.count))
        fault = build_no_memory(builder);
    all->count += found.count;
    builder->segment_first[g][scene + 1] = all->count;
    clusters_fini(&found);
    return fault;
}

enum fault build_clusters(struct builder *builder)
{
    enum fault fault = FAULT_NONE;
    for (int g = 0; fault == FAULT_NONE && g < DIMENSION_COUNT; g++) {
        struct scene_dimension *dimension = &builder->draft.dimensions[g];
        struct clusters *all = &builder->clusters[g];
        clusters_fini(all);
        if (dimension->column_count == 0)
            continue;
        for (uint32_t s = 0; fault == FAULT_NONE && s < builder->options->scene_count; s++)
            fault = add_scene(builder, g, (uint8_t)s);
        dimension->centres = all->centres;
        dimension->precisions = all->precisions;
        dimension->offsets = all->offsets;
        dimension->panel = (struct panel){.column_count = dimension->column_count,
                                          .cluster_count = all->count,
                                          .segment_count = builder->options->scene_count,
                                          .segment_first = builder->segment_first[g]};
        build_say(builder, "%s: %u clusters", dimension_names[g], all->count);
    }
    return fault;
}

enum fault build_base(struct builder *builder)
{
    char *bytes = NULL;
    size_t byte_count;
    scene_base_close(&builder->base);
    enum fault fault = scene_base_write(&bytes, &byte_count, &builder->draft, NULL, NULL, builder->note);
    if (fault == FAULT_NONE)
        fault = scene_base_read(&builder->base, (const unsigned char *)bytes, byte_count, builder->note);
    memory_give(bytes);
    return fault;
}

static float *take_slice(bool *failed, size_t columns)
{
    float *block = memory_take_aligned(columns * SLICE_ROWS * sizeof *block, 64);
    *failed |= !block;
    return block;
}

static void chunk_scores_give(struct chunk_scores *scores)
{
    if (!scores)
        return;
    memory_give(scores->z);
    memory_give(scores->scratch);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        memory_give(scores->distance[g]);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        memory_give(scores->anomaly[i]);
    memory_give(scores);
}

static enum fault chunk_scores_take(struct chunk_scores **out, const struct builder *builder)
{
    struct chunk_scores *scores = *out = memory_take_zeroed(1, sizeof *scores);
    bool failed = !scores;
    if (failed)
        return fault_set(builder->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score");
    scores->z = take_slice(&failed, BUILD_COLUMNS_MAX);
    scores->scratch = take_slice(&failed, 1);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        scores->distance[g] = take_slice(&failed, builder->options->scene_count);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        scores->anomaly[i] = take_slice(&failed, 1);
    return failed ? fault_set(builder->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score") : FAULT_NONE;
}

enum fault build_scores_take(struct builder *builder)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t thread = 0; fault == FAULT_NONE && thread < team_threads(builder->team); thread++)
        fault = chunk_scores_take(&builder->scores[thread], builder);
    return fault;
}

void build_scores_give(struct builder *builder)
{
    for (uint32_t thread = 0; thread < TEAM_THREADS_MAX; thread++)
        chunk_scores_give(builder->scores[thread]);
}

void chunk_scenes_score(struct chunk_scores *out, const struct builder *builder, const struct feature_block *features)
{
    const struct scene_base *base = builder->base;
    size_t tiles = tile_count(features->row_count);
    double evidence[SCENES_MAX][TILE_ROWS];
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        if (dimension->panel.cluster_count == 0)
            continue;
        scene_columns_tile(out->z, dimension->columns, dimension->column_count, features, &builder->kernels, out->scratch);
        builder->kernels.panel_min(out->distance[g], SLICE_ROWS, out->z, tiles, &dimension->panel);
    }
    for (size_t at = 0; at < tiles * TILE_ROWS; at += TILE_ROWS) {
        scene_evidence(evidence, base, out->distance, SLICE_ROWS, at);
        for (uint32_t s = 0; s < base->scene_count; s++)
            memcpy(&out->evidence[s][at], evidence[s], sizeof evidence[s]);
    }
}

void chunk_anomaly_score(struct chunk_scores *out, const struct builder *builder, const struct feature_block *features)
{
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        const struct anomaly_set *set = &builder->base->anomaly[i];
        if (set->ensemble.point_count == 0)
            continue;
        scene_columns_tile(out->z, set->columns, set->column_count, features, &builder->kernels, out->scratch);
        builder->kernels.points_mean(out->anomaly[i], out->z, tile_count(features->row_count), &set->ensemble);
    }
}
