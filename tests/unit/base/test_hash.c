/* Hashes are recorded: they must never change. The known values are XXH3's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/hash.h"

static void test_known_values(void **state)
{
    (void)state;
    assert_true(hash64(0, "", 0) == 0x2d06800538d394c2u);
    struct digest empty = hash128(0, "", 0);
    assert_true(empty.high == 0x99aa06d3014798d8u && empty.low == 0x6001c324468d497fu);
    assert_true(hash64(1, "", 0) != hash64(0, "", 0));
    assert_true(hash64(0, "a", 1) != hash64(0, "b", 1));
    assert_true(hash64_pair(0, 1, 2) != hash64_pair(0, 2, 1));
    uint64_t both[2] = {1, 2};
    assert_true(hash64_pair(9, 1, 2) == hash64(9, both, sizeof both));
}

static void test_alignment_does_not_matter(void **state)
{
    (void)state;
    char bytes[600], moved[608];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 37);
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(moved + shift, bytes, sizeof bytes);
        assert_true(hash64(3, moved + shift, sizeof bytes) == hash64(3, bytes, sizeof bytes));
        assert_true(digest_equal(hash128(3, moved + shift, sizeof bytes), hash128(3, bytes, sizeof bytes)));
    }
}

static void test_hex(void **state)
{
    (void)state;
    char hex[33];
    struct digest digest = {.high = 0x0123456789abcdefu, .low = 0xfedcba9876543210u}, back;
    digest_to_hex(hex, digest);
    assert_string_equal(hex, "0123456789abcdeffedcba9876543210");
    assert_true(digest_from_hex(&back, hex, 32) && digest_equal(back, digest));
    assert_false(digest_from_hex(&back, hex, 31));
    hex[5] = 'G';
    assert_false(digest_from_hex(&back, hex, 32));
    hex[5] = 'A'; /* one way to write it only */
    assert_false(digest_from_hex(&back, hex, 32));
    assert_false(digest_equal(digest, (struct digest){.high = digest.high}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_alignment_does_not_matter),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
