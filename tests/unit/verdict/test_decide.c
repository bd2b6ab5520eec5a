/* Decisions against a plain recomputation in double, and the edges of levels, causes and precedence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "tiny_base.h"
#include "verdict/verdict.h"

enum { ROWS = 1000, TILES = SLICE_ROWS / TILE_ROWS };

/* One slice scored by the reference kernels, as compute does it. */
struct slice {
    struct scene_base *base;
    struct strategy strategy;
    struct level_rules levels;
    struct feature_block features;
    struct scores scores;
    struct batch batch;
    struct decide_input in;
    pthread_mutex_t lock;
    float *blocks[FEATURE_COUNT + 4 * DIMENSION_COUNT + 4 * ANOMALY_COUNT];
    uint32_t block_count;
    void *scratch;
};

static float *take(struct slice *slice, size_t count)
{
    return slice->blocks[slice->block_count++] = memory_take_aligned(count * sizeof(float), 64);
}

static void fill_features(struct slice *slice, uint64_t seed, uint32_t rows)
{
    struct tiny_base random = {.state = seed};
    slice->features.row_count = rows;
    for (uint32_t f = 0; f < FEATURE_COUNT; f++) {
        slice->features.column[f] = take(slice, SLICE_ROWS);
        for (uint32_t i = 0; i < rows; i++)
            slice->features.column[f][i] = tiny_random(&random, -2.0f, 4.0f);
    }
}

static void score(struct slice *slice)
{
    float *scratch = take(slice, SLICE_ROWS);
    const struct scene_base *base = slice->base;
    for (int g = 0; g < DIMENSION_COUNT; g++) {
        const struct scene_dimension *d = &base->dimensions[g];
        slice->scores.z[g] = take(slice, (size_t)SLICE_ROWS * d->column_count);
        slice->scores.distance[g] = take(slice, (size_t)SLICE_ROWS * base->scene_count);
        scene_columns_tile(slice->scores.z[g], d->columns, d->column_count, &slice->features, &kernels_ref, scratch);
        kernels_ref.panel_min(slice->scores.distance[g], SLICE_ROWS, slice->scores.z[g], TILES, &d->panel);
    }
    for (int i = 0; i < ANOMALY_COUNT; i++) {
        const struct anomaly_set *set = &base->anomaly[i];
        slice->scores.z_anomaly[i] = take(slice, (size_t)SLICE_ROWS * set->column_count);
        slice->scores.anomaly[i] = take(slice, SLICE_ROWS);
        scene_columns_tile(slice->scores.z_anomaly[i], set->columns, set->column_count, &slice->features, &kernels_ref, scratch);
        kernels_ref.points_mean(slice->scores.anomaly[i], slice->scores.z_anomaly[i], TILES, &set->ensemble);
    }
}

static void take_results(struct slice *slice, uint32_t rows)
{
    struct results *r = &slice->batch.results;
    assert_int_equal(batch_init(&slice->batch, 1 << 20, NULL), FAULT_NONE);
    slice->batch.row_count = rows;
    slice->batch.facts.invalid = arena_take_zeroed(&slice->batch.arena, rows, 64);
    uint8_t **codes[] = {&r->verdict, &r->level, &r->cause, &r->scene, &r->runner_up, &r->risk_type, &r->countermeasure};
    float **floats[] = {&r->match,       &r->runner_match, &r->risk,        &r->anomaly_own, &r->anomaly_linked,
                        &r->distance[0], &r->distance[1],  &r->distance[2], &r->distance[3]};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        *codes[i] = arena_take_zeroed(&slice->batch.arena, rows, 64);
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        *floats[i] = arena_take_zeroed(&slice->batch.arena, rows * sizeof(float), 64);
    r->slice_count = 1;
    r->reasons = arena_take_zeroed(&slice->batch.arena, sizeof *r->reasons, 64);
}

static void slice_open(struct slice *slice, uint32_t scenes, uint32_t columns, uint64_t seed)
{
    memset(slice, 0, sizeof *slice);
    slice->base = tiny_base_open(scenes, columns, 3, seed);
    assert_non_null(slice->base);
    slice->levels = LEVEL_RULES_DEFAULT;
    strategy_default(&slice->strategy);
    assert_int_equal(strategy_bind(&slice->strategy, slice->base, NULL), FAULT_NONE);
    pthread_mutex_init(&slice->lock, NULL);
    fill_features(slice, seed, ROWS);
    score(slice);
    take_results(slice, ROWS);
    slice->scratch = memory_take_aligned(decide_scratch_bytes(), 64);
    slice->in = (struct decide_input){.base = slice->base,
                                      .strategy = &slice->strategy,
                                      .levels = &slice->levels,
                                      .scores = &slice->scores,
                                      .features = &slice->features};
}

static void slice_decide(struct slice *slice)
{
    struct fault_note note = {0};
    assert_int_equal(verdict_decide(&slice->batch, 0, ROWS, &slice->in, slice->scratch, &slice->lock, &note), FAULT_NONE);
}

static void slice_close(struct slice *slice)
{
    for (uint32_t i = 0; i < slice->block_count; i++)
        memory_give(slice->blocks[i]);
    memory_give(slice->scratch);
    batch_fini(&slice->batch);
    pthread_mutex_destroy(&slice->lock);
    scene_base_close(&slice->base);
}

static double evidence(const struct slice *slice, uint32_t scene, uint32_t row)
{
    double sum = (double)slice->base->scenes[scene].bias;
    for (int g = 0; g < DIMENSION_COUNT; g++)
        sum -= (double)slice->base->scenes[scene].weight[g] * (double)slice->scores.distance[g][scene * SLICE_ROWS + row];
    return sum;
}

static void expect_close(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        print_error("got %.9g, want %.9g\n", got, want);
    assert_true(fabs(got - want) <= tolerance);
}

static void matches_follow_the_formula(void **state)
{
    (void)state;
    struct slice slice;
    slice_open(&slice, 6, 5, 11);
    slice_decide(&slice);
    const struct results *r = &slice.batch.results;
    uint32_t seen[SCENES_MAX] = {0};
    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t best = 1;
        double sum = 0.0, background = evidence(&slice, 0, row);
        for (uint32_t s = 1; s < 6; s++) {
            best = evidence(&slice, s, row) > evidence(&slice, best, row) ? s : best;
            sum += exp(fmin(evidence(&slice, s, row) - background, 80.0));
        }
        seen[best]++;
        assert_int_equal(r->scene[row], best);
        for (uint32_t s = 1; s < 6; s++)
            assert_true(s == best || evidence(&slice, s, row) <= evidence(&slice, r->runner_up[row], row));
        assert_true(r->runner_up[row] != best && r->runner_up[row] > 0);
        expect_close((double)r->match[row], 1.0 / (1.0 + exp(background - evidence(&slice, best, row))), 1e-6);
        expect_close((double)r->runner_match[row], 1.0 / (1.0 + exp(background - evidence(&slice, r->runner_up[row], row))), 1e-6);
        expect_close((double)r->risk[row], sum / (1.0 + sum), 1e-6);
        assert_true(r->runner_match[row] <= r->match[row]);
        for (int g = 0; g < DIMENSION_COUNT; g++)
            assert_true(r->distance[g][row] == slice.scores.distance[g][best * SLICE_ROWS + row]);
    }
    assert_true(seen[1] && seen[2] && seen[3]);
    slice_close(&slice);
}

static enum level level_want(float score, float threshold)
{
    const struct level_rules rules = LEVEL_RULES_DEFAULT;
    if (score >= threshold + (1.0f - threshold) * rules.critical)
        return LEVEL_CRITICAL;
    return score >= threshold                  ? LEVEL_HIGH
           : score >= threshold * rules.medium ? LEVEL_MEDIUM
           : score >= threshold * rules.low    ? LEVEL_LOW
                                               : LEVEL_NONE;
}

static enum level anomaly_want(float degree, float threshold)
{
    const struct level_rules rules = LEVEL_RULES_DEFAULT;
    if (degree >= threshold)
        return level_want(degree, threshold);
    float tail = (1.0f - degree) / (1.0f - threshold);
    return tail <= 1.0f / rules.medium ? LEVEL_MEDIUM : tail <= 1.0f / rules.low ? LEVEL_LOW : LEVEL_NONE;
}

static float calibrated_want(const struct anomaly_set *set, float score)
{
    uint32_t below = 0;
    for (uint32_t i = 0; i < set->table_count; i++)
        below += set->table[i] < score;
    return (float)below / (float)set->table_count;
}

static void levels_and_verdicts_follow_the_rules(void **state)
{
    (void)state;
    struct slice slice;
    slice_open(&slice, 4, 4, 5);
    slice.batch.facts.invalid[17] = 1;
    slice_decide(&slice);
    const struct results *r = &slice.batch.results;
    uint32_t causes[CAUSE_COUNT] = {0}, held = 0;
    for (uint32_t row = 0; row < ROWS; row++) {
        causes[r->cause[row]]++;
        held += r->verdict[row] == VERDICT_HOLD || r->verdict[row] == VERDICT_REJECT;
        if (row == 17)
            continue;
        assert_true(r->anomaly_own[row] == calibrated_want(&slice.base->anomaly[0], slice.scores.anomaly[0][row]));
        assert_true(r->anomaly_linked[row] == calibrated_want(&slice.base->anomaly[1], slice.scores.anomaly[1][row]));
        enum level scene = level_want(r->match[row], slice.base->scenes[r->scene[row]].threshold);
        enum level own = anomaly_want(r->anomaly_own[row], slice.base->anomaly[0].threshold);
        enum level linked = anomaly_want(r->anomaly_linked[row], slice.base->anomaly[1].threshold);
        enum level anomaly = own > linked ? own : linked;
        anomaly = anomaly > LEVEL_HIGH ? LEVEL_HIGH : anomaly;
        enum level level = scene > anomaly ? scene : anomaly;
        assert_int_equal(r->level[row], level);
        assert_int_equal(r->verdict[row], level == LEVEL_CRITICAL ? VERDICT_REJECT : level == LEVEL_HIGH ? VERDICT_HOLD : VERDICT_PASS);
        assert_int_equal(r->countermeasure[row], level == LEVEL_CRITICAL ? 1 : level == LEVEL_HIGH ? 2 : 0);
        enum cause cause = level == LEVEL_NONE ? CAUSE_NONE
                           : scene == anomaly  ? CAUSE_SCENE_AND_ANOMALY
                           : scene > anomaly   ? CAUSE_SCENE
                                               : CAUSE_ANOMALY;
        assert_int_equal(r->cause[row], cause);
        uint32_t type = level == LEVEL_NONE ? 0 : scene >= anomaly ? 2u + r->scene[row] : 1;
        assert_int_equal(r->risk_type[row], type);
    }
    assert_true(causes[CAUSE_SCENE] && causes[CAUSE_ANOMALY] && causes[CAUSE_SCENE_AND_ANOMALY] && causes[CAUSE_NONE]);
    assert_int_equal(r->verdict[17], VERDICT_INVALID);
    assert_int_equal(r->cause[17], CAUSE_CHECK);
    assert_int_equal(r->countermeasure[17], 3);
    assert_true(r->match[17] == 0.0f && r->anomaly_linked[17] == 0.0f);
    assert_int_equal(r->reasons->count, held);
    for (uint32_t i = 1; i < held; i++)
        assert_true(r->reasons->row[i] > r->reasons->row[i - 1]);
    slice_close(&slice);
}

/* Scene and anomaly raise the same level: the row of the table that stands first speaks for both. */
static void ties_go_by_the_order_of_the_table(void **state)
{
    (void)state;
    for (int anomaly_first = 0; anomaly_first < 2; anomaly_first++) {
        struct slice slice;
        uint32_t ties = 0;
        slice_open(&slice, 4, 4, 5);
        struct strategy *strategy = &slice.strategy;
        strategy->row_count = 0;
        for (int i = 0; i < 2; i++) {
            bool of_anomaly = i == !anomaly_first;
            for (uint32_t s = 1; s <= (of_anomaly ? 1 : slice.base->scene_count - 1); s++)
                strategy->rows[strategy->row_count++] =
                    (struct strategy_row){.risk_type = of_anomaly ? strategy->risk_type_anomaly : strategy->scene_risk_type[s],
                                          .level_least = LEVEL_LOW,
                                          .verdict = of_anomaly ? VERDICT_HOLD : VERDICT_REJECT,
                                          .countermeasure = of_anomaly ? 2 : 1};
        }
        slice_decide(&slice);
        const struct results *r = &slice.batch.results;
        for (uint32_t row = 0; row < ROWS; row++) {
            if (r->cause[row] != CAUSE_SCENE_AND_ANOMALY)
                continue;
            ties++;
            assert_int_equal(r->verdict[row], anomaly_first ? VERDICT_HOLD : VERDICT_REJECT);
            assert_int_equal(r->countermeasure[row], anomaly_first ? 2 : 1);
            assert_int_equal(r->risk_type[row], anomaly_first ? strategy->risk_type_anomaly : strategy->scene_risk_type[r->scene[row]]);
        }
        assert_true(ties > 0);
        slice_close(&slice);
    }
}

/* The segment minimum's offset of the cluster that made the recorded distance. */
static double winning_offset(const struct slice *slice, int g, uint32_t scene, uint32_t row)
{
    const struct panel *panel = &slice->base->dimensions[g].panel;
    const float *z = slice->scores.z[g] + (size_t)(row / TILE_ROWS) * panel->column_count * TILE_ROWS + row % TILE_ROWS;
    for (uint32_t k = panel->segment_first[scene]; k < panel->segment_first[scene + 1]; k++)
        if (kernel_distance(z, TILE_ROWS, panel, k) == slice->scores.distance[g][scene * SLICE_ROWS + row])
            return (double)slice->base->dimensions[g].offsets[k];
    fail_msg("no cluster made the distance");
    return 0.0;
}

/* With one column per dimension all four features are told, and their shares make the evidence. */
static void scene_shares_make_the_evidence(void **state)
{
    (void)state;
    struct slice slice;
    slice_open(&slice, 4, 1, 3);
    slice.levels.anomaly_cap = LEVEL_NONE;
    slice_decide(&slice);
    const struct results *r = &slice.batch.results;
    assert_true(r->reasons->count > 10);
    for (uint32_t i = 0; i < r->reasons->count; i++) {
        uint32_t row = r->reasons->row[i], scene = r->scene[row];
        const struct scene *scenes = slice.base->scenes;
        double sum = (double)scenes[scene].bias - (double)scenes[0].bias;
        assert_int_equal(r->cause[row], CAUSE_SCENE);
        for (int g = 0; g < DIMENSION_COUNT; g++)
            sum += (double)scenes[scene].weight[g] * winning_offset(&slice, g, scene, row) -
                   (double)scenes[0].weight[g] * winning_offset(&slice, g, 0, row);
        for (uint8_t k = 0; k < r->reasons->reason_count[i]; k++) {
            const struct reason *reason = &r->reasons->reasons[i * REASONS_MAX + k];
            sum += (double)reason->share;
            assert_int_equal(reason->dimension, feature_infos[reason->feature].dimension);
            assert_true(reason->value == slice.features.column[reason->feature][row]);
            assert_true(k == 0 || fabsf(reason->share) <= fabsf(reason[-1].share));
        }
        expect_close(sum, evidence(&slice, scene, row) - evidence(&slice, 0, row), 1e-4);
    }
    slice_close(&slice);
}

static void anomaly_shares_make_the_degree(void **state)
{
    (void)state;
    struct slice slice;
    slice_open(&slice, 1, 2, 8);
    slice.base->anomaly[ANOMALY_OWN].threshold = slice.base->anomaly[ANOMALY_LINKED].threshold = 0.3f;
    slice_decide(&slice);
    const struct results *r = &slice.batch.results;
    uint32_t sets[ANOMALY_COUNT] = {0};
    assert_true(r->reasons->count > 10);
    for (uint32_t i = 0; i < r->reasons->count; i++) {
        uint32_t row = r->reasons->row[i];
        double sum = 0.0;
        assert_int_equal(r->cause[row], CAUSE_ANOMALY);
        assert_int_equal(r->scene[row], 0);
        for (uint8_t k = 0; k < r->reasons->reason_count[i]; k++)
            sum += (double)r->reasons->reasons[i * REASONS_MAX + k].share;
        int set = r->anomaly_own[row] > r->anomaly_linked[row] ? ANOMALY_OWN : ANOMALY_LINKED;
        sets[set]++;
        expect_close(sum, (double)slice.scores.anomaly[set][row], 1e-4);
    }
    assert_true(sets[0] && sets[1]);
    slice_close(&slice);
}

static void strongest_reasons_are_kept(void **state)
{
    (void)state;
    struct slice slice;
    slice_open(&slice, 3, 6, 21);
    slice_decide(&slice);
    const struct reason_block *block = slice.batch.results.reasons;
    assert_true(block->count > 0);
    for (uint32_t i = 0; i < block->count; i++) {
        assert_int_equal(block->reason_count[i], REASONS_MAX);
        for (uint32_t k = 1; k < REASONS_MAX; k++)
            for (uint32_t l = 0; l < k; l++) {
                assert_int_not_equal(block->reasons[i * REASONS_MAX + k].feature, block->reasons[i * REASONS_MAX + l].feature);
                assert_true(fabsf(block->reasons[i * REASONS_MAX + k].share) <= fabsf(block->reasons[i * REASONS_MAX + l].share));
            }
    }
    slice_close(&slice);
}

static void without_a_base_only_checks_decide(void **state)
{
    (void)state;
    struct slice slice;
    slice_open(&slice, 3, 2, 2);
    slice.in.base = NULL;
    slice.in.scores = NULL;
    slice.in.features = NULL;
    slice.batch.facts.invalid[3] = 1;
    memset(slice.batch.results.risk, 0xff, ROWS * sizeof(float));
    slice_decide(&slice);
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_int_equal(slice.batch.results.verdict[row], row == 3 ? VERDICT_INVALID : VERDICT_PASS);
        assert_true(slice.batch.results.risk[row] == 0.0f);
    }
    assert_int_equal(slice.batch.results.reasons->count, 0);
    slice_close(&slice);
}

static void a_full_arena_is_a_fault(void **state)
{
    (void)state;
    struct slice slice;
    struct fault_note note = {0};
    slice_open(&slice, 3, 2, 2);
    arena_take(&slice.batch.arena, slice.batch.arena.size - slice.batch.arena.used - 100, 1);
    assert_int_equal(verdict_decide(&slice.batch, 0, ROWS, &slice.in, slice.scratch, &slice.lock, &note), FAULT_limit);
    assert_non_null(strstr(note.text, "reasons"));
    assert_int_equal(slice.batch.results.reasons->count, 0);
    slice_close(&slice);
}

static void every_instruction_set_decides_alike(void **state)
{
    (void)state;
    struct slice slice, other;
    struct kernels best;
    kernels_select(&best, CPU_MASK_ALL);
    slice_open(&slice, 8, 5, 77);
    slice_open(&other, 8, 5, 77);
    other.in.kernels = &best;
    slice_decide(&slice);
    slice_decide(&other);
    assert_memory_equal(slice.batch.results.match, other.batch.results.match, ROWS * sizeof(float));
    assert_memory_equal(slice.batch.results.risk, other.batch.results.risk, ROWS * sizeof(float));
    assert_memory_equal(slice.batch.results.verdict, other.batch.results.verdict, ROWS);
    slice_close(&slice);
    slice_close(&other);
}

/* A transfer that was seen is held, unless its scores reject it; what is invalid stays so. */
static void a_transfer_seen_before_is_held(void **state)
{
    (void)state;
    struct slice slice;
    uint8_t flags[ROWS], before[ROWS];
    uint32_t counts[VERDICT_COUNT] = {0};
    slice_open(&slice, 4, 4, 5);
    slice.batch.facts.invalid[17] = 1;
    slice_decide(&slice);
    memcpy(before, slice.batch.results.verdict, ROWS);
    memset(flags, FLAG_SEEN, ROWS);
    flags[0] = 0;
    slice.batch.facts.flags = flags;
    slice_decide(&slice);
    const struct results *r = &slice.batch.results;
    for (uint32_t row = 0; row < ROWS; row++) {
        bool overruled = flags[row] && before[row] < VERDICT_REJECT;
        assert_int_equal(r->verdict[row], overruled ? VERDICT_HOLD : before[row]);
        assert_int_equal(r->cause[row] == CAUSE_DUPLICATE, overruled);
        assert_int_equal(r->risk_type[row] == slice.strategy.risk_type_duplicate, overruled);
        if (overruled)
            assert_string_equal(slice.strategy.countermeasures[r->countermeasure[row]].name, "check_for_duplicate");
        counts[before[row]]++;
    }
    assert_true(counts[VERDICT_PASS] && counts[VERDICT_HOLD] && counts[VERDICT_REJECT] && counts[VERDICT_INVALID] == 1);
    for (uint32_t i = 0; i < r->reasons[0].count; i++)
        assert_true(r->cause[r->reasons[0].row[i]] < CAUSE_CHECK);
    slice_close(&slice);
}

/* Blocked before restricted before seen; what is allowed loses its scores alone; invalid stays invalid. */
static void lists_overrule_in_their_order(void **state)
{
    (void)state;
    struct slice slice;
    uint8_t flags[ROWS], before[ROWS];
    uint32_t allowed = 0;
    slice_open(&slice, 4, 4, 5);
    slice.batch.facts.invalid[17] = 1;
    slice_decide(&slice);
    memcpy(before, slice.batch.results.verdict, ROWS);
    for (uint32_t row = 0; row < ROWS; row++)
        flags[row] = (uint8_t)(row % 16);
    slice.batch.facts.flags = flags;
    slice_decide(&slice);
    const struct results *r = &slice.batch.results;
    for (uint32_t row = 0; row < ROWS; row++) {
        bool blocked = flags[row] & list_flag(LIST_BLOCK), restricted = flags[row] & list_flag(LIST_RESTRICT);
        bool is_allowed = flags[row] & list_flag(LIST_ALLOW);
        enum verdict scored = is_allowed ? VERDICT_PASS : (enum verdict)before[row];
        enum verdict wanted = row == 17                                            ? VERDICT_INVALID
                              : blocked                                            ? VERDICT_REJECT
                              : restricted                                         ? VERDICT_HOLD
                              : (flags[row] & FLAG_SEEN) && scored == VERDICT_PASS ? VERDICT_HOLD
                                                                                   : scored;
        assert_int_equal(r->verdict[row], wanted);
        if (row != 17)
            assert_int_equal(r->cause[row] == CAUSE_BLOCKED, blocked);
        if (row != 17 && !blocked)
            assert_int_equal(r->cause[row] == CAUSE_RESTRICTED, restricted);
        if (r->cause[row] == CAUSE_ALLOWED) {
            assert_true(is_allowed && r->level[row] == LEVEL_NONE && r->risk_type[row] == 0);
            allowed++;
        }
    }
    assert_true(allowed > 5);
    slice_close(&slice);
}

/* A table may hold what has no level: that is raised by the scores as well. */
static void an_allowed_party_passes_at_every_level(void **state)
{
    (void)state;
    struct slice slice;
    uint8_t flags[ROWS];
    uint32_t low = 0;
    slice_open(&slice, 4, 4, 5);
    slice.strategy.rows[slice.strategy.row_count++] = (struct strategy_row){.risk_type = STRATEGY_ANY, .verdict = VERDICT_HOLD};
    slice_decide(&slice);
    const struct results *r = &slice.batch.results;
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_int_not_equal(r->verdict[row], VERDICT_PASS);
        low += r->level[row] == LEVEL_NONE;
    }
    assert_true(low > 0);
    memset(flags, list_flag(LIST_ALLOW), ROWS);
    slice.batch.facts.flags = flags;
    slice_decide(&slice);
    for (uint32_t row = 0; row < ROWS; row++)
        assert_true(r->verdict[row] == VERDICT_PASS && r->cause[row] == CAUSE_ALLOWED && r->countermeasure[row] == 0);
    slice_close(&slice);
}

static void judge(void *context, struct rules_met *out, const struct batch *batch, uint32_t first, uint32_t count)
{
    (void)batch, (void)first;
    memcpy(out->raising, context, count);
    for (uint32_t row = 0; row < count; row++)
        out->forcing[row] = row % 5 == 1 ? 3 : row % 5 == 2 ? 4 : 0;
}

/* Invalid, blocked, restricted, forced, allowed, then the highest level of scene, anomaly and rule. */
static void rules_stand_where_they_belong(void **state)
{
    (void)state;
    struct slice slice;
    uint8_t flags[ROWS], before[ROWS], levels[ROWS], raising[ROWS], rule[ROWS] = {0};
    uint32_t raised = 0;
    slice_open(&slice, 4, 4, 5);
    struct decide_rule rules[5] = {
        {0}, {.level = LEVEL_MEDIUM}, {.level = LEVEL_CRITICAL}, {.verdict = VERDICT_PASS + 1}, {.verdict = VERDICT_REJECT + 1}};
    for (int i = 1; i < 5; i++)
        assert_int_equal(strategy_risk_type(&rules[i].risk_type, &slice.strategy, "of_the_tenant", NULL), FAULT_NONE);
    slice.batch.facts.invalid[17] = 1;
    slice_decide(&slice);
    memcpy(before, slice.batch.results.verdict, ROWS);
    memcpy(levels, slice.batch.results.level, ROWS);
    for (uint32_t row = 0; row < ROWS; row++) {
        flags[row] = row % 7 > 0 && row % 7 < 4 ? list_flag((enum party_list)(row % 7 - 1)) : 0;
        raising[row] = (uint8_t)(row % 4 < 3 ? row % 4 : 0);
    }
    slice.batch.facts.flags = flags, slice.batch.results.rule = rule;
    slice.in.rules = rules, slice.in.judge = judge, slice.in.judge_context = raising;
    slice_decide(&slice);
    const struct results *r = &slice.batch.results;
    for (uint32_t row = 0; row < ROWS; row++) {
        unsigned list = row % 7, force = row % 5;
        enum level level = rules[raising[row]].level > levels[row] ? rules[raising[row]].level : (enum level)levels[row];
        bool by_rule = raising[row] && rules[raising[row]].level > levels[row];
        if (row == 17)
            assert_int_equal(r->verdict[row], VERDICT_INVALID);
        else if (list == 1 || list == 2)
            assert_int_equal(r->cause[row], list == 1 ? CAUSE_BLOCKED : CAUSE_RESTRICTED);
        else if (force == 1 || force == 2)
            assert_true(r->verdict[row] == (force == 1 ? VERDICT_PASS : VERDICT_REJECT) && r->cause[row] == CAUSE_RULE &&
                        r->rule[row] == force + 2 && r->risk_type[row] == rules[3].risk_type);
        else if (list == 3)
            assert_true(r->verdict[row] == VERDICT_PASS && r->level[row] == LEVEL_NONE);
        else
            assert_true(r->level[row] == level && (r->cause[row] == CAUSE_RULE) == by_rule && r->rule[row] == (by_rule ? raising[row] : 0));
        if (row != 17 && list != 1 && list != 2 && list != 3 && force != 1 && force != 2) {
            assert_int_equal(r->verdict[row], by_rule ? (level == LEVEL_CRITICAL ? VERDICT_REJECT : VERDICT_PASS) : before[row]);
            raised += by_rule;
        }
        assert_true(r->cause[row] == CAUSE_RULE || r->rule[row] == 0);
    }
    assert_true(raised > 5);
    slice_close(&slice);
}

/* At the level that the scores made the row of the table that stands first speaks. */
static void a_rule_ties_with_the_scores(void **state)
{
    (void)state;
    struct slice slice;
    uint8_t rule[ROWS] = {0}, raising[ROWS], levels[ROWS];
    struct decide_rule rules[5] = {{0}, {.level = LEVEL_HIGH}};
    uint32_t ties = 0;
    memset(raising, 1, sizeof raising);
    slice_open(&slice, 4, 4, 5);
    assert_int_equal(strategy_risk_type(&rules[1].risk_type, &slice.strategy, "of_the_tenant", NULL), FAULT_NONE);
    slice_decide(&slice);
    memcpy(levels, slice.batch.results.level, ROWS);
    slice.batch.results.rule = rule;
    slice.in.rules = rules, slice.in.judge = judge, slice.in.judge_context = raising;
    for (int first = 0; first < 2; first++) {
        slice_decide(&slice);
        for (uint32_t row = 0; row < ROWS; row += 5)
            if (levels[row] == LEVEL_HIGH && ++ties)
                assert_true(rule[row] == first && slice.batch.results.verdict[row] == (first ? VERDICT_REJECT : VERDICT_HOLD));
        memmove(slice.strategy.rows + 1, slice.strategy.rows, slice.strategy.row_count++ * sizeof *slice.strategy.rows);
        slice.strategy.rows[0] =
            (struct strategy_row){.risk_type = rules[1].risk_type, .level_least = LEVEL_HIGH, .verdict = VERDICT_REJECT};
    }
    assert_true(ties > 1);
    slice_close(&slice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_follow_the_formula),          cmocka_unit_test(levels_and_verdicts_follow_the_rules),
        cmocka_unit_test(a_transfer_seen_before_is_held),      cmocka_unit_test(lists_overrule_in_their_order),
        cmocka_unit_test(scene_shares_make_the_evidence),      cmocka_unit_test(anomaly_shares_make_the_degree),
        cmocka_unit_test(strongest_reasons_are_kept),          cmocka_unit_test(without_a_base_only_checks_decide),
        cmocka_unit_test(ties_go_by_the_order_of_the_table),   cmocka_unit_test(a_full_arena_is_a_fault),
        cmocka_unit_test(every_instruction_set_decides_alike), cmocka_unit_test(an_allowed_party_passes_at_every_level),
        cmocka_unit_test(rules_stand_where_they_belong),       cmocka_unit_test(a_rule_ties_with_the_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
