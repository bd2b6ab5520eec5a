/* From labelled transfers to a base and its figures: the same seed gives the same file, a running server gives the scores that
 * `sluice eval` gives offline, bit for bit, and wrong usage is told. */
#define _XOPEN_SOURCE 700 /* posix_openpt */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flow/harness.h"

static char output[1 << 18];

static void expect_same_files(const char *a, const char *b, bool same)
{
    size_t a_bytes, b_bytes;
    char *first = flow_read(a, &a_bytes), *second = flow_read(b, &b_bytes);
    assert_int_equal(a_bytes == b_bytes && memcmp(first, second, a_bytes) == 0, same);
    free(first);
    free(second);
}

static void expect_told(const char *word)
{
    if (!strstr(output, word))
        fail_msg("expected \"%s\", is: %.600s", word, output);
}

/* The program with a terminal for its standard error; what it wrote there. */
static int run_on_terminal(char *out, size_t out_bytes, const char *const *arguments)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY), status = 0;
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(end >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(end, STDERR_FILENO);
        execv(flow_binary(), (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    assert_true(pid > 0);
    close(end);
    size_t used = 0;
    for (ssize_t got; (got = read(terminal, out + used, out_bytes - 1 - used)) > 0;) /* EIO when the last end is closed */
        used += (size_t)got;
    out[used] = '\0';
    close(terminal);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_progress_is_told(void **state)
{
    (void)state;
    char told[512], bar[512], from[32], to[32];
    struct table *table = table_read(flow_past());
    snprintf(from, sizeof from, "%s", table_cell(table, table->row_count / 2, "time"));
    snprintf(to, sizeof to, "%s", table_cell(table, table->row_count / 4 * 3, "time"));
    table_free(table);
    flow_path(told, sizeof told, "told.safetensors");
    flow_path(bar, sizeof bar, "bar.safetensors");
    const char *const words[] = {"sluice",     "build", "--name",        "a", "--passes", "40", "--patience", "4",
                                 "--train-to", from,    "--validate-to", to,  "--out",    bar,  flow_past(),  NULL};
    assert_int_equal(FLOW_RUN(output, "build", "--name", "a", "--passes", "40", "--patience", "4", "--train-to", from, "--validate-to", to,
                              "--out", told, flow_past()),
                     0);
    expect_told("\nseed 1  pass 4/40  loss 0.");
    expect_told("  to validate 0.");
    expect_told("  average precision 0.");
    expect_told("was the best, loss to validate 0.");
    assert_null(strchr(output, '\r'));
    assert_int_equal(run_on_terminal(output, sizeof output, words), 0);
    expect_told("\r[");
    expect_told("#.");
    expect_told("] seed 1  pass 3/40  loss 0.");
    expect_same_files(told, bar, true);
    assert_int_equal(FLOW_RUN(output, "build", "--passes", "20", "--out", told, flow_past()), 0);
    expect_told("\nseed 1  pass 20/20  loss 0.");
    assert_null(strstr(output, "to validate"));
}

static void test_same_seed_same_file(void **state)
{
    (void)state;
    char folder[512], base[512], again[512], other[512], golden[512], again_golden[512];
    flow_path(folder, sizeof folder, "one");
    flow_path(base, sizeof base, "one/base.safetensors");
    flow_path(golden, sizeof golden, "one/base.golden.safetensors");
    flow_path(again, sizeof again, "one/again.safetensors");
    flow_path(again_golden, sizeof again_golden, "one/again.golden.safetensors");
    flow_path(other, sizeof other, "one/other.safetensors");
    assert_int_equal(FLOW_RUN(output, "build", "--quiet", "--name", "a", "--seed", "3", "--out", folder, flow_past()), 0);
    assert_string_equal(output, "");
    assert_int_equal(FLOW_RUN(output, "build", "--name", "a", "--seed", "3", "--out", again, flow_past()), 0);
    assert_non_null(strstr(output, "rows to learn from"));
    assert_int_equal(FLOW_RUN(output, "build", "--quiet", "--name", "a", "--seed", "4", "--out", other, flow_past()), 0);
    expect_same_files(base, again, true);
    expect_same_files(golden, again_golden, true);
    expect_same_files(base, other, false);
    assert_int_equal(FLOW_RUN(output, "inspect", base), 0);
    assert_non_null(strstr(output, "golden distances hold"));
    assert_int_equal(FLOW_RUN(output, "inspect", again), 0);
    flow_path(golden, sizeof golden, "one/other.golden.safetensors");
    size_t bytes;
    char *content = flow_read(golden, &bytes);
    flow_write(again_golden, content, bytes);
    free(content);
    assert_int_equal(FLOW_RUN(output, "inspect", again), 2);
    assert_non_null(strstr(output, "of another base"));
}

static void test_figures_are_good(void **state)
{
    (void)state;
    char all[512], scores[512], *text, *at;
    size_t past_bytes, fresh_bytes;
    char *past = flow_read(flow_past(), &past_bytes), *fresh = flow_read(flow_fresh(), &fresh_bytes);
    struct table *table = table_read(flow_fresh());
    flow_path(all, sizeof all, "all.csv");
    flow_path(scores, sizeof scores, "offline.csv");
    text = malloc(past_bytes + fresh_bytes);
    memcpy(text, past, past_bytes);
    at = strchr(fresh, '\n') + 1;
    memcpy(text + past_bytes, at, strlen(at));
    flow_write(all, text, past_bytes + strlen(at));
    assert_int_equal(FLOW_RUN(output, "eval", "--json", "--base", flow_row_base(), "--from", table_cell(table, 0, "time"), "--write-scores",
                              scores, all),
                     0);
    assert_true(strtod(strchr(strstr(output, "\"auc_roc\""), ':') + 1, NULL) > 0.9);
    char figures[512];
    snprintf(figures, sizeof figures, "%s", strstr(output, "\"auc_roc\""));
    *strstr(figures, "\"scenes\"") = '\0';
    assert_int_equal(FLOW_RUN(output, "eval", "--json", "--scores", scores, flow_fresh()), 0);
    assert_non_null(strstr(output, figures)); /* from the file of scores the same */
    assert_int_equal(FLOW_RUN(output, "eval", "--scores", scores, all), 2);
    assert_non_null(strstr(output, "has no score"));
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), "--from", table_cell(table, 0, "time"), all), 0);
    assert_non_null(strstr(output, "average_precision"));
    static const char ringing[] = "transfer_id,payer_id,payee_id,amount,currency,time,label\nt,a,b,5,EUR,2026-10-01T00:00:00Z,a\a\n";
    flow_write(all, ringing, sizeof ringing - 1);
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), all), 2); /* no terminal is spoken to */
    assert_non_null(strstr(output, "control characters"));
    table_free(table);
    free(past);
    free(fresh);
    free(text);
}

/* The figure of that name behind a word of the output. */
static double figure_behind(const char *word, const char *name)
{
    const char *at = strstr(output, word);
    assert_non_null(at);
    at = strstr(at, name);
    assert_non_null(at);
    return strtod(strchr(at, ':') + 1, NULL);
}

/* A second base has the figures that it has alone; the same one has no difference; the other way round every difference turns. */
static void test_two_bases_at_once(void **state)
{
    (void)state;
    static const char *const names[] = {"\"auc_roc\"", "\"average_precision\"", "\"card_precision_50\"",
                                        "\"brier\"",   "\"amount_caught\"",     "\"recall\""};
    enum { NAMES = sizeof names / sizeof *names };
    double alone[NAMES], there, back;
    const char *first = flow_row_base(), *second = flow_base();
    assert_int_equal(FLOW_RUN(output, "eval", "--json", "--top", "50", "--base", second, flow_past()), 0);
    for (int i = 0; i < NAMES; i++)
        alone[i] = figure_behind("\"alerts\"", names[i]);
    assert_int_equal(FLOW_RUN(output, "eval", "--json", "--top", "50", "--draws", "40", "--base", first, "--against", second, flow_past()),
                     0);
    for (int i = 0; i < NAMES; i++)
        assert_true(figure_behind("\"against\": {", names[i]) == alone[i]);
    there = figure_behind("\"difference\"", "\"low\"");
    assert_int_equal(FLOW_RUN(output, "eval", "--json", "--top", "50", "--draws", "40", "--base", second, "--against", first, flow_past()),
                     0);
    back = figure_behind("\"difference\"", "\"high\"");
    assert_true(there != 0.0 && there == -back);
    assert_int_equal(FLOW_RUN(output, "eval", "--draws", "40", "--base", first, "--against", first, flow_past()), 0);
    expect_told("0.0000   0.0000 to 0.0000");
    expect_told("0 rows switched between pass and alert, 0 alerts changed their scene");
}

static void expect_page(const char *folder, const char *words)
{
    char path[600];
    size_t bytes;
    snprintf(path, sizeof path, "%s/index.html", folder);
    char *page = flow_read(path, &bytes);
    assert_non_null(strstr(page, words));
    assert_non_null(strstr(page, "Features that moved most"));
    assert_non_null(strstr(page, "</html>"));
    free(page);
}

static void test_reports_are_written(void **state)
{
    (void)state;
    char folder[512], again[512], out[512], card[512], one[600], two[600], *text;
    size_t bytes;
    static const char *const files[] = {"index.html", "figures.json", "confusion.svg", "drift.svg", "amounts.svg", "days.svg"};
    flow_path(folder, sizeof folder, "report");
    flow_path(again, sizeof again, "report_again");
    assert_int_equal(FLOW_RUN(output, "eval", "--report", folder, "--base", flow_row_base(), flow_past()), 0);
    assert_int_equal(FLOW_RUN(output, "eval", "--report", again, "--base", flow_row_base(), flow_past()), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(one, sizeof one, "%s/%s", folder, files[i]);
        snprintf(two, sizeof two, "%s/%s", again, files[i]);
        expect_same_files(one, two, true);
    }
    expect_page(folder, "Precision against recall");
    flow_path(out, sizeof out, "reported");
    flow_path(folder, sizeof folder, "reported/page");
    flow_path(card, sizeof card, "reported/base.card.md");
    assert_int_equal(FLOW_RUN(output, "build", "--quiet", "--out", out, "--report", folder, flow_past()), 0);
    expect_page(folder, "Scene base reported, rows behind its training");
    text = flow_read(card, &bytes);
    assert_non_null(strstr(text, "](page/index.html)"));
    free(text);
    assert_int_equal(FLOW_RUN(output, "build", "--out", out, "--report", folder, "--train-to", "2026-01-01", "-"), 2);
    expect_told("no --report of it");
}

/* A label that the base has no scene of, rows that are invalid, and tables without anything to tell. */
static void test_poor_tables_are_told(void **state)
{
    (void)state;
    char file[512];
    static const char head[] = "transfer_id,payer_id,payee_id,amount,currency,time,label\n";
    char text[1024];
    flow_path(file, sizeof file, "poor.csv");
    snprintf(text, sizeof text, "%sa,b,c,100,EUR,1700000000000000,good\nd,b,c,100,EUR,1700000001000000,tea_leaf\ne,b,c,100,EUR,,good\n",
             head);
    flow_write(file, text, strlen(text));
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), file), 0);
    expect_told("label tea_leaf, 1 rows, is no scene of base");
    expect_told("1 rows are invalid and left out, the first: row 3, time");
    assert_null(strstr(output, "nan"));
    snprintf(text, sizeof text, "%sa,b,c,100,EUR,1700000000000000,good\n", head);
    flow_write(file, text, strlen(text));
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), file), 0);
    expect_told("no row is risky");
    snprintf(text, sizeof text, "%sa,b,c,100,EUR,,good\n", head);
    flow_write(file, text, strlen(text));
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), file), 2);
    expect_told("all are invalid, the first: row 1, time");
    flow_write(file, head, strlen(head));
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), file), 2);
    expect_told("no row to measure");
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), "--from", "2099-01-01", flow_past()), 2);
    expect_told("outside --from and --to");
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), "--against", flow_past(), flow_past()), 2);
    expect_told("header");
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), "--report", "/proc/none/x", flow_past()), 2);
    expect_told("cannot make folder");
}

/* The newer rows without their labels; in the older rows' file they stand behind them, with as many commas. */
static void write_unlabelled(const char *path, const char *behind, const struct table *table)
{
    size_t bytes = 0;
    char *past = behind ? flow_read(behind, &bytes) : NULL;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    if (past)
        fwrite(past, 1, bytes, file);
    for (uint32_t i = 0; !past && i < table->column_count; i++)
        fprintf(file, "%s%c", table->names[i], i + 1 < table->column_count ? ',' : '\n');
    for (uint32_t row = 0; row < table->row_count; row++)
        for (uint32_t i = 0; i < table->column_count; i++)
            fprintf(file, "%s%c", strcmp(table->names[i], "label") == 0 ? "" : table_cell(table, row, table->names[i]),
                    i + 1 < table->column_count ? ',' : '\n');
    assert_int_equal(fclose(file), 0);
    free(past);
}

static void test_offline_is_the_server(void **state)
{
    (void)state;
    struct server server = {0};
    struct server_options options = {.name = "scores", .base = flow_row_base()};
    char all[512], token[512], scores[512], offline[512], fresh[512];
    struct table *table = table_read(flow_fresh());
    flow_path(all, sizeof all, "past_and_fresh.csv");
    flow_path(token, sizeof token, "token");
    flow_path(scores, sizeof scores, "server.csv");
    flow_path(offline, sizeof offline, "keyed.csv");
    flow_path(fresh, sizeof fresh, "fresh.csv");
    flow_write(token, FLOW_TOKEN, strlen(FLOW_TOKEN));
    write_unlabelled(fresh, NULL, table);
    write_unlabelled(all, flow_past(), table);
    server_begin(&server, &options);
    assert_int_equal(FLOW_RUN(output, "import", "--quiet", "--in-flight", "1", "--connect", server.data_url, "--tenant", "flow",
                              "--token-file", token, flow_past()),
                     0);
    assert_int_equal(FLOW_RUN(output, "submit", "--quiet", "--in-flight", "1", "--batch-rows", "1777", "--connect", server.data_url,
                              "--tenant", "flow", "--token-file", token, "--scores", scores, fresh),
                     1);
    server_stop(&server);
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_row_base(), "--config", server.config, "--tenant", "flow", "--server-keys",
                              "--from", table_cell(table, 0, "time"), "--write-scores", offline, all),
                     0);
    expect_same_files(scores, offline, true);
    table_free(table);
}

static void test_wrong_usage_is_told(void **state)
{
    (void)state;
    char out[512], file[512];
    flow_path(out, sizeof out, "never.safetensors");
    flow_path(file, sizeof file, "wrong.csv");
    assert_int_equal(FLOW_RUN(output, "build", "--out", out), 2);
    expect_told("FILE of labelled transfers is missing");
    assert_int_equal(FLOW_RUN(output, "build", flow_past()), 2);
    expect_told("--out is missing");
    assert_int_equal(FLOW_RUN(output, "build", "--train-form", "2026-01-01", "--out", out, flow_past()), 2);
    expect_told("train-form");
    assert_int_equal(FLOW_RUN(output, "build", "--alert-rate", "2", "--out", out, flow_past()), 2);
    expect_told("--alert-rate takes a share");
    assert_int_equal(FLOW_RUN(output, "build", "--observe", "rumour:x.csv", "--out", out, flow_past()), 2);
    expect_told("attribute, contact, registration or use");
    assert_int_equal(FLOW_RUN(output, "build", "--out", out, "/nowhere.csv"), 2);
    expect_told("/nowhere.csv");
    assert_int_equal(FLOW_RUN(output, "build", "--out", out, "--server-config", "/nowhere.yaml", flow_past()), 2);
    expect_told("/nowhere.yaml");
    flow_write(file, "transfer_id,time\n", 17);
    assert_int_equal(FLOW_RUN(output, "build", "--out", out, file), 2);
    expect_told("no row with a time");
    flow_write(file, "transfer_id,payer_id,payee_id,amount,currency,time,label\na,b,c,1,EUR,1700000000000000,good\n", 91);
    assert_int_equal(FLOW_RUN(output, "build", "--out", out, file), 2);
    expect_told("in the training window, need 1000");
    assert_int_equal(FLOW_RUN(output, "build", "--out", out, "-"), 2);
    expect_told("--train-to");
    assert_int_equal(FLOW_RUN(output, "eval", flow_past()), 2);
    expect_told("either --base or --scores");
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_past(), flow_past()), 2);
    expect_told("header");
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_base(), "--device", "abacus", flow_past()), 2);
    expect_told("no device abacus");
    assert_int_equal(FLOW_RUN(output, "eval", "--base", flow_base(), "--server-keys", flow_past()), 2);
    expect_told("--server-keys needs --config");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_file),  cmocka_unit_test(test_figures_are_good),
        cmocka_unit_test(test_two_bases_at_once),    cmocka_unit_test(test_reports_are_written),
        cmocka_unit_test(test_poor_tables_are_told), cmocka_unit_test(test_offline_is_the_server),
        cmocka_unit_test(test_wrong_usage_is_told),  cmocka_unit_test(test_progress_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
