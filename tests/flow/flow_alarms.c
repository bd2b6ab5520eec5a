/* The server's own troubles reach an office automation system that keeps state: a brake that acts, and a disk that is full, which the
 * ledger cannot note: told once, and once when there is room again. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flow/base_files.h"
#include "flow/outside.h"

#define TOKEN "payroll-token-1d2e"
#define KEY   "key-of-the-office-automation"
enum { DISK_MIB = 38, FILLER_MIB = 16, ROWS = 2000, BATCHES_MAX = 4000, LIMIT_MS = 15000 };

static struct table *fresh;
static struct server server;
static char database[256], disk[256], filler[300], top[1024];
static pid_t receiver;

static void configure(const char *name)
{
    static char tenants[1024];
    tenant_lines(tenants, sizeof tenants, "payroll", TOKEN, "[submit]");
    strcat(tenants, "    brake_share: 0.01\n    brake_rows_min: 10\n");
    server_configure(&server, &(struct server_options){.name = name, .top = top, .tenants = tenants, .http = true});
}

static int setup(void **state)
{
    (void)state;
    int port = free_port();
    char text[16];
    if (system(OUTSIDE_PYTHON " -c 'import sqlite3' 2>/dev/null") != 0)
        flow_skip("no python3 with sqlite3");
    fresh = table_read(flow_fresh());
    flow_path(database, sizeof database, "oa.db");
    setenv("SLUICE_TEST_OA_KEY", KEY, 1);
    snprintf(text, sizeof text, "%d", port);
    receiver = OUTSIDE_START(OUTSIDE_PYTHON, "tests/flow/receiver.py", text, database, KEY, "0", "1", "answer");
    assert_true(outside_listens(port, 10000));
    snprintf(top, sizeof top,
             "connect:\n  hosts: [\"127.0.0.1:%d\"]\n  plain: true\n  timeout: 2s\n  retry_first: 50ms\n  retry_most: 200ms\n"
             "alarms:\n  connectors: [oa]\n  settle: 500ms\nstrategy:\n  - {risk_type: '*', level: low, verdict: hold}\nconnectors:\n"
             "  - {name: oa, kind: oa, url: 'http://127.0.0.1:%d/todo', key: 'env:SLUICE_TEST_OA_KEY'}\n",
             port, port);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    outside_kill(&receiver);
    return 0;
}

static unsigned long long told(const char *like, unsigned long long wanted)
{
    char query[256];
    snprintf(query, sizeof query, "SELECT count(*) FROM message WHERE id LIKE '%s'", like);
    return outside_await(database, query, wanted, wanted ? LIMIT_MS : 0);
}

static int screen(const char *tenant, const char *token, const char *id, uint32_t first)
{
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    struct sluice_client *client = client_open_as(server.data_url, tenant, token, 30000);
    table_batch(&batch, fresh, id, first, ROWS, left_out_labels);
    int error = sluice_call(client, "screen", batch.batch, 0, &reply);
    sluice_reply_free(&reply);
    flow_batch_free(&batch);
    sluice_close(&client);
    return error;
}

static void test_a_brake_that_acts_is_told(void **state)
{
    (void)state;
    configure("brake");
    server_start(&server);
    assert_int_equal(screen("payroll", TOKEN, "b-1", 0), 0);
    assert_int_equal(told("alarm/brake.payroll/%", 1), 1);
    sleep_ms(1200);
    assert_int_equal(told("%brake.payroll%", 0), 1);
    assert_int_equal(outside_count(database, "SELECT count(*) FROM wrong"), 0);
    assert_non_null(strstr(outside_cell(database, "SELECT body FROM message"), "the brake of tenant payroll acts"));
    server_stop(&server);
}

static void filler_write(void)
{
    char *block = calloc(1, 1 << 20);
    FILE *file = fopen(filler, "wb");
    MUST(block && file);
    for (int i = 0; i < FILLER_MIB; i++)
        MUST(fwrite(block, 1, 1 << 20, file) == 1 << 20);
    MUST(fclose(file) == 0);
    free(block);
}

static void unmount(void)
{
    umount2(disk, MNT_DETACH);
}

static void test_a_full_disk_is_told_past_the_ledger(void **state)
{
    (void)state;
    char size[32], id[32];
    unsigned recorded = 0;
    configure("disk");
    snprintf(disk, sizeof disk, "%s/ledger", server.folder);
    snprintf(filler, sizeof filler, "%s/filler", disk);
    snprintf(size, sizeof size, "size=%dm", DISK_MIB);
    MUST(mkdir(disk, 0700) == 0);
    if (mount("none", disk, "tmpfs", 0, size) != 0) {
        print_message("no right to mount a small disk: the full disk is not tried\n");
        return;
    }
    atexit(unmount);
    filler_write();
    server_start(&server);
    do
        snprintf(id, sizeof id, "disk-%u", recorded);
    while (screen("flow", FLOW_TOKEN, id, recorded * 37 % (fresh->row_count - ROWS)) == 0 && ++recorded < BATCHES_MAX);
    assert_true(recorded > 2 && recorded < BATCHES_MAX);
    assert_int_equal(told("alarm/ledger/%", 1), 1);
    assert_non_null(strstr(outside_cell(database, "SELECT body FROM message WHERE id LIKE 'alarm/ledger/%'"), "disk full"));
    sleep_ms(1200);
    assert_int_equal(outside_count(database, "SELECT sent FROM message WHERE id LIKE 'alarm/ledger/%'"), 1);
    MUST(unlink(filler) == 0); /* nobody sends anything: it finds the room by itself */
    assert_int_equal(told("over/ledger/%", 1), 1);
    assert_int_equal(told("%/ledger/%", 0), 2);
    assert_int_equal(server_log_count(&server, KEY), 0);
    server_stop(&server);
    unmount();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_brake_that_acts_is_told),
        cmocka_unit_test(test_a_full_disk_is_told_past_the_ledger),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
