#ifndef SLUICE_PIPELINE_CONFIG_TEXT_H
#define SLUICE_PIPELINE_CONFIG_TEXT_H

#include <stdint.h>

#include "base/fault.h"
#include "intake/profile.h"

/* sluice.yaml as it was written: every value still text, NULL where a key was left out. config_text.c fills it through
 * libcyaml (and is its only user), config.c reads the values out of it. */

struct listen_text {
    char **data, **admin;
    uint32_t data_count, admin_count;
#define LISTEN(key, ...) char *key;
#include "pipeline/config_keys.tbl"
};

struct limits_text {
#define LIMIT(key, ...) char *key;
#include "pipeline/config_keys.tbl"
};

struct history_text {
#define HISTORY(key, ...) char *key;
#include "pipeline/config_keys.tbl"
};

struct levels_text {
#define LEVEL(key, ...) char *key;
#include "pipeline/config_keys.tbl"
};

struct drift_text {
#define DRIFT(key, ...) char *key;
#include "pipeline/config_keys.tbl"
};

struct connect_text {
    char **hosts;
    uint32_t hosts_count;
#define CONNECT(key, ...) char *key;
#include "pipeline/config_keys.tbl"
};

struct rate_text {
    char *currency, *per_reference;
};

struct currencies_text {
    char *reference;
    struct rate_text *rates;
    uint32_t rates_count;
};

struct countermeasure_text {
    char *name, *text, *text_zh, *confirm;
    char **correct;
    uint32_t correct_count;
};

struct strategy_text {
    char *risk_type, *level, *verdict, *countermeasure, *final;
};

struct credential_text {
    char *name, *token_file, *token_hash;
    char **rights;
    uint32_t rights_count;
};

struct rule_text {
    char *name, *when, *raise_to, *verdict, *risk_type;
};

struct rule_column_text {
    char *name, *type, *places;
};

struct tenant_text {
#define TENANT(key, ...) char *key;
#include "pipeline/config_keys.tbl"
    char *token_file, *token_hash, *token_hash_next;
    char **rights, **profiles;
    struct credential_text *credentials;
    struct rule_text *rules;
    struct rule_column_text *rule_columns;
    uint32_t rights_count, profiles_count, credentials_count, rules_count, rule_columns_count;
};

struct alarms_text {
    char **connectors;
    uint32_t connectors_count;
#define ALARMS(key, ...) char *key;
#include "pipeline/config_keys.tbl"
};

struct role_text {
    char *name, **rights;
    uint32_t rights_count;
};

struct sign_on_text {
#define SIGN_ON(key, ...) char *key;
#include "pipeline/config_keys.tbl"
    struct role_text *roles;
    uint32_t roles_count;
};

struct letter_template_text {
    char *on, *subject, *body;
};

struct connector_text {
#define CONNECTOR(key, ...) char *key;
#include "pipeline/config_keys.tbl"
    char **to;
    struct letter_template_text *templates;
    uint32_t to_count, templates_count;
};

struct associated_text {
#define ASSOCIATED(key, ...) char *key;
#include "pipeline/config_keys.tbl"
};

struct config_text {
#define TOP(key, ...) char *key;
#include "pipeline/config_keys.tbl"
    struct listen_text listen;
    struct limits_text limits;
    struct history_text history;
    struct levels_text levels;
    struct drift_text drift;
    struct connect_text connect;
    struct alarms_text alarms;
    struct sign_on_text sign_on;
    struct currencies_text currencies;
    struct countermeasure_text *countermeasures;
    struct strategy_text *strategy;
    struct tenant_text *tenants;
    struct connector_text *connectors;
    struct associated_text *associated;
    char **cpu_mask, **base_keys;
    uint32_t connectors_count, associated_count, countermeasures_count, strategy_count, tenants_count, cpu_mask_count, base_keys_count;
};

/* A build file of `sluice build`, in the same way. */
struct build_rows_text {
#define BUILD_ROWS(key, ...) char *key;
#include "pipeline/build_keys.tbl"
};

struct build_learning_text {
#define BUILD_LEARNING(key, ...) char *key;
#include "pipeline/build_keys.tbl"
    char **seeds;
    uint32_t seeds_count;
};

struct build_thresholds_text {
#define BUILD_THRESHOLDS(key, ...) char *key;
#include "pipeline/build_keys.tbl"
};

struct build_features_text {
    char **include, **exclude;
    uint32_t include_count, exclude_count;
};

struct observation_text {
    char *kind, *file;
};

struct scene_type_text {
    char *scene, *risk_type;
};

struct build_text {
#define BUILD_TOP(key, ...) char *key;
#include "pipeline/build_keys.tbl"
    struct build_rows_text rows;
    struct build_learning_text learning;
    struct build_thresholds_text thresholds;
    struct build_features_text features;
    struct observation_text *observations;
    struct scene_type_text *risk_types;
    uint32_t observations_count, risk_types_count;
};

struct config_yaml;

/* What the schema refuses is told with the line that yaml knows. */
enum fault config_text_open(struct config_text **out, const char *text, uint32_t bytes, const char *source, const struct config_yaml *yaml,
                            struct fault_note *note);
void config_text_close(struct config_text **text_p);
enum fault build_text_open(struct build_text **out, const char *text, uint32_t bytes, const char *source, const struct config_yaml *yaml,
                           struct fault_note *note);
void build_text_close(struct build_text **text_p);
/* A tenant's profile: struct profile_plan is its text. Lines are not set. */
enum fault profile_text_open(struct profile_plan **out, const char *text, uint32_t bytes, const char *source,
                             const struct config_yaml *yaml, struct fault_note *note);
void profile_text_close(struct profile_plan **text_p);

#endif
