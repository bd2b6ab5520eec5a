#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/secret.h"

static void hash_is_sha256(void **state)
{
    (void)state;
    unsigned char hash[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1];
    secret_hash(hash, "abc", 3); /* FIPS 180-2, appendix B.1 */
    secret_to_hex(hex, hash, sizeof hash);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    secret_hash(hash, "", 0);
    secret_to_hex(hex, hash, sizeof hash);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void mac_is_hmac_sha256(void **state)
{
    (void)state;
    unsigned char mac[SECRET_HASH_BYTES];
    char hex[2 * SECRET_HASH_BYTES + 1];
    const struct secret_part parts[] = {{"what do ya want ", 16}, {"", 0}, {"for nothing?", 12}}; /* RFC 4231, case 2 */
    secret_mac_parts(mac, "Jefe", 4, parts, 3);
    secret_to_hex(hex, mac, sizeof mac);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void hex_is_read_strictly(void **state)
{
    (void)state;
    unsigned char out[4];
    assert_true(secret_from_hex(out, 4, "00fFa501"));
    assert_memory_equal(out, "\x00\xff\xa5\x01", 4);
    static const char *const wrong[] = {"", "00ffa5", "00ffa50", "00ffa50102", "00ffa50g", "00 fa501", "0x00ffa5", "00ffa50 "};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(secret_from_hex(out, 4, wrong[i]));
}

static void equal_sees_every_byte(void **state)
{
    (void)state;
    unsigned char a[32] = {0}, b[32] = {0};
    assert_true(secret_equal(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] = 0x80;
        assert_false(secret_equal(a, b, sizeof a));
        b[i] = 0;
    }
}

static void random_differs_and_wipe_clears(void **state)
{
    (void)state;
    unsigned char a[32] = {0}, b[32] = {0}, zero[32] = {0};
    assert_true(secret_open());
    secret_random(a, sizeof a);
    secret_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, zero, sizeof a);
    secret_wipe(a, sizeof a);
    assert_memory_equal(a, zero, sizeof a);
}

static void a_signature_is_of_one_key_and_one_text(void **state)
{
    (void)state;
    unsigned char public_key[2][SECRET_PUBLIC_BYTES], key[2][SECRET_KEY_BYTES], signature[SECRET_SIGNATURE_BYTES];
    char text[] = "a scene base";
    assert_true(secret_open());
    for (int i = 0; i < 2; i++)
        secret_key_make(public_key[i], key[i]);
    assert_memory_not_equal(key[0], key[1], SECRET_KEY_BYTES);
    assert_memory_equal(key[0] + SECRET_KEY_BYTES - SECRET_PUBLIC_BYTES, public_key[0], SECRET_PUBLIC_BYTES);
    secret_sign(signature, text, sizeof text, key[0]);
    assert_true(secret_is_signed(signature, text, sizeof text, public_key[0]));
    assert_false(secret_is_signed(signature, text, sizeof text, public_key[1]));
    assert_false(secret_is_signed(signature, text, sizeof text - 1, public_key[0]));
    text[3] ^= 1;
    assert_false(secret_is_signed(signature, text, sizeof text, public_key[0]));
    text[3] ^= 1;
    signature[40] ^= 1;
    assert_false(secret_is_signed(signature, text, sizeof text, public_key[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_sha256),
        cmocka_unit_test(mac_is_hmac_sha256),
        cmocka_unit_test(hex_is_read_strictly),
        cmocka_unit_test(equal_sees_every_byte),
        cmocka_unit_test(random_differs_and_wipe_clears),
        cmocka_unit_test(a_signature_is_of_one_key_and_one_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
