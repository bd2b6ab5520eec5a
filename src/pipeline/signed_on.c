#include "pipeline/signed_on.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "ledger/audit.h"

_Static_assert((int)SIGNED_TOKEN_BYTES_MAX == (int)SIGN_ON_TOKEN_BYTES_MAX, "doors take what is checked");
enum { LOGIN_SETS = 1024, LOGIN_WAYS = 8 };
#define TOLD_EVERY_NS 10000000000LL

struct signed_on {
    struct sign_on *provider;
    atomic_uint_fast64_t logins[LOGIN_SETS][LOGIN_WAYS]; /* hashes of tokens that were used; one that gave way is told anew */
    atomic_int_fast64_t refused_told_ns;
    atomic_uint_fast64_t untold;
};

enum fault signed_on_open(struct signed_on **out, const struct config *config, struct fault_note *note)
{
    const struct config_sign_on *on = &config->sign_on;
    const struct sign_on_options options = {
        .issuer = on->issuer,
        .audience = on->audience,
        .keys_url = on->keys,
        .roles_claim = on->roles_claim,
        .tenant_claim = on->tenant_claim,
        .ca_file = config->connect.ca_file,
        .plain = config->connect.plain,
        .skew_s = on->skew_s,
        .refresh_ms = on->refresh_ms,
        .age_max_ms = on->age_max_ms,
        .timeout_ms = config->connect.timeout_ms,
    };
    *out = NULL;
    if (on->issuer[0] == '\0')
        return FAULT_NONE;
    struct signed_on *signed_on = memory_take_zeroed(1, sizeof *signed_on);
    if (!signed_on)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for sign-on");
    enum fault fault = sign_on_open(&signed_on->provider, &options, note);
    if (fault != FAULT_NONE)
        memory_give(signed_on);
    else
        *out = signed_on;
    return fault;
}

void signed_on_close(struct signed_on **signed_on_p)
{
    if (!*signed_on_p)
        return;
    sign_on_close(&(*signed_on_p)->provider);
    memory_give(*signed_on_p);
    *signed_on_p = NULL;
}

/* --- the audit log --------------------------------------------------------------------------------------------------------- */

static void audit(struct pipeline *pipeline, const char *action, struct text tenant, const char *subject, const char *after)
{
    struct ledger_audit line = {.now_us = clock_wall_us()};
    struct fault_note note = {0};
    snprintf(line.who, sizeof line.who, "%.*s%s%s", (int)(tenant.bytes < 128 ? tenant.bytes : 128), tenant.bytes ? tenant.data : "",
             *subject ? "/@" : "", subject);
    snprintf(line.action, sizeof line.action, "%s", action);
    snprintf(line.after, sizeof line.after, "%.95s", after);
    if (pipeline->ledger_ops->audit->put(pipeline->ledger, &line, &note) != FAULT_NONE)
        log_line(LOG_ERROR, "sign_on", "%s of %s is not in the audit log: %s", action, line.who, note.text);
}

static void login_tell(struct pipeline *pipeline, struct text tenant, struct text token, const struct sign_on_user *user)
{
    uint64_t hash = hash64(pipeline->ledger_ops->secret(pipeline->ledger), token.data, token.bytes) | 1;
    atomic_uint_fast64_t *set = pipeline->signed_on->logins[hash / 2 % LOGIN_SETS];
    for (unsigned way = 0; way < LOGIN_WAYS; way++)
        if (atomic_load(&set[way]) == hash)
            return;
    for (unsigned way = LOGIN_WAYS - 1; way > 0; way--)
        atomic_store(&set[way], atomic_load(&set[way - 1]));
    atomic_store(&set[0], hash);
    char roles[SIGN_ON_ROLE_BYTES + 16];
    snprintf(roles, sizeof roles, "%s%s", user->role_count ? user->roles[0] : "no role", user->role_count > 1 ? " and more" : "");
    audit(pipeline, "login", tenant, user->subject, roles);
}

static void refused_tell(struct pipeline *pipeline, struct text tenant, const char *subject, const char *why)
{
    struct signed_on *signed_on = pipeline->signed_on;
    int64_t now_ns = clock_steady_ns(), told_ns = atomic_load(&signed_on->refused_told_ns);
    if ((told_ns && now_ns - told_ns < TOLD_EVERY_NS) || !atomic_compare_exchange_strong(&signed_on->refused_told_ns, &told_ns, now_ns)) {
        atomic_fetch_add(&signed_on->untold, 1);
        return;
    }
    char after[96];
    uint64_t untold = atomic_exchange(&signed_on->untold, 0);
    if (untold)
        snprintf(after, sizeof after, "%.60s; and %llu others", why, (unsigned long long)untold);
    else
        snprintf(after, sizeof after, "%.90s", why);
    audit(pipeline, "login.refused", tenant, subject, after);
    log_line(LOG_WARN, "sign_on", "a token was refused: %s", after);
}

/* --- users ----------------------------------------------------------------------------------------------------------------- */

static unsigned rights_of(const struct config *config, const struct sign_on_user *user)
{
    unsigned rights = RIGHT_NONE;
    for (uint32_t i = 0; i < user->role_count; i++)
        for (uint32_t k = 0; k < config->role_count; k++)
            if (strcmp(user->roles[i], config->roles[k].name) == 0)
                rights |= config->roles[k].rights;
    return rights;
}

bool signed_on_find(struct pipeline *pipeline, const struct config *config, struct text tenant, struct text token,
                    struct config_credential *out)
{
    struct sign_on_user user;
    struct fault_note note = {0};
    if (!pipeline->signed_on || !sign_on_looks(token))
        return false;
    if (sign_on_check(pipeline->signed_on->provider, token, clock_wall_us() / 1000000, &user, &note) != FAULT_NONE) {
        refused_tell(pipeline, tenant, "", note.text);
        return false;
    }
    const char *own = user.tenant[0] ? user.tenant : config->sign_on.tenant;
    if (!text_equal(text_of(own), tenant)) {
        refused_tell(pipeline, tenant, user.subject, "the user is of another tenant");
        return false;
    }
    *out = (struct config_credential){.rights = rights_of(config, &user)};
    snprintf(out->name, sizeof out->name, "@%s", user.subject); /* no credential of the configuration begins so */
    login_tell(pipeline, tenant, token, &user);
    return true;
}

bool signed_on_knows(struct pipeline *pipeline, struct text token)
{
    struct sign_on_user user;
    struct fault_note note = {0};
    if (!pipeline->signed_on || !sign_on_looks(token))
        return false;
    bool known = sign_on_check(pipeline->signed_on->provider, token, clock_wall_us() / 1000000, &user, &note) == FAULT_NONE;
    if (!known)
        refused_tell(pipeline, text_of(""), "", note.text);
    return known;
}

void signed_on_tell(struct pipeline *pipeline, struct sign_on_health *out)
{
    *out = (struct sign_on_health){0};
    if (pipeline->signed_on)
        sign_on_tell(pipeline->signed_on->provider, out);
}
