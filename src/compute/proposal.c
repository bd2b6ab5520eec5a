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

static void segment_decide(float *out, const struct scratch *scratch, const float *z, uint32_t rows, const struct panel *panel,
                           uint32_t segment)
{
    const uint32_t first = panel->segment_first[segment], end = panel->segment_first[segment + 1];
    float limit[PROPOSAL_ROWS];
    limits_take(limit, scratch, rows, first, end);
    for (uint32_t row = 0; row < rows; row++)
        out[row] = INFINITY;
    for (uint32_t k = first; k < end; k++) {
        const float *approx = scratch->approx + (size_t)k * PROPOSAL_ROWS;
        for (uint32_t row = 0; row < rows; row++) {
            if (approx[row] > limit[row])
                continue;
            const float *first_z = z + (size_t)(row / TILE_ROWS) * TILE_ROWS * panel->column_count + row % TILE_ROWS;
            float distance = kernel_distance(first_z, TILE_ROWS, panel, k);
            out[row] = out[row] < distance ? out[row] : distance;
        }
    }
}

void proposal_minima(float *out, struct scratch *scratch, const float *z, uint32_t row_count, const struct panel *panel,
                     const float *weights)
{
    for (uint32_t row = 0; row < row_count; row += PROPOSAL_ROWS) {
        const uint32_t rows = row_count - row < PROPOSAL_ROWS ? row_count - row : PROPOSAL_ROWS;
        const float *first_z = z + (size_t)row * panel->column_count;
        pthread_mutex_lock(&product_lock);
        blas_distances(scratch->approx, PROPOSAL_ROWS, scratch->bound, first_z, rows, panel, weights, scratch->packed);
        pthread_mutex_unlock(&product_lock);
        for (uint32_t segment = 0; segment < panel->segment_count; segment++)
            segment_decide(out + (size_t)segment * SLICE_ROWS + row, scratch, first_z, rows, panel, segment);
    }
}
