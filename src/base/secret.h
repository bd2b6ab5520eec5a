#ifndef SLUICE_BASE_SECRET_H
#define SLUICE_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* What credentials and signatures need, through libsodium; secret.c is its only user. Any thread. */

enum { SECRET_HASH_BYTES = 32, SECRET_PUBLIC_BYTES = 32, SECRET_KEY_BYTES = 64, SECRET_SIGNATURE_BYTES = 64 };

bool secret_open(void); /* once, before the others; false: no source of randomness */
void secret_hash(unsigned char out[SECRET_HASH_BYTES], const void *data, size_t bytes); /* SHA-256 */
struct secret_part {
    const void *data;
    size_t bytes;
};
/* SHA-256 of the parts, one behind the other. */
void secret_hash_parts(unsigned char out[SECRET_HASH_BYTES], const struct secret_part *parts, size_t part_count);
/* HMAC-SHA256 of the parts, one behind the other. */
void secret_mac_parts(unsigned char out[SECRET_HASH_BYTES], const void *key, size_t key_bytes, const struct secret_part *parts,
                      size_t part_count);
bool secret_equal(const void *a, const void *b, size_t bytes); /* in a time that does not tell where they differ */
void secret_random(void *out, size_t bytes);
void secret_wipe(void *data, size_t bytes);                     /* never optimised away */
void secret_to_hex(char *out, const void *data, size_t bytes);  /* 2 × bytes lower-case digits and an end mark */
bool secret_from_hex(void *out, size_t bytes, const char *hex); /* exactly 2 × bytes digits, either case */

/* Ed25519, detached: the key's last 32 bytes are its public half. */
void secret_key_make(unsigned char out_public[SECRET_PUBLIC_BYTES], unsigned char out_key[SECRET_KEY_BYTES]);
void secret_sign(unsigned char out[SECRET_SIGNATURE_BYTES], const void *data, size_t bytes, const unsigned char key[SECRET_KEY_BYTES]);
bool secret_is_signed(const unsigned char signature[SECRET_SIGNATURE_BYTES], const void *data, size_t bytes,
                      const unsigned char public_key[SECRET_PUBLIC_BYTES]);

#endif
