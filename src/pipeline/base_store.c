/* Scene bases as files: bases/<digest>.safetensors is whole, synced and recorded; <digest>.part is on its way, and as long as what
 * has come. Only what the ledger knows stays: a file whose put was never recorded goes at the next start. */
#include "pipeline/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/file.h"
#include "base/memory.h"

enum { DIGEST_DIGITS = 32 };

static void folder_path(char out[BASE_PATH_BYTES], const struct pipeline *pipeline)
{
    snprintf(out, BASE_PATH_BYTES, "%s/bases", pipeline->ledger_folder);
}

static void store_path(char out[BASE_PATH_BYTES], const struct pipeline *pipeline, struct digest digest, const char *suffix)
{
    char hex[DIGEST_DIGITS + 1];
    digest_to_hex(hex, digest);
    snprintf(out, BASE_PATH_BYTES, "%s/bases/%s.%s", pipeline->ledger_folder, hex, suffix);
}

static enum fault store_fault(struct fault_note *note, const char *verb, const char *path)
{
    int error = errno;
    const char *why = error == ENOSPC || error == EDQUOT ? "disk full" : strerror(error);
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "cannot %s %.120s: %s", verb, path, why);
}

/* --- what is on its way ---------------------------------------------------------------------------------------------- */

uint64_t base_part_bytes(const struct pipeline *pipeline, struct digest digest)
{
    char path[BASE_PATH_BYTES];
    store_path(path, pipeline, digest, "part");
    int fd = file_ops->open(path, O_RDWR, 0);
    int64_t bytes = fd < 0 ? 0 : file_ops->size(fd);
    if (fd >= 0)
        file_ops->close(fd);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* The one that has waited longest gives way to a new one. */
static void parts_make_room(const struct pipeline *pipeline)
{
    char folder[BASE_PATH_BYTES], oldest[NAME_MAX + 1] = "";
    struct stat status;
    time_t oldest_time = 0;
    unsigned count = 0;
    folder_path(folder, pipeline);
    DIR *listing = opendir(folder);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        size_t length = strlen(entry->d_name);
        if (length != DIGEST_DIGITS + 5 || strcmp(entry->d_name + DIGEST_DIGITS, ".part") != 0 ||
            fstatat(dirfd(listing), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (count++ == 0 || status.st_mtime < oldest_time) {
            memcpy(oldest, entry->d_name, length + 1);
            oldest_time = status.st_mtime;
        }
    }
    if (listing && count >= BASE_PARTS_MAX)
        unlinkat(dirfd(listing), oldest, 0);
    if (listing)
        closedir(listing);
}

enum fault base_part_append(const struct pipeline *pipeline, struct digest digest, uint64_t offset, const void *data, size_t bytes,
                            struct fault_note *note)
{
    char path[BASE_PATH_BYTES];
    store_path(path, pipeline, digest, "part");
    if (offset == 0)
        parts_make_room(pipeline);
    int fd = file_ops->open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return store_fault(note, "create", path);
    FAILPOINT(base_part_before);
    enum fault fault =
        file_ops->write_at(fd, data, bytes, (int64_t)offset) == (int64_t)bytes ? FAULT_NONE : store_fault(note, "write", path);
    if (fault != FAULT_NONE)
        file_ops->truncate(fd, (int64_t)offset); /* what did not fit is sent again */
    FAILPOINT(base_part_after);
    file_ops->close(fd);
    return fault;
}

enum fault base_part_read(char **out, size_t *out_bytes, const struct pipeline *pipeline, struct digest digest, size_t bytes_max,
                          struct fault_note *note)
{
    char path[BASE_PATH_BYTES];
    store_path(path, pipeline, digest, "part");
    int fd = file_ops->open(path, O_RDWR, 0);
    int64_t bytes = fd < 0 ? -1 : file_ops->size(fd);
    enum fault fault = FAULT_NONE;
    *out = NULL;
    if (bytes < 0 || (uint64_t)bytes > bytes_max)
        fault = store_fault(note, "read", path);
    else if (!(*out = memory_take((size_t)bytes + 1)))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read a scene base of %lld bytes", (long long)bytes);
    else if (file_ops->read_at(fd, *out, (size_t)bytes, 0) != bytes)
        fault = store_fault(note, "read", path);
    if (fd >= 0)
        file_ops->close(fd);
    if (fault != FAULT_NONE) {
        memory_give(*out);
        *out = NULL;
    }
    *out_bytes = *out ? (size_t)bytes : 0;
    return fault;
}

static void store_drop(const struct pipeline *pipeline, struct digest digest, const char *suffix)
{
    char path[BASE_PATH_BYTES];
    store_path(path, pipeline, digest, suffix);
    unlink(path);
}

void base_part_drop(const struct pipeline *pipeline, struct digest digest)
{
    store_drop(pipeline, digest, "part");
}

/* --- what is whole --------------------------------------------------------------------------------------------------- */

enum fault base_file_keep(const struct pipeline *pipeline, struct digest digest, const void *bytes, size_t byte_count,
                          struct fault_note *note)
{
    char path[BASE_PATH_BYTES];
    store_path(path, pipeline, digest, "safetensors");
    FAILPOINT(base_file_before);
    enum fault fault = file_replace(path, bytes, byte_count, note);
    FAILPOINT(base_file_after);
    return fault;
}

void base_file_unkeep(const struct pipeline *pipeline, struct digest digest)
{
    char from[BASE_PATH_BYTES], to[BASE_PATH_BYTES];
    store_path(from, pipeline, digest, "safetensors");
    store_path(to, pipeline, digest, "part");
    if (rename(from, to) != 0)
        unlink(from);
}

enum fault base_bytes_read(char **out, size_t *out_bytes, struct pipeline *pipeline, struct digest digest, struct fault_note *note)
{
    char path[BASE_PATH_BYTES], hex[DIGEST_DIGITS + 1];
    struct fault_note why = {0};
    void *document = NULL;
    store_path(path, pipeline, digest, "safetensors");
    digest_to_hex(hex, digest);
    *out = NULL;
    enum fault fault = file_exists(path) ? file_read_all(out, out_bytes, path, SCENE_BASE_BYTES_MAX, &why)
                                         : pipeline->ledger_ops->document_get(pipeline->ledger, "base", digest, &document, out_bytes, &why);
    if (fault == FAULT_NONE && document)
        *out = document;
    if (fault == FAULT_NONE && !digest_equal(hash128(0, *out, *out_bytes), digest)) {
        memory_give(*out);
        *out = NULL;
        fault = fault_set(&why, FAULT_model, ROW_NONE, COLUMN_NONE, "its bytes are not of that digest");
    }
    return fault == FAULT_NONE ? fault : fault_set(note, fault, ROW_NONE, COLUMN_NONE, "scene base %s: %.180s", hex, why.text);
}

/* --- at start -------------------------------------------------------------------------------------------------------- */

/* Kept: parts, and files whose put is recorded. */
static bool is_wanted(struct pipeline *pipeline, const char *name, enum fault *fault, struct fault_note *note)
{
    struct digest digest;
    struct ledger_base_change put;
    if (name[0] == '.' || (strlen(name) > DIGEST_DIGITS && strcmp(name + DIGEST_DIGITS, ".part") == 0))
        return true;
    return strlen(name) > DIGEST_DIGITS && strcmp(name + DIGEST_DIGITS, ".safetensors") == 0 &&
           digest_from_hex(&digest, name, DIGEST_DIGITS) && base_put_find(pipeline, &put, digest, fault, note);
}

enum fault base_store_open(struct pipeline *pipeline, struct fault_note *note)
{
    char folder[BASE_PATH_BYTES];
    enum fault fault = FAULT_NONE;
    folder_path(folder, pipeline);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return store_fault(note, "create", folder);
    DIR *listing = opendir(folder);
    if (!listing)
        return store_fault(note, "read", folder);
    for (struct dirent *entry; fault == FAULT_NONE && (entry = readdir(listing));)
        if (!is_wanted(pipeline, entry->d_name, &fault, note) && fault == FAULT_NONE)
            unlinkat(dirfd(listing), entry->d_name, 0);
    closedir(listing);
    return fault;
}
