#ifndef SLUICE_BENCH_FILLED_H
#define SLUICE_BENCH_FILLED_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/must.h"

/* A block of floats in [low, high), drawn in the same order in every run; give it with memory_give. */
static inline float *filled(size_t floats, float low, float high)
{
    static uint64_t state = 1;
    float *block = memory_take_aligned(floats * sizeof *block, 64);
    MUST(block);
    for (size_t i = 0; i < floats; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        block[i] = low + (high - low) * (float)(state >> 40) * 0x1p-24f;
    }
    return block;
}

#endif
