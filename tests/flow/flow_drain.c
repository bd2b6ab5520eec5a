/* SIGTERM: what was taken is answered, nothing new is taken, the exit is clean. SIGHUP: a new configuration for batches from
 * then on, a broken one changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/secret.h"
#include "flow/harness.h"

enum { CALLS = 12, CALL_ROWS = 500 };

static struct table *fresh;
static struct server server;
static atomic_int answered, refused, unknown;
static atomic_uint ok_bits;

static void on_done(void *context, int error, struct sluice_reply *reply)
{
    if (error == 0)
        atomic_fetch_or(&ok_bits, 1u << (uintptr_t)context);
    atomic_fetch_add(error == 0 ? &answered : error == SLUICE_FAULT ? &refused : &unknown, 1);
    sluice_reply_free(&reply);
}

static void test_sigterm_drains(void **state)
{
    (void)state;
    struct sluice_client *client = client_open_as(server.data_url, "flow", FLOW_TOKEN, 3000);
    for (unsigned i = 0; i < CALLS; i++) {
        struct flow_batch batch;
        char id[32];
        snprintf(id, sizeof id, "drain-%u", i);
        table_batch(&batch, fresh, id, i * CALL_ROWS, CALL_ROWS, left_out_labels);
        assert_int_equal(sluice_call_async(client, "screen", batch.batch, 0, on_done, (void *)(uintptr_t)i), 0);
        flow_batch_free(&batch);
    }
    server_stop(&server); /* SIGTERM, and it ends with 0 */
    assert_int_equal(sluice_wait_all(client), 0);
    assert_int_equal(answered + refused + unknown, CALLS);
    sluice_close(&client);
    server_start(&server);
    client = client_open(&server);
    for (unsigned i = 0; i < CALLS; i++) {
        struct sluice_reply *status = NULL;
        char id[32];
        snprintf(id, sizeof id, "drain-%u", i);
        int error = sluice_ask(client, "status", id, &status);
        if (ok_bits >> i & 1)
            assert_int_equal(error, 0);
        sluice_reply_free(&status);
    }
    sluice_close(&client);
}

/* Everything recorded before SIGTERM is in the snapshot: the next start has the same history. */
static void test_drain_saves_history(void **state)
{
    (void)state;
    char before[33], after[33];
    server_stop(&server);
    server_start(&server);
    history_digest(before, &server);
    server_stop(&server);
    server_start(&server);
    history_digest(after, &server);
    assert_string_equal(before, after);
}

static bool can_enter(const char *tenant, const char *token)
{
    char error[256];
    struct sluice_client *client = NULL;
    struct sluice_reply *reply = NULL;
    const char *url = server.data_url;
    struct sluice_options options = {.urls = &url, .url_count = 1, .tenant = tenant, .token = token, .timeout_ms = 5000};
    MUST(sluice_open(&client, &options, error, sizeof error) == 0);
    int code = sluice_ask(client, "status", "nothing", &reply);
    bool entered = code == 0 || (code == SLUICE_FAULT && strcmp(reply_fault(reply), "auth") != 0);
    sluice_reply_free(&reply);
    sluice_close(&client);
    return entered;
}

static void hang_up_and_wait(const char *text)
{
    size_t before = server_log_count(&server, text);
    MUST(kill(server.pid, SIGHUP) == 0);
    for (int waited = 0; waited < 20000 && server_log_count(&server, text) == before; waited += 20)
        sleep_ms(20);
    assert_true(server_runs(&server));
    if (server_log_count(&server, text) == before)
        server_log_show(&server);
    assert_true(server_log_count(&server, text) > before);
}

static void test_sighup_takes_a_new_tenant(void **state)
{
    (void)state;
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1], tenants[256];
    assert_false(can_enter("late", "late-token"));
    secret_hash(hash, "late-token", strlen("late-token"));
    secret_to_hex(hex, hash, sizeof hash);
    snprintf(tenants, sizeof tenants, "  - name: late\n    token_hash: %s\n    rights: [submit]\n", hex);
    server_configure(&server, &(struct server_options){.tenants = tenants});
    hang_up_and_wait("configuration read again");
    assert_true(can_enter("late", "late-token"));
    assert_true(can_enter("flow", FLOW_TOKEN));
}

static void test_sighup_with_a_broken_file_changes_nothing(void **state)
{
    (void)state;
    size_t bytes = 0;
    char *whole = flow_read(server.config, &bytes);
    flow_write(server.config, "ledger: [", 9);
    hang_up_and_wait("configuration refused");
    assert_true(can_enter("late", "late-token"));
    struct sluice_client *client = client_open(&server);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, "after-broken", 9000, 100);
    assert_int_equal(sluice_reply_rows(reply), 100);
    sluice_reply_free(&reply);
    sluice_close(&client);
    flow_write(server.config, whole, bytes);
    free(whole);
}

static void test_sighup_with_a_broken_base_changes_nothing(void **state)
{
    (void)state;
    char path[300];
    flow_path(path, sizeof path, "broken.safetensors");
    flow_write(path, "not a base", 10);
    server_configure(&server, &(struct server_options){.base = path});
    hang_up_and_wait("configuration refused");
    struct sluice_client *client = client_open(&server);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, "after-broken-base", 9200, 100);
    assert_true(sluice_reply_string(reply, "base")[0]);
    sluice_reply_free(&reply);
    sluice_close(&client);
    server_configure(&server, &(struct server_options){0});
}

static int setup(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    server_begin(&server, &(struct server_options){0});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&server);
    table_free(fresh);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigterm_drains),
        cmocka_unit_test(test_drain_saves_history),
        cmocka_unit_test(test_sighup_takes_a_new_tenant),
        cmocka_unit_test(test_sighup_with_a_broken_file_changes_nothing),
        cmocka_unit_test(test_sighup_with_a_broken_base_changes_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
