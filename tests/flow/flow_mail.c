/* Alarms reach a real mail gateway over STARTTLS and AUTH: once each, a flood of them in a few mails, also when the gateway is down for a
 * while or the server is killed; what it refuses is a dead letter that can be seen and sent again; no TLS that is not trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "flow/base_files.h"
#include "flow/outside.h"

#define TOKEN    "payroll-token-1d2e"
#define PASSWORD "gateway-pass"
enum { HOOKS = 6, ROWS = 20, LIMIT_MS = 20000 };

static struct table *fresh;
static struct server server;
static char database[256], certificate[256], key[256], other[256], tenants[2048], top[8192];
static int mail_port, hook_port;
static pid_t mailbox;

static void mailbox_start(void)
{
    char port[16];
    snprintf(port, sizeof port, "%d", mail_port);
    mailbox = OUTSIDE_START(OUTSIDE_PYTHON, "tests/flow/mailbox.py", port, database, "sluice", PASSWORD, certificate, key);
    assert_true(outside_listens(mail_port, 10000));
}

static void certificate_make(const char *path, const char *key_path)
{
    char command[1024];
    snprintf(
        command, sizeof command,
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout %s -out %s "
        "2>/dev/null",
        key_path, path);
    MUST(system(command) == 0);
}

/* Tenants h0, h1, … whose webhooks nobody answers: each is a trouble of its own. */
static void begin(const char *name, const char *ca_file, const char *to, const char *more, int hooks)
{
    char *end = top;
    size_t used = 0;
    tenants[0] = 0;
    end += sprintf(end,
                   "connections_max: 64\nconnect:\n  hosts: [localhost, \"127.0.0.1\"]\n  plain: true\n  ca_file: %s\n  timeout: 2s\n"
                   "  retry_first: 20ms\n  retry_most: 100ms\n  breaker_failures: 2\n  breaker_open: 100ms\n"
                   "alarms:\n  connectors: [mail]\n  settle: 1s\nconnectors:\n"
                   "  - name: mail\n    kind: mail\n    url: smtp://localhost:%d\n    from: sluice@bank.example\n    user: sluice\n"
                   "    password: env:SLUICE_TEST_MAIL_PASSWORD\n    to: [%s]\n%s",
                   ca_file, mail_port, to, more);
    for (int i = 0; i < hooks; i++) {
        char tenant[16];
        end += sprintf(end, "  - {name: hook%d, kind: webhook, url: 'http://127.0.0.1:%d/hook%d'}\n", i, hook_port, i);
        snprintf(tenant, sizeof tenant, "h%d", i);
        tenant_lines(tenants + used, sizeof tenants - used, tenant, TOKEN, "[submit]");
        used = strlen(tenants);
        used += (size_t)sprintf(tenants + used, "    release: at_once\n    webhook: hook%d\n", i);
    }
    server_begin(&server, &(struct server_options){.name = name, .base = "", .top = top, .tenants = tenants, .http = true});
}

static void screen(int hook, const char *id)
{
    char tenant[16];
    snprintf(tenant, sizeof tenant, "h%d", hook);
    struct sluice_client *client = client_open_as(server.data_url, tenant, TOKEN, 30000);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, id, 0, ROWS);
    sluice_reply_free(&reply);
    sluice_close(&client);
}

static int setup(void **state)
{
    (void)state;
    char other_key[256];
    if (system(OUTSIDE_PYTHON " -c 'import aiosmtpd' 2>/dev/null") != 0)
        flow_skip("no aiosmtpd (script/bootstrap installs python3-aiosmtpd)");
    fresh = table_read(flow_fresh());
    mail_port = free_port();
    hook_port = free_port();
    flow_path(database, sizeof database, "mail.db");
    flow_path(certificate, sizeof certificate, "mail.pem");
    flow_path(key, sizeof key, "mail.key");
    flow_path(other, sizeof other, "other.pem");
    flow_path(other_key, sizeof other_key, "other.key");
    certificate_make(certificate, key);
    certificate_make(other, other_key);
    setenv("SLUICE_TEST_MAIL_PASSWORD", PASSWORD, 1);
    mailbox_start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    outside_kill(&mailbox);
    return 0;
}

static const char *client_run(const char *verb, const char *more, const char *value)
{
    static char output[65536];
    setenv("SLUICE_TOKEN", FLOW_TOKEN, 1);
    int status = value ? FLOW_RUN(output, "connect", verb, more, value, "--connect", server.data_url, "--tenant", "flow")
                       : FLOW_RUN(output, "connect", verb, "--connect", server.data_url, "--tenant", "flow");
    unsetenv("SLUICE_TOKEN");
    if (status != 0)
        fail_msg("%s", output);
    return output;
}

static unsigned long long mails(const char *where, unsigned long long wanted)
{
    char query[512];
    snprintf(query, sizeof query, "SELECT count(*) FROM mail WHERE %s", where);
    return outside_await(database, query, wanted, wanted ? LIMIT_MS : 0);
}

static void test_a_trouble_is_told_once_and_when_it_is_over(void **state)
{
    (void)state;
    char receiver_port[16], hooks[256];
    begin("one", certificate, "ops@bank.example", "    digest: 0s\n", 1);
    screen(0, "b-1");
    assert_int_equal(mails("subject LIKE 'ALARM: %connector hook0 does not answer%'", 1), 1);
    server_kill(&server); /* it is still there behind the next start, and was told */
    server_start(&server);
    sleep_ms(2500);
    assert_int_equal(mails("1", 0), 1);
    snprintf(receiver_port, sizeof receiver_port, "%d", hook_port);
    flow_path(hooks, sizeof hooks, "hooks.db");
    pid_t receiver = OUTSIDE_START(OUTSIDE_PYTHON, "tests/flow/receiver.py", receiver_port, hooks, "", "0", "1");
    assert_int_equal(mails("subject LIKE 'OVER: %connector hook0%'", 1), 1);
    assert_int_equal(mails("1", 0), 2);
    assert_int_equal(mails("tls = 1 AND user = 'sluice' AND recipient = 'ops@bank.example' AND sender = 'sluice@bank.example'", 2), 2);
    assert_non_null(strstr(outside_cell(database, "SELECT body FROM mail LIMIT 1"), "This is wrong:"));
    outside_kill(&receiver);
    assert_int_equal(server_log_count(&server, PASSWORD), 0);
    server_stop(&server);
}

/* Every one of them is told, in two mails: the first at once, the others as one. */
static void test_a_flood_is_a_few_mails(void **state)
{
    (void)state;
    begin("flood", certificate, "flood@bank.example",
          "    digest: 3s\n    templates:\n      - {on: digest, subject: '{count} alarms', body: '{lines}'}\n", HOOKS);
    for (int i = 0; i < HOOKS; i++)
        screen(i, "b-1");
    outside_await(database,
                  "SELECT coalesce(sum(CASE WHEN subject LIKE '%alarms' THEN CAST(subject AS INTEGER) ELSE 1 END), 0) FROM mail WHERE "
                  "recipient = 'flood@bank.example'",
                  HOOKS, LIMIT_MS);
    sleep_ms(500);
    assert_in_range(mails("recipient = 'flood@bank.example'", 0), 1, 3);
    for (int i = 0; i < HOOKS; i++) {
        char name[32], query[256];
        snprintf(name, sizeof name, "connector hook%d ", i);
        snprintf(query, sizeof query,
                 "SELECT count(*) FROM mail WHERE recipient = 'flood@bank.example' AND (subject || body) LIKE '%%%s%%'", name);
        if (outside_count(database, query) != 1)
            fail_msg("%s was told %llu times", name, outside_count(database, query));
    }
    server_stop(&server);
}

static void test_a_gateway_that_is_down_loses_nothing(void **state)
{
    (void)state;
    char down[300];
    snprintf(down, sizeof down, "%s.down", database);
    flow_write(down, "", 0);
    begin("down", certificate, "later@bank.example", "    digest: 0s\n", 2);
    screen(0, "b-1");
    screen(1, "b-1");
    sleep_ms(1000);
    outside_kill(&mailbox);
    server_kill(&server);
    server_start(&server);
    sleep_ms(1000);
    assert_int_equal(mails("recipient = 'later@bank.example'", 0), 0);
    assert_non_null(strstr(client_run("health", NULL, NULL), "mail "));
    unlink(down);
    mailbox_start();
    assert_int_equal(mails("recipient = 'later@bank.example' AND subject LIKE 'ALARM: %hook%'", 2), 2);
    assert_int_equal(
        outside_count(database,
                      "SELECT count(DISTINCT id) FROM mail WHERE recipient = 'later@bank.example' AND subject LIKE 'ALARM: %hook%'"),
        2);
    server_stop(&server);
}

static void test_dead_letters_are_seen_and_sent_again(void **state)
{
    (void)state;
    begin("dead", certificate, "refused@bank.example, good@bank.example", "    digest: 0s\n", 1);
    screen(0, "b-1");
    assert_int_equal(mails("recipient = 'good@bank.example'", 1), 1);
    const char *dead = "";
    for (int i = 0; i < 50 && !strstr(dead, "refused@bank.example"); i++) {
        sleep_ms(100);
        dead = client_run("dead", "--format", "jsonl");
    }
    assert_non_null(strstr(dead, "refused@bank.example"));
    assert_non_null(strstr(dead, "reply 550"));
    assert_null(strstr(dead, "good@bank.example"));
    assert_non_null(strstr(client_run("resend", "--connector", "mail"), "1 wait again"));
    sleep_ms(1000);
    assert_int_equal(server_log_count(&server, "dead letter:"), 2); /* refused again */
    assert_int_equal(mails("recipient = 'good@bank.example'", 0), 1);
    static char body[1 << 20];
    assert_int_equal(http_get(server.http_port, "/metrics", body, sizeof body), 200);
    assert_non_null(strstr(body, "sluice_connector_dead{connector=\"mail\"} 1\n"));
    assert_non_null(strstr(body, "sluice_connector_waiting{connector=\"hook0\"} 1\n"));
    server_stop(&server);
}

static void test_what_waits_too_long_is_dead_until_it_is_sent_again(void **state)
{
    (void)state;
    char down[300];
    snprintf(down, sizeof down, "%s.down", database);
    flow_write(down, "", 0);
    begin("late", certificate, "late@bank.example", "    digest: 0s\n    give_up: 1s\n", 1);
    screen(0, "b-1");
    const char *dead = "";
    for (int i = 0; i < 80 && !strstr(dead, "connector.hook0"); i++) {
        sleep_ms(100);
        dead = client_run("dead", "--format", "jsonl");
    }
    assert_non_null(strstr(dead, "connector.hook0"));
    assert_non_null(strstr(dead, "(reply 451)"));
    unlink(down);
    sleep_ms(500);
    assert_int_equal(mails("recipient = 'late@bank.example' AND subject LIKE '%hook0%'", 0), 0);
    client_run("resend", "--connector", "mail");
    assert_int_equal(mails("recipient = 'late@bank.example' AND subject LIKE '%hook0%'", 1), 1);
    sleep_ms(500);
    assert_int_equal(mails("recipient = 'late@bank.example' AND subject LIKE '%hook0%'", 0), 1);
    assert_null(strstr(client_run("dead", "--format", "jsonl"), "connector.hook0"));
    server_stop(&server);
}

static void test_a_certificate_that_is_not_trusted_gets_nothing(void **state)
{
    (void)state;
    begin("wrong", other, "secret@bank.example", "    digest: 0s\n", 1);
    screen(0, "b-1");
    for (int i = 0; i < 50 && server_log_count(&server, "mail: alarm") == 0; i++)
        sleep_ms(100);
    assert_true(server_log_count(&server, "mail: alarm") > 0);
    assert_int_equal(mails("recipient = 'secret@bank.example'", 0), 0);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_trouble_is_told_once_and_when_it_is_over),
        cmocka_unit_test(test_a_flood_is_a_few_mails),
        cmocka_unit_test(test_a_gateway_that_is_down_loses_nothing),
        cmocka_unit_test(test_dead_letters_are_seen_and_sent_again),
        cmocka_unit_test(test_what_waits_too_long_is_dead_until_it_is_sent_again),
        cmocka_unit_test(test_a_certificate_that_is_not_trusted_gets_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
