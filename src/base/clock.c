#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

static atomic_int_fast64_t wall_shift_us;

int64_t clock_wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000 + atomic_load(&wall_shift_us);
}

int64_t clock_steady_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

void clock_wall_shift_us(int64_t shift)
{
    atomic_store(&wall_shift_us, shift);
}
