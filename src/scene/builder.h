#ifndef SLUICE_SCENE_BUILDER_H
#define SLUICE_SCENE_BUILDER_H

#include "scene/build.h"
#include "scene/cluster.h"
#include "scene/metrics.h"
#include "scene/team.h"

/* What the steps of scene_build share; the steps follow each other in one thread, which shares parts of them with a team.
 * Everything taken is given back at the end. */

#define MATCH_ERROR_MAX 1e-5
enum { BUILD_COLUMNS_MAX = DIMENSION_COLUMNS_MAX };

struct picked { /* the training rows that are learned from: scene after scene, in order within each */
    uint32_t count;
    uint32_t scene_first[SCENES_MAX + 1];
    uint32_t *row;                /* chunk · SLICE_ROWS + lane */
    float *column[FEATURE_COUNT]; /* their values, of the features that vary among them */
    double background_weight;     /* rows that one picked background row stands for */
};

struct build_reference { /* what struct scene_reference of the draft points to */
    uint16_t feature[FEATURE_COUNT];
    float edges[FEATURE_COUNT][REFERENCE_EDGES], far[DIMENSION_COUNT];
    uint32_t counts[FEATURE_COUNT][REFERENCE_BINS], known[FEATURE_COUNT][REFERENCE_SIDES];
    uint32_t scenes[SCENES_MAX], distances[DIMENSION_COUNT][REFERENCE_SIDES];
};

struct builder {
    const struct build_options *options;
    const struct build_sample *train, *validate, *later;
    double validation;
    struct fault_note *note;
    struct random random;
    struct kernels kernels;
    struct team *team;
    struct chunk_scores *scores[TEAM_THREADS_MAX];
    double precision_max;
    struct picked picked;
    struct scene_base draft; /* what scene_base_write asks for */
    struct scene_column columns[DIMENSION_COUNT + ANOMALY_COUNT][BUILD_COLUMNS_MAX];
    uint32_t segment_first[DIMENSION_COUNT][SCENES_MAX + 1];
    struct clusters clusters[DIMENSION_COUNT]; /* of all scenes, in scene order */
    float *points[ANOMALY_COUNT], *table[ANOMALY_COUNT];
    struct scene_base *base; /* the draft as scoring reads it */
    struct build_reference reference;
};

/* The steps, in order. */
enum fault build_pick(struct builder *builder);     /* which rows are learned from */
enum fault build_columns(struct builder *builder);  /* columns of dimensions and anomaly sets, mean and rscale */
enum fault build_clusters(struct builder *builder); /* of every scene and dimension */
enum fault build_anomaly(struct builder *builder);  /* points; table: build_calibrate */
enum fault build_train(struct builder *builder);    /* centres, precisions, biases */
float build_cross_entropy(float probability);       /* of a row whose label has that probability */
enum fault build_watch_pass(struct build_watch *watch, bool *is_best, struct builder *builder); /* a pass over the draft has ended */
bool build_watch_ended(const struct build_watch *watch, const struct build_options *options);   /* it is of no use to go on */
enum fault build_base(struct builder *builder);                       /* draft → base, by writing and reading it */
enum fault build_match_error(struct builder *builder, double *error); /* largest |match − match in double| over the picked rows */
enum fault build_validate(struct builder *builder);                   /* match told as often as it is right; figures */
enum fault build_calibrate(struct builder *builder);                  /* tables and thresholds; which scenes later rows reach */
enum fault build_reference(struct builder *builder);                  /* what traffic is held against */
char *build_metrics(struct builder *builder);                         /* JSON text (free) of figures on the later rows; NULL: memory */

/* Scores of one chunk under builder->base. */
struct chunk_scores {
    float *distance[DIMENSION_COUNT]; /* [scene][SLICE_ROWS] */
    float *z, *scratch;
    float *anomaly[ANOMALY_COUNT]; /* raw, [SLICE_ROWS] */
    double evidence[SCENES_MAX][SLICE_ROWS];
    double golden[SLICE_ROWS][SCENES_MAX]; /* evidence in double, of build_match_error */
};
/* Of every thread of the team, builder->scores. */
enum fault build_scores_take(struct builder *builder);
void build_scores_give(struct builder *builder);
void chunk_scenes_score(struct chunk_scores *out, const struct builder *builder, const struct feature_block *features);
void chunk_anomaly_score(struct chunk_scores *out, const struct builder *builder, const struct feature_block *features);

/* Best scene, its match, the label and what was scored of every row of a sample. */
struct matched {
    uint32_t count;
    struct metrics_row *rows; /* score: risk */
    float *match;
    float *amount;    /* log1p of it; 0 where it is not collected */
    double *evidence; /* [row][scene] against background; NULL unless asked for */
};
enum fault build_match(struct matched *out, struct builder *builder, const struct build_sample *sample, bool with_evidence);
void matched_fini(struct matched *matched);

struct feature_block build_slice(const struct builder *builder, uint32_t first, uint32_t count); /* borrowed: picked rows from first on */
/* The picked rows of one scene through columns into z; matrix_fini. */
enum fault build_matrix(struct matrix *out, const struct builder *builder, const struct scene_column *columns, uint32_t column_count,
                        uint8_t scene);
/* The picked rows named by order, one for each row of a matrix that is there. */
void build_tiles(const struct matrix *out, const struct builder *builder, const struct scene_column *columns, const uint32_t *order);
void matrix_fini(struct matrix *matrix); /* safe on zeroed memory */
void build_say(const struct builder *builder, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum fault build_no_memory(struct builder *builder);

#endif
