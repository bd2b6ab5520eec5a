/* points_mean, points_nearest, point_shares, sqrt_mean, row_norm: every instruction set gives the twin's bits on every shape; rows do not
 * see each other; the way in one go and the way by minima give the same; the twin is within its bound of the oracle. */
#include "kernel/check.h"

struct points_case {
    struct points points;
    size_t tiles;
    uint32_t *segment_first;
    struct guarded centre, weight, start, z;
};

/* Within the contract: nothing beyond 2^50. */
static float filled(struct check *check, enum check_fill fill)
{
    float x = check_filled(check, fill);
    return fabsf(x) <= 0x1p50f ? x : check_uniform(check, -1000.0f, 1000.0f);
}

static void segments_take(struct points_case *out, struct check *check, uint32_t count)
{
    static const uint32_t usual[] = {1, 2, 6, 64, 67};
    uint32_t segments = check_below(check, 2) ? usual[check_below(check, 5)] : check_below(check, 12);
    segments = count && !segments ? 1 : segments;
    out->segment_first = memory_take_zeroed(segments + 1, sizeof *out->segment_first);
    MUST(out->segment_first);
    bool equal = segments && count % segments == 0 && check_below(check, 2);
    for (uint32_t p = 0; p < count; p++)
        out->segment_first[1 + (equal ? p % segments : check_below(check, segments))]++;
    for (uint32_t s = 0; s < segments; s++)
        out->segment_first[s + 1] += out->segment_first[s];
    out->points.segment_count = segments;
    out->points.segment_first = out->segment_first;
}

static struct points_case case_take(struct check *check, size_t rows, uint32_t columns, uint32_t count)
{
    struct points_case out = {.points = {.column_count = columns, .point_count = count}, .tiles = tile_count(rows)};
    enum check_fill z_fill = check_below(check, 3) ? FILL_USUAL : (enum check_fill)check_below(check, FILL_COUNT);
    enum check_fill fill = check_below(check, 3) ? FILL_USUAL : (enum check_fill)check_below(check, FILL_COUNT);
    size_t cells = (size_t)columns * count, floats = out.tiles * columns * TILE_ROWS;
    segments_take(&out, check, count);
    out.centre = guarded_take(cells, 0);
    out.weight = guarded_take(cells, 0);
    out.start = guarded_take(count, 0);
    out.z = guarded_take(floats, 0);
    for (uint32_t p = 0; p < count; p++) {
        double norm = 0;
        for (size_t i = (size_t)p * columns; i < (size_t)(p + 1) * columns; i++) {
            float centre = out.centre.data[i] = filled(check, fill);
            out.weight.data[i] = -2.0f * centre;
            norm += (double)centre * (double)centre;
        }
        out.start.data[p] = (float)norm;
    }
    for (size_t i = 0; i < floats; i++)
        out.z.data[i] = i / ((size_t)columns * TILE_ROWS) * TILE_ROWS + i % TILE_ROWS < rows ? filled(check, z_fill) : 0.0f;
    if (rows && count) /* a row that is a point */
        for (uint32_t j = 0; j < columns; j++)
            out.z.data[j * TILE_ROWS] = out.centre.data[j];
    out.points.weight = out.weight.data;
    out.points.start = out.start.data;
    return out;
}

static void case_give(struct points_case *c)
{
    memory_give(c->segment_first);
    guarded_give(&c->centre);
    guarded_give(&c->weight);
    guarded_give(&c->start);
    guarded_give(&c->z);
}

static const float *row_of(const struct points_case *c, size_t row)
{
    return c->z.data + row / TILE_ROWS * c->points.column_count * TILE_ROWS + row % TILE_ROWS;
}

static bool same_bits(const float *a, const float *b, size_t count)
{
    return count == 0 || memcmp(a, b, count * sizeof *a) == 0;
}

/* --- points_mean ------------------------------------------------------------------------------------------------------- */

/* Through minima of the scalar twin, row_norm and sqrt_mean. */
static void by_minima(float *out, const struct points_case *c, const struct kernels *kernels)
{
    const struct points *points = &c->points;
    size_t lanes = c->tiles * TILE_ROWS;
    struct guarded min = guarded_take(lanes * points->segment_count, 0), norm = guarded_take(lanes, 0);
    for (size_t row = 0; row < lanes; row++)
        for (uint32_t s = 0; s < points->segment_count; s++) {
            float least = INFINITY;
            for (uint32_t p = points->segment_first[s]; p < points->segment_first[s + 1]; p++) {
                float product = kernel_point(row_of(c, row), TILE_ROWS, points, p);
                least = least < product ? least : product;
            }
            min.data[s * lanes + row] = least;
        }
    kernels->row_norm(norm.data, c->z.data, c->tiles, points->column_count);
    kernels->sqrt_mean(out, min.data, lanes, norm.data, lanes, points->segment_count);
    guarded_give(&min);
    guarded_give(&norm);
}

static void mean_shape(struct check *check, const struct kernels *kernels, size_t rows, uint32_t columns, uint32_t count)
{
    struct points_case c = case_take(check, rows, columns, count);
    size_t lanes = c.tiles * TILE_ROWS, tile_floats = (size_t)columns * TILE_ROWS, shift = 1 + check_below(check, 67);
    struct guarded out = guarded_take(lanes, 0), twin = guarded_take(lanes, 0), other = guarded_take(lanes, 0);
    struct guarded z = guarded_take(c.tiles * tile_floats, 0);
    kernels->points_mean(out.data, c.z.data, c.tiles, &c.points);
    kernels_ref.points_mean(twin.data, c.z.data, c.tiles, &c.points);
    check_digest(check, kernels->points_mean == kernels_ref.points_mean ? out.data : NULL, lanes);
    check_that(check, same_bits(out.data, twin.data, rows), "%zu x %u x %u differs from the twin", rows, columns, count);
    by_minima(other.data, &c, kernels);
    check_that(check, same_bits(out.data, other.data, rows), "%zu x %u x %u: by minima it differs", rows, columns, count);
    for (size_t tile = 0; tile < c.tiles; tile++)
        kernels->points_mean(other.data + tile * TILE_ROWS, c.z.data + tile * tile_floats, 1, &c.points);
    check_that(check, same_bits(out.data, other.data, lanes), "%zu x %u x %u: tiles at once and one by one differ", rows, columns, count);
    for (size_t row = 0; row < lanes; row++)
        for (uint32_t j = 0; j < columns; j++) {
            size_t to = (row + shift) % lanes;
            z.data[(to / TILE_ROWS * columns + j) * TILE_ROWS + to % TILE_ROWS] = row_of(&c, row)[j * TILE_ROWS];
        }
    kernels->points_mean(other.data, z.data, c.tiles, &c.points);
    for (size_t row = 0; row < lanes; row++)
        check_that(check, same_bits(out.data + row, other.data + (row + shift) % lanes, 1), "%zu x %u x %u: row %zu depends on its place",
                   rows, columns, count, row);
    check_that(check, guarded_intact(&out) && guarded_intact(&other) && guarded_intact(&c.weight) && guarded_intact(&c.start),
               "%zu x %u x %u: written outside", rows, columns, count);
    guarded_give(&out);
    guarded_give(&twin);
    guarded_give(&other);
    guarded_give(&z);
    case_give(&c);
}

/* Calls each of many shapes: every count from 0 to 67 of rows, columns and points, and the named ones. */
static void shapes(struct check *check, const struct kernels *kernels,
                   void (*run)(struct check *, const struct kernels *, size_t rows, uint32_t columns, uint32_t count))
{
    for (uint32_t n = 0; n <= 67; n++) {
        /* drawn before the calls: the order of arguments is the compiler's */
        const uint32_t rows = 1 + check_below(check, 67), columns = 1 + check_below(check, 20), count = check_below(check, 68);
        run(check, kernels, n, columns, count);
        run(check, kernels, rows, n, count / 2);
        run(check, kernels, rows, columns, n);
        run(check, kernels, rows, 0, n);
    }
    run(check, kernels, 97, 16, 512);
    run(check, kernels, 33, 64, 512);
    run(check, kernels, 17, 10, 1024);
}

static void mean_check(struct check *check, const struct kernels *kernels)
{
    for (int round = 0; round < (check->soak ? 200 : 3); round++)
        shapes(check, kernels, mean_shape);
}

/* --- points_nearest ------------------------------------------------------------------------------------------------------ */

static void nearest_shape(struct check *check, const struct kernels *kernels, size_t rows, uint32_t columns, uint32_t count)
{
    struct points_case c = case_take(check, rows, columns, count);
    size_t lanes = c.tiles * TILE_ROWS;
    struct guarded index = guarded_take(lanes, check_below(check, 2)), square = guarded_take(lanes, check_below(check, 2));
    struct guarded twin_index = guarded_take(lanes, 0), twin_square = guarded_take(lanes, 0), norm = guarded_take(lanes, 0);
    uint32_t *found = (uint32_t *)(void *)index.data;
    if (count > 1 && check_below(check, 2)) { /* two points alike: the first is named */
        memcpy(c.weight.data + (size_t)(count - 1) * columns, c.weight.data, columns * sizeof(float));
        c.start.data[count - 1] = c.start.data[0];
    }
    kernels->points_nearest(found, square.data, c.z.data, c.tiles, &c.points);
    kernels_ref.points_nearest((uint32_t *)(void *)twin_index.data, twin_square.data, c.z.data, c.tiles, &c.points);
    check_digest(check, kernels->points_nearest == kernels_ref.points_nearest ? index.data : NULL, lanes);
    check_digest(check, kernels->points_nearest == kernels_ref.points_nearest ? square.data : NULL, lanes);
    check_that(check, same_bits(index.data, twin_index.data, lanes), "%zu x %u x %u: indices differ", rows, columns, count);
    check_that(check, same_bits(square.data, twin_square.data, lanes), "%zu x %u x %u: squares differ", rows, columns, count);
    kernels->row_norm(norm.data, c.z.data, c.tiles, columns);
    for (size_t row = 0; row < rows; row++) {
        uint32_t nearest = 0;
        float least = INFINITY;
        for (uint32_t p = 0; p < count; p++) {
            float product = kernel_point(row_of(&c, row), TILE_ROWS, &c.points, p);
            if (product < least)
                least = product, nearest = p;
        }
        least = least + norm.data[row] > 0 ? least + norm.data[row] : 0;
        check_that(check, found[row] == nearest && same_bits(&square.data[row], &least, 1), "%zu x %u x %u: row %zu is not at its nearest",
                   rows, columns, count, row);
    }
    check_that(check, guarded_intact(&index) && guarded_intact(&square), "%zu x %u x %u: written outside", rows, columns, count);
    struct guarded *taken[] = {&index, &square, &twin_index, &twin_square, &norm};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        guarded_give(taken[i]);
    case_give(&c);
}

static void nearest_check(struct check *check, const struct kernels *kernels)
{
    for (int round = 0; round < (check->soak ? 200 : 3); round++)
        shapes(check, kernels, nearest_shape);
}

/* --- point_shares -------------------------------------------------------------------------------------------------------- */

/* Of the oracle: what every column adds, in double. The twin's sums of at most count + 2 rounded terms are all of one sign. */
static void shares_are_exact(struct check *check, const float *out, const float *line, const float *points, size_t stride,
                             const uint32_t *index, size_t count)
{
    double nu = ((double)stride + (double)count + 8) * 0x1p-24;
    for (size_t j = 0; j < stride; j++) {
        double share = 0;
        for (size_t t = 0; t < count; t++) {
            double square = 0, d = (double)line[j] - (double)points[index[t] * stride + j];
            for (size_t i = 0; i < stride; i++)
                square += pow((double)line[i] - (double)points[index[t] * stride + i], 2);
            share += square > 0 ? d * d / sqrt(square) / (double)count : 0;
        }
        check_that(check, fabs((double)out[j] - share) <= nu / (1 - nu) * share + 0x1p-100, "column %zu of %zu, %zu points: %.9g for %.17g",
                   j, stride, count, (double)out[j], share);
    }
}

static void shares_shape(struct check *check, const struct kernels *kernels, size_t columns, size_t point_count, size_t count)
{
    size_t stride = (columns + 15) / 16 * 16;
    enum check_fill fill = check_below(check, 3) ? FILL_USUAL : (enum check_fill)check_below(check, FILL_COUNT);
    struct guarded line = guarded_take(stride, 0), points = guarded_take(point_count * stride, 0);
    struct guarded out = guarded_take(stride, 0), twin = guarded_take(stride, 0);
    uint32_t *index = memory_take_zeroed(count + 1, sizeof *index);
    MUST(index);
    for (size_t j = 0; j < stride; j++)
        line.data[j] = j < columns ? filled(check, fill) : 0.0f;
    for (size_t i = 0; i < point_count * stride; i++)
        points.data[i] = i % stride < columns ? filled(check, fill) : 0.0f;
    for (size_t t = 0; t < count; t++)
        index[t] = check_below(check, (uint32_t)point_count);
    if (check_below(check, 4) == 0) /* a row that is a point */
        memcpy(line.data, points.data + index[0] * stride, stride * sizeof(float));
    kernels->point_shares(out.data, line.data, points.data, stride, index, count);
    kernels_ref.point_shares(twin.data, line.data, points.data, stride, index, count);
    check_digest(check, kernels->point_shares == kernels_ref.point_shares ? out.data : NULL, stride);
    check_that(check, same_bits(out.data, twin.data, stride), "%zu columns, %zu points differ from the twin", columns, count);
    if (fill == FILL_USUAL || fill == FILL_CLIPPED)
        shares_are_exact(check, twin.data, line.data, points.data, stride, index, count);
    check_that(check, guarded_intact(&out) && guarded_intact(&line) && guarded_intact(&points), "%zu columns, %zu points: written outside",
               columns, count);
    memory_give(index);
    struct guarded *taken[] = {&line, &points, &out, &twin};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        guarded_give(taken[i]);
}

static void shares_check(struct check *check, const struct kernels *kernels)
{
    for (int round = 0; round < (check->soak ? 100 : 3); round++)
        for (size_t columns = 1; columns <= 128; columns++) {
            const uint32_t point_count = 1 + check_below(check, 40), count = check_below(check, 70);
            shares_shape(check, kernels, columns, point_count, count);
            if (columns % 16 < 2)
                shares_shape(check, kernels, columns, 512, 64);
        }
}

/* --- sqrt_mean, row_norm ------------------------------------------------------------------------------------------------- */

static void sqrt_mean_shape(struct check *check, const struct kernels *kernels, size_t rows, size_t segments)
{
    size_t stride = (tile_count(rows) + check_below(check, 2)) * TILE_ROWS;
    enum check_fill fill = (enum check_fill)check_below(check, FILL_COUNT);
    struct guarded min = guarded_take(segments * stride, 0), norm = guarded_take(stride, 0);
    struct guarded out = guarded_take(rows, check_below(check, 2)), twin = guarded_take(rows, 0);
    for (size_t i = 0; i < segments * stride; i++)
        min.data[i] = check_below(check, 40) ? filled(check, fill) : INFINITY;
    for (size_t i = 0; i < stride; i++)
        norm.data[i] = fabsf(filled(check, fill));
    kernels->sqrt_mean(out.data, min.data, stride, norm.data, rows, segments);
    kernels_ref.sqrt_mean(twin.data, min.data, stride, norm.data, rows, segments);
    check_that(check, same_bits(out.data, twin.data, rows), "%zu rows, %zu segments differ from the twin", rows, segments);
    check_that(check, guarded_intact(&out) && guarded_intact(&min) && guarded_intact(&norm), "%zu rows, %zu segments: written outside",
               rows, segments);
    guarded_give(&min);
    guarded_give(&norm);
    guarded_give(&out);
    guarded_give(&twin);
}

static void sqrt_mean_check(struct check *check, const struct kernels *kernels)
{
    for (size_t rows = 0; rows <= 67; rows++)
        for (int i = 0; i < 5; i++)
            sqrt_mean_shape(check, kernels, rows, i ? check_below(check, 70) : 64);
    _Alignas(64) float min[2 * TILE_ROWS] = {3.0f, -3.0f}, norm[TILE_ROWS] = {1.0f, 2.0f}, out[2];
    min[TILE_ROWS] = 8.0f;
    min[TILE_ROWS + 1] = -1.0f;
    kernels->sqrt_mean(out, min, TILE_ROWS, norm, 2, 2);
    check_that(check, out[0] == 2.5f && out[1] == 0.5f, "plain numbers: %g, %g", out[0], out[1]);
    kernels->sqrt_mean(out, min, TILE_ROWS, norm, 2, 0);
    check_that(check, out[0] == 0 && out[1] == 0, "no segments: %g, %g", out[0], out[1]);
}

static void row_norm_check(struct check *check, const struct kernels *kernels)
{
    for (size_t rows = 0; rows <= 67; rows++) {
        struct points_case c = case_take(check, rows, check_below(check, 70), 0);
        size_t lanes = c.tiles * TILE_ROWS;
        struct guarded norm = guarded_take(lanes, 0), twin = guarded_take(lanes, 0);
        kernels->row_norm(norm.data, c.z.data, c.tiles, c.points.column_count);
        kernels_ref.row_norm(twin.data, c.z.data, c.tiles, c.points.column_count);
        check_that(check, same_bits(norm.data, twin.data, lanes), "%zu rows differ from the twin", rows);
        check_that(check, guarded_intact(&norm), "%zu rows: written outside", rows);
        guarded_give(&norm);
        guarded_give(&twin);
        case_give(&c);
    }
}

/* --- the twin against the oracle ------------------------------------------------------------------------------------------ */

/* |square - oracle| <= γ(D + 3)·Σ (|z| + |c|)² (kernels.h), where nothing underflows. *share: the largest part of it seen. */
static void oracle_shape(struct check *check, const struct points_case *c, size_t row, double *share)
{
    const struct points *points = &c->points;
    const uint32_t columns = points->column_count;
    const double nu = ((double)columns + 3) * 0x1p-24;
    const float *z = row_of(c, row);
    float norm = 0;
    for (uint32_t j = 0; j < columns; j++)
        norm = fmaf(z[j * TILE_ROWS], z[j * TILE_ROWS], norm);
    for (uint32_t p = 0; p < points->point_count; p++) {
        float square = kernel_point(z, TILE_ROWS, points, p) + norm;
        double reach = 0, oracle = oracle_point(z, TILE_ROWS, points, p);
        for (uint32_t j = 0; j < columns; j++)
            reach += pow(fabs((double)z[j * TILE_ROWS]) + fabs((double)c->centre.data[(size_t)p * columns + j]), 2);
        double error = fabs((double)(square > 0 ? square : 0) - oracle), bound = nu / (1 - nu) * reach;
        check_that(check, error <= bound + 0x1p-120, "%u columns: twin %.9g, oracle %.17g, bound %g", columns, square, oracle, bound);
        *share = bound > 0x1p-100 && error / bound > *share ? error / bound : *share;
    }
}

static void oracle_check(struct check *check)
{
    double share = 0;
    for (int round = 0; round < (check->soak ? 20 : 1); round++)
        for (uint32_t columns = 0; columns <= 128; columns++) {
            struct points_case c = case_take(check, 16, columns, 24);
            for (size_t row = 0; row < 16; row++)
                oracle_shape(check, &c, row, &share);
            case_give(&c);
        }
    printf("points_oracle: at most %.2f of the bound\n", share);
    check_that(check, share > 0.01, "the bound is idle");
}

int main(int argc, char **argv)
{
    struct check check;
    check_open(&check, argc, argv);
    check_everywhere(&check, "points_mean", mean_check);
    check_everywhere(&check, "points_nearest", nearest_check);
    check_everywhere(&check, "point_shares", shares_check);
    check_everywhere(&check, "sqrt_mean", sqrt_mean_check);
    check_everywhere(&check, "row_norm", row_norm_check);
    if (check_begin(&check, "points_oracle", "ref")) {
        oracle_check(&check);
        check_end(&check);
    }
    return check_close(&check);
}
