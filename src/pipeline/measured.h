#ifndef SLUICE_PIPELINE_MEASURED_H
#define SLUICE_PIPELINE_MEASURED_H

#include "pipeline/evaluate.h"

/* What the two ways of evaluate share: rows as they are measured, and the names of scenes. */

struct measured {
    const struct evaluate_options *options;
    struct evaluation *out;
    struct fault_note *note;
    struct metrics_row *rows[EVALUATE_SIDES];
    uint32_t count, capacity;
    struct shift_sample shift;
    struct base_drift {
        const struct scene_base *base; /* NULL: it has no reference */
        uint64_t *counters;
        uint32_t *part;
        uint8_t *scene; /* by row of the batch */
        float *match;
        uint64_t turn;
    } drift; /* of the first base */
};

/* One more row, as each side has it. FAULT_memory, FAULT_limit. */
enum fault measured_add(struct measured *measured, const struct metrics_row row[EVALUATE_SIDES], int64_t time_us);
/* Index of a scene's name; "" and "background" are 0, new names are added. FAULT_limit. */
enum fault measured_scene(uint8_t *out, struct measured *measured, struct text name);
enum fault measured_label(uint8_t *out, struct measured *measured, const struct batch *batch, uint32_t row);

/* What a base was built on against the measured rows: a part of each slice is counted, slices that reach beyond the measured time are
 * left out. evaluate_drift.c */
enum fault base_drift_init(struct base_drift *out, const struct scene_base *base, uint32_t batch_rows, struct fault_note *note);
void base_drift_fini(struct base_drift *drift); /* safe on zeroed memory */
void base_drift_add(struct base_drift *drift, const struct evaluate_options *options, const struct past_slice *slice,
                    const struct results *results, float *const *distance);
/* The shifts of out, where rows enough were counted; otherwise they stay none. */
enum fault base_drift_tell(struct evaluation *out, const struct base_drift *drift, struct fault_note *note);

enum fault measure_base(struct measured *measured);   /* evaluate_base.c */
enum fault measure_scores(struct measured *measured); /* evaluate_scores.c */

#endif
