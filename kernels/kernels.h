#ifndef SLUICE_KERNELS_H
#define SLUICE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* The contract of the arithmetic. Kernels allocate nothing, know no global but the chosen table, log nothing.
 * Every implementation gives the bits of its twin in kernels/ref (fmaf in the specified order); the oracle
 * (double) in kernels/ref bounds the error of both. NaN never enters: callers replace unknowns first.
 *
 * Row tiles. Rows are taken 16 at a time: a matrix of R rows and D columns lies as ceil(R/16) tiles of
 * D × 16 floats: z[(tile · D + column) · 16 + lane]. Lanes past the last row hold zeros and may be computed;
 * what comes out of them is never read. Lanes of a vector are rows, cluster parameters are broadcast. Tiles are 64-byte aligned. */

enum { TILE_ROWS = 16 };

static inline size_t tile_count(size_t row_count)
{
    return (row_count + TILE_ROWS - 1) / TILE_ROWS;
}

/* The clusters of one dimension, packed once at load.
 * Squared distance of row z to cluster k, columns j in order, one accumulator:
 *     acc = start[k];  u = fma(z[j], a[k][j], b[k][j]);  acc = fma(u, u, acc)
 * with a = sqrt(l/2), b = -c·sqrt(l/2), start = -b_k. Segment minimum over its clusters in order,
 * min(x, y) = x < y ? x : y with x the running minimum, starting at +infinity. */
struct panel {
    uint32_t column_count, cluster_count, segment_count;
    const uint32_t *segment_first; /* segment_count + 1; clusters of a segment are contiguous; empty ones give +inf */
    const float *ab;               /* cluster_count × column_count × {a, b} */
    const float *start;            /* cluster_count */
};

/* The points of an anomaly ensemble, packed once at load. Every point has unit precision, so the squared distance is taken
 * as a product, one operation per row, point and column, columns j in order, one accumulator (docs/decisions/0006):
 *     acc = start[p];  acc = fma(z[j], weight[p][j], acc)          with weight = -2c and start = |c|²
 *     norm = 0;        norm = fma(z[j], z[j], norm)
 *     square = max(0, least acc of the segment + norm)             max(x, y) = x > y ? x : y
 * An acc is within γ(D + 1)·Σ_j (c_j² + 2|z_j c_j|) of |z - c|² - |z|², a square within γ(D + 3)·Σ_j (|z_j| + |c_j|)² of the
 * squared distance, D columns, γ(n) = n·2^-24 / (1 - n·2^-24): an absolute bound, so columns must be standardised.
 * Outside |z|, |c| <= 2^50 and D <= 2^20 nothing is said. */
struct points {
    uint32_t column_count, point_count, segment_count;
    const uint32_t *segment_first; /* segment_count + 1; points of a segment are contiguous; empty ones give +inf */
    const float *weight;           /* point_count × column_count */
    const float *start;            /* point_count */
};

/* out[segment · out_stride + row], out_stride >= 16 · tiles and a multiple of 16; out 64-byte aligned. Padded lanes are written. */
#define PANEL_MIN_FN(name) \
    void name(float *restrict out, size_t out_stride, const float *restrict z, size_t tiles, const struct panel *panel)
/* The same distance with arg-min over all clusters, ties to the lower index: index and distance per row, padded lanes
 * too (clustering). No cluster, or none below +infinity: index 0 at +infinity. */
#define PANEL_NEAREST_FN(name) \
    void name(uint32_t *restrict index, float *restrict distance, const float *restrict z, size_t tiles, const struct panel *panel)
/* One column into its place in the tiles: z = clip((x - mean) · rscale, low, high), two rounded operations.
 * x holds row_count floats; lanes past row_count become 0. z points at the column in the first tile; tile_stride in floats. */
#define STANDARDISE_FN(name) \
    void name(float *restrict z, size_t tile_stride, const float *restrict x, size_t row_count, float mean, float rscale, float low, \
              float high)
/* out[i] = f(x[i]); count any; in place allowed. Errors against the true function: see the .c file of the twin. */
#define MAP_FN(name) void name(float *out, const float *x, size_t count)
/* The anomaly degree in one go: out[row] = (1/segment_count) · sum over segments in index order of sqrt(square); 0 without
 * segments. out holds 16 · tiles floats, 64-byte aligned; padded lanes are written. */
#define POINTS_MEAN_FN(name) void name(float *restrict out, const float *restrict z, size_t tiles, const struct points *points)
/* The same from minima that came otherwise, min[segment · stride + row], and norm[row]: for a device that gives no square root.
 * stride is a multiple of 16; it and norm cover the padded lanes, which may be read. out holds row_count floats. */
#define SQRT_MEAN_FN(name) \
    void name(float *restrict out, const float *restrict min, size_t stride, const float *restrict norm, size_t row_count, \
              size_t segment_count)
/* norm[row] of every row, padded lanes too; 64-byte aligned. */
#define ROW_NORM_FN(name) void name(float *restrict norm, const float *restrict z, size_t tiles, uint32_t column_count)

/* The nearest of all points with its squared distance, ties to the lower index, padded lanes too: as points_mean has it,
 *     square = max(0, least acc + norm)
 * No point, or none below +infinity: index 0 at +infinity. */
#define POINTS_NEAREST_FN(name) \
    void name(uint32_t *restrict index, float *restrict square, const float *restrict z, size_t tiles, const struct points *points)

/* A row's distances to count points taken apart by column: out[j] is column j's share of (1/count)·Σ distance. line, points and
 * out lie as lines of stride floats, a multiple of 16, 64-byte aligned; what is past the columns is 0. Points t in order, j in order:
 *     d = line[j] - points[index[t]·stride + j];  part[j mod 16] = fma(d, d, part[j mod 16]), from 0
 *     square: part[i] += part[i + n] for i < n = 8, 4, 2, 1;  scale = square > 0 ? (1/count) / sqrt(square) : 0
 *     out[j] = fma(d·d, scale, out[j]), from 0 */
#define POINT_SHARES_FN(name) \
    void name(float *restrict out, const float *restrict line, const float *restrict points, size_t stride, \
              const uint32_t *restrict index, size_t count)

/* Learning. Rows, centres and sums lie as lines: line i begins at i · stride, a multiple of 16 floats, 64-byte aligned; what is
 * past the columns is 0 and stays 0.
 *
 * Weighted offsets of rows from the centres of the clusters that they belong to, one cluster in each of set_count sets.
 * Rows i in order, sets t in order, k = set_first[t] + index[t · set_stride + i], w = weight[t · set_stride + i], every j:
 *     d = rows[i][j] - centre[k][j];  p = w·d;  first[k][j] += p;  second[k][j] = fma(p, d, second[k][j])
 * and nothing where w is 0. */
#define OFFSET_SUMS_FN(name) \
    void name(float *restrict first, float *restrict second, const float *restrict centre, const float *restrict rows, size_t stride, \
              size_t row_count, const uint32_t *restrict index, const float *restrict weight, const uint32_t *set_first, size_t set_count, \
              size_t set_stride)
/* What cross-entropy changes by per unit of a scene's evidence. For every row, dimensions g and scenes s in order, y its label:
 *     e_s = ((bias[s] - δ_0s) - δ_1s) - …, δ_gs = distance[g][s · stride + row];  x_0 = 1;  x_s = exp(clip(e_s - e_0, -80, 80))
 *     sum = Σ x_s;  others = Σ x_s over s ≠ y, from 0;  q = weight / sum;  out_s = x_s·q, of y 0 - others·q;  |out_s| < weight·2^-15 gives
 * 0 out[s · stride + row]; row_count and stride multiples of 16, everything 64-byte aligned, at least one scene, labels whole. */
#define RESIDUALS_FN(name) \
    void name(float *restrict out, size_t stride, size_t row_count, const float *const *distance, size_t dimension_count, \
              const float *bias, size_t scene_count, const float *label, const float *weight)
/* One step of Adam (Kingma and Ba 2015) for count parameters, a multiple of 16. What would become subnormal becomes 0.
 *     g = ((gradient[i] + gradient[part_stride + i]) + …)·scale[i]·factor, 0 below 2^-50
 *     m = fma(keep_first, m, (1 - keep_first)·g), 0 below 2^-100;  v = fma(keep_second, v, (1 - keep_second)·(g·g)), 0 below 2^-120
 *     x = clip((x - (rate·m) / (sqrt(v·second_scale) + small)) - shift, low, high) */
struct adam {
    float factor, keep_first, keep_second, rate, second_scale, small, shift, low, high;
};
#define ADAM_FN(name) \
    void name(float *restrict x, float *restrict m, float *restrict v, const float *restrict gradient, size_t part_count, \
              size_t part_stride, const float *restrict scale, size_t count, const struct adam *adam)
/* The ab of a panel from lines of centres c and precisions l: a = sqrt(l·0.5), b = (0 - c)·a. */
#define PANEL_PACK_FN(name) \
    void name(float *restrict ab, const float *restrict centre, const float *restrict precision, size_t stride, uint32_t column_count, \
              uint32_t cluster_count)

/* Columns of int64 in words of 64 rows, whose truths are the bits of a uint64, the first row lowest. Any alignment of 8; out is
 * neither a nor b.
 *     add, subtract: modulo 2^64; over: where the true result is another
 *     less, least, equal: a < b, a <= b, a == b
 *     choose: a where the bit is set, b elsewhere */
#define COLUMNS_SUM_FN(name) \
    void name(int64_t *restrict out, uint64_t *restrict over, const int64_t *a, const int64_t *b, size_t word_count)
#define COLUMNS_COMPARE_FN(name) void name(uint64_t *restrict out, const int64_t *a, const int64_t *b, size_t word_count)
#define COLUMNS_CHOOSE_FN(name) \
    void name(int64_t *restrict out, const uint64_t *restrict bits, const int64_t *a, const int64_t *b, size_t word_count)

typedef PANEL_MIN_FN(panel_min_fn);
typedef PANEL_NEAREST_FN(panel_nearest_fn);
typedef STANDARDISE_FN(standardise_fn);
typedef MAP_FN(map_fn);
typedef POINTS_MEAN_FN(points_mean_fn);
typedef SQRT_MEAN_FN(sqrt_mean_fn);
typedef ROW_NORM_FN(row_norm_fn);
typedef POINTS_NEAREST_FN(points_nearest_fn);
typedef POINT_SHARES_FN(point_shares_fn);
typedef OFFSET_SUMS_FN(offset_sums_fn);
typedef RESIDUALS_FN(residuals_fn);
typedef ADAM_FN(adam_fn);
typedef PANEL_PACK_FN(panel_pack_fn);
typedef COLUMNS_SUM_FN(columns_sum_fn);
typedef COLUMNS_COMPARE_FN(columns_compare_fn);
typedef COLUMNS_CHOOSE_FN(columns_choose_fn);

struct kernels {
    const char *name; /* "ref", "avx2", "avx512", "neon" */
    panel_min_fn *panel_min;
    panel_nearest_fn *panel_nearest;
    standardise_fn *standardise;
    map_fn *log, *log1p, *exp; /* natural; log of x <= 0 and log1p of x <= -1 give the function's value at the smallest positive */
    points_mean_fn *points_mean;
    sqrt_mean_fn *sqrt_mean;
    row_norm_fn *row_norm;
    points_nearest_fn *points_nearest;
    point_shares_fn *point_shares;
    offset_sums_fn *offset_sums;
    residuals_fn *residuals;
    adam_fn *adam;
    panel_pack_fn *panel_pack;
    columns_sum_fn *columns_add, *columns_subtract;
    columns_compare_fn *columns_less, *columns_least, *columns_equal;
    columns_choose_fn *columns_choose;
};

enum cpu_flag { CPU_AVX2 = 1, CPU_AVX512 = 2, CPU_NEON = 4 };
#define CPU_MASK_ALL 0xffffffffu

unsigned cpu_detect(void);                                   /* what this machine can run, bits of enum cpu_flag */
void kernels_select(struct kernels *out, unsigned cpu_mask); /* best of cpu_detect() & cpu_mask, reference otherwise */
extern const struct kernels kernels_ref;

/* Scalar twins for the few rows that are looked at one by one: same bits as the array forms. */
float kernel_log(float x);
float kernel_log1p(float x);
float kernel_exp(float x);
float kernel_distance(const float *z, size_t z_stride, const struct panel *panel, uint32_t cluster); /* z[j · z_stride] */
float kernel_point(const float *z, size_t z_stride, const struct points *points, uint32_t point);    /* acc of one point */

/* Oracles in double, for checks and golden distances only. */
double oracle_distance(const float *z, size_t z_stride, const struct panel *panel, uint32_t cluster);

double oracle_point(const float *z, size_t z_stride, const struct points *points, uint32_t point); /* |z - c|² */

/* Product form through OpenBLAS (kernels/blas): proposes, never recorded. approx[cluster·stride + row] is within
 * bound[row] of the twin's distance before segment minimum; a bound of +infinity says nothing. Rows are rounded up to
 * whole tiles, in approx and bound too; stride as for panel_min. One call at a time in the whole process: the serial
 * OpenBLAS hands out its buffers without a lock. */
size_t blas_scratch_floats(size_t row_count, const struct panel *panel);
size_t blas_weights_floats(const struct panel *panel);
void blas_weights(float *weights, const struct panel *panel); /* (2·columns + 1) × clusters and the bounds, packed once */
void blas_distances(float *approx, size_t stride, float *bound, const float *z, size_t row_count, const struct panel *panel,
                    const float *weights, float *scratch);
/* The same of points: proposals of acc. */
size_t blas_points_scratch_floats(size_t row_count, const struct points *points);
size_t blas_points_weights_floats(const struct points *points);
void blas_points_weights(float *weights, const struct points *points);
void blas_points_products(float *approx, size_t stride, float *bound, const float *z, size_t row_count, const struct points *points,
                          const float *weights, float *scratch);
const char *blas_core_name(void); /* the processor type that OpenBLAS chose its kernels for */

/* OpenCL (kernels/opencl): panel.cl as text, with its end mark, and how it is compiled for a device. */
extern const char opencl_panel_source[];
struct opencl_tunables {
    uint32_t vector, vectors, clusters, group; /* -DVECTOR=, -DVECTORS=, -DCLUSTERS=, -DGROUP= */
    uint32_t part_clusters;                    /* the host's: least clusters of a part, 0: whole panels */
};
const struct opencl_tunables *opencl_tunables_of(const char *device); /* device: "TYPE PLATFORM NAME" */
struct opencl_part {                                                  /* as panel.cl has it */
    uint32_t columns, columns_before, block_first, block_count, values_first, is_product;
};

#endif
