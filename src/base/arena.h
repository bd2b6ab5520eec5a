#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One block, taken once, given out front to back, forgotten at once. Not thread-safe: one owner.
 * Overflow is sticky and asked once per step: arena_take then returns NULL. */
struct arena {
    unsigned magic;
    char *base;
    size_t size, used;
    bool overflowed;
};

bool arena_init(struct arena *arena, size_t size);                 /* false: memory ran out */
void *arena_take(struct arena *arena, size_t bytes, size_t align); /* align: power of two <= 4096; not cleared */
void *arena_take_zeroed(struct arena *arena, size_t bytes, size_t align);
void arena_reset(struct arena *arena);
void arena_fini(struct arena *arena); /* safe on zeroed memory */

static inline bool arena_overflowed(const struct arena *arena)
{
    return arena->overflowed;
}

#endif
