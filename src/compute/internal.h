#ifndef SLUICE_COMPUTE_INTERNAL_H
#define SLUICE_COMPUTE_INTERNAL_H

#include "base/arena.h"
#include "compute/device.h"

/* What the processor's devices share. They differ in their kernels and in how segment minima come about. */

enum { DEVICE_MAGIC = 0xde51ce01, RESIDENT_MAGIC = 0xde51ce02, SCRATCH_MAGIC = 0xde51ce03 };
enum { PROPOSAL_ROWS = 256 }; /* rows whose proposals are held at once: they stay in the cache */

struct device {
    unsigned magic;
    struct kernels kernels;
    bool proposes; /* by a matrix product; else the kernels give the minima outright */
    char description[64];
};

struct resident {
    unsigned magic;
    const struct device *device;
    const struct scene_base *base;
    float *weights[DIMENSION_COUNT], *points_weights[ANOMALY_COUNT]; /* of a device that proposes; NULL where the base has none */
    struct arena arena;
};

struct scratch {
    unsigned magic;
    struct scores scores;
    float *column;                  /* SLICE_ROWS */
    float *minima, *norm;           /* of a device that proposes: ANOMALY_SEGMENTS × SLICE_ROWS, SLICE_ROWS */
    float *approx, *bound, *packed; /* PROPOSAL_ROWS, of the largest panel */
    struct arena arena;
};

const struct panel *base_panel(const struct scene_base *base, unsigned dimension); /* NULL: the base has no such panel */
const struct points *base_points(const struct scene_base *base, unsigned set);     /* NULL: the base has no such set */
/* Segment minima of a tiled slice through the matrix product, the twin's arithmetic deciding: its bits. */
void proposal_minima(float *out, struct scratch *scratch, const float *z, uint32_t row_count, const struct panel *panel,
                     const float *weights);
void proposal_points_minima(float *out, struct scratch *scratch, const float *z, uint32_t row_count, const struct points *points,
                            const float *weights);

#endif
