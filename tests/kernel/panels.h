#ifndef SLUICE_CHECK_PANELS_H
#define SLUICE_CHECK_PANELS_H

#include "kernel/check.h"

/* Random panels and row tiles of any shape, with empty segments anywhere. */

struct panel_case {
    struct panel panel;
    size_t row_count, tiles, stride;
    uint32_t *segment_first;
    struct guarded ab, start, z;
};

static inline void panel_case_segments(struct panel_case *out, struct check *check, uint32_t clusters)
{
    static const uint32_t usual[] = {1, 2, 6, 64, 67};
    uint32_t segments = check_below(check, 2) ? usual[check_below(check, 5)] : check_below(check, 12);
    segments = clusters && !segments ? 1 : segments;
    out->segment_first = memory_take_zeroed(segments + 1, sizeof *out->segment_first);
    MUST(out->segment_first);
    for (uint32_t i = 0; i < clusters; i++) /* cluster i falls to a random segment: counts, then sums */
        out->segment_first[1 + check_below(check, segments)]++;
    for (uint32_t s = 0; s < segments; s++)
        out->segment_first[s + 1] += out->segment_first[s];
    out->panel.segment_count = segments;
    out->panel.segment_first = out->segment_first;
}

static inline struct panel_case panel_case_take(struct check *check, size_t rows, uint32_t columns, uint32_t clusters)
{
    struct panel_case out = {.row_count = rows, .tiles = tile_count(rows)};
    enum check_fill z_fill = check_below(check, 3) ? FILL_USUAL : (enum check_fill)check_below(check, FILL_COUNT);
    enum check_fill ab_fill = check_below(check, 3) ? FILL_USUAL : (enum check_fill)check_below(check, FILL_COUNT);
    out.panel.column_count = columns;
    out.panel.cluster_count = clusters;
    out.stride = (out.tiles + check_below(check, 3)) * TILE_ROWS;
    panel_case_segments(&out, check, clusters);
    out.ab = guarded_take(2 * (size_t)columns * clusters, 0);
    out.start = guarded_take(clusters, 0);
    out.z = guarded_take(out.tiles * columns * TILE_ROWS, 0);
    out.panel.ab = out.ab.data;
    out.panel.start = out.start.data;
    for (size_t i = 0; i < 2 * (size_t)columns * clusters; i++)
        out.ab.data[i] = check_filled(check, ab_fill);
    for (uint32_t k = 0; k < clusters; k++)
        out.start.data[k] = columns ? check_filled(check, ab_fill) : check_below(check, 2) ? 0.0f : -0.0f; /* ties of unlike bits */
    for (size_t i = 0; i < out.tiles * columns * TILE_ROWS; i++) {
        size_t row = i / (columns * TILE_ROWS) * TILE_ROWS + i % TILE_ROWS;
        out.z.data[i] = row < rows ? check_filled(check, z_fill) : 0.0f;
    }
    if (clusters > 1 && check_below(check, 4) == 0) /* two clusters alike: a tie */
        memcpy(out.ab.data + 2 * (size_t)columns * (clusters - 1), out.ab.data, 2 * columns * sizeof(float)),
            out.start.data[clusters - 1] = out.start.data[0];
    return out;
}

static inline void panel_case_give(struct panel_case *panel_case)
{
    memory_give(panel_case->segment_first);
    guarded_give(&panel_case->ab);
    guarded_give(&panel_case->start);
    guarded_give(&panel_case->z);
}

static inline const float *panel_case_row(const struct panel_case *panel_case, size_t row)
{
    return panel_case->z.data + row / TILE_ROWS * panel_case->panel.column_count * TILE_ROWS + row % TILE_ROWS;
}

/* Calls each of many shapes: every count from 0 to 67 of rows, columns and clusters, and the named ones. */
static inline void panel_shapes(struct check *check, const struct kernels *kernels,
                                void (*run)(struct check *, const struct kernels *, size_t rows, uint32_t columns, uint32_t clusters))
{
    for (uint32_t n = 0; n <= 67; n++) {
        /* drawn before the calls: the order of arguments is the compiler's */
        const uint32_t rows = 1 + check_below(check, 67), columns = 1 + check_below(check, 20), count = check_below(check, 68);
        run(check, kernels, n, columns, count);
        run(check, kernels, rows, n, count / 2);
        run(check, kernels, rows, columns, n);
        run(check, kernels, rows, 0, n);
    }
    static const struct {
        uint16_t rows, columns, clusters;
    } named[] = {{64, 8, 48}, {80, 16, 48}, {64, 16, 128}, {33, 16, 576}, {17, 64, 256}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        run(check, kernels, named[i].rows, named[i].columns, named[i].clusters);
}

#endif
