/* Rows behind the training window, labelled, make the match a share of how often it is right: one factor a for all evidence and a
 * shift b for each scene, which fold into weights and biases. They are the most likely ones given the labels, softmax(a · d + b) over
 * d = e_s − e_0, held near 1 and 0 by a weak prior; Newton's method, sums in double in row order. */
#include "scene/builder.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { ROUNDS = 20, SCENE_ROWS_LEAST = 10, PARAMETERS_MAX = SCENES_MAX };
#define PRIOR      1.0 /* of a and every b, in units of rows */
#define FACTOR_MIN 0.05
#define FACTOR_MAX 20.0

struct fit {
    uint32_t scenes; /* parameter 0: a, parameter s: b of scene s */
    bool is_free[PARAMETERS_MAX];
    double value[PARAMETERS_MAX], gradient[PARAMETERS_MAX], curve[PARAMETERS_MAX][PARAMETERS_MAX];
};

static void fit_row(struct fit *fit, const double *evidence, uint8_t label)
{
    double share[SCENES_MAX], sum = 1.0, mean = 0.0, square = 0.0;
    for (uint32_t s = 1; s < fit->scenes; s++) {
        double x = fit->value[0] * evidence[s] + fit->value[s];
        share[s] = (double)kernel_exp((float)(x > 80.0 ? 80.0 : x < -80.0 ? -80.0 : x));
        sum += share[s];
    }
    for (uint32_t s = 1; s < fit->scenes; s++) {
        share[s] /= sum;
        mean += share[s] * evidence[s];
        square += share[s] * evidence[s] * evidence[s];
    }
    fit->gradient[0] += mean - (label ? evidence[label] : 0.0);
    fit->curve[0][0] += square - mean * mean;
    for (uint32_t s = 1; s < fit->scenes; s++) {
        fit->gradient[s] += share[s] - (label == s);
        fit->curve[s][0] += share[s] * (evidence[s] - mean);
        for (uint32_t k = 1; k <= s; k++)
            fit->curve[s][k] += (k == s ? share[s] : 0.0) - share[s] * share[k];
    }
}

/* curve · step = gradient, by L · D · Lᵀ in place; parameters that are not free stay. */
static void fit_step(struct fit *fit)
{
    double(*c)[PARAMETERS_MAX] = fit->curve, *x = fit->gradient;
    uint32_t count = fit->scenes;
    for (uint32_t i = 0; i < count; i++) {
        c[i][i] += PRIOR;
        x[i] += PRIOR * (fit->value[i] - (i == 0));
        for (uint32_t k = 0; k < count; k++)
            if (k < i && !(fit->is_free[i] && fit->is_free[k]))
                c[i][k] = 0.0;
        x[i] = fit->is_free[i] ? x[i] : 0.0;
    }
    for (uint32_t j = 0; j < count; j++) {
        for (uint32_t k = 0; k < j; k++)
            c[j][j] -= c[j][k] * c[j][k] * c[k][k];
        for (uint32_t i = j + 1; i < count; i++) {
            for (uint32_t k = 0; k < j; k++)
                c[i][j] -= c[i][k] * c[j][k] * c[k][k];
            c[i][j] /= c[j][j];
        }
    }
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < i; k++)
            x[i] -= c[i][k] * x[k];
    for (uint32_t i = 0; i < count; i++)
        x[i] /= c[i][i];
    for (uint32_t i = count; i-- > 0;)
        for (uint32_t k = i + 1; k < count; k++)
            x[i] -= c[k][i] * x[k];
    for (uint32_t i = 0; i < count; i++)
        fit->value[i] -= x[i] > 1.0 ? 1.0 : x[i] < -1.0 ? -1.0 : x[i];
    fit->value[0] = fit->value[0] < FACTOR_MIN ? FACTOR_MIN : fit->value[0] > FACTOR_MAX ? FACTOR_MAX : fit->value[0];
}

static void fit_find(struct fit *fit, const struct matched *matched)
{
    for (int round = 0; round < ROUNDS; round++) {
        memset(fit->gradient, 0, sizeof fit->gradient);
        memset(fit->curve, 0, sizeof fit->curve);
        for (uint32_t i = 0; i < matched->count; i++)
            if (matched->rows[i].label != SCENE_UNKNOWN)
                fit_row(fit, matched->evidence + (size_t)i * fit->scenes, matched->rows[i].label);
        fit_step(fit);
    }
}

/* Which parameters the labels can tell; false: none. */
static bool fit_open(struct fit *fit, const struct matched *matched, uint32_t scenes)
{
    uint32_t rows[256] = {0};
    *fit = (struct fit){.scenes = scenes, .value = {1.0}};
    for (uint32_t i = 0; i < matched->count; i++)
        rows[matched->rows[i].label]++;
    for (uint32_t s = 1; s < scenes; s++) {
        fit->is_free[s] = rows[s] >= SCENE_ROWS_LEAST;
        fit->is_free[0] |= fit->is_free[s];
    }
    return fit->is_free[0] && rows[0] >= SCENE_ROWS_LEAST;
}

static void fit_fold(struct builder *builder, const struct fit *fit)
{
    struct scene_base *draft = &builder->draft;
    for (uint32_t s = 0; s < fit->scenes; s++) {
        draft->scenes[s].bias = (float)(fit->value[0] * (double)draft->scenes[s].bias + (s ? fit->value[s] : 0.0));
        for (int g = 0; g < DIMENSION_COUNT; g++)
            draft->scenes[s].weight[g] = (float)(fit->value[0] * (double)draft->scenes[s].weight[g]);
    }
}

/* Sharper evidence may make a match err by more than is allowed: then all stays as it was. */
static enum fault calibrate_match(struct builder *builder, const struct matched *matched)
{
    struct fit fit;
    struct scene scenes[SCENES_MAX];
    double error = 0.0;
    if (!fit_open(&fit, matched, builder->options->scene_count))
        return FAULT_NONE;
    memcpy(scenes, builder->draft.scenes, sizeof scenes);
    fit_find(&fit, matched);
    fit_fold(builder, &fit);
    enum fault fault = build_base(builder);
    if (fault == FAULT_NONE)
        fault = build_match_error(builder, &error);
    build_say(builder, "match: evidence times %.3f, from %u rows to validate%s", fit.value[0], matched->count,
              error <= MATCH_ERROR_MAX ? "" : "; not taken, a match would err by too much");
    if (fault != FAULT_NONE || error <= MATCH_ERROR_MAX)
        return fault;
    memcpy(builder->draft.scenes, scenes, sizeof scenes);
    return build_base(builder);
}

enum fault build_validate(struct builder *builder)
{
    struct matched matched;
    struct metrics metrics;
    const struct metrics_options options = {.scene_count = builder->options->scene_count};
    if (builder->validate->chunk_count == 0 || builder->options->scene_count < 2)
        return FAULT_NONE;
    enum fault fault = build_match(&matched, builder, builder->validate, true);
    if (fault != FAULT_NONE)
        return fault;
    fault = metrics_measure(&metrics, matched.rows, matched.count, &options, builder->note);
    if (fault == FAULT_NONE && metrics.risky)
        builder->validation = metrics.average_precision;
    if (fault == FAULT_NONE)
        fault = calibrate_match(builder, &matched);
    matched_fini(&matched);
    return fault;
}
