#ifndef SLUICE_PIPELINE_CONFIG_H
#define SLUICE_PIPELINE_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/secret.h"
#include "batch/batch.h"
#include "batch/limits.h"
#include "history/history.h"
#include "intake/profile.h"
#include "pipeline/rules.h"
#include "scene/drift.h"
#include "verdict/verdict.h"

/* sluice.yaml, read through a schema (libcyaml; config_text.c is its only user): an unknown or wrong key is refused with
 * file, line and what was expected. Relative paths are from the file's folder. Immutable after open; a new epoch is a
 * new one. docs/configuration.md has every key. */

enum { TENANTS_MAX = 256, LISTEN_MAX = 8, CREDENTIALS_MAX = 8, RATES_MAX = 64, RIGHTS_MAX = 8, CPU_NAMES_MAX = 8, BASE_KEYS_MAX = 16 };
enum { HTTP_POSTS_MAX = 4 }; /* requests by HTTP under way at once */
enum {
    ASSOCIATED_MAX = 16,
    ROLES_MAX = 32,
    CONNECT_HOSTS_MAX = 64,
    CONNECTORS_MAX = 32,
    CONNECTOR_TO_MAX = 16,
    CONNECTOR_TEMPLATES_MAX = 8,
    ALARM_CONNECTORS_MAX = 8
};
enum { CREDENTIAL_NAME_BYTES = 130 }; /* with the mark of a user who signed on */
enum { CONFIG_BYTES_MAX = 256 << 10, TOKEN_BYTES_MIN = 16, TOKEN_BYTES_MAX = 256, SIGNED_TOKEN_BYTES_MAX = 4096 };

enum release_policy { RELEASE_SETTLED, RELEASE_AT_ONCE, RELEASE_PARTIAL };

enum { TENANT_PROFILES_MAX = 16, PROFILE_BYTES_MAX = 128 << 10, CONFIG_RECORDED_MAX = 2 << 20 };

/* A file of a tenant's, and what it says; counted, so that epochs share it. */
struct config_profile {
    atomic_uint users;
    char path[256];
    char *text;
    size_t bytes;
    struct digest digest;
    struct profile *profile;
};

enum connector_kind { CONNECTOR_MAIL, CONNECTOR_SMS, CONNECTOR_WEBHOOK, CONNECTOR_OA, CONNECTOR_PERMISSION, CONNECTOR_KINDS };
extern const char *const connector_kind_names[CONNECTOR_KINDS];

/* One outside system that messages go to, taken at start. */
struct config_connector {
    char name[64];
    enum connector_kind kind;
    char url[256], user[129], from[256];
    char password[256], key[256], token[256]; /* where secrets are, never the secrets */
    bool tls;
    int64_t timeout_ms, digest_us, give_up_us;
    uint32_t text_max;
    uint32_t to_count, template_count;
    char to[CONNECTOR_TO_MAX][128]; /* addresses or numbers that a message goes to unless it says otherwise */
    struct config_letter {
        char on[32]; /* subject of messages */
        char subject[256], body[1536];
    } templates[CONNECTOR_TEMPLATES_MAX];
};

/* A system that is asked on a batch's way, taken at start. */
struct config_associated {
    char name[54], url[256], key[256], token[256]; /* where secrets are, never the secrets */
    int64_t timeout_ms, expiry_ms;
    uint64_t answer_bytes_max;
    uint32_t attempts_max, keys_max, calls_max, cached_max;
};

struct config_tenant {
    char name[129];
    char namespace_name[129]; /* of accounts; the tenant's own name by default */
    struct config_credential {
        char name[CREDENTIAL_NAME_BYTES]; /* empty: of the tenant's own token_hash or token_file */
        unsigned char token_hash[32];     /* SHA-256 of the token; zero in places that are not used */
        unsigned rights;                  /* bits of enum right */
    } credentials[CREDENTIALS_MAX];
    uint32_t credential_count;
    uint32_t profile_count;                               /* as many as the file names */
    struct config_profile *profiles[TENANT_PROFILES_MAX]; /* NULL in a recorded configuration: batches are kept as they were converted */
    struct tenant_rules *rules;                           /* NULL: none */
    int64_t feedback_delay_us;
    uint32_t weight;                /* fair share against the others, default 1 */
    uint32_t score_rows_per_minute; /* 0: no limit */
    enum level anomaly_cap;
    uint8_t verdict_of[LEVEL_COUNT]; /* verdict + 1; 0: the strategy's */
    enum level abnormal;             /* none: no result is */
    int64_t case_window_us;          /* 0: abnormal results open no cases */
    bool is_monitored;
    struct config_brake {
        float share; /* 0: none */
        int64_t window_s;
        uint32_t rows_min;
        enum brake_fallback { BRAKE_ALARM, BRAKE_MONITOR, BRAKE_REFUSE, BRAKE_COUNT } fallback;
    } brake;
    uint32_t duplicate_days; /* 0: an id may come again */
    enum language language;  /* of the texts of countermeasures */
    enum release_policy release;
    char processor[256], processor_key[256], processor_token[256]; /* URL; where secrets are, never the secrets */
    char webhook[64];                                              /* connector */
    int64_t consolidate_us;                                        /* how long a second batch may be executed; 0: for ever */
    int64_t corrections_us;                                        /* how long corrections are waited for; 0: for ever */
};

struct config {
    char *source; /* path */
    char *text;   /* as read, kept in the ledger by digest; behind it a comment for each profile, with the digest of its text */
    struct digest digest;
    uint32_t data_listen_count, admin_listen_count;
    char data_listen[LISTEN_MAX][256], admin_listen[LISTEN_MAX][256]; /* nng urls */
    char tls_certificate[256], tls_key[256];                          /* PEM files for tls+tcp; empty: none */
    char http_listen[64];                                             /* "127.0.0.1:9180"; empty: off */
    bool http_ops, http_tls;
    char ledger_folder[256], base_path[256]; /* base empty: only checks decide, and it is said at start */
    uint64_t base_bytes_max;                 /* of what base.put takes */
    char base_folder[256];                   /* below it base.put may name files; empty: none */
    bool base_signed;
    uint32_t base_key_count;
    struct config_base_key { /* who may sign bases */
        char name[33];
        unsigned char key[SECRET_PUBLIC_BYTES];
    } base_keys[BASE_KEYS_MAX];
    char device[16]; /* "cpu", "ref", "blas" */
    unsigned cpu_mask;
    uint32_t workers; /* 0: one per cpu */
    bool pin_workers;
    uint32_t in_flight_max, connections_max;
    int64_t queue_wait_ms_max; /* longest wait for admission before busy */
    uint64_t memory_max;       /* bytes; 0: a share of the machine's, bounds_compute */
    int64_t snapshot_interval_s, retention_s;
    uint32_t commit_batches_max; /* of one commit group */
    struct batch_limits limits;
    struct history_limits history;
    struct level_rules levels;
    struct strategy strategy;
    struct drift_settings drift;
    struct connect_settings {
        bool plain;
        char ca_file[256];
        int64_t timeout_ms, retry_first_ms, retry_most_ms, breaker_open_ms;
        uint32_t breaker_failures;
    } connect;
    struct config_alarms {
        int64_t delay_us, settle_us;
    } alarms;
    struct config_sign_on { /* issuer empty: nobody signs on */
        char issuer[256], audience[256], keys[256], roles_claim[64], tenant_claim[64], tenant[129];
        int64_t skew_s, refresh_ms, age_max_ms;
    } sign_on;
    uint32_t role_count;
    struct config_role { /* what users who signed on may do by it */
        char name[64];
        unsigned rights;
    } roles[ROLES_MAX];
    uint32_t alarm_connector_count;
    char alarm_connectors[ALARM_CONNECTORS_MAX][64];
    uint32_t connector_count;
    struct config_connector connectors[CONNECTORS_MAX];
    uint32_t associated_count;
    struct config_associated associated[ASSOCIATED_MAX];
    uint32_t connect_host_count;
    char connect_hosts[CONNECT_HOSTS_MAX][256];
    uint32_t rate_count;
    struct config_rate {
        char currency[4];
        double per_reference;
    } rates[RATES_MAX]; /* reference minor units per minor unit are derived */
    char reference_currency[4];
    uint32_t tenant_count;
    struct config_tenant tenants[TENANTS_MAX];
};

enum fault config_open(struct config **out, const char *path, struct fault_note *note); /* the calling thread reads files */
/* The same from bytes; source names them in faults, and its folder is where relative paths begin. */
enum fault config_open_text(struct config **out, const char *source, const char *text, size_t bytes, struct fault_note *note);
/* Of a ledger: no other file is read, so it knows no tokens out of files and lets nobody in. */
enum fault config_open_recorded(struct config **out, const char *text, size_t bytes, struct fault_note *note);
struct level_rules config_levels(const struct config *config, uint32_t tenant_index);                /* of a tenant */
const struct config_connector *config_connector_find(const struct config *config, struct text name); /* NULL: there is none */
void config_close(struct config **config_p);

/* A profile alone; source names it in faults. */
enum fault config_profile_open(struct config_profile **out, const char *path, struct fault_note *note);
void config_profile_close(struct config_profile **profile_p); /* safe on NULL */
enum fault config_profile_text(struct profile **out, const char *source, const char *text, size_t bytes, struct fault_note *note);

#endif
