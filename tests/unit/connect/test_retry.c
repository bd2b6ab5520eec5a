#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "connect/retry.h"

static void waits_double_up_to_the_most(void **state)
{
    (void)state;
    const struct retry_policy policy = {.first_ms = 100, .most_ms = 5000};
    static const int64_t whole[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(retry_wait_ms(&policy, i + 1, 0), whole[i] - whole[i] / 2);
        assert_int_equal(retry_wait_ms(&policy, i + 1, (uint64_t)whole[i] / 2), whole[i]);
        for (uint64_t random = 0; random < 1000; random++) {
            int64_t wait = retry_wait_ms(&policy, i + 1, random * 0x9E3779B97F4A7C15u);
            assert_in_range(wait, whole[i] / 2, whole[i]);
        }
    }
}

static void a_wait_is_never_none_and_never_overflows(void **state)
{
    (void)state;
    assert_int_equal(retry_wait_ms(&(struct retry_policy){0, 0}, 1, UINT64_MAX), 1);
    assert_int_equal(retry_wait_ms(&(struct retry_policy){-5, -5}, 7, 3), 1);
    const struct retry_policy longest = {.first_ms = INT64_MAX / 3, .most_ms = INT64_MAX};
    for (uint32_t failures = 1; failures < 100; failures++)
        assert_true(retry_wait_ms(&longest, failures, 12345) > 0);
    assert_true(retry_wait_ms(&(struct retry_policy){1, 1000}, UINT32_MAX, 0) >= 500);
}

static void a_breaker_opens_tries_and_closes(void **state)
{
    (void)state;
    struct breaker breaker = {.failures_max = 3, .open_ms = 100};
    int64_t now = 1000;
    for (int i = 0; i < 3; i++) {
        assert_true(breaker_admit(&breaker, now));
        breaker_tell(&breaker, false, now);
    }
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_false(breaker_admit(&breaker, now));
    assert_int_equal(breaker_wait_ms(&breaker, now), 100);
    assert_false(breaker_admit(&breaker, now + 99999999));
    now += 100000000;
    assert_int_equal(breaker_wait_ms(&breaker, now), 0);
    assert_true(breaker_admit(&breaker, now));
    assert_false(breaker_admit(&breaker, now)); /* one tries */
    breaker_tell(&breaker, false, now);         /* and fails: open again at once */
    assert_int_equal(breaker.state, BREAKER_OPEN);
    now += 100000000;
    assert_true(breaker_admit(&breaker, now));
    breaker_tell(&breaker, true, now);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    breaker_tell(&breaker, false, now);
    breaker_tell(&breaker, false, now);
    breaker_tell(&breaker, true, now); /* only failures in a row count */
    breaker_tell(&breaker, false, now);
    breaker_tell(&breaker, false, now);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void a_breaker_without_a_bound_stays_closed(void **state)
{
    (void)state;
    struct breaker breaker = {.open_ms = 100};
    for (int i = 0; i < 1000; i++) {
        assert_true(breaker_admit(&breaker, i));
        breaker_tell(&breaker, false, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_most),
        cmocka_unit_test(a_wait_is_never_none_and_never_overflows),
        cmocka_unit_test(a_breaker_opens_tries_and_closes),
        cmocka_unit_test(a_breaker_without_a_bound_stays_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
