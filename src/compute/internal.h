#ifndef SLUICE_COMPUTE_INTERNAL_H
#define SLUICE_COMPUTE_INTERNAL_H

#include "base/arena.h"
#include "compute/device.h"
#include "compute/opencl.h"

/* What the processor's devices share. They differ in their kernels and in how segment minima come about. */

enum { DEVICE_MAGIC = 0xde51ce01, RESIDENT_MAGIC = 0xde51ce02, SCRATCH_MAGIC = 0xde51ce03 };
enum { SET_COUNT = DIMENSION_COUNT + ANOMALY_COUNT }; /* dimensions, then anomaly sets */
enum { PROPOSAL_ROWS = 256 };                         /* rows whose proposals are held at once: they stay in the cache */

struct device {
    unsigned magic;
    struct kernels kernels;
    bool proposes;                        /* by a matrix product; else the kernels give the minima outright */
    struct opencl *opencl;                /* gives all minima at once, the kernels where it fails; NULL: the kernels alone */
    struct device *members[MEMBER_COUNT]; /* of auto: those that could be opened */
    char description[160];
};

struct resident {
    unsigned magic;
    const struct device *device;
    const struct scene_base *base;
    float *weights[DIMENSION_COUNT], *points_weights[ANOMALY_COUNT]; /* of a device that proposes; NULL where the base has none */
    struct opencl_base *opencl;
    struct resident *members[MEMBER_COUNT]; /* of auto: those that are chosen */
    uint8_t choice[DEVICE_SIZES];
    struct arena arena;
};

struct scratch {
    unsigned magic;
    struct scores scores;
    float *column;                  /* SLICE_ROWS */
    float *minima, *norm;           /* of devices that give minima: ANOMALY_SEGMENTS × SLICE_ROWS, SLICE_ROWS */
    float *approx, *bound, *packed; /* PROPOSAL_ROWS, of the largest panel */
    struct opencl_queue *queue;     /* of a device that scores at once: */
    struct scratch *members[MEMBER_COUNT];
    float *tiles, *lines; /* all z; all minima, dimensions then sets, SLICE_ROWS for each segment */
    struct arena arena;
};

const struct panel *base_panel(const struct scene_base *base, unsigned dimension); /* NULL: the base has no such panel */
const struct points *base_points(const struct scene_base *base, unsigned set);     /* NULL: the base has no such set */
/* Segment minima of a tiled slice through the matrix product, the twin's arithmetic deciding: its bits. */
void proposal_minima(float *out, struct scratch *scratch, const float *z, uint32_t row_count, const struct panel *panel,
                     const float *weights);
/* What one thread needs on a device that scores all of a slice at once, and a slice there. */
void at_once_lay(struct scratch *scratch, struct arena *arena, size_t *bytes, const struct scene_base *base);
void at_once_sets(struct opencl_set out[SET_COUNT], const struct scene_base *base);
void at_once_score(struct scratch *scratch, const struct resident *resident, const struct feature_block *features);
float *block_take(struct arena *arena, size_t *bytes, size_t floats); /* without an arena it only counts */
void proposal_points_minima(float *out, struct scratch *scratch, const float *z, uint32_t row_count, const struct points *points,
                            const float *weights);

#endif
