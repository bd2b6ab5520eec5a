/* Who may see what. Rights are the credential's, not the tenant's: one of a tenant's credentials sends without seeing values and
 * shares, another sees them without being able to send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/secret.h"
#include "unit/pipeline/rig.h"

enum { ROWS = 300 };

/* Tokens are "submit", "analyst", "both": what each is called. */
static void open_with(const char *base)
{
    static const char *const names[] = {"submit", "analyst", "both"}, *const rights[] = {"submit", "query, explain, label",
                                                                                         "submit, score, explain"};
    char top[1024];
    int bytes = snprintf(top, sizeof top, "tenants:\n  - name: a\n    credentials:\n");
    for (unsigned i = 0; i < 3; i++) {
        unsigned char hash[SECRET_HASH_BYTES];
        char hex[2 * SECRET_HASH_BYTES + 1];
        secret_hash(hash, names[i], strlen(names[i]));
        secret_to_hex(hex, hash, sizeof hash);
        bytes += snprintf(top + bytes, sizeof top - (size_t)bytes, "      - {name: %s, token_hash: %s, rights: [%s]}\n", names[i], hex,
                          rights[i]);
    }
    snprintf(top + bytes, sizeof top - (size_t)bytes, "  - {name: b, token_hash: " TOKEN_HASH "}\n");
    rig_open(rig_config(top, base));
}

static void begin_as(struct wire_buffer *out, const char *token, const char *op, const char *id, uint32_t further)
{
    *out = (struct wire_buffer){0};
    wire_pack_map(out, 5 + further);
    pair_i64(out, "v", 1);
    pair(out, "op", op), pair(out, "tenant", "a"), pair(out, "token", token), pair(out, "id", id);
}

static void batch_as(struct wire_buffer *out, const char *token, const char *op, const char *id, const char *form)
{
    begin_as(out, token, op, id, 3);
    pair(out, "form", form);
    columns(out, ROWS, id, 100);
}

static void expect_as(const char *token, const char *op, const char *key, const char *expected)
{
    struct wire_buffer message;
    begin_as(&message, token, op, "q", 2), pair(&message, "batch", "day"), pair(&message, "transfer", "day3");
    expect(&message, key, expected);
}

/* --- who may ask for what ------------------------------------------------------------------------------------------ */

static void rights_are_the_credentials(void **state)
{
    struct wire_buffer message;
    (void)state;
    open_with(NULL);
    batch_as(&message, "analyst", "screen", "day", "columns");
    expect(&message, "rows", "fault denied");
    batch_as(&message, "submit", "screen", "day", "columns");
    expect(&message, "rows", "300");
    expect_as("analyst", "query", "transfers", "1");
    expect_as("submit", "query", "transfers", "fault denied");
    expect_as("both", "query", "transfers", "fault denied");
    expect_as("analyst", "result", "rows", "fault denied");
    expect_as("both", "result", "rows", "300");
    expect_as("analyst", "explain", "verdict", "pass");
    expect_as("submit", "explain", "verdict", "pass"); /* but see below */
    expect_as("nobody", "query", "transfers", "fault auth");
    expect_as("", "query", "transfers", "fault auth"); /* the hash of a place that is not used is no token's */
    begin(&message, "b", "query", "q", 0);             /* the short form is one credential */
    expect(&message, "transfers", "0");
    begin(&message, "b", "explain", "q", 1), pair(&message, "transfer", "day3");
    expect(&message, "verdict", "fault not_found");
}

static void a_denial_names_the_credential(void **state)
{
    struct wire_buffer message;
    struct sent sent = {0};
    (void)state;
    open_with(NULL);
    batch_as(&message, "analyst", "screen", "day", "columns");
    ask(&sent, &message);
    assert_string_equal(reply_note(&sent), "the credential analyst has no right to screen");
    sent_fini(&sent);
}

/* --- values and shares ---------------------------------------------------------------------------------------------- */

struct seen {
    unsigned reasons, margins; /* reasons that are named; values and shares that are told */
};

static void look_at_columns(struct seen *seen, const struct sent *sent)
{
    struct wire_value reasons, part;
    assert_true(reply_find(sent, "reasons", &reasons) && wire_find(&part, &reasons, "feature"));
    seen->reasons += part.text.bytes / 2;
    seen->margins += wire_find(&part, &reasons, "value") ? part.text.bytes / 4 : 0;
    seen->margins += wire_find(&part, &reasons, "share") ? part.text.bytes / 4 : 0;
}

static void look_at_rows(struct seen *seen, const struct sent *sent)
{
    struct wire_value rows, row, reasons, reason, part;
    assert_true(reply_find(sent, "transfers", &rows) && rows.count == ROWS);
    for (const unsigned char *at = rows.inside; wire_next(&row, &at, rows.end);) {
        assert_true(wire_find(&reasons, &row, "reasons"));
        const unsigned char *inside = reasons.inside;
        for (uint32_t i = 0; i < reasons.count && wire_next(&reason, &inside, reasons.end); i++) {
            seen->reasons++;
            seen->margins += wire_find(&part, &reason, "value");
            seen->margins += wire_find(&part, &reason, "share");
        }
    }
}

static struct seen look(struct wire_buffer *message, bool in_rows)
{
    struct seen seen = {0};
    struct sent sent = {0};
    ask(&sent, message);
    assert_string_equal(reply_fault(&sent), "ok");
    in_rows ? look_at_rows(&seen, &sent) : look_at_columns(&seen, &sent);
    sent_fini(&sent);
    return seen;
}

static void assert_sees(struct wire_buffer *message, bool in_rows, bool margins)
{
    struct seen seen = look(message, in_rows);
    assert_true(seen.reasons > 10);
    assert_int_equal(seen.margins, margins ? 2 * seen.reasons : 0);
}

static void values_and_shares_are_for_who_may_explain(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_write_base("base.safetensors", 7);
    open_with("base.safetensors");
    for (unsigned in_rows = 0; in_rows < 2; in_rows++) {
        const char *form = in_rows ? "rows" : "columns", *id = in_rows ? "in-rows" : "in-columns";
        static const char *const tokens[] = {"submit", "submit", "both"}; /* the first screens, the others get it again */
        for (unsigned i = 0; i < 3; i++) {
            batch_as(&message, tokens[i], "screen", id, form);
            assert_sees(&message, in_rows, i == 2);
        }
        for (unsigned i = 1; i < 3; i++) {
            begin_as(&message, tokens[i], "result", "r", 2), pair(&message, "batch", id), pair(&message, "form", form);
            assert_sees(&message, in_rows, i == 2);
        }
        batch_as(&message, "both", "screen", in_rows ? "more-rows" : "more-columns", form);
        assert_sees(&message, in_rows, true);
        batch_as(&message, "both", "score", "s", form);
        assert_sees(&message, in_rows, true);
    }
}

/* A repeat that waits for the first's answer sees what its own credential may see. */
static void a_repeat_in_flight_sees_its_own(void **state)
{
    struct wire_buffer message;
    struct sent first = {0}, twin = {0};
    struct seen seen[2] = {{0}, {0}};
    (void)state;
    rig_write_base("base.safetensors", 7);
    open_with("base.safetensors");
    gate_set(&commit_gate, true);
    batch_as(&message, "both", "screen", "day", "columns");
    post(&first, &message);
    gate_await(&commit_gate, 1);
    batch_as(&message, "submit", "screen", "day", "columns");
    post(&twin, &message);
    rig_sleep_ms(50);
    gate_set(&commit_gate, false);
    await(&first), await(&twin);
    look_at_columns(&seen[0], &first), look_at_columns(&seen[1], &twin);
    assert_true(seen[0].margins > 0 && seen[1].margins == 0 && seen[0].reasons == seen[1].reasons);
    sent_fini(&first), sent_fini(&twin);
}

/* --- explain --------------------------------------------------------------------------------------------------------- */

static double number_at(const struct wire_value *map, const char *key)
{
    struct wire_value value;
    assert_true(wire_find(&value, map, key));
    assert_true(value.type == WIRE_FLOAT || value.type == WIRE_NIL);
    return value.type == WIRE_FLOAT ? value.real : -1.0;
}

static void text_at(char out[64], const struct wire_value *map, const char *key)
{
    struct wire_value value;
    assert_true(wire_find(&value, map, key) && value.type == WIRE_STR);
    text_copy(out, 64, value.text);
}

static void top_of(struct wire_value *out, const struct sent *sent)
{
    const unsigned char *at = (const unsigned char *)sent->reply.data;
    assert_true(wire_next(out, &at, at + sent->reply.bytes));
}

static void assert_same_number(const struct wire_value *a, const struct wire_value *b, const char *key)
{
    assert_true(number_at(a, key) == number_at(b, key));
}

static void assert_same_text(const struct wire_value *a, const struct wire_value *b, const char *key)
{
    char one[64], other[64];
    text_at(one, a, key), text_at(other, b, key);
    assert_string_equal(one, other);
}

/* One row of a reply in rows, against what explain says of the same transfer. */
static void assert_explained(const struct wire_value *row, const struct wire_value *told)
{
    static const char *const texts[] = {"transfer_id", "verdict", "level", "cause", "scene", "runner_up", "risk_type", "countermeasure"};
    static const char *const numbers[] = {"match",           "runner_match",       "risk",
                                          "anomaly_own",     "anomaly_linked",     "distance_transaction",
                                          "distance_device", "distance_behaviour", "distance_social"};
    struct wire_value of_row, of_told, one, other;
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_same_text(row, told, texts[i]);
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_same_number(row, told, numbers[i]);
    assert_true((float)(number_at(told, "match") - number_at(told, "threshold")) == (float)number_at(told, "margin"));
    assert_true(number_at(told, "threshold") >= 0.4 && number_at(told, "threshold") <= 0.9);
    assert_true(number_at(told, "runner_threshold") >= 0.4);
    assert_true((float)number_at(told, "anomaly_own_threshold") == 0.95f);
    assert_true(wire_find(&one, told, "exact") && one.type == WIRE_BOOL && one.integer);
    assert_true(wire_find(&of_row, row, "reasons") && wire_find(&of_told, told, "reasons") && of_row.count == of_told.count);
    const unsigned char *at = of_row.inside, *there = of_told.inside;
    for (uint32_t i = 0; i < of_row.count; i++) {
        char unit[64];
        assert_true(wire_next(&one, &at, of_row.end) && wire_next(&other, &there, of_told.end));
        assert_same_text(&one, &other, "feature"), assert_same_text(&one, &other, "dimension");
        assert_same_number(&one, &other, "value"), assert_same_number(&one, &other, "share");
        text_at(unit, &other, "unit");
        assert_string_not_equal(unit, "");
    }
}

static void every_row_is_explained_as_it_was_decided(void **state)
{
    struct wire_buffer message;
    struct sent screened = {0}, told = {0};
    struct wire_value rows, row, top;
    char transfer[64];
    (void)state;
    rig_write_base("base.safetensors", 7);
    open_with("base.safetensors");
    batch_as(&message, "both", "screen", "day", "rows");
    ask(&screened, &message);
    pipeline_close(&pipeline);
    rig_write_base("other.safetensors", 8);
    open_with("other.safetensors"); /* the base that decided is gone */
    assert_true(reply_find(&screened, "transfers", &rows) && rows.count == ROWS);
    const unsigned char *at = rows.inside;
    for (unsigned i = 0; i < ROWS && wire_next(&row, &at, rows.end); i += 1) {
        text_at(transfer, &row, "transfer_id");
        begin_as(&message, "analyst", "explain", "e", 1), pair(&message, "transfer", transfer);
        ask(&told, &message);
        assert_string_equal(reply_fault(&told), "ok");
        assert_string_equal(reply_value(&told, "batch"), "day");
        top_of(&top, &told);
        assert_explained(&row, &top);
        sent_fini(&told);
    }
    sent_fini(&screened);
}

/* Who may not explain is told what the reply of the batch told: names. */
static void others_see_names_of_reasons(void **state)
{
    static const char *const hidden[] = {"scene", "match",  "threshold", "margin",   "risk",      "anomaly_own", "distance_social",
                                         "exact", "scenes", "shares",    "evidence", "anomalies", "passes_if",   "dimensions"};
    struct wire_buffer message;
    uint32_t reasons_seen = 0;
    (void)state;
    rig_write_base("base.safetensors", 7);
    open_with("base.safetensors");
    batch_as(&message, "submit", "screen", "day", "columns");
    expect(&message, "rows", "300");
    for (unsigned i = 0; i < 50; i++) {
        struct sent sent = {0};
        struct wire_value reasons, reason, part;
        char transfer[16];
        snprintf(transfer, sizeof transfer, "day%u", i);
        begin_as(&message, "submit", "explain", "e", 1), pair(&message, "transfer", transfer);
        ask(&sent, &message);
        assert_string_equal(reply_fault(&sent), "ok");
        for (size_t k = 0; k < sizeof hidden / sizeof *hidden; k++)
            assert_false(reply_find(&sent, hidden[k], &part));
        assert_true(reply_find(&sent, "reasons", &reasons));
        const unsigned char *at = reasons.inside;
        for (uint32_t k = 0; k < reasons.count && wire_next(&reason, &at, reasons.end); k++, reasons_seen++) {
            assert_int_equal(reason.count, 2);
            assert_true(wire_find(&part, &reason, "feature") && wire_find(&part, &reason, "dimension"));
        }
        sent_fini(&sent);
    }
    assert_true(reasons_seen > 50);
}

/* Of two batches with the same transfers; an import of them later says nothing. */
static void the_newest_or_the_named_one(void **state)
{
    struct wire_buffer message;
    (void)state;
    open_with(NULL);
    static const char *const ids[] = {"first", "second"};
    for (unsigned i = 0; i < 2; i++) {
        begin_as(&message, "submit", "screen", ids[i], 2), columns(&message, 5, "t", 100 + i);
        expect(&message, "rows", "5");
    }
    begin_as(&message, "submit", "import", "past", 2), columns(&message, 5, "t", 100);
    expect(&message, "rows", "5");
    begin_as(&message, "analyst", "explain", "e", 1), pair(&message, "transfer", "t2");
    expect(&message, "batch", "second");
    begin_as(&message, "analyst", "explain", "e", 2), pair(&message, "transfer", "t2"), pair(&message, "batch", "first");
    expect(&message, "batch", "first");
    begin_as(&message, "analyst", "explain", "e", 2), pair(&message, "transfer", "t2"), pair(&message, "batch", "past");
    expect(&message, "batch", "fault not_found");
    begin_as(&message, "analyst", "explain", "e", 1), pair(&message, "transfer", "t9");
    expect(&message, "batch", "fault not_found");
    begin_as(&message, "analyst", "explain", "e", 0);
    expect(&message, "batch", "fault schema");
}

static void an_invalid_row_says_what_is_wrong(void **state)
{
    struct wire_buffer message;
    struct sent sent = {0};
    (void)state;
    open_with(NULL);
    begin_as(&message, "submit", "screen", "day", 1);
    wire_pack_text(&message, "transfers"), wire_pack_array(&message, 1), wire_pack_map(&message, 5);
    pair(&message, "transfer_id", "t"), pair(&message, "payer_id", "p"), pair(&message, "payee_id", "q");
    pair_i64(&message, "amount", -5), pair(&message, "currency", "EUR");
    expect(&message, "rows", "1");
    begin_as(&message, "analyst", "explain", "e", 1), pair(&message, "transfer", "t");
    ask(&sent, &message);
    assert_string_equal(reply_value(&sent, "verdict"), "invalid");
    assert_string_equal(reply_value(&sent, "cause"), "check");
    assert_string_equal(reply_value(&sent, "countermeasure"), "correct_and_resubmit");
    assert_non_null(strstr(reply_note(&sent), "1 to 1000000000000000"));
    sent_fini(&sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(rights_are_the_credentials),
        RIG_TEST(a_denial_names_the_credential),
        RIG_TEST(values_and_shares_are_for_who_may_explain),
        RIG_TEST(a_repeat_in_flight_sees_its_own),
        RIG_TEST(every_row_is_explained_as_it_was_decided),
        RIG_TEST(others_see_names_of_reasons),
        RIG_TEST(the_newest_or_the_named_one),
        RIG_TEST(an_invalid_row_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
