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
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "flow/harness.h"

enum { BATCHES_MAX = 4096, BATCH_ROWS = 40, SENDERS = 3 };

static struct table *fresh;
static struct server server;
static unsigned restarts = 4;

/* Every batch that a sender saw acknowledged, with what the reply said. */
static struct acknowledged {
    char id[48];
    uint32_t first;
    struct recorded rows[BATCH_ROWS];
} * acknowledged;
static uint32_t acknowledged_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct sender {
    pthread_t thread;
    unsigned number, round;
    uint32_t sent;
};

static void acknowledge(const char *id, uint32_t first, const struct sluice_reply *reply)
{
    pthread_mutex_lock(&lock);
    assert_true(acknowledged_count < BATCHES_MAX);
    struct acknowledged *one = &acknowledged[acknowledged_count++];
    snprintf(one->id, sizeof one->id, "%s", id);
    one->first = first;
    recorded_take(one->rows, reply);
    pthread_mutex_unlock(&lock);
}

/* Sends until the server is gone. */
static void *send_until_gone(void *argument)
{
    struct sender *sender = argument;
    struct sluice_client *client = client_open_as(server.data_url, "flow", FLOW_TOKEN, 1500);
    for (;;) {
        char id[48];
        struct flow_batch batch;
        struct sluice_reply *reply = NULL;
        snprintf(id, sizeof id, "r%u-s%u-b%u", sender->round, sender->number, sender->sent++);
        uint32_t first = (sender->round * 1009u + sender->number * 401u + sender->sent * 7u) * BATCH_ROWS % (fresh->row_count - BATCH_ROWS);
        table_batch(&batch, fresh, id, first, BATCH_ROWS, left_out_labels);
        int error = sluice_call(client, "screen", batch.batch, 0, &reply);
        flow_batch_free(&batch);
        if (error == 0)
            acknowledge(id, first, reply);
        sluice_reply_free(&reply);
        if (error != 0)
            break;
    }
    sluice_close(&client);
    return NULL;
}

static void assert_all_answered_again(void)
{
    struct sluice_client *client = client_open(&server);
    for (uint32_t i = 0; i < acknowledged_count; i++) {
        struct recorded rows[BATCH_ROWS];
        struct acknowledged *one = &acknowledged[i];
        struct sluice_reply *reply = screen_rows(client, "screen", fresh, one->id, one->first, BATCH_ROWS);
        recorded_take(rows, reply);
        assert_int_equal(recorded_differences(one->rows, rows, BATCH_ROWS, one->id), 0);
        sluice_reply_free(&reply);
    }
    sluice_close(&client);
}

/* A copy of the ledger without its snapshot starts from the log alone. */
static void assert_history_is_a_rebuild(unsigned round)
{
    struct server copy = {0};
    char here[33], there[33], name[32], from[256], to[256], snapshot[300];
    struct sluice_client *client = client_open(&server);
    snprintf(name, sizeof name, "last-%u", round);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, name, 0, BATCH_ROWS);
    sluice_reply_free(&reply);
    sluice_close(&client);
    snprintf(snapshot, sizeof snapshot, "%s/ledger/history.snapshot", server.folder);
    for (int waited = 0; waited < 10000 && access(snapshot, F_OK) != 0; waited += 20)
        sleep_ms(20);
    server_kill(&server);
    server_start(&server);
    history_digest(here, &server);
    snprintf(name, sizeof name, "rebuilt-%u", round);
    server_configure(&copy, &(struct server_options){.name = name});
    snprintf(from, sizeof from, "%s/ledger", server.folder);
    snprintf(to, sizeof to, "%s/ledger", copy.folder);
    server_kill(&server);
    folder_copy(to, from);
    snprintf(snapshot, sizeof snapshot, "%s/history.snapshot", to);
    assert_int_equal(unlink(snapshot), 0);
    server_start(&copy);
    history_digest(there, &copy);
    assert_string_equal(here, there);
    server_stop(&copy);
    server_start(&server);
}

static void test_kill_and_restart(void **state)
{
    (void)state;
    uint64_t seed = flow_seed();
    for (unsigned round = 0; round < restarts; round++) {
        struct sender senders[SENDERS];
        for (unsigned i = 0; i < SENDERS; i++) {
            senders[i] = (struct sender){.number = i, .round = round};
            assert_int_equal(pthread_create(&senders[i].thread, NULL, send_until_gone, &senders[i]), 0);
        }
        sleep_ms((int)(150 + hash64(seed, &round, sizeof round) % 600));
        server_kill(&server);
        for (unsigned i = 0; i < SENDERS; i++)
            pthread_join(senders[i].thread, NULL);
        server_start(&server);
        assert_all_answered_again();
        if (round % 4 == 3 || round + 1 == restarts)
            assert_history_is_a_rebuild(round);
    }
    printf("figure: %u kills, %u acknowledged batches, all answered again\n", restarts, acknowledged_count);
    assert_true(acknowledged_count > restarts);
}

static int setup(void **state)
{
    (void)state;
    const char *wanted = getenv("SLUICE_RESTARTS");
    restarts = wanted ? (unsigned)atoi(wanted) : restarts;
    acknowledged = calloc(BATCHES_MAX, sizeof *acknowledged);
    fresh = table_read(flow_fresh());
    server_begin(&server, &(struct server_options){.top = "snapshot_interval: 1s\n"});
    return acknowledged ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&server);
    table_free(fresh);
    free(acknowledged);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill_and_restart)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
