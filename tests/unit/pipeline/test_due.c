/* What the end of the time for corrections brings: in time, whatever became of other batches, and by the tenant's own policy. */
#include "pipeline/life.h"
#include "unit/pipeline/rig.h"

#define TENANT "name: a, token_hash: " TOKEN_HASH ", rights: [submit], corrections: 1s"
#define TOP    "tenants:\n  - {" TENANT "}\n"
enum { ROWS = 20, PATIENCE_MS = 20000 };

static atomic_uint_fast64_t unreadable; /* sequence */

static enum fault read_but_one(struct ledger *ledger, struct batch *out, uint64_t sequence, struct fault_note *note)
{
    return sequence == atomic_load(&unreadable) ? fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "a bad block")
                                                : ledger_sqlite.read(ledger, out, sequence, note);
}

static void open_with(const char *top)
{
    rig_open(rig_config(top, NULL));
    rig_ledger.read = read_but_one;
}

/* Some rows pass, some are invalid. */
static uint64_t screen(const char *id)
{
    struct sent sent = {0};
    struct wire_buffer message;
    begin(&message, "a", "screen", id, 2);
    columns(&message, ROWS, id, -50000);
    post(&sent, &message);
    await(&sent);
    assert_string_equal(reply_fault(&sent), "ok");
    uint64_t sequence = (uint64_t)reply_i64(&sent, "sequence");
    sent_fini(&sent);
    return sequence;
}

static struct ledger_life life_of(uint64_t sequence)
{
    struct ledger_life life;
    assert_int_equal(pipeline->ledger_ops->life_find(pipeline->ledger, &life, sequence, NULL), FAULT_NONE);
    return life;
}

static void await_over(uint64_t sequence)
{
    for (int ms = 0; ms < PATIENCE_MS && life_of(sequence).due_us != 0; ms += 20)
        rig_sleep_ms(20);
    assert_int_equal(life_of(sequence).due_us, 0);
}

static void a_batch_that_cannot_be_read_keeps_no_other_waiting(void **state)
{
    (void)state;
    open_with(TOP);
    uint64_t first = screen("first"), second;
    atomic_store(&unreadable, first);
    assert_true(life_of(first).state == LIFE_AWAITING && life_of(first).due_us > 0);
    second = screen("second");
    await_over(second);
    assert_true(life_of(second).state == LIFE_RELEASED && life_of(second).releases == 1);
    assert_true(life_of(first).state == LIFE_AWAITING && life_of(first).releases == 0);
    atomic_store(&unreadable, 0);
    await_over(first);
    assert_true(life_of(first).state == LIFE_RELEASED && life_of(first).releases == 1);
}

static void nothing_leaves_for_a_tenant_that_is_gone(void **state)
{
    (void)state;
    open_with(TOP);
    uint64_t sequence = screen("gone");
    pipeline_close(&pipeline);
    open_with("tenants:\n  - {name: b, token_hash: " TOKEN_HASH ", rights: [submit]}\n");
    await_over(sequence);
    assert_true(life_of(sequence).state == LIFE_OPEN && life_of(sequence).releases == 0);
}

/* A row of the table that speaks of scores says nothing of what a list or a seen id stopped. */
static void final_is_what_the_row_that_judged_says(void **state)
{
    (void)state;
    struct strategy strategy;
    struct fault_note note = {0};
    strategy_default(&strategy);
    for (uint32_t i = 0; i < strategy.row_count; i++)
        strategy.rows[i].final = strategy.rows[i].risk_type == STRATEGY_ANY;
    assert_int_equal(strategy_complete(&strategy, &note), FAULT_NONE);
    uint8_t verdict = VERDICT_HOLD, level = LEVEL_CRITICAL, cause = CAUSE_DUPLICATE, risk_type = strategy.risk_type_duplicate;
    const struct results results = {.verdict = &verdict, .level = &level, .cause = &cause, .risk_type = &risk_type};
    assert_false(life_row_is_final(&strategy, &results, 0));
    cause = CAUSE_BLOCKED, risk_type = strategy.risk_type_blocked;
    assert_false(life_row_is_final(&strategy, &results, 0));
    cause = CAUSE_RESTRICTED, risk_type = strategy.risk_type_restricted;
    assert_false(life_row_is_final(&strategy, &results, 0));
    cause = CAUSE_ANOMALY, risk_type = strategy.risk_type_anomaly;
    assert_true(life_row_is_final(&strategy, &results, 0));
    verdict = VERDICT_PASS;
    assert_false(life_row_is_final(&strategy, &results, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_batch_that_cannot_be_read_keeps_no_other_waiting),
        cmocka_unit_test(final_is_what_the_row_that_judged_says),
        RIG_TEST(nothing_leaves_for_a_tenant_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
