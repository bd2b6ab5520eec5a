/* Later outcomes reach a tenant's webhook: each of them, once, signed, in the order of its batch, although the server is killed, the
 * receiver is killed and answers get lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "flow/base_files.h"
#include "flow/outside.h"

#define TOKEN "payroll-token-1d2e"
#define KEY   "key-of-the-webhook-receiver"
enum { ROUNDS = 10, EACH = 4, ROWS = 20 };

static struct table *fresh;
static struct server server;
static char database[256];
static int port;
static pid_t receiver;

static void receiver_start(unsigned seed)
{
    char port_text[16], seed_text[16];
    snprintf(port_text, sizeof port_text, "%d", port);
    snprintf(seed_text, sizeof seed_text, "%u", seed);
    receiver = OUTSIDE_START(OUTSIDE_PYTHON, "tests/flow/receiver.py", port_text, database, KEY, "20", seed_text);
}

static int setup(void **state)
{
    (void)state;
    static char top[1024], tenants[1024];
    if (system(OUTSIDE_PYTHON " -c 'import sqlite3' 2>/dev/null") != 0)
        flow_skip("no python3 with sqlite3");
    fresh = table_read(flow_fresh());
    port = free_port();
    flow_path(database, sizeof database, "hooks.db");
    setenv("SLUICE_TEST_HOOK_KEY", KEY, 1);
    snprintf(top, sizeof top,
             "connections_max: 64\nconnect:\n  hosts: [\"127.0.0.1:%d\"]\n  plain: true\n  timeout: 2s\n  retry_first: 20ms\n  retry_most: "
             "100ms\n"
             "  breaker_open: 100ms\nconnectors:\n  - {name: hook, kind: webhook, url: 'http://127.0.0.1:%d/hook', key: "
             "'env:SLUICE_TEST_HOOK_KEY'}\n",
             port, port);
    tenant_lines(tenants, sizeof tenants, "payroll", TOKEN, "[submit]");
    strcat(tenants, "    release: partial\n    duplicate_days: 0\n    webhook: hook\n");
    server_configure(&server, &(struct server_options){.base = "", .top = top, .tenants = tenants});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    outside_kill(&receiver);
    return 0;
}

static bool change(struct sluice_client *client, const char *op, unsigned nth)
{
    char batch[32], id[64];
    struct sluice_reply *reply = NULL;
    snprintf(batch, sizeof batch, "pay-%u", nth);
    snprintf(id, sizeof id, "%s-%u", op, nth);
    int error = sluice_change(client, op, id, batch, &reply);
    sluice_reply_free(&reply);
    return error == SLUICE_OK;
}

static bool send_one(struct sluice_client *client, unsigned nth)
{
    char id[32];
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    snprintf(id, sizeof id, "pay-%u", nth);
    table_batch(&batch, fresh, id, nth * ROWS, ROWS, left_out_labels);
    int error = sluice_call(client, "screen", batch.batch, 0, &reply);
    flow_batch_free(&batch);
    sluice_reply_free(&reply);
    return error == SLUICE_OK && change(client, nth % 2 ? "cancel" : "release", nth);
}

/* Every batch up to here is sent, and released or cancelled, until that is acknowledged. */
static unsigned sent_all(unsigned from, unsigned to)
{
    char error[256];
    const char *url = server.data_url;
    struct sluice_client *client = NULL;
    const struct sluice_options options = {.urls = &url, .url_count = 1, .tenant = "payroll", .token = TOKEN, .timeout_ms = 1500};
    if (sluice_open(&client, &options, error, sizeof error) != 0)
        return from;
    while (from < to && send_one(client, from))
        from++;
    sluice_close(&client);
    return from;
}

static void test_every_outcome_is_told_once(void **state)
{
    (void)state;
    unsigned sent = 0, wanted = ROUNDS * EACH;
    receiver_start(0);
    server_start(&server);
    for (unsigned round = 0; round < ROUNDS; round++) {
        sent = sent_all(sent, (round + 1) * EACH);
        if (round % 2) {
            outside_kill(&receiver);
            receiver_start(round);
        } else {
            server_kill(&server);
            server_start(&server);
        }
    }
    for (int i = 0; i < 20 && sent < wanted; i++)
        sent = sent_all(sent, wanted);
    assert_int_equal(sent, wanted);
    unsigned long long told = outside_await(database, "SELECT count(*) FROM message", wanted, 20000);
    sleep_ms(500);
    printf("%u outcomes told, sent %llu times\n", wanted, outside_count(database, "SELECT sum(sent) FROM message"));
    assert_int_equal(told, wanted);
    assert_int_equal(outside_count(database, "SELECT count(*) FROM wrong"), 0);
    assert_int_equal(outside_count(database, "SELECT count(DISTINCT json_extract(body, '$.data.batch')) FROM message"), wanted);
    assert_int_equal(outside_count(database, "SELECT count(*) FROM message WHERE json_extract(body, '$.data.state') = 'released'"),
                     wanted / 2);
    assert_int_equal(outside_count(database, "SELECT count(*) FROM message WHERE json_extract(body, '$.data.state') = 'cancelled'"),
                     wanted / 2);
    assert_int_equal(server_log_count(&server, KEY), 0);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_outcome_is_told_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
