/* Dirty pages of a file, by page number. The file on disk is read only below `kept`: what a cut took away does not come
 * back when the file grows again. Nothing is fsynced: only the death of the process is played, not that of the machine. */
#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, SLOTS_FIRST = 64 };

struct page {
    uint64_t number;
    unsigned char *bytes;
}; /* bytes NULL: free */

struct overlay {
    struct overlay *next;
    dev_t device;
    ino_t inode;
    int fd;
    pthread_mutex_t lock;
    uint64_t size, kept;
    struct page *pages;
    size_t page_count, slot_count;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct overlay *registry;

static struct page *slot_of(struct page *pages, size_t slot_count, uint64_t number)
{
    size_t slot = (size_t)(number * 0x9e3779b97f4a7c15u >> 20) & (slot_count - 1);
    while (pages[slot].bytes && pages[slot].number != number)
        slot = (slot + 1) & (slot_count - 1);
    return &pages[slot];
}

static void pages_grow(struct overlay *overlay)
{
    size_t slot_count = overlay->slot_count ? 2 * overlay->slot_count : SLOTS_FIRST;
    struct page *pages = calloc(slot_count, sizeof *pages);
    if (!pages)
        abort();
    for (size_t i = 0; i < overlay->slot_count; i++)
        if (overlay->pages[i].bytes)
            *slot_of(pages, slot_count, overlay->pages[i].number) = overlay->pages[i];
    free(overlay->pages);
    overlay->pages = pages;
    overlay->slot_count = slot_count;
}

static void pages_drop(struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->slot_count; i++)
        free(overlay->pages[i].bytes);
    free(overlay->pages);
    overlay->pages = NULL;
    overlay->page_count = overlay->slot_count = 0;
}

/* The page as the process sees it, zeros behind the end. */
static int page_load(const struct overlay *overlay, unsigned char *out, uint64_t number)
{
    const struct page *page = overlay->slot_count ? slot_of(overlay->pages, overlay->slot_count, number) : NULL;
    if (page && page->bytes)
        return memcpy(out, page->bytes, PAGE), 0;
    uint64_t start = number * PAGE, end = start + PAGE < overlay->kept ? start + PAGE : overlay->kept;
    memset(out, 0, PAGE);
    for (uint64_t at = start; at < end;) {
        ssize_t got = pread(overlay->fd, out + (at - start), (size_t)(end - at), (off_t)at);
        if (got < 0 && errno != EINTR)
            return -1;
        if (got == 0)
            break;
        at += got > 0 ? (uint64_t)got : 0;
    }
    return 0;
}

static int page_write(struct overlay *overlay, uint64_t number, size_t from, const void *data, size_t bytes)
{
    if (4 * (overlay->page_count + 1) > 3 * overlay->slot_count)
        pages_grow(overlay);
    struct page *page = slot_of(overlay->pages, overlay->slot_count, number);
    if (!page->bytes) {
        unsigned char *fresh = malloc(PAGE);
        if (!fresh || page_load(overlay, fresh, number) != 0)
            return free(fresh), -1;
        *page = (struct page){.number = number, .bytes = fresh};
        overlay->page_count++;
    }
    memcpy(page->bytes + from, data, bytes);
    return 0;
}

int overlay_write(struct overlay *overlay, const void *data, size_t bytes, uint64_t offset)
{
    int result = 0;
    pthread_mutex_lock(&overlay->lock);
    for (size_t done = 0; done < bytes && result == 0;) {
        uint64_t at = offset + done;
        size_t from = (size_t)(at % PAGE), part = bytes - done < PAGE - from ? bytes - done : PAGE - from;
        result = page_write(overlay, at / PAGE, from, (const char *)data + done, part);
        done += part;
    }
    if (result == 0 && offset + bytes > overlay->size)
        overlay->size = offset + bytes;
    pthread_mutex_unlock(&overlay->lock);
    return result;
}

int64_t overlay_read(struct overlay *overlay, void *out, size_t bytes, uint64_t offset)
{
    unsigned char page[PAGE];
    pthread_mutex_lock(&overlay->lock);
    size_t there = offset >= overlay->size ? 0 : overlay->size - offset < bytes ? (size_t)(overlay->size - offset) : bytes;
    int result = 0;
    for (size_t done = 0; done < there && result == 0;) {
        uint64_t at = offset + done;
        size_t from = (size_t)(at % PAGE), part = there - done < PAGE - from ? there - done : PAGE - from;
        result = page_load(overlay, page, at / PAGE);
        memcpy((char *)out + done, page + from, part);
        done += part;
    }
    pthread_mutex_unlock(&overlay->lock);
    return result == 0 ? (int64_t)there : -1;
}

/* Dirty pages stay in their slots when cut, as zeros: a page of zeros behind the end is what a hole reads as. */
static void overlay_cut(struct overlay *overlay, uint64_t bytes)
{
    for (size_t i = 0; i < overlay->slot_count; i++) {
        struct page *page = &overlay->pages[i];
        if (!page->bytes || (page->number + 1) * PAGE <= bytes)
            continue;
        size_t from = page->number * PAGE >= bytes ? 0 : (size_t)(bytes - page->number * PAGE);
        memset(page->bytes + from, 0, PAGE - from);
    }
    overlay->kept = bytes < overlay->kept ? bytes : overlay->kept;
}

int overlay_truncate(struct overlay *overlay, uint64_t bytes)
{
    pthread_mutex_lock(&overlay->lock);
    overlay_cut(overlay, bytes);
    overlay->size = bytes;
    pthread_mutex_unlock(&overlay->lock);
    return 0;
}

static int page_apply(const struct overlay *overlay, const struct page *page)
{
    uint64_t start = page->number * PAGE;
    size_t bytes = start >= overlay->size ? 0 : overlay->size - start < PAGE ? (size_t)(overlay->size - start) : PAGE;
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote = pwrite(overlay->fd, page->bytes + done, bytes - done, (off_t)(start + done));
        if (wrote < 0 && errno != EINTR)
            return -1;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

int overlay_sync(struct overlay *overlay)
{
    pthread_mutex_lock(&overlay->lock);
    int result = ftruncate(overlay->fd, (off_t)overlay->kept);
    for (size_t i = 0; i < overlay->slot_count && result == 0; i++)
        if (overlay->pages[i].bytes)
            result = page_apply(overlay, &overlay->pages[i]);
    if (result == 0)
        result = ftruncate(overlay->fd, (off_t)overlay->size);
    if (result == 0) {
        overlay->kept = overlay->size;
        pages_drop(overlay);
    }
    pthread_mutex_unlock(&overlay->lock);
    return result;
}

uint64_t overlay_size(struct overlay *overlay)
{
    pthread_mutex_lock(&overlay->lock);
    uint64_t size = overlay->size;
    pthread_mutex_unlock(&overlay->lock);
    return size;
}

static struct overlay *registry_find(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return NULL;
    for (struct overlay *overlay = registry; overlay; overlay = overlay->next)
        if (overlay->device == status.st_dev && overlay->inode == status.st_ino)
            return overlay;
    return NULL;
}

struct overlay *overlay_find(const char *path)
{
    pthread_mutex_lock(&registry_lock);
    struct overlay *overlay = registry_find(path);
    pthread_mutex_unlock(&registry_lock);
    return overlay;
}

static struct overlay *overlay_make(const char *path)
{
    struct stat status;
    struct overlay *overlay = calloc(1, sizeof *overlay);
    if (!overlay)
        return NULL;
    overlay->fd = open(path, O_RDWR | O_CLOEXEC); /* never closed: that would drop SQLite's locks, and let the inode come again */
    if (overlay->fd < 0 || fstat(overlay->fd, &status) != 0)
        return free(overlay), NULL;
    overlay->device = status.st_dev, overlay->inode = status.st_ino;
    overlay->size = overlay->kept = (uint64_t)status.st_size;
    pthread_mutex_init(&overlay->lock, NULL);
    overlay->next = registry;
    return registry = overlay;
}

struct overlay *overlay_open(const char *path)
{
    pthread_mutex_lock(&registry_lock);
    struct overlay *overlay = registry_find(path);
    if (!overlay)
        overlay = overlay_make(path);
    pthread_mutex_unlock(&registry_lock);
    return overlay;
}
