#ifndef SLUICE_PIPELINE_EVALUATE_H
#define SLUICE_PIPELINE_EVALUATE_H

#include "pipeline/past.h"
#include "scene/metrics.h"

/* `sluice eval`: scores of labelled transfers against their labels. With a base the transfers go the server's way offline
 * (history, features, scores, decision); with a file of scores only the figures are made. */
struct evaluated_row {
    struct text transfer;
    const char *scene;
    float risk, match, anomaly; /* anomaly: the larger of both degrees */
};

struct evaluate_options {
    struct past_options past; /* wanted and from_us are set here; config also gives levels and strategy */
    const char *base_path;    /* NULL: scores_path is read instead */
    const char *scores_path;  /* columns transfer_id, risk and scene, as `sluice submit --scores` writes them; no alerts are known then */
    int64_t from_us, to_us;   /* rows that are measured */
    const char *device;       /* "cpu", "ref", "blas" */
    uint32_t card_k;
    void (*each)(void *context, const struct evaluated_row *row); /* of every measured row, with a base; NULL: nobody asks */
    void *context;
};

struct evaluation {
    char base_name[64], base_version[64], base_digest[33]; /* empty without a base */
    uint32_t scene_count;
    char scene_names[SCENES_MAX][64]; /* [0] background */
    uint64_t rows_read, rows_invalid;
    struct metrics metrics;
};

enum fault evaluate_run(struct evaluation *out, const struct evaluate_options *options, struct fault_note *note);

#endif
