/* The life of batches on real servers: what passed leaves once, whoever asks for it and whenever the server is killed; time, release and
 * cancel; the same id again gives the same answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/must.h"
#include "flow/base_files.h"
#include "flow/harness.h"
#include "ledger/ledger.h"
#include "wire/wire.h"

#define TOKEN "life-token-90ce"
enum { ROWS = 300, KILLS = 8, BATCHES = KILLS + 8 };

static struct table *fresh;
static struct server server;
static char output[16384], tenants[1024];

static void begin(const char *name, const char *lines)
{
    tenant_lines(tenants, sizeof tenants, "payroll", TOKEN, "[submit, query]");
    size_t used = strlen(tenants);
    MUST((size_t)snprintf(tenants + used, sizeof tenants - used, "%s", lines) < sizeof tenants - used);
    server_begin(&server, &(struct server_options){
                              .name = name, .top = "strategy:\n  - {risk_type: '*', level: low, verdict: hold}\n", .tenants = tenants});
}

/* Some of these rows pass and some do not. */
static uint32_t screen(const char *id, uint32_t first)
{
    struct sluice_client *client = client_open_as(server.data_url, "payroll", TOKEN, 30000);
    struct sluice_reply *reply = screen_rows(client, "screen", fresh, id, first, ROWS);
    const uint8_t *codes = sluice_reply_u8(reply, "verdict");
    uint32_t passed = 0;
    for (uint32_t i = 0; i < ROWS; i++)
        passed += strcmp(sluice_reply_name(reply, "verdict", codes[i]), "pass") == 0;
    if (!(passed > 0 && passed < ROWS))
        print_message("%s: %u pass\n", id, passed);
    assert_true(passed > 0 && passed < ROWS);
    sluice_reply_free(&reply);
    sluice_close(&client);
    return passed;
}

/* The fault, or "ok"; the first note and the sequence of the answer. */
static const char *change(const char *op, const char *id, const char *batch, char note[256], int64_t *sequence)
{
    static char fault[32];
    struct sluice_client *client = client_open_as(server.data_url, "payroll", TOKEN, 30000);
    struct sluice_reply *reply = NULL;
    int error = sluice_change(client, op, id, batch, &reply);
    snprintf(fault, sizeof fault, "%s", reply ? reply_fault(reply) : "silence");
    snprintf(note, 256, "%s", reply ? sluice_reply_text(reply) : "");
    *sequence = reply ? sluice_reply_integer(reply, "sequence", 0) : 0;
    assert_true((error == SLUICE_OK) == (strcmp(fault, "ok") == 0));
    sluice_reply_free(&reply);
    sluice_close(&client);
    return fault;
}

static void expect_life(const char *batch, const char *life, int64_t releases)
{
    struct sluice_client *client = client_open_as(server.data_url, "payroll", TOKEN, 30000);
    struct sluice_reply *reply = NULL;
    assert_int_equal(sluice_ask(client, "status", batch, &reply), SLUICE_OK);
    assert_string_equal(sluice_reply_string(reply, "life"), life);
    assert_int_equal(sluice_reply_integer(reply, "releases", -1), releases);
    sluice_reply_free(&reply);
    sluice_close(&client);
}

/* Every row of the batch that had the verdict is in that state. */
static void expect_rows(const char *batch, const char *verdict, const char *wanted)
{
    struct sluice_client *client = client_open_as(server.data_url, "payroll", TOKEN, 30000);
    const struct sluice_query query = {.batch = batch, .verdict = verdict, .rows_max = ROWS};
    struct sluice_reply *reply = NULL;
    struct wire_value top, rows, row, state;
    size_t bytes;
    assert_int_equal(sluice_query(client, &query, &reply), SLUICE_OK);
    const unsigned char *message = sluice_reply_bytes(reply, &bytes);
    assert_true(wire_next(&top, &message, message + bytes) && wire_find(&rows, &top, "transfers") && rows.count > 0);
    const unsigned char *at = rows.inside;
    while (wire_next(&row, &at, rows.end))
        assert_true(wire_find(&state, &row, "state") && text_equal(state.text, text_of(wanted)));
    sluice_reply_free(&reply);
    sluice_close(&client);
}

/* 0: the server refused it. */
static uint32_t rows_found(const struct sluice_query *query)
{
    struct sluice_client *client = client_open_as(server.data_url, "payroll", TOKEN, 30000);
    struct sluice_reply *reply = NULL;
    struct wire_value top, rows = {.count = 0};
    size_t bytes;
    if (sluice_query(client, query, &reply) == SLUICE_OK) {
        const unsigned char *message = sluice_reply_bytes(reply, &bytes);
        assert_true(wire_next(&top, &message, message + bytes) && wire_find(&rows, &top, "transfers"));
    } else {
        assert_string_equal(reply_fault(reply), "schema");
    }
    sluice_reply_free(&reply);
    sluice_close(&client);
    return rows.count;
}

static void expect_narrowed(uint32_t timed, uint32_t asked)
{
    static const char *const levels[] = {"none", "low", "medium", "high", "critical"};
    const uint32_t all = 3 * ROWS;
    uint32_t seen = 0;
    assert_int_equal(rows_found(&(struct sluice_query){.state = "released", .rows_max = all}), timed + asked);
    assert_int_equal(rows_found(&(struct sluice_query){.state = "released", .rows_max = 7}), 7);
    assert_int_equal(rows_found(&(struct sluice_query){.state = "cancelled", .rows_max = all}), ROWS);
    assert_int_equal(rows_found(&(struct sluice_query){.state = "pass", .rows_max = all}), 0);
    uint32_t expired = rows_found(&(struct sluice_query){.state = "expired", .rows_max = all});
    uint32_t rejected = rows_found(&(struct sluice_query){.state = "reject", .rows_max = all});
    assert_int_equal(expired + rejected, 2 * ROWS - timed - asked);
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
        seen += rows_found(&(struct sluice_query){.batch = "timed", .level = levels[i], .rows_max = all});
    assert_int_equal(seen, ROWS);
    assert_int_equal(rows_found(&(struct sluice_query){.state = "lost"}), 0);
    assert_int_equal(rows_found(&(struct sluice_query){.level = "deep"}), 0);
    assert_int_equal(rows_found(&(struct sluice_query){.state = "hold", .verdict = "pass"}), 0);
}

struct outgoing {
    char derived[BATCHES][160];
    uint32_t rows[BATCHES], count, seen;
};

static bool rows_pass(void *context, const struct batch *batch, const uint32_t *rows, uint32_t row_count)
{
    struct outgoing *out = context;
    for (uint32_t i = 0; i < row_count; i++) {
        assert_int_equal(batch->results.verdict[rows[i]], VERDICT_PASS);
        assert_true(i == 0 || rows[i] > rows[i - 1]);
    }
    out->seen += row_count;
    return true;
}

/* What lies in the outbox of a server that stands still. */
static void outgoing_read(struct outgoing *out)
{
    char folder[300];
    struct ledger *ledger = NULL;
    struct ledger_outbox entry = {.entry = 0};
    struct fault_note note = {0};
    snprintf(folder, sizeof folder, "%s/ledger", server.folder);
    const struct ledger_options options = {.folder = folder, .reads_only = true};
    assert_int_equal(ledger_sqlite.open(&ledger, &options, &note), FAULT_NONE);
    *out = (struct outgoing){.count = 0};
    while (ledger_sqlite.outbox_next(ledger, &entry, "payroll", entry.entry, INT64_MAX, &note) == FAULT_NONE) {
        assert_true(out->count < BATCHES);
        for (uint32_t i = 0; i < out->count; i++)
            assert_string_not_equal(out->derived[i], entry.derived_id);
        strcpy(out->derived[out->count], entry.derived_id);
        out->seen = 0;
        assert_int_equal(ledger_sqlite.outbox_rows(ledger, entry.entry, rows_pass, out, &note), FAULT_NONE);
        assert_int_equal(out->seen, entry.row_count);
        out->rows[out->count++] = entry.row_count;
    }
    ledger_sqlite.close(&ledger);
}

static void expect_outgoing(const struct outgoing *out, const char *derived, uint32_t rows)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < out->count; i++)
        if (strcmp(out->derived[i], derived) == 0)
            assert_int_equal(out->rows[i], rows), found++;
    assert_int_equal(found, 1);
}

static void expect_verified(void)
{
    char ledger[300];
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
    assert_int_equal(FLOW_RUN(output, "replay", "--verify", ledger), 0);
}

static void one_second_batch_when_it_is_settled(void **state)
{
    (void)state;
    char note[256], again[256];
    int64_t sequence, repeated;
    struct outgoing out;
    begin("settled", "    corrections: 2s\n");
    uint32_t timed = screen("timed", 0), asked = screen("asked", ROWS);
    screen("given up", 2 * ROWS);
    expect_life("timed", "awaiting_corrections", 0);
    expect_rows("timed", "pass", "pass");
    expect_rows("timed", "hold", "hold");
    assert_string_equal(change("cancel", "c1", "given up", note, &sequence), "ok");
    assert_string_equal(change("cancel", "c1", "given up", again, &repeated), "ok");
    assert_string_equal(note, again);
    assert_int_equal(sequence, repeated);
    assert_string_equal(change("cancel", "c1", "asked", note, &sequence), "conflict");
    assert_string_equal(change("release", "r0", "given up", note, &sequence), "conflict");
    assert_string_equal(change("release", "r0", "unheard of", note, &sequence), "not_found");
    assert_string_equal(change("release", "r1", "asked", note, &sequence), "ok");
    assert_non_null(strstr(note, "asked/r1"));
    assert_string_equal(change("release", "r1", "asked", again, &repeated), "ok");
    assert_string_equal(note, again);
    assert_int_equal(sequence, repeated);
    assert_string_equal(change("release", "r2", "asked", note, &sequence), "conflict");
    assert_string_equal(change("cancel", "c2", "asked", note, &sequence), "conflict");
    sleep_ms(4500); /* the time for corrections, and the pace at which it is looked at */
    expect_life("timed", "released", 1);
    expect_life("asked", "released", 1);
    expect_life("given up", "cancelled", 0);
    server_kill(&server);
    server_start(&server);
    expect_life("timed", "released", 1);
    expect_rows("timed", "pass", "released");
    expect_rows("timed", "hold", "expired");
    expect_rows("asked", "hold", "expired");
    expect_rows("given up", "pass", "cancelled");
    expect_narrowed(timed, asked);
    server_stop(&server);
    outgoing_read(&out);
    assert_int_equal(out.count, 2);
    expect_outgoing(&out, "timed/r1", timed);
    expect_outgoing(&out, "asked/r1", asked);
    expect_verified();
}

static void at_once_is_in_the_screening(void **state)
{
    (void)state;
    struct outgoing out;
    begin("at-once", "    release: at_once\n");
    uint32_t passed = screen("fast", 0);
    server_kill(&server);
    outgoing_read(&out);
    assert_int_equal(out.count, 1);
    expect_outgoing(&out, "fast/r1", passed);
    server_start(&server);
    expect_life("fast", "awaiting_corrections", 1);
    expect_rows("fast", "pass", "released");
    expect_rows("fast", "hold", "hold");
    server_stop(&server);
}

static void *kill_later(void *argument)
{
    sleep_ms(*(int *)argument);
    server_kill(&server);
    return NULL;
}

static void nothing_is_released_twice(void **state)
{
    (void)state;
    uint64_t seed = flow_seed();
    uint32_t passed[KILLS], acknowledged = 0;
    struct outgoing out;
    char batch[24], id[24], note[256];
    begin("killed", "    release: partial\n");
    for (unsigned round = 0; round < KILLS; round++) {
        pthread_t thread;
        int64_t sequence;
        int after_ms = (int)(hash64(seed, &round, sizeof round) % 12);
        snprintf(batch, sizeof batch, "b%u", round);
        snprintf(id, sizeof id, "release %u", round);
        passed[round] = screen(batch, round * 10);
        struct sluice_client *client = client_open_as(server.data_url, "payroll", TOKEN, 1000);
        assert_int_equal(pthread_create(&thread, NULL, kill_later, &after_ms), 0);
        struct sluice_reply *reply = NULL;
        bool done = sluice_change(client, "release", id, batch, &reply) == SLUICE_OK;
        sluice_reply_free(&reply);
        sluice_close(&client);
        pthread_join(thread, NULL);
        acknowledged += done;
        outgoing_read(&out);
        assert_true(!done || out.count == round + 1);
        server_start(&server);
        assert_string_equal(change("release", id, batch, note, &sequence), "ok");
        expect_life(batch, "awaiting_corrections", 1);
    }
    server_stop(&server);
    outgoing_read(&out);
    assert_int_equal(out.count, KILLS);
    for (unsigned round = 0; round < KILLS; round++) {
        snprintf(batch, sizeof batch, "b%u/r1", round);
        expect_outgoing(&out, batch, passed[round]);
    }
    printf("figure: %d kills, %u releases acknowledged before\n", KILLS, acknowledged);
    expect_verified();
}

static void the_commands_do_the_same(void **state)
{
    (void)state;
    char token[256];
    begin("commands", "");
    flow_path(token, sizeof token, "life.token");
    flow_write(token, TOKEN, strlen(TOKEN));
    screen("told", 0);
    assert_int_equal(FLOW_RUN(output, "query", "--connect", server.data_url, "--tenant", "payroll", "--token-file", token, "--state",
                              "hold", "--head", "3", "--format", "csv"),
                     0);
    static const char head[] = "batch,sequence,row,op,time,transfer_id,payer_id,payee_id,amount,currency,verdict,state,level,";
    assert_memory_equal(output, head, sizeof head - 1);
    uint32_t lines = 0;
    for (const char *at = output; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 4);
    assert_non_null(strstr(output, ",hold,hold,"));
    assert_int_equal(
        FLOW_RUN(output, "query", "--connect", server.data_url, "--tenant", "payroll", "--token-file", token, "--format", "xml"), 2);
    assert_int_equal(FLOW_RUN(output, "status", "--connect", server.data_url, "--tenant", "payroll", "--token-file", token, "told"), 0);
    assert_non_null(strstr(output, "told: awaiting_corrections"));
    assert_int_equal(FLOW_RUN(output, "release", "--connect", server.data_url, "--tenant", "payroll", "--token-file", token, "told"), 0);
    assert_non_null(strstr(output, "leave as told/r1"));
    assert_int_equal(FLOW_RUN(output, "cancel", "--connect", server.data_url, "--tenant", "payroll", "--token-file", token, "told"), 2);
    assert_non_null(strstr(output, "was released"));
    server_stop(&server);
}

static int prepare(void **state)
{
    (void)state;
    fresh = table_read(flow_fresh());
    MUST(fresh->row_count >= 4 * ROWS);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    table_free(fresh);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_second_batch_when_it_is_settled),
        cmocka_unit_test(at_once_is_in_the_screening),
        cmocka_unit_test(nothing_is_released_twice),
        cmocka_unit_test(the_commands_do_the_same),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}
