/* One pass over the file: history and features are worked out once, every base scores and decides each slice for itself. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "compute/device.h"
#include "intake/intake.h"
#include "pipeline/measured.h"
#include "verdict/verdict.h"

struct scoring {
    struct scene_base *base;
    const struct device_ops *ops;
    struct device *device;
    struct resident *resident;
    struct scratch *scratch;
    void *decide_scratch;
    struct strategy strategy;
    struct level_rules levels;
    struct batch results; /* one slice's decisions */
    struct scores scores;
    uint8_t names[SCENES_MAX]; /* of the base's scenes among the evaluation's */
    pthread_mutex_t lock;
};

static void scoring_close(struct scoring *scoring)
{
    if (scoring->scratch)
        scoring->ops->scratch_give(&scoring->scratch);
    if (scoring->resident)
        scoring->ops->release(&scoring->resident);
    if (scoring->device)
        scoring->ops->close(&scoring->device);
    scene_base_close(&scoring->base);
    batch_fini(&scoring->results);
    memory_give(scoring->decide_scratch);
    pthread_mutex_destroy(&scoring->lock);
}

static enum fault scoring_open(struct scoring *scoring, const struct evaluate_options *options, const char *path, struct fault_note *note)
{
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    const struct device_options device_options = {.cpu_mask = CPU_MASK_ALL, .name = options->device};
    pthread_mutex_init(&scoring->lock, NULL);
    scoring->levels = options->past.config ? options->past.config->levels : LEVEL_RULES_DEFAULT;
    if (options->past.config)
        scoring->strategy = options->past.config->strategy;
    else
        strategy_default(&scoring->strategy);
    scoring->decide_scratch = memory_take_aligned(decide_scratch_bytes(), 64);
    scoring->ops = device_find(options->device);
    if (!scoring->ops)
        return fault_set(note, FAULT_device, ROW_NONE, COLUMN_NONE, "no device %.40s in this build", options->device);
    if (!scoring->decide_scratch)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score the transfers");
    enum fault fault = scene_base_open(&scoring->base, path, note);
    if (fault == FAULT_NONE)
        fault = strategy_bind(&scoring->strategy, scoring->base, note);
    if (fault == FAULT_NONE)
        fault = batch_init(&scoring->results, batch_arena_bytes(&limits, SLICE_ROWS, 0), note);
    if (fault == FAULT_NONE)
        fault = scoring->ops->open(&scoring->device, &device_options, note);
    if (fault == FAULT_NONE)
        fault = scoring->ops->prepare(&scoring->resident, scoring->device, scoring->base, note);
    if (fault == FAULT_NONE)
        fault = scoring->ops->scratch_take(&scoring->scratch, scoring->resident, note);
    return fault;
}

/* Decisions of one slice, as rows 0 … of scoring->results. */
static enum fault decide(struct scoring *scoring, const struct past_slice *slice, struct fault_note *note)
{
    struct batch *results = &scoring->results;
    struct arena arena = results->arena;
    arena_reset(&arena);
    scoring->scores = (struct scores){0};
    *results = (struct batch){.magic = (unsigned)BATCH_MAGIC, .op = OP_score, .row_count = slice->count, .arena = arena};
    enum fault fault = batch_take_checks(results, 0, note);
    if (fault == FAULT_NONE)
        fault = batch_take_results(results, note);
    if (fault == FAULT_NONE)
        fault = scoring->ops->score(&scoring->scores, scoring->scratch, scoring->resident, &slice->features, note);
    if (fault != FAULT_NONE)
        return fault;
    memcpy(results->facts.invalid, slice->batch->facts.invalid + slice->first, slice->count);
    const struct decide_input input = {.base = scoring->base,
                                       .without_reasons = true,
                                       .strategy = &scoring->strategy,
                                       .levels = &scoring->levels,
                                       .scores = &scoring->scores,
                                       .features = &slice->features,
                                       .kernels = scoring->ops->kernels(scoring->device)};
    return verdict_decide(results, 0, slice->count, &input, scoring->decide_scratch, &scoring->lock, note);
}

static void tell_row(const struct measured *measured, const struct scoring *scorings, const struct metrics_row *rows, struct text transfer,
                     uint32_t i)
{
    struct evaluated_row each = {.transfer = transfer};
    for (uint32_t s = 0; s < measured->out->side_count; s++)
        each.scores[s] = (struct evaluated_score){.scene = scorings[s].base->scenes[scorings[s].results.results.scene[i]].name,
                                                  .risk = rows[s].score,
                                                  .match = rows[s].match,
                                                  .anomaly = metrics_score_of(&rows[s], METRICS_ANOMALY),
                                                  .alerted = rows[s].alerted};
    measured->options->each(measured->options->context, &each);
}

static enum fault measure_row(struct measured *measured, const struct scoring *scorings, const struct past_slice *slice, uint32_t i)
{
    const struct batch *batch = slice->batch;
    uint32_t row = slice->first + i;
    struct metrics_row out[EVALUATE_SIDES];
    uint8_t label;
    enum fault fault = measured_label(&label, measured, batch, row);
    for (uint32_t s = 0; s < measured->out->side_count; s++) {
        const struct results *results = &scorings[s].results.results;
        out[s] = (struct metrics_row){.score = results->risk[i],
                                      .match = results->match[i],
                                      .anomaly_own = results->anomaly_own[i],
                                      .anomaly_linked = results->anomaly_linked[i],
                                      .label = label,
                                      .named = scorings[s].names[results->scene[i]],
                                      .alerted = results->verdict[i] != VERDICT_PASS,
                                      .day = (uint32_t)(batch->facts.time_us[row] / US_PER_DAY),
                                      .account = batch->facts.payer[row],
                                      .amount = batch->facts.amount[row]};
    }
    if (fault == FAULT_NONE)
        fault = measured_add(measured, out, batch->facts.time_us[row]);
    if (fault == FAULT_NONE && measured->options->each)
        tell_row(measured, scorings, out, column_text(&batch->columns[COLUMN_transfer_id], row), i);
    if (fault == FAULT_NONE)
        shift_sample_add(&measured->shift, &slice->features, i);
    return fault;
}

static enum fault measure_slice(struct measured *measured, struct scoring *scorings, const struct past_slice *slice)
{
    const struct evaluate_options *options = measured->options;
    enum fault fault = FAULT_NONE;
    if (!slice->has_features)
        return FAULT_NONE;
    for (uint32_t s = 0; s < measured->out->side_count && fault == FAULT_NONE; s++)
        fault = decide(&scorings[s], slice, measured->note);
    if (fault == FAULT_NONE)
        base_drift_add(&measured->drift, options, slice, &scorings[0].results.results, scorings[0].scores.distance);
    for (uint32_t i = 0; fault == FAULT_NONE && i < slice->count; i++) {
        int64_t time_us = slice->batch->facts.time_us[slice->first + i];
        if (!slice->batch->facts.invalid[slice->first + i] && time_us >= options->from_us && time_us < options->to_us)
            fault = measure_row(measured, scorings, slice, i);
    }
    return fault;
}

static enum fault measure_past(struct measured *measured, struct scoring *scorings)
{
    struct past_options options = measured->options->past;
    struct past *past = NULL;
    struct past_slice slice;
    options.wanted = scorings[0].base->features;
    for (size_t i = 0; measured->out->side_count > 1 && i < sizeof options.wanted.bits / sizeof *options.wanted.bits; i++)
        options.wanted.bits[i] |= scorings[1].base->features.bits[i];
    options.from_us = measured->options->from_us;
    options.kernels = scorings[0].ops->kernels(scorings[0].device);
    enum fault fault = shift_sample_init(&measured->shift, &options.wanted, measured->note);
    if (fault == FAULT_NONE)
        fault = base_drift_init(&measured->drift, scorings[0].base, options.batch_rows, measured->note);
    if (fault == FAULT_NONE)
        fault = past_open(&past, &options, measured->note);
    while (fault == FAULT_NONE) {
        fault = past_next(past, &slice, measured->note);
        if (fault != FAULT_NONE || slice.count == 0)
            break;
        fault = measure_slice(measured, scorings, &slice);
    }
    if (past) {
        measured->out->rows_read = past_rows(past);
        measured->out->rows_invalid = past_rows_invalid(past);
        snprintf(measured->out->invalid_first, sizeof measured->out->invalid_first, "%s", past_first_check(past));
    }
    past_close(&past);
    if (fault == FAULT_NONE)
        fault = base_drift_tell(measured->out, &measured->drift, measured->note);
    base_drift_fini(&measured->drift);
    return fault;
}

static enum fault name_scenes(struct measured *measured, struct scoring *scoring, struct evaluated *side)
{
    const struct scene_base *base = scoring->base;
    memcpy(side->base_name, base->name, sizeof side->base_name);
    memcpy(side->base_version, base->version, sizeof side->base_version);
    digest_to_hex(side->base_digest, base->digest);
    side->is_scene[0] = true;
    for (uint32_t s = 1; s < base->scene_count; s++) {
        enum fault fault = measured_scene(&scoring->names[s], measured, text_of(base->scenes[s].name));
        if (fault != FAULT_NONE)
            return fault;
        side->is_scene[scoring->names[s]] = true;
    }
    return FAULT_NONE;
}

enum fault measure_base(struct measured *measured)
{
    struct evaluation *out = measured->out;
    const struct config *config = measured->options->past.config;
    enum fault fault = FAULT_NONE;
    uint32_t opened = 0;
    struct scoring *scorings = memory_take_zeroed(EVALUATE_SIDES, sizeof *scorings);
    if (!scorings)
        return fault_set(measured->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score the transfers");
    out->scene_count = 1;
    snprintf(out->scene_names[0], sizeof out->scene_names[0], "background");
    out->knows_alerts = out->knows_scenes = out->knows_match = out->knows_anomaly = true;
    snprintf(out->currency, sizeof out->currency, "%s", config ? config->reference_currency : "EUR");
    out->decimals = (uint32_t)currency_exponent(out->currency);
    for (; opened < out->side_count && fault == FAULT_NONE; opened++) {
        fault = scoring_open(&scorings[opened], measured->options, measured->options->base_paths[opened], measured->note);
        if (fault == FAULT_NONE)
            fault = name_scenes(measured, &scorings[opened], &out->sides[opened]);
    }
    if (fault == FAULT_NONE)
        fault = measure_past(measured, scorings);
    while (opened > 0)
        scoring_close(&scorings[--opened]);
    memory_give(scorings);
    return fault;
}
