#ifndef SLUICE_PIPELINE_AGAIN_H
#define SLUICE_PIPELINE_AGAIN_H

#include "pipeline/config.h"
#include "scene/scene_base.h"
#include "verdict/change.h"
#include "verdict/explain.h"

/* A recorded transfer's features and scores again, with history as it was then. Feature matrices are not stored: the log is
 * walked from its beginning into a small history that holds only what the transfer's accounts, devices and addresses touch.
 * What comes out is held to the recorded results, bit for bit: it is the record's own, or it is not told. */

struct pipeline;
struct epoch;
struct stored_names;

struct again {
    bool is_exact; /* all below is what it was; else why tells the reason */
    char why[160];
    const struct scene_base *base;
    const struct kernels *kernels;
    struct figures figures;        /* index 0 */
    struct feature_block features; /* index 0 */
    double evidence[SCENES_MAX];   /* e_s */
    float match[SCENES_MAX];
    float distance[DIMENSION_COUNT][SCENES_MAX]; /* as recorded; 0 where the scene has no clusters */
    float anomaly[ANOMALY_COUNT];                /* raw degrees */
    uint8_t scene;                               /* the best one */
    struct explain_whole of_scene, of_anomaly[ANOMALY_COUNT];
    bool could_change; /* false: it passed, or the rules of then are not known any more */
    struct change change;
};

/* Of one row of a screened batch. A fault is one of this server (memory, ledger, a deadline that passed); that the features of
 * then cannot be had is none: again->is_exact is false. One thread at a time. */
enum fault again_make(struct again **out, struct pipeline *pipeline, const struct epoch *epoch, const struct stored_names *stored,
                      uint64_t sequence, uint32_t row, int64_t until_ns, struct fault_note *note);
void again_give(struct again **again_p);
/* What again_make takes at the most, for bases and scratches of so many bytes. */
uint64_t again_bytes(const struct config *config, uint64_t base_bytes, uint64_t scratch_bytes);

#endif
