/* Rows and columns that a base is learned from. */
#include "scene/builder.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

struct counts {
    uint64_t of_scene[256];
};

static void count_rows(struct counts *out, const struct build_sample *sample)
{
    memset(out, 0, sizeof *out);
    for (uint32_t c = 0; c < sample->chunk_count; c++)
        for (uint32_t i = 0; i < sample->chunks[c].features.row_count; i++)
            out->of_scene[sample->chunks[c].scene[i]]++;
}

static enum fault check_counts(const struct builder *builder, const struct counts *counts)
{
    enum { SCENE_ROWS_LEAST = 5, BACKGROUND_ROWS_LEAST = 1000 };
    if (counts->of_scene[0] < BACKGROUND_ROWS_LEAST)
        return fault_set(builder->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%llu rows labelled good in the training window, need %d",
                         (unsigned long long)counts->of_scene[0], BACKGROUND_ROWS_LEAST);
    for (uint32_t s = 1; s < builder->options->scene_count; s++)
        if (counts->of_scene[s] < SCENE_ROWS_LEAST)
            return fault_set(builder->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%llu rows of scene %s in the training window, need %d",
                             (unsigned long long)counts->of_scene[s], builder->options->scene_names[s], SCENE_ROWS_LEAST);
    return FAULT_NONE;
}

/* Every risk row; of the background exactly as many as wanted, by selection sampling (Knuth, 3.4.2, algorithm S). */
enum fault build_pick(struct builder *builder)
{
    struct counts counts;
    struct picked *picked = &builder->picked;
    count_rows(&counts, builder->train);
    enum fault fault = check_counts(builder, &counts);
    if (fault != FAULT_NONE)
        return fault;
    uint64_t left = counts.of_scene[0], risky = 0;
    for (uint32_t s = 1; s < builder->options->scene_count; s++)
        risky += counts.of_scene[s];
    uint64_t wanted = left < builder->options->background_rows_max ? left : builder->options->background_rows_max;
    picked->background_weight = builder->train->background_weight * (double)left / (double)wanted;
    picked->row = memory_take_zeroed(wanted + risky, sizeof *picked->row);
    picked->scene = memory_take_zeroed(wanted + risky, 1);
    if (!picked->row || !picked->scene)
        return build_no_memory(builder);
    for (uint32_t c = 0; c < builder->train->chunk_count; c++)
        for (uint32_t i = 0; i < builder->train->chunks[c].features.row_count; i++) {
            uint8_t scene = builder->train->chunks[c].scene[i];
            bool take = scene != SCENE_UNKNOWN;
            if (scene == 0) {
                take = random_unit(&builder->random) * (double)left < (double)wanted;
                left--;
                wanted -= take;
            }
            if (!take)
                continue;
            picked->row[picked->count] = c * SLICE_ROWS + i;
            picked->scene[picked->count++] = scene;
        }
    build_say(builder, "%u rows to learn from, %llu of them risky", picked->count, (unsigned long long)risky);
    return FAULT_NONE;
}

static float feature_at(const struct builder *builder, uint32_t feature, uint32_t row)
{
    return builder->train->chunks[row / SLICE_ROWS].features.column[feature][row % SLICE_ROWS];
}

struct spread { /* of a feature over picked background rows */
    double mean, deviation;
    float largest;
    bool varies; /* among all picked rows */
};

static struct spread measure(const struct builder *builder, uint32_t feature)
{
    const struct picked *picked = &builder->picked;
    double sum = 0.0, square = 0.0, rows = 0.0;
    float first = feature_at(builder, feature, picked->row[0]);
    struct spread spread = {.largest = -INFINITY};
    for (uint32_t i = 0; i < picked->count; i++) {
        float x = feature_at(builder, feature, picked->row[i]);
        spread.varies |= x != first;
        if (picked->scene[i])
            continue;
        spread.largest = x > spread.largest ? x : spread.largest;
        sum += (double)x;
        rows += 1.0;
    }
    spread.mean = sum / rows;
    for (uint32_t i = 0; i < picked->count; i++) {
        double offset = (double)feature_at(builder, feature, picked->row[i]) - spread.mean;
        square += picked->scene[i] ? 0.0 : offset * offset;
    }
    spread.deviation = sqrt(square / rows);
    return spread;
}

/* Whether a scene has enough rows above all background for columns of its own. */
static bool reached_by_a_scene(const struct builder *builder, uint32_t feature, float edge)
{
    uint32_t above[SCENES_MAX] = {0}, of_scene[SCENES_MAX] = {0};
    for (uint32_t i = 0; i < builder->picked.count; i++) {
        uint8_t scene = builder->picked.scene[i];
        of_scene[scene]++;
        above[scene] += feature_at(builder, feature, builder->picked.row[i]) > edge;
    }
    for (uint32_t s = 1; s < builder->options->scene_count; s++)
        if (above[s] >= 3 && above[s] * 50 >= of_scene[s])
            return true;
    return false;
}

static enum fault add_column(struct builder *builder, struct scene_column *columns, uint32_t *count, struct scene_column column)
{
    if (*count == BUILD_COLUMNS_MAX)
        return fault_set(builder->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "more than %d columns", BUILD_COLUMNS_MAX);
    columns[(*count)++] = column;
    return FAULT_NONE;
}

static struct scene_column value_column(uint32_t feature, const struct spread *spread)
{
    double deviation = spread->deviation > 1e-6 ? spread->deviation : 1.0;
    return (struct scene_column){.feature = (uint16_t)feature,
                                 .form = FORM_VALUE,
                                 .edge_scale = 1.0f,
                                 .mean = (float)spread->mean,
                                 .rscale = (float)(1.0 / deviation)};
}

/* The feature in its dimension: its value, and where a scene goes beyond all background its overshoot and an indicator. */
static enum fault add_to_dimension(struct builder *builder, uint32_t feature, const struct spread *spread)
{
    int g = (int)feature_infos[feature].dimension;
    struct scene_column *columns = builder->columns[g], value = value_column(feature, spread), over = value;
    uint32_t *count = &builder->draft.dimensions[g].column_count;
    enum fault fault = add_column(builder, columns, count, value);
    if (fault != FAULT_NONE || !builder->options->overshoot || !reached_by_a_scene(builder, feature, spread->largest))
        return fault;
    over.form = FORM_OVERSHOOT;
    over.edge = spread->largest;
    over.edge_scale = spread->deviation > 1e-6 ? (float)spread->deviation : 1.0f;
    over.mean = 0.0f;
    over.rscale = 1.0f;
    if ((fault = add_column(builder, columns, count, over)) != FAULT_NONE)
        return fault;
    over.form = FORM_ABOVE;
    over.edge_scale = 1.0f;
    return add_column(builder, columns, count, over);
}

/* Linked takes every feature, own those of the transfer alone. */
static enum fault add_to_anomaly(struct builder *builder, uint32_t feature, const struct spread *spread)
{
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        if (spread->deviation <= 1e-6 || (i == ANOMALY_OWN && feature_infos[feature].needs_history))
            continue;
        enum fault fault = add_column(builder, builder->columns[DIMENSION_COUNT + i], &builder->draft.anomaly[i].column_count,
                                      value_column(feature, spread));
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

enum fault build_columns(struct builder *builder)
{
    enum fault fault = FAULT_NONE;
    for (int g = 0; g < DIMENSION_COUNT; g++)
        builder->draft.dimensions[g].columns = builder->columns[g];
    for (int i = 0; i < ANOMALY_COUNT; i++)
        builder->draft.anomaly[i].columns = builder->columns[DIMENSION_COUNT + i];
    for (uint32_t f = 0; fault == FAULT_NONE && f < FEATURE_COUNT; f++) {
        if (!(builder->options->features.bits[f / 64] >> f % 64 & 1))
            continue;
        struct spread spread = measure(builder, f);
        if (!spread.varies)
            continue;
        fault = add_to_dimension(builder, f, &spread);
        if (fault == FAULT_NONE)
            fault = add_to_anomaly(builder, f, &spread);
    }
    for (int g = 0; g < DIMENSION_COUNT; g++)
        build_say(builder, "%s: %u columns", dimension_names[g], builder->draft.dimensions[g].column_count);
    return fault;
}

/* One chunk's tiles are made whole, then the picked rows of it are copied. */
static void gather_chunk(struct matrix *out, const struct builder *builder, const struct scene_column *columns, uint8_t scene, float *z,
                         float *scratch, uint32_t *next, uint32_t chunk)
{
    const struct picked *picked = &builder->picked;
    struct matrix tiles = {.row_count = SLICE_ROWS, .column_count = out->column_count, .z = z};
    bool made = false;
    for (; *next < picked->count && picked->row[*next] / SLICE_ROWS == chunk; (*next)++) {
        if (scene != SCENE_UNKNOWN && picked->scene[*next] != scene)
            continue;
        if (!made)
            scene_columns_tile(z, columns, out->column_count, &builder->train->chunks[chunk].features, &builder->kernels, scratch);
        made = true;
        for (uint32_t j = 0; j < out->column_count; j++)
            *matrix_at(out, out->row_count, j) = *matrix_at(&tiles, picked->row[*next] % SLICE_ROWS, j);
        out->row_count++;
    }
}

enum fault build_matrix(struct matrix *out, const struct builder *builder, const struct scene_column *columns, uint32_t column_count,
                        uint8_t scene)
{
    uint32_t rows = 0, next = 0;
    for (uint32_t i = 0; i < builder->picked.count; i++)
        rows += scene == SCENE_UNKNOWN || builder->picked.scene[i] == scene;
    size_t bytes = tile_count(rows) * TILE_ROWS * column_count * sizeof(float);
    *out = (struct matrix){.column_count = column_count, .z = memory_take_aligned(bytes, 64)};
    float *z = memory_take_aligned((size_t)SLICE_ROWS * column_count * sizeof *z, 64);
    float *scratch = memory_take_aligned(SLICE_ROWS * sizeof *scratch, 64);
    bool failed = !out->z || !z || !scratch;
    for (uint32_t c = 0; !failed && c < builder->train->chunk_count; c++)
        gather_chunk(out, builder, columns, scene, z, scratch, &next, c);
    memory_give(z);
    memory_give(scratch);
    if (!failed)
        return FAULT_NONE;
    matrix_fini(out);
    return fault_set(builder->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for %u rows of %u columns", rows, column_count);
}

void matrix_fini(struct matrix *matrix)
{
    memory_give(matrix->z);
    *matrix = (struct matrix){0};
}
