/* What overrules the scores, on real servers: transfers sent twice, lists. The same after a kill and in a replay. */
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
#include "flow/message.h"

#define TOKEN "controls-token-31ab"
enum { ROWS = 300 };

static struct table *fresh;
static struct server server;
static char output[16384], ledger[300], tenants[1024], token_file[256];

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
    tenant_lines(tenants, sizeof tenants, "controlled", TOKEN, "[submit, score, query, explain, list]");
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

/* --- lists ------------------------------------------------------------------------------------------------------------ */

static void list(const char *verb, const char *text)
{
    char path[256];
    flow_path(path, sizeof path, "list.csv");
    flow_write(path, text, strlen(text));
    int status = FLOW_RUN(output, "list", verb, path, "--connect", server.data_url, "--tenant", "controlled", "--token-file", token_file);
    if (status != 0)
        print_error("%s\n", output);
    assert_int_equal(status, 0);
}

static void show(const char *option, const char *value)
{
    assert_int_equal(FLOW_RUN(output, "list", "show", "--format", "jsonl", option, value, "--connect", server.data_url, "--tenant",
                              "controlled", "--token-file", token_file),
                     0);
}

static uint32_t lines(void)
{
    uint32_t count = 0;
    for (const char *at = output; *at; at++)
        count += *at == '\n';
    return count;
}

/* Of the rows that have that payer, all have the cause. */
static uint32_t with_cause(const struct sluice_reply *reply, uint32_t first, const char *payer, const char *cause, const char *verdict)
{
    const uint8_t *causes = sluice_reply_u8(reply, "cause"), *verdicts = sluice_reply_u8(reply, "verdict");
    uint32_t count = 0;
    for (uint32_t i = 0; i < sluice_reply_rows(reply); i++) {
        if (strcmp(table_cell(fresh, first + i, "payer_id"), payer) != 0)
            continue;
        assert_string_equal(sluice_reply_name(reply, "cause", causes[i]), cause);
        assert_string_equal(sluice_reply_name(reply, "verdict", verdicts[i]), verdict);
        count++;
    }
    return count;
}

static void lists_act_across_a_kill(void **state)
{
    (void)state;
    char text[1024];
    const char *blocked = table_cell(fresh, 3, "payer_id"), *restricted = NULL;
    for (uint32_t row = 4; !restricted; row++)
        if (strcmp(table_cell(fresh, row, "payer_id"), blocked) != 0)
            restricted = table_cell(fresh, row, "payer_id");
    flow_path(token_file, sizeof token_file, "token");
    flow_write(token_file, TOKEN, strlen(TOKEN));
    begin("lists", "    duplicate_days: 0\n");
    struct sluice_reply *reply = send("screen", "before", 0, ROWS);
    assert_int_equal(names_count(reply, "cause", "blocked"), 0);
    sluice_reply_free(&reply);
    snprintf(text, sizeof text, "list,account_id,memo\nblock,%s,\"theft, confirmed\"\nrestrict,%s,asked\nblock,nobody,\n", blocked,
             restricted);
    list("put", text);
    show("--list", "block");
    assert_int_equal(lines(), 2);
    assert_non_null(strstr(output, "theft, confirmed"));
    show("--value", restricted);
    assert_int_equal(lines(), 1);
    for (int round = 0; round < 3; round++) {
        char id[16];
        snprintf(id, sizeof id, "round-%d", round);
        reply = send(round == 1 ? "score" : "screen", id, 0, ROWS);
        assert_true(with_cause(reply, 0, blocked, "blocked", "reject") > 0);
        assert_true(names_count(reply, "risk_type", "blocked") > 0 && names_count(reply, "countermeasure", "do_not_pay_blocked") > 0);
        assert_true(names_count(reply, "cause", "restricted") > 0);
        sluice_reply_free(&reply);
        if (round == 1)
            sleep_ms(1500); /* a snapshot */
        server_kill(&server);
        server_start(&server);
    }
    snprintf(text, sizeof text, "list,account_id\nblock,%s\nrestrict,%s\n", blocked, restricted);
    list("remove", text);
    show("--list", "block");
    assert_int_equal(lines(), 1);
    assert_int_equal(FLOW_RUN(output, "audit", "verify", ledger), 0); /* beside the running server */
    assert_non_null(strstr(output, "verified: 6 entries"));           /* four starts, two edits */
    assert_int_equal(FLOW_RUN(output, "audit", "list", "--json", "--action", "list.put", ledger), 0);
    assert_non_null(strstr(output, "\"who\":\"controlled\""));
    assert_non_null(strstr(output, "\"after\":\"3 rows\""));
    reply = send("screen", "after", 0, ROWS);
    assert_int_equal(names_count(reply, "cause", "blocked") + names_count(reply, "cause", "restricted"), 0);
    sluice_reply_free(&reply);
    server_stop(&server);
    expect_verified();
}

/* What the scores held passes when its payer is allowed; the lists of another tenant are not his. */
static void an_allowed_party_passes(void **state)
{
    (void)state;
    static char text[1 << 16];
    begin("allowed", "    duplicate_days: 0\n");
    struct sluice_reply *reply = send("screen", "before", 0, 4 * ROWS);
    const uint8_t *verdicts = sluice_reply_u8(reply, "verdict");
    uint32_t held = 0;
    size_t used = (size_t)snprintf(text, sizeof text, "list,account_id\n");
    for (uint32_t i = 0; i < 4 * ROWS; i++)
        if (verdicts[i] == 1 || verdicts[i] == 2) {
            used += (size_t)snprintf(text + used, sizeof text - used, "allow,%s\n", table_cell(fresh, i, "payer_id"));
            held++;
        }
    assert_true(held > 0);
    sluice_reply_free(&reply);
    list("put", text);
    reply = send("screen", "after", 0, 4 * ROWS);
    assert_true(names_count(reply, "cause", "allowed") > held / 2);
    assert_int_equal(names_count(reply, "verdict", "hold") + names_count(reply, "verdict", "reject"), 0);
    sluice_reply_free(&reply);
    server_stop(&server);
    expect_verified();
}

/* --- rules -------------------------------------------------------------------------------------------------------------- */

/* Rules of the tenant's own raise and force; reply, query and explanation name them, and a replay gives the same bits. */
static void rules_of_the_tenant_are_told(void **state)
{
    (void)state;
    static const char rules[] = "    duplicate_days: 0\n    rules:\n"
                                "      - {name: small, when: amount_reference < 3000, verdict: pass, risk_type: trifle}\n"
                                "      - {name: large, when: 'amount > 20000 and payer_out_count_30d >= 0.0e0', raise_to: critical}\n";
    begin("rules", rules);
    struct sluice_reply *reply = send("screen", "ruled", 0, 4 * ROWS);
    const uint8_t *verdict = sluice_reply_u8(reply, "verdict"), *rule = sluice_reply_u8(reply, "rule");
    uint32_t counts[3] = {0}, large = 0;
    assert_non_null(rule);
    for (uint32_t i = 0; i < 4 * ROWS; i++) {
        const char *name = sluice_reply_name(reply, "rule", rule[i]);
        long long amount = strtoll(table_cell(fresh, i, "amount"), NULL, 10);
        counts[rule[i]]++;
        if (amount > 20000)
            assert_int_equal(verdict[i], 2);
        if (rule[i] == 1)
            assert_true(strcmp(name, "small") == 0 && verdict[i] == 0);
        if (rule[i] == 2)
            assert_true(strcmp(name, "large") == 0 && verdict[i] == 2), large = i;
    }
    assert_true(counts[1] > 10 && counts[2] > 10);
    assert_int_equal(names_count(reply, "risk_type", "trifle"), counts[1]);
    assert_int_equal(names_count(reply, "risk_type", "large"), counts[2]);
    assert_int_equal(names_count(reply, "cause", "rule"), counts[1] + counts[2]);
    sluice_reply_free(&reply);
    server_kill(&server);
    server_start(&server);
    const char *named = "\"rule\":\"large\"";
    const char *id = table_cell(fresh, large, "transfer_id");
    assert_int_equal(FLOW_RUN(output, "query", "--format", "jsonl", "--transfer", id, "--connect", server.data_url, "--tenant",
                              "controlled", "--token-file", token_file),
                     0);
    assert_non_null(strstr(output, named));
    assert_int_equal(
        FLOW_RUN(output, "explain", "--json", id, "--connect", server.data_url, "--tenant", "controlled", "--token-file", token_file), 0);
    assert_non_null(strstr(output, named));
    server_stop(&server);
    expect_verified();
}

/* What a configuration would do to traffic that was recorded under another one: one rule more, which holds all that none forces. */
static void rules_are_tried_on_what_was_recorded(void **state)
{
    (void)state;
    static char text[16384];
    char path[300];
    begin("tried", "    duplicate_days: 0\n    rules:\n      - {name: small, when: amount_reference < 3000, verdict: pass}\n");
    struct sluice_reply *reply = send("screen", "tried", 0, 4 * ROWS);
    uint32_t forced = names_count(reply, "rule", "small"), held = names_count(reply, "verdict", "hold");
    sluice_reply_free(&reply);
    server_stop(&server);
    assert_int_equal(FLOW_RUN(output, "replay", "--strategy", server.config, "--json", ledger), 0);
    assert_non_null(strstr(output, "\"switched\":0,"));
    FILE *file = fopen(server.config, "r");
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof text - 128, file);
    fclose(file);
    bytes += (size_t)sprintf(text + bytes, "      - {name: rest, when: level >= 0, verdict: hold, risk_type: everything}\n");
    flow_path(path, sizeof path, "tried.yaml");
    flow_write(path, text, bytes);
    assert_int_equal(FLOW_RUN(output, "replay", "--strategy", path, "--json", ledger), 0);
    char switched[64];
    snprintf(switched, sizeof switched, "\"switched\":%u,", 4 * ROWS - forced - held);
    assert_non_null(strstr(output, switched));
    assert_non_null(strstr(output, "\"rest\""));
    assert_int_equal(FLOW_RUN(output, "replay", "--strategy", path, ledger), 0);
    assert_non_null(strstr(output, "bases of the time"));
    expect_verified();
}

/* --- classes, monitor, brake -------------------------------------------------------------------------------------------- */

/* How many cases there are, as the command shows them; all their transfers are so many, and those of the newest are shown. */
static uint32_t cases_told(uint32_t transfers)
{
    static char told[1 << 18];
    const char *key = "\"transfers\":";
    char entry[24] = "";
    uint32_t cases = 0, sum = 0, newest = 0;
    flow_path(token_file, sizeof token_file, "token");
    flow_write(token_file, TOKEN "\n", strlen(TOKEN) + 1);
    assert_int_equal(FLOW_RUN(told, "case", "list", "--format", "jsonl", "--tenant", "controlled", "--token-file", token_file, "--connect",
                              server.data_url),
                     0);
    for (const char *at = told; (at = strstr(at, key)); cases++) {
        at += strlen(key);
        sum += (uint32_t)strtoul(at, NULL, 10);
        newest = cases == 0 ? sum : newest;
    }
    assert_int_equal(sum, transfers);
    if (cases == 0)
        return 0;
    MUST(sscanf(told, "{\"entry\":\"%23[0-9]", entry) == 1);
    assert_int_equal(FLOW_RUN(told, "case", "show", entry, "--format", "jsonl", "--tenant", "controlled", "--token-file", token_file,
                              "--connect", server.data_url),
                     0);
    for (const char *at = told; (at = strstr(at, "\"transfer_id\"")); at++)
        newest--;
    assert_int_equal(newest, 0);
    return cases;
}

static void classes_say_the_verdict(void **state)
{
    (void)state;
    uint32_t levels[5] = {0};
    begin("classes", "    duplicate_days: 0\n    verdict_high: pass\n    verdict_critical: hold\n    abnormal: high\n");
    struct sluice_reply *reply = send("screen", "classed", 0, 4 * ROWS);
    const uint8_t *level = sluice_reply_u8(reply, "level"), *verdict = sluice_reply_u8(reply, "verdict");
    for (uint32_t i = 0; i < 4 * ROWS; i++) {
        assert_true(level[i] < 5);
        assert_int_equal(verdict[i], level[i] == 4 ? 1 : 0);
        levels[level[i]]++;
    }
    assert_true(levels[3] > 0 && levels[4] > 0);
    sluice_reply_free(&reply);
    server_stop(&server);
    expect_verified();
}

/* Every abnormal row is in one case of its payer and scene, whether it passed or not; the next batch joins, also behind a kill. */
static void abnormal_rows_open_cases(void **state)
{
    (void)state;
    uint32_t abnormal = 0;
    begin("cases", "    duplicate_days: 0\n    verdict_high: pass\n    abnormal: high\n    case_window: 1h\n");
    struct sluice_reply *reply = send("screen", "attack", 0, 4 * ROWS);
    const uint8_t *level = sluice_reply_u8(reply, "level");
    for (uint32_t i = 0; i < 4 * ROWS; i++)
        abnormal += level[i] >= 3;
    assert_true(abnormal > 0);
    sluice_reply_free(&reply);
    reply = send("screen", "attack", 0, 4 * ROWS); /* a repeat opens nothing */
    sluice_reply_free(&reply);
    uint32_t cases = cases_told(abnormal);
    assert_in_range(cases, 1, abnormal);
    server_kill(&server);
    server_start(&server);
    assert_int_equal(cases_told(abnormal), cases);
    server_stop(&server);
    expect_verified();
}

static void no_window_no_cases(void **state)
{
    (void)state;
    begin("caseless", "    duplicate_days: 0\n    abnormal: low\n    case_window: 0s\n");
    struct sluice_reply *reply = send("screen", "attack", 0, 4 * ROWS);
    sluice_reply_free(&reply);
    assert_int_equal(cases_told(0), 0);
    server_stop(&server);
}

/* What the monitor lets pass is what would be held: the same rows, under enforce. */
static void monitored_rows_pass(void **state)
{
    (void)state;
    static uint8_t would[4 * ROWS];
    begin("monitor", "    duplicate_days: 0\n    mode: monitor\n");
    struct sluice_reply *reply = send("screen", "watched", 0, 4 * ROWS);
    assert_int_equal(names_count(reply, "verdict", "pass"), 4 * ROWS);
    memcpy(would, sluice_reply_u8(reply, "would"), sizeof would);
    sluice_reply_free(&reply);
    server_kill(&server);
    server_start(&server);
    reply = send("screen", "watched", 0, 4 * ROWS); /* from the ledger */
    assert_int_equal(names_count(reply, "verdict", "pass"), 4 * ROWS);
    assert_memory_equal(sluice_reply_u8(reply, "would"), would, sizeof would);
    sluice_reply_free(&reply);
    server_stop(&server);
    expect_verified();
    begin("enforce", "    duplicate_days: 0\n    mode: enforce\n");
    reply = send("screen", "watched", 0, 4 * ROWS);
    assert_null(sluice_reply_u8(reply, "would"));
    assert_memory_equal(sluice_reply_u8(reply, "verdict"), would, sizeof would);
    assert_true(names_count(reply, "verdict", "hold") > 0);
    sluice_reply_free(&reply);
    server_stop(&server);
}

static void a_brake_lets_rows_pass(void **state)
{
    (void)state;
    begin("brake", "    duplicate_days: 0\n    brake_share: 0.0001\n    brake_rows_min: 100\n    brake_fallback: monitor\n");
    struct sluice_reply *reply = send("screen", "first", 0, 4 * ROWS);
    uint32_t held = names_count(reply, "verdict", "hold") + names_count(reply, "verdict", "reject");
    assert_true(held > 0 && !sluice_reply_u8(reply, "would"));
    sluice_reply_free(&reply);
    reply = send("screen", "second", 0, 4 * ROWS);
    assert_int_equal(names_count(reply, "verdict", "pass"), 4 * ROWS);
    assert_non_null(sluice_reply_u8(reply, "would"));
    sluice_reply_free(&reply);
    assert_int_equal(server_log_count(&server, "tenant controlled: more than 0.0001"), 1);
    server_kill(&server);
    server_start(&server);
    server_stop(&server);
    expect_verified();
}

static void a_brake_refuses_for_a_while(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    begin("refuse", "    duplicate_days: 0\n    brake_share: 0.0001\n    brake_rows_min: 100\n    brake_window: 3s\n"
                    "    brake_fallback: refuse\n");
    struct sluice_reply *reply = send("screen", "first", 0, 4 * ROWS);
    sluice_reply_free(&reply);
    for (int round = 0; round < 2; round++) {
        message_begin_as(&message, "controlled", TOKEN, "screen", "second", 1);
        message_transfers(&message, fresh, 0, ROWS, left_out_labels);
        assert_string_equal(message_ask(server.data_url, &message), round == 0 ? "unavailable" : "ok");
        if (round == 0) {
            assert_int_equal(FLOW_RUN(output, "health", "--json", "--connect", server.data_url), 0);
            assert_non_null(strstr(output, "\"brakes\":1"));
            sleep_ms(3800);
            assert_int_equal(FLOW_RUN(output, "health", "--json", "--connect", server.data_url), 0);
            assert_non_null(strstr(output, "\"brakes\":0")); /* although nothing came meanwhile */
        }
    }
    assert_int_equal(server_log_count(&server, "is below 0.0001 again"), 1);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_sent_twice_is_held),
        cmocka_unit_test(days_of_zero_are_none),
        cmocka_unit_test(lists_act_across_a_kill),
        cmocka_unit_test(an_allowed_party_passes),
        cmocka_unit_test(rules_of_the_tenant_are_told),
        cmocka_unit_test(rules_are_tried_on_what_was_recorded),
        cmocka_unit_test(classes_say_the_verdict),
        cmocka_unit_test(abnormal_rows_open_cases),
        cmocka_unit_test(no_window_no_cases),
        cmocka_unit_test(monitored_rows_pass),
        cmocka_unit_test(a_brake_lets_rows_pass),
        cmocka_unit_test(a_brake_refuses_for_a_while),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}
