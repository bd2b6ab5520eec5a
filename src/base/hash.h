#ifndef SLUICE_BASE_HASH_H
#define SLUICE_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* XXH3, seeded. Only hash.c includes xxhash.h. */
struct digest {
    uint64_t low, high;
};

uint64_t hash64(uint64_t seed, const void *data, size_t bytes);
struct digest hash128(uint64_t seed, const void *data, size_t bytes);
uint64_t hash64_pair(uint64_t seed, uint64_t a, uint64_t b); /* order matters */
void digest_to_hex(char out[33], struct digest digest);
bool digest_from_hex(struct digest *out, const char *hex, size_t bytes);

static inline bool digest_equal(struct digest a, struct digest b)
{
    return a.low == b.low && a.high == b.high;
}

#endif
