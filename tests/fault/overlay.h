#ifndef SLUICE_TESTS_FAULT_OVERLAY_H
#define SLUICE_TESTS_FAULT_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file as the process sees it, and as the disk will have it when the process is killed: what was written or cut since
 * the last sync lies in memory only. One for each file, shared by all that open it; never given back. Any thread. */
struct overlay;

struct overlay *overlay_open(const char *path);                                              /* the file must be there; NULL: errno */
struct overlay *overlay_find(const char *path);                                              /* NULL: not open here */
int overlay_write(struct overlay *overlay, const void *data, size_t bytes, uint64_t offset); /* 0, or -1 */
int64_t overlay_read(struct overlay *overlay, void *out, size_t bytes, uint64_t offset);     /* bytes read; -1 */
int overlay_truncate(struct overlay *overlay, uint64_t bytes);
int overlay_sync(struct overlay *overlay); /* what is in memory goes to the file */
uint64_t overlay_size(struct overlay *overlay);

#endif
