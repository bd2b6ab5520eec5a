#ifndef SLUICE_CONNECT_RETRY_H
#define SLUICE_CONNECT_RETRY_H

#include <stdbool.h>
#include <stdint.h>

/* The one policy of trying again. Pure: the time and the chance are handed in. */

struct retry_policy {
    int64_t first_ms, most_ms; /* the wait behind the first failure; doubled behind each, up to most */
};
/* Behind so many failures (at least 1): between half of the doubled wait and the whole of it, as the random bits say. */
int64_t retry_wait_ms(const struct retry_policy *policy, uint32_t failures, uint64_t random);

/* Circuit breaker: after failures_max failures in a row nobody is let through for open_ms; then one is, to try, and what
 * becomes of that one decides. The caller holds a lock. */
enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_TRYING };
struct breaker {
    enum breaker_state state;
    uint32_t failures, failures_max; /* failures_max 0: never opens */
    int64_t open_ms, until_ns;
};
bool breaker_admit(struct breaker *breaker, int64_t now_ns); /* true: breaker_tell must follow */
void breaker_tell(struct breaker *breaker, bool answered, int64_t now_ns);
int64_t breaker_wait_ms(const struct breaker *breaker, int64_t now_ns); /* until it is worth asking again; 0: now */

#endif
