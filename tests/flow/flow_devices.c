/* The device is forced, hidden or lost: the server starts or says why not, answers, stands a kill, and what it records is the
 * same. What runs through an OpenCL driver is left out, and said, where no device is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/harness.h"

enum { ROWS = 2500 };

static struct table *fresh;
static struct server origin;      /* its ledger is empty; each server starts on a copy, since numbers hang on its secret */
static struct recorded *expected; /* by the device cpu, in one batch on an empty history */
static bool opencl_is_there;

static void start_on_copy(struct server *server)
{
    char ledger[256], from[256];
    snprintf(ledger, sizeof ledger, "%s/ledger", server->folder);
    snprintf(from, sizeof from, "%s/ledger", origin.folder);
    folder_copy(ledger, from);
    server_start(server);
}

static void screen(struct recorded *out, const struct server *server, const char *id, char kernel[160])
{
    struct sluice_client *client = client_open(server);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, id, 0, ROWS);
    recorded_take(out, reply);
    snprintf(kernel, 160, "%s", sluice_reply_string(reply, "kernel"));
    sluice_reply_free(&reply);
    sluice_close(&client);
}

static bool left_out(const char *device)
{
    bool out = strncmp(device, "opencl", 6) == 0 && !opencl_is_there;
    if (out)
        printf("skipped: %s: no OpenCL device\n", device);
    return out;
}

static void first_batch_and_kill(void **state)
{
    const char *device = *state;
    struct server server = {0};
    struct recorded *got = calloc(2 * ROWS, sizeof *got);
    char kernel[160];
    if (left_out(device))
        return free(got);
    server_configure(&server, &(struct server_options){.name = device, .base = flow_row_base(), .device = device});
    start_on_copy(&server);
    screen(got, &server, "first", kernel);
    assert_int_equal(strncmp(kernel, device, strlen(device)), 0);
    assert_int_equal(recorded_differences(expected, got, ROWS, device), 0);
    server_kill(&server);
    server_start(&server);
    screen(got + ROWS, &server, "first", kernel); /* the stored answer */
    assert_int_equal(recorded_differences(expected, got + ROWS, ROWS, "after a kill"), 0);
    server_stop(&server);
    free(got);
}

/* No vendor: opencl is refused in plain words, auto goes on with the processor and says so. */
static void no_device_to_be_found(void **state)
{
    (void)state;
    struct server server = {0};
    struct recorded *got = calloc(ROWS, sizeof *got);
    char kernel[160];
    int status = 0;
    server_configure(&server, &(struct server_options){.name = "hidden", .base = flow_row_base(), .device = "opencl"});
    snprintf(server.environment[0], sizeof server.environment[0], "OCL_ICD_VENDORS=/nowhere");
    assert_false(server_try_start(&server, &status));
    assert_int_equal(status, 3);
    assert_int_equal(server_log_count(&server, "no OpenCL device"), 1);
    memset(&server, 0, sizeof server);
    server_configure(&server, &(struct server_options){.name = "hidden-auto", .base = flow_row_base(), .device = "auto"});
    snprintf(server.environment[0], sizeof server.environment[0], "OCL_ICD_VENDORS=/nowhere");
    start_on_copy(&server);
    assert_int_equal(server_log_count(&server, "device auto: without opencl: no OpenCL device"), 1);
    assert_int_equal(server_log_count(&server, "device auto: slices of about"), 3);
    screen(got, &server, "first", kernel);
    assert_null(strstr(kernel, "opencl"));
    assert_int_equal(recorded_differences(expected, got, ROWS, "auto without OpenCL"), 0);
    server_stop(&server);
    free(got);
}

static uint64_t metric(const struct server *server, const char *name)
{
    static char body[1 << 18];
    assert_int_equal(http_get(server->http_port, "/metrics", body, sizeof body), 200);
    const char *at = strstr(body, name);
    while (at && at != body && at[-1] != '\n')
        at = strstr(at + 1, name);
    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 10);
}

/* The device is lost after its first commands: the processor scores, once told and counted, and nothing else changes. */
static void device_is_lost(void **state)
{
    (void)state;
    const char *faulty = getenv("SLUICE_FAULTY_BIN");
    struct server server = {0};
    struct recorded *got = calloc(ROWS, sizeof *got);
    char kernel[160], id[16];
    if (left_out("opencl, lost"))
        return free(got);
    server_configure(&server, &(struct server_options){.name = "lost", .base = flow_row_base(), .device = "opencl", .http = true});
    snprintf(server.binary, sizeof server.binary, "%s", faulty);
    snprintf(server.environment[0], sizeof server.environment[0], "SLUICE_FAULT_OPENCL=70:1000000000");
    start_on_copy(&server);
    screen(got, &server, "first", kernel);
    assert_int_equal(recorded_differences(expected, got, ROWS, "a lost device"), 0);
    struct sluice_client *client = client_open(&server);
    for (int i = 0; i < 12; i++) {
        snprintf(id, sizeof id, "more-%d", i);
        struct sluice_reply *reply = screen_rows(client, "score", fresh, id, 0, 100);
        sluice_reply_free(&reply);
    }
    sluice_close(&client);
    assert_true(metric(&server, "sluice_device_fallbacks_total ") >= 8);
    assert_int_equal(server_log_count(&server, "such slices are scored by the processor"), 1);
    assert_int_equal(server_log_count(&server, "times in a row"), 1);
    server_stop(&server);
    free(got);
}

static int setup(void **state)
{
    (void)state;
    char kernel[160];
    struct server server = {0};
    fresh = table_read(flow_fresh());
    opencl_is_there = flow_has_opencl();
    expected = calloc(ROWS, sizeof *expected);
    server_begin(&origin, &(struct server_options){.name = "origin", .base = flow_row_base()});
    server_stop(&origin);
    server_configure(&server, &(struct server_options){.name = "expected", .base = flow_row_base()});
    start_on_copy(&server);
    screen(expected, &server, "first", kernel);
    server_stop(&server);
    return expected ? 0 : -1;
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
    static const char *const devices[] = {"cpu", "blas", "opencl", "auto"};
    struct CMUnitTest tests[6] = {cmocka_unit_test(no_device_to_be_found), cmocka_unit_test(device_is_lost)};
    for (int i = 0; i < 4; i++)
        tests[2 + i] = (struct CMUnitTest){.name = devices[i], .test_func = first_batch_and_kill, .initial_state = (void *)devices[i]};
    return cmocka_run_group_tests(tests, setup, teardown);
}
