/* file_ops over a disk of a given number of bytes. */
#include "fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_int_least64_t bytes_left = INT64_MAX;

void fault_disk_bytes_set(int64_t bytes)
{
    atomic_store(&bytes_left, bytes);
}

/* false: the disk has not so many left. */
static int disk_take(int64_t bytes)
{
    if (atomic_fetch_sub(&bytes_left, bytes) >= bytes)
        return 1;
    atomic_fetch_add(&bytes_left, bytes);
    errno = ENOSPC;
    return 0;
}

static int64_t full_write_at(int fd, const void *data, size_t bytes, int64_t offset)
{
    int64_t size = file_ops_system.size(fd), end = offset + (int64_t)bytes;
    if (size < 0 || (end > size && !disk_take(end - size)))
        return -1;
    return file_ops_system.write_at(fd, data, bytes, offset);
}

static int full_truncate(int fd, int64_t bytes)
{
    int64_t size = file_ops_system.size(fd);
    int result = file_ops_system.truncate(fd, bytes);
    if (result == 0 && size > bytes)
        atomic_fetch_add(&bytes_left, size - bytes);
    return result;
}

static int full_open(const char *path, int flags, int mode)
{
    return file_ops_system.open(path, flags, mode);
}

static int full_close(int fd)
{
    return file_ops_system.close(fd);
}

static int64_t full_read_at(int fd, void *out, size_t bytes, int64_t offset)
{
    return file_ops_system.read_at(fd, out, bytes, offset);
}

static int full_sync(int fd)
{
    return file_ops_system.sync(fd);
}

static int full_rename(const char *from, const char *to)
{
    return file_ops_system.rename(from, to);
}

static int full_unlink(const char *path)
{
    return file_ops_system.unlink(path);
}

static int full_sync_folder(const char *path)
{
    return file_ops_system.sync_folder(path);
}

static int64_t full_size(int fd)
{
    return file_ops_system.size(fd);
}

const struct file_ops file_ops_full = {
    .open = full_open,
    .close = full_close,
    .write_at = full_write_at,
    .read_at = full_read_at,
    .truncate = full_truncate,
    .sync = full_sync,
    .rename = full_rename,
    .unlink = full_unlink,
    .sync_folder = full_sync_folder,
    .size = full_size,
};
