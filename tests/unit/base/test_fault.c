/* Faults by name, notes that never overflow, clocks that never go back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "base/fault.h"

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < FAULT_COUNT; i++) {
        assert_int_equal(fault_from_name(fault_name((enum fault)i)), i);
        assert_true(fault_meaning((enum fault)i)[0] != '\0');
    }
    assert_int_equal(fault_from_name("none"), FAULT_NONE);
    assert_int_equal(fault_from_name("nonsense"), FAULT_COUNT);
    assert_string_equal(fault_name(FAULT_COUNT), "unknown");
    assert_string_equal(fault_name((enum fault) - 1), "unknown");
    assert_true(fault_is_transient(FAULT_busy) && !fault_is_transient(FAULT_schema) && !fault_is_transient(FAULT_COUNT));
}

static void test_notes(void **state)
{
    (void)state;
    char text[500];
    struct fault_note note = {0};
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(fault_set(&note, FAULT_schema, 7, 3, "%s", text), FAULT_schema);
    assert_true(note.fault == FAULT_schema && note.row == 7 && note.column == 3);
    assert_int_equal(strlen(note.text), sizeof note.text - 1);
    assert_int_equal(fault_set(NULL, FAULT_limit, ROW_NONE, COLUMN_NONE, "%d", 5), FAULT_limit);
}

static void test_clocks(void **state)
{
    (void)state;
    int64_t before = clock_steady_ns(), wall = clock_wall_us();
    assert_true(clock_steady_ns() >= before);
    clock_wall_shift_us(3 * US_PER_DAY);
    assert_true(clock_wall_us() >= wall + 3 * US_PER_DAY && clock_wall_us() < wall + 4 * US_PER_DAY);
    clock_wall_shift_us(0);
    assert_true(clock_wall_us() < wall + US_PER_DAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
