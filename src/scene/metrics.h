#ifndef SLUICE_SCENE_METRICS_H
#define SLUICE_SCENE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "scene/scene_base.h"

/* Figures of scores against labels, as published protocols define them. Pure; any thread. Equal scores are one cut: no figure
 * depends on the order of rows that score the same. */

enum { METRICS_LABEL_UNKNOWN = 255 };

struct metrics_row { /* of one scored transfer, in the order of time */
    float score;     /* risk: higher is riskier */
    float match, anomaly_own, anomaly_linked;
    uint8_t label;   /* scene, 0 good, METRICS_LABEL_UNKNOWN: left out of all that asks for labels */
    uint8_t named;   /* best scene */
    uint8_t alerted; /* 1: it did not pass */
    uint32_t day;
    uint64_t account; /* payer */
    int64_t amount;   /* minor units; 0: not money */
};

enum metrics_score { METRICS_RISK, METRICS_MATCH, METRICS_ANOMALY, METRICS_ANOMALY_OWN, METRICS_ANOMALY_LINKED, METRICS_SCORE_COUNT };
extern const char *const metrics_score_names[METRICS_SCORE_COUNT];

enum { METRICS_BINS = 10, METRICS_HISTOGRAM_BINS = 40, METRICS_BANDS = 5, METRICS_CURVE_MAX = 2048 };

struct metrics_pair {         /* of risky rows against good ones */
    double auc_roc;           /* ties count half; NAN without both classes */
    double average_precision; /* Σ (R_n − R_{n−1}) P_n over distinct scores; NAN without risky rows */
};

/* Rows with a label and a score in [0, 1] by that score: [0, 0.1) … [0.9, 1]. */
struct metrics_calibration {
    struct metrics_bin {
        uint64_t rows, risky;
        double mean; /* score; NAN without rows */
    } bins[METRICS_BINS];
    uint64_t outside;  /* labelled rows whose score is not in [0, 1] */
    double error;      /* Σ over bins of |mean score − share of risky|, weighted by rows; NAN when all is outside */
    double brier;      /* mean of (score − risky)² */
    double brier_base; /* that of always telling the share of risky rows */
};

struct metrics_band { /* amounts of [10^(i+b), 10^(i+b+1)) minor units, b: the currency's decimals; the first from 0, the last without end
                       */
    uint64_t rows, risky, alerts, alerts_right;
    int64_t amount_risky, amount_caught;
    struct metrics_pair risk;
};

struct metrics {
    uint64_t rows, labelled, risky, alerts, alerts_right;
    uint64_t alerts_labelled; /* alerts whose label is known */
    double auc_roc, average_precision;
    double card_precision; /* mean over days of risky payers among the top k not yet found, over k */
    double precision_top;  /* mean over days of risky rows among the top k, over k */
    double named_right;    /* share of risky rows whose best scene is the label's */
    struct metrics_pair of_score[METRICS_SCORE_COUNT];
    int64_t amount_caught, amount_missed, amount_held_good; /* of risky rows that did not pass and that passed, of good ones that did not */
    struct metrics_scene {
        uint64_t rows, alerted, named_right;
        int64_t amount, amount_caught;
        double auc_roc, average_precision; /* of this scene against good rows */
    } scenes[SCENES_MAX];
    uint64_t confusion[SCENES_MAX][SCENES_MAX]; /* [label][scene of an alert, 0: passed] */
    uint64_t best[SCENES_MAX][SCENES_MAX];      /* [label][best scene], alert or not */
    struct metrics_calibration calibration[2];  /* of METRICS_RISK, METRICS_MATCH */
    struct metrics_band bands[METRICS_BANDS];
    uint64_t histogram[2][METRICS_HISTOGRAM_BINS]; /* [0 good, 1 risky] of the risk, as far as it is in [0, 1] */
    uint32_t curve_count;
    struct metrics_point { /* cuts of the risk, from the highest; close ones left out */
        float score;       /* all rows from this score on: */
        uint64_t risky, good;
    } curve[METRICS_CURVE_MAX];
};

struct metrics_options {
    uint32_t scene_count;
    uint32_t decimals; /* of the amounts' currency, for the bands */
};

/* FAULT_memory. precision_top and card_precision are left NAN: metrics_days_mean. */
enum fault metrics_measure(struct metrics *out, const struct metrics_row *rows, uint32_t row_count, const struct metrics_options *options,
                           struct fault_note *note);
/* JSON object as text (json_text_give), what a base keeps of them; numbers that are NAN become null. names: of the scenes, [0] background.
 * NULL: memory. */
char *metrics_text(const struct metrics *metrics, const char *const *names, uint32_t scene_count);

static inline bool metrics_is_good(const struct metrics_row *row)
{
    return row->label == 0;
}

static inline bool metrics_is_risky(const struct metrics_row *row)
{
    return row->label != 0 && row->label != METRICS_LABEL_UNKNOWN;
}

float metrics_score_of(const struct metrics_row *row, enum metrics_score which);

/* --- day by day --------------------------------------------------------------------------------------------------------- */

struct metrics_day {
    uint32_t day;
    uint64_t rows, risky, alerts, alerts_right; /* labelled rows */
    double precision;      /* risky ones among the k rows of the highest scores, over k; equal scores at the edge share the places left */
    double card_precision; /* the same of payers by their highest score of the day, those found on earlier days left out; equal ones by
                              their first row of the day */
};

struct metrics_days {
    uint32_t count;
    struct metrics_day *days; /* ascending, those with labelled rows */
    uint32_t accounts;        /* payers; fewer than rows: some pay more than once */
};
enum fault metrics_days_take(struct metrics_days *out, const struct metrics_row *rows, uint32_t row_count, uint32_t k,
                             struct fault_note *note);
void metrics_days_mean(struct metrics *out, const struct metrics_days *days); /* precision_top, card_precision */
void metrics_days_give(struct metrics_days *days);                            /* safe on zeroed memory */

/* Payers numbered from 0 in the order of their first row: number[row]; memory_give. */
enum fault metrics_accounts(uint32_t **number, uint32_t *account_count, const struct metrics_row *rows, uint32_t row_count,
                            struct fault_note *note);

#endif
