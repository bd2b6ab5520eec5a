/* Limits of control groups, version 2 (memory.max) and 1 (memory.limit_in_bytes). The tightest on the way to the root holds;
 * what cannot be read limits nothing. */
#include "pipeline/machine.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t limit_read(const char *path)
{
    char text[64] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return UINT64_MAX;
    char *end = text, *line = fgets(text, sizeof text, file);
    uint64_t bytes = line ? strtoull(text, &end, 10) : 0; /* "max" is no number */
    fclose(file);
    return end > text && bytes > 0 ? bytes : UINT64_MAX;
}

/* Of folder/group, and then of each group above it. */
static uint64_t limit_of(const char *folder, char *group, const char *name)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char path[PATH_MAX];
        uint64_t limit = UINT64_MAX;
        if ((size_t)snprintf(path, sizeof path, "%s%s/%s", folder, group, name) < sizeof path)
            limit = limit_read(path);
        least = limit < least ? limit : least;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

uint64_t machine_group_bytes(const char *groups_path, const char *mount_path)
{
    char line[1024], folder[512];
    uint64_t least = UINT64_MAX;
    FILE *file = fopen(groups_path, "r");
    if (!file)
        return least;
    while (fgets(line, sizeof line, file)) { /* "0::/group" or "9:memory:/group" */
        char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        if (!second)
            continue;
        *second = '\0';
        second[1 + strcspn(second + 1, "\n")] = '\0';
        bool is_v1 = strcmp(first + 1, "memory") == 0;
        if (!is_v1 && first[1] != '\0')
            continue;
        snprintf(folder, sizeof folder, "%s%s", mount_path, is_v1 ? "/memory" : "");
        uint64_t limit = limit_of(folder, second + 1, is_v1 ? "memory.limit_in_bytes" : "memory.max");
        least = limit < least ? limit : least;
    }
    fclose(file);
    return least;
}

uint64_t machine_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : UINT64_MAX;
    uint64_t group = machine_group_bytes("/proc/self/cgroup", "/sys/fs/cgroup");
    return group < machine ? group : machine;
}
