#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

enum { ARENA_MAGIC = 0xa9e4a001, ARENA_ALIGN = 4096 };

bool arena_init(struct arena *arena, size_t size)
{
    *arena = (struct arena){.magic = (unsigned)ARENA_MAGIC, .size = size};
    arena->base = memory_take_block(size, ARENA_ALIGN);
    return arena->base != NULL;
}

void *arena_take(struct arena *arena, size_t bytes, size_t align)
{
    MUST(arena->magic == (unsigned)ARENA_MAGIC && align && (align & (align - 1)) == 0 && align <= ARENA_ALIGN);
    size_t start = (arena->used + align - 1) & ~(align - 1);
    if (arena->overflowed || start > arena->size || bytes > arena->size - start) {
        arena->overflowed = true;
        return NULL;
    }
    arena->used = start + bytes;
    return arena->base + start;
}

void *arena_take_zeroed(struct arena *arena, size_t bytes, size_t align)
{
    void *block = arena_take(arena, bytes, align);
    return block ? memset(block, 0, bytes) : NULL;
}

void arena_reset(struct arena *arena)
{
    MUST(arena->magic == (unsigned)ARENA_MAGIC);
    arena->used = 0;
    arena->overflowed = false;
}

void arena_fini(struct arena *arena)
{
    memory_give(arena->base);
    *arena = (struct arena){0};
}
