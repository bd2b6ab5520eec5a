#ifndef SLUICE_COMMAND_LATENCY_H
#define SLUICE_COMMAND_LATENCY_H

#include <stdint.h>

/* Latencies in buckets of a 64th of their power of two: any quantile within 1.6 %, from 1 ns to hours. */
enum { LATENCY_SUB_BITS = 6, LATENCY_BUCKETS = (64 - LATENCY_SUB_BITS) << LATENCY_SUB_BITS };
struct latency {
    uint64_t counts[LATENCY_BUCKETS], count, most_ns;
};

void latency_add(struct latency *latency, int64_t ns);
uint64_t latency_quantile_ns(const struct latency *latency, double quantile); /* upper bound of the bucket, at most the largest seen */

#endif
