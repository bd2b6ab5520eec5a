/* The keys are replaced as a whole under a lock that checks share. A token's own header says which key it wants and nothing else:
 * keys and addresses that it brings along are never looked at. */
#include "connect/sign_on.h"

#include <pthread.h>
#include <orcania.h>
#include <rhonabwy.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/thread.h"
#include "connect/http.h"

enum {
    SIGN_ON_MAGIC = 0x0d1c0a01,
    KEYS_BYTES_MAX = 256 << 10,
    KEYS_MAX = 64,
    ASK_PAUSE_MS = 2000,
    HEADER_BYTES_MAX = 1024,
    CLAIM_BYTES_MAX = 128
};

struct sign_on {
    unsigned magic;
    struct http *http;
    char issuer[256], audience[256], keys_url[HTTP_URL_BYTES_MAX + 1], roles_claim[CLAIM_BYTES_MAX], tenant_claim[CLAIM_BYTES_MAX];
    int64_t skew_s, refresh_ms, age_max_ms, timeout_ms;
    struct thread thread;
    pthread_rwlock_t keys_lock;
    jwks_t *keys;
    int64_t fetched_ns; /* 0: never; under keys_lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping, wanted; /* wanted: a token named a key that is not there; under lock */
    atomic_uint_fast64_t accepted, refused;
};

/* --- keys -------------------------------------------------------------------------------------------------------------- */

static enum fault keys_read(jwks_t **out, const struct http_answer *answer, struct fault_note *note)
{
    if (answer->status != 200)
        return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "the provider answered %u", answer->status);
    if (!answer->body || memchr(answer->body, '\0', answer->body_bytes) || json_depth(answer->body, answer->body_bytes) > 8)
        return fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "the provider's keys are no JSON that is taken");
    if (r_jwks_init(out) != RHN_OK)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the provider's keys");
    json_t *json = json_loads(answer->body, JSON_REJECT_DUPLICATES, NULL);
    size_t count = json_array_size(json_object_get(json, "keys"));
    int code = count > 0 && count <= KEYS_MAX ? r_jwks_import_from_json_t(*out, json) : RHN_ERROR;
    json_decref(json);
    if ((code == RHN_OK || code == RHN_ERROR_PARAM) && r_jwks_size(*out) > 0) /* keys of a kind that is not known are left out */
        return FAULT_NONE;
    r_jwks_free(*out);
    *out = NULL;
    return fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "the provider's keys are not 1 to %d keys of RFC 7517", KEYS_MAX);
}

static enum fault keys_fetch(struct sign_on *sign_on, struct fault_note *note)
{
    const struct http_request request = {
        .url = sign_on->keys_url, .connect_ms = sign_on->timeout_ms, .total_ms = sign_on->timeout_ms, .answer_bytes_max = KEYS_BYTES_MAX};
    struct http_answer answer = {0};
    jwks_t *keys = NULL;
    enum fault fault = http_call(sign_on->http, &request, &answer, note);
    if (fault == FAULT_NONE)
        fault = keys_read(&keys, &answer, note);
    http_answer_give(&answer);
    if (fault != FAULT_NONE)
        return fault;
    pthread_rwlock_wrlock(&sign_on->keys_lock);
    jwks_t *before = sign_on->keys;
    sign_on->keys = keys;
    sign_on->fetched_ns = clock_steady_ns();
    pthread_rwlock_unlock(&sign_on->keys_lock);
    r_jwks_free(before);
    return FAULT_NONE;
}

/* Until the keys are wanted again, or it is time; false: stopping. */
static bool keys_wait(struct sign_on *sign_on, int64_t wait_ms, bool heeds_wishes)
{
    int64_t until_ns = clock_steady_ns() + wait_ms * 1000000;
    const struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    pthread_mutex_lock(&sign_on->lock);
    while (!sign_on->stopping && !(heeds_wishes && sign_on->wanted) && clock_steady_ns() < until_ns)
        pthread_cond_timedwait(&sign_on->changed, &sign_on->lock, &until);
    bool goes_on = !sign_on->stopping;
    if (heeds_wishes)
        sign_on->wanted = false;
    pthread_mutex_unlock(&sign_on->lock);
    return goes_on;
}

static void keys_run(void *argument)
{
    struct sign_on *sign_on = argument;
    bool knew = true;
    do {
        struct fault_note note = {0};
        bool knows = keys_fetch(sign_on, &note) == FAULT_NONE;
        if (!knows && knew)
            log_line(LOG_WARN, "sign_on", "the provider's keys cannot be had: %s", note.text);
        else if (knows && !knew)
            log_line(LOG_INFO, "sign_on", "the provider's keys are there again");
        knew = knows;
    } while (keys_wait(sign_on, ASK_PAUSE_MS, false) && keys_wait(sign_on, knew ? sign_on->refresh_ms : 0, true));
}

static void keys_want(struct sign_on *sign_on)
{
    pthread_mutex_lock(&sign_on->lock);
    sign_on->wanted = true;
    pthread_cond_signal(&sign_on->changed);
    pthread_mutex_unlock(&sign_on->lock);
}

/* --- open and close ---------------------------------------------------------------------------------------------------- */

/* The host alone, with its port, out of a URL. */
static bool host_of(char *out, size_t bytes, const char *url)
{
    const char *begin = strstr(url, "://");
    size_t length = begin ? strcspn(begin + 3, "/?#") : 0;
    if (length == 0 || length >= bytes)
        return false;
    memcpy(out, begin + 3, length);
    out[length] = '\0';
    return true;
}

static bool texts_take(struct sign_on *out, const struct sign_on_options *options)
{
    return (size_t)snprintf(out->issuer, sizeof out->issuer, "%s", options->issuer) < sizeof out->issuer &&
           (size_t)snprintf(out->audience, sizeof out->audience, "%s", options->audience) < sizeof out->audience &&
           (size_t)snprintf(out->keys_url, sizeof out->keys_url, "%s", options->keys_url) < sizeof out->keys_url &&
           (size_t)snprintf(out->roles_claim, sizeof out->roles_claim, "%s", options->roles_claim) < sizeof out->roles_claim &&
           (size_t)snprintf(out->tenant_claim, sizeof out->tenant_claim, "%s", options->tenant_claim) < sizeof out->tenant_claim;
}

static void library_begin(void)
{
    o_set_alloc_funcs(memory_take, memory_resize, memory_give);
    json_use_memory();
    MUST(r_global_init() == RHN_OK);
}

enum fault sign_on_open(struct sign_on **out, const struct sign_on_options *options, struct fault_note *note)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char host[HTTP_HOST_BYTES_MAX + 1];
    const char *const hosts[] = {host};
    *out = NULL;
    if (!host_of(host, sizeof host, options->keys_url))
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "sign_on: '%.80s' is no URL", options->keys_url);
    pthread_once(&once, library_begin);
    struct sign_on *sign_on = memory_take_zeroed(1, sizeof *sign_on);
    if (!sign_on)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for sign-on");
    sign_on->magic = SIGN_ON_MAGIC;
    sign_on->skew_s = options->skew_s;
    sign_on->refresh_ms = options->refresh_ms;
    sign_on->age_max_ms = options->age_max_ms;
    sign_on->timeout_ms = options->timeout_ms;
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&sign_on->changed, &steady);
    pthread_condattr_destroy(&steady);
    pthread_mutex_init(&sign_on->lock, NULL);
    pthread_rwlock_init(&sign_on->keys_lock, NULL);
    const struct http_options with = {.hosts = hosts, .host_count = 1, .plain = options->plain, .ca_file = options->ca_file};
    enum fault fault = texts_take(sign_on, options) ? http_open(&sign_on->http, &with, note)
                                                    : fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "sign_on: a text is too long");
    if (fault == FAULT_NONE)
        fault = http_url_check(sign_on->http, sign_on->keys_url, note);
    if (fault == FAULT_NONE && !thread_start(&sign_on->thread, "sign-on", CPU_ANY, keys_run, sign_on))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no thread for sign-on");
    *out = sign_on;
    if (fault != FAULT_NONE)
        sign_on_close(out);
    return fault;
}

void sign_on_close(struct sign_on **sign_on_p)
{
    struct sign_on *sign_on = *sign_on_p;
    if (!sign_on)
        return;
    MUST(sign_on->magic == SIGN_ON_MAGIC);
    *sign_on_p = NULL;
    pthread_mutex_lock(&sign_on->lock);
    sign_on->stopping = true;
    pthread_cond_signal(&sign_on->changed);
    pthread_mutex_unlock(&sign_on->lock);
    http_stop(sign_on->http);
    thread_join(&sign_on->thread);
    http_close(&sign_on->http);
    r_jwks_free(sign_on->keys);
    pthread_rwlock_destroy(&sign_on->keys_lock);
    pthread_cond_destroy(&sign_on->changed);
    pthread_mutex_destroy(&sign_on->lock);
    sign_on->magic = 0;
    memory_give(sign_on);
}

/* --- tokens ------------------------------------------------------------------------------------------------------------ */

bool sign_on_looks(struct text token)
{
    uint32_t dots = 0;
    if (token.bytes < 16 || token.bytes > SIGN_ON_TOKEN_BYTES_MAX)
        return false;
    for (uint32_t i = 0; i < token.bytes; i++) {
        char c = token.data[i];
        dots += c == '.';
        if (c != '.' && c != '-' && c != '_' && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z'))
            return false;
    }
    return dots == 2;
}

static enum fault refused(struct fault_note *note, const char *why)
{
    return fault_set(note, FAULT_auth, ROW_NONE, COLUMN_NONE, "%s", why);
}

/* What a header may hold is looked at before the token is parsed: one that asks for more (to unpack, to nest, to heed what is not known)
 * could make much out of little. */
static bool header_is_plain(struct text token)
{
    unsigned char header[HEADER_BYTES_MAX + 1];
    size_t length = 0, bytes = 0;
    while (length < token.bytes && token.data[length] != '.')
        length++;
    if (length > HEADER_BYTES_MAX || !o_base64url_decode((const unsigned char *)token.data, length, header, &bytes))
        return false;
    json_t *json =
        json_depth((const char *)header, bytes) <= 2 ? json_loadb((const char *)header, bytes, JSON_REJECT_DUPLICATES, NULL) : NULL;
    bool plain = json_is_object(json) && !json_object_get(json, "zip") && !json_object_get(json, "cty") && !json_object_get(json, "crit") &&
                 !json_object_get(json, "b64");
    json_decref(json);
    return plain;
}

static bool alg_is_taken(jwa_alg alg) /* of a key that is public: with a shared one who checks can sign */
{
    return alg == R_JWA_ALG_RS256 || alg == R_JWA_ALG_RS384 || alg == R_JWA_ALG_RS512 || alg == R_JWA_ALG_PS256 || alg == R_JWA_ALG_PS384 ||
           alg == R_JWA_ALG_PS512 || alg == R_JWA_ALG_ES256 || alg == R_JWA_ALG_ES384 || alg == R_JWA_ALG_ES512 || alg == R_JWA_ALG_EDDSA;
}

/* The key that the token names; without a name the only one there is. Under keys_lock. */
static jwk_t *key_of(const struct sign_on *sign_on, jwt_t *jwt)
{
    const char *kid = r_jwt_get_header_str_value(jwt, "kid");
    if (kid)
        return r_jwks_get_by_kid(sign_on->keys, kid);
    return r_jwks_size(sign_on->keys) == 1 ? r_jwks_get_at(sign_on->keys, 0) : NULL;
}

static enum fault signature_check(struct sign_on *sign_on, jwt_t *jwt, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    if (!alg_is_taken(r_jwt_get_sign_alg(jwt)))
        return refused(note, "it is not signed by a method that is taken");
    pthread_rwlock_rdlock(&sign_on->keys_lock);
    int64_t age_ms = sign_on->keys ? (clock_steady_ns() - sign_on->fetched_ns) / 1000000 : -1;
    jwk_t *key = NULL;
    if (age_ms < 0 || age_ms > sign_on->age_max_ms)
        fault = fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "the provider's keys are not known");
    else if (!(key = key_of(sign_on, jwt)))
        fault = refused(note, "no key of the provider has its name");
    else if (r_jwt_verify_signature(jwt, key, R_FLAG_IGNORE_REMOTE) != RHN_OK)
        fault = refused(note, "its signature is wrong");
    r_jwk_free(key);
    pthread_rwlock_unlock(&sign_on->keys_lock);
    if (!key)
        keys_want(sign_on);
    return fault;
}

static bool audience_fits(const struct sign_on *sign_on, const json_t *aud)
{
    if (json_is_string(aud))
        return strcmp(json_string_value(aud), sign_on->audience) == 0;
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const char *one = json_string_value(json_array_get(aud, i));
        if (one && strcmp(one, sign_on->audience) == 0)
            return true;
    }
    return false;
}

static enum fault claims_check(const struct sign_on *sign_on, const json_t *claims, int64_t now_s, struct fault_note *note)
{
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    const json_t *end = json_object_get(claims, "exp"), *begin = json_object_get(claims, "nbf");
    if (!issuer || strcmp(issuer, sign_on->issuer) != 0)
        return refused(note, "it is of another issuer");
    if (!audience_fits(sign_on, json_object_get(claims, "aud")))
        return refused(note, "it is for another audience");
    if (!json_is_integer(end) || json_integer_value(end) <= now_s - sign_on->skew_s)
        return refused(note, "its time is over");
    if (begin && (!json_is_integer(begin) || json_integer_value(begin) > now_s + sign_on->skew_s))
        return refused(note, "its time has not come");
    return FAULT_NONE;
}

static bool name_take(char *out, size_t bytes, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t length = text ? strlen(text) : 0;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    if (length == 0 || length >= bytes)
        return false;
    memcpy(out, text, length + 1);
    return true;
}

static void role_add(struct sign_on_user *out, const char *text, size_t length)
{
    if (length == 0 || length >= SIGN_ON_ROLE_BYTES || out->role_count == SIGN_ON_ROLES_MAX)
        return;
    memcpy(out->roles[out->role_count], text, length);
    out->roles[out->role_count++][length] = '\0';
}

static void roles_take(struct sign_on_user *out, const json_t *roles)
{
    const char *text = json_string_value(roles);
    for (size_t length; text && *text; text += length + (text[length] == ' ')) {
        length = strcspn(text, " ");
        role_add(out, text, length);
    }
    for (size_t i = 0; i < json_array_size(roles); i++) {
        const char *one = json_string_value(json_array_get(roles, i));
        role_add(out, one ? one : "", one ? strlen(one) : 0);
    }
}

static enum fault user_of(struct sign_on_user *out, const struct sign_on *sign_on, const json_t *claims, struct fault_note *note)
{
    const json_t *tenant = sign_on->tenant_claim[0] ? json_object_get(claims, sign_on->tenant_claim) : NULL;
    *out = (struct sign_on_user){.until_s = json_integer_value(json_object_get(claims, "exp"))};
    if (!name_take(out->subject, sizeof out->subject, json_object_get(claims, "sub")))
        return refused(note, "it names no subject");
    if (tenant && !name_take(out->tenant, sizeof out->tenant, tenant))
        return refused(note, "its tenant is no name");
    roles_take(out, json_object_get(claims, sign_on->roles_claim));
    return FAULT_NONE;
}

enum fault sign_on_check(struct sign_on *sign_on, struct text token, int64_t now_s, struct sign_on_user *out, struct fault_note *note)
{
    MUST(sign_on->magic == SIGN_ON_MAGIC);
    jwt_t *jwt = NULL;
    json_t *claims = NULL;
    enum fault fault = FAULT_NONE;
    if (!sign_on_looks(token) || !header_is_plain(token) || r_jwt_init(&jwt) != RHN_OK ||
        r_jwt_advanced_parsen(jwt, token.data, token.bytes, R_PARSE_NONE, R_FLAG_IGNORE_REMOTE) != RHN_OK)
        fault = refused(note, "it is no signed token");
    else
        fault = signature_check(sign_on, jwt, note);
    if (fault == FAULT_NONE && !(claims = r_jwt_get_full_claims_json_t(jwt)))
        fault = refused(note, "it has no claims");
    if (fault == FAULT_NONE)
        fault = claims_check(sign_on, claims, now_s, note);
    if (fault == FAULT_NONE)
        fault = user_of(out, sign_on, claims, note);
    json_decref(claims);
    r_jwt_free(jwt);
    atomic_fetch_add(fault == FAULT_NONE ? &sign_on->accepted : &sign_on->refused, 1);
    return fault;
}

void sign_on_tell(struct sign_on *sign_on, struct sign_on_health *out)
{
    pthread_rwlock_rdlock(&sign_on->keys_lock);
    *out = (struct sign_on_health){.keys = sign_on->keys ? (uint32_t)r_jwks_size(sign_on->keys) : 0,
                                   .age_ms = sign_on->keys ? (clock_steady_ns() - sign_on->fetched_ns) / 1000000 : -1};
    pthread_rwlock_unlock(&sign_on->keys_lock);
    out->accepted = atomic_load(&sign_on->accepted);
    out->refused = atomic_load(&sign_on->refused);
}
