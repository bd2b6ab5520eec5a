/* The queue: first in, first out, bounded; closing wakes who waits and loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"

static char items[8];

static void test_order_and_bounds(void **state)
{
    (void)state;
    struct queue queue;
    assert_true(queue_init(&queue, 3));
    assert_null(queue_try_pop(&queue));
    for (size_t round = 0; round < 5; round++) { /* around the ring */
        assert_true(queue_try_push(&queue, &items[0]) && queue_try_push(&queue, &items[1]) && queue_try_push(&queue, &items[2]));
        assert_false(queue_try_push(&queue, &items[3]));
        assert_int_equal(queue_count(&queue), 3);
        assert_true(queue_pop(&queue) == &items[0] && queue_try_pop(&queue) == &items[1]);
        assert_true(queue_pop_until(&queue, 0) == &items[2]);
    }
    queue_fini(&queue);
    queue_fini(&queue);
}

static void test_closed(void **state)
{
    (void)state;
    struct queue queue;
    assert_true(queue_init(&queue, 2));
    assert_true(queue_push(&queue, &items[0]));
    assert_false(queue_is_closed(&queue));
    queue_close(&queue);
    assert_false(queue_push(&queue, &items[1]) || queue_try_push(&queue, &items[1]) || queue_is_closed(&queue));
    assert_true(queue_pop(&queue) == &items[0]);
    assert_true(queue_is_closed(&queue));
    assert_null(queue_pop(&queue));
    assert_null(queue_pop_until(&queue, INT64_MAX));
    queue_fini(&queue);
}

static void test_time_is_up(void **state)
{
    (void)state;
    struct queue queue;
    assert_true(queue_init(&queue, 1));
    int64_t start = clock_steady_ns();
    assert_null(queue_pop_until(&queue, start + 5000000));
    assert_true(clock_steady_ns() >= start + 5000000);
    queue_fini(&queue);
    memory_fail_at(0);
    assert_false(queue_init(&queue, 1));
    memory_fail_at(UINT64_MAX);
    queue_fini(&queue);
}

enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 5000 };

struct traffic {
    struct queue queue;
    atomic_uint_fast64_t sum, count;
};

static void produce(void *argument)
{
    struct traffic *traffic = argument;
    for (uintptr_t i = 1; i <= EACH; i++)
        assert_true(queue_push(&traffic->queue, (void *)i));
}

static void consume(void *argument)
{
    struct traffic *traffic = argument;
    for (void *item; (item = queue_pop(&traffic->queue)) != NULL;) {
        atomic_fetch_add(&traffic->sum, (uintptr_t)item);
        atomic_fetch_add(&traffic->count, 1);
    }
}

static void test_many_at_both_ends(void **state)
{
    (void)state;
    struct traffic traffic = {0};
    struct thread threads[PRODUCERS + CONSUMERS] = {0};
    assert_true(queue_init(&traffic.queue, 4));
    for (size_t i = 0; i < CONSUMERS; i++)
        assert_true(thread_start(&threads[PRODUCERS + i], "consume", CPU_ANY, consume, &traffic));
    for (size_t i = 0; i < PRODUCERS; i++)
        assert_true(thread_start(&threads[i], "a name that is far too long", 0, produce, &traffic));
    for (size_t i = 0; i < PRODUCERS; i++)
        thread_join(&threads[i]);
    queue_close(&traffic.queue);
    for (size_t i = 0; i < CONSUMERS; i++)
        thread_join(&threads[PRODUCERS + i]);
    thread_join(&threads[0]); /* twice is fine */
    assert_int_equal(traffic.count, PRODUCERS * EACH);
    assert_int_equal(traffic.sum, PRODUCERS * (uint64_t)EACH * (EACH + 1) / 2);
    queue_fini(&traffic.queue);
    memory_fail_at(0);
    assert_false(thread_start(&threads[0], "none", CPU_ANY, produce, NULL));
    memory_fail_at(UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_bounds),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_time_is_up),
        cmocka_unit_test(test_many_at_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
