/* Rows and columns that a base is learned from. */
#include "scene/builder.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

#define ABOVE_RSCALE 5.0f /* an edge is sharp from the start, whatever the precision */

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
    uint32_t next[SCENES_MAX];
    count_rows(&counts, builder->train);
    enum fault fault = check_counts(builder, &counts);
    if (fault != FAULT_NONE)
        return fault;
    uint64_t left = counts.of_scene[0];
    uint64_t wanted = left < builder->options->background_rows_max ? left : builder->options->background_rows_max;
    picked->background_weight = builder->train->background_weight * (double)left / (double)wanted;
    for (uint32_t s = 0; s < builder->options->scene_count; s++) {
        next[s] = picked->scene_first[s];
        picked->scene_first[s + 1] = picked->scene_first[s] + (uint32_t)(s ? counts.of_scene[s] : wanted);
    }
    picked->count = picked->scene_first[builder->options->scene_count];
    if (!(picked->row = memory_take_zeroed(picked->count, sizeof *picked->row)))
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
            if (take)
                picked->row[next[scene]++] = c * SLICE_ROWS + i;
        }
    build_say(builder, "%u rows to learn from, %u of them risky", picked->count, picked->count - picked->scene_first[1]);
    return FAULT_NONE;
}

struct spread { /* of a feature over picked background rows */
    double mean, deviation;
    float largest;
    bool varies;  /* among all picked rows */
    bool reached; /* a scene has enough rows above all background for columns of its own */
};

static bool reached_by_a_scene(const struct builder *builder, const float *x, float edge)
{
    const uint32_t *first = builder->picked.scene_first;
    for (uint32_t s = 1; s < builder->options->scene_count; s++) {
        uint32_t above = 0;
        for (uint32_t i = first[s]; i < first[s + 1]; i++)
            above += x[i] > edge;
        if (above >= 3 && above * 50 >= first[s + 1] - first[s])
            return true;
    }
    return false;
}

static struct spread measure(const struct builder *builder, const float *x)
{
    const struct picked *picked = &builder->picked;
    const uint32_t background = picked->scene_first[1];
    double sum = 0.0, square = 0.0;
    struct spread spread = {.largest = -INFINITY};
    for (uint32_t i = 0; i < picked->count && !spread.varies; i++)
        spread.varies = x[i] != x[0];
    if (!spread.varies)
        return spread;
    for (uint32_t i = 0; i < background; i++) {
        spread.largest = x[i] > spread.largest ? x[i] : spread.largest;
        sum += (double)x[i];
    }
    spread.mean = sum / background;
    for (uint32_t i = 0; i < background; i++) {
        double offset = (double)x[i] - spread.mean;
        square += offset * offset;
    }
    spread.deviation = sqrt(square / background);
    spread.reached = builder->options->overshoot && reached_by_a_scene(builder, x, spread.largest);
    return spread;
}

struct reading { /* the values of the picked rows, feature by feature */
    struct builder *builder;
    uint32_t count;
    uint16_t features[FEATURE_COUNT];
    struct spread spreads[FEATURE_COUNT];
};

static void read_work(void *context, uint32_t part, uint32_t thread)
{
    struct reading *reading = context;
    const struct picked *picked = &reading->builder->picked;
    const struct build_chunk *chunks = reading->builder->train->chunks;
    const uint32_t feature = reading->features[part];
    float *x = picked->column[feature];
    (void)thread;
    for (uint32_t i = 0; i < picked->count; i++)
        x[i] = chunks[picked->row[i] / SLICE_ROWS].features.column[feature][picked->row[i] % SLICE_ROWS];
    reading->spreads[part] = measure(reading->builder, x);
}

/* Columns of features that do not vary are given back. */
static enum fault read_features(struct reading *out, struct builder *builder)
{
    struct picked *picked = &builder->picked;
    *out = (struct reading){.builder = builder};
    for (uint32_t f = 0; f < FEATURE_COUNT; f++) {
        if (!(builder->options->features.bits[f / 64] >> f % 64 & 1))
            continue;
        picked->column[f] = memory_take_block(((size_t)picked->count + TILE_ROWS) * sizeof(float), 64);
        if (!picked->column[f])
            return build_no_memory(builder);
        out->features[out->count++] = (uint16_t)f;
    }
    team_run(builder->team, out->count, read_work, out);
    for (uint32_t i = 0; i < out->count; i++)
        if (!out->spreads[i].varies) {
            memory_give(picked->column[out->features[i]]);
            picked->column[out->features[i]] = NULL;
        }
    return FAULT_NONE;
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
    if (fault != FAULT_NONE || !spread->reached)
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
    over.rscale = ABOVE_RSCALE;
    return add_column(builder, columns, count, over);
}

/* A value that the clip cuts off at three deviations on either side: one column alone makes no row strange without end. */
static struct scene_column clipped_column(uint32_t feature, const struct spread *spread)
{
    struct scene_column column = value_column(feature, spread);
    column.mean = (float)(spread->mean - spread->deviation);
    column.rscale = (float)(3.0 / spread->deviation);
    return column;
}

/* Linked takes every feature, own those of the transfer alone. */
static enum fault add_to_anomaly(struct builder *builder, uint32_t feature, const struct spread *spread)
{
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        if (spread->deviation <= 1e-6 || (i == ANOMALY_OWN && feature_infos[feature].needs_history))
            continue;
        enum fault fault = add_column(builder, builder->columns[DIMENSION_COUNT + i], &builder->draft.anomaly[i].column_count,
                                      clipped_column(feature, spread));
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

enum fault build_columns(struct builder *builder)
{
    struct reading reading;
    enum fault fault = read_features(&reading, builder);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        builder->draft.dimensions[g].columns = builder->columns[g];
    for (int i = 0; i < ANOMALY_COUNT; i++)
        builder->draft.anomaly[i].columns = builder->columns[DIMENSION_COUNT + i];
    for (uint32_t i = 0; fault == FAULT_NONE && i < reading.count; i++) {
        if (!reading.spreads[i].varies)
            continue;
        fault = add_to_dimension(builder, reading.features[i], &reading.spreads[i]);
        if (fault == FAULT_NONE)
            fault = add_to_anomaly(builder, reading.features[i], &reading.spreads[i]);
    }
    for (int g = 0; g < DIMENSION_COUNT; g++)
        build_say(builder, "%s: %u columns", dimension_names[g], builder->draft.dimensions[g].column_count);
    return fault;
}

struct feature_block build_slice(const struct builder *builder, uint32_t first, uint32_t count)
{
    struct feature_block out = {.row_count = count};
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        out.column[f] = builder->picked.column[f] ? builder->picked.column[f] + first : NULL;
    return out;
}

struct tiling {
    const struct builder *builder;
    const struct scene_column *columns;
    const struct matrix *out;
    uint32_t first;        /* picked row that is the matrix's first */
    const uint32_t *order; /* or the picked row of every row */
};

/* What the columns ask for of rows from everywhere, into the thread's room. */
static void gather(struct feature_block *out, const struct tiling *tiling, float *room, uint32_t from)
{
    for (uint32_t j = 0; j < tiling->out->column_count; j++) {
        const uint32_t feature = tiling->columns[j].feature;
        const float *x = tiling->builder->picked.column[feature];
        if (out->column[feature])
            continue;
        out->column[feature] = room + (size_t)j * SLICE_ROWS;
        for (uint32_t i = 0; i < out->row_count; i++)
            out->column[feature][i] = x[tiling->order[from + i]];
    }
}

static void tile_work(void *context, uint32_t part, uint32_t thread)
{
    const struct tiling *tiling = context;
    const struct chunk_scores *scores = tiling->builder->scores[thread];
    const uint32_t from = part * SLICE_ROWS, left = tiling->out->row_count - from, rows = left < SLICE_ROWS ? left : SLICE_ROWS;
    struct feature_block slice = {.row_count = rows};
    if (tiling->order)
        gather(&slice, tiling, scores->z, from);
    else
        slice = build_slice(tiling->builder, tiling->first + from, rows);
    scene_columns_tile(tiling->out->z + (size_t)from * tiling->out->column_count, tiling->columns, tiling->out->column_count, &slice,
                       &tiling->builder->kernels, scores->scratch);
}

static void tile_rows(const struct tiling *tiling)
{
    team_run(tiling->builder->team, (tiling->out->row_count + SLICE_ROWS - 1) / SLICE_ROWS, tile_work, (void *)(uintptr_t)tiling);
}

enum fault build_matrix(struct matrix *out, const struct builder *builder, const struct scene_column *columns, uint32_t column_count,
                        uint8_t scene)
{
    const uint32_t *first = builder->picked.scene_first + scene;
    *out = (struct matrix){.row_count = first[1] - first[0], .column_count = column_count};
    out->z = memory_take_block(tile_count(out->row_count) * TILE_ROWS * column_count * sizeof(float), 64);
    if (!out->z)
        return fault_set(builder->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for %u rows of %u columns", out->row_count,
                         column_count);
    tile_rows(&(struct tiling){.builder = builder, .columns = columns, .out = out, .first = first[0]});
    return FAULT_NONE;
}

void build_tiles(const struct matrix *out, const struct builder *builder, const struct scene_column *columns, const uint32_t *order)
{
    tile_rows(&(struct tiling){.builder = builder, .columns = columns, .out = out, .order = order});
}

void matrix_fini(struct matrix *matrix)
{
    memory_give(matrix->z);
    *matrix = (struct matrix){0};
}
