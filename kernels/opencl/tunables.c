#include "kernels.h"

#include <string.h>

static const struct {
    const char *text;
    struct opencl_tunables tunables;
} lines[] = {
#define TUNABLES(text, vector, vectors, clusters, group, part_clusters) {text, {vector, vectors, clusters, group, part_clusters}},
#include "opencl/tunables.tbl"
#undef TUNABLES
};
enum { LINE_COUNT = sizeof lines / sizeof *lines };

const struct opencl_tunables *opencl_tunables_of(const char *device)
{
    for (size_t i = 0; i + 1 < LINE_COUNT; i++)
        if (strstr(device, lines[i].text))
            return &lines[i].tunables;
    return &lines[LINE_COUNT - 1].tunables;
}
