/* Tokens of a provider: what is signed by it, for us and of now is taken; everything else has its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rhonabwy.h>

#include "base/clock.h"
#include "base/must.h"
#include "connect/sign_on.h"
#include "unit/connect/service.h"

#define ISSUER "https://provider.example/"
enum { NOW_S = 1800000000, AGE_MAX_MS = 60000 };

static struct service service;
static struct sign_on *sign_on;
static jwk_t *rsa_private, *rsa_public, *ec_private, *ec_public;
static char url[64], *keys_texts[8]; /* MHD may still be sending one of before */
static unsigned keys_text_count;
static struct fault_note note;
static struct sign_on_user user;

static void pair_make(jwk_t **out_private, jwk_t **out_public, int type, unsigned bits, const char *kid)
{
    MUST(r_jwk_init(out_private) == RHN_OK && r_jwk_init(out_public) == RHN_OK);
    MUST(r_jwk_generate_key_pair(*out_private, *out_public, type, bits, kid) == RHN_OK);
}

/* What the provider tells: the public halves of those given. */
static void keys_tell(jwk_t *one, jwk_t *two)
{
    jwks_t *keys = NULL;
    MUST(r_jwks_init(&keys) == RHN_OK && r_jwks_append_jwk(keys, one) == RHN_OK && (!two || r_jwks_append_jwk(keys, two) == RHN_OK));
    char *text = r_jwks_export_to_json_str(keys, 0);
    MUST(text);
    pthread_mutex_lock(&service.lock);
    MUST(keys_text_count < sizeof keys_texts / sizeof *keys_texts);
    service.answer = keys_texts[keys_text_count++] = strdup(text);
    service.answer_bytes = strlen(text);
    pthread_mutex_unlock(&service.lock);
    r_free(text);
    r_jwks_free(keys);
}

static json_t *claims_of(const char *more)
{
    char text[512];
    snprintf(text, sizeof text,
             "{\"iss\":\"" ISSUER
             "\",\"aud\":[\"other\",\"sluice\"],\"sub\":\"ann\",\"exp\":%d,\"tenant\":\"acme\",\"roles\":[\"analyst\",\"auditor\"]%s}",
             NOW_S + 600, more);
    json_t *claims = json_loads(text, 0, NULL); /* of a name that comes twice the last one counts */
    MUST(claims);
    return claims;
}

static char *signed_by(jwk_t *key, jwa_alg alg, const char *more)
{
    jwt_t *jwt = NULL;
    json_t *claims = claims_of(more);
    MUST(r_jwt_init(&jwt) == RHN_OK && r_jwt_set_sign_alg(jwt, alg) == RHN_OK && r_jwt_set_full_claims_json_t(jwt, claims) == RHN_OK);
    char *token = r_jwt_serialize_signed(jwt, key, 0);
    MUST(token);
    json_decref(claims);
    r_jwt_free(jwt);
    return token;
}

static const char *check(const char *token)
{
    note = (struct fault_note){0};
    return sign_on_check(sign_on, text_of(token), NOW_S, &user, &note) == FAULT_NONE ? "" : note.text;
}

static const char *check_more(const char *more)
{
    char *token = signed_by(rsa_private, R_JWA_ALG_RS256, more);
    const char *why = check(token);
    r_free(token);
    return why;
}

static void keys_await(uint32_t count)
{
    struct sign_on_health health = {0};
    for (int waited = 0; waited < 10000 && health.keys != count; waited += 10) {
        sign_on_tell(sign_on, &health);
        service_pause(10);
    }
    assert_int_equal(health.keys, count);
}

static struct sign_on_options options(void)
{
    return (struct sign_on_options){.issuer = ISSUER,
                                    .audience = "sluice",
                                    .keys_url = url,
                                    .roles_claim = "roles",
                                    .tenant_claim = "tenant",
                                    .ca_file = "",
                                    .plain = true,
                                    .skew_s = 60,
                                    .refresh_ms = 3600000,
                                    .age_max_ms = AGE_MAX_MS,
                                    .timeout_ms = 2000};
}

static int setup(void **state)
{
    (void)state;
    assert_true(service_start(&service));
    snprintf(url, sizeof url, "http://127.0.0.1:%u/keys", service.port);
    const struct sign_on_options with = options();
    service.answer = "{}", service.answer_bytes = 2;
    MUST(sign_on_open(&sign_on, &with, &note) == FAULT_NONE);
    if (!rsa_private) {
        pair_make(&rsa_private, &rsa_public, R_KEY_TYPE_RSA, 2048, "one");
        pair_make(&ec_private, &ec_public, R_KEY_TYPE_EC, 256, "two");
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sign_on_close(&sign_on);
    service_stop(&service);
    while (keys_text_count > 0)
        free(keys_texts[--keys_text_count]);
    return 0;
}

static void ready(void)
{
    keys_tell(rsa_public, ec_public);
    check("aaaaaaaa.bbbbbbbb.cccccccc");
    char *token = signed_by(rsa_private, R_JWA_ALG_RS256, "");
    check(token); /* keys are not there: they are wanted */
    r_free(token);
    keys_await(2);
}

static void a_signed_user_is_known(void **state)
{
    (void)state;
    ready();
    assert_string_equal(check_more(""), "");
    assert_string_equal(user.subject, "ann");
    assert_string_equal(user.tenant, "acme");
    assert_int_equal(user.role_count, 2);
    assert_string_equal(user.roles[1], "auditor");
    assert_int_equal(user.until_s, NOW_S + 600);
    char *token = signed_by(ec_private, R_JWA_ALG_ES256, ",\"roles\":\"operator  submitter\",\"aud\":\"sluice\"");
    assert_string_equal(check(token), "");
    assert_int_equal(user.role_count, 2);
    assert_string_equal(user.roles[0], "operator");
    r_free(token);
}

static void claims_have_their_reasons(void **state)
{
    (void)state;
    static const struct {
        const char *more, *why;
    } cases[] = {
        {",\"iss\":\"https://provider.example\"", "it is of another issuer"},
        {",\"iss\":7", "it is of another issuer"},
        {",\"aud\":\"sluice2\"", "it is for another audience"},
        {",\"aud\":[]", "it is for another audience"},
        {",\"aud\":{\"sluice\":1}", "it is for another audience"},
        {",\"exp\":1799999940", "its time is over"},
        {",\"exp\":\"1900000000\"", "its time is over"},
        {",\"exp\":null", "its time is over"},
        {",\"exp\":1799999941", ""}, /* clocks may differ by a minute */
        {",\"nbf\":1800000061", "its time has not come"},
        {",\"nbf\":\"x\"", "its time has not come"},
        {",\"nbf\":1800000060", ""},
        {",\"sub\":\"\"", "it names no subject"},
        {",\"sub\":\"a\\nb\"", "it names no subject"},
        {",\"sub\":5", "it names no subject"},
        {",\"tenant\":[\"acme\"]", "its tenant is no name"},
        {",\"roles\":5", ""},
    };
    ready();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(check_more(cases[i].more), cases[i].why) != 0)
            fail_msg("%s: '%s'", cases[i].more, note.text);
}

static void only_the_provider_signs(void **state)
{
    (void)state;
    jwk_t *other_private, *other_public, *shared = NULL;
    pair_make(&other_private, &other_public, R_KEY_TYPE_RSA, 2048, "one"); /* by the name of a key that is there */
    ready();
    char *token = signed_by(other_private, R_JWA_ALG_RS256, "");
    assert_string_equal(check(token), "its signature is wrong");
    r_free(token);
    /* the public key's text as a shared secret */
    char *text = r_jwk_export_to_json_str(rsa_public, 0);
    MUST(r_jwk_init(&shared) == RHN_OK && r_jwk_import_from_symmetric_key(shared, (unsigned char *)text, strlen(text)) == RHN_OK);
    token = signed_by(shared, R_JWA_ALG_HS256, "");
    assert_string_equal(check(token), "it is not signed by a method that is taken");
    r_free(token);
    r_free(text);
    /* nobody */
    assert_string_equal(check("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ."), "it is no signed token");
    /* a letter of the claims, of the signature */
    for (int part = 1; part <= 2; part++) {
        token = signed_by(rsa_private, R_JWA_ALG_RS256, "");
        char *at = strchr(token, '.') + 9;
        at = part == 2 ? strrchr(token, '.') + 9 : at;
        *at = *at == 'A' ? 'B' : 'A';
        assert_true(check(token)[0] != '\0');
        r_free(token);
    }
    r_jwk_free(shared);
    r_jwk_free(other_private);
    r_jwk_free(other_public);
}

/* A header that asks for more than a signature is not even parsed; {"alg":"RS256","zip":"DEF"} and its like. */
static void headers_that_ask_for_more_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {"eyJhbGciOiJSUzI1NiIsInppcCI6IkRFRiJ9", "eyJhbGciOiJSUzI1NiIsImN0eSI6IkpXVCJ9",
                                          "eyJhbGciOiJSUzI1NiIsImNyaXQiOlsieCJdfQ"};
    ready();
    char *token = signed_by(rsa_private, R_JWA_ALG_RS256, "");
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char other[SIGN_ON_TOKEN_BYTES_MAX];
        snprintf(other, sizeof other, "%s%s", headers[i], strchr(token, '.'));
        assert_string_equal(check(other), "it is no signed token");
    }
    r_free(token);
}

static void garbage_is_no_token(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "a.b.c",
                                        "aaaaaaaaaaaaaaaa",
                                        "aaaa.bbbb.cccc.dddd.eeee",
                                        "aaaa bbbb.cccc.dddd",
                                        "................",
                                        "aaaaaaaaaaaa..",
                                        "e30.e30.AAAAAAAAAAAA",
                                        "eyJhbGciOiJSUzI1NiJ9.e30.AAAAAAAAAA"};
    ready();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_true(check(wrong[i])[0] != '\0');
    char *token = signed_by(rsa_private, R_JWA_ALG_RS256, "");
    size_t bytes = strlen(token);
    for (size_t cut = 0; cut < bytes; cut += 7) {
        note = (struct fault_note){0};
        assert_int_not_equal(sign_on_check(sign_on, (struct text){.data = token, .bytes = (uint32_t)cut}, NOW_S, &user, &note), FAULT_NONE);
    }
    r_free(token);
}

/* Also: what a key's name asks for is fetched, and not more often than it may be. */
static void keys_are_renewed(void **state)
{
    (void)state;
    jwk_t *next_private, *next_public;
    pair_make(&next_private, &next_public, R_KEY_TYPE_RSA, 2048, "three");
    ready();
    unsigned before = service.calls;
    char *token = signed_by(next_private, R_JWA_ALG_RS256, "");
    keys_tell(next_public, NULL);
    assert_string_equal(check(token), "no key of the provider has its name");
    for (int i = 0; i < 500; i++)
        check(token);
    keys_await(1);
    assert_string_equal(check(token), "");
    assert_true(service.calls - before <= 3);
    assert_string_equal(check_more(""), "no key of the provider has its name"); /* the old one went */
    r_free(token);
    r_jwk_free(next_private);
    r_jwk_free(next_public);
}

static void without_keys_nobody_is_let_in(void **state)
{
    (void)state;
    service.status = 500;
    char *token = signed_by(rsa_private, R_JWA_ALG_RS256, "");
    assert_int_equal(sign_on_check(sign_on, text_of(token), NOW_S, &user, &note), FAULT_unavailable);
    service.status = 200;
    ready();
    assert_string_equal(check(token), "");
    sign_on_close(&sign_on);
    struct sign_on_options with = options();
    with.age_max_ms = 300;
    MUST(sign_on_open(&sign_on, &with, &note) == FAULT_NONE);
    keys_await(2);
    assert_string_equal(check(token), "");
    service.status = 500; /* the provider is down: its keys grow old */
    service_pause(400);
    assert_int_equal(sign_on_check(sign_on, text_of(token), NOW_S, &user, &note), FAULT_unavailable);
    r_free(token);
}

static void hostile_keys_are_no_keys(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "{", "[]", "{\"keys\":[]}", "{\"keys\":7}", "{\"keys\":[{\"kty\":\"RSA\"}]}", "{\"keys\":[[[[[[[[[[[[]]]]]]]]]]]]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct sign_on_options with = options();
        struct sign_on_health health;
        sign_on_close(&sign_on);
        service.answer = wrong[i], service.answer_bytes = strlen(wrong[i]);
        unsigned before = service.calls;
        MUST(sign_on_open(&sign_on, &with, &note) == FAULT_NONE);
        while (service.calls == before)
            service_pause(5);
        service_pause(30);
        sign_on_tell(sign_on, &health);
        assert_int_equal(health.keys, 0);
    }
    struct sign_on *none = NULL;
    struct sign_on_options with = options();
    with.keys_url = "nowhere";
    assert_int_equal(sign_on_open(&none, &with, &note), FAULT_schema);
    with.keys_url = "http://127.0.0.1:1/keys", with.plain = false;
    assert_int_equal(sign_on_open(&none, &with, &note), FAULT_denied);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_signed_user_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_have_their_reasons, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_provider_signs, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_that_ask_for_more_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_is_no_token, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_renewed, setup, teardown),
        cmocka_unit_test_setup_teardown(without_keys_nobody_is_let_in, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_keys_are_no_keys, setup, teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    r_jwk_free(rsa_private);
    r_jwk_free(rsa_public);
    r_jwk_free(ec_private);
    r_jwk_free(ec_public);
    return failed;
}
