/* Names, arrays and the promise of batch_arena_bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/memory.h"
#include "batch/batch.h"

static void test_names(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < COLUMN_COUNT; i++) {
        assert_int_equal(column_find(text_of(column_name(i))), i);
        assert_true(column_meaning(i)[0] != '\0');
    }
    assert_int_equal(column_find(text_of("amoun")), COLUMN_COUNT);
    assert_int_equal(column_find(text_of("")), COLUMN_COUNT);
    assert_int_equal(column_find((struct text){0}), COLUMN_COUNT);
    assert_string_equal(column_name(COLUMN_NONE), "");
    for (int i = 0; i < OP_COUNT; i++)
        assert_int_equal(op_find(text_of(op_names[i])), i);
    assert_int_equal(op_find(text_of("dance")), OP_COUNT);
    for (int i = 0; i < RULE_COUNT; i++)
        assert_non_null(check_rule_names[i]);
    assert_true(op_changes_state(OP_screen) && !op_changes_state(OP_score) && op_carries_rows(OP_score) && !op_carries_rows(OP_query));
    assert_true(op_right(OP_score) == RIGHT_SCORE && op_right(OP_hello) == RIGHT_NONE);
}

static void test_needs(void **state)
{
    (void)state;
    assert_true(column_needed_by(COLUMN_payer_id, OP_screen, false) && column_needed_by(COLUMN_payer_id, OP_import, true));
    assert_false(column_needed_by(COLUMN_payer_id, OP_observe, true) || column_needed_by(COLUMN_payer_id, OP_label, true));
    assert_true(column_needed_by(COLUMN_amount, OP_score, true));
    assert_false(column_needed_by(COLUMN_amount, OP_score, false) || column_needed_by(COLUMN_amount, OP_label, true));
    assert_true(column_needed_by(COLUMN_label, OP_label, true) && column_needed_by(COLUMN_transfer_id, OP_label, false));
    assert_false(column_needed_by(COLUMN_label, OP_import, true));
    assert_true(column_taken_by(COLUMN_label, OP_import) && column_taken_by(COLUMN_time, OP_observe));
    assert_false(column_taken_by(COLUMN_label, OP_screen) || column_taken_by(COLUMN_amount, OP_observe) ||
                 column_taken_by(COLUMN_COUNT, OP_screen));
    assert_true(column_needed_by(COLUMN_account_id, OP_observe, false));
    assert_true(column_type_of(COLUMN_amount) == COLUMN_MONEY && column_type_of(COLUMN_time) == COLUMN_TIME &&
                column_type_of(COLUMN_memo) == COLUMN_TEXT);
}

static void test_text(void **state)
{
    (void)state;
    char out[5];
    text_copy(out, sizeof out, text_of("abc"));
    assert_string_equal(out, "abc");
    text_copy(out, sizeof out, text_of("abcdef"));
    assert_string_equal(out, "abcd");
    text_copy(out, sizeof out, text_of("abc\xc3\xa9")); /* the last character does not fit */
    assert_string_equal(out, "abc");
    text_copy(out, sizeof out, (struct text){0});
    assert_string_equal(out, "");
    assert_true(text_equal((struct text){0}, text_of("")) && !text_equal(text_of("a"), text_of("b")));
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_utf8, is_id;
    } cases[] = {
        {"", true, true},
        {"plain text of many bytes ~", true, true},
        {"tab\tand\nnewline in long text", true, false},
        {"delete \x7f", true, false},
        {"twelve bytes\x1f", true, false},
        {"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", true, true},
        {"\xc3", false, false},
        {"\xc0\xaf", false, false},         /* overlong */
        {"\xe0\x9f\xbf", false, false},     /* overlong */
        {"\xf0\x8f\xbf\xbf", false, false}, /* overlong */
        {"\xed\xa0\x80", false, false},     /* surrogate */
        {"\xf4\x90\x80\x80", false, false}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", false, false},
        {"\x80", false, false},
        {"\xe4\xb8", false, false},
        {"1234567\xff", false, false},
        {"\xf4\x8f\xbf\xbf", true, true},
        {"\xed\x9f\xbf", true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(text_is_utf8(text_of(cases[i].text)), cases[i].is_utf8);
        assert_int_equal(text_is_id(text_of(cases[i].text)), cases[i].is_id);
    }
    for (int byte = 0; byte < 256; byte++) { /* in every place of a word of eight */
        for (size_t place = 0; place < 16; place++) {
            char text[16];
            memset(text, 'x', sizeof text);
            text[place] = (char)byte;
            struct text whole = {.data = text, .bytes = sizeof text};
            assert_int_equal(text_is_id(whole), byte >= 0x20 && byte < 0x7f);
            assert_int_equal(text_is_utf8(whole), byte < 0x80);
        }
    }
}

static void columns_all_present(struct batch *batch)
{
    static const uint32_t offsets[1] = {0};
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        batch->columns[i] = (struct column){.form = FORM_STR, .offsets = (const unsigned char *)offsets};
}

/* What the rooms take at the most for that many rows fits the promise; a reason block for every slice, all rows in it. */
static void test_arena_suffices(void **state)
{
    (void)state;
    static const uint32_t row_counts[] = {1, 2, 63, 64, 1023, 1024, 1025, 10000, 1000000};
    static const enum op ops[] = {OP_screen, OP_observe, OP_label, OP_import};
    struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    for (size_t i = 0; i < 4 * sizeof row_counts / sizeof *row_counts; i++) {
        struct batch batch;
        struct fault_note note = {0};
        uint32_t row_count = row_counts[i / 4];
        if (row_count > 100000 && ops[i % 4] != OP_screen)
            continue;
        size_t bytes = batch_work_bytes(&limits, row_count);
        assert_true(bytes <= batch_arena_bytes(&limits, row_count, 0));
        assert_int_equal(batch_init(&batch, bytes, &note), FAULT_NONE);
        batch.op = ops[i % 4];
        batch.row_count = row_count;
        columns_all_present(&batch);
        assert_int_equal(batch_take_checks(&batch, limits.notes_max, &note), FAULT_NONE);
        assert_int_equal(batch_take_facts(&batch, &note), FAULT_NONE);
        assert_int_equal(batch_take_results(&batch, &note), FAULT_NONE);
        assert_int_equal(batch.results.slice_count, (row_count + SLICE_ROWS - 1) / SLICE_ROWS);
        for (uint32_t slice = 0; slice < batch.results.slice_count; slice++) {
            uint32_t rows = row_count - slice * SLICE_ROWS < SLICE_ROWS ? row_count - slice * SLICE_ROWS : SLICE_ROWS;
            arena_take(&batch.arena, rows * sizeof(uint32_t), 64);
            arena_take(&batch.arena, rows, 64);
            arena_take(&batch.arena, rows * REASONS_MAX * sizeof(struct reason), 64);
        }
        arena_take(&batch.arena, (size_t)row_count * SCRATCH_ROW_BYTES, 64);
        assert_false(arena_overflowed(&batch.arena));
        batch_fini(&batch);
    }
}

static void test_arrays(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note = {0};
    struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    assert_int_equal(batch_init(&batch, batch_arena_bytes(&limits, 5, 1000), &note), FAULT_NONE);
    batch.row_count = 5;
    columns_all_present(&batch);
    batch.columns[COLUMN_payee_device].form = FORM_ABSENT;
    assert_int_equal(batch_take_checks(&batch, 1, &note), FAULT_NONE);
    uint8_t *invalid = batch.facts.invalid;
    assert_int_equal(batch_take_facts(&batch, &note), FAULT_NONE);
    int64_t *times = batch.facts.time_us;
    assert_int_equal(batch_take_facts(&batch, &note), FAULT_NONE);
    assert_int_equal(batch_take_checks(&batch, 9, &note), FAULT_NONE);
    assert_true(batch.facts.invalid == invalid && batch.facts.time_us == times && batch.note_max == 1);
    assert_true(batch.facts.payer_device && !batch.facts.payee_device && batch.facts.payer[4] == 0);
    assert_int_equal((uintptr_t)batch.facts.payer % 64, 0);
    batch_row_fails(&batch, 3, COLUMN_memo, RULE_LENGTH, "%d bytes", 7);
    batch_row_fails(&batch, 4, COLUMN_memo, RULE_LENGTH, "never kept");
    assert_true(batch.note_count == 1 && batch.rule_counts[COLUMN_memo][RULE_LENGTH] == 2);
    assert_true(invalid[3] && invalid[4] && !invalid[0]);
    assert_string_equal(batch.notes[0].text, "7 bytes");
    batch_fini(&batch);
    batch_fini(&batch);
}

static void test_too_small_and_no_memory(void **state)
{
    (void)state;
    struct batch batch;
    struct fault_note note = {0};
    assert_int_equal(batch_init(&batch, 4096, &note), FAULT_NONE);
    batch.row_count = 1000;
    assert_int_equal(batch_take_facts(&batch, &note), FAULT_limit);
    assert_non_null(strstr(note.text, "1000 rows"));
    batch_fini(&batch);
    memory_fail_at(0);
    assert_int_equal(batch_init(&batch, 4096, &note), FAULT_memory);
    memory_fail_at(UINT64_MAX);
    batch_fini(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_arena_suffices),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_too_small_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
