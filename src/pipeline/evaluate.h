#ifndef SLUICE_PIPELINE_EVALUATE_H
#define SLUICE_PIPELINE_EVALUATE_H

#include "pipeline/past.h"
#include "scene/compare.h"
#include "scene/metrics.h"
#include "scene/shift.h"

/* `sluice eval`: scores of labelled transfers against their labels. With a base the transfers go the server's way offline
 * (history, features, scores, decision); a second base is scored beside it, in the same pass. With a file of scores only the figures are
 * made. */
enum { EVALUATE_SIDES = 2, EVALUATE_TOP_DEFAULT = 100, EVALUATE_ROWS_MAX = 1 << 28 };

struct evaluated_row {
    struct text transfer;
    struct evaluated_score {
        const char *scene;
        float risk, match, anomaly; /* anomaly: the larger of both degrees */
        bool alerted;
    } scores[EVALUATE_SIDES];
};

struct evaluate_options {
    struct past_options past;               /* wanted and from_us are set here; config also gives levels and strategy */
    const char *base_paths[EVALUATE_SIDES]; /* [0] NULL: scores_path is read instead; [1] NULL: no second base */
    const char *scores_path;                /* columns transfer_id and risk, also scene, match, anomaly; no alerts are known then */
    int64_t from_us, to_us;                 /* rows that are measured */
    const char *device;                     /* "cpu", "ref", "blas" */
    uint32_t top;                           /* rows and payers a day of the precision at the top */
    uint32_t draws;                         /* of the intervals of a comparison */
    uint64_t seed;
    void (*each)(void *context, const struct evaluated_row *row); /* of every measured row, with a base; NULL: nobody asks */
    void *context;
};

struct evaluated {                                         /* by one base, or by the file of scores */
    char base_name[64], base_version[64], base_digest[33]; /* empty without a base */
    bool is_scene[SCENES_MAX];                             /* of the evaluation's scenes: the base has it */
    struct metrics metrics;
    struct metrics_days days;
};

struct evaluation {
    uint32_t side_count; /* 2: with a second base */
    struct evaluated sides[EVALUATE_SIDES];
    struct comparison comparison; /* of both sides */
    uint32_t scene_count;
    char scene_names[SCENES_MAX][64]; /* [0] background; then the bases', then those of labels alone */
    uint64_t rows_read, rows_invalid;
    char invalid_first[200]; /* why the first invalid row is */
    bool knows_alerts;       /* and anomaly of both kinds: with a base */
    bool knows_scenes, knows_match, knows_anomaly;
    char currency[4]; /* of the amounts; empty: amounts are not known, or in several currencies */
    uint32_t decimals, top;
    int64_t first_us, last_us; /* times of the measured rows */
    uint32_t shift_count;
    struct shift shifts[FEATURE_COUNT]; /* most first */
    bool shift_from_base;               /* from what the first base was built on; otherwise from the earlier half of the rows */
    uint64_t shift_rows;                /* that were counted for it */
};

/* evaluation_fini whatever it returns. */
enum fault evaluate_run(struct evaluation *out, const struct evaluate_options *options, struct fault_note *note);
void evaluation_fini(struct evaluation *evaluation);

#endif
