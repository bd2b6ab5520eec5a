/* Lists of tenants: what they flag, for how long, of whom; that nothing gives way and that what does not fit is refused whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/memory.h"
#include "history/state.h"
#include "unit/history/world.h"

enum { ROWS = 3000 };

static struct stream stream;
static uint8_t flags[ROWS];
static int64_t ends[ROWS];

static struct history *history_take(uint64_t listed)
{
    struct history *history = NULL;
    struct fault_note note = {0};
    const struct history_limits limits = {
        .accounts_max = 100, .events_max = 1000, .busy_max = 16, .links_max = 1000, .places_max = 100, .listed_max = listed};
    assert_int_equal(history_memory.open(&history, &limits, &note), FAULT_NONE);
    return history;
}

/* Rows of the stream onto, or off, one list. */
static uint32_t edit(struct history *history, enum op op, const char *tenant, enum party_list list, uint32_t count, int64_t now_us,
                     int64_t until_us)
{
    struct batch batch;
    stream.count = count;
    stream_batch(&batch, &stream, op);
    memset(flags, list_flag(list), sizeof flags);
    for (uint32_t i = 0; i < count; i++)
        ends[i] = until_us;
    batch.facts.flags = flags;
    batch.tenant = text_of(tenant);
    batch.now_us = now_us;
    if (until_us)
        batch.columns[COLUMN_until] = (struct column){.form = FORM_I64, .data = (const unsigned char *)ends};
    return history_memory.list(history, &batch);
}

static uint8_t ask(struct history *history, const char *tenant, int64_t now_us, uint32_t row, uint32_t count)
{
    struct batch batch;
    stream.count = count;
    stream_batch(&batch, &stream, OP_screen);
    memset(flags, 0, sizeof flags);
    batch.facts.flags = flags;
    batch.tenant = text_of(tenant);
    batch.now_us = now_us;
    history_memory.relate(history, &batch, 0, count, 0, false, NULL);
    return flags[row];
}

static void parties_are_flagged_until_their_end(void **state)
{
    (void)state;
    struct history *history = history_take(100);
    memset(&stream, 0, sizeof stream);
    stream.payer[0] = 11, stream.payer_device[1] = 12, stream.payer_address[2] = 13;
    assert_int_equal(edit(history, OP_list_put, "a", LIST_BLOCK, 3, START_US, START_US + DAY_US), 0);
    memset(&stream, 0, sizeof stream);
    stream.payer[0] = 12, stream.payee[1] = 11, stream.payee_device[2] = 12, stream.payer_address[3] = 13, stream.payer_device[4] = 11;
    const uint8_t wanted[] = {0, list_flag(LIST_BLOCK), list_flag(LIST_BLOCK), list_flag(LIST_BLOCK), 0};
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(ask(history, "a", START_US + DAY_US - 1000000, i, 5), wanted[i]);
        assert_int_equal(ask(history, "a", START_US + DAY_US, i, 5), 0);
        assert_int_equal(ask(history, "b", START_US, i, 5), 0);
    }
    stream.payee[0] = 11;
    assert_int_equal(edit(history, OP_list_remove, "b", LIST_BLOCK, 1, START_US, 0), 0);
    assert_int_equal(ask(history, "a", START_US, 1, 5), list_flag(LIST_BLOCK));
    history_memory.close(&history);
}

static void lists_are_apart(void **state)
{
    (void)state;
    struct history *history = history_take(100);
    memset(&stream, 0, sizeof stream);
    stream.payer[0] = 21;
    edit(history, OP_list_put, "a", LIST_BLOCK, 1, START_US, 0);
    edit(history, OP_list_put, "a", LIST_ALLOW, 1, START_US, 0);
    assert_int_equal(ask(history, "a", START_US, 0, 1), list_flag(LIST_BLOCK) | list_flag(LIST_ALLOW));
    edit(history, OP_list_remove, "a", LIST_BLOCK, 1, START_US, 0);
    assert_int_equal(ask(history, "a", START_US + 5000 * DAY_US, 0, 1), list_flag(LIST_ALLOW));
    assert_int_equal(history->head->listed_used, 1);
    edit(history, OP_list_remove, "a", LIST_ALLOW, 1, START_US, 0);
    assert_int_equal(history->head->listed_used, 0);
    history_memory.close(&history);
}

static void a_full_list_refuses_and_forgets_nothing(void **state)
{
    (void)state;
    enum { MAX = 1000 };
    struct history *history = history_take(MAX);
    memset(&stream, 0, sizeof stream);
    for (uint32_t i = 0; i < ROWS; i++)
        stream.payer[i] = 100 + i;
    stream.payer_device[MAX - 1] = 5; /* two where one place is left: neither */
    assert_int_equal(edit(history, OP_list_put, "a", LIST_BLOCK, MAX, START_US, START_US + DAY_US), 1);
    assert_int_equal(stream.invalid[MAX - 1], 1);
    assert_int_equal(history->head->listed_used, MAX - 1);
    stream.invalid[MAX - 1] = 0, stream.payer_device[MAX - 1] = 0;
    assert_int_equal(edit(history, OP_list_put, "a", LIST_RESTRICT, MAX + 1, START_US, 0), 1);
    for (uint32_t i = 0; i < MAX; i++)
        assert_true(ask(history, "a", START_US, i, MAX) & list_flag(LIST_RESTRICT));
    memset(stream.invalid, 0, sizeof stream.invalid);
    assert_int_equal(edit(history, OP_list_remove, "a", LIST_RESTRICT, MAX, START_US, 0), 0);
    for (uint32_t i = 0; i < ROWS; i++)
        stream.payer[i] = 90000 + i;
    assert_int_equal(edit(history, OP_list_put, "a", LIST_BLOCK, 10, START_US, 0), 9);
    memset(stream.invalid, 0, sizeof stream.invalid);
    assert_int_equal(edit(history, OP_list_put, "a", LIST_BLOCK, MAX, START_US + 2 * DAY_US, 0), 0); /* the others are over */
    assert_int_equal(history->head->listed_used, MAX);
    history_memory.close(&history);
}

/* Edits as they are made and as a rebuild makes them, which does not see the rows that were refused. */
static void a_rebuild_comes_to_the_same(void **state)
{
    (void)state;
    enum { MAX = 40, IDS = 120, EDITS = 400, EACH = 30 };
    struct history *history = history_take(MAX), *again = history_take(MAX);
    uint32_t refused = 0, swept = 0;
    world_state = world_seed();
    for (uint32_t i = 0; i < EDITS; i++) {
        enum op op = world_below(4) ? OP_list_put : OP_list_remove;
        enum party_list list = (enum party_list)world_below(LIST_COUNT);
        int64_t now_us = START_US + i * DAY_US / 10, until_us = world_below(3) ? now_us + (int64_t)world_below(DAY_US) - DAY_US / 10 : 0;
        if (world_below(20) == 0)
            op = OP_list_remove;
        memset(&stream, 0, sizeof stream);
        for (uint32_t row = 0; row < EACH; row++) {
            stream.payer[row] = 7000 + world_below(IDS);
            stream.payer_device[row] = world_below(3) ? 0 : 7000 + world_below(IDS);
        }
        uint64_t used = history->head->listed_used;
        refused += edit(history, op, "a", list, EACH, now_us, until_us);
        swept += op == OP_list_put && history->head->listed_used < used;
        edit(again, op, "a", list, EACH, now_us, until_us); /* stream.invalid has what was refused */
        assert_true(digest_equal(history_memory.state_digest(history), history_memory.state_digest(again)));
    }
    assert_true(refused > 0 && swept > 0 && lists_hold(history));
    history_memory.close(&history);
    history_memory.close(&again);
}

/* Random edits against a plain array, and through a snapshot. */
static void edits_agree_with_a_plain_array(void **state)
{
    (void)state;
    enum { IDS = 300, EDITS = 4000 };
    static uint8_t plain[IDS];
    struct history *history = history_take(IDS), *again = history_take(IDS);
    struct fault_note note = {0};
    char path[] = "/tmp/sluice-lists-XXXXXX";
    uint64_t sequence = 0;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    world_state = world_seed();
    memset(plain, 0, sizeof plain);
    for (uint32_t i = 0; i < EDITS; i++) {
        uint64_t id = world_below(IDS);
        enum party_list list = (enum party_list)world_below(LIST_COUNT);
        bool puts = world_below(2);
        memset(&stream, 0, sizeof stream);
        stream.payer[0] = 7000 + id;
        assert_int_equal(edit(history, puts ? OP_list_put : OP_list_remove, "a", list, 1, START_US, 0), 0);
        plain[id] = puts ? plain[id] | list_flag(list) : plain[id] & (uint8_t)~list_flag(list);
    }
    for (uint32_t i = 0; i < IDS; i++)
        stream.payer[i] = 7000 + i;
    assert_int_equal(history_memory.save(history, 9, path, &note), FAULT_NONE);
    assert_int_equal(history_memory.load(again, &sequence, path, &note), FAULT_NONE);
    for (uint32_t i = 0; i < IDS; i++) {
        assert_int_equal(ask(history, "a", START_US, i, IDS), plain[i]);
        assert_int_equal(ask(again, "a", START_US, i, IDS), plain[i]);
    }
    assert_true(lists_hold(history) && lists_hold(again));
    unlink(path);
    history_memory.close(&history);
    history_memory.close(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parties_are_flagged_until_their_end),     cmocka_unit_test(lists_are_apart),
        cmocka_unit_test(a_full_list_refuses_and_forgets_nothing), cmocka_unit_test(a_rebuild_comes_to_the_same),
        cmocka_unit_test(edits_agree_with_a_plain_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
