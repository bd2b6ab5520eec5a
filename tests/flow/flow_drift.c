/* Traffic like that which a base was built on, and the same with amounts forty times as large: what the server tells of its drift. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "flow/harness.h"

#define MODEL_TOKEN "model-token-9c44"

static char output[1 << 18];

/* The newer rows without labels, ids with a mark before them, amounts times factor. */
static void transfers_write(const char *path, const char *mark, long factor)
{
    struct table *table = table_read(flow_fresh());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (uint32_t i = 0; i < table->column_count; i++)
        fprintf(file, "%s%c", table->names[i], i + 1 < table->column_count ? ',' : '\n');
    for (uint32_t row = 0; row < table->row_count; row++)
        for (uint32_t i = 0; i < table->column_count; i++) {
            const char *name = table->names[i], *cell = table_cell(table, row, name);
            char end = i + 1 < table->column_count ? ',' : '\n';
            if (strcmp(name, "amount") == 0)
                fprintf(file, "%ld%c", factor * strtol(cell, NULL, 10), end);
            else
                fprintf(file, "%s%s%c", strcmp(name, "transfer_id") == 0 ? mark : "", strcmp(name, "label") == 0 ? "" : cell, end);
        }
    assert_int_equal(fclose(file), 0);
    table_free(table);
}

static double metric(const struct server *server, const char *name)
{
    char line[128];
    assert_int_equal(http_get(server->http_port, "/metrics", output, sizeof output), 200);
    snprintf(line, sizeof line, "\nsluice_%s ", name);
    const char *at = strstr(output, line);
    if (!at)
        fail_msg("no %s", name);
    return strtod(at + strlen(line), NULL);
}

static void submit(const struct server *server, const char *file, const char *token)
{
    int status = FLOW_RUN(output, "submit", "--quiet", "--connect", server->data_url, "--tenant", "flow", "--token-file", token, file);
    if (status > 1)
        fail_msg("submit: %d: %.400s", status, output);
}

/* Lines of a tenant that may ask for drift, and its token in a file. */
static void model_team(char *lines, size_t line_bytes, char token_file[512])
{
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1];
    flow_path(token_file, 512, "model_token");
    flow_write(token_file, MODEL_TOKEN, strlen(MODEL_TOKEN));
    secret_hash(hash, MODEL_TOKEN, strlen(MODEL_TOKEN));
    secret_to_hex(hex, hash, sizeof hash);
    snprintf(lines, line_bytes, "  - {name: models, token_hash: %s, rights: [model]}\n", hex);
}

static void drift_ask(const struct server *server, const char *token, const char *form)
{
    if (FLOW_RUN(output, "base", "drift", form, "--connect", server->data_url, "--tenant", "models", "--token-file", token) != 0)
        fail_msg("base drift: %.400s", output);
}

static void a_shift_is_told_and_sameness_is_not(void **state)
{
    struct server server = {0};
    struct server_options options = {.name = "drift", .base = flow_row_base(), .http = true, .top = "drift: {rows_min: 500}\n"};
    char token[512], same[512], shifted[512], model_token[512], tenants[256];
    model_team(tenants, sizeof tenants, model_token);
    options.tenants = tenants;
    (void)state;
    flow_path(token, sizeof token, "token");
    flow_path(same, sizeof same, "same.csv");
    flow_path(shifted, sizeof shifted, "shifted.csv");
    flow_write(token, FLOW_TOKEN, strlen(FLOW_TOKEN));
    transfers_write(same, "a", 1);
    transfers_write(shifted, "b", 40);
    server_begin(&server, &options);
    assert_int_equal(
        FLOW_RUN(output, "import", "--quiet", "--connect", server.data_url, "--tenant", "flow", "--token-file", token, flow_past()), 0);
    assert_true(metric(&server, "drift_rows") == 0); /* nothing was screened yet */
    submit(&server, same, token);
    double rows = metric(&server, "drift_rows"), psi = metric(&server, "drift_psi{kind=\"values\",of=\"amount\"}");
    if (!(rows > 1000 && psi < 0.1))
        fail_msg("%g rows of the same traffic: amount at %g", rows, psi);
    assert_true(metric(&server, "drift_psi{kind=\"values\",of=\"round_amount\"}") < 0.1);
    assert_true(metric(&server, "drift_psi{kind=\"unknown\",of=\"payer_device_age\"}") < 0.1);
    drift_ask(&server, model_token, "--json");
    assert_non_null(strstr(output, "\"why\":\"\""));
    submit(&server, shifted, token);
    psi = metric(&server, "drift_psi{kind=\"values\",of=\"amount\"}");
    if (!(psi > 0.25))
        fail_msg("amounts forty times as large: amount at %g", psi);
    assert_true(metric(&server, "drift_level") == 2);
    for (int i = 0; i < 100 && server_log_count(&server, "\"room\":\"drift\",\"text\":\"alarm") == 0; i++)
        sleep_ms(100);
    assert_int_equal(FLOW_RUN(output, "health", "--connect", server.data_url), 0);
    assert_non_null(strstr(output, "drift: alarm"));
    sleep_ms(2500); /* it goes on, and is told once */
    assert_int_equal(server_log_count(&server, "\"room\":\"drift\",\"text\":\"alarm"), 1);
    drift_ask(&server, model_token, "--timeout=30000");
    assert_non_null(strstr(output, "level     alarm"));
    const char *amount = strstr(output, "\namount ");
    assert_non_null(amount);
    assert_true(strstr(amount, "alarm") < strchr(amount + 1, '\n'));
    assert_non_null(strstr(output, "rows far from every cluster"));
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_shift_is_told_and_sameness_is_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
