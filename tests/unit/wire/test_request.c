/* The envelope: every field that it may have, and a clear refusal of everything else. */
#include <stdlib.h>

#include "unit/wire/message.h"

static void finish_rows(struct wire_buffer *out)
{
    wire_pack_text(out, "transfers");
    wire_pack_array(out, 1);
    wire_pack_map(out, 1);
    put_pair_text(out, "transfer_id", "a");
}

static enum fault read_request(struct request *out, struct wire_buffer *message, struct fault_note *note)
{
    *note = (struct fault_note){0};
    assert_int_equal(wire_check(message->data, message->bytes, note), FAULT_NONE);
    return wire_request_read(out, message->data, message->bytes, &LIMITS, note);
}

static void test_every_field_of_query(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    struct request request;
    struct fault_note note;
    put_envelope(&message, 9, "query");
    put_pair_text(&message, "transfer", "t-1");
    put_pair_text(&message, "account", "acct");
    put_pair_text(&message, "scene", "mule");
    put_pair_text(&message, "verdict", "hold");
    put_pair_text(&message, "cursor", "12:5");
    put_pair_int(&message, "from_us", 5);
    put_pair_int(&message, "to_us", 6);
    put_pair_int(&message, "rows_max", 7);
    put_pair_text(&message, "form", "rows");
    assert_int_equal(read_request(&request, &message, &note), FAULT_NONE);
    assert_true(request.version == 1 && request.op == OP_query && text_is(request.tenant, "payroll-a") && text_is(request.token, "secret"));
    assert_true(text_is(request.transfer, "t-1") && text_is(request.account, "acct") && text_is(request.scene, "mule"));
    assert_true(text_is(request.verdict, "hold") && text_is(request.cursor, "12:5"));
    assert_true(request.from_us == 5 && request.to_us == 6 && request.rows_max == 7 && request.in_rows && !request.body);
    wire_buffer_fini(&message);
}

static void test_rows_and_names(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    struct request request;
    struct fault_note note;
    put_envelope(&message, 4, "observe");
    put_pair_text(&message, "kind", "use");
    put_pair_text(&message, "batch", "b-1");
    put_pair_int(&message, "deadline_ms", 250);
    finish_rows(&message);
    assert_int_equal(read_request(&request, &message, &note), FAULT_NONE);
    assert_true(request.op == OP_observe && request.observe_kind == OBSERVE_USE && text_is(request.batch, "b-1"));
    assert_true(request.deadline_ms == 250 && request.in_rows && request.reply_in_rows && request.row_count == 1);
    assert_true(request.arena_bytes > 0);
    wire_buffer_fini(&message);
}

static void test_one_product(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    struct request request;
    struct fault_note note;
    put_envelope(&message, 3, "screen");
    put_pair_text(&message, "product", "SAL");
    put_pair_text(&message, "language", "zh");
    finish_rows(&message);
    assert_int_equal(read_request(&request, &message, &note), FAULT_NONE);
    assert_true(text_is(request.product, "SAL") && request.language == LANGUAGE_ZH + 1);
    wire_buffer_fini(&message);
    put_envelope(&message, 2, "result");
    put_pair_text(&message, "product", "SAL");
    put_pair_text(&message, "batch", "b");
    assert_int_equal(read_request(&request, &message, &note), FAULT_schema);
    assert_non_null(strstr(note.text, "belongs to a batch of transfers"));
    wire_buffer_fini(&message);
    put_envelope(&message, 2, "screen");
    put_pair_text(&message, "language", "fr");
    finish_rows(&message);
    assert_int_equal(read_request(&request, &message, &note), FAULT_schema);
    assert_non_null(strstr(note.text, "en or zh"));
    wire_buffer_fini(&message);
}

static void test_form_of_the_reply(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    struct request request;
    struct fault_note note;
    put_envelope(&message, 2, "screen");
    put_pair_text(&message, "form", "columns");
    finish_rows(&message);
    assert_int_equal(read_request(&request, &message, &note), FAULT_NONE);
    assert_true(request.in_rows && !request.reply_in_rows);
    wire_buffer_fini(&message);
    put_envelope(&message, 2, "result");
    put_pair_text(&message, "form", "rows");
    put_pair_text(&message, "batch", "b");
    assert_int_equal(read_request(&request, &message, &note), FAULT_NONE);
    assert_true(request.reply_in_rows && request.in_rows);
    wire_buffer_fini(&message);
}

static void test_nil_is_absent(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    struct request request;
    struct fault_note note;
    put_envelope(&message, 3, "screen");
    wire_pack_text(&message, "columns");
    wire_pack_nil(&message);
    wire_pack_text(&message, "deadline_ms");
    wire_pack_nil(&message);
    finish_rows(&message);
    assert_int_equal(read_request(&request, &message, &note), FAULT_NONE);
    wire_buffer_fini(&message);
}

static void put_only(struct wire_buffer *out, const char *op, const char *id)
{
    wire_pack_map(out, id ? 3 : 2);
    put_pair_int(out, "v", 1);
    put_pair_text(out, "op", op);
    if (id)
        put_pair_text(out, "id", id);
}

static void test_refusals_of_names(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    put_only(&message, "dance", "x");
    assert_refused(&message, &LIMITS, FAULT_schema, "unknown op dance");
    put_only(&message, "screen", NULL);
    assert_refused(&message, &LIMITS, FAULT_schema, "field id is missing");
    put_only(&message, "screen", "");
    assert_refused(&message, &LIMITS, FAULT_schema, "field id is missing");
    put_only(&message, "status", NULL);
    assert_refused(&message, &LIMITS, FAULT_schema, "field batch is missing");
    put_only(&message, "screen", "x");
    assert_refused(&message, &LIMITS, FAULT_schema, "screen needs either columns or transfers");
    put_only(&message, "observe", "x");
    assert_refused(&message, &LIMITS, FAULT_schema, "field kind belongs to observe");
    put_envelope(&message, 2, "observe");
    put_pair_text(&message, "kind", "none");
    finish_rows(&message);
    assert_refused(&message, &LIMITS, FAULT_schema, "unknown kind none");
    put_envelope(&message, 2, "screen");
    put_pair_text(&message, "kind", "use");
    finish_rows(&message);
    assert_refused(&message, &LIMITS, FAULT_schema, "field kind belongs to observe");
    put_envelope(&message, 1, "health");
    finish_rows(&message);
    assert_refused(&message, &LIMITS, FAULT_schema, "health takes no rows");
}

static void test_fields_of_bases(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    struct request request;
    struct fault_note note = {0};
    const struct batch_limits limits = LIMITS;
    put_envelope(&message, 6, "base.put");
    put_pair_text(&message, "digest", "00112233445566778899aabbccddeeff");
    put_pair_int(&message, "bytes", 70000);
    put_pair_int(&message, "offset", 7);
    put_pair_bin(&message, "data", "piece", 5);
    put_pair_bin(&message, "golden", "gold", 4);
    put_pair_text(&message, "signature", "ab:cd");
    assert_int_equal(wire_check(message.data, message.bytes, &note), FAULT_NONE);
    assert_int_equal(wire_request_read(&request, message.data, message.bytes, &limits, &note), FAULT_NONE);
    assert_int_equal(request.op, OP_base_put);
    assert_true(op_is_of_models(request.op) && op_changes_state(request.op) && !op_carries_rows(request.op));
    assert_true(request.base.bytes == 70000 && request.base.offset == 7 && request.base.data.bytes == 5 && request.base.golden.bytes == 4);
    assert_memory_equal(request.base.data.data, "piece", 5);
    assert_true(text_equal(request.base.signature, text_of("ab:cd")));
    wire_buffer_fini(&message);
    put_envelope(&message, 0, "base.put");
    assert_refused(&message, &LIMITS, FAULT_schema, "base.put needs either digest, bytes, offset and data, or path");
    put_envelope(&message, 2, "base.put");
    put_pair_text(&message, "digest", "00");
    put_pair_text(&message, "path", "x");
    assert_refused(&message, &LIMITS, FAULT_schema, "base.put needs either");
    put_envelope(&message, 2, "base.put");
    put_pair_text(&message, "digest", "00");
    put_pair_text(&message, "data", "text");
    assert_refused(&message, &LIMITS, FAULT_schema, "field data must be bytes, is text");
    put_envelope(&message, 0, "base.activate");
    assert_refused(&message, &LIMITS, FAULT_schema, "field base is missing");
    put_envelope(&message, 1, "base.list");
    put_pair_int(&message, "rows", 1);
    assert_refused(&message, &LIMITS, FAULT_schema, "base.list takes no rows");
}

static void test_refusals_of_fields(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    put_envelope(&message, 1, "hello");
    put_pair_int(&message, "colour", 1);
    assert_refused(&message, &LIMITS, FAULT_schema, "unknown field colour");
    put_envelope(&message, 1, "hello");
    put_pair_text(&message, "op", "hello");
    assert_refused(&message, &LIMITS, FAULT_schema, "field op is there twice");
    put_envelope(&message, 1, "hello");
    put_pair_int(&message, "batch", 7);
    assert_refused(&message, &LIMITS, FAULT_schema, "field batch must be text, is an integer");
    put_envelope(&message, 1, "hello");
    put_pair_int(&message, "deadline_ms", -1);
    assert_refused(&message, &LIMITS, FAULT_schema, "field deadline_ms must not be negative");
    put_envelope(&message, 1, "hello");
    put_pair_int(&message, "deadline_ms", INT64_MAX);
    assert_refused(&message, &LIMITS, FAULT_limit, "deadline_ms is 9223372036854775807, at most 86400000");
    put_envelope(&message, 1, "hello");
    put_pair_text(&message, "from_us", "today");
    assert_refused(&message, &LIMITS, FAULT_schema, "field from_us must be an integer, is text");
    put_envelope(&message, 1, "hello");
    put_pair_text(&message, "batch", "a\tb");
    assert_refused(&message, &LIMITS, FAULT_schema, "field batch must be UTF-8 without control characters");
    put_envelope(&message, 1, "hello");
    put_pair_text(&message, "batch", "a\xff");
    assert_refused(&message, &LIMITS, FAULT_schema, "field batch must be UTF-8");
    put_envelope(&message, 1, "hello");
    put_pair_text(&message, "form", "table");
    assert_refused(&message, &LIMITS, FAULT_schema, "field form must be columns or rows");
    put_envelope(&message, 1, "screen");
    put_pair_int(&message, "transfers", 3);
    assert_refused(&message, &LIMITS, FAULT_schema, "field transfers must be an array, is an integer");
    put_envelope(&message, 1, "hello");
    wire_pack_i64(&message, 3);
    wire_pack_i64(&message, 3);
    assert_refused(&message, &LIMITS, FAULT_schema, "a key of the envelope must be text, is an integer");
    wire_pack_array(&message, 0);
    assert_refused(&message, &LIMITS, FAULT_schema, "a request is one map");
    wire_pack_map(&message, 1);
    put_pair_text(&message, "op", "hello");
    assert_refused(&message, &LIMITS, FAULT_schema, "field v must be 1");
    wire_pack_map(&message, 2);
    put_pair_int(&message, "v", 2);
    put_pair_text(&message, "op", "hello");
    assert_refused(&message, &LIMITS, FAULT_schema, "field v must be 1");
}

static void test_long_names(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    char name[130];
    memset(name, 'n', sizeof name - 1);
    name[129] = '\0';
    put_envelope(&message, 1, "hello");
    put_pair_text(&message, "batch", name);
    assert_refused(&message, &LIMITS, FAULT_limit, "field batch has 129 bytes, at most 128 are taken");
}

static void test_row_counts(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    put_envelope(&message, 2, "screen");
    put_pair_int(&message, "rows", 2);
    finish_rows(&message);
    assert_refused(&message, &LIMITS, FAULT_schema, "rows is 2, but there are 1 transfers");
    put_envelope(&message, 1, "screen");
    wire_pack_text(&message, "columns");
    wire_pack_map(&message, 0);
    assert_refused(&message, &LIMITS, FAULT_schema, "field rows is missing");
    put_envelope(&message, 2, "screen");
    put_pair_int(&message, "rows", INT64_MAX);
    wire_pack_text(&message, "columns");
    wire_pack_map(&message, 0);
    assert_refused(&message, &LIMITS, FAULT_limit, "a batch of 9223372036854775807 rows");
    put_envelope(&message, 2, "screen");
    put_pair_int(&message, "rows", 1000);
    wire_pack_text(&message, "columns");
    wire_pack_map(&message, 0);
    assert_refused(&message, &LIMITS, FAULT_schema, "rows is 1000, but the columns have 1 bytes");
}

static void test_a_fault_knows_the_id(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    struct request request;
    struct fault_note note;
    put_envelope(&message, 1, "hello");
    put_pair_int(&message, "colour", 1);
    assert_int_equal(read_request(&request, &message, &note), FAULT_schema);
    assert_true(text_is(request.id, "2026-11-21-0007"));
    assert_non_null(strstr(note.text, "unknown field colour"));
    wire_buffer_fini(&message);
    wire_pack_map(&message, 2);
    put_pair_text(&message, "id", "bad\n");
    put_pair_int(&message, "colour", 1);
    assert_int_equal(read_request(&request, &message, &note), FAULT_schema);
    assert_int_equal(request.id.bytes, 0);
    assert_non_null(strstr(note.text, "unknown field colour"));
    wire_buffer_fini(&message);
}

/* In a copy of its very size, so that a look beyond its end is seen. */
static struct text peeked(const struct wire_buffer *message, size_t bytes)
{
    static char out[128];
    char *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, message->data, bytes);
    struct text id = wire_peek_id(copy, bytes, &LIMITS);
    memcpy(out, id.data ? id.data : "", id.bytes);
    free(copy);
    return (struct text){.data = out, .bytes = id.bytes};
}

static void test_an_id_is_peeked_at(void **state)
{
    (void)state;
    struct wire_buffer message = {0};
    for (unsigned values = 0; values < 5000; values += 500) {
        wire_pack_map(&message, 3);
        wire_pack_text(&message, "transfers"), wire_pack_array(&message, values);
        for (unsigned i = 0; i < values; i++)
            wire_pack_bin(&message, "x", 1);
        put_pair_text(&message, "id", "behind");
        put_pair_int(&message, "v", 1);
        assert_int_equal(text_is(peeked(&message, message.bytes), "behind"), values <= 4000);
        wire_buffer_fini(&message);
    }
    put_envelope(&message, 0, "screen");
    for (size_t bytes = 0; bytes < message.bytes; bytes++) {
        struct text id = peeked(&message, bytes);
        assert_true(id.bytes == 0 || text_is(id, "2026-11-21-0007"));
    }
    assert_true(text_is(peeked(&message, message.bytes), "2026-11-21-0007"));
    wire_buffer_fini(&message);
    static const char *const none[] = {"\x81\xa2id\x05",
                                       "\x81\xa2id\xa2"
                                       "a\n",
                                       "\x92\xa2id\xa1"
                                       "a",
                                       "\xc1", "\xdf\xff\xff\xff\xff\xdd\xff\xff\xff\xff"};
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++) {
        struct wire_buffer wrong = {.data = (char *)none[i], .bytes = strlen(none[i])};
        assert_int_equal(peeked(&wrong, wrong.bytes).bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_of_query), cmocka_unit_test(test_rows_and_names),     cmocka_unit_test(test_one_product),
        cmocka_unit_test(test_form_of_the_reply),    cmocka_unit_test(test_nil_is_absent),      cmocka_unit_test(test_refusals_of_names),
        cmocka_unit_test(test_fields_of_bases),      cmocka_unit_test(test_refusals_of_fields), cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_row_counts),           cmocka_unit_test(test_an_id_is_peeked_at), cmocka_unit_test(test_a_fault_knows_the_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
