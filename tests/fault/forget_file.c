/* file_ops over overlays: a write is in the file only after its sync, a name in its folder only after the folder's. */
#include "fault.h"

#include <fcntl.h>
#include <stddef.h>

#include "names.h"
#include "overlay.h"

enum { FDS_MAX = 4096 };
static struct overlay *overlays[FDS_MAX]; /* by descriptor */

static int forget_open(const char *path, int flags, int mode)
{
    if (flags & O_CREAT)
        names_created(path);
    int fd = file_ops_system.open(path, flags & ~O_TRUNC, mode);
    if (fd < 0 || fd >= FDS_MAX)
        return -1;
    overlays[fd] = overlay_open(path);
    if (overlays[fd] && (flags & O_TRUNC))
        overlay_truncate(overlays[fd], 0);
    if (overlays[fd])
        return fd;
    file_ops_system.close(fd);
    return -1;
}

static int forget_close(int fd)
{
    overlays[fd] = NULL;
    return file_ops_system.close(fd);
}

static int64_t forget_write_at(int fd, const void *data, size_t bytes, int64_t offset)
{
    return overlay_write(overlays[fd], data, bytes, (uint64_t)offset) == 0 ? (int64_t)bytes : -1;
}

static int64_t forget_read_at(int fd, void *out, size_t bytes, int64_t offset)
{
    return overlay_read(overlays[fd], out, bytes, (uint64_t)offset);
}

static int forget_truncate(int fd, int64_t bytes)
{
    return overlay_truncate(overlays[fd], (uint64_t)bytes);
}

static int forget_sync(int fd)
{
    return overlay_sync(overlays[fd]);
}

static int64_t forget_size(int fd)
{
    return (int64_t)overlay_size(overlays[fd]);
}

const struct file_ops file_ops_forget = {
    .open = forget_open,
    .close = forget_close,
    .write_at = forget_write_at,
    .read_at = forget_read_at,
    .truncate = forget_truncate,
    .sync = forget_sync,
    .rename = names_rename,
    .unlink = names_unlink,
    .sync_folder = names_sync,
    .size = forget_size,
};
