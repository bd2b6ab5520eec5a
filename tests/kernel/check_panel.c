/* panel_min and panel_nearest: every instruction set gives the twin's bits on every shape; rows do not see each other;
 * the twin is within its bound of the oracle. */
#include "kernel/check.h"
#include "kernel/panels.h"

static bool same_bits(const float *a, const float *b, size_t count)
{
    return count == 0 || memcmp(a, b, count * sizeof *a) == 0;
}

/* --- panel_min ------------------------------------------------------------------------------------------------------ */

static void min_shape(struct check *check, const struct kernels *kernels, size_t rows, uint32_t columns, uint32_t clusters)
{
    struct panel_case c = panel_case_take(check, rows, columns, clusters);
    struct guarded out = guarded_take(c.stride * c.panel.segment_count, 0), twin = guarded_take(c.stride * c.panel.segment_count, 0);
    kernels->panel_min(out.data, c.stride, c.z.data, c.tiles, &c.panel);
    kernels_ref.panel_min(twin.data, c.stride, c.z.data, c.tiles, &c.panel);
    for (uint32_t s = 0; s < c.panel.segment_count; s++)
        check_digest(check, kernels->panel_min == kernels_ref.panel_min ? twin.data + s * c.stride : NULL, rows);
    for (uint32_t s = 0; s < c.panel.segment_count; s++) {
        const float *got = out.data + s * c.stride, *wanted = twin.data + s * c.stride;
        check_that(check, same_bits(got, wanted, rows), "%zu x %u x %u, segment %u of %u differs from the twin", rows, columns, clusters, s,
                   c.panel.segment_count);
        check_that(check, guard_whole((const unsigned char *)(got + c.tiles * TILE_ROWS), (c.stride - c.tiles * TILE_ROWS) * sizeof(float)),
                   "%zu x %u x %u, segment %u: written past the tiles", rows, columns, clusters, s);
    }
    check_that(check, guarded_intact(&out) && guarded_intact(&c.z) && guarded_intact(&c.ab) && guarded_intact(&c.start),
               "%zu x %u x %u: written outside", rows, columns, clusters);
    guarded_give(&out);
    guarded_give(&twin);
    panel_case_give(&c);
}

static void min_check(struct check *check, const struct kernels *kernels)
{
    for (int round = 0; round < (check->soak ? 200 : 5); round++)
        panel_shapes(check, kernels, min_shape);
}

/* Each tile by itself gives what all at once give; a row gives the same in any lane of any tile. */
static void order_shape(struct check *check, const struct kernels *kernels, size_t rows, uint32_t columns, uint32_t clusters)
{
    struct panel_case c = panel_case_take(check, rows, columns, clusters);
    size_t floats = c.stride * c.panel.segment_count, tile_floats = (size_t)columns * TILE_ROWS;
    struct guarded whole = guarded_take(floats, 0), parts = guarded_take(floats, 0), z = guarded_take(c.tiles * tile_floats, 0);
    kernels->panel_min(whole.data, c.stride, c.z.data, c.tiles, &c.panel);
    for (size_t tile = 0; tile < c.tiles; tile++)
        kernels->panel_min(parts.data + tile * TILE_ROWS, c.stride, c.z.data + tile * tile_floats, 1, &c.panel);
    for (uint32_t s = 0; s < c.panel.segment_count; s++)
        check_that(check, same_bits(whole.data + s * c.stride, parts.data + s * c.stride, c.tiles * TILE_ROWS),
                   "%zu x %u x %u: tiles at once and one by one differ", rows, columns, clusters);
    size_t shift = 1 + check_below(check, 67), lanes = c.tiles * TILE_ROWS;
    for (size_t row = 0; row < lanes; row++)
        for (uint32_t j = 0; j < columns; j++) {
            size_t to = (row + shift) % lanes;
            z.data[(to / TILE_ROWS * columns + j) * TILE_ROWS + to % TILE_ROWS] = panel_case_row(&c, row)[j * TILE_ROWS];
        }
    kernels->panel_min(parts.data, c.stride, z.data, c.tiles, &c.panel);
    for (uint32_t s = 0; s < c.panel.segment_count; s++)
        for (size_t row = 0; row < lanes; row++)
            check_that(check, same_bits(whole.data + s * c.stride + row, parts.data + s * c.stride + (row + shift) % lanes, 1),
                       "%zu x %u x %u: row %zu depends on its place", rows, columns, clusters, row);
    guarded_give(&whole);
    guarded_give(&parts);
    guarded_give(&z);
    panel_case_give(&c);
}

static void order_check(struct check *check, const struct kernels *kernels)
{
    for (int i = 0; i < (check->soak ? 5000 : 200); i++)
        order_shape(check, kernels, 1 + check_below(check, 130), 1 + check_below(check, 20), 1 + check_below(check, 40));
}

/* --- panel_nearest -------------------------------------------------------------------------------------------------- */

static void nearest_shape(struct check *check, const struct kernels *kernels, size_t rows, uint32_t columns, uint32_t clusters)
{
    struct panel_case c = panel_case_take(check, rows, columns, clusters);
    size_t lanes = c.tiles * TILE_ROWS, shift = check_below(check, 2);
    struct guarded index = guarded_take(lanes, 0), distance = guarded_take(lanes, shift);
    struct guarded twin_index = guarded_take(lanes, 0), twin_distance = guarded_take(lanes, 0);
    kernels->panel_nearest((uint32_t *)(void *)index.data, distance.data, c.z.data, c.tiles, &c.panel);
    kernels_ref.panel_nearest((uint32_t *)(void *)twin_index.data, twin_distance.data, c.z.data, c.tiles, &c.panel);
    check_digest(check, kernels->panel_nearest == kernels_ref.panel_nearest ? twin_index.data : NULL, rows);
    check_that(check, same_bits(index.data, twin_index.data, rows), "%zu x %u x %u: indices differ from the twin", rows, columns, clusters);
    check_that(check, same_bits(distance.data, twin_distance.data, rows), "%zu x %u x %u: distances differ from the twin", rows, columns,
               clusters);
    check_that(check, guarded_intact(&index) && guarded_intact(&distance), "%zu x %u x %u: written outside", rows, columns, clusters);
    guarded_give(&index);
    guarded_give(&distance);
    guarded_give(&twin_index);
    guarded_give(&twin_distance);
    panel_case_give(&c);
}

static void nearest_check(struct check *check, const struct kernels *kernels)
{
    for (int round = 0; round < (check->soak ? 200 : 5); round++)
        panel_shapes(check, kernels, nearest_shape);
}

/* --- the twin against the oracle ------------------------------------------------------------------------------------ */

/* |twin - oracle| <= γ(D + 3)·M with M = |start| + Σ (|a||z| + |b|)², where nothing overflows or underflows. */
static void oracle_shape(struct check *check, const struct kernels *kernels, size_t rows, uint32_t columns, uint32_t clusters)
{
    struct panel_case c = panel_case_take(check, rows, columns, clusters);
    (void)kernels;
    for (size_t row = 0; row < rows; row++)
        for (uint32_t k = 0; k < clusters; k++) {
            const float *z = panel_case_row(&c, row), *ab = c.panel.ab + 2 * (size_t)columns * k;
            double reach = fabs((double)c.panel.start[k]), nu = ((double)columns + 3) * 0x1p-24;
            for (uint32_t j = 0; j < columns; j++) {
                double u = fabs((double)z[j * TILE_ROWS] * ab[2 * j]) + fabs((double)ab[2 * j + 1]);
                reach += u * u;
            }
            double oracle = oracle_distance(z, TILE_ROWS, &c.panel, k), twin = kernel_distance(z, TILE_ROWS, &c.panel, k);
            if (reach > 0x1p126 || reach < 0x1p-60)
                continue;
            check_that(check, fabs(twin - oracle) <= nu / (1 - nu) * reach + 0x1p-120, "%u columns: twin %.9g, oracle %.17g", columns, twin,
                       oracle);
        }
    panel_case_give(&c);
}

int main(int argc, char **argv)
{
    struct check check;
    check_open(&check, argc, argv);
    check_everywhere(&check, "panel_min", min_check);
    check_everywhere(&check, "panel_min_order", order_check);
    check_everywhere(&check, "panel_nearest", nearest_check);
    if (check_begin(&check, "panel_oracle", "ref")) {
        panel_shapes(&check, &kernels_ref, oracle_shape);
        check_end(&check);
    }
    return check_close(&check);
}
