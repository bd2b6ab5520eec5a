/* Swaps under full load: two bases take turns while one tenant scores rows whose results under either are known, and another one
 * screens. Every reply is wholly of one base, no request fails, and what the server holds does not grow. Times are told, not judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/base_files.h"
#include "flow/harness.h"

#define MODEL_TOKEN "model-token-9c44"
enum { ROWS = 400, SCORERS = 2, SCREENERS = 1, TAKES_MAX = 1 << 20, QUIET_MS = 3000, KIB_MAX = 32 << 10 };

static struct server server;
static struct table *table;
static unsigned swaps = 200;
static char digests[2][40];
static struct recorded expected[2][ROWS];
static atomic_bool ending;
static atomic_uint replies[2], screened, mixed, failed;

struct takes { /* of one kind of request, in microseconds */
    uint32_t *us, count;
};

struct worker {
    pthread_t thread;
    unsigned number;
    atomic_bool swapping; /* where a request that begins now is counted */
    struct takes quiet, swapped;
};

static void takes_init(struct takes *takes)
{
    takes->us = malloc(TAKES_MAX * sizeof *takes->us);
    takes->count = 0;
    assert_non_null(takes->us);
}

static void takes_add(struct takes *takes, int64_t ns)
{
    if (takes->count < TAKES_MAX)
        takes->us[takes->count++] = (uint32_t)(ns / 1000);
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void takes_tell(const char *what, struct takes *takes)
{
    if (takes->count == 0)
        return;
    qsort(takes->us, takes->count, sizeof *takes->us, by_size);
    printf("figure: %s: %u, p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, longest %.2f ms\n", what, takes->count,
           takes->us[takes->count / 2] / 1e3, takes->us[(size_t)takes->count * 99 / 100] / 1e3,
           takes->us[(size_t)takes->count * 999 / 1000] / 1e3, takes->us[takes->count - 1] / 1e3);
}

static int base_of(const char *digest)
{
    return digest && strcmp(digest, digests[0]) == 0 ? 0 : digest && strcmp(digest, digests[1]) == 0 ? 1 : -1;
}

/* Wholly of the base that it names? */
static bool reply_is_whole(const struct sluice_reply *reply, struct recorded *got)
{
    int base = base_of(sluice_reply_string(reply, "base_digest"));
    if (base < 0 || sluice_reply_rows(reply) != ROWS)
        return false;
    recorded_take(got, reply);
    atomic_fetch_add(&replies[base], 1);
    return recorded_differences(got, expected[base], ROWS, "a score during swaps") == 0;
}

static void *scorer_run(void *argument)
{
    struct worker *worker = argument;
    struct sluice_client *client = client_open(&server);
    struct recorded *got = malloc(ROWS * sizeof *got);
    struct flow_batch batch;
    table_batch(&batch, table, "scored", 0, ROWS, left_out_labels);
    while (!atomic_load(&ending)) {
        struct sluice_reply *reply = NULL;
        bool swapping = atomic_load(&worker->swapping);
        int64_t begin_ns = clock_steady_ns();
        int error = sluice_call(client, "score", batch.batch, 0, &reply);
        takes_add(swapping ? &worker->swapped : &worker->quiet, clock_steady_ns() - begin_ns);
        if (error != SLUICE_OK)
            atomic_fetch_add(&failed, 1);
        else if (!reply_is_whole(reply, got))
            atomic_fetch_add(&mixed, 1);
        sluice_reply_free(&reply);
    }
    flow_batch_free(&batch);
    free(got);
    sluice_close(&client);
    return NULL;
}

static void *screener_run(void *argument)
{
    struct worker *worker = argument;
    struct sluice_client *client = client_open_as(server.data_url, "other", OTHER_TOKEN, 60000);
    for (unsigned i = 0; !atomic_load(&ending); i++) {
        char id[48];
        struct flow_batch batch;
        struct sluice_reply *reply = NULL;
        snprintf(id, sizeof id, "screened-%u-%u", worker->number, i);
        table_batch(&batch, table, id, 0, ROWS, left_out_labels);
        if (sluice_call(client, "screen", batch.batch, 0, &reply) != SLUICE_OK || base_of(sluice_reply_string(reply, "base_digest")) < 0)
            atomic_fetch_add(&failed, 1);
        atomic_fetch_add(&screened, 1);
        sluice_reply_free(&reply);
        flow_batch_free(&batch);
    }
    sluice_close(&client);
    return NULL;
}

static void activate(struct sluice_client *models, unsigned number)
{
    char id[48];
    struct sluice_reply *reply = NULL;
    snprintf(id, sizeof id, "swap-%u", number);
    int error = number % 7 == 3 ? sluice_base_rollback(models, id, &reply) /* the other of two */
                                : sluice_base_activate(models, id, digests[number % 2], &reply);
    if (error != SLUICE_OK)
        fail_msg("swap %u: %s %s", number, sluice_error_name(error), reply ? sluice_reply_text(reply) : "");
    if (base_of(sluice_reply_string(reply, "base_digest")) != (int)(number % 2))
        fail_msg("swap %u made %s active", number, sluice_reply_string(reply, "base_digest"));
    sluice_reply_free(&reply);
}

static size_t resident_kib(void)
{
    char path[64], line[256];
    size_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %zu kB", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

static unsigned descriptors(void)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)server.pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* What the ledger thread spent on swaps, from the server's histogram. */
static void swap_times_tell(void)
{
    static char text[1 << 18];
    unsigned long long all = 0, below_ms = 0;
    double bound, sum = 0;
    assert_int_equal(http_get(server.http_port, "/metrics", text, sizeof text), 200);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long long count;
        if (sscanf(line, "sluice_base_swap_seconds_bucket{le=\"%lf\"} %llu", &bound, &count) == 2 && bound <= 0.00105)
            below_ms = count;
        sscanf(line, "sluice_base_swap_seconds_count %llu", &all);
        sscanf(line, "sluice_base_swap_seconds_sum %lf", &sum);
    }
    printf("figure: %llu swaps measured by the server, %llu of them within 1 ms, mean %.1f us\n", all, below_ms, all ? 1e6 * sum / all : 0);
}

/* What either base gives for the rows that are scored; history of that tenant stays as it is. */
static void expected_take(struct sluice_client *models)
{
    struct sluice_client *client = client_open(&server);
    struct flow_batch batch;
    table_batch(&batch, table, "scored", 0, ROWS, left_out_labels);
    for (unsigned i = 0; i < 2; i++) {
        struct sluice_reply *reply = NULL;
        activate(models, i);
        assert_int_equal(sluice_call(client, "score", batch.batch, 0, &reply), SLUICE_OK);
        assert_string_equal(sluice_reply_string(reply, "base_digest"), digests[i]);
        recorded_take(expected[i], reply);
        sluice_reply_free(&reply);
    }
    assert_true(memcmp(expected[0], expected[1], sizeof expected[0]) != 0);
    flow_batch_free(&batch);
    sluice_close(&client);
}

static void bases_put(struct sluice_client *models)
{
    static const char *const names[] = {"first", "second", "third"};
    for (unsigned i = 0; i < 3; i++) {
        char path[256], id[16], unused[40];
        struct sluice_reply *reply = NULL;
        struct sluice_base base = {.id = id};
        flow_path(path, sizeof path, "swap-%u.safetensors", i);
        base_file_shape(path, names[i], "1", 40 + i, BASE_GOOD, 8, 16, 56); /* 504 clusters of 16 columns in 4 dimensions */
        file_digest(i < 2 ? digests[i] : unused, path);
        snprintf(id, sizeof id, "put-%u", i);
        char *bytes = flow_read(path, &base.byte_count);
        base.bytes = bytes;
        assert_int_equal(sluice_base_put(models, &base, &reply), SLUICE_OK);
        sluice_reply_free(&reply);
        free(bytes);
    }
}

static void test_swaps(void **state)
{
    (void)state;
    static struct worker workers[SCORERS + SCREENERS];
    struct takes activations;
    char tenants[512];
    tenant_lines(tenants, sizeof tenants, "models", MODEL_TOKEN, "[model]");
    /* a sanitizer keeps back what is given: little of it, so that growth shows */
    snprintf(server.environment[0], sizeof server.environment[0], "ASAN_OPTIONS=quarantine_size_mb=8");
    server_begin(&server, &(struct server_options){.name = "swaps",
                                                   .base = "",
                                                   .http = true,
                                                   .top = "connections_max: 64\nmemory_max: 1TiB\nbase_max: 24MiB\n",
                                                   .tenants = tenants});
    struct sluice_client *models = client_open_as(server.admin_url, "models", MODEL_TOKEN, 60000);
    bases_put(models);
    expected_take(models);
    takes_init(&activations);
    for (unsigned i = 0; i < SCORERS + SCREENERS; i++) {
        workers[i].number = i;
        takes_init(&workers[i].quiet), takes_init(&workers[i].swapped);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, i < SCORERS ? scorer_run : screener_run, &workers[i]), 0);
    }
    sleep_ms(QUIET_MS);
    unsigned quiet_screened = atomic_load(&screened), quiet_scored = atomic_load(&replies[0]) + atomic_load(&replies[1]);
    size_t settled_kib = 0;
    unsigned settled_descriptors = 0;
    for (unsigned i = 0; i < SCORERS; i++)
        atomic_store(&workers[i].swapping, true);
    int64_t begin_ns = clock_steady_ns();
    for (unsigned i = 0; i < swaps; i++) {
        int64_t swap_ns = clock_steady_ns();
        activate(models, i + 2);
        takes_add(&activations, clock_steady_ns() - swap_ns);
        if (i == swaps / 4)
            settled_kib = resident_kib(), settled_descriptors = descriptors();
    }
    double seconds = (double)(clock_steady_ns() - begin_ns) / 1e9;
    atomic_store(&ending, true);
    for (unsigned i = 0; i < SCORERS + SCREENERS; i++)
        pthread_join(workers[i].thread, NULL);
    size_t end_kib = resident_kib();
    printf("figure: %u swaps in %.1f s; resident %zu KiB after a quarter of them, %zu KiB at the end; descriptors %u and %u\n", swaps,
           seconds, settled_kib, end_kib, settled_descriptors, descriptors());
    printf("figure: batches scored a second: %.0f without, %.0f with swaps; screened: %.0f, %.0f\n", 1e3 * quiet_scored / QUIET_MS,
           (atomic_load(&replies[0]) + atomic_load(&replies[1]) - quiet_scored) / seconds, 1e3 * quiet_screened / QUIET_MS,
           (atomic_load(&screened) - quiet_screened) / seconds);
    takes_tell("activations under load", &activations);
    free(activations.us);
    for (unsigned i = 0; i < SCORERS; i++) {
        takes_tell("scores of 400 rows without swaps", &workers[i].quiet);
        takes_tell("scores of 400 rows with swaps", &workers[i].swapped);
    }
    for (unsigned i = 0; i < SCORERS + SCREENERS; i++)
        free(workers[i].quiet.us), free(workers[i].swapped.us);
    swap_times_tell();
    assert_int_equal(atomic_load(&failed), 0);
    assert_int_equal(atomic_load(&mixed), 0);
    assert_true(atomic_load(&replies[0]) > 0 && atomic_load(&replies[1]) > 0);
    assert_true(end_kib < settled_kib + KIB_MAX);
    sluice_close(&models);
}

/* --- the largest base, and one by itself -------------------------------------------------------------------------------- */

static unsigned all_scored(void)
{
    return atomic_load(&replies[0]) + atomic_load(&replies[1]);
}

static void change(struct sluice_client *models, const char *id, const char *base)
{
    struct sluice_reply *reply = NULL;
    int error = base ? sluice_base_activate(models, id, base, &reply) : sluice_base_rollback(models, id, &reply);
    if (error != SLUICE_OK)
        fail_msg("%s: %s %s", id, sluice_error_name(error), reply ? sluice_reply_text(reply) : "");
    sluice_reply_free(&reply);
}

/* 504 clusters, 16 columns, 4 dimensions, on a server that has nothing else to do. */
static void test_activations_alone(void **state)
{
    (void)state;
    enum { TURNS = 60 };
    struct takes fresh, back;
    struct sluice_client *models = client_open_as(server.admin_url, "models", MODEL_TOKEN, 60000);
    takes_init(&fresh), takes_init(&back);
    for (unsigned i = 0; i < TURNS; i++) {
        char id[32];
        snprintf(id, sizeof id, "third-%u", i);
        int64_t begin_ns = clock_steady_ns();
        change(models, id, i % 3 == 0 ? "third" : digests[i % 3 - 1]); /* never the one that is kept */
        takes_add(&fresh, clock_steady_ns() - begin_ns);
    }
    for (unsigned i = 0; i < TURNS; i++) {
        char id[32];
        snprintf(id, sizeof id, "back-%u", i);
        int64_t begin_ns = clock_steady_ns();
        change(models, id, NULL);
        takes_add(&back, clock_steady_ns() - begin_ns);
    }
    takes_tell("activations on an idle server", &fresh);
    takes_tell("rollbacks on an idle server", &back);
    free(fresh.us), free(back.us);
    sluice_close(&models);
}

static void large_put(struct sluice_client *models, const char *path)
{
    struct sluice_reply *reply = NULL;
    struct sluice_base base = {.id = "large"};
    char *bytes = flow_read(path, &base.byte_count);
    base.bytes = bytes;
    int error = sluice_base_put(models, &base, &reply);
    if (error != SLUICE_OK)
        fail_msg("large: %s %s", sluice_error_name(error), reply ? sluice_reply_text(reply) : "");
    sluice_reply_free(&reply);
    free(bytes);
}

/* While scoring goes on under a small base the largest one comes in, and is made ready. */
static void test_the_largest_base_comes_in(void **state)
{
    (void)state;
    char path[256];
    static struct worker workers[SCORERS];
    struct sluice_client *models = client_open_as(server.admin_url, "models", MODEL_TOKEN, 60000);
    flow_path(path, sizeof path, "large.safetensors");
    size_t bytes = base_file_largest(path, "large", 50);
    change(models, "small again", digests[0]);
    atomic_store(&ending, false);
    for (unsigned i = 0; i < SCORERS; i++) {
        takes_init(&workers[i].quiet), takes_init(&workers[i].swapped);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, scorer_run, &workers[i]), 0);
    }
    sleep_ms(500);
    unsigned before = all_scored();
    sleep_ms(QUIET_MS);
    unsigned quiet = all_scored() - before;
    for (unsigned i = 0; i < SCORERS; i++)
        atomic_store(&workers[i].swapping, true);
    before = all_scored();
    int64_t begin_ns = clock_steady_ns();
    large_put(models, path);
    double put_s = (double)(clock_steady_ns() - begin_ns) / 1e9;
    unsigned during = all_scored() - before;
    atomic_store(&ending, true); /* what is scored under it is another matter */
    for (unsigned i = 0; i < SCORERS; i++)
        pthread_join(workers[i].thread, NULL);
    begin_ns = clock_steady_ns();
    change(models, "large on", "large");
    double on_ms = (double)(clock_steady_ns() - begin_ns) / 1e6;
    change(models, "large off", NULL);
    printf("figure: a base of %.1f MiB comes in within %.2f s; batches of %d rows scored a second: %.0f before, %.0f meanwhile\n",
           (double)bytes / (1 << 20), put_s, ROWS, 1e3 * quiet / QUIET_MS, during / put_s);
    for (unsigned i = 0; i < SCORERS; i++) {
        takes_tell("scores before the large base", &workers[i].quiet);
        takes_tell("scores while it comes in", &workers[i].swapped);
        free(workers[i].quiet.us), free(workers[i].swapped.us);
    }
    printf("figure: it is activated within %.0f ms; peak of the server %zu MiB\n", on_ms, server_memory(&server) >> 20);
    assert_int_equal(atomic_load(&failed), 0);
    assert_int_equal(atomic_load(&mixed), 0);
    assert_true(during > 0);
    sluice_close(&models);
    server_stop(&server);
}

static int setup(void **state)
{
    (void)state;
    const char *wanted = getenv("SLUICE_SWAPS");
    swaps = wanted ? (unsigned)atoi(wanted) : swaps;
    table = table_read(flow_fresh());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    table_free(table);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swaps),
        cmocka_unit_test(test_activations_alone),
        cmocka_unit_test(test_the_largest_base_comes_in),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
