#ifndef SLUICE_VERDICT_CHANGE_H
#define SLUICE_VERDICT_CHANGE_H

#include "verdict/verdict.h"

/* The nearest change of one feature that would have let a row pass: every value that is looked at is scored and decided like
 * any row, and the one told has passed. Near is |change| in the base's own scale of the feature; of equals the one that comes
 * first in the catalogue. */

enum { CHANGE_STEPS = 48 }; /* values looked at on each side of the row's own, closer together near it */

struct change {
    bool found;
    uint16_t feature;
    float from, to;
    double away; /* standard units of the base */
    uint8_t scene, level;
    float match, anomaly_own, anomaly_linked; /* with the change */
};

struct change_input {
    const struct scene_base *base;
    const struct strategy *strategy;
    const struct level_rules *levels;
    const struct device_ops *device_ops;
    const struct kernels *kernels;
    const struct resident *resident;
    struct scratch *scratch;
    const struct feature_block *row; /* of one row, index 0 */
};

size_t change_bytes(void); /* what change_find takes while it runs, device scratch aside */
/* FAULT_memory, or what the device says. The scratch's scores are overwritten. */
enum fault change_find(struct change *out, const struct change_input *in, struct fault_note *note);

#endif
