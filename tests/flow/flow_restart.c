/* kill -9 from outside, at any moment, with batches in flight: what was acknowledged is answered again, bit for bit, nothing is
 * recorded twice, and history is what a rebuild from the log gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "flow/senders.h"

enum { BATCHES_OF_A_ROUND = 100000 };

static struct table *fresh;
static struct server server;
static struct sent_list sent;
static unsigned restarts = 4;

struct killing {
    pthread_t thread;
    int after_ms;
};

static void *kill_later(void *argument)
{
    sleep_ms(((struct killing *)argument)->after_ms);
    server_kill(&server);
    return NULL;
}

/* Until there is a snapshot to start from, which a second of work and a second of rest give. */
static void wait_for_snapshot(void)
{
    char snapshot[300];
    snprintf(snapshot, sizeof snapshot, "%s/ledger/history.snapshot", server.folder);
    for (int waited = 0; waited < 10000 && access(snapshot, F_OK) != 0; waited += 20)
        sleep_ms(20);
    assert_int_equal(access(snapshot, F_OK), 0);
}

static void test_kill_and_restart(void **state)
{
    (void)state;
    uint64_t seed = flow_seed();
    uint32_t acknowledged = 0;
    for (unsigned round = 0; round < restarts; round++) {
        struct killing killing = {.after_ms = (int)(150 + hash64(seed, &round, sizeof round) % 600)};
        uint32_t from = sent.count;
        assert_int_equal(pthread_create(&killing.thread, NULL, kill_later, &killing), 0);
        senders_run(&sent, &server, fresh, round, BATCHES_OF_A_ROUND);
        pthread_join(killing.thread, NULL);
        for (uint32_t i = from; i < sent.count; i++)
            acknowledged += sent.items[i].acknowledged;
        server_start(&server);
        senders_check(&sent, &server, fresh, round % 8 == 7 ? 0 : from);
        if (round % 4 != 3 && round + 1 != restarts)
            continue;
        wait_for_snapshot();
        server_kill(&server);
        server_start(&server);
        senders_check_history(&server, round);
    }
    printf("figure: %u kills, %u batches acknowledged, %u sent again\n", restarts, acknowledged, sent.count);
    assert_true(acknowledged > restarts);
}

static int setup(void **state)
{
    (void)state;
    const char *wanted = getenv("SLUICE_RESTARTS");
    restarts = wanted ? (unsigned)atoi(wanted) : restarts;
    fresh = table_read(flow_fresh());
    server_begin(&server, &(struct server_options){.top = "snapshot_interval: 1s\n"});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&server);
    table_free(fresh);
    sent_list_free(&sent);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill_and_restart)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
