/* A wait never overflows and is never below 1 ms, whatever the policy says. */
#include "connect/retry.h"

int64_t retry_wait_ms(const struct retry_policy *policy, uint32_t failures, uint64_t random)
{
    int64_t most = policy->most_ms > 1 ? policy->most_ms : 1;
    int64_t wait = policy->first_ms > 1 ? policy->first_ms : 1;
    for (uint32_t i = 1; i < failures && wait < most; i++)
        wait = wait > most / 2 ? most : 2 * wait;
    if (wait > most)
        wait = most;
    int64_t half = wait / 2;
    return wait - half + (int64_t)(random % ((uint64_t)half + 1));
}

bool breaker_admit(struct breaker *breaker, int64_t now_ns)
{
    if (breaker->state == BREAKER_CLOSED)
        return true;
    if (breaker->state == BREAKER_TRYING || now_ns < breaker->until_ns)
        return false;
    breaker->state = BREAKER_TRYING;
    return true;
}

void breaker_tell(struct breaker *breaker, bool answered, int64_t now_ns)
{
    if (answered) {
        breaker->state = BREAKER_CLOSED;
        breaker->failures = 0;
        return;
    }
    if (breaker->failures < UINT32_MAX)
        breaker->failures++;
    if (breaker->failures_max != 0 && (breaker->state == BREAKER_TRYING || breaker->failures >= breaker->failures_max)) {
        breaker->state = BREAKER_OPEN;
        breaker->until_ns = now_ns + breaker->open_ms * 1000000;
    }
}

int64_t breaker_wait_ms(const struct breaker *breaker, int64_t now_ns)
{
    if (breaker->state == BREAKER_CLOSED)
        return 0;
    if (breaker->state == BREAKER_TRYING)
        return breaker->open_ms > 0 ? breaker->open_ms : 1;
    return now_ns < breaker->until_ns ? (breaker->until_ns - now_ns + 999999) / 1000000 : 0;
}
