/* Every screened row's features are worked out again from the log, with history as it was, and give the recorded numbers bit for
 * bit, whatever came between: imports, observations, labels that wait, late rows, other tenants of the namespace. Where that cannot
 * be, it is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "unit/pipeline/rig.h"

enum { DAY_S = 86400, BATCH_ROWS = 40, ACCOUNTS = 25, DEVICES = 12 };

static uint64_t random_state;

static uint32_t below(uint32_t count)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % count);
}

static const char tenants[] = "tenants:\n"
                              "  - {name: a, namespace: shared, token_hash: " TOKEN_HASH ", " RIG_RIGHTS ", feedback_delay: 1d}\n"
                              "  - {name: b, namespace: shared, token_hash: " TOKEN_HASH ", " RIG_RIGHTS "}\n";

/* All features in four dimensions and the anomaly, batch scope among them. */
static void base_write(const char *name, uint64_t seed)
{
    struct tiny_base tiny;
    struct fault_note note = {0};
    char *bytes = NULL, path[128];
    size_t byte_count = 0;
    tiny_base_init(&tiny, 4, 48, 3, seed);
    for (unsigned i = 0; i < DIMENSION_COUNT + ANOMALY_COUNT; i++)
        for (unsigned j = 0; j < DIMENSION_COLUMNS_MAX; j++)
            tiny.columns[i][j].rscale *= 0.2f; /* nothing is cut off: each feature moves the scores */
    snprintf(path, sizeof path, "%s/%s", rig_folder, name);
    if (scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note) != FAULT_NONE ||
        file_replace(path, bytes, byte_count, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static void pair_number(struct wire_buffer *out, const char *key, const char *kind, uint32_t number)
{
    char text[64];
    snprintf(text, sizeof text, "%s%u", kind, number);
    pair(out, key, text);
}

/* Half of the rows leave each device, address and network out. */
static void pack_row(struct wire_buffer *out, const char *prefix, uint32_t i, int64_t now_us, bool is_import)
{
    static const char *const optional[] = {"payer_device",  "payee_device",  "payer_address",
                                           "payee_address", "payer_network", "payee_network"};
    uint32_t named = below(64), count = 0;
    for (unsigned k = 0; k < 6; k++)
        count += named >> k & 1;
    bool is_labelled = is_import && below(3), is_late = below(10) == 0, is_wrong = !is_import && below(15) == 0;
    int64_t time_us = now_us - (int64_t)below(3600) * 1000000 - (is_late ? 3 * DAY_S * 1000000LL : 0);
    wire_pack_map(out, 6 + count + 2 * is_labelled);
    pair_number(out, "transfer_id", prefix, i);
    pair_number(out, "payer_id", "p", below(ACCOUNTS)), pair_number(out, "payee_id", "p", below(ACCOUNTS));
    pair_i64(out, "amount", is_wrong && below(2) ? -1 : 100 + (int64_t)below(5) * 10000);
    pair(out, "currency", "EUR");
    pair_i64(out, "time", is_wrong ? clock_wall_us() + 3600 * 1000000LL : time_us);
    for (unsigned k = 0; k < 6; k++)
        if (named >> k & 1)
            pair_number(out, optional[k], k < 2 ? "d" : k < 4 ? "x" : "n", below(DEVICES));
    if (is_labelled) {
        pair(out, "label", below(3) ? "good" : "stolen");
        pair_i64(out, "label_time", time_us + (int64_t)below(6) * DAY_S * 1000000LL);
    }
}

static void pack_batch(struct wire_buffer *out, const char *tenant, const char *op, const char *id, int64_t now_us)
{
    begin(out, tenant, op, id, 1);
    wire_pack_text(out, "transfers");
    wire_pack_array(out, BATCH_ROWS);
    for (uint32_t i = 0; i < BATCH_ROWS; i++)
        pack_row(out, id, i, now_us, strcmp(op, "import") == 0);
}

static void pack_observations(struct wire_buffer *out, const char *tenant, const char *id, int64_t now_us)
{
    static const char *const kinds[] = {"attribute", "contact", "registration", "use"};
    uint32_t kind = below(4);
    begin(out, tenant, "observe", id, 2);
    pair(out, "kind", kinds[kind]);
    wire_pack_text(out, "transfers");
    wire_pack_array(out, 5);
    for (uint32_t i = 0; i < 5; i++) {
        wire_pack_map(out, kind == 3 ? 5 : 3);
        pair_number(out, "account_id", "p", below(ACCOUNTS));
        pair_i64(out, "time", now_us - (int64_t)below(3600) * 1000000);
        if (kind == 0)
            pair_i64(out, "opened_time", now_us - (int64_t)below(100) * DAY_S * 1000000LL);
        else if (kind == 1)
            pair_number(out, "contact_id", "p", below(ACCOUNTS));
        else
            pair_number(out, "device_id", "d", below(DEVICES));
        if (kind == 3)
            pair_number(out, "address", "x", below(DEVICES)), pair_number(out, "network", "n", below(DEVICES));
    }
}

static void send_ok(struct wire_buffer *message)
{
    struct sent sent = {0};
    ask(&sent, message);
    if (strcmp(reply_fault(&sent), "ok") != 0)
        fail_msg("%s: %s", reply_fault(&sent), reply_note(&sent));
    sent_fini(&sent);
}

/* Batches of both tenants, in hours that end now; every screened one's id is "a0", "a1", … */
static uint32_t past_make(uint32_t rounds)
{
    char id[32], labelled[32];
    uint32_t screened = 0;
    int64_t begin_us = clock_wall_us() - (int64_t)rounds * 3600 * 1000000LL;
    for (uint32_t i = 0; i < rounds; i++) {
        struct wire_buffer message;
        int64_t now_us = begin_us + (int64_t)i * 3600 * 1000000LL;
        const char *tenant = below(3) ? "a" : "b";
        uint32_t what = below(6);
        snprintf(id, sizeof id, "%s%u-", what < 3 ? "a" : "other", what < 3 ? screened : i);
        if (what < 3)
            pack_batch(&message, "a", "screen", id, now_us), screened++;
        else if (what == 3)
            pack_batch(&message, tenant, below(2) ? "import" : "screen", id, now_us);
        else if (what == 4)
            pack_observations(&message, tenant, id, now_us);
        else if (screened)
            snprintf(labelled, sizeof labelled, "a%u-", below(screened)),
                labels_of(&message, "a", id, labelled, BATCH_ROWS, below(2) ? "good" : "stolen");
        else
            continue;
        send_ok(&message);
    }
    return screened;
}

static bool is_true(const struct sent *sent, const char *key)
{
    struct wire_value value;
    assert_true(reply_find(sent, key, &value) && value.type == WIRE_BOOL);
    return value.integer;
}

static double real(const struct wire_value *map, const char *key)
{
    struct wire_value value;
    assert_true(wire_find(&value, map, key) && value.type == WIRE_FLOAT);
    return value.real;
}

static void explain(struct sent *out, const char *tenant, const char *batch, const char *transfer)
{
    struct wire_buffer message;
    begin(&message, tenant, "explain", "e", 2), pair(&message, "transfer", transfer), pair(&message, "batch", batch);
    ask(out, &message);
}

static double sum_of(const struct wire_value *list, const char *key, uint32_t *out_count)
{
    struct wire_value item;
    double sum = 0.0;
    const unsigned char *at = list->inside;
    *out_count = list->count;
    for (uint32_t i = 0; i < list->count && wire_next(&item, &at, list->end); i++)
        sum += real(&item, key);
    return sum;
}

static void top_of(struct wire_value *out, const struct sent *sent)
{
    const unsigned char *at = (const unsigned char *)sent->reply.data;
    assert_true(wire_next(out, &at, at + sent->reply.bytes));
}

/* The parts add up, and what is told again is what was recorded. */
static void assert_consistent(const struct sent *sent)
{
    struct wire_value top, list, first, change;
    uint32_t count;
    top_of(&top, sent);
    assert_true(wire_find(&list, &top, "scenes") && list.count == 3);
    const unsigned char *at = list.inside;
    assert_true(wire_next(&first, &at, list.end));
    assert_true(real(&first, "match") == real(&top, "match") && real(&first, "margin") == real(&top, "margin"));
    assert_true(real(&first, "distance_social") == real(&top, "distance_social"));
    double evidence = real(&top, "evidence"), bias = real(&top, "bias");
    assert_true(wire_find(&list, &top, "shares"));
    double sum = sum_of(&list, "share", &count);
    assert_int_equal(count, FEATURE_COUNT);
    assert_true(fabs(sum + bias - evidence) < 1e-4 * (1.0 + fabs(evidence)));
    assert_true(wire_find(&list, &top, "dimensions"));
    assert_true(fabs(sum_of(&list, "share", &count) - sum) < 1e-9 * (1.0 + fabs(sum)) && count == DIMENSION_COUNT);
    assert_true(wire_find(&list, &top, "anomalies") && list.count == 2);
    assert_true(wire_find(&change, &top, "passes_if"));
    assert_int_equal(change.type == WIRE_NIL, strcmp(reply_value(sent, "verdict"), "pass") == 0);
}

static uint32_t explain_all(uint32_t screened, uint32_t *out_invalid)
{
    char batch[32], transfer[32];
    uint32_t exact = 0;
    *out_invalid = 0;
    for (uint32_t b = 0; b < screened; b++)
        for (uint32_t i = 0; i < BATCH_ROWS; i += 7) {
            struct sent sent = {0};
            snprintf(batch, sizeof batch, "a%u-", b), snprintf(transfer, sizeof transfer, "a%u-%u", b, i);
            explain(&sent, "a", batch, transfer);
            assert_string_equal(reply_fault(&sent), "ok");
            if (strcmp(reply_value(&sent, "verdict"), "invalid") == 0) {
                assert_false(is_true(&sent, "exact"));
                assert_non_null(strstr(reply_value(&sent, "why"), "failed a check"));
                ++*out_invalid;
            } else if (is_true(&sent, "exact")) {
                assert_consistent(&sent);
                exact++;
            } else {
                fail_msg("%s of %s: %s", transfer, batch, reply_value(&sent, "why"));
            }
            sent_fini(&sent);
        }
    return exact;
}

static void every_row_is_had_again(void **state)
{
    uint32_t invalid;
    char token[128], top[1024];
    struct fault_note note;
    (void)state;
    random_state = rig_seed();
    base_write("base.safetensors", 7);
    snprintf(token, sizeof token, "%s/token", rig_folder);
    snprintf(top, sizeof top, "%s  - {name: c, token_file: %s, rights: [submit]}\n", tenants, token);
    assert_int_equal(file_replace(token, "a token of many bytes\n", 22, &note), FAULT_NONE);
    rig_open(rig_config(top, "base.safetensors"));
    uint32_t screened = past_make(60);
    uint32_t exact = explain_all(screened, &invalid);
    print_message("%u rows exact, %u invalid\n", exact, invalid);
    assert_true(exact > 100 && invalid > 1);
    pipeline_close(&pipeline);
    unlink(token);                     /* a configuration is read again without it */
    base_write("next.safetensors", 8); /* neither that base nor that configuration runs any more */
    rig_open(rig_config("tenants:\n  - {name: a, namespace: shared, token_hash: " TOKEN_HASH ", " RIG_RIGHTS "}\n", "next.safetensors"));
    assert_int_equal(explain_all(screened, &invalid), exact);
}

static void one_row(struct wire_buffer *out, const char *op, const char *id, const char *payer, const char *payee, int64_t time_us,
                    int64_t label_us)
{
    begin(out, "a", op, id, 1);
    wire_pack_text(out, "transfers"), wire_pack_array(out, 1), wire_pack_map(out, label_us ? 8 : 6);
    pair(out, "transfer_id", id), pair(out, "payer_id", payer), pair(out, "payee_id", payee);
    pair_i64(out, "amount", 5000), pair(out, "currency", "EUR"), pair_i64(out, "time", time_us);
    if (label_us)
        pair(out, "label", "stolen"), pair_i64(out, "label_time", label_us);
}

/* A label waits until rows of others have brought the time on; then a late row sees it. */
static void the_clock_is_everyones(void **state)
{
    const int64_t hour_us = 3600 * 1000000LL, now_us = clock_wall_us();
    struct wire_buffer message;
    struct wire_value top, list, share, figures, figure, name;
    struct sent sent = {0};
    (void)state;
    base_write("base.safetensors", 7);
    rig_open(rig_config(tenants, "base.safetensors"));
    one_row(&message, "import", "past", "p1", "p2", now_us - 72 * hour_us, now_us - hour_us), send_ok(&message);
    one_row(&message, "screen", "others", "p3", "p4", now_us, 0), send_ok(&message);
    one_row(&message, "screen", "late", "p1", "p2", now_us - 2 * hour_us, 0), send_ok(&message);
    explain(&sent, "a", "late", "late");
    if (!is_true(&sent, "exact"))
        fail_msg("%s", reply_value(&sent, "why"));
    top_of(&top, &sent);
    assert_true(wire_find(&list, &top, "shares"));
    const unsigned char *at = list.inside;
    double bad = -1.0;
    for (uint32_t i = 0; i < list.count && wire_next(&share, &at, list.end); i++)
        if (wire_find(&name, &share, "feature") && text_equal(name.text, text_of("payee_risk_30d")) &&
            wire_find(&figures, &share, "figures") && wire_find(&figure, &figures, "payee_bad_30d"))
            bad = figure.real;
    assert_true(bad == 1.0);
    sent_fini(&sent);
}

static void expect_not_exact(const char *batch, const char *transfer, const char *why)
{
    struct sent sent = {0};
    explain(&sent, "a", batch, transfer);
    assert_string_equal(reply_fault(&sent), "ok");
    assert_false(is_true(&sent, "exact"));
    if (!strstr(reply_value(&sent, "why"), why))
        fail_msg("'%s' is not in '%s'", why, reply_value(&sent, "why"));
    assert_string_equal(reply_value(&sent, "shares"), "0");
    sent_fini(&sent);
}

/* The server's history holds few accounts: what gave way there is found out, never told wrongly. */
static void what_gave_way_is_not_told(void **state)
{
    struct wire_buffer message;
    (void)state;
    base_write("base.safetensors", 7);
    rig_open(rig_config(tenants, "base.safetensors"));
    random_state = 5;
    int64_t now_us = clock_wall_us();
    pack_batch(&message, "a", "screen", "first-", now_us - 3600 * 1000000LL);
    send_ok(&message);
    for (uint32_t i = 0; i < 12; i++) { /* ten thousand others come and go */
        char id[32];
        snprintf(id, sizeof id, "many%u", i);
        begin(&message, "b", "import", id, 1);
        wire_pack_text(&message, "transfers"), wire_pack_array(&message, 1000);
        for (uint32_t k = 0; k < 1000; k++) {
            wire_pack_map(&message, 6);
            pair_number(&message, "transfer_id", id, k);
            pair_number(&message, "payer_id", "q", i * 1000 + k), pair_number(&message, "payee_id", "r", i * 1000 + k);
            pair_i64(&message, "amount", 500), pair(&message, "currency", "EUR");
            pair_i64(&message, "time", now_us - 1800 * 1000000LL);
        }
        send_ok(&message);
    }
    pack_batch(&message, "a", "screen", "later-", now_us);
    send_ok(&message);
    uint32_t exact = 0, given_up = 0;
    for (uint32_t i = 0; i < BATCH_ROWS; i++) {
        struct sent sent = {0};
        char transfer[32];
        snprintf(transfer, sizeof transfer, "later-%u", i);
        explain(&sent, "a", "later-", transfer);
        if (is_true(&sent, "exact"))
            exact++;
        else if (strstr(reply_value(&sent, "why"), "given way"))
            given_up++;
        sent_fini(&sent);
    }
    print_message("%u exact, %u not\n", exact, given_up);
    assert_true(given_up > 5);
}

static void it_is_said_when_there_is_nothing_to_explain(void **state)
{
    struct wire_buffer message;
    (void)state;
    rig_open(rig_config(tenants, NULL));
    batch_of(&message, "a", "screen", "day", 3);
    send_ok(&message);
    expect_not_exact("day", "day1", "no scene base");
}

/* --- who, and with what ids -------------------------------------------------------------------------------------------- */

static void nobody_sees_another_tenants_rows(void **state)
{
    struct wire_buffer message;
    struct sent sent = {0};
    (void)state;
    base_write("base.safetensors", 7);
    rig_open(rig_config(tenants, "base.safetensors"));
    batch_of(&message, "b", "screen", "theirs", 3);
    send_ok(&message);
    explain(&sent, "b", "theirs", "theirs1");
    assert_string_equal(reply_fault(&sent), "ok");
    assert_true(is_true(&sent, "exact"));
    sent_fini(&sent);
    begin(&message, "a", "explain", "e", 1), pair(&message, "transfer", "theirs1");
    expect(&message, "verdict", "fault not_found");
    begin(&message, "a", "explain", "e", 2), pair(&message, "transfer", "theirs1"), pair(&message, "batch", "theirs");
    expect(&message, "verdict", "fault not_found");
}

static void hostile_ids_find_nothing(void **state)
{
    struct wire_buffer message;
    char longest[2000];
    (void)state;
    rig_open(rig_config(tenants, NULL));
    batch_of(&message, "a", "screen", "day", 3);
    send_ok(&message);
    memset(longest, 'x', sizeof longest - 1), longest[sizeof longest - 1] = '\0';
    const char *const ids[] = {longest, "\xff\xfe", "day1\n", "' or 1=1 --", "day%", "../day1", "%s%n%s", "day1/", "/", "\x1b[2J", "DAY1"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        for (unsigned is_batch = 0; is_batch < 2; is_batch++) {
            struct sent sent = {0};
            begin(&message, "a", "explain", "e", 2);
            pair(&message, "transfer", is_batch ? "day1" : ids[i]), pair(&message, "batch", is_batch ? ids[i] : "day");
            ask(&sent, &message);
            const char *fault = reply_fault(&sent);
            if (strcmp(fault, "not_found") != 0 && strcmp(fault, "schema") != 0 && strcmp(fault, "limit") != 0 &&
                strcmp(fault, "syntax") != 0)
                fail_msg("id %zu: %s", i, fault);
            sent_fini(&sent);
        }
    begin(&message, "a", "explain", "e", 1), pair(&message, "transfer", "day1"); /* and all still goes on */
    expect(&message, "verdict", "pass");
}

static void a_deadline_ends_the_walk(void **state)
{
    struct wire_buffer message;
    struct sent sent = {0};
    (void)state;
    base_write("base.safetensors", 7);
    rig_open(rig_config(tenants, "base.safetensors"));
    batch_of(&message, "a", "screen", "day", 3);
    send_ok(&message);
    begin(&message, "a", "explain", "e", 2), pair(&message, "transfer", "day1"), pair_i64(&message, "deadline_ms", 60000);
    ask(&sent, &message);
    assert_true(is_true(&sent, "exact"));
    sent_fini(&sent);
    gate_set(&stored_gate, true); /* until it has passed */
    begin(&message, "a", "explain", "e", 2), pair(&message, "transfer", "day1"), pair_i64(&message, "deadline_ms", 50);
    post(&sent, &message);
    gate_await(&stored_gate, 1);
    rig_sleep_ms(80);
    gate_set(&stored_gate, false);
    await(&sent);
    assert_false(is_true(&sent, "exact"));
    assert_non_null(strstr(reply_value(&sent, "why"), "in time"));
    assert_string_equal(reply_value(&sent, "batch"), "day"); /* what is recorded is told all the same */
    sent_fini(&sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(every_row_is_had_again),           RIG_TEST(the_clock_is_everyones),
        RIG_TEST(what_gave_way_is_not_told),        RIG_TEST(it_is_said_when_there_is_nothing_to_explain),
        RIG_TEST(nobody_sees_another_tenants_rows), RIG_TEST(hostile_ids_find_nothing),
        RIG_TEST(a_deadline_ends_the_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
