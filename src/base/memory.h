#ifndef SLUICE_BASE_MEMORY_H
#define SLUICE_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Every allocation of ours goes through here, so that tests can make the n-th one fail and count
 * what is live. All return NULL when memory ran out; none is ever called per row. Any thread. */
void *memory_take(size_t bytes);                       /* not cleared; 16-byte aligned */
void *memory_take_zeroed(size_t count, size_t bytes);  /* overflow-checked */
void *memory_take_aligned(size_t bytes, size_t align); /* align: power of two >= 16; cleared */
void *memory_take_block(size_t bytes, size_t align);   /* the same, not cleared */
void *memory_resize(void *block, size_t bytes);        /* only for blocks of memory_take[_zeroed] */
void memory_give(void *block);                         /* NULL is fine; any of the above */
char *memory_copy_text(const char *text);              /* a copy with its end mark */

/* For tests: the nth allocation from now on (0 = the next) and all after it fail; UINT64_MAX: none. */
void memory_fail_at(uint64_t nth);
uint64_t memory_live_count(void);
uint64_t memory_failed_count(void);

#endif
