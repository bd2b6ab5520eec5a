/* A file of zeros that is freed when the disk is full: what SQLite then still has to write (its log into the database)
 * finds room. When twice its size is free it is made again, and the ledger goes on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/log.h"
#include "ledger/sqlite.h"

enum { CHUNK_BYTES = 1 << 16 };

static int reserve_open(const struct ledger *ledger)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/reserve", ledger->folder);
    return file_ops->open(path, O_RDWR | O_CREAT, 0600);
}

static enum fault reserve_fault(struct fault_note *note)
{
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "disk full: no room for the ledger's reserve");
}

static bool reserve_write(int fd, uint64_t bytes)
{
    static const char zeros[CHUNK_BYTES];
    int64_t size = file_ops->size(fd);
    uint64_t at = size > 0 ? (uint64_t)size : 0;
    for (; at < bytes; at += CHUNK_BYTES) {
        size_t part = bytes - at < CHUNK_BYTES ? (size_t)(bytes - at) : CHUNK_BYTES;
        if (file_ops->write_at(fd, zeros, part, (int64_t)at) != (int64_t)part)
            return false;
    }
    return size >= 0 && ((uint64_t)size == at || file_ops->sync(fd) == 0);
}

enum fault reserve_fill(const struct ledger *ledger, struct fault_note *note)
{
    struct statvfs disk;
    if (ledger->is_full && statvfs(ledger->folder, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < 2 * ledger->reserve_bytes)
        return reserve_fault(note);
    int fd = reserve_open(ledger);
    bool filled = fd >= 0 && reserve_write(fd, ledger->reserve_bytes);
    if (fd >= 0 && !filled && file_ops->truncate(fd, 0) != 0)
        log_line(LOG_WARN, "ledger", "the reserve cannot be freed: %s", strerror(errno));
    if (fd >= 0)
        file_ops->close(fd);
    return filled ? FAULT_NONE : reserve_fault(note);
}

void reserve_free(const struct ledger *ledger)
{
    int fd = reserve_open(ledger);
    if (fd < 0 || file_ops->truncate(fd, 0) != 0)
        log_line(LOG_WARN, "ledger", "the reserve cannot be freed: %s", strerror(errno));
    if (fd >= 0)
        file_ops->close(fd);
}
