#ifndef SLUICE_VERDICT_EXPLAIN_H
#define SLUICE_VERDICT_EXPLAIN_H

#include "verdict/verdict.h"

/* Reasons of one row that did not pass, see verdict.h. */

struct explain_scratch {
    double share[FEATURE_COUNT];
    float z[DIMENSION_COLUMNS_MAX];
};

/* Row of the slice; out holds REASONS_MAX; returns how many there are. */
uint8_t explain_scene(struct reason *out, const struct decide_input *in, uint32_t row, uint32_t scene, struct explain_scratch *scratch);
uint8_t explain_anomaly(struct reason *out, const struct decide_input *in, uint32_t row, int set, struct explain_scratch *scratch);

#endif
