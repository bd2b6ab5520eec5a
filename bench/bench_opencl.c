/* panel.cl against the native kernel of this processor, in turn in every round, one core each (PoCL is held to one thread):
 * segment minima of 1,024 rows, copies there and back included. Then what a launch costs: one tile of rows, one cluster.
 * Medians of the rounds; a table, then one JSON line. usage: bench_opencl [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"
#include "compute/opencl.h"
#include "filled.h"

enum { ROWS = 1024, TILES = ROWS / TILE_ROWS, ROUNDS_MOST = 1001, SEGMENTS_MOST = 64, SETS_MOST = 4 };

static const struct shape {
    const char *name;
    uint32_t sets, columns, clusters, segments;
    bool is_product;
} shapes[] = {{"8x48", 1, 8, 48, 8, false},      {"16x48", 1, 16, 48, 8, false},        {"16x128", 1, 16, 128, 8, false},
              {"16x576", 1, 16, 576, 64, false}, {"4 of 16x128", 4, 16, 128, 8, false}, {"points 16x512", 1, 16, 512, 64, true}};
enum { SHAPE_COUNT = sizeof shapes / sizeof *shapes };

struct work {
    uint32_t first[SEGMENTS_MOST + 1];
    float *values, *start, *z, *out, *mean;
    struct panel panel;
    struct points points;
    struct opencl_base *base;
    struct opencl_queue *queue;
};

static void work_init(struct work *work, const struct shape *shape, struct opencl *opencl, size_t rows)
{
    *work = (struct work){.values = filled(2 * (size_t)shape->columns * shape->clusters, -2, 2),
                          .start = filled(shape->clusters, -1, 1),
                          .z = filled(shape->sets * shape->columns * rows, -3, 3),
                          .out = filled(shape->sets * shape->segments * rows, 0, 1),
                          .mean = filled(rows, 0, 1)};
    for (uint32_t s = 0; s <= shape->segments; s++)
        work->first[s] = shape->clusters * s / shape->segments;
    work->panel = (struct panel){shape->columns, shape->clusters, shape->segments, work->first, work->values, work->start};
    work->points = (struct points){shape->columns, shape->clusters, shape->segments, work->first, work->values, work->start};
    const struct opencl_set set = shape->is_product ? opencl_set_of_points(&work->points) : opencl_set_of_panel(&work->panel);
    const struct opencl_set sets[SETS_MOST] = {set, set, set, set};
    MUST(opencl_base_put(&work->base, opencl, sets, shape->sets, NULL) == FAULT_NONE);
    MUST(opencl_queue_take(&work->queue, work->base, (uint32_t)rows, NULL) == FAULT_NONE);
}

static void work_fini(struct work *work)
{
    opencl_queue_give(&work->queue);
    opencl_base_drop(&work->base);
    float *blocks[] = {work->values, work->start, work->z, work->out, work->mean};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        memory_give(blocks[i]);
}

static double native_seconds(const struct kernels *kernels, struct work *work, const struct shape *shape, unsigned repeats)
{
    int64_t begin_ns = clock_steady_ns();
    for (unsigned i = 0; i < repeats * shape->sets; i++) {
        const size_t set = i % shape->sets;
        const float *z = work->z + set * ROWS * shape->columns;
        if (shape->is_product)
            kernels->points_mean(work->mean, z, TILES, &work->points);
        else
            kernels->panel_min(work->out + set * ROWS * shape->segments, ROWS, z, TILES, &work->panel);
    }
    return 1e-9 * (double)(clock_steady_ns() - begin_ns) / repeats;
}

static double device_seconds(struct work *work, uint32_t rows, unsigned repeats)
{
    int64_t begin_ns = clock_steady_ns();
    for (unsigned i = 0; i < repeats; i++)
        MUST(opencl_minima(work->queue, work->out, rows, work->z, rows));
    return 1e-9 * (double)(clock_steady_ns() - begin_ns) / repeats;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static void bench_shape(const struct shape *shape, const struct kernels *kernels, struct opencl *opencl, unsigned rounds, char *json)
{
    static double natives[ROUNDS_MOST], devices[ROUNDS_MOST], shares[ROUNDS_MOST];
    struct work work;
    work_init(&work, shape, opencl, ROWS);
    double flops = (shape->is_product ? 2.0 : 4.0) * ROWS * shape->sets * shape->columns * shape->clusters;
    unsigned repeats = (unsigned)(1.0e8 / flops) + 1;
    for (unsigned i = 0; i < rounds; i++) {
        natives[i] = native_seconds(kernels, &work, shape, repeats);
        devices[i] = device_seconds(&work, ROWS, repeats);
        shares[i] = natives[i] / devices[i];
    }
    double native = flops / median(natives, rounds), device = flops / median(devices, rounds), share = median(shares, rounds);
    printf("%-14s %10.1f %10.1f %9.1f%%\n", shape->name, native * 1e-9, device * 1e-9, 100 * share);
    sprintf(json + strlen(json), "\"%s\":{\"native_gflops\":%.4g,\"opencl_gflops\":%.4g,\"share\":%.4g},", shape->name, native * 1e-9,
            device * 1e-9, share);
    work_fini(&work);
}

static double launch_seconds(struct opencl *opencl, unsigned rounds)
{
    static const struct shape least = {"least", 1, 1, 1, 1, false};
    static double times[ROUNDS_MOST];
    struct work work;
    work_init(&work, &least, opencl, TILE_ROWS);
    for (unsigned i = 0; i < rounds; i++)
        times[i] = device_seconds(&work, TILE_ROWS, 50);
    work_fini(&work);
    return median(times, rounds);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 31;
    char json[2048] = "";
    struct opencl *opencl = NULL;
    struct fault_note note = {0};
    struct kernels kernels;
    MUST(rounds && rounds <= ROUNDS_MOST);
    opencl_threads_limit(1);
    kernels_select(&kernels, CPU_MASK_ALL);
    if (opencl_open(&opencl, OPENCL_FIRST, NULL, &note) != FAULT_NONE) {
        printf("skipped: %s\n", note.text);
        return 77;
    }
    printf("%s against the kernels %s, 1,024 rows, copies included, medians of %u rounds\n", opencl_info_of(opencl)->name, kernels.name,
           rounds);
    printf("%-14s %10s %10s %10s   (GFLOP/s)\n", "shape", "native", "OpenCL", "share");
    for (size_t s = 0; s < SHAPE_COUNT; s++)
        bench_shape(&shapes[s], &kernels, opencl, rounds, json);
    double launch = launch_seconds(opencl, rounds);
    printf("a launch, with its copies: %.1f us\n", 1e6 * launch);
    printf(
        "{\"bench\":\"opencl\",\"version\":\"%s\",\"device\":\"%s\",\"kernels\":\"%s\",\"rounds\":%u,\"figures\":{%s\"launch_us\":%.4g}}\n",
        SLUICE_VERSION, opencl_info_of(opencl)->name, kernels.name, rounds, json, 1e6 * launch);
    opencl_close(&opencl);
    return 0;
}
