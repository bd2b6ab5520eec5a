/* The only user of libcyaml. Its schema says where what may stand; every scalar is taken as text, since libcyaml reads
 * numbers loosely ("5 5" is 5, any word is a true bool) and its lines are those of the value before. */
#include "pipeline/config_text.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "pipeline/build.h"
#include "pipeline/config.h"
#include "pipeline/config_yaml.h"

#define TEXT_FIELD(in, key) CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct in, key, 0, CYAML_UNLIMITED)
#define LIST_FIELD(in, key, entry, most) \
    CYAML_FIELD_SEQUENCE(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct in, key, entry, 0, most)
#define GROUP_FIELD(key) CYAML_FIELD_MAPPING(#key, CYAML_FLAG_OPTIONAL, struct config_text, key, key##_fields)

static const cyaml_schema_value_t text_entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};

static const cyaml_schema_field_t listen_fields[] = {
    LIST_FIELD(listen_text, data, &text_entry, LISTEN_MAX),
    LIST_FIELD(listen_text, admin, &text_entry, LISTEN_MAX),
#define LISTEN(key, ...) TEXT_FIELD(listen_text, key),
#include "pipeline/config_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t limits_fields[] = {
#define LIMIT(key, ...) TEXT_FIELD(limits_text, key),
#include "pipeline/config_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t history_fields[] = {
#define HISTORY(key, ...) TEXT_FIELD(history_text, key),
#include "pipeline/config_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t levels_fields[] = {
#define LEVEL(key, ...) TEXT_FIELD(levels_text, key),
#include "pipeline/config_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t drift_fields[] = {
#define DRIFT(key, ...) TEXT_FIELD(drift_text, key),
#include "pipeline/config_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t connect_fields[] = {
    LIST_FIELD(connect_text, hosts, &text_entry, CONNECT_HOSTS_MAX),
#define CONNECT(key, ...) TEXT_FIELD(connect_text, key),
#include "pipeline/config_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t alarms_fields[] = {
    LIST_FIELD(alarms_text, connectors, &text_entry, ALARM_CONNECTORS_MAX),
#define ALARMS(key, ...) TEXT_FIELD(alarms_text, key),
#include "pipeline/config_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t role_fields[] = {
    TEXT_FIELD(role_text, name),
    LIST_FIELD(role_text, rights, &text_entry, RIGHTS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t role_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct role_text, role_fields)};

static const cyaml_schema_field_t sign_on_fields[] = {
#define SIGN_ON(key, ...) TEXT_FIELD(sign_on_text, key),
#include "pipeline/config_keys.tbl"
    LIST_FIELD(sign_on_text, roles, &role_entry, ROLES_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t letter_template_fields[] = {
    TEXT_FIELD(letter_template_text, on),
    TEXT_FIELD(letter_template_text, subject),
    TEXT_FIELD(letter_template_text, body),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t letter_template_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct letter_template_text, letter_template_fields)};

static const cyaml_schema_field_t connector_fields[] = {
#define CONNECTOR(key, ...) TEXT_FIELD(connector_text, key),
#include "pipeline/config_keys.tbl"
    LIST_FIELD(connector_text, to, &text_entry, CONNECTOR_TO_MAX),
    LIST_FIELD(connector_text, templates, &letter_template_entry, CONNECTOR_TEMPLATES_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t connector_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct connector_text, connector_fields)};

static const cyaml_schema_field_t associated_fields[] = {
#define ASSOCIATED(key, ...) TEXT_FIELD(associated_text, key),
#include "pipeline/config_keys.tbl"
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t associated_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct associated_text, associated_fields)};

static const cyaml_schema_field_t rate_fields[] = {
    TEXT_FIELD(rate_text, currency),
    TEXT_FIELD(rate_text, per_reference),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t rate_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct rate_text, rate_fields)};

static const cyaml_schema_field_t currencies_fields[] = {
    TEXT_FIELD(currencies_text, reference),
    LIST_FIELD(currencies_text, rates, &rate_entry, RATES_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t countermeasure_fields[] = {
    TEXT_FIELD(countermeasure_text, name),
    TEXT_FIELD(countermeasure_text, text),
    TEXT_FIELD(countermeasure_text, text_zh),
    TEXT_FIELD(countermeasure_text, confirm),
    LIST_FIELD(countermeasure_text, correct, &text_entry, COLUMN_COUNT),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t countermeasure_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct countermeasure_text, countermeasure_fields)};

static const cyaml_schema_field_t strategy_fields[] = {
    TEXT_FIELD(strategy_text, risk_type),      TEXT_FIELD(strategy_text, level), TEXT_FIELD(strategy_text, verdict),
    TEXT_FIELD(strategy_text, countermeasure), TEXT_FIELD(strategy_text, final), CYAML_FIELD_END,
};
static const cyaml_schema_value_t strategy_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct strategy_text, strategy_fields)};

static const cyaml_schema_field_t credential_fields[] = {
    TEXT_FIELD(credential_text, name),
    TEXT_FIELD(credential_text, token_file),
    TEXT_FIELD(credential_text, token_hash),
    LIST_FIELD(credential_text, rights, &text_entry, RIGHTS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t credential_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct credential_text, credential_fields)};

static const cyaml_schema_field_t rule_fields[] = {
    TEXT_FIELD(rule_text, name),    TEXT_FIELD(rule_text, when),      TEXT_FIELD(rule_text, raise_to),
    TEXT_FIELD(rule_text, verdict), TEXT_FIELD(rule_text, risk_type), CYAML_FIELD_END,
};
static const cyaml_schema_value_t rule_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct rule_text, rule_fields)};

static const cyaml_schema_field_t rule_column_fields[] = {
    TEXT_FIELD(rule_column_text, name),
    TEXT_FIELD(rule_column_text, type),
    TEXT_FIELD(rule_column_text, places),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t rule_column_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct rule_column_text, rule_column_fields)};

static const cyaml_schema_field_t tenant_fields[] = {
#define TENANT(key, ...) TEXT_FIELD(tenant_text, key),
#include "pipeline/config_keys.tbl"
    TEXT_FIELD(tenant_text, token_file),
    TEXT_FIELD(tenant_text, token_hash),
    TEXT_FIELD(tenant_text, token_hash_next),
    LIST_FIELD(tenant_text, rights, &text_entry, RIGHTS_MAX),
    LIST_FIELD(tenant_text, profiles, &text_entry, TENANT_PROFILES_MAX),
    LIST_FIELD(tenant_text, rules, &rule_entry, TENANT_RULES_MAX),
    LIST_FIELD(tenant_text, rule_columns, &rule_column_entry, RULE_COLUMNS_MAX),
    LIST_FIELD(tenant_text, credentials, &credential_entry, CREDENTIALS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t tenant_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tenant_text, tenant_fields)};

static const cyaml_schema_field_t top_fields[] = {
#define TOP(key, ...) TEXT_FIELD(config_text, key),
#include "pipeline/config_keys.tbl"
    GROUP_FIELD(listen),
    GROUP_FIELD(limits),
    GROUP_FIELD(history),
    GROUP_FIELD(levels),
    GROUP_FIELD(drift),
    GROUP_FIELD(connect),
    GROUP_FIELD(alarms),
    GROUP_FIELD(sign_on),
    LIST_FIELD(config_text, connectors, &connector_entry, CONNECTORS_MAX),
    LIST_FIELD(config_text, associated, &associated_entry, ASSOCIATED_MAX),
    GROUP_FIELD(currencies),
    LIST_FIELD(config_text, countermeasures, &countermeasure_entry, COUNTERMEASURES_MAX),
    LIST_FIELD(config_text, strategy, &strategy_entry, STRATEGY_ROWS_MAX),
    LIST_FIELD(config_text, tenants, &tenant_entry, TENANTS_MAX),
    LIST_FIELD(config_text, cpu_mask, &text_entry, CPU_NAMES_MAX),
    LIST_FIELD(config_text, base_keys, &text_entry, BASE_KEYS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t top_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config_text, top_fields)};

/* --- the build file ------------------------------------------------------------------------------------------------- */

static const cyaml_schema_field_t build_rows_fields[] = {
#define BUILD_ROWS(key, ...) TEXT_FIELD(build_rows_text, key),
#include "pipeline/build_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t build_learning_fields[] = {
#define BUILD_LEARNING(key, ...) TEXT_FIELD(build_learning_text, key),
#include "pipeline/build_keys.tbl"
    LIST_FIELD(build_learning_text, seeds, &text_entry, SEEDS_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t build_thresholds_fields[] = {
#define BUILD_THRESHOLDS(key, ...) TEXT_FIELD(build_thresholds_text, key),
#include "pipeline/build_keys.tbl"
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t build_features_fields[] = {
    LIST_FIELD(build_features_text, include, &text_entry, FEATURE_COUNT),
    LIST_FIELD(build_features_text, exclude, &text_entry, FEATURE_COUNT),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t observation_fields[] = {
    TEXT_FIELD(observation_text, kind),
    TEXT_FIELD(observation_text, file),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t observation_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct observation_text, observation_fields)};

static const cyaml_schema_field_t scene_type_fields[] = {
    TEXT_FIELD(scene_type_text, scene),
    TEXT_FIELD(scene_type_text, risk_type),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t scene_type_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct scene_type_text, scene_type_fields)};

#define BUILD_GROUP(key) CYAML_FIELD_MAPPING(#key, CYAML_FLAG_OPTIONAL, struct build_text, key, build_##key##_fields)
static const cyaml_schema_field_t build_fields[] = {
#define BUILD_TOP(key, ...) TEXT_FIELD(build_text, key),
#include "pipeline/build_keys.tbl"
    BUILD_GROUP(rows),
    BUILD_GROUP(learning),
    BUILD_GROUP(thresholds),
    BUILD_GROUP(features),
    LIST_FIELD(build_text, observations, &observation_entry, PAST_OBSERVATIONS_MAX),
    LIST_FIELD(build_text, risk_types, &scene_type_entry, SCENES_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t build_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct build_text, build_fields)};

/* --- a profile ------------------------------------------------------------------------------------------------------- */

static const cyaml_schema_field_t profile_column_fields[] = {
#define PROFILE_COLUMN(key, ...) TEXT_FIELD(profile_column_plan, key),
#include "pipeline/profile_keys.tbl"
    LIST_FIELD(profile_column_plan, one_of, &text_entry, PROFILE_VALUES_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_column_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct profile_column_plan, profile_column_fields)};

static const cyaml_schema_field_t profile_value_fields[] = {
    TEXT_FIELD(profile_entry_plan, key),
    TEXT_FIELD(profile_entry_plan, value),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_value_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct profile_entry_plan, profile_value_fields)};

static const cyaml_schema_field_t profile_table_fields[] = {
#define PROFILE_TABLE(key, ...) TEXT_FIELD(profile_table_plan, key),
#include "pipeline/profile_keys.tbl"
    LIST_FIELD(profile_table_plan, entries, &profile_value_entry, PROFILE_VALUES_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_table_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct profile_table_plan, profile_table_fields)};

static const cyaml_schema_field_t profile_answer_fields[] = {
#define PROFILE_ANSWER(key, ...) TEXT_FIELD(profile_answer_plan, key),
#include "pipeline/profile_keys.tbl"
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_answer_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct profile_answer_plan, profile_answer_fields)};

static const cyaml_schema_field_t profile_ask_fields[] = {
#define PROFILE_ASK(key, ...) TEXT_FIELD(profile_ask_plan, key),
#include "pipeline/profile_keys.tbl"
    LIST_FIELD(profile_ask_plan, fields, &profile_answer_entry, PROFILE_ANSWERS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_ask_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct profile_ask_plan, profile_ask_fields)};

static const cyaml_schema_field_t profile_fields[] = {
#define PROFILE_TOP(key, ...) TEXT_FIELD(profile_plan, key),
#include "pipeline/profile_keys.tbl"
    LIST_FIELD(profile_plan, require, &text_entry, PROFILE_REQUIRE_MAX),
    LIST_FIELD(profile_plan, columns, &profile_column_entry, PROFILE_COLUMNS_MAX),
    LIST_FIELD(profile_plan, tables, &profile_table_entry, PROFILE_TABLES_MAX),
    LIST_FIELD(profile_plan, associated, &profile_ask_entry, PROFILE_ASKS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct profile_plan, profile_fields)};

/* --- what is wrong -------------------------------------------------------------------------------------------------- */

/* What libcyaml told: its first error line, and the steps of the way from the innermost out. */
enum { STEPS_MAX = 12, STEP_BYTES = 80 };
struct complaint {
    const cyaml_schema_value_t *top;
    char text[200];
    char steps[STEPS_MAX][STEP_BYTES];
    unsigned step_count;
};

static void complaint_take(cyaml_log_t level, void *context, const char *format, va_list arguments)
{
    struct complaint *complaint = context;
    char line[200];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    const char *field = strstr(line, "in mapping field '"), *entry = strstr(line, "in sequence entry '");
    const char *quoted = field || entry ? strchr(line, '\'') + 1 : NULL;
    if (quoted && complaint->step_count < STEPS_MAX) {
        int bytes = (int)strcspn(quoted, "'");
        snprintf(complaint->steps[complaint->step_count++], STEP_BYTES, entry ? "[%.*s" : ".%.*s", bytes, quoted);
    } else if (complaint->text[0] == '\0' && strncmp(line, "Load: ", 6) == 0 && !strstr(line, "Backtrace")) {
        snprintf(complaint->text, sizeof complaint->text, "%s", line + 6);
    }
}

/* "tenants[2].rights"; libcyaml counts entries from 1. */
static void complaint_path(char *out, size_t out_bytes, const struct complaint *complaint)
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = complaint->step_count; i-- > 0 && used < out_bytes;) {
        const char *step = complaint->steps[i];
        unsigned entry = 0;
        if (sscanf(step, "[%u", &entry) == 1)
            used += (size_t)snprintf(out + used, out_bytes - used, "[%u]", entry ? entry - 1 : 0);
        else
            used += (size_t)snprintf(out + used, out_bytes - used, "%s", step + (used == 0));
    }
}

/* The fields of the mapping at a path. */
static const cyaml_schema_field_t *fields_at(const struct complaint *complaint)
{
    const cyaml_schema_value_t *value = complaint->top;
    for (unsigned i = complaint->step_count; i-- > 0 && value;) {
        const char *step = complaint->steps[i];
        if (step[0] == '[') {
            value = value->type == CYAML_SEQUENCE ? value->sequence.entry : NULL;
            continue;
        }
        const cyaml_schema_field_t *field = value->type == CYAML_MAPPING ? value->mapping.fields : NULL;
        while (field && field->key && strcmp(field->key, step + 1) != 0)
            field++;
        value = field && field->key ? &field->value : NULL;
    }
    return value && value->type == CYAML_MAPPING ? value->mapping.fields : NULL;
}

static void keys_list(char *out, size_t out_bytes, const cyaml_schema_field_t *fields)
{
    size_t used = 0;
    out[0] = '\0';
    for (; fields && fields->key && used < out_bytes; fields++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? ", " : "", fields->key);
}

static unsigned letters_apart(const char *a, const char *b)
{
    unsigned row[32], width = (unsigned)strlen(b);
    if (width >= 32)
        return width;
    for (unsigned j = 0; j <= width; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0]++;
        for (unsigned j = 1; j <= width; j++) {
            unsigned changed = diagonal + (a[i - 1] != b[j - 1]), least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = changed < least ? changed : least;
        }
    }
    return row[width];
}

/* The key that was probably meant; NULL: none is near. */
static const char *nearest_key(const cyaml_schema_field_t *fields, const char *name)
{
    const char *nearest = NULL;
    unsigned least = strlen(name) < 6 ? 2 : 3;
    for (; fields && fields->key; fields++) {
        unsigned apart = letters_apart(name, fields->key);
        if (apart < least)
            least = apart, nearest = fields->key;
    }
    return nearest;
}

static enum fault unknown_key(const char *name, const char *path, const struct complaint *complaint, const char *source,
                              const struct config_yaml *yaml, struct fault_note *note)
{
    char keys[128];
    const cyaml_schema_field_t *fields = fields_at(complaint);
    const char *nearest = nearest_key(fields, name);
    unsigned line = config_yaml_line(yaml, path, name);
    keys_list(keys, sizeof keys, fields);
    return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%s:%u: unknown key '%.40s'%s%s; expected %s%s", config_source_tail(source),
                     line, name, *path ? " in " : "", path, nearest ? nearest : "one of: ", nearest ? "" : keys);
}

/* libcyaml's words for what it wanted and what it got. */
static const char *wanted_text(const char *text)
{
    if (strstr(text, "already seen"))
        return "the key is given twice";
    if (strstr(text, "Expecting SEQUENCE"))
        return "expected a list";
    if (strstr(text, "Expecting MAPPING"))
        return "expected keys and values";
    if (strstr(text, "Expecting STRING"))
        return "expected one value";
    return text;
}

static enum fault complaint_tell(const struct complaint *complaint, cyaml_err_t error, const char *source, const struct config_yaml *yaml,
                                 struct fault_note *note)
{
    static const char unknown[] = "Unexpected key: ";
    char path[160];
    if (error == CYAML_ERR_OOM)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %s", config_source_tail(source));
    complaint_path(path, sizeof path, complaint);
    if (strncmp(complaint->text, unknown, sizeof unknown - 1) == 0)
        return unknown_key(complaint->text + sizeof unknown - 1, path, complaint, source, yaml, note);
    return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%s:%u: %s: %s", config_source_tail(source),
                     config_yaml_line(yaml, path, NULL), path, wanted_text(complaint->text));
}

static void *cyaml_memory(void *context, void *block, size_t bytes)
{
    (void)context;
    if (bytes > 0)
        return memory_resize(block, bytes);
    memory_give(block);
    return NULL;
}

static const cyaml_config_t cyaml_quiet = {.mem_fn = cyaml_memory, .log_level = CYAML_LOG_ERROR, .flags = CYAML_CFG_NO_ALIAS};

static enum fault text_open(void **out, const cyaml_schema_value_t *top, const char *text, uint32_t bytes, const char *source,
                            const struct config_yaml *yaml, struct fault_note *note)
{
    struct complaint complaint = {.top = top};
    cyaml_config_t cyaml = cyaml_quiet;
    cyaml.log_fn = complaint_take;
    cyaml.log_ctx = &complaint;
    *out = NULL;
    cyaml_err_t error = cyaml_load_data((const uint8_t *)text, bytes, &cyaml, top, out, NULL);
    return error == CYAML_OK ? FAULT_NONE : complaint_tell(&complaint, error, source, yaml, note);
}

enum fault config_text_open(struct config_text **out, const char *text, uint32_t bytes, const char *source, const struct config_yaml *yaml,
                            struct fault_note *note)
{
    return text_open((void **)out, &top_value, text, bytes, source, yaml, note);
}

void config_text_close(struct config_text **text_p)
{
    if (*text_p)
        cyaml_free(&cyaml_quiet, &top_value, *text_p, 0);
    *text_p = NULL;
}

enum fault build_text_open(struct build_text **out, const char *text, uint32_t bytes, const char *source, const struct config_yaml *yaml,
                           struct fault_note *note)
{
    return text_open((void **)out, &build_value, text, bytes, source, yaml, note);
}

void build_text_close(struct build_text **text_p)
{
    if (*text_p)
        cyaml_free(&cyaml_quiet, &build_value, *text_p, 0);
    *text_p = NULL;
}

enum fault profile_text_open(struct profile_plan **out, const char *text, uint32_t bytes, const char *source,
                             const struct config_yaml *yaml, struct fault_note *note)
{
    return text_open((void **)out, &profile_value, text, bytes, source, yaml, note);
}

void profile_text_close(struct profile_plan **text_p)
{
    if (*text_p)
        cyaml_free(&cyaml_quiet, &profile_value, *text_p, 0);
    *text_p = NULL;
}
