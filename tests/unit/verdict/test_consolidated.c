/* The consolidated check on batches in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "verdict/consolidated.h"

enum { ROWS = 4, SEED = 11 };
static int64_t amounts[ROWS] = {100, 250, 5, INT64_MAX};
static const struct text payees[] = {{.data = "b", .bytes = 1}, {.data = "c", .bytes = 1}}, payers[] = {{.data = "a", .bytes = 1}},
                         currencies[] = {{.data = "EUR", .bytes = 3}, {.data = "JPY", .bytes = 3}};
static const unsigned char payee_codes[ROWS] = {0, 1, 0, 0}, currency_codes[ROWS] = {0, 0, 1, 0}, zeros[ROWS];
static struct batch batch;

static struct column dict(const struct text *values, uint32_t count, const unsigned char *codes)
{
    return (struct column){.form = FORM_DICT8, .values = values, .value_count = count, .data = codes};
}

static int setup(void **state)
{
    (void)state;
    batch.row_count = ROWS;
    batch.columns[COLUMN_payer_id] = dict(payers, 1, zeros);
    batch.columns[COLUMN_payee_id] = dict(payees, 2, payee_codes);
    batch.columns[COLUMN_currency] = dict(currencies, 2, currency_codes);
    batch.columns[COLUMN_amount] = (struct column){.form = FORM_I64, .data = (const unsigned char *)amounts};
    return 0;
}

/* Of the first rows; the text says what differs, "" nothing. */
static const char *check(const struct merged *merged, uint32_t rows)
{
    static char why[64];
    struct consolidated_tally tally;
    assert_int_equal(consolidated_begin(&tally, merged, SEED, rows, NULL), FAULT_NONE);
    for (uint32_t row = 0; row < rows; row++)
        consolidated_row(&tally, &batch, row);
    bool agrees = consolidated_end(&tally);
    memcpy(why, tally.why, sizeof why);
    assert_int_equal(agrees, why[0] == 0);
    consolidated_fini(&tally);
    return why;
}

static void counts_and_sums(void **state)
{
    (void)state;
    struct merged merged = {.has_count = true, .count = 3, .has_sums = true, .sum_count = 2};
    merged.sums[0] = (struct merged_sum){.currency = text_of("JPY"), .amount = 5};
    merged.sums[1] = (struct merged_sum){.currency = text_of("EUR"), .amount = 350};
    assert_string_equal(check(&merged, 3), "");
    merged.sums[1].amount++;
    assert_string_equal(check(&merged, 3), "the sum of EUR differs");
    merged.sums[1].amount--;
    merged.sum_count = 1;
    assert_string_equal(check(&merged, 3), "currencies are 2, 1 were merged");
    merged.sum_count = 2;
    merged.count = 2;
    assert_string_equal(check(&merged, 3), "transfers are 3, 2 were merged");
    merged.has_count = false;
    assert_string_not_equal(check(&merged, 4), ""); /* the sum goes beyond an integer */
}

static void parties_are_sets(void **state)
{
    (void)state;
    struct digest items[] = {hash128(SEED, "c", 1), hash128(SEED, "b", 1), hash128(SEED, "c", 1)};
    struct merged merged = {.payees = {.items = items, .count = 3, .is_there = true}};
    merged_set_sort(&merged.payees);
    assert_int_equal(merged.payees.count, 2);
    assert_string_equal(check(&merged, 3), "");
    assert_string_equal(check(&merged, 1), "payees are 1, 2 were merged");
    items[0] = hash128(SEED, "d", 1);
    merged_set_sort(&merged.payees);
    assert_string_equal(check(&merged, 3), "payees are others than were merged");
    struct merged payer = {.payers = {.items = items, .count = 0, .is_there = true}};
    assert_string_equal(check(&payer, 3), "payers are 1, 0 were merged");
}

static void what_every_transfer_has(void **state)
{
    (void)state;
    struct merged merged = {.same_count = 1};
    merged.same[0] = (struct merged_same){.name = text_of("payer_id"), .is_text = true, .text = text_of("a")};
    assert_string_equal(check(&merged, 3), "");
    merged.same[0].name = text_of("payee_id");
    assert_string_equal(check(&merged, 3), "payee_id is not the same in every transfer");
    merged.same[0] = (struct merged_same){.name = text_of("amount"), .integer = 100};
    assert_string_equal(check(&merged, 1), "");
    assert_string_equal(check(&merged, 2), "amount is not the same in every transfer");
    merged.same[0].name = text_of("no_such");
    assert_string_equal(check(&merged, 1), "no_such is not the same in every transfer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_sums),
        cmocka_unit_test(parties_are_sets),
        cmocka_unit_test(what_every_transfer_has),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
