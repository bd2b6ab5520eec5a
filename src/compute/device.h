#ifndef SLUICE_COMPUTE_DEVICE_H
#define SLUICE_COMPUTE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"
#include "feature/feature.h"
#include "kernels.h"
#include "scene/scene_base.h"

/* Devices behind one ops struct. All give the twin's bits: an approximate one proposes, the twin's arithmetic records. */

struct scores {                       /* one slice's, row stride SLICE_ROWS, 64-byte aligned; padded rows hold rubbish */
    float *distance[DIMENSION_COUNT]; /* [scene][row]: segment minima of the panel */
    float *anomaly[ANOMALY_COUNT];    /* [row]: raw ensemble mean; untouched when the base has no such set */
    float *z[DIMENSION_COUNT];        /* the row tiles scored, kept for explanation */
    float *z_anomaly[ANOMALY_COUNT];
    bool fell_back; /* the device failed and the processor's kernels took over: the same bits */
};

struct device;   /* one per server: options, chosen kernels */
struct resident; /* one base made ready on a device; any number of threads score on it at once */
struct scratch;  /* one thread's working memory for one resident */

struct device_options {
    unsigned cpu_mask; /* CPU_MASK_ALL, or a forced subset */
    const char *name;  /* as configured: "opencl:1" is the second of `sluice devices`; NULL: the ops' own name */
};

struct device_ops {
    const char *name; /* "cpu", "ref", "blas", "opencl", "auto" */
    enum fault (*open)(struct device **out, const struct device_options *options, struct fault_note *note);
    void (*close)(struct device **device_p);
    const char *(*describe)(const struct device *device); /* "cpu avx512", for replies, figures, logs */
    const struct kernels *(*kernels)(const struct device *device);
    enum fault (*prepare)(struct resident **out, struct device *device, const struct scene_base *base, struct fault_note *note);
    void (*release)(struct resident **resident_p);
    enum fault (*scratch_take)(struct scratch **out, const struct resident *resident, struct fault_note *note);
    void (*scratch_give)(struct scratch **scratch_p);
    /* Rows of one slice. *out points into scratch and is valid until the next call with it. */
    enum fault (*score)(struct scores *out, struct scratch *scratch, const struct resident *resident, const struct feature_block *features,
                        struct fault_note *note);
};
extern const struct device_ops device_cpu, device_ref, device_blas, device_opencl, device_auto;
const struct device_ops *device_find(const char *name); /* "opencl:1" too; NULL: none of that name */

/* What auto chooses among, and on slices of how many rows it times them. */
enum { MEMBER_COUNT = 3, DEVICE_SIZES = 3 };
extern const struct device_ops *const device_members[MEMBER_COUNT];
extern const uint32_t device_sizes[DEVICE_SIZES];
/* Seconds of a slice of each size, the best of several; a device on this processor's cores is charged for all it takes. */
enum fault device_time(double out[DEVICE_SIZES], const struct device_ops *ops, const struct resident *resident, struct fault_note *note);
/* The member for each size: the first, unless another is faster by a twentieth; 0 seconds: not there. */
void device_choose(uint8_t out[DEVICE_SIZES], const double seconds[MEMBER_COUNT][DEVICE_SIZES]);

size_t scratch_bytes(const struct scene_base *base); /* upper bound, for the total printed at start */
size_t scratch_bytes_max(void);                      /* the same of any base */

#endif
