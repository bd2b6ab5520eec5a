/* Golden figures are in double from centres and precisions, so they also bound what packing and float cost. */
#include "scene/golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/json.h"
#include "scene/random.h"
#include "scene/safetensors.h"
#include "scene/seal.h"

enum { GOLDEN_ROWS_MAX = 64 };
#define EPSILON 0x1p-24

static double cluster_distance(const float *z, const struct scene_dimension *dimension, uint32_t cluster)
{
    size_t at = (size_t)cluster * dimension->column_count;
    double sum = -(double)dimension->offsets[cluster];
    for (uint32_t j = 0; j < dimension->column_count; j++) {
        double offset = (double)z[j * TILE_ROWS] - (double)dimension->centres[at + j];
        sum += 0.5 * (double)dimension->precisions[at + j] * offset * offset;
    }
    return sum;
}

/* How far the float distance to one cluster may be from it: of u = fma(z, a, b), of its square, of the running sum. */
static double cluster_bound(const float *z, const struct scene_dimension *dimension, uint32_t cluster)
{
    size_t at = (size_t)cluster * dimension->column_count;
    double sum = fabs((double)dimension->offsets[cluster]), bound = 0.0;
    for (uint32_t j = 0; j < dimension->column_count; j++) {
        double a = sqrt(0.5 * (double)dimension->precisions[at + j]), c = (double)dimension->centres[at + j];
        double u = fabs((double)z[j * TILE_ROWS] - c) * a, error = EPSILON * (fabs((double)z[j * TILE_ROWS]) * a + 2.0 * fabs(c) * a + u);
        bound += 2.0 * u * error + error * error;
        sum += u * u;
    }
    return 1.01 * (bound + EPSILON * (double)(dimension->column_count + 1) * sum);
}

double golden_distance(const float *z, const struct scene_dimension *dimension, uint32_t scene)
{
    double least = INFINITY;
    for (uint32_t k = dimension->panel.segment_first[scene]; k < dimension->panel.segment_first[scene + 1]; k++)
        least = fmin(least, cluster_distance(z, dimension, k));
    return least;
}

/* Only clusters that may be the nearest matter: the largest bound among them. */
static double distance_bound(const float *z, const struct scene_dimension *dimension, uint32_t scene)
{
    double nearest = INFINITY, bound = 0.0;
    for (uint32_t k = dimension->panel.segment_first[scene]; k < dimension->panel.segment_first[scene + 1]; k++)
        nearest = fmin(nearest, cluster_distance(z, dimension, k) + cluster_bound(z, dimension, k));
    for (uint32_t k = dimension->panel.segment_first[scene]; k < dimension->panel.segment_first[scene + 1]; k++)
        if (cluster_distance(z, dimension, k) - cluster_bound(z, dimension, k) <= nearest)
            bound = fmax(bound, cluster_bound(z, dimension, k));
    return bound;
}

/* How far a squared distance in float may be from it (kernels.h): γ(D + 3)·Σ (|z| + |c|)², with the farthest point. */
static double square_bound(const float *z, const struct anomaly_set *set)
{
    double most = 0.0;
    for (uint32_t k = 0; k < set->ensemble.point_count; k++) {
        double sum = 0.0;
        for (uint32_t j = 0; j < set->column_count; j++) {
            double reach = fabs((double)z[j * TILE_ROWS]) + fabs((double)set->points[(size_t)k * set->point_stride + j]);
            sum += reach * reach;
        }
        most = fmax(most, sum);
    }
    return 1.01 * EPSILON * (double)(set->column_count + 3) * most;
}

static double least_square(const float *z, const struct anomaly_set *set, uint32_t segment)
{
    double least = INFINITY;
    for (uint32_t k = set->ensemble.segment_first[segment]; k < set->ensemble.segment_first[segment + 1]; k++) {
        double square = 0.0;
        for (uint32_t j = 0; j < set->column_count; j++) {
            double offset = (double)z[j * TILE_ROWS] - (double)set->points[(size_t)k * set->point_stride + j];
            square += offset * offset;
        }
        least = fmin(least, square);
    }
    return least;
}

/* How far the float degree may be from it: of every square, of its root, of the running sum. */
static double anomaly_bound(const float *z, const struct anomaly_set *set)
{
    double bound = 0.0, sum = 0.0, square = square_bound(z, set);
    for (uint32_t t = 0; t < ANOMALY_SEGMENTS; t++) {
        double least = least_square(z, set, t), root = sqrt(least);
        bound += fmax(sqrt(least + square) - root, root - sqrt(fmax(0.0, least - square)));
        sum += sqrt(least + square);
    }
    return 1.01 * (bound + EPSILON * (ANOMALY_SEGMENTS + 2) * sum) / ANOMALY_SEGMENTS;
}

double golden_anomaly(const float *z, const struct anomaly_set *set)
{
    double sum = 0.0;
    for (uint32_t t = 0; t < ANOMALY_SEGMENTS; t++)
        sum += sqrt(least_square(z, set, t));
    return sum / ANOMALY_SEGMENTS;
}

double golden_match(double difference)
{
    return 1.0 / (1.0 + exp(-difference));
}

/* The golden rows as a slice of their own, and room for what is figured of them. */
struct golden {
    uint32_t rows, feature_count;
    uint16_t feature[FEATURE_COUNT];
    struct feature_block block;
    float *values;                                              /* [feature][SLICE_ROWS], what block points into */
    float *z, *scratch, *got;                                   /* got: [scene][SLICE_ROWS] */
    float *packed;                                              /* [row][feature], as in the file */
    double *distance[DIMENSION_COUNT], *anomaly[ANOMALY_COUNT]; /* [row][scene], [row] */
};

static void golden_fini(struct golden *golden)
{
    memory_give(golden->values);
    memory_give(golden->z);
    memory_give(golden->scratch);
    memory_give(golden->got);
    memory_give(golden->packed);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        memory_give(golden->distance[g]);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        memory_give(golden->anomaly[i]);
}

static enum fault golden_init(struct golden *golden, const struct scene_base *base, uint32_t rows, struct fault_note *note)
{
    *golden = (struct golden){.rows = rows, .block = {.row_count = rows}};
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if (base->features.bits[f / 64] >> f % 64 & 1)
            golden->feature[golden->feature_count++] = (uint16_t)f;
    size_t slice = SLICE_ROWS * sizeof(float);
    golden->values = memory_take_aligned(slice * (golden->feature_count + 1), 64);
    golden->z = memory_take_aligned(slice * DIMENSION_COLUMNS_MAX, 64);
    golden->scratch = memory_take_aligned(slice, 64);
    golden->got = memory_take_aligned(slice * SCENES_MAX, 64);
    golden->packed = memory_take_zeroed((size_t)rows * (golden->feature_count + 1), sizeof(float));
    bool failed = !golden->values || !golden->z || !golden->scratch || !golden->got || !golden->packed;
    for (int g = 0; g < DIMENSION_COUNT; g++)
        failed |= !(golden->distance[g] = memory_take_zeroed((size_t)rows * SCENES_MAX, sizeof(double)));
    for (int i = 0; i < ANOMALY_COUNT; i++)
        failed |= !(golden->anomaly[i] = memory_take_zeroed(rows, sizeof(double)));
    if (failed) {
        golden_fini(golden);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for golden distances");
    }
    for (uint32_t f = 0; f < golden->feature_count; f++)
        golden->block.column[golden->feature[f]] = golden->values + (size_t)f * SLICE_ROWS;
    return FAULT_NONE;
}

static void unpack_values(struct golden *golden)
{
    for (uint32_t i = 0; i < golden->rows; i++)
        for (uint32_t f = 0; f < golden->feature_count; f++)
            golden->values[(size_t)f * SLICE_ROWS + i] = golden->packed[(size_t)i * golden->feature_count + f];
}

static const float *row_of(const float *z, uint32_t column_count, uint32_t row)
{
    return z + (size_t)(row / TILE_ROWS) * column_count * TILE_ROWS + row % TILE_ROWS;
}

static void figure(struct golden *golden, const struct scene_base *base)
{
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *d = &base->dimensions[g];
        if (d->panel.cluster_count == 0)
            continue;
        scene_columns_tile(golden->z, d->columns, d->column_count, &golden->block, &kernels_ref, golden->scratch);
        for (uint32_t i = 0; i < golden->rows; i++)
            for (uint32_t s = 0; s < base->scene_count; s++)
                if (scene_has_clusters(base, g, s))
                    golden->distance[g][i * base->scene_count + s] = golden_distance(row_of(golden->z, d->column_count, i), d, s);
    }
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        const struct anomaly_set *set = &base->anomaly[i];
        if (set->ensemble.point_count == 0)
            continue;
        scene_columns_tile(golden->z, set->columns, set->column_count, &golden->block, &kernels_ref, golden->scratch);
        for (uint32_t row = 0; row < golden->rows; row++)
            golden->anomaly[i][row] = golden_anomaly(row_of(golden->z, set->column_count, row), set);
    }
}

/* A few rows of every scene, drawn: places[i] = chunk · SLICE_ROWS + lane. */
static uint32_t draw_rows(uint32_t *places, const struct build_sample *sample, uint32_t scene_count, uint64_t seed)
{
    uint32_t seen[SCENES_MAX] = {0}, each = GOLDEN_ROWS_MAX / scene_count, filled = 0;
    struct random random = {.state = seed};
    for (uint32_t c = 0; c < sample->chunk_count; c++)
        for (uint32_t i = 0; i < sample->chunks[c].features.row_count; i++) {
            uint8_t s = sample->chunks[c].scene[i];
            if (s >= scene_count)
                continue;
            uint32_t at = seen[s] < each ? seen[s] : random_below(&random, seen[s] + 1);
            seen[s]++;
            if (at < each)
                places[s * each + at] = c * SLICE_ROWS + i;
        }
    for (uint32_t s = 0; s < scene_count; s++)
        for (uint32_t at = 0; at < each && at < seen[s]; at++)
            places[filled++] = places[s * each + at];
    return filled;
}

static char *golden_text(const struct golden *golden, const struct scene_base *base)
{
    char hex[33];
    digest_to_hex(hex, base->digest);
    json_t *features = json_array();
    for (uint32_t f = 0; f < golden->feature_count; f++)
        json_array_append_new(features, json_string(feature_infos[golden->feature[f]].name));
    json_t *root = json_pack("{s:i, s:s, s:s, s:o}", "format", SCENE_BASE_FORMAT, "seal", seal_blank, "base", hex, "features", features);
    return json_text(root, JSON_COMPACT);
}

static void golden_tensor(struct tensor *out, const char *group, const char *part, enum tensor_type type, uint64_t rows, uint64_t columns,
                          const void *data)
{
    *out = (struct tensor){.type = type, .rank = columns ? 2 : 1, .shape = {rows, columns ? columns : 1}, .data = data};
    out->bytes = (size_t)(out->shape[0] * out->shape[1]) * tensor_type_bytes(type);
    snprintf(out->name, sizeof out->name, "%s.%s", group, part);
}

static uint32_t golden_tensors(struct tensor *out, const struct golden *golden, const struct scene_base *base)
{
    uint32_t count = 0;
    char group[32];
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (base->dimensions[g].panel.cluster_count)
            golden_tensor(&out[count++], dimension_names[g], "distances", TENSOR_F64, golden->rows, base->scene_count, golden->distance[g]);
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        snprintf(group, sizeof group, "anomaly_%s", anomaly_names[i]);
        if (base->anomaly[i].ensemble.point_count)
            golden_tensor(&out[count++], group, "scores", TENSOR_F64, golden->rows, 0, golden->anomaly[i]);
    }
    golden_tensor(&out[count++], "golden", "features", TENSOR_F32, golden->rows, golden->feature_count, golden->packed);
    return count;
}

enum fault golden_write(char **out, size_t *out_bytes, const struct scene_base *base, const struct build_sample *sample, uint64_t seed,
                        struct fault_note *note)
{
    struct golden golden;
    uint32_t places[GOLDEN_ROWS_MAX + SCENES_MAX], rows = draw_rows(places, sample, base->scene_count, seed);
    struct tensor tensors[DIMENSION_COUNT + ANOMALY_COUNT + 1];
    enum fault fault = golden_init(&golden, base, rows, note);
    if (fault != FAULT_NONE)
        return fault;
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t f = 0; f < golden.feature_count; f++)
            golden.packed[(size_t)i * golden.feature_count + f] =
                sample->chunks[places[i] / SLICE_ROWS].features.column[golden.feature[f]][places[i] % SLICE_ROWS];
    unpack_values(&golden);
    figure(&golden, base);
    char *text = golden_text(&golden, base);
    if (!text)
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for golden distances");
    else
        fault = safetensors_write(out, out_bytes, text, tensors, golden_tensors(tensors, &golden, base), note);
    if (fault == FAULT_NONE)
        fault = seal_put(*out, *out_bytes, text, note);
    json_text_give(text);
    golden_fini(&golden);
    return fault;
}

/* Metadata: made for this base, and its features in the base's order. */
static enum fault check_text(const struct golden *golden, const struct scene_base *base, const char *text, struct fault_note *note)
{
    char hex[33];
    digest_to_hex(hex, base->digest);
    json_t *root = NULL;
    enum fault fault = text ? json_read(&root, text, strlen(text), FAULT_model, "golden metadata", note) : FAULT_NONE;
    if (fault != FAULT_NONE)
        return fault;
    const char *digest = json_string_value(json_object_get(root, "base"));
    const json_t *features = json_object_get(root, "features");
    if (!digest || strcmp(digest, hex) != 0)
        fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "golden distances are of another base (%.32s), not %s",
                          digest ? digest : "none named", hex);
    else if (json_array_size(features) != golden->feature_count)
        fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "golden features are not the base's");
    for (uint32_t f = 0; fault == FAULT_NONE && f < golden->feature_count; f++) {
        const char *name = json_string_value(json_array_get(features, f));
        if (!name || strcmp(name, feature_infos[golden->feature[f]].name) != 0)
            fault = fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "golden feature %u is not the base's", f);
    }
    json_decref(root);
    return fault;
}

/* Copies what the file holds over the golden's own arrays. */
static enum fault take_tensors(struct golden *golden, const struct scene_base *base, const struct safetensors *file,
                               struct fault_note *note)
{
    struct tensor wanted[DIMENSION_COUNT + ANOMALY_COUNT + 1];
    uint32_t count = golden_tensors(wanted, golden, base);
    for (uint32_t i = 0; i < count; i++) {
        const struct tensor *got = safetensors_find(file, wanted[i].name);
        if (!got || got->type != wanted[i].type || got->rank != wanted[i].rank || got->bytes != wanted[i].bytes)
            return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "golden tensor %s is missing or of another shape", wanted[i].name);
        memcpy((void *)(uintptr_t)wanted[i].data, got->data, got->bytes);
    }
    for (size_t i = 0; i < (size_t)golden->rows * golden->feature_count; i++)
        if (!(fabsf(golden->packed[i]) <= (float)SCENE_INPUT_MAX))
            return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "a golden feature is not finite");
    return FAULT_NONE;
}

static enum fault differs(struct fault_note *note, const char *what, uint32_t row, double got, double want)
{
    return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "%s of golden row %u is %.9g, golden %.9g", what, row, got, want);
}

static enum fault verify_dimension(struct golden_errors *out, struct golden *golden, const struct scene_base *base, int g, double *evidence,
                                   const struct kernels *kernels, struct fault_note *note)
{
    const struct scene_dimension *d = &base->dimensions[g];
    uint32_t scenes = base->scene_count;
    scene_columns_tile(golden->z, d->columns, d->column_count, &golden->block, kernels, golden->scratch);
    kernels->panel_min(golden->got, SLICE_ROWS, golden->z, tile_count(golden->rows), &d->panel);
    for (uint32_t i = 0; i < golden->rows; i++)
        for (uint32_t s = 0; s < scenes; s++) {
            if (!scene_has_clusters(base, g, s))
                continue;
            double got = (double)golden->got[s * SLICE_ROWS + i], want = golden->distance[g][i * scenes + s];
            if (!(fabs(got - want) <= distance_bound(row_of(golden->z, d->column_count, i), d, s)))
                return differs(note, dimension_names[g], i, got, want);
            out->distance = fmax(out->distance, fabs(got - want));
            evidence[2 * (i * scenes + s)] -= (double)base->scenes[s].weight[g] * got;
            evidence[2 * (i * scenes + s) + 1] -= (double)base->scenes[s].weight[g] * want;
        }
    return FAULT_NONE;
}

static enum fault verify_anomaly(struct golden_errors *out, struct golden *golden, const struct scene_base *base, int which,
                                 const struct kernels *kernels, struct fault_note *note)
{
    const struct anomaly_set *set = &base->anomaly[which];
    scene_columns_tile(golden->z, set->columns, set->column_count, &golden->block, kernels, golden->scratch);
    kernels->points_mean(golden->scratch, golden->z, tile_count(golden->rows), &set->ensemble);
    for (uint32_t i = 0; i < golden->rows; i++) {
        double got = (double)golden->scratch[i], want = golden->anomaly[which][i];
        if (!(fabs(got - want) <= anomaly_bound(row_of(golden->z, set->column_count, i), set)))
            return differs(note, anomaly_names[which], i, got, want);
        out->anomaly = fmax(out->anomaly, fabs(got - want));
    }
    return FAULT_NONE;
}

static double clamped_match(double difference)
{
    float ratio = kernel_exp((float)(difference > 80.0 ? 80.0 : difference < -80.0 ? -80.0 : difference));
    return (double)(ratio / (1.0f + ratio));
}

static void measure_match(struct golden_errors *out, const struct golden *golden, const struct scene_base *base, const double *evidence)
{
    for (uint32_t i = 0; i < golden->rows; i++)
        for (uint32_t s = 1; s < base->scene_count; s++) {
            const double *background = evidence + 2 * i * base->scene_count, *scene = background + 2 * s;
            double bias = (double)base->scenes[s].bias - (double)base->scenes[0].bias;
            double got = clamped_match(bias + scene[0] - background[0]), want = golden_match(bias + scene[1] - background[1]);
            out->match = fmax(out->match, fabs(got - want));
        }
}

static enum fault verify(struct golden_errors *out, struct golden *golden, const struct scene_base *base, const struct kernels *kernels,
                         struct fault_note *note)
{
    double *evidence = memory_take_zeroed((size_t)golden->rows * SCENES_MAX, 2 * sizeof *evidence); /* float's and double's */
    if (!evidence)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for golden distances");
    enum fault fault = FAULT_NONE;
    unpack_values(golden);
    for (int g = 0; fault == FAULT_NONE && g < DIMENSION_COUNT; g++)
        if (base->dimensions[g].panel.cluster_count)
            fault = verify_dimension(out, golden, base, g, evidence, kernels, note);
    for (int i = 0; fault == FAULT_NONE && i < ANOMALY_COUNT; i++)
        if (base->anomaly[i].ensemble.point_count)
            fault = verify_anomaly(out, golden, base, i, kernels, note);
    if (fault == FAULT_NONE)
        measure_match(out, golden, base, evidence);
    memory_give(evidence);
    return fault;
}

enum fault golden_verify(struct golden_errors *out, const struct scene_base *base, const void *bytes, size_t byte_count,
                         const struct kernels *kernels, struct fault_note *note)
{
    struct safetensors file;
    struct golden golden;
    *out = (struct golden_errors){0};
    enum fault fault = safetensors_read(&file, bytes, byte_count, note);
    if (fault == FAULT_NONE && file.metadata)
        fault = seal_check(bytes, byte_count, file.metadata, note);
    if (fault != FAULT_NONE) {
        safetensors_fini(&file);
        return fault;
    }
    const struct tensor *features = safetensors_find(&file, "golden.features");
    if (!features || features->shape[0] < 1 || features->shape[0] > GOLDEN_ROWS_MAX) {
        safetensors_fini(&file);
        return fault_set(note, FAULT_model, ROW_NONE, COLUMN_NONE, "no tensor golden.features of 1 to %d rows", GOLDEN_ROWS_MAX);
    }
    out->rows = (uint32_t)features->shape[0];
    fault = golden_init(&golden, base, out->rows, note);
    if (fault == FAULT_NONE) {
        fault = check_text(&golden, base, file.metadata, note);
        if (fault == FAULT_NONE)
            fault = take_tensors(&golden, base, &file, note);
        if (fault == FAULT_NONE)
            fault = verify(out, &golden, base, kernels, note);
        golden_fini(&golden);
    }
    safetensors_fini(&file);
    return fault;
}
