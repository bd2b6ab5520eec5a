#ifndef SLUICE_TESTS_PIPELINE_RIG_H
#define SLUICE_TESTS_PIPELINE_RIG_H

/* A pipeline in this process, without sockets: messages in, replies out, and gates that hold it where a test wants it held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "pipeline/internal.h"
#include "tiny_base.h"

/* SHA-256 of "abc" */
#define TOKEN_HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define RIG_RIGHTS "rights: [submit, score, label, query, operate, explain], score_rows_per_minute: 0"
#define RIG_TENANTS \
    "tenants:\n  - {name: a, token_hash: " TOKEN_HASH ", " RIG_RIGHTS "}\n" \
    "  - {name: b, token_hash: " TOKEN_HASH ", rights: [submit]}\n"
#define RIG_HISTORY \
    "history: {accounts_max: 4096, events_max: 32768, busy_max: 64, links_max: 8192, places_max: 4096, transfers_max: 65536}\n"

static char rig_folder[64];
static struct pipeline *pipeline;
static int64_t rig_time_us; /* of every row that is sent; 0: no such column */

/* --- configuration ------------------------------------------------------------------------------------------------- */

/* top: further lines of the file, tenants among them (NULL: a and b); base: file name in the folder, or NULL. */
static inline struct config *rig_config(const char *top, const char *base)
{
    char text[8192], base_line[128] = "";
    const char *tail = top ? top : RIG_TENANTS, *wait = strstr(tail, "queue_wait_max") ? "" : "queue_wait_max: 60s\n";
    struct config *config = NULL;
    struct fault_note note = {0};
    if (base)
        snprintf(base_line, sizeof base_line, "base: %s/%s\n", rig_folder, base);
    int bytes = snprintf(text, sizeof text, "ledger: %s/ledger\nlisten: {data: [\"ipc://%s/s\"]}\n%s%s%s%s", rig_folder, rig_folder,
                         base_line, RIG_HISTORY, wait, tail);
    assert_true(bytes > 0 && (size_t)bytes < sizeof text);
    if (config_open_text(&config, "test.yaml", text, (size_t)bytes, &note) != FAULT_NONE)
        fail_msg("%s\n%s", note.text, text);
    return config;
}

static inline void rig_write_base(const char *name, uint64_t seed)
{
    struct tiny_base tiny;
    struct fault_note note = {0};
    char *bytes = NULL, path[128];
    size_t byte_count = 0;
    tiny_base_init(&tiny, 4, 8, 4, seed);
    tiny_reference(&tiny);
    snprintf(path, sizeof path, "%s/%s", rig_folder, name);
    if (scene_base_write(&bytes, &byte_count, &tiny.base, NULL, NULL, &note) != FAULT_NONE ||
        file_replace(path, bytes, byte_count, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    memory_give(bytes);
    tiny_base_fini(&tiny);
}

/* --- gates: a ledger that waits or fails where it is told to -------------------------------------------------------- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    unsigned waiting; /* threads that stand before it */
};
#define GATE_OPEN \
    { \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

static inline void gate_pass(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->waiting++;
    pthread_cond_broadcast(&gate->changed);
    while (gate->closed)
        pthread_cond_wait(&gate->changed, &gate->lock);
    gate->waiting--;
    pthread_mutex_unlock(&gate->lock);
}

static inline void gate_set(struct gate *gate, bool closed)
{
    pthread_mutex_lock(&gate->lock);
    gate->closed = closed;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static inline void gate_await(struct gate *gate, unsigned waiting)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->waiting < waiting)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static struct gate commit_gate = GATE_OPEN, lookup_gate = GATE_OPEN, stored_gate = GATE_OPEN;
static atomic_uint commits_to_fail, commit_calls, replays_to_fail, looks_to_fail; /* looks: while it is not 0 */
static atomic_uint idle_calls;

static enum fault rig_commit(struct ledger *ledger, struct ledger_entry *entries, uint32_t entry_count, struct fault_note *note)
{
    if (entry_count == 0)
        return atomic_load(&looks_to_fail) > 0 ? fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "no room")
                                               : ledger_sqlite.commit(ledger, entries, entry_count, note);
    gate_pass(&commit_gate);
    atomic_fetch_add(&commit_calls, 1);
    if (atomic_load(&commits_to_fail) > 0) {
        atomic_fetch_sub(&commits_to_fail, 1);
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the test wants it so");
    }
    return ledger_sqlite.commit(ledger, entries, entry_count, note);
}

static enum fault rig_find_request(struct ledger *ledger, struct ledger_request *out, struct text tenant, struct text id,
                                   struct fault_note *note)
{
    gate_pass(&lookup_gate);
    return ledger_sqlite.find_request(ledger, out, tenant, id, note);
}

static enum fault rig_read(struct ledger *ledger, struct batch *out, uint64_t sequence, struct fault_note *note)
{
    gate_pass(&stored_gate);
    return ledger_sqlite.read(ledger, out, sequence, note);
}

static enum fault rig_replay(struct ledger *ledger, uint64_t from, enum fault (*each)(void *, struct batch *, struct fault_note *),
                             void *context, struct fault_note *note)
{
    if (atomic_load(&replays_to_fail) > 0) {
        atomic_fetch_sub(&replays_to_fail, 1);
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "the test wants no replay");
    }
    return ledger_sqlite.replay(ledger, from, each, context, note);
}

static void rig_idle(struct ledger *ledger)
{
    atomic_fetch_add(&idle_calls, 1);
    ledger_sqlite.idle(ledger);
}

static struct ledger_ops rig_ledger;

static inline void rig_open(struct config *config) /* closes config */
{
    struct fault_note note = {0};
    rig_ledger = ledger_sqlite;
    rig_ledger.commit = rig_commit;
    rig_ledger.find_request = rig_find_request;
    rig_ledger.read = rig_read;
    rig_ledger.replay = rig_replay;
    rig_ledger.idle = rig_idle;
    log_level_set(getenv("SLUICE_VERBOSE") ? LOG_DEBUG : (enum log_level)(LOG_ERROR + 1));
    if (pipeline_open_on(&pipeline, config, &rig_ledger, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    config_close(&config);
}

static inline uint64_t rig_sequence_next(void)
{
    pthread_mutex_lock(&pipeline->sequence_lock);
    uint64_t next = pipeline->sequence_next;
    pthread_mutex_unlock(&pipeline->sequence_lock);
    return next;
}

static inline void rig_forget_snapshot(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/ledger/history.snapshot", rig_folder);
    unlink(path);
}

static inline void rig_sleep_ms(int ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&wait, NULL);
}

/* Every test has a folder, and so a ledger, of its own. */
static inline int rig_setup(void **state)
{
    (void)state;
    snprintf(rig_folder, sizeof rig_folder, "/tmp/sluice-pipeline-XXXXXX");
    return mkdtemp(rig_folder) ? 0 : -1;
}

static inline int rig_teardown(void **state)
{
    char command[128];
    (void)state;
    gate_set(&commit_gate, false);
    gate_set(&lookup_gate, false);
    gate_set(&stored_gate, false);
    atomic_store(&commits_to_fail, 0);
    atomic_store(&looks_to_fail, 0);
    atomic_store(&replays_to_fail, 0);
    rig_time_us = 0;
    pipeline_close(&pipeline);
    snprintf(command, sizeof command, "rm -rf %s", rig_folder);
    return system(command);
}
#define RIG_TEST(function) cmocka_unit_test_setup_teardown(function, rig_setup, rig_teardown)

static inline uint64_t rig_seed(void)
{
    const char *text = getenv("SLUICE_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)clock_wall_us();
    printf("seed: %" PRIu64 "\n", seed);
    return seed;
}

/* What history is now. Nothing may be in flight. */
static inline struct digest rig_history(void)
{
    return pipeline->history_ops->state_digest(pipeline->history);
}

/* A reply comes a moment before what its batch held is given back. */
static inline void rig_await_quiet(void)
{
    for (bool quiet = false; !quiet; rig_sleep_ms(1)) {
        pthread_mutex_lock(&pipeline->line_lock);
        quiet = pipeline->in_flight == 0 && pipeline->reserved_bytes == 0;
        pthread_mutex_unlock(&pipeline->line_lock);
    }
}

static inline uint64_t rig_committed(void)
{
    return pipeline->ledger_ops->last_sequence(pipeline->ledger);
}

/* --- messages -------------------------------------------------------------------------------------------------------- */

static inline void pair(struct wire_buffer *out, const char *key, const char *value)
{
    wire_pack_text(out, key);
    wire_pack_text(out, value);
}

static inline void pair_i64(struct wire_buffer *out, const char *key, int64_t value)
{
    wire_pack_text(out, key);
    wire_pack_i64(out, value);
}

static inline void begin(struct wire_buffer *out, const char *tenant, const char *op, const char *id, uint32_t further)
{
    *out = (struct wire_buffer){0};
    wire_pack_map(out, 5 + further);
    pair_i64(out, "v", 1);
    pair(out, "op", op);
    pair(out, "tenant", tenant);
    pair(out, "token", "abc");
    pair(out, "id", id);
}

/* Rows: transfer "<prefix><i>", a few payers and payees, amounts from `amount` up. Two pairs: columns and rows. */
static inline void columns(struct wire_buffer *out, uint32_t count, const char *prefix, int64_t amount)
{
    char *ids = malloc((size_t)count * 32 + 1), *at = ids;
    uint32_t *offsets = malloc(((size_t)count + 1) * sizeof *offsets);
    int64_t *amounts = malloc((size_t)count * sizeof *amounts + 1);
    uint8_t *payers = malloc(count + 1), *payees = malloc(count + 1), *currencies = calloc(count + 1, 1);
    offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        at += snprintf(at, 32, "%.12s%" PRIu32, prefix, i);
        offsets[i + 1] = (uint32_t)(at - ids);
        amounts[i] = amount + (int64_t)(i * 2654435761u % 100000);
        payers[i] = (uint8_t)(i * 40503u % 7), payees[i] = (uint8_t)(i * 48271u % 5);
    }
    pair_i64(out, "rows", count);
    wire_pack_text(out, "columns");
    wire_pack_map(out, rig_time_us ? 6 : 5);
    wire_pack_text(out, "transfer_id");
    wire_pack_map(out, 3), pair(out, "type", "str");
    wire_pack_text(out, "offsets"), wire_pack_bin(out, offsets, ((size_t)count + 1) * sizeof *offsets);
    wire_pack_text(out, "data"), wire_pack_bin(out, ids, (size_t)(at - ids));
    wire_pack_text(out, "amount");
    wire_pack_map(out, 2), pair(out, "type", "i64");
    wire_pack_text(out, "data"), wire_pack_bin(out, amounts, (size_t)count * sizeof *amounts);
    if (rig_time_us) {
        for (uint32_t i = 0; i < count; i++)
            amounts[i] = rig_time_us;
        wire_pack_text(out, "time");
        wire_pack_map(out, 2), pair(out, "type", "i64");
        wire_pack_text(out, "data"), wire_pack_bin(out, amounts, (size_t)count * sizeof *amounts);
    }
    const struct {
        const char *name, *values[7];
        uint32_t value_count;
        const uint8_t *codes;
    } dicts[] = {{"payer_id", {"p0", "p1", "p2", "p3", "p4", "p5", "p6"}, 7, payers},
                 {"payee_id", {"q0", "q1", "q2", "q3", "q4"}, 5, payees},
                 {"currency", {"EUR"}, 1, currencies}};
    for (unsigned d = 0; d < 3; d++) {
        wire_pack_text(out, dicts[d].name);
        wire_pack_map(out, 4), pair(out, "type", "dict"), pair(out, "code", "u8");
        wire_pack_text(out, "values"), wire_pack_array(out, dicts[d].value_count);
        for (uint32_t i = 0; i < dicts[d].value_count; i++)
            wire_pack_text(out, dicts[d].values[i]);
        wire_pack_text(out, "codes"), wire_pack_bin(out, dicts[d].codes, count);
    }
    free(ids), free(offsets), free(amounts), free(payers), free(payees), free(currencies);
}

/* A whole batch of `count` rows; its transfers are named after its id. */
static inline void batch_of(struct wire_buffer *out, const char *tenant, const char *op, const char *id, uint32_t count)
{
    begin(out, tenant, op, id, 2);
    columns(out, count, id, 100);
}

/* A label for each of `count` transfers "<prefix><i>". */
static inline void labels_of(struct wire_buffer *out, const char *tenant, const char *id, const char *prefix, uint32_t count,
                             const char *label)
{
    begin(out, tenant, "label", id, 1);
    wire_pack_text(out, "transfers");
    wire_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        char transfer[32];
        snprintf(transfer, sizeof transfer, "%.12s%" PRIu32, prefix, i);
        wire_pack_map(out, 2), pair(out, "transfer_id", transfer), pair(out, "label", label);
    }
}

/* --- sending --------------------------------------------------------------------------------------------------------- */

struct sent { /* one message and its reply */
    struct pipeline *pipeline;
    struct wire_buffer message, reply;
    pthread_mutex_t lock;
    pthread_cond_t given;
    unsigned deliveries;
    struct gate *hold;       /* the delivering thread stands here */
    uint64_t committed_then; /* last committed sequence when it was delivered */
};

static void sent_deliver(void *context, struct wire_buffer *reply)
{
    struct sent *sent = context;
    if (sent->hold)
        gate_pass(sent->hold);
    pthread_mutex_lock(&sent->lock);
    sent->reply = *reply;
    *reply = (struct wire_buffer){0};
    sent->committed_then = sent->pipeline->ledger_ops->last_sequence(sent->pipeline->ledger);
    memset(sent->message.data, 0xdd, sent->message.bytes); /* the caller's again: nobody may read it any more */
    sent->deliveries++;
    pthread_cond_signal(&sent->given);
    pthread_mutex_unlock(&sent->lock);
}

static inline void post_as_of(struct sent *out, struct wire_buffer *message, int64_t received_ns)
{
    struct gate *hold = out->hold;
    *out = (struct sent){.pipeline = pipeline, .message = *message, .hold = hold};
    *message = (struct wire_buffer){0};
    pthread_mutex_init(&out->lock, NULL);
    pthread_cond_init(&out->given, NULL);
    const struct delivery delivery = {.deliver = sent_deliver, .context = out};
    pipeline_request(pipeline, out->message.data, out->message.bytes, received_ns, &delivery);
}

/* The message is taken over. */
static inline void post(struct sent *out, struct wire_buffer *message)
{
    post_as_of(out, message, clock_steady_ns());
}

static inline bool is_answered(struct sent *sent)
{
    pthread_mutex_lock(&sent->lock);
    bool answered = sent->deliveries > 0;
    pthread_mutex_unlock(&sent->lock);
    return answered;
}

static inline void await(struct sent *sent)
{
    pthread_mutex_lock(&sent->lock);
    while (sent->deliveries == 0)
        pthread_cond_wait(&sent->given, &sent->lock);
    pthread_mutex_unlock(&sent->lock);
}

static inline void sent_fini(struct sent *sent)
{
    assert_int_equal(sent->deliveries, 1);
    wire_buffer_fini(&sent->message);
    wire_buffer_fini(&sent->reply);
    pthread_mutex_destroy(&sent->lock);
    pthread_cond_destroy(&sent->given);
}

static inline bool reply_find(const struct sent *sent, const char *key, struct wire_value *out)
{
    struct fault_note note = {0};
    struct wire_value map;
    const unsigned char *at = (const unsigned char *)sent->reply.data;
    assert_int_equal(wire_check(sent->reply.data, sent->reply.bytes, &note), FAULT_NONE);
    assert_true(wire_next(&map, &at, at + sent->reply.bytes) && map.type == WIRE_MAP);
    return wire_find(out, &map, key);
}

static inline int64_t reply_i64(const struct sent *sent, const char *key)
{
    struct wire_value value;
    return reply_find(sent, key, &value) && value.type == WIRE_INT ? value.integer : -1;
}

/* The fault's name, "ok" without one. */
static inline const char *reply_fault(const struct sent *sent)
{
    static _Thread_local char name[32];
    struct wire_value value;
    snprintf(name, sizeof name, "ok");
    if (reply_find(sent, "fault", &value))
        text_copy(name, sizeof name, value.text);
    return name;
}

/* The text of the first note. */
static inline const char *reply_note(const struct sent *sent)
{
    static _Thread_local char out[256];
    struct wire_value notes, note, text;
    out[0] = '\0';
    if (!reply_find(sent, "notes", &notes) || notes.count == 0)
        return out;
    const unsigned char *at = notes.inside;
    if (wire_next(&note, &at, notes.end) && wire_find(&text, &note, "text"))
        text_copy(out, sizeof out, text.text);
    return out;
}

/* Text, or a number printed; "fault …" for a fault, "none" for no such key. */
static inline const char *reply_value(const struct sent *sent, const char *key)
{
    static _Thread_local char out[256];
    struct wire_value value;
    if (reply_find(sent, "fault", &value))
        snprintf(out, sizeof out, "fault %.*s", (int)value.text.bytes, value.text.data);
    else if (!reply_find(sent, key, &value))
        snprintf(out, sizeof out, "none");
    else if (value.type == WIRE_STR)
        text_copy(out, sizeof out, value.text);
    else if (value.type == WIRE_ARRAY || value.type == WIRE_MAP)
        snprintf(out, sizeof out, "%u", value.count);
    else
        snprintf(out, sizeof out, "%lld", (long long)value.integer);
    return out;
}

/* Without waited_ms, the last pair of a map of more than 15: what a stored reply does not have. */
static inline void reply_forget_wait(struct sent *sent)
{
    static const char key[] = "\xa9waited_ms";
    unsigned char *data = (unsigned char *)sent->reply.data;
    for (size_t at = sent->reply.bytes > 20 ? sent->reply.bytes - 20 : 0; at + 10 < sent->reply.bytes; at++)
        if (memcmp(data + at, key, 10) == 0) {
            sent->reply.bytes = at;
            *(data[0] == 0xde ? &data[2] : &data[0]) -= 1;
        }
}

/* The same bytes, but for what is said of the wait. */
static inline bool replies_equal(struct sent *a, struct sent *b)
{
    reply_forget_wait(a), reply_forget_wait(b);
    return a->reply.bytes == b->reply.bytes && memcmp(a->reply.data, b->reply.data, a->reply.bytes) == 0;
}

static inline void ask(struct sent *out, struct wire_buffer *message)
{
    post(out, message);
    await(out);
}

/* Asks, and compares one key of the reply. */
static inline void expect(struct wire_buffer *message, const char *key, const char *expected)
{
    struct sent sent = {0};
    ask(&sent, message);
    assert_string_equal(reply_value(&sent, key), expected);
    sent_fini(&sent);
}

/* "in_flight", "recorded", or "fault not_found" */
static inline void expect_state(const char *tenant, const char *batch, const char *state)
{
    struct wire_buffer message;
    begin(&message, tenant, "status", "s", 1), pair(&message, "batch", batch);
    expect(&message, "state", state);
}

#endif
