/* Facts: keys are of the id and its namespace alone, amounts are exact, times obey the windows. */
#include "unit/intake/rows.h"

#include "base/clock.h"

#define HEAD "transfer_id,payer_id,payee_id,amount,currency"

static void filled(struct batch *batch, enum op op, const char *csv, bool dict)
{
    struct fault_note note = {0};
    struct intake_rules rules = RULES;
    rows_read(batch, op, csv);
    if (dict)
        rows_to_dict(batch);
    batch->observe_kind = op == OP_observe ? OBSERVE_USE : OBSERVE_NONE;
    assert_int_equal(intake_check(batch, &rules, &note), FAULT_NONE);
    assert_int_equal(intake_fill(batch, &rules, &note), FAULT_NONE);
}

static void test_keys(void **state)
{
    (void)state;
    static const char csv[] = HEAD ",payer_device,payer_network\na,p,q,1,EUR,d,net\nb,q,p,1,EUR,,\nc,p,p,1,EUR,\"\",net\n";
    for (int dict = 0; dict < 2; dict++) {
        struct batch batch;
        filled(&batch, OP_screen, csv, dict);
        const struct batch_facts *facts = &batch.facts;
        assert_true(facts->payer[0] == hash64(42, "p", 1) && facts->payee[0] == hash64(42, "q", 1));
        assert_true(facts->payer[1] == facts->payee[0] && facts->payer[2] == facts->payee[2]);
        assert_true(facts->payer_device[0] == hash64(42, "d", 1) && facts->payer_device[1] == 0 && facts->payer_device[2] == 0);
        assert_true(facts->payer_network[0] == (uint32_t)hash64(42, "net", 3) && facts->payer_network[1] == 0);
        assert_true(!facts->payee_device && !facts->payee_network && !facts->label);
        batch_fini(&batch);
    }
}

static void test_amounts(void **state)
{
    (void)state;
    static const struct {
        const char *amount, *currency;
        int64_t wanted;
    } cases[] = {
        {"1999", "EUR", 1999},
        {"1000000000000000", "EUR", 1000000000000000},
        {"1000", "JPY", 600},
        {"1", "JPY", 1}, /* 0.6 of a cent */
        {"3", "JPY", 2},
        {"100", "KWD", 300},
        {"1000000000000000", "KWD", AMOUNT_MAX}, /* three times as much */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct batch batch;
        char csv[200];
        snprintf(csv, sizeof csv, HEAD "\na,p,q,%s,%s\nb,p,q,7,EUR\n", cases[i].amount, cases[i].currency);
        filled(&batch, OP_screen, csv, i % 2);
        assert_true(batch.facts.amount[0] == cases[i].wanted && batch.facts.amount[1] == 7);
        batch_fini(&batch);
    }
    struct batch batch;
    filled(&batch, OP_screen, HEAD ",resource_kind\na,p,q,5,EUR,document\nb,p,q,5,EUR,funds\nc,p,q,-5,EUR,\n", false);
    assert_true(batch.facts.amount[0] == 0 && batch.facts.amount[1] == 5 && batch.facts.amount[2] == 0);
    batch_fini(&batch);
}

static void test_labels(void **state)
{
    (void)state;
    for (int dict = 0; dict < 2; dict++) {
        struct batch batch;
        filled(&batch, OP_import, HEAD ",label\na,p,q,1,EUR,good\nb,p,q,1,EUR,\nc,p,q,1,EUR,mule\nd,p,q,1,EUR,\"\"\n", dict);
        assert_true(batch.facts.label[0] == 1 && batch.facts.label[1] == 0 && batch.facts.label[2] == 2 && batch.facts.label[3] == 0);
        batch_fini(&batch);
    }
}

static void test_observations(void **state)
{
    (void)state;
    struct batch batch;
    filled(&batch, OP_observe, "account_id,contact_id,device_id,address,network\na,b,d,e,n\n", false);
    const struct batch_facts *facts = &batch.facts;
    assert_true(facts->payer[0] == hash64(42, "a", 1) && facts->payee[0] == hash64(42, "b", 1));
    assert_true(facts->payer_device[0] == hash64(42, "d", 1) && facts->payer_address[0] == hash64(42, "e", 1));
    assert_true(facts->payer_network[0] == (uint32_t)hash64(42, "n", 1));
    batch_fini(&batch);
}

static void times_filled(struct batch *batch, enum op op, int64_t now_us)
{
    static const int64_t ages_us[] = {0, -TRANSFER_AHEAD_US_MAX, -TRANSFER_AHEAD_US_MAX - 1, TRANSFER_AGE_US_MAX, TRANSFER_AGE_US_MAX + 1};
    const char *head = op == OP_observe ? "account_id,device_id" : HEAD, *cells = op == OP_observe ? "p" : "p,q,1,EUR";
    char csv[500];
    sprintf(csv, "%s,time\nnone,%s,\n", head, cells);
    for (size_t i = 0; i < 5; i++)
        sprintf(csv + strlen(csv), "t%zu,%s,%lld\n", i, cells, (long long)(now_us - ages_us[i]));
    rows_read(batch, op, csv);
    batch->observe_kind = op == OP_observe ? OBSERVE_USE : OBSERVE_NONE;
    struct fault_note note = {0};
    struct intake_rules rules = RULES;
    assert_int_equal(intake_check(batch, &rules, &note), FAULT_NONE);
    assert_int_equal(intake_fill(batch, &rules, &note), FAULT_NONE);
    intake_fill_times(batch, now_us);
}

static void test_times(void **state)
{
    (void)state;
    static const enum op ops[] = {OP_screen, OP_score, OP_import, OP_observe};
    const int64_t now_us = 1795305599123456;
    for (size_t i = 0; i < 4; i++) {
        bool old_is_fine = ops[i] == OP_import || ops[i] == OP_observe;
        struct batch batch;
        times_filled(&batch, ops[i], now_us);
        const uint8_t *invalid = batch.facts.invalid;
        assert_true(batch.facts.time_us[0] == now_us && batch.facts.time_us[1] == now_us);
        assert_true(!invalid[2] && batch.facts.time_us[2] == now_us + TRANSFER_AHEAD_US_MAX);
        assert_true(invalid[3] && batch.rule_counts[COLUMN_time][RULE_TIME] == (old_is_fine ? 1u : 2u));
        assert_true(!invalid[4] && batch.facts.time_us[4] == now_us - TRANSFER_AGE_US_MAX);
        assert_int_equal(invalid[5], !old_is_fine);
        assert_string_equal(batch.notes[0].text, "300 seconds ahead of now, at most 300 are taken");
        if (!old_is_fine)
            assert_string_equal(batch.notes[1].text, "30 days ago, at most 30 are taken: import older transfers");
        batch_fini(&batch);
    }
}

static void test_exponents(void **state)
{
    (void)state;
    assert_int_equal(currency_exponent("EUR"), 2);
    assert_int_equal(currency_exponent("JPY"), 0);
    assert_int_equal(currency_exponent("KWD"), 3);
    assert_int_equal(currency_exponent("CLF"), 4);
    assert_int_equal(currency_exponent("QQQ"), -1);
    assert_int_equal(currency_exponent("eur"), -1);
    assert_int_equal(currency_exponent(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),         cmocka_unit_test(test_amounts), cmocka_unit_test(test_labels),
        cmocka_unit_test(test_observations), cmocka_unit_test(test_times),   cmocka_unit_test(test_exponents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
