/* Measuring two bases and a file of scores: memory that runs out anywhere is told, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "pipeline/evaluate.h"

enum { ROWS = 1200, NTH_MAX = 2000 };
static char folder[] = "/tmp/sluice-evaluate-XXXXXX";
static char table[64], scores[64];
static struct evaluation evaluation;

static int write_files(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return 1;
    snprintf(table, sizeof table, "%s/table.csv", folder);
    snprintf(scores, sizeof scores, "%s/scores.csv", folder);
    FILE *rows = fopen(table, "w"), *risks = fopen(scores, "w");
    if (!rows || !risks)
        return 1;
    fprintf(rows, "transfer_id,payer_id,payee_id,amount,currency,time,label\n");
    fprintf(risks, "transfer_id,risk,scene,match,anomaly\n");
    for (int i = 0; i < ROWS; i++) {
        fprintf(rows, "t%d,p%d,q%d,%d,EUR,%lld,%s\n", i, i % 40, i % 70, 100 + i, 1700000000000000ll + i * 600000000ll,
                i % 9   ? "good"
                : i % 2 ? "fan_out"
                        : "tea_leaf");
        fprintf(risks, "t%d,0.%02d,%s,0.5,0.25\n", i, i % 100, i % 3 ? "fan_out" : "");
    }
    return fclose(rows) | fclose(risks);
}

static int remove_files(void **state)
{
    (void)state;
    unlink(table);
    unlink(scores);
    return rmdir(folder);
}

static struct evaluate_options two_bases(void)
{
    return (struct evaluate_options){.past = {.path = table, .batch_rows = 100, .delay_us = 0},
                                     .base_paths = {"models/synth/base.safetensors", "models/synth/base.safetensors"},
                                     .from_us = INT64_MIN,
                                     .to_us = INT64_MAX,
                                     .device = "cpu",
                                     .top = 10,
                                     .draws = 40,
                                     .seed = 1};
}

/* Every allocation fails once, up to the first run that needs no more; the later ones in larger steps. */
static void expect_no_leaks(const struct evaluate_options *options)
{
    uint64_t live = memory_live_count(), tried = 0;
    enum fault fault = FAULT_memory;
    for (uint64_t nth = 0; nth < NTH_MAX && fault != FAULT_NONE; nth += 1 + nth / 40, tried++) {
        struct fault_note note = {.row = ROW_NONE, .column = COLUMN_NONE};
        memory_fail_at(nth);
        fault = evaluate_run(&evaluation, options, &note);
        memory_fail_at(UINT64_MAX);
        evaluation_fini(&evaluation);
        assert_true(fault == FAULT_NONE || note.text[0] != '\0');
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
    assert_true(tried > 10);
}

static void memory_of_bases_runs_out(void **state)
{
    (void)state;
    struct evaluate_options options = two_bases();
    expect_no_leaks(&options);
    assert_int_equal(evaluate_run(&evaluation, &options, NULL), FAULT_NONE);
    assert_int_equal(evaluation.sides[1].metrics.rows, ROWS);
    assert_int_equal(evaluation.comparison.switched, 0);
    assert_int_equal(evaluation.scene_count, 10); /* tea_leaf is no scene of the base */
    assert_false(evaluation.sides[0].is_scene[9]);
    assert_true(evaluation.shift_from_base);
    evaluation_fini(&evaluation);
}

static void memory_of_scores_runs_out(void **state)
{
    (void)state;
    struct evaluate_options options = two_bases();
    options.base_paths[0] = options.base_paths[1] = NULL;
    options.scores_path = scores;
    expect_no_leaks(&options);
    assert_int_equal(evaluate_run(&evaluation, &options, NULL), FAULT_NONE);
    assert_true(evaluation.knows_match && evaluation.knows_anomaly && !evaluation.knows_alerts);
    assert_string_equal(evaluation.currency, "EUR");
    evaluation_fini(&evaluation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_of_bases_runs_out),
        cmocka_unit_test(memory_of_scores_runs_out),
    };
    return cmocka_run_group_tests(tests, write_files, remove_files);
}
