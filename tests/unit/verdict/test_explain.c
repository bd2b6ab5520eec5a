/* Every column's share against double arithmetic over the file's own numbers; what they sum to; and the change that would have let a
 * row pass, against looking at everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "compute/device.h"
#include "tiny_base.h"
#include "verdict/change.h"
#include "verdict/explain.h"

enum { ROWS = 300, SCENES = 5 };

struct rig {
    struct scene_base *base;
    struct strategy strategy;
    struct level_rules levels;
    struct device *device;
    struct resident *resident;
    struct scratch *scratch;
    struct scores scores;
    struct feature_block features;
    float *columns;
    struct batch batch;
    void *decide_scratch;
    pthread_mutex_t lock;
    struct decide_input in;
};

static void columns_take(struct feature_block *out, float **memory)
{
    *memory = memory_take_aligned((size_t)FEATURE_COUNT * SLICE_ROWS * sizeof(float), 64);
    assert_non_null(*memory);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        out->column[f] = *memory + (size_t)f * SLICE_ROWS;
}

static void rig_decide(struct rig *rig, uint32_t rows)
{
    struct arena arena = rig->batch.arena;
    struct fault_note note = {0};
    arena_reset(&arena);
    rig->batch = (struct batch){.magic = (unsigned)BATCH_MAGIC, .op = OP_score, .row_count = rows, .arena = arena};
    rig->features.row_count = rows;
    assert_int_equal(batch_take_checks(&rig->batch, 0, &note), FAULT_NONE);
    assert_int_equal(batch_take_results(&rig->batch, &note), FAULT_NONE);
    assert_int_equal(device_cpu.score(&rig->scores, rig->scratch, rig->resident, &rig->features, &note), FAULT_NONE);
    rig->in = (struct decide_input){.base = rig->base,
                                    .strategy = &rig->strategy,
                                    .levels = &rig->levels,
                                    .scores = &rig->scores,
                                    .features = &rig->features,
                                    .kernels = &kernels_ref};
    assert_int_equal(verdict_decide(&rig->batch, 0, rows, &rig->in, rig->decide_scratch, &rig->lock, &note), FAULT_NONE);
}

static void rig_open(struct rig *rig, uint32_t columns, uint64_t seed)
{
    const struct device_options options = {.cpu_mask = CPU_MASK_ALL};
    struct tiny_base random = {.state = seed};
    struct fault_note note = {0};
    memset(rig, 0, sizeof *rig);
    rig->base = tiny_base_open(SCENES, columns, 3, seed);
    assert_non_null(rig->base);
    rig->levels = LEVEL_RULES_DEFAULT;
    strategy_default(&rig->strategy);
    assert_int_equal(strategy_bind(&rig->strategy, rig->base, NULL), FAULT_NONE);
    pthread_mutex_init(&rig->lock, NULL);
    columns_take(&rig->features, &rig->columns);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        for (unsigned i = 0; i < ROWS; i++)
            rig->features.column[f][i] = tiny_random(&random, 0.0f, 4.0f);
    assert_int_equal(device_cpu.open(&rig->device, &options, &note), FAULT_NONE);
    assert_int_equal(device_cpu.prepare(&rig->resident, rig->device, rig->base, &note), FAULT_NONE);
    assert_int_equal(device_cpu.scratch_take(&rig->scratch, rig->resident, &note), FAULT_NONE);
    assert_int_equal(batch_init(&rig->batch, 1 << 20, &note), FAULT_NONE);
    rig->decide_scratch = memory_take_aligned(decide_scratch_bytes(), 64);
    rig_decide(rig, ROWS);
}

static void rig_close(struct rig *rig)
{
    device_cpu.scratch_give(&rig->scratch);
    device_cpu.release(&rig->resident);
    device_cpu.close(&rig->device);
    memory_give(rig->columns);
    memory_give(rig->decide_scratch);
    batch_fini(&rig->batch);
    pthread_mutex_destroy(&rig->lock);
    scene_base_close(&rig->base);
}

/* --- the oracle: plain double over the base's numbers ----------------------------------------------------------------- */

static float standardised(const struct scene_column *column, float x)
{
    float over = (x - column->edge) / column->edge_scale;
    float form = column->form == FORM_VALUE   ? x
                 : column->form == FORM_ABOVE ? (x > column->edge ? 1.0f : 0.0f)
                                              : kernel_log1p(over > 0.0f ? 8.0f * over : 0.0f);
    float z = (form - column->mean) * column->rscale;
    return z < Z_LOW ? Z_LOW : z > Z_HIGH ? Z_HIGH : z;
}

struct oracle {
    double share[FEATURE_COUNT], of[DIMENSION_COUNT], rest, bound; /* rest: biases and offsets; bound: what float may move */
    float z[FEATURE_COUNT];
};

/* The nearest cluster, and what rounding may do to its distance: 2 D fused steps on terms that are off by 3 ulp. */
static uint32_t oracle_nearest(double *bound, const struct scene_dimension *dimension, const float *z, uint32_t first, uint32_t end)
{
    uint32_t nearest = first;
    double least = INFINITY;
    *bound = 0.0;
    for (uint32_t k = first; k < end; k++) {
        double sum = -(double)dimension->offsets[k], size = fabs(sum);
        for (uint32_t j = 0; j < dimension->column_count; j++) {
            double l = (double)dimension->precisions[(size_t)k * dimension->column_count + j];
            double c = (double)dimension->centres[(size_t)k * dimension->column_count + j];
            sum += 0.5 * l * ((double)z[j] - c) * ((double)z[j] - c);
            size += 0.5 * l * (fabs((double)z[j]) + fabs(c)) * (fabs((double)z[j]) + fabs(c));
        }
        *bound = fmax(*bound, (2.0 * dimension->column_count + 8.0) * 0x1p-24 * size);
        if (sum < least)
            least = sum, nearest = k;
    }
    return nearest;
}

static void oracle_side(struct oracle *out, const struct rig *rig, int g, uint32_t scene, const float *z, double weight)
{
    const struct scene_dimension *dimension = &rig->base->dimensions[g];
    double bound;
    uint32_t k = oracle_nearest(&bound, dimension, z, dimension->panel.segment_first[scene], dimension->panel.segment_first[scene + 1]);
    out->rest -= weight * (double)dimension->offsets[k];
    out->bound += fabs(weight) * bound;
    for (uint32_t j = 0; j < dimension->column_count; j++) {
        double l = (double)dimension->precisions[(size_t)k * dimension->column_count + j];
        double apart = (double)z[j] - (double)dimension->centres[(size_t)k * dimension->column_count + j];
        out->share[dimension->columns[j].feature] += weight * 0.5 * l * apart * apart;
        out->of[g] += weight * 0.5 * l * apart * apart;
    }
}

static void oracle_scene(struct oracle *out, const struct rig *rig, uint32_t row, uint32_t scene)
{
    *out = (struct oracle){.rest = (double)rig->base->scenes[scene].bias - (double)rig->base->scenes[0].bias};
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *dimension = &rig->base->dimensions[g];
        float z[DIMENSION_COLUMNS_MAX];
        for (uint32_t j = dimension->column_count; j-- > 0;) {
            uint16_t f = dimension->columns[j].feature;
            z[j] = standardised(&dimension->columns[j], rig->features.column[f][row]);
            out->z[f] = z[j]; /* one column a feature here */
        }
        oracle_side(out, rig, g, 0, z, (double)rig->base->scenes[0].weight[g]);
        oracle_side(out, rig, g, scene, z, -(double)rig->base->scenes[scene].weight[g]);
    }
}

/* --- shares ---------------------------------------------------------------------------------------------------------- */

static void near(double got, double want, double within)
{
    if (!(fabs(got - want) <= within))
        fail_msg("got %.17g, want %.17g within %.3g", got, want, within);
}

/* Of every scene of every row, passing ones as well. Where two clusters are nearest within rounding either may be taken, so the
 * single shares are compared where the oracle's own sum is the recorded evidence. */
static void every_share_is_the_oracles(void **state)
{
    (void)state;
    struct rig rig;
    uint32_t compared = 0;
    rig_open(&rig, 30, 3);
    for (uint32_t row = 0; row < ROWS; row++) {
        double evidence[SCENES_MAX][TILE_ROWS];
        scene_evidence(evidence, rig.base, rig.scores.distance, SLICE_ROWS, row / TILE_ROWS * TILE_ROWS);
        for (uint32_t s = 1; s < SCENES; s++) {
            struct explain_whole whole;
            struct oracle oracle;
            double sum = 0.0, of = 0.0, apart = evidence[s][row % TILE_ROWS] - evidence[0][row % TILE_ROWS];
            explain_scene_whole(&whole, &rig.in, row, s);
            oracle_scene(&oracle, &rig, row, s);
            for (unsigned f = 0; f < FEATURE_COUNT; f++)
                sum += whole.share[f];
            for (int g = 0; g < DIMENSION_COUNT; g++)
                of += whole.of[g];
            near(of, sum, 1e-9 * (1.0 + fabs(sum)));
            near(whole.bias + whole.offset + sum, apart, oracle.bound);
            for (unsigned f = 0; f < FEATURE_COUNT; f++) {
                near(whole.share[f], oracle.share[f], 1e-9 * (1.0 + fabs(oracle.share[f])));
                near((double)whole.z[f], (double)oracle.z[f], 0.0);
                compared += whole.is_used[f];
            }
            near(whole.bias + whole.offset, oracle.rest, 1e-9);
        }
    }
    assert_true(compared > 50000);
    rig_close(&rig);
}

static void anomaly_shares_sum_to_the_raw_degree(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 30, 4);
    for (uint32_t row = 0; row < ROWS; row++)
        for (int i = 0; i < ANOMALY_COUNT; i++) {
            struct explain_whole whole;
            double sum = 0.0, of = 0.0;
            explain_anomaly_whole(&whole, &rig.in, row, i);
            for (unsigned f = 0; f < FEATURE_COUNT; f++)
                sum += whole.share[f];
            for (int g = 0; g < DIMENSION_COUNT; g++)
                of += whole.of[g];
            near(sum, (double)rig.scores.anomaly[i][row], 1e-4 * sum);
            near(of, sum, 1e-9 * sum);
        }
    rig_close(&rig);
}

/* The reasons that are recorded are the first of the whole, rounded once. */
static void reasons_are_the_strongest_shares(void **state)
{
    (void)state;
    struct rig rig;
    uint32_t compared = 0;
    rig_open(&rig, 30, 5);
    const struct reason_block *block = rig.batch.results.reasons;
    for (uint32_t i = 0; i < block->count; i++) {
        uint32_t row = block->row[i];
        struct explain_whole whole;
        if (rig.batch.results.cause[row] == CAUSE_ANOMALY)
            continue;
        explain_scene_whole(&whole, &rig.in, row, rig.batch.results.scene[row]);
        for (uint8_t k = 0; k < block->reason_count[i]; k++, compared++) {
            const struct reason *reason = &block->reasons[(size_t)i * REASONS_MAX + k];
            assert_true(reason->share == (float)whole.share[reason->feature]);
        }
    }
    assert_true(compared > 100);
    rig_close(&rig);
}

/* --- the change -------------------------------------------------------------------------------------------------------- */

static void row_copy(struct feature_block *out, const struct rig *rig, uint32_t row)
{
    out->row_count = 1;
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        out->column[f][0] = rig->features.column[f][row];
}

static struct change find(const struct rig *rig, const struct feature_block *row)
{
    struct change change;
    struct fault_note note = {0};
    const struct change_input input = {.base = rig->base,
                                       .strategy = &rig->strategy,
                                       .levels = &rig->levels,
                                       .device_ops = &device_cpu,
                                       .kernels = &kernels_ref,
                                       .resident = rig->resident,
                                       .scratch = rig->scratch,
                                       .row = row};
    assert_int_equal(change_find(&change, &input, &note), FAULT_NONE);
    return change;
}

static double scale_of(const struct scene_base *base, unsigned feature)
{
    for (int g = 0; g < DIMENSION_COUNT; g++)
        for (uint32_t j = 0; j < base->dimensions[g].column_count; j++)
            if (base->dimensions[g].columns[j].feature == feature && base->dimensions[g].columns[j].form == FORM_VALUE)
                return (double)base->dimensions[g].columns[j].rscale;
    for (uint32_t j = 0; j < base->anomaly[ANOMALY_LINKED].column_count; j++)
        if (base->anomaly[ANOMALY_LINKED].columns[j].feature == feature)
            return (double)base->anomaly[ANOMALY_LINKED].columns[j].rscale;
    for (uint32_t j = 0; j < base->anomaly[ANOMALY_OWN].column_count; j++)
        if (base->anomaly[ANOMALY_OWN].columns[j].feature == feature)
            return (double)base->anomaly[ANOMALY_OWN].columns[j].rscale;
    return 1.0;
}

/* The nearest passing value of one feature among many evenly laid ones; INFINITY: none. */
static double nearest_by_looking(struct rig *rig, const struct feature_block *row, unsigned feature)
{
    const float from = row->column[feature][0];
    double nearest = INFINITY, scale = scale_of(rig->base, feature);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        for (unsigned i = 0; i < SLICE_ROWS; i++)
            rig->features.column[f][i] = row->column[f][0];
    for (unsigned i = 0; i < SLICE_ROWS; i++)
        rig->features.column[feature][i] = (float)((double)i / SLICE_ROWS * 12.0);
    rig_decide(rig, SLICE_ROWS);
    for (unsigned i = 0; i < SLICE_ROWS; i++)
        if (rig->batch.results.verdict[i] == VERDICT_PASS)
            nearest = fmin(nearest, fabs((double)rig->features.column[feature][i] - (double)from) * scale);
    return nearest;
}

/* The anomaly holds nothing: one feature of many seldom changes it enough. */
static void open_scenes_alone(struct rig *rig)
{
    rig_open(rig, 5, 6);
    rig->levels.anomaly_cap = LEVEL_MEDIUM;
    rig_decide(rig, ROWS);
}

static bool is_continuous(unsigned feature)
{
    return strcmp(feature_infos[feature].unit, "log ratio") == 0;
}

/* The next value on the way back: a whole number nearer, or a thousandth of the way. */
static float a_little_less(const struct change *change)
{
    bool is_whole = strncmp(feature_infos[change->feature].unit, "log ", 4) == 0 && !is_continuous(change->feature);
    bool is_number =
        strcmp(feature_infos[change->feature].unit, "indicator") == 0 || strcmp(feature_infos[change->feature].unit, "digits") == 0;
    float sign = change->to > change->from ? 1.0f : -1.0f;
    if (is_whole)
        return kernel_log1p((float)round(expm1((double)change->to)) - sign);
    return is_number ? change->from : change->to - 1e-3f * (change->to - change->from);
}

static void the_nearest_change_passes_and_none_is_nearer(void **state)
{
    (void)state;
    struct rig rig;
    struct feature_block row = {0};
    float *memory;
    uint32_t found = 0, none = 0, held_rows[ROWS], held = 0;
    open_scenes_alone(&rig);
    columns_take(&row, &memory);
    for (uint32_t i = 0; i < ROWS; i++)
        if (rig.batch.results.verdict[i] != VERDICT_PASS)
            held_rows[held++] = i;
    assert_true(held > 12);
    for (uint32_t i = 0; i < held; i += held / 12) {
        struct rig again;
        open_scenes_alone(&again);
        row_copy(&row, &again, held_rows[i]);
        struct change change = find(&again, &row);
        found += change.found, none += !change.found;
        if (change.found) { /* alone in a slice, by other calls: it passes; and it is one feature */
            row_copy(&again.features, &again, held_rows[i]);
            assert_true(again.features.column[change.feature][0] == change.from && change.from != change.to);
            again.features.column[change.feature][0] = change.to;
            rig_decide(&again, 1);
            assert_int_equal(again.batch.results.verdict[0], VERDICT_PASS);
            assert_true(again.batch.results.match[0] == change.match && again.batch.results.anomaly_own[0] == change.anomaly_own);
            again.features.column[change.feature][0] = a_little_less(&change);
            rig_decide(&again, 1);
            assert_true(a_little_less(&change) == change.from || again.batch.results.verdict[0] != VERDICT_PASS);
            near(change.away, fabs((double)change.to - (double)change.from) * scale_of(again.base, change.feature), 1e-9);
        }
        for (unsigned f = 0; f < FEATURE_COUNT; f++)
            if (is_continuous(f)) {
                double nearest = nearest_by_looking(&again, &row, f);
                if (nearest < (change.found ? change.away : INFINITY) - 1e-4)
                    fail_msg("row %u: %s passes %.4g away, told is %.4g", held_rows[i], feature_infos[f].name, nearest,
                             change.found ? change.away : INFINITY);
            }
        rig_close(&again);
    }
    print_message("%u changes found, %u rows without one\n", found, none);
    assert_true(found > 3 && none > 0);
    memory_give(memory);
    rig_close(&rig);
}

/* Two features that are the same in everything: the first of the catalogue is told. Values are such as can be. */
static void ties_go_to_the_catalogue_and_values_can_be(void **state)
{
    (void)state;
    struct tiny_base tiny;
    struct fault_note note = {0};
    struct rig rig;
    struct feature_block row = {0};
    float *memory;
    char *bytes = NULL;
    size_t byte_count = 0;
    rig_open(&rig, 30, 7);
    device_cpu.scratch_give(&rig.scratch), device_cpu.release(&rig.resident), scene_base_close(&rig.base);
    tiny_base_init(&tiny, 2, 2, 1, 7); /* device: two counts, alike */
    for (int g = 0; g < DIMENSION_COUNT; g++)
        for (uint32_t k = 0; k < 3; k++)
            for (uint32_t j = 0; j < tiny.base.dimensions[g].column_count; j++) {
                size_t at = (size_t)k * tiny.base.dimensions[g].column_count + j;
                ((float *)(uintptr_t)tiny.base.dimensions[g].precisions)[at] = g == DIMENSION_device ? 1.0f : 0.0f;
                ((float *)(uintptr_t)tiny.base.dimensions[g].centres)[at] = k == 2 ? 4.0f : 0.0f;
                ((float *)(uintptr_t)tiny.base.dimensions[g].offsets)[k] = 0.0f;
            }
    for (unsigned j = 0; j < 2; j++)
        tiny.columns[DIMENSION_device][j] =
            (struct scene_column){.feature = (uint16_t)(j ? FEATURE_payer_device_accounts : FEATURE_payer_device_count),
                                  .mean = 0.0f,
                                  .rscale = 1.0f,
                                  .edge_scale = 1.0f};
    tiny.base.scenes[0].bias = tiny.base.scenes[1].bias = 0.0f, tiny.base.scenes[1].threshold = 0.5f;
    tiny.base.scenes[0].weight[DIMENSION_device] = tiny.base.scenes[1].weight[DIMENSION_device] = 1.0f;
    tiny.base.anomaly[0].ensemble.point_count = tiny.base.anomaly[1].ensemble.point_count = 0;
    tiny.base.anomaly[0].column_count = tiny.base.anomaly[1].column_count = 0;
    if (scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note) != FAULT_NONE ||
        scene_base_read(&rig.base, (unsigned char *)bytes, byte_count, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    memory_give(bytes);
    tiny_base_fini(&tiny);
    strategy_default(&rig.strategy);
    assert_int_equal(strategy_bind(&rig.strategy, rig.base, NULL), FAULT_NONE);
    assert_int_equal(device_cpu.prepare(&rig.resident, rig.device, rig.base, &note), FAULT_NONE);
    assert_int_equal(device_cpu.scratch_take(&rig.scratch, rig.resident, &note), FAULT_NONE);
    columns_take(&row, &memory);
    row.row_count = 1;
    row.column[FEATURE_payer_device_count][0] = row.column[FEATURE_payer_device_accounts][0] = kernel_log1p(19.0f); /* z 3 and 3 */
    struct change change = find(&rig, &row);
    assert_true(change.found);
    assert_int_equal(change.feature, FEATURE_payer_device_count);
    assert_true(change.to == kernel_log1p((float)round(expm1((double)change.to)))); /* a whole count */
    assert_true(change.to < 4.0f - (change.from - 0.0f) + 1e-6f);                   /* halfway between the centres */
    assert_true(kernel_log1p((float)round(expm1((double)change.to)) + 1.0f) > 4.0f - change.from);
    memory_give(memory);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_share_is_the_oracles),
        cmocka_unit_test(anomaly_shares_sum_to_the_raw_degree),
        cmocka_unit_test(reasons_are_the_strongest_shares),
        cmocka_unit_test(the_nearest_change_passes_and_none_is_nearer),
        cmocka_unit_test(ties_go_to_the_catalogue_and_values_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
