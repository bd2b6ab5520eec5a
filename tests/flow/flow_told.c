/* The processor's side: the consolidated check, what it executes behind it, and what it reports, from a process of its own; killed and
 * restarted, as the server is, every transfer is executed once and the batches end where docs/states.md says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <unistd.h>

#include "flow/base_files.h"
#include "flow/outside.h"
#include "wire/wire.h"

#define TOKEN "told-token-77aa"
#define KEY   "key-of-the-told-processor"
enum { ROWS = 40, ROUNDS = 12, EACH = 2 };

static struct table *fresh;
static struct server server;
static char database[256], output[16384];
static int processor_port;
static pid_t processor;

static void processor_start(unsigned seed)
{
    char port[16], seed_text[16], ops[64];
    snprintf(port, sizeof port, "%d", processor_port);
    snprintf(seed_text, sizeof seed_text, "%u", seed);
    snprintf(ops, sizeof ops, "http://127.0.0.1:%d", server.http_port);
    processor = OUTSIDE_START(OUTSIDE_PYTHON, "tests/flow/processor.py", port, database, KEY, "20", seed_text, ops, "payroll", TOKEN);
}

static void configure(const char *name, const char *lines)
{
    static char tenants[2048], top[512];
    tenant_lines(tenants, sizeof tenants, "payroll", TOKEN, "[submit, query, process, list]");
    size_t used = strlen(tenants);
    snprintf(tenants + used, sizeof tenants - used, "    duplicate_days: 0\n%s", lines);
    snprintf(top, sizeof top,
             "connections_max: 64\nmemory_max: 1TiB\nconnect:\n  hosts: [\"127.0.0.1:%d\"]\n  plain: true\n  timeout: 2s\n"
             "  retry_first: 20ms\n  retry_most: 200ms\n  breaker_open: 100ms\n",
             processor_port);
    server_configure(&server, &(struct server_options){
                                  .name = name, .base = "", .top = top, .listen = "  http_ops: true\n", .tenants = tenants, .http = true});
}

static struct sluice_client *open_client(void)
{
    return client_open_as(server.data_url, "payroll", TOKEN, 5000);
}

static bool screen(const char *id, uint32_t first)
{
    struct flow_batch batch;
    struct sluice_reply *reply = NULL;
    char error[256];
    const char *url = server.data_url;
    struct sluice_client *client = NULL;
    const struct sluice_options options = {.urls = &url, .url_count = 1, .tenant = "payroll", .token = TOKEN, .timeout_ms = 1000};
    if (sluice_open(&client, &options, error, sizeof error) != 0)
        return false;
    table_batch(&batch, fresh, id, first, ROWS, left_out_labels);
    bool done = sluice_call(client, "screen", batch.batch, 0, &reply) == SLUICE_OK;
    flow_batch_free(&batch);
    sluice_reply_free(&reply);
    sluice_close(&client);
    return done;
}

/* "ok: VERDICT", "ok: NOTE" or "FAULT: NOTE". */
static const char *tell(const char *op, const struct sluice_told *told)
{
    static char text[400];
    struct sluice_client *client = open_client();
    struct sluice_reply *reply = NULL;
    int error = sluice_tell(client, op, told, &reply);
    const char *verdict = reply ? sluice_reply_string(reply, "verdict") : NULL;
    snprintf(text, sizeof text, "%s: %s%s%s",
             error == SLUICE_OK ? "ok"
             : reply            ? reply_fault(reply)
                                : "silence",
             verdict ? verdict : "", verdict ? ": " : "", reply ? sluice_reply_text(reply) : "");
    sluice_reply_free(&reply);
    sluice_close(&client);
    return text;
}

static void expect(const char *op, struct sluice_told told, const char *wanted)
{
    const char *text = tell(op, &told);
    if (strncmp(text, wanted, strlen(wanted)) != 0)
        print_message("%s %s: %s, wanted %s\n", op, told.id, text, wanted);
    assert_int_equal(strncmp(text, wanted, strlen(wanted)), 0);
}

static void expect_life(const char *batch, const char *life)
{
    struct sluice_client *client = open_client();
    struct sluice_reply *reply = NULL;
    assert_int_equal(sluice_ask(client, "status", batch, &reply), SLUICE_OK);
    assert_string_equal(sluice_reply_string(reply, "life"), life);
    sluice_reply_free(&reply);
    sluice_close(&client);
}

static void expect_state(const char *transfer, const char *wanted)
{
    struct sluice_client *client = open_client();
    const struct sluice_query query = {.batch = "pay", .transfer = transfer, .state = wanted, .rows_max = 10};
    struct sluice_reply *reply = NULL;
    struct wire_value top, rows, row, found;
    size_t bytes;
    assert_int_equal(sluice_query(client, &query, &reply), SLUICE_OK);
    const unsigned char *message = sluice_reply_bytes(reply, &bytes);
    assert_true(wire_next(&top, &message, message + bytes) && wire_find(&rows, &top, "transfers") && rows.count == 1);
    const unsigned char *at = rows.inside;
    assert_true(wire_next(&row, &at, rows.end) && wire_find(&found, &row, "state"));
    assert_true(text_equal(found.text, text_of(wanted)));
    sluice_reply_free(&reply);
    sluice_close(&client);
}

static int setup(void **state)
{
    (void)state;
    if (system(OUTSIDE_PYTHON " -c 'import sqlite3' 2>/dev/null") != 0)
        flow_skip("no python3 with sqlite3");
    fresh = table_read(flow_fresh());
    processor_port = free_port();
    flow_path(database, sizeof database, "told.db");
    setenv("SLUICE_TEST_TOLD_KEY", KEY, 1);
    return 0;
}

static void a_check_and_a_report_have_one_answer(void **state)
{
    (void)state;
    const char *first[] = {table_cell(fresh, 0, "transfer_id"), table_cell(fresh, 1, "transfer_id")};
    const char *last = table_cell(fresh, ROWS - 1, "transfer_id"), *none = "no such transfer";
    configure("plain", "");
    server_start(&server);
    assert_true(screen("pay", 0));
    expect_life("pay", "released");
    expect("consolidate", (struct sluice_told){.id = "c0", .batch = "pay/r2", .fields = "{\"count\": 1}"}, "not_found: ");
    expect("report", (struct sluice_told){.id = "r0", .batch = "pay/r1", .state = "executed"}, "conflict: transfer ");
    expect("consolidate",
           (struct sluice_told){.id = "c1", .batch = "pay/r1", .transfers = first, .transfer_count = 2, .fields = "{\"count\": 2}"},
           "ok: execute: execute 2, ");
    expect("consolidate",
           (struct sluice_told){.id = "c1", .batch = "pay/r1", .transfers = first, .transfer_count = 2, .fields = "{\"count\": 2}"},
           "ok: execute: execute 2, ");
    expect("consolidate",
           (struct sluice_told){.id = "c1", .batch = "pay/r1", .transfers = first, .transfer_count = 2, .fields = "{\"count\": 3}"},
           "conflict: id was used before");
    expect("consolidate", (struct sluice_told){.id = "c2", .batch = "pay/r1", .fields = "{\"count\": 40}"}, "conflict: transfer ");
    expect("consolidate",
           (struct sluice_told){.id = "c3", .batch = "pay/r1", .transfers = &none, .transfer_count = 1, .fields = "{\"count\": 1}"},
           "not_found: ");
    expect("consolidate",
           (struct sluice_told){.id = "c4", .batch = "pay/r1", .transfers = &last, .transfer_count = 1, .fields = "{\"count\": 2}"},
           "ok: return: release_differs: ");
    expect_life("pay", "awaiting_corrections");
    expect("report", (struct sluice_told){.id = "r1", .batch = "pay/r1", .transfers = first, .transfer_count = 1, .state = "executed"},
           "ok: 1 executed, 0 of them known");
    server_kill(&server);
    server_start(&server);
    expect("report", (struct sluice_told){.id = "r1", .batch = "pay/r1", .transfers = first, .transfer_count = 1, .state = "executed"},
           "ok: 1 executed, 0 of them known");
    expect("report", (struct sluice_told){.id = "r2", .batch = "pay/r1", .transfers = first, .transfer_count = 1, .state = "executed"},
           "ok: 1 executed, 1 of them known");
    expect("report", (struct sluice_told){.id = "r3", .batch = "pay/r1", .transfers = first, .transfer_count = 2, .state = "failed"},
           "conflict: transfer ");
    expect("report",
           (struct sluice_told){
               .id = "r4", .batch = "pay/r1", .transfers = first + 1, .transfer_count = 1, .state = "failed", .why = "closed"},
           "ok: 1 failed, 0 of them known, by the tenant: closed");
    expect_state(first[0], "executed");
    expect_state(first[1], "failed");
    expect_state(last, "returned");
    expect_state(table_cell(fresh, 5, "transfer_id"), "released");
    server_stop(&server);
}

static void lists_and_time_send_back(void **state)
{
    (void)state;
    configure("listed", "");
    server_start(&server);
    assert_true(screen("pay", 0));
    char lists[300], csv[300], token[256];
    flow_path(lists, sizeof lists, "block.csv");
    flow_path(token, sizeof token, "token");
    flow_write(token, TOKEN "\n", strlen(TOKEN) + 1);
    int bytes = snprintf(csv, sizeof csv, "account_id,list\n%s,block\n", table_cell(fresh, 3, "payee_id"));
    flow_write(lists, csv, (size_t)bytes);
    memset(output, 0, sizeof output);
    int listed = FLOW_RUN(output, "list", "put", "--connect", server.data_url, "--tenant", "payroll", "--token-file", token, lists);
    if (listed != 0)
        print_message("%s\n", output);
    assert_int_equal(listed, 0);
    assert_int_equal(FLOW_RUN(output, "consolidate", "--connect", server.data_url, "--tenant", "payroll", "--token-file", token, "--fields",
                              "{\"count\": 40}", "pay/r1"),
                     1);
    assert_non_null(strstr(output, "pay/r1: return: listed_party: account "));
    assert_int_equal(FLOW_RUN(output, "report", "--connect", server.data_url, "--tenant", "payroll", "--token-file", token, "pay/r1"), 2);
    assert_non_null(strstr(output, "is returned"));
    server_stop(&server);
    configure("late", "    consolidate_within: 1ms\n");
    server_start(&server);
    assert_true(screen("pay", 0));
    sleep_ms(20);
    expect("consolidate", (struct sluice_told){.id = "c", .batch = "pay/r1", .fields = "{\"count\": 40}"},
           "ok: return: release_outdated: ");
    server_stop(&server);
}

/* --- kills ------------------------------------------------------------------------------------------------------------------ */

static void *kill_later(void *argument)
{
    unsigned round = *(unsigned *)argument;
    sleep_ms(rand() % 200);
    kill(round % 2 == 0 ? server.pid : processor, SIGKILL);
    return NULL;
}

static unsigned screen_all(unsigned from, unsigned to)
{
    char id[32];
    for (; from < to; from++) {
        snprintf(id, sizeof id, "pay-%u", from);
        if (!screen(id, from * ROWS))
            break;
    }
    return from;
}

static uint64_t count(const char *query)
{
    return strtoull(outside_cell(database, query), NULL, 10);
}

static void everything_is_executed_once_and_told(void **state)
{
    (void)state;
    const uint64_t batches = (uint64_t)ROUNDS * EACH;
    unsigned sent = 0;
    char lines[400];
    snprintf(lines, sizeof lines, "    processor: http://127.0.0.1:%d/releases\n    processor_key: env:SLUICE_TEST_TOLD_KEY\n",
             processor_port);
    srand((unsigned)flow_seed());
    configure("kills", lines);
    server_start(&server);
    processor_start(0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, kill_later, &round), 0);
        sent = screen_all(sent, (round + 1) * EACH);
        pthread_join(thread, NULL);
        if (round % 2 == 0) {
            assert_int_equal(server_wait(&server, 5000), 256 + SIGKILL);
            server_start(&server);
        } else {
            waitpid(processor, NULL, 0);
            processor_start(round);
        }
    }
    for (int i = 0; i < 20 && sent < batches; i++)
        sent = screen_all(sent, (unsigned)batches);
    assert_int_equal(sent, batches);
    for (int i = 0; i < 200 && count("SELECT count(*) FROM duty WHERE state = 'reported'") < batches; i++)
        sleep_ms(100);
    printf("figure: %d kills; %llu transfers executed\n", ROUNDS, (unsigned long long)count("SELECT count(*) FROM execution"));
    if (count("SELECT count(*) FROM wrong"))
        print_message("%s\n", outside_cell(database, "SELECT what FROM wrong"));
    assert_int_equal(count("SELECT count(*) FROM wrong"), 0);
    assert_int_equal(count("SELECT count(*) FROM duty WHERE state = 'reported'"), batches);
    assert_int_equal(count("SELECT count(*) FROM execution"), batches * ROWS);
    assert_int_equal(count("SELECT count(DISTINCT transfer) FROM execution"), batches * ROWS);
    for (unsigned i = 0; i < batches; i++) {
        char id[32];
        snprintf(id, sizeof id, "pay-%u", i);
        expect_life(id, "executed");
    }
    outside_kill(&processor);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_and_a_report_have_one_answer),
        cmocka_unit_test(lists_and_time_send_back),
        cmocka_unit_test(everything_is_executed_once_and_told),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
