#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/secret.h"
#include "kernels.h"
#include "pipeline/config.h"
#include "pipeline/config_value.h"

#define HASH       "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OTHER_HASH "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"
#define ONE_TENANT "tenants:\n  - name: a\n    token_hash: " HASH "\n"
#define LEAST      "ledger: data\nlisten:\n  data: [tcp://127.0.0.1:9170]\n" ONE_TENANT /* 6 lines */

static struct config *open_good(const char *text)
{
    struct config *config = NULL;
    struct fault_note note = {0};
    if (config_open_text(&config, "/etc/sluice/sluice.yaml", text, strlen(text), &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    return config;
}

static void expect_wrong(const char *text, const char *place, const char *words)
{
    struct config *config = (void *)1;
    struct fault_note note = {0};
    enum fault fault = config_open_text(&config, "x.yaml", text, strlen(text), &note);
    assert_null(config);
    if ((fault != FAULT_schema && fault != FAULT_syntax && fault != FAULT_limit) || note.fault != fault)
        fail_msg("fault %s for: %s", fault_name(fault), text);
    if (strncmp(note.text, place, strlen(place)) != 0 || !strstr(note.text, words))
        fail_msg("expected '%s … %s', is '%s' for:\n%s", place, words, note.text, text);
}

static void least_file_gives_defaults(void **state)
{
    (void)state;
    struct config *config = open_good(LEAST);
    struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    limits.message_bytes_max = 8 << 20;
    limits.rows_max = 100000;
    struct level_rules levels = LEVEL_RULES_DEFAULT;
    assert_string_equal(config->ledger_folder, "/etc/sluice/data");
    assert_string_equal(config->base_path, "");
    assert_string_equal(config->device, "cpu");
    assert_int_equal(config->cpu_mask, CPU_MASK_ALL);
    assert_int_equal(config->data_listen_count, 1);
    assert_string_equal(config->data_listen[0], "tcp://127.0.0.1:9170");
    assert_int_equal(config->admin_listen_count, 0);
    assert_string_equal(config->http_listen, "");
    assert_int_equal(config->in_flight_max, 16);
    assert_int_equal(config->connections_max, 16);
    assert_int_equal(config->queue_wait_ms_max, 2000);
    assert_int_equal(config->snapshot_interval_s, 600);
    assert_memory_equal(&config->limits, &limits, sizeof limits);
    assert_memory_equal(&config->levels, &levels, sizeof levels);
    assert_string_equal(config->reference_currency, "EUR");
    assert_int_equal(config->tenant_count, 1);
    const struct config_tenant *tenant = &config->tenants[0];
    assert_string_equal(tenant->name, "a");
    assert_string_equal(tenant->namespace_name, "a");
    assert_int_equal(tenant->credentials[0].rights, RIGHT_SUBMIT | RIGHT_LABEL | RIGHT_QUERY);
    assert_int_equal(tenant->feedback_delay_us, 7 * 86400000000LL);
    assert_int_equal(tenant->weight, 1);
    assert_int_equal(tenant->anomaly_cap, LEVEL_HIGH);
    assert_int_equal(tenant->release, RELEASE_SETTLED);
    assert_int_equal(tenant->corrections_us, 86400000000LL);
    assert_int_equal(tenant->credential_count, 1);
    assert_true(config->strategy.row_count > 0);
    struct digest digest = hash128(0, LEAST, strlen(LEAST));
    assert_true(digest_equal(digest, config->digest));
    assert_string_equal(config->text, LEAST);
    config_close(&config);
    assert_null(config);
}

static const char full[] =
    "# everything\n"
    "ledger: /var/lib/sluice\nbase: bases/a.scene\ndevice: ref\ncpu_mask: [avx2, avx512]\nworkers: 2\npin_workers: true\n"
    "in_flight_max: 8\nconnections_max: 10\nqueue_wait_max: 250ms\nmemory_max: 4GiB\nsnapshot_interval: 1h\ncommit_batches_max: 7\n"
    "listen:\n  data: [ipc://run/d.ipc, 'tls+tcp://0.0.0.0:9171']\n  admin: [ipc:///run/a.ipc]\n  http: 9180\n"
    "  tls_certificate: c.pem\n  tls_key: /k.pem\n"
    "limits: {message_max: 20MiB, rows_max: 10, columns_max: 20, text_max: 100, id_max: 64, dict_values_max: 70000, notes_max: 0}\n"
    "history: {accounts_max: 2000, events_max: 3000, busy_max: 40, links_max: 5000, places_max: 6000, transfers_max: 7000, listed_max: "
    "8000}\n"
    "levels: {low: 0.25, medium: 0.75, critical: 1, anomaly_cap: medium}\n"
    "connect: {hosts: [pay.example, \"127.0.0.1:8443\"], plain: true, ca_file: ca.pem, timeout: 3s, retry_first: 1s,"
    " retry_most: 1m, breaker_failures: 7, breaker_open: 2s}\n"
    "currencies:\n  reference: USD\n  rates:\n    - {currency: EUR, per_reference: 0.9}\n    - {currency: JPY, per_reference: 150}\n"
    "countermeasures:\n  - {name: call, text: Call the payer., text_zh: 致电付款人。, correct: [payee_id, grade], confirm: payer}\n  - "
    "{name: do_not_pay, text: Stop.}\n"
    "strategy:\n  - {risk_type: mule, level: medium, verdict: hold, countermeasure: call, final: true}\n"
    "  - {risk_type: '*', level: critical, verdict: reject}\n"
    "tenants:\n"
    "  - name: b\n    namespace: shared\n    token_hash: " HASH "\n    token_hash_next: " HASH "\n    rights: [score, operate, explain]\n"
    "    feedback_delay: 15d\n    duplicate_days: 30\n"
    "    verdict_low: hold\n    verdict_critical: reject\n    abnormal: medium\n    mode: monitor\n    brake_share: 0.25\n"
    "    brake_window: 1h\n    brake_rows_min: 50\n    brake_fallback: refuse\n    weight: 5\n    anomaly_cap: low\n    release: at_once\n "
    "   corrections: 2h\n"
    "    processor: https://pay.example/in\n    processor_key: \"file:pay.key\"\n    processor_token: env:PAY_TOKEN\n"
    "  - {name: c, token_hash: " HASH "}\n";

static void every_key_is_read(void **state)
{
    (void)state;
    struct config *config = open_good(full);
    assert_string_equal(config->ledger_folder, "/var/lib/sluice");
    assert_string_equal(config->base_path, "/etc/sluice/bases/a.scene");
    assert_string_equal(config->device, "ref");
    assert_int_equal(config->cpu_mask, CPU_AVX2 | CPU_AVX512);
    assert_int_equal(config->workers, 2);
    assert_true(config->pin_workers);
    assert_int_equal(config->in_flight_max, 8);
    assert_int_equal(config->connections_max, 10);
    assert_int_equal(config->queue_wait_ms_max, 250);
    assert_true(config->memory_max == 4ull << 30);
    assert_int_equal(config->snapshot_interval_s, 3600);
    assert_int_equal(config->commit_batches_max, 7);
    assert_string_equal(config->data_listen[0], "ipc:///etc/sluice/run/d.ipc");
    assert_string_equal(config->data_listen[1], "tls+tcp://0.0.0.0:9171");
    assert_string_equal(config->admin_listen[0], "ipc:///run/a.ipc");
    assert_string_equal(config->http_listen, "127.0.0.1:9180");
    assert_string_equal(config->tls_certificate, "/etc/sluice/c.pem");
    assert_string_equal(config->tls_key, "/k.pem");
    struct batch_limits limits = {20u << 20, 10, 20, 100, 64, 70000, 0};
    assert_memory_equal(&config->limits, &limits, sizeof limits);
    struct history_limits history = {2000, 3000, 40, 5000, 6000, 8000, 7000};
    assert_memory_equal(&config->history, &history, sizeof history);
    struct level_rules levels = {.low = 0.25f, .medium = 0.75f, .critical = 1.0f, .anomaly_cap = LEVEL_MEDIUM};
    assert_memory_equal(&config->levels, &levels, sizeof levels);
    assert_int_equal(config->connect_host_count, 2);
    assert_string_equal(config->connect_hosts[1], "127.0.0.1:8443");
    assert_true(config->connect.plain);
    assert_int_equal(config->connect.timeout_ms, 3000);
    assert_int_equal(config->connect.retry_first_ms, 1000);
    assert_int_equal(config->connect.retry_most_ms, 60000);
    assert_int_equal(config->connect.breaker_failures, 7);
    assert_int_equal(config->connect.breaker_open_ms, 2000);
    assert_int_equal(config->tenants[0].duplicate_days, 30);
    assert_int_equal(config->tenants[1].duplicate_days, 7);
    const struct config_tenant *b = &config->tenants[0], *c = &config->tenants[1];
    const uint8_t classes[LEVEL_COUNT] = {0, VERDICT_HOLD + 1, 0, 0, VERDICT_REJECT + 1}, none[LEVEL_COUNT] = {0};
    assert_memory_equal(b->verdict_of, classes, sizeof classes);
    assert_memory_equal(config_levels(config, 0).verdict_of, classes, sizeof classes);
    assert_int_equal(config_levels(config, 0).anomaly_cap, LEVEL_LOW);
    assert_memory_equal(c->verdict_of, none, sizeof none);
    assert_true(b->abnormal == LEVEL_MEDIUM && b->is_monitored && c->abnormal == LEVEL_NONE && !c->is_monitored);
    assert_true(b->brake.share > 0.24f && b->brake.window_s == 3600 && b->brake.rows_min == 50 && b->brake.fallback == BRAKE_REFUSE);
    assert_true(c->brake.share == 0.0f && c->brake.window_s == 600 && c->brake.rows_min == 1000 && c->brake.fallback == BRAKE_ALARM);
    assert_string_equal(config->reference_currency, "USD");
    assert_int_equal(config->rate_count, 2);
    assert_string_equal(config->rates[1].currency, "JPY");
    assert_true(config->rates[1].per_reference == 150.0);
    config_close(&config);
}

static void strategy_rows_stand_before_the_built_in(void **state)
{
    (void)state;
    struct strategy built_in;
    strategy_default(&built_in);
    struct config *config = open_good(full);
    const struct strategy *strategy = &config->strategy;
    assert_int_equal(strategy->row_count, built_in.row_count + 2);
    assert_memory_equal(strategy->rows + 2, built_in.rows, built_in.row_count * sizeof built_in.rows[0]);
    assert_string_equal(strategy->risk_types[strategy->rows[0].risk_type], "mule");
    assert_int_equal(strategy->rows[0].level_least, LEVEL_MEDIUM);
    assert_int_equal(strategy->rows[0].verdict, VERDICT_HOLD);
    assert_true(strategy->rows[0].final);
    const struct countermeasure *call = &strategy->countermeasures[strategy->rows[0].countermeasure];
    assert_string_equal(call->text[LANGUAGE_EN], "Call the payer.");
    assert_string_equal(call->text[LANGUAGE_ZH], "致电付款人。");
    assert_string_equal(call->correct, "payee_id,grade");
    assert_string_equal(call->confirm, "payer");
    assert_int_equal(strategy->rows[1].risk_type, STRATEGY_ANY);
    assert_int_equal(strategy->rows[1].countermeasure, 0);
    assert_int_equal(strategy->countermeasure_count, built_in.countermeasure_count + 1);
    assert_string_equal(strategy->countermeasures[1].text[LANGUAGE_EN], "Stop."); /* do_not_pay's own text, replaced */
    config_close(&config);
}

static void tenants_have_their_own(void **state)
{
    (void)state;
    struct config *config = open_good(full);
    const struct config_tenant *b = &config->tenants[0], *c = &config->tenants[1];
    assert_string_equal(b->namespace_name, "shared");
    assert_int_equal(b->credential_count, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(b->credentials[i].rights, RIGHT_SCORE | RIGHT_OPERATE | RIGHT_EXPLAIN);
    assert_int_equal(b->weight, 5);
    assert_int_equal(b->anomaly_cap, LEVEL_LOW);
    assert_int_equal(b->release, RELEASE_AT_ONCE);
    assert_int_equal(b->corrections_us, 7200000000LL);
    assert_string_equal(b->processor, "https://pay.example/in");
    assert_string_equal(b->processor_key, "file:pay.key");
    assert_string_equal(b->processor_token, "env:PAY_TOKEN");
    assert_int_equal(b->feedback_delay_us, 15 * 86400000000LL);
    assert_int_equal(c->anomaly_cap, LEVEL_MEDIUM); /* levels.anomaly_cap */
    unsigned char abc[SECRET_HASH_BYTES];
    secret_hash(abc, "abc", 3);
    assert_memory_equal(c->credentials[0].token_hash, abc, sizeof abc);
    config_close(&config);
}

#define LISTED        "ledger: d\nlisten: {data: ['tcp://a:1']}\ntenants:\n  - name: a\n    credentials:\n"
#define SUBMIT        "      - {name: submit, token_hash: " HASH ", rights: [submit]}\n"
#define ANALYST(hash) "      - {name: analyst, token_hash: " hash ", rights: [query, explain]}\n"

static void credentials_have_rights_of_their_own(void **state)
{
    (void)state;
    struct config *config = open_good(LISTED SUBMIT ANALYST(OTHER_HASH));
    const struct config_tenant *tenant = &config->tenants[0];
    assert_int_equal(tenant->credential_count, 2);
    assert_string_equal(tenant->credentials[0].name, "submit");
    assert_int_equal(tenant->credentials[0].rights, RIGHT_SUBMIT);
    assert_string_equal(tenant->credentials[1].name, "analyst");
    assert_int_equal(tenant->credentials[1].rights, RIGHT_QUERY | RIGHT_EXPLAIN);
    unsigned char hash[SECRET_HASH_BYTES];
    assert_true(secret_from_hex(hash, sizeof hash, OTHER_HASH));
    assert_memory_equal(tenant->credentials[1].token_hash, hash, sizeof hash);
    config_close(&config);
}

static void wrong_credentials_are_told(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {LISTED SUBMIT ANALYST(HASH), "x.yaml:7: tenants[0].credentials[1].token_hash", "that of another credential"},
        {LISTED SUBMIT SUBMIT, "x.yaml:7: tenants[0].credentials[1]", "'submit' is given twice"},
        {LISTED SUBMIT "      - {name: x, rights: [submit]}\n", "x.yaml:7: tenants[0].credentials[1]", "token_file or token_hash"},
        {LISTED "      - {name: x, token_hash: " HASH "}\n", "x.yaml:6: tenants[0].credentials[0]", "expected rights"},
        {LISTED "      - {token_hash: " HASH ", rights: [submit]}\n", "x.yaml:6: tenants[0].credentials[0]", "1 to 32 bytes, has 0"},
        {LISTED "      - {name: x, token_hash: " HASH ", rights: [submit, all]}\n", "x.yaml:6: tenants[0].credentials[0].rights[1]",
         "is 'all'"},
        {LISTED "      - {name: x, token_hash: opensesame, rights: [submit]}\n", "x.yaml:6: tenants[0].credentials[0].token_hash",
         "64 hex digits"},
        {LISTED SUBMIT "    rights: [query]\n", "x.yaml:4: tenants[0]", "either credentials or token_hash"},
        {LISTED SUBMIT "    token_hash: " HASH "\n", "x.yaml:4: tenants[0]", "either credentials or token_hash"},
        {LISTED "      - {name: x, tokens: 2}\n", "x.yaml:6: ", "in tenants[0].credentials[0]; expected one of: name, token_file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_wrong(cases[i][0], cases[i][1], cases[i][2]);
}

/* What is appended to the least file (6 lines) is wrong in the line named. */
static void wrong_keys_are_told_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *words;
    } cases[] = {
        {LEAST "foo: 1\n", "x.yaml:7: ", "unknown key 'foo'; expected one of: ledger, base"},
        {LEAST "\n# comment\n\nfoo:\n  bar: 1\n", "x.yaml:10: ", "unknown key 'foo'"},
        {LEAST "wrokers: 1\n", "x.yaml:7: ", "unknown key 'wrokers'; expected workers"},
        {"ledgre: data\nlisten:\n  data: [tcp://127.0.0.1:9170]\n" ONE_TENANT, "x.yaml:1: ", "expected ledger"},
        {LEAST "limits:\n  rows_max: 3\n  row_max: 4\n", "x.yaml:9: ", "unknown key 'row_max' in limits; expected rows_max"},
        {LEAST "    wieght: 3\n", "x.yaml:7: ", "unknown key 'wieght' in tenants[0]; expected weight"},
        {LEAST "  - name: b\n    weight: 1\n    tokens: 3\n", "x.yaml:9: ", "in tenants[1]; expected one of: name, namespace"},
        {LEAST "listen:\n  data: []\n", "x.yaml:7: listen", "given twice"},
        {LEAST "workers: 1\nbase: b\nworkers: 2\n", "x.yaml:9: workers", "given twice"},
        {LEAST "workers: [1]\n", "x.yaml:7: workers", "expected one value"},
        {LEAST "limits: 3\n", "x.yaml:7: limits", "expected keys and values"},
        {LEAST "cpu_mask: avx2\n", "x.yaml:7: cpu_mask", "expected a list"},
        {LEAST "cpu_mask:\n  - avx2\n  - [avx512]\n", "x.yaml:9: cpu_mask[1]", "expected one value"},
        {LEAST "cpu_mask: [a, a, a, a, a, a, a, a, a]\n", "x.yaml:7: cpu_mask", "8 max"},
        {LEAST "strategy:\n  mule: hold\n", "x.yaml:7: strategy", "expected a list"},
        {LEAST "strategy:\n  - hold\n", "x.yaml:8: strategy[0]", "expected keys and values"},
        {"- a\n- b\n", "x.yaml:1: ", "expected keys and values"},
        {"", "x.yaml:1: ", "empty"},
        {LEAST "---\nworkers: 2\n", "x.yaml:8: ", "one document"},
        {LEAST "base: &a b\ndevice: *a\n", "x.yaml:8: ", "aliases"},
        {LEAST "base:\nworkers: 2\n", "x.yaml:7: ", "a value is missing"},
        {LEAST "base: ~\n", "x.yaml:7: ", "a value is missing"},
        {LEAST "? [a]\n: b\n", "x.yaml:7: ", "plain name"},
        {LEAST "base: \"a\n\n", "x.yaml:", "unexpected end of stream"},
        {LEAST "\tbase: a\n", "x.yaml:7: ", "tab character"},
        {LEAST "base: \"a\\0b\"\n", "x.yaml:7: ", "zero byte"},
        {LEAST "a: [[[[[[[[[[b]]]]]]]]]]\n", "x.yaml:7: ", "nested too deeply"},
        {LEAST "# \xff\xfe\n", "x.yaml:7: ", "UTF-8"},
        {LEAST "\nbase: \x01\n", "x.yaml:8: ", "control characters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_wrong(cases[i].text, cases[i].place, cases[i].words);
}

static void wrong_values_are_told_with_key_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *words;
    } cases[] = {
        {"listen:\n  data: [tcp://127.0.0.1:1]\n" ONE_TENANT, "x.yaml:1: ledger", "needed"},
        {"ledger: ''\nlisten:\n  data: [tcp://127.0.0.1:1]\n" ONE_TENANT, "x.yaml:1: ledger", "path"},
        {"ledger: d\n" ONE_TENANT, "x.yaml:1: listen.data", "at least one"},
        {"ledger: d\nlisten: {data: []}\n" ONE_TENANT, "x.yaml:2: listen.data", "at least one"},
        {"ledger: d\nlisten:\n  data:\n    - tcp://a:1\n    - udp://a:1\n" ONE_TENANT, "x.yaml:5: listen.data[1]", "is 'udp://a:1'"},
        {"ledger: d\nlisten: {data: ['tcp://a']}\n" ONE_TENANT, "x.yaml:2: listen.data[0]", "ADDRESS:PORT"},
        {"ledger: d\nlisten: {data: ['tcp://:1']}\n" ONE_TENANT, "x.yaml:2: listen.data[0]", "ADDRESS:PORT"},
        {"ledger: d\nlisten: {data: ['tcp://a:0']}\n" ONE_TENANT, "x.yaml:2: listen.data[0]", "ADDRESS:PORT"},
        {"ledger: d\nlisten: {data: ['tcp://a:65536']}\n" ONE_TENANT, "x.yaml:2: listen.data[0]", "ADDRESS:PORT"},
        {"ledger: d\nlisten: {data: ['ipc://']}\n" ONE_TENANT, "x.yaml:2: listen.data[0]", "ipc://PATH"},
        {"ledger: d\nlisten: {data: ['tls+tcp://a:1']}\n" ONE_TENANT, "x.yaml:2: listen.data[0]", "tls_certificate"},
        {"ledger: d\nlisten:\n  data: ['tcp://a:1']\n  http: a:b\n" ONE_TENANT, "x.yaml:4: listen.http", "PORT or off"},
        {"ledger: d\nlisten:\n  data: ['tcp://a:1']\n  http: :80\n" ONE_TENANT, "x.yaml:4: listen.http", "PORT or off"},
        {"ledger: d\nlisten:\n  data: ['tcp://a:1']\n  http_ops: true\n" ONE_TENANT, "x.yaml:4: listen.http_ops", "listen.http is off"},
        {"ledger: d\nlisten:\n  data: ['tcp://a:1']\n  http: 80\n  http_tls: true\n" ONE_TENANT, "x.yaml:5: listen.http_tls",
         "listen.tls_key"},
        {"ledger: d\nlisten: {data: ['tcp://a:1']}\n", "x.yaml:1: tenants", "at least one tenant"},
        {"ledger: d\nlisten: {data: ['tcp://a:1']}\ntenants: [{name: a}]\n", "x.yaml:3: tenants[0]", "token_file or token_hash"},
        {"ledger: d\nlisten: {data: ['tcp://a:1']}\ntenants: [{weight: 1}]\n", "x.yaml:3: tenants[0]", "'name' is needed"},
        {LEAST "    token_file: nowhere\n", "x.yaml:7: tenants[0].token_file", "cannot open nowhere"},
        {LEAST "    token_hash_next: opensesame\n", "x.yaml:7: tenants[0].token_hash_next", "64 hex digits"},
        {LEAST "    rights: [submit, admin]\n", "x.yaml:7: tenants[0].rights[1]", "is 'admin'"},
        {LEAST "    feedback_delay: 16d\n", "x.yaml:7: tenants[0].feedback_delay", "is '16d'"},
        {LEAST "    feedback_delay: 3\n", "x.yaml:7: tenants[0].feedback_delay", "such as 12h or 7d"},
        {LEAST "    release: soon\n", "x.yaml:7: tenants[0].release", "is 'soon'"},
        {LEAST "connect: {retry_first: 10m, retry_most: 1m}\n", "x.yaml:7: connect.retry_first", "expected at most connect.retry_most"},
        {LEAST "connect: {hosts: [\"\"]}\n", "x.yaml:7: connect.hosts[0]", "expected 1 to 255 bytes"},
        {LEAST "connect: {breaker_failures: -1}\n", "x.yaml:7: connect.breaker_failures", "-1"},
        {LEAST "    anomaly_cap: severe\n", "x.yaml:7: tenants[0].anomaly_cap", "is 'severe'"},
        {LEAST "    weight: 0\n", "x.yaml:7: tenants[0].weight", "expected 1 to 1000"},
        {LEAST "  - {name: a, token_hash: " HASH "}\n", "x.yaml:7: tenants[1]", "given twice"},
        {LEAST "  - {name: ' a', token_hash: " HASH "}\n", "x.yaml:7: tenants[1].name", "blanks"},
        {LEAST "  - {name: \"a\\tb\", token_hash: " HASH "}\n", "x.yaml:7: tenants[1].name", "printable"},
        {LEAST "workers: -1\n", "x.yaml:7: workers", "expected 0 to 1024, is '-1'"},
        {LEAST "workers: 5 5\n", "x.yaml:7: workers", "expected a whole number, is '5 5'"},
        {LEAST "workers: 0x10\n", "x.yaml:7: workers", "whole number"},
        {LEAST "workers: 99999999999999999999\n", "x.yaml:7: workers", "whole number"},
        {LEAST "pin_workers: yes\n", "x.yaml:7: pin_workers", "true or false"},
        {LEAST "memory_max: 4GB\n", "x.yaml:7: memory_max", "such as 64KiB or 4GiB, is '4GB'"},
        {LEAST "queue_wait_max: 2\n", "x.yaml:7: queue_wait_max", "such as 500ms or 2s"},
        {LEAST "queue_wait_max: 1500us\n", "x.yaml:7: queue_wait_max", "such as 500ms or 2s"},
        {LEAST "queue_wait_max: 2h\n", "x.yaml:7: queue_wait_max", "0 to 600000 ms"},
        {LEAST "device: cuda\n", "x.yaml:7: device", "cpu, ref, blas, opencl or auto, is 'cuda'"},
        {LEAST "cpu_mask: [avx2, sse]\n", "x.yaml:7: cpu_mask[1]", "is 'sse'"},
        {LEAST "limits: {rows_max: 0}\n", "x.yaml:7: limits.rows_max", "1 to 16000000"},
        {LEAST "limits:\n  id_max: 129\n", "x.yaml:8: limits.id_max", "8 to 128"},
        {LEAST "levels:\n  low: 0.9\n  medium: 0.5\n", "x.yaml:8: levels.low", "at most levels.medium"},
        {LEAST "levels:\n  low: nan\n", "x.yaml:8: levels.low", "number from 0 to 1"},
        {LEAST "levels:\n  low: 1.5\n", "x.yaml:8: levels.low", "number from 0 to 1"},
        {LEAST "currencies: {reference: eur}\n", "x.yaml:7: currencies.reference", "three capital letters"},
        {LEAST "currencies:\n  rates:\n    - {currency: USD}\n", "x.yaml:9: currencies.rates[0]", "per_reference"},
        {LEAST "currencies:\n  rates:\n    - {currency: USD, per_reference: 0}\n", "x.yaml:9: currencies.rates[0].per_reference", "USD"},
        {LEAST "currencies:\n  rates:\n    - {currency: USD, per_reference: 1}\n    - {currency: USD, per_reference: 2}\n",
         "x.yaml:10: ", "twice"},
        {LEAST "countermeasures:\n  - {text: t}\n", "x.yaml:8: countermeasures[0]", "1 to 63 bytes"},
        {LEAST "countermeasures:\n  - {name: n, text: t, correct: [transfer_id]}\n", "x.yaml:8: countermeasures[0]", "is 'transfer_id'"},
        {LEAST "countermeasures:\n  - {name: n, text: t, correct: ['a b']}\n", "x.yaml:8: countermeasures[0]", "a column that may change"},
        {LEAST "countermeasures:\n  - {name: n}\n", "x.yaml:8: countermeasures[0]", "expected a text"},
        {LEAST "strategy:\n  - {risk_type: m, verdict: hold}\n", "x.yaml:8: strategy[0]", "expected level"},
        {LEAST "strategy:\n  - {risk_type: m, level: low, verdict: invalid}\n", "x.yaml:8: strategy[0]", "expected verdict"},
        {LEAST "strategy:\n  - {level: low, verdict: hold}\n", "x.yaml:8: strategy[0]", "1 to 63 bytes"},
        {LEAST "strategy:\n  - {risk_type: m, level: low, verdict: hold, countermeasure: c}\n", "x.yaml:8: strategy[0]", "'c' is neither"},
        {LEAST "strategy:\n  - {risk_type: m, level: low, verdict: hold, final: 1}\n", "x.yaml:8: strategy[0]", "final"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_wrong(cases[i].text, cases[i].place, cases[i].words);
}

static void a_wrong_token_is_never_told(void **state)
{
    (void)state;
    struct config *config;
    struct fault_note note = {0};
    const char text[] = "ledger: d\nlisten: {data: ['tcp://a:1']}\ntenants: [{name: a, token_hash: opensesame}]\n";
    assert_int_equal(config_open_text(&config, "x.yaml", text, strlen(text), &note), FAULT_schema);
    assert_null(strstr(note.text, "opensesame"));
}

#define THREE_TOKENS "0123456789abcdef\n0123456789abcdef\n0123456789abcdef\n"
#define NINE_TOKENS  THREE_TOKENS THREE_TOKENS THREE_TOKENS

static void token_file_is_hashed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words; /* words NULL: good, with both lines' tokens */
    } cases[] = {
        {"0123456789abcdef-first\n0123456789abcdef-second  \r\n\n", NULL},
        {"0123456789abcdef-first\n0123456789abcdef-second", NULL},
        {"", "empty"},
        {"\n \n", "empty"},
        {"short\n", "16 to 256 bytes"},
        {NINE_TOKENS, "at most 8 tokens"},
    };
    char path[] = "/tmp/sluice-token-XXXXXX", yaml[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(yaml, sizeof yaml, "ledger: d\nlisten: {data: ['tcp://a:1']}\ntenants: [{name: a, token_file: %s}]\n", path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_return_code(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, cases[i].text, strlen(cases[i].text), 0), strlen(cases[i].text));
        if (cases[i].words) {
            expect_wrong(yaml, "x.yaml:3: tenants[0].token_file", cases[i].words);
            continue;
        }
        unsigned char hash[SECRET_HASH_BYTES];
        struct config *config = open_good(yaml);
        assert_int_equal(config->tenants[0].credential_count, 2);
        secret_hash(hash, "0123456789abcdef-second", 23);
        assert_memory_equal(config->tenants[0].credentials[1].token_hash, hash, sizeof hash);
        config_close(&config);
    }
    close(fd);
    unlink(path);
}

static void files_are_found_from_their_folder(void **state)
{
    (void)state;
    char folder[] = "/tmp/sluice-config-XXXXXX", path[64], expected[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/sluice.yaml", folder);
    snprintf(expected, sizeof expected, "%s/data", folder);
    FILE *file = fopen(path, "w");
    fputs(LEAST, file);
    fclose(file);
    struct config *config = NULL;
    struct fault_note note = {0};
    assert_int_equal(config_open(&config, path, &note), FAULT_NONE);
    assert_string_equal(config->ledger_folder, expected);
    config_close(&config);
    unlink(path);
    assert_int_equal(config_open(&config, path, &note), FAULT_not_found);
    assert_null(config);
    rmdir(folder);
}

static void folder_write(const char *folder, const char *name, const char *text, size_t bytes)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    fclose(file);
}

/* Every whole example of the manual, and the packaged file. */
static void what_the_manual_shows_is_taken(void **state)
{
    (void)state;
    char folder[] = "/tmp/sluice-manual-XXXXXX", path[64], command[64], *manual;
    size_t bytes;
    unsigned count = 0;
    struct fault_note note = {0};
    struct config *config;
    assert_non_null(mkdtemp(folder));
    folder_write(folder, "payroll-a.token", "0123456789abcdef\n", 17);
    folder_write(folder, "payroll-a.analyst.token", "0123456789abcdeg\n", 17);
    snprintf(path, sizeof path, "%s/sluice.yaml", folder);
    assert_int_equal(file_read_all(&manual, &bytes, "docs/configuration.md", 1 << 20, &note), FAULT_NONE);
    for (const char *at = manual; (at = strstr(at, "```yaml\n")) != NULL; count++) {
        at += 8;
        folder_write(folder, "sluice.yaml", at, (size_t)(strstr(at, "```") - at));
        if (config_open(&config, path, &note) != FAULT_NONE)
            fail_msg("%s", note.text);
        config_close(&config);
    }
    assert_int_equal(count, 2);
    assert_int_equal(config_open(&config, "packaging/sluice.yaml", &note), FAULT_NONE);
    config_close(&config);
    memory_give(manual);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void the_manual_tells_every_default(void **state)
{
    (void)state;
    static const char *const defaults[][2] = {
#define TOP(key, form, member, least, most, initial, meaning) {#key, initial},
#define LISTEN                                                TOP
#define LIMIT                                                 TOP
#define HISTORY                                               TOP
#define LEVEL                                                 TOP
#define DRIFT                                                 TOP
#define CONNECT                                               TOP
#define ALARMS                                                TOP
#define CONNECTOR                                             TOP
#define SIGN_ON                                               TOP
#define TENANT                                                TOP
#include "pipeline/config_keys.tbl"
    };
    struct fault_note note = {0};
    char *manual, row[96];
    size_t bytes;
    assert_int_equal(file_read_all(&manual, &bytes, "docs/configuration.md", 1 << 20, &note), FAULT_NONE);
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        const char *initial = defaults[i][1];
        snprintf(row, sizeof row, initial[0] ? "| `%s` | `%s` |" : "| `%s` | ", defaults[i][0], initial);
        if (!strstr(manual, row))
            fail_msg("not in the manual: %s", row);
    }
    memory_give(manual);
}

static void too_large_a_file_is_refused(void **state)
{
    (void)state;
    struct config *config;
    struct fault_note note = {0};
    size_t bytes = CONFIG_BYTES_MAX + 1;
    char *text = memset(malloc(bytes + 1), ' ', bytes);
    text[bytes] = '\0';
    assert_int_equal(config_open_text(&config, "x.yaml", text, bytes, &note), FAULT_limit);
    for (size_t i = 0; i + 1 < CONFIG_BYTES_MAX; i += 2)
        memcpy(text + i, "- ", 2); /* nested as deep as the bytes allow */
    assert_int_not_equal(config_open_text(&config, "x.yaml", text, CONFIG_BYTES_MAX, &note), FAULT_NONE);
    free(text);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t live = memory_live_count();
    for (uint64_t nth = 0;; nth++) {
        struct config *config;
        struct fault_note note = {0};
        memory_fail_at(nth);
        enum fault fault = config_open_text(&config, "x.yaml", full, strlen(full), &note);
        uint64_t failed = memory_failed_count();
        memory_fail_at(UINT64_MAX);
        config_close(&config);
        assert_int_equal(memory_live_count(), live);
        assert_int_equal(fault, failed ? FAULT_memory : FAULT_NONE);
        if (!failed)
            break;
    }
}

static void values_are_read_strictly(void **state)
{
    (void)state;
    int64_t whole;
    uint64_t bytes;
    double real;
    bool flag;
    assert_true(value_integer(&whole, "9223372036854775807") && whole == INT64_MAX);
    assert_true(value_integer(&whole, "-5") && whole == -5);
    assert_true(value_integer(&whole, "0") && whole == 0);
    static const char *const not_whole[] = {"", "-", "+1", " 1", "1 ", "01", "1.0", "1e3", "9223372036854775808", "1_000", "\xd9\xa1"};
    for (size_t i = 0; i < sizeof not_whole / sizeof not_whole[0]; i++)
        assert_false(value_integer(&whole, not_whole[i]));
    assert_true(value_bytes(&bytes, "64KiB") && bytes == 65536);
    assert_true(value_bytes(&bytes, "7B") && bytes == 7);
    assert_true(value_bytes(&bytes, "8388607TiB") && bytes == 8388607ull << 40);
    static const char *const not_bytes[] = {"", "KiB", "4kib", "4 KiB", "4K", "-1", "8388608TiB", "4KiBB", "1.5GiB"};
    for (size_t i = 0; i < sizeof not_bytes / sizeof not_bytes[0]; i++)
        assert_false(value_bytes(&bytes, not_bytes[i]));
    assert_true(value_duration_us(&whole, "7d") && whole == 604800000000);
    assert_true(value_duration_us(&whole, "5m") && whole == 300000000);
    assert_true(value_duration_us(&whole, "5ms") && whole == 5000);
    static const char *const not_durations[] = {"", "7", "d", "7 d", "7D", "7w", "-7d", "7.5h", "106751992d", "1h30m"};
    for (size_t i = 0; i < sizeof not_durations / sizeof not_durations[0]; i++)
        assert_false(value_duration_us(&whole, not_durations[i]));
    assert_true(value_real(&real, "-1.5e-3") && real == -1.5e-3);
    static const char *const not_real[] = {"", "nan", "inf", "0x1", "1,5", "1 ", " 1", "1e999", "e", "."};
    for (size_t i = 0; i < sizeof not_real / sizeof not_real[0]; i++)
        assert_false(value_real(&real, not_real[i]));
    assert_true(value_bool(&flag, "true") && flag);
    assert_true(value_bool(&flag, "false") && !flag);
    assert_false(value_bool(&flag, "True") || value_bool(&flag, "1") || value_bool(&flag, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_file_gives_defaults),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(strategy_rows_stand_before_the_built_in),
        cmocka_unit_test(tenants_have_their_own),
        cmocka_unit_test(wrong_keys_are_told_with_their_line),
        cmocka_unit_test(wrong_values_are_told_with_key_and_line),
        cmocka_unit_test(credentials_have_rights_of_their_own),
        cmocka_unit_test(wrong_credentials_are_told),
        cmocka_unit_test(a_wrong_token_is_never_told),
        cmocka_unit_test(token_file_is_hashed),
        cmocka_unit_test(files_are_found_from_their_folder),
        cmocka_unit_test(what_the_manual_shows_is_taken),
        cmocka_unit_test(the_manual_tells_every_default),
        cmocka_unit_test(too_large_a_file_is_refused),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(values_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
