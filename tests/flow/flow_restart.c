/* kill -9 from outside, at any moment, with batches in flight: what was acknowledged is answered again, bit for bit, nothing is
 * recorded twice, and history is what a rebuild from the log gives. A server that stands still loses nothing either. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
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

/* --- a server that does not answer in time ------------------------------------------------------------------------------ */

enum { STOPPED_ROWS = 300, STOPPED_MS = 2000 };

struct call {
    struct sluice_reply *reply;
    int error;
};

static void call_done(void *context, int error, struct sluice_reply *reply)
{
    *(struct call *)context = (struct call){.reply = reply, .error = error};
}

static int64_t call_sequence(struct sluice_client *client, const char *id)
{
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, id, 0, STOPPED_ROWS);
    int64_t sequence = sluice_reply_integer(reply, "sequence", 0);
    sluice_reply_free(&reply);
    return sequence;
}

/* Stopped as long as the call has time, and a moment longer; or for good, and then it is sent again. */
static void test_a_time_out_is_asked_about(void **state)
{
    (void)state;
    struct sluice_client *client = client_open_as(server.data_url, "flow", FLOW_TOKEN, STOPPED_MS), *patient = client_open(&server);
    struct flow_batch late, silent;
    struct call call = {.error = -1};
    table_batch(&late, fresh, "late", 0, STOPPED_ROWS, left_out_labels);
    table_batch(&silent, fresh, "silent", 0, STOPPED_ROWS, left_out_labels);
    kill(server.pid, SIGSTOP);
    assert_int_equal(sluice_call_async(client, "screen", late.batch, 0, call_done, &call), SLUICE_OK);
    sleep_ms(STOPPED_MS + 50);
    kill(server.pid, SIGCONT);
    sluice_wait_all(client);
    assert_int_equal(call.error, SLUICE_OK);
    assert_string_equal(sluice_reply_string(call.reply, "id"), "late");
    assert_int_equal(sluice_reply_rows(call.reply), STOPPED_ROWS);
    int64_t sequence = sluice_reply_integer(call.reply, "sequence", 0);
    sluice_reply_free(&call.reply);
    assert_int_equal(call_sequence(patient, "late"), sequence);
    kill(server.pid, SIGSTOP);
    assert_int_equal(sluice_call(client, "screen", silent.batch, 0, &call.reply), SLUICE_TIMEOUT);
    kill(server.pid, SIGCONT);
    assert_null(call.reply);
    assert_int_equal(call_sequence(patient, "silent"), sequence + 1);
    assert_int_equal(call_sequence(patient, "next"), sequence + 2); /* nothing was recorded twice */
    flow_batch_free(&late), flow_batch_free(&silent);
    sluice_close(&client), sluice_close(&patient);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill_and_restart), cmocka_unit_test(test_a_time_out_is_asked_about)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
