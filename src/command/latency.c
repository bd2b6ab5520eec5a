#include "command/latency.h"

static unsigned bucket_of(uint64_t ns)
{
    unsigned shift = 0;
    while (ns >> shift >> (LATENCY_SUB_BITS + 1))
        shift++;
    return (shift << LATENCY_SUB_BITS) + (unsigned)(ns >> shift);
}

static uint64_t bucket_top_ns(unsigned bucket)
{
    unsigned shift = bucket < (2u << LATENCY_SUB_BITS) ? 0 : (bucket >> LATENCY_SUB_BITS) - 1;
    return (((uint64_t)bucket - ((uint64_t)shift << LATENCY_SUB_BITS) + 1) << shift) - 1;
}

void latency_add(struct latency *latency, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    latency->counts[bucket_of(value)]++;
    latency->count++;
    if (value > latency->most_ns)
        latency->most_ns = value;
}

uint64_t latency_quantile_ns(const struct latency *latency, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)latency->count + 0.999999), seen = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latency->counts[i];
        if (seen >= wanted && seen > 0)
            return bucket_top_ns(i) < latency->most_ns ? bucket_top_ns(i) : latency->most_ns;
    }
    return latency->most_ns;
}
