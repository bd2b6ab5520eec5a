/* What /metrics says is Prometheus text, says what was done and nothing else, and docs/metrics.md speaks of all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

static char *metrics_text(void) /* free */
{
    struct wire_buffer out = {0};
    assert_int_equal(pipeline_metrics(pipeline, &out), FAULT_NONE);
    char *text = malloc(out.bytes + 1);
    memcpy(text, out.data, out.bytes);
    text[out.bytes] = '\0';
    wire_buffer_fini(&out);
    return text;
}

/* The value of one sample, named with its labels as it stands there. */
static double sample_of(const char *name)
{
    char *text = metrics_text(), line[256];
    snprintf(line, sizeof line, "\nsluice_%s ", name);
    const char *at = strstr(text, line);
    if (!at)
        fail_msg("no %s", name);
    double value = strtod(at + strlen(line), NULL);
    free(text);
    return value;
}

/* --- the form ------------------------------------------------------------------------------------------------------------ */

struct family {
    char name[96], kind[16];
};

struct series { /* of a histogram, on its way through its buckets */
    char labels[96];
    double bound, count;
};

static void check_name(const char *name)
{
    assert_true(strncmp(name, "sluice_", 7) == 0);
    for (const char *at = name; *at; at++)
        assert_true((*at >= 'a' && *at <= 'z') || *at == '_' || (*at >= '0' && *at <= '9'));
}

/* One sample of a histogram: buckets in order of their bounds, never falling, then sum and count. */
static void check_histogram(struct series *series, const struct family *family, const char *name, const char *labels, double value)
{
    size_t bytes = strlen(family->name);
    char rest[96], *bound = NULL;
    snprintf(rest, sizeof rest, "%s", labels);
    if (strcmp(name + bytes, "_bucket") == 0) {
        bound = strstr(rest, "le=\"");
        assert_non_null(bound);
        double le = strncmp(bound + 4, "+Inf", 4) == 0 ? 1e300 : strtod(bound + 4, NULL);
        *bound = '\0';
        if (strcmp(series->labels, rest) != 0 || series->bound == 1e300)
            *series = (struct series){0};
        snprintf(series->labels, sizeof series->labels, "%s", rest);
        assert_true(le > series->bound && value >= series->count);
        series->bound = le, series->count = value;
    } else if (strcmp(name + bytes, "_count") == 0) {
        assert_true(series->bound == 1e300); /* the last bucket has no bound, and holds all */
        assert_true(value == series->count);
    } else {
        assert_string_equal(name + bytes, "_sum");
        assert_true(value >= 0);
    }
}

static void check_sample(struct series *series, const struct family *family, char *line)
{
    char *space = strrchr(line, ' '), *end = NULL, *brace = strchr(line, '{');
    assert_non_null(space);
    double value = strtod(space + 1, &end);
    assert_true(end != space + 1 && *end == '\0');
    assert_true(value >= 0);
    *space = '\0';
    char labels[96] = "";
    if (brace) {
        assert_true(line[strlen(line) - 1] == '}');
        line[strlen(line) - 1] = '\0';
        snprintf(labels, sizeof labels, "%s", brace + 1);
        *brace = '\0';
    }
    check_name(line);
    bool is_histogram = strcmp(family->kind, "histogram") == 0;
    if (is_histogram)
        assert_true(strncmp(line, family->name, strlen(family->name)) == 0);
    else
        assert_string_equal(line, family->name);
    if (strcmp(family->kind, "counter") == 0)
        assert_string_equal(line + strlen(line) - 6, "_total");
    if (is_histogram)
        check_histogram(series, family, line, labels, value);
}

/* Families, each with its HELP and TYPE once and its samples behind them; their names into out. */
static unsigned check_text(char *text, struct family out[128])
{
    struct series series = {0};
    unsigned count = 0, samples = 0;
    assert_true(text[strlen(text) - 1] == '\n');
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_true(count == 0 || samples > 0);
            assert_true(count < 128 && sscanf(line, "# HELP %95s", out[count].name) == 1);
            check_name(out[count].name);
            assert_true(strlen(line) > strlen("# HELP ") + strlen(out[count].name) + 5); /* and says something */
            for (unsigned i = 0; i < count; i++)
                assert_string_not_equal(out[i].name, out[count].name);
            count++, samples = 0;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            char name[96];
            assert_int_equal(sscanf(line, "# TYPE %95s %15s", name, out[count - 1].kind), 2);
            assert_string_equal(name, out[count - 1].name);
            assert_true(strcmp(out[count - 1].kind, "counter") == 0 || strcmp(out[count - 1].kind, "gauge") == 0 ||
                        strcmp(out[count - 1].kind, "histogram") == 0);
        } else {
            assert_true(count > 0 && line[0] != '#');
            check_sample(&series, &out[count - 1], line);
            samples++;
        }
    }
    return count;
}

static void some_traffic(void)
{
    static const char *const ops[] = {"screen", "score", "import"};
    for (unsigned i = 0; i < 6; i++) {
        struct wire_buffer message;
        char id[16];
        snprintf(id, sizeof id, "m%u-", i);
        batch_of(&message, "a", ops[i % 3], id, 10 + 1000 * i);
        expect(&message, "batch", id);
    }
    rig_await_quiet();
}

static void it_is_prometheus_text(void **state)
{
    static struct family families[128];
    (void)state;
    rig_write_base("base.safetensors", 3);
    rig_open(rig_config(NULL, "base.safetensors"));
    char *text = metrics_text();
    unsigned before = check_text(text, families);
    free(text);
    some_traffic();
    text = metrics_text();
    assert_int_equal(check_text(text, families), before);
    free(text);
    assert_true(before > 20);
}

/* --- what it says ---------------------------------------------------------------------------------------------------------- */

static void it_counts_what_was_done(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    some_traffic();
    assert_true(sample_of("requests_total{op=\"screen\"}") == 2);
    assert_true(sample_of("rows_total{op=\"screen\"}") == 10 + 3010);
    assert_true(sample_of("rows_total{op=\"score\"}") == 1010 + 4010);
    assert_true(sample_of("verdicts_total{verdict=\"pass\"}") == 10 + 3010); /* scores have no part in it */
    assert_true(sample_of("last_sequence") == 4);
    assert_true(sample_of("commit_batches_total") == 4);
    assert_true(sample_of("history_accounts") > 0);
    assert_true(sample_of("in_flight") == 0 && sample_of("waiting") == 0 && sample_of("batch_reserved_bytes") == 0);
    assert_true(sample_of("ready") == 1);
    batch_of(&message, "a", "screen", "m0-", 10); /* again */
    expect(&message, "rows", "10");
    begin(&message, "a", "result", "r", 1), pair(&message, "batch", "m3-");
    expect(&message, "rows", "3010");
    assert_true(sample_of("requests_total{op=\"screen\"}") == 3);
    assert_true(sample_of("repeats_total") == 2);
    assert_true(sample_of("rows_total{op=\"screen\"}") == 10 + 3010);
    batch_of(&message, "a", "screen", "m0-", 11);
    expect(&message, "rows", "fault conflict");
    assert_true(sample_of("faults_total{fault=\"conflict\"}") == 1);
}

static void it_counts_nothing_that_was_not_recorded(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    atomic_store(&commits_to_fail, 1);
    batch_of(&message, "a", "screen", "lost", 50);
    expect(&message, "rows", "fault ledger");
    while (!atomic_load(&pipeline->ready))
        rig_sleep_ms(1);
    assert_true(sample_of("commit_failures_total") == 1);
    assert_true(sample_of("faults_total{fault=\"ledger\"}") == 1);
    assert_true(sample_of("verdicts_total{verdict=\"pass\"}") == 0);
    assert_true(sample_of("rows_total{op=\"screen\"}") == 0);
    assert_true(sample_of("history_accounts") == 0); /* reloaded */
    assert_true(sample_of("last_sequence") == 0);
}

static void every_step_but_anomaly_is_timed(void **state)
{
    static const char *const steps[] = {"decode", "check", "fill", "relate", "feature", "scene", "decide", "record", "reply", "follow_up"};
    (void)state;
    rig_write_base("base.safetensors", 3);
    rig_open(rig_config(NULL, "base.safetensors"));
    some_traffic();
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        char name[64];
        snprintf(name, sizeof name, "step_seconds_count{step=\"%s\"}", steps[i]);
        assert_true(sample_of(name) > 0);
        snprintf(name, sizeof name, "step_cpu_seconds_total{step=\"%s\"}", steps[i]);
        assert_true(sample_of(name) > 0);
    }
    char *text = metrics_text();
    assert_null(strstr(text, "step=\"anomaly\""));
    free(text);
}

/* Under load, while history works: for the thread sanitizer above all. */
static void it_is_read_while_everything_moves(void **state)
{
    enum { BATCHES = 30 };
    static struct sent sent[BATCHES];
    static struct family families[128];
    (void)state;
    memset(sent, 0, sizeof sent);
    rig_write_base("base.safetensors", 3);
    rig_open(rig_config("in_flight_max: 64\n" RIG_TENANTS, "base.safetensors"));
    atomic_store(&commits_to_fail, 2);
    for (unsigned i = 0; i < BATCHES; i++) {
        struct wire_buffer message;
        char id[16];
        snprintf(id, sizeof id, "m%u-", i);
        batch_of(&message, "a", "screen", id, 2000);
        post(&sent[i], &message);
        char *text = metrics_text();
        check_text(text, families);
        free(text);
        begin(&message, "a", "stats", "s", 0);
        expect(&message, "id", "s");
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        await(&sent[i]);
        sent_fini(&sent[i]);
    }
}

/* --- the document ---------------------------------------------------------------------------------------------------------- */

static void the_document_speaks_of_all(void **state)
{
    static const char *const of_the_sockets[] = {"sluice_connections", "sluice_connections_refused_total", "sluice_requests_working",
                                                 "sluice_requests_refused_total", "sluice_replies_not_taken_total"};
    static struct family families[128];
    struct fault_note note = {0};
    char *document = NULL, *text, name[96];
    size_t bytes;
    (void)state;
    if (file_read_all(&document, &bytes, "docs/metrics.md", 1 << 20, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    rig_write_base("base.safetensors", 3);
    rig_open(rig_config("connect: {hosts: [localhost]}\nassociated: [{name: bank, url: \"https://localhost:1/in\"}]\ntenants:\n  - {name: "
                        "a, token_hash: " TOKEN_HASH ", " RIG_RIGHTS ", processor: \"https://localhost:1/in\"}\n",
                        "base.safetensors"));
    text = metrics_text();
    unsigned count = check_text(text, families);
    free(text);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "`%.80s", families[i].name); /* `name` or `name{label}` */
        const char *at = document;
        do {
            at = strstr(at, name);
            if (!at)
                fail_msg("docs/metrics.md does not speak of %s", families[i].name);
            at += strlen(name);
        } while (*at != '`' && *at != '{');
    }
    for (const char *at = document; (at = strstr(at, "`sluice_"));) { /* and of nothing else */
        assert_int_equal(sscanf(at, "`%95[a-z_]", name), 1);
        bool known = false;
        for (unsigned i = 0; i < count; i++)
            known |= strcmp(families[i].name, name) == 0;
        for (unsigned i = 0; i < sizeof of_the_sockets / sizeof *of_the_sockets; i++)
            known |= strcmp(of_the_sockets[i], name) == 0;
        if (!known)
            fail_msg("docs/metrics.md speaks of %s", name);
        at += strlen(name);
    }
    memory_give(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(it_is_prometheus_text),
        RIG_TEST(it_counts_what_was_done),
        RIG_TEST(it_counts_nothing_that_was_not_recorded),
        RIG_TEST(every_step_but_anomaly_is_timed),
        RIG_TEST(it_is_read_while_everything_moves),
        RIG_TEST(the_document_speaks_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
