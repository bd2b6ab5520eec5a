/* Arenas of batches that ended, kept for those that come: their pages are there already. Sizes are rounded up by an eighth
 * at the most, so that batches of about the same size find each other's. What is longest idle gives way. */
#include "pipeline/arena_pool.h"

#include <string.h>

enum { SIZE_LEAST = 1 << 16, STEPS_PER_DOUBLING = 8 };

size_t arena_pool_size(size_t bytes)
{
    size_t step = SIZE_LEAST / STEPS_PER_DOUBLING;
    while (step <= SIZE_MAX / 2 / STEPS_PER_DOUBLING && bytes > 2 * STEPS_PER_DOUBLING * step)
        step *= 2;
    return bytes < SIZE_LEAST ? SIZE_LEAST : (bytes + step - 1) / step * step;
}

void arena_pool_init(struct arena_pool *pool, uint64_t bytes_max)
{
    *pool = (struct arena_pool){.bytes_max = bytes_max};
    pthread_mutex_init(&pool->lock, NULL);
}

static struct arena pool_remove(struct arena_pool *pool, uint32_t place)
{
    struct arena arena = pool->idle[place];
    pool->count--;
    memmove(pool->idle + place, pool->idle + place + 1, (pool->count - place) * sizeof arena);
    pool->bytes -= arena.size;
    return arena;
}

bool arena_pool_take(struct arena_pool *pool, struct arena *out, size_t size)
{
    bool found = false;
    pthread_mutex_lock(&pool->lock);
    for (uint32_t i = pool->count; i-- > 0 && !found;)
        if (pool->idle[i].size == size) {
            *out = pool_remove(pool, i);
            found = true;
        }
    pthread_mutex_unlock(&pool->lock);
    return found || arena_init(out, size);
}

void arena_pool_give(struct arena_pool *pool, struct arena *arena)
{
    struct arena leaving[ARENA_POOL_PLACES + 1];
    uint32_t leaving_count = 0;
    if (!arena->base)
        return;
    arena_reset(arena);
    pthread_mutex_lock(&pool->lock);
    if (arena->size > pool->bytes_max / 2)
        leaving[leaving_count++] = *arena;
    else {
        while (pool->count == ARENA_POOL_PLACES || pool->bytes + arena->size > pool->bytes_max)
            leaving[leaving_count++] = pool_remove(pool, 0);
        pool->idle[pool->count++] = *arena;
        pool->bytes += arena->size;
    }
    pthread_mutex_unlock(&pool->lock);
    *arena = (struct arena){0};
    for (uint32_t i = 0; i < leaving_count; i++)
        arena_fini(&leaving[i]);
}

uint64_t arena_pool_bytes(struct arena_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    uint64_t bytes = pool->bytes;
    pthread_mutex_unlock(&pool->lock);
    return bytes;
}

void arena_pool_fini(struct arena_pool *pool)
{
    while (pool->count) {
        struct arena arena = pool_remove(pool, pool->count - 1);
        arena_fini(&arena);
    }
    pthread_mutex_destroy(&pool->lock);
}
