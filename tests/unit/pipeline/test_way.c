/* The whole way without sockets: bytes in, durable reply out, questions about it afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

/* Rows form: payer<i % 3> pays "shop". */
static void transfers(struct wire_buffer *out, int count, int64_t first_amount, const char *label)
{
    char id[32];
    wire_pack_text(out, "transfers");
    wire_pack_array(out, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        wire_pack_map(out, label ? 6 : 5);
        snprintf(id, sizeof id, "t%d", i);
        pair(out, "transfer_id", id);
        snprintf(id, sizeof id, "payer%d", i % 3);
        pair(out, "payer_id", id);
        pair(out, "payee_id", "shop");
        pair_i64(out, "amount", first_amount + i);
        pair(out, "currency", "EUR");
        if (label)
            pair(out, "label", label);
    }
}

static void screened_once_and_only_once(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    for (int again = 0; again < 2; again++) {
        begin(&message, "a", "screen", "one", 1), transfers(&message, 5, 100, NULL);
        expect(&message, "sequence", "1");
    }
    begin(&message, "a", "screen", "one", 1), transfers(&message, 5, 101, NULL);
    expect(&message, "sequence", "fault conflict");
    begin(&message, "b", "screen", "one", 1), transfers(&message, 5, 101, NULL);
    expect(&message, "sequence", "2");
}

static void score_leaves_nothing(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    struct digest before = rig_history();
    begin(&message, "a", "score", "three", 1), transfers(&message, 4, 100, NULL);
    expect(&message, "rows", "4");
    expect_state("a", "three", "fault not_found");
    assert_int_equal(rig_committed(), 0);
    assert_true(digest_equal(before, rig_history()));
    begin(&message, "b", "score", "three", 1), transfers(&message, 4, 100, NULL);
    expect(&message, "rows", "fault denied");
}

static void credentials(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    begin(&message, "nobody", "status", "s", 1), pair(&message, "batch", "x");
    expect(&message, "state", "fault auth");
    wire_pack_map(&message, 5), pair_i64(&message, "v", 1), pair(&message, "op", "stats"), pair(&message, "tenant", "a");
    pair(&message, "token", "abd"), pair(&message, "id", "x");
    expect(&message, "stats", "fault auth");
    begin(&message, "b", "query", "q", 0);
    expect(&message, "transfers", "fault denied");
    begin(&message, "a", "health", "h", 0);
    expect(&message, "ready", "1");
}

static void imports_and_labels(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    begin(&message, "a", "import", "past", 1), transfers(&message, 10, 900, "good");
    expect(&message, "rows", "10");
    begin(&message, "a", "label", "labels", 1);
    wire_pack_text(&message, "transfers");
    wire_pack_array(&message, 2);
    wire_pack_map(&message, 2), pair(&message, "transfer_id", "t3"), pair(&message, "label", "mule");
    wire_pack_map(&message, 2), pair(&message, "transfer_id", "nobody"), pair(&message, "label", "mule");
    expect(&message, "notes", "1");
}

static void restart_keeps_all(void **state)
{
    struct sent first = {0}, again = {0};
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    batch_of(&message, "a", "screen", "one", 300);
    ask(&first, &message);
    pipeline_close(&pipeline);
    rig_open(rig_config(NULL, NULL));
    batch_of(&message, "a", "screen", "one", 300);
    ask(&again, &message);
    assert_true(replies_equal(&first, &again));
    sent_fini(&first), sent_fini(&again);
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

static void named_batch(struct wire_buffer *out, const char *tenant, const char *op, const char *id, const char *name, uint32_t count)
{
    begin(out, tenant, op, id, 3), pair(out, "batch", name), columns(out, count, id, 100);
}

static void a_batch_is_asked_for_by_its_name(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    named_batch(&message, "a", "screen", "two", "monday", 7);
    expect(&message, "batch", "monday");
    named_batch(&message, "b", "screen", "two", "monday", 9); /* another tenant's */
    expect(&message, "rows", "9");
    expect_state("a", "monday", "recorded");
    expect_state("a", "two", "fault not_found"); /* the id names the request */
    begin(&message, "a", "result", "q2", 1), pair(&message, "batch", "monday");
    expect(&message, "rows", "7");
    begin(&message, "b", "result", "q2", 1), pair(&message, "batch", "monday");
    expect(&message, "rows", "9");
    begin(&message, "a", "query", "q3", 2), pair(&message, "batch", "monday"), pair(&message, "transfer", "two6");
    expect(&message, "transfers", "1");
    begin(&message, "a", "query", "q4", 2), pair(&message, "batch", "monday"), pair(&message, "account", "p0");
    expect(&message, "transfers", "1");
}

static const char *base_of(const struct sent *sent)
{
    return reply_value(sent, "base_digest");
}

/* Batches under different bases: each gets its own reply again. A name that is taken stays with the first. */
static void each_is_told_under_its_own_base(void **state)
{
    struct sent first = {0}, second = {0}, again = {0}, asked = {0};
    struct wire_buffer message;
    struct fault_note note = {0};
    (void)state;
    rig_write_base("one.safetensors", 1);
    rig_write_base("two.safetensors", 2);
    rig_open(rig_config(NULL, "one.safetensors"));
    named_batch(&message, "a", "screen", "first", "day", 40);
    ask(&first, &message);
    struct config *config = rig_config(NULL, "two.safetensors");
    assert_int_equal(pipeline_reload(pipeline, config, &note), FAULT_NONE);
    config_close(&config);
    named_batch(&message, "a", "screen", "second", "day", 40);
    expect(&message, "rows", "fault conflict");
    named_batch(&message, "a", "screen", "second", "next day", 40);
    ask(&second, &message);
    char one[64], two[64];
    snprintf(one, sizeof one, "%s", base_of(&first));
    snprintf(two, sizeof two, "%s", base_of(&second));
    assert_string_not_equal(one, two);
    named_batch(&message, "a", "screen", "first", "day", 40);
    ask(&again, &message);
    assert_string_equal(base_of(&again), one);
    assert_true(replies_equal(&first, &again));
    begin(&message, "a", "result", "r", 1), pair(&message, "batch", "day");
    ask(&asked, &message);
    assert_string_equal(base_of(&asked), one);
    sent_fini(&first), sent_fini(&second), sent_fini(&again), sent_fini(&asked);
}

/* From admission on, also while a batch waits for a worker. */
static void status_knows_what_waits(void **state)
{
    enum { BATCHES = 4 };
    struct sent sent[BATCHES] = {0};
    struct wire_buffer message;
    char id[8];
    (void)state;
    rig_open(rig_config("workers: 1\n" RIG_TENANTS, NULL));
    gate_set(&lookup_gate, true);
    for (unsigned i = 0; i < BATCHES; i++) {
        snprintf(id, sizeof id, "w%u", i);
        batch_of(&message, "a", "screen", id, 10);
        post(&sent[i], &message);
    }
    gate_await(&lookup_gate, 1);
    for (unsigned i = 0; i < BATCHES; i++) {
        snprintf(id, sizeof id, "w%u", i);
        expect_state("a", id, "in_flight");
        expect_state("b", id, "fault not_found");
    }
    gate_set(&lookup_gate, false);
    for (unsigned i = 0; i < BATCHES; i++) {
        await(&sent[i]);
        sent_fini(&sent[i]);
        snprintf(id, sizeof id, "w%u", i);
        expect_state("a", id, "recorded");
    }
}

/* Pages of `rows` rows until the cursor is empty; the rows that came. */
static unsigned rows_in_pages(unsigned rows)
{
    struct wire_buffer message;
    char cursor[64] = "";
    unsigned all = 0, pages = 0;
    do {
        struct sent sent = {0};
        struct wire_value page;
        begin(&message, "a", "query", "q", 2), pair_i64(&message, "rows_max", rows), pair(&message, "cursor", cursor);
        ask(&sent, &message);
        snprintf(cursor, sizeof cursor, "%s", reply_value(&sent, "cursor"));
        assert_true(reply_find(&sent, "transfers", &page) && page.count <= rows);
        all += page.count;
        sent_fini(&sent);
        assert_true(++pages < 1000);
    } while (cursor[0]);
    return all;
}

static void pages_over_several_batches(void **state)
{
    struct wire_buffer message;
    unsigned rows = 0;
    (void)state;
    rig_write_base("base.safetensors", 3);
    rig_open(rig_config(NULL, "base.safetensors"));
    for (unsigned i = 0; i < 6; i++) {
        char id[8];
        snprintf(id, sizeof id, "p%u", i);
        batch_of(&message, "a", i == 3 ? "import" : "screen", id, 7 + i);
        expect(&message, "batch", id);
        batch_of(&message, "b", "screen", id, 5); /* never among them */
        expect(&message, "batch", id);
        rows += 7 + i;
    }
    static const unsigned page_rows[] = {1, 3, 7, 10, 57, 58, 100};
    for (unsigned i = 0; i < sizeof page_rows / sizeof *page_rows; i++)
        assert_int_equal(rows_in_pages(page_rows[i]), rows);
    begin(&message, "a", "query", "q", 1), pair(&message, "cursor", "0:0");
    expect(&message, "cursor", "fault schema");
    begin(&message, "a", "query", "q", 1), pair_i64(&message, "rows_max", 10001);
    expect(&message, "cursor", "fault limit");
}

/* A page ends early when it gets long: cells that no check passed are kept as they came. */
static void long_cells_make_short_pages(void **state)
{
    enum { LONG = 1 << 20, ROWS = 40 };
    struct wire_buffer message;
    char *text = malloc(LONG + 1);
    (void)state;
    memset(text, 'x', LONG), text[LONG] = '\0';
    rig_open(rig_config("limits: {message_max: 64MiB}\nmemory_max: 64GiB\n" RIG_TENANTS, NULL));
    begin(&message, "a", "screen", "long", 1);
    wire_pack_text(&message, "transfers"), wire_pack_array(&message, ROWS);
    for (unsigned i = 0; i < ROWS; i++) {
        wire_pack_map(&message, 5);
        pair(&message, "transfer_id", text), pair(&message, "payer_id", "p"), pair(&message, "payee_id", "q");
        pair_i64(&message, "amount", 5), pair(&message, "currency", "EUR");
    }
    free(text);
    expect(&message, "rows", "40");
    struct sent sent = {0};
    begin(&message, "a", "query", "q", 0);
    ask(&sent, &message);
    assert_true(sent.reply.bytes < (4 << 20) + 2 * LONG);
    assert_string_not_equal(reply_value(&sent, "cursor"), "");
    sent_fini(&sent);
    assert_int_equal(rows_in_pages(100), ROWS);
}

static void late_questions_are_told_so(void **state)
{
    struct sent held = {0}, late = {0};
    struct gate hold = GATE_OPEN;
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(NULL, NULL));
    hold.closed = true, held.hold = &hold;
    begin(&message, "a", "query", "q", 0);
    post(&held, &message);
    gate_await(&hold, 1);
    begin(&message, "a", "query", "q", 1), pair_i64(&message, "deadline_ms", 20);
    post(&late, &message);
    rig_sleep_ms(40);
    gate_set(&hold, false);
    await(&held), await(&late);
    assert_string_equal(reply_fault(&late), "deadline");
    sent_fini(&held), sent_fini(&late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(screened_once_and_only_once),
        RIG_TEST(score_leaves_nothing),
        RIG_TEST(credentials),
        RIG_TEST(imports_and_labels),
        RIG_TEST(restart_keeps_all),
        RIG_TEST(a_batch_is_asked_for_by_its_name),
        RIG_TEST(each_is_told_under_its_own_base),
        RIG_TEST(status_knows_what_waits),
        RIG_TEST(pages_over_several_batches),
        RIG_TEST(long_cells_make_short_pages),
        RIG_TEST(late_questions_are_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
