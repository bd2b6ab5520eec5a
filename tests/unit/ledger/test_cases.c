/* Cases: abnormal rows of one payer and scene are one case as long as it grows; a page goes on where the one before ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "unit/ledger/rig.h"

enum { ROWS = 200, WINDOW_US = 5000, SEEN_MAX = 2000 };
static struct rig rig;
static struct fault_note note;

struct seen {
    uint32_t count, transfers;
    uint64_t first, last;
    int64_t first_opened_us, first_last_us;
    enum level level;
};

static bool case_count(void *context, const struct ledger_case *one)
{
    struct seen *seen = context;
    if (seen->count++ == 0)
        seen->first = one->entry, seen->first_opened_us = one->opened_us, seen->first_last_us = one->last_us;
    assert_true(seen->last == 0 || one->entry < seen->last);
    seen->last = one->entry;
    seen->transfers += (uint32_t)one->transfers;
    seen->level = one->level > seen->level ? one->level : seen->level;
    return true;
}

static bool transfer_count(void *context, const struct ledger_case_transfer *one)
{
    struct seen *seen = context;
    assert_true(one->transfer.bytes > 0);
    seen->transfers++;
    seen->last = one->sequence, seen->first = one->row;
    return true;
}

static struct seen cases_list(const char *tenant, const char *account, uint64_t below, uint32_t rows_max)
{
    struct seen seen = {0};
    const struct ledger_case_query query = {.tenant = text_of(tenant), .account = text_of(account), .below = below, .rows_max = rows_max};
    assert_int_equal(ledger_sqlite.cases->list(rig.ledger, &query, case_count, &seen, &note), FAULT_NONE);
    return seen;
}

/* A batch of `tenant a` whose abnormal rows are the first so many, all of one payer (or each of its own) and of scene 2. */
static void screen(uint64_t sequence, int64_t now_us, uint32_t abnormal, bool one_payer, int64_t window_us)
{
    char id[24];
    static const struct text payer = {.data = "A000007", .bytes = 7};
    struct batch batch;
    struct sample sample = rig_sample(sequence, ROWS, OP_screen, id);
    sample.plain = true, sample.dicts = one_payer, sample.tenant = "tenant a", sample.now_us = now_us;
    sample_make(&batch, &sample);
    uint8_t *flags = sample_take(&batch, ROWS), *codes = sample_take(&batch, 2 * ROWS);
    for (uint32_t row = 0; row < ROWS; row++) {
        flags[row] = row < abnormal ? FLAG_ABNORMAL : 0;
        batch.results.scene[row] = 2, batch.results.level[row] = row == 0 ? LEVEL_CRITICAL : LEVEL_HIGH;
    }
    batch.facts.flags = flags;
    if (one_payer)
        batch.columns[COLUMN_payer_id] = (struct column){.form = FORM_DICT8, .data = codes, .values = &payer, .value_count = 1};
    struct ledger_entry entry = {.batch = &batch, .scenes = rig_scenes, .scene_count = SAMPLE_SCENES, .case_window_us = window_us};
    assert_int_equal(frame_encode(&entry.frame, &batch, NULL), FAULT_NONE);
    assert_int_equal(ledger_sqlite.commit(rig.ledger, &entry, 1, &note), FAULT_NONE);
    frame_give(&entry.frame);
    batch_fini(&batch);
}

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_open(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void one_attack_is_one_case(void **state)
{
    (void)state;
    screen(1, 1000, 50, true, WINDOW_US);
    screen(2, 1000 + WINDOW_US, 30, true, WINDOW_US);
    struct seen seen = cases_list("tenant a", "A000007", 0, 10);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.transfers, 80);
    assert_int_equal(seen.level, LEVEL_CRITICAL);
    assert_int_equal(seen.first_opened_us, 1000);
    assert_int_equal(seen.first_last_us, 1000 + WINDOW_US);
    screen(3, 1000 + 2 * WINDOW_US, 1, true, WINDOW_US); /* it still grew within the window */
    assert_int_equal(cases_list("tenant a", "", 0, 10).count, 1);
    screen(4, 1001 + 3 * WINDOW_US, 1, true, WINDOW_US);
    seen = cases_list("tenant a", "", 0, 10);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.transfers, 82);
    assert_int_equal(seen.first_opened_us, 1001 + 3 * WINDOW_US);
    rig_reopen(&rig);
    screen(5, 1002 + 3 * WINDOW_US, 1, true, WINDOW_US);
    assert_int_equal(cases_list("tenant a", "", 0, 10).count, 2);
}

static void many_payers_are_many_cases(void **state)
{
    (void)state;
    screen(1, 1000, ROWS, false, WINDOW_US); /* more groups than places for them */
    struct seen all = cases_list("tenant a", "", 0, SEEN_MAX), page = {0};
    assert_in_range(all.count, 100, ROWS);
    assert_int_equal(all.transfers, ROWS);
    uint32_t count = 0, transfers = 0;
    do {
        page = cases_list("tenant a", "", count ? page.last : 0, 7);
        count += page.count, transfers += page.transfers;
    } while (page.count == 7);
    assert_int_equal(count, all.count);
    assert_int_equal(transfers, ROWS);
    assert_int_equal(cases_list("tenant b", "", 0, 10).count, 0);
    assert_int_equal(cases_list("tenant a", "nobody", 0, 10).count, 0);
}

static void transfers_go_by_pages(void **state)
{
    (void)state;
    screen(1, 1000, 50, true, WINDOW_US);
    screen(2, 1001, 20, true, WINDOW_US);
    struct seen page = {.last = 0};
    const uint64_t entry = cases_list("tenant a", "", 0, 1).first;
    uint32_t before;
    int64_t row = -1;
    do {
        before = page.transfers;
        assert_int_equal(ledger_sqlite.cases->transfers(rig.ledger, entry, page.last, row, 9, transfer_count, &page, &note), FAULT_NONE);
        row = (int64_t)page.first;
    } while (page.transfers == before + 9);
    assert_int_equal(page.transfers, 70);
}

static void without_a_window_there_are_none(void **state)
{
    (void)state;
    screen(1, 1000, 50, true, 0);
    screen(2, 1001, 0, true, WINDOW_US);
    assert_int_equal(cases_list("tenant a", "", 0, 10).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_attack_is_one_case, setup, teardown),
        cmocka_unit_test_setup_teardown(many_payers_are_many_cases, setup, teardown),
        cmocka_unit_test_setup_teardown(transfers_go_by_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_window_there_are_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
