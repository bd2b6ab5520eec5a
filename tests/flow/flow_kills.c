/* The server kills itself at every failpoint, early and late, with batches of several senders in flight, and what was not synced
 * is forgotten. Afterwards no acknowledged batch is lost, none is recorded twice, the same id gives the stored answer, and
 * history is what a rebuild from the log gives, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "flow/senders.h"
#include "pipeline/steps.h"

enum { POINTS_MAX = 64, EACH = 5, HISTORY_EVERY = 20, RECHECK_EVERY = 50 };

static struct table *fresh;
static struct server server;
static struct sent_list sent;
static unsigned kills = 200;
static struct point {
    char name[64];
    unsigned passes, kills; /* passes of one undisturbed round */
} points[POINTS_MAX];
static unsigned point_count;

#define STEP(name) "step_" #name,
static const char *const wanted_points[] = {BATCH_STEPS(STEP) "labels_fill",
                                            "sequence",
                                            "commit",
                                            "reply_leaves",
                                            "ledger_begin_before",
                                            "ledger_inside",
                                            "ledger_commit_before",
                                            "ledger_commit_after",
                                            "ledger_append_before",
                                            "ledger_append_after",
                                            "ledger_sync_before",
                                            "ledger_sync_after",
                                            "ledger_document_before",
                                            "ledger_document_after",
                                            "snapshot",
                                            "snapshot_before_sync",
                                            "snapshot_before_rename",
                                            "snapshot_before_folder_sync",
                                            "snapshot_after_folder_sync"};
#undef STEP

static void failpoint_set(const char *name, unsigned nth)
{
    server.environment[1][0] = '\0';
    if (name)
        snprintf(server.environment[1], sizeof server.environment[1], "SLUICE_FAILPOINT=%s:%u", name, nth);
}

static void point_pass(const char *name)
{
    unsigned i = 0;
    while (i < point_count && strcmp(points[i].name, name) != 0)
        i++;
    if (i == point_count) {
        assert_true(point_count < POINTS_MAX);
        snprintf(points[point_count++].name, sizeof points->name, "%s", name);
    }
    points[i].passes++;
}

static bool point_is_known(const char *name)
{
    for (unsigned i = 0; i < point_count; i++)
        if (strcmp(points[i].name, name) == 0)
            return true;
    return false;
}

/* Which failpoints a round passes, and how often. */
static void test_failpoints_are_found(void **state)
{
    (void)state;
    char counts[256];
    flow_path(counts, sizeof counts, "failpoints");
    snprintf(server.environment[2], sizeof server.environment[2], "SLUICE_FAILPOINT_COUNTS=%s", counts);
    server_start(&server);
    senders_run(&sent, &server, fresh, 0, EACH);
    assert_int_equal(sent.count, SENDERS * EACH);
    server_stop(&server);
    server.environment[2][0] = '\0';
    char *text = flow_read(counts, NULL);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        point_pass(line);
    free(text);
    for (unsigned i = 0; i < point_count; i++)
        printf("failpoint %s: %u passes\n", points[i].name, points[i].passes);
    for (size_t i = 0; i < sizeof wanted_points / sizeof *wanted_points; i++)
        if (!point_is_known(wanted_points[i]))
            fail_msg("no batch passes failpoint %s", wanted_points[i]);
}

/* Another text of the configuration is a document that the ledger does not hold yet. */
static void configuration_change(unsigned round)
{
    FILE *file = fopen(server.config, "a");
    assert_non_null(file);
    fprintf(file, "# round %u\n", round);
    assert_int_equal(fclose(file), 0);
}

/* A round under one failpoint; true: the server killed itself there. */
static bool round_of(struct point *point, unsigned nth, unsigned round)
{
    int status = 0;
    failpoint_set(point->name, nth);
    configuration_change(round);
    if (server_try_start(&server, &status)) {
        senders_run(&sent, &server, fresh, round, EACH);
        if ((status = server_wait(&server, 0)) < 0) {
            kill(server.pid, SIGTERM);
            status = server_wait(&server, 60000);
        }
    }
    if (status != 0 && status != 256 + SIGKILL)
        server_log_show(&server);
    assert_true(status == 0 || status == 256 + SIGKILL);
    point->kills += status != 0;
    return status != 0;
}

static void test_kills(void **state)
{
    (void)state;
    uint64_t seed = flow_seed();
    unsigned done = 0, rounds = 0;
    while (done < kills) {
        struct point *point = &points[rounds++ % point_count];
        uint32_t from = sent.count;
        unsigned nth = 1 + (unsigned)(hash64(seed, &rounds, sizeof rounds) % point->passes);
        done += round_of(point, nth, rounds);
        failpoint_set(NULL, 0);
        server_start(&server);
        senders_check(&sent, &server, fresh, rounds % RECHECK_EVERY == 0 ? 0 : from);
        if (rounds % HISTORY_EVERY == 0 || done >= kills) {
            server_kill(&server);
            server_start(&server);
            senders_check_history(&server, rounds);
        }
        server_kill(&server);
        if (rounds > 4 * kills + point_count)
            fail_msg("%u kills in %u rounds", done, rounds);
    }
    for (unsigned i = 0; i < point_count; i++) {
        printf("figure: %u kills at %s\n", points[i].kills, points[i].name);
        assert_true(points[i].kills > 0 || kills < 4 * point_count);
    }
    printf("figure: %u kills in %u rounds, %u batches sent and sent again\n", done, rounds, sent.count);
}

static int setup(void **state)
{
    (void)state;
    const char *wanted = getenv("SLUICE_KILLS"), *binary = getenv("SLUICE_FAULTY_BIN");
    if (!binary || access(binary, X_OK) != 0)
        flow_skip("no program with failpoints (SLUICE_FAULTY_BIN)");
    kills = wanted ? (unsigned)atoi(wanted) : kills;
    fresh = table_read(flow_fresh());
    snprintf(server.binary, sizeof server.binary, "%s", binary);
    snprintf(server.environment[0], sizeof server.environment[0], "SLUICE_FAULT_FORGET=1");
    server_configure(&server, &(struct server_options){.top = "snapshot_interval: 1s\n"});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    table_free(fresh);
    sent_list_free(&sent);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failpoints_are_found),
        cmocka_unit_test(test_kills),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
