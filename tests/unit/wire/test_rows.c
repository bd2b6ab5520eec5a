/* The rows form: the same batch as in columns, whatever the order of keys; a wrong cell costs its row, never the batch. */
#include "unit/wire/message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct wire_buffer rows_of(uint32_t row_count)
{
    struct wire_buffer out = {0};
    put_envelope(&out, 1, "screen");
    wire_pack_text(&out, "transfers");
    wire_pack_array(&out, row_count);
    return out;
}

static void test_missing_keys_are_null(void **state)
{
    (void)state;
    struct wire_buffer message = rows_of(4);
    struct batch batch;
    struct fault_note note;
    wire_pack_map(&message, 2);
    put_pair_text(&message, "transfer_id", "a");
    put_pair_int(&message, "amount", 1);
    wire_pack_map(&message, 3);
    put_pair_int(&message, "amount", 300);
    put_pair_text(&message, "memo", "lunch");
    put_pair_text(&message, "transfer_id", "bb");
    wire_pack_map(&message, 0);
    wire_pack_map(&message, 2);
    put_pair_text(&message, "transfer_id", "");
    wire_pack_text(&message, "amount");
    wire_pack_nil(&message);
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
    assert_true(batch.reply_in_rows);
    const struct column *ids = &batch.columns[COLUMN_transfer_id], *amounts = &batch.columns[COLUMN_amount];
    assert_true(text_is(column_text(ids, 0), "a") && text_is(column_text(ids, 1), "bb"));
    assert_true(column_is_valid(ids, 3) && column_text(ids, 3).bytes == 0);
    assert_false(column_is_valid(ids, 2));
    assert_true(column_i64(amounts, 0) == 1 && column_i64(amounts, 1) == 300);
    assert_false(column_is_valid(amounts, 2) || column_is_valid(amounts, 3));
    assert_true(text_is(column_text(&batch.columns[COLUMN_memo], 1), "lunch"));
    assert_false(column_is_valid(&batch.columns[COLUMN_memo], 0));
    assert_null(batch.facts.invalid);
    batch_fini(&batch);
    wire_buffer_fini(&message);
}

static void test_integers(void **state)
{
    (void)state;
    static const int64_t values[] = {0,   127,  128,  255,    256,    65535,     65536,           UINT32_MAX, 1LL << 32, -1,       -32,
                                     -33, -128, -129, -32768, -32769, INT32_MIN, INT32_MIN - 1LL, 86399,      INT64_MAX, INT64_MIN};
    enum { COUNT = sizeof values / sizeof *values };
    struct wire_buffer message = rows_of(COUNT);
    struct batch batch;
    struct fault_note note;
    for (size_t i = 0; i < COUNT; i++) {
        wire_pack_map(&message, 1);
        put_pair_int(&message, "amount", values[i]);
    }
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(column_i64(&batch.columns[COLUMN_amount], i) == values[i]);
    batch_fini(&batch);
    wire_buffer_fini(&message);
}

static void test_wrong_cells_cost_their_row(void **state)
{
    (void)state;
    struct wire_buffer message = rows_of(3);
    struct batch batch;
    struct fault_note note;
    wire_pack_map(&message, 2);
    put_pair_int(&message, "transfer_id", 7);
    put_pair_int(&message, "amount", 1);
    wire_pack_map(&message, 2);
    put_pair_text(&message, "transfer_id", "b");
    put_pair_text(&message, "amount", "12.50");
    wire_pack_map(&message, 2);
    put_pair_text(&message, "transfer_id", "c");
    put_pair_int(&message, "amount", 3);
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
    assert_true(batch.facts.invalid[0] && batch.facts.invalid[1] && !batch.facts.invalid[2]);
    assert_int_equal(batch.note_count, 2);
    assert_int_equal(batch.notes[0].row, 0);
    assert_int_equal(batch.notes[0].column, COLUMN_transfer_id);
    assert_string_equal(batch.notes[0].text, "must be text, is an integer");
    assert_int_equal(batch.notes[1].row, 1);
    assert_string_equal(batch.notes[1].text, "must be an integer below 2^63, is text");
    assert_int_equal(batch.rule_counts[COLUMN_amount][RULE_TYPE], 1);
    assert_true(text_is(column_text(&batch.columns[COLUMN_transfer_id], 2), "c"));
    assert_true(column_i64(&batch.columns[COLUMN_amount], 2) == 3);
    batch_fini(&batch);
    wire_buffer_fini(&message);
}

static void put_one(struct wire_buffer *out, const char *key, int kind)
{
    wire_pack_map(out, 1);
    wire_pack_text(out, key);
    if (kind == 't')
        wire_pack_text(out, "text");
    else if (kind == 'i')
        wire_pack_i64(out, 41);
    else if (kind == 'f')
        wire_pack_f64(out, 2.5);
    else if (kind == 'b')
        wire_pack_bool(out, true);
    else if (kind == 'x')
        wire_pack_f64(out, NAN);
    else
        wire_pack_nil(out);
}

static struct wire_buffer colours_of(const char *kinds)
{
    struct wire_buffer message = rows_of((uint32_t)strlen(kinds));
    for (const char *kind = kinds; *kind; kind++)
        put_one(&message, "colour", *kind);
    return message;
}

static void test_unknown_columns_find_their_type(void **state)
{
    (void)state;
    static const struct {
        const char *kinds;
        enum column_form form;
    } cases[] = {{"ntt", FORM_STR}, {"inn", FORM_I64}, {"fif", FORM_F64}, {"iif", FORM_F64}, {"nnn", FORM_ABSENT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_buffer message = colours_of(cases[i].kinds);
        struct batch batch;
        struct fault_note note;
        assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
        assert_int_equal(batch.other_count, cases[i].form != FORM_ABSENT);
        if (batch.other_count)
            assert_int_equal(batch.others[0].form, cases[i].form);
        if (cases[i].form == FORM_F64) {
            double value;
            memcpy(&value, batch.others[0].data + 8, sizeof value);
            assert_true(value == 41.0);
        }
        batch_fini(&batch);
        wire_buffer_fini(&message);
    }
    struct wire_buffer message = colours_of("nti");
    assert_refused(&message, &LIMITS, FAULT_schema, "column colour: row 2 is an integer, unlike the rows before it");
    message = colours_of("nnb");
    assert_refused(&message, &LIMITS, FAULT_schema, "column colour: row 2 is a truth value; an unknown column takes text or numbers");
    message = colours_of("fx");
    assert_refused(&message, &LIMITS, FAULT_schema, "column colour: row 1 is not a finite number");
}

static void test_wrong_rows(void **state)
{
    (void)state;
    struct wire_buffer message = rows_of(2);
    wire_pack_map(&message, 0);
    wire_pack_i64(&message, 5);
    assert_refused(&message, &LIMITS, FAULT_schema, "row 1 must be a map");
    message = rows_of(1);
    wire_pack_map(&message, 1);
    wire_pack_i64(&message, 5);
    wire_pack_i64(&message, 5);
    assert_refused(&message, &LIMITS, FAULT_schema, "row 0: a key must be text");
    message = rows_of(1);
    wire_pack_map(&message, 2);
    put_pair_int(&message, "amount", 1);
    put_pair_int(&message, "amount", 2);
    assert_refused(&message, &LIMITS, FAULT_schema, "column amount: row 0 has it twice");
    message = rows_of(0);
    assert_refused(&message, &LIMITS, FAULT_schema, "a batch needs at least one row");
    struct batch_limits limits = LIMITS;
    limits.columns_max = 1;
    message = rows_of(1);
    wire_pack_map(&message, 2);
    put_pair_int(&message, "amount", 1);
    put_pair_int(&message, "time", 2);
    assert_refused(&message, &limits, FAULT_limit, "column time: more than 1 columns");
}

/* The most that the limits allow fits the arena that was promised: every row another order, all columns, long texts. */
static void test_arena_suffices_at_the_limits(void **state)
{
    (void)state;
    enum { ROWS = 1000 };
    struct batch_limits limits = LIMITS;
    struct wire_buffer message = rows_of(ROWS);
    struct batch batch;
    struct fault_note note;
    char text[400], name[32];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (uint32_t row = 0; row < ROWS; row++) {
        wire_pack_map(&message, limits.columns_max);
        for (uint32_t i = 0; i < limits.columns_max; i++) {
            uint32_t column = (i + row) % limits.columns_max;
            bool known = column < COLUMN_COUNT;
            snprintf(name, sizeof name, "other_%u", column);
            wire_pack_text(&message, known ? column_name((uint16_t)column) : name);
            if (known ? column_type_of((uint16_t)column) == COLUMN_TEXT : column % 2)
                wire_pack_text(&message, text + (row * 7 + i) % sizeof text);
            else
                wire_pack_i64(&message, (int64_t)row << 32);
        }
    }
    assert_int_equal(take_batch(&batch, &message, &limits, &note), FAULT_NONE);
    assert_int_equal(batch_take_checks(&batch, limits.notes_max, &note), FAULT_NONE);
    assert_int_equal(batch_take_facts(&batch, &note), FAULT_NONE);
    assert_int_equal(batch_take_results(&batch, &note), FAULT_NONE);
    batch_fini(&batch);
    wire_buffer_fini(&message);
}

/* The least bytes for the most columns: all are in the first row, the others are empty. */
static void test_arena_suffices_for_sparse_rows(void **state)
{
    (void)state;
    enum { ROWS = 3001 };
    struct batch_limits limits = LIMITS;
    struct wire_buffer message = rows_of(ROWS);
    struct batch batch;
    struct fault_note note;
    char name[3] = "aa";
    wire_pack_map(&message, limits.columns_max);
    for (uint32_t i = 0; i < limits.columns_max; i++) {
        name[0] = (char)('a' + i / 26);
        name[1] = (char)('a' + i % 26);
        put_pair_int(&message, name, 1);
    }
    for (uint32_t row = 1; row < ROWS; row++)
        wire_pack_map(&message, 0);
    assert_int_equal(take_batch(&batch, &message, &limits, &note), FAULT_NONE);
    size_t decoded = batch.arena.used;
    batch_fini(&batch);
    assert_true(decoded <= batch_decode_bytes(&limits, ROWS, message.bytes, 0, true));
    wire_buffer_fini(&message);
}

/* Random rows, once in rows and once in columns as read from them: one digest. */
static void test_same_digest_as_columns(void **state)
{
    (void)state;
    const char *given = getenv("SLUICE_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    enum { ROWS = 137 };
    struct wire_buffer message = rows_of(ROWS), columns = {0};
    struct batch batch, second;
    struct fault_note note;
    static const char *const keys[] = {"transfer_id", "payer_id", "currency", "memo", "shade", "colour"};
    uint64_t scratch[ROWS];
    char text[32];
    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t first = (uint32_t)rand() % 6, count = 1 + (uint32_t)rand() % 6;
        wire_pack_map(&message, count + 1);
        put_pair_int(&message, "amount", rand());
        for (uint32_t i = 0; i < count; i++) {
            snprintf(text, sizeof text, "%d", rand() % 1000);
            put_pair_text(&message, keys[(first + i) % 6], text);
        }
    }
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(wire_request_write(&columns, &batch, text_of("secret"), 0, &note), FAULT_NONE);
    assert_int_equal(take_batch(&second, &columns, &LIMITS, &note), FAULT_NONE);
    assert_false(second.reply_in_rows);
    assert_true(digest_equal(batch_digest(&batch, 11, scratch), batch_digest(&second, 11, scratch)));
    batch_fini(&batch);
    batch_fini(&second);
    wire_buffer_fini(&message);
    wire_buffer_fini(&columns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_keys_are_null),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_wrong_cells_cost_their_row),
        cmocka_unit_test(test_unknown_columns_find_their_type),
        cmocka_unit_test(test_wrong_rows),
        cmocka_unit_test(test_arena_suffices_at_the_limits),
        cmocka_unit_test(test_arena_suffices_for_sparse_rows),
        cmocka_unit_test(test_same_digest_as_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
