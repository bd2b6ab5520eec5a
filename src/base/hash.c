#include "base/hash.h"

#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(uint64_t seed, const void *data, size_t bytes)
{
    return XXH3_64bits_withSeed(data, bytes, seed);
}

struct digest hash128(uint64_t seed, const void *data, size_t bytes)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, bytes, seed);
    return (struct digest){.low = hash.low64, .high = hash.high64};
}

uint64_t hash64_pair(uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t both[2] = {a, b};
    return XXH3_64bits_withSeed(both, sizeof both, seed);
}

void digest_to_hex(char out[33], struct digest digest)
{
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)digest.high, (unsigned long long)digest.low);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool digest_from_hex(struct digest *out, const char *hex, size_t bytes)
{
    if (bytes != 32)
        return false;
    *out = (struct digest){0};
    for (size_t i = 0; i < 32; i++) {
        int value = hex_value(hex[i]);
        if (value < 0)
            return false;
        uint64_t *half = i < 16 ? &out->high : &out->low;
        *half = *half << 4 | (uint64_t)value;
    }
    return true;
}
