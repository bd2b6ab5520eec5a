/* Distances come from the twin's kernels. Rows are taken in parts of PART_ROWS: within one, sums run in float and in row order, then the
 * parts are added in double and in their order, so that a seed gives the same clusters anywhere, by whatever number of threads. */
#include "scene/cluster.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "scene/scene_base.h"

enum { MEANS_ROUNDS = 20, MODEL_ROUNDS = 10, PART_ROWS = 2048, PART_TILES = PART_ROWS / TILE_ROWS, DRAW_TILES = 1024 };

struct work {
    const struct matrix *rows;
    const struct cluster_rules *rules;
    const struct kernels *kernels;
    struct clusters *out;
    size_t stride, cells; /* floats of a line, of all clusters */
    uint32_t padded_rows, part_count;
    uint32_t *index; /* nearest cluster of every row */
    float *distance;
    float *lines;            /* the rows, a line each */
    float *ones;             /* weights of a part's rows */
    float *centre;           /* lines of the centres as they stand */
    float *ab, *start;       /* the panel, or the points, of the clusters as they stand */
    float *part_sums;        /* [part][2][cells]: offsets from the centres, their squares */
    uint32_t *part_count_of; /* [part][cluster] */
    double *sum, *square;    /* [cluster][stride] */
    double *count;           /* [cluster] */
    double *variance;        /* of all rows, [column] */
    bool by_means;           /* the round's distance: plain, or that of the models */
};

static bool work_take(struct work *work, uint32_t clusters, uint32_t columns)
{
    size_t parts = work->part_count;
    work->stride = tile_count(columns) * TILE_ROWS;
    work->cells = clusters * work->stride;
    work->index = memory_take_aligned(work->padded_rows * sizeof *work->index, 64);
    work->distance = memory_take_aligned(work->padded_rows * sizeof *work->distance, 64);
    work->lines = memory_take_aligned(work->padded_rows * work->stride * sizeof *work->lines, 64);
    work->ones = memory_take_aligned(PART_ROWS * sizeof *work->ones, 64);
    work->centre = memory_take_aligned(work->cells * sizeof *work->centre, 64);
    work->ab = memory_take_aligned(2 * (size_t)clusters * columns * sizeof *work->ab, 64);
    work->start = memory_take_aligned(clusters * sizeof *work->start, 64);
    work->part_sums = memory_take_aligned(2 * parts * work->cells * sizeof *work->part_sums, 64);
    work->part_count_of = memory_take_zeroed(parts * clusters, sizeof *work->part_count_of);
    work->sum = memory_take_zeroed(work->cells, sizeof *work->sum);
    work->square = memory_take_zeroed(work->cells, sizeof *work->square);
    work->count = memory_take_zeroed(clusters, sizeof *work->count);
    work->variance = memory_take_zeroed(columns, sizeof *work->variance);
    work->out->centres = memory_take_zeroed((size_t)clusters * columns, sizeof(float));
    work->out->precisions = memory_take_zeroed((size_t)clusters * columns, sizeof(float));
    work->out->offsets = memory_take_zeroed(clusters, sizeof(float));
    return work->index && work->distance && work->lines && work->ones && work->centre && work->ab && work->start && work->part_sums &&
           work->part_count_of && work->sum && work->square && work->count && work->variance && work->out->centres &&
           work->out->precisions && work->out->offsets;
}

static void work_fini(struct work *work)
{
    memory_give(work->index);
    memory_give(work->distance);
    memory_give(work->lines);
    memory_give(work->ones);
    memory_give(work->centre);
    memory_give(work->ab);
    memory_give(work->start);
    memory_give(work->part_sums);
    memory_give(work->part_count_of);
    memory_give(work->sum);
    memory_give(work->square);
    memory_give(work->count);
    memory_give(work->variance);
}

static uint32_t rows_of_part(const struct work *work, uint32_t part)
{
    uint32_t left = work->rows->row_count - part * PART_ROWS;
    return left < PART_ROWS ? left : PART_ROWS;
}

/* --- one part: any thread ------------------------------------------------------------------------------------------------ */

static void lines_work(void *context, uint32_t part, uint32_t thread)
{
    (void)thread;
    const struct work *work = context;
    const uint32_t columns = work->rows->column_count, rows = rows_of_part(work, part);
    float *to = work->lines + (size_t)part * PART_ROWS * work->stride;
    const float *z = work->rows->z + (size_t)part * PART_ROWS * columns;
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < columns; j++)
            to[i * work->stride + j] = z[((size_t)(i / TILE_ROWS) * columns + j) * TILE_ROWS + i % TILE_ROWS];
}

static void assign_part(const struct work *work, uint32_t part, uint32_t rows)
{
    const struct clusters *out = work->out;
    const size_t first = (size_t)part * PART_ROWS;
    const float *z = work->rows->z + first * out->column_count;
    if (work->by_means) {
        const struct points points = {
            .column_count = out->column_count, .point_count = out->count, .weight = work->ab, .start = work->start};
        work->kernels->points_nearest(work->index + first, work->distance + first, z, tile_count(rows), &points);
        return;
    }
    const uint32_t ends[2] = {0, out->count};
    const struct panel panel = {.column_count = out->column_count,
                                .cluster_count = out->count,
                                .segment_count = 1,
                                .segment_first = ends,
                                .ab = work->ab,
                                .start = work->start};
    work->kernels->panel_nearest(work->index + first, work->distance + first, z, tile_count(rows), &panel);
}

static void sum_part(const struct work *work, uint32_t part, uint32_t rows)
{
    static const uint32_t set_first[1] = {0};
    float *first = work->part_sums + 2 * part * work->cells, *second = first + work->cells;
    const uint32_t *index = work->index + (size_t)part * PART_ROWS;
    uint32_t *count = work->part_count_of + (size_t)part * work->out->count;
    memset(first, 0, 2 * work->cells * sizeof *first);
    memset(count, 0, work->out->count * sizeof *count);
    work->kernels->offset_sums(first, second, work->centre, work->lines + (size_t)part * PART_ROWS * work->stride, work->stride, rows,
                               index, work->ones, set_first, 1, PART_ROWS);
    for (uint32_t i = 0; i < rows; i++)
        count[index[i]]++;
}

static void sum_work(void *context, uint32_t part, uint32_t thread)
{
    (void)thread;
    sum_part(context, part, rows_of_part(context, part));
}

static void round_work(void *context, uint32_t part, uint32_t thread)
{
    (void)thread;
    const struct work *work = context;
    const uint32_t rows = rows_of_part(work, part);
    assign_part(work, part, rows);
    sum_part(work, part, rows);
}

/* --- rounds ---------------------------------------------------------------------------------------------------------------- */

static void centre_at_row(struct work *work, const struct matrix *rows, uint32_t cluster, uint32_t row)
{
    for (uint32_t j = 0; j < rows->column_count; j++)
        work->out->centres[(size_t)cluster * rows->column_count + j] = *matrix_at(rows, row, j);
}

/* The centres in lines, and what the round's distances read. */
static void pack_centres(struct work *work)
{
    const struct clusters *out = work->out;
    for (size_t k = 0; k < out->count; k++)
        memcpy(work->centre + k * work->stride, out->centres + k * out->column_count, out->column_count * sizeof(float));
    if (work->by_means)
        scene_points_pack(work->ab, work->start, out->centres, out->count, out->column_count);
    else
        scene_panel_pack(work->ab, work->start, out->centres, out->precisions, out->offsets, out->count, out->column_count);
}

/* Sums of every cluster's rows about the centres as they stand, the parts in their order. */
static void add_parts(struct work *work)
{
    const size_t cells = work->out->count * work->stride;
    memset(work->sum, 0, cells * sizeof *work->sum);
    memset(work->square, 0, cells * sizeof *work->square);
    memset(work->count, 0, work->out->count * sizeof *work->count);
    for (uint32_t part = 0; part < work->part_count; part++) {
        const float *first = work->part_sums + 2 * part * work->cells, *second = first + work->cells;
        const uint32_t *count = work->part_count_of + (size_t)part * work->out->count;
        for (size_t i = 0; i < cells; i++) {
            work->sum[i] += (double)first[i];
            work->square[i] += (double)second[i];
        }
        for (uint32_t k = 0; k < work->out->count; k++)
            work->count[k] += (double)count[k];
    }
}

/* About the first row, all rows being one cluster's: the index is 0 yet. */
static void measure_variance(struct work *work)
{
    const double rows = (double)work->rows->row_count;
    centre_at_row(work, work->rows, 0, 0);
    work->by_means = true;
    pack_centres(work);
    team_run(work->rules->team, work->part_count, sum_work, work);
    add_parts(work);
    for (uint32_t j = 0; j < work->rows->column_count; j++) {
        double mean = work->sum[j] / rows, variance = work->square[j] / rows - mean * mean;
        work->variance[j] = variance > 0.0 ? variance : 0.0;
    }
}

/* The row at which the running sum of its distances to the centres so far passes a drawn part of the whole. */
static uint32_t draw_far_row(const float *nearest, uint32_t row_count, struct random *random)
{
    double whole = 0.0, sum = 0.0, part;
    for (uint32_t i = 0; i < row_count; i++)
        whole += (double)nearest[i];
    part = random_unit(random) * whole;
    for (uint32_t i = 0; i < row_count; i++)
        if ((sum += (double)nearest[i]) > part)
            return i;
    return random_below(random, row_count);
}

/* Of many rows an even sample of tiles: k-means++ looks at all of it once for every centre. */
static enum fault draw_rows(struct matrix *out, const struct matrix *rows, struct fault_note *note)
{
    const size_t floats = (size_t)rows->column_count * TILE_ROWS, tiles = rows->row_count / TILE_ROWS;
    *out = *rows;
    if (rows->row_count <= DRAW_TILES * TILE_ROWS)
        return FAULT_NONE;
    out->row_count = DRAW_TILES * TILE_ROWS;
    out->z = memory_take_aligned(DRAW_TILES * floats * sizeof *out->z, 64);
    if (!out->z)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to draw centres");
    for (size_t tile = 0; tile < DRAW_TILES; tile++)
        memcpy(out->z + tile * floats, rows->z + tile * tiles / DRAW_TILES * floats, floats * sizeof *out->z);
    return FAULT_NONE;
}

static void draw_from(struct work *work, const struct matrix *rows, float *nearest, struct random *random)
{
    const uint32_t columns = rows->column_count;
    const struct points point = {.column_count = columns, .point_count = 1, .weight = work->ab, .start = work->start};
    centre_at_row(work, rows, 0, random_below(random, rows->row_count));
    for (uint32_t k = 1; k < work->out->count; k++) {
        scene_points_pack(work->ab, work->start, work->out->centres + (size_t)(k - 1) * columns, 1, columns);
        work->kernels->points_nearest(work->index, work->distance, rows->z, tile_count(rows->row_count), &point);
        for (uint32_t i = 0; i < rows->row_count; i++)
            nearest[i] = k == 1 || work->distance[i] < nearest[i] ? work->distance[i] : nearest[i];
        centre_at_row(work, rows, k, draw_far_row(nearest, rows->row_count, random));
    }
}

static enum fault draw_centres(struct work *work, struct random *random, struct fault_note *note)
{
    struct matrix rows;
    enum fault fault = draw_rows(&rows, work->rows, note);
    if (fault != FAULT_NONE)
        return fault;
    float *nearest = memory_take_zeroed(rows.row_count, sizeof *nearest);
    if (nearest)
        draw_from(work, &rows, nearest, random);
    else
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to draw centres");
    memory_give(nearest);
    if (rows.z != work->rows->z)
        memory_give(rows.z);
    return fault;
}

static uint32_t farthest_row(const struct work *work)
{
    uint32_t farthest = 0;
    for (uint32_t i = 1; i < work->rows->row_count; i++)
        if (work->distance[i] > work->distance[farthest])
            farthest = i;
    return farthest;
}

static void move_means(struct work *work)
{
    uint32_t columns = work->out->column_count;
    for (uint32_t k = 0; k < work->out->count; k++) {
        if (work->count[k] == 0.0) {
            uint32_t row = farthest_row(work);
            centre_at_row(work, work->rows, k, row);
            work->distance[row] = 0.0f;
            continue;
        }
        for (uint32_t j = 0; j < columns; j++)
            work->out->centres[(size_t)k * columns + j] += (float)(work->sum[k * work->stride + j] / work->count[k]);
    }
}

/* Precision of a column from its squares about the mean, shrunk towards the variance of all rows. */
static float precision_of(const struct work *work, uint32_t k, uint32_t j)
{
    double count = work->count[k], shrink = work->rules->shrink_rows;
    double mean = work->sum[k * work->stride + j] / count;
    double square = work->square[k * work->stride + j] - count * mean * mean;
    double variance = ((square > 0.0 ? square : 0.0) + shrink * work->variance[j]) / (count + shrink);
    double floor = 1.0 / work->rules->precision_max;
    return (float)(1.0 / (variance > floor ? variance : floor));
}

/* Drops clusters of too few rows; centres, precisions and offsets of the others from the rows they hold. */
static void fit_models(struct work *work)
{
    struct clusters *out = work->out;
    uint32_t columns = out->column_count, kept = 0;
    double rows = 0.0;
    for (uint32_t k = 0; k < out->count; k++)
        rows += work->count[k] >= work->rules->rows_least ? work->count[k] : 0.0;
    for (uint32_t k = 0; k < out->count; k++) {
        if (work->count[k] < work->rules->rows_least && rows > 0.0)
            continue;
        size_t at = (size_t)k * columns, to = (size_t)kept * columns;
        float offset = kernel_log((float)(work->count[k] / (rows > 0.0 ? rows : work->count[k])));
        for (uint32_t j = 0; j < columns; j++) {
            out->centres[to + j] = out->centres[at + j] + (float)(work->sum[k * work->stride + j] / work->count[k]);
            out->precisions[to + j] = precision_of(work, k, j);
            offset += 0.5f * kernel_log(out->precisions[to + j]);
        }
        out->offsets[kept++] = offset;
        if (rows == 0.0)
            break;
    }
    out->count = kept;
}

static enum fault find(struct work *work, struct random *random, struct fault_note *note)
{
    struct team *team = work->rules->team;
    for (size_t i = 0; i < PART_ROWS; i++)
        work->ones[i] = 1.0f;
    team_run(team, work->part_count, lines_work, work);
    measure_variance(work);
    enum fault fault = draw_centres(work, random, note);
    if (fault != FAULT_NONE)
        return fault;
    for (int round = 0; round < MEANS_ROUNDS + MODEL_ROUNDS; round++) {
        work->by_means = round <= MEANS_ROUNDS; /* the first models are those of the means' rows */
        pack_centres(work);
        team_run(team, work->part_count, round_work, work);
        add_parts(work);
        if (round < MEANS_ROUNDS)
            move_means(work);
        else
            fit_models(work);
    }
    return FAULT_NONE;
}

enum fault clusters_find(struct clusters *out, const struct matrix *rows, const struct cluster_rules *rules, struct random *random,
                         const struct kernels *kernels, struct fault_note *note)
{
    uint32_t count = rows->row_count / rules->rows_least;
    count = count < 1 ? 1 : count > rules->count_max ? rules->count_max : count;
    *out = (struct clusters){.count = count, .column_count = rows->column_count};
    struct work work = {.rows = rows,
                        .rules = rules,
                        .kernels = kernels,
                        .out = out,
                        .padded_rows = (uint32_t)tile_count(rows->row_count) * TILE_ROWS,
                        .part_count = (rows->row_count + PART_ROWS - 1) / PART_ROWS};
    enum fault fault = FAULT_NONE;
    if (!work_take(&work, count, rows->column_count))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for clusters of %u rows", rows->row_count);
    if (fault == FAULT_NONE)
        fault = find(&work, random, note);
    work_fini(&work);
    if (fault != FAULT_NONE)
        clusters_fini(out);
    return fault;
}

void clusters_fini(struct clusters *clusters)
{
    memory_give(clusters->centres);
    memory_give(clusters->precisions);
    memory_give(clusters->offsets);
    *clusters = (struct clusters){0};
}
