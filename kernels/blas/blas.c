/* The squared distance as a matrix product, through OpenBLAS: with d = start + Σ (a·z + b)²,
 *     d = Σ a²·z² + Σ 2ab·z + (start + Σ b²),   [z², z, 1] times weights.
 * It cancels where the direct form does not, and its bits change with shape and position: so it only proposes.
 *
 * Bound. Let M = |start| + Σ (|a||z| + |b|)² and u = 2^-24, D columns. Every term of either form is at most M in sum, so
 * whatever order sgemm adds in, with or without FMA: |approx - d| <= γ(2D + 1 + 3)·M (three for the rounded weight, the
 * rounded z² and the product by one), and |twin - d| <= γ(D + 3)·M (two for u², one for each addition); γ(n) = nu/(1 - nu).
 * bound = γ(3D + 16)·M leaves eight for the caller's own comparison in float. Terms below the normal range add at most
 * 2^-140·Σ (1 + z²)(1 + a² + b²). M is taken with the largest |a|, |b|, |start| of all clusters; where that, a², b² or z² nears
 * overflow it is +infinity.
 *
 * Points: acc = start + Σ weight·z is a product as it stands, [z, 1] times weights. Two sums of the same D + 1 terms, each at
 * most M = |start| + Σ |weight||z| in sum, are within γ(2D + 2)·M of each other; bound = γ(2D + 16)·M. */
#include <cblas.h>
#include <float.h>
#include <math.h>

#include "kernels.h"

static size_t weight_rows(const struct panel *panel)
{
    return 2 * (size_t)panel->column_count + 1;
}

static size_t padded(size_t row_count)
{
    return tile_count(row_count) * TILE_ROWS;
}

size_t blas_scratch_floats(size_t row_count, const struct panel *panel)
{
    return weight_rows(panel) * padded(row_count);
}

size_t blas_weights_floats(const struct panel *panel)
{
    return weight_rows(panel) * ((size_t)panel->cluster_count + 1);
}

const char *blas_core_name(void)
{
    return openblas_get_corename();
}

/* After the weights: largest |a| of each column, largest |b|, largest |start|. */
void blas_weights(float *weights, const struct panel *panel)
{
    const size_t clusters = panel->cluster_count, columns = panel->column_count;
    float *a_most = weights + weight_rows(panel) * clusters, *b_most = a_most + columns, *start_most = b_most + columns;
    openblas_set_num_threads(1);
    for (size_t j = 0; j <= 2 * columns; j++)
        a_most[j] = 0;
    for (size_t k = 0; k < clusters; k++) {
        const float *ab = panel->ab + 2 * k * columns;
        double constant = panel->start[k];
        for (size_t j = 0; j < columns; j++) {
            const double a = ab[2 * j], b = ab[2 * j + 1];
            weights[j * clusters + k] = (float)(a * a);
            weights[(columns + j) * clusters + k] = (float)(2 * a * b);
            constant += b * b;
            a_most[j] = fmaxf(a_most[j], fabsf(ab[2 * j]));
            b_most[j] = fmaxf(b_most[j], fabsf(ab[2 * j + 1]));
        }
        weights[2 * columns * clusters + k] = (float)constant;
        *start_most = fmaxf(*start_most, fabsf(panel->start[k]));
    }
}

/* One column of one tile into its two rows of the product, and into the sums of its rows' bounds. */
static void column_pack(float *restrict square, float *restrict plain, float *restrict most, float *restrict tiny, const float *restrict z,
                        float a, float b)
{
    const float below = 1 + a * a + b * b;
    for (size_t lane = 0; lane < TILE_ROWS; lane++) {
        const float x = z[lane], reach = a * fabsf(x) + b;
        plain[lane] = x;
        square[lane] = x * x;
        most[lane] += reach * reach;
        tiny[lane] += (1 + x * x) * below;
    }
}

/* The sums are in float: (1 + (D + 8)·2^-22) covers their own rounding. */
static float bound_of(float most, float tiny, size_t columns)
{
    const double nu = (3 * (double)columns + 16) * 0x1p-24, own = 1 + ((double)columns + 8) * 0x1p-22;
    if (!(most < FLT_MAX / 4 && tiny < FLT_MAX / 4) || nu > 0.5)
        return INFINITY;
    return (float)((nu / (1 - nu) * most + 0x1p-140 * tiny) * own + 0x1p-148);
}

size_t blas_points_scratch_floats(size_t row_count, const struct points *points)
{
    return ((size_t)points->column_count + 1) * padded(row_count);
}

size_t blas_points_weights_floats(const struct points *points)
{
    return ((size_t)points->column_count + 1) * ((size_t)points->point_count + 1);
}

/* After the weights: largest |weight| of each column, largest |start|. */
void blas_points_weights(float *weights, const struct points *points)
{
    const size_t count = points->point_count, columns = points->column_count;
    float *most = weights + (columns + 1) * count;
    openblas_set_num_threads(1);
    for (size_t j = 0; j <= columns; j++) {
        most[j] = 0;
        for (size_t p = 0; p < count; p++) {
            const float value = j < columns ? points->weight[p * columns + j] : points->start[p];
            weights[j * count + p] = value;
            most[j] = fmaxf(most[j], fabsf(value));
        }
    }
}

static float points_bound_of(float most, size_t columns)
{
    const double nu = (2 * (double)columns + 16) * 0x1p-24, own = 1 + ((double)columns + 8) * 0x1p-22;
    if (!(most < FLT_MAX / 4) || nu > 0.5)
        return INFINITY;
    return (float)(nu / (1 - nu) * most * own + 0x1p-140 * ((double)columns + 1));
}

void blas_points_products(float *approx, size_t stride, float *bound, const float *z, size_t row_count, const struct points *points,
                          const float *weights, float *scratch)
{
    const size_t rows = padded(row_count), count = points->point_count, columns = points->column_count;
    const float *most_of = weights + (columns + 1) * count;
    for (size_t row = 0; row < rows; row++) {
        const float *first = z + row / TILE_ROWS * columns * TILE_ROWS + row % TILE_ROWS;
        float most = most_of[columns];
        for (size_t j = 0; j < columns; j++) {
            scratch[j * rows + row] = first[j * TILE_ROWS];
            most += most_of[j] * fabsf(first[j * TILE_ROWS]);
        }
        scratch[columns * rows + row] = 1;
        bound[row] = points_bound_of(most, columns);
    }
    if (rows && count)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)count, (blasint)rows, (blasint)columns + 1, 1.0f, weights,
                    (blasint)count, scratch, (blasint)rows, 0.0f, approx, (blasint)stride);
}

void blas_distances(float *approx, size_t stride, float *bound, const float *z, size_t row_count, const struct panel *panel,
                    const float *weights, float *scratch)
{
    const size_t rows = padded(row_count), clusters = panel->cluster_count, columns = panel->column_count;
    const float *a_most = weights + weight_rows(panel) * clusters, *b_most = a_most + columns, *start_most = b_most + columns;
    for (size_t row = 0; row < rows; row += TILE_ROWS) {
        float most[TILE_ROWS] = {0}, tiny[TILE_ROWS] = {0};
        for (size_t j = 0; j < columns; j++)
            column_pack(scratch + j * rows + row, scratch + (columns + j) * rows + row, most, tiny, z + row * columns + j * TILE_ROWS,
                        a_most[j], b_most[j]);
        for (size_t lane = 0; lane < TILE_ROWS; lane++) {
            scratch[2 * columns * rows + row + lane] = 1;
            bound[row + lane] = bound_of(most[lane] + *start_most, tiny[lane], columns);
        }
    }
    if (rows && clusters)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)clusters, (blasint)rows, (blasint)weight_rows(panel), 1.0f, weights,
                    (blasint)clusters, scratch, (blasint)rows, 0.0f, approx, (blasint)stride);
}
