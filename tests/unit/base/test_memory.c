/* Memory: the n-th allocation can be made to fail, what is live is counted, the arena gives out what it has and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/arena.h"
#include "base/memory.h"

static void test_live_count(void **state)
{
    (void)state;
    uint64_t live = memory_live_count();
    void *blocks[] = {
        memory_take(0),          memory_take(10), memory_take_zeroed(3, 7), memory_take_zeroed(0, 0), memory_take_aligned(1, 64),
        memory_copy_text("four")};
    for (size_t i = 0; i < 6; i++)
        assert_non_null(blocks[i]);
    assert_int_equal(memory_live_count(), live + 6);
    assert_string_equal(blocks[5], "four");
    blocks[1] = memory_resize(blocks[1], 100000);
    assert_non_null(blocks[1]);
    assert_int_equal(memory_live_count(), live + 6);
    for (size_t i = 0; i < 6; i++)
        memory_give(blocks[i]);
    memory_give(NULL);
    void *from_nothing = memory_resize(NULL, 5);
    assert_int_equal(memory_live_count(), live + 1);
    memory_give(from_nothing);
    assert_int_equal(memory_live_count(), live);
}

static void test_aligned_and_cleared(void **state)
{
    (void)state;
    static const unsigned char zeros[4097];
    for (size_t align = 16; align <= 4096; align *= 2) {
        unsigned char *block = memory_take_aligned(align + 1, align);
        assert_int_equal((uintptr_t)block % align, 0);
        assert_memory_equal(block, zeros, align + 1);
        memory_give(block);
    }
    unsigned char *block = memory_take_zeroed(100, 40);
    assert_memory_equal(block, zeros, 4000);
    memory_give(block);
}

static void test_sizes_that_overflow(void **state)
{
    (void)state;
    volatile size_t huge = SIZE_MAX; /* not seen through by the compiler */
    uint64_t live = memory_live_count();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which stop at such a calloc */
    assert_null(memory_take_zeroed(huge / 2, 3));
#endif
    assert_null(memory_take_aligned(huge - 5, 64));
    assert_int_equal(memory_live_count(), live);
}

static void test_the_nth_fails(void **state)
{
    (void)state;
    memory_fail_at(2);
    void *first = memory_take(1), *second = memory_copy_text("x"), *third = memory_take_aligned(1, 16);
    assert_true(first && second && !third);
    assert_null(memory_resize(first, 2)); /* and all after it; the block stays */
    assert_int_equal(memory_failed_count(), 2);
    memory_fail_at(UINT64_MAX);
    assert_int_equal(memory_failed_count(), 0);
    void *again = memory_take(1);
    assert_non_null(again);
    memory_give(first);
    memory_give(second);
    memory_give(again);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena arena;
    assert_true(arena_init(&arena, 1000));
    char *first = arena_take(&arena, 10, 1), *second = arena_take(&arena, 1, 64), *empty = arena_take(&arena, 0, 1);
    assert_true(first && second == first + 64 && empty);
    memset(arena.base, 0xff, 1000);
    unsigned char *zeroed = arena_take_zeroed(&arena, 100, 8);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(zeroed[i], 0);
    size_t left = arena.size - arena.used;
    assert_non_null(arena_take(&arena, left, 1));
    assert_false(arena_overflowed(&arena));
    assert_non_null(arena_take(&arena, 0, 1));
    assert_null(arena_take(&arena, 1, 1));
    assert_true(arena_overflowed(&arena));
    assert_null(arena_take(&arena, 0, 1)); /* sticky */
    assert_null(arena_take_zeroed(&arena, 5, 1));
    arena_reset(&arena);
    assert_false(arena_overflowed(&arena));
    assert_true(arena_take(&arena, 1000, 1) == arena.base);
    arena_fini(&arena);
    arena_fini(&arena);
}

static void test_arena_refuses_what_would_wrap(void **state)
{
    (void)state;
    struct arena arena;
    assert_true(arena_init(&arena, 100));
    assert_non_null(arena_take(&arena, 50, 1));
    assert_null(arena_take(&arena, SIZE_MAX - 10, 1));
    arena_reset(&arena);
    assert_non_null(arena_take(&arena, 97, 1));
    assert_null(arena_take(&arena, 1, 4096)); /* the aligned place is beyond the end */
    arena_fini(&arena);
    memory_fail_at(0);
    assert_false(arena_init(&arena, 100));
    memory_fail_at(UINT64_MAX);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_count),
        cmocka_unit_test(test_aligned_and_cleared),
        cmocka_unit_test(test_sizes_that_overflow),
        cmocka_unit_test(test_the_nth_fails),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_refuses_what_would_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
