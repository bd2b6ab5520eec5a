#define _GNU_SOURCE
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static int system_open(const char *path, int flags, int mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

static int64_t system_write_at(int fd, const void *data, size_t bytes, int64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote = pwrite(fd, (const char *)data + done, bytes - done, offset + (int64_t)done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return -1;
        done += (size_t)wrote;
    }
    return (int64_t)bytes;
}

static int64_t system_read_at(int fd, void *out, size_t bytes, int64_t offset)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = pread(fd, (char *)out + done, bytes - done, offset + (int64_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int system_truncate(int fd, int64_t bytes)
{
    return ftruncate(fd, bytes);
}

static int system_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    close(fd);
    return result;
}

static int64_t system_size(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? (int64_t)status.st_size : -1;
}

const struct file_ops file_ops_system = {
    .open = system_open,
    .close = close,
    .write_at = system_write_at,
    .read_at = system_read_at,
    .truncate = system_truncate,
    .sync = fdatasync,
    .rename = rename,
    .unlink = unlink,
    .sync_folder = system_sync_folder,
    .size = system_size,
};
const struct file_ops *file_ops = &file_ops_system;

static enum fault file_fault(struct fault_note *note, enum fault fault, const char *verb, const char *path)
{
    return fault_set(note, fault, ROW_NONE, COLUMN_NONE, "cannot %s %s: %s", verb, path, strerror(errno));
}

/* Closes fd. */
static enum fault descriptor_read_all(char **out, size_t *out_bytes, int fd, const char *path, size_t bytes_max, struct fault_note *note)
{
    int64_t size = system_size(fd);
    enum fault fault = FAULT_NONE;
    char *text = NULL;
    if (size < 0 || (uint64_t)size > bytes_max)
        fault = fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%s is larger than %zu bytes", path, bytes_max);
    else if (!(text = memory_take((size_t)size + 1)))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %s", path);
    else if (system_read_at(fd, text, (size_t)size, 0) != size)
        fault = file_fault(note, FAULT_not_found, "read", path);
    close(fd);
    if (fault != FAULT_NONE) {
        memory_give(text);
        return fault;
    }
    text[size] = '\0';
    *out = text;
    *out_bytes = (size_t)size;
    return FAULT_NONE;
}

enum fault file_read_all(char **out, size_t *out_bytes, const char *path, size_t bytes_max, struct fault_note *note)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? file_fault(note, FAULT_not_found, "open", path) : descriptor_read_all(out, out_bytes, fd, path, bytes_max, note);
}

/* The next part of the path into name; false: there is none, or it leads elsewhere. */
static bool part_take(char name[NAME_MAX + 1], const char **path)
{
    size_t bytes = strcspn(*path, "/");
    if (bytes == 0 || bytes > NAME_MAX || (bytes == 1 && **path == '.') || (bytes == 2 && strncmp(*path, "..", 2) == 0))
        return false;
    memcpy(name, *path, bytes);
    name[bytes] = '\0';
    *path += bytes + ((*path)[bytes] == '/');
    return true;
}

enum fault file_read_below(char **out, size_t *out_bytes, const char *folder, const char *path, size_t bytes_max, struct fault_note *note)
{
    char name[NAME_MAX + 1];
    struct stat status;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return file_fault(note, FAULT_not_found, "open", folder);
    for (const char *rest = path;;) {
        bool is_part = part_take(name, &rest);
        int below = is_part ? openat(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (*rest ? O_DIRECTORY : 0)) : -1;
        int error = is_part ? errno : EACCES;
        close(fd);
        if (below < 0)
            return errno = error, file_fault(note, error == ENOENT ? FAULT_not_found : FAULT_denied, "open", path);
        fd = below;
        if (!*rest)
            break;
    }
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && path[strlen(path) - 1] != '/')
        return descriptor_read_all(out, out_bytes, fd, path, bytes_max, note);
    close(fd);
    return fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "%.100s is no file", path);
}

enum fault file_replace(const char *path, const void *data, size_t bytes, struct fault_note *note)
{
    char beside[PATH_MAX], folder[PATH_MAX];
    if ((size_t)snprintf(beside, sizeof beside, "%s.new", path) >= sizeof beside)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "path too long: %.100s", path);
    snprintf(folder, sizeof folder, "%s", path);
    int fd = file_ops->open(beside, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return file_fault(note, FAULT_ledger, "create", beside);
    int failed = file_ops->write_at(fd, data, bytes, 0) != (int64_t)bytes || file_ops->sync(fd) != 0;
    enum fault fault = failed ? file_fault(note, FAULT_ledger, "write", beside) : FAULT_NONE;
    file_ops->close(fd);
    if (!failed && (file_ops->rename(beside, path) != 0 || file_ops->sync_folder(dirname(folder)) != 0))
        fault = file_fault(note, FAULT_ledger, "rename", beside);
    if (fault != FAULT_NONE)
        file_ops->unlink(beside);
    return fault;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Into pages of our own: a file that is mapped itself may be written over or cut off while it is read. */
static enum fault map_fill(struct file_map *out, int fd, const struct stat *before, const char *path, struct fault_note *note)
{
    struct stat after;
    size_t bytes = (size_t)before->st_size;
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return file_fault(note, FAULT_memory, "hold", path);
    int64_t got = system_read_at(fd, data, bytes, 0);
    bool same = got == (int64_t)bytes && fstat(fd, &after) == 0 && after.st_size == before->st_size &&
                after.st_mtim.tv_sec == before->st_mtim.tv_sec && after.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
    enum fault fault = got < 0 ? file_fault(note, FAULT_not_found, "read", path)
                       : !same ? fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "%s was changed while it was read", path)
                               : FAULT_NONE;
    if (fault == FAULT_NONE)
        *out = (struct file_map){.data = data, .bytes = bytes};
    else
        munmap(data, bytes);
    return fault;
}

enum fault file_map_open(struct file_map *out, const char *path, struct fault_note *note)
{
    struct stat status;
    *out = (struct file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return file_fault(note, FAULT_not_found, "open", path);
    enum fault fault = fstat(fd, &status) != 0 ? file_fault(note, FAULT_not_found, "read", path)
                       : status.st_size == 0   ? fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "%s is empty", path)
                                               : map_fill(out, fd, &status, path, note);
    close(fd);
    return fault;
}

void file_map_close(struct file_map *map)
{
    if (map->data)
        munmap((void *)map->data, map->bytes);
    *map = (struct file_map){0};
}
