/* A tenant that speaks in its own words: two products, a row for every rule, computed columns found again, profiles changed while
 * batches are on their way, and the ledger verified at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/secret.h"
#include "flow/harness.h"
#include "flow/message.h"

enum { ROWS_MAX = 20000, COLUMNS_MAX = 16, SENT = 40 };
#define DESK_TOKEN "desk-token-9c2e"

static struct server server;
static struct sluice_client *client;
static char output[1 << 16];

static const char salary[] = "name: salary\nproduct: SAL\nrequire: [transaction_type]\ncolumns:\n"
                             "  - {name: payer_id, from: debtor}\n"
                             "  - {name: payee_id, from: creditor, pattern: '[A-Z]{2}[0-9]+'}\n"
                             "  - {name: amount, from: sum, unit: major, least: 100, most: 2000000}\n"
                             "  - {name: transaction_type, one_of: [wage, bonus]}\n"
                             "  - {name: slip, unique: true, length_most: 8}\n"
                             "  - {name: grade, type: int}\n"
                             "  - {name: country, required: true}\n"
                             "tables:\n  - name: region\n    entries: [{key: DE, value: home}, {key: FR, value: near}]\n"
                             "fill: |\n"
                             "  channel = \"batch\"\n"
                             "  reach = default(lookup(region, country), \"far\")\n"
                             "  share = float(amount) / float(grade)\n"
                             "post: |\n"
                             "  unusual = amount > 500000 and reach == \"far\"\n";
static const char any[] = "name: any\nfill: |\n  twice = amount * 2\n";

/* Columns of text by name, a value a row. */
struct sheet {
    uint32_t rows, columns;
    const char *names[COLUMNS_MAX];
    const char *const *values[COLUMNS_MAX];
};

static struct sluice_reply *sheet_send(const char *id, const struct sheet *sheet, const int64_t *amounts, int expected)
{
    static uint16_t codes[ROWS_MAX];
    struct sluice_batch *batch;
    struct sluice_reply *reply = NULL;
    for (uint32_t i = 0; i < sheet->rows; i++)
        codes[i] = (uint16_t)i;
    MUST(sluice_batch_new(&batch, id, sheet->rows) == 0);
    for (uint32_t i = 0; i < sheet->columns; i++)
        MUST(sluice_batch_dict16(batch, sheet->names[i], codes, sheet->values[i], sheet->rows, NULL) == 0);
    MUST(!amounts || sluice_batch_i64(batch, "amount", amounts, NULL) == 0);
    int error = sluice_call(client, "screen", batch, 0, &reply);
    if (error != expected)
        fail_msg("%s: %s %s", id, sluice_error_name(error), reply ? sluice_reply_text(reply) : "");
    sluice_batch_free(&batch);
    return reply;
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__})
static const struct sheet salaries = {
    .rows = 7,
    .columns = 10,
    .names = {"transfer_id", "debtor", "creditor", "sum", "currency", "transaction_type", "product_code", "slip", "grade", "country"},
    .values = {TEXTS("t0", "t1", "t2", "t3", "t4", "t5", "t6"), TEXTS("a", "a", "a", "a", "a", "a", "a"),
               TEXTS("DE1", "de1", "DE2", "DE3", "DE4", "DE5", "DE6"), TEXTS("5000.01", "12.00", "0.99", "12.345", "12", "12", "12"),
               TEXTS("EUR", "EUR", "EUR", "EUR", "EUR", "EUR", "EUR"), TEXTS("wage", "wage", "wage", "bonus", "tip", "bonus", "wage"),
               TEXTS("SAL", "SAL", "SAL", "SAL", "SAL", "SAL", "ANY"), TEXTS("s0", "s1", "s2", "s3", "s4", "s0", "s6-too-long"),
               TEXTS("0", "1", "2", "x", "4", "5", "6"), TEXTS("PL", "FR", "DE", "DE", "DE", "DE", "DE")}};

static uint32_t rule_count(const struct sluice_reply *reply, const char *column, const char *rule)
{
    struct wire_value map = reply_map(reply), counts, one;
    char text[64];
    MUST(wire_find(&counts, &map, "note_counts") && counts.type == WIRE_ARRAY);
    const unsigned char *at = counts.inside;
    while (wire_next(&one, &at, counts.end))
        if (map_text(text, sizeof text, &one, "column") && strcmp(text, column) == 0 && map_text(text, sizeof text, &one, "rule") &&
            strcmp(text, rule) == 0)
            return (uint32_t)map_number(&one, "count");
    return 0;
}

static bool is_invalid(const struct sluice_reply *reply, uint32_t row)
{
    return strcmp(sluice_reply_name(reply, "verdict", sluice_reply_u8(reply, "verdict")[row]), "invalid") == 0;
}

static void test_every_rule(void **state)
{
    (void)state;
    struct sluice_reply *reply = sheet_send("salaries", &salaries, NULL, 0), *again;
    static const struct {
        const char *column, *rule;
    } rules[] = {{"payee_id", "pattern"}, {"amount", "range"}, {"amount", "type"},       {"transaction_type", "enum"}, {"slip", "unique"},
                 {"slip", "length"},      {"grade", "type"},   {"product_code", "enum"}, {"share", "compute"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rule_count(reply, rules[i].column, rules[i].rule) != 1)
            fail_msg("%u times %s of %s", rule_count(reply, rules[i].column, rules[i].rule), rules[i].rule, rules[i].column);
    assert_false(is_invalid(reply, 0)); /* its share cannot be computed: told, and it goes on */
    for (uint32_t row = 1; row < salaries.rows; row++)
        assert_true(is_invalid(reply, row));
    again = sheet_send("salaries", &salaries, NULL, 0);
    size_t bytes[2];
    const void *messages[2] = {sluice_reply_bytes(reply, &bytes[0]), sluice_reply_bytes(again, &bytes[1])};
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(messages[0], messages[1], bytes[0]);
    sluice_reply_free(&again);
    sluice_reply_free(&reply);
}

static void test_another_product(void **state)
{
    (void)state;
    static const int64_t amounts[] = {21, 500};
    const struct sheet plain = {.rows = 2,
                                .columns = 5,
                                .names = {"transfer_id", "payer_id", "payee_id", "currency", "product_code"},
                                .values = {TEXTS("p0", "p1"), TEXTS("a", "b"), TEXTS("c", "d"), TEXTS("EUR", "EUR"), TEXTS("X", "Y")}};
    struct sluice_reply *reply = sheet_send("plain", &plain, amounts, 0);
    assert_false(is_invalid(reply, 0) || is_invalid(reply, 1));
    sluice_reply_free(&reply);
    struct sheet lacking = plain;
    lacking.values[4] = TEXTS("SAL", "SAL");
    reply = sheet_send("lacking", &lacking, amounts, SLUICE_FAULT);
    assert_string_equal(reply_fault(reply), "schema");
    assert_non_null(strstr(sluice_reply_text(reply), "profile salary"));
    sluice_reply_free(&reply);
}

/* Which profile checks it is said once for all rows, and recorded as if every row had said it. */
static void test_one_product(void **state)
{
    (void)state;
    static const char *const values[][1] = {{"e0"}, {"a"}, {"DE7"}, {"7.00"}, {"EUR"}, {"tip"}, {"e-s0"}, {"1"}, {"FR"}, {"SAL"}};
    static const char *const names[] = {"transfer_id",      "debtor", "creditor", "sum",     "currency",
                                        "transaction_type", "slip",   "grade",    "country", "product_code"};
    enum { NAMES = sizeof names / sizeof *names };
    for (int twice = 0; twice < 2; twice++) {
        struct wire_buffer message = {0};
        message_begin_as(&message, "desk", DESK_TOKEN, "screen", twice ? "both" : "enveloped", 4);
        message_pair(&message, "product", "SAL");
        message_pair(&message, "form", "rows");
        message_integer(&message, "rows", 1);
        wire_pack_text(&message, "columns");
        wire_pack_map(&message, NAMES - 1 + (uint32_t)twice);
        for (int i = 0; i < NAMES - 1 + twice; i++)
            message_column_str(&message, names[i], values[i], 1);
        assert_string_equal(message_ask(server.data_url, &message), twice ? "schema" : "ok");
    }
    assert_non_null(strstr(message_note, "both name the product"));
    char text[64] = "";
    struct sluice_reply *reply = NULL;
    struct wire_value rows, row, columns;
    assert_int_equal(sluice_query(client, &(struct sluice_query){.transfer = "e0"}, &reply), 0);
    struct wire_value map = reply_map(reply);
    assert_true(wire_find(&rows, &map, "transfers") && rows.count == 1);
    const unsigned char *at = rows.inside;
    assert_true(wire_next(&row, &at, rows.end) && map_text(text, sizeof text, &row, "verdict"));
    assert_string_equal(text, "invalid"); /* a tip is none of the types that the salary's profile takes */
    assert_true(wire_find(&columns, &row, "columns") && map_text(text, sizeof text, &columns, "product_code"));
    assert_string_equal(text, "SAL");
    sluice_reply_free(&reply);
}

/* Of the one row that the query finds. */
static bool column_found(char *out, size_t out_bytes, double *number, const char *transfer, const char *column)
{
    struct sluice_reply *reply = NULL;
    struct wire_value rows, row, columns, cell;
    assert_int_equal(sluice_query(client, &(struct sluice_query){.transfer = transfer}, &reply), 0);
    struct wire_value map = reply_map(reply);
    assert_true(wire_find(&rows, &map, "transfers") && rows.type == WIRE_ARRAY && rows.count == 1);
    const unsigned char *at = rows.inside;
    assert_true(wire_next(&row, &at, rows.end) && wire_find(&columns, &row, "columns") && columns.type == WIRE_MAP);
    bool found = wire_find(&cell, &columns, column);
    if (found && cell.type == WIRE_STR)
        map_text(out, out_bytes, &columns, column);
    else if (found)
        *number = map_number(&columns, column);
    sluice_reply_free(&reply);
    return found;
}

static void test_found_again(void **state)
{
    (void)state;
    char text[64] = "", token[300];
    double number = 0;
    assert_true(column_found(text, sizeof text, &number, "t0", "reach"));
    assert_string_equal(text, "far");
    assert_true(column_found(text, sizeof text, &number, "t0", "channel"));
    assert_string_equal(text, "batch");
    assert_true(column_found(text, sizeof text, &number, "t0", "sum"));
    assert_string_equal(text, "5000.01");
    assert_true(column_found(text, sizeof text, &number, "t0", "unusual"));
    assert_true(number == 1);
    assert_false(column_found(text, sizeof text, &number, "t0", "share")); /* could not be computed: null */
    assert_true(column_found(text, sizeof text, &number, "p1", "twice"));
    assert_true(number == 1000);
    snprintf(token, sizeof token, "%s/desk.token", server.folder);
    flow_write(token, DESK_TOKEN, strlen(DESK_TOKEN));
    if (FLOW_RUN(output, "query", "--connect", server.data_url, "--tenant", "desk", "--token-file", token, "--transfer", "t0",
                 "--format=jsonl") ||
        !strstr(output, "\"reach\":\"far\""))
        fail_msg("%s", output);
}

/* The largest batch that fits one dictionary: what a profile needs was reserved. */
static void test_many_rows(void **state)
{
    (void)state;
    enum { MANY = ROWS_MAX, ID_BYTES = 12 };
    static char ids[MANY][ID_BYTES], creditors[MANY][ID_BYTES];
    static const char *cells[10][MANY];
    struct sheet many = salaries;
    many.rows = MANY;
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(ids[i], ID_BYTES, "m%u", i);
        snprintf(creditors[i], ID_BYTES, "DE%u", i % 977);
        const char *row[] = {ids[i], "a", creditors[i], "15.20", "EUR", "wage", "SAL", ids[i], "3", i % 2 ? "FR" : "IT"};
        for (int k = 0; k < 10; k++)
            cells[k][i] = row[k];
    }
    for (int k = 0; k < 10; k++)
        many.values[k] = cells[k];
    struct sluice_reply *reply = sheet_send("many", &many, NULL, 0);
    assert_int_equal(sluice_reply_rows(reply), MANY);
    for (uint32_t i = 0; i < MANY; i++)
        assert_false(is_invalid(reply, i));
    sluice_reply_free(&reply);
}

static void profile_write(const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", server.folder, name);
    flow_write(path, text, strlen(text));
}

static void hang_up_and_wait(const char *text)
{
    size_t before = server_log_count(&server, text);
    MUST(kill(server.pid, SIGHUP) == 0);
    for (int waited = 0; waited < 20000 && server_log_count(&server, text) == before; waited += 20)
        sleep_ms(20);
    if (server_log_count(&server, text) == before)
        server_log_show(&server);
    assert_true(server_log_count(&server, text) > before);
}

static atomic_int answered, wrong;

static void on_done(void *context, int error, struct sluice_reply *reply)
{
    (void)context;
    atomic_fetch_add(&answered, 1);
    atomic_fetch_add(&wrong, error != 0);
    sluice_reply_free(&reply);
}

static void test_reload_drops_nothing(void **state)
{
    (void)state;
    static char changed[sizeof salary + 64];
    static const uint16_t codes[] = {0, 1, 2, 3, 4, 5, 6};
    char digest[64];
    snprintf(changed, sizeof changed, "%s", salary);
    char *pattern = strstr(changed, "[A-Z]{2}[0-9]+");
    memcpy(pattern, "[a-z]{2}[0-9]+", strlen("[a-z]{2}[0-9]+"));
    struct sluice_reply *reply = sheet_send("before", &salaries, NULL, 0);
    snprintf(digest, sizeof digest, "%s", sluice_reply_string(reply, "config_digest"));
    sluice_reply_free(&reply);
    for (int i = 0; i < SENT; i++) {
        char id[32];
        struct sluice_batch *batch;
        snprintf(id, sizeof id, "flying-%d", i);
        MUST(sluice_batch_new(&batch, id, salaries.rows) == 0);
        for (uint32_t k = 0; k < salaries.columns; k++)
            MUST(sluice_batch_dict16(batch, salaries.names[k], codes, salaries.values[k], salaries.rows, NULL) == 0);
        MUST(sluice_call_async(client, "screen", batch, 0, on_done, NULL) == 0);
        sluice_batch_free(&batch);
        if (i == SENT / 2) {
            profile_write("salary.yaml", changed);
            hang_up_and_wait("configuration read again");
        }
    }
    MUST(sluice_wait_all(client) == 0);
    assert_int_equal(atomic_load(&answered), SENT);
    assert_int_equal(atomic_load(&wrong), 0);
    reply = sheet_send("after", &salaries, NULL, 0);
    assert_int_equal(rule_count(reply, "payee_id", "pattern"), salaries.rows - 1);
    assert_string_not_equal(digest, sluice_reply_string(reply, "config_digest"));
    sluice_reply_free(&reply);
}

static void test_broken_is_refused(void **state)
{
    (void)state;
    profile_write("salary.yaml", "name: salary\nproduct: SAL\nfill: |\n  x = colour + 1\n");
    hang_up_and_wait("configuration refused");
    assert_true(server_log_count(&server, "salary.yaml:4") > 0);
    struct sluice_reply *reply = sheet_send("still", &salaries, NULL, 0);
    assert_int_equal(rule_count(reply, "payee_id", "pattern"), salaries.rows - 1);
    sluice_reply_free(&reply);
    char path[300], rows[300];
    snprintf(path, sizeof path, "%s/salary.yaml", server.folder);
    assert_int_equal(FLOW_RUN(output, "check-profile", path), 2);
    assert_non_null(strstr(output, "salary.yaml:4:"));
    profile_write("salary.yaml", salary);
    profile_write("rows.csv", "transfer_id,debtor,creditor,sum,currency,transaction_type,slip,grade,country\n"
                              "c0,a,DE1,8000.00,EUR,wage,s,2,PL\nc1,a,d,1,EUR,tip,s,0,FR\n");
    snprintf(rows, sizeof rows, "%s/rows.csv", server.folder);
    assert_int_equal(FLOW_RUN(output, "check-profile", path, "--rows", rows), 0);
    assert_non_null(strstr(output, "0,\"c0\",fine,\"batch\",\"far\",400000,true,\n"));
    assert_non_null(strstr(output, "payee_id: d does not fit the pattern"));
    assert_non_null(strstr(output, "share: cannot be computed: division by zero"));
    hang_up_and_wait("configuration read again");
}

static void test_replay_and_restart(void **state)
{
    (void)state;
    char ledger[300];
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
    struct sluice_reply *first = sheet_send("salaries", &salaries, NULL, 0), *again;
    sluice_close(&client);
    server_stop(&server);
    if (FLOW_RUN(output, "replay", "--verify", ledger) != 0)
        fail_msg("%s", output);
    assert_non_null(strstr(output, "to the bit"));
    server_start(&server);
    client = client_open_as(server.data_url, "desk", DESK_TOKEN, 60000);
    again = sheet_send("salaries", &salaries, NULL, 0);
    assert_int_equal(rule_count(again, "slip", "length"), 1);
    assert_int_equal(rule_count(again, "share", "compute"), 1);
    assert_string_equal(sluice_reply_string(first, "config_digest"), sluice_reply_string(again, "config_digest"));
    sluice_reply_free(&again);
    sluice_reply_free(&first);
}

int main(void)
{
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1], tenants[512];
    MUST(secret_open());
    secret_hash(hash, DESK_TOKEN, strlen(DESK_TOKEN));
    secret_to_hex(hex, hash, sizeof hash);
    snprintf(tenants, sizeof tenants,
             "  - name: desk\n    token_hash: %s\n    rights: [submit, query]\n    profiles: [salary.yaml, any.yaml]\n", hex);
    server_configure(&server, &(struct server_options){.tenants = tenants});
    profile_write("salary.yaml", salary);
    profile_write("any.yaml", any);
    server_start(&server);
    client = client_open_as(server.data_url, "desk", DESK_TOKEN, 60000);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule),        cmocka_unit_test(test_another_product),    cmocka_unit_test(test_one_product),
        cmocka_unit_test(test_found_again),       cmocka_unit_test(test_many_rows),          cmocka_unit_test(test_reload_drops_nothing),
        cmocka_unit_test(test_broken_is_refused), cmocka_unit_test(test_replay_and_restart),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sluice_close(&client);
    server_stop(&server);
    return failed;
}
