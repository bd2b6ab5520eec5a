/* Retention in a running server: old segments go behind a snapshot, ids stay and are not screened again, a start goes on from
 * the snapshot; without a usable one it is refused, with none it begins with what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pipeline/replay.h"
#include "unit/pipeline/rig.h"

enum { BATCHES = 30 };
#define TOP "retention: 1s\nsnapshot_interval: 1s\n" RIG_TENANTS

static enum fault small_open(struct ledger **out, const struct ledger_options *options, struct fault_note *note)
{
    struct ledger_options small = *options;
    small.segment_bytes_max = 20000;
    return ledger_sqlite.open(out, &small, note);
}

static enum fault retain_open(struct fault_note *note)
{
    static struct ledger_ops ops;
    struct config *config = rig_config(TOP, NULL);
    ops = ledger_sqlite;
    ops.open = small_open;
    log_level_set((enum log_level)(LOG_ERROR + 1));
    enum fault fault = pipeline_open_on(&pipeline, config, &ops, note);
    config_close(&config);
    return fault;
}

static void screen(const char *id, const char *wanted)
{
    struct sent sent = {0};
    struct wire_buffer message;
    batch_of(&message, "a", "screen", id, 100);
    ask(&sent, &message);
    assert_string_equal(reply_fault(&sent), wanted);
    if (strcmp(wanted, "ok") != 0)
        assert_non_null(strstr(reply_note(&sent), "no longer kept"));
    sent_fini(&sent);
}

/* Batches until a segment of them has gone. */
static void rows_grow_old(void)
{
    char id[16];
    for (unsigned i = 0; i < BATCHES; i++) {
        snprintf(id, sizeof id, "old%u-", i);
        screen(id, "ok");
    }
    for (unsigned i = 0; i < 1000 && pipeline->ledger_ops->kept_from(pipeline->ledger) == 1; i++) {
        rig_sleep_ms(10);
        snprintf(id, sizeof id, "new%u-", i);
        if (i % 20 == 0)
            screen(id, "ok");
    }
    assert_true(pipeline->ledger_ops->kept_from(pipeline->ledger) > 1);
}

static void snapshot_spoil(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/ledger/history.snapshot", rig_folder);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fputs("spoiled", file);
    fclose(file);
}

static void old_segments_go_and_ids_stay(void **state)
{
    struct fault_note note = {0};
    (void)state;
    assert_int_equal(retain_open(&note), FAULT_NONE);
    rows_grow_old();
    screen("old0-", "not_found"); /* known, and not screened again */
    rig_await_quiet();
    struct digest before = rig_history();
    pipeline_close(&pipeline);
    assert_int_equal(retain_open(&note), FAULT_NONE);
    assert_true(digest_equal(before, rig_history()));
    screen("old0-", "not_found");
    pipeline_close(&pipeline);
    snapshot_spoil();
    assert_int_equal(retain_open(&note), FAULT_ledger);
    assert_non_null(strstr(note.text, "history.snapshot cannot be used"));
    pipeline_close(&pipeline);
    rig_forget_snapshot();
    assert_int_equal(retain_open(&note), FAULT_NONE);
    screen("after-", "ok");
}

static enum fault replay(struct replay_result *out, uint64_t from, struct fault_note *note)
{
    char folder[128];
    snprintf(folder, sizeof folder, "%s/ledger", rig_folder);
    const struct replay_options options = {
        .folder = folder, .from_sequence = from, .from_us = INT64_MIN, .to_us = INT64_MAX, .device = "cpu", .cpu_mask = CPU_MASK_ALL};
    return replay_run(out, &options, note);
}

/* While the server runs, whose last snapshot is ahead of most rows. */
static void a_replay_begins_at_a_snapshot_that_is_kept(void **state)
{
    static struct replay_result result;
    struct fault_note note = {0};
    (void)state;
    assert_int_equal(retain_open(&note), FAULT_NONE);
    rows_grow_old();
    screen("last-", "ok");
    rig_await_quiet();
    uint64_t kept_from = pipeline->ledger_ops->kept_from(pipeline->ledger), last = pipeline->ledger_ops->last_sequence(pipeline->ledger);
    if (replay(&result, 0, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    assert_true(result.history_sequence + 1 >= kept_from && result.from_sequence == result.history_sequence + 1);
    assert_int_equal(result.to_sequence, last);
    assert_int_equal(result.batches, last - result.history_sequence);
    assert_int_equal(result.batches_differ, 0);
    assert_int_equal(replay(&result, 1, &note), FAULT_not_found);
    assert_non_null(strstr(note.text, "no longer kept"));
    if (result.history_sequence + 1 > kept_from)
        assert_int_equal(replay(&result, kept_from, &note), FAULT_not_found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_replay_begins_at_a_snapshot_that_is_kept),
        RIG_TEST(old_segments_go_and_ids_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
