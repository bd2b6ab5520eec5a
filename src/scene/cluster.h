#ifndef SLUICE_SCENE_CLUSTER_H
#define SLUICE_SCENE_CLUSTER_H

#include <stdint.h>

#include "base/fault.h"
#include "kernels.h"
#include "scene/random.h"
#include "scene/team.h"

/* Clusters of one scene in one dimension. */

struct matrix { /* standardised rows in tiles (kernels.h) */
    uint32_t row_count, column_count;
    float *z;
};

static inline float *matrix_at(const struct matrix *matrix, uint32_t row, uint32_t column)
{
    return matrix->z + ((size_t)(row / TILE_ROWS) * matrix->column_count + column) * TILE_ROWS + row % TILE_ROWS;
}

struct cluster_rules {
    uint32_t count_max, rows_least; /* of a cluster */
    double precision_max;
    double shrink_rows; /* a cluster's variances count as if this many rows had those of all rows */
    struct team *team;  /* that the rows are shared by; NULL: the caller alone; the clusters do not depend on it */
};

struct clusters { /* as in the file */
    uint32_t count, column_count;
    float *centres, *precisions, *offsets;
};

/* k-means (drawn as k-means++, Arthur and Vassilvitskii 2007), then rows move to the cluster of the least distance
 *     ½ Σ_j l_j (z_j − c_j)² − b,  l = 1 / variance,  b = log(share) + ½ Σ_j log l_j
 * for some rounds. Rows are drawn from an even sample where there are many. out: clusters_fini. rows has at least one row. */
enum fault clusters_find(struct clusters *out, const struct matrix *rows, const struct cluster_rules *rules, struct random *random,
                         const struct kernels *kernels, struct fault_note *note);
void clusters_fini(struct clusters *clusters); /* safe on zeroed memory */

#endif
