/* What was screened against what the base was built on: exact whatever the workers, an alarm where it moved, none where it did not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "unit/pipeline/rig.h"

enum { ROWS = 2 * DRIFT_ROWS }; /* of a batch: half of it is counted */

/* The rig's amounts begin at 100 and spread evenly over 100,000: their tenths, as the feature sees them. */
static void base_write(bool with_reference)
{
    struct tiny_base tiny;
    struct fault_note note = {0};
    char *bytes = NULL, path[128];
    size_t byte_count = 0;
    tiny_base_init(&tiny, 4, 8, 4, 3);
    if (with_reference) {
        tiny_reference(&tiny);
        tiny.base.reference.feature_count = 1;
        tiny.reference[0] = FEATURE_amount;
        for (int j = 0; j < REFERENCE_EDGES; j++)
            tiny.edges[0][j] = logf(101.0f + 10000.0f * (float)(j + 1));
        tiny.known[0][0] = 1000, tiny.known[0][1] = 0;
        memset(tiny.scenes, 0, sizeof tiny.scenes); /* not told, and so not judged */
        memset(tiny.distances, 0, sizeof tiny.distances);
    }
    snprintf(path, sizeof path, "%s/base.safetensors", rig_folder);
    assert_int_equal(scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note), FAULT_NONE);
    assert_int_equal(file_replace(path, bytes, byte_count, &note), FAULT_NONE);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static void screen(const char *id, uint32_t count, int64_t factor)
{
    struct wire_buffer message;
    begin(&message, "a", "screen", id, 2);
    columns(&message, count, id, 100 * factor);
    expect(&message, "batch", id);
}

static struct drift_report *report_now(void)
{
    static struct drift_report told;
    struct epoch *epoch = epoch_hold(pipeline);
    drift_tell(&told, epoch);
    epoch_release(&epoch);
    return &told;
}

static struct drift_report *report(void)
{
    rig_await_quiet();
    return report_now();
}

static enum drift_level level_logged(void)
{
    struct epoch *epoch = epoch_hold(pipeline);
    enum drift_level level = drift_level_told(epoch);
    epoch_release(&epoch);
    return level;
}

static void await_level(enum drift_level level)
{
    for (int i = 0; i < 1000 && level_logged() != level; i++)
        rig_sleep_ms(10);
    assert_int_equal(level_logged(), level);
}

static double sample_of(const char *name)
{
    struct wire_buffer out = {0};
    char line[128];
    assert_int_equal(pipeline_metrics(pipeline, &out), FAULT_NONE);
    buffer_append(&out, "", 1);
    snprintf(line, sizeof line, "\nsluice_%s ", name);
    const char *at = strstr(out.data, line);
    double value = at ? strtod(at + strlen(line), NULL) : -1.0;
    wire_buffer_fini(&out);
    return value;
}

static void health_says(const char *level)
{
    struct wire_buffer message;
    begin(&message, "a", "health", "h", 0);
    expect(&message, "drift", level);
}

static void sameness_is_quiet_and_a_shift_alarms(void **state)
{
    (void)state;
    base_write(true);
    rig_open(rig_config("drift: {rows_min: 500}\n" RIG_TENANTS, "base.safetensors"));
    assert_true(!report()->judged && report()->rows == 0);
    for (uint32_t i = 0; i < 8; i++) {
        char id[16];
        snprintf(id, sizeof id, "same%u-", i);
        screen(id, ROWS, 1);
    }
    assert_int_equal(report()->rows, 8 * DRIFT_ROWS);
    assert_true(report()->judged && report()->level == DRIFT_NONE);
    assert_true(report()->features[0].values.psi < 0.05 && report()->features[0].unknown.psi < 0.01);
    rig_sleep_ms(1500); /* looked at once a second */
    assert_int_equal(level_logged(), DRIFT_NONE);
    health_says("none");
    assert_true(sample_of("drift_level") == 0 && sample_of("drift_rows") == 8 * DRIFT_ROWS);
    for (uint32_t i = 0; i < 8; i++) {
        char id[16];
        snprintf(id, sizeof id, "more%u-", i);
        screen(id, ROWS, 10000);
    }
    assert_true(report()->level == DRIFT_ALARM && report()->over[DRIFT_ALARM] == 1);
    assert_string_equal(report()->worst, "amount");
    await_level(DRIFT_ALARM);
    health_says("alarm");
    assert_true(sample_of("drift_level") == 2 && sample_of("drift_alarms") == 1);
    assert_true(sample_of("drift_psi{kind=\"values\",of=\"amount\"}") > 0.25);
    assert_true(sample_of("drift_psi{kind=\"unknown\",of=\"amount\"}") < 0.01);
}

/* Whoever may not put bases may not ask for it either. */
static void the_model_team_asks(void **state)
{
    struct wire_buffer message;
    (void)state;
    base_write(true);
    rig_open(rig_config("drift: {rows_min: 50}\ntenants:\n  - {name: a, token_hash: " TOKEN_HASH ", rights: [submit, model]}\n"
                        "  - {name: b, token_hash: " TOKEN_HASH ", rights: [submit, operate]}\n",
                        "base.safetensors"));
    begin(&message, "b", "base.drift", "q", 0);
    expect(&message, "rows", "fault denied");
    begin(&message, "a", "base.drift", "q", 0);
    expect(&message, "why", "not enough rows yet");
    screen("x", 100, 10000);
    begin(&message, "a", "base.drift", "q", 0);
    expect(&message, "rows", "100");
    begin(&message, "a", "base.drift", "q", 0);
    expect(&message, "level", "alarm");
    begin(&message, "a", "base.drift", "q", 0);
    expect(&message, "worst", "amount");
}

/* A number of batches at once, cut into slices: the sums that one worker gives, others give too. */
static void counts_of(struct drift_report *out, unsigned workers)
{
    enum { BATCHES = 12 };
    static struct sent sent[BATCHES];
    char top[512];
    memset(sent, 0, sizeof sent);
    snprintf(top, sizeof top, "workers: %u\nin_flight_max: 32\n" RIG_TENANTS, workers);
    rig_open(rig_config(top, "base.safetensors"));
    for (uint32_t i = 0; i < BATCHES; i++) {
        struct wire_buffer message;
        char id[16];
        snprintf(id, sizeof id, "b%u-", i);
        begin(&message, "a", "screen", id, 2);
        columns(&message, 100 + 777 * i, id, 100 + 1000 * i);
        post(&sent[i], &message);
        *out = *report_now();
    }
    for (uint32_t i = 0; i < BATCHES; i++) {
        await(&sent[i]);
        sent_fini(&sent[i]);
    }
    *out = *report();
    pipeline_close(&pipeline);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s/ledger", rig_folder);
    assert_int_equal(system(command), 0);
}

static void any_workers_count_the_same(void **state)
{
    static struct drift_report one, four;
    (void)state;
    base_write(true);
    counts_of(&one, 1);
    counts_of(&four, 4);
    assert_true(one.rows > 2000 && one.rows == four.rows);
    assert_memory_equal(&one.features[0], &four.features[0], sizeof one.features[0]);
    assert_true(one.worst_psi == four.worst_psi);
}

static void only_what_is_screened_and_valid_counts(void **state)
{
    struct wire_buffer message;
    (void)state;
    base_write(true);
    rig_open(rig_config(NULL, "base.safetensors"));
    batch_of(&message, "a", "score", "s", 100);
    expect(&message, "rows", "100");
    batch_of(&message, "a", "import", "i", 100);
    expect(&message, "rows", "100");
    assert_int_equal(report()->rows, 0);
    screen("v", 100, 1);
    assert_int_equal(report()->rows, 100);
    screen("w", 10, -100000); /* amounts below zero: refused rows */
    assert_int_equal(report()->rows, 100);
}

static void the_window_moves_on(void **state)
{
    (void)state;
    base_write(true);
    rig_open(rig_config("drift: {window: 1s}\n" RIG_TENANTS, "base.safetensors"));
    screen("a", 100, 1);
    assert_int_equal(report()->rows, 100);
    rig_sleep_ms(1100);
    assert_int_equal(report()->rows, 0);
    screen("b", 50, 1);
    assert_int_equal(report()->rows, 50);
}

static void a_base_without_reference_says_so(void **state)
{
    (void)state;
    base_write(false);
    rig_open(rig_config(NULL, "base.safetensors"));
    screen("a", 2000, 1);
    assert_true(!report()->reference && report()->rows == 0);
    assert_true(sample_of("drift_level") == 0 && sample_of("drift_rows") == 0);
    assert_true(sample_of("drift_psi{kind=\"values\",of=\"amount\"}") < 0);
    health_says("none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(the_model_team_asks),        RIG_TEST(sameness_is_quiet_and_a_shift_alarms),
        RIG_TEST(any_workers_count_the_same), RIG_TEST(only_what_is_screened_and_valid_counts),
        RIG_TEST(the_window_moves_on),        RIG_TEST(a_base_without_reference_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
