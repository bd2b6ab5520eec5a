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
#include "synth/story.h"

enum { ROWS = 100000 };
#define FROM_US (20362 * US_PER_DAY) /* 2025-10-01 */

static struct synth_options options_of(uint64_t seed)
{
    struct synth_options options = {
        .seed = seed, .row_count = ROWS, .account_count = 4000, .from_us = FROM_US, .day_count = 28, .currency = "EUR"};
    memcpy(options.rates, synth_rates_default, sizeof options.rates);
    return options;
}

static struct synth *synth_of(const struct synth_options *options)
{
    struct synth *synth = NULL;
    struct fault_note note = {0};
    assert_int_equal(synth_open(&synth, options, &note), FAULT_NONE);
    return synth;
}

/* All rows as one batch. */
static void batch_of_all(struct batch *out, const struct synth_options *options)
{
    struct synth *synth = synth_of(options);
    struct fault_note note = {0};
    assert_int_equal(batch_init(out, synth_arena_bytes((uint32_t)options->row_count), &note), FAULT_NONE);
    assert_int_equal(synth_next(synth, out, (uint32_t)options->row_count, &note), FAULT_NONE);
    assert_int_equal(out->row_count, options->row_count);
    out->op = OP_import;
    synth_close(&synth);
}

static void digest_of(char out[33], const struct synth_options *options)
{
    struct batch batch;
    uint64_t *hashes = malloc(sizeof *hashes * options->row_count);
    batch_of_all(&batch, options);
    digest_to_hex(out, batch_digest(&batch, 0, hashes));
    batch_fini(&batch);
    free(hashes);
}

/* Changes with every change of the generator on purpose; never between machines, compilers or runs. */
static void a_seed_gives_these_rows(void **state)
{
    struct synth_options options = options_of(7);
    char first[33], again[33], other[33];
    (void)state;
    digest_of(first, &options);
    digest_of(again, &options);
    options.seed = 8;
    digest_of(other, &options);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_string_equal(first, "4080f58b4d4e5e9a45d059c249aca76d");
}

static void columns_are_the_rows(void **state)
{
    enum { SOME = 5000 };
    struct synth_options options = options_of(3);
    struct synth *rows = synth_of(&options), *columns = synth_of(&options);
    struct batch batch;
    struct fault_note note = {0};
    char text[SYNTH_TEXT_BYTES];
    (void)state;
    assert_int_equal(batch_init(&batch, synth_arena_bytes(777), &note), FAULT_NONE);
    for (uint32_t done = 0, i = 0; done < SOME; done++, i++) {
        struct synth_row row;
        if (done == 0 || i == batch.row_count) {
            assert_int_equal(synth_next(columns, &batch, 777, &note), FAULT_NONE);
            i = 0;
        }
        assert_true(synth_row_next(rows, &row));
        assert_int_equal(column_i64(&batch.columns[COLUMN_amount], i), row.amount);
        assert_int_equal(column_i64(&batch.columns[COLUMN_time], i), row.time_us);
        struct text payer = column_text(&batch.columns[COLUMN_payer_id], i), payee = column_text(&batch.columns[COLUMN_payee_id], i);
        assert_true(text_equal(payer, (struct text){text, synth_account_text(text, row.payer)}));
        assert_true(text_equal(payee, (struct text){text, synth_account_text(text, row.payee)}));
        assert_int_equal(column_is_valid(&batch.columns[COLUMN_payee_device], i), row.payee_device != 0);
        assert_int_equal(column_is_valid(&batch.columns[COLUMN_payee_address], i), row.payee_address != 0);
        assert_int_equal(column_is_valid(&batch.columns[COLUMN_payee_network], i), row.payee_address != 0);
        struct text device = column_text(&batch.columns[COLUMN_payer_device], i),
                    address = column_text(&batch.columns[COLUMN_payer_address], i);
        assert_true(text_equal(device, (struct text){text, synth_device_text(text, row.payer_device)}));
        assert_true(text_equal(address, (struct text){text, synth_address_text(text, row.payer_address)}));
        assert_true(text_equal(column_text(&batch.columns[COLUMN_label], i), text_of(synth_scene_names[row.scene])));
    }
    batch_fini(&batch);
    synth_close(&rows);
    synth_close(&columns);
}

static void rows_make_sense(void **state)
{
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_wall_us();
    struct synth_options options = options_of(seed);
    struct synth *synth = synth_of(&options);
    struct synth_row row;
    int64_t before_us = FROM_US;
    uint64_t count = 0, scenes[SYNTH_SCENE_COUNT] = {0}, news[OBSERVE_COUNT] = {0};
    (void)state;
    printf("seed %llu\n", (unsigned long long)seed);
    for (; synth_row_next(synth, &row); count++) {
        assert_int_equal(row.number, count);
        assert_true(row.time_us >= before_us && row.time_us < FROM_US + 28 * US_PER_DAY);
        assert_true(row.payer < options.account_count && row.payee < options.account_count);
        assert_int_not_equal(row.payer, row.payee);
        assert_true(row.amount >= 1 && row.amount <= 2000000000);
        assert_true(row.payer_device && row.payer_address && row.payer_network < SYNTH_NETWORKS && row.payee_network < SYNTH_NETWORKS);
        assert_true(row.transaction_type < SYNTH_TYPES && row.channel < SYNTH_CHANNELS && (unsigned)row.scene < SYNTH_SCENE_COUNT);
        assert_true(row.observation.kind == OBSERVE_NONE || row.observation.time_us < row.time_us);
        before_us = row.time_us;
        scenes[row.scene]++;
        news[row.observation.kind]++;
    }
    assert_int_equal(count, ROWS);
    for (int i = SYNTH_GOOD + 1; i < SYNTH_SCENE_COUNT; i++)
        assert_in_range(scenes[i], ROWS / 1000000.0 * options.rates[i] / 3, ROWS / 1000000.0 * options.rates[i] * 2);
    for (int i = OBSERVE_NONE + 1; i < OBSERVE_COUNT; i++)
        assert_true(news[i] > 0);
    synth_close(&synth);
}

static void rates_are_followed(void **state)
{
    struct synth_options options = options_of(5);
    struct synth_row row;
    uint64_t scenes[SYNTH_SCENE_COUNT] = {0};
    (void)state;
    memset(options.rates, 0, sizeof options.rates);
    options.rates[SYNTH_card_testing] = 20000;
    struct synth *synth = synth_of(&options);
    while (synth_row_next(synth, &row))
        scenes[row.scene]++;
    assert_in_range(scenes[SYNTH_card_testing], 1900, 2100);
    assert_int_equal(scenes[SYNTH_card_testing] + scenes[SYNTH_GOOD], ROWS);
    synth_close(&synth);
}

static void few_rows_over_many_days(void **state)
{
    (void)state;
    for (uint64_t rows = 1; rows < 200; rows += 33) {
        struct synth_options options = options_of(rows);
        struct synth_row row;
        uint64_t count = 0;
        options.row_count = rows;
        options.day_count = 365;
        options.account_count = SYNTH_ACCOUNTS_MIN;
        struct synth *synth = synth_of(&options);
        while (synth_row_next(synth, &row))
            count++;
        assert_int_equal(count, rows);
        synth_close(&synth);
    }
}

static void options_out_of_range_are_refused(void **state)
{
    struct synth_options wrong[5];
    struct synth *synth = NULL;
    struct fault_note note;
    (void)state;
    for (int i = 0; i < 5; i++)
        wrong[i] = options_of(1);
    wrong[0].account_count = SYNTH_ACCOUNTS_MIN - 1;
    wrong[1].day_count = 0;
    wrong[2].from_us = -1;
    wrong[3].row_count = 0;
    wrong[4].rates[SYNTH_fan_out] = 600000;
    for (int i = 0; i < 5; i++) {
        memset(&note, 0, sizeof note);
        assert_int_equal(synth_open(&synth, &wrong[i], &note), FAULT_limit);
        assert_true(note.text[0] && !synth);
    }
}

static void too_small_an_arena_is_a_fault(void **state)
{
    struct synth_options options = options_of(1);
    struct synth *synth = synth_of(&options);
    struct batch batch;
    struct fault_note note = {0};
    (void)state;
    assert_int_equal(batch_init(&batch, 10000, &note), FAULT_NONE);
    assert_int_equal(synth_next(synth, &batch, 1000, &note), FAULT_limit);
    batch_fini(&batch);
    synth_close(&synth);
}

static void allocations_fail_cleanly(void **state)
{
    struct synth_options options = options_of(1);
    uint64_t live = memory_live_count();
    (void)state;
    for (uint64_t nth = 0; nth < 2; nth++) {
        struct synth *synth = NULL;
        struct fault_note note = {0};
        memory_fail_at(nth);
        assert_int_equal(synth_open(&synth, &options, &note), FAULT_memory);
        memory_fail_at(UINT64_MAX);
        assert_int_equal(memory_live_count(), live);
    }
}

static void plain_functions_are_near(void **state)
{
    (void)state;
    for (double x = -60.0; x < 60.0; x += 0.0137)
        assert_true(fabs(exp2_plain(x) / exp2(x) - 1.0) < 1e-9);
    for (double x = 1e-6; x < 1e9; x *= 1.0137)
        assert_true(fabs(log2_plain(x) - log2(x)) < 1e-9);
}

static void zipf_has_its_weights(void **state)
{
    enum { COUNT = 100000, DRAWS = 400000 };
    static uint32_t drawn[COUNT];
    struct zipf zipf;
    struct random random;
    double sum = 0.0;
    (void)state;
    zipf_init(&zipf, COUNT);
    random_seed(&random, 11);
    for (int i = 0; i < COUNT; i++)
        sum += 1.0 / (i + 1);
    for (int i = 0; i < DRAWS; i++)
        drawn[zipf_rank(&zipf, random_next(&random))]++;
    for (uint32_t from = 0; from < COUNT; from = from * 2 + 1) { /* a class of ranks from `from` to twice that */
        double wanted = 0.0, got = 0.0;
        for (uint32_t i = from; i < 2 * from + 1 && i < COUNT; i++)
            wanted += DRAWS / (i + 1.0) / sum, got += drawn[i];
        assert_true(fabs(got - wanted) < 6.0 * sqrt(wanted));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_these_rows),
        cmocka_unit_test(columns_are_the_rows),
        cmocka_unit_test(rows_make_sense),
        cmocka_unit_test(rates_are_followed),
        cmocka_unit_test(few_rows_over_many_days),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(too_small_an_arena_is_a_fault),
        cmocka_unit_test(allocations_fail_cleanly),
        cmocka_unit_test(plain_functions_are_near),
        cmocka_unit_test(zipf_has_its_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
