/* Requests and replies as JSON: the same message as by msgpack, and what is no JSON is told with its byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/wire/message.h"
#include "wire/json_wire.h"

static enum fault turn(struct wire_buffer *out, const char *json, struct fault_note *note)
{
    *out = (struct wire_buffer){0};
    *note = (struct fault_note){0};
    return wire_json_request(out, text_of("screen"), text_of("the token"), json, strlen(json), &LIMITS, note);
}

static void test_request_is_the_message(void **state)
{
    (void)state;
    static const char json[] = "{\"tenant\":\"a\",\"id\":\"i-1\",\"batch\":\"b\",\"deadline_ms\":500,\"transfers\":["
                               "{\"transfer_id\":\"t\\u00e91\",\"payer_id\":\"p\",\"payee_id\":\"q\\\"\\n\",\"amount\":1999,\"currency\":"
                               "\"EUR\",\"height\":1.5e2,\"memo\":null},\n\t{\"transfer_id\":\"\\ud83d\\ude00\",\"amount\":-7} ] }";
    struct wire_buffer message;
    struct fault_note note;
    struct request request;
    struct batch batch;
    assert_int_equal(turn(&message, json, &note), FAULT_NONE);
    assert_int_equal(wire_check(message.data, message.bytes, &note), FAULT_NONE);
    assert_int_equal(wire_request_read(&request, message.data, message.bytes, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(request.op, OP_screen);
    assert_true(text_equal(request.token, text_of("the token")) && text_equal(request.tenant, text_of("a")));
    assert_true(text_equal(request.id, text_of("i-1")) && text_equal(request.batch, text_of("b")));
    assert_true(request.in_rows && request.reply_in_rows);
    assert_int_equal(request.deadline_ms, 500);
    assert_int_equal(take_batch(&batch, &message, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(batch.row_count, 2);
    assert_true(text_equal(column_text(&batch.columns[COLUMN_transfer_id], 0), text_of("t\xc3\xa9"
                                                                                       "1")));
    assert_true(text_equal(column_text(&batch.columns[COLUMN_transfer_id], 1), text_of("\xf0\x9f\x98\x80")));
    assert_true(text_equal(column_text(&batch.columns[COLUMN_payee_id], 0), text_of("q\"\n")));
    assert_int_equal(column_i64(&batch.columns[COLUMN_amount], 0), 1999);
    assert_int_equal(column_i64(&batch.columns[COLUMN_amount], 1), -7);
    assert_false(column_is_valid(&batch.columns[COLUMN_memo], 0));
    batch_fini(&batch);
    wire_buffer_fini(&message);
}

static void test_numbers_and_long_texts(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum wire_type type;
        int64_t integer;
        double real;
    } cases[] = {{"0", WIRE_INT, 0, 0},
                 {"-0", WIRE_INT, 0, 0},
                 {"9223372036854775807", WIRE_INT, INT64_MAX, 0},
                 {"-9223372036854775808", WIRE_INT, INT64_MIN, 0},
                 {"9223372036854775808", WIRE_FLOAT, 0, 9223372036854775808.0},
                 {"1.0", WIRE_FLOAT, 0, 1},
                 {"-1.25E-2", WIRE_FLOAT, 0, -0.0125},
                 {"true", WIRE_BOOL, 1, 0},
                 {"null", WIRE_NIL, 0, 0}};
    struct wire_buffer message;
    struct fault_note note;
    struct wire_value value, root;
    char json[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(json, sizeof json, " {\"x\" : %s}", cases[i].json);
        assert_int_equal(turn(&message, json, &note), FAULT_NONE);
        const unsigned char *at = (const unsigned char *)message.data;
        assert_int_equal(wire_check(message.data, message.bytes, &note), FAULT_NONE);
        assert_true(wire_next(&root, &at, at + message.bytes) && wire_find(&value, &root, "x"));
        if (value.type != cases[i].type || (value.type == WIRE_INT && value.integer != cases[i].integer) ||
            (value.type == WIRE_FLOAT && value.real != cases[i].real))
            fail_msg("%s", cases[i].json);
        wire_buffer_fini(&message);
    }
    for (int bytes = 28; bytes < 40; bytes++) { /* where the head of a text grows */
        snprintf(json, sizeof json, "{\"x\":\"%.*s\",\"y\":1}", bytes, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
        assert_int_equal(turn(&message, json, &note), FAULT_NONE);
        const unsigned char *at = (const unsigned char *)message.data;
        assert_int_equal(wire_check(message.data, message.bytes, &note), FAULT_NONE);
        assert_true(wire_next(&root, &at, at + message.bytes) && wire_find(&value, &root, "x"));
        assert_int_equal(value.text.bytes, bytes);
        wire_buffer_fini(&message);
    }
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"[]", "byte 0: the request must be an object"},
        {"{} x", "byte 3: more behind the object"},
        {"{\"a\":1,}", "byte 7: a name in quotes"},
        {"{\"a\" 1}", "byte 5: a colon"},
        {"{\"a\":1 \"b\":2}", "byte 7: a comma or }"},
        {"{\"a\":[1 2]}", "byte 8: a comma or ]"},
        {"{\"a\":[1,]}", "byte 8: no value"},
        {"{\"a\":01}", "no value"},
        {"{\"a\":1.}", "no value"},
        {"{\"a\":1e}", "no value"},
        {"{\"a\":+1}", "no value"},
        {"{\"a\":-1e400}", "beyond what a float holds"},
        {"{\"a\":nul}", "no value"},
        {"{\"a\":'x'}", "no value"},
        {"{\"a\":", "no value"},
        {"{\"a", "byte 3: a text is not closed"},
        {"{\"a\":\"\n\"}", "a control character"},
        {"{\"a\":\"\\x\"}", "no such escape"},
        {"{\"a\":\"\\u12g4\"}", "four hex digits"},
        {"{\"a\":\"\\ud800x\"}", "half of a surrogate pair"},
        {"{\"a\":\"\\udc00\"}", "half of a surrogate pair"},
        {"{\"a\":\"\\ud800\\u0041\"}", "half of a surrogate pair"},
        {"{\"data\":\"abc\"}", "not base64"},
        {"{\"data\":\"ab!=\"}", "not base64"},
        {"{\"data\":1}", "bytes must be text in base64"},
        {"{\"op\":\"score\"}", "field op is told by the path"},
        {"{\"token\":\"x\"}", "field token is told by the header"},
        {"{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "nested deeper than 16"},
        {"{\"a\":1111111111111111111111111111111111111111111111111111111111111111111}", "more than 64 characters"},
    };
    struct wire_buffer message;
    struct fault_note note;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum fault fault = turn(&message, cases[i].json, &note);
        if ((fault != FAULT_syntax && fault != FAULT_schema) || !strstr(note.text, cases[i].words))
            fail_msg("%s: wanted \"%s\", got %s \"%s\"", cases[i].json, cases[i].words, fault_name(fault), note.text);
        wire_buffer_fini(&message);
    }
    struct batch_limits small = LIMITS;
    small.message_bytes_max = 100;
    char *json = malloc(4096);
    snprintf(json, 4096, "{\"a\":\"%0*d\"}", 200, 1);
    message = (struct wire_buffer){0};
    assert_int_equal(wire_json_request(&message, text_of("screen"), text_of("t"), json, strlen(json), &small, &note), FAULT_limit);
    wire_buffer_fini(&message);
    free(json);
}

static void test_bytes(void **state)
{
    (void)state;
    struct wire_buffer message, json = {0};
    struct fault_note note;
    struct json_reply told;
    struct wire_value value, root;
    static const char *const texts[] = {"", "YQ==", "YWI=", "YWJj", "AP+A/g=="};
    char request[64];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(request, sizeof request, "{\"data\":\"%s\",\"v\":1,\"form\":\"columns\"}", texts[i]);
        assert_int_equal(turn(&message, request, &note), FAULT_NONE);
        const unsigned char *at = (const unsigned char *)message.data;
        assert_true(wire_next(&root, &at, at + message.bytes) && wire_find(&value, &root, "data"));
        assert_int_equal(value.type, WIRE_BIN);
        assert_int_equal(wire_json_reply(&json, &told, message.data, message.bytes, 1000, &note), FAULT_NONE);
        snprintf(request, sizeof request, "\"data\":\"%s\",", texts[i]);
        json.data[json.bytes - 1] = '\0';
        assert_non_null(strstr(json.data, request));
        wire_buffer_fini(&json);
        wire_buffer_fini(&message);
    }
}

static void test_reply(void **state)
{
    (void)state;
    struct wire_buffer reply = {0}, json = {0};
    struct fault_note note = {0};
    struct json_reply told;
    wire_pack_map(&reply, 6);
    put_pair_text(&reply, "fault", "busy");
    put_pair_int(&reply, "retry_after_ms", 1500);
    wire_pack_text(&reply, "f");
    wire_pack_f64(&reply, 0.1);
    wire_pack_text(&reply, "nan");
    wire_pack_f64(&reply, NAN);
    put_pair_text(&reply, "t", "a\"\\\n\x7f\xc3\xa9\xff");
    wire_pack_text(&reply, "l");
    wire_pack_array(&reply, 4);
    wire_pack_nil(&reply), wire_pack_bool(&reply, true), wire_pack_i64(&reply, INT64_MIN), wire_pack_map(&reply, 0);
    assert_int_equal(wire_json_reply(&json, &told, reply.data, reply.bytes, 1000, &note), FAULT_NONE);
    assert_int_equal(told.fault, FAULT_busy);
    assert_int_equal(told.retry_after_ms, 1500);
    json.data[json.bytes - 1] = '\0';
    assert_string_equal(json.data,
                        "{\"fault\":\"busy\",\"retry_after_ms\":1500,\"f\":0.10000000000000001,\"nan\":null,"
                        "\"t\":\"a\\u0022\\u005c\\u000a\\u007f\xc3\xa9\xef\xbf\xbd\",\"l\":[null,true,-9223372036854775808,{}]}");
    json.bytes = 0;
    assert_int_equal(wire_json_reply(&json, &told, reply.data, reply.bytes, 100, &note), FAULT_limit);
    json.bytes = 0;
    assert_int_equal(wire_json_reply(&json, &told, "\xdd\xff\xff\xff\xff", 5, 100, &note), FAULT_syntax);
    wire_buffer_fini(&reply);
    wire_buffer_fini(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_is_the_message),
        cmocka_unit_test(test_numbers_and_long_texts),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
