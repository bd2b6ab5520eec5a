/* The strategy table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiny_base.h"
#include "verdict/verdict.h"

static void the_first_row_that_applies_wins(void **state)
{
    (void)state;
    static struct strategy strategy;
    strategy_default(&strategy);
    strategy.row_count = 0;
    strategy.rows[strategy.row_count++] =
        (struct strategy_row){.risk_type = 4, .level_least = LEVEL_LOW, .verdict = VERDICT_REJECT, .countermeasure = 1};
    strategy.rows[strategy.row_count++] =
        (struct strategy_row){.risk_type = STRATEGY_ANY, .level_least = LEVEL_MEDIUM, .verdict = VERDICT_HOLD, .countermeasure = 2};
    assert_int_equal(strategy_find(&strategy, 4, LEVEL_NONE).verdict, VERDICT_PASS);
    assert_int_equal(strategy_find(&strategy, 4, LEVEL_LOW).verdict, VERDICT_REJECT);
    assert_int_equal(strategy_find(&strategy, 4, LEVEL_CRITICAL).countermeasure, 1);
    assert_int_equal(strategy_find(&strategy, 5, LEVEL_LOW).verdict, VERDICT_PASS);
    assert_int_equal(strategy_find(&strategy, 5, LEVEL_MEDIUM).verdict, VERDICT_HOLD);
}

static void binding_adds_risk_types_once(void **state)
{
    (void)state;
    static struct strategy strategy;
    struct scene_base *base = tiny_base_open(5, 2, 1, 1);
    strategy_default(&strategy);
    snprintf(strategy.risk_types[strategy.risk_type_count++], 64, "risk_3");
    assert_int_equal(strategy_bind(&strategy, base, NULL), FAULT_NONE);
    assert_int_equal(strategy.risk_type_count, 7 + STRATEGY_UNSCORED);
    assert_int_equal(strategy.scene_risk_type[3], 3);
    assert_string_equal(strategy.risk_types[strategy.scene_risk_type[4]], "risk_4");
    assert_int_equal(strategy_bind(&strategy, base, NULL), FAULT_NONE);
    assert_int_equal(strategy.risk_type_count, 7 + STRATEGY_UNSCORED);
    assert_string_equal(strategy.risk_types[strategy.risk_type_duplicate], "duplicate"); /* behind the others */
    assert_int_equal(strategy.risk_type_duplicate, 7);
    assert_int_equal(strategy_find(&strategy, strategy.risk_type_duplicate, LEVEL_NONE).verdict, VERDICT_HOLD);
    assert_int_equal(strategy_find_unscored(&strategy, strategy.risk_type_blocked).verdict, VERDICT_REJECT);
    assert_int_equal(strategy_find_unscored(&strategy, strategy.risk_type_restricted).verdict, VERDICT_HOLD);
    assert_int_equal(strategy.row_count, 3 + STRATEGY_UNSCORED);
    scene_base_close(&base);
}

static void a_full_list_is_a_fault(void **state)
{
    (void)state;
    static struct strategy strategy;
    struct fault_note note = {0};
    struct scene_base *base = tiny_base_open(5, 2, 1, 1);
    strategy_default(&strategy);
    while (strategy.risk_type_count < RISK_TYPES_MAX - 1) {
        snprintf(strategy.risk_types[strategy.risk_type_count], 64, "type %u", strategy.risk_type_count);
        strategy.risk_type_count++;
    }
    assert_int_equal(strategy_bind(&strategy, base, &note), FAULT_limit);
    assert_non_null(strstr(note.text, "risk_2"));
    scene_base_close(&base);
}

static void a_countermeasure_says_what_may_be_corrected(void **state)
{
    (void)state;
    static struct strategy strategy;
    strategy_default(&strategy);
    assert_true(strategy_may_correct(&strategy, 2, text_of("amount"))); /* none named: any */
    snprintf(strategy.countermeasures[2].correct, sizeof strategy.countermeasures[2].correct, "payee_id,memo");
    assert_true(strategy_may_correct(&strategy, 2, text_of("payee_id")));
    assert_true(strategy_may_correct(&strategy, 2, text_of("memo")));
    assert_false(strategy_may_correct(&strategy, 2, text_of("payee")));
    assert_false(strategy_may_correct(&strategy, 2, text_of("memo2")));
    assert_false(strategy_may_correct(&strategy, 2, text_of("")));
    assert_true(strategy_may_correct(&strategy, 1, text_of("memo2")));
    assert_true(strategy_may_correct(&strategy, 200, text_of("memo2"))); /* of no countermeasure */
}

static void built_in_countermeasures_speak_all_languages(void **state)
{
    (void)state;
    static struct strategy strategy;
    char joined[COUNTERMEASURE_BYTES];
    strategy_default(&strategy);
    assert_int_equal(strategy_complete(&strategy, NULL), FAULT_NONE);
    for (uint32_t i = 1; i < strategy.countermeasure_count; i++)
        for (unsigned language = 0; language < LANGUAGE_COUNT; language++)
            assert_true(strategy.countermeasures[i].text[language][0] && text_is_utf8(text_of(strategy.countermeasures[i].text[language])));
    assert_string_equal(strategy.countermeasures[2].confirm, "payer");
    struct countermeasure longest;
    memset(&longest, 'x', sizeof longest);
    longest.name[63] = longest.text[0][159] = longest.text[1][159] = longest.correct[255] = longest.confirm[63] = '\0';
    countermeasure_join(joined, &longest);
    assert_int_equal(strlen(joined), 63 + 159 + 159 + 255 + 63 + 4);
    assert_int_equal(joined[63], STRATEGY_CUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_row_that_applies_wins),
        cmocka_unit_test(binding_adds_risk_types_once),
        cmocka_unit_test(a_full_list_is_a_fault),
        cmocka_unit_test(a_countermeasure_says_what_may_be_corrected),
        cmocka_unit_test(built_in_countermeasures_speak_all_languages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
