/* What `sluice build` is told and what it may know: build files with their lines, and that nothing leaks from later into a base. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "pipeline/build_file.h"

#define DAY 86400000000LL
#define T0  1700006400000000LL

static char folder[64];

/* --- build files ---------------------------------------------------------------------------------------------------- */

static struct build_plan *read_good(const char *text)
{
    struct build_plan *plan = memory_take_zeroed(1, sizeof *plan);
    struct fault_note note = {0};
    plan->options.build = BUILD_OPTIONS_DEFAULT;
    if (build_file_read_text(plan, "/etc/models/build.yaml", text, strlen(text), &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    return plan;
}

static void expect_wrong(const char *text, const char *place, const char *words)
{
    struct build_plan *plan = memory_take_zeroed(1, sizeof *plan);
    struct fault_note note = {0};
    uint64_t live = memory_live_count();
    enum fault fault = build_file_read_text(plan, "b.yaml", text, strlen(text), &note);
    assert_int_equal(memory_live_count(), live);
    if ((fault != FAULT_schema && fault != FAULT_syntax) || strncmp(note.text, place, strlen(place)) != 0 || !strstr(note.text, words))
        fail_msg("expected '%s … %s', is %s '%s' for:\n%s", place, words, fault_name(fault), note.text, text);
    memory_give(plan);
}

static bool set_has(const struct feature_set *set, enum feature_id feature)
{
    return set->bits[feature / 64] >> feature % 64 & 1;
}

static void a_file_tells_all_options(void **state)
{
    (void)state;
    struct build_plan *plan = read_good("file: past.csv\n"
                                        "out: /models/a.safetensors\n"
                                        "name: a b\n"
                                        "delay: 12h\n"
                                        "rows:\n"
                                        "  train_from: 2026-01-02\n"
                                        "  train_to: 2026-02-01T12:00:00\n"
                                        "  validate_to: 1770000000000000\n"
                                        "  rows_max: 20000\n"
                                        "features:\n"
                                        "  include: [transaction, payer_count_1d]\n"
                                        "  exclude: [night]\n"
                                        "learning:\n"
                                        "  seeds: [3, 1]\n"
                                        "  passes: 7\n"
                                        "  patience: 4\n"
                                        "  rate: 0.02\n"
                                        "  overshoot: false\n"
                                        "thresholds:\n"
                                        "  alert_cost: 2500\n"
                                        "observations:\n"
                                        "  - {kind: use, file: /data/use.csv}\n"
                                        "risk_types:\n"
                                        "  - {scene: one, risk_type: theft}\n");
    const struct base_build_options *options = &plan->options;
    assert_string_equal(plan->path, "/etc/models/past.csv");
    assert_string_equal(plan->out, "/models/a.safetensors");
    assert_string_equal(plan->name, "a b");
    assert_null(plan->version);
    assert_int_equal(options->past.delay_us, DAY / 2);
    assert_int_equal(options->train_from_us, 1767312000000000LL);
    assert_int_equal(options->train_to_us, 1769947200000000LL);
    assert_int_equal(options->validate_to_us, 1770000000000000LL);
    assert_int_equal(options->rows_max, 20000);
    assert_int_equal(options->seed_count, 2);
    assert_int_equal(options->seeds[0], 3);
    assert_int_equal(options->seeds[1], 1);
    assert_int_equal(options->build.passes, 7);
    assert_int_equal(options->build.patience, 4);
    assert_true(options->build.rate > 0.0199 && options->build.rate < 0.0201 && !options->build.overshoot);
    assert_true(options->build.alert_cost > 2499.9 && options->build.alert_cost < 2500.1);
    assert_true(set_has(&options->include, FEATURE_amount) && set_has(&options->include, FEATURE_payer_count_1d));
    assert_true(!set_has(&options->include, FEATURE_payee_count_1d) && set_has(&options->exclude, FEATURE_night));
    assert_int_equal(options->past.observation_count, 1);
    assert_int_equal(options->past.observations[0].kind, OBSERVE_USE);
    assert_string_equal(options->risk_types[0].scene, "one");
    assert_string_equal(options->risk_types[0].risk_type, "theft");
    memory_give(plan);
}

static void wrong_lines_are_named(void **state)
{
    (void)state;
    expect_wrong("file: a\nrows:\n  train_form: 2026-01-01\n", "b.yaml:3: unknown key 'train_form' in rows", "expected train_from");
    expect_wrong("file: a\nlearning:\n  passes: many\n", "b.yaml:3: learning.passes", "a whole number from 1 to 1000, is 'many'");
    expect_wrong("learning:\n  rate: 2\n", "b.yaml:2: learning.rate", "a number from 1e-06 to 1, is '2'");
    expect_wrong("rows: {until: soon}\n", "b.yaml:1: rows.until", "a day or a moment");
    expect_wrong("delay: 20d\n", "b.yaml:1: delay", "at most 15d");
    expect_wrong("features:\n  include:\n    - amount\n    - colour\n", "b.yaml:4: features.include[1]", "is 'colour'");
    expect_wrong("observations:\n  - kind: rumour\n    file: x\n", "b.yaml:2: observations[0].kind", "is 'rumour'");
    expect_wrong("observations:\n  - kind: use\n", "b.yaml:2: observations[0].file", "a file");
    expect_wrong("risk_types:\n  - scene: a\n", "b.yaml:2: risk_types[0]", "scene and risk_type");
    expect_wrong("learning: {seeds: [1, -2]}\n", "b.yaml:1: learning.seeds[1]", "from 0 on");
    expect_wrong("learning: {overshoot: perhaps}\n", "b.yaml:1: learning.overshoot", "true or false");
    expect_wrong("name: [a]\n", "b.yaml:1: name", "one value");
    expect_wrong("file: a\n\tout: b\n", "b.yaml:2", "");
}

/* --- leakage -------------------------------------------------------------------------------------------------------- */

struct made { /* rows of a file: who pays whom, what, and whether it was theft */
    uint32_t days, payees;
    bool random_labels;
    int64_t flip_from_us, flip_to_us; /* labels in between are turned round */
};

static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Every tenth payee is taken over from day 10 on; thefts there are of large amounts. 250 rows a day. */
static void file_make(const char *path, const struct made *made)
{
    FILE *file = fopen(path, "w");
    uint64_t state = 5;
    assert_non_null(file);
    fputs("transfer_id,payer_id,payee_id,amount,currency,time,label\n", file);
    for (uint32_t i = 0; i < made->days * 250; i++) {
        int64_t time_us = T0 + (int64_t)i * (DAY / 250);
        uint64_t payer = draw(&state) % 300, payee = draw(&state) % made->payees, amount = 1000 + draw(&state) % 5000;
        bool theft = made->random_labels ? draw(&state) % 20 == 0 : payee % 10 == 0 && i > 2500 && draw(&state) % 2 == 0;
        amount *= theft && !made->random_labels ? 3 : 1;
        if (time_us >= made->flip_from_us && time_us < made->flip_to_us)
            theft = !theft;
        fprintf(file, "t%u,a%llu,b%llu,%llu,EUR,%lld,%s\n", i, (unsigned long long)payer, (unsigned long long)payee,
                (unsigned long long)amount, (long long)time_us, theft ? "theft" : "good");
    }
    assert_int_equal(fclose(file), 0);
}

static struct base_build_options options_make(const char *path, const char *stem)
{
    struct base_build_options options = {.past = {.path = path, .delay_us = 7 * DAY, .batch_rows = 1000},
                                         .build = BUILD_OPTIONS_DEFAULT,
                                         .train_from_us = T0 + 15 * DAY,
                                         .train_to_us = T0 + 30 * DAY,
                                         .validate_to_us = T0 + 35 * DAY,
                                         .until_us = T0 + 45 * DAY,
                                         .rows_max = 100000,
                                         .scene_rows_least = 20,
                                         .stem = stem};
    options.build.name = "test";
    options.build.passes = 5;
    return options;
}

static struct scene_base *build(const struct base_build_options *options)
{
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    char path[128];
    if (base_build(options, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    snprintf(path, sizeof path, "%s.safetensors", options->stem);
    assert_int_equal(scene_base_open(&base, path, &note), FAULT_NONE);
    return base;
}

static struct scene_base *build_of(const struct made *made, const char *name)
{
    char path[128], stem[128];
    snprintf(path, sizeof path, "%s/%s.csv", folder, name);
    snprintf(stem, sizeof stem, "%s/%s", folder, name);
    file_make(path, made);
    const struct base_build_options options = options_make(path, stem);
    return build(&options);
}

static double figure_of(const struct scene_base *base, const char *name)
{
    const char *at = strstr(base->metadata, name);
    assert_non_null(at);
    return strtod(strchr(at, ':') + 1, NULL);
}

static bool same_floats(const float *a, const float *b, size_t count)
{
    return count == 0 || memcmp(a, b, count * sizeof *a) == 0;
}

/* All that scoring reads. */
static bool same_scores(const struct scene_base *a, const struct scene_base *b, bool thresholds)
{
    bool same = a->scene_count == b->scene_count;
    for (uint32_t s = 0; same && s < a->scene_count; s++) {
        same = same_floats(&a->scenes[s].bias, &b->scenes[s].bias, 1) &&
               same_floats(a->scenes[s].weight, b->scenes[s].weight, DIMENSION_COUNT);
        same = same && (!thresholds || same_floats(&a->scenes[s].threshold, &b->scenes[s].threshold, 1));
    }
    for (int g = 0; same && g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *x = &a->dimensions[g], *y = &b->dimensions[g];
        size_t cells = (size_t)x->panel.cluster_count * x->column_count;
        same = x->panel.cluster_count == y->panel.cluster_count && x->column_count == y->column_count;
        same = same && same_floats(x->centres, y->centres, cells) && same_floats(x->precisions, y->precisions, cells);
    }
    return same;
}

static void scenes_are_found(void **state)
{
    (void)state;
    struct scene_base *base = build_of(&(struct made){.days = 45, .payees = 200}, "true");
    assert_true(figure_of(base, "\"auc_roc\"") > 0.9);
    scene_base_close(&base);
}

static void labels_by_chance_teach_nothing(void **state)
{
    (void)state;
    struct scene_base *base = build_of(&(struct made){.days = 45, .payees = 200, .random_labels = true}, "chance");
    double auc = figure_of(base, "\"auc_roc\"");
    if (!(auc > 0.42 && auc < 0.58))
        fail_msg("area under the curve %.3f from labels by chance", auc);
    scene_base_close(&base);
}

static void later_rows_and_labels_change_nothing(void **state)
{
    (void)state;
    const struct made plain = {.days = 45, .payees = 200};
    struct scene_base *base = build_of(&plain, "plain");
    struct made made = plain;
    made.days = 60; /* rows from until on */
    struct scene_base *other = build_of(&made, "longer");
    assert_true(same_scores(base, other, true));
    scene_base_close(&other);
    made = plain; /* labels behind all that are learned from: figures and thresholds by labels may differ, nothing else */
    made.flip_from_us = T0 + 35 * DAY;
    made.flip_to_us = T0 + 45 * DAY;
    other = build_of(&made, "flipped");
    assert_true(same_scores(base, other, true));
    assert_true(figure_of(base, "\"auc_roc\"") > figure_of(other, "\"auc_roc\""));
    scene_base_close(&other);
    made.flip_from_us = T0 + 30 * DAY; /* those to validate with do count */
    other = build_of(&made, "validated");
    assert_false(same_scores(base, other, false));
    scene_base_close(&other);
    scene_base_close(&base);
}

/* Features of a row know no label of a transfer that is younger than the delay. */
static void young_labels_change_no_feature(void **state)
{
    (void)state;
    struct past *past[2] = {NULL};
    struct past_slice slices[2];
    struct made made = {.days = 30, .payees = 60};
    char paths[2][128];
    bool differs = false;
    for (int k = 0; k < 2; k++) {
        snprintf(paths[k], sizeof paths[k], "%s/young%d.csv", folder, k);
        file_make(paths[k], &made);
        made.flip_from_us = T0 + 15 * DAY;
        made.flip_to_us = T0 + 16 * DAY;
        struct past_options options = {
            .path = paths[k], .delay_us = 7 * DAY, .batch_rows = 500, .from_us = INT64_MIN, .kernels = &kernels_ref};
        for (uint32_t f = 0; f < FEATURE_COUNT; f++)
            options.wanted.bits[f / 64] |= 1ull << f % 64;
        assert_int_equal(past_open(&past[k], &options, NULL), FAULT_NONE);
    }
    for (;;) {
        assert_int_equal(past_next(past[0], &slices[0], NULL), FAULT_NONE);
        assert_int_equal(past_next(past[1], &slices[1], NULL), FAULT_NONE);
        assert_int_equal(slices[0].count, slices[1].count);
        if (slices[0].count == 0)
            break;
        for (uint32_t i = 0; i < slices[0].count; i++)
            for (uint32_t f = 0; f < FEATURE_COUNT; f++) {
                bool same = same_floats(&slices[0].features.column[f][i], &slices[1].features.column[f][i], 1);
                if (!same && slices[0].batch->facts.time_us[slices[0].first + i] < T0 + 22 * DAY)
                    fail_msg("%s knows a label too early", feature_infos[f].name);
                differs |= !same;
            }
    }
    assert_true(differs);
    past_close(&past[0]);
    past_close(&past[1]);
}

/* --- choices -------------------------------------------------------------------------------------------------------- */

static void the_best_seed_is_kept(void **state)
{
    (void)state;
    char path[128], stem[128];
    struct fault_note note = {0};
    snprintf(path, sizeof path, "%s/seeds.csv", folder);
    snprintf(stem, sizeof stem, "%s/seeds", folder);
    file_make(path, &(struct made){.days = 45, .payees = 200});
    struct base_build_options options = options_make(path, stem);
    struct scene_base *single[3], *best;
    for (uint32_t i = 0; i < 3; i++) {
        options.build.seed = i + 1;
        single[i] = build(&options);
    }
    for (uint32_t i = 0; i < 3; i++)
        options.seeds[i] = 3 - i;
    options.seed_count = 3;
    best = build(&options);
    assert_true(same_scores(best, single[0], true) + same_scores(best, single[1], true) + same_scores(best, single[2], true) == 1);
    scene_base_close(&best);
    for (uint32_t i = 0; i < 3; i++)
        scene_base_close(&single[i]);
    options.validate_to_us = options.train_to_us;
    assert_int_equal(base_build(&options, &note), FAULT_schema);
    assert_non_null(strstr(note.text, "rows to validate"));
}

static void features_are_chosen(void **state)
{
    (void)state;
    char path[128], stem[128];
    snprintf(path, sizeof path, "%s/chosen.csv", folder);
    snprintf(stem, sizeof stem, "%s/chosen", folder);
    file_make(path, &(struct made){.days = 45, .payees = 200});
    struct base_build_options options = options_make(path, stem);
    assert_true(base_features_add(&options.include, "social", 6) && base_features_add(&options.include, "amount", 6));
    assert_true(base_features_add(&options.exclude, "payee_count_7d", 14));
    assert_false(base_features_add(&options.include, "amoun", 5));
    options.build.alert_cost = 1.0; /* collects amounts, learns from what was chosen */
    struct scene_base *cheap = build(&options);
    assert_int_equal(cheap->dimensions[DIMENSION_behaviour].column_count, 0);
    assert_true(cheap->dimensions[DIMENSION_social].column_count > 5);
    for (uint32_t j = 0; j < cheap->dimensions[DIMENSION_social].column_count; j++)
        assert_int_not_equal(cheap->dimensions[DIMENSION_social].columns[j].feature, FEATURE_payee_count_7d);
    options.build.alert_cost = 1e9; /* no fraud is worth a wrong alert */
    struct scene_base *dear = build(&options);
    assert_true(dear->scenes[1].threshold > cheap->scenes[1].threshold);
    scene_base_close(&cheap);
    scene_base_close(&dear);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_tells_all_options),
        cmocka_unit_test(wrong_lines_are_named),
        cmocka_unit_test(scenes_are_found),
        cmocka_unit_test(labels_by_chance_teach_nothing),
        cmocka_unit_test(later_rows_and_labels_change_nothing),
        cmocka_unit_test(young_labels_change_no_feature),
        cmocka_unit_test(the_best_seed_is_kept),
        cmocka_unit_test(features_are_chosen),
    };
    json_use_memory();
    snprintf(folder, sizeof folder, "/tmp/sluice-build-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return failed | (system(command) != 0);
}
