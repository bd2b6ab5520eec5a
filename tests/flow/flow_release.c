/* What was released reaches a separate processor and is executed exactly once, although the server and the processor are killed at
 * any moment, answers get lost behind the processor's commit, and pages of proxies stand in for acknowledgements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"
#include "flow/harness.h"

enum { ROUNDS = 24, EACH = 3, ROWS = 40, FAULTS = 25 };
#define TOKEN "payroll-token-1d2e"
#define KEY   "key-of-the-payroll-processor"
static const char *const names[] = {"payroll", "pay/roll"}; /* both with that token and that processor */

extern char **environ;
static struct table *fresh;
static struct server server;
static char database[256];
static int processor_port;
static pid_t processor;
static unsigned server_kills, processor_kills;

static void processor_start(unsigned seed)
{
    char port[16], faults[16], seed_text[16];
    snprintf(port, sizeof port, "%d", processor_port);
    snprintf(faults, sizeof faults, "%d", FAULTS);
    snprintf(seed_text, sizeof seed_text, "%u", seed);
    const char *const arguments[] = {"python3", "tests/flow/processor.py", port, database, KEY, faults, seed_text, NULL};
    assert_int_equal(posix_spawnp(&processor, "python3", NULL, NULL, (char *const *)arguments, environ), 0);
}

static void processor_kill(void)
{
    kill(processor, SIGKILL);
    waitpid(processor, NULL, 0);
}

static void configure(const char *release, const char *key)
{
    static char tenants[2048], top[512];
    size_t used = 0;
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1];
    secret_hash(hash, TOKEN, strlen(TOKEN));
    secret_to_hex(hex, hash, sizeof hash);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        used += (size_t)snprintf(tenants + used, sizeof tenants - used,
                                 "  - name: %s\n    token_hash: %s\n    rights: [submit, query]\n    duplicate_days: 0\n    release: %s\n"
                                 "    processor: http://127.0.0.1:%d/releases\n    processor_key: %s\n",
                                 names[i], hex, release, processor_port, key);
    snprintf(top, sizeof top,
             "connections_max: 64\nmemory_max: 1TiB\nconnect:\n  hosts: [\"127.0.0.1:%d\"]\n  plain: true\n  timeout: 2s\n"
             "  retry_first: 20ms\n  retry_most: 200ms\n  breaker_open: 100ms\n",
             processor_port);
    const struct server_options options = {.base = "", .top = top, .tenants = tenants, .http = true};
    server_configure(&server, &options);
}

static int setup(void **state)
{
    (void)state;
    char path[256];
    if (!secret_open() || system("python3 -c 'import sqlite3' 2>/dev/null") != 0)
        flow_skip("no python3 with sqlite3");
    fresh = table_read(flow_fresh());
    processor_port = free_port();
    flow_path(database, sizeof database, "processor.db");
    flow_path(path, sizeof path, "processor.key");
    flow_write(path, KEY "\n", strlen(KEY) + 1);
    setenv("SLUICE_TEST_PROCESSOR_KEY", KEY, 1);
    configure("at_once", "env:SLUICE_TEST_PROCESSOR_KEY");
    return 0;
}

/* Who dies, and when, is drawn. */
struct killer {
    unsigned round;
    int after_ms;
};

static void *killer_run(void *argument)
{
    const struct killer *killer = argument;
    sleep_ms(killer->after_ms);
    if (killer->round % 2 == 0)
        kill(server.pid, SIGKILL), server_kills++;
    else
        kill(processor, SIGKILL), processor_kills++;
    return NULL;
}

static bool send_one(struct sluice_client *client, unsigned nth)
{
    char id[32];
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    snprintf(id, sizeof id, "pay-%u", nth);
    table_batch(&batch, fresh, id, nth * ROWS, ROWS, left_out_labels);
    int error = sluice_call(client, "screen", batch.batch, 0, &reply);
    if (error == SLUICE_FAULT)
        fprintf(stderr, "%s: %s %s\n", id, reply_fault(reply), sluice_reply_text(reply));
    flow_batch_free(&batch);
    sluice_reply_free(&reply);
    return error == 0;
}

static uint64_t counted(const char *query)
{
    char command[700], text[64] = "";
    snprintf(command, sizeof command, "python3 -c \"import sqlite3; print(sqlite3.connect('%s').execute('%s').fetchone()[0])\"", database,
             query);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(text, sizeof text, pipe));
    pclose(pipe);
    return strtoull(text, NULL, 10);
}

/* Every batch up to here is sent until it is acknowledged. */
static unsigned sent_all(const char *tenant, unsigned from, unsigned to)
{
    char error[256];
    const char *url = server.data_url;
    struct sluice_client *client = NULL;
    const struct sluice_options options = {.urls = &url, .url_count = 1, .tenant = tenant, .token = TOKEN, .timeout_ms = 1000};
    if (sluice_open(&client, &options, error, sizeof error) != 0)
        return from;
    while (from < to && send_one(client, from))
        from++;
    sluice_close(&client);
    return from;
}

static void round_run(unsigned round, unsigned *sent)
{
    pthread_t thread;
    struct killer killer = {.round = round, .after_ms = rand() % 120};
    assert_int_equal(pthread_create(&thread, NULL, killer_run, &killer), 0);
    *sent = sent_all("payroll", *sent, (round + 1) * EACH);
    pthread_join(thread, NULL);
    if (round % 2 == 0) {
        int status = server_wait(&server, 5000);
        assert_int_equal(status, 256 + SIGKILL);
        server_start(&server);
    } else {
        waitpid(processor, NULL, 0);
        processor_start(round);
    }
}

static void test_everything_is_executed_once(void **state)
{
    (void)state;
    unsigned sent = 0;
    uint64_t executed = 0, wanted = (uint64_t)ROUNDS * EACH * ROWS;
    srand((unsigned)flow_seed());
    processor_start(0);
    server_start(&server);
    for (unsigned round = 0; round < ROUNDS; round++)
        round_run(round, &sent);
    for (int i = 0; i < 20 && sent < ROUNDS * EACH; i++)
        sent = sent_all("payroll", sent, ROUNDS * EACH);
    assert_int_equal(sent, ROUNDS * EACH);
    for (int i = 0; i < 100 && executed < wanted; i++) {
        sleep_ms(100);
        executed = counted("SELECT count(*) FROM execution");
    }
    sleep_ms(500);
    printf("%u kills of the server, %u of the processor; %llu transfers of %u batches executed, sent %llu times\n", server_kills,
           processor_kills, (unsigned long long)executed, ROUNDS * EACH, (unsigned long long)counted("SELECT sum(sent) FROM release"));
    assert_int_equal(counted("SELECT count(*) FROM execution"), wanted);
    assert_int_equal(counted("SELECT count(DISTINCT transfer) FROM execution"), wanted);
    assert_int_equal(counted("SELECT count(*) FROM release"), ROUNDS * EACH);
    assert_int_equal(counted("SELECT count(*) FROM wrong"), 0);
    assert_true(counted("SELECT sum(sent) FROM release") > ROUNDS * EACH); /* some were sent again */
    assert_int_equal(server_log_count(&server, "dead letter"), 0);
    assert_int_equal(server_log_count(&server, KEY), 0);
}

/* Batches of two tenants under the same ids, at one processor. */
static void test_tenants_do_not_take_each_others_ids(void **state)
{
    (void)state;
    uint64_t releases = 0, wanted = ROUNDS * EACH + 2;
    assert_int_equal(sent_all("pay/roll", 0, 2), 2);
    for (int i = 0; i < 100 && releases < wanted; i++) {
        sleep_ms(50);
        releases = counted("SELECT count(*) FROM release");
    }
    assert_int_equal(releases, wanted);
    assert_int_equal(counted("SELECT count(*) FROM execution"), (ROUNDS * EACH + 2) * ROWS);
    assert_int_equal(counted("SELECT count(*) FROM wrong"), 0);
    assert_int_equal(server_log_count(&server, "dead letter"), 0);
}

static void test_figures_tell_of_the_processor(void **state)
{
    (void)state;
    static char body[1 << 20];
    assert_int_equal(http_get(server.http_port, "/metrics", body, sizeof body), 200);
    assert_non_null(strstr(body, "sluice_connector_calls_total{connector=\"processor.payroll\"} "));
    assert_non_null(strstr(body, "sluice_connector_breaker{connector=\"processor.payroll\"} "));
    assert_null(strstr(body, KEY));
}

static void test_a_start_without_its_key_is_refused(void **state)
{
    (void)state;
    int status = 0;
    server_stop(&server);
    processor_kill();
    configure("at_once", "env:SLUICE_TEST_NO_SUCH_KEY");
    assert_false(server_try_start(&server, &status));
    assert_int_equal(server_log_count(&server, "env:SLUICE_TEST_NO_SUCH_KEY is not in the environment"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_executed_once),
        cmocka_unit_test(test_tenants_do_not_take_each_others_ids),
        cmocka_unit_test(test_figures_tell_of_the_processor),
        cmocka_unit_test(test_a_start_without_its_key_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
