/* An alarm reaches a telephone through a real Kannel: once, whole, in the letters that it was written in, also when the gateway is down at
 * first. */
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

static struct table *fresh;
static struct server server;
static char folder[256];
static int ports[4]; /* admin, box, SMSC, sendsms */
static pid_t kannel;

static void kannel_start(void)
{
    char texts[4][16], ready[300];
    for (int i = 0; i < 4; i++)
        snprintf(texts[i], sizeof texts[i], "%d", ports[i]);
    kannel = OUTSIDE_START("bash", "tests/flow/kannel.sh", folder, texts[0], texts[1], texts[2], texts[3], "sluice", PASSWORD);
    snprintf(ready, sizeof ready, "%s/ready", folder);
    for (int i = 0; i < 200 && access(ready, F_OK) != 0; i++)
        sleep_ms(100);
    assert_int_equal(access(ready, F_OK), 0);
}

static int setup(void **state)
{
    (void)state;
    if (access("/usr/sbin/bearerbox", X_OK) != 0 || access("/usr/lib/kannel/test/fakesmsc", X_OK) != 0)
        flow_skip("no Kannel (script/bootstrap installs kannel and kannel-extras)");
    fresh = table_read(flow_fresh());
    flow_path(folder, sizeof folder, "kannel");
    for (int i = 0; i < 4; i++)
        ports[i] = free_port();
    setenv("SLUICE_TEST_SMS_PASSWORD", PASSWORD, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (kannel > 0) {
        kill(kannel, SIGTERM);
        waitpid(kannel, NULL, 0);
    }
    return 0;
}

static void begin(const char *name, const char *password)
{
    static char top[4096], tenants[1024];
    snprintf(top, sizeof top,
             "connect:\n  hosts: [\"127.0.0.1\"]\n  plain: true\n  timeout: 2s\n  retry_first: 50ms\n  retry_most: 200ms\n"
             "  breaker_failures: 2\n  breaker_open: 200ms\nalarms:\n  connectors: [sms]\n  settle: 1s\nconnectors:\n"
             "  - name: sms\n    kind: sms\n    url: http://127.0.0.1:%d/cgi-bin/sendsms\n    user: sluice\n    password: %s\n"
             "    from: Sluice\n    to: [\"+4917012345\"]\n    digest: 0s\n    templates:\n"
             "      - {on: alarm, body: '\xe8\xad\xa6\xe6\x8a\xa5 {name} 50%% a+b'}\n"
             "  - {name: hook, kind: webhook, url: 'http://127.0.0.1:1/hook'}\n",
             ports[3], password);
    tenant_lines(tenants, sizeof tenants, "payroll", TOKEN, "[submit]");
    strcat(tenants, "    release: at_once\n    webhook: hook\n");
    server_begin(&server, &(struct server_options){.name = name, .base = "", .top = top, .tenants = tenants});
    struct sluice_client *client = client_open_as(server.data_url, "payroll", TOKEN, 30000);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, "b-1", 0, 20);
    sluice_reply_free(&reply);
    sluice_close(&client);
}

/* Messages that the SMSC got, and whether one of them holds the text. */
static unsigned arrived(const char *text, bool *found)
{
    char path[300];
    size_t bytes;
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/smsc.log", folder);
    *found = false;
    if (access(path, R_OK) != 0)
        return 0;
    char *log = flow_read(path, &bytes);
    for (const char *at = log; (at = strstr(at, "Got message ")); at++)
        count++;
    *found = strstr(log, text) != NULL;
    free(log);
    return count;
}

static void test_an_alarm_arrives_when_the_gateway_comes_back(void **state)
{
    (void)state;
    bool found = false;
    begin("one", "env:SLUICE_TEST_SMS_PASSWORD"); /* and no gateway is there */
    sleep_ms(1500);
    kannel_start();
    for (int i = 0; i < 150 && arrived("", &found) < 1; i++)
        sleep_ms(100);
    sleep_ms(1500);
    /* in UCS-2, as the fake SMSC shows it: the two characters, a blank, "connector.hook 50% a+b"; the gateway's own trouble may be told too
     */
    unsigned count = arrived("<Sluice +4917012345 ucs-2 "
                             "%8Bfb%A5%00+%00c%00o%00n%00n%00e%00c%00t%00o%00r%00.%00h%00o%00o%00k%00+%005%000%00%25%00+%00a%00%2B%00b>",
                             &found);
    if (!found) {
        char path[300];
        size_t bytes;
        snprintf(path, sizeof path, "%s/smsc.log", folder);
        fail_msg("%s", flow_read(path, &bytes));
    }
    assert_in_range(count, 1, 3);
    assert_int_equal(server_log_count(&server, PASSWORD), 0);
    assert_int_equal(server_log_count(&server, "dead letter"), 0);
    server_stop(&server);
}

static void test_a_wrong_password_waits_for_the_operator(void **state)
{
    (void)state;
    bool found;
    unsigned before = arrived("", &found);
    setenv("SLUICE_TEST_WRONG_PASSWORD", "not-the-password", 1);
    begin("wrong", "env:SLUICE_TEST_WRONG_PASSWORD");
    for (int i = 0; i < 100 && server_log_count(&server, "HTTP status 403") == 0; i++)
        sleep_ms(100);
    assert_true(server_log_count(&server, "HTTP status 403") > 0);
    assert_int_equal(server_log_count(&server, "dead letter"), 0);
    assert_int_equal(arrived("", &found), before);
    assert_int_equal(server_log_count(&server, "not-the-password"), 0);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_alarm_arrives_when_the_gateway_comes_back),
        cmocka_unit_test(test_a_wrong_password_waits_for_the_operator),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
