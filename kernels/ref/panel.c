/* The twin of the panel kernels: every operation of the specification, one after the other, in its order.
 * Never tuned. fmaf is correctly rounded whether or not the processor has it, so these bits hold on any machine. */
#include "kernels.h"

#include <math.h>

#include "implementations.h"

float kernel_distance(const float *z, size_t z_stride, const struct panel *panel, uint32_t cluster)
{
    const float *ab = panel->ab + 2 * (size_t)panel->column_count * cluster;
    float distance = panel->start[cluster];
    for (uint32_t j = 0; j < panel->column_count; j++) {
        float u = fmaf(z[j * z_stride], ab[2 * j], ab[2 * j + 1]);
        distance = fmaf(u, u, distance);
    }
    return distance;
}

PANEL_MIN_FN(panel_min_ref)
{
    for (size_t row = 0; row < tiles * TILE_ROWS; row++) {
        const float *first = z + row / TILE_ROWS * panel->column_count * TILE_ROWS + row % TILE_ROWS;
        for (uint32_t segment = 0; segment < panel->segment_count; segment++) {
            float least = INFINITY;
            for (uint32_t k = panel->segment_first[segment]; k < panel->segment_first[segment + 1]; k++) {
                float distance = kernel_distance(first, TILE_ROWS, panel, k);
                least = least < distance ? least : distance;
            }
            out[segment * out_stride + row] = least;
        }
    }
}

/* No cluster, or none below +infinity: index 0 at +infinity. */
PANEL_NEAREST_FN(panel_nearest_ref)
{
    for (size_t row = 0; row < tiles * TILE_ROWS; row++) {
        const float *first = z + row / TILE_ROWS * panel->column_count * TILE_ROWS + row % TILE_ROWS;
        uint32_t nearest = 0;
        float least = INFINITY;
        for (uint32_t k = 0; k < panel->cluster_count; k++) {
            float found = kernel_distance(first, TILE_ROWS, panel, k);
            nearest = found < least ? k : nearest;
            least = found < least ? found : least;
        }
        index[row] = nearest;
        distance[row] = least;
    }
}
