/* Multinomial logistic regression of the label on feature distances: e_s = β_s − Σ_g w_{s,g} δ_{s,g}, background included,
 * β_0 = 0. Whole-sample Adam (Kingma and Ba 2015) with a falling rate; a small pull of the weights to their start keeps
 * scenes of few rows sane. Sums in double in row order; exp is the twin's. */
#include "scene/builder.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { ROUNDS = 400, BLOCK_ROWS = 128, SCENE_PARAMETERS = 1 + DIMENSION_COUNT, PARAMETERS_MAX = SCENES_MAX * SCENE_PARAMETERS };
#define RATE         0.05
#define WEIGHT_START 0.5
#define WEIGHT_PULL  1.0 /* in nats per squared unit */
#define EVIDENCE_MAX 80.0

struct fit {
    const struct builder *builder;
    uint32_t scenes, rows;
    float *distance;                 /* [row][scene][dimension]; 0 where a dimension is skipped */
    double theta[PARAMETERS_MAX];    /* [scene]: bias, weights */
    double gradient[PARAMETERS_MAX], first[PARAMETERS_MAX], second[PARAMETERS_MAX];
};

static enum fault take_distances(struct fit *fit)
{
    const struct builder *builder = fit->builder;
    const struct picked *picked = &builder->picked;
    struct chunk_scores *scores;
    enum fault fault = chunk_scores_take(&scores, builder);
    if (fault != FAULT_NONE)
        return fault;
    uint32_t next = 0;
    for (uint32_t c = 0; c < builder->train->chunk_count; c++) {
        chunk_scenes_score(scores, builder, &builder->train->chunks[c]);
        for (; next < picked->count && picked->row[next] / SLICE_ROWS == c; next++)
            for (uint32_t s = 0; s < fit->scenes; s++)
                for (int g = 0; g < DIMENSION_COUNT; g++)
                    if (scene_has_clusters(builder->base, g, s))
                        fit->distance[((size_t)next * fit->scenes + s) * DIMENSION_COUNT + (size_t)g] =
                            scores->distance[g][s * SLICE_ROWS + picked->row[next] % SLICE_ROWS];
    }
    chunk_scores_give(&scores);
    return FAULT_NONE;
}

static double evidence_of(const struct fit *fit, const float *distance, uint32_t scene)
{
    const double *theta = fit->theta + scene * SCENE_PARAMETERS;
    double evidence = theta[0];
    for (int g = 0; g < DIMENSION_COUNT; g++)
        evidence -= theta[1 + g] * (double)distance[scene * DIMENSION_COUNT + (uint32_t)g];
    return evidence;
}

/* exp(e_s − e_0) of every row of the block and scene s ≥ 1. */
static void block_ratios(float *ratio, const struct fit *fit, uint32_t first, uint32_t count)
{
    uint32_t risky = fit->scenes - 1;
    for (uint32_t i = 0; i < count; i++) {
        const float *distance = fit->distance + (size_t)(first + i) * fit->scenes * DIMENSION_COUNT;
        double background = evidence_of(fit, distance, 0);
        for (uint32_t s = 0; s < risky; s++) {
            double difference = evidence_of(fit, distance, s + 1) - background;
            difference = difference < EVIDENCE_MAX ? difference : EVIDENCE_MAX;
            ratio[i * risky + s] = (float)(difference > -EVIDENCE_MAX ? difference : -EVIDENCE_MAX);
        }
    }
    fit->builder->kernels.exp(ratio, ratio, (size_t)count * risky);
}

static void add_gradient(struct fit *fit, uint32_t row, uint32_t scene, double residual)
{
    const float *distance = fit->distance + ((size_t)row * fit->scenes + scene) * DIMENSION_COUNT;
    double *gradient = fit->gradient + scene * SCENE_PARAMETERS;
    gradient[0] += residual;
    for (int g = 0; g < DIMENSION_COUNT; g++)
        gradient[1 + g] -= residual * (double)distance[g];
}

static void sum_gradient(struct fit *fit)
{
    const struct picked *picked = &fit->builder->picked;
    float ratio[BLOCK_ROWS * SCENES_MAX];
    uint32_t risky = fit->scenes - 1;
    memset(fit->gradient, 0, sizeof fit->gradient);
    for (uint32_t first = 0; first < fit->rows; first += BLOCK_ROWS) {
        uint32_t count = fit->rows - first < BLOCK_ROWS ? fit->rows - first : BLOCK_ROWS;
        block_ratios(ratio, fit, first, count);
        for (uint32_t i = 0; i < count; i++) {
            uint8_t label = picked->scene[first + i];
            double weight = label ? 1.0 : picked->background_weight, sum = 1.0;
            for (uint32_t s = 0; s < risky; s++)
                sum += (double)ratio[i * risky + s];
            add_gradient(fit, first + i, 0, weight * (1.0 / sum - (label == 0)));
            for (uint32_t s = 0; s < risky; s++)
                add_gradient(fit, first + i, s + 1, weight * ((double)ratio[i * risky + s] / sum - (label == s + 1)));
        }
    }
}

static void step(struct fit *fit, int round)
{
    const double keep_first = 0.9, keep_second = 0.99, small = 1e-9;
    double rate = RATE * (double)(ROUNDS - round) / ROUNDS, bias_first = 1.0, bias_second = 1.0;
    for (int i = 0; i <= round; i++) {
        bias_first *= keep_first;
        bias_second *= keep_second;
    }
    for (uint32_t i = 1; i < fit->scenes * SCENE_PARAMETERS; i++) {
        double gradient = fit->gradient[i];
        if (i % SCENE_PARAMETERS != 0)
            gradient += 2.0 * WEIGHT_PULL * (fit->theta[i] - WEIGHT_START);
        fit->first[i] = keep_first * fit->first[i] + (1.0 - keep_first) * gradient;
        fit->second[i] = keep_second * fit->second[i] + (1.0 - keep_second) * gradient * gradient;
        fit->theta[i] -= rate * fit->first[i] / (1.0 - bias_first) / (sqrt(fit->second[i] / (1.0 - bias_second)) + small);
    }
}

static void start(struct fit *fit)
{
    const struct picked *picked = &fit->builder->picked;
    double rows[SCENES_MAX] = {0};
    for (uint32_t i = 0; i < picked->count; i++)
        rows[picked->scene[i]] += picked->scene[i] ? 1.0 : picked->background_weight;
    for (uint32_t s = 0; s < fit->scenes; s++) {
        fit->theta[s * SCENE_PARAMETERS] = s ? (double)kernel_log((float)(rows[s] / rows[0])) : 0.0;
        for (int g = 0; g < DIMENSION_COUNT; g++)
            fit->theta[s * SCENE_PARAMETERS + 1 + (uint32_t)g] = WEIGHT_START;
    }
}

static void keep(const struct fit *fit, struct scene_base *base)
{
    for (uint32_t s = 0; s < fit->scenes; s++) {
        base->scenes[s].bias = (float)fit->theta[s * SCENE_PARAMETERS];
        for (int g = 0; g < DIMENSION_COUNT; g++)
            base->scenes[s].weight[g] = base->dimensions[g].column_count ? (float)fit->theta[s * SCENE_PARAMETERS + 1 + (uint32_t)g] : 0.0f;
    }
}

enum fault build_weights(struct builder *builder)
{
    struct fit *fit = memory_take_zeroed(1, sizeof *fit);
    if (!fit)
        return build_no_memory(builder);
    fit->builder = builder;
    fit->scenes = builder->options->scene_count;
    fit->rows = builder->picked.count;
    fit->distance = memory_take_zeroed((size_t)fit->rows * fit->scenes, DIMENSION_COUNT * sizeof *fit->distance);
    enum fault fault = fit->distance ? take_distances(fit) : build_no_memory(builder);
    if (fault == FAULT_NONE) {
        start(fit);
        for (int round = 0; fit->scenes > 1 && round < ROUNDS; round++) {
            sum_gradient(fit);
            step(fit, round);
        }
        keep(fit, &builder->draft);
        keep(fit, builder->base);
    }
    memory_give(fit->distance);
    memory_give(fit);
    return fault;
}
