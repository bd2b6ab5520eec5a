/* Filters of segments: what is in a segment is never denied, little else is not; what is missing, damaged or another
 * ledger's is made again at the next start, and until then answers "maybe". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "ledger/summary.h"
#include "unit/ledger/rig.h"

enum { BATCHES = 30, ROWS = 100 };
static struct rig rig;

static int house_setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.options.segment_bytes_max = 30000;
    rig_open(&rig);
    for (uint64_t i = 1; i <= BATCHES; i++)
        MUST(rig_commit(&rig, i, 1, ROWS, i % 7 == 0 ? OP_observe : OP_screen, NULL) == FAULT_NONE);
    return 0;
}

static int house_teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* Segments that have a filter; says of each whether it may hold the ids, and counts. */
static unsigned segments_that_may(uint64_t secret, enum filter_kind kind, const char *id, unsigned *out_filters)
{
    struct summary_view view;
    struct text text = text_of(id);
    unsigned may = 0;
    *out_filters = 0;
    for (uint32_t segment = 1; segment < 40; segment++)
        if (summary_view_open(&view, rig.folder, secret, segment)) {
            ++*out_filters;
            may += summary_may_have(&view, 0, kind, &text, 1);
            summary_view_close(&view);
        }
    return may;
}

static unsigned filters(void)
{
    unsigned count;
    segments_that_may(ledger_sqlite.secret(rig.ledger), FILTER_TRANSFER, "none", &count);
    return count;
}

static unsigned segments(void)
{
    char path[128];
    unsigned count = 0;
    for (;; count++) {
        char name[32];
        snprintf(name, sizeof name, "frames-%08u", count + 1);
        rig_path(path, &rig, name);
        if (!file_exists(path))
            return count;
    }
}

static void every_transfer_is_found(void)
{
    uint64_t found;
    uint32_t row;
    char id[40];
    for (uint64_t i = 1; i <= BATCHES; i++)
        for (uint32_t j = 0; j < ROWS && i % 7; j += 9) {
            sample_transfer(id, i, j);
            assert_int_equal(
                ledger_sqlite.find_transfer(rig.ledger, text_of(i % 2 ? "tenant a" : "tenant b"), text_of(id), &found, &row, NULL),
                FAULT_NONE);
            assert_true(found == i && row == j);
        }
}

static void a_filter_tells_what_is_there(void **state)
{
    (void)state;
    uint64_t secret = ledger_sqlite.secret(rig.ledger);
    unsigned count, may = 0, absent = 0, total = 0;
    assert_true(segments() >= 5);
    assert_int_equal(filters(), segments() - 1);
    every_transfer_is_found();
    for (unsigned i = 0; i < 300; i++) {
        char id[40];
        snprintf(id, sizeof id, "absent %u", i);
        absent += segments_that_may(secret, i % 2 ? FILTER_TRANSFER : FILTER_ACCOUNT, id, &count);
        total += count;
    }
    assert_true(absent * 15 < total); /* 8 bits for an id, in blocks: one in twenty-five is let through */
    may = segments_that_may(secret, FILTER_TRANSFER, "t1-0000001", &count);
    assert_true(may >= 1 && may < count);
    struct summary_view view;
    struct text id = text_of("t1-0000001");
    assert_true(summary_view_open(&view, rig.folder, secret, 1));
    assert_true(summary_may_have(&view, 1, FILTER_TRANSFER, &id, 1));
    assert_false(summary_may_have(&view, 77, FILTER_TRANSFER, &id, 1)); /* no such tenant has anything here */
    summary_view_close(&view);
    assert_false(summary_view_open(&view, rig.folder, secret + 1, 1));
}

static void bytes_write(const char *name, off_t offset, size_t bytes)
{
    char path[128];
    unsigned char junk[64];
    rig_path(path, &rig, name);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    memset(junk, 0, sizeof junk);
    assert_int_equal(pwrite(fd, junk, bytes, offset), bytes);
    close(fd);
}

static void what_is_missing_is_made_again(void **state)
{
    (void)state;
    char path[128], stale[128];
    unsigned before = filters();
    rig_path(path, &rig, "filter-00000002");
    assert_int_equal(unlink(path), 0);
    bytes_write("filter-00000003", 20, 8); /* in the header */
    rig_path(path, &rig, "filter-00000004");
    rig_path(stale, &rig, "filter-00000001");
    assert_int_equal(rename(path, stale), 0); /* another segment's */
    assert_int_equal(filters(), before - 4);
    every_transfer_is_found();
    rig_reopen(&rig);
    assert_int_equal(filters(), before);
    every_transfer_is_found();
}

static void what_is_damaged_says_maybe(void **state)
{
    (void)state;
    unsigned count;
    uint64_t secret = ledger_sqlite.secret(rig.ledger);
    struct summary_view view;
    assert_true(summary_view_open(&view, rig.folder, secret, 2));
    uint32_t blocks = view.header.block_count;
    summary_view_close(&view);
    assert_int_not_equal(segments_that_may(secret, FILTER_TRANSFER, "absent 4", &count), count);
    bytes_write("filter-00000002", 64, 16); /* the pairs */
    assert_true(summary_view_open(&view, rig.folder, secret, 2));
    assert_true(summary_may_have(&view, 0, FILTER_TRANSFER, &(struct text){"absent 4", 8}, 1));
    summary_view_close(&view);
    for (uint32_t i = 0; i < blocks; i++)
        bytes_write("filter-00000003", 128 + 64 * (off_t)i, 64);
    assert_true(summary_view_open(&view, rig.folder, secret, 3));
    assert_true(summary_may_have(&view, 0, FILTER_ACCOUNT, &(struct text){"absent 5", 8}, 1));
    summary_view_close(&view);
    every_transfer_is_found();
}

static void too_many_tenants_leave_none(void **state)
{
    (void)state;
    struct summary summary;
    struct filter_keys keys = {.total = 1};
    uint64_t hash = 5;
    assert_int_equal(summary_init(&summary, 1, 1000, NULL), FAULT_NONE);
    summary_begin(&summary, 77, 1);
    keys.keys[0] = &hash, keys.counts[0] = 1;
    for (int64_t tenant = 1; tenant <= SUMMARY_PAIRS_MAX + 1; tenant++)
        summary_add(&summary, (uint64_t)tenant, tenant, &keys);
    assert_true(summary.is_partial && summary.id_count == 1);
    summary_write(&summary, rig.folder);
    assert_false(summary_view_open(&(struct summary_view){0}, rig.folder, 1, 77));
    summary_fini(&summary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_tells_what_is_there),
        cmocka_unit_test(what_is_missing_is_made_again),
        cmocka_unit_test(what_is_damaged_says_maybe),
        cmocka_unit_test(too_many_tenants_leave_none),
    };
    return cmocka_run_group_tests(tests, house_setup, house_teardown);
}
