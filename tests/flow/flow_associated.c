/* A bank that is asked on a batch's way: a separate process that keeps what it was asked, answers in every wrong way, and is killed
 * while batches wait for it; and a ledger that replays to the bit without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/secret.h"
#include "flow/harness.h"
#include "flow/message.h"

enum { ROWS = 40, KILL_ROUNDS = 6, KILL_BATCHES = 8 };
#define TOKEN "desk-token-9c2e"
#define KEY   "key-of-the-bank-of-tests"

extern char **environ;
static struct server server;
static struct sluice_client *client;
static char database[256], mode_file[256], output[1 << 16];
static int bank_port;
static pid_t bank;

#define FIELDS \
    "    fields:\n" \
    "      - {name: bank_limit, from: limit, type: decimal, fallback: \"7.00\"}\n" \
    "      - {name: segment, fallback: none}\n" \
    "      - {name: days, type: int, fallback: \"-1\"}\n" \
    "      - {name: rate, type: float, fallback: \"0.5\"}\n"
#define HEAD "columns:\n  - {name: payer_id, from: debtor}\nfill: |\n  who = payer_id\n"
#define POST "post: |\n  room = bank_limit + bank_limit\n  known = bank_answer == \"answered\"\n"
static const char *const silences[] = {"hold", "defaults", "refuse"};

static void mode_set(const char *mode)
{
    char temporary[300];
    snprintf(temporary, sizeof temporary, "%s.new", mode_file);
    flow_write(temporary, mode, strlen(mode));
    MUST(rename(temporary, mode_file) == 0);
}

static void bank_start(void)
{
    char port[16];
    snprintf(port, sizeof port, "%d", bank_port);
    const char *const arguments[] = {"python3", "tests/flow/bank.py", port, database, KEY, mode_file, NULL};
    assert_int_equal(posix_spawnp(&bank, "python3", NULL, NULL, (char *const *)arguments, environ), 0);
}

static void bank_kill(void)
{
    kill(bank, SIGKILL);
    waitpid(bank, NULL, 0);
}

static long bank_number(const char *sql)
{
    char command[600], line[64] = "";
    snprintf(command, sizeof command,
             "python3 -c \"import sqlite3,sys; print(sqlite3.connect('%s').execute(sys.argv[1]).fetchone()[0])\" \"%s\"", database, sql);
    FILE *pipe = popen(command, "r");
    MUST(pipe && fgets(line, sizeof line, pipe));
    pclose(pipe);
    return strtol(line, NULL, 10);
}

static void bank_await(void)
{
    char body[64];
    for (int waited = 0; waited < 10000 && http_get(bank_port, "/", body, sizeof body) == 0; waited += 20)
        sleep_ms(20);
}

static void configure(void)
{
    static char top[1024], tenants[1024];
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1];
    secret_hash(hash, TOKEN, strlen(TOKEN));
    secret_to_hex(hex, hash, sizeof hash);
    snprintf(tenants, sizeof tenants,
             "  - name: desk\n    token_hash: %s\n    rights: [submit, score, query]\n    duplicate_days: 0\n"
             "    profiles: [hold.yaml, defaults.yaml, refuse.yaml]\n",
             hex);
    snprintf(top, sizeof top,
             "connections_max: 64\nmemory_max: 1TiB\nconnect:\n  hosts: [\"127.0.0.1:%d\"]\n  plain: true\n"
             "  retry_first: 10ms\n  retry_most: 40ms\n  breaker_failures: 50\n  breaker_open: 100ms\n"
             "associated:\n  - {name: bank, url: \"http://127.0.0.1:%d/accounts\", key: \"env:SLUICE_TEST_BANK_KEY\", timeout: 400ms,\n"
             "     attempts: 3, keys_max: 100, calls: 2, kept: 1000, expiry: 1h, answer_max: 64KiB}\n",
             bank_port, bank_port);
    server_configure(&server, &(struct server_options){.base = "", .top = top, .tenants = tenants, .http = true, .workers = 1});
    for (int i = 0; i < 3; i++) {
        char text[2048], path[300];
        snprintf(text, sizeof text, "name: %s\nproduct: %s\n%sassociated:\n  - system: bank\n    key: who\n    silence: %s\n%s%s",
                 silences[i], silences[i], HEAD, silences[i], FIELDS, POST);
        snprintf(path, sizeof path, "%s/%s.yaml", server.folder, silences[i]);
        flow_write(path, text, strlen(text));
    }
}

static int setup(void **state)
{
    (void)state;
    if (!secret_open() || system("python3 -c 'import sqlite3' 2>/dev/null") != 0)
        flow_skip("no python3 with sqlite3");
    bank_port = free_port();
    flow_path(database, sizeof database, "bank.db");
    flow_path(mode_file, sizeof mode_file, "bank.mode");
    mode_set("fine");
    setenv("SLUICE_TEST_BANK_KEY", KEY, 1);
    configure();
    bank_start();
    bank_await();
    server_start(&server);
    client = client_open_as(server.data_url, "desk", TOKEN, 60000);
    return 0;
}

/* Rows of distinct payers <prefix><first>…, each twice. */
static struct sluice_batch *batch_of(const char *id, const char *product, const char *prefix, int first, uint32_t rows)
{
    static _Thread_local char ids[ROWS][64], payers[ROWS][32];
    static _Thread_local const char *id_texts[ROWS], *payer_texts[ROWS], *products[ROWS];
    static _Thread_local uint16_t codes[ROWS], ones[ROWS];
    static _Thread_local int64_t amounts[ROWS];
    static const char *const payees[] = {"y"}, *const currencies[] = {"EUR"};
    struct sluice_batch *batch;
    products[0] = product;
    for (uint32_t i = 0; i < rows; i++) {
        snprintf(ids[i], sizeof ids[i], "%s-%u", id, i);
        snprintf(payers[i], sizeof payers[i], "%s%u", prefix, first + i / 2);
        id_texts[i] = ids[i], payer_texts[i] = payers[i], codes[i] = (uint16_t)i, ones[i] = 0, amounts[i] = 100;
    }
    MUST(sluice_batch_new(&batch, id, rows) == 0);
    MUST(sluice_batch_dict16(batch, "transfer_id", codes, id_texts, rows, NULL) == 0);
    MUST(sluice_batch_dict16(batch, "debtor", codes, payer_texts, rows, NULL) == 0);
    MUST(sluice_batch_dict16(batch, "payee_id", ones, payees, 1, NULL) == 0);
    MUST(sluice_batch_dict16(batch, "currency", ones, currencies, 1, NULL) == 0);
    MUST(sluice_batch_dict16(batch, "product_code", ones, products, 1, NULL) == 0);
    MUST(sluice_batch_i64(batch, "amount", amounts, NULL) == 0);
    return batch;
}

static struct sluice_reply *send_as(const char *op, const char *id, const char *product, const char *prefix, int first, uint32_t rows,
                                    int64_t deadline_ms)
{
    struct sluice_reply *reply = NULL;
    struct sluice_batch *batch = batch_of(id, product, prefix, first, rows);
    int error = sluice_call(client, op, batch, deadline_ms, &reply);
    if (error != 0 && error != SLUICE_FAULT)
        fail_msg("%s: %s", id, sluice_error_name(error));
    sluice_batch_free(&batch);
    return reply;
}

static const char *named(const struct sluice_reply *reply, const char *column, uint32_t row)
{
    return sluice_reply_name(reply, column, sluice_reply_u8(reply, column)[row]);
}

static void all_are(struct sluice_reply *reply, const char *verdict, const char *cause)
{
    if (strcmp(reply_fault(reply), "ok") != 0)
        fail_msg("%s", sluice_reply_text(reply));
    for (uint32_t row = 0; row < sluice_reply_rows(reply); row++) {
        assert_string_equal(named(reply, "verdict", row), verdict);
        assert_string_equal(named(reply, "cause", row), cause);
    }
    sluice_reply_free(&reply);
}

/* What the ledger has of a transfer. */
static const char *recorded(const char *transfer)
{
    char token[300];
    snprintf(token, sizeof token, "%s/desk.token", server.folder);
    flow_write(token, TOKEN, strlen(TOKEN));
    MUST(FLOW_RUN(output, "query", "--connect", server.data_url, "--tenant", "desk", "--token-file", token, "--transfer", transfer,
                  "--format=jsonl") == 0);
    return output;
}

static void holds(const char *transfer, const char *const *texts)
{
    const char *line = recorded(transfer);
    for (; *texts; texts++)
        if (!strstr(line, *texts))
            fail_msg("no %s in %s", *texts, line);
}
#define HOLDS(transfer, ...) holds(transfer, (const char *const[]){__VA_ARGS__, NULL})

static void test_answers_are_columns(void **state)
{
    (void)state;
    all_are(send_as("screen", "first", "hold", "a", 100, 10, 0), "pass", "none");
    assert_int_equal(bank_number("SELECT count(*) FROM request"), 1);
    assert_int_equal(bank_number("SELECT keys FROM request"), 5);
    assert_int_equal(bank_number("SELECT distinct_keys FROM request"), 5);
    assert_int_equal(bank_number("SELECT good FROM request"), 1);
    HOLDS("first-3", "\"bank_limit\":10150", "\"segment\":\"gold\"", "\"days\":101", "\"rate\":25.25", "\"bank_answer\":\"answered\"",
          "\"room\":20300", "\"known\":1", "\"bank.limit\":\"101.50\"");
    all_are(send_as("screen", "unknown", "hold", "u", 1, 4, 0), "pass", "none");
    HOLDS("unknown-0", "\"bank_answer\":\"unknown\"", "\"known\":0");
    all_are(send_as("screen", "again", "hold", "a", 100, 10, 0), "pass", "none"); /* what was answered is kept */
    assert_int_equal(bank_number("SELECT count(*) FROM request"), 2);
    all_are(send_as("screen", "half", "hold", "a", 103, 10, 0), "pass", "none");
    assert_int_equal(bank_number("SELECT keys FROM request ORDER BY rowid DESC"), 3);
}

static void test_silence(void **state)
{
    (void)state;
    mode_set("down");
    struct sluice_reply *reply = send_as("screen", "held", "hold", "b", 10, 10, 0);
    assert_string_equal(named(reply, "risk_type", 0), "unanswered");
    all_are(reply, "hold", "unanswered");
    HOLDS("held-0", "\"bank_answer\":\"silent\"");
    all_are(send_as("screen", "defaulted", "defaults", "b", 10, 10, 0), "pass", "none");
    HOLDS("defaulted-9", "\"bank_limit\":700", "\"segment\":\"none\"", "\"days\":-1", "\"rate\":0.5", "\"bank_answer\":\"silent\"",
          "\"room\":1400");
    reply = send_as("screen", "refused", "refuse", "b", 10, 10, 0);
    assert_string_equal(reply_fault(reply), "unavailable");
    sluice_reply_free(&reply);
    all_are(send_as("screen", "mixed", "hold", "a", 100, 4, 0), "pass", "none"); /* kept from before */
    mode_set("fine");
    all_are(send_as("screen", "refused", "refuse", "b", 10, 10, 0), "pass", "none"); /* it was not taken, so its id is free */
    all_are(send_as("screen", "held-2", "hold", "b", 10, 10, 0), "pass", "none");
}

static void test_every_wrong_answer(void **state)
{
    (void)state;
    static const char *const modes[] = {"garbage", "lying", "half", "slow", "stranger", "twice", "wrong"};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char id[32];
        snprintf(id, sizeof id, "wrong-%s", modes[i]);
        mode_set(modes[i]);
        int64_t begin_ns = clock_steady_ns();
        all_are(send_as("screen", id, "hold", "c", 1, 4, 0), "hold", "unanswered");
        assert_true(clock_steady_ns() - begin_ns < 5000000000);
    }
    mode_set("fine");
    all_are(send_as("screen", "wrong-none", "hold", "c", 1, 4, 0), "pass", "none");
}

static void test_deadline_bounds_the_wait(void **state)
{
    (void)state;
    mode_set("slow");
    int64_t begin_ns = clock_steady_ns();
    struct sluice_reply *reply = send_as("screen", "late", "hold", "d", 1, 4, 300);
    assert_string_equal(reply_fault(reply), "deadline");
    sluice_reply_free(&reply);
    assert_true(clock_steady_ns() - begin_ns < 700000000);
    mode_set("fine");
}

static void *slow_send(void *context)
{
    struct sluice_client *own = client_open_as(server.data_url, "desk", TOKEN, 60000);
    struct sluice_reply *reply = NULL;
    struct sluice_batch *batch = batch_of(context, "hold", context, 1, 4);
    MUST(sluice_call(own, "screen", batch, 0, &reply) == 0);
    sluice_batch_free(&batch);
    sluice_reply_free(&reply);
    sluice_close(&own);
    return NULL;
}

/* One worker: while batches wait for the bank, others are screened, and the server says that it is well. */
static void test_waiting_holds_no_worker(void **state)
{
    (void)state;
    pthread_t threads[4];
    static char *const names[] = {"slow-a", "slow-b", "slow-c", "slow-d"};
    static char body[1 << 20];
    struct table *fresh = table_read(flow_fresh());
    struct sluice_client *flow = client_open(&server);
    mode_set("slow");
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&threads[i], NULL, slow_send, names[i]) == 0);
    sleep_ms(150);
    int64_t begin_ns = clock_steady_ns();
    struct sluice_reply *reply = screen_rows(flow, "screen", fresh, "meanwhile", 0, ROWS);
    assert_true(clock_steady_ns() - begin_ns < 300000000);
    sluice_reply_free(&reply);
    assert_int_equal(http_get(server.http_port, "/healthz", body, sizeof body), 200);
    assert_int_equal(http_get(server.http_port, "/metrics", body, sizeof body), 200);
    assert_non_null(strstr(body, "sluice_associated_waiting{system=\"bank\"} 2"));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    mode_set("fine");
    assert_int_equal(http_get(server.http_port, "/metrics", body, sizeof body), 200);
    assert_non_null(strstr(body, "sluice_associated_waiting{system=\"bank\"} 0"));
    assert_non_null(strstr(body, "sluice_associated_breaker{system=\"bank\"} 0"));
    sluice_close(&flow);
    table_free(fresh);
}

static void test_check_profile(void **state)
{
    (void)state;
    static const char rows[] = "transfer_id,debtor,payee_id,amount,currency\nc0,a1,y,100,EUR\nc1,a2,y,100,EUR\nc2,a1,y,100,EUR\n";
    static const char answers[] = "{\"bank\": {\"answers\": [{\"account\": \"a1\", \"limit\": 2.5}, {\"account\": \"zz\"}]}}";
    static const char wrong[] = "{\"bank\": {\"answers\": [{\"account\": \"a1\", \"days\": \"x\"}]}}";
    char profile[300], rows_path[300], answers_path[300], wrong_path[300];
    long asked = bank_number("SELECT count(*) FROM request");
    snprintf(profile, sizeof profile, "%s/hold.yaml", server.folder);
    flow_path(rows_path, sizeof rows_path, "rows.csv");
    flow_path(answers_path, sizeof answers_path, "answers.json");
    flow_path(wrong_path, sizeof wrong_path, "wrong.json");
    flow_write(rows_path, rows, strlen(rows));
    flow_write(answers_path, answers, strlen(answers));
    flow_write(wrong_path, wrong, strlen(wrong));
    assert_int_equal(FLOW_RUN(output, "check-profile", profile), 0);
    assert_non_null(strstr(output, "asks bank for who: limit, segment, days, rate; without an answer rows are held"));
    assert_int_equal(FLOW_RUN(output, "check-profile", profile, "--rows", rows_path, "--associated", answers_path), 0);
    assert_non_null(strstr(output, "bank would be asked: {\"keys\":[\"a1\",\"a2\"],\"fields\":[\"limit\",\"segment\",\"days\",\"rate\"]}"));
    assert_non_null(strstr(output, "0,\"c0\",fine,\"a1\",5.00,true,\n"));
    assert_non_null(strstr(output, "1,\"c1\",fine,\"a2\",,false,\n"));
    assert_non_null(strstr(output, "2,\"c2\",fine,\"a1\",5.00,true,\n"));
    assert_int_equal(FLOW_RUN(output, "check-profile", profile, "--rows", rows_path), 0);
    assert_non_null(strstr(output, "0,\"c0\",fine,\"a1\",,false,\n"));
    assert_int_equal(FLOW_RUN(output, "check-profile", profile, "--rows", rows_path, "--associated", wrong_path), 2);
    assert_non_null(strstr(output, "'days' must be an integer"));
    assert_int_equal(bank_number("SELECT count(*) FROM request"), asked);
}

/* --- kills --------------------------------------------------------------------------------------------------------------- */

static unsigned kill_round;

static void *load(void *context)
{
    struct sluice_client *own = client_open_as(server.data_url, "desk", TOKEN, 1500);
    bool *acknowledged = context;
    for (int i = 0; i < KILL_BATCHES; i++) {
        char id[32];
        struct sluice_reply *reply = NULL;
        snprintf(id, sizeof id, "kill-%u-%d", kill_round, i);
        struct sluice_batch *batch = batch_of(id, i % 2 ? "defaults" : "hold", "k", (int)kill_round * 1000 + i * 10, ROWS);
        acknowledged[i] = sluice_call(own, "screen", batch, 0, &reply) == 0;
        sluice_batch_free(&batch);
        sluice_reply_free(&reply);
    }
    sluice_close(&own);
    return NULL;
}

static void test_kills(void **state)
{
    (void)state;
    mode_set("flaky");
    for (kill_round = 0; kill_round < KILL_ROUNDS; kill_round++) {
        pthread_t thread;
        bool acknowledged[KILL_BATCHES] = {false};
        MUST(pthread_create(&thread, NULL, load, acknowledged) == 0);
        sleep_ms(30 + 40 * (int)kill_round);
        bank_kill();
        if (kill_round % 2 == 0)
            server_kill(&server);
        sleep_ms(60);
        bank_start();
        bank_await();
        if (kill_round % 2 == 0)
            server_start(&server);
        pthread_join(thread, NULL);
        for (int i = 0; i < KILL_BATCHES; i++) { /* what was acknowledged is there; what was not is taken now */
            char id[32], transfer[48];
            snprintf(id, sizeof id, "kill-%u-%d", kill_round, i);
            snprintf(transfer, sizeof transfer, "%s-%d", id, ROWS - 1);
            bool looked_at = i % 4 == (int)kill_round % 4;
            if (acknowledged[i] && looked_at)
                HOLDS(transfer, "\"bank_answer\":");
            struct sluice_reply *reply = send_as("screen", id, i % 2 ? "defaults" : "hold", "k", (int)kill_round * 1000 + i * 10, ROWS, 0);
            assert_string_equal(reply_fault(reply), "ok");
            sluice_reply_free(&reply);
            if (looked_at)
                HOLDS(transfer, "\"bank_answer\":");
        }
    }
    assert_int_equal(bank_number("SELECT count(*) FROM request WHERE good = 0"), 0);
    assert_int_equal(bank_number("SELECT count(*) FROM request WHERE keys != distinct_keys"), 0);
}

static void test_replay_asks_nobody(void **state)
{
    (void)state;
    char ledger[300];
    snprintf(ledger, sizeof ledger, "%s/ledger", server.folder);
    sluice_close(&client);
    server_stop(&server);
    long asked = bank_number("SELECT count(*) FROM request");
    if (FLOW_RUN(output, "replay", "--verify", ledger) != 0)
        fail_msg("%s", output);
    assert_non_null(strstr(output, "to the bit"));
    assert_int_equal(bank_number("SELECT count(*) FROM request"), asked);
    bank_kill();
    server_start(&server); /* history is rebuilt, and stored answers are told, without the bank */
    client = client_open_as(server.data_url, "desk", TOKEN, 60000);
    all_are(send_as("screen", "held", "hold", "b", 10, 10, 0), "hold", "unanswered");
    HOLDS("first-3", "\"bank_limit\":10150");
    sluice_close(&client);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_columns),     cmocka_unit_test(test_silence),
        cmocka_unit_test(test_every_wrong_answer),      cmocka_unit_test(test_deadline_bounds_the_wait),
        cmocka_unit_test(test_waiting_holds_no_worker), cmocka_unit_test(test_kills),
        cmocka_unit_test(test_check_profile),           cmocka_unit_test(test_replay_asks_nobody),
    };
    return cmocka_run_group_tests_name("flow.associated", tests, setup, NULL);
}
