/* A second base over the same traffic: it says what a server with that base would say, and changes nothing of what is recorded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/pipeline/rig.h"

#define TENANTS \
    "workers: 2\nin_flight_max: 32\ntenants:\n" \
    "  - {name: a, token_hash: " TOKEN_HASH ", rights: [submit, score, label, query, operate, explain, model]}\n" \
    "  - {name: b, token_hash: " TOKEN_HASH ", rights: [submit]}\n"
static const char *const bases[] = {"one.safetensors", "two.safetensors"};

static void digest_of_running(char out[33])
{
    struct epoch *epoch = epoch_hold(pipeline);
    snprintf(out, 33, "%s", epoch->base_hex);
    epoch_release(&epoch);
}

static void reload(const char *base)
{
    struct fault_note note = {0};
    struct config *config = rig_config(TENANTS, base);
    if (pipeline_reload(pipeline, config, &note) != FAULT_NONE)
        fail_msg("%s", note.text);
    config_close(&config);
}

static void challenge(const char *base, const char *key, const char *expected)
{
    struct wire_buffer message;
    begin(&message, "a", "base.challenger", "c", base ? 1 : 0);
    if (base)
        pair(&message, "base", base);
    expect(&message, key, expected);
}

/* Runs under one.safetensors, with two.safetensors in the ledger; out: its digest. */
static void open_with_two(char out[33])
{
    rig_write_base(bases[0], 1);
    rig_write_base(bases[1], 3);
    rig_open(rig_config(TENANTS, bases[1]));
    digest_of_running(out);
    reload(bases[0]);
}

static void compare(struct sent *out)
{
    struct wire_buffer message;
    begin(&message, "a", "base.compare", "c", 0);
    ask(out, &message);
}

static int64_t compared(const char *key)
{
    struct sent sent = {0};
    compare(&sent);
    int64_t value = reply_i64(&sent, key);
    sent_fini(&sent);
    return value;
}

static void await_settled(int64_t rows)
{
    for (int i = 0; i < 400 && compared("rows") + compared("skipped") < rows; i++)
        rig_sleep_ms(5);
    if (compared("rows") + compared("skipped") != rows)
        fail_msg("%lld rows, %lld skipped, of %lld", (long long)compared("rows"), (long long)compared("skipped"), (long long)rows);
}

enum { BATCHES = 6, ROWS = 300 };

/* One after the other; verdict, scene and match of every row. */
struct decided {
    uint8_t verdict[BATCHES * ROWS], scene[BATCHES * ROWS];
    float match[BATCHES * ROWS];
};

static void blob_read(void *out, size_t bytes, const struct sent *sent, const char *key)
{
    struct wire_value results, column, data;
    assert_true(reply_find(sent, "columns", &results) && wire_find(&column, &results, key) && wire_find(&data, &column, "data"));
    assert_int_equal(data.text.bytes, bytes);
    memcpy(out, data.text.data, bytes);
}

static void screen_all(struct decided *out)
{
    for (uint32_t b = 0; b < BATCHES; b++) {
        struct wire_buffer message;
        struct sent sent = {0};
        char id[16];
        snprintf(id, sizeof id, "b%u-", b);
        begin(&message, "a", "screen", id, 2);
        columns(&message, ROWS, id, 100 + 5000 * (int64_t)b);
        ask(&sent, &message);
        blob_read(out->verdict + b * ROWS, ROWS, &sent, "verdict");
        blob_read(out->scene + b * ROWS, ROWS, &sent, "scene");
        blob_read(out->match + b * ROWS, ROWS * sizeof(float), &sent, "match");
        sent_fini(&sent);
    }
}

static void expect_matrix(const struct sent *sent, const struct decided *one, const struct decided *two)
{
    int64_t expected[VERDICT_COUNT][VERDICT_COUNT] = {{0}}, off = 0;
    struct wire_value matrix, cell, rows;
    for (uint32_t i = 0; i < BATCHES * ROWS; i++) {
        expected[one->verdict[i]][two->verdict[i]]++;
        off += one->verdict[i] != two->verdict[i];
    }
    assert_true(reply_find(sent, "verdicts", &matrix) && matrix.count == VERDICT_COUNT * VERDICT_COUNT);
    const unsigned char *at = matrix.inside;
    for (int a = 0; a < VERDICT_COUNT; a++)
        for (int b = 0; b < VERDICT_COUNT; b++) {
            assert_true(wire_next(&cell, &at, matrix.end) && wire_find(&rows, &cell, "rows"));
            assert_int_equal(rows.integer, expected[a][b]);
        }
    assert_true(off > 0); /* or nothing was compared */
    assert_int_equal(reply_i64(sent, "switched_rows"), off);
}

/* Each row with another verdict has the very numbers of a server whose base the challenger is. */
static void expect_switched(const struct sent *sent, const struct decided *one, const struct decided *two)
{
    struct wire_value rows, row, value;
    assert_true(reply_find(sent, "switched", &rows) && rows.count > 0);
    const unsigned char *at = rows.inside;
    for (uint32_t k = 0; k < rows.count; k++) {
        char id[32];
        unsigned batch, place;
        assert_true(wire_next(&row, &at, rows.end) && wire_find(&value, &row, "transfer_id"));
        text_copy(id, sizeof id, value.text);
        assert_int_equal(sscanf(id, "b%u-%u", &batch, &place), 2);
        uint32_t i = batch * ROWS + place;
        assert_true(wire_find(&value, &row, "champion") && text_equal(value.text, text_of(verdict_names[one->verdict[i]])));
        assert_true(wire_find(&value, &row, "challenger") && text_equal(value.text, text_of(verdict_names[two->verdict[i]])));
        assert_true(wire_find(&value, &row, "champion_match") && value.real == (double)one->match[i]);
        assert_true(wire_find(&value, &row, "challenger_match") && value.real == (double)two->match[i]);
    }
}

static void it_says_what_its_server_would(void **state)
{
    static struct decided alone, one, two;
    struct sent sent = {0};
    char digest[33], command[128];
    (void)state;
    rig_time_us = clock_wall_us();
    rig_write_base(bases[0], 1);
    rig_write_base(bases[1], 3);
    for (int b = 0; b < 2; b++) {
        rig_open(rig_config(TENANTS, bases[b]));
        screen_all(b ? &two : &alone);
        pipeline_close(&pipeline);
        snprintf(command, sizeof command, "rm -r %s/ledger", rig_folder);
        assert_int_equal(system(command), 0);
    }
    open_with_two(digest);
    challenge(digest, "state", "on");
    screen_all(&one);
    assert_memory_equal(&one, &alone, sizeof one); /* nothing recorded is touched */
    await_settled(BATCHES * ROWS);
    assert_int_equal(compared("skipped"), 0);
    compare(&sent);
    expect_matrix(&sent, &one, &two);
    expect_switched(&sent, &one, &two);
    sent_fini(&sent);
    challenge(NULL, "state", "off");
    assert_int_equal(compared("rows"), -1);
}

static void labels_measure_both(void **state)
{
    struct wire_buffer message;
    struct sent sent = {0};
    char digest[33];
    (void)state;
    open_with_two(digest);
    challenge(digest, "state", "on");
    batch_of(&message, "a", "screen", "l", 600);
    expect(&message, "batch", "l");
    await_settled(600);
    labels_of(&message, "a", "bad", "l", 40, "mule");
    expect(&message, "status", "ok");
    labels_of(&message, "a", "good", "l", 300, "good"); /* the first 40 are counted already */
    expect(&message, "status", "ok");
    compare(&sent);
    int64_t bad = reply_i64(&sent, "labelled_bad"), good = reply_i64(&sent, "labelled_good"); /* few rows take another one's place */
    assert_true(bad >= 36 && bad <= 40 && good >= 250 && good <= 260);
    struct wire_value labels, side, value;
    assert_true(reply_find(&sent, "labels", &labels) && labels.count == 2);
    const unsigned char *at = labels.inside;
    for (int i = 0; i < 2; i++) {
        assert_true(wire_next(&side, &at, labels.end) && wire_find(&value, &side, "average_precision"));
        assert_true(value.real > 0.0 && value.real <= 1.0);
    }
    sent_fini(&sent);
}

static void what_ends_it(void **state)
{
    char digest[33], own[33];
    (void)state;
    open_with_two(digest);
    digest_of_running(own);
    challenge(own, "state", "fault conflict");
    challenge("nobody", "state", "fault not_found");
    challenge(digest, "state", "on");
    challenge(digest, "state", "on"); /* begins anew */
    challenge("off", "state", "off");
    challenge(digest, "state", "on");
    reload(bases[0]);
    assert_int_equal(compared("rows"), -1);
    challenge(digest, "state", "on");
    struct wire_buffer message;
    begin(&message, "a", "base.activate", "promote", 1), pair(&message, "base", digest);
    expect(&message, "status", "ok");
    assert_int_equal(compared("rows"), -1);
    digest_of_running(own);
    assert_string_equal(own, digest);
    begin(&message, "b", "base.compare", "c", 0);
    expect(&message, "state", "fault denied");
}

/* Many batches while it comes and goes: for the thread sanitizer above all. */
static void it_comes_and_goes_under_load(void **state)
{
    enum { MANY = 24 };
    static struct sent sent[MANY];
    char digest[33];
    (void)state;
    memset(sent, 0, sizeof sent);
    open_with_two(digest);
    for (uint32_t i = 0; i < MANY; i++) {
        struct wire_buffer message;
        char id[16];
        snprintf(id, sizeof id, "m%u-", i);
        batch_of(&message, "a", "screen", id, 3000);
        post(&sent[i], &message);
        if (i % 4 == 1)
            challenge(digest, "state", "on");
        if (i % 8 == 7)
            challenge(NULL, "state", "off");
        compared("rows");
    }
    for (uint32_t i = 0; i < MANY; i++) {
        await(&sent[i]);
        assert_string_equal(reply_fault(&sent[i]), "ok");
        sent_fini(&sent[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(it_says_what_its_server_would),
        RIG_TEST(labels_measure_both),
        RIG_TEST(what_ends_it),
        RIG_TEST(it_comes_and_goes_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
