/* SQLite's heap through base/memory.h: its allocations are counted, and fail, with all others. Each block begins with its size. */
#include "fault.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { HEAD = 16 };

static void *heap_take(int bytes)
{
    char *block = bytes > 0 ? memory_take((size_t)bytes + HEAD) : NULL;
    if (!block)
        return NULL;
    memcpy(block, &bytes, sizeof bytes);
    return block + HEAD;
}

static void heap_give(void *block)
{
    memory_give(block ? (char *)block - HEAD : NULL);
}

static int heap_size(void *block)
{
    int bytes = 0;
    if (block)
        memcpy(&bytes, (char *)block - HEAD, sizeof bytes);
    return bytes;
}

static void *heap_resize(void *block, int bytes)
{
    char *resized = memory_resize((char *)block - HEAD, (size_t)bytes + HEAD);
    if (!resized)
        return NULL;
    memcpy(resized, &bytes, sizeof bytes);
    return resized + HEAD;
}

static int heap_round(int bytes)
{
    return (bytes + 7) & ~7;
}

static int heap_open(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void heap_close(void *context)
{
    (void)context;
}

void fault_sqlite_memory_install(void)
{
    static const sqlite3_mem_methods heap = {heap_take, heap_give, heap_resize, heap_size, heap_round, heap_open, heap_close, NULL};
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &heap) != SQLITE_OK)
        abort();
}
