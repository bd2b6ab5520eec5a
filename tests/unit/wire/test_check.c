/* The pre-check and the cursor: every first byte, every cut, claims and depth; what passed is read as msgpack-c reads it. */
#include "unit/wire/message.h"

#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static enum fault check(const char *bytes, size_t byte_count)
{
    struct fault_note note = {0};
    enum fault fault = wire_check(bytes, byte_count, &note);
    assert_true(fault == note.fault);
    assert_true(fault == FAULT_NONE || note.text[0]);
    return fault;
}

#define CHECK(literal) check(literal, sizeof literal - 1)

static void test_every_first_byte(void **state)
{
    (void)state;
    for (int first = 0; first < 256; first++) {
        char bytes[70] = {0};
        bytes[0] = (char)first;
        struct wire_value value;
        const unsigned char *at = (unsigned char *)bytes;
        if (first == 0xc1) {
            assert_int_equal(check(bytes, sizeof bytes), FAULT_syntax);
            assert_false(wire_next(&value, &at, (unsigned char *)bytes + sizeof bytes));
            continue;
        }
        assert_true(wire_next(&value, &at, (unsigned char *)bytes + sizeof bytes)); /* zeros are small integers: enough inside */
        size_t length = (size_t)(at - (unsigned char *)bytes);
        assert_int_equal(check(bytes, length), FAULT_NONE);
        assert_int_equal(check(bytes, length + 1), FAULT_syntax); /* a byte too many */
        for (size_t cut = 0; cut < length; cut++) {
            assert_int_equal(check(bytes, cut), FAULT_syntax);
            at = (unsigned char *)bytes;
            if (value.type != WIRE_ARRAY && value.type != WIRE_MAP)
                assert_false(wire_next(&value, &at, (unsigned char *)bytes + cut));
        }
        size_t offset = 0;
        msgpack_unpacked parsed;
        msgpack_unpacked_init(&parsed);
        assert_int_equal(msgpack_unpack_next(&parsed, bytes, length, &offset), MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(offset, length);
        msgpack_unpacked_destroy(&parsed);
    }
}

static void test_claims(void **state)
{
    (void)state;
    assert_int_equal(CHECK(""), FAULT_syntax);
    assert_int_equal(CHECK("\xdd\xff\xff\xff\xff"), FAULT_syntax); /* 4 G items */
    assert_int_equal(CHECK("\xdf\x80\x00\x00\x00"), FAULT_syntax); /* 2 G pairs: their items are 4 G */
    assert_int_equal(CHECK("\xdc\x00\x03\x01\x01"), FAULT_syntax);
    assert_int_equal(CHECK("\xdc\x00\x02\x01\x01"), FAULT_NONE);
    assert_int_equal(CHECK("\x81\x01"), FAULT_syntax); /* a key without a value */
    assert_int_equal(CHECK("\xc6\xff\xff\xff\xff"), FAULT_syntax);
    assert_int_equal(CHECK("\xdb\x00\x00\x00\x02\x61"), FAULT_syntax);
    assert_int_equal(CHECK("\xc9\x00\x00\x00\x01\x05\x61"), FAULT_NONE); /* ext of one byte */
    assert_int_equal(CHECK("\xc9\x00\x00\x00\x01\x05"), FAULT_syntax);
    assert_int_equal(CHECK("\x01\x01"), FAULT_syntax); /* two values */
    struct fault_note note = {0};
    assert_int_equal(wire_check("\x91\xdd\x00\x00\x00\x03\x01\x01", 8, &note), FAULT_syntax);
    assert_string_equal(note.text, "the message claims more values than bytes are left at byte 1");
}

static void test_depth(void **state)
{
    (void)state;
    char bytes[18];
    for (size_t depth = 1; depth < sizeof bytes; depth++) {
        memset(bytes, 0x91, depth);
        bytes[depth] = 1;
        assert_int_equal(check(bytes, depth + 1), depth <= 16 ? FAULT_NONE : FAULT_limit);
    }
    memset(bytes, 0x91, sizeof bytes);
    bytes[16] = (char)0x90; /* an empty one at the deepest place */
    assert_int_equal(check(bytes, 17), FAULT_NONE);
}

static void test_integers_and_floats(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t byte_count;
        enum wire_type type;
        int64_t integer;
        double real;
    } cases[] = {
        {"\x7f", 1, WIRE_INT, 127, 0},
        {"\xe0", 1, WIRE_INT, -32, 0},
        {"\xcc\xff", 2, WIRE_INT, 255, 0},
        {"\xcd\xff\xfe", 3, WIRE_INT, 65534, 0},
        {"\xce\xff\xff\xff\xff", 5, WIRE_INT, UINT32_MAX, 0},
        {"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, WIRE_INT, INT64_MAX, 0},
        {"\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9, WIRE_FLOAT, 0, 9223372036854775808.0},
        {"\xd0\x80", 2, WIRE_INT, -128, 0},
        {"\xd1\x80\x00", 3, WIRE_INT, -32768, 0},
        {"\xd2\x80\x00\x00\x00", 5, WIRE_INT, INT32_MIN, 0},
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, WIRE_INT, INT64_MIN, 0},
        {"\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 9, WIRE_INT, 5, 0},
        {"\xca\x3f\xc0\x00\x00", 5, WIRE_FLOAT, 0, 1.5},
        {"\xcb\xc0\x04\x00\x00\x00\x00\x00\x00", 9, WIRE_FLOAT, 0, -2.5},
        {"\xc3", 1, WIRE_BOOL, 1, 0},
        {"\xc2", 1, WIRE_BOOL, 0, 0},
        {"\xc0", 1, WIRE_NIL, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_value value;
        const unsigned char *at = (const unsigned char *)cases[i].bytes;
        assert_true(wire_next(&value, &at, at + cases[i].byte_count));
        assert_int_equal(value.type, cases[i].type);
        assert_true(value.integer == cases[i].integer && value.real == cases[i].real);
    }
}

static void test_find(void **state)
{
    (void)state;
    struct wire_buffer out = {0};
    struct wire_value map, value;
    wire_pack_map(&out, 3);
    wire_pack_i64(&out, 1);
    wire_pack_array(&out, 2);
    wire_pack_text(&out, "wanted");
    wire_pack_text(&out, "wanted");
    put_pair_bin(&out, "blob", "\0\1", 2);
    put_pair_int(&out, "wanted", -77);
    const unsigned char *at = (unsigned char *)out.data;
    assert_true(wire_next(&map, &at, at + out.bytes));
    assert_true(wire_find(&value, &map, "wanted") && value.integer == -77);
    assert_true(wire_find(&value, &map, "blob") && value.type == WIRE_BIN && value.text.bytes == 2 && value.text.data[1] == 1);
    assert_false(wire_find(&value, &map, "want"));
    assert_int_equal(value.type, WIRE_NIL);
    assert_false(wire_find(&value, &value, "want")); /* no map at all */
    wire_buffer_fini(&out);
}

/* Random bytes: whenever the check passes, msgpack-c reads exactly one object; nothing else ever happens. */
static void test_random_bytes(void **state)
{
    (void)state;
    const char *given = getenv("SLUICE_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL), passed = 0;
    printf("seed %u\n", seed);
    srand(seed);
    static const unsigned char likely[] = {0x80, 0x81, 0x82, 0x90, 0x91, 0x93, 0xa1, 0xa3, 0xc4, 0xd9, 0xdc, 0xde, 0x01, 0xc0, 0x00};
    for (int round = 0; round < 200000; round++) {
        unsigned char bytes[24];
        size_t byte_count = (size_t)rand() % sizeof bytes;
        for (size_t i = 0; i < byte_count; i++)
            bytes[i] = rand() % 4 ? likely[(size_t)rand() % sizeof likely] : (unsigned char)rand();
        if (check((char *)bytes, byte_count) != FAULT_NONE)
            continue;
        passed++;
        size_t offset = 0;
        msgpack_unpacked parsed;
        msgpack_unpacked_init(&parsed);
        assert_int_equal(msgpack_unpack_next(&parsed, (char *)bytes, byte_count, &offset), MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(offset, byte_count);
        msgpack_unpacked_destroy(&parsed);
    }
    assert_true(passed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_first_byte),    cmocka_unit_test(test_claims), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_integers_and_floats), cmocka_unit_test(test_find),   cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
