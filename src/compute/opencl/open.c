/* A device is opened once for all epochs, so that another base compiles nothing. One that was lost is opened anew. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "compute/opencl/internal.h"

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct opencl *shared[OPENCL_DEVICES_MAX];

/* --- the program --------------------------------------------------------------------------------------------------------- */

static void build_log_say(const struct opencl *opencl)
{
    char text[1024] = "";
    size_t bytes = 0;
    if (clGetProgramBuildInfo(opencl->program, opencl->device, CL_PROGRAM_BUILD_LOG, sizeof text - 1, text, &bytes) == CL_SUCCESS &&
        text[0])
        log_line(LOG_ERROR, "compute", "%s", text);
}

static enum fault program_build(struct opencl *opencl, struct fault_note *note)
{
    const struct opencl_tunables *t = &opencl->tunables;
    const char *source = opencl_panel_source;
    char options[160];
    cl_int error;
    snprintf(options, sizeof options, "-cl-std=CL1.2 -DVECTOR=%u -DVECTORS=%u -DCLUSTERS=%u -DGROUP=%u", t->vector, t->vectors, t->clusters,
             t->group);
    opencl->program = clCreateProgramWithSource(opencl->context, 1, &source, NULL, &error);
    if ((error = opencl_try(error)) != CL_SUCCESS)
        return opencl_fault(note, "clCreateProgramWithSource", error);
    error = opencl_try(clBuildProgram(opencl->program, 1, &opencl->device, options, NULL, NULL));
    if (error == CL_SUCCESS)
        return FAULT_NONE;
    build_log_say(opencl);
    return opencl_fault(note, "clBuildProgram", error);
}

/* --- opening --------------------------------------------------------------------------------------------------------------- */

static void opencl_free(struct opencl *opencl)
{
    if (opencl->program)
        clReleaseProgram(opencl->program);
    if (opencl->context)
        clReleaseContext(opencl->context);
    opencl->magic = 0;
    memory_give(opencl);
}

static enum fault opencl_make(struct opencl **out, int index, const struct opencl_tunables *tunables, struct fault_note *note)
{
    struct opencl *opencl = memory_take_zeroed(1, sizeof *opencl);
    if (!opencl)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the compute device");
    char text[sizeof opencl->info];
    cl_int error = CL_SUCCESS;
    opencl->magic = (unsigned)OPENCL_MAGIC;
    opencl->index = index;
    opencl->users = 1;
    MUST(opencl_device_at(&opencl->device, &opencl->info, index));
    snprintf(text, sizeof text, "%s %s %s", opencl->info.type, opencl->info.platform, opencl->info.name);
    opencl->tunables = tunables ? *tunables : *opencl_tunables_of(text);
    opencl->context = clCreateContext(NULL, 1, &opencl->device, NULL, NULL, &error);
    enum fault fault = FAULT_NONE;
    if ((error = opencl_try(error)) != CL_SUCCESS)
        fault = opencl_fault(note, "clCreateContext", error);
    if (fault == FAULT_NONE)
        fault = program_build(opencl, note);
    if (fault == FAULT_NONE)
        fault = opencl_prove(opencl, note);
    if (fault != FAULT_NONE)
        opencl_free(opencl);
    else
        *out = opencl;
    return fault;
}

/* The device meant, or why there is none. */
static enum fault index_find(int *index, bool any, struct fault_note *note)
{
    struct opencl_info infos[OPENCL_DEVICES_MAX];
    char why[80];
    uint32_t count = opencl_list(infos, why), at = 0;
    if (count == 0)
        return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "no OpenCL device: %s", why);
    if (*index >= (int)count)
        return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "no OpenCL device %d: there are %u", *index, count);
    if (*index == OPENCL_FIRST)
        while (at + 1 < count && infos[at].refused[0])
            at++;
    else
        at = (uint32_t)*index;
    *index = (int)at;
    return infos[at].refused[0] && !any ? fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE,
                                                    "OpenCL device %s cannot give the exact bits: %s", infos[at].name, infos[at].refused)
                                        : FAULT_NONE;
}

enum fault opencl_open(struct opencl **out, int index, const struct opencl_tunables *tunables, struct fault_note *note)
{
    enum fault fault = index_find(&index, tunables, note);
    if (fault != FAULT_NONE)
        return fault;
    if (tunables)
        return opencl_make(out, index, tunables, note);
    pthread_mutex_lock(&shared_lock);
    struct opencl *known = shared[index];
    if (known && !atomic_load(&known->lost)) {
        known->users++;
        *out = known;
    } else if ((fault = opencl_make(out, index, NULL, note)) == FAULT_NONE)
        shared[index] = *out;
    pthread_mutex_unlock(&shared_lock);
    return fault;
}

void opencl_close(struct opencl **opencl_p)
{
    struct opencl *opencl = *opencl_p;
    *opencl_p = NULL;
    if (!opencl)
        return;
    MUST(opencl->magic == (unsigned)OPENCL_MAGIC);
    pthread_mutex_lock(&shared_lock);
    bool last = --opencl->users == 0;
    if (last && shared[opencl->index] == opencl)
        shared[opencl->index] = NULL;
    pthread_mutex_unlock(&shared_lock);
    if (last)
        opencl_free(opencl);
}

const struct opencl_info *opencl_info_of(const struct opencl *opencl)
{
    MUST(opencl->magic == (unsigned)OPENCL_MAGIC);
    return &opencl->info;
}

uint32_t opencl_cores(const struct opencl *opencl)
{
    return strcmp(opencl_info_of(opencl)->type, "cpu") == 0 && opencl->info.compute_units ? opencl->info.compute_units : 1;
}
