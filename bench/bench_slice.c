/* The pure steps of one slice, one thread: tiles, distances, anomaly degrees, decisions, each alone and the scene step as a
 * device does it. Shape: 4 dimensions x 16 columns x 128 clusters, 9 scenes, both anomaly sets of 512 points; nothing is held.
 * usage: bench_slice [ROUNDS] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"
#include "compute/device.h"
#include "filled.h"
#include "scene/drift.h"
#include "verdict/verdict.h"

enum { COLUMNS = 16, CLUSTERS = 128, SCENES = 9, POINTS = 512, TABLE = 4096, ROUNDS_MOST = 1001 };

static uint64_t random_state = 1;

static float uniform(float low, float high)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (float)(random_state >> 40) * 0x1p-24f;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- a base in memory ------------------------------------------------------------------------------------------------- */

static uint32_t columns_take(struct scene_column **out, int dimension, uint32_t most, bool own)
{
    struct scene_column *columns = *out = memory_take_zeroed(most, sizeof *columns);
    uint32_t count = 0;
    MUST(columns);
    for (uint32_t f = 0; f < FEATURE_COUNT && count < most; f++) {
        if ((dimension >= 0 && (int)feature_infos[f].dimension != dimension) || (own && feature_infos[f].needs_history))
            continue;
        columns[count++] = (struct scene_column){.feature = (uint16_t)f, .form = FORM_VALUE, .mean = uniform(0, 2), .rscale = 0.5f};
    }
    return count;
}

static uint32_t *subsamples_take(void)
{
    uint32_t *first = memory_take_zeroed(ANOMALY_SEGMENTS + 1, sizeof *first);
    MUST(first);
    for (uint32_t s = 0; s <= ANOMALY_SEGMENTS; s++)
        first[s] = POINTS / ANOMALY_SEGMENTS * s;
    return first;
}

/* Most clusters are background's. */
static uint32_t *scenes_take(void)
{
    enum { OF_A_SCENE = 7 };
    uint32_t *first = memory_take_zeroed(SCENES + 1, sizeof *first);
    MUST(first);
    for (uint32_t s = 1; s <= SCENES; s++)
        first[s] = CLUSTERS - (SCENES - s) * OF_A_SCENE;
    return first;
}

static void dimension_take(struct scene_dimension *out, int g)
{
    out->column_count = columns_take(&out->columns, g, COLUMNS, false);
    MUST(out->column_count > 0);
    size_t cells = (size_t)CLUSTERS * out->column_count;
    float *ab = memory_take_aligned(2 * cells * sizeof *ab, 64), *start = memory_take_aligned(CLUSTERS * sizeof *start, 64);
    MUST(ab && start);
    out->centres = filled(cells, -2, 2);
    out->precisions = filled(cells, 0, 2);
    out->offsets = filled(CLUSTERS, 0, 0);
    scene_panel_pack(ab, start, out->centres, out->precisions, out->offsets, CLUSTERS, out->column_count);
    out->panel = (struct panel){.column_count = out->column_count,
                                .cluster_count = CLUSTERS,
                                .segment_count = SCENES,
                                .segment_first = scenes_take(),
                                .ab = ab,
                                .start = start};
}

static void anomaly_take(struct anomaly_set *out, bool own)
{
    out->column_count = columns_take(&out->columns, -1, 4 * COLUMNS, own);
    size_t cells = (size_t)POINTS * out->column_count;
    float *weight = memory_take_aligned(cells * sizeof *weight, 64), *start = memory_take_aligned(POINTS * sizeof *start, 64);
    float *points = filled(cells, -2, 2), *table = filled(TABLE, 0, 0);
    MUST(weight && start);
    scene_points_pack(weight, start, points, POINTS, out->column_count);
    for (uint32_t i = 0; i < TABLE; i++)
        table[i] = 20.0f * (float)i / TABLE;
    out->ensemble = (struct points){.column_count = out->column_count,
                                    .point_count = POINTS,
                                    .segment_count = ANOMALY_SEGMENTS,
                                    .segment_first = subsamples_take(),
                                    .weight = weight,
                                    .start = start};
    out->table = table;
    out->table_count = TABLE;
    out->threshold = 1.0f;
}

/* Every feature that a column has, in bins of 0.6. */
static void reference_take(struct scene_base *base)
{
    struct scene_reference *reference = &base->reference;
    MUST(reference->feature = memory_take_zeroed(FEATURE_COUNT, sizeof *reference->feature));
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if (base->features.bits[f / 64] >> f % 64 & 1)
            reference->feature[reference->feature_count++] = (uint16_t)f;
    float *edges = filled((size_t)FEATURE_COUNT * REFERENCE_EDGES, 0, 0);
    for (uint32_t i = 0; i < FEATURE_COUNT * REFERENCE_EDGES; i++)
        edges[i] = 0.6f * (float)(i % REFERENCE_EDGES + 1);
    reference->edges = edges;
    reference->far = filled(DIMENSION_COUNT, 5, 6);
}

static void features_note(struct scene_base *base, const struct scene_column *columns, uint32_t count)
{
    for (uint32_t j = 0; j < count; j++)
        base->features.bits[columns[j].feature / 64] |= 1ull << columns[j].feature % 64;
}

static void base_take(struct scene_base *base)
{
    *base = (struct scene_base){.magic = (unsigned)SCENE_BASE_MAGIC, .name = "slice", .scene_count = SCENES};
    for (int g = 0; g < DIMENSION_COUNT; g++)
        dimension_take(&base->dimensions[g], g);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        anomaly_take(&base->anomaly[i], i == ANOMALY_OWN);
    for (uint32_t s = 0; s < SCENES; s++)
        base->scenes[s] = (struct scene){.bias = s ? -40.0f : 0.0f, .weight = {0.5f, 0.5f, 0.5f, 0.5f}, .threshold = 0.5f};
    for (int g = 0; g < DIMENSION_COUNT; g++)
        features_note(base, base->dimensions[g].columns, base->dimensions[g].column_count);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        features_note(base, base->anomaly[i].columns, base->anomaly[i].column_count);
    reference_take(base);
}

/* --- a batch of one slice ----------------------------------------------------------------------------------------------- */

struct slice {
    struct scene_base base;
    struct batch batch;
    struct feature_block features;
    struct scores scores;
    struct figures figures;
    struct device *device;
    struct resident *resident;
    struct scratch *scratch;
    struct strategy strategy;
    void *decide_scratch;
    float *column;
};

static void results_take(struct results *r)
{
    uint8_t **bytes[] = {&r->verdict, &r->level, &r->cause, &r->scene, &r->runner_up, &r->risk_type, &r->countermeasure};
    float **floats[] = {&r->match, &r->runner_match, &r->risk, &r->anomaly_own, &r->anomaly_linked};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        MUST(*bytes[i] = memory_take_zeroed(SLICE_ROWS, 1));
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        *floats[i] = filled(SLICE_ROWS, 0, 0);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        r->distance[g] = filled(SLICE_ROWS, 0, 0);
    MUST(r->reasons = memory_take_zeroed(1, sizeof *r->reasons));
}

static void slice_open(struct slice *slice)
{
    struct fault_note note = {0};
    const struct device_options options = {.cpu_mask = CPU_MASK_ALL};
    base_take(&slice->base);
    MUST(batch_init(&slice->batch, 1 << 16, &note) == FAULT_NONE);
    slice->batch.row_count = SLICE_ROWS;
    MUST(slice->batch.facts.invalid = memory_take_zeroed(SLICE_ROWS, 1));
    results_take(&slice->batch.results);
    slice->features.row_count = SLICE_ROWS;
    for (int f = 0; f < FEATURE_COUNT; f++)
        slice->features.column[f] = filled(SLICE_ROWS, 0, 6);
    for (int f = 0; f < FIGURE_COUNT; f++)
        slice->figures.column[f] = filled(SLICE_ROWS, -1, 6);
    MUST(device_cpu.open(&slice->device, &options, &note) == FAULT_NONE);
    MUST(device_cpu.prepare(&slice->resident, slice->device, &slice->base, &note) == FAULT_NONE);
    MUST(device_cpu.scratch_take(&slice->scratch, slice->resident, &note) == FAULT_NONE);
    MUST(device_cpu.score(&slice->scores, slice->scratch, slice->resident, &slice->features, &note) == FAULT_NONE);
    strategy_default(&slice->strategy);
    MUST(slice->decide_scratch = memory_take_aligned(decide_scratch_bytes(), 64));
    slice->column = filled(SLICE_ROWS, 0, 0);
}

/* --- the stages --------------------------------------------------------------------------------------------------------- */

static void tiles_run(struct slice *slice)
{
    const struct kernels *kernels = device_cpu.kernels(slice->device);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        scene_columns_tile(slice->scores.z[g], slice->base.dimensions[g].columns, slice->base.dimensions[g].column_count, &slice->features,
                           kernels, slice->column);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        scene_columns_tile(slice->scores.z_anomaly[i], slice->base.anomaly[i].columns, slice->base.anomaly[i].column_count,
                           &slice->features, kernels, slice->column);
}

static void distances_run(struct slice *slice)
{
    const struct kernels *kernels = device_cpu.kernels(slice->device);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        kernels->panel_min(slice->scores.distance[g], SLICE_ROWS, slice->scores.z[g], tile_count(SLICE_ROWS),
                           &slice->base.dimensions[g].panel);
}

static void degrees_run(struct slice *slice)
{
    const struct kernels *kernels = device_cpu.kernels(slice->device);
    for (int i = 0; i < ANOMALY_COUNT; i++)
        kernels->points_mean(slice->scores.anomaly[i], slice->scores.z_anomaly[i], tile_count(SLICE_ROWS),
                             &slice->base.anomaly[i].ensemble);
}

static void scene_run(struct slice *slice)
{
    device_cpu.score(&slice->scores, slice->scratch, slice->resident, &slice->features, NULL);
}

static void decide_run(struct slice *slice)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const struct level_rules levels = LEVEL_RULES_DEFAULT;
    const struct decide_input in = {.base = &slice->base,
                                    .strategy = &slice->strategy,
                                    .levels = &levels,
                                    .scores = &slice->scores,
                                    .features = &slice->features,
                                    .kernels = device_cpu.kernels(slice->device)};
    MUST(verdict_decide(&slice->batch, 0, SLICE_ROWS, &in, slice->decide_scratch, &lock, NULL) == FAULT_NONE);
    arena_reset(&slice->batch.arena);
}

static void drift_run(struct slice *slice)
{
    static uint32_t counts[FEATURE_COUNT * (REFERENCE_EDGES + 1) + SCENES_MAX + DIMENSION_COUNT + 1];
    static uint64_t turn;
    const struct drift_slice rows = {.base = &slice->base,
                                     .batch = &slice->batch,
                                     .count = SLICE_ROWS,
                                     .features = &slice->features,
                                     .figures = &slice->figures,
                                     .distance = slice->scores.distance};
    drift_count(counts, &rows, drift_part(SLICE_ROWS, turn++));
}

static void score_run(struct slice *slice)
{
    scene_run(slice);
    decide_run(slice);
}

static void score_drift_run(struct slice *slice)
{
    score_run(slice);
    drift_run(slice);
}

/* The same rows with one in a hundred held by its scene: how much more the reasons cost. */
static void reasons_run(struct slice *slice)
{
    static float first_of[SLICE_ROWS / 100 + 1];
    float *distance = slice->scores.distance[0] + SLICE_ROWS; /* to scene 1 */
    for (uint32_t i = 0; i < SLICE_ROWS; i += 100) {
        first_of[i / 100] = distance[i];
        distance[i] = -200.0f;
    }
    decide_run(slice);
    MUST(slice->batch.results.reasons->count == SLICE_ROWS / 100 + 1);
    for (uint32_t i = 0; i < SLICE_ROWS; i += 100)
        distance[i] = first_of[i / 100];
}

static const struct {
    const char *name;
    void (*run)(struct slice *);
} stages[] = {{"tiles", tiles_run}, {"distances", distances_run}, {"degrees", degrees_run},
              {"scene", scene_run}, {"decide", decide_run},       {"decide_1pc", reasons_run},
              {"drift", drift_run}, {"score", score_run},         {"score_drift", score_drift_run}};
enum { STAGE_COUNT = sizeof stages / sizeof *stages };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double times[STAGE_COUNT][ROUNDS_MOST];
    static struct slice slice;
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 101;
    MUST(rounds && rounds <= ROUNDS_MOST);
    slice_open(&slice);
    for (unsigned r = 0; r < rounds; r++)
        for (int s = 0; s < STAGE_COUNT; s++) {
            double start = seconds();
            stages[s].run(&slice);
            times[s][r] = (seconds() - start) / SLICE_ROWS * 1e9;
        }
    printf("%s, slices of %d rows, own %u and linked %u columns, median ns per row of %u rounds\n", device_cpu.describe(slice.device),
           SLICE_ROWS, slice.base.anomaly[0].column_count, slice.base.anomaly[1].column_count, rounds);
    for (int s = 0; s < STAGE_COUNT; s++) {
        qsort(times[s], rounds, sizeof times[s][0], compare);
        printf("%-10s %8.1f\n", stages[s].name, times[s][rounds / 2]);
    }
    printf("{\"bench\":\"slice\",\"version\":\"%s\",\"figures\":{", SLUICE_VERSION);
    for (int s = 0; s < STAGE_COUNT; s++)
        printf("%s\"%s\":{\"value\":%.4g,\"unit\":\"ns/row\"}", s ? "," : "", stages[s].name, times[s][rounds / 2]);
    printf("}}\n");
    return 0;
}
