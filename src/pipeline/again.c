/* What a row was decided under is found again, its features are worked out by the walk, scored by the processor's kernels and held
 * to what was recorded. */
#include "pipeline/again.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "pipeline/again_walk.h"
#include "pipeline/internal.h"

enum {
    BASE_BYTES_MAX = 4 << 20, /* of a base that no longer runs */
    BASES_HELD = 4,           /* it, as read, as packed, and what scores on it */
    COLUMN_FLOATS = 4 * TILE_ROWS,
};

struct remaking {
    struct again again;
    struct walking walking;
    struct scene_base *own_base; /* one that no longer runs */
    struct config *own_config;
    struct strategy strategy;
    struct level_rules levels;
    bool has_rules;
    bool tenant_judges; /* by rules of its own, which are not looked at again */
    struct device *device;
    struct resident *resident;
    struct scratch *scratch;
    struct batch scored; /* the one row */
    void *decide_scratch;
    float *columns;
    pthread_mutex_t lock;
    struct recorded {
        uint8_t verdict, level, cause, scene, runner_up, flags;
        float numbers[5 + DIMENSION_COUNT];
    } recorded;
};

static enum fault not_exact(struct again *again, const char *why)
{
    again->is_exact = false;
    if (again->why[0] == '\0')
        snprintf(again->why, sizeof again->why, "%s", why);
    return FAULT_NONE;
}

static size_t columns_bytes(void)
{
    return (size_t)(FEATURE_COUNT + FIGURE_COUNT) * COLUMN_FLOATS * sizeof(float);
}

uint64_t again_bytes(const struct config *config, uint64_t base_bytes, uint64_t scratch_bytes)
{
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    uint64_t together = feature_in_batch_bytes(config->limits.rows_max) + config->limits.rows_max;
    uint64_t bases = BASES_HELD * (base_bytes > BASE_BYTES_MAX ? base_bytes : (uint64_t)BASE_BYTES_MAX) + scratch_bytes;
    return sizeof(struct remaking) + history_bytes(&walk_limits) + columns_bytes() + change_bytes() + decide_scratch_bytes() + together +
           batch_arena_bytes(&limits, 1, 0) + bases + sizeof(struct config) + CONFIG_BYTES_MAX;
}

/* --- under what it was decided -------------------------------------------------------------------------------------- */

static enum fault config_read(void **out, size_t *out_bytes, struct pipeline *pipeline, const char *hex, struct fault_note *note)
{
    struct digest digest;
    *out = NULL;
    if (!digest_from_hex(&digest, hex, strlen(hex)))
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "none is named");
    return pipeline->ledger_ops->document_get(pipeline->ledger, "config", digest, out, out_bytes, note);
}

static enum fault base_find(struct remaking *remaking, struct pipeline *pipeline, const struct epoch *epoch, const char *hex)
{
    struct again *again = &remaking->again;
    struct fault_note why = {0};
    struct digest digest;
    char *bytes = NULL;
    size_t byte_count = 0;
    if (hex[0] == '\0')
        return not_exact(again, "no scene base was there");
    if (epoch->base && strcmp(epoch->base_hex, hex) == 0)
        return again->base = epoch->base, FAULT_NONE;
    enum fault fault = digest_from_hex(&digest, hex, strlen(hex))
                           ? base_bytes_read(&bytes, &byte_count, pipeline, digest, &why)
                           : fault_set(&why, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no base is named");
    if (fault == FAULT_NONE && byte_count > BASE_BYTES_MAX)
        fault =
            fault_set(&why, FAULT_limit, ROW_NONE, COLUMN_NONE, "its scene base no longer runs and has more than %d bytes", BASE_BYTES_MAX);
    if (fault == FAULT_NONE)
        fault = scene_base_read(&remaking->own_base, (const unsigned char *)bytes, byte_count, &why);
    memory_give(bytes);
    again->base = remaking->own_base;
    return fault == FAULT_NONE ? FAULT_NONE : not_exact(again, why.text);
}

/* The rules of then: without them, what would have passed is not known. */
static void rules_find(struct remaking *remaking, struct pipeline *pipeline, const struct epoch *epoch, const char *hex, struct text tenant)
{
    const struct config *config = strcmp(epoch->config_hex, hex) == 0 ? epoch->config : NULL;
    struct fault_note why = {0};
    void *bytes = NULL;
    size_t byte_count = 0;
    if (!config && config_read(&bytes, &byte_count, pipeline, hex, &why) == FAULT_NONE &&
        config_open_recorded(&remaking->own_config, bytes, byte_count, &why) == FAULT_NONE)
        config = remaking->own_config;
    memory_give(bytes);
    strategy_default(&remaking->strategy);
    remaking->levels = LEVEL_RULES_DEFAULT;
    if (!config)
        return;
    remaking->has_rules = true;
    remaking->strategy = config->strategy;
    remaking->levels = config->levels;
    for (uint32_t i = 0; i < config->tenant_count; i++)
        if (text_equal(tenant, text_of(config->tenants[i].name)))
            remaking->levels = config_levels(config, i), remaking->tenant_judges = config->tenants[i].rules != NULL;
}

/* --- scores --------------------------------------------------------------------------------------------------------- */

static void recorded_take(struct recorded *out, const struct results *results, uint32_t row)
{
    const float *const numbers[] = {results->match, results->runner_match, results->risk, results->anomaly_own, results->anomaly_linked};
    *out = (struct recorded){.verdict = (results->would ? results->would : results->verdict)[row],
                             .level = results->level[row],
                             .cause = results->cause[row],
                             .scene = results->scene[row],
                             .runner_up = results->runner_up[row]};
    for (unsigned i = 0; i < 5; i++)
        out->numbers[i] = numbers[i][row];
    for (unsigned g = 0; g < DIMENSION_COUNT; g++)
        out->numbers[5 + g] = results->distance[g][row];
}

static bool is_as_recorded(const struct remaking *remaking)
{
    const struct recorded *then = &remaking->recorded;
    struct recorded now;
    recorded_take(&now, &remaking->scored.results, 0);
    bool same = memcmp(now.numbers, then->numbers, sizeof now.numbers) == 0 && now.scene == then->scene && now.runner_up == then->runner_up;
    return same && (!remaking->has_rules || remaking->tenant_judges ||
                    (now.verdict == then->verdict && now.level == then->level && now.cause == then->cause));
}

static void scores_take(struct again *again, const struct decide_input *in)
{
    const struct scene_base *base = again->base;
    double evidence[SCENES_MAX][TILE_ROWS];
    scene_evidence(evidence, base, in->scores->distance, SLICE_ROWS, 0);
    for (uint32_t s = 0; s < base->scene_count; s++) {
        again->evidence[s] = evidence[s][0];
        for (int g = 0; g < DIMENSION_COUNT; g++)
            again->distance[g][s] = scene_has_clusters(base, g, s) ? in->scores->distance[g][(size_t)s * SLICE_ROWS] : 0.0f;
        again->match[s] = s ? verdict_match(evidence[s][0] - evidence[0][0]) : 0.0f;
    }
    explain_scene_whole(&again->of_scene, in, 0, again->scene);
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        again->anomaly[i] = base->anomaly[i].ensemble.point_count ? in->scores->anomaly[i][0] : 0.0f;
        explain_anomaly_whole(&again->of_anomaly[i], in, 0, i);
    }
}

static enum fault scored_open(struct remaking *remaking, const struct epoch *epoch, struct fault_note *note)
{
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    const struct device_options options = {.cpu_mask = epoch->config->cpu_mask};
    struct batch *scored = &remaking->scored;
    remaking->decide_scratch = memory_take_aligned(decide_scratch_bytes(), 64);
    if (!remaking->decide_scratch)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score a transfer again");
    enum fault fault = batch_init(scored, batch_arena_bytes(&limits, 1, 0), note);
    if (fault == FAULT_NONE) {
        scored->op = OP_score, scored->row_count = 1;
        fault = batch_take_checks(scored, 0, note);
    }
    if (fault == FAULT_NONE)
        fault = batch_take_results(scored, note);
    if (fault == FAULT_NONE)
        fault = device_cpu.open(&remaking->device, &options, note);
    if (fault == FAULT_NONE)
        fault = device_cpu.prepare(&remaking->resident, remaking->device, remaking->again.base, note);
    if (fault == FAULT_NONE)
        fault = device_cpu.scratch_take(&remaking->scratch, remaking->resident, note);
    if (fault == FAULT_NONE)
        remaking->again.kernels = device_cpu.kernels(remaking->device);
    return fault;
}

static enum fault change_look(struct remaking *remaking, struct fault_note *note)
{
    struct again *again = &remaking->again;
    const struct change_input input = {.base = again->base,
                                       .strategy = &remaking->strategy,
                                       .levels = &remaking->levels,
                                       .device_ops = &device_cpu,
                                       .kernels = again->kernels,
                                       .resident = remaking->resident,
                                       .scratch = remaking->scratch,
                                       .row = &again->features};
    again->could_change = remaking->has_rules && !remaking->tenant_judges && remaking->recorded.verdict != VERDICT_PASS &&
                          remaking->recorded.cause < CAUSE_CHECK;
    return again->could_change ? change_find(&again->change, &input, note) : FAULT_NONE;
}

static enum fault score_again(struct remaking *remaking, struct fault_note *note)
{
    struct again *again = &remaking->again;
    struct scores scores;
    enum fault fault = device_cpu.score(&scores, remaking->scratch, remaking->resident, &again->features, note);
    const struct decide_input input = {.base = again->base,
                                       .strategy = &remaking->strategy,
                                       .levels = &remaking->levels,
                                       .scores = &scores,
                                       .features = &again->features,
                                       .kernels = again->kernels};
    remaking->scored.facts.flags = &remaking->recorded.flags;
    if (fault == FAULT_NONE)
        fault = verdict_decide(&remaking->scored, 0, 1, &input, remaking->decide_scratch, &remaking->lock, note);
    if (fault != FAULT_NONE)
        return fault;
    if (!is_as_recorded(remaking))
        return not_exact(again, walk_held_all(&remaking->walking)
                                    ? "records of its accounts or devices had given way, or came before the rows that are kept: the "
                                      "features of then are not known"
                                    : "too many transfers touch its accounts, devices and addresses");
    again->is_exact = true;
    again->scene = remaking->recorded.scene;
    scores_take(again, &input);
    return change_look(remaking, note);
}

/* --- the whole ------------------------------------------------------------------------------------------------------ */

/* What the row names, and what it was recorded with; the walk comes to it again at its end. */
static enum fault row_look(struct remaking *remaking, struct pipeline *pipeline, const struct epoch *epoch, const char *config_hex,
                           struct fault_note *note)
{
    struct walking *walking = &remaking->walking;
    struct batch batch;
    enum fault fault = pipeline->ledger_ops->read(pipeline->ledger, &batch, walking->sequence, note);
    if (fault != FAULT_NONE)
        return fault;
    uint32_t row = walking->row;
    MUST(batch.op == OP_screen && row < batch.row_count);
    recorded_take(&remaking->recorded, &batch.results, row);
    remaking->recorded.flags = batch.facts.flags ? batch.facts.flags[row] : 0;
    walk_look(walking, &batch);
    rules_find(remaking, pipeline, epoch, config_hex, batch.tenant);
    if (batch.facts.invalid[row])
        not_exact(&remaking->again, "it failed a check and was not scored");
    batch_fini(&batch);
    return FAULT_NONE;
}

static enum fault columns_take(struct remaking *remaking, struct fault_note *note)
{
    struct again *again = &remaking->again;
    remaking->columns = memory_take_aligned(columns_bytes(), 64);
    if (!remaking->columns)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score a transfer again");
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        again->figures.column[f] = remaking->columns + (size_t)f * COLUMN_FLOATS;
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        if (again->base->features.bits[f / 64] >> f % 64 & 1)
            again->features.column[f] = remaking->columns + (size_t)(FIGURE_COUNT + f) * COLUMN_FLOATS;
    return FAULT_NONE;
}

static enum fault make(struct remaking *remaking, struct pipeline *pipeline, const struct epoch *epoch, const struct stored_names *stored,
                       struct fault_note *note)
{
    struct again *again = &remaking->again;
    const struct reply_names *names = &stored->names;
    enum fault fault = row_look(remaking, pipeline, epoch, names->config_digest, note);
    if (fault == FAULT_NONE && !again->why[0])
        fault = base_find(remaking, pipeline, epoch, names->base_digest);
    if (fault != FAULT_NONE || again->why[0])
        return fault;
    struct fault_note why = {0};
    if (strategy_bind(&remaking->strategy, again->base, &why) != FAULT_NONE)
        return not_exact(again, why.text);
    fault = columns_take(remaking, note);
    if (fault == FAULT_NONE)
        fault = scored_open(remaking, epoch, note);
    if (fault == FAULT_NONE)
        fault = walk_whole(&remaking->walking, note);
    return fault == FAULT_NONE ? score_again(remaking, note) : fault;
}

enum fault again_make(struct again **out, struct pipeline *pipeline, const struct epoch *epoch, const struct stored_names *stored,
                      uint64_t sequence, uint32_t row, int64_t until_ns, struct fault_note *note)
{
    struct remaking *remaking = memory_take_zeroed(1, sizeof *remaking);
    *out = NULL;
    if (!remaking)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score a transfer again");
    pthread_mutex_init(&remaking->lock, NULL);
    walk_begin(&remaking->walking, pipeline, &remaking->again, sequence, row, until_ns);
    enum fault fault = make(remaking, pipeline, epoch, stored, note);
    walk_end(&remaking->walking);
    *out = &remaking->again;
    if (fault != FAULT_NONE)
        again_give(out);
    return fault;
}

void again_give(struct again **again_p)
{
    struct remaking *remaking = (struct remaking *)*again_p; /* its first member */
    *again_p = NULL;
    if (!remaking)
        return;
    if (remaking->scratch)
        device_cpu.scratch_give(&remaking->scratch);
    if (remaking->resident)
        device_cpu.release(&remaking->resident);
    if (remaking->device)
        device_cpu.close(&remaking->device);
    batch_fini(&remaking->scored);
    scene_base_close(&remaking->own_base);
    config_close(&remaking->own_config);
    memory_give(remaking->decide_scratch);
    memory_give(remaking->columns);
    pthread_mutex_destroy(&remaking->lock);
    memory_give(remaking);
}
