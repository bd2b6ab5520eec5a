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
};

/* One more row, as each side has it. FAULT_memory, FAULT_limit. */
enum fault measured_add(struct measured *measured, const struct metrics_row row[EVALUATE_SIDES], int64_t time_us);
/* Index of a scene's name; "" and "background" are 0, new names are added. FAULT_limit. */
enum fault measured_scene(uint8_t *out, struct measured *measured, struct text name);
enum fault measured_label(uint8_t *out, struct measured *measured, const struct batch *batch, uint32_t row);

enum fault measure_base(struct measured *measured);   /* evaluate_base.c */
enum fault measure_scores(struct measured *measured); /* evaluate_scores.c */

#endif
