/* The columns form: what is right is read where it lies, what lies is refused with its column named. */
#include "unit/wire/message.h"

static const int64_t amounts[3] = {1999, -5, 7};
static const uint32_t offsets[4] = {0, 2, 2, 5};
static const uint16_t codes[3] = {1, 0, 1};
static const unsigned char valid[1] = {0x05};

static void put_i64(struct wire_buffer *out, const char *name, const void *data, size_t bytes)
{
    wire_pack_text(out, name);
    wire_pack_map(out, 2);
    put_pair_text(out, "type", "i64");
    put_pair_bin(out, "data", data, bytes);
}

static void put_str(struct wire_buffer *out, const char *name, const uint32_t *offset_values, size_t offset_bytes, const char *data)
{
    wire_pack_text(out, name);
    wire_pack_map(out, 4);
    put_pair_text(out, "type", "str");
    put_pair_bin(out, "offsets", offset_values, offset_bytes);
    put_pair_bin(out, "data", data, strlen(data));
    put_pair_bin(out, "valid", valid, sizeof valid);
}

static void put_dict(struct wire_buffer *out, const char *name, uint32_t value_count, const char *code, const void *code_data, size_t bytes)
{
    wire_pack_text(out, name);
    wire_pack_map(out, code ? 4 : 3);
    put_pair_text(out, "type", "dict");
    wire_pack_text(out, "values");
    wire_pack_array(out, value_count);
    for (uint32_t i = 0; i < value_count; i++)
        wire_pack_text(out, i % 2 ? "EUR" : "CNY");
    if (code)
        put_pair_text(out, "code", code);
    put_pair_bin(out, "codes", code_data, bytes);
}

static struct wire_buffer screen_of(uint32_t column_count, int64_t rows)
{
    struct wire_buffer out = {0};
    put_envelope(&out, 2, "screen");
    put_pair_int(&out, "rows", rows);
    wire_pack_text(&out, "columns");
    wire_pack_map(&out, column_count);
    return out;
}

static void test_every_type(void **state)
{
    (void)state;
    struct wire_buffer message = screen_of(4, 3);
    static const double heights[3] = {1.5, -2.0, 0.0};
    struct batch batch;
    struct fault_note note;
    put_i64(&message, "amount", amounts, sizeof amounts);
    put_str(&message, "payer_id", offsets, sizeof offsets, "abcde");
    put_dict(&message, "currency", 2, NULL, codes, sizeof codes);
    wire_pack_text(&message, "height");
    wire_pack_map(&message, 2);
    put_pair_text(&message, "type", "f64");
    put_pair_bin(&message, "data", heights, sizeof heights);
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(batch.op, OP_screen);
    assert_true(text_is(batch.tenant, "payroll-a") && text_is(batch.id, "2026-11-21-0007") && text_is(batch.name, "2026-11-21-0007"));
    assert_int_equal(column_i64(&batch.columns[COLUMN_amount], 1), -5);
    assert_true(text_is(column_text(&batch.columns[COLUMN_payer_id], 0), "ab"));
    assert_true(text_is(column_text(&batch.columns[COLUMN_payer_id], 2), "cde"));
    assert_false(column_is_valid(&batch.columns[COLUMN_payer_id], 1));
    assert_true(text_is(column_text(&batch.columns[COLUMN_currency], 0), "EUR"));
    assert_int_equal(batch.columns[COLUMN_payee_id].form, FORM_ABSENT);
    assert_int_equal(batch.other_count, 1);
    assert_int_equal(batch.others[0].form, FORM_F64);
    const unsigned char *start = (const unsigned char *)message.data;
    assert_true(batch.columns[COLUMN_amount].data > start && batch.columns[COLUMN_amount].data < start + message.bytes); /* no copy */
    batch_fini(&batch);
    wire_buffer_fini(&message);
}

static void test_code_widths(void **state)
{
    (void)state;
    static const char *const names[] = {"u8", "u16", "u32"};
    for (unsigned width = 0; width < 3; width++) {
        struct wire_buffer message = screen_of(1, 3);
        unsigned char code_bytes[12] = {0};
        struct batch batch;
        struct fault_note note;
        for (unsigned row = 0; row < 3; row++)
            code_bytes[row << width] = row & 1;
        put_dict(&message, "currency", 2, names[width], code_bytes, 3u << width);
        assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
        assert_int_equal(batch.columns[COLUMN_currency].form, FORM_DICT8 + width);
        assert_true(text_is(column_text(&batch.columns[COLUMN_currency], 1), "EUR"));
        assert_true(text_is(column_text(&batch.columns[COLUMN_currency], 2), "CNY"));
        batch_fini(&batch);
        wire_buffer_fini(&message);
    }
}

static void test_sizes_lie(void **state)
{
    (void)state;
    struct wire_buffer message = screen_of(1, 3);
    put_i64(&message, "amount", amounts, sizeof amounts - 1);
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: data has 23 bytes, must have 24 for 3 rows");
    message = screen_of(1, 3);
    put_str(&message, "payer_id", offsets, sizeof offsets - 4, "abcde");
    assert_refused(&message, &LIMITS, FAULT_schema, "column payer_id: offsets has 12 bytes, must have 16");
    message = screen_of(1, 9);
    put_str(&message, "payer_id", offsets, sizeof offsets, "abcde");
    assert_refused(&message, &LIMITS, FAULT_schema, "column payer_id: valid has 1 bytes, must have 2 for 9 rows");
    message = screen_of(1, 3);
    put_dict(&message, "currency", 2, "u32", codes, sizeof codes);
    assert_refused(&message, &LIMITS, FAULT_schema, "column currency: codes has 6 bytes, must have 12");
    message = screen_of(1, 100000);
    put_i64(&message, "amount", amounts, sizeof amounts);
    assert_refused(&message, &LIMITS, FAULT_schema, "rows is 100000, but the columns have");
}

static void test_offsets_lie(void **state)
{
    (void)state;
    static const uint32_t falling[4] = {0, 3, 2, 5}, beyond[4] = {0, 2, 2, 6}, far[4] = {0, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct wire_buffer message = screen_of(1, 3);
    put_str(&message, "payer_id", falling, sizeof falling, "abcde");
    assert_refused(&message, &LIMITS, FAULT_schema, "column payer_id: offsets fall from 3 to 2 at row 1");
    message = screen_of(1, 3);
    put_str(&message, "payer_id", beyond, sizeof beyond, "abcde");
    assert_refused(&message, &LIMITS, FAULT_schema, "column payer_id: the last offset is 6, but data has 5 bytes");
    message = screen_of(1, 3);
    put_str(&message, "payer_id", far, sizeof far, "abcde");
    assert_refused(&message, &LIMITS, FAULT_schema, "the last offset is 4294967295");
}

static void test_codes_lie(void **state)
{
    (void)state;
    static const uint16_t wrong[3] = {1, 2, 0}, hidden[3] = {1, 9, 0};
    struct wire_buffer message = screen_of(1, 3);
    put_dict(&message, "currency", 2, "u16", wrong, sizeof wrong);
    assert_refused(&message, &LIMITS, FAULT_schema, "column currency: row 1 has code 2, but there are 2 values");
    message = screen_of(1, 3);
    put_dict(&message, "currency", 0, "u16", wrong, sizeof wrong);
    assert_refused(&message, &LIMITS, FAULT_schema, "column currency: row 0 has code 1, but there are 0 values");
    struct batch batch;
    struct fault_note note;
    message = screen_of(1, 3);
    wire_pack_text(&message, "currency");
    wire_pack_map(&message, 4);
    put_pair_text(&message, "type", "dict");
    wire_pack_text(&message, "values");
    wire_pack_array(&message, 2);
    wire_pack_text(&message, "CNY");
    wire_pack_text(&message, "EUR");
    put_pair_bin(&message, "codes", hidden, sizeof hidden);
    put_pair_bin(&message, "valid", valid, sizeof valid);
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE); /* the wrong code is of a null cell */
    batch_fini(&batch);
    wire_buffer_fini(&message);
}

static void test_wrong_types(void **state)
{
    (void)state;
    struct wire_buffer message = screen_of(1, 3);
    put_i64(&message, "payer_id", amounts, sizeof amounts);
    assert_refused(&message, &LIMITS, FAULT_schema, "column payer_id: type must be str or dict, is i64");
    message = screen_of(1, 3);
    put_str(&message, "amount", offsets, sizeof offsets, "abcde");
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: type must be i64, is str");
    static const char *const narrow[] = {"i32", "u32", "f32", "", "i64 "};
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        message = screen_of(1, 3);
        wire_pack_text(&message, "amount");
        wire_pack_map(&message, 2);
        put_pair_text(&message, "type", narrow[i]);
        put_pair_bin(&message, "data", amounts, sizeof amounts);
        assert_refused(&message, &LIMITS, FAULT_schema, "column amount: type must be i64, f64, str or dict, is ");
    }
    message = screen_of(1, 3);
    wire_pack_text(&message, "amount");
    wire_pack_i64(&message, 5);
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: it must be a map, is an integer");
    message = screen_of(1, 3);
    wire_pack_text(&message, "amount");
    wire_pack_map(&message, 2);
    put_pair_text(&message, "type", "i64");
    put_pair_text(&message, "data", "123456781234567812345678");
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: data must be bytes, is text");
}

static void test_parts(void **state)
{
    (void)state;
    struct wire_buffer message = screen_of(1, 3);
    wire_pack_text(&message, "amount");
    wire_pack_map(&message, 1);
    put_pair_text(&message, "type", "i64");
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: type i64 needs data");
    message = screen_of(1, 3);
    wire_pack_text(&message, "amount");
    wire_pack_map(&message, 3);
    put_pair_text(&message, "type", "i64");
    put_pair_bin(&message, "data", amounts, sizeof amounts);
    put_pair_text(&message, "code", "u8");
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: type i64 has no code");
    message = screen_of(1, 3);
    wire_pack_text(&message, "amount");
    wire_pack_map(&message, 3);
    put_pair_text(&message, "type", "i64");
    put_pair_bin(&message, "data", amounts, sizeof amounts);
    put_pair_text(&message, "scale", "2");
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: it has type, data, valid");
    message = screen_of(1, 3);
    wire_pack_text(&message, "amount");
    wire_pack_map(&message, 2);
    put_pair_text(&message, "type", "i64");
    put_pair_text(&message, "type", "i64");
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: type is there twice");
}

static void test_names(void **state)
{
    (void)state;
    struct wire_buffer message = screen_of(2, 3);
    put_i64(&message, "amount", amounts, sizeof amounts);
    put_i64(&message, "amount", amounts, sizeof amounts);
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: it is there twice");
    message = screen_of(2, 3);
    put_i64(&message, "colour", amounts, sizeof amounts);
    put_i64(&message, "colour", amounts, sizeof amounts);
    assert_refused(&message, &LIMITS, FAULT_schema, "column colour: it is there twice");
    message = screen_of(1, 3);
    put_i64(&message, "", amounts, sizeof amounts);
    assert_refused(&message, &LIMITS, FAULT_schema, "a name is 1 to 128 bytes");
    message = screen_of(1, 3);
    put_i64(&message, "co\nlour", amounts, sizeof amounts);
    assert_refused(&message, &LIMITS, FAULT_schema, "without control characters");
    message = screen_of(1, 3);
    wire_pack_i64(&message, 7);
    wire_pack_map(&message, 0);
    assert_refused(&message, &LIMITS, FAULT_schema, "a column's name must be text");
}

static void test_limits(void **state)
{
    (void)state;
    struct batch_limits limits = LIMITS;
    limits.columns_max = 1;
    struct wire_buffer message = screen_of(2, 3);
    put_i64(&message, "amount", amounts, sizeof amounts);
    put_i64(&message, "time", amounts, sizeof amounts);
    assert_refused(&message, &limits, FAULT_limit, "2 columns, at most 1 are taken");
    limits = LIMITS;
    limits.dict_values_max = 1;
    message = screen_of(1, 3);
    put_dict(&message, "currency", 2, NULL, codes, sizeof codes);
    assert_refused(&message, &limits, FAULT_limit, "column currency: 2 values, at most 1 are taken");
    limits = LIMITS;
    limits.rows_max = 2;
    message = screen_of(1, 3);
    put_i64(&message, "amount", amounts, sizeof amounts);
    assert_refused(&message, &limits, FAULT_limit, "a batch of 3 rows, at most 2 are taken");
    static const uint32_t long_offsets[4] = {0, 0, 0, 7};
    limits = LIMITS;
    limits.text_bytes_max = 6; /* as long as the token */
    message = screen_of(1, 3);
    put_str(&message, "remark", long_offsets, sizeof long_offsets, "abcdefg");
    assert_refused(&message, &limits, FAULT_limit, "column remark: row 2 has 7 bytes, at most 6 are taken");
}

static void test_numbers_not_finite(void **state)
{
    (void)state;
    static const uint64_t bits[3] = {0, 0x7ff8000000000000u, 0};
    struct wire_buffer message = screen_of(1, 3);
    wire_pack_text(&message, "height");
    wire_pack_map(&message, 2);
    put_pair_text(&message, "type", "f64");
    put_pair_bin(&message, "data", bits, sizeof bits);
    assert_refused(&message, &LIMITS, FAULT_schema, "column height: row 1 is not a finite number");
}

static void test_written_and_read_again(void **state)
{
    (void)state;
    struct wire_buffer message = screen_of(4, 3), again = {0};
    struct batch batch, second;
    struct fault_note note;
    uint64_t scratch[3];
    put_i64(&message, "amount", amounts, sizeof amounts);
    put_str(&message, "payer_id", offsets, sizeof offsets, "abcde");
    put_dict(&message, "currency", 2, "u16", codes, sizeof codes);
    put_i64(&message, "colour", amounts, sizeof amounts);
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(wire_request_write(&again, &batch, text_of("secret"), 500, &note), FAULT_NONE);
    assert_int_equal(take_batch(&second, &again, &LIMITS, &note), FAULT_NONE);
    assert_true(digest_equal(batch_digest(&batch, 7, scratch), batch_digest(&second, 7, scratch)));
    assert_int_equal(second.other_count, 1);
    batch_fini(&batch);
    batch_fini(&second);
    wire_buffer_fini(&message);
    wire_buffer_fini(&again);
}

static void test_untaken_columns_stay(void **state)
{
    (void)state;
    struct wire_buffer message = screen_of(2, 3), again = {0};
    struct batch batch, second;
    struct fault_note note;
    put_i64(&message, "amount", amounts, sizeof amounts);
    put_str(&message, "label", offsets, sizeof offsets, "abcde");
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(wire_request_write(&again, &batch, text_of("secret"), 0, &note), FAULT_NONE);
    assert_int_equal(take_batch(&second, &again, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(second.columns[COLUMN_label].form, FORM_ABSENT);
    assert_int_equal(second.columns[COLUMN_amount].form, FORM_I64);
    batch_fini(&batch);
    batch_fini(&second);
    wire_buffer_fini(&message);
    wire_buffer_fini(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_code_widths),
        cmocka_unit_test(test_sizes_lie),
        cmocka_unit_test(test_offsets_lie),
        cmocka_unit_test(test_codes_lie),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_numbers_not_finite),
        cmocka_unit_test(test_written_and_read_again),
        cmocka_unit_test(test_untaken_columns_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
