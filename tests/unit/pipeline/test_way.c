/* The whole way without sockets and without a base: bytes in, durable reply out, questions about it afterwards. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "pipeline/pipeline.h"

/* SHA-256 of "abc" */
#define TOKEN_HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static char folder[64];
static struct pipeline *pipeline;

static struct config *config_make(void)
{
    char text[2048];
    struct config *config = NULL;
    struct fault_note note = {0};
    int bytes =
        snprintf(text, sizeof text,
                 "ledger: %s/ledger\nlisten:\n  data: [ipc://%s/s]\nhistory:\n  accounts_max: 4096\n  events_max: 32768\n  busy_max: 64\n"
                 "  links_max: 8192\n  places_max: 4096\n"
                 "tenants:\n  - name: a\n    token_hash: " TOKEN_HASH "\n    rights: [submit, score, label, query, operate]\n"
                 "  - name: b\n    token_hash: " TOKEN_HASH "\n    rights: [submit]\n",
                 folder, folder);
    if (config_open_text(&config, "test.yaml", text, (size_t)bytes, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    return config;
}

static int open_pipeline(void **state)
{
    struct fault_note note = {0};
    struct config *config = config_make();
    (void)state;
    log_level_set(LOG_ERROR);
    if (pipeline_open(&pipeline, config, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    config_close(&config);
    return 0;
}

static int close_pipeline(void **state)
{
    (void)state;
    pipeline_close(&pipeline);
    return 0;
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t given;
    bool is_given;
    struct wire_buffer reply;
};

static void take_reply(void *context, struct wire_buffer *reply)
{
    struct waiting *waiting = context;
    pthread_mutex_lock(&waiting->lock);
    waiting->reply = *reply;
    *reply = (struct wire_buffer){0};
    waiting->is_given = true;
    pthread_cond_signal(&waiting->given);
    pthread_mutex_unlock(&waiting->lock);
}

/* The reply to a message; both buffers are given back by the caller. */
static struct wire_buffer ask(const struct wire_buffer *message)
{
    struct waiting waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .given = PTHREAD_COND_INITIALIZER};
    const struct delivery delivery = {.deliver = take_reply, .context = &waiting};
    pipeline_request(pipeline, message->data, message->bytes, clock_steady_ns(), &delivery);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.is_given)
        pthread_cond_wait(&waiting.given, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    return waiting.reply;
}

static void pair(struct wire_buffer *out, const char *key, const char *value)
{
    wire_pack_text(out, key);
    wire_pack_text(out, value);
}

static void begin(struct wire_buffer *out, const char *tenant, const char *op, const char *id, uint32_t further)
{
    wire_pack_map(out, 5 + further);
    wire_pack_text(out, "v");
    wire_pack_i64(out, 1);
    pair(out, "op", op);
    pair(out, "tenant", tenant);
    pair(out, "token", "abc");
    pair(out, "id", id);
}

static void transfers(struct wire_buffer *out, int count, int64_t first_amount, const char *label)
{
    char id[32];
    wire_pack_text(out, "transfers");
    wire_pack_array(out, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        wire_pack_map(out, label ? 6 : 5);
        snprintf(id, sizeof id, "t%d", i);
        pair(out, "transfer_id", id);
        snprintf(id, sizeof id, "payer%d", i % 3);
        pair(out, "payer_id", id);
        pair(out, "payee_id", "shop");
        wire_pack_text(out, "amount");
        wire_pack_i64(out, first_amount + i);
        pair(out, "currency", "EUR");
        if (label)
            pair(out, "label", label);
    }
}

/* value of a key, as text for texts, printed for integers; "fault <name>" for a fault */
static void answer_value(char out[256], struct wire_buffer *message, const char *key)
{
    struct wire_buffer reply = ask(message);
    struct fault_note note = {0};
    struct wire_value map, value;
    const unsigned char *at = (const unsigned char *)reply.data;
    assert_int_equal(wire_check(reply.data, reply.bytes, &note), FAULT_NONE);
    assert_true(wire_next(&map, &at, at + reply.bytes));
    if (wire_find(&value, &map, "fault"))
        snprintf(out, 256, "fault %.*s", (int)value.text.bytes, value.text.data);
    else if (!wire_find(&value, &map, key))
        snprintf(out, 256, "no %s", key);
    else if (value.type == WIRE_STR)
        snprintf(out, 256, "%.*s", (int)value.text.bytes, value.text.data);
    else if (value.type == WIRE_ARRAY || value.type == WIRE_MAP)
        snprintf(out, 256, "%u", value.count);
    else
        snprintf(out, 256, "%lld", (long long)value.integer);
    wire_buffer_fini(&reply);
    wire_buffer_fini(message);
}

static void expect(struct wire_buffer *message, const char *key, const char *expected)
{
    char value[256];
    answer_value(value, message, key);
    assert_string_equal(value, expected);
}

static void screened_once_and_only_once(void **state)
{
    struct wire_buffer message = {0};
    char first[256], again[256];
    (void)state;
    begin(&message, "a", "screen", "one", 1), transfers(&message, 5, 100, NULL);
    answer_value(first, &message, "sequence");
    begin(&message, "a", "screen", "one", 1), transfers(&message, 5, 100, NULL);
    answer_value(again, &message, "sequence");
    assert_string_equal(first, again);
    begin(&message, "a", "screen", "one", 1), transfers(&message, 5, 101, NULL);
    expect(&message, "sequence", "fault conflict");
    begin(&message, "b", "screen", "one", 1), transfers(&message, 5, 101, NULL);
    answer_value(again, &message, "rows");
    assert_string_equal(again, "5");
}

static void asked_about_afterwards(void **state)
{
    struct wire_buffer message = {0};
    (void)state;
    begin(&message, "a", "screen", "two", 2), pair(&message, "batch", "monday"), transfers(&message, 7, 100, NULL);
    expect(&message, "rows", "7");
    begin(&message, "a", "status", "q1", 1), pair(&message, "batch", "monday");
    expect(&message, "state", "recorded");
    begin(&message, "a", "result", "q2", 1), pair(&message, "batch", "monday");
    expect(&message, "rows", "7");
    begin(&message, "b", "result", "q2", 1), pair(&message, "batch", "monday");
    expect(&message, "rows", "fault not_found");
    begin(&message, "a", "query", "q3", 2), pair(&message, "batch", "monday"), pair(&message, "transfer", "t6");
    expect(&message, "transfers", "1");
    begin(&message, "a", "query", "q4", 2), pair(&message, "batch", "monday"), pair(&message, "account", "payer1");
    expect(&message, "transfers", "2");
    begin(&message, "b", "query", "q5", 0);
    expect(&message, "transfers", "fault denied");
}

static void score_leaves_nothing(void **state)
{
    struct wire_buffer message = {0};
    (void)state;
    begin(&message, "a", "score", "three", 1), transfers(&message, 4, 100, NULL);
    expect(&message, "rows", "4");
    begin(&message, "a", "status", "q1", 1), pair(&message, "batch", "three");
    expect(&message, "state", "fault not_found");
    begin(&message, "b", "score", "three", 1), transfers(&message, 4, 100, NULL);
    expect(&message, "rows", "fault denied");
}

static void imports_and_labels(void **state)
{
    struct wire_buffer message = {0};
    (void)state;
    begin(&message, "a", "import", "past", 1), transfers(&message, 10, 900, "good");
    expect(&message, "rows", "10");
    begin(&message, "a", "label", "labels", 1);
    wire_pack_text(&message, "transfers");
    wire_pack_array(&message, 2);
    wire_pack_map(&message, 2), pair(&message, "transfer_id", "t3"), pair(&message, "label", "mule");
    wire_pack_map(&message, 2), pair(&message, "transfer_id", "nobody"), pair(&message, "label", "mule");
    expect(&message, "notes", "1");
}

static void restart_keeps_all(void **state)
{
    struct wire_buffer message = {0};
    close_pipeline(state);
    open_pipeline(state);
    begin(&message, "a", "screen", "one", 1), transfers(&message, 5, 100, NULL);
    expect(&message, "rows", "5");
    begin(&message, "a", "health", "h", 0);
    expect(&message, "ready", "1");
}

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/sluice-way-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(screened_once_and_only_once), cmocka_unit_test(asked_about_afterwards), cmocka_unit_test(score_leaves_nothing),
        cmocka_unit_test(imports_and_labels),          cmocka_unit_test(restart_keeps_all),
    };
    int failed = cmocka_run_group_tests(tests, open_pipeline, close_pipeline);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? failed : 1;
}
