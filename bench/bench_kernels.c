/* The kernels alone, one thread: panel_min against the FMA peak of the same instruction set and against the product form
 * (pack, sgemm, bound, segment minimum), taken in turn in every round (peak, kernel, product, peak, …); medians of the rounds.
 * Only real clusters count. Then points_mean against the same peak, panel_nearest, standardise, log, log1p,
 * exp, row_norm, sqrt_mean and point_shares. A table, then one JSON line.
 * usage: bench_kernels [ROUNDS] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"
#include "filled.h"
#include "kernels.h"

#if defined __x86_64__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

enum { ROWS = 1024, TILES = ROWS / TILE_ROWS, PRODUCT_ROWS = 256, ROUNDS_MOST = 1001, FIGURES_MOST = 256 };

static const struct shape {
    const char *name;
    uint32_t columns, clusters, segments;
} shapes[] = {{"8x48", 8, 48, 8},      {"16x48", 16, 48, 8},    {"16x128", 16, 128, 8},   {"16x512", 16, 512, 64},
              {"16x576", 16, 576, 64}, {"64x512", 64, 512, 64}, {"64x1152", 64, 1152, 64}};
enum { SHAPE_COUNT = sizeof shapes / sizeof *shapes };

/* --- figures ----------------------------------------------------------------------------------------------------------- */

static struct {
    char name[64];
    double value;
    const char *unit;
} figures[FIGURES_MOST];
static unsigned figure_count;

static void figure(const char *isa, const char *what, const char *shape, double value, const char *unit)
{
    MUST(figure_count < FIGURES_MOST);
    snprintf(figures[figure_count].name, sizeof figures->name, "%s.%s%s%s", isa, what, *shape ? "." : "", shape);
    figures[figure_count].value = value;
    figures[figure_count].unit = unit;
    figure_count++;
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

static double seconds(void) /* of this thread's work: what others take from the machine is not counted */
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- FMA peak: 12 independent accumulators, nothing else ------------------------------------------------------------------ */

enum { PEAK_STEPS = 50000 };
static volatile float sink;

#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define PEAK_BODY(vector, set, fma, first_lane) \
    vector x = set(0.5f), y = set(0.25f), acc[12]; \
    for (int i = 0; i < 12; i++) \
        acc[i] = set((float)i); \
    vector EACH(PEAK_DECLARE) last = x; \
    for (int step = 0; step < PEAK_STEPS; step++) { \
        EACH(PEAK_STEP_##fma) \
    } \
    EACH(PEAK_STORE) \
    for (int i = 0; i < 12; i++) \
        sink = first_lane(acc[i]); \
    sink = first_lane(last);
/* Minimum over the clusters of one segment of the product form: [cluster][row]. */
#define REDUCE_BODY \
    for (int row = 0; row < PRODUCT_ROWS; row++) \
        least[row] = found[row]; \
    for (uint32_t k = 1; k < clusters; k++) \
        for (int row = 0; row < PRODUCT_ROWS; row++) \
            least[row] = least[row] < found[k * PRODUCT_ROWS + row] ? least[row] : found[k * PRODUCT_ROWS + row];
#define PEAK_DECLARE(i) a##i = acc[i],
#define PEAK_STORE(i)   acc[i] = a##i;

#if defined __x86_64__
#define PEAK_STEP_avx2(i)   a##i = _mm256_fmadd_ps(a##i, x, y);
#define PEAK_STEP_avx512(i) a##i = _mm512_fmadd_ps(a##i, x, y);

__attribute__((target("avx2,fma"), noinline)) static void peak_avx2(void)
{
    PEAK_BODY(__m256, _mm256_set1_ps, avx2, _mm256_cvtss_f32)
}

__attribute__((target("avx512f"), noinline)) static void peak_avx512(void)
{
    PEAK_BODY(__m512, _mm512_set1_ps, avx512, _mm512_cvtss_f32)
}

__attribute__((target("avx2"), noinline)) static void reduce_avx2(float *restrict least, const float *restrict found, uint32_t clusters)
{
    REDUCE_BODY
}

__attribute__((target("avx512f"), noinline)) static void reduce_avx512(float *restrict least, const float *restrict found,
                                                                       uint32_t clusters)
{
    REDUCE_BODY
}

static const struct isa {
    unsigned mask, lanes;
    void (*peak)(void);
    void (*reduce)(float *restrict, const float *restrict, uint32_t);
} isas[] = {{CPU_AVX2, 8, peak_avx2, reduce_avx2}, {CPU_AVX2 | CPU_AVX512, 16, peak_avx512, reduce_avx512}};
#elif defined __aarch64__
#define vgetq_lane_first(x) vgetq_lane_f32(x, 0)
#define PEAK_STEP_neon(i)   a##i = vfmaq_f32(y, a##i, x);

static void peak_neon(void)
{
    PEAK_BODY(float32x4_t, vdupq_n_f32, neon, vgetq_lane_first)
}

static void reduce_neon(float *restrict least, const float *restrict found, uint32_t clusters)
{
    REDUCE_BODY
}

static const struct isa {
    unsigned mask, lanes;
    void (*peak)(void);
    void (*reduce)(float *restrict, const float *restrict, uint32_t);
} isas[] = {{CPU_NEON, 4, peak_neon, reduce_neon}};
#endif
enum { ISA_COUNT = sizeof isas / sizeof *isas };

static double peak_flops(const struct isa *isa) /* per second */
{
    double start = seconds();
    isa->peak();
    return 2.0 * 12 * PEAK_STEPS * isa->lanes / (seconds() - start);
}

/* --- panels --------------------------------------------------------------------------------------------------------------- */

struct work {
    struct panel panel;
    uint32_t first[65];
    float *ab, *start, *z, *out, *approx, *bound, *weights, *scratch;
};

static void work_init(struct work *work, const struct shape *shape)
{
    const size_t columns = shape->columns, clusters = shape->clusters;
    for (uint32_t s = 0; s <= shape->segments; s++)
        work->first[s] = clusters * s / shape->segments;
    work->ab = filled(2 * columns * clusters, -2, 2);
    work->start = filled(clusters, -1, 1);
    work->z = filled(columns * ROWS, -3, 3);
    work->out = filled((size_t)shape->segments * ROWS, 0, 1);
    work->panel = (struct panel){.column_count = shape->columns,
                                 .cluster_count = shape->clusters,
                                 .segment_count = shape->segments,
                                 .segment_first = work->first,
                                 .ab = work->ab,
                                 .start = work->start};
    work->approx = filled(clusters * PRODUCT_ROWS, 0, 1);
    work->bound = filled(PRODUCT_ROWS, 0, 1);
    work->weights = filled(blas_weights_floats(&work->panel), 0, 1);
    work->scratch = filled(blas_scratch_floats(PRODUCT_ROWS, &work->panel), 0, 1);
    blas_weights(work->weights, &work->panel);
}

static void work_fini(struct work *work)
{
    float *blocks[] = {work->ab, work->start, work->z, work->out, work->approx, work->bound, work->weights, work->scratch};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        memory_give(blocks[i]);
}

/* The product form as a device would use it where its bits were good enough. */
static void product_min(const struct isa *isa, struct work *work)
{
    const struct panel *panel = &work->panel;
    for (size_t row = 0; row < ROWS; row += PRODUCT_ROWS) {
        blas_distances(work->approx, PRODUCT_ROWS, work->bound, work->z + row * panel->column_count, PRODUCT_ROWS, panel, work->weights,
                       work->scratch);
        for (uint32_t s = 0; s < panel->segment_count; s++)
            isa->reduce(work->out + (size_t)s * ROWS + row, work->approx + (size_t)panel->segment_first[s] * PRODUCT_ROWS,
                        panel->segment_first[s + 1] - panel->segment_first[s]);
    }
}

static double kernel_seconds(const struct kernels *kernels, struct work *work, unsigned repeats)
{
    double start = seconds();
    for (unsigned i = 0; i < repeats; i++)
        kernels->panel_min(work->out, ROWS, work->z, TILES, &work->panel);
    return (seconds() - start) / repeats;
}

static double product_seconds(const struct isa *isa, struct work *work, unsigned repeats)
{
    double start = seconds();
    for (unsigned i = 0; i < repeats; i++)
        product_min(isa, work);
    return (seconds() - start) / repeats;
}

static double nearest_seconds(const struct kernels *kernels, struct work *work, unsigned repeats)
{
    static _Alignas(64) uint32_t index[ROWS];
    double start = seconds();
    for (unsigned i = 0; i < repeats; i++)
        kernels->panel_nearest(index, work->out, work->z, TILES, &work->panel);
    return (seconds() - start) / repeats;
}

/* The panel's weights serve as those of points: only their number and place count. */
static double points_seconds(const struct kernels *kernels, struct work *work, unsigned repeats)
{
    const struct points points = {.column_count = work->panel.column_count,
                                  .point_count = work->panel.cluster_count,
                                  .segment_count = work->panel.segment_count,
                                  .segment_first = work->first,
                                  .weight = work->ab,
                                  .start = work->start};
    double start = seconds();
    for (unsigned i = 0; i < repeats; i++)
        kernels->points_mean(work->out, work->z, TILES, &points);
    return (seconds() - start) / repeats;
}

static double points_nearest_seconds(const struct kernels *kernels, struct work *work, unsigned repeats)
{
    static _Alignas(64) uint32_t index[ROWS];
    const struct points points = {
        .column_count = work->panel.column_count, .point_count = work->panel.cluster_count, .weight = work->ab, .start = work->start};
    double start = seconds();
    for (unsigned i = 0; i < repeats; i++)
        kernels->points_nearest(index, work->out, work->z, TILES, &points);
    return (seconds() - start) / repeats;
}

static void bench_shape(const struct isa *isa, const struct kernels *kernels, const struct shape *shape, unsigned rounds)
{
    static double shares[ROUNDS_MOST], times[ROUNDS_MOST], products[ROUNDS_MOST], nearests[ROUNDS_MOST], ratios[ROUNDS_MOST];
    static double points[ROUNDS_MOST], nearest_points[ROUNDS_MOST];
    struct work work;
    work_init(&work, shape);
    double flops = 4.0 * ROWS * shape->columns * shape->clusters;
    unsigned repeats = (unsigned)(1.5e8 / flops) + 1;
    for (unsigned i = 0; i < rounds; i++) {
        double peak = peak_flops(isa);
        times[i] = kernel_seconds(kernels, &work, repeats);
        products[i] = product_seconds(isa, &work, repeats / 2 + 1);
        points[i] = flops / 2 / points_seconds(kernels, &work, repeats) / peak;
        nearest_points[i] = flops / 2 / points_nearest_seconds(kernels, &work, repeats) / peak;
        nearests[i] = flops / nearest_seconds(kernels, &work, repeats) / peak;
        shares[i] = flops / times[i] / peak;
        ratios[i] = products[i] / times[i];
    }
    double share = median(shares, rounds), time = median(times, rounds), ratio = median(ratios, rounds), nearest = median(nearests, rounds);
    double point = median(points, rounds), nearest_point = median(nearest_points, rounds);
    printf("%-8s %-8s %10.1f %10.1f%% %14.2f %16.2f %16.1f%% %16.1f%% %16.1f%%\n", kernels->name, shape->name, flops / time * 1e-9,
           100 * share, ROWS / time * 1e-6, ratio, 100 * nearest, 100 * point, 100 * nearest_point);
    figure(kernels->name, "panel_min.share_of_peak", shape->name, share, "1");
    figure(kernels->name, "panel_min.rows", shape->name, ROWS / time, "rows/s");
    figure(kernels->name, "panel_min.over_sgemm", shape->name, ratio, "1");
    figure(kernels->name, "panel_nearest.share_of_peak", shape->name, nearest, "1");
    figure(kernels->name, "points_mean.share_of_peak", shape->name, point, "1");
    figure(kernels->name, "points_nearest.share_of_peak", shape->name, nearest_point, "1");
    work_fini(&work);
}

/* --- maps ----------------------------------------------------------------------------------------------------------------- */

static double map_ns(map_fn *map, const float *x, float *out)
{
    double start = seconds();
    for (int i = 0; i < 200; i++)
        map(out, x, ROWS);
    return (seconds() - start) / (200.0 * ROWS) * 1e9;
}

static double standardise_ns(const struct kernels *kernels, const float *x, float *out)
{
    double start = seconds();
    for (int i = 0; i < 200; i++)
        kernels->standardise(out, TILE_ROWS, x, ROWS, 0.5f, 2.0f, -6.0f, 12.0f);
    return (seconds() - start) / (200.0 * ROWS) * 1e9;
}

static double row_norm_ns(const struct kernels *kernels, const float *z, float *out)
{
    double start = seconds();
    for (int i = 0; i < 20; i++)
        kernels->row_norm(out, z, TILES, 64);
    return (seconds() - start) / (20.0 * ROWS) * 1e9;
}

static double sqrt_mean_ns(const struct kernels *kernels, const float *min, const float *norm, float *out)
{
    double start = seconds();
    for (int i = 0; i < 20; i++)
        kernels->sqrt_mean(out, min, ROWS, norm, ROWS, 64);
    return (seconds() - start) / (20.0 * ROWS) * 1e9;
}

static double point_shares_ns(const struct kernels *kernels, const float *points, float *out)
{
    static uint32_t index[64];
    double start = seconds();
    for (uint32_t i = 0; i < 64; i++)
        index[i] = (i * 37) % (ROWS - 1) + 1;
    for (int i = 0; i < 500; i++)
        kernels->point_shares(out, points, points, 64, index, 64);
    return (seconds() - start) / 500 * 1e9;
}

static void bench_maps(const struct kernels *kernels, unsigned rounds)
{
    enum { LOG, LOG1P, EXP, STANDARDISE, ROW_NORM, SQRT_MEAN, POINT_SHARES, MAP_COUNT };
    static const char *const names[MAP_COUNT] = {"log", "log1p", "exp", "standardise", "row_norm", "sqrt_mean", "point_shares"};
    static double times[MAP_COUNT][ROUNDS_MOST];
    float *x = filled(ROWS, 0.1f, 10), *min = filled((size_t)64 * ROWS, 0, 9), *out = filled(ROWS, 0, 1);
    for (unsigned i = 0; i < rounds; i++) {
        times[LOG][i] = map_ns(kernels->log, x, out);
        times[LOG1P][i] = map_ns(kernels->log1p, x, out);
        times[EXP][i] = map_ns(kernels->exp, x, out);
        times[STANDARDISE][i] = standardise_ns(kernels, x, out);
        times[ROW_NORM][i] = row_norm_ns(kernels, min, out);
        times[SQRT_MEAN][i] = sqrt_mean_ns(kernels, min, x, out);
        times[POINT_SHARES][i] = point_shares_ns(kernels, min, out);
    }
    printf("%-8s", kernels->name);
    for (int m = 0; m < MAP_COUNT; m++) {
        double ns = median(times[m], rounds);
        printf(" %12.3f", ns);
        figure(kernels->name, names[m], "", ns,
               m == POINT_SHARES ? "ns/row of 64 columns and points"
               : m == SQRT_MEAN  ? "ns/row of 64 segments"
               : m == ROW_NORM   ? "ns/row of 64 columns"
                                 : "ns/float");
    }
    printf("\n");
    memory_give(x);
    memory_give(min);
    memory_give(out);
}

/* --- learning --------------------------------------------------------------------------------------------------------------- */

enum {
    LEARN_ROWS = 128,
    LEARN_SETS = 4,
    LEARN_CLUSTERS = 34,
    LEARN_STRIDE = 16,
    LEARN_CELLS = LEARN_CLUSTERS * LEARN_STRIDE,
    LEARN_CALLS = 200
};

struct learning {
    float *rows, *centre, *first, *second, *weight, *label, *x, *out, *ab;
    const float *distance[LEARN_SETS];
    _Alignas(64) uint32_t index[LEARN_SETS * LEARN_ROWS];
};

static void sums_call(const struct kernels *kernels, struct learning *with)
{
    static const uint32_t set_first[LEARN_SETS] = {0, 16, 22, 28};
    kernels->offset_sums(with->first, with->second, with->centre, with->rows, LEARN_STRIDE, LEARN_ROWS, with->index, with->weight,
                         set_first, LEARN_SETS, LEARN_ROWS);
}

static void residuals_call(const struct kernels *kernels, struct learning *with)
{
    kernels->residuals(with->out, LEARN_ROWS, LEARN_ROWS, with->distance, LEARN_SETS, with->centre, LEARN_SETS, with->label, with->weight);
}

static void adam_call(const struct kernels *kernels, struct learning *with)
{
    static const struct adam adam = {1.0f, 0.9f, 0.999f, 0.01f, 2.0f, 1e-8f, 0.0f, -9.0f, 9.0f};
    kernels->adam(with->x, with->first, with->second, with->centre, 4, 0, with->rows, LEARN_CELLS, &adam);
}

static void pack_call(const struct kernels *kernels, struct learning *with)
{
    kernels->panel_pack(with->ab, with->centre, with->rows, LEARN_STRIDE, LEARN_STRIDE, LEARN_CLUSTERS);
}

/* The step of a base's training: 128 rows of 16 columns in 4 scenes of 34 clusters and 4 dimensions. */
static void bench_learning(const struct kernels *kernels, unsigned rounds)
{
    static const struct {
        const char *name, *unit;
        void (*call)(const struct kernels *, struct learning *);
        double items;
    } benches[] = {{"offset_sums", "ns/row of 4 scenes", sums_call, LEARN_ROWS},
                   {"residuals", "ns/row of 4 scenes", residuals_call, LEARN_ROWS},
                   {"adam", "ns/parameter of 4 parts", adam_call, LEARN_CELLS},
                   {"panel_pack", "ns/cell", pack_call, LEARN_CELLS}};
    static double times[ROUNDS_MOST];
    struct learning with = {.rows = filled(LEARN_ROWS * LEARN_STRIDE, 0.1f, 2),
                            .centre = filled(LEARN_CELLS, -1, 1),
                            .first = filled(LEARN_CELLS, 0, 1),
                            .second = filled(LEARN_CELLS, 0, 1),
                            .weight = filled(LEARN_SETS * LEARN_ROWS, -1, 1),
                            .label = filled(LEARN_ROWS, 0, 0),
                            .x = filled(LEARN_CELLS, -1, 1),
                            .out = filled(LEARN_SETS * LEARN_ROWS, 0, 4),
                            .ab = filled(2 * LEARN_CELLS, 0, 1)};
    for (uint32_t i = 0; i < LEARN_SETS * LEARN_ROWS; i++)
        with.index[i] = i * 7 % (i < LEARN_ROWS ? 16 : 6);
    for (int g = 0; g < LEARN_SETS; g++)
        with.distance[g] = with.rows + (size_t)g * LEARN_STRIDE;
    printf("%-8s", kernels->name);
    for (size_t b = 0; b < sizeof benches / sizeof *benches; b++) {
        for (unsigned i = 0; i < rounds; i++) {
            double start = seconds();
            for (int call = 0; call < LEARN_CALLS; call++)
                benches[b].call(kernels, &with);
            times[i] = (seconds() - start) * 1e9 / LEARN_CALLS / benches[b].items;
        }
        double ns = median(times, rounds);
        printf("  %s %.3f %s", benches[b].name, ns, benches[b].unit);
        figure(kernels->name, benches[b].name, "", ns, benches[b].unit);
    }
    printf("\n");
    float *taken[] = {with.rows, with.centre, with.first, with.second, with.weight, with.label, with.x, with.out, with.ab};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        memory_give(taken[i]);
}

/* --- the whole ------------------------------------------------------------------------------------------------------------ */

static const char *cpu_model(void)
{
    static char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    char *model = NULL;
    while (file && !model && fgets(line, sizeof line, file))
        if (strncmp(line, "model name", 10) == 0 && (model = strchr(line, ':')))
            model[strcspn(model, "\n\"\\")] = '\0';
    if (file)
        fclose(file);
    return model ? model + 2 : "unknown";
}

static void json_print(const char *cpu, unsigned rounds)
{
    printf(
        "{\"bench\":\"kernels\",\"version\":\"%s\",\"cpu\":\"%s\",\"compiler\":\"%s\",\"openblas_core\":\"%s\",\"rounds\":%u,\"figures\":{",
        SLUICE_VERSION, cpu, __VERSION__, blas_core_name(), rounds);
    for (unsigned i = 0; i < figure_count; i++)
        printf("%s\"%s\":{\"value\":%.6g,\"unit\":\"%s\"}", i ? "," : "", figures[i].name, figures[i].value, figures[i].unit);
    printf("}}\n");
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 31;
    MUST(rounds && rounds <= ROUNDS_MOST);
    const char *cpu = cpu_model();
    struct kernels chosen[ISA_COUNT];
    printf("%s, %s, OpenBLAS for %s, medians of %u rounds\n", cpu, __VERSION__, blas_core_name(), rounds);
    printf("%-8s %-8s %10s %11s %14s %16s %17s %17s %17s\n", "isa", "shape", "GFLOP/s", "of peak", "million rows/s", "times sgemm form",
           "nearest of peak", "points of peak", "nearest point");
    for (size_t i = 0; i < ISA_COUNT; i++) {
        kernels_select(&chosen[i], isas[i].mask);
        if ((cpu_detect() & isas[i].mask) != isas[i].mask) {
            printf("(an instruction set is skipped: this machine lacks it)\n");
            continue;
        }
        for (size_t s = 0; s < SHAPE_COUNT; s++)
            bench_shape(&isas[i], &chosen[i], &shapes[s], rounds);
        figure(chosen[i].name, "peak", "", peak_flops(&isas[i]) * 1e-9, "GFLOP/s");
    }
    printf("%-8s %12s %12s %12s %12s %12s %12s %12s\n", "isa", "log", "log1p", "exp", "standardise", "row_norm", "sqrt_mean",
           "point_shares");
    for (size_t i = 0; i < ISA_COUNT; i++)
        if ((cpu_detect() & isas[i].mask) == isas[i].mask)
            bench_maps(&chosen[i], rounds);
    for (size_t i = 0; i < ISA_COUNT; i++)
        if ((cpu_detect() & isas[i].mask) == isas[i].mask)
            bench_learning(&chosen[i], rounds);
    printf("(ns per float; row_norm: per row of 64 columns; sqrt_mean: of 64 segments; point_shares: of 64 columns and points)\n");
    json_print(cpu, rounds);
    return 0;
}
