#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_us(void);             /* microseconds since the epoch, UTC */
int64_t clock_steady_ns(void);           /* never goes back; only for intervals and deadlines */
void clock_wall_shift_us(int64_t shift); /* for tests: moves what clock_wall_us tells */

#define US_PER_SECOND 1000000LL
#define US_PER_DAY    (86400 * US_PER_SECOND)

#endif
