/* Rules of a tenant's own: how they are read, and which rows of a slice meet them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "pipeline/config.h"

#define HEAD \
    "ledger: data\nlisten: {data: ['tcp://127.0.0.1:9170']}\ntenants:\n  - name: a\n" \
    "    token_hash: 00000000000000000000000000000000000000000000000000000000000000ff\n"

static struct config *open_good(const char *text)
{
    struct config *config = NULL;
    struct fault_note note = {0};
    if (config_open_text(&config, "x.yaml", text, strlen(text), &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    return config;
}

static void expect_wrong(const char *text, const char *place, const char *words)
{
    struct config *config = NULL;
    struct fault_note note = {0};
    assert_int_not_equal(config_open_text(&config, "x.yaml", text, strlen(text), &note), FAULT_NONE);
    assert_null(config);
    if (strncmp(note.text, place, strlen(place)) != 0 || !strstr(note.text, words))
        fail_msg("'%s' is not told at '%s' with '%s'", note.text, place, words);
}

static void rules_are_read(void **state)
{
    (void)state;
    struct config *config =
        open_good(HEAD "    rule_columns: [{name: grade, type: decimal, places: 3}]\n"
                       "    rules:\n"
                       "      - {name: big, when: amount_reference > 100, raise_to: high, risk_type: large}\n"
                       "      - name: graded\n        when: |\n          grade >= 1.5\n            and scene != \"mule\"\n"
                       "        verdict: pass\n"
                       "  - name: b\n    token_hash: "
                       "00000000000000000000000000000000000000000000000000000000000000fe\n"
                       "    rules: [{name: old, when: payer_age < 60.0e0, verdict: reject}]\n");
    const struct tenant_rules *rules = config->tenants[0].rules, *other = config->tenants[1].rules;
    assert_int_equal(rules->count, 2);
    assert_int_equal(rules->first_number, 1);
    assert_int_equal(other->first_number, 3);
    assert_string_equal(rules->rules[0].risk_type, "large");
    assert_int_equal(rules->rules[0].level, LEVEL_HIGH);
    assert_int_equal(rules->rules[0].verdict, 0);
    assert_string_equal(rules->rules[1].risk_type, "graded");
    assert_int_equal(rules->rules[1].verdict, VERDICT_PASS + 1);
    uint32_t read = 0;
    for (uint32_t i = 0; i < rules->column_count; i++)
        read += rules->is_read[i];
    assert_int_equal(read, 3);
    config_close(&config);
}

static void wrong_rules_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *words;
    } cases[] = {
        {HEAD "    rules:\n      - {name: r, when: amount > \"x\", verdict: hold}\n", "x.yaml:7:8:", "text"},
        {HEAD "    rules:\n      - name: r\n        verdict: hold\n        when: |\n          level > 1\n          and nothing\n",
         "x.yaml:11:", "nothing"},
        {HEAD "    rules:\n      - {name: r, when: level + 1, verdict: hold}\n",
         "x.yaml:7:1:", "a condition is true or false, this is an int"},
        {HEAD "    rules:\n      - {name: r, when: 'level > 1 level', verdict: hold}\n", "x.yaml:7:11:", "the end of the condition"},
        {HEAD "    rules:\n      - {name: r, when: 'x = level > 1', verdict: hold}\n", "x.yaml:7:", "x"},
        {HEAD "    rules:\n      - {name: r, when: level > 1}\n", "x.yaml:7: tenants[0].rules[0]", "either raise_to or verdict"},
        {HEAD "    rules:\n      - {name: r, when: level > 1, verdict: hold, raise_to: low}\n", "x.yaml:7: tenants[0].rules[0]",
         "either raise_to or verdict"},
        {HEAD "    rules:\n      - {name: r, when: level > 1, raise_to: none}\n", "x.yaml:7: tenants[0].rules[0]", "is 'none'"},
        {HEAD "    rules:\n      - {name: r, when: level > 1, verdict: invalid}\n", "x.yaml:7: tenants[0].rules[0]", "is 'invalid'"},
        {HEAD "    rules:\n      - {name: r, verdict: hold}\n", "x.yaml:7: tenants[0].rules[0]", "expected when"},
        {HEAD "    rules:\n      - {when: level > 1, verdict: hold}\n", "x.yaml:7: tenants[0].rules[0]", "1 to 63 bytes"},
        {HEAD "    rules:\n      - {name: r, when: level > 1, verdict: hold}\n      - {name: r, when: level > 1, verdict: hold}\n",
         "x.yaml:8: tenants[0].rules[1]", "given twice"},
        {HEAD "    rules: [{name: r, whom: x}]\n", "x.yaml:6:", "unknown key 'whom'"},
        {HEAD "    rule_columns: [{name: amount, type: int}]\n", "x.yaml:6: tenants[0].rule_columns[0]", "the name of something else"},
        {HEAD "    rule_columns: [{name: match, type: int}]\n", "x.yaml:6: tenants[0].rule_columns[0]", "the name of something else"},
        {HEAD "    rule_columns: [{name: x, type: number}]\n", "x.yaml:6: tenants[0].rule_columns[0]", "expected type"},
        {HEAD "    rule_columns: [{name: x, type: int, places: 2}]\n", "x.yaml:6: tenants[0].rule_columns[0]", "expected places"},
        {HEAD "    rule_columns: [{name: x, type: decimal, places: 10}]\n", "x.yaml:6: tenants[0].rule_columns[0]", "0 to 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_wrong(cases[i].text, cases[i].place, cases[i].words);
}

static void what_rules_cost_is_bounded(void **state)
{
    (void)state;
    static char text[64 << 10];
    size_t used = (size_t)snprintf(text, sizeof text, "%s    rules:\n", HEAD);
    for (int rule = 0; rule < 60; rule++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "      - {name: r%d, verdict: hold, when: level > 1", rule);
        for (int part = 0; part < 40; part++)
            used += (size_t)snprintf(text + used, sizeof text - used, " and level > %d", part);
        used += (size_t)snprintf(text + used, sizeof text - used, "}\n");
    }
    expect_wrong(text, "x.yaml:", "more than 4096 steps");
}

/* --- a slice ----------------------------------------------------------------------------------------------------------- */

enum { ROWS = SLICE_ROWS + 700 };

static struct batch batch_made(struct arena *arena)
{
    struct batch batch;
    assert_int_equal(batch_init(&batch, 4 << 20, NULL), FAULT_NONE);
    batch.op = OP_screen, batch.row_count = ROWS;
    assert_int_equal(batch_take_checks(&batch, 10, NULL), FAULT_NONE);
    assert_int_equal(batch_take_facts(&batch, NULL), FAULT_NONE);
    assert_int_equal(batch_take_results(&batch, NULL), FAULT_NONE);
    assert_int_equal(batch_take_rule(&batch, NULL), FAULT_NONE);
    *arena = batch.arena;
    return batch;
}

static void rows_meet_their_rules(void **state)
{
    (void)state;
    static int64_t amounts[ROWS], grades[ROWS];
    static unsigned char codes[ROWS], valid[ROWS / 8 + 1];
    static float age[SLICE_ROWS];
    static const struct text channels[] = {{"app", 3}, {"web", 3}};
    static const char *const scenes[] = {"background", "mule"};
    static struct rules_met met;
    struct arena arena;
    struct figures figures = {{NULL}};
    struct batch batch = batch_made(&arena);
    struct config *config = open_good(
        HEAD "    rule_columns: [{name: grade, type: int}]\n    rules:\n"
             "      - {name: medium, when: 'amount > 500', raise_to: medium}\n"
             "      - {name: high, when: 'amount > 900 and channel == \"web\"', raise_to: high}\n"
             "      - {name: low, when: 'amount > 0', raise_to: low}\n"
             "      - {name: first, when: 'scene == \"mule\" and anomaly >= 0.5e0', verdict: pass}\n"
             "      - {name: second, when: 'grade in [3, 4] or payer_age < 10.0e0 or amount / (grade - 7) > 1.0e9', verdict: hold}\n");
    const struct tenant_rules *rules = config->tenants[0].rules;
    for (uint32_t i = 0; i < ROWS; i++) {
        amounts[i] = i % 1000, grades[i] = i % 8, codes[i] = i % 2;
        valid[i / 8] |= (unsigned char)((i % 5 != 0) << i % 8);
        batch.results.scene[i] = i % 3 == 0;
        batch.results.anomaly_own[i] = i % 7 == 0 ? 0.5f : 0.25f;
    }
    for (uint32_t i = 0; i < SLICE_ROWS; i++)
        age[i] = i % 11 == 0 ? -1.0f : (float)(i % 11 + 9);
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        figures.column[f] = age;
    batch.columns[COLUMN_amount] = (struct column){.form = FORM_I64, .data = (unsigned char *)amounts, .valid = valid};
    batch.columns[COLUMN_channel] = (struct column){.form = FORM_DICT8, .data = codes, .values = channels, .value_count = 2};
    batch.others[batch.other_count++] = (struct column){.form = FORM_I64, .name = {"grade", 5}, .data = (unsigned char *)grades};
    struct rules_judging judging = {.rules = rules, .figures = &figures, .scenes = scenes, .scene_count = 2, .kernels = &kernels_ref};
    judging.scratch = memory_take_aligned(rules->scratch_bytes, 64);
    for (uint32_t first = 0; first < ROWS; first += SLICE_ROWS) {
        uint32_t count = ROWS - first < SLICE_ROWS ? ROWS - first : SLICE_ROWS;
        rules_judge(&judging, &met, &batch, first, count);
        for (uint32_t at = 0; at < SLICE_ROWS; at++) {
            uint32_t row = first + at;
            bool is_there = at < count, known = is_there && row % 5 != 0;
            int raising = !known ? 0 : amounts[row] > 900 && codes[row] ? 2 : amounts[row] > 500 ? 1 : amounts[row] > 0 ? 3 : 0;
            bool young = at % 11 != 0 && at % 11 + 9 < 10;
            int forcing = !is_there ? 0 : row % 3 == 0 && row % 7 == 0 ? 4 : row % 8 == 3 || row % 8 == 4 || young ? 5 : 0;
            if (forcing == 5 && row % 8 == 7 && known)
                forcing = 0; /* what cannot be computed is not true */
            assert_int_equal(met.raising[at], raising);
            assert_int_equal(met.forcing[at], forcing);
        }
    }
    memory_give(judging.scratch);
    config_close(&config);
    batch.arena = arena;
    batch_fini(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_read),
        cmocka_unit_test(wrong_rules_are_told),
        cmocka_unit_test(what_rules_cost_is_bounded),
        cmocka_unit_test(rows_meet_their_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
