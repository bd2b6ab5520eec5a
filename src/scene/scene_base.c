/* A base is refused or it is whole: after scene_base_read every number is finite and inside the bounds of scene_base.h,
 * every feature is known, clusters lie sorted by scene in aligned panels. Nothing of the file's bytes is kept. */
#include "scene/scene_base.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "scene/metadata.h"
#include "scene/safetensors.h"
#include "scene/seal.h"

enum { POINT_ALIGN_COLUMNS = 16 };

struct scene_base_block { /* base and the arena that it points to */
    struct scene_base base;
    struct arena arena;
};

struct packing {
    struct scene_base *base;
    const struct safetensors *file;
    struct fault_note *note;
    uint64_t used; /* bits of tensors that were asked for */
};

static enum fault refuse_tensor(const struct packing *packing, const char *name, const char *why)
{
    return fault_set(packing->note, FAULT_model, ROW_NONE, COLUMN_NONE, "tensor %s: %s", name, why);
}

static enum fault find_tensor(const struct tensor **out, struct packing *packing, const char *group, const char *part)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", group, part);
    *out = safetensors_find(packing->file, name);
    if (!*out)
        return refuse_tensor(packing, name, "missing");
    packing->used |= 1ull << (*out - packing->file->tensors);
    return FAULT_NONE;
}

/* F32 of shape [rows] (columns 0) or [rows, columns], each value within the bounds; into memory of the arena. */
static enum fault take_floats(const float **out, struct packing *packing, const char *group, const char *part, uint64_t rows,
                              uint64_t columns, double least, double most)
{
    const struct tensor *tensor;
    enum fault fault = find_tensor(&tensor, packing, group, part);
    if (fault != FAULT_NONE)
        return fault;
    if (tensor->type != TENSOR_F32 || tensor->rank != (columns ? 2u : 1u) || tensor->shape[0] != rows ||
        (columns && tensor->shape[1] != columns))
        return refuse_tensor(packing, tensor->name, "type or shape does not fit the columns and clusters");
    float *values = arena_take(packing->base->arena, tensor->bytes, 64);
    MUST(values);
    memcpy(values, tensor->data, tensor->bytes);
    for (size_t i = 0; i < tensor->bytes / sizeof *values; i++)
        if (!((double)values[i] >= least && (double)values[i] <= most))
            return refuse_tensor(packing, tensor->name, "a value is not finite or out of bounds");
    *out = values;
    return FAULT_NONE;
}

/* mean and rscale of columns from tensors `group.mean`, `group.rscale`. */
static enum fault take_standards(struct packing *packing, const char *group, struct scene_column *columns, uint32_t count)
{
    const float *mean, *rscale;
    enum fault fault = take_floats(&mean, packing, group, "mean", count, 0, -SCENE_INPUT_MAX, SCENE_INPUT_MAX);
    if (fault == FAULT_NONE)
        fault = take_floats(&rscale, packing, group, "rscale", count, 0, SCENE_SCALE_MIN, SCENE_INPUT_MAX);
    for (uint32_t i = 0; fault == FAULT_NONE && i < count; i++) {
        columns[i].mean = mean[i];
        columns[i].rscale = rscale[i];
    }
    return fault;
}

static uint32_t load_index(const struct tensor *tensor, size_t i)
{
    uint32_t value;
    if (tensor->type == TENSOR_U8)
        return tensor->data[i];
    memcpy(&value, tensor->data + 4 * i, sizeof value); /* a negative I32 becomes larger than any scene */
    return value;
}

/* Cluster order sorted by scene, stable: order[new] = old; segment_first of the panel. */
static enum fault sort_clusters(uint32_t **out, struct packing *packing, const char *group, struct panel *panel)
{
    const struct tensor *scene;
    enum fault fault = find_tensor(&scene, packing, group, "scene");
    if (fault != FAULT_NONE)
        return fault;
    uint32_t segments = packing->base->scene_count, count = panel->cluster_count;
    if (scene->rank != 1 || scene->shape[0] != count || scene->type == TENSOR_F32 || scene->type == TENSOR_F64)
        return refuse_tensor(packing, scene->name, "not one whole number (U8, U32, I32) per cluster");
    uint32_t *first = arena_take_zeroed(packing->base->arena, (segments + 1) * sizeof *first, 64);
    uint32_t *order = arena_take(packing->base->arena, count * sizeof *order, 64);
    uint32_t at[SCENES_MAX];
    MUST(first && order);
    for (uint32_t k = 0; k < count; k++) {
        if (load_index(scene, k) >= segments)
            return refuse_tensor(packing, scene->name, "names a scene that the metadata does not list");
        first[load_index(scene, k) + 1]++;
    }
    if (first[1] == 0)
        return refuse_tensor(packing, scene->name, "no cluster of the background (scene 0)");
    for (uint32_t s = 0; s < segments; s++) {
        at[s] = first[s];
        first[s + 1] += first[s];
    }
    for (uint32_t k = 0; k < count; k++)
        order[at[load_index(scene, k)]++] = k;
    panel->segment_count = segments;
    panel->segment_first = first;
    *out = order;
    return FAULT_NONE;
}

static const float *permute(struct arena *arena, const float *values, const uint32_t *order, uint32_t count, uint32_t columns)
{
    float *sorted = arena_take(arena, (size_t)count * columns * sizeof *sorted, 64);
    MUST(sorted);
    for (uint32_t k = 0; k < count; k++)
        memcpy(sorted + (size_t)k * columns, values + (size_t)order[k] * columns, columns * sizeof *sorted);
    return sorted;
}

void scene_panel_pack(float *ab, float *start, const float *centres, const float *precisions, const float *offsets, uint32_t count,
                      uint32_t columns)
{
    for (size_t i = 0; i < (size_t)count * columns; i++) {
        ab[2 * i] = sqrtf(0.5f * precisions[i]);
        ab[2 * i + 1] = -centres[i] * ab[2 * i];
    }
    for (uint32_t k = 0; k < count; k++)
        start[k] = -offsets[k];
}

void scene_points_pack(float *weight, float *start, const float *points, uint32_t count, uint32_t columns)
{
    for (uint32_t k = 0; k < count; k++) {
        double norm = 0.0;
        for (size_t i = (size_t)k * columns; i < (size_t)(k + 1) * columns; i++) {
            weight[i] = -2.0f * points[i];
            norm += (double)points[i] * (double)points[i];
        }
        start[k] = (float)norm;
    }
}

static void pack_dimension(struct scene_dimension *dimension, struct arena *arena)
{
    uint32_t count = dimension->panel.cluster_count, columns = dimension->column_count;
    float *ab = arena_take(arena, 2 * (size_t)count * columns * sizeof *ab, 64), *start = arena_take(arena, count * sizeof *start, 64);
    MUST(ab && start);
    scene_panel_pack(ab, start, dimension->centres, dimension->precisions, dimension->offsets, count, columns);
    dimension->panel.column_count = columns;
    dimension->panel.ab = ab;
    dimension->panel.start = start;
}

static enum fault cluster_count(uint32_t *out, struct packing *packing, const char *group, const char *part)
{
    const struct tensor *tensor;
    enum fault fault = find_tensor(&tensor, packing, group, part);
    if (fault == FAULT_NONE && (tensor->rank != 2 || tensor->shape[0] < 1 || tensor->shape[0] > CLUSTERS_MAX))
        fault = refuse_tensor(packing, tensor->name, "not [1 to 4096 clusters, columns]");
    if (fault == FAULT_NONE)
        *out = (uint32_t)tensor->shape[0];
    return fault;
}

static enum fault take_dimension(struct packing *packing, int g)
{
    struct scene_dimension *dimension = &packing->base->dimensions[g];
    const char *group = dimension_names[g];
    struct panel *panel = &dimension->panel;
    uint32_t columns = dimension->column_count, *order = NULL;
    if (columns == 0)
        return FAULT_NONE;
    enum fault fault = cluster_count(&panel->cluster_count, packing, group, "centres");
    uint32_t count = panel->cluster_count;
    if (fault == FAULT_NONE)
        fault = take_standards(packing, group, dimension->columns, columns);
    if (fault == FAULT_NONE)
        fault = sort_clusters(&order, packing, group, panel);
    if (fault == FAULT_NONE)
        fault = take_floats(&dimension->centres, packing, group, "centres", count, columns, -SCENE_CENTRE_MAX, SCENE_CENTRE_MAX);
    if (fault == FAULT_NONE)
        fault = take_floats(&dimension->precisions, packing, group, "precisions", count, columns, 0.0, SCENE_PRECISION_MAX);
    if (fault == FAULT_NONE)
        fault = take_floats(&dimension->offsets, packing, group, "offsets", count, 0, -SCENE_WEIGHT_MAX, SCENE_WEIGHT_MAX);
    if (fault != FAULT_NONE)
        return fault;
    struct arena *arena = packing->base->arena;
    dimension->centres = permute(arena, dimension->centres, order, count, columns);
    dimension->precisions = permute(arena, dimension->precisions, order, count, columns);
    dimension->offsets = permute(arena, dimension->offsets, order, count, 1);
    pack_dimension(dimension, arena);
    return FAULT_NONE;
}

/* Segment t holds points [t·ψ, (t + 1)·ψ). */
static void pack_points(struct anomaly_set *set, const float *points, struct arena *arena)
{
    uint32_t count = set->ensemble.point_count, columns = set->column_count;
    uint32_t stride = (columns + POINT_ALIGN_COLUMNS - 1) / POINT_ALIGN_COLUMNS * POINT_ALIGN_COLUMNS;
    float *padded = arena_take_zeroed(arena, (size_t)count * stride * sizeof *padded, 64);
    float *weight = arena_take(arena, (size_t)count * columns * sizeof *weight, 64);
    float *start = arena_take(arena, count * sizeof *start, 64);
    uint32_t *first = arena_take(arena, (ANOMALY_SEGMENTS + 1) * sizeof *first, 64);
    MUST(padded && weight && start && first);
    for (uint32_t k = 0; k < count; k++)
        memcpy(padded + (size_t)k * stride, points + (size_t)k * columns, columns * sizeof *padded);
    scene_points_pack(weight, start, points, count, columns);
    for (uint32_t t = 0; t <= ANOMALY_SEGMENTS; t++)
        first[t] = t * (count / ANOMALY_SEGMENTS);
    set->point_stride = stride;
    set->points = padded;
    set->ensemble.column_count = columns;
    set->ensemble.segment_count = ANOMALY_SEGMENTS;
    set->ensemble.segment_first = first;
    set->ensemble.weight = weight;
    set->ensemble.start = start;
}

static enum fault take_table(struct packing *packing, struct anomaly_set *set, const char *group)
{
    const struct tensor *table;
    enum fault fault = find_tensor(&table, packing, group, "table");
    if (fault != FAULT_NONE)
        return fault;
    if (table->rank != 1 || table->shape[0] < 1 || table->shape[0] > ANOMALY_TABLE_MAX)
        return refuse_tensor(packing, table->name, "not 1 to 4096 scores");
    set->table_count = (uint32_t)table->shape[0];
    fault = take_floats(&set->table, packing, group, "table", set->table_count, 0, 0.0, SCENE_INPUT_MAX);
    for (uint32_t i = 1; fault == FAULT_NONE && i < set->table_count; i++)
        if (set->table[i] < set->table[i - 1])
            fault = refuse_tensor(packing, table->name, "scores do not ascend");
    return fault;
}

static enum fault take_anomaly(struct packing *packing, int which)
{
    struct anomaly_set *set = &packing->base->anomaly[which];
    char group[32];
    const float *points;
    if (set->column_count == 0)
        return FAULT_NONE;
    snprintf(group, sizeof group, "anomaly_%s", anomaly_names[which]);
    enum fault fault = cluster_count(&set->ensemble.point_count, packing, group, "points");
    uint32_t count = set->ensemble.point_count;
    if (fault == FAULT_NONE && count % ANOMALY_SEGMENTS != 0)
        fault = refuse_tensor(packing, group, "points are not 64 subsamples of equal size");
    if (fault == FAULT_NONE)
        fault = take_standards(packing, group, set->columns, set->column_count);
    if (fault == FAULT_NONE)
        fault = take_floats(&points, packing, group, "points", count, set->column_count, -SCENE_CENTRE_MAX, SCENE_CENTRE_MAX);
    if (fault == FAULT_NONE)
        fault = take_table(packing, set, group);
    if (fault == FAULT_NONE)
        pack_points(set, points, packing->base->arena);
    return fault;
}

/* U32 of shape [rows] (columns 0) or [rows, columns]. */
static enum fault take_counts(const uint32_t **out, struct packing *packing, const char *part, uint64_t rows, uint64_t columns)
{
    const struct tensor *tensor;
    enum fault fault = find_tensor(&tensor, packing, "reference", part);
    if (fault != FAULT_NONE)
        return fault;
    if (tensor->type != TENSOR_U32 || tensor->rank != (columns ? 2u : 1u) || tensor->shape[0] != rows ||
        (columns && tensor->shape[1] != columns))
        return refuse_tensor(packing, tensor->name, "type or shape does not fit the reference");
    uint32_t *counts = arena_take(packing->base->arena, tensor->bytes, 64);
    MUST(counts);
    memcpy(counts, tensor->data, tensor->bytes);
    *out = counts;
    return FAULT_NONE;
}

static enum fault check_reference(struct packing *packing, const struct scene_reference *reference)
{
    for (uint32_t i = 0; i < reference->feature_count; i++) {
        const float *edges = reference->edges + (size_t)i * REFERENCE_EDGES;
        uint16_t feature = reference->feature[i];
        for (uint32_t j = 1; j < REFERENCE_EDGES; j++)
            if (edges[j] < edges[j - 1])
                return refuse_tensor(packing, "reference.edges", "edges fall");
        if (!(packing->base->features.bits[feature / 64] >> feature % 64 & 1))
            return refuse_tensor(packing, "reference.edges", "of a feature that no column has");
        for (uint32_t j = 0; j < i; j++)
            if (reference->feature[j] == feature)
                return refuse_tensor(packing, "reference.edges", "of a feature that is named twice");
    }
    return FAULT_NONE;
}

static enum fault take_reference(struct packing *packing)
{
    struct scene_reference *reference = &packing->base->reference;
    uint32_t count = reference->feature_count;
    if (count == 0)
        return FAULT_NONE;
    enum fault fault =
        take_floats(&reference->edges, packing, "reference", "edges", count, REFERENCE_EDGES, -SCENE_INPUT_MAX, SCENE_INPUT_MAX);
    if (fault == FAULT_NONE)
        fault = take_counts(&reference->counts, packing, "counts", count, REFERENCE_BINS);
    if (fault == FAULT_NONE)
        fault = take_counts(&reference->known, packing, "known", count, REFERENCE_SIDES);
    if (fault == FAULT_NONE)
        fault = take_counts(&reference->scenes, packing, "scenes", packing->base->scene_count, 0);
    if (fault == FAULT_NONE)
        fault = take_floats(&reference->far, packing, "reference", "far", DIMENSION_COUNT, 0, -SCENE_WEIGHT_MAX, SCENE_FAR_MAX);
    if (fault == FAULT_NONE)
        fault = take_counts(&reference->distances, packing, "distances", DIMENSION_COUNT, REFERENCE_SIDES);
    return fault == FAULT_NONE ? check_reference(packing, reference) : fault;
}

static void note_feature(struct scene_base *base, uint16_t feature)
{
    base->features.bits[feature / 64] |= 1ull << feature % 64;
    base->needs_batch_scope |= feature_infos[feature].batch_scope;
}

static void note_features(struct scene_base *base)
{
    for (int g = 0; g < DIMENSION_COUNT; g++)
        for (uint32_t j = 0; j < base->dimensions[g].column_count; j++)
            note_feature(base, base->dimensions[g].columns[j].feature);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        for (uint32_t j = 0; j < base->anomaly[i].column_count; j++)
            note_feature(base, base->anomaly[i].columns[j].feature);
}

static enum fault take_all(struct packing *packing)
{
    enum fault fault = FAULT_NONE;
    for (int g = 0; fault == FAULT_NONE && g < DIMENSION_COUNT; g++)
        fault = take_dimension(packing, g);
    for (int i = 0; fault == FAULT_NONE && i < ANOMALY_COUNT; i++)
        fault = take_anomaly(packing, i);
    if (fault == FAULT_NONE)
        fault = take_reference(packing);
    for (uint32_t i = 0; fault == FAULT_NONE && i < packing->file->tensor_count; i++)
        if (!(packing->used >> i & 1))
            fault =
                refuse_tensor(packing, packing->file->tensors[i].name, "belongs to no dimension, anomaly set or reference of the metadata");
    return fault;
}

/* Copies, sorted copies, panels: four times the file covers them; the rest is columns, padding and alignment. */
static size_t arena_bytes(size_t byte_count, size_t text_bytes)
{
    size_t columns = (DIMENSION_COUNT + ANOMALY_COUNT) * DIMENSION_COLUMNS_MAX * sizeof(struct scene_column);
    size_t padding = ANOMALY_COUNT * CLUSTERS_MAX * (POINT_ALIGN_COLUMNS + 1) * sizeof(float);
    size_t orders = DIMENSION_COUNT * (CLUSTERS_MAX * 2 + SCENES_MAX) * sizeof(uint32_t);
    return 4 * byte_count + text_bytes + columns + padding + orders + FEATURE_COUNT * sizeof(uint16_t) + (64 << 8);
}

size_t scene_base_memory(size_t byte_count)
{
    size_t text_bytes = byte_count < SAFETENSORS_HEADER_BYTES_MAX ? byte_count : SAFETENSORS_HEADER_BYTES_MAX;
    return sizeof(struct scene_base_block) + arena_bytes(byte_count, text_bytes);
}

static enum fault block_take(struct scene_base **out, size_t bytes, struct fault_note *note)
{
    struct scene_base_block *block = memory_take_zeroed(1, sizeof *block);
    if (!block || !arena_init(&block->arena, bytes)) {
        memory_give(block);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the scene base");
    }
    block->base.magic = (unsigned)SCENE_BASE_MAGIC;
    block->base.arena = &block->arena;
    *out = &block->base;
    return FAULT_NONE;
}

static enum fault read_file(struct scene_base **out, const struct safetensors *file, size_t byte_count, struct fault_note *note)
{
    size_t text_bytes = strlen(file->metadata) + 1;
    struct scene_base *base = NULL;
    enum fault fault = block_take(&base, arena_bytes(byte_count, text_bytes), note);
    if (fault != FAULT_NONE)
        return fault;
    struct packing packing = {.base = base, .file = file, .note = note};
    base->metadata = memcpy(arena_take(base->arena, text_bytes, 1), file->metadata, text_bytes);
    fault = metadata_read(base, file->metadata, note);
    if (fault == FAULT_NONE)
        note_features(base);
    if (fault == FAULT_NONE)
        fault = take_all(&packing);
    if (fault == FAULT_NONE)
        *out = base;
    else
        scene_base_close(&base);
    return fault;
}

enum fault scene_base_read(struct scene_base **out, const unsigned char *bytes, size_t byte_count, struct fault_note *note)
{
    struct safetensors file;
    *out = NULL;
    if (byte_count > SCENE_BASE_BYTES_MAX)
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "scene base larger than %d bytes", SCENE_BASE_BYTES_MAX);
    enum fault fault = safetensors_read(&file, bytes, byte_count, note);
    if (fault != FAULT_NONE)
        return fault;
    if (!file.metadata)
        fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "no metadata under the key sluice: not a scene base");
    else
        fault = seal_check(bytes, byte_count, file.metadata, note);
    if (fault == FAULT_NONE)
        fault = read_file(out, &file, byte_count, note);
    if (fault == FAULT_NONE)
        (*out)->digest = hash128(0, bytes, byte_count);
    safetensors_fini(&file);
    return fault;
}

/* Faults name the file, as those of opening it do. */
enum fault scene_base_open(struct scene_base **out, const char *path, struct fault_note *note)
{
    struct file_map map;
    struct fault_note why = {0};
    *out = NULL;
    enum fault fault = file_map_open(&map, path, note);
    if (fault != FAULT_NONE)
        return fault;
    fault = scene_base_read(out, map.data, map.bytes, &why);
    file_map_close(&map);
    return fault == FAULT_NONE ? fault : fault_set(note, fault, ROW_NONE, COLUMN_NONE, "%.80s: %s", path, why.text);
}

void scene_base_close(struct scene_base **base_p)
{
    struct scene_base *base = *base_p;
    *base_p = NULL;
    if (!base)
        return;
    MUST(base->magic == (unsigned)SCENE_BASE_MAGIC);
    base->magic = 0;
    arena_fini(base->arena);
    memory_give(base); /* first member of its block */
}

bool scene_has_clusters(const struct scene_base *base, int dimension, uint32_t scene)
{
    const struct panel *panel = &base->dimensions[dimension].panel;
    return panel->cluster_count && panel->segment_first[scene] < panel->segment_first[scene + 1];
}

void scene_evidence(double (*restrict out)[TILE_ROWS], const struct scene_base *base, float *const distance[DIMENSION_COUNT], size_t stride,
                    size_t at)
{
    for (uint32_t s = 0; s < base->scene_count; s++) {
        for (uint32_t lane = 0; lane < TILE_ROWS; lane++)
            out[s][lane] = (double)base->scenes[s].bias;
        for (int g = 0; g < DIMENSION_COUNT; g++) {
            if (!scene_has_clusters(base, g, s))
                continue;
            const float *of_scene = distance[g] + s * stride + at;
            double weight = (double)base->scenes[s].weight[g];
            for (uint32_t lane = 0; lane < TILE_ROWS; lane++)
                out[s][lane] -= weight * (double)of_scene[lane];
        }
    }
}

float scene_anomaly_calibrate(const struct anomaly_set *set, float score)
{
    uint32_t below = 0, length = set->table_count;
    while (length > 0) {
        uint32_t half = length / 2;
        bool right = set->table[below + half] < score;
        below += right ? half + 1 : 0;
        length = right ? length - half - 1 : half;
    }
    return (float)below / (float)set->table_count;
}

/* The lanes' searches go side by side and without branches: no load and no wrong guess of one waits for another's. */
void scene_anomaly_calibrate_tile(float *restrict out, const struct anomaly_set *set, const float *restrict score)
{
    const float *table = set->table;
    uint32_t below[TILE_ROWS] = {0};
    for (uint32_t length = set->table_count, half; length > 1; length -= half) {
        half = length / 2;
        for (int lane = 0; lane < TILE_ROWS; lane++)
            below[lane] += half * (uint32_t)(table[below[lane] + half - 1] < score[lane]);
    }
    for (int lane = 0; lane < TILE_ROWS; lane++)
        out[lane] = (float)(below[lane] + (uint32_t)(table[below[lane]] < score[lane])) / (float)set->table_count;
}

static const float *column_input(const struct scene_column *column, const struct feature_block *features, const struct kernels *kernels,
                                 float *scratch)
{
    const float *x = features->column[column->feature];
    uint32_t count = features->row_count;
    MUST(x);
    if (column->form == FORM_VALUE)
        return x;
    if (column->form == FORM_ABOVE) {
        for (uint32_t i = 0; i < count; i++)
            scratch[i] = x[i] > column->edge ? 1.0f : 0.0f;
        return scratch;
    }
    for (uint32_t i = 0; i < count; i++) {
        float over = (x[i] - column->edge) / column->edge_scale;
        scratch[i] = over > 0.0f ? 8.0f * over : 0.0f;
    }
    kernels->log1p(scratch, scratch, count);
    return scratch;
}

void scene_columns_tile(float *z, const struct scene_column *columns, uint32_t column_count, const struct feature_block *features,
                        const struct kernels *kernels, float *scratch)
{
    size_t tile_stride = (size_t)column_count * TILE_ROWS;
    for (uint32_t j = 0; j < column_count; j++) {
        const float *x = column_input(&columns[j], features, kernels, scratch);
        kernels->standardise(z + (size_t)j * TILE_ROWS, tile_stride, x, features->row_count, columns[j].mean, columns[j].rscale, Z_LOW,
                             Z_HIGH);
    }
}
