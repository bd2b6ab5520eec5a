/* What the loader offers. A device is used when it rounds fma correctly and keeps subnormals, or its bits are not the
 * twin's: without these it could only propose, and then the processor would do the work again. It is refused instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/opencl/internal.h"

enum { PLATFORMS_MAX = 16 };

static atomic_uint_fast64_t calls, fail_first = UINT64_MAX, fail_end = UINT64_MAX;

void opencl_fail_at(uint64_t nth, uint64_t count)
{
    uint64_t first = nth == UINT64_MAX ? nth : atomic_load(&calls) + nth;
    atomic_store(&fail_end, count > UINT64_MAX - first ? UINT64_MAX : first + count);
    atomic_store(&fail_first, first);
}

cl_int opencl_try(cl_int result)
{
    uint64_t call = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    bool fails = call >= atomic_load_explicit(&fail_first, memory_order_relaxed) && call < atomic_load(&fail_end);
    return fails && result == CL_SUCCESS ? CL_OUT_OF_RESOURCES : result;
}

const char *opencl_error_name(cl_int error)
{
    static const struct {
        cl_int error;
        const char *name;
    } names[] = {
        {CL_DEVICE_NOT_FOUND, "no device"},
        {CL_DEVICE_NOT_AVAILABLE, "device not available"},
        {CL_COMPILER_NOT_AVAILABLE, "no compiler"},
        {CL_MEM_OBJECT_ALLOCATION_FAILURE, "no memory on the device"},
        {CL_OUT_OF_RESOURCES, "out of resources"},
        {CL_OUT_OF_HOST_MEMORY, "out of host memory"},
        {CL_BUILD_PROGRAM_FAILURE, "the kernel does not compile"},
        {CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, "a command before it failed"},
        {CL_INVALID_WORK_GROUP_SIZE, "work-group size refused"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].error == error)
            return names[i].name;
    return "failed";
}

enum fault opencl_fault(struct fault_note *note, const char *call, cl_int error)
{
    return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "OpenCL: %s: %s (%d)", call, opencl_error_name(error), (int)error);
}

void opencl_threads_limit(uint32_t threads)
{
    char text[16];
    snprintf(text, sizeof text, "%u", threads);
    setenv("POCL_MAX_PTHREAD_COUNT", text, 0);
}

/* --- one device ------------------------------------------------------------------------------------------------------- */

static void text_take(char *out, size_t out_bytes, cl_device_id device, cl_device_info what)
{
    char text[256] = "";
    if (clGetDeviceInfo(device, what, sizeof text, text, NULL) != CL_SUCCESS)
        text[0] = '\0';
    text[sizeof text - 1] = '\0';
    snprintf(out, out_bytes, "%.*s", (int)out_bytes - 1, text + strspn(text, " "));
}

static uint64_t number_take(cl_device_id device, cl_device_info what, size_t bytes)
{
    uint32_t narrow = 0;
    uint64_t wide = 0;
    cl_int error = clGetDeviceInfo(device, what, bytes, bytes == sizeof narrow ? (void *)&narrow : (void *)&wide, NULL);
    return error != CL_SUCCESS ? 0 : bytes == sizeof narrow ? narrow : wide;
}

static const char *refusal(const struct opencl_info *info, cl_device_id device)
{
    if (!number_take(device, CL_DEVICE_AVAILABLE, sizeof(cl_bool)))
        return "the driver says that it is not available";
    if (!number_take(device, CL_DEVICE_COMPILER_AVAILABLE, sizeof(cl_bool)))
        return "the driver has no compiler";
    if (!number_take(device, CL_DEVICE_ENDIAN_LITTLE, sizeof(cl_bool)))
        return "it is big endian";
    if (!info->has_fma)
        return "no correctly rounded fma (CL_FP_FMA)";
    return info->has_denormals ? "" : "it flushes subnormals (no CL_FP_DENORM)";
}

static void info_take(struct opencl_info *out, cl_platform_id platform, cl_device_id device)
{
    char text[64] = "";
    uint64_t type = number_take(device, CL_DEVICE_TYPE, sizeof(cl_device_type));
    uint64_t floats = number_take(device, CL_DEVICE_SINGLE_FP_CONFIG, sizeof(cl_device_fp_config));
    *out = (struct opencl_info){
        .type = type & CL_DEVICE_TYPE_CPU   ? "cpu"
                : type & CL_DEVICE_TYPE_GPU ? "gpu"
                                            : "other",
        .compute_units = (uint32_t)number_take(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint)),
        .memory_bytes = number_take(device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong)),
        .has_fma = floats & CL_FP_FMA,
        .has_denormals = floats & CL_FP_DENORM,
    };
    if (clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof text, text, NULL) == CL_SUCCESS)
        snprintf(out->platform, sizeof out->platform, "%.*s", (int)sizeof text - 1, text);
    text_take(out->name, sizeof out->name, device, CL_DEVICE_NAME);
    text_take(out->version, sizeof out->version, device, CL_DEVICE_VERSION);
    text_take(out->driver, sizeof out->driver, device, CL_DRIVER_VERSION);
    snprintf(out->refused, sizeof out->refused, "%s", refusal(out, device));
}

/* --- all of them -------------------------------------------------------------------------------------------------------- */

static uint32_t walk(cl_device_id *devices, struct opencl_info *infos, cl_int *error)
{
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_uint platform_count = 0, found = 0;
    uint32_t count = 0;
    *error = clGetPlatformIDs(PLATFORMS_MAX, platforms, &platform_count);
    if (*error != CL_SUCCESS)
        return 0;
    for (cl_uint p = 0; p < platform_count && p < PLATFORMS_MAX && count < OPENCL_DEVICES_MAX; p++) {
        cl_int here = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, OPENCL_DEVICES_MAX - count, devices + count, &found);
        if (here != CL_SUCCESS)
            continue;
        found = found < OPENCL_DEVICES_MAX - count ? found : OPENCL_DEVICES_MAX - count;
        for (cl_uint i = 0; i < found; i++)
            info_take(&infos[count + i], platforms[p], devices[count + i]);
        count += found;
    }
    return count;
}

uint32_t opencl_list(struct opencl_info out[OPENCL_DEVICES_MAX], char why[80])
{
    cl_device_id devices[OPENCL_DEVICES_MAX];
    cl_int error;
    uint32_t count = walk(devices, out, &error);
    snprintf(why, 80, "%s", count ? "" : error == CL_SUCCESS ? "no platform has a device" : "the loader knows no platform (ICD)");
    return count;
}

bool opencl_device_at(cl_device_id *out, struct opencl_info *info, int index)
{
    cl_device_id devices[OPENCL_DEVICES_MAX];
    struct opencl_info infos[OPENCL_DEVICES_MAX];
    cl_int error;
    uint32_t count = walk(devices, infos, &error);
    if (index < 0 || (uint32_t)index >= count)
        return false;
    *out = devices[index];
    *info = infos[index];
    return true;
}
