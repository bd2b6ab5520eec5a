/* Distances come from the twin's kernels and sums run in row order, so that a seed gives the same clusters anywhere. */
#include "scene/cluster.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "scene/scene_base.h"

enum { MEANS_ROUNDS = 20, MODEL_ROUNDS = 10 };

struct work {
    const struct matrix *rows;
    const struct cluster_rules *rules;
    const struct kernels *kernels;
    struct clusters *out;
    uint32_t padded_rows;
    uint32_t *index; /* nearest cluster of every row */
    float *distance;
    float *ab, *start;    /* panel of the clusters as they stand */
    double *sum, *square; /* [cluster][column] */
    double *count;        /* [cluster] */
    double *variance;     /* of all rows, [column] */
};

static bool work_take(struct work *work, uint32_t clusters, uint32_t columns)
{
    size_t cells = (size_t)clusters * columns;
    work->index = memory_take_aligned(work->padded_rows * sizeof *work->index, 64);
    work->distance = memory_take_aligned(work->padded_rows * sizeof *work->distance, 64);
    work->ab = memory_take_aligned(2 * cells * sizeof *work->ab, 64);
    work->start = memory_take_aligned(clusters * sizeof *work->start, 64);
    work->sum = memory_take_zeroed(cells, sizeof *work->sum);
    work->square = memory_take_zeroed(cells, sizeof *work->square);
    work->count = memory_take_zeroed(clusters, sizeof *work->count);
    work->variance = memory_take_zeroed(columns, sizeof *work->variance);
    work->out->centres = memory_take_zeroed(cells, sizeof(float));
    work->out->precisions = memory_take_zeroed(cells, sizeof(float));
    work->out->offsets = memory_take_zeroed(clusters, sizeof(float));
    return work->index && work->distance && work->ab && work->start && work->sum && work->square && work->count && work->variance &&
           work->out->centres && work->out->precisions && work->out->offsets;
}

static void work_fini(struct work *work)
{
    memory_give(work->index);
    memory_give(work->distance);
    memory_give(work->ab);
    memory_give(work->start);
    memory_give(work->sum);
    memory_give(work->square);
    memory_give(work->count);
    memory_give(work->variance);
}

static void assign_rows(struct work *work, uint32_t first, uint32_t count)
{
    const struct clusters *out = work->out;
    uint32_t ends[2] = {0, count};
    size_t at = (size_t)first * out->column_count;
    struct panel panel = {.column_count = out->column_count,
                          .cluster_count = count,
                          .segment_count = 1,
                          .segment_first = ends,
                          .ab = work->ab,
                          .start = work->start};
    scene_panel_pack(work->ab, work->start, out->centres + at, out->precisions + at, out->offsets + first, count, out->column_count);
    work->kernels->panel_nearest(work->index, work->distance, work->rows->z, tile_count(work->rows->row_count), &panel);
}

static void centre_at_row(struct work *work, uint32_t cluster, uint32_t row)
{
    for (uint32_t j = 0; j < work->out->column_count; j++)
        work->out->centres[(size_t)cluster * work->out->column_count + j] = *matrix_at(work->rows, row, j);
}

static void measure_variance(struct work *work)
{
    double rows = (double)work->rows->row_count;
    for (uint32_t j = 0; j < work->rows->column_count; j++) {
        double sum = 0.0, square = 0.0;
        for (uint32_t i = 0; i < work->rows->row_count; i++)
            sum += (double)*matrix_at(work->rows, i, j);
        for (uint32_t i = 0; i < work->rows->row_count; i++) {
            double offset = (double)*matrix_at(work->rows, i, j) - sum / rows;
            square += offset * offset;
        }
        work->variance[j] = square / rows;
    }
}

/* The row at which the running sum of its distances to the centres so far passes a drawn part of the whole. */
static uint32_t draw_far_row(const double *nearest, uint32_t row_count, struct random *random)
{
    double whole = 0.0, sum = 0.0, part;
    for (uint32_t i = 0; i < row_count; i++)
        whole += nearest[i];
    part = random_unit(random) * whole;
    for (uint32_t i = 0; i < row_count; i++)
        if ((sum += nearest[i]) > part)
            return i;
    return random_below(random, row_count);
}

static enum fault draw_centres(struct work *work, struct random *random, struct fault_note *note)
{
    uint32_t row_count = work->rows->row_count;
    double *nearest = memory_take_zeroed(row_count, sizeof *nearest);
    if (!nearest)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to draw centres");
    for (size_t i = 0; i < (size_t)work->out->count * work->out->column_count; i++)
        work->out->precisions[i] = 2.0f;
    centre_at_row(work, 0, random_below(random, row_count));
    for (uint32_t k = 1; k < work->out->count; k++) {
        assign_rows(work, k - 1, 1);
        for (uint32_t i = 0; i < row_count; i++)
            if (k == 1 || (double)work->distance[i] < nearest[i])
                nearest[i] = work->distance[i] > 0.0f ? (double)work->distance[i] : 0.0;
        centre_at_row(work, k, draw_far_row(nearest, row_count, random));
    }
    memory_give(nearest);
    return FAULT_NONE;
}

/* Sums of every cluster's rows; squares about the centres as they stand. */
static void sum_clusters(struct work *work)
{
    uint32_t columns = work->out->column_count;
    memset(work->sum, 0, (size_t)work->out->count * columns * sizeof *work->sum);
    memset(work->square, 0, (size_t)work->out->count * columns * sizeof *work->square);
    memset(work->count, 0, work->out->count * sizeof *work->count);
    for (uint32_t i = 0; i < work->rows->row_count; i++) {
        size_t at = (size_t)work->index[i] * columns;
        const float *z = matrix_at(work->rows, i, 0);
        work->count[work->index[i]] += 1.0;
        for (uint32_t j = 0; j < columns; j++) {
            double offset = (double)z[j * TILE_ROWS] - (double)work->out->centres[at + j];
            work->sum[at + j] += offset;
            work->square[at + j] += offset * offset;
        }
    }
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
            centre_at_row(work, k, row);
            work->distance[row] = 0.0f;
            continue;
        }
        for (uint32_t j = 0; j < columns; j++)
            work->out->centres[(size_t)k * columns + j] += (float)(work->sum[(size_t)k * columns + j] / work->count[k]);
    }
}

/* Precision of a column from its squares about the mean, shrunk towards the variance of all rows. */
static float precision_of(const struct work *work, size_t at, uint32_t k, uint32_t j)
{
    double count = work->count[k], shrink = work->rules->shrink_rows;
    double mean = work->sum[at + j] / count;
    double square = work->square[at + j] - count * mean * mean;
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
            out->centres[to + j] = out->centres[at + j] + (float)(work->sum[at + j] / work->count[k]);
            out->precisions[to + j] = precision_of(work, at, k, j);
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
    measure_variance(work);
    enum fault fault = draw_centres(work, random, note);
    if (fault != FAULT_NONE)
        return fault;
    for (int round = 0; round < MEANS_ROUNDS; round++) {
        assign_rows(work, 0, work->out->count);
        sum_clusters(work);
        move_means(work);
    }
    for (int round = 0; round < MODEL_ROUNDS; round++) {
        assign_rows(work, 0, work->out->count);
        sum_clusters(work);
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
    struct work work = {
        .rows = rows, .rules = rules, .kernels = kernels, .out = out, .padded_rows = (uint32_t)tile_count(rows->row_count) * TILE_ROWS};
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
