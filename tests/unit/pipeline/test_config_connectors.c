/* The keys of connectors and alarms: what is wrong is told with its line, what is right is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/memory.h"
#include "pipeline/config.h"
#include "pipeline/outbox.h"

#define HASH  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define LEAST "ledger: data\nlisten:\n  data: [tcp://127.0.0.1:9170]\ntenants:\n  - name: a\n    token_hash: " HASH "\n" /* 6 lines */

static void wrong_connectors_are_told_with_key_and_line(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {LEAST "connectors:\n  - name: m\n    url: smtp://h\n", "x.yaml:8: connectors[0]", "'kind' is needed"},
        {LEAST "connectors:\n  - {name: m, kind: fax, url: 'smtp://h'}\n", "x.yaml:8: connectors[0].kind", "expected mail, sms"},
        {LEAST "connectors:\n  - {name: m, kind: mail, url: 'https://h', from: a@b}\n", "x.yaml:8: connectors[0]", "smtp://HOST:PORT"},
        {LEAST "connectors:\n  - {name: m, kind: sms, url: 'http://h'}\n", "x.yaml:8: connectors[0]", "needs connect.plain"},
        {LEAST "connectors:\n  - {name: m, kind: mail, url: 'smtp://h', from: ab}\n", "x.yaml:8: connectors[0]", "sender's address"},
        {LEAST "connectors:\n  - {name: m, kind: mail, url: 'smtp://h', from: a@b, tls: false}\n", "x.yaml:8: connectors[0]",
         "connect.plain"},
        {LEAST "connectors:\n  - {name: m, kind: mail, url: 'smtp://h', from: a@b, user: u}\n", "x.yaml:8: connectors[0]",
         "user and password"},
        {LEAST "connectors:\n  - {name: m, kind: oa, url: 'https://h', user: u, password: 'env:X'}\n", "x.yaml:8: connectors[0]",
         "of mail and sms"},
        {LEAST "connectors:\n  - {name: m, kind: mail, url: 'smtp://h', from: a@b, to: [a@b, 'c@d>']}\n", "x.yaml:8: connectors[0].to[1]",
         "NAME@HOST"},
        {LEAST "connectors:\n  - {name: m, kind: sms, url: 'https://h', to: ['12x']}\n", "x.yaml:8: connectors[0].to[0]", "a number of"},
        {LEAST "connectors:\n  - name: m\n    kind: mail\n    url: smtp://h\n    from: a@b\n    templates:\n      - on: alarm\n        "
               "subject: 'x {A}'\n"
               "        body: x\n",
         "x.yaml:14: connectors[0].templates[0].subject", "{field}"},
        {LEAST "connectors:\n  - {name: m, kind: mail, url: 'smtp://h', from: a@b, templates: [{on: alarm, subject: x}]}\n",
         "x.yaml:8: connectors[0].templates[0].body", "is needed"},
        {LEAST "connectors:\n  - {name: m, kind: oa, url: 'https://h'}\n  - {name: m, kind: oa, url: 'https://h'}\n",
         "x.yaml:9: connectors[1]", "twice"},
        {LEAST "alarms:\n  connectors: [m]\n", "x.yaml:8: alarms.connectors[0]", "not among connectors"},
        {LEAST "connectors:\n  - {name: m, kind: mail, url: 'smtp://h', from: a@b}\nalarms:\n  connectors: [m]\n",
         "x.yaml:10: alarms.connectors[0]", "nobody would be told"},
        {LEAST "associated:\n  - {name: bank}\n", "x.yaml:8: associated[0]", "'url' is needed"},
        {LEAST "associated:\n  - {name: bank, url: 'http://h'}\n", "x.yaml:8: associated[0]", "with connect.plain"},
        {LEAST "associated:\n  - {name: bank, url: 'https://h'}\n  - {name: bank, url: 'https://h'}\n", "x.yaml:9: associated[1]", "twice"},
        {LEAST "associated:\n  - {name: bank, url: 'https://h', calls: 33}\n", "x.yaml:8: associated[0].calls", "expected 1 to 32"},
        {LEAST "sign_on:\n  audience: x\n", "x.yaml:7: sign_on", "expected issuer"},
        {LEAST "sign_on:\n  issuer: x\n", "x.yaml:7: sign_on", "expected audience"},
        {LEAST "sign_on:\n  issuer: x\n  audience: x\n  keys: http://h\n", "x.yaml:10: sign_on.keys", "needs connect.plain"},
        {LEAST "sign_on:\n  issuer: x\n  audience: x\n  keys: https://h\n  tenant: b\n", "x.yaml:11: sign_on.tenant", "not among tenants"},
        {LEAST "sign_on:\n  roles:\n    - {name: r, rights: [fly]}\n", "x.yaml:9: sign_on.roles[0].rights[0]", "is 'fly'"},
        {LEAST "sign_on:\n  roles:\n    - {name: r}\n", "x.yaml:9: sign_on.roles[0]", "expected rights"},
        {LEAST "sign_on:\n  roles:\n    - {name: r, rights: [query]}\n    - {name: r, rights: [query]}\n", "x.yaml:10: sign_on.roles[1]",
         "given twice"},
        {LEAST "    webhook: m\n", "x.yaml:7: tenants[0].webhook", "no connector of kind webhook"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config *config = NULL;
        struct fault_note note = {0};
        assert_int_equal(config_open_text(&config, "x.yaml", cases[i][0], strlen(cases[i][0]), &note), FAULT_schema);
        if (strncmp(note.text, cases[i][1], strlen(cases[i][1])) != 0 || !strstr(note.text, cases[i][2]))
            fail_msg("expected '%s … %s', is '%s'", cases[i][1], cases[i][2], note.text);
    }
}

static const char whole[] = LEAST
    "    webhook: hook\n"
    "connect: {hosts: [h], plain: true}\n"
    "connectors:\n"
    "  - name: mail\n    kind: mail\n    url: smtp://h:587\n    from: sluice@bank.example\n    to: [ops@bank.example, chief@bank.example]\n"
    "    user: sluice\n    password: env:MAIL_PASSWORD\n    digest: 5m\n    templates:\n"
    "      - on: alarm\n        subject: 'Sluice: {title}'\n        body: |\n          {text}\n          since {since}\n"
    "  - {name: sms, kind: sms, url: 'http://h:13013/cgi-bin/sendsms', from: Sluice, to: ['+4917012345']}\n"
    "  - {name: hook, kind: webhook, url: 'https://h/hook', key: 'env:HOOK_KEY', give_up: 1h}\n"
    "  - {name: rights, kind: permission, url: 'https://h/rights'}\n"
    "alarms: {connectors: [mail, sms], settle: 1m}\n";

static struct config *whole_open(void)
{
    struct config *config = NULL;
    struct fault_note note = {0};
    if (config_open_text(&config, "x.yaml", whole, strlen(whole), &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    return config;
}

static void right_ones_are_taken(void **state)
{
    (void)state;
    struct config *config = whole_open();
    const struct config_connector *mail = config_connector_find(config, text_of("mail"));
    assert_int_equal(config->connector_count, 4);
    assert_true(mail->kind == CONNECTOR_MAIL && mail->tls && mail->to_count == 2 && mail->digest_us == 300000000);
    assert_string_equal(mail->templates[0].body, "{text}\nsince {since}\n");
    assert_int_equal(config_connector_find(config, text_of("hook"))->give_up_us, 3600000000);
    assert_int_equal(config_connector_find(config, text_of("sms"))->text_max, 320);
    assert_true(config->alarm_connector_count == 2 && config->alarms.settle_us == 60000000);
    assert_string_equal(config->tenants[0].webhook, "hook");
    assert_string_equal(outbox_connector(config, CONNECTOR_PERMISSION), "rights");
    assert_null(outbox_connector(config, CONNECTOR_OA));
    config_close(&config);
}

static void a_message_goes_to_those_configured_or_named(void **state)
{
    (void)state;
    struct outbox outbox = {0};
    struct fault_note note = {0};
    struct config *config = whole_open();
    assert_int_equal(outbox_add(&outbox, config, "mail", "alarm", "case-1", NULL, "{}", &note), FAULT_NONE);
    assert_int_equal(outbox_add(&outbox, config, "sms", "alarm", "case-1", "110", "{}", &note), FAULT_NONE);
    assert_int_equal(outbox_add(&outbox, config, "rights", "restrict", "case-1/1", NULL, "{\"a\":1}", &note), FAULT_NONE);
    assert_int_equal(outbox.count, 4);
    assert_true(text_equal(outbox.messages[1].recipient, text_of("chief@bank.example")));
    assert_true(text_equal(outbox.messages[2].recipient, text_of("110")));
    assert_true(text_equal(outbox.messages[3].recipient, text_of("case-1/1")));
    assert_true(text_equal(outbox.messages[3].payload, text_of("{\"a\":1}")));
    assert_int_equal(outbox_add(&outbox, config, "fax", "alarm", "x", NULL, "{}", &note), FAULT_not_found);
    assert_int_equal(outbox_add(&outbox, config, "mail", "alarm", "x", "a@b\r\nBcc: c@d", "{}", &note), FAULT_schema);
    assert_int_equal(outbox_add(&outbox, config, "sms", "alarm", "x", "not a number", "{}", &note), FAULT_schema);
    assert_int_equal(outbox_add(&outbox, config, "mail", "", "x", NULL, "{}", &note), FAULT_limit);
    assert_int_equal(outbox.count, 4);
    outbox_fini(&outbox);
    config_close(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_connectors_are_told_with_key_and_line),
        cmocka_unit_test(right_ones_are_taken),
        cmocka_unit_test(a_message_goes_to_those_configured_or_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
