/* blas_distances, blas_points_products: every proposal is within its bound of the twin, the bound is not idle, nothing else is written. */
#include "kernel/check.h"
#include "kernel/panels.h"

struct blas_case {
    struct panel_case c;
    struct guarded approx, bound, weights, scratch;
};

static void propose(struct blas_case *b)
{
    size_t lanes = b->c.tiles * TILE_ROWS;
    b->approx = guarded_take(b->c.stride * b->c.panel.cluster_count, 0);
    b->bound = guarded_take(lanes, 0);
    b->weights = guarded_take(blas_weights_floats(&b->c.panel), 0);
    b->scratch = guarded_take(blas_scratch_floats(b->c.row_count, &b->c.panel), 0);
    blas_weights(b->weights.data, &b->c.panel);
    blas_distances(b->approx.data, b->c.stride, b->bound.data, b->c.z.data, b->c.row_count, &b->c.panel, b->weights.data, b->scratch.data);
}

static void give(struct blas_case *b)
{
    guarded_give(&b->approx);
    guarded_give(&b->bound);
    guarded_give(&b->weights);
    guarded_give(&b->scratch);
    panel_case_give(&b->c);
}

static void bound_shape(struct check *check, const struct kernels *kernels, size_t rows, uint32_t columns, uint32_t clusters)
{
    struct blas_case b = {.c = panel_case_take(check, rows, columns, clusters)};
    (void)kernels;
    propose(&b);
    for (size_t row = 0; row < rows; row++) {
        double bound = b.bound.data[row];
        for (uint32_t k = 0; k < clusters && bound < INFINITY; k++) {
            double twin = kernel_distance(panel_case_row(&b.c, row), TILE_ROWS, &b.c.panel, k),
                   approx = b.approx.data[k * b.c.stride + row];
            check_that(check, fabs(approx - twin) <= bound, "%zu x %u x %u: proposed %.9g, twin %.9g, bound %.9g", rows, columns, clusters,
                       approx, twin, bound);
        }
        check_that(check, bound >= 0, "%zu x %u x %u: bound %g", rows, columns, clusters, bound);
    }
    check_that(check, guarded_intact(&b.approx) && guarded_intact(&b.bound) && guarded_intact(&b.weights) && guarded_intact(&b.scratch),
               "%zu x %u x %u: written outside", rows, columns, clusters);
    give(&b);
}

/* The weights of a panel's clusters taken as points: any numbers will do. */
static void points_shape(struct check *check, const struct kernels *kernels, size_t rows, uint32_t columns, uint32_t count)
{
    struct panel_case c = panel_case_take(check, rows, columns, count);
    const struct points points = {
        .column_count = columns, .point_count = count, .segment_count = 1, .weight = c.ab.data, .start = c.start.data};
    struct guarded approx = guarded_take(c.stride * count, 0), bound = guarded_take(c.tiles * TILE_ROWS, 0);
    struct guarded weights = guarded_take(blas_points_weights_floats(&points), 0);
    struct guarded scratch = guarded_take(blas_points_scratch_floats(rows, &points), 0);
    (void)kernels;
    blas_points_weights(weights.data, &points);
    blas_points_products(approx.data, c.stride, bound.data, c.z.data, rows, &points, weights.data, scratch.data);
    for (size_t row = 0; row < rows; row++)
        for (uint32_t p = 0; p < count && bound.data[row] < INFINITY; p++) {
            double twin = kernel_point(panel_case_row(&c, row), TILE_ROWS, &points, p), got = approx.data[p * c.stride + row];
            check_that(check, fabs(got - twin) <= (double)bound.data[row], "%zu x %u x %u: proposed %.9g, twin %.9g, bound %.9g", rows,
                       columns, count, got, twin, bound.data[row]);
        }
    check_that(check, guarded_intact(&approx) && guarded_intact(&bound) && guarded_intact(&weights) && guarded_intact(&scratch),
               "%zu x %u x %u: written outside", rows, columns, count);
    guarded_give(&approx);
    guarded_give(&bound);
    guarded_give(&weights);
    guarded_give(&scratch);
    panel_case_give(&c);
}

/* On usual numbers the bound must be finite and small against the distances, or proposing would be pointless. */
static void bound_is_useful(struct check *check)
{
    double worst = 0;
    for (int i = 0; i < 20; i++) {
        struct blas_case b = {.c = panel_case_take(check, 64, 16, 48)};
        for (size_t j = 0; j < b.c.ab.bytes / sizeof(float); j++)
            b.c.ab.data[j] = check_uniform(check, -2.0f, 2.0f);
        for (size_t j = 0; j < b.c.z.bytes / sizeof(float); j++)
            b.c.z.data[j] = check_uniform(check, -3.0f, 3.0f);
        for (uint32_t k = 0; k < 48; k++)
            b.c.start.data[k] = check_uniform(check, 0.0f, 4.0f);
        propose(&b);
        for (size_t row = 0; row < 64; row++)
            worst = fmax(worst, b.bound.data[row]);
        give(&b);
    }
    check_that(check, worst < 0.02, "bound of %g", worst);
}

/* Weights beyond float's range: the bound must say that it knows nothing. */
static void overflow_is_told(struct check *check)
{
    struct blas_case b = {.c = panel_case_take(check, 16, 2, 3)};
    for (size_t i = 0; i < 12; i++)
        b.c.ab.data[i] = i == 4 ? 3e30f : 1.0f;
    for (size_t i = 0; i < 32; i++)
        b.c.z.data[i] = 0.0f;
    propose(&b);
    for (size_t row = 0; row < 16; row++)
        check_that(check, isinf(b.bound.data[row]), "bound %g", b.bound.data[row]);
    give(&b);
}

int main(int argc, char **argv)
{
    struct check check;
    check_open(&check, argc, argv);
    printf("core type %s\n", blas_core_name());
    if (check_begin(&check, "blas_distances", "bound")) {
        for (int round = 0; round < (check.soak ? 500 : 10); round++)
            panel_shapes(&check, &kernels_ref, bound_shape);
        check_end(&check);
    }
    if (check_begin(&check, "blas_points_products", "bound")) {
        for (int round = 0; round < (check.soak ? 500 : 10); round++)
            panel_shapes(&check, &kernels_ref, points_shape);
        check_end(&check);
    }
    if (check_begin(&check, "blas_distances", "useful")) {
        bound_is_useful(&check);
        overflow_is_told(&check);
        check_end(&check);
    }
    return check_close(&check);
}
