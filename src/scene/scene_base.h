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

/* Bounds on what a file may say; with them every distance is finite (docs/scene-base.md). */
#define SCENE_INPUT_MAX     1e9  /* means, edges */
#define SCENE_SCALE_MIN     1e-9 /* rscale, edge_scale, thresholds */
#define SCENE_CENTRE_MAX    1e3  /* centres and points, in standardised units */
#define SCENE_PRECISION_MAX 1e6
#define SCENE_WEIGHT_MAX    1e6 /* weights, biases, offsets */
enum { SCENE_BASE_FORMAT = 1, SCENE_BASE_BYTES_MAX = 64 << 20, ANOMALY_TABLE_MAX = 4096 };

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
    struct panel panel;                          /* segments are scenes, 0 = background; clusters sorted by scene */
    const float *centres, *precisions, *offsets; /* as in the file, cluster order of the panel */
};

struct scene {
    char name[64], risk_type[64];
    float bias, weight[DIMENSION_COUNT], threshold; /* threshold of the match, unused for background */
};

struct anomaly_set { /* points: ANOMALY_SEGMENTS subsamples of equal size; none: point_count 0 */
    uint32_t column_count;
    struct scene_column *columns;
    struct points ensemble;
    uint32_t point_stride; /* column_count rounded up to 16 */
    const float *points;   /* [point][point_stride], zeros past column_count */
    uint32_t table_count;
    const float *table; /* ascending scores of reference rows: calibrated = share of entries below the score */
    float threshold;    /* of the calibrated score */
};
enum { ANOMALY_OWN, ANOMALY_LINKED, ANOMALY_COUNT }; /* from the transfer's own parameters; from these and history */
extern const char *const anomaly_names[ANOMALY_COUNT];

/* What the base was built on, as whole numbers: traffic is held against it (scene/drift.h). feature_count 0: not in this base. */
enum { REFERENCE_EDGES = 9, REFERENCE_BINS = REFERENCE_EDGES + 1, REFERENCE_SIDES = 2 };
struct scene_reference {
    uint32_t feature_count;
    uint16_t *feature;         /* enum feature_id, each of them in a column */
    const float *edges;        /* [feature][REFERENCE_EDGES], not falling: x lies in the bin of how many of them are below it */
    const uint32_t *counts;    /* [feature][REFERENCE_BINS]: background rows */
    const uint32_t *known;     /* [feature][REFERENCE_SIDES]: those where it is known, and is not */
    const uint32_t *scenes;    /* [scene_count]: later rows by the scene whose threshold they reach; 0: none */
    const float *far;          /* [DIMENSION_COUNT]: distance to the nearest cluster from which on a row is far from all */
    const uint32_t *distances; /* [DIMENSION_COUNT][REFERENCE_SIDES]: background rows that are near, and far */
};
#define SCENE_FAR_MAX 1e15

struct scene_base {
    unsigned magic; /* SCENE_BASE_MAGIC */
    char name[64], version[64];
    struct digest digest; /* of the file's bytes, seed 0 */
    uint32_t scene_count;
    struct scene scenes[SCENES_MAX];
    struct scene_dimension dimensions[DIMENSION_COUNT];
    struct anomaly_set anomaly[ANOMALY_COUNT];
    struct scene_reference reference;
    struct feature_set features; /* all that it needs */
    bool needs_batch_scope;
    char *metadata;      /* the JSON text */
    struct arena *arena; /* owned; everything above lies in it */
};
enum { SCENE_BASE_MAGIC = 0x5ce4eba5 };

/* Refuses with FAULT_model and the reason: a checksum that does not match (seal.h), shapes, order and overlap of tensors, finite numbers,
 * known features, scene indices, ascending tables, sizes before anything is taken. bytes are not kept. */
enum fault scene_base_read(struct scene_base **out, const unsigned char *bytes, size_t byte_count, struct fault_note *note);
enum fault scene_base_open(struct scene_base **out, const char *path, struct fault_note *note);
void scene_base_close(struct scene_base **base_p);
size_t scene_base_memory(size_t byte_count); /* that a base of so many bytes takes at the most */

/* The bytes of a file that reads back as base (out: memory_give). Needs names, scenes, dimensions (columns, panel's counts
 * and segment_first, centres, precisions, offsets) and anomaly sets (columns, points, point_stride, ensemble's point_count,
 * table); a reference when it has features. provenance, metrics: JSON objects as text, kept for people, or NULL. */
enum fault scene_base_write(char **out, size_t *out_bytes, const struct scene_base *base, const char *provenance, const char *metrics,
                            struct fault_note *note);

/* a = sqrt(l/2), b = -c·a, start = -offset (kernels.h), of count clusters. */
void scene_panel_pack(float *ab, float *start, const float *centres, const float *precisions, const float *offsets, uint32_t count,
                      uint32_t columns);

/* weight = -2c, start = |c|² (kernels.h), of count points. */
void scene_points_pack(float *weight, float *start, const float *points, uint32_t count, uint32_t columns);

/* Evidence e_s of TILE_ROWS rows from `at` on: bias_s − Σ_g weight_{s,g} · distance_{s,g}, in double, g in index order;
 * distance[g][s · stride + row]; a scene without clusters in g is skipped there. */
void scene_evidence(double (*restrict out)[TILE_ROWS], const struct scene_base *base, float *const distance[DIMENSION_COUNT], size_t stride,
                    size_t at);
/* Share of the set's reference table below the score. */
float scene_anomaly_calibrate(const struct anomaly_set *set, float score);
void scene_anomaly_calibrate_tile(float *restrict out, const struct anomaly_set *set, const float *restrict score); /* TILE_ROWS of them */
bool scene_has_clusters(const struct scene_base *base, int dimension, uint32_t scene);

/* One slice through one dimension's or anomaly set's columns into row tiles (compute calls it; the builder too). */
void scene_columns_tile(float *z, const struct scene_column *columns, uint32_t column_count, const struct feature_block *features,
                        const struct kernels *kernels, float *scratch);

#endif
