/* Every rule: the row that breaks it is invalid with a note of its column, and no other row is. */
#include "unit/intake/rows.h"

#define HEAD "transfer_id,payer_id,payee_id,amount,currency"

/* Row `row` and no other fails, once, in that column and by that rule; in text and in dictionary form alike. */
static void assert_fails(enum op op, const char *csv, uint32_t row, uint16_t column, enum check_rule rule, const char *words)
{
    for (int dict = 0; dict < 2; dict++) {
        struct batch batch;
        struct fault_note note = {0};
        struct intake_rules rules = RULES;
        rows_read(&batch, op, csv);
        if (dict)
            rows_to_dict(&batch);
        assert_int_equal(intake_check(&batch, &rules, &note), FAULT_NONE);
        if (batch.note_count != 1 || batch.notes[0].row != row || batch.notes[0].column != column || !strstr(batch.notes[0].text, words))
            fail_msg("%s: %u notes, first row %u %s \"%s\"", csv, batch.note_count, batch.notes[0].row, column_name(batch.notes[0].column),
                     batch.note_count ? batch.notes[0].text : "");
        assert_int_equal(batch.rule_counts[column][rule], 1);
        for (uint32_t i = 0; i < batch.row_count; i++)
            assert_int_equal(batch.facts.invalid[i], i == row);
        batch_fini(&batch);
    }
}

static void assert_refused(enum op op, enum observe_kind kind, const char *csv, uint16_t column, const char *words)
{
    struct batch batch;
    struct fault_note note = {0};
    struct intake_rules rules = RULES;
    rows_read(&batch, op, csv);
    batch.observe_kind = kind;
    enum fault fault = intake_check(&batch, &rules, &note);
    if (fault != FAULT_schema || note.column != column || !strstr(note.text, words))
        fail_msg("%s: %s column %s \"%s\"", csv, fault_name(fault), column_name(note.column), note.text);
    batch_fini(&batch);
}

static void assert_clean(enum op op, enum observe_kind kind, const char *csv)
{
    struct batch batch;
    struct fault_note note = {0};
    struct intake_rules rules = RULES;
    rows_read(&batch, op, csv);
    batch.observe_kind = kind;
    assert_int_equal(intake_check(&batch, &rules, &note), FAULT_NONE);
    if (batch.note_count)
        fail_msg("%s: row %u %s %s", csv, batch.notes[0].row, column_name(batch.notes[0].column), batch.notes[0].text);
    batch_fini(&batch);
}

static void test_clean(void **state)
{
    (void)state;
    assert_clean(OP_screen, 0, HEAD "\na,p,q,1,EUR\nb,p,q,1000000000000000,JPY\n");
    assert_clean(OP_screen, 0, HEAD ",memo,order_id\na,p,q,1,EUR,\"two\nlines, \xe4\xb8\xad\",o\nb,p,q,1,EUR,,\n");
    assert_clean(OP_label, 0, "transfer_id,label\na,good\nb,mule\nc,\"\"\n");
    assert_clean(OP_observe, OBSERVE_USE, "account_id,device_id,address\na,d,\na,,10.0.0.1\n");
    assert_clean(OP_import, 0, HEAD ",label,label_time\na,p,q,1,EUR,good,5\nb,p,q,1,EUR,,\n");
}

static void test_missing(void **state)
{
    (void)state;
    assert_fails(OP_screen, HEAD "\na,p,q,1,EUR\n,p,q,1,EUR\n", 1, COLUMN_transfer_id, RULE_MISSING, "is missing");
    assert_fails(OP_screen, HEAD "\na,p,q,1,EUR\nb,\"\",q,1,EUR\n", 1, COLUMN_payer_id, RULE_MISSING, "must not be empty");
    assert_fails(OP_score, HEAD "\na,p,q,,EUR\nb,p,q,1,EUR\n", 0, COLUMN_amount, RULE_MISSING, "is missing");
    assert_fails(OP_import, HEAD "\na,p,q,1,\nb,p,q,1,EUR\n", 0, COLUMN_currency, RULE_MISSING, "is missing");
    assert_fails(OP_label, "transfer_id,label\na,good\nb,\n", 1, COLUMN_label, RULE_MISSING, "is missing");
}

static void test_ranges(void **state)
{
    (void)state;
    assert_fails(OP_screen, HEAD "\na,p,q,0,EUR\nb,p,q,1,EUR\n", 0, COLUMN_amount, RULE_RANGE,
                 "must be 1 to 1000000000000000 minor units, is 0");
    assert_fails(OP_screen, HEAD "\na,p,q,-5,EUR\nb,p,q,1,EUR\n", 0, COLUMN_amount, RULE_RANGE, "is -5");
    assert_fails(OP_screen, HEAD "\na,p,q,1000000000000001,EUR\nb,p,q,1,EUR\n", 0, COLUMN_amount, RULE_RANGE, "is 1000000000000001");
    assert_fails(OP_screen, HEAD ",time\na,p,q,1,EUR,-1\nb,p,q,1,EUR,\n", 0, COLUMN_time, RULE_RANGE, "is -1");
    assert_fails(OP_import, HEAD ",label_time\na,p,q,1,EUR,9223372036854775807\nb,p,q,1,EUR,0\n", 0, COLUMN_label_time, RULE_RANGE,
                 "before the year 10000");
}

static void test_texts(void **state)
{
    (void)state;
    char csv[4096], text[2048];
    memset(text, 'x', sizeof text);
    text[129] = '\0';
    snprintf(csv, sizeof csv, HEAD "\na,p,q,1,EUR\nb,p,%s,1,EUR\n", text);
    assert_fails(OP_screen, csv, 1, COLUMN_payee_id, RULE_LENGTH, "129 bytes, at most 128 are taken");
    text[129] = 'x';
    text[1025] = '\0';
    snprintf(csv, sizeof csv, HEAD ",memo\na,p,q,1,EUR,%s\nb,p,q,1,EUR,m\n", text);
    assert_fails(OP_screen, csv, 0, COLUMN_memo, RULE_LENGTH, "1025 bytes, at most 1024 are taken");
    assert_fails(OP_screen, HEAD "\na,p,q,1,EUR\nb\xff,p,q,1,EUR\n", 1, COLUMN_transfer_id, RULE_UTF8, "must be UTF-8 without control");
    assert_fails(OP_screen, HEAD "\na,p,q,1,EUR\nb,\"p\t\",q,1,EUR\n", 1, COLUMN_payer_id, RULE_UTF8, "without control characters");
    assert_fails(OP_screen, HEAD ",memo\na,p,q,1,EUR,\xed\xa0\x80\nb,p,q,1,EUR,m\n", 0, COLUMN_memo, RULE_UTF8, "must be UTF-8");
}

static void test_currencies(void **state)
{
    (void)state;
    assert_fails(OP_screen, HEAD "\na,p,q,1,EUR\nb,p,q,1,USD\n", 1, COLUMN_currency, RULE_ENUM, "USD is no currency with a rate here");
    assert_fails(OP_screen, HEAD "\na,p,q,1,eur\nb,p,q,1,EUR\n", 0, COLUMN_currency, RULE_ENUM, "eur");
    assert_fails(OP_screen, HEAD "\na,p,q,1,EURO\nb,p,q,1,EUR\n", 0, COLUMN_currency, RULE_ENUM, "EURO");
}

static void test_duplicates(void **state)
{
    (void)state;
    assert_fails(OP_screen, HEAD "\na,p,q,1,EUR\nb,p,q,1,EUR\na,x,y,2,JPY\n", 2, COLUMN_transfer_id, RULE_UNIQUE,
                 "the same as 2 rows before");
    assert_fails(OP_label, "transfer_id,label\na,good\na,good\n", 1, COLUMN_transfer_id, RULE_UNIQUE, "the same as 1 rows before");
    struct batch batch;
    struct fault_note note = {0};
    struct intake_rules rules = RULES;
    rules.limits.notes_max = 2;
    rows_read(&batch, OP_screen, HEAD "\na,p,q,1,EUR\na,p,q,1,EUR\na,p,q,1,EUR\na,p,q,1,EUR\n");
    assert_int_equal(intake_check(&batch, &rules, &note), FAULT_NONE);
    assert_true(batch.note_count == 2 && batch.rule_counts[COLUMN_transfer_id][RULE_UNIQUE] == 3);
    assert_true(!batch.facts.invalid[0] && batch.facts.invalid[3]);
    batch_fini(&batch);
}

static void test_other_resources(void **state)
{
    (void)state;
    assert_clean(OP_screen, 0, "transfer_id,payer_id,payee_id,resource_kind\na,p,q,document\nb,p,q,document\n");
    assert_fails(OP_screen, "transfer_id,payer_id,payee_id,resource_kind,amount,currency\na,p,q,document,,\nb,p,q,,,EUR\n", 1,
                 COLUMN_amount, RULE_MISSING, "is missing");
    assert_fails(OP_screen, "transfer_id,payer_id,payee_id,resource_kind,amount,currency\na,p,q,document,-1,\nb,p,q,funds,-1,EUR\n", 1,
                 COLUMN_amount, RULE_RANGE, "is -1");
    assert_fails(OP_screen, "transfer_id,payer_id,payee_id,resource_kind,currency\na,p,q,document,\nb,p,q,funds,EUR\n", 1, COLUMN_amount,
                 RULE_MISSING, "is missing"); /* no column of amounts at all */
}

static void test_columns(void **state)
{
    (void)state;
    assert_refused(OP_screen, 0, "transfer_id,payee_id,amount,currency\na,q,1,EUR\n", COLUMN_payer_id,
                   "column payer_id is missing, screen needs it");
    assert_refused(OP_screen, 0, "transfer_id,payer_id,payee_id,currency\na,p,q,EUR\n", COLUMN_amount, "column amount is missing");
    assert_refused(OP_screen, 0, HEAD ",label\na,p,q,1,EUR,good\n", COLUMN_label, "screen takes no column label");
    assert_refused(OP_label, 0, "transfer_id,label,label_time\na,good,5\n", COLUMN_label_time, "label takes no column label_time");
    assert_refused(OP_label, 0, "transfer_id\na\n", COLUMN_label, "column label is missing, label needs it");
    assert_refused(OP_observe, OBSERVE_CONTACT, "account_id\na\n", COLUMN_contact_id,
                   "column contact_id is missing, kind contact needs it");
    assert_refused(OP_observe, OBSERVE_USE, "account_id,network\na,n\n", COLUMN_device_id,
                   "column device_id or address is missing, kind use needs it");
    assert_refused(OP_observe, OBSERVE_ATTRIBUTE, "account_id\na\n", COLUMN_opened_time, "column opened_time or changed_time is missing");
    assert_refused(OP_observe, OBSERVE_REGISTRATION, "account_id,time\na,1\n", COLUMN_device_id, "column device_id is missing");
}

/* A cell that wire could not keep because of its type is told once. */
static void test_wrong_types_are_told_once(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note = {0};
    struct intake_rules rules = RULES;
    rows_read(&batch, OP_screen, HEAD "\na,p,q,,EUR\nb,p,q,,EUR\n");
    assert_int_equal(batch_take_checks(&batch, 10, &note), FAULT_NONE);
    batch_row_fails(&batch, 0, COLUMN_amount, RULE_TYPE, "must be an integer, is text");
    assert_int_equal(intake_check(&batch, &rules, &note), FAULT_NONE);
    assert_true(batch.note_count == 2 && batch.notes[1].row == 1 && batch.rule_counts[COLUMN_amount][RULE_MISSING] == 1);
    batch_fini(&batch);
}

static void test_observations(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note = {0};
    struct intake_rules rules = RULES;
    rows_read(&batch, OP_observe, "account_id,device_id,address\na,d,\nb,,\nc,,10.0.0.1\na,d,\n");
    batch.observe_kind = OBSERVE_USE;
    assert_int_equal(intake_check(&batch, &rules, &note), FAULT_NONE);
    assert_int_equal(batch.note_count, 1); /* the same account twice is fine */
    assert_true(batch.notes[0].row == 1 && batch.notes[0].column == COLUMN_device_id);
    assert_string_equal(batch.notes[0].text, "device_id or address is missing");
    batch_fini(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),           cmocka_unit_test(test_missing),
        cmocka_unit_test(test_ranges),          cmocka_unit_test(test_texts),
        cmocka_unit_test(test_currencies),      cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_other_resources), cmocka_unit_test(test_columns),
        cmocka_unit_test(test_observations),    cmocka_unit_test(test_wrong_types_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
