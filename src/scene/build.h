#ifndef SLUICE_SCENE_BUILD_H
#define SLUICE_SCENE_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "scene/scene_base.h"

/* A scene base from labelled rows: clusters per scene and dimension, trained to tell the scenes from the background,
 * thresholds, anomaly sets. Pure: the same samples, options and seed give the same bytes on any machine, instruction set
 * and number of threads (twin kernels, sums in a fixed order, no libm). */

enum { SCENE_UNKNOWN = 255 };

struct build_chunk {               /* up to SLICE_ROWS rows */
    struct feature_block features; /* columns of the wanted features, the others NULL */
    uint8_t *scene;                /* 0 background, 1 … a scene, SCENE_UNKNOWN no label */
};
struct build_sample {
    uint32_t chunk_count;
    const struct build_chunk *chunks;
    double background_weight; /* rows that one background row stands for */
};

/* How training goes, told at the end of every pass. NAN: not measured. */
struct build_watch {
    uint64_t seed;
    uint32_t pass, passes, best_pass;                      /* from 1; best_pass 0: nothing to judge by */
    double loss;                                           /* cross-entropy of a row learned from, in nats, mean since the pass before */
    double validation_loss, least_loss, average_precision; /* of the rows to validate */
};

struct build_options {
    const char *name, *version;
    uint64_t seed;
    uint32_t scene_count;                /* background included */
    const char *scene_names[SCENES_MAX]; /* [0] unused: "background" */
    const char *risk_types[SCENES_MAX];
    struct feature_set features; /* that the samples hold */
    uint32_t background_clusters, scene_clusters;
    uint32_t background_rows_max;
    uint32_t passes;             /* over the rows that are learned from */
    uint32_t patience;           /* passes without a lower loss on the rows to validate that end training, the best kept; 0: all */
    double rate, decay;          /* of learning at the start; of log precisions, times the rate */
    bool overshoot;              /* columns for what background never reached */
    double alert_rate;           /* share of later rows that scenes may raise to high */
    double precision;            /* > 0: least precision of a scene's alerts on labelled later rows instead */
    double alert_cost;           /* > 0: instead the least cost, of wrong alerts so much each, of missed frauds their amounts */
    double anomaly_rate;         /* the same share for each anomaly set */
    uint32_t points_per_segment; /* anomaly reference rows in each of ANOMALY_SEGMENTS subsamples */
    const uint32_t (*known)[2];  /* [FEATURE_COUNT]: background rows where a feature is known, and is not; NULL: not told */
    const char *provenance;      /* JSON object kept in the file, or NULL */
    const struct kernels *kernels;
    uint32_t thread_count;                          /* that learn; 0: one for each processor; the bytes do not depend on it */
    void (*progress)(const char *text);             /* NULL: silent */
    void (*watch)(const struct build_watch *watch); /* NULL: silent */
};
#define BUILD_OPTIONS_DEFAULT \
    ((struct build_options){.version = "1", \
                            .seed = 1, \
                            .scene_count = 1, \
                            .background_clusters = 16, \
                            .scene_clusters = 6, \
                            .background_rows_max = 120000, \
                            .passes = 30, \
                            .patience = 10, \
                            .rate = 0.05, \
                            .decay = 0.07, \
                            .overshoot = true, \
                            .alert_rate = 0.005, \
                            .anomaly_rate = 0.001, \
                            .points_per_segment = 8})

/* train: rows to learn from. validate: rows behind them, labelled, that calibrate the match and judge the seed; may be empty.
 * later: rows behind those in time, for thresholds and figures; labels as far as known.
 * bytes: the file; golden: its golden distances; both memory_give. FAULT_schema: too few rows of a scene or of background. */
struct build_result {
    char *bytes, *golden;
    size_t byte_count, golden_byte_count;
    double validation; /* average precision on the rows to validate; 0 without */
};
enum fault scene_build(struct build_result *out, const struct build_options *options, const struct build_sample *train,
                       const struct build_sample *validate, const struct build_sample *later, struct fault_note *note);
void build_result_fini(struct build_result *result);

#endif
