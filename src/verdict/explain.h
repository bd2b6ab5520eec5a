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

/* The whole of it, every column counted, in double. Of a scene: bias + offset + Σ share = e_s − e_0, and Σ share of a
 * dimension's columns is `of`; of an anomaly set: Σ share = the raw degree, bias and offset are 0, `of` goes by the features' own
 * dimensions. Both up to the rounding of the recorded float distances. */
struct explain_whole {
    double bias, offset, of[DIMENSION_COUNT];
    double share[FEATURE_COUNT];
    bool is_used[FEATURE_COUNT]; /* a column that was compared is made of it */
    float z[FEATURE_COUNT];      /* standardised: of its column of form value, else of its first */
};
void explain_scene_whole(struct explain_whole *out, const struct decide_input *in, uint32_t row, uint32_t scene);
void explain_anomaly_whole(struct explain_whole *out, const struct decide_input *in, uint32_t row, int set);

#endif
