/* The rows that did not pass, a tile of them at a time. The twin's arg-min names the clusters and points, so those explained
 * are those that made the recorded distance; the sums are in double. */
#include "verdict/explain.h"

#include <math.h>
#include <string.h>

#include "base/must.h"

static const float *row_in_tiles(const float *z, uint32_t column_count, uint32_t row)
{
    return z + (size_t)(row / TILE_ROWS) * column_count * TILE_ROWS + row % TILE_ROWS;
}

/* The rows' z of all columns as one tile; lanes past the last row are the first one's. */
static const float *gather(float *tile, const float *z, uint32_t column_count, const struct explain_row *rows, uint32_t count)
{
    for (uint32_t lane = 0; lane < TILE_ROWS; lane++) {
        const float *from = row_in_tiles(z, column_count, rows[lane < count ? lane : 0].row);
        for (uint32_t j = 0; j < column_count; j++)
            tile[j * TILE_ROWS + lane] = from[j * TILE_ROWS];
    }
    return tile;
}

/* The segment's cluster nearest to each lane, the lower index of equals. */
static void nearest_in_segment(uint32_t *out, const float *tile, const struct panel *panel, uint32_t segment, const struct kernels *kernels)
{
    const uint32_t first = panel->segment_first[segment];
    const struct panel part = {.column_count = panel->column_count,
                               .cluster_count = panel->segment_first[segment + 1] - first,
                               .ab = panel->ab + 2 * (size_t)panel->column_count * first,
                               .start = panel->start + first};
    float least[TILE_ROWS];
    kernels->panel_nearest(out, least, tile, 1, &part);
    for (uint32_t lane = 0; lane < TILE_ROWS; lane++)
        out[lane] += first;
}

/* The clusters that made the distances of a dimension: the background's of every row, and each row's scene's. */
static void find_clusters(struct explain_scratch *scratch, const struct decide_input *in, int g, const struct explain_row *rows,
                          uint32_t count)
{
    const struct panel *panel = &in->base->dimensions[g].panel;
    const struct kernels *kernels = in->kernels ? in->kernels : &kernels_ref;
    const float *tile = gather(scratch->tile, in->scores->z[g], panel->column_count, rows, count);
    uint32_t told = 0, nearest[TILE_ROWS]; /* bit per scene */
    for (uint32_t lane = 0; lane < count; lane++) {
        uint32_t scene = rows[lane].scene;
        if (rows[lane].by_anomaly || told >> scene & 1)
            continue;
        if (!told && scene_has_clusters(in->base, g, 0))
            nearest_in_segment(scratch->cluster[0][g], tile, panel, 0, kernels);
        told |= 1u << scene;
        if (!scene_has_clusters(in->base, g, scene))
            continue;
        nearest_in_segment(nearest, tile, panel, scene, kernels);
        for (uint32_t same = lane; same < count; same++)
            if (rows[same].scene == scene)
                scratch->cluster[1][g][same] = nearest[same];
    }
}

/* Adds weight · ½ ℓ (z − c)² of every column, to the feature that the column is made of. */
static void add_shares(double *share, const struct decide_input *in, uint32_t row, int g, uint32_t cluster, double weight)
{
    const struct scene_dimension *dimension = &in->base->dimensions[g];
    const uint32_t column_count = dimension->panel.column_count;
    const float *z = row_in_tiles(in->scores->z[g], column_count, row);
    size_t at = (size_t)cluster * column_count;
    for (uint32_t j = 0; j < column_count; j++) {
        double offset = (double)z[j * TILE_ROWS] - (double)dimension->centres[at + j];
        share[dimension->columns[j].feature] += weight * 0.5 * (double)dimension->precisions[at + j] * offset * offset;
    }
}

/* The strongest shares by magnitude, ties to the lower feature; a selection that keeps out sorted. */
static uint8_t take_strongest(struct reason *out, const struct decide_input *in, uint32_t row, const double *share)
{
    uint8_t count = 0;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++) {
        float value = (float)share[f];
        uint8_t at = count;
        while (at > 0 && fabsf(value) > fabsf(out[at - 1].share))
            at--;
        if (value == 0.0f || at == REASONS_MAX)
            continue;
        count = (uint8_t)(count < REASONS_MAX ? count + 1 : count);
        memmove(out + at + 1, out + at, (size_t)(count - 1 - at) * sizeof *out);
        out[at] = (struct reason){.feature = (uint16_t)f,
                                  .dimension = (uint16_t)feature_infos[f].dimension,
                                  .value = in->features->column[f][row],
                                  .share = value};
    }
    return count;
}

static void share_scene(double *share, const struct decide_input *in, const struct explain_row *row, uint32_t lane,
                        const struct explain_scratch *scratch)
{
    const struct scene_base *base = in->base;
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        if (scene_has_clusters(base, g, 0))
            add_shares(share, in, row->row, g, scratch->cluster[0][g][lane], (double)base->scenes[0].weight[g]);
        if (scene_has_clusters(base, g, row->scene))
            add_shares(share, in, row->row, g, scratch->cluster[1][g][lane], -(double)base->scenes[row->scene].weight[g]);
    }
}

/* The point of every segment that made the degree's part, of each lane. */
static void find_points(struct explain_scratch *scratch, const struct decide_input *in, int which, const struct explain_row *rows,
                        uint32_t count)
{
    const struct points *ensemble = &in->base->anomaly[which].ensemble;
    const struct kernels *kernels = in->kernels ? in->kernels : &kernels_ref;
    const float *tile = gather(scratch->tile, in->scores->z_anomaly[which], ensemble->column_count, rows, count);
    uint32_t nearest[TILE_ROWS];
    float square[TILE_ROWS];
    for (uint32_t t = 0; t < ANOMALY_SEGMENTS; t++) {
        const uint32_t first = ensemble->segment_first[t];
        const struct points part = {.column_count = ensemble->column_count,
                                    .point_count = ensemble->segment_first[t + 1] - first,
                                    .weight = ensemble->weight + (size_t)first * ensemble->column_count,
                                    .start = ensemble->start + first};
        MUST(part.point_count);
        kernels->points_nearest(nearest, square, tile, 1, &part);
        for (uint32_t lane = 0; lane < count; lane++)
            scratch->point[which][lane][t] = first + nearest[lane];
    }
}

static void share_anomaly(double *share, const struct decide_input *in, uint32_t row, int which, uint32_t lane,
                          struct explain_scratch *scratch)
{
    const struct anomaly_set *set = &in->base->anomaly[which];
    const struct kernels *kernels = in->kernels ? in->kernels : &kernels_ref;
    const float *tile = row_in_tiles(in->scores->z_anomaly[which], set->column_count, row);
    memset(scratch->line, 0, sizeof scratch->line);
    for (uint32_t j = 0; j < set->column_count; j++)
        scratch->line[j] = tile[j * TILE_ROWS];
    kernels->point_shares(scratch->of_column, scratch->line, set->points, set->point_stride, scratch->point[which][lane], ANOMALY_SEGMENTS);
    for (uint32_t j = 0; j < set->column_count; j++)
        share[set->columns[j].feature] += (double)scratch->of_column[j];
}

/* The clusters and points of all rows, each only where a row asks for it. */
static void find_all(struct explain_scratch *scratch, const struct decide_input *in, const struct explain_row *rows, uint32_t count)
{
    bool asked[ANOMALY_COUNT] = {false}, by_scene = false;
    for (uint32_t i = 0; i < count; i++)
        *(rows[i].by_anomaly ? &asked[rows[i].set] : &by_scene) = true;
    for (int which = 0; which < ANOMALY_COUNT; which++)
        if (asked[which])
            find_points(scratch, in, which, rows, count);
    for (int g = 0; g < DIMENSION_COUNT && by_scene; g++)
        if (in->base->dimensions[g].panel.cluster_count)
            find_clusters(scratch, in, g, rows, count);
}

void explain_rows(struct reason *out, uint8_t *reason_count, const struct decide_input *in, const struct explain_row *rows, uint32_t count,
                  struct explain_scratch *scratch)
{
    MUST(count > 0 && count <= TILE_ROWS);
    find_all(scratch, in, rows, count);
    for (uint32_t i = 0; i < count; i++) {
        memset(scratch->share, 0, sizeof scratch->share);
        if (rows[i].by_anomaly)
            share_anomaly(scratch->share, in, rows[i].row, rows[i].set, i, scratch);
        else
            share_scene(scratch->share, in, &rows[i], i, scratch);
        reason_count[i] = take_strongest(out + (size_t)i * REASONS_MAX, in, rows[i].row, scratch->share);
    }
}

/* --- the whole ------------------------------------------------------------------------------------------------------- */

static void note_columns(struct explain_whole *out, const struct scene_column *columns, uint32_t column_count, const float *tile)
{
    for (uint32_t j = 0; j < column_count; j++) {
        uint16_t feature = columns[j].feature;
        if (!out->is_used[feature] || columns[j].form == FORM_VALUE)
            out->z[feature] = tile[(size_t)j * TILE_ROWS];
        out->is_used[feature] = true;
    }
}

/* One side of a dimension: shares and offset of the cluster, times weight. */
static void add_cluster(struct explain_whole *out, const struct decide_input *in, uint32_t row, int g, uint32_t cluster, double weight)
{
    double share[FEATURE_COUNT] = {0};
    add_shares(share, in, row, g, cluster, weight);
    out->offset -= weight * (double)in->base->dimensions[g].offsets[cluster];
    for (unsigned f = 0; f < FEATURE_COUNT; f++) {
        out->share[f] += share[f];
        out->of[g] += share[f];
    }
}

void explain_scene_whole(struct explain_whole *out, const struct decide_input *in, uint32_t row, uint32_t scene)
{
    const struct scene_base *base = in->base;
    const struct explain_row asked = {.row = row, .scene = (uint8_t)scene};
    struct explain_scratch scratch;
    find_all(&scratch, in, &asked, 1);
    *out = (struct explain_whole){.bias = (double)base->scenes[scene].bias - (double)base->scenes[0].bias};
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        if (dimension->panel.cluster_count == 0)
            continue;
        note_columns(out, dimension->columns, dimension->column_count, row_in_tiles(in->scores->z[g], dimension->column_count, row));
        if (scene_has_clusters(base, g, 0))
            add_cluster(out, in, row, g, scratch.cluster[0][g][0], (double)base->scenes[0].weight[g]);
        if (scene_has_clusters(base, g, scene))
            add_cluster(out, in, row, g, scratch.cluster[1][g][0], -(double)base->scenes[scene].weight[g]);
    }
}

void explain_anomaly_whole(struct explain_whole *out, const struct decide_input *in, uint32_t row, int which)
{
    const struct anomaly_set *set = &in->base->anomaly[which];
    const struct explain_row asked = {.row = row, .set = (uint8_t)which, .by_anomaly = true};
    struct explain_scratch scratch;
    *out = (struct explain_whole){0};
    if (set->ensemble.point_count == 0)
        return;
    find_all(&scratch, in, &asked, 1);
    share_anomaly(out->share, in, row, which, 0, &scratch);
    note_columns(out, set->columns, set->column_count, row_in_tiles(in->scores->z_anomaly[which], set->column_count, row));
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        out->of[feature_infos[f].dimension] += out->share[f];
}
