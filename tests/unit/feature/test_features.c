/* Every feature against its own definition in features.tbl, read here as an expression and computed in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feature/feature.h"

enum { ROWS = 3000 };

static const char *const in_batch_names[] = {
#define IN_BATCH(name, text) #name,
#include "feature/in_batch.tbl"
#undef IN_BATCH
};
enum { IN_BATCH_COUNT = sizeof in_batch_names / sizeof *in_batch_names };

static uint64_t state_of_random;
static float figure_values[FIGURE_COUNT][SLICE_ROWS], in_batch_values[IN_BATCH_COUNT][ROWS];
static float out_values[FEATURE_COUNT][SLICE_ROWS + 32] __attribute__((aligned(64)));
static uint64_t keys[ROWS];
static int64_t amounts[ROWS], times[ROWS];
static uint8_t invalid[ROWS];

static uint64_t random64(void)
{
    uint64_t x = state_of_random += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static float random_figure(void)
{
    switch (random64() % 5) {
    case 0:
        return -1.0f;
    case 1:
        return (float)(random64() % 3);
    case 2:
        return (float)(random64() % 1000);
    default:
        return (float)(random64() >> (random64() % 50 + 14));
    }
}

/* --- definitions as expressions --------------------------------------------------------------------------------------- */

struct reading {
    const char *at;
    uint32_t row, in_slice;
    bool unknown;
};

static double expression(struct reading *reading);

static bool take(struct reading *reading, const char *token)
{
    while (*reading->at == ' ')
        reading->at++;
    if (strncmp(reading->at, token, strlen(token)) != 0)
        return false;
    reading->at += strlen(token);
    return true;
}

static void need(struct reading *reading, const char *token)
{
    if (!take(reading, token))
        fail_msg("definition: \"%s\" expected at \"%s\"", token, reading->at);
}

static double known(struct reading *reading, double value)
{
    reading->unknown |= value < 0;
    return value;
}

static double named(struct reading *reading)
{
    size_t length = strspn(reading->at, "abcdefghijklmnopqrstuvwxyz0123456789_");
    const char *name = reading->at;
    reading->at += length;
    if (length == 6 && strncmp(name, "amount", 6) == 0)
        return amounts[reading->row] > 0 ? (double)(float)amounts[reading->row] : 0;
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        if (strlen(figure_names[f]) == length && strncmp(name, figure_names[f], length) == 0)
            return known(reading, (double)figure_values[f][reading->in_slice]);
    for (unsigned i = 0; i < IN_BATCH_COUNT; i++)
        if (strlen(in_batch_names[i]) == length && strncmp(name, in_batch_names[i], length) == 0)
            return known(reading, (double)in_batch_values[i][reading->row]);
    fail_msg("definition names \"%.*s\", which is nothing", (int)length, name);
    return 0;
}

static double factor(struct reading *reading)
{
    double a, b, c;
    if (take(reading, "log1p("))
        return a = expression(reading), need(reading, ")"), log1p(a < 0 ? 0 : a);
    if (take(reading, "lr("))
        return a = expression(reading), need(reading, ","), b = expression(reading), need(reading, ")"), log((a + 1) / (b + 1));
    if (take(reading, "m("))
        return a = expression(reading), need(reading, ","), b = expression(reading), need(reading, ")"), a / fmax(b, 1);
    if (take(reading, "r(")) {
        a = expression(reading), need(reading, ","), b = expression(reading), need(reading, ","), c = expression(reading),
        need(reading, ")");
        reading->unknown |= c == 0;
        return log((a + 1) / (b / fmax(c, 1) + 1));
    }
    if (take(reading, "max("))
        return a = expression(reading), need(reading, ","), b = expression(reading), need(reading, ")"), fmax(a, b);
    take(reading, "");
    if (isdigit((unsigned char)*reading->at))
        return strtod(reading->at, (char **)&reading->at);
    return named(reading);
}

static double expression(struct reading *reading)
{
    double value = factor(reading);
    for (;;) {
        if (take(reading, "/"))
            value /= factor(reading);
        else if (take(reading, "·"))
            value *= factor(reading);
        else if (take(reading, "-"))
            value -= factor(reading);
        else
            return value;
    }
}

/* --- computing ---------------------------------------------------------------------------------------------------------- */

static void values_fill(void)
{
    for (uint32_t row = 0; row < ROWS; row++) {
        keys[row] = random64();
        amounts[row] = random64() % 4 ? (int64_t)(random64() % 100000000) : (int64_t)(random64() % 1000) * 10000 - 5000000;
        times[row] = (int64_t)(random64() % 4000000000000000);
        for (unsigned i = 0; i < IN_BATCH_COUNT; i++)
            in_batch_values[i][row] = random64() % 8 ? (float)(1 + random64() % 1000) : -1.0f;
    }
}

static struct batch batch_of_values(bool joined)
{
    struct batch batch = {.magic = BATCH_MAGIC, .op = OP_screen, .row_count = ROWS};
    batch.facts = (struct batch_facts){.payer = keys, .payee = keys, .amount = amounts, .time_us = times, .invalid = invalid};
    for (unsigned i = 0; joined && i < IN_BATCH_COUNT; i++)
        batch.facts.in_batch[i] = in_batch_values[i];
    return batch;
}

static struct feature_set all_features(void)
{
    struct feature_set set;
    memset(&set, 0xff, sizeof set);
    return set;
}

static void slice_compute(struct feature_block *out, const struct batch *batch, uint32_t first, uint32_t count, bool with_figures,
                          const struct kernels *kernels)
{
    struct figures figures;
    const struct feature_set all = all_features();
    for (unsigned f = 0; f < FIGURE_COUNT; f++) {
        figures.column[f] = figure_values[f];
        for (uint32_t i = 0; i < count; i++)
            figure_values[f][i] = random_figure();
    }
    for (unsigned f = 0; f < FEATURE_COUNT; f++) {
        out->column[f] = out_values[f];
        for (uint32_t i = 0; i < SLICE_ROWS + 32; i++)
            out_values[f][i] = 12345.0f;
    }
    feature_compute(out, &all, batch, first, count, with_figures ? &figures : NULL, kernels);
}

static bool is_expression(enum feature_id f)
{
    return f != FEATURE_night && f != FEATURE_weekend && f != FEATURE_hour_distance && f != FEATURE_round_amount && f != FEATURE_contact &&
           f != FEATURE_back_contact;
}

static void row_check(const struct feature_block *block, uint32_t first, uint32_t i)
{
    for (int f = 0; f < FEATURE_COUNT; f++) {
        if (!is_expression((enum feature_id)f))
            continue;
        const struct feature_info *info = &feature_infos[f];
        struct reading reading = {.at = info->definition, .row = first + i, .in_slice = i};
        double expected = expression(&reading), got = (double)block->column[f][i];
        if (*reading.at)
            fail_msg("%s: definition goes on with \"%s\"", info->name, reading.at);
        expected = reading.unknown ? (double)info->unknown : expected;
        if (!(fabs(got - expected) <= 2e-6 * fabs(expected) + 1e-6))
            fail_msg("row %u: %s is %.9g, by its definition %.9g", first + i, info->name, got, expected);
    }
}

static void test_definitions(void **state)
{
    (void)state;
    struct batch batch = batch_of_values(true);
    struct feature_block block;
    const uint32_t counts[] = {1, 15, 16, 17, 1000, SLICE_ROWS};
    for (unsigned c = 0; c < sizeof counts / sizeof *counts; c++) {
        uint32_t first = (uint32_t)(random64() % (ROWS - counts[c]));
        slice_compute(&block, &batch, first, counts[c], true, &kernels_ref);
        assert_int_equal(block.row_count, counts[c]);
        for (uint32_t i = 0; i < counts[c]; i++)
            row_check(&block, first, i);
        for (unsigned f = 0; f < FEATURE_COUNT; f++) {
            for (uint32_t i = counts[c]; i % TILE_ROWS != 0; i++)
                assert_true(block.column[f][i] == 0.0f);
            assert_true(block.column[f][SLICE_ROWS] == 12345.0f);
        }
    }
}

static void test_same_bits_on_every_kernel(void **state)
{
    (void)state;
    struct batch batch = batch_of_values(true);
    struct feature_block block;
    struct kernels native;
    static float twin[FEATURE_COUNT][SLICE_ROWS];
    kernels_select(&native, CPU_MASK_ALL);
    uint64_t kept = state_of_random;
    slice_compute(&block, &batch, 0, 1000, true, &kernels_ref);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        memcpy(twin[f], block.column[f], sizeof twin[f]);
    state_of_random = kept;
    slice_compute(&block, &batch, 0, 1000, true, &native);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        if (memcmp(twin[f], block.column[f], sizeof twin[f]) != 0)
            fail_msg("%s differs between %s and the twin", feature_infos[f].name, native.name);
}

static float own_feature(enum feature_id feature, int64_t time_us, int64_t amount)
{
    struct batch batch = batch_of_values(false);
    struct feature_block block;
    times[0] = time_us;
    amounts[0] = amount;
    slice_compute(&block, &batch, 0, 1, false, &kernels_ref);
    return block.column[feature][0];
}

static void test_time_and_amount(void **state)
{
    (void)state;
    const int64_t hour = 3600000000LL, day = 24 * hour; /* day 0 was a Thursday */
    assert_true(own_feature(FEATURE_night, 0, 1) == 1.0f && own_feature(FEATURE_night, 7 * hour - 1, 1) == 1.0f);
    assert_true(own_feature(FEATURE_night, 7 * hour, 1) == 0.0f && own_feature(FEATURE_night, 24 * hour - 1, 1) == 0.0f);
    assert_true(own_feature(FEATURE_night, -1, 1) == 0.0f && own_feature(FEATURE_night, -day, 1) == 1.0f);
    assert_true(own_feature(FEATURE_weekend, 2 * day - 1, 1) == 0.0f && own_feature(FEATURE_weekend, 2 * day, 1) == 1.0f);
    assert_true(own_feature(FEATURE_weekend, 4 * day - 1, 1) == 1.0f && own_feature(FEATURE_weekend, 4 * day, 1) == 0.0f);
    assert_true(own_feature(FEATURE_weekend, -4 * day, 1) == 1.0f && own_feature(FEATURE_weekend, -3 * day, 1) == 0.0f);
    assert_true(own_feature(FEATURE_hour_distance, 14 * hour, 1) == 0.0f && own_feature(FEATURE_hour_distance, 2 * hour, 1) == 12.0f);
    assert_true(own_feature(FEATURE_hour_distance, 23 * hour + hour / 2, 1) == 9.5f &&
                own_feature(FEATURE_hour_distance, hour, 1) == 11.0f);
    assert_true(own_feature(FEATURE_round_amount, 0, 1200) == 2.0f && own_feature(FEATURE_round_amount, 0, 100000000) == 6.0f);
    assert_true(own_feature(FEATURE_round_amount, 0, 0) == 0.0f && own_feature(FEATURE_round_amount, 0, 12345) == 0.0f);
    assert_true(own_feature(FEATURE_amount, 0, 0) == 0.0f && fabsf(own_feature(FEATURE_amount, 0, 99) - logf(100.0f)) < 1e-5f);
}

static void test_contact(void **state)
{
    (void)state;
    struct batch batch = batch_of_values(true);
    struct feature_block block;
    slice_compute(&block, &batch, 0, 100, true, &kernels_ref);
    for (uint32_t i = 0; i < 100; i++)
        assert_true(block.column[FEATURE_contact][i] == (figure_values[FIGURE_contact_age][i] >= 0.0f ? 1.0f : 0.0f) &&
                    block.column[FEATURE_back_contact][i] == (figure_values[FIGURE_back_contact_age][i] >= 0.0f ? 1.0f : 0.0f));
}

/* Without figures and without the batch's joins: own features stand, the rest are their unknown values. */
static void test_nothing_known(void **state)
{
    (void)state;
    struct batch batch = batch_of_values(false);
    struct feature_block block;
    slice_compute(&block, &batch, 0, 50, false, &kernels_ref);
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        for (uint32_t i = 0; i < 50; i++) {
            const struct feature_info *info = &feature_infos[f];
            assert_true(isfinite(block.column[f][i]));
            if (info->needs_history || info->batch_scope)
                assert_true(block.column[f][i] == info->unknown);
        }
    assert_true(own_feature(FEATURE_amount, 0, INT64_MAX) > 43.0f && isfinite(own_feature(FEATURE_amount, INT64_MIN, INT64_MIN)));
}

static void test_only_what_is_wanted(void **state)
{
    (void)state;
    struct batch batch = batch_of_values(true);
    struct feature_block block;
    struct figures figures;
    struct feature_set one = {{0}};
    slice_compute(&block, &batch, 0, 10, true, &kernels_ref);
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        figures.column[f] = figure_values[f];
    for (unsigned f = 0; f < FEATURE_COUNT; f++)
        block.column[f] = f == FEATURE_pair_count ? out_values[f] : NULL;
    one.bits[FEATURE_pair_count / 64] |= 1ull << FEATURE_pair_count % 64;
    feature_compute(&block, &one, &batch, 5, 10, &figures, &kernels_ref);
}

/* Row by row as their definitions say, over any part of the slice. */
static void test_unknown_rows(void **state)
{
    (void)state;
    struct batch batch = batch_of_values(true);
    struct feature_block block;
    struct figures figures;
    const struct feature_set all = all_features();
    uint32_t counted[FEATURE_COUNT], some = 0;
    const uint32_t first = 700, from = 37, count = 300;
    slice_compute(&block, &batch, first, 1000, true, &kernels_ref);
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        figures.column[f] = figure_values[f];
    feature_unknown_count(counted, &all, &batch, first, from, count, &figures);
    for (int f = 0; f < FEATURE_COUNT; f++) {
        uint32_t expected = 0;
        for (uint32_t i = from; is_expression((enum feature_id)f) && i < from + count; i++) {
            struct reading reading = {.at = feature_infos[f].definition, .row = first + i, .in_slice = i};
            expression(&reading);
            expected += reading.unknown;
        }
        if (counted[f] != expected)
            fail_msg("%s is not known in %u rows, counted %u", feature_infos[f].name, expected, counted[f]);
        some += expected > 0;
    }
    assert_true(some > FEATURE_COUNT / 2);
    feature_unknown_count(counted, &all, &batch, first, from, count, NULL);
    assert_int_equal(counted[FEATURE_pair_count], count);
    assert_int_equal(counted[FEATURE_amount], 0);
    assert_int_equal(counted[FEATURE_contact], 0);
}

static void test_catalogue(void **state)
{
    (void)state;
    unsigned counts[DIMENSION_COUNT] = {0};
    for (int f = 0; f < FEATURE_COUNT; f++) {
        const struct feature_info *info = &feature_infos[f];
        counts[info->dimension]++;
        assert_int_equal(feature_find(info->name, strlen(info->name)), f);
        assert_true(*info->source && *info->target && *info->edge && *info->unit && *info->definition);
        assert_true(!(info->batch_scope && info->needs_history));
    }
    for (unsigned d = 0; d < DIMENSION_COUNT; d++)
        assert_true(counts[d] >= 16);
    assert_int_equal(feature_find("amoun", 5), -1);
    assert_int_equal(feature_find("", 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definitions),     cmocka_unit_test(test_same_bits_on_every_kernel),
        cmocka_unit_test(test_time_and_amount), cmocka_unit_test(test_contact),
        cmocka_unit_test(test_nothing_known),   cmocka_unit_test(test_only_what_is_wanted),
        cmocka_unit_test(test_unknown_rows),    cmocka_unit_test(test_catalogue),
    };
    const char *seed = getenv("SLUICE_SEED");
    state_of_random = seed ? strtoull(seed, NULL, 0) : 15;
    printf("seed %llu (SLUICE_SEED)\n", (unsigned long long)state_of_random);
    values_fill();
    return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
