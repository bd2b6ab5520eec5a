#ifndef SLUICE_PIPELINE_ARENA_POOL_H
#define SLUICE_PIPELINE_ARENA_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* Idle arenas, a few and at most bytes_max of them together. Any thread. */

enum { ARENA_POOL_PLACES = 32 };

struct arena_pool {
    pthread_mutex_t lock;
    struct arena idle[ARENA_POOL_PLACES]; /* the longest idle first */
    uint32_t count;
    uint64_t bytes, bytes_max;
};

void arena_pool_init(struct arena_pool *pool, uint64_t bytes_max);
void arena_pool_fini(struct arena_pool *pool);
size_t arena_pool_size(size_t bytes); /* that an arena for so many bytes has */
/* size: of arena_pool_size. What was in it may still be there. false: memory ran out. */
bool arena_pool_take(struct arena_pool *pool, struct arena *out, size_t size);
void arena_pool_give(struct arena_pool *pool, struct arena *arena); /* taken over; safe on zeroed memory */
uint64_t arena_pool_bytes(struct arena_pool *pool);                 /* idle ones, together */

#endif
