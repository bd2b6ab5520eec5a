/* Stands in for src/compute/opencl/ where the build found no OpenCL loader: there is no device. */
#include <stdio.h>

#include "compute/opencl.h"

static enum fault absent(struct fault_note *note)
{
    return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "no OpenCL device: this build has no OpenCL");
}

uint32_t opencl_list(struct opencl_info out[OPENCL_DEVICES_MAX], char why[80])
{
    (void)out;
    snprintf(why, 80, "this build has no OpenCL");
    return 0;
}

enum fault opencl_open(struct opencl **out, int index, const struct opencl_tunables *tunables, struct fault_note *note)
{
    (void)out, (void)index, (void)tunables;
    return absent(note);
}

void opencl_close(struct opencl **opencl_p)
{
    *opencl_p = NULL;
}

const struct opencl_info *opencl_info_of(const struct opencl *opencl)
{
    (void)opencl;
    return NULL;
}

uint32_t opencl_cores(const struct opencl *opencl)
{
    (void)opencl;
    return 1;
}

enum fault opencl_base_put(struct opencl_base **out, struct opencl *opencl, const struct opencl_set *sets, uint32_t set_count,
                           struct fault_note *note)
{
    (void)out, (void)opencl, (void)sets, (void)set_count;
    return absent(note);
}

void opencl_base_drop(struct opencl_base **base_p)
{
    *base_p = NULL;
}

enum fault opencl_queue_take(struct opencl_queue **out, const struct opencl_base *base, uint32_t rows_max, struct fault_note *note)
{
    (void)out, (void)base, (void)rows_max;
    return absent(note);
}

void opencl_queue_give(struct opencl_queue **queue_p)
{
    *queue_p = NULL;
}

bool opencl_minima(struct opencl_queue *queue, float *out, uint32_t stride, const float *z, uint32_t rows)
{
    (void)queue, (void)out, (void)stride, (void)z, (void)rows;
    return false;
}

void opencl_threads_limit(uint32_t threads)
{
    (void)threads;
}

void opencl_fail_at(uint64_t nth, uint64_t count)
{
    (void)nth, (void)count;
}
