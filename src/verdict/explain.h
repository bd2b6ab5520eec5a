#ifndef SLUICE_VERDICT_EXPLAIN_H
#define SLUICE_VERDICT_EXPLAIN_H

#include "verdict/verdict.h"

/* Reasons of rows that did not pass, see verdict.h. */

/* A row of the slice and what it is explained by: its scene, or an anomaly set. */
struct explain_row {
    uint32_t row;
    uint8_t scene, set;
    bool by_anomaly;
};

struct explain_scratch {
    _Alignas(64) float tile[DIMENSION_COLUMNS_MAX * TILE_ROWS]; /* the rows' z side by side */
    _Alignas(64) float line[DIMENSION_COLUMNS_MAX], of_column[DIMENSION_COLUMNS_MAX];
    uint32_t cluster[2][DIMENSION_COUNT][TILE_ROWS]; /* background's, scene's */
    uint32_t point[ANOMALY_COUNT][TILE_ROWS][ANOMALY_SEGMENTS];
    double share[FEATURE_COUNT];
};

/* 1 to TILE_ROWS rows of a slice, in one go, as the kernels take no longer for a tile than for a row. out holds REASONS_MAX for
 * each, reason_count says how many there are. */
void explain_rows(struct reason *out, uint8_t *reason_count, const struct decide_input *in, const struct explain_row *rows, uint32_t count,
                  struct explain_scratch *scratch);

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
