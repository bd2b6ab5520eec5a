/* The steps of a build in their order; everything taken on the way is given back here. */
#include "scene/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "scene/builder.h"
#include "scene/golden.h"
#include "base/json.h"

enum { PRECISION_MAX = 25, PRECISION_TRIES = 6 };

void build_say(const struct builder *builder, const char *format, ...)
{
    char text[160];
    if (!builder->options->progress)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    builder->options->progress(text);
}

enum fault build_no_memory(struct builder *builder)
{
    return fault_set(builder->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to build a scene base");
}

static void name_scenes(struct builder *builder)
{
    const struct build_options *options = builder->options;
    struct scene_base *draft = &builder->draft;
    snprintf(draft->name, sizeof draft->name, "%s", options->name);
    snprintf(draft->version, sizeof draft->version, "%s", options->version);
    draft->scene_count = options->scene_count;
    snprintf(draft->scenes[0].name, sizeof draft->scenes[0].name, "background");
    for (uint32_t s = 1; s < options->scene_count; s++) {
        snprintf(draft->scenes[s].name, sizeof draft->scenes[s].name, "%s", options->scene_names[s]);
        snprintf(draft->scenes[s].risk_type, sizeof draft->scenes[s].risk_type, "%s", options->risk_types[s]);
        draft->scenes[s].threshold = 0.5f;
    }
}

/* The golden rows' match must not move by more than MATCH_ERROR_MAX under float: softer edges until it does not. */
static enum fault fit_scenes(struct builder *builder)
{
    struct random start = builder->random;
    for (int attempt = 0; attempt < PRECISION_TRIES; attempt++) {
        double error = 0.0;
        builder->random = start;
        enum fault fault = build_clusters(builder);
        if (fault == FAULT_NONE)
            fault = build_train(builder);
        if (fault == FAULT_NONE)
            fault = build_base(builder);
        if (fault == FAULT_NONE)
            fault = build_match_error(builder, &error);
        if (fault != FAULT_NONE)
            return fault;
        build_say(builder, "precisions up to %g: a match errs by %.1e at most", builder->precision_max, error);
        if (error <= MATCH_ERROR_MAX)
            return FAULT_NONE;
        builder->precision_max /= 2.0;
    }
    return fault_set(builder->note, FAULT_model, ROW_NONE, COLUMN_NONE, "matches cannot be told to within %g", MATCH_ERROR_MAX);
}

static enum fault build_steps(struct builder *builder)
{
    enum fault fault = build_scores_take(builder);
    if (fault == FAULT_NONE)
        fault = build_pick(builder);
    if (fault == FAULT_NONE)
        fault = build_columns(builder);
    if (fault == FAULT_NONE)
        fault = build_anomaly(builder);
    if (fault == FAULT_NONE)
        fault = fit_scenes(builder);
    if (fault == FAULT_NONE)
        fault = build_validate(builder);
    if (fault == FAULT_NONE)
        fault = build_calibrate(builder);
    if (fault == FAULT_NONE)
        fault = build_reference(builder);
    if (fault == FAULT_NONE)
        fault = build_base(builder);
    return fault;
}

static enum fault write_result(struct build_result *out, struct builder *builder)
{
    char *metrics = build_metrics(builder);
    enum fault fault =
        metrics ? scene_base_write(&out->bytes, &out->byte_count, &builder->draft, builder->options->provenance, metrics, builder->note)
                : build_no_memory(builder);
    json_text_give(metrics);
    if (fault != FAULT_NONE)
        return fault;
    scene_base_close(&builder->base);
    fault = scene_base_read(&builder->base, (const unsigned char *)out->bytes, out->byte_count, builder->note);
    if (fault == FAULT_NONE)
        fault = golden_write(&out->golden, &out->golden_byte_count, builder->base, builder->train, builder->options->seed, builder->note);
    return fault;
}

static void builder_fini(struct builder *builder)
{
    memory_give(builder->picked.row);
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        memory_give(builder->picked.column[f]);
    build_scores_give(builder);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        clusters_fini(&builder->clusters[g]);
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        memory_give(builder->points[i]);
        memory_give(builder->table[i]);
    }
    scene_base_close(&builder->base);
    team_close(&builder->team);
    memory_give(builder);
}

enum fault scene_build(struct build_result *out, const struct build_options *options, const struct build_sample *train,
                       const struct build_sample *validate, const struct build_sample *later, struct fault_note *note)
{
    *out = (struct build_result){0};
    struct builder *builder = memory_take_zeroed(1, sizeof *builder);
    if (!builder)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to build a scene base");
    builder->options = options;
    builder->train = train;
    builder->validate = validate;
    builder->later = later;
    builder->note = note;
    builder->random.state = options->seed;
    builder->precision_max = PRECISION_MAX;
    builder->kernels = options->kernels ? *options->kernels : kernels_ref;
    builder->team = team_open(options->thread_count);
    name_scenes(builder);
    enum fault fault = build_steps(builder);
    if (fault == FAULT_NONE)
        fault = write_result(out, builder);
    out->validation = builder->validation;
    builder_fini(builder);
    if (fault != FAULT_NONE)
        build_result_fini(out);
    return fault;
}

void build_result_fini(struct build_result *result)
{
    memory_give(result->bytes);
    memory_give(result->golden);
    *result = (struct build_result){0};
}
