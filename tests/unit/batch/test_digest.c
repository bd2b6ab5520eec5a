/* The digest sees values and nothing else: any encoding of the same cells gives the same one, any other cell another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "batch/batch.h"

enum { ROWS = 203, VALUES = 40 };

static char value_texts[VALUES][8];
static struct text values[VALUES];
static uint8_t codes8[ROWS];
static uint16_t codes16[ROWS];
static uint32_t codes32[ROWS];
static uint32_t offsets[ROWS + 1];
static unsigned char bytes[ROWS * 8 + 1], valid[ROWS / 8 + 1];
static int64_t numbers[ROWS];

static void cells_make(unsigned seed)
{
    srand(seed);
    memset(valid, 0xff, sizeof valid);
    for (uint32_t i = 0; i < VALUES; i++) {
        snprintf(value_texts[i], sizeof value_texts[i], "v%u", i / 2); /* each value twice: codes differ, values do not */
        values[i] = text_of(value_texts[i]);
    }
    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t code = (uint32_t)rand() % VALUES;
        codes8[row] = (uint8_t)(codes16[row] = (uint16_t)(codes32[row] = code));
        numbers[row] = rand();
        memcpy(bytes + 1 + offsets[row], values[code].data, values[code].bytes);
        offsets[row + 1] = offsets[row] + values[code].bytes;
        if (rand() % 5 == 0)
            valid[row >> 3] &= (unsigned char)~(1u << (row & 7));
    }
}

static struct column text_column(enum column_form form, const unsigned char *bitmap)
{
    struct column column = {.form = form, .name = text_of("payer_id"), .valid = bitmap, .values = values, .value_count = VALUES};
    column.data = form == FORM_DICT8    ? codes8
                  : form == FORM_DICT16 ? (unsigned char *)codes16
                  : form == FORM_DICT32 ? (unsigned char *)codes32
                                        : bytes + 1;
    column.offsets = form == FORM_STR ? (unsigned char *)offsets : NULL;
    return column;
}

static struct batch batch_with(struct column column)
{
    struct batch batch = {.magic = BATCH_MAGIC, .op = OP_screen, .row_count = ROWS, .name = text_of("b")};
    batch.columns[COLUMN_payer_id] = column;
    batch.columns[COLUMN_amount] = (struct column){.form = FORM_I64, .name = text_of("amount"), .data = (unsigned char *)numbers};
    return batch;
}

static struct digest digest_of(struct batch batch)
{
    uint64_t scratch[ROWS];
    return batch_digest(&batch, 5, scratch);
}

static void assert_same(struct digest a, struct digest b)
{
    assert_true(digest_equal(a, b));
}

static void assert_other(struct digest a, struct digest b)
{
    assert_false(digest_equal(a, b));
}

static void test_encodings(void **state)
{
    (void)state;
    const unsigned char *const bitmaps[] = {NULL, valid};
    for (size_t i = 0; i < 2; i++) {
        struct digest wanted = digest_of(batch_with(text_column(FORM_STR, bitmaps[i])));
        assert_same(wanted, digest_of(batch_with(text_column(FORM_DICT8, bitmaps[i]))));
        assert_same(wanted, digest_of(batch_with(text_column(FORM_DICT16, bitmaps[i]))));
        assert_same(wanted, digest_of(batch_with(text_column(FORM_DICT32, bitmaps[i]))));
    }
    assert_other(digest_of(batch_with(text_column(FORM_STR, NULL))), digest_of(batch_with(text_column(FORM_STR, valid))));
}

static void test_validity(void **state)
{
    (void)state;
    unsigned char all[ROWS / 8 + 1], padded[ROWS / 8 + 1];
    memset(all, 0xff, sizeof all);
    memcpy(padded, all, sizeof all);
    padded[ROWS / 8] = (1u << ROWS % 8) - 1; /* nothing behind the last row */
    struct digest wanted = digest_of(batch_with(text_column(FORM_STR, NULL)));
    assert_same(wanted, digest_of(batch_with(text_column(FORM_STR, all))));
    assert_same(wanted, digest_of(batch_with(text_column(FORM_STR, padded))));
    struct batch batch = batch_with(text_column(FORM_STR, NULL));
    batch.columns[COLUMN_amount].valid = valid;
    struct digest with_nulls = digest_of(batch);
    assert_other(wanted, with_nulls);
    int64_t kept[ROWS];
    memcpy(kept, numbers, sizeof kept);
    for (uint32_t row = 0; row < ROWS; row++)
        if (!(valid[row >> 3] >> (row & 7) & 1))
            numbers[row] = -1; /* what a null cell holds does not matter */
    assert_same(with_nulls, digest_of(batch));
    memcpy(numbers, kept, sizeof kept);
    int64_t first = numbers[0];
    batch.columns[COLUMN_amount].valid = all;
    numbers[0] = 0;
    wanted = digest_of(batch);
    all[0] &= 0xfe; /* null is not zero */
    assert_other(wanted, digest_of(batch));
    numbers[0] = first;
    static const unsigned char none[ROWS / 8 + 1];
    struct batch absent = batch_with(text_column(FORM_STR, none)), really = batch_with((struct column){0});
    assert_same(digest_of(absent), digest_of(really)); /* a column without a valid cell is as good as none */
}

static void test_order_of_columns(void **state)
{
    (void)state;
    struct batch first = batch_with(text_column(FORM_STR, NULL)), second = first;
    struct column red = {.form = FORM_I64, .name = text_of("red"), .data = (unsigned char *)numbers};
    struct column blue = text_column(FORM_DICT16, NULL);
    blue.name = text_of("blue");
    first.other_count = second.other_count = 2;
    first.others[0] = second.others[1] = red;
    first.others[1] = second.others[0] = blue;
    assert_same(digest_of(first), digest_of(second));
    second.others[0].name = text_of("blu");
    assert_other(digest_of(first), digest_of(second));
}

static void test_everything_counts(void **state)
{
    (void)state;
    struct batch batch = batch_with(text_column(FORM_STR, NULL));
    struct digest wanted = digest_of(batch);
    uint64_t scratch[ROWS];
    assert_other(wanted, batch_digest(&batch, 6, scratch));
    batch.op = OP_import;
    assert_other(wanted, digest_of(batch));
    batch.op = OP_screen;
    batch.name = text_of("c");
    assert_other(wanted, digest_of(batch));
    batch.name = text_of("b");
    batch.rule_counts[COLUMN_memo][RULE_TYPE] = 1;
    assert_other(wanted, digest_of(batch));
    batch.rule_counts[COLUMN_memo][RULE_TYPE] = 0;
    for (uint32_t row = 0; row < ROWS; row++) {
        numbers[row] ^= 1;
        assert_other(wanted, digest_of(batch));
        numbers[row] ^= 1;
    }
    bytes[1] ^= 1;
    assert_other(wanted, digest_of(batch));
    bytes[1] ^= 1;
    struct column floats = batch.columns[COLUMN_amount];
    floats.form = FORM_F64;
    batch.columns[COLUMN_amount] = floats;
    assert_other(wanted, digest_of(batch));
    batch.columns[COLUMN_amount].form = FORM_I64;
    batch.op = OP_observe;
    struct digest none = digest_of(batch);
    batch.observe_kind = OBSERVE_USE;
    assert_other(none, digest_of(batch));
}

static void test_hashes(void **state)
{
    (void)state;
    uint64_t with_table[ROWS], with_cache[ROWS], of_str[ROWS], scratch[VALUES];
    struct column dict = text_column(FORM_DICT16, valid), str = text_column(FORM_STR, valid);
    column_hashes(&dict, ROWS, 9, with_table, scratch);
    column_hashes(&dict, ROWS, 9, with_cache, NULL);
    column_hashes(&str, ROWS, 9, of_str, NULL);
    assert_memory_equal(with_table, with_cache, sizeof with_table);
    assert_memory_equal(with_table, of_str, sizeof with_table);
    for (uint32_t row = 0; row < ROWS; row++)
        assert_int_equal(of_str[row] == 0, !column_is_valid(&str, row));
}

/* More values than the cache has places: they push each other out and are hashed again. */
static void test_many_values(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct text *texts = calloc(MANY, sizeof *texts);
    char(*names)[8] = calloc(MANY, sizeof *names);
    uint32_t *codes = calloc(2 * MANY, sizeof *codes);
    uint64_t *hashes = calloc(2 * MANY, sizeof *hashes), *wanted = calloc(2 * MANY, sizeof *wanted),
             *scratch = calloc(MANY, sizeof *scratch);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof *names, "%u", i);
        texts[i] = text_of(names[i]);
        codes[i] = i;
        codes[MANY + i] = (i * 1024) % MANY;
    }
    struct column column = {.form = FORM_DICT32, .data = (unsigned char *)codes, .values = texts, .value_count = MANY};
    column_hashes(&column, 2 * MANY, 1, hashes, NULL);
    column_hashes(&column, 2 * MANY, 1, wanted, scratch);
    assert_memory_equal(hashes, wanted, 2 * MANY * sizeof *hashes);
    free(texts), free(names), free(codes), free(hashes), free(wanted), free(scratch);
}

int main(void)
{
    const char *given = getenv("SLUICE_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    printf("seed %u\n", seed);
    cells_make(seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodings),         cmocka_unit_test(test_validity), cmocka_unit_test(test_order_of_columns),
        cmocka_unit_test(test_everything_counts), cmocka_unit_test(test_hashes),   cmocka_unit_test(test_many_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
