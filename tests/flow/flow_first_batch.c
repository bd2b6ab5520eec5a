/* One server, its first batches: verdicts in columns and rows, found again, answered once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/harness.h"
#include "flow/message.h"

enum { ROWS = 3000, FRIENDLY_ROWS = 50 };

static struct server server;
static struct sluice_client *client;
static struct table *fresh;

static uint32_t verdict_count(const struct sluice_reply *reply, const char *name)
{
    const uint8_t *verdicts = sluice_reply_u8(reply, "verdict");
    uint32_t count = 0;
    for (uint32_t row = 0; row < sluice_reply_rows(reply); row++)
        count += strcmp(sluice_reply_name(reply, "verdict", verdicts[row]), name) == 0;
    return count;
}

static void test_screen_in_columns(void **state)
{
    (void)state;
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, "first", 0, ROWS);
    assert_int_equal(sluice_reply_rows(reply), ROWS);
    assert_int_equal(verdict_count(reply, "invalid"), 0);
    assert_true(verdict_count(reply, "pass") > ROWS / 2);
    assert_true(verdict_count(reply, "hold") + verdict_count(reply, "reject") > 0);
    assert_non_null(sluice_reply_string(reply, "base"));
    assert_non_null(sluice_reply_string(reply, "kernel"));
    const uint8_t *verdicts = sluice_reply_u8(reply, "verdict"), *scenes = sluice_reply_u8(reply, "scene");
    const uint8_t *risks = sluice_reply_u8(reply, "risk_type"), *measures = sluice_reply_u8(reply, "countermeasure");
    const float *match = sluice_reply_f32(reply, "match"), *anomaly = sluice_reply_f32(reply, "anomaly_linked");
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_true(match[row] >= 0 && match[row] <= 1 && anomaly[row] >= 0 && anomaly[row] <= 1);
        if (strcmp(sluice_reply_name(reply, "verdict", verdicts[row]), "pass") == 0)
            continue;
        const char *feature = "";
        float value = NAN, share = NAN;
        assert_int_equal(sluice_reply_reason(reply, row, 0, &feature, &value, &share), 1);
        assert_true(feature[0] && isfinite(value) && isfinite(share));
        assert_true(sluice_reply_name(reply, "scene", scenes[row])[0]);
        assert_string_not_equal(sluice_reply_name(reply, "risk_type", risks[row]), "none");
        assert_string_not_equal(sluice_reply_name(reply, "countermeasure", measures[row]), "none");
    }
    sluice_reply_free(&reply);
}

static void assert_same_bytes(const struct sluice_reply *a, const struct sluice_reply *b)
{
    size_t a_bytes, b_bytes;
    const void *a_message = sluice_reply_bytes(a, &a_bytes), *b_message = sluice_reply_bytes(b, &b_bytes);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a_message, b_message, a_bytes);
}

static void test_result_and_status(void **state)
{
    (void)state;
    struct sluice_reply *first = screen_rows(client, "screen", fresh, "kept", ROWS, 500), *result = NULL, *status = NULL;
    assert_int_equal(sluice_ask(client, "result", "kept", &result), 0);
    struct recorded a[500], b[500];
    recorded_take(a, first);
    recorded_take(b, result);
    assert_int_equal(recorded_differences(a, b, 500, "result"), 0);
    assert_int_equal(sluice_ask(client, "status", "kept", &status), 0);
    assert_string_equal(sluice_reply_string(status, "state"), "recorded");
    assert_int_equal(sluice_reply_integer(status, "rows", 0), 500);
    struct wire_value map = reply_map(status), counts;
    assert_true(wire_find(&counts, &map, "counts"));
    assert_int_equal((int)map_number(&counts, "pass"), (int)verdict_count(first, "pass"));
    sluice_reply_free(&status);
    assert_int_equal(sluice_ask(client, "status", "never seen", &status), SLUICE_FAULT);
    assert_string_equal(reply_fault(status), "not_found");
    sluice_reply_free(&status);
    sluice_reply_free(&result);
    sluice_reply_free(&first);
}

static void test_resend_and_conflict(void **state)
{
    (void)state;
    struct sluice_reply *first = screen_rows(client, "screen", fresh, "once", 4000, 300), *again, *refused = NULL;
    again = screen_rows(client, "screen", fresh, "once", 4000, 300);
    assert_same_bytes(first, again);
    struct flow_batch other;
    table_batch(&other, fresh, "once", 4000, 299, left_out_labels);
    assert_int_equal(sluice_call(client, "screen", other.batch, 0, &refused), SLUICE_FAULT);
    assert_string_equal(reply_fault(refused), "conflict");
    flow_batch_free(&other);
    sluice_reply_free(&refused);
    sluice_reply_free(&again);
    sluice_reply_free(&first);
}

/* The same content as rows instead of columns is the same request. */
static void test_rows_form_is_the_same_request(void **state)
{
    (void)state;
    struct sluice_reply *first = screen_rows(client, "screen", fresh, "forms", 5000, FRIENDLY_ROWS);
    struct wire_buffer message;
    static unsigned char reply[1 << 20];
    message_begin(&message, "screen", "forms", 1);
    message_transfers(&message, fresh, 5000, FRIENDLY_ROWS, left_out_labels);
    size_t bytes = raw_ask(server.data_url, message.data, message.bytes, reply, sizeof reply, 60000);
    wire_buffer_fini(&message);
    struct wire_value map = message_map(reply, bytes), rows, row;
    assert_string_equal(raw_fault(reply, bytes), "ok");
    assert_true(wire_find(&rows, &map, "transfers") && rows.type == WIRE_ARRAY && rows.count == FRIENDLY_ROWS);
    const uint8_t *verdicts = sluice_reply_u8(first, "verdict");
    const float *match = sluice_reply_f32(first, "match");
    const unsigned char *at = rows.inside;
    for (uint32_t i = 0; i < FRIENDLY_ROWS; i++) {
        char text[64];
        assert_true(wire_next(&row, &at, rows.end) && row.type == WIRE_MAP);
        assert_true(map_text(text, sizeof text, &row, "verdict"));
        assert_string_equal(text, sluice_reply_name(first, "verdict", verdicts[i]));
        assert_true(map_number(&row, "match") == (double)match[i]);
    }
    sluice_reply_free(&first);
}

static uint32_t query_count(const struct sluice_query *query, char cursor[64])
{
    struct sluice_reply *reply = NULL;
    assert_int_equal(sluice_query(client, query, &reply), 0);
    struct wire_value map = reply_map(reply), rows;
    assert_true(wire_find(&rows, &map, "transfers") && rows.type == WIRE_ARRAY);
    assert_true(map_text(cursor, 64, &map, "cursor"));
    sluice_reply_free(&reply);
    return rows.count;
}

static uint32_t query_all(struct sluice_query query)
{
    uint32_t total = 0;
    char cursor[64] = "", next[64];
    do {
        query.cursor = cursor[0] ? cursor : NULL;
        total += query_count(&query, next);
        strcpy(cursor, next);
    } while (cursor[0]);
    return total;
}

static void test_query(void **state)
{
    (void)state;
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, "sought", 6000, 1000);
    char cursor[64];
    struct sluice_query by_transfer = {.transfer = table_cell(fresh, 6123, "transfer_id")};
    assert_int_equal(query_count(&by_transfer, cursor), 1);
    uint32_t of_account = 0;
    const char *account = table_cell(fresh, 6500, "payer_id");
    for (uint32_t row = 6000; row < 7000; row++)
        of_account += strcmp(table_cell(fresh, row, "payer_id"), account) == 0 || strcmp(table_cell(fresh, row, "payee_id"), account) == 0;
    assert_int_equal(query_all((struct sluice_query){.batch = "sought", .account = account}), of_account);
    assert_int_equal(query_all((struct sluice_query){.batch = "sought", .rows_max = 37}), 1000);
    assert_int_equal(query_all((struct sluice_query){.batch = "sought", .verdict = "hold", .rows_max = 3}), verdict_count(reply, "hold"));
    assert_int_equal(query_all((struct sluice_query){.batch = "sought", .from_us = 1, .to_us = 2}), 0);
    const uint8_t *scenes = sluice_reply_u8(reply, "scene"), *causes = sluice_reply_u8(reply, "cause");
    const uint8_t *verdicts = sluice_reply_u8(reply, "verdict");
    for (uint8_t scene = 1; scene <= 8; scene++) {
        const char *name = sluice_reply_name(reply, "scene", scene);
        uint32_t best = 0, kept = 0;
        for (uint32_t row = 0; row < 1000; row++) {
            bool by_scene = causes[row] == CAUSE_SCENE || causes[row] == CAUSE_SCENE_AND_ANOMALY;
            best += scenes[row] == scene;
            kept += scenes[row] == scene && by_scene && (verdicts[row] == VERDICT_HOLD || verdicts[row] == VERDICT_REJECT);
        }
        assert_int_equal(query_all((struct sluice_query){.batch = "sought", .scene = name, .rows_max = 7}), kept);
        assert_int_equal(query_all((struct sluice_query){.batch = "sought", .best_scene = name}), best);
    }
    sluice_reply_free(&reply);
}

/* score gives what screen would, and leaves no trace. */
static void test_score_leaves_no_trace(void **state)
{
    (void)state;
    struct sluice_reply *before = screen_rows(client, "score", fresh, "tried", 8000, 400);
    struct sluice_reply *after = screen_rows(client, "screen", fresh, "taken", 8000, 400), *status = NULL;
    struct recorded a[400], b[400];
    recorded_take(a, before);
    recorded_take(b, after);
    assert_memory_equal(&a[0], &b[0], sizeof a[0]); /* the first row sees the same history; later ones see the rows before */
    assert_int_equal(sluice_ask(client, "status", "tried", &status), SLUICE_FAULT);
    sluice_reply_free(&status);
    sluice_reply_free(&before);
    sluice_reply_free(&after);
}

static void test_other_tenant_sees_nothing(void **state)
{
    (void)state;
    struct sluice_client *other = client_open_as(server.data_url, "other", OTHER_TOKEN, 60000);
    struct sluice_reply *reply = NULL;
    assert_int_equal(sluice_ask(other, "result", "first", &reply), SLUICE_FAULT);
    assert_string_equal(reply_fault(reply), "not_found");
    sluice_reply_free(&reply);
    struct sluice_query query = {.batch = "first"};
    assert_int_equal(sluice_query(other, &query, &reply), SLUICE_FAULT);
    assert_string_equal(reply_fault(reply), "denied");
    sluice_reply_free(&reply);
    sluice_close(&other);
}

static void test_health_and_metrics(void **state)
{
    (void)state;
    static char body[1 << 18];
    assert_int_equal(http_get(server.http_port, "/healthz", body, sizeof body), 200);
    assert_int_equal(http_get(server.http_port, "/readyz", body, sizeof body), 200);
    assert_int_equal(http_get(server.http_port, "/metrics", body, sizeof body), 200);
    assert_non_null(strstr(body, "# TYPE"));
    assert_non_null(strstr(body, "_bucket{"));
    assert_int_equal(http_get(server.http_port, "/elsewhere", body, sizeof body), 404);
}

static int setup(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    server_begin(&server, &(struct server_options){.http = true});
    client = client_open(&server);
    struct table *past = table_read(flow_past());
    struct sluice_reply *reply = screen_rows(client, "import", past, "past", 0, past->row_count);
    sluice_reply_free(&reply);
    table_free(past);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sluice_close(&client);
    server_stop(&server);
    table_free(fresh);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_screen_in_columns),
        cmocka_unit_test(test_result_and_status),
        cmocka_unit_test(test_resend_and_conflict),
        cmocka_unit_test(test_rows_form_is_the_same_request),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_score_leaves_no_trace),
        cmocka_unit_test(test_other_tenant_sees_nothing),
        cmocka_unit_test(test_health_and_metrics),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
