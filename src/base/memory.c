#define _DEFAULT_SOURCE /* madvise */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE_BYTES = 2 << 20, LARGE_BYTES = 4 << 20 };

static atomic_uint_fast64_t live_count, failed_count, taken_count, fail_from = UINT64_MAX;

static int must_refuse(void)
{
    uint64_t nth = atomic_fetch_add_explicit(&taken_count, 1, memory_order_relaxed);
    if (nth < atomic_load_explicit(&fail_from, memory_order_relaxed))
        return 0;
    atomic_fetch_add_explicit(&failed_count, 1, memory_order_relaxed);
    return 1;
}

static void *count_live(void *block)
{
    if (block)
        atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    return block;
}

void *memory_take(size_t bytes)
{
    return must_refuse() ? NULL : count_live(malloc(bytes ? bytes : 1));
}

void *memory_take_zeroed(size_t count, size_t bytes)
{
    return must_refuse() ? NULL : count_live(calloc(count ? count : 1, bytes ? bytes : 1));
}

static size_t round_up(size_t bytes, size_t align)
{
    return bytes ? (bytes + align - 1) / align * align : align;
}

/* A large block begins at a huge page and asks for them: one fault then brings 2 MiB instead of 4 KiB. */
void *memory_take_block(size_t bytes, size_t align)
{
    bool large = bytes >= LARGE_BYTES;
    if (large && align < HUGE_PAGE_BYTES)
        align = HUGE_PAGE_BYTES;
    if (must_refuse() || bytes > SIZE_MAX - align)
        return NULL;
    void *block = count_live(aligned_alloc(align, round_up(bytes, align)));
    if (block && large)
        (void)madvise(block, round_up(bytes, align), MADV_HUGEPAGE); /* a wish: without it pages are small */
    return block;
}

void *memory_take_aligned(size_t bytes, size_t align)
{
    void *block = memory_take_block(bytes, align);
    return block ? memset(block, 0, round_up(bytes, align)) : NULL;
}

void *memory_resize(void *block, size_t bytes)
{
    if (must_refuse())
        return NULL;
    void *resized = realloc(block, bytes ? bytes : 1);
    return block ? resized : count_live(resized);
}

void memory_give(void *block)
{
    if (!block)
        return;
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    free(block);
}

char *memory_copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = memory_take(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void memory_fail_at(uint64_t nth)
{
    uint64_t taken = atomic_load(&taken_count);
    atomic_store(&failed_count, 0);
    atomic_store(&fail_from, nth > UINT64_MAX - taken ? UINT64_MAX : taken + nth);
}

uint64_t memory_live_count(void)
{
    return atomic_load(&live_count);
}

uint64_t memory_failed_count(void)
{
    return atomic_load(&failed_count);
}
