/* What is recorded of a row does not depend on batch cut, workers, instruction set or device: the same rows after the same
 * past give the same bits. Each case starts on a copy of one ledger, so that its secret and its history are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/harness.h"
#include "kernels.h"

enum { ROWS = 5000, ROWS_ONE_BY_ONE = 600 };

static struct table *fresh;
static struct server past_server;
static struct recorded *expected;

static const struct cut_case {
    const char *name, *device, *cpu_mask;
    unsigned workers;
    uint32_t cut, rows;
    unsigned needs; /* of the machine */
} cases[] = {
    {"all-1-worker", "cpu", NULL, 1, ROWS, ROWS, 0},
    {"cut-1", "cpu", NULL, 2, 1, ROWS_ONE_BY_ONE, 0},
    {"cut-7", "cpu", NULL, 2, 7, ROWS, 0},
    {"cut-1000", "cpu", NULL, 1, 1000, ROWS, 0},
    {"cpu-reference", "cpu", "[]", 2, 1000, ROWS, 0},
    {"cpu-avx2", "cpu", "[avx2]", 2, ROWS, ROWS, CPU_AVX2},
    {"cpu-avx512", "cpu", "[avx2, avx512]", 2, 1000, ROWS, CPU_AVX512},
    {"ref", "ref", NULL, 2, ROWS, ROWS, 0},
    {"blas", "blas", NULL, 2, ROWS, ROWS, 0},
    {"blas-cut-7", "blas", NULL, 1, 7, ROWS, 0},
    {"opencl", "opencl", NULL, 2, ROWS, ROWS, 0},
    {"opencl-cut-7", "opencl", NULL, 2, 7, ROWS_ONE_BY_ONE, 0},
    {"auto-cut-300", "auto", NULL, 2, 300, ROWS, 0},
};

static void screen_all(struct recorded *out, const char *name, const struct server_options *options, uint32_t cut, uint32_t rows)
{
    struct server server = {0};
    char ledger[256], from[256], id[64];
    server_configure(&server, options);
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
    snprintf(from, sizeof from, "%s/ledger", past_server.folder);
    folder_copy(ledger, from);
    server_start(&server);
    struct sluice_client *client = client_open(&server);
    for (uint32_t first = 0; first < rows; first += cut) {
        uint32_t count = rows - first < cut ? rows - first : cut;
        snprintf(id, sizeof id, "%s-%u", name, first);
        struct sluice_reply *reply = screen_rows(client, "screen", fresh, id, first, count);
        recorded_take(out + first, reply);
        sluice_reply_free(&reply);
    }
    sluice_close(&client);
    server_stop(&server);
}

static void test_case(void **state)
{
    const struct cut_case *one = *state;
    if (one->needs & ~cpu_detect()) {
        printf("skipped: %s: this machine has no such instructions\n", one->name);
        return;
    }
    if (strcmp(one->device, "opencl") == 0 && !flow_has_opencl()) {
        printf("skipped: %s: no OpenCL device\n", one->name);
        return;
    }
    struct recorded *got = calloc(ROWS, sizeof *got);
    assert_non_null(got);
    screen_all(got, one->name,
               &(struct server_options){
                   .name = one->name, .base = flow_row_base(), .device = one->device, .cpu_mask = one->cpu_mask, .workers = one->workers},
               one->cut, one->rows);
    assert_int_equal(recorded_differences(expected, got, one->rows, one->name), 0);
    free(got);
}

/* The comparison sees a difference: other rows are not the same. */
static void test_comparison_can_fail(void **state)
{
    (void)state;
    uint32_t held = 0;
    for (uint32_t row = 0; row < ROWS; row++)
        held += expected[row].verdict != 0;
    assert_true(held > 0 && held < ROWS);
    assert_true(recorded_differences(expected, expected + 1, 100, "shifted by one, as it should be") > 0);
}

static int setup(void **state)
{
    (void)state;
    struct table *past = table_read(flow_past());
    fresh = table_read(flow_fresh());
    server_begin(&past_server, &(struct server_options){.name = "past", .base = flow_row_base()});
    struct sluice_client *client = client_open(&past_server);
    struct sluice_reply *reply = screen_rows(client, "import", past, "past", 0, past->row_count);
    sluice_reply_free(&reply);
    sluice_close(&client);
    server_stop(&past_server);
    table_free(past);
    expected = calloc(ROWS, sizeof *expected);
    if (!expected)
        return -1;
    screen_all(expected, "all", &(struct server_options){.name = "all", .base = flow_row_base()}, ROWS, ROWS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(expected);
    table_free(fresh);
    return 0;
}

int main(void)
{
    enum { CASES = sizeof cases / sizeof *cases };
    struct CMUnitTest tests[CASES + 1] = {{.name = "comparison_can_fail", .test_func = test_comparison_can_fail}};
    for (size_t i = 0; i < CASES; i++)
        tests[i + 1] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_case, .initial_state = (void *)&cases[i]};
    return cmocka_run_group_tests(tests, setup, teardown);
}
