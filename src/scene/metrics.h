#ifndef SLUICE_SCENE_METRICS_H
#define SLUICE_SCENE_METRICS_H

#include <stdint.h>

#include "base/fault.h"
#include "scene/scene_base.h"

/* Figures of scores against labels, as published protocols define them. Pure; any thread. */

enum { METRICS_LABEL_UNKNOWN = 255 };

struct metrics_row { /* of one scored transfer, in the order of time */
    float score;     /* higher is riskier */
    uint8_t label;   /* scene, 0 good, METRICS_LABEL_UNKNOWN: left out of all that asks for labels */
    uint8_t named;   /* best scene */
    uint8_t alerted; /* 1: it did not pass */
    uint32_t day;
    uint64_t account; /* payer */
};

struct metrics {
    uint64_t rows, labelled, risky, alerts, alerts_right;
    double auc_roc;           /* ties count half; NAN without both classes */
    double average_precision; /* Σ (R_n − R_{n−1}) P_n over distinct scores; NAN without risky rows */
    double card_precision;    /* mean over days of risky payers among the top k not yet found, over k */
    double named_right;       /* share of risky rows whose best scene is the label's */
    struct metrics_scene {
        uint64_t rows, alerted, named_right;
        double average_precision; /* of this scene against good rows */
    } scenes[SCENES_MAX];
    uint64_t confusion[SCENES_MAX][SCENES_MAX]; /* [label][scene of an alert, 0: passed] */
};

/* FAULT_memory. k: of card_precision; 0: leave it out, accounts and days are not known. */
enum fault metrics_measure(struct metrics *out, const struct metrics_row *rows, uint32_t row_count, uint32_t scene_count, uint32_t k,
                           struct fault_note *note);
/* JSON object as text (json_text_give); numbers that are NAN become null. names: of the scenes, [0] background. NULL: memory. */
char *metrics_text(const struct metrics *metrics, const char *const *names, uint32_t scene_count);

#endif
