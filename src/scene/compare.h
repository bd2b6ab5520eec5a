#ifndef SLUICE_SCENE_COMPARE_H
#define SLUICE_SCENE_COMPARE_H

#include <stdint.h>

#include "scene/metrics.h"

/* Two bases on the same rows: figures of each, their differences (second − first), and 95 % intervals of all three from a
 * paired bootstrap: payers are drawn with replacement (each has Poisson(1) copies of all its rows, the same for both bases), since
 * rows of one payer are not independent. The same rows, seed and count give the same intervals. Pure; any thread. */

enum compared {
    COMPARED_AUC_ROC,
    COMPARED_AVERAGE_PRECISION,
    COMPARED_BRIER,
    COMPARED_NAMED_RIGHT,
    COMPARED_PRECISION,     /* of alerts */
    COMPARED_RECALL,        /* of alerts */
    COMPARED_ALERT_RATE,    /* of labelled rows */
    COMPARED_AMOUNT_CAUGHT, /* share of the risky rows' amounts */
    COMPARED_COUNT
};
extern const char *const compared_names[COMPARED_COUNT];

struct interval {
    double value, low, high; /* NAN where the figure has no value in the rows, or in the draws */
};

struct comparison {
    struct compared_figure {
        struct interval first, second, difference;
    } figures[COMPARED_COUNT];
    double auc_error, auc_p;     /* DeLong's: standard error of the difference and two-sided p; NAN without both classes. Rows taken as
                                    independent */
    uint64_t agreement[3][2][2]; /* [good, risky, no label][first alerts][second alerts] */
    uint64_t switched;           /* rows with an alert of one base alone */
    uint64_t renamed;            /* rows with alerts of both, under different scenes */
    uint32_t draws, accounts;
};

enum { COMPARE_DRAWS_MAX = 10000 }; /* row_count: at most 2^28, so that eight copies of each are counted in 32 bits */
enum fault compare_measure(struct comparison *out, const struct metrics_row *first, const struct metrics_row *second, uint32_t row_count,
                           uint32_t draws, uint64_t seed, struct fault_note *note);
/* auc_error and auc_p alone; compare_measure asks for them. */
enum fault compare_delong(struct comparison *out, const struct metrics_row *first, const struct metrics_row *second, uint32_t row_count,
                          struct fault_note *note);

#endif
