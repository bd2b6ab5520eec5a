/* The few rows that did not pass, one by one. Scene shares use the twin's arg-min, so the clusters explained are those
 * that made the recorded distance; the sums are in double. */
#include "verdict/explain.h"

#include <math.h>
#include <string.h>

#include "base/must.h"

static const float *row_in_tiles(const float *z, uint32_t column_count, uint32_t row)
{
    return z + (size_t)(row / TILE_ROWS) * column_count * TILE_ROWS + row % TILE_ROWS;
}

/* The segment's cluster nearest to the row, the lower index of equals: of the row's whole tile, which a kernel does in less
 * time than the row alone takes by scalar steps. */
static uint32_t nearest_in_segment(const float *z, uint32_t row, const struct panel *panel, uint32_t segment, const struct kernels *kernels)
{
    const uint32_t first = panel->segment_first[segment];
    const struct panel part = {.column_count = panel->column_count,
                               .cluster_count = panel->segment_first[segment + 1] - first,
                               .ab = panel->ab + 2 * (size_t)panel->column_count * first,
                               .start = panel->start + first};
    uint32_t nearest[TILE_ROWS];
    float least[TILE_ROWS];
    kernels->panel_nearest(nearest, least, row_in_tiles(z, panel->column_count, row / TILE_ROWS * TILE_ROWS), 1, &part);
    return first + nearest[row % TILE_ROWS];
}

/* Adds weight · ½ ℓ (z − c)² of every column, to the feature that the column is made of. */
static void add_shares(double *share, const struct decide_input *in, uint32_t row, int g, uint32_t segment, double weight)
{
    const struct scene_dimension *dimension = &in->base->dimensions[g];
    const struct panel *panel = &dimension->panel;
    const float *z = row_in_tiles(in->scores->z[g], panel->column_count, row);
    const struct kernels *kernels = in->kernels ? in->kernels : &kernels_ref;
    if (panel->segment_first[segment] == panel->segment_first[segment + 1])
        return;
    size_t at = (size_t)nearest_in_segment(in->scores->z[g], row, panel, segment, kernels) * panel->column_count;
    for (uint32_t j = 0; j < panel->column_count; j++) {
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

uint8_t explain_scene(struct reason *out, const struct decide_input *in, uint32_t row, uint32_t scene, struct explain_scratch *scratch)
{
    const struct scene_base *base = in->base;
    memset(scratch->share, 0, sizeof scratch->share);
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        if (base->dimensions[g].panel.cluster_count == 0)
            continue;
        add_shares(scratch->share, in, row, g, 0, (double)base->scenes[0].weight[g]);
        add_shares(scratch->share, in, row, g, scene, -(double)base->scenes[scene].weight[g]);
    }
    return take_strongest(out, in, row, scratch->share);
}

static float distance_square(const float *z, const float *point, uint32_t stride)
{
    enum { LANES = 8 };
    float part[LANES] = {0}, sum = 0.0f;
    for (uint32_t j = 0; j < stride; j += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++) {
            float offset = z[j + lane] - point[j + lane];
            part[lane] += offset * offset;
        }
    for (uint32_t lane = 0; lane < LANES; lane++)
        sum += part[lane];
    return sum;
}

static const float *nearest_point(const struct anomaly_set *set, const float *z, uint32_t segment, float *least)
{
    const float *nearest = NULL;
    *least = INFINITY;
    for (uint32_t k = set->ensemble.segment_first[segment]; k < set->ensemble.segment_first[segment + 1]; k++) {
        const float *point = set->points + (size_t)k * set->point_stride;
        float square = distance_square(z, point, set->point_stride);
        if (square < *least) {
            *least = square;
            nearest = point;
        }
    }
    return nearest;
}

static void add_anomaly(struct explain_scratch *scratch, const struct decide_input *in, uint32_t row, int which)
{
    const struct anomaly_set *set = &in->base->anomaly[which];
    const float *tile = row_in_tiles(in->scores->z_anomaly[which], set->column_count, row);
    memset(scratch->share, 0, sizeof scratch->share);
    memset(scratch->z, 0, sizeof scratch->z);
    for (uint32_t j = 0; j < set->column_count; j++)
        scratch->z[j] = tile[j * TILE_ROWS];
    for (uint32_t t = 0; t < ANOMALY_SEGMENTS; t++) {
        float square;
        const float *point = nearest_point(set, scratch->z, t, &square);
        MUST(point);
        double scale = square > 0.0f ? 1.0 / (ANOMALY_SEGMENTS * sqrt((double)square)) : 0.0;
        for (uint32_t j = 0; j < set->column_count; j++) {
            double offset = (double)scratch->z[j] - (double)point[j];
            scratch->share[set->columns[j].feature] += scale * offset * offset;
        }
    }
}

uint8_t explain_anomaly(struct reason *out, const struct decide_input *in, uint32_t row, int which, struct explain_scratch *scratch)
{
    add_anomaly(scratch, in, row, which);
    return take_strongest(out, in, row, scratch->share);
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

/* One side of a dimension: shares and offset of the segment's nearest cluster, times weight. */
static void add_segment(struct explain_whole *out, const struct decide_input *in, uint32_t row, int g, uint32_t segment, double weight)
{
    const struct scene_dimension *dimension = &in->base->dimensions[g];
    const struct kernels *kernels = in->kernels ? in->kernels : &kernels_ref;
    double share[FEATURE_COUNT] = {0};
    if (!scene_has_clusters(in->base, g, segment))
        return;
    add_shares(share, in, row, g, segment, weight);
    out->offset -= weight * (double)dimension->offsets[nearest_in_segment(in->scores->z[g], row, &dimension->panel, segment, kernels)];
    for (unsigned f = 0; f < FEATURE_COUNT; f++) {
        out->share[f] += share[f];
        out->of[g] += share[f];
    }
}

void explain_scene_whole(struct explain_whole *out, const struct decide_input *in, uint32_t row, uint32_t scene)
{
    const struct scene_base *base = in->base;
    *out = (struct explain_whole){.bias = (double)base->scenes[scene].bias - (double)base->scenes[0].bias};
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &base->dimensions[g];
        if (dimension->panel.cluster_count == 0)
            continue;
        note_columns(out, dimension->columns, dimension->column_count, row_in_tiles(in->scores->z[g], dimension->column_count, row));
        add_segment(out, in, row, g, 0, (double)base->scenes[0].weight[g]);
        add_segment(out, in, row, g, scene, -(double)base->scenes[scene].weight[g]);
    }
}

void explain_anomaly_whole(struct explain_whole *out, const struct decide_input *in, uint32_t row, int which)
{
    const struct anomaly_set *set = &in->base->anomaly[which];
    struct explain_scratch scratch;
    *out = (struct explain_whole){0};
    if (set->ensemble.point_count == 0)
        return;
    add_anomaly(&scratch, in, row, which);
    note_columns(out, set->columns, set->column_count, row_in_tiles(in->scores->z_anomaly[which], set->column_count, row));
    for (unsigned f = 0; f < FEATURE_COUNT; f++) {
        out->share[f] = scratch.share[f];
        out->of[feature_infos[f].dimension] += scratch.share[f];
    }
}
