/* One task whose turns are timed side by side with a peer's: it makes ready, says so in a line of JSON, and then does the task
 * once for every line on standard input and prints the seconds of processor time that it took. bench/run takes turns between two
 * of these (bench/peers/turns.py is the peers' side), so that both see the same machine.
 * usage: bench_turns scene|nearest|product|xsmm ISA COLUMNS CLUSTERS SEGMENTS ROWS [LIBRARY]
 *        bench_turns anomaly ISA COLUMNS ROWS        bench_turns clusters COLUMNS ROWS CLUSTERS FILE        bench_turns bandwidth
 *        bench_turns device NAME ISA BASE ROWS
 * scene: minimum of each segment. nearest: arg-min over all. product: pack, sgemm of LIBRARY (or libxsmm), minimum of each segment.
 * device: a scene base scored by a device of that name, from features on, all threads of it counted. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"
#include "compute/device.h"
#include "filled.h"
#include "kernels.h"
#include "scene/cluster.h"
#ifdef BENCH_XSMM
#include <libxsmm.h>
#endif

enum { SLICE = 1024, PRODUCT_ROWS = 256, ANOMALY_POINTS = 512, ANOMALY_SEGMENTS_HERE = 64, ROW_MAJOR = 101, PLAIN = 111 };

typedef void sgemm32(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
typedef void sgemm64(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t, float, float *,
                     int64_t);

static struct work {
    struct kernels kernels;
    uint32_t columns, clusters, segments, rows;
    struct panel panel;
    struct points points;
    uint32_t *first, *index;
    float *z, *out, *raw, *ab, *start;
    float *packed, *weights, *product; /* of the product form */
    sgemm32 *sgemm;
    sgemm64 *sgemm_wide;
    char library[160];
    struct matrix matrix;
    double *stream[3];
    const struct device_ops *ops;
    struct scratch *scratch;
    struct resident *resident;
    struct feature_block features;
#ifdef BENCH_XSMM
    libxsmm_smmfunction xsmm;
#endif
} work;

enum { STREAM_CELLS = 8 << 20 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *take(size_t bytes)
{
    void *block = memory_take_aligned(bytes, 64);
    MUST(block);
    return block;
}

static uint32_t number(const char *text)
{
    uint32_t value = (uint32_t)strtoul(text, NULL, 10);
    MUST(value > 0);
    return value;
}

static void isa_choose(const char *isa)
{
    unsigned mask = strcmp(isa, "avx2") == 0 ? CPU_AVX2 : strcmp(isa, "avx512") == 0 ? CPU_AVX2 | CPU_AVX512 : CPU_MASK_ALL;
    kernels_select(&work.kernels, mask);
    if (strcmp(isa, "best") != 0 && strcmp(isa, work.kernels.name) != 0) {
        fprintf(stderr, "bench_turns: this machine has no %s\n", isa);
        exit(77);
    }
}

static void panel_make(void)
{
    work.first = take((work.segments + 1) * sizeof *work.first);
    for (uint32_t s = 0; s <= work.segments; s++)
        work.first[s] = (uint32_t)((uint64_t)work.clusters * s / work.segments);
    work.ab = filled(2 * (size_t)work.columns * work.clusters, -2, 2);
    work.start = filled(work.clusters, -1, 1);
    work.panel = (struct panel){.column_count = work.columns,
                                .cluster_count = work.clusters,
                                .segment_count = work.segments,
                                .segment_first = work.first,
                                .ab = work.ab,
                                .start = work.start};
    work.out = filled((size_t)work.segments * SLICE, 0, 1);
    work.index = take(SLICE * sizeof *work.index);
}

static void slices(void (*slice)(uint32_t first))
{
    for (uint32_t first = 0; first < work.rows; first += SLICE)
        slice(first);
}

/* --- tasks: one slice each ------------------------------------------------------------------------------------------------- */

static void scene_slice(uint32_t first)
{
    work.kernels.panel_min(work.out, SLICE, work.z + (size_t)first * work.columns, SLICE / TILE_ROWS, &work.panel);
}

static void nearest_slice(uint32_t first)
{
    work.kernels.panel_nearest(work.index, work.out, work.z + (size_t)first * work.columns, SLICE / TILE_ROWS, &work.panel);
}

/* From raw columns to the raw degree. */
static void anomaly_slice(uint32_t first)
{
    for (uint32_t j = 0; j < work.columns; j++)
        work.kernels.standardise(work.z + (size_t)j * TILE_ROWS, (size_t)work.columns * TILE_ROWS, work.raw + (size_t)j * work.rows + first,
                                 SLICE, 0.5f, 2.0f, -6.0f, 12.0f);
    work.kernels.points_mean(work.out, work.z, SLICE / TILE_ROWS, &work.points);
}

/* [z², z, 1] of PRODUCT_ROWS rows, a line each. */
static void product_pack(const float *restrict z)
{
    float *restrict packed = work.packed;
    for (size_t tile = 0; tile < PRODUCT_ROWS / TILE_ROWS; tile++)
        for (size_t j = 0; j < work.columns; j++)
            for (size_t lane = 0; lane < TILE_ROWS; lane++) {
                float x = z[(tile * work.columns + j) * TILE_ROWS + lane];
                packed[j * PRODUCT_ROWS + tile * TILE_ROWS + lane] = x * x;
                packed[(work.columns + j) * PRODUCT_ROWS + tile * TILE_ROWS + lane] = x;
            }
}

#define REDUCE_BODY \
    for (int row = 0; row < PRODUCT_ROWS; row++) \
        least[row] = found[row]; \
    for (uint32_t k = 1; k < clusters; k++) \
        for (int row = 0; row < PRODUCT_ROWS; row++) \
            least[row] = least[row] < found[k * PRODUCT_ROWS + row] ? least[row] : found[k * PRODUCT_ROWS + row];
#ifdef __x86_64__
__attribute__((target("avx512f"), optimize("O3"), noinline)) static void reduce_wide(float *restrict least, const float *restrict found,
                                                                                     uint32_t clusters)
{
    REDUCE_BODY
}
__attribute__((target("avx2"), optimize("O3"), noinline)) static void reduce(float *restrict least, const float *restrict found,
                                                                             uint32_t clusters)
{
    REDUCE_BODY
}
#else
#define reduce_wide reduce
static void reduce(float *restrict least, const float *restrict found, uint32_t clusters)
{
    REDUCE_BODY
}
#endif

static void product_multiply(void)
{
    int inner = 2 * (int)work.columns + 1, clusters = (int)work.clusters;
#ifdef BENCH_XSMM
    if (work.xsmm) {
        work.xsmm(work.packed, work.weights, work.product);
        return;
    }
#endif
    if (work.sgemm)
        work.sgemm(ROW_MAJOR, PLAIN, PLAIN, clusters, PRODUCT_ROWS, inner, 1.0f, work.weights, inner, work.packed, PRODUCT_ROWS, 0.0f,
                   work.product, PRODUCT_ROWS);
    else
        work.sgemm_wide(ROW_MAJOR, PLAIN, PLAIN, clusters, PRODUCT_ROWS, inner, 1.0f, work.weights, inner, work.packed, PRODUCT_ROWS, 0.0f,
                        work.product, PRODUCT_ROWS);
}

static void product_slice(uint32_t first)
{
    bool is_wide = strcmp(work.kernels.name, "avx512") == 0;
    for (uint32_t row = 0; row < SLICE; row += PRODUCT_ROWS) {
        product_pack(work.z + (size_t)(first + row) * work.columns);
        product_multiply();
        for (uint32_t s = 0; s < work.segments; s++)
            (is_wide ? reduce_wide : reduce)(work.out + (size_t)s * SLICE + row, work.product + (size_t)work.first[s] * PRODUCT_ROWS,
                                             work.first[s + 1] - work.first[s]);
    }
}

/* --- making ready ------------------------------------------------------------------------------------------------------------ */

/* Whatever OpenBLAS: Debian's with 32-bit counts, numpy's with 64-bit ones and longer names. */
static void library_open(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "bench_turns: %s\n", dlerror());
        exit(77);
    }
    char *(*core)(void) = NULL;
    *(void **)&work.sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&work.sgemm_wide = dlsym(library, "scipy_cblas_sgemm64_");
    *(void **)&core = dlsym(library, work.sgemm ? "openblas_get_corename" : "scipy_openblas_get_corename64_");
    MUST(work.sgemm || work.sgemm_wide);
    snprintf(work.library, sizeof work.library, "%s", core ? core() : "unknown");
}

static void product_make(const char *path)
{
    size_t inner = 2 * (size_t)work.columns + 1;
    work.weights = filled(inner * work.clusters, -2, 2);
    work.packed = filled(inner * PRODUCT_ROWS, 1, 1.0001f);
    work.product = filled((size_t)work.clusters * PRODUCT_ROWS, 0, 1);
    if (path) {
        library_open(path);
        return;
    }
#ifdef BENCH_XSMM
    const int rows = PRODUCT_ROWS, depth = (int)inner;
    const float one = 1, zero = 0;
    work.xsmm = libxsmm_smmdispatch(rows, (int)work.clusters, depth, &rows, &depth, &rows, &one, &zero, NULL, NULL);
    snprintf(work.library, sizeof work.library, "libxsmm %s %s", LIBXSMM_VERSION, libxsmm_get_target_arch());
    if (work.xsmm)
        return;
#endif
    fprintf(stderr, "bench_turns: no libxsmm in this build, or none for this shape\n");
    exit(77);
}

static void scene_make(char **words, int count)
{
    isa_choose(words[1]);
    work.columns = number(words[2]), work.clusters = number(words[3]), work.segments = number(words[4]);
    work.rows = number(words[5]) / SLICE * SLICE;
    MUST(work.rows > 0);
    work.z = filled((size_t)work.columns * work.rows, -3, 3);
    panel_make();
    if (strcmp(words[0], "product") == 0 || strcmp(words[0], "xsmm") == 0)
        product_make(count > 6 ? words[6] : NULL);
}

static void anomaly_make(char **words)
{
    isa_choose(words[1]);
    work.columns = number(words[2]), work.rows = (number(words[3]) + SLICE - 1) / SLICE * SLICE;
    work.clusters = ANOMALY_POINTS, work.segments = ANOMALY_SEGMENTS_HERE;
    work.raw = filled((size_t)work.columns * work.rows, -1, 2);
    work.z = filled((size_t)work.columns * SLICE, 0, 1);
    panel_make();
    work.points = (struct points){.column_count = work.columns,
                                  .point_count = work.clusters,
                                  .segment_count = work.segments,
                                  .segment_first = work.first,
                                  .weight = work.ab,
                                  .start = work.start};
}

static void clusters_make(char **words)
{
    kernels_select(&work.kernels, CPU_MASK_ALL);
    work.columns = number(words[1]), work.rows = number(words[2]), work.clusters = number(words[3]);
    work.matrix = (struct matrix){.row_count = work.rows, .column_count = work.columns};
    work.matrix.z = filled(tile_count(work.rows) * TILE_ROWS * work.columns, 0, 0);
    float *row = take(work.columns * sizeof *row);
    FILE *file = fopen(words[4], "rb");
    MUST(file);
    for (uint32_t i = 0; i < work.rows; i++) {
        MUST(fread(row, sizeof *row, work.columns, file) == work.columns);
        for (uint32_t j = 0; j < work.columns; j++)
            *matrix_at(&work.matrix, i, j) = row[j];
    }
    fclose(file);
    memory_give(row);
}

static void clusters_turn(void)
{
    const struct cluster_rules rules = {.count_max = work.clusters, .rows_least = 1, .precision_max = 25, .shrink_rows = 10};
    struct random random = {.state = 1};
    struct clusters found;
    MUST(clusters_find(&found, &work.matrix, &rules, &random, &work.kernels, NULL) == FAULT_NONE);
    clusters_fini(&found);
}

static void bandwidth_turn(void) /* 24 bytes a cell */
{
    double *restrict to = work.stream[0];
    const double *restrict a = work.stream[1], *restrict b = work.stream[2];
    for (size_t i = 0; i < STREAM_CELLS; i++)
        to[i] = a[i] + 3.0 * b[i];
}

static void device_make(char **words)
{
    struct device *device;
    struct scene_base *base;
    struct fault_note note = {0};
    const bool is_avx2 = strcmp(words[2], "avx2") == 0;
    const struct device_options options = {.cpu_mask = is_avx2 ? CPU_AVX2 : CPU_MASK_ALL, .name = words[1]};
    work.ops = device_find(words[1]);
    work.rows = number(words[4]) / SLICE_ROWS * SLICE_ROWS;
    work.features.row_count = SLICE_ROWS;
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        work.features.column[f] = filled(SLICE_ROWS, -1, 3);
    if (!work.ops || work.ops->open(&device, &options, &note) != FAULT_NONE || scene_base_open(&base, words[3], &note) != FAULT_NONE ||
        work.ops->prepare(&work.resident, device, base, &note) != FAULT_NONE ||
        work.ops->scratch_take(&work.scratch, work.resident, &note) != FAULT_NONE) {
        fprintf(stderr, "bench_turns: no device %s: %s\n", words[1], note.text);
        exit(77);
    }
    snprintf(work.library, sizeof work.library, "%s", work.ops->describe(device));
}

static void device_turn(void)
{
    struct scores scores;
    for (uint32_t first = 0; first < work.rows; first += SLICE_ROWS)
        MUST(work.ops->score(&scores, work.scratch, work.resident, &work.features, NULL) == FAULT_NONE && !scores.fell_back);
}

static void turn(const char *task)
{
    if (strcmp(task, "scene") == 0)
        slices(scene_slice);
    else if (strcmp(task, "nearest") == 0)
        slices(nearest_slice);
    else if (strcmp(task, "anomaly") == 0)
        slices(anomaly_slice);
    else if (strcmp(task, "clusters") == 0)
        clusters_turn();
    else if (strcmp(task, "device") == 0)
        device_turn();
    else if (strcmp(task, "bandwidth") == 0)
        bandwidth_turn();
    else
        slices(product_slice);
}

int main(int argc, char **argv)
{
    char line[64];
    const char *task = argc > 1 ? argv[1] : "";
    if (strcmp(task, "anomaly") == 0 && argc == 5)
        anomaly_make(argv + 1);
    else if (strcmp(task, "clusters") == 0 && argc == 6)
        clusters_make(argv + 1);
    else if (strcmp(task, "device") == 0 && argc == 6)
        device_make(argv + 1);
    else if (strcmp(task, "bandwidth") == 0)
        for (int i = 0; i < 3; i++)
            work.stream[i] = memset(take(STREAM_CELLS * sizeof(double)), 0, STREAM_CELLS * sizeof(double));
    else if (argc >= 7 &&
             (strcmp(task, "scene") == 0 || strcmp(task, "nearest") == 0 || strcmp(task, "product") == 0 || strcmp(task, "xsmm") == 0))
        scene_make(argv + 1, argc - 1);
    else
        return fprintf(stderr, "bench_turns: no such task\n"), 2;
    printf("{\"ready\":\"%s\",\"isa\":\"%s\",\"library\":\"%s\",\"rows\":%u}\n", task, work.kernels.name ? work.kernels.name : "",
           work.library, work.rows);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double start = seconds();
        turn(task);
        printf("%.9f\n", seconds() - start);
        fflush(stdout);
    }
    return 0;
}
