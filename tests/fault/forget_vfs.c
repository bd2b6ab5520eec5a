/* A SQLite VFS over overlays: databases, journals and write-ahead logs are on disk only after their sync. Locks and shared
 * memory are the default VFS's: its handle on the same file stays beside the overlay. */
#include "forget_vfs.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "overlay.h"

struct forget_file {
    sqlite3_file base;
    struct overlay *overlay;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *below;

static struct forget_file *of(sqlite3_file *file)
{
    return (struct forget_file *)(void *)file;
}

static int forget_close(sqlite3_file *file)
{
    return of(file)->real->pMethods->xClose(of(file)->real);
}

static int forget_read(sqlite3_file *file, void *out, int bytes, sqlite3_int64 offset)
{
    int64_t got = overlay_read(of(file)->overlay, out, (size_t)bytes, (uint64_t)offset);
    if (got < 0)
        return SQLITE_IOERR_READ;
    memset((char *)out + got, 0, (size_t)(bytes - got));
    return got == bytes ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int forget_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 offset)
{
    return overlay_write(of(file)->overlay, data, (size_t)bytes, (uint64_t)offset) == 0 ? SQLITE_OK : SQLITE_IOERR_WRITE;
}

static int forget_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    return overlay_truncate(of(file)->overlay, (uint64_t)bytes) == 0 ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

static int forget_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    return overlay_sync(of(file)->overlay) == 0 ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int forget_size(sqlite3_file *file, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)overlay_size(of(file)->overlay);
    return SQLITE_OK;
}

static int forget_lock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int forget_unlock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int forget_reserved(sqlite3_file *file, int *out)
{
    return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, out);
}

static int forget_control(sqlite3_file *file, int op, void *argument)
{
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE) /* would change the file itself */
        return SQLITE_NOTFOUND;
    return of(file)->real->pMethods->xFileControl(of(file)->real, op, argument);
}

static int forget_sector(sqlite3_file *file)
{
    return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int forget_device(sqlite3_file *file)
{
    return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

static int forget_shm_map(sqlite3_file *file, int page, int bytes, int extend, void volatile **out)
{
    return of(file)->real->pMethods->xShmMap(of(file)->real, page, bytes, extend, out);
}

static int forget_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return of(file)->real->pMethods->xShmLock(of(file)->real, offset, count, flags);
}

static void forget_shm_barrier(sqlite3_file *file)
{
    of(file)->real->pMethods->xShmBarrier(of(file)->real);
}

static int forget_shm_unmap(sqlite3_file *file, int delete_it)
{
    return of(file)->real->pMethods->xShmUnmap(of(file)->real, delete_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = forget_close,
    .xRead = forget_read,
    .xWrite = forget_write,
    .xTruncate = forget_truncate,
    .xSync = forget_sync,
    .xFileSize = forget_size,
    .xLock = forget_lock,
    .xUnlock = forget_unlock,
    .xCheckReservedLock = forget_reserved,
    .xFileControl = forget_control,
    .xSectorSize = forget_sector,
    .xDeviceCharacteristics = forget_device,
    .xShmMap = forget_shm_map,
    .xShmLock = forget_shm_lock,
    .xShmBarrier = forget_shm_barrier,
    .xShmUnmap = forget_shm_unmap,
};

static int forget_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    struct forget_file *forget = of(file);
    (void)vfs;
    if (!name || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)))
        return below->xOpen(below, name, file, flags, out_flags);
    *forget = (struct forget_file){.real = (sqlite3_file *)(void *)(forget + 1)};
    int code = below->xOpen(below, name, forget->real, flags, out_flags);
    if (code != SQLITE_OK)
        return code;
    forget->overlay = overlay_open(name);
    if (!forget->overlay) {
        forget->real->pMethods->xClose(forget->real);
        return SQLITE_CANTOPEN;
    }
    forget->base.pMethods = &methods;
    return SQLITE_OK;
}

/* A file that has bytes in memory only is there. */
static int forget_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    (void)vfs;
    struct overlay *overlay = flags == SQLITE_ACCESS_EXISTS ? overlay_find(name) : NULL;
    if (overlay)
        return *out = overlay_size(overlay) > 0, SQLITE_OK;
    return below->xAccess(below, name, flags, out);
}

void forget_vfs_register(void)
{
    static sqlite3_vfs vfs;
    if (below)
        return;
    below = sqlite3_vfs_find(NULL);
    vfs = *below;
    vfs.zName = "forget";
    vfs.szOsFile = (int)sizeof(struct forget_file) + below->szOsFile;
    vfs.xOpen = forget_open;
    vfs.xAccess = forget_access;
    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
        abort();
}
