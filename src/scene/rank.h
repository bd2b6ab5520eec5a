#ifndef SLUICE_SCENE_RANK_H
#define SLUICE_SCENE_RANK_H

#include <stdint.h>

#include "scene/metrics.h"

/* Rows by falling score, and what follows from that order. Rows of one score are one step. Pure; any thread. */

struct ranked {
    uint32_t count;
    uint64_t *keys; /* score, turned so that higher ones come first, in the upper half; row in the lower: equal ones by place */
    uint8_t *label; /* in the same order */
};

enum fault ranked_take(struct ranked *out, const struct metrics_row *rows, uint32_t row_count, enum metrics_score which,
                       struct fault_note *note);
void ranked_give(struct ranked *ranked); /* safe on zeroed memory */

static inline uint32_t ranked_row(const struct ranked *ranked, uint32_t at)
{
    return (uint32_t)ranked->keys[at];
}

static inline bool ranked_ends(const struct ranked *ranked, uint32_t at) /* the last of its score */
{
    return at + 1 == ranked->count || ranked->keys[at] >> 32 != ranked->keys[at + 1] >> 32;
}

float ranked_score(const struct ranked *ranked, uint32_t at);

enum rank_class { RANK_LEFT_OUT, RANK_GOOD, RANK_RISKY };
struct rank_classes {
    uint8_t of_label[256];
};
/* scene 0: every risky row; otherwise that scene's alone. */
void rank_classes_of(struct rank_classes *out, uint8_t scene);
struct metrics_pair rank_measure(const struct ranked *ranked, const struct rank_classes *classes);
/* The same of the rows at which part[at] == which, part in ranked order. */
struct metrics_pair rank_measure_part(const struct ranked *ranked, const struct rank_classes *classes, const uint8_t *part, uint8_t which);
/* Cuts from the highest on, one whenever recall, precision or share of false alerts moved by 1/200, the last one always. Returns how many.
 */
uint32_t rank_curve(struct metrics_point *out, uint32_t points_max, const struct ranked *ranked);

#endif
