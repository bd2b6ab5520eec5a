#ifndef SLUICE_SCENE_SHIFT_H
#define SLUICE_SCENE_SHIFT_H

#include <stdint.h>

#include "feature/feature.h"

/* How far each feature's distribution moved from the earlier rows to the later ones, as population stability index:
 *     PSI = Σ over bins (q − p) · ln(q / p),  p, q: shares of earlier and later rows in the bin, half a row added to each bin
 * Bins are cut at the tenths of the earlier rows, equal values stay together; one more on each side for what lies beyond all of them.
 * Rows are thinned evenly as they come, so that memory is
 * bounded. One thread. */

enum { SHIFT_ROWS_MAX = 16384, SHIFT_BINS = 10 };

struct shift_sample {
    uint32_t feature_count;
    uint16_t feature[FEATURE_COUNT];
    float *values; /* [row][feature] */
    uint32_t row_count;
    uint64_t seen, every; /* rows seen; of them each `every`-th is kept */
};
enum fault shift_sample_init(struct shift_sample *out, const struct feature_set *wanted, struct fault_note *note);
void shift_sample_fini(struct shift_sample *sample); /* safe on zeroed memory */
void shift_sample_add(struct shift_sample *sample, const struct feature_block *features, uint32_t row);

struct shift { /* of one feature */
    uint16_t feature;
    double psi, mean_before, mean_after;  /* means NAN where they are not known */
    double unknown_before, unknown_after; /* shares of rows that do not know it; NAN where that is not known */
};
/* Of every feature of the sample, largest first; returns how many. Fewer than 2 · SHIFT_BINS rows: none. FAULT_memory. */
enum fault shift_measure(struct shift out[FEATURE_COUNT], uint32_t *count, const struct shift_sample *sample, struct fault_note *note);
void shift_sort(struct shift *shifts, uint32_t count); /* largest first, equal ones in the order of the catalogue */
/* Of two lists of values; `before` is put in rising order. Both counts above 0. */
double shift_psi(float *before, uint32_t before_count, const float *after, uint32_t after_count);

#endif
