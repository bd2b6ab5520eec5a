/* Tensors in a fixed order, numbers as they are: the same base gives the same bytes. */
#include "scene/scene_base.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/json.h"
#include "scene/metadata.h"
#include "scene/safetensors.h"
#include "scene/seal.h"

struct writing {
    uint32_t count;
    struct tensor tensors[TENSORS_MAX];
    float *own[TENSORS_MAX]; /* made here, given back behind the file */
    uint8_t *scenes[DIMENSION_COUNT];
    bool failed;
};

static void put(struct writing *writing, const char *group, const char *part, enum tensor_type type, uint32_t rank, uint64_t rows,
                uint64_t columns, const void *data)
{
    struct tensor *tensor = &writing->tensors[writing->count++];
    *tensor = (struct tensor){.type = type, .rank = rank, .shape = {rows, columns}, .data = data};
    tensor->bytes = (size_t)(rows * columns) * tensor_type_bytes(type);
    snprintf(tensor->name, sizeof tensor->name, "%s.%s", group, part);
}

static float *own_floats(struct writing *writing, size_t count)
{
    float *values = memory_take_zeroed(count, sizeof *values);
    writing->failed |= !values;
    writing->own[writing->count] = values;
    return values;
}

static void put_standards(struct writing *writing, const char *group, const struct scene_column *columns, uint32_t count)
{
    float *mean = own_floats(writing, count);
    put(writing, group, "mean", TENSOR_F32, 1, count, 1, mean);
    float *rscale = own_floats(writing, count);
    put(writing, group, "rscale", TENSOR_F32, 1, count, 1, rscale);
    for (uint32_t i = 0; !writing->failed && i < count; i++) {
        mean[i] = columns[i].mean;
        rscale[i] = columns[i].rscale;
    }
}

static void put_points(struct writing *writing, const char *group, const struct anomaly_set *set)
{
    uint32_t count = set->ensemble.point_count, columns = set->column_count;
    float *points = own_floats(writing, (size_t)count * columns);
    put(writing, group, "points", TENSOR_F32, 2, count, columns, points);
    for (uint32_t k = 0; !writing->failed && k < count; k++)
        memcpy(points + (size_t)k * columns, set->points + (size_t)k * set->point_stride, columns * sizeof *points);
}

static void put_dimension(struct writing *writing, const char *group, const struct scene_dimension *dimension)
{
    uint32_t count = dimension->panel.cluster_count, columns = dimension->column_count;
    put(writing, group, "centres", TENSOR_F32, 2, count, columns, dimension->centres);
    put(writing, group, "precisions", TENSOR_F32, 2, count, columns, dimension->precisions);
    put(writing, group, "offsets", TENSOR_F32, 1, count, 1, dimension->offsets);
    put_standards(writing, group, dimension->columns, columns);
}

static void put_scenes(struct writing *writing, int g, const struct panel *panel)
{
    uint8_t *scenes = writing->scenes[g] = memory_take_zeroed(panel->cluster_count, 1);
    writing->failed |= !scenes;
    for (uint32_t s = 0; scenes && s < panel->segment_count; s++)
        for (uint32_t k = panel->segment_first[s]; k < panel->segment_first[s + 1]; k++)
            scenes[k] = (uint8_t)s;
    put(writing, dimension_names[g], "scene", TENSOR_U8, 1, panel->cluster_count, 1, scenes);
}

static void put_reference(struct writing *writing, const struct scene_reference *reference, uint32_t scene_count)
{
    uint32_t count = reference->feature_count;
    if (count == 0)
        return;
    put(writing, "reference", "edges", TENSOR_F32, 2, count, REFERENCE_EDGES, reference->edges);
    put(writing, "reference", "counts", TENSOR_U32, 2, count, REFERENCE_BINS, reference->counts);
    put(writing, "reference", "known", TENSOR_U32, 2, count, REFERENCE_SIDES, reference->known);
    put(writing, "reference", "scenes", TENSOR_U32, 1, scene_count, 1, reference->scenes);
    put(writing, "reference", "far", TENSOR_F32, 1, DIMENSION_COUNT, 1, reference->far);
    put(writing, "reference", "distances", TENSOR_U32, 2, DIMENSION_COUNT, REFERENCE_SIDES, reference->distances);
}

/* The four-byte tensors first: all of them stay aligned. */
static void put_all(struct writing *writing, const struct scene_base *base)
{
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (base->dimensions[g].column_count)
            put_dimension(writing, dimension_names[g], &base->dimensions[g]);
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        const struct anomaly_set *set = &base->anomaly[i];
        char group[32];
        snprintf(group, sizeof group, "anomaly_%s", anomaly_names[i]);
        if (!set->column_count)
            continue;
        put_points(writing, group, set);
        put_standards(writing, group, set->columns, set->column_count);
        put(writing, group, "table", TENSOR_F32, 1, set->table_count, 1, set->table);
    }
    put_reference(writing, &base->reference, base->scene_count);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (base->dimensions[g].column_count)
            put_scenes(writing, g, &base->dimensions[g].panel);
}

enum fault scene_base_write(char **out, size_t *out_bytes, const struct scene_base *base, const char *provenance, const char *metrics,
                            struct fault_note *note)
{
    struct writing writing = {0};
    put_all(&writing, base);
    char *metadata = metadata_write(base, provenance, metrics);
    enum fault fault = FAULT_NONE;
    *out = NULL;
    if (writing.failed || !metadata)
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to write the scene base");
    else
        fault = safetensors_write(out, out_bytes, metadata, writing.tensors, writing.count, note);
    if (fault == FAULT_NONE)
        fault = seal_put(*out, *out_bytes, metadata, note);
    if (fault != FAULT_NONE) {
        memory_give(*out);
        *out = NULL;
    }
    json_text_give(metadata);
    for (uint32_t i = 0; i < TENSORS_MAX; i++)
        memory_give(writing.own[i]);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        memory_give(writing.scenes[g]);
    return fault;
}
