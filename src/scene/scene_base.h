#ifndef SLUICE_SCENE_SCENE_BASE_H
#define SLUICE_SCENE_SCENE_BASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "batch/batch.h"
#include "feature/feature.h"
#include "kernels.h"

/* The versioned file of scenes that scoring uses, opened, verified and packed. Immutable after open: any thread.
 * File: safetensors; metadata has one key, `sluice`, that holds a JSON text (docs/scene-base.md). */

enum { SCENES_MAX = 32, /* background included */ DIMENSION_COLUMNS_MAX = 128, CLUSTERS_MAX = 4096, ANOMALY_SEGMENTS = 64 };

enum scene_column_form { FORM_VALUE, FORM_OVERSHOOT, FORM_ABOVE }; /* x; log1p(8·max(0,(x-edge)/edge_scale)); x > edge */

struct scene_column {
    uint16_t feature; /* enum feature_id */
    enum scene_column_form form;
    float edge, edge_scale;
    float mean, rscale; /* z = clip((x - mean)·rscale, Z_LOW, Z_HIGH) */
};
#define Z_LOW  (-6.0f)
#define Z_HIGH (12.0f)

struct scene_dimension { /* no clusters: cluster_count 0, skipped */
    uint32_t column_count;
    struct scene_column *columns;
    struct panel panel; /* segments are scenes, 0 = background; clusters sorted by scene */
    const float *centres, *precisions, *offsets; /* as in the file, cluster order of the panel */
};

struct scene {
    char name[64], risk_type[64];
    float bias, weight[DIMENSION_COUNT], threshold; /* threshold of the match, unused for background */
};

struct anomaly_set { /* points: ANOMALY_SEGMENTS subsamples of equal size; none: cluster_count 0 */
    uint32_t column_count;
    struct scene_column *columns;
    struct panel panel;
    uint32_t table_count;
    const float *table;   /* ascending scores of reference rows: calibrated = share of entries below the score */
    float threshold;      /* of the calibrated score */
};
enum { ANOMALY_OWN, ANOMALY_LINKED, ANOMALY_COUNT };

struct scene_base {
    unsigned magic; /* SCENE_BASE_MAGIC */
    char name[64], version[64];
    struct digest digest; /* of the file's bytes, seed 0 */
    uint32_t scene_count;
    struct scene scenes[SCENES_MAX];
    struct scene_dimension dimensions[DIMENSION_COUNT];
    struct anomaly_set anomaly[ANOMALY_COUNT];
    struct feature_set features; /* all that it needs */
    bool needs_batch_scope;
    char *metadata;              /* the JSON text */
    struct arena *arena;         /* owned; everything above lies in it */
};
enum { SCENE_BASE_MAGIC = 0x5ce4eba5 };

/* Refuses with FAULT_model and the reason: shapes, order and overlap of tensors, finite numbers, known features,
 * scene indices, ascending tables, sizes before anything is taken. bytes are not kept. */
enum fault scene_base_read(struct scene_base **out, const unsigned char *bytes, size_t byte_count, struct fault_note *note);
enum fault scene_base_open(struct scene_base **out, const char *path, struct fault_note *note);
void scene_base_close(struct scene_base **base_p);

/* One slice through one dimension's or anomaly set's columns into row tiles (compute calls it; the builder too). */
void scene_columns_tile(float *z, const struct scene_column *columns, uint32_t column_count,
                        const struct feature_block *features, const struct kernels *kernels, float *scratch);

#endif
