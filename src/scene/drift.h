#ifndef SLUICE_SCENE_DRIFT_H
#define SLUICE_SCENE_DRIFT_H

#include <stdbool.h>
#include <stdint.h>

#include "batch/batch.h"
#include "feature/feature.h"
#include "scene/scene_base.h"

/* Whether traffic is still what a base was built on: rows are counted into the bins of the base's reference, and the two
 * distributions compared. Counts are whole numbers, so counts of several threads or times add up to the same in any order. Pure. */

/* Rows of a slice that are counted at the most: of a longer one a part, another one each time. */
enum { DRIFT_ROWS = 128 };

struct drift_slice { /* of which rows are counted */
    const struct scene_base *base;
    const struct batch *batch; /* facts; results of these rows */
    uint32_t first, count;     /* rows of the batch */
    const struct feature_block *features;
    const struct figures *figures;
    float *const *distance; /* [DIMENSION_COUNT], as in struct scores: [scene · SLICE_ROWS + row of the slice] */
};

/* Counters of a base, one behind another; 0: the base has no reference. */
uint32_t drift_counter_count(const struct scene_base *base);
/* The slice's valid rows from `from` on, DRIFT_ROWS at the most, into out[drift_counter_count], which is overwritten. */
void drift_count(uint32_t *out, const struct drift_slice *slice, uint32_t from);
/* Where the part of a slice that is counted begins; turn: a number that changes from slice to slice. */
uint32_t drift_part(uint32_t row_count, uint64_t turn);

enum drift_level { DRIFT_NONE, DRIFT_WARN, DRIFT_ALARM, DRIFT_LEVEL_COUNT };
extern const char *const drift_level_names[DRIFT_LEVEL_COUNT];

struct drift_limits {
    float warn, alarm; /* of the population stability index */
    uint32_t rows_min; /* counted rows below which nothing is judged */
};
struct drift_settings {
    struct drift_limits limits;
    int64_t window_s;
};
#define DRIFT_LIMITS_DEFAULT ((struct drift_limits){0.1f, 0.25f, 1000})

struct drift_figure { /* a distribution against its reference */
    double psi;
    enum drift_level level;
    double share, share_reference; /* of what is odd: not known, far, of that scene */
};
struct drift_feature {
    struct drift_figure values, unknown;
    uint64_t counts[REFERENCE_BINS];
};
struct drift_report {
    uint64_t rows;  /* counted */
    bool judged;    /* enough of them */
    bool reference; /* the base has one; else nothing below is told */
    enum drift_level level;
    uint32_t over[DRIFT_LEVEL_COUNT]; /* distributions at that level */
    const char *worst;                /* what has the largest index: a feature, "scenes" or a dimension; "" */
    double worst_psi;
    struct drift_feature features[FEATURE_COUNT]; /* in the order of the reference */
    struct drift_figure scenes;                   /* of all scenes together; share: of those that reach one */
    double scene_share[SCENES_MAX], scene_share_reference[SCENES_MAX];
    struct drift_figure far[DIMENSION_COUNT]; /* psi 0 where the base has no clusters */
};
void drift_report(struct drift_report *out, const struct scene_base *base, const uint64_t *counters, const struct drift_limits *limits);

/* Population stability index Σ (p − q)·ln(p / q) over bins that either has counts in, p and q the shares of counts with half a count
 * added to every such bin; 0 when one side is empty. */
double drift_psi(const uint64_t *counts, const uint32_t *reference, uint32_t bin_count);

#endif
