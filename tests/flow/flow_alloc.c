/* The n-th allocation fails, for every n, on the way of a two-row batch from a closed ledger to its reply: a clean fault, and
 * nothing is left. Allocations of SQLite and jansson count among ours; those of nng and the C library do not. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/secret.h"
#include "flow/harness.h"
#include "flow/message.h"
#include "pipeline/pipeline.h"
#include "tiny_base.h"

/* An opening prepares some hundred statements on each of its connections. Three tests share its allocations, SLUICE_ALLOC_SHARD tells which
 * third: each one of them fails once. Sanitizers make an opening slow: there every seventh stands for its neighbours. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { OPEN_STEP = 7 };
#else
enum { OPEN_STEP = 3 };
#endif

/* SQLite asks for sizes: each block carries its own. */
enum { HEAD_BYTES = 16 };

static void *sql_take(int bytes)
{
    char *block = memory_take((size_t)bytes + HEAD_BYTES);
    if (!block)
        return NULL;
    *(int *)(void *)block = bytes;
    return block + HEAD_BYTES;
}

static void sql_give(void *block)
{
    if (block)
        memory_give((char *)block - HEAD_BYTES);
}

static void *sql_resize(void *block, int bytes)
{
    char *resized = memory_resize((char *)block - HEAD_BYTES, (size_t)bytes + HEAD_BYTES);
    if (!resized)
        return NULL;
    *(int *)(void *)resized = bytes;
    return resized + HEAD_BYTES;
}

static int sql_bytes(void *block)
{
    return block ? *(int *)(void *)((char *)block - HEAD_BYTES) : 0;
}

static int sql_round(int bytes)
{
    return (bytes + 7) & ~7;
}

static int sql_init(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void sql_fini(void *context)
{
    (void)context;
}

static struct config *config;
static uint64_t live_before;

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t given;
    bool is_given;
    char fault[32];
};

static void on_deliver(void *context, struct wire_buffer *reply)
{
    struct answer *answer = context;
    const char *fault = reply->failed || reply->bytes == 0 ? "memory" : raw_fault((unsigned char *)reply->data, reply->bytes);
    pthread_mutex_lock(&answer->lock);
    snprintf(answer->fault, sizeof answer->fault, "%s", fault);
    wire_buffer_fini(reply);
    answer->is_given = true;
    pthread_cond_signal(&answer->given);
    pthread_mutex_unlock(&answer->lock);
}

static void two_rows(struct wire_buffer *out, const char *op, const char *id)
{
    static const char *const columns[] = {"transfer_id", "payer_id", "payee_id", "currency"};
    static const char *const values[][2] = {{"t-1", "t-2"}, {"alice", "bob"}, {"carol", "dora"}, {"EUR", "EUR"}};
    static const int64_t amounts[] = {1999, 250};
    message_begin(out, op, id, 2);
    message_integer(out, "rows", 2);
    wire_pack_text(out, "columns");
    wire_pack_map(out, 5);
    for (size_t i = 0; i < 4; i++)
        message_column_str(out, columns[i], values[i], 2);
    message_column_i64(out, "amount", amounts, 2);
    MUST(!out->failed);
}

static void two_cells(struct wire_buffer *out, const char *op, const char *id, const char *column, const char *const values[2],
                      const char *further, const char *const further_values[2])
{
    bool has_kind = strcmp(op, "observe") == 0;
    message_begin(out, op, id, 2 + has_kind);
    if (has_kind)
        message_pair(out, "kind", "use");
    message_integer(out, "rows", 2);
    wire_pack_text(out, "columns");
    wire_pack_map(out, 2);
    message_column_str(out, column, values, 2);
    message_column_str(out, further, further_values, 2);
}

/* What is asked for by name is what stands in the ledger before the first failure. */
static void request_of(struct wire_buffer *out, const char *op, const char *id)
{
    static const char *const ids[] = {"t-1", "t-2"}, *const labels[] = {"good", "theft"};
    static const char *const accounts[] = {"alice", "bob"}, *const devices[] = {"d-1", "d-2"};
    char recorded[64];
    snprintf(recorded, sizeof recorded, "well-%s-0", op);
    if (strcmp(op, "observe") == 0) {
        two_cells(out, op, id, "account_id", accounts, "device_id", devices);
    } else if (strcmp(op, "label") == 0) {
        two_cells(out, op, id, "transfer_id", ids, "label", labels);
    } else if (strcmp(op, "result") == 0 || strcmp(op, "query") == 0) {
        message_begin(out, op, id, 1);
        message_pair(out, "batch", recorded);
    } else {
        two_rows(out, op, id);
    }
    MUST(!out->failed);
}

/* Waits for the answer; allocations fail until it is there. */
static void ask(char fault[32], struct pipeline *pipeline, const struct wire_buffer *message)
{
    struct answer answer = {.lock = PTHREAD_MUTEX_INITIALIZER, .given = PTHREAD_COND_INITIALIZER};
    const struct delivery delivery = {.deliver = on_deliver, .context = &answer};
    pipeline_request(pipeline, message->data, message->bytes, clock_steady_ns(), &delivery);
    pthread_mutex_lock(&answer.lock);
    while (!answer.is_given)
        pthread_cond_wait(&answer.given, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    memcpy(fault, answer.fault, 32);
}

static void assert_recovers(struct pipeline *pipeline, const char *op, unsigned nth)
{
    char id[64], fault[32] = "";
    for (int tries = 0; tries < 500; tries++) {
        struct wire_buffer message;
        snprintf(id, sizeof id, "well-%s-%u", op, nth);
        two_rows(&message, "screen", id);
        ask(fault, pipeline, &message);
        wire_buffer_fini(&message);
        if (strcmp(fault, "ok") == 0)
            return;
        sleep_ms(2); /* history is being reloaded after a commit that failed */
    }
    fail_msg("after failure %u the server answers %s", nth, fault);
}

static bool is_clean(const char *fault)
{
    return strcmp(fault, "memory") == 0 || strcmp(fault, "ledger") == 0 || strcmp(fault, "busy") == 0 || strcmp(fault, "unavailable") == 0;
}

/* Opening and closing with every n; the first n at which nothing failed ends it. */
static void test_open(void **state)
{
    (void)state;
    const char *shard = getenv("SLUICE_ALLOC_SHARD");
    unsigned nth = shard ? (unsigned)atoi(shard) : 0;
    for (bool failed = true; failed; nth += OPEN_STEP) {
        struct pipeline *pipeline = NULL;
        struct fault_note note = {0};
        memory_fail_at(nth);
        enum fault fault = pipeline_open(&pipeline, config, &note);
        failed = memory_failed_count() > 0;
        if (fault == FAULT_NONE)
            pipeline_close(&pipeline);
        memory_fail_at(UINT64_MAX);
        assert_null(pipeline);
        if (!failed)
            assert_int_equal(fault, FAULT_NONE);
        if (fault != FAULT_NONE && !is_clean(fault_name(fault)))
            fail_msg("allocation %u: %s: %s", nth, fault_name(fault), note.text);
        sqlite3_shutdown();
        if (memory_live_count() != live_before)
            fail_msg("allocation %u: %llu blocks are left", nth, (unsigned long long)(memory_live_count() - live_before));
    }
    printf("figure: open and close: of %u allocations every %d. failed once\n", nth, OPEN_STEP);
    assert_true(nth > 50);
}

static void each_request(const char *op)
{
    struct pipeline *pipeline = NULL;
    unsigned nth = 0, refused = 0;
    MUST(pipeline_open(&pipeline, config, NULL) == FAULT_NONE);
    assert_recovers(pipeline, op, 0);
    for (bool failed = true; failed; nth++) {
        char id[64], fault[32];
        struct wire_buffer message;
        snprintf(id, sizeof id, "%s-%u", op, nth);
        request_of(&message, op, id);
        memory_fail_at(nth);
        ask(fault, pipeline, &message);
        failed = memory_failed_count() > 0;
        memory_fail_at(UINT64_MAX);
        if (strcmp(fault, "ok") != 0 && !is_clean(fault))
            fail_msg("%s, allocation %u: %s", op, nth, fault);
        if (!failed)
            assert_string_equal(fault, "ok");
        refused += strcmp(fault, "ok") != 0;
        assert_recovers(pipeline, op, nth);
        wire_buffer_fini(&message);
    }
    pipeline_close(&pipeline);
    sqlite3_shutdown();
    assert_int_equal(memory_live_count(), live_before);
    printf("figure: %s of two rows: each of %u allocations failed once, %u times with a fault\n", op, nth - 1, refused);
    assert_true(refused > 0);
}

static void test_screen(void **state)
{
    (void)state;
    each_request("screen");
}

static void test_score(void **state)
{
    (void)state;
    each_request("score");
}

static void test_import(void **state)
{
    (void)state;
    each_request("import");
}

static void test_observe(void **state)
{
    (void)state;
    each_request("observe");
}

static void test_label(void **state)
{
    (void)state;
    each_request("label");
}

static void test_result(void **state)
{
    (void)state;
    each_request("result");
}

static void test_query(void **state)
{
    (void)state;
    each_request("query");
}

/* A base of few words: each of them costs some allocations, and each allocation an opening. */
static void base_write(const char *path)
{
    struct tiny_base tiny;
    char *bytes;
    size_t byte_count;
    tiny_base_init(&tiny, 2, 2, 2, 1);
    MUST(scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, NULL) == FAULT_NONE);
    flow_write(path, bytes, byte_count);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

static int setup(void **state)
{
    (void)state;
    static const sqlite3_mem_methods methods = {sql_take, sql_give, sql_resize, sql_bytes, sql_round, sql_init, sql_fini, NULL};
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1], text[2048], source[300], base[300];
    struct stat memory_disk;
    if (!getenv("TMPDIR") && stat("/dev/shm", &memory_disk) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* thousands of small syncs */
    json_use_memory();
    MUST(secret_open() && sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK);
    secret_hash(hash, FLOW_TOKEN, strlen(FLOW_TOKEN));
    secret_to_hex(hex, hash, sizeof hash);
    flow_path(source, sizeof source, "alloc.yaml");
    flow_path(base, sizeof base, "tiny.safetensors");
    base_write(base);
    int bytes =
        snprintf(text, sizeof text,
                 "ledger: %s/ledger\nbase: %s\nworkers: 1\nlisten:\n  data: [\"ipc:///tmp/unused\"]\nlimits:\n  message_max: 1MiB\n"
                 "history:\n  accounts_max: 1024\n  events_max: 1024\n  busy_max: 16\n  links_max: 1024\n  places_max: 1024\n"
                 "tenants:\n  - name: flow\n    token_hash: %s\n    rights: [submit, score, label, query]\n    score_rows_per_minute: 0\n",
                 flow_folder(), base, hex);
    struct fault_note note = {0};
    if (config_open_text(&config, source, text, (size_t)bytes, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    log_level_set(LOG_ERROR + 1);
    live_before = memory_live_count();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_close(&config);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),    cmocka_unit_test(test_screen), cmocka_unit_test(test_score),  cmocka_unit_test(test_import),
        cmocka_unit_test(test_observe), cmocka_unit_test(test_label),  cmocka_unit_test(test_result), cmocka_unit_test(test_query),
    };
    const struct CMUnitTest shard[] = {cmocka_unit_test(test_open)};
    return getenv("SLUICE_ALLOC_SHARD") ? cmocka_run_group_tests(shard, setup, teardown) : cmocka_run_group_tests(tests, setup, teardown);
}
