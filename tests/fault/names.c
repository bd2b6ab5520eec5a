/* Changes in order, each with a link to what the name stood for before; undone backwards. */
#include "names.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct change {
    struct change *before;
    char path[PATH_MAX];
    char kept[PATH_MAX + 32]; /* empty: the name was free */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct change *last;
static unsigned kept_count;

static void change_note(const char *path)
{
    struct change *change = calloc(1, sizeof *change);
    if (!change || strlen(path) >= sizeof change->path)
        abort();
    strcpy(change->path, path);
    snprintf(change->kept, sizeof change->kept, "%s.kept-%d-%u", path, (int)getpid(), kept_count++);
    if (link(path, change->kept) != 0) {
        if (errno != ENOENT)
            abort();
        change->kept[0] = '\0';
    }
    change->before = last;
    last = change;
}

void names_created(const char *path)
{
    pthread_mutex_lock(&lock);
    if (access(path, F_OK) != 0)
        change_note(path);
    pthread_mutex_unlock(&lock);
}

int names_rename(const char *from, const char *to)
{
    pthread_mutex_lock(&lock);
    change_note(from);
    change_note(to);
    int result = rename(from, to);
    pthread_mutex_unlock(&lock);
    return result;
}

int names_unlink(const char *path)
{
    pthread_mutex_lock(&lock);
    if (access(path, F_OK) == 0)
        change_note(path);
    int result = unlink(path);
    pthread_mutex_unlock(&lock);
    return result;
}

static bool lies_in(const char *path, const char *folder)
{
    size_t bytes = strlen(folder);
    while (bytes > 1 && folder[bytes - 1] == '/')
        bytes--;
    return strncmp(path, folder, bytes) == 0 && path[bytes] == '/' && !strchr(path + bytes + 1, '/');
}

int names_sync(const char *folder)
{
    pthread_mutex_lock(&lock);
    for (struct change **at = &last; *at;) {
        struct change *change = *at;
        if (!lies_in(change->path, folder)) {
            at = &change->before;
            continue;
        }
        if (change->kept[0])
            unlink(change->kept);
        *at = change->before;
        free(change);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

void names_forget(void)
{
    pthread_mutex_lock(&lock); /* never given back: no name changes any more */
    for (; last; last = last->before)
        if (last->kept[0])
            rename(last->kept, last->path);
        else
            unlink(last->path);
}
