/* Ids of screened transfers: what counts as seen, for how long, of whom; who gives way; what a snapshot keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/memory.h"
#include "history/state.h"
#include "unit/history/world.h"

enum { ROWS = 3000, KEPT = 1000 };

static struct stream stream;
static uint64_t ids[ROWS];
static uint8_t flags[ROWS];

static struct history *history_take(uint64_t transfers)
{
    struct history *history = NULL;
    struct fault_note note = {0};
    const struct history_limits limits = {
        .accounts_max = 100, .events_max = 1000, .busy_max = 16, .links_max = 1000, .places_max = 100, .transfers_max = transfers};
    assert_int_equal(history_memory.open(&history, &limits, &note), FAULT_NONE);
    return history;
}

/* Ids first_id …, screened at that time; how many were seen before. */
static uint32_t relate(struct history *history, enum op op, const char *tenant, uint64_t first_id, uint32_t count, int64_t now_us,
                       int64_t duplicate_us)
{
    struct batch batch;
    uint32_t seen = 0;
    stream.count = count;
    stream_batch(&batch, &stream, op);
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = hash_mix(first_id + i);
        stream.time_us[i] = now_us;
    }
    memset(flags, 0, sizeof flags);
    batch.facts.transfer = ids, batch.facts.flags = flags;
    batch.tenant = text_of(tenant);
    batch.now_us = now_us, batch.duplicate_us = duplicate_us;
    history_memory.relate(history, &batch, 0, count, 0, op != OP_score, NULL);
    for (uint32_t i = 0; i < count; i++)
        seen += flags[i] == FLAG_SEEN;
    return seen;
}

static void an_id_is_seen_within_its_days(void **state)
{
    (void)state;
    struct history *history = history_take(KEPT);
    memset(&stream, 0, sizeof stream);
    assert_int_equal(relate(history, OP_screen, "a", 1, 500, START_US, 7 * DAY_US), 0);
    assert_int_equal(relate(history, OP_score, "a", 1, 500, START_US + DAY_US, 7 * DAY_US), 500);
    assert_int_equal(relate(history, OP_screen, "a", 401, 200, START_US + 7 * DAY_US, 7 * DAY_US), 100);
    assert_int_equal(relate(history, OP_score, "a", 1, 500, START_US + 7 * DAY_US + 1, 7 * DAY_US), 100); /* those seen again */
    assert_int_equal(relate(history, OP_score, "a", 1, 500, START_US + DAY_US, 0), 0);
    assert_int_equal(relate(history, OP_screen, "b", 1, 500, START_US + DAY_US, 7 * DAY_US), 0);
    history_memory.close(&history);
}

static void neither_score_nor_import_nor_invalid_rows_are_kept(void **state)
{
    (void)state;
    struct history *history = history_take(KEPT);
    memset(&stream, 0, sizeof stream);
    stream.invalid[3] = 1;
    assert_int_equal(relate(history, OP_score, "a", 1, 10, START_US, DAY_US), 0);
    assert_int_equal(relate(history, OP_import, "a", 1, 10, START_US, DAY_US), 0);
    assert_int_equal(relate(history, OP_screen, "a", 1, 10, START_US, DAY_US), 0);
    stream.invalid[3] = 0;
    assert_int_equal(relate(history, OP_screen, "a", 1, 10, START_US, DAY_US), 9);
    assert_int_equal(flags[3], 0);
    history_memory.close(&history);
    history = history_take(0);
    relate(history, OP_screen, "a", 1, 10, START_US, DAY_US);
    assert_int_equal(relate(history, OP_screen, "a", 1, 10, START_US, DAY_US), 0);
    history_memory.close(&history);
}

static void the_longest_unseen_give_way(void **state)
{
    (void)state;
    struct history *history = history_take(KEPT);
    struct history_counts counts;
    memset(&stream, 0, sizeof stream);
    for (uint32_t i = 0; i < 30; i++)
        relate(history, OP_screen, "a", 1 + 100 * i, 100, START_US + i * 3600000000LL, 30 * DAY_US);
    history_memory.count(history, &counts);
    assert_in_range(counts.transfers, KEPT, KEPT + KEPT / 4 + SET_SLOTS);
    assert_int_equal(counts.transfers + counts.evicted, 3000);
    assert_true(relate(history, OP_score, "a", 2501, 500, START_US + 2 * DAY_US, 30 * DAY_US) > 490);
    assert_true(relate(history, OP_score, "a", 1, 500, START_US + 2 * DAY_US, 30 * DAY_US) < 10);
    history_memory.close(&history);
}

/* Cut as it may be, and saved and loaded in between, history is the same and so are its answers. */
static void a_snapshot_keeps_them(void **state)
{
    (void)state;
    struct history *history = history_take(KEPT), *again = history_take(KEPT);
    struct fault_note note = {0};
    char path[] = "/tmp/sluice-seen-XXXXXX";
    uint64_t sequence = 0;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    memset(&stream, 0, sizeof stream);
    relate(history, OP_screen, "a", 1, 1500, START_US, DAY_US);
    assert_int_equal(history_memory.save(history, 5, path, &note), FAULT_NONE);
    assert_int_equal(history_memory.load(again, &sequence, path, &note), FAULT_NONE);
    uint32_t seen = relate(history, OP_screen, "a", 1, 1500, START_US + 1, DAY_US);
    assert_true(seen > KEPT / 2);
    for (uint32_t i = 0, seen_again = 0; i < 1500; i += 500) {
        seen_again += relate(again, OP_screen, "a", 1 + i, 500, START_US + 1, DAY_US);
        assert_true(i < 1000 || seen_again == seen);
    }
    struct digest a = history_memory.state_digest(history), b = history_memory.state_digest(again);
    assert_int_equal(history->head->seen.used, again->head->seen.used);
    assert_true(digest_equal(a, b));
    unlink(path);
    history_memory.close(&history);
    history_memory.close(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_seen_within_its_days),
        cmocka_unit_test(neither_score_nor_import_nor_invalid_rows_are_kept),
        cmocka_unit_test(the_longest_unseen_give_way),
        cmocka_unit_test(a_snapshot_keeps_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
