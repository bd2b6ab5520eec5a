/* One slice is three commands: its tiles there, one launch over all sets, its minima back. The queue is in order, one
 * thread's; several threads' queues overlap on a device that can. A command that fails loses its slice alone: the caller
 * scores it itself. After so many failures in a row the device counts as lost and is not asked again. */
#include <math.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "compute/opencl/internal.h"

static enum fault queue_make(struct opencl_queue *queue, struct fault_note *note)
{
    const struct opencl_base *base = queue->base;
    const struct opencl *opencl = base->opencl;
    const size_t rows = queue->rows_max ? queue->rows_max : TILE_ROWS;
    cl_int error = CL_SUCCESS;
    queue->commands = clCreateCommandQueue(opencl->context, opencl->device, 0, &error);
    if ((error = opencl_try(error)) != CL_SUCCESS)
        return opencl_fault(note, "clCreateCommandQueue", error);
    queue->kernel = clCreateKernel(opencl->program, "panel_min", &error);
    if ((error = opencl_try(error)) != CL_SUCCESS)
        return opencl_fault(note, "clCreateKernel", error);
    queue->z = clCreateBuffer(opencl->context, CL_MEM_READ_ONLY, sizeof(float) * rows * (base->columns + 1), NULL, &error);
    if ((error = opencl_try(error)) == CL_SUCCESS)
        queue->out = clCreateBuffer(opencl->context, CL_MEM_WRITE_ONLY, sizeof(float) * rows * (base->lines + 1), NULL, &error);
    if (error != CL_SUCCESS || (error = opencl_try(error)) != CL_SUCCESS)
        return opencl_fault(note, "clCreateBuffer", error);
    const struct {
        cl_uint index;
        const cl_mem *buffer;
    } arguments[] = {{0, &queue->out}, {1, &queue->z}, {3, &base->parts}, {4, &base->values}, {5, &base->start}, {6, &base->line}};
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments && error == CL_SUCCESS; i++)
        error = opencl_try(clSetKernelArg(queue->kernel, arguments[i].index, sizeof(cl_mem), arguments[i].buffer));
    return error == CL_SUCCESS ? FAULT_NONE : opencl_fault(note, "clSetKernelArg", error);
}

enum fault opencl_queue_take(struct opencl_queue **out, const struct opencl_base *base, uint32_t rows_max, struct fault_note *note)
{
    MUST(base->magic == (unsigned)OPENCL_BASE_MAGIC);
    struct opencl_queue *queue = memory_take_zeroed(1, sizeof *queue);
    if (!queue)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score with");
    *queue =
        (struct opencl_queue){.magic = (unsigned)OPENCL_QUEUE_MAGIC, .base = base, .rows_max = (uint32_t)tile_count(rows_max) * TILE_ROWS};
    enum fault fault = queue_make(queue, note);
    if (fault == FAULT_NONE)
        *out = queue;
    else
        opencl_queue_give(&queue);
    return fault;
}

void opencl_queue_give(struct opencl_queue **queue_p)
{
    struct opencl_queue *queue = *queue_p;
    *queue_p = NULL;
    if (!queue)
        return;
    MUST(queue->magic == (unsigned)OPENCL_QUEUE_MAGIC);
    if (queue->kernel)
        clReleaseKernel(queue->kernel);
    if (queue->z)
        clReleaseMemObject(queue->z);
    if (queue->out)
        clReleaseMemObject(queue->out);
    if (queue->commands)
        clReleaseCommandQueue(queue->commands);
    queue->magic = 0;
    memory_give(queue);
}

/* --- a slice --------------------------------------------------------------------------------------------------------------- */

static const char *slice_run(struct opencl_queue *queue, float *out, uint32_t stride, const float *z, cl_uint tiles, cl_int *error)
{
    const struct opencl_base *base = queue->base;
    const struct opencl_tunables *t = &base->opencl->tunables;
    const size_t row_bytes = sizeof(float) * TILE_ROWS * tiles, from[3] = {0}, region[3] = {row_bytes, base->lines, 1};
    const size_t per_group = (size_t)t->vector * t->vectors * t->group, rows = (size_t)tiles * TILE_ROWS;
    const size_t global[2] = {(rows + per_group - 1) / per_group * t->group, base->part_count}, local[2] = {t->group, 1};
    cl_event done;
    cl_int status = CL_COMPLETE;
    if (base->columns)
        *error = opencl_try(clEnqueueWriteBuffer(queue->commands, queue->z, CL_FALSE, 0, row_bytes * base->columns, z, 0, NULL, NULL));
    if (*error != CL_SUCCESS)
        return "clEnqueueWriteBuffer";
    if ((*error = opencl_try(clSetKernelArg(queue->kernel, 2, sizeof tiles, &tiles))) != CL_SUCCESS)
        return "clSetKernelArg";
    if ((*error = opencl_try(clEnqueueNDRangeKernel(queue->commands, queue->kernel, 2, NULL, global, local, 0, NULL, &done))) != CL_SUCCESS)
        return "clEnqueueNDRangeKernel";
    *error = opencl_try(clEnqueueReadBufferRect(queue->commands, queue->out, CL_TRUE, from, from, region, row_bytes, 0,
                                                stride * sizeof(float), 0, out, 0, NULL, NULL));
    if (*error == CL_SUCCESS)
        *error = clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
    clReleaseEvent(done);
    if (*error == CL_SUCCESS && status < 0)
        *error = status;
    return "clEnqueueReadBufferRect";
}

static void failure_note(struct opencl *opencl, const char *call, cl_int error)
{
    if (!atomic_exchange(&opencl->told, true))
        log_line(LOG_WARN, "compute", "OpenCL device %s: %s: %s (%d): such slices are scored by the processor, with the same bits",
                 opencl->info.name, call, opencl_error_name(error), (int)error);
    if (atomic_fetch_add(&opencl->failures, 1) + 1 >= OPENCL_FAILURES_MAX && !atomic_exchange(&opencl->lost, true))
        log_line(LOG_ERROR, "compute", "OpenCL device %s failed %d times in a row: the processor scores until the next reload",
                 opencl->info.name, OPENCL_FAILURES_MAX);
}

bool opencl_minima(struct opencl_queue *queue, float *out, uint32_t stride, const float *z, uint32_t rows)
{
    MUST(queue->magic == (unsigned)OPENCL_QUEUE_MAGIC && rows <= queue->rows_max);
    const struct opencl_base *base = queue->base;
    struct opencl *opencl = base->opencl;
    const cl_uint tiles = (cl_uint)tile_count(rows);
    cl_int error = CL_SUCCESS;
    if (atomic_load_explicit(&opencl->lost, memory_order_relaxed))
        return false;
    if (tiles && base->part_count) {
        const char *call = slice_run(queue, out, stride, z, tiles, &error);
        if (error != CL_SUCCESS) {
            clFinish(queue->commands); /* z and out are the caller's again */
            failure_note(opencl, call, error);
            return false;
        }
        if (atomic_load_explicit(&opencl->failures, memory_order_relaxed))
            atomic_store(&opencl->failures, 0);
    }
    for (uint32_t i = 0; i < base->empty_count; i++)
        for (uint32_t row = 0; row < tiles * TILE_ROWS; row++)
            out[(size_t)base->empty[i] * stride + row] = INFINITY;
    return true;
}
