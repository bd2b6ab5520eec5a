/* The matrix product proposes, the twin's arithmetic decides: a segment's exact winner is always among the clusters whose
 * proposal is within twice the bound of the least one, and the twin recomputes each of these in cluster order.
 * The serial OpenBLAS hands out its buffers without a lock (two threads were seen to get the same one): ours is held
 * around every product, process-wide; the deciding goes on in parallel. */
#include "compute/internal.h"

#include <math.h>
#include <pthread.h>

static pthread_mutex_t product_lock = PTHREAD_MUTEX_INITIALIZER;

/* limit[row]: what a cluster's proposal may be at most to be the segment's winner. */
static void limits_take(float *limit, const struct scratch *scratch, uint32_t rows, uint32_t first, uint32_t end)
{
    for (uint32_t row = 0; row < rows; row++)
        limit[row] = INFINITY;
    for (uint32_t k = first; k < end; k++) {
        const float *approx = scratch->approx + (size_t)k * PROPOSAL_ROWS;
        for (uint32_t row = 0; row < rows; row++)
            limit[row] = limit[row] < approx[row] ? limit[row] : approx[row];
    }
    for (uint32_t row = 0; row < rows; row++)
        limit[row] += 2.0f * scratch->bound[row];
}

/* What is proposed for: a panel's clusters or an ensemble's points. */
struct proposed {
    const struct panel *panel;   /* or NULL */
    const struct points *points; /* or NULL */
    uint32_t column_count, segment_count;
    const uint32_t *segment_first;
};

static void segment_decide(float *out, const struct scratch *scratch, const float *z, uint32_t rows, const struct proposed *proposed,
                           uint32_t segment)
{
    const uint32_t first = proposed->segment_first[segment], end = proposed->segment_first[segment + 1];
    float limit[PROPOSAL_ROWS];
    limits_take(limit, scratch, rows, first, end);
    for (uint32_t row = 0; row < rows; row++)
        out[row] = INFINITY;
    for (uint32_t k = first; k < end; k++) {
        const float *approx = scratch->approx + (size_t)k * PROPOSAL_ROWS;
        for (uint32_t row = 0; row < rows; row++) {
            if (approx[row] > limit[row])
                continue;
            const float *first_z = z + (size_t)(row / TILE_ROWS) * TILE_ROWS * proposed->column_count + row % TILE_ROWS;
            float distance = proposed->panel ? kernel_distance(first_z, TILE_ROWS, proposed->panel, k)
                                             : kernel_point(first_z, TILE_ROWS, proposed->points, k);
            out[row] = out[row] < distance ? out[row] : distance;
        }
    }
}

static void minima_take(float *out, struct scratch *scratch, const float *z, uint32_t row_count, const struct proposed *proposed,
                        const float *weights)
{
    for (uint32_t row = 0; row < row_count; row += PROPOSAL_ROWS) {
        const uint32_t rows = row_count - row < PROPOSAL_ROWS ? row_count - row : PROPOSAL_ROWS;
        const float *first_z = z + (size_t)row * proposed->column_count;
        pthread_mutex_lock(&product_lock);
        if (proposed->panel)
            blas_distances(scratch->approx, PROPOSAL_ROWS, scratch->bound, first_z, rows, proposed->panel, weights, scratch->packed);
        else
            blas_points_products(scratch->approx, PROPOSAL_ROWS, scratch->bound, first_z, rows, proposed->points, weights, scratch->packed);
        pthread_mutex_unlock(&product_lock);
        for (uint32_t segment = 0; segment < proposed->segment_count; segment++)
            segment_decide(out + (size_t)segment * SLICE_ROWS + row, scratch, first_z, rows, proposed, segment);
    }
}

void proposal_minima(float *out, struct scratch *scratch, const float *z, uint32_t row_count, const struct panel *panel,
                     const float *weights)
{
    const struct proposed proposed = {
        .panel = panel, .column_count = panel->column_count, .segment_count = panel->segment_count, .segment_first = panel->segment_first};
    minima_take(out, scratch, z, row_count, &proposed, weights);
}

void proposal_points_minima(float *out, struct scratch *scratch, const float *z, uint32_t row_count, const struct points *points,
                            const float *weights)
{
    const struct proposed proposed = {.points = points,
                                      .column_count = points->column_count,
                                      .segment_count = points->segment_count,
                                      .segment_first = points->segment_first};
    minima_take(out, scratch, z, row_count, &proposed, weights);
}
