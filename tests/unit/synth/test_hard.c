/* Generated transfers are no easy ones: what stands in a transfer alone does not tell its label, and each of the four dimensions is
 * needed. A base is built as `sluice build` does it, with all of them and without each; learnt from the older part, measured on the
 * newest, means over two seeds. The figures are printed; docs/quality.md has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "compute/device.h"
#include "history/history.h"
#include "intake/intake.h"
#include "pipeline/collect.h"
#include "scene/build.h"
#include "synth/synth.h"

enum { ROWS = 600000, ACCOUNTS = 24000, DAYS = 28, FILL_PERCENT = 15, TRAIN_PERCENT = 60, LATER_PERCENT = 70 };
enum {
    AMOUNTS = 3,
    HOURS = 24,
    WEEKDAYS = 7,
    RAW_MAX = 1 + AMOUNTS + HOURS + WEEKDAYS + SYNTH_TYPES + SYNTH_CHANNELS + 2 * SYNTH_NETWORKS + 3
};
enum { RAW_SET = 1 + AMOUNTS + 7 }; /* of a row that are not 0, at the most */
#define FROM_US         (20362 * US_PER_DAY)
#define RAW_MOST        0.3
#define DIMENSION_LEAST 0.02

struct raw { /* one row: places and values of what is not 0 */
    uint8_t count, place[RAW_SET];
    float value[RAW_SET];
};

struct part {
    struct collect features;
    struct raw *raw;
    uint8_t *scene;
    uint32_t count;
};
enum { TRAIN, LATER, TEST, PARTS };

static struct part parts[PARTS];
static struct feature_set all_features;

/* --- rows ------------------------------------------------------------------------------------------------------------ */

static void raw_put(struct raw *out, uint32_t place, float value)
{
    out->place[out->count] = (uint8_t)place;
    out->value[out->count++] = value;
}

/* Amount in three forms, hour, day of the week, type, channel, both networks, and whether the payee's side is there. */
static void raw_take(struct raw *out, const struct batch *batch, uint32_t row)
{
    int64_t amount = column_i64(&batch->columns[COLUMN_amount], row), time_us = column_i64(&batch->columns[COLUMN_time], row);
    const struct column *payee_network = &batch->columns[COLUMN_payee_network];
    uint32_t at = 1 + AMOUNTS;
    double log_amount = log1p((double)amount);
    *out = (struct raw){0};
    raw_put(out, 0, 1.0f);
    raw_put(out, 1, (float)(log_amount / 10.0)), raw_put(out, 2, (float)(log_amount * log_amount / 100.0));
    raw_put(out, 3, amount % 1000 == 0);
    raw_put(out, at + (uint32_t)(time_us / 3600000000LL % HOURS), 1.0f), at += HOURS;
    raw_put(out, at + (uint32_t)(time_us / US_PER_DAY % WEEKDAYS), 1.0f), at += WEEKDAYS;
    raw_put(out, at + column_code(&batch->columns[COLUMN_transaction_type], row), 1.0f), at += SYNTH_TYPES;
    raw_put(out, at + column_code(&batch->columns[COLUMN_channel], row), 1.0f), at += SYNTH_CHANNELS;
    raw_put(out, at + column_code(&batch->columns[COLUMN_payer_network], row), 1.0f), at += SYNTH_NETWORKS;
    if (column_is_valid(payee_network, row))
        raw_put(out, at + column_code(payee_network, row), 1.0f);
    at += SYNTH_NETWORKS;
    raw_put(out, at + column_is_valid(&batch->columns[COLUMN_payee_device], row), 1.0f);
}

static uint32_t part_of(uint64_t number)
{
    uint64_t percent = number * 100 / ROWS;
    return percent < FILL_PERCENT ? PARTS : percent < TRAIN_PERCENT ? TRAIN : percent < LATER_PERCENT ? LATER : TEST;
}

static void rows_take(const struct batch *batch, const struct feature_block *block, uint64_t first)
{
    struct fault_note note = {0};
    for (uint32_t row = 0; row < batch->row_count; row++) {
        uint32_t which = part_of(first + row);
        struct part *part = &parts[which];
        if (which == PARTS)
            continue;
        uint8_t scene = (uint8_t)column_code(&batch->columns[COLUMN_label], row);
        assert_false(batch->facts.invalid[row]);
        assert_int_equal(collect_row(&part->features, block, row, scene, &note), FAULT_NONE);
        raw_take(&part->raw[part->count], batch, row);
        part->scene[part->count++] = scene;
    }
}

static float *columns_of(float **columns, unsigned count)
{
    float *memory = memory_take_aligned((size_t)count * SLICE_ROWS * sizeof(float), 64);
    assert_non_null(memory);
    for (unsigned i = 0; i < count; i++)
        columns[i] = memory + (size_t)i * SLICE_ROWS;
    return memory;
}

/* What an associated system tells before the row. */
static void observation_tell(struct history *history, const struct intake_rules *rules, const struct synth_observation *told,
                             int64_t opened_us)
{
    enum { ARENA_BYTES = 1 << 18 };
    static struct batch batch;
    char account[SYNTH_TEXT_BYTES], contact[SYNTH_TEXT_BYTES], device[SYNTH_TEXT_BYTES], address[SYNTH_TEXT_BYTES],
        network[SYNTH_TEXT_BYTES];
    struct fault_note note = {0};
    if (!batch.arena.base)
        assert_int_equal(batch_init(&batch, ARENA_BYTES, &note), FAULT_NONE);
    struct arena arena = batch.arena;
    arena_reset(&arena);
    batch = (struct batch){.magic = (unsigned)BATCH_MAGIC, .op = OP_observe, .observe_kind = told->kind, .row_count = 1, .arena = arena};
    const struct text texts[] = {{account, synth_account_text(account, told->account)},
                                 {contact, synth_account_text(contact, told->contact)},
                                 {device, synth_device_text(device, told->device)},
                                 {address, synth_address_text(address, told->address)},
                                 {network, synth_network_text(network, told->network)}};
    static const uint8_t code;
    bool is_use = told->kind == OBSERVE_USE,
         is_there[] = {true, told->kind == OBSERVE_CONTACT, is_use || told->kind == OBSERVE_REGISTRATION, is_use, is_use};
    static const enum column_id ids[] = {COLUMN_account_id, COLUMN_contact_id, COLUMN_device_id, COLUMN_address, COLUMN_network};
    for (unsigned i = 0; i < 5; i++)
        if (is_there[i])
            batch.columns[ids[i]] = (struct column){
                .form = FORM_DICT8, .name = text_of(column_name((uint16_t)ids[i])), .data = &code, .values = &texts[i], .value_count = 1};
    const enum column_id attribute = opened_us ? COLUMN_opened_time : COLUMN_changed_time;
    batch.columns[COLUMN_time] =
        (struct column){.form = FORM_I64, .name = text_of(column_name(COLUMN_time)), .data = (const unsigned char *)&told->time_us};
    if (told->kind == OBSERVE_ATTRIBUTE)
        batch.columns[attribute] = (struct column){.form = FORM_I64,
                                                   .name = text_of(column_name((uint16_t)attribute)),
                                                   .data = (const unsigned char *)(opened_us ? &opened_us : &told->time_us)};
    assert_int_equal(batch_take_facts(&batch, &note), FAULT_NONE);
    assert_int_equal(intake_check(&batch, rules, &note), FAULT_NONE);
    assert_int_equal(intake_fill(&batch, rules, &note), FAULT_NONE);
    intake_fill_times(&batch, told->time_us);
    assert_false(batch.facts.invalid[0]);
    history_memory.observe(history, &batch);
}

/* What is known before the first row: when accounts were opened, their devices and address books. */
static void persons_tell(struct history *history, const struct intake_rules *rules, const struct synth *synth)
{
    uint32_t contacts[SYNTH_CONTACTS_MAX];
    for (uint32_t person = 0; person < synth_person_count(synth); person++) {
        struct synth_observation told = {.kind = OBSERVE_ATTRIBUTE, .account = person, .time_us = FROM_US};
        if (synth_opened_us(synth, person) > FROM_US)
            continue;
        observation_tell(history, rules, &told, synth_opened_us(synth, person));
        told.kind = OBSERVE_REGISTRATION, told.device = synth_device(synth, person);
        observation_tell(history, rules, &told, 0);
        told.kind = OBSERVE_CONTACT;
        for (uint32_t i = 0, count = synth_contacts(synth, person, contacts); i < count; i++)
            told.contact = contacts[i], observation_tell(history, rules, &told, 0);
    }
}

/* Each row behind what is told of its parties: rows are the same transfers, one by one. */
static void batch_related(struct batch *batch, struct synth *rows, struct history *history, const struct intake_rules *rules,
                          struct figures *figures)
{
    struct fault_note note = {0};
    batch->op = OP_import;
    assert_int_equal(batch_take_facts(batch, &note), FAULT_NONE);
    assert_int_equal(intake_check(batch, rules, &note), FAULT_NONE);
    assert_int_equal(intake_fill(batch, rules, &note), FAULT_NONE);
    intake_fill_times(batch, FROM_US + DAYS * US_PER_DAY);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        struct figures of_row;
        struct synth_row told;
        assert_true(synth_row_next(rows, &told));
        if (told.observation.kind != OBSERVE_NONE)
            observation_tell(history, rules, &told.observation, 0);
        for (unsigned f = 0; f < FIGURE_COUNT; f++)
            of_row.column[f] = figures->column[f] + row;
        history_memory.relate(history, batch, row, 1, 7 * US_PER_DAY, true, &of_row);
    }
}

static void rows_make(uint64_t seed)
{
    const struct history_limits limits = {
        .accounts_max = 4 * ACCOUNTS, .events_max = 1 << 21, .busy_max = 4 * ACCOUNTS, .links_max = 1 << 20, .places_max = 1 << 18};
    const struct batch_limits batch_limits = BATCH_LIMITS_DEFAULT;
    struct synth_options options = {
        .seed = seed, .row_count = ROWS, .account_count = ACCOUNTS, .from_us = FROM_US, .day_count = DAYS, .currency = "EUR"};
    struct synth *synth = NULL, *rows = NULL;
    struct history *history = NULL;
    struct figures figures;
    struct feature_block block;
    struct kernels kernels;
    struct batch batch;
    struct fault_note note = {0};
    struct intake_rules rules = {.limits = BATCH_LIMITS_DEFAULT, .key_seed = 1};
    rules.currencies = (struct currency_table){.count = 1, .rates = {{.code = "EUR", .factor_q32 = 1ull << 32}}};
    memcpy(options.rates, synth_rates_default, sizeof options.rates);
    kernels_select(&kernels, CPU_MASK_ALL);
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if (!feature_infos[f].batch_scope)
            all_features.bits[f / 64] |= 1ull << f % 64;
    for (uint32_t i = 0; i < PARTS; i++) {
        collect_init(&parts[i].features, &all_features, ROWS, false, 1);
        parts[i].raw = calloc(ROWS, sizeof *parts[i].raw), parts[i].scene = calloc(ROWS, 1);
    }
    assert_int_equal(synth_open(&synth, &options, &note), FAULT_NONE);
    assert_int_equal(synth_open(&rows, &options, &note), FAULT_NONE);
    assert_int_equal(history_memory.open(&history, &limits, &note), FAULT_NONE);
    assert_int_equal(batch_init(&batch, synth_arena_bytes(SLICE_ROWS) + batch_work_bytes(&batch_limits, SLICE_ROWS), &note), FAULT_NONE);
    float *figure_memory = columns_of(figures.column, FIGURE_COUNT), *feature_memory = columns_of(block.column, FEATURE_COUNT);
    persons_tell(history, &rules, synth);
    for (uint64_t first = 0; synth_next(synth, &batch, SLICE_ROWS, &note) == FAULT_NONE && batch.row_count > 0; first += batch.row_count) {
        batch_related(&batch, rows, history, &rules, &figures);
        feature_compute(&block, &all_features, &batch, 0, batch.row_count, &figures, &kernels);
        rows_take(&batch, &block, first);
    }
    memory_give(figure_memory), memory_give(feature_memory);
    batch_fini(&batch);
    history_memory.close(&history);
    synth_close(&synth), synth_close(&rows);
}

static void rows_give(void)
{
    for (uint32_t i = 0; i < PARTS; i++) {
        collect_fini(&parts[i].features);
        free(parts[i].raw), free(parts[i].scene);
        parts[i] = (struct part){0};
    }
}

/* --- average precision ------------------------------------------------------------------------------------------------ */

struct scored {
    double score;
    bool is_risky;
};

static int higher_first(const void *a, const void *b)
{
    double one = ((const struct scored *)a)->score, other = ((const struct scored *)b)->score;
    return one < other ? 1 : one > other ? -1 : 0;
}

/* Σ (R_n − R_{n−1}) P_n over distinct scores. */
static double average_precision(struct scored *rows, uint32_t count)
{
    double sum = 0.0;
    uint64_t risky = 0, found = 0;
    qsort(rows, count, sizeof *rows, higher_first);
    for (uint32_t i = 0; i < count; i++)
        risky += rows[i].is_risky;
    for (uint32_t i = 0, next; i < count; i = next) {
        uint64_t here = 0;
        for (next = i; next < count && rows[next].score >= rows[i].score; next++)
            here += rows[next].is_risky;
        found += here;
        sum += (double)here * (double)found / next;
    }
    return sum / (double)risky;
}

/* --- logistic regression on what stands in the transfer ---------------------------------------------------------------- */

static double raw_sum(const double *weights, const struct raw *row)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < row->count; i++)
        sum += weights[row->place[i]] * (double)row->value[i];
    return sum;
}

/* Cholesky in place, then both substitutions; a little ridge keeps it positive. */
static void solve(double a[RAW_MAX][RAW_MAX], double b[RAW_MAX])
{
    for (uint32_t j = 0; j < RAW_MAX; j++) {
        for (uint32_t k = 0; k < j; k++)
            a[j][j] -= a[j][k] * a[j][k];
        a[j][j] = sqrt(a[j][j]);
        for (uint32_t i = j + 1; i < RAW_MAX; i++) {
            for (uint32_t k = 0; k < j; k++)
                a[i][j] -= a[i][k] * a[j][k];
            a[i][j] /= a[j][j];
        }
    }
    for (uint32_t i = 0; i < RAW_MAX; i++) {
        for (uint32_t k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (uint32_t i = RAW_MAX; i-- > 0;) {
        for (uint32_t k = i + 1; k < RAW_MAX; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
}

static void newton_step(double *weights, const struct part *part)
{
    static double a[RAW_MAX][RAW_MAX], b[RAW_MAX];
    memset(a, 0, sizeof a);
    for (uint32_t i = 0; i < RAW_MAX; i++)
        a[i][i] = 1.0, b[i] = -weights[i];
    for (uint32_t row = 0; row < part->count; row++) {
        const struct raw *raw = &part->raw[row];
        double p = 1.0 / (1.0 + exp(-raw_sum(weights, raw))), w = p * (1.0 - p), apart = (part->scene[row] > 0) - p;
        for (uint32_t i = 0; i < raw->count; i++) {
            b[raw->place[i]] += apart * (double)raw->value[i];
            for (uint32_t k = 0; k < raw->count; k++)
                a[raw->place[i]][raw->place[k]] += w * (double)raw->value[i] * (double)raw->value[k];
        }
    }
    solve(a, b);
    for (uint32_t i = 0; i < RAW_MAX; i++)
        weights[i] += b[i];
}

static double precision_of_raw(void)
{
    enum { STEPS = 12 };
    double weights[RAW_MAX] = {-4.0};
    const struct part *test = &parts[TEST];
    struct scored *rows = calloc(test->count, sizeof *rows);
    for (uint32_t i = 0; i < STEPS; i++)
        newton_step(weights, &parts[TRAIN]);
    for (uint32_t i = 0; i < test->count; i++)
        rows[i] = (struct scored){.score = raw_sum(weights, &test->raw[i]), .is_risky = test->scene[i] > 0};
    double precision = average_precision(rows, test->count);
    free(rows);
    return precision;
}

/* --- bases with and without a dimension ------------------------------------------------------------------------------- */

static struct scene_base *base_of(int without, const struct kernels *kernels)
{
    struct build_options options = BUILD_OPTIONS_DEFAULT;
    struct build_sample train = collect_sample(&parts[TRAIN].features), later = collect_sample(&parts[LATER].features);
    struct build_result result = {0};
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    options.name = "hard", options.kernels = kernels, options.scene_count = SYNTH_SCENE_COUNT;
    options.features = all_features;
    for (uint32_t s = 1; s < SYNTH_SCENE_COUNT; s++)
        options.scene_names[s] = options.risk_types[s] = synth_scene_names[s];
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        if ((int)feature_infos[f].dimension == without)
            options.features.bits[f / 64] &= ~(1ull << f % 64);
    if (scene_build(&result, &options, &train, &(const struct build_sample){0}, &later, &note) != FAULT_NONE ||
        scene_base_read(&base, (const unsigned char *)result.bytes, result.byte_count, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    build_result_fini(&result);
    return base;
}

static double precision_of(struct scene_base *base)
{
    const struct device_options device_options = {.cpu_mask = CPU_MASK_ALL};
    const struct collect *test = &parts[TEST].features;
    struct scored *rows = calloc(test->row_count, sizeof *rows);
    struct device *device = NULL;
    struct resident *resident = NULL;
    struct scratch *scratch = NULL;
    struct scores scores;
    uint32_t count = 0;
    assert_int_equal(device_cpu.open(&device, &device_options, NULL), FAULT_NONE);
    assert_int_equal(device_cpu.prepare(&resident, device, base, NULL), FAULT_NONE);
    assert_int_equal(device_cpu.scratch_take(&scratch, resident, NULL), FAULT_NONE);
    for (uint32_t c = 0; c < test->chunk_count; c++) {
        const struct build_chunk *chunk = &test->chunks[c];
        assert_int_equal(device_cpu.score(&scores, scratch, resident, &chunk->features, NULL), FAULT_NONE);
        for (uint32_t i = 0; i < chunk->features.row_count; i++) {
            double evidence[SCENES_MAX][TILE_ROWS], sum = 0.0;
            scene_evidence(evidence, base, scores.distance, SLICE_ROWS, i / TILE_ROWS * TILE_ROWS);
            for (uint32_t s = 1; s < base->scene_count; s++)
                sum += exp(evidence[s][i % TILE_ROWS] - evidence[0][i % TILE_ROWS]);
            rows[count++] = (struct scored){.score = sum, .is_risky = chunk->scene[i] > 0};
        }
    }
    device_cpu.scratch_give(&scratch);
    device_cpu.release(&resident);
    device_cpu.close(&device);
    double precision = average_precision(rows, count);
    free(rows);
    return precision;
}

static double precision_without(int dimension)
{
    struct kernels kernels;
    kernels_select(&kernels, CPU_MASK_ALL);
    struct scene_base *base = base_of(dimension, &kernels);
    double precision = precision_of(base);
    scene_base_close(&base);
    return precision;
}

static void generated_rows_are_no_easy_ones(void **state)
{
    static const uint64_t seeds[] = {13, 14};
    enum { SEEDS = sizeof seeds / sizeof *seeds };
    double raw = 0.0, all = 0.0, without[DIMENSION_COUNT] = {0};
    (void)state;
    for (unsigned i = 0; i < SEEDS; i++) {
        rows_make(seeds[i]);
        raw += precision_of_raw() / SEEDS;
        all += precision_without(-1) / SEEDS;
        for (int g = 0; g < DIMENSION_COUNT; g++)
            without[g] += precision_without(g) / SEEDS;
        rows_give();
    }
    print_message("average precision: %.3f by logistic regression on raw parameters, %.3f by a base\n", raw, all);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        print_message("without %s: %.3f, %.3f less\n", dimension_names[g], without[g], all - without[g]);
    assert_true(raw > 0.0 && raw < RAW_MOST);
    assert_true(all > 0.5);
    for (int g = 0; g < DIMENSION_COUNT; g++)
        assert_true(all - without[g] >= DIMENSION_LEAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(generated_rows_are_no_easy_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
