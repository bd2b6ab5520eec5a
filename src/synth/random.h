#ifndef SLUICE_SYNTH_RANDOM_H
#define SLUICE_SYNTH_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* xoshiro256** (Blackman, Vigna: "Scrambled linear pseudorandom number generators", 2021), seeded by splitmix64. */

struct random {
    uint64_t state[4];
};

static inline uint64_t mix64(uint64_t x) /* splitmix64's finaliser */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t mix(uint64_t seed, uint64_t a, uint64_t b) /* a fixed number for everything that has a name */
{
    return mix64(mix64(seed ^ a * 0xd6e8feb86659fd93u) ^ b * 0xa0761d6478bd642fu);
}

static inline void random_seed(struct random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->state[i] = mix64(seed + (uint64_t)i * 0x9e3779b97f4a7c15u);
}

static inline uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline uint64_t random_next(struct random *random)
{
    uint64_t *s = random->state, result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0], s[3] ^= s[1], s[1] ^= s[2], s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static inline uint32_t below(uint64_t bits, uint32_t count) /* of the upper half of 64 random bits */
{
    return (uint32_t)((bits >> 32) * count >> 32);
}

static inline uint32_t random_below(struct random *random, uint32_t count)
{
    return below(random_next(random), count);
}

static inline uint32_t random_between(struct random *random, uint32_t low, uint32_t high) /* both inclusive */
{
    return low + random_below(random, high - low + 1);
}

static inline bool random_percent(struct random *random, uint32_t percent)
{
    return random_below(random, 100) < percent;
}

static inline double unit(uint64_t bits) /* [0, 1), 53 bits */
{
    return (double)(bits >> 11) * (1.0 / 9007199254740992.0);
}

static inline double bell(uint64_t bits) /* mean 0, variance 1: four sixteenths of the bits added */
{
    uint32_t sum = (uint32_t)(bits & 0xffff) + (uint32_t)(bits >> 16 & 0xffff) + (uint32_t)(bits >> 32 & 0xffff) + (uint32_t)(bits >> 48);
    return ((double)sum - 131070.0) * (1.0 / 37837.2);
}

/* Within 1e-9 relative; no libm. */
double exp2_plain(double x); /* |x| < 1000 */
double log2_plain(double x); /* x > 0, finite */

#endif
