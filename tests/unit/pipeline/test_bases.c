/* A change of the base is in the log before it acts, or it does not act; what is refused leaves nothing; epochs are few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>

#include "unit/pipeline/rig.h"

#define TENANTS \
    "tenants:\n  - {name: a, token_hash: " TOKEN_HASH ", rights: [submit, score, label, query, operate, explain, model], " \
    "score_rows_per_minute: 0}\n"

static char *base_bytes;
static size_t base_byte_count;
static char base_digest[33];

static void base_make(uint64_t seed)
{
    struct tiny_base tiny;
    struct fault_note note = {0};
    memory_give(base_bytes);
    tiny_base_init(&tiny, 4, 8, 4, seed);
    assert_int_equal(scene_base_write(&base_bytes, &base_byte_count, &tiny.base, NULL, NULL, &note), FAULT_NONE);
    tiny_base_fini(&tiny);
    digest_to_hex(base_digest, hash128(0, base_bytes, base_byte_count));
}

static void put_of(struct wire_buffer *out, const char *id)
{
    begin(out, "a", "base.put", id, 4);
    pair(out, "digest", base_digest);
    pair_i64(out, "bytes", (int64_t)base_byte_count);
    pair_i64(out, "offset", 0);
    wire_pack_text(out, "data");
    wire_pack_bin(out, base_bytes, base_byte_count);
}

static void activate_of(struct wire_buffer *out, const char *id, const char *base)
{
    begin(out, "a", "base.activate", id, 1);
    pair(out, "base", base);
}

static void rollback_of(struct wire_buffer *out, const char *id)
{
    begin(out, "a", "base.rollback", id, 0);
}

/* Sends it; "" or the fault's name; text: of the note. */
static void expect_answer(struct wire_buffer *message, const char *fault, const char *text)
{
    struct sent sent = {0};
    struct wire_value value, notes, note;
    ask(&sent, message);
    bool failed = reply_find(&sent, "fault", &value);
    if (failed != (*fault != '\0') || (failed && !text_equal(value.text, text_of(fault))))
        fail_msg("expected fault \"%s\", is \"%.*s\"", fault, failed ? (int)value.text.bytes : 0, failed ? value.text.data : "");
    if (failed && text) {
        char told[400];
        assert_true(reply_find(&sent, "notes", &notes));
        const unsigned char *at = notes.inside;
        assert_true(wire_next(&note, &at, notes.end) && wire_find(&value, &note, "text"));
        text_copy(told, sizeof told, value.text);
        if (!strstr(told, text))
            fail_msg("expected \"%s\", is \"%s\"", text, told);
    }
    sent_fini(&sent);
}

static unsigned kept_files(const char *suffix)
{
    char path[128];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/ledger/bases", rig_folder);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.' && strstr(entry->d_name, suffix);
    closedir(folder);
    return count;
}

static bool scores_under(const char *digest)
{
    struct sent sent = {0};
    struct wire_buffer message;
    struct wire_value value;
    batch_of(&message, "a", "score", "probe", 20);
    ask(&sent, &message);
    assert_true(reply_find(&sent, "base_digest", &value));
    bool same = text_equal(value.text, text_of(digest));
    sent_fini(&sent);
    return same;
}

/* Freed by the timer: a moment later. */
static void await_epochs(unsigned count)
{
    for (int waited = 0; atomic_load(&pipeline->epochs) != count && waited < 5000; waited++)
        rig_sleep_ms(1);
    assert_int_equal(atomic_load(&pipeline->epochs), count);
}

static void it_is_durable_before_it_acts(void **state)
{
    (void)state;
    struct wire_buffer message;
    struct sent sent = {0};
    rig_open(rig_config(TENANTS, NULL));
    base_make(1);
    put_of(&message, "put");
    expect_answer(&message, "", NULL);
    gate_set(&commit_gate, true);
    activate_of(&message, "act", "tiny");
    post(&sent, &message);
    gate_await(&commit_gate, 1);
    rig_sleep_ms(20);
    assert_true(scores_under("")); /* numbered, not committed: nothing has changed */
    assert_false(is_answered(&sent));
    gate_set(&commit_gate, false);
    await(&sent);
    assert_true(scores_under(base_digest));
    assert_true(sent.committed_then >= 2);
    sent_fini(&sent);
    activate_of(&message, "act", "tiny"); /* the same answer, no other change */
    expect_answer(&message, "", NULL);
    assert_int_equal(rig_committed(), 2);
    await_epochs(2); /* the running one and the one kept */
    rollback_of(&message, "back");
    expect_answer(&message, "", NULL);
    assert_true(scores_under(""));
    await_epochs(2);
}

static void what_cannot_be_recorded_does_not_act(void **state)
{
    (void)state;
    struct wire_buffer message;
    rig_open(rig_config(TENANTS, NULL));
    base_make(2);
    atomic_store(&commits_to_fail, 1);
    put_of(&message, "put");
    expect_answer(&message, "ledger", "the test wants it so");
    for (int waited = 0; kept_files(".safetensors") > 0 && waited < 5000; waited++)
        rig_sleep_ms(1);
    assert_int_equal(kept_files(".safetensors"), 0);
    for (int waited = 0; !atomic_load(&pipeline->ready) && waited < 5000; waited++)
        rig_sleep_ms(1);
    put_of(&message, "put");
    expect_answer(&message, "", NULL);
    atomic_store(&commits_to_fail, 1);
    activate_of(&message, "act", base_digest);
    expect_answer(&message, "ledger", "the test wants it so");
    for (int waited = 0; !atomic_load(&pipeline->ready) && waited < 5000; waited++)
        rig_sleep_ms(1);
    assert_true(scores_under(""));
    await_epochs(1);
    rollback_of(&message, "back");
    expect_answer(&message, "not_found", "there is none to go back to");
    activate_of(&message, "act", base_digest);
    expect_answer(&message, "", NULL);
    assert_true(scores_under(base_digest));
}

static void a_bad_base_leaves_nothing(void **state)
{
    (void)state;
    struct wire_buffer message;
    rig_open(rig_config(TENANTS, NULL));
    base_make(3);
    put_of(&message, "warm"); /* what is taken once and kept is taken now */
    expect_answer(&message, "", NULL);
    base_bytes[base_byte_count - 2] ^= 4;
    digest_to_hex(base_digest, hash128(0, base_bytes, base_byte_count));
    put_of(&message, "bad-0");
    expect_answer(&message, "model", "checksum does not match");
    await_epochs(1);
    rig_await_quiet();
    uint64_t live = memory_live_count();
    for (int i = 0; i < 5; i++) {
        put_of(&message, "bad-1");
        expect_answer(&message, "model", "checksum does not match");
    }
    await_epochs(1);
    for (int waited = 0; memory_live_count() != live && waited < 2000; waited++)
        rig_sleep_ms(1);
    assert_int_equal(memory_live_count(), live);
    assert_int_equal(kept_files(""), 1);
    assert_int_equal(rig_committed(), 1);
}

static void ids_are_shared_with_batches(void **state)
{
    (void)state;
    struct wire_buffer message;
    rig_open(rig_config(TENANTS, NULL));
    base_make(4);
    batch_of(&message, "a", "screen", "taken", 5);
    expect_answer(&message, "", NULL);
    put_of(&message, "taken");
    expect_answer(&message, "conflict", "used before with other content");
    put_of(&message, "put");
    expect_answer(&message, "", NULL);
    batch_of(&message, "a", "screen", "put", 5);
    expect_answer(&message, "conflict", "used before with other content");
    activate_of(&message, "put", "tiny");
    expect_answer(&message, "conflict", "used before with other content");
}

/* Batches hold the epoch of their receipt; a fourth is made only when one of three is free. */
static void epochs_are_few(void **state)
{
    (void)state;
    struct wire_buffer message;
    struct sent slow[2] = {0};
    rig_open(rig_config(TENANTS, NULL));
    for (uint64_t seed = 5; seed < 8; seed++) {
        char id[16];
        base_make(seed);
        snprintf(id, sizeof id, "put-%d", (int)seed);
        put_of(&message, id);
        expect_answer(&message, "", NULL);
        snprintf(id, sizeof id, "act-%d", (int)seed);
        activate_of(&message, id, base_digest);
        expect_answer(&message, "", NULL);
        assert_true(atomic_load(&pipeline->epochs) <= EPOCHS_MAX);
    }
    await_epochs(2);
    gate_set(&lookup_gate, true); /* stands in decode, and holds its epoch */
    batch_of(&message, "a", "screen", "slow", 10);
    post(&slow[0], &message);
    gate_await(&lookup_gate, 1);
    gate_set(&lookup_gate, false);
    await(&slow[0]);
    sent_fini(&slow[0]);
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "turn-%d", i);
        rollback_of(&message, id);
        expect_answer(&message, "", NULL);
        assert_true(atomic_load(&pipeline->epochs) <= EPOCHS_MAX);
    }
    await_epochs(2);
}

static void a_drain_refuses_changes(void **state)
{
    (void)state;
    struct wire_buffer message;
    rig_open(rig_config(TENANTS, NULL));
    pipeline_drain(pipeline);
    rollback_of(&message, "late");
    expect_answer(&message, "unavailable", "draining");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(it_is_durable_before_it_acts),
        RIG_TEST(what_cannot_be_recorded_does_not_act),
        RIG_TEST(a_bad_base_leaves_nothing),
        RIG_TEST(ids_are_shared_with_batches),
        RIG_TEST(epochs_are_few),
        RIG_TEST(a_drain_refuses_changes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    memory_give(base_bytes);
    return failed;
}
