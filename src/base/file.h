#ifndef SLUICE_BASE_FILE_H
#define SLUICE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* Files that must survive a crash. All durable writing goes through file_ops, so that a test can put a
 * shim under it which forgets whatever was not synced when the process is killed (tests/fault). */
struct file_ops {
    int (*open)(const char *path, int flags, int mode);
    int (*close)(int fd);
    int64_t (*write_at)(int fd, const void *data, size_t bytes, int64_t offset); /* whole, or -1 */
    int64_t (*read_at)(int fd, void *out, size_t bytes, int64_t offset);         /* bytes read; -1: error */
    int (*truncate)(int fd, int64_t bytes);
    int (*sync)(int fd); /* fdatasync */
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*sync_folder)(const char *path); /* what was created, renamed or unlinked in it is kept from then on */
    int64_t (*size)(int fd);
};

extern const struct file_ops file_ops_system;
extern const struct file_ops *file_ops; /* the system's, unless a test says otherwise before start */

/* The whole file in memory of ours (memory_give), with an end mark behind it. */
enum fault file_read_all(char **out, size_t *out_bytes, const char *path, size_t bytes_max, struct fault_note *note);
/* The file at path below folder, the same way: no absolute path, no "..", no link anywhere below the folder, a regular file.
 * FAULT_not_found: nothing is there; FAULT_denied: it would lead out, or is no file. */
enum fault file_read_below(char **out, size_t *out_bytes, const char *folder, const char *path, size_t bytes_max, struct fault_note *note);
/* Written beside, synced, renamed over, folder synced: old or new after a crash, never half. */
enum fault file_replace(const char *path, const void *data, size_t bytes, struct fault_note *note);

bool file_exists(const char *path);

/* The bytes of a file as they were when it was opened: whatever is done to the file afterwards changes none of them. */
struct file_map {
    const unsigned char *data;
    size_t bytes;
};
enum fault file_map_open(struct file_map *out, const char *path, struct fault_note *note);
void file_map_close(struct file_map *map); /* safe on zeroed memory */

#endif
