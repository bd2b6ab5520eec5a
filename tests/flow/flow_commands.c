/* The commands as a user types them: what they print, and that their exit status tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flow/harness.h"

enum { ROWS = 2000, DONE = 0, HELD = 1, REFUSED = 2, UNREACHABLE = 3 };

static struct table *fresh;
static struct server server;
static char token_path[256], rows_path[256], labels_path[256], output[1 << 20];

#define RUN(...) FLOW_RUN(output, __VA_ARGS__)
#define SERVER   "--connect", server.data_url, "--tenant", "flow", "--token-file", token_path

static void assert_printed(const char *text)
{
    if (!strstr(output, text))
        fail_msg("'%s' is not in: %.2000s", text, output);
}

/* Rows [first, first + count) of the fresh part as a file of their own, labels left out or alone. */
static void part_write(const char *path, uint32_t first, uint32_t count, bool labels)
{
    static const char *const kept[] = {"transfer_id", "label"};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (uint32_t row = 0; row <= count; row++) {
        const char *comma = "";
        for (uint32_t i = 0; i < fresh->column_count; i++) {
            const char *name = fresh->names[i];
            bool is_label = strcmp(name, "label") == 0;
            if (labels ? strcmp(name, kept[0]) != 0 && !is_label : is_label)
                continue;
            fprintf(file, "%s%s", comma, row == 0 ? name : table_cell(fresh, first + row - 1, name));
            comma = ",";
        }
        fputc('\n', file);
    }
    assert_int_equal(fclose(file), 0);
}

static uint32_t lines_of(const char *text)
{
    uint32_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void test_submit_tells_by_its_status(void **state)
{
    (void)state;
    part_write(rows_path, 0, ROWS, false);
    assert_int_equal(RUN("submit", SERVER, rows_path), HELD);
    assert_printed("2000 transfers: pass ");
    assert_printed("transfers/s");
    assert_int_equal(RUN("submit", SERVER, "--format", "csv", rows_path), HELD); /* the same content: the stored answer */
    assert_true(lines_of(output) > ROWS);
    assert_int_equal(RUN("submit", SERVER, "--format", "jsonl", "--only", "held", rows_path), HELD);
    assert_printed("\"verdict\"");
    assert_int_equal(RUN("submit", "--connect", server.data_url, "--tenant", "nobody", "--token-file", token_path, rows_path), REFUSED);
    assert_printed("auth");
    assert_int_equal(RUN("submit", SERVER, "/nowhere/rows.csv"), REFUSED);
    assert_printed("/nowhere/rows.csv");
    assert_int_equal(RUN("submit", SERVER, "--formt", "csv", rows_path), REFUSED);
    assert_printed("--formt");
    assert_int_equal(RUN("sumbit", rows_path), REFUSED);
    assert_printed("submit");
    assert_int_equal(RUN("submit", "--connect", "ipc:///nowhere/data.ipc", "--tenant", "flow", "--token-file", token_path, "--timeout",
                         "500", rows_path),
                     UNREACHABLE);
}

/* Without a scene base only the checks decide: everything that is right passes. */
static void test_all_passed_is_zero(void **state)
{
    (void)state;
    static struct server plain;
    server_begin(&plain, &(struct server_options){.name = "plain", .base = ""});
    part_write(rows_path, 0, 100, false);
    assert_int_equal(RUN("submit", "--connect", plain.data_url, "--tenant", "flow", "--token-file", token_path, rows_path), DONE);
    assert_printed("pass 100");
    server_stop(&plain);
}

/* A row that cannot be read is invalid, told with line, column and value; the others go on; the ledger knows both. */
static void test_bad_rows_are_invalid(void **state)
{
    (void)state;
    char bad[256];
    flow_path(bad, sizeof bad, "bad.csv");
    static const char text[] = "transfer_id,payer_id,payee_id,amount,currency,time\n"
                               "bad-1,a,b,100,EUR,\n"
                               "bad-2,a,b,12.50,EUR,\n"
                               "bad-3,a,b,100,EUR,last tuesday\n"
                               "bad-4,a,b\n"
                               "bad-5,a,b,100,QQQ,\n";
    flow_write(bad, text, sizeof text - 1);
    assert_int_equal(RUN("submit", SERVER, bad), HELD);
    assert_printed("row 2 (bad-2), amount: line 3: must be whole minor units (cents), is 12.50");
    assert_printed("row 3 (bad-3), time: line 4: must be microseconds or YYYY-MM-DDTHH:MM:SS[.ffffff]Z, is last tuesday");
    assert_printed("row 4: line 5: 3 fields, the header has 6");
    assert_printed("row 5 (bad-5), currency: QQQ");
    assert_printed("5 transfers:");
    assert_printed("invalid 4");
    assert_int_equal(RUN("query", SERVER, "--transfer", "bad-2", "--format", "jsonl"), DONE);
    assert_printed("\"verdict\":\"invalid\"");
    assert_int_equal(RUN("import", SERVER, bad), DONE);
    assert_printed("1 rows in 1 batches taken, 4 invalid");
}

/* Whatever --batch-rows is, a transfer of a file is screened once. */
static void test_file_is_taken_once(void **state)
{
    (void)state;
    const char *transfer;
    part_write(rows_path, 4000, 300, false);
    transfer = table_cell(fresh, 4150, "transfer_id");
    assert_true(RUN("submit", SERVER, "--batch-rows", "100", rows_path) <= HELD);
    assert_true(RUN("submit", SERVER, "--batch-rows", "100", rows_path) <= HELD); /* the same answers */
    static const char *const cuts[] = {"50", "150", "1000"};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        assert_int_equal(RUN("submit", SERVER, "--batch-rows", cuts[i], rows_path), REFUSED);
        assert_printed("conflict");
        assert_printed("--batch-rows of then");
    }
    part_write(rows_path, 4000, 301, false); /* one row more: only its batch is new */
    assert_int_equal(RUN("submit", SERVER, "--batch-rows", "100", rows_path) <= HELD, true);
    assert_int_equal(RUN("query", SERVER, "--transfer", transfer, "--format", "jsonl"), DONE);
    assert_int_equal(lines_of(output), 1);
}

static uint32_t count_of(const char *text, const char *word)
{
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

/* --scene: what it kept from passing, and nothing else; --best-scene: those and more. */
static void scene_queries(void)
{
    static const char *const scenes[] = {"account_takeover", "mule_fan_in", "card_testing"};
    uint32_t kept = 0, best = 0;
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        assert_int_equal(RUN("query", SERVER, "--scene", scenes[i], "--format", "jsonl", "--head", "0"), DONE);
        uint32_t lines = lines_of(output);
        assert_int_equal(count_of(output, "\"verdict\":\"hold\"") + count_of(output, "\"verdict\":\"reject\""), lines);
        assert_int_equal(count_of(output, "\"cause\":\"scene"), lines);
        kept += lines;
        assert_int_equal(RUN("query", SERVER, "--best-scene", scenes[i], "--format", "jsonl", "--head", "0"), DONE);
        assert_true(lines_of(output) >= lines);
        best += lines_of(output);
    }
    assert_true(kept > 0 && best > kept);
    assert_int_equal(RUN("query", SERVER, "--scene", "a", "--best-scene", "b"), REFUSED);
    assert_printed("not both");
}

static void id_of_line(char *out, size_t out_bytes)
{
    const char *key = "\"transfer_id\":\"", *at = strstr(output, key);
    if (!at)
        fail_msg("no transfer in: %.500s", output);
    at += strlen(key);
    snprintf(out, out_bytes, "%.*s", (int)strcspn(at, "\""), at);
}

static void test_label_and_query(void **state)
{
    (void)state;
    part_write(rows_path, 3000, 500, false);
    part_write(labels_path, 3000, 500, true);
    assert_true(RUN("submit", SERVER, "--id", "labelled", rows_path) <= HELD);
    assert_int_equal(RUN("label", SERVER, labels_path), DONE);
    assert_printed("500 rows");
    assert_int_equal(RUN("query", SERVER, "--transfer", table_cell(fresh, 3123, "transfer_id")), DONE);
    assert_printed(table_cell(fresh, 3123, "payer_id"));
    assert_int_equal(RUN("query", SERVER, "--batch", "labelled-0", "--verdict", "hold", "--format", "jsonl", "--head", "0"), DONE);
    assert_int_equal(RUN("query", SERVER, "--verdict", "perhaps"), REFUSED);
    scene_queries();
    assert_int_equal(RUN("explain", SERVER, table_cell(fresh, 3123, "transfer_id")), DONE);
    assert_printed("labelled-0");
    assert_printed("threshold");
    assert_int_equal(RUN("explain", SERVER, "--json", "--batch", "labelled-0", table_cell(fresh, 3123, "transfer_id")), DONE);
    assert_printed("\"margin\"");
    assert_int_equal(RUN("explain", SERVER, "--batch", "labelled-1", table_cell(fresh, 3123, "transfer_id")), REFUSED);
    assert_printed("not_found");
    assert_int_equal(RUN("explain", SERVER), REFUSED);
}

/* As a user asks: of a transfer that was held, of one that passed, and by a credential that may not see why. */
static void test_explain(void **state)
{
    (void)state;
    char held[64], passed[64], place[160];
    assert_int_equal(RUN("query", SERVER, "--batch", "labelled-0", "--verdict", "hold", "--format", "jsonl", "--head", "1"), DONE);
    id_of_line(held, sizeof held);
    assert_int_equal(RUN("query", SERVER, "--batch", "labelled-0", "--verdict", "pass", "--format", "jsonl", "--head", "1"), DONE);
    id_of_line(passed, sizeof passed);
    assert_int_equal(RUN("explain", SERVER, held), DONE);
    assert_printed("exact                      true");
    assert_printed("Scenes, the best first");
    assert_printed("Shares of the raw anomaly degree, linked");
    if (!strstr(output, "It would have passed with ") && !strstr(output, "No change of one feature alone"))
        fail_msg("%s", output);
    snprintf(place, sizeof place, "labelled-0/%s", passed);
    assert_int_equal(RUN("explain", SERVER, "--json", place), DONE);
    assert_printed("\"verdict\":\"pass\"");
    assert_printed("\"exact\":true");
    assert_printed("\"passes_if\":null");
    assert_int_equal(RUN("explain", SERVER, "labelled-0/"), REFUSED);
    assert_int_equal(RUN("explain", SERVER, "/x"), REFUSED);
    static const char *const hostile[] = {"labelled-0/%s%n", "../../etc/passwd", "' or 1=1 --", "\x1b[2J", "\xff\xff"};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++)
        assert_int_equal(RUN("explain", SERVER, hostile[i]), REFUSED);
    char other_path[256];
    flow_path(other_path, sizeof other_path, "other-token");
    flow_write(other_path, OTHER_TOKEN "\n", strlen(OTHER_TOKEN) + 1);
    assert_int_equal(RUN("explain", "--connect", server.data_url, "--tenant", "other", "--token-file", other_path, held), REFUSED);
    assert_printed("not_found");
}

static void test_observe(void **state)
{
    (void)state;
    char path[256];
    flow_path(path, sizeof path, "use.csv");
    static const char text[] = "account_id,device_id,address,network\nalice,d-1,192.0.2.1,net-1\nbob,d-2,192.0.2.2,net-2\n";
    flow_write(path, text, sizeof text - 1);
    assert_int_equal(RUN("observe", SERVER, "use", path), DONE);
    assert_int_equal(RUN("observe", SERVER, "sighting", path), REFUSED);
}

/* Two servers, two connections to each: every batch is answered, and each server had its part. */
static void test_bench(void **state)
{
    (void)state;
    static struct server plain;
    server_begin(&plain, &(struct server_options){.name = "benched", .base = ""});
    assert_int_equal(RUN("bench", SERVER, "--connect", plain.data_url, "--connections", "2", "--in-flight", "8", "--mix",
                         "1:50,100:40,1000:10", "--batches", "200", "--seconds", "30", "--warm-up", "0", "--accounts", "1000",
                         "--pool-rows", "3000", "--json"),
                     DONE);
    assert_printed("\"batches\":200,");
    assert_printed("\"failed\":0");
    assert_printed("\"p99_9_ms\":");
    assert_printed("\"client_cpu_s\":");
    assert_int_equal(RUN("stats", "--connect", plain.data_url, "--tenant", "flow", "--token-file", token_path, "--json"), DONE);
    assert_printed("\"commit_batches_total\":100");
    server_stop(&plain);
    assert_int_equal(RUN("bench", SERVER, "--rate", "20000", "--arrivals", "burst", "--burst", "5", "--batch-rows", "100", "--seconds", "1",
                         "--warm-up", "0", "--accounts", "1000", "--pool-rows", "1000"),
                     DONE);
    assert_printed("latency ms:");
    assert_int_equal(RUN("bench", SERVER, "--mix", "1:0"), REFUSED);
    assert_int_equal(RUN("bench", SERVER, "--connections", "0"), REFUSED);
}

static void test_health_and_stats(void **state)
{
    (void)state;
    assert_int_equal(RUN("health", SERVER), DONE);
    assert_printed("ready");
    assert_int_equal(RUN("stats", SERVER, "--json"), DONE);
    assert_printed("\"verdicts\"");
}

static void test_inspect(void **state)
{
    (void)state;
    char saved[256], ledger[256], copy[256];
    assert_int_equal(RUN("inspect", flow_base()), DONE);
    assert_printed("transaction");
    flow_path(saved, sizeof saved, "saved.columns");
    part_write(rows_path, 0, 50, false);
    assert_int_equal(RUN("submit", SERVER, "--save", saved, rows_path), DONE);
    assert_int_equal(RUN("inspect", saved), DONE);
    assert_printed("transfer_id");
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
    flow_path(copy, sizeof copy, "ledger-copy");
    assert_int_equal(RUN("inspect", ledger), REFUSED); /* the server has it */
    server_stop(&server);
    folder_copy(copy, ledger);
    server_start(&server);
    assert_int_equal(RUN("inspect", copy), DONE);
    assert_printed("labelled");
    assert_int_equal(RUN("inspect", "/nowhere"), REFUSED);
}

static void test_help_is_there_for_all(void **state)
{
    (void)state;
    static const char *const commands[] = {"serve",  "token", "submit", "import", "observe", "label",   "query", "explain",
                                           "health", "stats", "synth",  "build",  "eval",    "inspect", "bench"};
    assert_int_equal(RUN("--help"), DONE);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_int_equal(RUN("--help"), DONE);
        assert_printed(commands[i]);
        assert_int_equal(RUN(commands[i], "--help"), DONE);
        assert_printed("Usage: sluice ");
        assert_int_equal(RUN("help", commands[i]), DONE);
    }
    assert_int_equal(RUN("help", "nothing"), REFUSED);
}

static void test_token_is_not_written_twice(void **state)
{
    (void)state;
    char path[256];
    struct stat status;
    flow_path(path, sizeof path, "new.token");
    assert_int_equal(RUN("token", "--file", path), DONE);
    assert_printed("token_hash");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(RUN("token", "--file", path), REFUSED);
}

static int setup(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    flow_path(token_path, sizeof token_path, "token");
    flow_path(rows_path, sizeof rows_path, "rows.csv");
    flow_path(labels_path, sizeof labels_path, "labels.csv");
    flow_write(token_path, FLOW_TOKEN "\n", strlen(FLOW_TOKEN) + 1);
    server_begin(&server, &(struct server_options){0});
    if (RUN("import", SERVER, flow_past()) != DONE)
        fail_msg("%s", output);
    assert_printed("28000 rows");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_stop(&server);
    table_free(fresh);
    return 0;
}

static void test_template(void **state)
{
    (void)state;
    char path[256], rows[256];
    static const char good[] = "fee = round(amount * 0.015, 2)\nwho = default(memo, payer_id)\nper = amount / (amount - 100)\n";
    static const char bad[] = "fee = amount\nbig = fee > memo\n";
    static const char text[] = "transfer_id,payer_id,payee_id,amount,currency,memo\nt1,a,b,100,EUR,\nt2,c,d,333,EUR,\"say \"\"hi\"\"\"\n";
    flow_path(path, sizeof path, "fill.tpl");
    flow_path(rows, sizeof rows, "rows.csv");
    flow_write(path, good, sizeof good - 1);
    flow_write(rows, text, sizeof text - 1);
    assert_int_equal(FLOW_RUN(output, "template", path), 0);
    assert_string_equal(output,
                        "fee                      decimal of 2 places\nwho                      text\nper                      float\n");
    assert_int_equal(FLOW_RUN(output, "template", "--rows", rows, path), 0);
    assert_string_equal(output, "fee,who,per\n1.50,\"a\",!division by zero\n5.00,\"say \"\"hi\"\"\",1.4291845493562232\n");
    flow_write(path, bad, sizeof bad - 1);
    assert_int_equal(FLOW_RUN(output, "template", path), 2);
    assert_non_null(strstr(output, "fill.tpl:2:11: an int and a text do not go together"));
}

/* Columns that are not known have their places and kinds for as long as the file goes on. */
static void test_template_over_many_rows(void **state)
{
    (void)state;
    enum { MANY = 16384 + 2, ROW_BYTES = 160 };
    char path[256], rows[256], *text = malloc(MANY * ROW_BYTES);
    for (int turned = 0; turned < 2; turned++) {
        size_t bytes = 0;
        for (int i = 0; i < MANY; i++) {
            bool is_late = i >= 16384;
            bytes += (size_t)snprintf(text + bytes, ROW_BYTES,
                                      "{\"transfer_id\":\"t%d\",\"payer_id\":\"a\",\"payee_id\":\"b\",\"amount\":1,"
                                      "\"currency\":\"EUR\"%s,\"xb\":%s}\n",
                                      i, is_late ? "" : ",\"xa\":5", turned && is_late ? "\"w\"" : "7");
        }
        flow_path(path, sizeof path, "many.tpl"), flow_path(rows, sizeof rows, "many.jsonl");
        flow_write(path, "p = xa q = xb", 13), flow_write(rows, text, bytes);
        assert_int_equal(FLOW_RUN(output, "template", "--rows", rows, path), turned ? 2 : 0);
        if (turned)
            assert_non_null(strstr(output, "line 16385: column xb: must be a number as in the rows before, is text w"));
        else
            assert_string_equal(output + strlen(output) - 7, "\n,7\n,7\n");
    }
    free(text);
    flow_write(path, "", 0);
    assert_int_equal(FLOW_RUN(output, "template", "--rows", rows, path), 2);
    assert_non_null(strstr(output, "makes no column"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submit_tells_by_its_status),
        cmocka_unit_test(test_all_passed_is_zero),
        cmocka_unit_test(test_bad_rows_are_invalid),
        cmocka_unit_test(test_file_is_taken_once),
        cmocka_unit_test(test_label_and_query),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_observe),
        cmocka_unit_test(test_health_and_stats),
        cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_help_is_there_for_all),
        cmocka_unit_test(test_token_is_not_written_twice),
        cmocka_unit_test(test_bench),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_template_over_many_rows),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
