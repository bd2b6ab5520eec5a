#ifndef SLUICE_COMPUTE_OPENCL_INTERNAL_H
#define SLUICE_COMPUTE_OPENCL_INTERNAL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "compute/opencl.h"

enum { OPENCL_MAGIC = 0x0be4c101, OPENCL_BASE_MAGIC = 0x0be4c102, OPENCL_QUEUE_MAGIC = 0x0be4c103 };
enum { OPENCL_FAILURES_MAX = 8 }; /* in a row; then the device counts as lost */

struct opencl {
    unsigned magic;
    int index;
    uint32_t users; /* under the lock of the shared ones */
    struct opencl_info info;
    struct opencl_tunables tunables;
    cl_device_id device;
    cl_context context;
    cl_program program;
    atomic_uint failures; /* in a row */
    atomic_bool told, lost;
};

struct opencl_base {
    unsigned magic;
    struct opencl *opencl;
    uint32_t columns, lines, part_count; /* of all sets */
    cl_mem parts, values, start, line;
    uint32_t *empty; /* lines of segments without clusters */
    uint32_t empty_count;
};

struct opencl_queue {
    unsigned magic;
    const struct opencl_base *base;
    uint32_t rows_max; /* whole tiles */
    cl_command_queue commands;
    cl_kernel kernel;
    cl_mem z, out;
};

/* Every call that can fail at run time goes through this: a test may make it fail. */
cl_int opencl_try(cl_int result);
const char *opencl_error_name(cl_int error);
enum fault opencl_fault(struct fault_note *note, const char *call, cl_int error);
/* The device of that place in opencl_list. */
bool opencl_device_at(cl_device_id *out, struct opencl_info *info, int index);
/* Some tiny sets through the device: FAULT_device unless they come out with the twin's bits. */
enum fault opencl_prove(struct opencl *opencl, struct fault_note *note);

#endif
