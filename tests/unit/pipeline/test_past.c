/* Past transfers of files, and the windows of rows collected from them. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "pipeline/collect.h"
#include "pipeline/currencies.h"
#include "pipeline/past.h"

#define DAY 86400000000LL
#define T0  1700000000000000LL

static char folder[64];
static struct config *small_config;

static const char *file_make(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    return path;
}

static struct past_options options_make(const char *path)
{
    struct past_options options = {
        .path = path, .config = small_config, .delay_us = 7 * DAY, .batch_rows = 100, .from_us = INT64_MIN, .kernels = &kernels_ref};
    for (uint32_t f = 0; f < FEATURE_COUNT; f++)
        options.wanted.bits[f / 64] |= 1ull << f % 64;
    return options;
}

/* Rows of all slices, and one feature of every row. */
static uint32_t read_all(const struct past_options *options, uint32_t feature, float *out, enum fault *end, struct fault_note *note)
{
    struct past *past = NULL;
    struct past_slice slice;
    uint32_t rows = 0;
    *end = past_open(&past, options, note);
    while (*end == FAULT_NONE) {
        *end = past_next(past, &slice, note);
        if (*end != FAULT_NONE || slice.count == 0)
            break;
        for (uint32_t i = 0; i < slice.count; i++)
            out[rows++] = slice.has_features ? slice.features.column[feature][i] : -1.0f;
    }
    past_close(&past);
    return rows;
}

/* One payer, a transfer a minute: what it sent before is counted, whatever the size of the batches. */
static void rows_become_features(void **state)
{
    (void)state;
    char *text = malloc(200 * 3000), *at = text;
    static float counts[3][3000];
    at += sprintf(at, "transfer_id,payer_id,payee_id,amount,currency,time,label\n");
    for (int i = 0; i < 3000; i++)
        at += sprintf(at, "t%d,alice,shop%d,%d,EUR,%lld,%s\n", i, i % 7, 100 + i, T0 + i * 60000000LL, i % 50 ? "good" : "");
    const char *path = file_make("rows.csv", text);
    const uint32_t batch_rows[3] = {100, 1024, 3000};
    for (int k = 0; k < 3; k++) {
        struct past_options options = options_make(path);
        struct fault_note note = {0};
        enum fault end;
        options.batch_rows = batch_rows[k];
        assert_int_equal(read_all(&options, FEATURE_payer_count_1d, counts[k], &end, &note), 3000);
        assert_int_equal(end, FAULT_NONE);
    }
    assert_memory_equal(counts[0], counts[1], sizeof counts[0]);
    assert_memory_equal(counts[0], counts[2], sizeof counts[0]);
    assert_true(counts[0][0] == 0.0f && counts[0][1] == kernel_log1p(1.0f) && counts[0][30] == kernel_log1p(30.0f));
    free(text);
}

/* Before from_us nothing is worked out, but history is filled all the same. */
static void the_past_of_the_window_counts(void **state)
{
    (void)state;
    char text[8192], *at = text;
    float counts[60];
    struct fault_note note = {0};
    enum fault end;
    at += sprintf(at, "transfer_id,payer_id,payee_id,amount,currency,time\n");
    for (int i = 0; i < 60; i++)
        at += sprintf(at, "t%d,a,b,5,EUR,%lld\n", i, T0 + i * 1000000LL);
    struct past_options options = options_make(file_make("window.csv", text));
    options.batch_rows = 20;
    options.from_us = T0 + 40 * 1000000LL;
    assert_int_equal(read_all(&options, FEATURE_pair_count, counts, &end, &note), 60);
    assert_true(counts[0] == -1.0f && counts[39] == -1.0f && counts[40] == kernel_log1p(40.0f) && counts[59] == kernel_log1p(59.0f));
}

/* An observation is known to the transfers of its time and later, not to earlier ones of the same batch. */
static void observations_come_in_their_time(void **state)
{
    (void)state;
    char text[4096], *at = text, *path;
    float contact[20];
    struct fault_note note = {0};
    enum fault end;
    at += sprintf(at, "transfer_id,payer_id,payee_id,amount,currency,time\n");
    for (int i = 0; i < 20; i++)
        at += sprintf(at, "t%d,a,b,5,EUR,%lld\n", i, T0 + i * 1000000LL);
    path = strdup(file_make("transfers.csv", text));
    struct past_options options = options_make(path);
    snprintf(text, sizeof text, "account_id,contact_id,time\nx,y,%lld\na,b,%lld\n", T0 - 5000000LL, T0 + 7500000LL);
    options.observations[0] = (struct past_observations){.kind = OBSERVE_CONTACT, .path = file_make("contact.csv", text)};
    options.observation_count = 1;
    assert_int_equal(read_all(&options, FEATURE_contact, contact, &end, &note), 20);
    assert_int_equal(end, FAULT_NONE);
    for (int i = 0; i < 20; i++)
        assert_true(contact[i] == (i < 8 ? 0.0f : 1.0f));
    snprintf(text, sizeof text, "account_id,contact_id,time\nx,y,%lld\na,b,%lld\na,\"c,5\n", T0 - 5000000LL, T0 + 7500000LL);
    options.observations[0].path = file_make("contact.csv", text);
    read_all(&options, FEATURE_contact, contact, &end, &note);
    assert_true(end != FAULT_NONE); /* in the middle of the transfers, with the file's own name and line */
    if (!strstr(note.text, "contact.csv, line 4: "))
        fail_msg("%s", note.text);
    free(path);
}

static void expect_fault(const char *text, enum fault fault, const char *word)
{
    struct past_options options = options_make(file_make("wrong.csv", text));
    struct fault_note note = {0};
    static float rows[1000];
    enum fault end;
    read_all(&options, 0, rows, &end, &note);
    if (end != fault || !strstr(note.text, word))
        fail_msg("got %s: %s", fault_name(end), note.text);
}

static void wrong_files_are_refused(void **state)
{
    (void)state;
    struct past_options options = options_make("/nowhere/at/all.csv");
    struct past *past;
    struct fault_note note = {0};
    assert_int_equal(past_open(&past, &options, &note), FAULT_not_found);
    assert_null(past);
    expect_fault("transfer_id,payer_id,payee_id,amount,currency\nt,a,b,5,EUR\n", FAULT_schema, "column time");
    expect_fault("transfer_id,payer_id,amount,currency,time\nt,a,5,EUR,1700000000000000\n", FAULT_schema, "payee_id");
    expect_fault("transfer_id,payer\"_id\n", FAULT_syntax, "wrong.csv, line 1: a quote"); /* of several files, which */
}

static void invalid_rows_are_counted(void **state)
{
    (void)state;
    struct past_options options = options_make(file_make("some.csv", "transfer_id,payer_id,payee_id,amount,currency,time\n"
                                                                     "t1,a,b,5,EUR,1700000000000000\nt2,a,b,5,QQQ,1700000000000000\n"
                                                                     "t3,a,b,5,EUR,\nt4,a,,5,EUR,1700000000000000\n"));
    struct past *past;
    struct past_slice slice;
    assert_int_equal(past_open(&past, &options, NULL), FAULT_NONE);
    assert_int_equal(past_next(past, &slice, NULL), FAULT_NONE);
    assert_int_equal(slice.count, 4);
    assert_int_equal(past_rows(past), 4);
    assert_int_equal(past_rows_invalid(past), 3);
    assert_non_null(strstr(past_first_check(past), "row 2, currency"));
    past_close(&past);
    options = options_make(file_make("some.csv", "transfer_id,payer_id,payee_id,amount,currency,time\nt1,a\n"));
    assert_int_equal(past_open(&past, &options, NULL), FAULT_NONE);
    assert_int_equal(past_next(past, &slice, NULL), FAULT_NONE);
    assert_string_equal(past_first_check(past), "row 1: line 2: 2 fields, the header has 6");
    past_close(&past);
}

static void the_span_is_found(void **state)
{
    (void)state;
    int64_t first, last;
    struct fault_note note = {0};
    assert_int_equal(past_span(&first, &last, file_make("span.csv", "transfer_id,time\na,300\nb,100\nc,\nd,200\n"), &note), FAULT_NONE);
    assert_int_equal(first, 100);
    assert_int_equal(last, 301);
    assert_int_equal(past_span(&first, &last, file_make("empty.csv", "transfer_id,time\n"), &note), FAULT_schema);
    assert_int_equal(past_span(&first, &last, file_make("none.csv", "transfer_id\na\n"), &note), FAULT_schema);
}

static void memory_faults_leave_nothing(void **state)
{
    (void)state;
    struct past_options options =
        options_make(file_make("few.csv", "transfer_id,payer_id,payee_id,amount,currency,time\nt1,a,b,5,EUR,1700000000000000\n"));
    uint64_t live = memory_live_count();
    enum fault end = FAULT_memory;
    float out[1];
    for (uint64_t nth = 0; nth < 300 && end == FAULT_memory; nth++) {
        struct fault_note note = {0};
        memory_fail_at(nth);
        read_all(&options, 0, out, &end, &note);
        memory_fail_at(UINT64_MAX);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(end, FAULT_NONE);
}

/* --- collect -------------------------------------------------------------------------------------------------------- */

/* Rows of one feature that holds the row's number; every hundredth is risky. */
static void collect_rows(struct collect *collect, uint32_t rows, uint32_t rows_max, bool thin_all)
{
    static _Alignas(64) float column[SLICE_ROWS];
    struct feature_set wanted = {.bits = {1}};
    struct feature_block block = {.row_count = SLICE_ROWS, .column = {column}};
    collect_init(collect, &wanted, rows_max, thin_all, 5);
    for (uint32_t i = 0; i < rows; i++) {
        column[i % SLICE_ROWS] = (float)i;
        assert_int_equal(collect_row(collect, &block, i % SLICE_ROWS, i % 100 ? 0 : 3, NULL), FAULT_NONE);
    }
}

static uint32_t collected(const struct collect *collect, uint32_t *risky)
{
    uint32_t rows = 0;
    float before = -1.0f;
    *risky = 0;
    for (uint32_t c = 0; c < collect->chunk_count; c++)
        for (uint32_t i = 0; i < collect->chunks[c].features.row_count; i++) {
            float number = collect->chunks[c].features.column[0][i];
            assert_true(number > before);
            assert_int_equal(collect->chunks[c].scene[i], (uint32_t)number % 100 ? 0 : 3);
            before = number;
            rows++;
            *risky += collect->chunks[c].scene[i] == 3;
        }
    return rows;
}

static void windows_thin_out_evenly(void **state)
{
    (void)state;
    struct collect collect;
    uint32_t risky;
    collect_rows(&collect, 5000, 100000, false);
    assert_int_equal(collected(&collect, &risky), 5000);
    assert_true(collect_sample(&collect).background_weight == 1.0);
    collect_fini(&collect);
    collect_rows(&collect, 40000, 6000, false);
    uint32_t rows = collected(&collect, &risky);
    assert_true(rows <= 6000 && rows > 2500);
    assert_int_equal(risky, 400);
    double weight = collect_sample(&collect).background_weight;
    assert_true(weight == 8.0 && (rows - 400) * weight > 0.9 * 39600 && (rows - 400) * weight < 1.1 * 39600);
    collect_fini(&collect);
    collect_rows(&collect, 40000, 6000, true);
    rows = collected(&collect, &risky);
    assert_true(rows <= 6000 && risky < 100);
    collect_fini(&collect);
}

/* What stays does not depend on how often it was thinned on the way. */
static void thinning_has_no_memory(void **state)
{
    (void)state;
    struct collect a, b;
    uint32_t risky;
    collect_rows(&a, 20000, 3000, false);
    collect_rows(&b, 20000, 100000, false);
    uint32_t rows = 0;
    for (uint32_t c = 0; c < b.chunk_count; c++)
        for (uint32_t i = 0; i < b.chunks[c].features.row_count; i++)
            rows += b.chunks[c].scene[i] == 3 || b.rank[c][i] >= a.shift;
    assert_int_equal(collected(&a, &risky), rows);
    collect_fini(&a);
    collect_fini(&b);
}

static void too_many_risky_rows_are_a_fault(void **state)
{
    (void)state;
    static _Alignas(64) float column[SLICE_ROWS];
    struct feature_set wanted = {.bits = {1}};
    struct feature_block block = {.row_count = SLICE_ROWS, .column = {column}};
    struct collect collect;
    struct fault_note note = {0};
    enum fault fault = FAULT_NONE;
    collect_init(&collect, &wanted, 2000, false, 5);
    for (uint32_t i = 0; i < 3000 && fault == FAULT_NONE; i++)
        fault = collect_row(&collect, &block, 0, 1, &note);
    assert_int_equal(fault, FAULT_limit);
    assert_int_equal(collect.row_count, 2000);
    collect_fini(&collect);
}

static void labels_get_numbers(void **state)
{
    (void)state;
    static struct labels labels;
    struct fault_note note = {0};
    uint8_t index;
    char name[80];
    labels_init(&labels);
    assert_int_equal(labels_find(&index, &labels, text_of("good"), &note), FAULT_NONE);
    assert_int_equal(index, 0);
    for (uint32_t i = 1; i < LABELS_MAX; i++) {
        snprintf(name, sizeof name, "label %u", i);
        assert_int_equal(labels_find(&index, &labels, text_of(name), &note), FAULT_NONE);
        assert_int_equal(index, i);
    }
    assert_int_equal(labels_find(&index, &labels, text_of("label 7"), &note), FAULT_NONE);
    assert_int_equal(index, 7);
    assert_int_equal(labels_find(&index, &labels, text_of("one more"), &note), FAULT_limit);
    memset(name, 'x', 70);
    name[70] = '\0';
    labels_init(&labels);
    assert_int_equal(labels_find(&index, &labels, text_of(name), &note), FAULT_limit);
}

static void currencies_follow_rates_and_exponents(void **state)
{
    (void)state;
    struct config config = {.rate_count = 2, .rates = {{"JPY", 150.0}, {"USD", 1.25}}, .reference_currency = "EUR"};
    struct currency_table table;
    struct fault_note note = {0};
    assert_int_equal(currencies_from_config(&table, &config, &note), FAULT_NONE);
    assert_int_equal(table.count, 3);
    assert_true(table.rates[0].factor_q32 == (uint64_t)(100.0 / 150.0 * 4294967296.0 + 0.5)); /* a yen in cents */
    assert_true(table.rates[1].factor_q32 == (uint64_t)(0.8 * 4294967296.0 + 0.5));
    assert_true(memcmp(table.rates[2].code, "EUR", 4) == 0 && table.rates[2].factor_q32 == 1ull << 32);
    memcpy(config.rates[1].currency, "QQQ", 4);
    assert_int_equal(currencies_from_config(&table, &config, &note), FAULT_schema);
    memcpy(config.reference_currency, "ZZZ", 4);
    assert_int_equal(currencies_from_config(&table, &config, &note), FAULT_schema);
}

static int folder_begin(void **state)
{
    (void)state;
    static const char text[] = "ledger: none\nlisten: {data: ['ipc://none']}\n"
                               "history: {accounts_max: 4096, events_max: 32768, busy_max: 64, links_max: 8192, places_max: 4096}\n"
                               "tenants: [{name: none, token_hash: 0000000000000000000000000000000000000000000000000000000000000000}]\n";
    struct fault_note note = {0};
    snprintf(folder, sizeof folder, "/tmp/sluice-past-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    if (config_open_text(&small_config, "small", text, sizeof text - 1, &note) != FAULT_NONE)
        print_error("%s\n", note.text);
    return small_config == NULL;
}

static int folder_end(void **state)
{
    static const char *const names[] = {"rows", "window", "transfers", "contact", "wrong", "some", "span", "empty", "none", "few"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s.csv", folder, names[i]);
        unlink(path);
    }
    config_close(&small_config);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_features),
        cmocka_unit_test(the_past_of_the_window_counts),
        cmocka_unit_test(observations_come_in_their_time),
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(invalid_rows_are_counted),
        cmocka_unit_test(the_span_is_found),
        cmocka_unit_test(memory_faults_leave_nothing),
        cmocka_unit_test(windows_thin_out_evenly),
        cmocka_unit_test(thinning_has_no_memory),
        cmocka_unit_test(too_many_risky_rows_are_a_fault),
        cmocka_unit_test(labels_get_numbers),
        cmocka_unit_test(currencies_follow_rates_and_exponents),
    };
    return cmocka_run_group_tests(tests, folder_begin, folder_end);
}
