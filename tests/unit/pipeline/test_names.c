/* What is asked for by name is a batch of transfers: its name is given once, also in flight, and labels and observations of the
 * same name stand behind it. And how much a tenant may score. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

static void named(struct wire_buffer *out, const char *tenant, const char *op, const char *id, const char *name, uint32_t count)
{
    begin(out, tenant, op, id, 3), pair(out, "batch", name), columns(out, count, id, 100);
}

static void named_label(struct wire_buffer *out, const char *id, const char *name, const char *transfer)
{
    begin(out, "a", "label", id, 2), pair(out, "batch", name);
    wire_pack_text(out, "transfers"), wire_pack_array(out, 1);
    wire_pack_map(out, 2), pair(out, "transfer_id", transfer), pair(out, "label", "good");
}

static void expect_named(const char *op, const char *name, const char *key, const char *expected)
{
    struct wire_buffer message;
    begin(&message, "a", op, "q", 1), pair(&message, "batch", name);
    expect(&message, key, expected);
}

static void a_name_is_given_once(void **state)
{
    static const char *const ops[] = {"screen", "import"};
    struct wire_buffer message;
    struct sent sent = {0};
    (void)state;
    rig_open(rig_config(NULL, NULL));
    for (unsigned i = 0; i < 2; i++) {
        const char *first = i ? "first" : "past", *day = ops[i]; /* a name for each, so that both ops stand under one */
        named(&message, "a", ops[i], first, day, 7);
        expect(&message, "rows", "7");
        for (unsigned k = 0; k < 2; k++) {
            named(&message, "a", ops[k], "second", day, 7);
            ask(&sent, &message);
            assert_string_equal(reply_fault(&sent), "conflict");
            assert_non_null(strstr(reply_note(&sent), first));
            sent_fini(&sent);
            batch_of(&message, "a", ops[k], day, 3); /* its id is its name */
            expect(&message, "rows", "fault conflict");
        }
        named(&message, "a", ops[i], first, day, 7); /* the same id is a repeat */
        expect(&message, "rows", "7");
        expect_named("status", day, "op", ops[i]);
        expect_named("result", day, "rows", "7");
    }
    assert_int_equal(rig_committed(), 2);
    named(&message, "b", "screen", "second", "screen", 9); /* another tenant's names are others */
    expect(&message, "rows", "9");
    named(&message, "a", "screen", "second", "free", 9); /* the id is free: nothing was recorded under it */
    expect(&message, "rows", "9");
}

static void a_name_in_flight_is_given(void **state)
{
    struct wire_buffer message;
    struct sent first = {0}, second = {0};
    (void)state;
    rig_open(rig_config(NULL, NULL));
    gate_set(&commit_gate, true);
    named(&message, "a", "screen", "first", "day", 7);
    post(&first, &message);
    gate_await(&commit_gate, 1);
    named(&message, "a", "import", "second", "day", 7);
    ask(&second, &message);
    assert_string_equal(reply_fault(&second), "conflict");
    assert_string_equal(reply_note(&second), "a batch of that name is in flight under another id");
    gate_set(&commit_gate, false);
    await(&first);
    assert_string_equal(reply_fault(&first), "ok");
    sent_fini(&first), sent_fini(&second);
}

static void other_ops_stand_behind(void **state)
{
    struct wire_buffer message;
    struct sent flying = {0};
    (void)state;
    rig_open(rig_config(NULL, NULL));
    named(&message, "a", "screen", "t", "day", 7);
    expect(&message, "rows", "7");
    named_label(&message, "labels", "day", "t3");
    expect(&message, "rows", "1");
    begin(&message, "a", "observe", "seen", 3), pair(&message, "batch", "day"), pair(&message, "kind", "contact");
    wire_pack_text(&message, "transfers"), wire_pack_array(&message, 1);
    wire_pack_map(&message, 2), pair(&message, "account_id", "p1"), pair(&message, "contact_id", "q3");
    expect(&message, "rows", "1");
    expect_named("status", "day", "op", "screen");
    expect_named("result", "day", "rows", "7");
    named_label(&message, "more", "week", "t4"); /* a name that only a label has is asked for like any */
    expect(&message, "rows", "1");
    expect_named("status", "week", "op", "label");
    expect_named("result", "week", "rows", "1");
    gate_set(&commit_gate, true);
    named(&message, "a", "screen", "u", "week", 5); /* and may still be given */
    post(&flying, &message);
    gate_await(&commit_gate, 1);
    expect_named("status", "week", "state", "in_flight");
    gate_set(&commit_gate, false);
    await(&flying);
    assert_string_equal(reply_fault(&flying), "ok");
    sent_fini(&flying);
    expect_named("status", "week", "op", "screen");
    expect_named("result", "week", "rows", "5");
}

/* A message that is over the limit is not read, but its id is found. */
static void a_message_too_large_is_named(void **state)
{
    struct wire_buffer message;
    struct wire_value id;
    struct sent sent = {0};
    (void)state;
    rig_open(rig_config("limits: {message_max: 64KiB}\n" RIG_TENANTS, NULL));
    batch_of(&message, "a", "screen", "large", 10000);
    ask(&sent, &message);
    assert_string_equal(reply_fault(&sent), "limit");
    assert_true(reply_find(&sent, "id", &id) && text_equal(id.text, text_of("large")));
    sent_fini(&sent);
}

/* --- how much may be scored ------------------------------------------------------------------------------------------- */

static void score(const char *tenant, uint32_t rows, const char *fault)
{
    struct wire_buffer message;
    struct sent sent = {0};
    batch_of(&message, tenant, "score", "s", rows);
    ask(&sent, &message);
    assert_string_equal(reply_fault(&sent), fault);
    if (strcmp(fault, "busy") == 0)
        assert_in_range(reply_i64(&sent, "retry_after_ms"), 5000, 12001); /* 200 rows of 1000 a minute, less what has passed */
    sent_fini(&sent);
}

static void so_many_rows_are_scored_a_minute(void **state)
{
    (void)state;
    rig_open(rig_config("tenants:\n  - {name: a, token_hash: " TOKEN_HASH ", rights: [score, submit], score_rows_per_minute: 1000}\n"
                        "  - {name: b, token_hash: " TOKEN_HASH ", rights: [score], score_rows_per_minute: 0}\n"
                        "  - {name: c, token_hash: " TOKEN_HASH ", rights: [score]}\n",
                        NULL));
    score("a", 600, "ok");
    score("a", 600, "busy");
    score("a", 400, "ok"); /* what is left of the minute */
    score("a", 200, "busy");
    score("a", 1001, "limit");
    for (unsigned i = 0; i < 3; i++)
        score("b", 50000, "ok");
    score("c", 40000, "ok");
    score("c", 30000, "busy");
    score("c", 60001, "limit");
    assert_int_equal(atomic_load(&pipeline->metrics.score_refused), 3);
    struct wire_buffer message;
    batch_of(&message, "a", "screen", "day", 2000); /* what is recorded is not counted */
    expect(&message, "rows", "2000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_name_is_given_once),         RIG_TEST(a_name_in_flight_is_given),        RIG_TEST(other_ops_stand_behind),
        RIG_TEST(a_message_too_large_is_named), RIG_TEST(so_many_rows_are_scored_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
