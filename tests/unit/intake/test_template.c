/* Programs against what is expected by hand, and refusals with their places. */
#include "unit/intake/templates.h"

/* --- by hand ---------------------------------------------------------------------------------------------------------- */

/* Rows: a 7, -5, null, INT64_MAX; b 2, 0, 3, 1; price 12.50, -0.05, 1.00, null; rate 0.5, null, 2, 1e300; memo "DE", "é", null, "";
 * country DE, FR, XX, null; flag 1, 0, null, 1; at 2024-02-29T13:30:00, the same, null, 1970-01-01. */
static void rows_by_hand(struct rows *rows)
{
    static const int64_t a[] = {7, -5, 0, INT64_MAX}, b[] = {2, 0, 3, 1}, price[] = {1250, -5, 100, 0}, flag[] = {1, 0, 0, 1};
    static const double rate[] = {0.5, 0, 2, 1e300};
    static const char *const memo[] = {"DE", "é", "", ""}, *const country[] = {"DE", "FR", "XX", ""};
    *rows = (struct rows){.count = 4};
    const unsigned char valid[COLUMNS] = {0xb, 0xf, 0x7, 0xd, 0xb, 0x7, 0xb, 0xb};
    for (uint32_t row = 0; row < 4; row++) {
        rows->exacts[0][row] = a[row], rows->exacts[1][row] = b[row], rows->exacts[2][row] = price[row];
        rows->exacts[6][row] = flag[row], rows->exacts[7][row] = row < 2 ? 1709213400000000 : 0;
        rows->floats[row] = rate[row];
        for (uint32_t i = 0; i < 2; i++) {
            const char *text = i ? country[row] : memo[row];
            memcpy(rows->bytes[i] + rows->offsets[i][row], text, strlen(text));
            rows->offsets[i][row + 1] = rows->offsets[i][row] + (uint32_t)strlen(text);
        }
    }
    for (uint32_t i = 0; i < COLUMNS; i++)
        rows->valid[i][0] = valid[i];
    rows_bind(rows);
}

static const struct {
    const char *source, *cells[4];
} by_hand[] = {
    {"x = a + b", {"9", "-5", "null", "does not fit"}},
    {"x = a - b * 2", {"3", "-5", "null", "9223372036854775805"}},
    {"x = double(a)", {"14", "-10", "null", "does not fit"}},
    {"x = price + 1", {"1350", "95", "200", "null"}},
    {"x = price * 0.015", {"18750", "-75", "1500", "null"}},
    {"x = round(price * 0.015, 2)", {"19", "0", "2", "null"}},
    {"x = round(price * 10.1, 2)", {"12625", "-51", "1010", "null"}},
    {"x = round(price, 0)", {"13", "0", "1", "null"}},
    {"x = floor(price)", {"12", "-1", "1", "null"}},
    {"x = ceil(price)", {"13", "0", "1", "null"}},
    {"x = a / b", {"3.5", "division by zero", "null", "9.22337e+18"}},
    {"x = if b == 0 then 0.5e0 else a / b", {"3.5", "0.5", "null", "9.22337e+18"}},
    {"x = if a > 0 then 1 else 2", {"1", "2", "2", "1"}},
    {"x = if a + b > 0 then 1 else 2", {"1", "2", "2", "does not fit"}},
    {"x = if a / b > 1e0 or b == 0 then 1 else 2", {"1", "1", "2", "1"}},
    {"x = case when a is null then 0 when a < 0 then -1 else 1 end", {"1", "-1", "0", "1"}},
    {"x = default(a, 0 - 1)", {"7", "-5", "-1", "9223372036854775807"}},
    {"x = default(a + b, 0)", {"9", "-5", "0", "does not fit"}},
    {"x = (a + b) is null", {"false", "false", "true", "does not fit"}},
    {"x = a is not null and flag", {"true", "false", "false", "true"}},
    {"x = flag and null", {"null", "false", "null", "null"}},
    {"x = flag nand flag", {"false", "true", "null", "false"}},
    {"x = not flag or a == 7", {"true", "true", "null", "false"}},
    {"x = a in [7, -5, 1.00]", {"true", "true", "null", "false"}},
    {"x = price in [12.5, 1]", {"true", "false", "true", "null"}},
    {"x = country not in [\"FR\", \"XX\"]", {"true", "false", "false", "null"}},
    {"x = memo == country", {"true", "false", "null", "null"}},
    {"x = memo != \"DE\"", {"false", "true", "null", "true"}},
    {"x = starts_with(country, \"D\")", {"true", "false", "false", "null"}},
    {"x = ends_with(country, memo)", {"true", "false", "null", "null"}},
    {"x = length(memo)", {"2", "1", "null", "0"}},
    {"x = lookup(risk_of, country)", {"100", "250", "null", "null"}},
    {"x = lookup(name_of, a)", {"seven", "minus five", "null", "null"}},
    {"x = if flag then memo else \"say \\\"no\\\" \\\\\"", {"DE", "say \"no\" \\", "say \"no\" \\", ""}},
    {"x = min(a, b, 3)", {"2", "-5", "null", "1"}},
    {"x = max(price, 1)", {"1250", "100", "100", "null"}},
    {"x = abs(a)", {"7", "5", "null", "9223372036854775807"}},
    {"x = -a - 2", {"-9", "3", "null", "does not fit"}},
    {"x = abs(-a - 1)", {"8", "4", "null", "does not fit"}},
    {"x = rate * 2e0", {"1", "null", "4", "2e+300"}},
    {"x = rate * rate * rate", {"0.125", "null", "8", "does not fit"}},
    {"x = round(rate, 2)", {"50", "null", "200", "does not fit"}},
    {"x = float(price)", {"12.5", "-0.05", "1", "null"}},
    {"x = float(price) < rate", {"false", "null", "true", "null"}},
    {"x = at < date(\"2024-03-01\")", {"true", "true", "null", "true"}},
    {"x = year(at) * 10000 + month(at) * 100 + day(at)", {"20240229", "20240229", "null", "19700101"}},
    {"x = weekday(at) * 100 + hour(at)", {"413", "413", "null", "400"}},
    {"x = in_days(at - date(\"2024-01-01T00:00:00\"))", {"59", "59", "null", "-19723"}},
    {"x = day(at + days(1) - hours(13) - minutes(30) - seconds(1))", {"29", "29", "null", "1"}},
    {"x = year(date(\"1970-01-01\") - days(106751991) - seconds(14454))", {"-290308", "-290308", "-290308", "-290308"}},
    {"x = in_seconds(hours(a))", {"25200", "-18000", "null", "does not fit"}},
    {"x = 2 × 3 ÷ 4", {"1.5", "1.5", "1.5", "1.5"}},
    {"y = a; x = y + 0 # a comment\ny = y - y", {"0", "0", "null", "0"}},
};

static void test_by_hand(void **state)
{
    (void)state;
    static struct rows rows;
    static struct made made;
    rows_by_hand(&rows);
    for (size_t i = 0; i < sizeof by_hand / sizeof *by_hand; i++) {
        made_run(&made, by_hand[i].source, &rows);
        for (uint32_t row = 0; row < 4; row++) {
            char cell[64];
            cell_text(cell, &made, 0, row);
            if (strcmp(cell, by_hand[i].cells[row]) != 0)
                fail_msg("%s, row %u: %s, expected %s", by_hand[i].source, row, cell, by_hand[i].cells[row]);
        }
        made_free(&made);
    }
}

/* As many as a list of rules needs: they stand side by side, not one inside another. */
static void test_many_whens(void **state)
{
    enum { WHENS = 500 };
    static struct rows rows;
    static struct made made;
    static char source[WHENS * 32 + 64], cell[64], *at = source;
    (void)state;
    rows_by_hand(&rows);
    at += sprintf(at, "x = case ");
    for (int i = 0; i < WHENS; i++)
        at += sprintf(at, "when a > %d then %d ", WHENS - 1 - i, WHENS - i);
    sprintf(at, "else -1 end");
    made_run(&made, source, &rows);
    static const char *const cells[] = {"7", "-1", "-1", "500"};
    for (uint32_t row = 0; row < 4; row++) {
        cell_text(cell, &made, 0, row);
        assert_string_equal(cell, cells[row]);
    }
    made_free(&made);
}

static void test_each(void **state)
{
    (void)state;
    static struct rows rows;
    static struct made made;
    char cell[64];
    rows_by_hand(&rows);
    made_run(&made, "a = a + 1 each numeric: double(it) c = a", &rows);
    assert_int_equal(template_output_count(made.program), 5);
    static const char *const names[] = {"a", "b", "price", "rate", "c"}, *const firsts[] = {"16", "4", "2500", "1", "16"};
    for (uint32_t i = 0; i < 5; i++) {
        assert_string_equal(template_output(made.program, i)->name, names[i]);
        cell_text(cell, &made, i, 0);
        assert_string_equal(cell, firsts[i]);
    }
    made_free(&made);
}

static void test_absent_and_foreign_columns_are_null(void **state)
{
    (void)state;
    static struct rows rows;
    static struct made made;
    char cell[64];
    rows_by_hand(&rows);
    rows.columns[0].form = FORM_ABSENT;
    rows.columns[1].form = FORM_F64;
    rows.views[2] = NULL;
    rows.columns[4].form = FORM_I64;
    made_run(&made, "w = a x = b y = price z = memo v = default(a, 3)", &rows);
    static const char *const expected[] = {"null", "null", "null", "null", "3"};
    for (uint32_t i = 0; i < 5; i++) {
        cell_text(cell, &made, i, 1);
        assert_string_equal(cell, expected[i]);
    }
    made_free(&made);
}

/* --- refusals --------------------------------------------------------------------------------------------------------- */

static const struct {
    enum fault fault;
    const char *source, *told;
} refusals[] = {
    {FAULT_syntax, "x = ", "t:1:5: a value expected, not the end"},
    {FAULT_syntax, "x = 1\n  y 2", "t:2:5: = expected, not a number"},
    {FAULT_syntax, "x = (1", "t:1:7: ) expected, not the end"},
    {FAULT_syntax, "x = \"abc\ny = 1", "t:1:5: a text that does not end on its line"},
    {FAULT_syntax, "x = \"\\n\"", "t:1:5: after \\ comes \\ or \" only"},
    {FAULT_syntax, "x = 1 $ 2", "t:1:7: a character that means nothing here"},
    {FAULT_syntax, "x = 12ab", "t:1:5: not a number"},
    {FAULT_syntax, "x = 1.2.3", "t:1:5: not a number"},
    {FAULT_limit, "x = 9223372036854775808", "t:1:5: a number beyond"},
    {FAULT_limit, "x = 0.1234567891", "t:1:5: more than 9 decimal places"},
    {FAULT_syntax, "if = 1", "t:1:1: if is a word of the language"},
    {FAULT_syntax, "x = 1 \"\033[31m\"", "t:1:7: a name expected, not ?[31m"},
    {FAULT_syntax, "\xef\xbb\xbfx = ", "t:1:5: a value expected, not the end"},
    {FAULT_syntax, "x = then", "t:1:5: a value expected, not then"},
    {FAULT_syntax, "x = case else 1 end", "t:1:10: when expected, not else"},
    {FAULT_syntax, "each bool: it", "t:1:6: numeric, text or time expected, not bool"},
    {FAULT_schema, "x = nothing", "t:1:5: no column nothing"},
    {FAULT_schema, "x = sin(a)", "t:1:5: no function sin"},
    {FAULT_schema, "x = abs(a, b)", "t:1:5: abs takes 1 arguments, not 2"},
    {FAULT_schema, "x = a + memo", "t:1:7: an int and a text do not go together"},
    {FAULT_schema, "x = a + rate", "t:1:7: an int and a float do not go together: say float(...) or round(..., places)"},
    {FAULT_schema, "x = a == rate", "t:1:7: an int and a float do not go together"},
    {FAULT_schema, "x = if a then 1 else 2", "t:1:8: a condition is a bool, not an int"},
    {FAULT_schema, "x = if flag then 1 else memo", "t:1:5: an int and a text do not go together"},
    {FAULT_schema, "x = null", "t:1:1: x is always null and has no type"},
    {FAULT_schema, "x = null + null", "t:1:10: null on both sides has no type"},
    {FAULT_schema, "x = it", "t:1:5: it stands for a column only behind each"},
    {FAULT_schema, "x = a in [\"b\"]", "t:1:11: a list for an int holds a text"},
    {FAULT_schema, "x = a in [1.5]", "t:1:11: an int is never a number of 1 places"},
    {FAULT_schema, "x = flag < flag", "t:1:5: something that has an order wanted, this is a bool"},
    {FAULT_schema, "x = price * 0.00000001", "t:1:11: a product of 10 decimal places, at most 9 are kept: round one side"},
    {FAULT_schema, "x = round(a, b)", "t:1:14: places are written as a number from 0 to 9"},
    {FAULT_schema, "x = date(\"2023-02-29\")", "t:1:10: a date as it stands in"},
    {FAULT_schema, "x = lookup(nothing, a)", "t:1:12: no table nothing"},
    {FAULT_schema, "x = lookup(risk_of, a)", "t:1:21: risk_of looks for a text, this is an int"},
    {FAULT_schema, "x = at + at", "t:1:8: a time and a time cannot be added"},
    {FAULT_schema, "x = 1 x = true", "t:1:7: x is an int above and a bool here"},
    {FAULT_syntax, "x = a < b < a", "t:1:11: a name expected, not <"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct template_program *program;
        struct fault_note note = {0};
        enum fault fault = template_open(&program, "t", 1, refusals[i].source, strlen(refusals[i].source), &schema, &note);
        if (fault != refusals[i].fault || strncmp(note.text, refusals[i].told, strlen(refusals[i].told)) != 0)
            fail_msg("%s\n  %s: %s\n  expected %s: %s", refusals[i].source, fault_name(fault), note.text, fault_name(refusals[i].fault),
                     refusals[i].told);
        assert_null(program);
    }
}

static void assert_limit(const char *head, const char *piece, uint32_t times, const char *tail, const char *told)
{
    size_t bytes = strlen(head) + times * strlen(piece) + strlen(tail) + 1;
    char *source = malloc(bytes);
    struct template_program *program;
    struct fault_note note = {0};
    strcpy(source, head);
    for (uint32_t i = 0; i < times; i++)
        strcat(source, piece);
    strcat(source, tail);
    assert_int_equal(template_open(&program, "t", 1, source, strlen(source), &schema, &note), FAULT_limit);
    assert_non_null(strstr(note.text, told));
    free(source);
}

static void test_deep_and_long(void **state)
{
    (void)state;
    assert_limit("x = ", "(", 100, "1", "nested more than 64 deep");
    assert_limit("x = ", "-(", 100, "1", "nested more than 64 deep");
    assert_limit("x = ", "not ", 100, "flag", "nested more than 64 deep");
    assert_limit("x = case ", "when flag then 1 ", 600, "else 2 end", "of more than 512 parts in a row");
    assert_limit("x = a", " + a", 600, "", "of more than 512 parts in a row");
    assert_limit("x = a", " + a", 6000, "", "more than 8191 parts of expressions");
    assert_limit("", "x = a ", 300, "", "more than 256 statements");
    assert_limit("x = a in [1", ",1", 1100, "]", "a list of more than 1024 values");
    assert_limit("x = a # ", "0123456789", 7000, "", "at most 65536 are taken");
}

static void test_memory(void **state)
{
    (void)state;
    static const char source[] = "x = if a in [1, 2] and memo in [\"x\"] then lookup(risk_of, country) else price";
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    for (uint64_t nth = 0; fault == FAULT_memory; nth++) {
        struct template_program *program;
        memory_fail_at(nth);
        fault = template_open(&program, "t", 1, source, strlen(source), &schema, NULL);
        memory_fail_at(UINT64_MAX);
        template_close(&program);
        assert_int_equal(memory_live_count(), live);
        assert_true(nth < 100);
    }
    assert_int_equal(fault, FAULT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),  cmocka_unit_test(test_many_whens),
        cmocka_unit_test(test_each),     cmocka_unit_test(test_absent_and_foreign_columns_are_null),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_deep_and_long),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
