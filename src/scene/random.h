#ifndef SLUICE_SCENE_RANDOM_H
#define SLUICE_SCENE_RANDOM_H

#include <stdint.h>

/* SplitMix64 (Steele, Lea, Flood 2014): whole-number arithmetic, so a seed gives the same draws on any machine. */
struct random {
    uint64_t state;
};

static inline uint64_t random_u64(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline double random_unit(struct random *random) /* [0, 1) */
{
    return (double)(random_u64(random) >> 11) * 0x1p-53;
}

static inline uint32_t random_below(struct random *random, uint32_t count) /* count > 0 */
{
    return (uint32_t)((random_u64(random) >> 32) * count >> 32);
}

#endif
