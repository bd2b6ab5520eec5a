/* Clustering of one scene as `sluice build` does it, one thread: drawn as k-means++, 20 rounds of k-means, 10 of densities.
 * usage: bench_cluster [ROWS COLUMNS CLUSTERS] (default 100,000 16 64) */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"
#include "scene/cluster.h"

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    const uint32_t sizes[] = {argc > 3 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000,
                              argc > 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 16, argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 64};
    struct matrix rows = {.row_count = sizes[0], .column_count = sizes[1]};
    const struct cluster_rules rules = {.count_max = sizes[2], .rows_least = 1, .precision_max = 25, .shrink_rows = 20};
    struct random random = {.state = 1};
    struct clusters found;
    struct kernels kernels;
    struct fault_note note = {0};
    size_t floats = tile_count(rows.row_count) * TILE_ROWS * rows.column_count;
    MUST(sizes[0] && sizes[1] && sizes[2] && (rows.z = memory_take_aligned(floats * sizeof *rows.z, 64)));
    for (size_t i = 0; i < floats; i++)
        rows.z[i] = (float)random_unit(&random);
    kernels_select(&kernels, CPU_MASK_ALL);
    double start = seconds();
    MUST(clusters_find(&found, &rows, &rules, &random, &kernels, &note) == FAULT_NONE);
    double spent = seconds() - start;
    printf("%u x %u, %u clusters, kernels %s: %.3f s\n", sizes[0], sizes[1], found.count, kernels.name, spent);
    printf("{\"bench\":\"cluster\",\"version\":\"%s\",\"figures\":{\"find\":{\"value\":%.4g,\"unit\":\"s\"}}}\n", SLUICE_VERSION, spent);
    clusters_fini(&found);
    memory_give(rows.z);
    return 0;
}
