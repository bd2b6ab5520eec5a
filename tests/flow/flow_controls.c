/* What overrules the scores, on real servers: transfers sent twice. The same after a kill and in a replay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "flow/base_files.h"
#include "flow/harness.h"

#define TOKEN "controls-token-31ab"
enum { ROWS = 300 };

static struct table *fresh;
static struct server server;
static char output[16384], ledger[300], tenants[1024];

static int prepare(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    MUST(fresh->row_count >= 4 * ROWS);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    table_free(fresh);
    return 0;
}

static void begin(const char *name, const char *lines)
{
    tenant_lines(tenants, sizeof tenants, "controlled", TOKEN, "[submit, score, query, explain]");
    size_t used = strlen(tenants);
    MUST((size_t)snprintf(tenants + used, sizeof tenants - used, "%s", lines) < sizeof tenants - used);
    server_begin(&server, &(struct server_options){.name = name, .top = "snapshot_interval: 1s\n", .tenants = tenants});
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
}

static uint32_t names_count(const struct sluice_reply *reply, const char *column, const char *name)
{
    const uint8_t *codes = sluice_reply_u8(reply, column);
    uint32_t count = 0;
    MUST(codes);
    for (uint32_t i = 0; i < sluice_reply_rows(reply); i++) {
        const char *text = sluice_reply_name(reply, column, codes[i]);
        count += text && strcmp(text, name) == 0;
    }
    return count;
}

/* Rows of the table as a batch of tenant controlled. */
static struct sluice_reply *send(const char *op, const char *id, uint32_t first, uint32_t count)
{
    struct sluice_client *client = client_open_as(server.data_url, "controlled", TOKEN, 30000);
    struct sluice_reply *reply = screen_rows(client, op, fresh, id, first, count);
    sluice_close(&client);
    return reply;
}

static void expect_duplicates(const char *op, const char *id, uint32_t first, uint32_t count, uint32_t expected)
{
    struct sluice_reply *reply = send(op, id, first, count);
    uint32_t held = names_count(reply, "cause", "duplicate"), rejected = names_count(reply, "verdict", "reject");
    assert_in_range(held, expected > rejected ? expected - rejected : 0, expected);
    assert_int_equal(names_count(reply, "risk_type", "duplicate"), held);
    assert_int_equal(names_count(reply, "countermeasure", "check_for_duplicate"), held);
    assert_true(expected == 0 || held > expected / 2);
    sluice_reply_free(&reply);
}

static void expect_verified(void)
{
    assert_int_equal(FLOW_RUN(output, "replay", "--verify", ledger), 0);
}

static void a_transfer_sent_twice_is_held(void **state)
{
    (void)state;
    begin("twice", "");
    expect_duplicates("screen", "first", 0, ROWS, 0);
    expect_duplicates("score", "ask", 0, ROWS, ROWS);
    expect_duplicates("screen", "second", ROWS / 2, ROWS, ROWS / 2);
    expect_duplicates("screen", "first", 0, ROWS, 0); /* a repeat is answered as it was */
    server_kill(&server);
    server_start(&server);
    expect_duplicates("screen", "third", ROWS, ROWS, ROWS / 2);
    sleep_ms(1500); /* a snapshot */
    server_kill(&server);
    server_start(&server);
    expect_duplicates("screen", "fourth", 0, 2 * ROWS, 2 * ROWS);
    server_stop(&server);
    expect_verified();
}

static void days_of_zero_are_none(void **state)
{
    (void)state;
    begin("none", "    duplicate_days: 0\n");
    expect_duplicates("screen", "first", 0, ROWS, 0);
    expect_duplicates("screen", "second", 0, ROWS, 0);
    server_stop(&server);
    expect_verified();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_sent_twice_is_held),
        cmocka_unit_test(days_of_zero_are_none),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}
