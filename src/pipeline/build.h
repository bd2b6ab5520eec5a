#ifndef SLUICE_PIPELINE_BUILD_H
#define SLUICE_PIPELINE_BUILD_H

#include "pipeline/past.h"
#include "scene/build.h"

enum { SEEDS_MAX = 64 };

/* `sluice build`: past transfers of a file into a scene base. Rows before the training window only fill history; rows from
 * train_to_us to validate_to_us choose the seed and calibrate, those from there to until_us set thresholds. An empty label counts as
 * background in training and as unknown behind it. */
struct base_build_options {
    struct past_options past;   /* wanted and from_us are set here */
    struct build_options build; /* scenes, features, kernels and provenance are set here */
    int64_t train_from_us, train_to_us, validate_to_us, until_us;
    uint32_t seed_count; /* 0: the one of build */
    uint64_t seeds[SEEDS_MAX];
    struct feature_set include, exclude; /* include empty: every feature that a file can give */
    bool labelled_only;                  /* rows without a label are not background in training, they only fill the history */
    bool batch_features;                 /* use batch-scope features: batches of the file stand for the submitters' */
    uint32_t rows_max;                   /* feature rows held at once, of each window; beyond, background is thinned */
    uint32_t scene_rows_least;           /* labels of fewer rows in the training window make no scene */
    uint32_t risk_type_count;
    struct {
        const char *scene, *risk_type;
    } risk_types[SCENES_MAX]; /* others: the scene's own name */
    const char *stem;         /* STEM.safetensors, STEM.golden.safetensors and STEM.card.md are written */
    const char *folder;       /* made when it is not there; NULL: none to make */
    const char *page;         /* what the card names as the page of its figures; NULL: none */
    void (*progress)(const char *text);
};
#define BASE_ROWS_MAX_DEFAULT 500000

/* A feature, or every feature of a dimension; false: neither. */
bool base_features_add(struct feature_set *set, const char *name, size_t bytes);
enum fault base_build(const struct base_build_options *options, struct fault_note *note);

#endif
