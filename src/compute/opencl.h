#ifndef SLUICE_COMPUTE_OPENCL_H
#define SLUICE_COMPUTE_OPENCL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "kernels.h"

/* OpenCL devices behind the loader: what there is, one opened, the panels of a base resident on it, one thread's queue.
 * src/compute/opencl/ is the only place that knows CL/cl.h; opencl_absent.c stands in where the build found no loader. */

enum { OPENCL_DEVICES_MAX = 16, OPENCL_SETS_MAX = 8 };

struct opencl_info {
    char platform[64], version[96], name[96], driver[64];
    const char *type; /* "cpu", "gpu", "other" */
    uint32_t compute_units;
    uint64_t memory_bytes;
    bool has_fma, has_denormals;
    char refused[80]; /* why it cannot give the twin's bits; "": it is used */
};

/* Devices in the loader's order: their count, at most OPENCL_DEVICES_MAX. None: why says why. */
uint32_t opencl_list(struct opencl_info out[OPENCL_DEVICES_MAX], char why[80]);

struct opencl;       /* a device: context and program; shared by all who open the same one */
struct opencl_base;  /* the panels of one base, packed on the device; any number of threads at once */
struct opencl_queue; /* one thread's commands and buffers */

enum { OPENCL_FIRST = -1 };
/* index of opencl_list, or the first that is not refused. Compiles, and refuses a device whose bits are not the twin's.
 * tunables NULL: those of the table, and the opened device is shared with others who open it so. Given: whatever the driver
 * says of fma is tried. */
enum fault opencl_open(struct opencl **out, int index, const struct opencl_tunables *tunables, struct fault_note *note);
void opencl_close(struct opencl **opencl_p);
const struct opencl_info *opencl_info_of(const struct opencl *opencl);
uint32_t opencl_cores(const struct opencl *opencl); /* of this processor that it takes; 1 of another */

struct opencl_set {                              /* a panel's clusters or an ensemble's points, borrowed */
    uint32_t column_count, count, segment_count; /* count 0: left out */
    const uint32_t *segment_first;
    const float *values, *start; /* values: a, b of a panel, weight of points */
    bool is_product;
};
static inline struct opencl_set opencl_set_of_panel(const struct panel *panel)
{
    return (struct opencl_set){
        panel->column_count, panel->cluster_count, panel->segment_count, panel->segment_first, panel->ab, panel->start, false};
}

static inline struct opencl_set opencl_set_of_points(const struct points *points)
{
    return (struct opencl_set){
        points->column_count, points->point_count, points->segment_count, points->segment_first, points->weight, points->start, true};
}

enum fault opencl_base_put(struct opencl_base **out, struct opencl *opencl, const struct opencl_set *sets, uint32_t set_count,
                           struct fault_note *note);
void opencl_base_drop(struct opencl_base **base_p);

enum fault opencl_queue_take(struct opencl_queue **out, const struct opencl_base *base, uint32_t rows_max, struct fault_note *note);
void opencl_queue_give(struct opencl_queue **queue_p);
/* Segment minima of all sets, of points those of acc: z holds set after set, each the row tiles of rows rows; out one line of
 * stride floats for each segment, set after set. Waits. false: the device failed (said once in the log), and nothing in out counts. */
bool opencl_minima(struct opencl_queue *queue, float *out, uint32_t stride, const float *z, uint32_t rows);

void opencl_threads_limit(uint32_t threads); /* of a device that computes on this processor; before any other call */

/* For tests: of the calls to the device from now on, the nth (0 = the next) and the count - 1 after it fail. */
void opencl_fail_at(uint64_t nth, uint64_t count);

#endif
