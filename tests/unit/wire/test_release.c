#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "wire/release.h"

/* Three rows: text that wants escaping, text that is no UTF-8, nulls, numbers. */
static struct text ids[] = {{"a\"\\\n\x7f", 5}, {"\xc3\xa9\xff", 3}, {"\xe4\xbb\x98", 3}};
static const int64_t amounts[] = {1200, INT64_MIN, 0};
static const double weights[] = {0.1, 0.0, 1e300};
static const unsigned char codes[] = {0, 1, 2}, amount_valid[] = {0x3}, weight_valid[] = {0x5};

static void batch_make(struct batch *batch)
{
    memset(batch, 0, sizeof *batch);
    batch->row_count = 3;
    batch->columns[COLUMN_transfer_id] =
        (struct column){.form = FORM_DICT8, .data = codes, .values = ids, .value_count = sizeof ids / sizeof ids[0]};
    batch->columns[COLUMN_amount] = (struct column){.form = FORM_I64, .data = (const unsigned char *)amounts, .valid = amount_valid};
    batch->others[0] =
        (struct column){.form = FORM_F64, .name = text_of("we\"ight"), .data = (const unsigned char *)weights, .valid = weight_valid};
    batch->other_count = 1;
}

static char *written(const uint32_t *rows, uint32_t count, size_t *bytes)
{
    struct batch batch;
    struct wire_buffer buffer = {0};
    struct fault_note note = {0};
    uint32_t told = 0;
    batch_make(&batch);
    release_begin(&buffer, &(struct release_head){.id = "p\"1/r1", .tenant = "t", .batch = "p\"1", .row_count = count});
    for (uint32_t i = 0; i < count; i++) /* as if each were of a batch of its own */
        release_rows(&buffer, &batch, &rows[i], 1, SIZE_MAX, &told);
    assert_int_equal(release_end(&buffer, &note), FAULT_NONE);
    assert_int_equal(told, count);
    *bytes = buffer.bytes;
    return buffer.data;
}

static void what_is_too_large_ends_before_its_last_row(void **state)
{
    (void)state;
    static const uint32_t rows[] = {0, 1, 2};
    struct batch batch;
    struct wire_buffer buffer = {0};
    uint32_t told = 0;
    batch_make(&batch);
    release_rows(&buffer, &batch, rows, 3, 10, &told);
    assert_int_equal(told, 1);
    size_t one = buffer.bytes;
    assert_true(one > 10);
    release_rows(&buffer, &batch, rows, 3, 10, &told);
    assert_true(told == 1 && buffer.bytes == one);
    wire_buffer_fini(&buffer);
}

static void rows_are_json_that_reads_back(void **state)
{
    (void)state;
    static const uint32_t rows[] = {0, 1, 2};
    size_t bytes;
    json_t *root = NULL;
    struct fault_note note = {0};
    char *text = written(rows, 3, &bytes);
    assert_int_equal(json_read(&root, text, bytes, FAULT_syntax, "it", &note), FAULT_NONE);
    assert_string_equal(json_string_value(json_object_get(root, "id")), "p\"1/r1");
    assert_int_equal(json_integer_value(json_object_get(root, "rows")), 3);
    const json_t *transfers = json_object_get(root, "transfers");
    assert_int_equal(json_array_size(transfers), 3);
    const json_t *first = json_array_get(transfers, 0), *second = json_array_get(transfers, 1), *third = json_array_get(transfers, 2);
    assert_string_equal(json_string_value(json_object_get(first, "transfer_id")), "a\"\\\n\x7f");
    assert_int_equal(json_integer_value(json_object_get(first, "amount")), 1200);
    assert_true(json_real_value(json_object_get(first, "we\"ight")) == 0.1);
    assert_string_equal(json_string_value(json_object_get(second, "transfer_id")), "???");
    assert_true(json_integer_value(json_object_get(second, "amount")) == INT64_MIN);
    assert_int_equal(json_object_size(second), 2);
    assert_string_equal(json_string_value(json_object_get(third, "transfer_id")), "\xe4\xbb\x98");
    assert_true(json_real_value(json_object_get(third, "we\"ight")) == 1e300);
    assert_null(json_object_get(third, "amount"));
    json_decref(root);
    memory_give(text);
}

static void the_same_rows_are_the_same_bytes(void **state)
{
    (void)state;
    static const uint32_t rows[] = {0, 2};
    size_t a_bytes, b_bytes, none_bytes;
    char *a = written(rows, 2, &a_bytes), *b = written(rows, 2, &b_bytes), *none = written(rows, 0, &none_bytes);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a, b, a_bytes);
    static const char empty[] = "{\"id\":\"p\\u00221/r1\",\"tenant\":\"t\",\"batch\":\"p\\u00221\",\"rows\":0,\"transfers\":[]}";
    assert_int_equal(none_bytes, sizeof empty - 1);
    assert_memory_equal(none, empty, none_bytes);
    memory_give(a);
    memory_give(b);
    memory_give(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_json_that_reads_back),
        cmocka_unit_test(what_is_too_large_ends_before_its_last_row),
        cmocka_unit_test(the_same_rows_are_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
