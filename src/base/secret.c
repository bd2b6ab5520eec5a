/* Nothing here depends in time on the content of a secret, and no secret is kept. */
#include "base/secret.h"

#include <sodium.h>
#include <string.h>

#include "base/must.h"

_Static_assert(SECRET_HASH_BYTES == crypto_hash_sha256_BYTES, "SHA-256");
_Static_assert(SECRET_PUBLIC_BYTES == crypto_sign_PUBLICKEYBYTES && SECRET_KEY_BYTES == crypto_sign_SECRETKEYBYTES &&
                   SECRET_SIGNATURE_BYTES == crypto_sign_BYTES,
               "Ed25519");

bool secret_open(void)
{
    return sodium_init() >= 0;
}

void secret_hash(unsigned char out[SECRET_HASH_BYTES], const void *data, size_t bytes)
{
    MUST(crypto_hash_sha256(out, data, bytes) == 0);
}

void secret_hash_parts(unsigned char out[SECRET_HASH_BYTES], const struct secret_part *parts, size_t part_count)
{
    crypto_hash_sha256_state state;
    MUST(crypto_hash_sha256_init(&state) == 0);
    for (size_t i = 0; i < part_count; i++)
        MUST(crypto_hash_sha256_update(&state, parts[i].data, parts[i].bytes) == 0);
    MUST(crypto_hash_sha256_final(&state, out) == 0);
}

void secret_mac_parts(unsigned char out[SECRET_HASH_BYTES], const void *key, size_t key_bytes, const struct secret_part *parts,
                      size_t part_count)
{
    crypto_auth_hmacsha256_state state;
    MUST(crypto_auth_hmacsha256_init(&state, key, key_bytes) == 0);
    for (size_t i = 0; i < part_count; i++)
        MUST(crypto_auth_hmacsha256_update(&state, parts[i].data, parts[i].bytes) == 0);
    MUST(crypto_auth_hmacsha256_final(&state, out) == 0);
    secret_wipe(&state, sizeof state);
}

bool secret_equal(const void *a, const void *b, size_t bytes)
{
    return sodium_memcmp(a, b, bytes) == 0;
}

void secret_random(void *out, size_t bytes)
{
    randombytes_buf(out, bytes);
}

void secret_wipe(void *data, size_t bytes)
{
    sodium_memzero(data, bytes);
}

void secret_to_hex(char *out, const void *data, size_t bytes)
{
    MUST(sodium_bin2hex(out, 2 * bytes + 1, data, bytes) != NULL);
}

bool secret_from_hex(void *out, size_t bytes, const char *hex)
{
    size_t written = 0;
    return strlen(hex) == 2 * bytes && sodium_hex2bin(out, bytes, hex, 2 * bytes, NULL, &written, NULL) == 0 && written == bytes;
}

void secret_key_make(unsigned char out_public[SECRET_PUBLIC_BYTES], unsigned char out_key[SECRET_KEY_BYTES])
{
    MUST(crypto_sign_keypair(out_public, out_key) == 0);
}

void secret_sign(unsigned char out[SECRET_SIGNATURE_BYTES], const void *data, size_t bytes, const unsigned char key[SECRET_KEY_BYTES])
{
    MUST(crypto_sign_detached(out, NULL, data, bytes, key) == 0);
}

bool secret_is_signed(const unsigned char signature[SECRET_SIGNATURE_BYTES], const void *data, size_t bytes,
                      const unsigned char public_key[SECRET_PUBLIC_BYTES])
{
    return crypto_sign_verify_detached(signature, data, bytes, public_key) == 0;
}
