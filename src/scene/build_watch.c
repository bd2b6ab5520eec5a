/* How training goes, at the end of every pass: the loss of the rows learned from since the last time, and with rows to validate theirs
 * under the parameters as they are. The best of them are kept; training ends when the loss to validate has not been below the
 * least one for some passes. Sums in double in row order, logarithms by the twin: the same on any machine. */
#include "scene/builder.h"

#include <math.h>
#include <string.h>

#define PROBABILITY_LEAST 1e-7f

float build_cross_entropy(float probability)
{
    return -kernel_log(probability > PROBABILITY_LEAST ? probability : PROBABILITY_LEAST);
}

/* log(1 + Σ exp(d_s)) − d_label over the evidence against background. */
static double row_loss(const double *difference, uint32_t scenes, uint8_t label)
{
    double most = 0.0, sum = 0.0;
    for (uint32_t s = 1; s < scenes; s++)
        most = difference[s] > most ? difference[s] : most;
    for (uint32_t s = 0; s < scenes; s++)
        sum += (double)kernel_exp((float)fmax((s ? difference[s] : 0.0) - most, -80.0));
    return most + (double)kernel_log((float)sum) - (label ? difference[label] : 0.0);
}

static double mean_loss(const struct matched *matched, uint32_t scenes, double background_weight)
{
    double sum = 0.0, rows = 0.0;
    for (uint32_t i = 0; i < matched->count; i++) {
        const uint8_t label = matched->rows[i].label;
        const double weight = label == SCENE_UNKNOWN ? 0.0 : label == 0 ? background_weight : 1.0;
        if (weight > 0.0)
            sum += weight * row_loss(matched->evidence + (size_t)i * scenes, scenes, label);
        rows += weight;
    }
    return rows > 0.0 ? sum / rows : NAN;
}

/* The rows to validate under the draft as it is. */
static enum fault validate(struct build_watch *watch, struct builder *builder)
{
    struct matched matched;
    struct metrics metrics;
    const struct metrics_options options = {.scene_count = builder->options->scene_count};
    enum fault fault = build_base(builder);
    if (fault == FAULT_NONE)
        fault = build_match(&matched, builder, builder->validate, true);
    if (fault != FAULT_NONE)
        return fault;
    watch->validation_loss = mean_loss(&matched, builder->options->scene_count, builder->validate->background_weight);
    fault = metrics_measure(&metrics, matched.rows, matched.count, &options, builder->note);
    watch->average_precision = fault == FAULT_NONE && metrics.risky ? metrics.average_precision : NAN;
    matched_fini(&matched);
    return fault;
}

enum fault build_watch_pass(struct build_watch *watch, bool *is_best, struct builder *builder)
{
    enum fault fault = FAULT_NONE;
    *is_best = false;
    if (builder->validate->chunk_count && builder->options->patience)
        fault = validate(watch, builder);
    if (fault == FAULT_NONE && watch->validation_loss < watch->least_loss) {
        watch->least_loss = watch->validation_loss;
        watch->best_pass = watch->pass;
        *is_best = true;
    }
    if (fault == FAULT_NONE && builder->options->watch)
        builder->options->watch(watch);
    return fault;
}

bool build_watch_ended(const struct build_watch *watch, const struct build_options *options)
{
    return watch->best_pass && watch->pass - watch->best_pass >= options->patience;
}
