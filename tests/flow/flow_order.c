/* Batches of one connection are recorded in the order in which they were sent, however many are in flight: the same file gives
 * the same numbers. Each server begins with a copy of one empty ledger, so that keys and sketches are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "flow/harness.h"

enum { ROWS = 12000, BATCHES = 120, ROWS_MAX = 250, OUTPUT_BYTES = 4096 };

static struct table *fresh;
static struct server first;
static char empty_ledger[300], token_path[256], rows_path[256];

/* A server of its own with the empty ledger. */
static void server_fresh(struct server *out, const char *name)
{
    char ledger[300];
    server_configure(out, &(struct server_options){.name = name, .workers = 3});
    snprintf(ledger, sizeof ledger, "%s/ledger", out->folder);
    folder_copy(ledger, empty_ledger);
    server_start(out);
}

static void rows_write(void)
{
    FILE *file = fopen(rows_path, "w");
    MUST(file);
    for (uint32_t row = 0; row <= ROWS; row++) {
        const char *comma = "";
        for (uint32_t i = 0; i < fresh->column_count; i++) {
            const char *name = fresh->names[i];
            if (strcmp(name, "label") == 0)
                continue;
            fprintf(file, "%s%s", comma, row == 0 ? name : table_cell(fresh, row - 1, name));
            comma = ",";
        }
        fputc('\n', file);
    }
    MUST(fclose(file) == 0);
}

static char *scores_of(const char *name, const char *in_flight, const char *batch_rows)
{
    struct server server = {0};
    char output[OUTPUT_BYTES], scores[256];
    flow_path(scores, sizeof scores, "scores-%s", name);
    server_fresh(&server, name);
    int status = FLOW_RUN(output, "submit", "--connect", server.data_url, "--tenant", "flow", "--token-file", token_path, "--in-flight",
                          in_flight, "--batch-rows", batch_rows, "--scores", scores, "--head", "1", rows_path);
    if (status > 1)
        fail_msg("%s", output);
    server_stop(&server);
    size_t bytes = 0, capacity = 1 << 22;
    char *text = calloc(1, capacity);
    FILE *file = fopen(scores, "r");
    MUST(text && file);
    bytes = fread(text, 1, capacity - 1, file);
    fclose(file);
    assert_true(bytes > 10 * ROWS);
    return text;
}

static void test_a_file_has_the_same_scores(void **state)
{
    (void)state;
    char *one = scores_of("one", "1", "100"), *eight = scores_of("eight", "8", "100"), *many = scores_of("many", "256", "100");
    assert_true(strcmp(one, eight) == 0);
    assert_true(strcmp(one, many) == 0);
    free(one), free(eight), free(many);
}

/* Large and small in turn: what is small is decoded and filled long before the large one that was sent first. */
static uint32_t batch_rows(unsigned number)
{
    return number % 3 == 0 ? ROWS_MAX : 2;
}

struct answers {
    pthread_mutex_t lock;
    int64_t sequences[BATCHES];
    struct recorded *rows[BATCHES];
};

struct answer {
    struct answers *answers;
    unsigned number;
};

static void answered(void *context, int error, struct sluice_reply *reply)
{
    struct answer *answer = context;
    if (error != SLUICE_OK)
        fprintf(stderr, "batch %u: %d %s\n", answer->number, error, reply_fault(reply));
    MUST(error == SLUICE_OK);
    pthread_mutex_lock(&answer->answers->lock);
    answer->answers->sequences[answer->number] = sluice_reply_integer(reply, "sequence", 0);
    recorded_take(answer->answers->rows[answer->number], reply);
    pthread_mutex_unlock(&answer->answers->lock);
    sluice_reply_free(&reply);
}

static struct sluice_client *client_of(const struct server *server, size_t in_flight)
{
    char error[200];
    const char *urls[] = {server->data_url};
    struct sluice_client *client = NULL;
    const struct sluice_options options = {
        .urls = urls, .url_count = 1, .tenant = "flow", .token = FLOW_TOKEN, .timeout_ms = 60000, .in_flight_max = in_flight};
    if (sluice_open(&client, &options, error, sizeof error) != SLUICE_OK)
        fail_msg("%s", error);
    return client;
}

static void send_all(struct answers *out, const char *name, size_t in_flight)
{
    static struct answer answers[BATCHES];
    struct server server = {0};
    uint32_t row = 0;
    server_fresh(&server, name);
    struct sluice_client *client = client_of(&server, in_flight);
    pthread_mutex_init(&out->lock, NULL);
    for (unsigned i = 0; i < BATCHES; i++) {
        struct flow_batch batch;
        char id[32];
        snprintf(id, sizeof id, "order-%u", i);
        answers[i] = (struct answer){.answers = out, .number = i};
        out->rows[i] = calloc(batch_rows(i), sizeof *out->rows[i]);
        table_batch(&batch, fresh, id, row, batch_rows(i), left_out_labels);
        row += batch_rows(i);
        MUST(sluice_call_async(client, "screen", batch.batch, 0, answered, &answers[i]) == SLUICE_OK);
        flow_batch_free(&batch);
    }
    sluice_wait_all(client);
    sluice_close(&client);
    server_stop(&server);
}

static void test_what_is_filled_early_waits(void **state)
{
    (void)state;
    static struct answers one, eight;
    send_all(&one, "small-one", 1);
    send_all(&eight, "small-eight", 8);
    unsigned differ = 0;
    for (unsigned i = 0; i < BATCHES; i++) {
        assert_int_equal(one.sequences[i], i + 1);
        if (eight.sequences[i] != (int64_t)i + 1)
            fail_msg("batch %u was recorded as %lld", i, (long long)eight.sequences[i]);
        differ += recorded_differences(one.rows[i], eight.rows[i], batch_rows(i), "batch") > 0;
        free(one.rows[i]), free(eight.rows[i]);
    }
    assert_int_equal(differ, 0);
}

static int setup(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    flow_path(token_path, sizeof token_path, "token");
    flow_path(rows_path, sizeof rows_path, "rows.csv");
    flow_path(empty_ledger, sizeof empty_ledger, "empty");
    flow_write(token_path, FLOW_TOKEN, strlen(FLOW_TOKEN));
    rows_write();
    server_begin(&first, &(struct server_options){.name = "first"});
    server_stop(&first);
    char ledger[300];
    snprintf(ledger, sizeof ledger, "%s/ledger", first.folder);
    folder_copy(empty_ledger, ledger);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    table_free(fresh);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_file_has_the_same_scores),
                                       cmocka_unit_test(test_what_is_filled_early_waits)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
