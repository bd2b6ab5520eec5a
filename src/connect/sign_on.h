#ifndef SLUICE_CONNECT_SIGN_ON_H
#define SLUICE_CONNECT_SIGN_ON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"

/* Single sign-on: who bears a token that an OpenID Connect provider signed (RFC 7519, 7517, 9068). Signatures are checked against the
 * provider's keys, which a thread of its own fetches: at once, at an interval, and when a token names a key that is not known.
 * sign_on.c is the only user of librhonabwy. */

struct sign_on;

enum { SIGN_ON_TOKEN_BYTES_MAX = 4096, SIGN_ON_ROLES_MAX = 32, SIGN_ON_ROLE_BYTES = 64, SIGN_ON_NAME_BYTES = 129 };

struct sign_on_options {            /* texts are copied */
    const char *issuer, *audience;  /* what `iss` must be, and what `aud` must be or hold */
    const char *keys_url;           /* the provider's JWKS; its host is the only one that is asked */
    const char *roles_claim;        /* a list of texts, or one text with blanks between them */
    const char *tenant_claim;       /* a text; "" or not there: the user has no tenant of his own */
    const char *ca_file;            /* PEM; "": what the system trusts */
    bool plain;                     /* http:// beside https:// */
    int64_t skew_s;                 /* that clocks may differ */
    int64_t refresh_ms, age_max_ms; /* keys are fetched again so often; older ones are worth nothing */
    int64_t timeout_ms;
};

struct sign_on_user {
    char subject[SIGN_ON_NAME_BYTES], tenant[SIGN_ON_NAME_BYTES];
    char roles[SIGN_ON_ROLES_MAX][SIGN_ON_ROLE_BYTES];
    uint32_t role_count;
    int64_t until_s; /* the token's end, UTC */
};

enum fault sign_on_open(struct sign_on **out, const struct sign_on_options *options, struct fault_note *note);
void sign_on_close(struct sign_on **sign_on_p); /* nobody checks any more */

bool sign_on_looks(struct text token); /* like a signed token: three parts of base64url */
/* Any thread; never waits for the provider. FAULT_auth: not signed by the provider, not for us, or not of this time; the note
 * says which, for the log alone. FAULT_unavailable: the provider's keys are not known, or too old: nobody is let in. */
enum fault sign_on_check(struct sign_on *sign_on, struct text token, int64_t now_s, struct sign_on_user *out, struct fault_note *note);

struct sign_on_health {
    uint32_t keys;
    int64_t age_ms; /* of the keys; negative: none were fetched */
    uint64_t accepted, refused;
};
void sign_on_tell(struct sign_on *sign_on, struct sign_on_health *out);

#endif
