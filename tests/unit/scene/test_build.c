/* Building bases from rows whose scenes are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scene/build.h"
#include "scene/golden.h"
#include "scene/random.h"

enum { CHUNKS_MAX = 8, FEATURES_USED = 40 };

struct rows {
    struct build_chunk chunks[CHUNKS_MAX];
    struct build_sample sample;
};

static double normal(struct random *random)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++)
        sum += random_unit(random);
    return sum;
}

/* Scene 1 moves three features by 2.5, scene 2 goes beyond all background in one; 2 % each. */
static float feature_make(struct random *random, uint32_t feature, uint8_t scene)
{
    double x = normal(random);
    if (scene == 1 && feature % 13 == 3)
        x += 2.5;
    if (scene == 2 && feature == 0)
        x += 12.0;
    return (float)x;
}

static void rows_make(struct rows *rows, uint32_t chunk_count, uint64_t seed)
{
    struct random random = {.state = seed};
    memset(rows, 0, sizeof *rows);
    for (uint32_t c = 0; c < chunk_count; c++) {
        struct build_chunk *chunk = &rows->chunks[c];
        chunk->features.row_count = c + 1 < chunk_count ? SLICE_ROWS : 700;
        chunk->scene = memory_take_aligned(SLICE_ROWS, 64);
        for (uint32_t i = 0; i < chunk->features.row_count; i++) {
            uint32_t draw = random_below(&random, 50);
            chunk->scene[i] = draw == 0 ? 1 : draw == 1 ? 2 : 0;
        }
        for (uint32_t f = 0; f < FEATURES_USED; f++) {
            chunk->features.column[f] = memory_take_aligned(SLICE_ROWS * sizeof(float), 64);
            for (uint32_t i = 0; i < chunk->features.row_count; i++)
                chunk->features.column[f][i] = feature_make(&random, f, chunk->scene[i]);
        }
    }
    rows->sample = (struct build_sample){.chunk_count = chunk_count, .chunks = rows->chunks, .background_weight = 1.0};
}

static void rows_fini(struct rows *rows)
{
    for (uint32_t c = 0; c < rows->sample.chunk_count; c++) {
        memory_give(rows->chunks[c].scene);
        for (uint32_t f = 0; f < FEATURES_USED; f++)
            memory_give(rows->chunks[c].features.column[f]);
    }
}

static struct kernels fastest;
static const struct build_sample none;

static struct build_options options_make(const struct kernels *kernels)
{
    struct build_options options = BUILD_OPTIONS_DEFAULT;
    options.name = "test";
    options.scene_count = 3;
    options.scene_names[1] = options.risk_types[1] = "one";
    options.scene_names[2] = options.risk_types[2] = "two";
    options.kernels = kernels;
    options.alert_rate = 0.05;
    options.anomaly_rate = 0.01;
    for (uint32_t f = 0; f < FEATURES_USED; f++)
        options.features.bits[f / 64] |= 1ull << f % 64;
    return options;
}

static double figure_of(const struct scene_base *base, const char *name)
{
    const char *at = strstr(base->metadata, name);
    assert_non_null(at);
    return strtod(strchr(at, ':') + 1, NULL);
}

static struct build_result build(const struct build_options *options, const struct rows *train, const struct rows *later)
{
    struct build_result result;
    struct fault_note note = {0};
    if (scene_build(&result, options, &train->sample, &none, &later->sample, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    return result;
}

static void scenes_are_told_apart(void **state)
{
    (void)state;
    struct rows train, later;
    struct build_options options = options_make(&fastest);
    struct scene_base *base = NULL;
    rows_make(&train, 5, 1);
    rows_make(&later, 3, 2);
    struct build_result result = build(&options, &train, &later);
    assert_int_equal(scene_base_read(&base, (unsigned char *)result.bytes, result.byte_count, NULL), FAULT_NONE);
    assert_string_equal(base->scenes[2].name, "two");
    assert_true(figure_of(base, "\"auc_roc\"") > 0.97);
    assert_true(figure_of(base, "\"average_precision\"") > 0.9);
    assert_true(figure_of(base, "\"scene_named_right\"") > 0.9);
    double rows = figure_of(base, "\"rows\""), alerts = figure_of(base, "\"alerts\"");
    assert_true(alerts > 0.0 && alerts <= 0.05 * rows);
    uint32_t overshoot = 0;
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        for (uint32_t j = 0; j < base->dimensions[g].column_count; j++)
            overshoot += base->dimensions[g].columns[j].form == FORM_OVERSHOOT;
        for (size_t i = 0; i < (size_t)base->dimensions[g].panel.cluster_count * base->dimensions[g].column_count; i++)
            assert_true(base->dimensions[g].precisions[i] <= 25.001f);
    }
    assert_true(overshoot >= 1);
    assert_int_equal(base->anomaly[ANOMALY_LINKED].column_count, FEATURES_USED);
    assert_true(base->anomaly[ANOMALY_OWN].column_count > 0 && base->anomaly[ANOMALY_OWN].column_count < FEATURES_USED);
    assert_true(base->anomaly[ANOMALY_LINKED].threshold > 0.97f);
    scene_base_close(&base);
    build_result_fini(&result);
    rows_fini(&train);
    rows_fini(&later);
}

static void same_seed_same_bytes(void **state)
{
    (void)state;
    struct rows train, later;
    struct build_options ref = options_make(NULL), fast = options_make(&fastest), other = options_make(&fastest);
    other.seed = 2;
    ref.thread_count = 1;
    fast.thread_count = 3;
    rows_make(&train, 3, 1);
    rows_make(&later, 2, 2);
    struct build_result a = build(&ref, &train, &later), b = build(&fast, &train, &later), c = build(&other, &train, &later);
    assert_int_equal(a.byte_count, b.byte_count);
    assert_memory_equal(a.bytes, b.bytes, a.byte_count);
    assert_int_equal(a.golden_byte_count, b.golden_byte_count);
    assert_memory_equal(a.golden, b.golden, a.golden_byte_count);
    assert_true(a.byte_count != c.byte_count || memcmp(a.bytes, c.bytes, a.byte_count) != 0);
    build_result_fini(&a);
    build_result_fini(&b);
    build_result_fini(&c);
    rows_fini(&train);
    rows_fini(&later);
}

static struct build_watch watched[64];
static uint32_t watch_count;

static void watch(const struct build_watch *watch)
{
    assert_true(watch_count < 64);
    watched[watch_count++] = *watch;
}

static struct build_result build_judged(const struct build_options *options, const struct rows *train, const struct rows *later)
{
    struct build_result result;
    struct fault_note note = {0};
    watch_count = 0;
    if (scene_build(&result, options, &train->sample, &later->sample, &later->sample, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    return result;
}

/* The pass of the least loss on the rows to validate is kept, and training goes on no longer than it has patience. */
static void training_ends_early(void **state)
{
    (void)state;
    struct rows train, later;
    struct build_options options = options_make(&fastest), other = options_make(NULL), all = options_make(&fastest);
    options.passes = other.passes = all.passes = 60;
    options.patience = other.patience = 3;
    all.patience = 0;
    options.watch = all.watch = watch;
    options.thread_count = 3;
    other.thread_count = 1;
    rows_make(&train, 3, 1);
    rows_make(&later, 2, 2);
    struct build_result ended = build_judged(&options, &train, &later);
    const uint32_t count = watch_count;
    uint32_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(watched[i].pass == i + 1 && watched[i].passes == 60 && watched[i].loss > 0.0 && watched[i].validation_loss > 0.0);
        best = watched[i].validation_loss < watched[best].validation_loss ? i : best;
        assert_int_equal(watched[i].best_pass, best + 1);
    }
    assert_true(watched[0].loss > 2.0 * watched[best].loss);
    assert_true(count < 60);
    assert_int_equal(best + 1 + 3, count);
    assert_true(ended.validation == watched[best].average_precision && ended.validation != watched[count - 1].average_precision);
    struct build_result same = build_judged(&other, &train, &later);
    assert_int_equal(watch_count, 0); /* whether it is watched changes nothing */
    assert_int_equal(ended.byte_count, same.byte_count);
    assert_memory_equal(ended.bytes, same.bytes, ended.byte_count);
    struct build_result whole = build_judged(&all, &train, &later);
    assert_int_equal(watch_count, 60);
    assert_true(isnan(watched[59].validation_loss) && watched[59].best_pass == 0);
    assert_true(whole.byte_count != ended.byte_count || memcmp(whole.bytes, ended.bytes, ended.byte_count) != 0);
    build_result_fini(&ended);
    build_result_fini(&same);
    build_result_fini(&whole);
    rows_fini(&train);
    rows_fini(&later);
}

static void golden_distances_hold(void **state)
{
    (void)state;
    struct rows train, later;
    struct build_options options = options_make(&fastest), other = options_make(&fastest);
    struct golden_errors errors;
    struct fault_note note = {0};
    struct scene_base *base = NULL, *base_other = NULL;
    other.seed = 7;
    rows_make(&train, 3, 1);
    rows_make(&later, 2, 2);
    struct build_result result = build(&options, &train, &later), second = build(&other, &train, &later);
    assert_int_equal(scene_base_read(&base, (unsigned char *)result.bytes, result.byte_count, NULL), FAULT_NONE);
    assert_int_equal(scene_base_read(&base_other, (unsigned char *)second.bytes, second.byte_count, NULL), FAULT_NONE);
    assert_int_equal(golden_verify(&errors, base, result.golden, result.golden_byte_count, &fastest, &note), FAULT_NONE);
    assert_true(errors.match <= 1e-5 && errors.distance > 0.0 && errors.distance < 1e-3 && errors.anomaly < 3e-4);
    assert_int_equal(golden_verify(&errors, base_other, result.golden, result.golden_byte_count, &fastest, &note), FAULT_model);
    assert_non_null(strstr(note.text, "of another base"));
    ((float *)base->dimensions[0].panel.ab)[0] += 0.01f;
    for (size_t i = 1; i < base->dimensions[0].panel.cluster_count; i++)
        ((float *)base->dimensions[0].panel.start)[i] -= 0.01f;
    assert_int_equal(golden_verify(&errors, base, result.golden, result.golden_byte_count, &fastest, &note), FAULT_model);
    assert_non_null(strstr(note.text, "of golden row"));
    for (size_t cut = 0; cut < result.golden_byte_count; cut += 501)
        assert_int_equal(golden_verify(&errors, base, result.golden, cut, &fastest, &note), FAULT_model);
    scene_base_close(&base);
    scene_base_close(&base_other);
    build_result_fini(&result);
    build_result_fini(&second);
    rows_fini(&train);
    rows_fini(&later);
}

static void expect_refused(struct rows *train, const struct build_options *options, const char *word)
{
    struct rows later;
    struct build_result result;
    struct fault_note note = {0};
    rows_make(&later, 1, 2);
    assert_int_equal(scene_build(&result, options, &train->sample, &none, &later.sample, &note), FAULT_schema);
    if (!strstr(note.text, word))
        fail_msg("expected %s, got %s", word, note.text);
    assert_null(result.bytes);
    rows_fini(&later);
}

static void too_few_rows_are_refused(void **state)
{
    (void)state;
    struct rows train;
    struct build_options options = options_make(&fastest);
    rows_make(&train, 2, 1);
    for (uint32_t c = 0; c < 2; c++)
        for (uint32_t i = 0; i < train.chunks[c].features.row_count; i++)
            train.chunks[c].scene[i] = train.chunks[c].scene[i] == 2 ? SCENE_UNKNOWN : train.chunks[c].scene[i];
    expect_refused(&train, &options, "0 rows of scene two");
    train.sample.chunk_count = 1;
    train.chunks[0].features.row_count = 400;
    expect_refused(&train, &options, "rows labelled good");
    train.sample.chunk_count = 2;
    rows_fini(&train);
}

/* Without scenes there is a base too: background alone, and anomaly. */
static void no_scene_is_a_base_of_anomaly(void **state)
{
    (void)state;
    struct rows train, later;
    struct build_options options = options_make(&fastest);
    struct scene_base *base = NULL;
    options.scene_count = 1;
    rows_make(&train, 2, 1);
    rows_make(&later, 1, 2);
    for (uint32_t i = 0; i < SLICE_ROWS; i++)
        train.chunks[0].scene[i] = 0;
    for (uint32_t i = 0; i < 700; i++)
        train.chunks[1].scene[i] = later.chunks[0].scene[i] = 0;
    struct build_result result = build(&options, &train, &later);
    assert_int_equal(scene_base_read(&base, (unsigned char *)result.bytes, result.byte_count, NULL), FAULT_NONE);
    assert_int_equal(base->scene_count, 1);
    assert_int_equal(base->anomaly[ANOMALY_LINKED].table_count, SLICE_ROWS + 700);
    scene_base_close(&base);
    build_result_fini(&result);
    rows_fini(&train);
    rows_fini(&later);
}

/* Background rows in tenths; one in a hundred of them far; later rows by the scene that they reach. */
static void reference_is_the_background(void **state)
{
    (void)state;
    struct rows train, later;
    struct build_options options = options_make(&fastest);
    struct scene_base *base = NULL;
    static uint32_t known[FEATURE_COUNT][2];
    uint32_t background = 0, scenes = 0;
    rows_make(&train, 5, 1);
    rows_make(&later, 3, 2);
    for (uint32_t c = 0; c < 5; c++)
        for (uint32_t i = 0; i < train.chunks[c].features.row_count; i++)
            background += train.chunks[c].scene[i] == 0;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        known[f][0] = 70 + f, known[f][1] = f;
    options.known = (const uint32_t(*)[2])known;
    struct build_result result = build(&options, &train, &later);
    assert_int_equal(scene_base_read(&base, (unsigned char *)result.bytes, result.byte_count, NULL), FAULT_NONE);
    const struct scene_reference *reference = &base->reference;
    assert_int_equal(reference->feature_count, FEATURES_USED);
    for (uint32_t k = 0; k < FEATURES_USED; k++) {
        uint32_t sum = 0;
        for (uint32_t j = 0; j < REFERENCE_BINS; j++) {
            uint32_t count = reference->counts[k * REFERENCE_BINS + j];
            assert_true(count * 11 > background && count * 9 < background);
            sum += count;
        }
        assert_int_equal(sum, background);
        assert_int_equal(reference->known[2 * k + 1], reference->feature[k]);
        assert_int_equal(reference->known[2 * k], 70 + reference->feature[k]);
    }
    for (int g = 0; g < DIMENSION_COUNT; g++)
        if (base->dimensions[g].panel.cluster_count) {
            uint32_t near = reference->distances[2 * g], far = reference->distances[2 * g + 1];
            assert_int_equal(near + far, background);
            assert_true(far * 90 < background && far * 110 > background && reference->far[g] > 0.0f);
        }
    for (uint32_t s = 0; s < 3; s++)
        scenes += reference->scenes[s];
    assert_int_equal(scenes, 2 * SLICE_ROWS + 700);
    assert_true(figure_of(base, "\"alerts\"") == (double)(scenes - reference->scenes[0]));
    scene_base_close(&base);
    build_result_fini(&result);
    rows_fini(&train);
    rows_fini(&later);
}

static void memory_faults_leave_nothing(void **state)
{
    (void)state;
    struct rows train, later;
    struct build_options options = options_make(&fastest);
    rows_make(&train, 2, 1);
    rows_make(&later, 1, 2);
    options.background_clusters = options.scene_clusters = 1;
    options.passes = 3;
    options.patience = 2;
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    for (uint64_t nth = 0; nth < 1000 && fault == FAULT_memory; nth = nth < 40 ? nth + 1 : nth + 23) {
        struct build_result result = {0};
        struct fault_note note = {0};
        memory_fail_at(nth);
        fault = scene_build(&result, &options, &train.sample, &later.sample, &later.sample, &note);
        memory_fail_at(UINT64_MAX);
        build_result_fini(&result);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
    rows_fini(&train);
    rows_fini(&later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenes_are_told_apart),         cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(golden_distances_hold),         cmocka_unit_test(too_few_rows_are_refused),
        cmocka_unit_test(no_scene_is_a_base_of_anomaly), cmocka_unit_test(memory_faults_leave_nothing),
        cmocka_unit_test(reference_is_the_background),   cmocka_unit_test(training_ends_early),
    };
    kernels_select(&fastest, CPU_MASK_ALL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
