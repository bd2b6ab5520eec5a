#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "client/client.h"
#include "synth/random.h"

enum { ROWS = 5 };

static const char *const scenes[] = {"background", "fan_in", "takeover"};
static const char *const risk_types[] = {"none", "fraud"};
static const char *const countermeasures[] = {"none\x1f", "confirm_with_payer\x1f"
                                                          "Call the payer back."};
static const char *const features[] = {"amount", "night", "payer_age"};

/* A verdict reply as a server makes it: rows 1 and 3 did not pass, row 3 is invalid. */
static void reply_bytes(struct wire_buffer *out, bool with_margins)
{
    static uint8_t codes[7][ROWS] = {{0, 1, 0, 3, 0}, {0, 3, 1, 0, 0}, {0, 1, 0, 4, 0}, {1, 1, 2, 0, 1},
                                     {2, 2, 1, 0, 2}, {0, 1, 0, 1, 0}, {0, 1, 0, 1, 0}};
    static float figures[9][ROWS];
    static uint32_t rows[] = {1, 3};
    static uint8_t counts[] = {2, 0};
    static struct reason reasons[2 * REASONS_MAX] = {{2, DIMENSION_behaviour, 12.5f, 3.25f}, {0, DIMENSION_transaction, -1.0f, 0.5f}};
    static struct reason_block block = {.count = 2, .row = rows, .reason_count = counts, .reasons = reasons};
    static struct check_note note = {.row = 3, .column = COLUMN_amount, .text = "must be above zero"};
    static uint32_t offsets[ROWS + 1] = {0, 1, 2, 3, 4, 5};
    struct fault_note fault = {0};
    for (int i = 0; i < 9; i++)
        for (int row = 0; row < ROWS; row++)
            figures[i][row] = (float)(10 * i + row) / 100.0f;
    struct batch *batch = calloc(1, sizeof *batch);
    *batch = (struct batch){.magic = BATCH_MAGIC,
                            .op = OP_screen,
                            .id = text_of("id-1"),
                            .name = text_of("november"),
                            .row_count = ROWS,
                            .sequence = 77,
                            .notes = &note,
                            .note_count = 1,
                            .results = {codes[0],
                                        codes[1],
                                        codes[2],
                                        codes[3],
                                        codes[4],
                                        NULL, /* would */
                                        NULL, /* rule */
                                        codes[5],
                                        codes[6],
                                        figures[0],
                                        figures[1],
                                        figures[2],
                                        figures[3],
                                        figures[4],
                                        {figures[5], figures[6], figures[7], figures[8]},
                                        &block,
                                        1}};
    batch->columns[COLUMN_transfer_id] =
        (struct column){.form = FORM_STR, .data = (const unsigned char *)"abcde", .offsets = (const unsigned char *)offsets};
    const struct reply_names names = {.scenes = scenes,
                                      .scene_count = 3,
                                      .risk_types = risk_types,
                                      .risk_type_count = 2,
                                      .countermeasures = countermeasures,
                                      .countermeasure_count = 2,
                                      .base_name = "base",
                                      .base_version = "3",
                                      .base_digest = "d",
                                      .config_digest = "c",
                                      .kernel = "cpu ref",
                                      .with_margins = with_margins,
                                      .features = features,
                                      .feature_count = 3};
    assert_int_equal(wire_reply_verdicts(out, batch, &names, &fault), FAULT_NONE);
    free(batch);
}

static nng_msg *message_of(const void *bytes, size_t byte_count)
{
    nng_msg *message = NULL;
    assert_int_equal(nng_msg_alloc(&message, byte_count), 0);
    memcpy(nng_msg_body(message), bytes, byte_count);
    return message;
}

static struct sluice_reply *reply_of(const struct wire_buffer *bytes)
{
    struct sluice_reply *reply = NULL;
    struct fault_note note = {0};
    assert_int_equal(reply_read(&reply, message_of(bytes->data, bytes->bytes), &note), FAULT_NONE);
    return reply;
}

static void every_part_is_read(void **state)
{
    struct wire_buffer bytes = {0};
    const char *column, *text, *feature;
    uint32_t row;
    float value, share;
    (void)state;
    reply_bytes(&bytes, true);
    struct sluice_reply *reply = reply_of(&bytes);
    assert_null(sluice_reply_fault(reply));
    assert_int_equal(sluice_reply_rows(reply), ROWS);
    assert_int_equal(sluice_reply_integer(reply, "sequence", 0), 77);
    assert_int_equal(sluice_reply_integer(reply, "no such", -5), -5);
    assert_string_equal(sluice_reply_string(reply, "batch"), "november");
    assert_string_equal(sluice_reply_string(reply, "base_version"), "3");
    assert_null(sluice_reply_string(reply, "rows"));
    assert_int_equal(sluice_reply_u8(reply, "verdict")[3], VERDICT_INVALID);
    assert_int_equal(sluice_reply_u8(reply, "scene")[2], 2);
    assert_null(sluice_reply_u8(reply, "match"));
    assert_null(sluice_reply_f32(reply, "verdict"));
    const char *const floats[] = {"match",           "runner_match",       "risk",
                                  "anomaly_own",     "anomaly_linked",     "distance_transaction",
                                  "distance_device", "distance_behaviour", "distance_social"};
    for (int i = 0; i < 9; i++) {
        const float *figures = sluice_reply_f32(reply, floats[i]);
        assert_true(figures && (uintptr_t)figures % sizeof *figures == 0);
        for (int k = 0; k < ROWS; k++)
            assert_true(figures[k] == (float)(10 * i + k) / 100.0f);
    }
    assert_string_equal(sluice_reply_name(reply, "verdict", VERDICT_HOLD), "hold");
    assert_string_equal(sluice_reply_name(reply, "scene", 2), "takeover");
    assert_string_equal(sluice_reply_name(reply, "countermeasure", 1), "confirm_with_payer");
    assert_string_equal(sluice_reply_name(reply, "countermeasure_text", 1), "Call the payer back.");
    assert_null(sluice_reply_name(reply, "scene", 3));
    assert_null(sluice_reply_name(reply, "colour", 0));
    assert_int_equal(sluice_reply_note_count(reply), 1);
    assert_int_equal(sluice_reply_note(reply, 0, &row, &column, &text), SLUICE_OK);
    assert_int_equal(row, 3);
    assert_string_equal(column, "amount");
    assert_string_equal(text, "must be above zero");
    assert_int_equal(sluice_reply_note(reply, 1, &row, &column, &text), SLUICE_ARGUMENT);
    assert_int_equal(sluice_reply_reason(reply, 1, 0, &feature, &value, &share), 1);
    assert_string_equal(feature, "payer_age");
    assert_true(value == 12.5f && share == 3.25f);
    assert_int_equal(sluice_reply_reason(reply, 1, 1, &feature, &value, &share), 1);
    assert_string_equal(feature, "amount");
    assert_int_equal(sluice_reply_reason(reply, 1, 2, &feature, &value, &share), 0);
    for (row = 0; row < ROWS + 1; row++)
        assert_int_equal(sluice_reply_reason(reply, row, 0, &feature, &value, &share), row == 1);
    sluice_reply_free(&reply);
    assert_null(reply);
    wire_buffer_fini(&bytes);
}

static void margins_may_be_missing(void **state)
{
    struct wire_buffer bytes = {0};
    const char *feature;
    float value, share;
    (void)state;
    reply_bytes(&bytes, false);
    struct sluice_reply *reply = reply_of(&bytes);
    assert_int_equal(sluice_reply_reason(reply, 1, 0, &feature, &value, &share), 1);
    assert_string_equal(feature, "payer_age");
    assert_true(isnan(value) && isnan(share));
    sluice_reply_free(&reply);
    wire_buffer_fini(&bytes);
}

static void look_at_all(const struct sluice_reply *reply)
{
    const char *column, *text;
    uint32_t row;
    float value, share, sum = 0.0f;
    const float *match = sluice_reply_f32(reply, "match");
    const uint8_t *verdict = sluice_reply_u8(reply, "verdict");
    for (row = 0; row < sluice_reply_rows(reply) && row < 1000; row++) {
        sum += match ? match[row] : 0.0f;
        sum += verdict ? verdict[row] : 0;
        for (size_t i = 0; sluice_reply_reason(reply, row, i, &text, &value, &share); i++)
            sum += (float)strlen(text);
    }
    for (size_t i = 0; sluice_reply_note(reply, i, &row, &column, &text) == SLUICE_OK; i++)
        sum += (float)(strlen(text) + strlen(column));
    for (uint32_t i = 0; sluice_reply_name(reply, "countermeasure", i); i++)
        sum += 1.0f;
    assert_false(isinf(sum));
}

static void broken_replies_are_refused_or_read(void **state)
{
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_wall_us();
    struct wire_buffer bytes = {0};
    struct random random;
    (void)state;
    printf("seed %llu\n", (unsigned long long)seed);
    random_seed(&random, seed);
    reply_bytes(&bytes, true);
    for (size_t cut = 0; cut < bytes.bytes; cut++) {
        struct sluice_reply *reply = NULL;
        assert_int_not_equal(reply_read(&reply, message_of(bytes.data, cut), NULL), FAULT_NONE);
        assert_null(reply);
    }
    unsigned char *broken = malloc(bytes.bytes);
    for (int i = 0; i < 20000; i++) {
        struct sluice_reply *reply = NULL;
        memcpy(broken, bytes.data, bytes.bytes);
        for (uint32_t k = 1 + random_below(&random, 4); k > 0; k--)
            broken[random_below(&random, (uint32_t)bytes.bytes)] = (unsigned char)random_next(&random);
        if (reply_read(&reply, message_of(broken, bytes.bytes), NULL) == FAULT_NONE)
            look_at_all(reply);
        sluice_reply_free(&reply);
    }
    free(broken);
    wire_buffer_fini(&bytes);
}

/* Sizes that contradict one another. */
static void lying_columns_are_refused(void **state)
{
    static const float three[3];
    struct sluice_reply *reply = NULL;
    struct fault_note note = {0};
    struct wire_buffer out = {0};
    (void)state;
    wire_pack_map(&out, 4);
    wire_pack_text(&out, "v"), wire_pack_i64(&out, 1);
    wire_pack_text(&out, "status"), wire_pack_text(&out, "ok");
    wire_pack_text(&out, "rows"), wire_pack_i64(&out, 4);
    wire_pack_text(&out, "columns"), wire_pack_map(&out, 1);
    wire_pack_text(&out, "match"), wire_pack_map(&out, 2);
    wire_pack_text(&out, "type"), wire_pack_text(&out, "f32");
    wire_pack_text(&out, "data"), wire_pack_bin(&out, three, sizeof three);
    assert_int_equal(reply_read(&reply, message_of(out.data, out.bytes), &note), FAULT_syntax);
    assert_non_null(strstr(note.text, "as many values"));
    wire_buffer_fini(&out);
    wire_pack_i64(&out, 7);
    assert_int_equal(reply_read(&reply, message_of(out.data, out.bytes), &note), FAULT_syntax);
    wire_buffer_fini(&out);
    wire_pack_map(&out, 1);
    wire_pack_text(&out, "status"), wire_pack_text(&out, "error");
    assert_int_equal(reply_read(&reply, message_of(out.data, out.bytes), &note), FAULT_syntax);
    assert_null(reply);
    wire_buffer_fini(&out);
}

static void a_refusal_of_the_library_is_a_reply(void **state)
{
    struct fault_note note = {0};
    struct sluice_reply *reply = NULL;
    size_t byte_count;
    (void)state;
    fault_set(&note, FAULT_limit, ROW_NONE, COLUMN_NONE, "too much");
    uint64_t live = memory_live_count(), nth = 0;
    int result = SLUICE_MEMORY;
    for (; result == SLUICE_MEMORY; nth++) {
        memory_fail_at(nth);
        result = reply_refusal(&reply, &note);
        memory_fail_at(UINT64_MAX);
        if (result == SLUICE_MEMORY)
            assert_int_equal(memory_live_count(), live);
    }
    assert_true(nth > 2);
    assert_int_equal(result, SLUICE_FAULT);
    assert_string_equal(sluice_reply_fault(reply), "limit");
    assert_string_equal(sluice_reply_text(reply), "too much");
    assert_false(reply_says_come_again(reply));
    assert_true(sluice_reply_bytes(reply, &byte_count) && byte_count > 0);
    sluice_reply_free(&reply);
}

static void allocations_fail_cleanly(void **state)
{
    struct wire_buffer bytes = {0};
    enum fault fault = FAULT_memory;
    (void)state;
    reply_bytes(&bytes, true);
    uint64_t live = memory_live_count(), nth = 0;
    for (; fault == FAULT_memory; nth++) {
        struct sluice_reply *reply = NULL;
        nng_msg *message = message_of(bytes.data, bytes.bytes);
        memory_fail_at(nth);
        fault = reply_read(&reply, message, NULL);
        memory_fail_at(UINT64_MAX);
        sluice_reply_free(&reply);
        assert_int_equal(memory_live_count(), live);
    }
    assert_int_equal(fault, FAULT_NONE);
    assert_int_equal(nth, 3);
    wire_buffer_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_read),
        cmocka_unit_test(margins_may_be_missing),
        cmocka_unit_test(broken_replies_are_refused_or_read),
        cmocka_unit_test(lying_columns_are_refused),
        cmocka_unit_test(a_refusal_of_the_library_is_a_reply),
        cmocka_unit_test(allocations_fail_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
