/* Sixteen rows at a time in loops without branches; those that do not pass are explained sixteen at a time. Nothing here
 * knows a clock or keeps state, so the same numbers in give the same numbers out, on any thread. */
#include "verdict/verdict.h"

#include <math.h>
#include <string.h>

#include "base/must.h"
#include "verdict/explain.h"

#define EVIDENCE_MAX 80.0f /* nats; exp of it stays finite in float */

struct cuts { /* least score of each level */
    float low, medium, high, critical;
};

struct decide_scratch {
    double evidence[SCENES_MAX][TILE_ROWS];
    float ratio[SCENES_MAX][TILE_ROWS]; /* exp(e_s − e_0), scene 0 left out */
    uint32_t best[TILE_ROWS], runner_up[TILE_ROWS];
    float risk[TILE_ROWS];
    float calibrated[ANOMALY_COUNT][TILE_ROWS];
    uint32_t scenes_in[DIMENSION_COUNT]; /* bit per scene that has clusters there, background left out */
    struct cuts scene_cuts[SCENES_MAX], anomaly_cuts[ANOMALY_COUNT];
    struct strategy_row scene_answers[SCENES_MAX][LEVEL_COUNT], anomaly_answers[LEVEL_COUNT];
    uint8_t anomaly_set[SLICE_ROWS];       /* the set that raised the row's level */
    uint32_t held_count, held[SLICE_ROWS]; /* rows of the slice to explain */
    struct rules_met met;
    struct explain_scratch explain;
};

size_t decide_scratch_bytes(void)
{
    return sizeof(struct decide_scratch);
}

static struct cuts scene_cuts(float threshold, const struct level_rules *rules)
{
    return (struct cuts){.low = threshold * rules->low,
                         .medium = threshold * rules->medium,
                         .high = threshold,
                         .critical = threshold + (1.0f - threshold) * rules->critical};
}

/* A calibrated degree is a share of normal rows, so low and medium widen the tail that the threshold cuts off. */
static struct cuts anomaly_cuts(float threshold, const struct level_rules *rules)
{
    return (struct cuts){.low = 1.0f - (1.0f - threshold) / rules->low,
                         .medium = 1.0f - (1.0f - threshold) / rules->medium,
                         .high = threshold,
                         .critical = threshold + (1.0f - threshold) * rules->critical};
}

static enum level level_of(float score, const struct cuts *cuts)
{
    if (score >= cuts->critical)
        return LEVEL_CRITICAL;
    if (score >= cuts->high)
        return LEVEL_HIGH;
    if (score >= cuts->medium)
        return LEVEL_MEDIUM;
    return score >= cuts->low ? LEVEL_LOW : LEVEL_NONE;
}

/* What the base and the strategy say, looked up once for a slice. */
static void prepare(struct decide_scratch *scratch, const struct decide_input *in)
{
    const struct scene_base *base = in->base;
    memset(scratch->scenes_in, 0, sizeof scratch->scenes_in);
    for (uint32_t s = 1; s < base->scene_count; s++) {
        for (int g = 0; g < DIMENSION_COUNT; g++)
            scratch->scenes_in[g] |= scene_has_clusters(base, g, s) ? 1u << s : 0;
        scratch->scene_cuts[s] = scene_cuts(base->scenes[s].threshold, in->levels);
        for (int level = 0; level < LEVEL_COUNT; level++)
            scratch->scene_answers[s][level] = strategy_find(in->strategy, in->strategy->scene_risk_type[s], (enum level)level);
    }
    for (int i = 0; i < ANOMALY_COUNT; i++)
        scratch->anomaly_cuts[i] = anomaly_cuts(base->anomaly[i].threshold, in->levels);
    for (int level = 0; level < LEVEL_COUNT; level++)
        scratch->anomaly_answers[level] = strategy_find(in->strategy, in->strategy->risk_type_anomaly, (enum level)level);
}

/* The two scenes of most evidence, ties to the lower index; 0: there is none. */
static void rank_scenes(struct decide_scratch *scratch, uint32_t scene_count)
{
    double best[TILE_ROWS], second[TILE_ROWS];
    uint64_t best_scene[TILE_ROWS] = {0}, second_scene[TILE_ROWS] = {0};
    for (uint32_t lane = 0; lane < TILE_ROWS; lane++)
        best[lane] = second[lane] = -HUGE_VAL;
    for (uint64_t s = 1; s < scene_count; s++)
        for (uint32_t lane = 0; lane < TILE_ROWS; lane++) {
            double evidence = scratch->evidence[s][lane];
            bool leads = evidence > best[lane], follows = evidence > second[lane];
            second[lane] = leads ? best[lane] : follows ? evidence : second[lane];
            second_scene[lane] = leads ? best_scene[lane] : follows ? s : second_scene[lane];
            best[lane] = leads ? evidence : best[lane];
            best_scene[lane] = leads ? s : best_scene[lane];
        }
    for (uint32_t lane = 0; lane < TILE_ROWS; lane++) {
        scratch->best[lane] = (uint32_t)best_scene[lane];
        scratch->runner_up[lane] = (uint32_t)second_scene[lane];
    }
}

/* exp(e_s − e_0) of every scene, and risk from their sum. */
static void take_ratios(struct decide_scratch *scratch, uint32_t scene_count, const struct kernels *kernels)
{
    for (uint32_t s = 1; s < scene_count; s++)
        for (uint32_t lane = 0; lane < TILE_ROWS; lane++) {
            float difference = (float)(scratch->evidence[s][lane] - scratch->evidence[0][lane]);
            difference = difference < EVIDENCE_MAX ? difference : EVIDENCE_MAX;
            scratch->ratio[s][lane] = difference > -EVIDENCE_MAX ? difference : -EVIDENCE_MAX;
        }
    if (scene_count > 1)
        kernels->exp(scratch->ratio[1], scratch->ratio[1], (size_t)(scene_count - 1) * TILE_ROWS);
    float sum[TILE_ROWS] = {0};
    for (uint32_t s = 1; s < scene_count; s++)
        for (uint32_t lane = 0; lane < TILE_ROWS; lane++)
            sum[lane] += scratch->ratio[s][lane];
    for (uint32_t lane = 0; lane < TILE_ROWS; lane++)
        scratch->risk[lane] = sum[lane] / (1.0f + sum[lane]);
}

float verdict_match(double difference)
{
    float nats = (float)difference;
    nats = nats < EVIDENCE_MAX ? nats : EVIDENCE_MAX;
    float ratio = kernel_exp(nats > -EVIDENCE_MAX ? nats : -EVIDENCE_MAX);
    return ratio / (1.0f + ratio);
}

static float match_of(const struct decide_scratch *scratch, uint32_t scene, uint32_t lane)
{
    return scene ? scratch->ratio[scene][lane] / (1.0f + scratch->ratio[scene][lane]) : 0.0f;
}

static void calibrate_tile(struct decide_scratch *scratch, const struct decide_input *in, uint32_t at)
{
    for (int i = 0; i < ANOMALY_COUNT; i++)
        if (in->base->anomaly[i].ensemble.point_count)
            scene_anomaly_calibrate_tile(scratch->calibrated[i], &in->base->anomaly[i], in->scores->anomaly[i] + at);
        else
            memset(scratch->calibrated[i], 0, sizeof scratch->calibrated[i]);
}

/* The level that anomaly raises, and by which set: the higher level, then the higher degree, then linked. */
static enum level anomaly_level(struct decide_scratch *scratch, const struct decide_input *in, uint32_t lane, uint8_t *set)
{
    enum level highest = LEVEL_NONE;
    *set = ANOMALY_OWN;
    for (uint8_t i = 0; i < ANOMALY_COUNT; i++) {
        if (!in->base->anomaly[i].ensemble.point_count)
            continue;
        enum level level = level_of(scratch->calibrated[i][lane], &scratch->anomaly_cuts[i]);
        if (level > highest || (level == highest && scratch->calibrated[i][lane] >= scratch->calibrated[*set][lane])) {
            highest = level;
            *set = i;
        }
    }
    return highest < in->levels->anomaly_cap ? highest : in->levels->anomaly_cap;
}

static void clear_row(struct results *results, uint32_t row)
{
    results->verdict[row] = VERDICT_PASS;
    results->level[row] = LEVEL_NONE;
    results->cause[row] = CAUSE_NONE;
    results->scene[row] = results->runner_up[row] = 0;
    results->risk_type[row] = results->countermeasure[row] = 0;
    if (results->rule)
        results->rule[row] = 0;
    results->match[row] = results->runner_match[row] = results->risk[row] = 0.0f;
    results->anomaly_own[row] = results->anomaly_linked[row] = 0.0f;
    for (int g = 0; g < DIMENSION_COUNT; g++)
        results->distance[g][row] = 0.0f;
}

static void invalid_row(struct results *results, uint32_t row, const struct strategy *strategy)
{
    clear_row(results, row);
    results->verdict[row] = VERDICT_INVALID;
    results->cause[row] = CAUSE_CHECK;
    results->risk_type[row] = strategy->risk_type_invalid;
    results->countermeasure[row] = strategy_find(strategy, strategy->risk_type_invalid, LEVEL_NONE).countermeasure;
}

/* Distances to the best scene; before the rows' own results, which clear those of invalid rows. */
static void record_distances(struct results *results, uint32_t row, const struct decide_input *in, const struct decide_scratch *scratch,
                             uint32_t at, uint32_t lanes)
{
    for (int g = 0; g < DIMENSION_COUNT; g++)
        for (uint32_t lane = 0; lane < lanes; lane++) {
            uint32_t best = scratch->best[lane];
            bool told = scratch->scenes_in[g] >> best & 1;
            results->distance[g][row + lane] = told ? in->scores->distance[g][(size_t)best * SLICE_ROWS + at + lane] : 0.0f;
        }
}

static void record_scores(struct results *results, uint32_t row, const struct decide_scratch *scratch, uint32_t lane)
{
    uint32_t best = scratch->best[lane];
    results->scene[row] = (uint8_t)best;
    results->runner_up[row] = (uint8_t)scratch->runner_up[lane];
    results->match[row] = match_of(scratch, best, lane);
    float second = match_of(scratch, scratch->runner_up[lane], lane); /* near 1 the division may turn the order round by a rounding */
    results->runner_match[row] = second < results->match[row] ? second : results->match[row];
    results->risk[row] = scratch->risk[lane];
    results->anomaly_own[row] = scratch->calibrated[ANOMALY_OWN][lane];
    results->anomaly_linked[row] = scratch->calibrated[ANOMALY_LINKED][lane];
}

static void overrule(struct results *results, uint32_t row, enum verdict verdict, enum cause cause, uint8_t risk_type,
                     const struct strategy *strategy)
{
    results->verdict[row] = (uint8_t)verdict;
    results->cause[row] = (uint8_t)cause;
    results->risk_type[row] = risk_type;
    results->countermeasure[row] = strategy_find_unscored(strategy, risk_type).countermeasure;
}

/* Held as the strategy says, unless the scores are stricter. */
static void overrule_held(struct results *results, uint32_t row, enum cause cause, uint8_t risk_type, const struct strategy *strategy)
{
    const struct strategy_row answer = strategy_find_unscored(strategy, risk_type);
    enum verdict scored = (enum verdict)results->verdict[row];
    if (answer.verdict > scored || (answer.verdict == scored && scored == VERDICT_HOLD))
        overrule(results, row, answer.verdict, cause, risk_type, strategy);
}

/* Blocked, then restricted, whatever else is known; an allowed party was left out of account before. */
static void overrule_row(struct results *results, uint32_t row, const struct batch_facts *facts, const struct strategy *strategy)
{
    unsigned flags = facts->flags ? facts->flags[row] : 0;
    if (flags & list_flag(LIST_BLOCK))
        overrule(results, row, VERDICT_REJECT, CAUSE_BLOCKED, strategy->risk_type_blocked, strategy);
    else if (flags & list_flag(LIST_RESTRICT))
        overrule(results, row, VERDICT_HOLD, CAUSE_RESTRICTED, strategy->risk_type_restricted, strategy);
    if (flags & (list_flag(LIST_BLOCK) | list_flag(LIST_RESTRICT)))
        return;
    if (flags & FLAG_UNANSWERED)
        overrule_held(results, row, CAUSE_UNANSWERED, strategy->risk_type_unanswered, strategy);
    if (flags & FLAG_SEEN) /* told before the other where both hold */
        overrule_held(results, row, CAUSE_DUPLICATE, strategy->risk_type_duplicate, strategy);
}

/* A party that is allowed: its scores are told, and raise nothing. */
static void allow_row(struct results *results, uint32_t row, const struct batch_facts *facts)
{
    if (!facts->flags || !(facts->flags[row] & list_flag(LIST_ALLOW)) ||
        (results->level[row] == LEVEL_NONE && results->verdict[row] == VERDICT_PASS))
        return;
    results->verdict[row] = VERDICT_PASS;
    results->level[row] = LEVEL_NONE;
    results->cause[row] = CAUSE_ALLOWED;
    results->risk_type[row] = results->countermeasure[row] = 0;
}

/* The tenant's class of the level says the verdict. Where the strategy lets the level pass, the countermeasure is that of the
 * level where it does not. */
static void classify_row(struct results *results, uint32_t row, const struct decide_input *in, uint8_t risk_type)
{
    enum verdict verdict = (enum verdict)(in->levels->verdict_of[results->level[row]] - 1);
    if (verdict == VERDICT_PASS)
        results->countermeasure[row] = 0;
    else if (results->countermeasure[row] == 0)
        results->countermeasure[row] =
            strategy_find(in->strategy, risk_type, verdict == VERDICT_REJECT ? LEVEL_CRITICAL : LEVEL_HIGH).countermeasure;
    results->verdict[row] = (uint8_t)verdict;
}

/* The rule's level where it is the higher one; where scores made the same, the answer that stands first in the table. */
static void raise_row(struct results *results, uint32_t row, const struct decide_input *in, uint8_t number)
{
    const struct decide_rule *rule = &in->rules[number];
    enum level scored = (enum level)results->level[row];
    const struct strategy_row answer = strategy_find(in->strategy, rule->risk_type, rule->level);
    if (scored > rule->level || (scored == rule->level && scored > LEVEL_NONE &&
                                 strategy_find(in->strategy, results->risk_type[row], scored).place <= answer.place))
        return;
    results->level[row] = (uint8_t)rule->level;
    results->verdict[row] = (uint8_t)answer.verdict;
    results->countermeasure[row] = answer.countermeasure;
    if (in->levels->verdict_of[rule->level])
        classify_row(results, row, in, rule->risk_type);
    results->cause[row] = CAUSE_RULE;
    results->risk_type[row] = rule->risk_type;
    results->rule[row] = number;
}

/* The countermeasure is that of the risk type where the table names it, else that of a level with such a verdict. */
static void force_row(struct results *results, uint32_t row, const struct decide_input *in, uint8_t number)
{
    const struct decide_rule *rule = &in->rules[number];
    enum verdict verdict = (enum verdict)(rule->verdict - 1);
    const struct strategy_row named = strategy_find_unscored(in->strategy, rule->risk_type);
    const struct strategy_row of_level =
        strategy_find(in->strategy, rule->risk_type, verdict == VERDICT_REJECT ? LEVEL_CRITICAL : LEVEL_HIGH);
    results->verdict[row] = (uint8_t)verdict;
    results->countermeasure[row] = verdict == VERDICT_PASS ? 0 : named.countermeasure ? named.countermeasure : of_level.countermeasure;
    results->cause[row] = CAUSE_RULE;
    results->risk_type[row] = rule->risk_type;
    results->rule[row] = number;
}

static void flag_abnormal(const struct batch *batch, uint32_t row, const struct level_rules *levels)
{
    if (levels->abnormal > LEVEL_NONE && batch->results.level[row] >= levels->abnormal && batch->facts.flags)
        batch->facts.flags[row] |= FLAG_ABNORMAL;
}

/* All is recorded as it was judged, and what is valid passes. */
static void monitor_rows(struct results *results, uint32_t first, uint32_t count)
{
    for (uint32_t row = first; results->would && row < first + count; row++) {
        results->would[row] = results->verdict[row];
        results->verdict[row] = results->would[row] == VERDICT_INVALID ? VERDICT_INVALID : VERDICT_PASS;
    }
}

/* The highest of scene and anomaly makes the level, the strategy turns it into verdict and countermeasure; where both raise
 * it, the row that stands first in the table speaks, the scene's when it is the same. */
static void decide_row(struct results *results, uint32_t row, const struct decide_input *in, struct decide_scratch *scratch, uint32_t at,
                       uint32_t lane)
{
    uint32_t best = scratch->best[lane];
    enum level scene = best ? level_of(results->match[row], &scratch->scene_cuts[best]) : LEVEL_NONE;
    enum level anomaly = anomaly_level(scratch, in, lane, &scratch->anomaly_set[at + lane]);
    enum level level = scene > anomaly ? scene : anomaly;
    const struct strategy_row *scene_answer = best ? &scratch->scene_answers[best][level] : &scratch->anomaly_answers[level];
    const struct strategy_row *anomaly_answer = &scratch->anomaly_answers[level];
    bool by_scene = scene > anomaly || (scene == anomaly && scene_answer->place <= anomaly_answer->place);
    const struct strategy_row *answer = by_scene ? scene_answer : anomaly_answer;
    results->level[row] = (uint8_t)level;
    results->verdict[row] = (uint8_t)answer->verdict;
    results->countermeasure[row] = answer->countermeasure;
    if (in->levels->verdict_of[level])
        classify_row(results, row, in, by_scene ? in->strategy->scene_risk_type[best] : in->strategy->risk_type_anomaly);
    results->risk_type[row] = results->cause[row] = 0;
    if (level > LEVEL_NONE) {
        results->cause[row] = scene == anomaly ? CAUSE_SCENE_AND_ANOMALY : scene > anomaly ? CAUSE_SCENE : CAUSE_ANOMALY;
        results->risk_type[row] = by_scene ? in->strategy->scene_risk_type[best] : in->strategy->risk_type_anomaly;
    }
}

/* Rows that do not pass for their scores are explained. */
static void note_held(struct decide_scratch *scratch, const struct results *results, uint32_t row, uint32_t at)
{
    if (results->verdict[row] != VERDICT_PASS && results->cause[row] < CAUSE_CHECK)
        scratch->held[scratch->held_count++] = at;
}

/* What overrules the scores, each over what stands below it: rules that raise, the allow list, rules that force, duplicates, lists. */
static void finish_row(struct batch *batch, uint32_t row, const struct decide_input *in, uint8_t raising, uint8_t forcing)
{
    struct results *results = &batch->results;
    if (raising)
        raise_row(results, row, in, raising);
    allow_row(results, row, &batch->facts);
    flag_abnormal(batch, row, in->levels);
    if (forcing)
        force_row(results, row, in, forcing);
    overrule_row(results, row, &batch->facts, in->strategy);
    if (results->rule && results->cause[row] != CAUSE_RULE)
        results->rule[row] = 0;
}

static void decide_tile(struct batch *batch, uint32_t first, uint32_t at, uint32_t lanes, const struct decide_input *in,
                        struct decide_scratch *scratch)
{
    const struct kernels *kernels = in->kernels ? in->kernels : &kernels_ref;
    scene_evidence(scratch->evidence, in->base, in->scores->distance, SLICE_ROWS, at);
    rank_scenes(scratch, in->base->scene_count);
    take_ratios(scratch, in->base->scene_count, kernels);
    calibrate_tile(scratch, in, at);
    record_distances(&batch->results, first + at, in, scratch, at, lanes);
    for (uint32_t lane = 0; lane < lanes; lane++) {
        uint32_t row = first + at + lane;
        if (batch->facts.invalid[row]) {
            invalid_row(&batch->results, row, in->strategy);
            continue;
        }
        record_scores(&batch->results, row, scratch, lane);
        decide_row(&batch->results, row, in, scratch, at, lane);
        if (in->judge)
            continue;
        finish_row(batch, row, in, 0, 0);
        note_held(scratch, &batch->results, row, at + lane);
    }
}

static void decide_without_base(struct batch *batch, uint32_t first, uint32_t count, const struct decide_input *in)
{
    for (uint32_t row = first; row < first + count; row++) {
        clear_row(&batch->results, row);
        if (batch->facts.invalid[row])
            invalid_row(&batch->results, row, in->strategy);
        else if (!in->judge)
            finish_row(batch, row, in, 0, 0);
    }
}

static void rules_apply(struct batch *batch, uint32_t first, uint32_t count, const struct decide_input *in, struct decide_scratch *scratch)
{
    in->judge(in->judge_context, &scratch->met, batch, first, count);
    for (uint32_t at = 0; at < count; at++) {
        if (batch->facts.invalid[first + at])
            continue;
        finish_row(batch, first + at, in, scratch->met.raising[at], scratch->met.forcing[at]);
        note_held(scratch, &batch->results, first + at, at);
    }
}

static enum fault take_reasons(struct reason_block *block, struct batch *batch, uint32_t count, pthread_mutex_t *arena_lock,
                               struct fault_note *note)
{
    *block = (struct reason_block){.count = count};
    if (count == 0)
        return FAULT_NONE;
    pthread_mutex_lock(arena_lock);
    block->row = arena_take(&batch->arena, count * sizeof *block->row, 64);
    block->reason_count = arena_take(&batch->arena, count, 64);
    block->reasons = arena_take_zeroed(&batch->arena, (size_t)count * REASONS_MAX * sizeof *block->reasons, 64);
    bool failed = arena_overflowed(&batch->arena);
    pthread_mutex_unlock(arena_lock);
    if (!failed)
        return FAULT_NONE;
    block->count = 0;
    return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "batch arena full at the reasons of %u rows", count);
}

static void explain_held(struct reason_block *block, const struct batch *batch, uint32_t first, const struct decide_input *in,
                         struct decide_scratch *scratch)
{
    for (uint32_t i = 0; i < block->count; i += TILE_ROWS) {
        uint32_t count = block->count - i < TILE_ROWS ? block->count - i : TILE_ROWS;
        struct explain_row rows[TILE_ROWS];
        for (uint32_t k = 0; k < count; k++) {
            uint32_t at = scratch->held[i + k], row = first + at;
            block->row[i + k] = row;
            rows[k] = (struct explain_row){.row = at,
                                           .scene = batch->results.scene[row],
                                           .set = scratch->anomaly_set[at],
                                           .by_anomaly = batch->results.cause[row] == CAUSE_ANOMALY};
        }
        explain_rows(block->reasons + (size_t)i * REASONS_MAX, block->reason_count + i, in, rows, count, &scratch->explain);
    }
}

enum fault verdict_decide(struct batch *batch, uint32_t first, uint32_t count, const struct decide_input *in, void *memory,
                          pthread_mutex_t *arena_lock, struct fault_note *note)
{
    struct decide_scratch *scratch = memory;
    MUST(first % SLICE_ROWS == 0 && count <= SLICE_ROWS && first + count <= batch->row_count);
    scratch->held_count = 0;
    if (in->base) {
        prepare(scratch, in);
        for (uint32_t at = 0; at < count; at += TILE_ROWS)
            decide_tile(batch, first, at, count - at < TILE_ROWS ? count - at : TILE_ROWS, in, scratch);
    } else {
        decide_without_base(batch, first, count, in);
    }
    if (in->judge)
        rules_apply(batch, first, count, in, scratch);
    monitor_rows(&batch->results, first, count);
    struct reason_block *block = &batch->results.reasons[first / SLICE_ROWS];
    enum fault fault = take_reasons(block, batch, in->without_reasons ? 0 : scratch->held_count, arena_lock, note);
    if (fault == FAULT_NONE)
        explain_held(block, batch, first, in, scratch);
    return fault;
}
