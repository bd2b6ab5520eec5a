/* Brings a built scene base to an exact shape, for figures that name one: so many columns and clusters in every dimension.
 * Columns beyond are dropped, missing ones come from the catalogue; missing clusters are copies of background's. The anomaly
 * sets keep the columns that are left, and hold nobody. BIAS is added to the evidence of every scene, the threshold is ½: it
 * decides how many rows are held. It serves for measuring speed alone: its scores mean little.
 * usage: base_of_shape IN OUT COLUMNS CLUSTERS BIAS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/must.h"
#include "scene/scene_base.h"

struct shape {
    uint32_t columns, clusters;
};

static bool has_feature(const struct scene_column *columns, uint32_t count, uint16_t feature)
{
    for (uint32_t i = 0; i < count; i++)
        if (columns[i].feature == feature)
            return true;
    return false;
}

/* A feature of the dimension that is not there yet; row scope first. */
static uint16_t feature_missing(const struct scene_column *columns, uint32_t count, int dimension)
{
    for (int batch_scope = 0; batch_scope < 2; batch_scope++)
        for (uint16_t feature = 0; feature < FEATURE_COUNT; feature++)
            if (feature_infos[feature].dimension == (enum dimension)dimension && feature_infos[feature].batch_scope == batch_scope &&
                !has_feature(columns, count, feature))
                return feature;
    fprintf(stderr, "base_of_shape: dimension %s has not so many features\n", dimension_names[dimension]);
    exit(2);
}

static struct scene_column *columns_shape(const struct scene_dimension *from, int dimension, uint32_t wanted)
{
    struct scene_column *columns = memory_take_zeroed(wanted, sizeof *columns);
    MUST(columns);
    for (uint32_t i = 0; i < wanted; i++)
        columns[i] = i < from->column_count
                         ? from->columns[i]
                         : (struct scene_column){.feature = feature_missing(columns, i, dimension), .form = FORM_VALUE, .rscale = 1.0f};
    return columns;
}

static float *matrix_shape(const float *from, const struct scene_dimension *dimension, const struct shape *shape, uint32_t copies,
                           float absent)
{
    float *to = memory_take_zeroed((size_t)shape->columns * shape->clusters, sizeof *to);
    MUST(to);
    for (uint32_t k = 0; k < shape->clusters; k++)
        for (uint32_t j = 0; j < shape->columns; j++) {
            uint32_t source = k < copies ? k % dimension->panel.segment_first[1] : k - copies;
            to[(size_t)k * shape->columns + j] = j < dimension->column_count ? from[(size_t)source * dimension->column_count + j] : absent;
        }
    return to;
}

static void dimension_shape(struct scene_dimension *dimension, int index, const struct shape *shape)
{
    uint32_t count = dimension->panel.cluster_count, segments = dimension->panel.segment_count;
    MUST(count > 0 && count <= shape->clusters && dimension->panel.segment_first[1] > 0);
    uint32_t copies = shape->clusters - count;
    uint32_t *first = memory_take(sizeof *first * (segments + 1));
    float *offsets = memory_take(sizeof *offsets * shape->clusters);
    MUST(first && offsets);
    for (uint32_t s = 0; s <= segments; s++)
        first[s] = s ? dimension->panel.segment_first[s] + copies : 0;
    for (uint32_t k = 0; k < shape->clusters; k++)
        offsets[k] = dimension->offsets[k < copies ? k % dimension->panel.segment_first[1] : k - copies];
    float *centres = matrix_shape(dimension->centres, dimension, shape, copies, 0.0f);
    float *precisions = matrix_shape(dimension->precisions, dimension, shape, copies, 0.01f);
    dimension->columns = columns_shape(dimension, index, shape->columns);
    dimension->column_count = shape->columns;
    dimension->centres = centres;
    dimension->precisions = precisions;
    dimension->offsets = offsets;
    dimension->panel.segment_first = first;
    dimension->panel.cluster_count = shape->clusters;
    dimension->panel.column_count = shape->columns;
}

static bool is_kept(const struct scene_base *base, uint16_t feature)
{
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (has_feature(base->dimensions[g].columns, base->dimensions[g].column_count, feature))
            return true;
    return false;
}

static void anomaly_shape(struct anomaly_set *set, const struct scene_base *base)
{
    uint32_t kept = 0, points = set->ensemble.point_count;
    struct scene_column *columns = memory_take_zeroed(set->column_count + 1, sizeof *columns);
    float *values = memory_take_zeroed((size_t)points * set->point_stride + 1, sizeof *values);
    MUST(columns && values);
    for (uint32_t j = 0; j < set->column_count; j++) {
        if (!is_kept(base, set->columns[j].feature))
            continue;
        for (uint32_t k = 0; k < points; k++)
            values[(size_t)k * set->point_stride + kept] = set->points[(size_t)k * set->point_stride + j];
        columns[kept++] = set->columns[j];
    }
    float *table = memory_take_zeroed(set->table_count + 1, sizeof *table);
    MUST(table);
    for (uint32_t i = 0; i < set->table_count; i++)
        table[i] = 1e5f + (float)i; /* nothing reaches it */
    set->table = table;
    set->columns = columns;
    set->points = values;
    set->column_count = set->ensemble.column_count = kept;
}

/* What traffic is held against: the features that a column is left of. */
static void reference_shape(struct scene_base *base)
{
    struct scene_reference *reference = &base->reference;
    uint32_t count = reference->feature_count, kept = 0;
    float *edges = memory_take_zeroed(count, REFERENCE_EDGES * sizeof *edges);
    uint32_t *counts = memory_take_zeroed(count, REFERENCE_BINS * sizeof *counts);
    uint32_t *known = memory_take_zeroed(count, REFERENCE_SIDES * sizeof *known);
    MUST(edges && counts && known);
    for (uint32_t i = 0; i < count; i++) {
        bool is_used = false;
        for (int g = 0; g < DIMENSION_COUNT; g++)
            is_used |= has_feature(base->dimensions[g].columns, base->dimensions[g].column_count, reference->feature[i]);
        if (!is_used)
            continue;
        reference->feature[kept] = reference->feature[i];
        memcpy(edges + (size_t)kept * REFERENCE_EDGES, reference->edges + (size_t)i * REFERENCE_EDGES, REFERENCE_EDGES * sizeof *edges);
        memcpy(counts + (size_t)kept * REFERENCE_BINS, reference->counts + (size_t)i * REFERENCE_BINS, REFERENCE_BINS * sizeof *counts);
        memcpy(known + (size_t)kept * REFERENCE_SIDES, reference->known + (size_t)i * REFERENCE_SIDES, REFERENCE_SIDES * sizeof *known);
        kept++;
    }
    reference->feature_count = kept, reference->edges = edges, reference->counts = counts, reference->known = known;
}

int main(int argc, char **argv)
{
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    char *bytes = NULL;
    size_t byte_count = 0;
    if (argc != 6) {
        fprintf(stderr, "usage: base_of_shape IN OUT COLUMNS CLUSTERS BIAS\n");
        return 2;
    }
    const struct shape shape = {.columns = (uint32_t)strtoul(argv[3], NULL, 10), .clusters = (uint32_t)strtoul(argv[4], NULL, 10)};
    if (scene_base_open(&base, argv[1], &note) == FAULT_NONE) {
        for (int g = 0; g < DIMENSION_COUNT; g++)
            dimension_shape(&base->dimensions[g], g, &shape);
        for (int i = 0; i < ANOMALY_COUNT; i++)
            anomaly_shape(&base->anomaly[i], base);
        reference_shape(base);
        for (uint32_t s = 1; s < base->scene_count; s++)
            base->scenes[s].threshold = 0.5f, base->scenes[s].bias += strtof(argv[5], NULL);
        snprintf(base->name, sizeof base->name, "shape-%ux%u", shape.columns, shape.clusters);
        if (scene_base_write(&bytes, &byte_count, base, NULL, NULL, &note) == FAULT_NONE)
            file_replace(argv[2], bytes, byte_count, &note);
    }
    memory_give(bytes);
    if (note.fault == FAULT_NONE)
        return 0;
    fprintf(stderr, "base_of_shape: %s\n", note.text);
    return 2;
}
