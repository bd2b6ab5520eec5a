/* Profiles on rows: wire columns become columns, every rule has a row that breaks it, templates feed what comes after. */
#include "unit/intake/rows.h"

#include <math.h>

#include "base/memory.h"
#include "intake/profile.h"
#include "pipeline/config.h"

#define HEAD "transfer_id,payer_id,payee_id,amount,currency"

static struct profile *profile_of(const char *yaml)
{
    struct profile *profile;
    struct fault_note note = {0};
    if (config_profile_text(&profile, "p.yaml", yaml, strlen(yaml), &note) != FAULT_NONE)
        fail_msg("%s\n%s", note.text, yaml);
    return profile;
}

static enum fault way(struct batch *batch, const char *yaml, const char *csv, enum op op, struct fault_note *note, struct profile **profile)
{
    struct intake_rules rules = RULES;
    *profile = profile_of(yaml);
    rows_read(batch, op, csv); /* its arena has room for a thousand rows */
    assert_true(batch->row_count < 100);
    rules.profile = *profile;
    enum fault fault = batch_take_checks(batch, rules.limits.notes_max, note);
    if (fault == FAULT_NONE)
        fault = profile_take(batch, *profile, &kernels_ref, note);
    if (fault == FAULT_NONE)
        fault = intake_check(batch, &rules, note);
    if (fault == FAULT_NONE)
        fault = profile_finish(batch, *profile, &kernels_ref, note);
    if (fault == FAULT_NONE)
        fault = intake_check_made(batch, &rules, note);
    return fault == FAULT_NONE ? intake_fill(batch, &rules, note) : fault;
}

static const struct column *column_named(const struct batch *batch, const char *name)
{
    enum column_id known = column_find(text_of(name));
    for (uint32_t i = 0; known == COLUMN_COUNT && i < batch->other_count; i++)
        if (batch->others[i].form != FORM_ABSENT && text_equal(batch->others[i].name, text_of(name)))
            return &batch->others[i];
    if (known == COLUMN_COUNT)
        fail_msg("no column %s", name);
    return &batch->columns[known];
}

static void assert_i64(const struct batch *batch, const char *name, uint32_t row, int64_t value)
{
    const struct column *column = column_named(batch, name);
    assert_int_equal(column->form, FORM_I64);
    assert_true(column_is_valid(column, row));
    if (column_i64(column, row) != value)
        fail_msg("%s of row %u is %lld", name, row, (long long)column_i64(column, row));
}

static void assert_text(const struct batch *batch, const char *name, uint32_t row, const char *value)
{
    const struct column *column = column_named(batch, name);
    assert_true(column->form >= FORM_STR && column_is_valid(column, row));
    if (!text_equal(column_text(column, row), text_of(value)))
        fail_msg("%s of row %u is %.*s", name, row, (int)column_text(column, row).bytes, column_text(column, row).data);
}

/* Row 1 and no other is invalid, by that rule of that column. */
static void assert_breaks(const char *columns, const char *csv, const char *column, enum check_rule rule, const char *words)
{
    char yaml[1024];
    struct batch batch;
    struct profile *profile;
    struct fault_note note = {0};
    snprintf(yaml, sizeof yaml, "name: p\ncolumns:\n%s", columns);
    if (way(&batch, yaml, csv, OP_screen, &note, &profile) != FAULT_NONE)
        fail_msg("%s", note.text);
    if (batch.note_count != 1 || batch.notes[0].row != 1 || !strstr(batch.notes[0].text, words) ||
        !text_equal(batch_column_name(&batch, batch.notes[0].column), text_of(column)))
        fail_msg("%s: %u notes, first row %u: %s", columns, batch.note_count, batch.notes[0].row,
                 batch.note_count ? batch.notes[0].text : "");
    assert_int_equal(batch.rule_counts[batch.notes[0].column][rule], 1);
    for (uint32_t row = 0; row < batch.row_count; row++)
        assert_int_equal(batch.facts.invalid[row], row == 1);
    batch_fini(&batch);
    profile_close(&profile);
}

/* Many groups of which each step keeps what they were. */
static void test_a_pattern_takes_so_much_memory(void **state)
{
    (void)state;
    char rule[2048] = "  - {name: n, pattern: '(?:(?<n>a)", text[1001], rows[4096];
    for (size_t i = 0; i < 40; i++)
        snprintf(rule + strlen(rule), sizeof rule - strlen(rule), "|(?<n%zu>b)", i);
    snprintf(rule + strlen(rule), sizeof rule - strlen(rule), ")*'}\n");
    memset(text, 'a', sizeof text - 1), text[sizeof text - 1] = 0;
    snprintf(rows, sizeof rows, HEAD ",n\nt1,p,q,500,EUR,ab\nt2,p,q,500,EUR,%s\n", text);
    assert_breaks(rule, rows, "n", RULE_PATTERN, "takes more than 1024 KiB");
}

static void test_rules(void **state)
{
    (void)state;
#define ROWS(name, a, b) HEAD "," name "\nt1,p,q,500,EUR," a "\nt2,p,q,500,EUR," b "\n"
    assert_breaks("  - {name: n, type: int}\n", ROWS("n", "7", "x"), "n", RULE_TYPE, "whole number, is x");
    assert_breaks("  - {name: n, type: int, least: 2}\n", ROWS("n", "2", "1"), "n", RULE_RANGE, "at least 2, is 1");
    assert_breaks("  - {name: n, type: int, most: 9}\n", ROWS("n", "9", "10"), "n", RULE_RANGE, "at most 9, is 10");
    assert_breaks("  - {name: n, type: int, one_of: [3, 1]}\n", ROWS("n", "1", "2"), "n", RULE_ENUM, "2 is none");
    assert_breaks("  - {name: n, type: int, unique: true}\n", ROWS("n", "1", "1"), "n", RULE_UNIQUE, "row 0");
    assert_breaks("  - {name: n, type: decimal, places: 3}\n", ROWS("n", "1.5", "1.2345"), "n", RULE_TYPE, "3 places, is 1.2345");
    assert_breaks("  - {name: n, type: decimal, most: \"1.50\"}\n", ROWS("n", "1.5", "1.51"), "n", RULE_RANGE, "at most 1.50, is 1.51");
    assert_breaks("  - {name: n, type: float, least: 0.5, most: 1.5}\n", ROWS("n", "1.5", "1.6"), "n", RULE_RANGE, "0.5 and at most 1.5");
    assert_breaks("  - {name: n, type: bool}\n", ROWS("n", "true", "yes"), "n", RULE_TYPE, "true or false");
    assert_breaks("  - {name: n, one_of: [b, a, ccc]}\n", ROWS("n", "ccc", "cc"), "n", RULE_ENUM, "cc is none of the 3");
    assert_breaks("  - {name: n, pattern: '[A-Z]{2}\\d+'}\n", ROWS("n", "DE1", "DE1x"), "n", RULE_PATTERN, "does not fit");
    assert_breaks("  - {name: n, pattern: '(a+)+[bc]'}\n", ROWS("n", "aac", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaad"), "n", RULE_PATTERN,
                  "steps");
    assert_breaks("  - {name: n, length_least: 2, length_most: 3}\n", ROWS("n", "\xc3\xa4\xc3\xa4", "abcd"), "n", RULE_LENGTH,
                  "2 to 3 characters");
    assert_breaks("  - {name: n, unique: true}\n", ROWS("n", "a", "a"), "n", RULE_UNIQUE, "a stands in row 0");
    assert_breaks("  - {name: n, required: true}\n", ROWS("n", "a", ""), "n", RULE_MISSING, "is missing");
    assert_breaks("  - {name: n, from: wire_n, required: true}\n", ROWS("n", "a", ""), "n", RULE_MISSING, "is missing");
    assert_breaks("  - {name: memo, from: wire_memo, required: true}\n", ROWS("memo", "a", ""), "memo", RULE_MISSING, "is missing");
    assert_breaks("  - {name: n, from: wire_n, type: int, most: 5}\n", ROWS("n", "5", "6"), "n", RULE_RANGE, "at most");
    assert_breaks("  - {name: memo, pattern: 'x*'}\n", ROWS("memo", "xx", "y"), "memo", RULE_PATTERN, "does not fit");
    assert_breaks("  - {name: time, from: at, unit: iso}\n", ROWS("at", "2026-01-31T08:30:00Z", "nine"), "time", RULE_TYPE, "is nine");
    assert_breaks("  - {name: time, from: at, unit: ms, most: 2026-01-31}\n", ROWS("at", "1769817600000", "1769817600001"), "time",
                  RULE_RANGE, "at most");
    assert_breaks("  - {name: amount, most: 500}\n", HEAD "\nt1,p,q,500,EUR\nt2,p,q,501,EUR\n", "amount", RULE_RANGE, "at most 500");
}

static const char major[] = "name: p\ncolumns:\n  - {name: amount, from: sum, unit: major}\n  - {name: currency, from: ccy}\n"
                            "  - {name: payer_id, from: \"der Zahler\"}\n  - {name: time, from: at, unit: s}\n";

static void test_conversion(void **state)
{
    (void)state;
    struct batch batch;
    struct profile *profile;
    struct fault_note note = {0};
    const char *csv = "transfer_id,der Zahler,payee_id,sum,ccy,at\nt1,a,b,12.50,EUR,1769817600\nt2,a,b,12,JPY,\nt3,a,b,1.234,KWD,5\n"
                      "t4,a,b,1.5,JPY,5\nt5,a,b,1,QQQ,5\n";
    assert_int_equal(way(&batch, major, csv, OP_screen, &note, &profile), FAULT_NONE);
    assert_i64(&batch, "amount", 0, 1250);
    assert_i64(&batch, "amount", 1, 12);
    assert_i64(&batch, "amount", 2, 1234);
    assert_i64(&batch, "time", 0, 1769817600000000);
    assert_text(&batch, "payer_id", 0, "a");
    assert_text(&batch, "sum", 0, "12.50"); /* what came is kept beside what it was converted to */
    assert_text(&batch, "currency", 1, "JPY");
    static const uint8_t invalid[] = {0, 0, 0, 1, 1};
    assert_memory_equal(batch.facts.invalid, invalid, sizeof invalid);
    assert_int_equal(batch.facts.amount[0], 1250);
    batch_fini(&batch);
    profile_close(&profile);
}

/* JSON brings numbers as numbers: a float is taken for the decimal that it was written as, or not at all. */
static void test_numbers(void **state)
{
    (void)state;
    struct batch batch;
    struct profile *profile;
    struct fault_note note = {0};
    const char *yaml = "name: p\ncolumns:\n  - {name: time, from: at, unit: ms}\n  - {name: amount, from: sum, unit: major}\n"
                       "  - {name: rate, type: decimal, places: 3}\n  - {name: code}\n  - {name: ok, type: bool}\n";
    const char *lines =
        "{\"transfer_id\":\"a\",\"payer_id\":\"p\",\"payee_id\":\"q\",\"currency\":\"EUR\",\"at\":1769817600000,\"sum\":12.34,"
        "\"rate\":0.125,\"code\":7,\"ok\":1}\n"
        "{\"transfer_id\":\"b\",\"payer_id\":\"p\",\"payee_id\":\"q\",\"currency\":\"XX\",\"at\":5,\"sum\":12,"
        "\"rate\":0.1255,\"code\":-7,\"ok\":2}\n";
    assert_int_equal(way(&batch, yaml, lines, OP_screen, &note, &profile), FAULT_NONE);
    assert_i64(&batch, "time", 0, 1769817600000000);
    assert_i64(&batch, "amount", 0, 1234);
    assert_i64(&batch, "rate", 0, 125);
    assert_text(&batch, "code", 1, "-7");
    assert_int_equal(batch.rule_counts[COLUMN_amount][RULE_TYPE], 1);
    assert_non_null(strstr(batch.notes[2].text, "need a currency"));
    static const char *const wrong[] = {"rate", "ok"};
    for (int i = 0; i < 2; i++)
        assert_string_equal(wrong[i], batch_column_name(&batch, batch.notes[i].column).data);
    assert_false(batch.facts.invalid[0]);
    assert_true(batch.facts.invalid[1]);
    batch_fini(&batch);
    profile_close(&profile);
}

static void test_fill(void **state)
{
    (void)state;
    struct batch batch;
    struct profile *profile;
    struct fault_note note = {0};
    const char *yaml = "name: p\ncolumns:\n  - {name: net, type: int}\n  - {name: parts, type: int}\n"
                       "tables:\n  - name: ways\n    key: int\n    entries:\n      - {key: 2, value: web}\n      - {key: 1, value: app}\n"
                       "fill: |\n  amount = net * 2\n  channel = lookup(ways, parts)\n  share = float(net) / float(parts)\n"
                       "  big = net * 9000000000000000000\n  tall = net > 4\n"
                       "post: |\n  memo = if amount > 8 and tall then \"much\" else \"little\"\n";
    const char *csv = "transfer_id,payer_id,payee_id,currency,net,parts\nt1,p,q,EUR,4,1\nt2,p,q,EUR,5,2\nt3,p,q,EUR,1,0\nt4,p,q,EUR,,1\n";
    assert_int_equal(way(&batch, yaml, csv, OP_screen, &note, &profile), FAULT_NONE);
    assert_i64(&batch, "amount", 0, 8);
    assert_i64(&batch, "amount", 1, 10);
    assert_int_equal(batch.facts.amount[1], 10);
    assert_text(&batch, "channel", 0, "app");
    assert_text(&batch, "channel", 1, "web");
    assert_false(column_is_valid(column_named(&batch, "channel"), 2));
    assert_int_equal(column_named(&batch, "channel")->value_count, 2);
    assert_i64(&batch, "tall", 1, 1);
    assert_i64(&batch, "tall", 0, 0);
    assert_text(&batch, "memo", 0, "little");
    assert_text(&batch, "memo", 1, "much");
    assert_i64(&batch, "big", 2, 9000000000000000000);
    assert_false(column_is_valid(column_named(&batch, "big"), 0));
    assert_int_equal(column_named(&batch, "share")->form, FORM_F64);
    assert_false(column_is_valid(column_named(&batch, "share"), 2));
    static const uint8_t invalid[] = {0, 0, 0, 1}; /* what cannot be computed is told; the last has no amount */
    assert_memory_equal(batch.facts.invalid, invalid, sizeof invalid);
    unsigned computed = 0;
    for (uint32_t i = 0; i < BATCH_COLUMNS_MAX; i++)
        computed += batch.rule_counts[i][RULE_COMPUTE];
    assert_int_equal(computed, 3); /* big of two rows, share of one */
    batch_fini(&batch);
    profile_close(&profile);
}

static void assert_batch_refused(const char *yaml, const char *csv, const char *words)
{
    struct batch batch;
    struct profile *profile;
    struct fault_note note = {0};
    assert_int_equal(way(&batch, yaml, csv, OP_screen, &note, &profile), FAULT_schema);
    if (!strstr(note.text, words))
        fail_msg("%s", note.text);
    batch_fini(&batch);
    profile_close(&profile);
}

static void test_batch_parameters(void **state)
{
    (void)state;
    const char *rows = HEAD "\nt1,p,q,500,EUR\n";
    assert_batch_refused("name: p\nrequire: [transaction_type]\n", rows, "transaction_type is missing, profile p requires it");
    assert_batch_refused("name: p\ncolumns: [{name: x, from: y, required: true}]\n", rows, "y is missing, profile p needs it");
    assert_batch_refused("name: p\ncolumns: [{name: amount, from: sum}]\n", HEAD ",sum\nt1,p,q,500,EUR,3\n", "sum and amount");
}

static void test_products(void **state)
{
    (void)state;
    struct profile *profiles[] = {profile_of("name: a\nproduct: A\n"),
                                  profile_of("name: b\nproduct: B\ncolumns: [{name: product_code, from: prod}]\n"),
                                  profile_of("name: any\n")};
    static const struct {
        const char *csv, *name;
    } cases[] = {{HEAD ",product_code\nt1,p,q,5,EUR,A\n", "a"},
                 {HEAD ",product\nt1,p,q,5,EUR,A\n", "a"},
                 {HEAD ",prod\nt1,p,q,5,EUR,\nt2,p,q,5,EUR,B\n", "b"},
                 {HEAD ",product_code\nt1,p,q,5,EUR,C\n", "any"},
                 {HEAD "\nt1,p,q,5,EUR\n", "any"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct batch batch;
        const struct profile *chosen;
        struct fault_note note = {0};
        rows_read(&batch, OP_screen, cases[i].csv);
        assert_int_equal(profile_choose(&chosen, profiles, 3, &batch, &note), FAULT_NONE);
        assert_string_equal(profile_name(chosen), cases[i].name);
        if (i >= 3) {
            assert_int_equal(profile_choose(&chosen, profiles, 2, &batch, &note), FAULT_schema);
            assert_non_null(strstr(note.text, "no profile of this tenant"));
        }
        batch_fini(&batch);
    }
    for (int i = 0; i < 3; i++)
        profile_close(&profiles[i]);
}

/* A number under the product's name is no way round its profile. */
static void test_a_product_is_text(void **state)
{
    (void)state;
    struct profile *profiles[] = {profile_of("name: a\nproduct: '7'\ncolumns: [{name: product_code, from: prod}]\n"),
                                  profile_of("name: any\n")};
    static const char *const wrong[] = {HEAD ",prod\nt1,p,q,5,EUR,7\n", HEAD ",product\nt1,p,q,5,EUR,7\n"};
    static const int64_t numbers[] = {7};
    for (size_t i = 0; i < 2; i++) {
        struct batch batch;
        const struct profile *chosen;
        struct fault_note note = {0};
        rows_read(&batch, OP_screen, wrong[i]);
        assert_int_equal(batch.other_count, 1);
        assert_int_equal(profile_choose(&chosen, profiles, 2, &batch, &note), FAULT_NONE);
        assert_ptr_equal(chosen, profiles[0]); /* as text */
        batch.others[0].form = FORM_I64, batch.others[0].data = (const unsigned char *)numbers;
        assert_int_equal(profile_choose(&chosen, profiles, 2, &batch, &note), FAULT_schema);
        assert_non_null(strstr(note.text, "names the product and must be text"));
        assert_null(chosen);
        assert_int_equal(profile_choose(&chosen, &profiles[1], 1, &batch, &note), FAULT_NONE); /* no product has one of its own */
        batch_fini(&batch);
    }
    profile_close(&profiles[0]);
    profile_close(&profiles[1]);
}

/* The default profile checks no row of a product that has one of its own, whatever column names it and wherever the row stands. */
static void test_the_default_takes_no_row_of_another_product(void **state)
{
    (void)state;
    struct profile *profiles[] = {profile_of("name: a\nproduct: A\ncolumns: [{name: product_code, from: prod}]\n"),
                                  profile_of("name: b\nproduct: B\n"), profile_of("name: any\n")};
    static const char *const cases[] = {HEAD ",prod\nt1,p,q,5,EUR,C\nt2,p,q,5,EUR,A\nt3,p,q,5,EUR,\n",
                                        HEAD ",product_code\nt1,p,q,5,EUR,C\nt2,p,q,5,EUR,B\nt3,p,q,5,EUR,\n",
                                        HEAD ",product\nt1,p,q,5,EUR,\nt2,p,q,5,EUR,\nt3,p,q,5,EUR,C\n"};
    static const bool invalid[][3] = {{false, true, false}, {false, true, false}, {false, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct batch batch;
        const struct profile *chosen;
        struct fault_note note = {0};
        rows_read(&batch, OP_screen, cases[i]);
        assert_int_equal(profile_choose(&chosen, profiles, 3, &batch, &note), FAULT_NONE);
        assert_ptr_equal(chosen, profiles[2]);
        assert_int_equal(batch_take_checks(&batch, 100, &note), FAULT_NONE);
        profile_part(&batch, chosen, profiles, 3);
        assert_int_equal(profile_take(&batch, chosen, &kernels_ref, &note), FAULT_NONE);
        for (uint32_t row = 0; row < 3; row++)
            assert_int_equal(batch.facts.invalid[row] != 0, invalid[i][row]);
        if (i < 2)
            assert_non_null(strstr(batch.notes[0].text, "in a batch of another product"));
        batch_fini(&batch);
    }
    for (int i = 0; i < 3; i++)
        profile_close(&profiles[i]);
}

#define ASK "name: p\nassociated:\n  - system: bank\n"

/* A column as an answer comes. */
static struct column answered(const char *text, const uint32_t *offsets, const uint8_t *valid)
{
    return (struct column){
        .form = FORM_STR, .data = (const unsigned char *)text, .offsets = (const unsigned char *)offsets, .valid = valid};
}

/* Keys of valid rows alone; what came beside what it became; a cell that is no decimal is told, and its row goes on; a column of Sluice's
 * own that a system fills is checked as if it had been sent. */
static void test_answers(void **state)
{
    (void)state;
    static const char yaml[] = ASK "    key: payer_id\n    fields:\n      - {name: room, from: limit, type: decimal}\n"
                                   "      - {name: currency, from: coin}\npost: |\n  twice = room + room\n"
                                   "  told = bank_answer == \"answered\"\n";
    static const uint32_t limits[] = {0, 4, 8, 8}, coins[] = {0, 3, 6, 8};
    static const uint8_t all = 7, two = 3, marks[] = {PROFILE_ANSWERED, PROFILE_ANSWERED, PROFILE_UNKNOWN};
    struct intake_rules rules = RULES;
    struct profile *profile = profile_of(yaml);
    struct profile_ask ask;
    struct batch batch = {0};
    struct fault_note note = {0};
    struct text keys[3];
    rows_read(&batch, OP_screen, "transfer_id,payer_id,payee_id,amount\na,x,y,1\nb,z,y,2\nc,w,y,-5\n");
    rules.profile = profile;
    assert_int_equal(batch_take_checks(&batch, 100, &note), FAULT_NONE);
    assert_int_equal(profile_take(&batch, profile, &kernels_ref, &note), FAULT_NONE);
    assert_int_equal(intake_check(&batch, &rules, &note), FAULT_NONE); /* that currency is not there yet is no fault */
    profile_ask_of(&ask, profile, 0);
    assert_int_equal(ask.answer_count, 2);
    assert_string_equal(ask.answers[0].name, "limit");
    assert_int_equal(ask.answers[0].type, PROFILE_ANSWER_ANY);
    profile_ask_keys(keys, &batch, profile, 0);
    assert_true(text_equal(keys[0], text_of("x")) && text_equal(keys[1], text_of("z")));
    assert_int_equal(keys[2].bytes, 0); /* its amount is wrong */
    const struct column answers[] = {answered("2.50rich", limits, &two), answered("EURQQQEU", coins, &all)};
    assert_int_equal(profile_ask_take(&batch, profile, 0, answers, marks, &note), FAULT_NONE);
    assert_int_equal(profile_finish(&batch, profile, &kernels_ref, &note), FAULT_NONE);
    assert_i64(&batch, "room", 0, 250);
    assert_i64(&batch, "twice", 0, 500);
    assert_i64(&batch, "told", 1, 1);
    assert_i64(&batch, "told", 2, 0);
    assert_text(&batch, "bank.limit", 1, "rich");
    assert_false(column_is_valid(column_named(&batch, "room"), 1));
    assert_false(batch.facts.invalid[0] || batch.facts.invalid[1]);
    assert_int_equal(intake_check_made(&batch, &rules, &note), FAULT_NONE);
    assert_false(batch.facts.invalid[0]);
    assert_true(batch.facts.invalid[1]); /* QQQ is no currency */
    batch_fini(&batch);
    profile_close(&profile);
}

static void assert_wrong(const char *yaml, const char *words)
{
    struct profile *profile;
    struct fault_note note = {0};
    uint64_t live = memory_live_count();
    enum fault fault = config_profile_text(&profile, "p.yaml", yaml, strlen(yaml), &note);
    assert_true(fault == FAULT_schema || fault == FAULT_syntax);
    assert_null(profile);
    if (!strstr(note.text, words))
        fail_msg("%s\n%s", yaml, note.text);
    assert_true(memory_live_count() == live);
}

static void test_wrong(void **state)
{
    (void)state;
    assert_wrong("product: x\n", "p.yaml:1: name: expected");
    assert_wrong("name: p\ncolums: []\n", "p.yaml:2: unknown key 'colums'; expected columns");
    assert_wrong("name: p\ncolumns:\n  - {name: n, patern: x}\n", "p.yaml:3: unknown key 'patern'");
    assert_wrong("name: p\ncolumns:\n  - {name: n, type: number}\n", "p.yaml:3: type: expected int, decimal");
    assert_wrong("name: p\ncolumns:\n  - {name: n}\n  - {name: n, from: m}\n", "p.yaml:4: column n is there twice");
    assert_wrong("name: p\ncolumns:\n  - {name: n, from: m}\n  - {name: m}\n", "both from m");
    assert_wrong("name: p\ncolumns:\n  - {name: a b}\n", "p.yaml:3: name: expected");
    assert_wrong("name: p\ncolumns:\n  - {name: account_id}\n", "no column of transfers");
}

static void test_wrong_values(void **state)
{
    (void)state;
    assert_wrong("name: p\ncolumns:\n  - {name: time, type: text}\n", "column time is of type time");
    assert_wrong("name: p\ncolumns:\n  - {name: n, unit: ms}\n", "unit ms is none of type text");
    assert_wrong("name: p\ncolumns:\n  - {name: n, type: int, unit: major}\n", "of column amount");
    assert_wrong("name: p\ncolumns:\n  - {name: n, type: int, least: 1.5}\n", "p.yaml:3: least: expected int, is '1.5'");
    assert_wrong("name: p\ncolumns:\n  - {name: n, type: int, least: 5, most: 4}\n", "expected at most");
    assert_wrong("name: p\ncolumns:\n  - {name: n, pattern: '(a'}\n", "p.yaml:3: pattern: missing closing parenthesis, at character 3");
    assert_wrong("name: p\ncolumns:\n  - {name: n, type: int, pattern: a}\n", "of type text");
    assert_wrong("name: p\ncolumns:\n  - {name: n, required: yes}\n", "required: expected true or false");
    assert_wrong("name: p\nrequire: [colour]\n", "p.yaml:2: require: colour");
    assert_wrong("name: p\ntables:\n  - {name: t, entries: [{key: a, value: b}, {key: a, value: c}]}\n", "a key is there twice");
    assert_wrong("name: p\nfill: |\n  x = amount\n  y = amount + memo\n", "p.yaml:4:");
    assert_wrong("name: p\nfill: |\n  x = colour\n", "p.yaml:3:");
    assert_wrong("name: p\nfill: |\n  amount = memo\n", "column amount is made as");
    assert_wrong("name: p\nfill: |\n  amount = 1.50\n", "round it");
    assert_wrong("name: p\npost: |\n  transfer_id = memo\n", "post may not make transfer_id");
}

static void test_wrong_asks(void **state)
{
    (void)state;
    assert_wrong("name: p\nassociated:\n  - {key: payer_id, fields: [{name: a}]}\n", "p.yaml:3: system: expected");
    assert_wrong(ASK "    key: amount\n    fields: [{name: a}]\n", "key: expected a column of text, is 'amount'");
    assert_wrong(ASK "    key: who\n    fields: [{name: a}]\n", "key: expected a column of text, is 'who'");
    assert_wrong(ASK "    key: payer_id\n", "fields: expected 1 to 8");
    assert_wrong(ASK "    key: payer_id\n    silence: wait\n    fields: [{name: a}]\n", "silence: expected hold, defaults or refuse");
    assert_wrong(ASK "    key: payer_id\n    mark: memo\n    fields: [{name: a}]\n", "mark: expected the name of a new column");
    assert_wrong(ASK "    key: payer_id\n    fields:\n      - {name: a}\n      - {name: a, from: b}\n",
                 "p.yaml:7: column a is there twice");
    assert_wrong(ASK "    key: payer_id\n    fields:\n      - {name: a}\n      - {name: b, from: a}\n", "both from a");
    assert_wrong(ASK "    key: payer_id\n    fields: [{name: transfer_id}]\n", "none that may be answered");
    assert_wrong(ASK "    key: payer_id\n    fields: [{name: a, type: int, fallback: many}]\n", "fallback: expected a value of type int");
    assert_wrong(ASK "    key: payer_id\n    fields: [{name: a, required: true}]\n", "unknown key 'required'");
    assert_wrong(ASK "    key: payer_id\n    fields: [{name: a}]\n  - system: bank\n    key: payee_id\n    fields: [{name: b}]\n",
                 "system bank is asked twice");
    assert_wrong(ASK "    key: payer_id\n    fields: [{name: a}]\nfill: |\n  x = a\n", "p.yaml:7:"); /* fill comes before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_batch_parameters),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_a_product_is_text),
        cmocka_unit_test(test_a_pattern_takes_so_much_memory),
        cmocka_unit_test(test_the_default_takes_no_row_of_another_product),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_wrong_asks),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_wrong_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
