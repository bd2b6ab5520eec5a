/* Every key has its default in config_keys.tbl, read by the same code as what the file says. */
#include "pipeline/config_rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "compute/device.h"
#include "pipeline/config_value.h"
#include "pipeline/config_yaml.h"

enum form {
    AS_TEXT,
    AS_PATH,
    AS_HTTP,
    AS_DEVICE,
    AS_COUNT,
    AS_SIZE,
    AS_MS,
    AS_S,
    AS_US,
    AS_REAL,
    AS_BOOL,
    AS_LEVEL,
    AS_VERDICT,
    AS_MODE,
    AS_LANGUAGE,
    AS_FALLBACK,
    AS_RELEASE,
    AS_KIND
};

struct key_rule {
    const char *key, *initial;
    enum form form;
    size_t from, to, to_bytes; /* offsets in the text and in the target; size of the place */
    double least, most;
};

#define RULE(text, target, key, form, member, least, most, initial) \
    {#key,  initial, AS_##form, offsetof(struct text, key), offsetof(struct target, member), sizeof(((struct target *)0)->member), \
     least, most},

static const struct key_rule top_rules[] = {
#define TOP(key, form, member, least, most, initial, meaning) RULE(config_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule listen_rules[] = {
#define LISTEN(key, form, member, least, most, initial, meaning) RULE(listen_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule limit_rules[] = {
#define LIMIT(key, form, member, least, most, initial, meaning) RULE(limits_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule history_rules[] = {
#define HISTORY(key, form, member, least, most, initial, meaning) RULE(history_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule level_rules[] = {
#define LEVEL(key, form, member, least, most, initial, meaning) RULE(levels_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule drift_rules[] = {
#define DRIFT(key, form, member, least, most, initial, meaning) RULE(drift_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule connect_rules[] = {
#define CONNECT(key, form, member, least, most, initial, meaning) RULE(connect_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule tenant_rules[] = {
#define TENANT(key, form, member, least, most, initial, meaning) RULE(tenant_text, config_tenant, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule alarm_rules[] = {
#define ALARMS(key, form, member, least, most, initial, meaning) RULE(alarms_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule sign_on_rules[] = {
#define SIGN_ON(key, form, member, least, most, initial, meaning) RULE(sign_on_text, config, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule connector_rules[] = {
#define CONNECTOR(key, form, member, least, most, initial, meaning) \
    RULE(connector_text, config_connector, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
static const struct key_rule associated_rules[] = {
#define ASSOCIATED(key, form, member, least, most, initial, meaning) \
    RULE(associated_text, config_associated, key, form, member, least, most, initial)
#include "pipeline/config_keys.tbl"
};
#define COUNT_OF(rules) (sizeof(rules) / sizeof((rules)[0]))

enum fault config_wrong(const struct reading *reading, const char *path, const char *format, ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return fault_set(reading->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%s:%u: %s: %s", config_source_tail(reading->source),
                     config_yaml_line(reading->yaml, path, NULL), path, text);
}

bool config_path(char *out, size_t out_bytes, const struct reading *reading, const char *path)
{
    const char *folder = path[0] == '/' || path[0] == '\0' ? "" : reading->folder;
    return (size_t)snprintf(out, out_bytes, "%s%s", folder, path) < out_bytes;
}

enum fault config_name(char *out, size_t out_bytes, const struct reading *reading, const char *path, const char *value)
{
    size_t bytes = strlen(value);
    if (bytes == 0 || bytes >= out_bytes)
        return config_wrong(reading, path, "expected 1 to %zu bytes, has %zu", out_bytes - 1, bytes);
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return config_wrong(reading, path, "expected printable text");
    if (value[0] == ' ' || value[bytes - 1] == ' ')
        return config_wrong(reading, path, "expected no blanks at its ends");
    memcpy(out, value, bytes + 1);
    return FAULT_NONE;
}

static enum fault path_store(void *to, const struct key_rule *rule, const struct reading *reading, const char *path, const char *value)
{
    if (strlen(value) < rule->least)
        return config_wrong(reading, path, "expected a path, none is given");
    if (!config_path(to, rule->to_bytes, reading, value))
        return config_wrong(reading, path, "the path is longer than %zu bytes", rule->to_bytes - 1);
    return FAULT_NONE;
}

/* "off", "9180", "127.0.0.1:9180", "[::1]:9180". */
static enum fault http_store(void *to, const struct key_rule *rule, const struct reading *reading, const char *path, const char *value)
{
    char *place = to;
    const char *colon = strrchr(value, ':'), *port_text = colon ? colon + 1 : value;
    int64_t port;
    place[0] = '\0';
    if (value[0] == '\0' || strcmp(value, "off") == 0)
        return FAULT_NONE;
    if (!value_integer(&port, port_text) || port < 1 || port > 65535 || colon == value)
        return config_wrong(reading, path, "expected ADDRESS:PORT, PORT or off, is '%.40s'", value);
    int used = colon ? snprintf(place, rule->to_bytes, "%s", value) : snprintf(place, rule->to_bytes, "127.0.0.1:%s", value);
    return (size_t)used < rule->to_bytes ? FAULT_NONE : config_wrong(reading, path, "longer than %zu bytes", rule->to_bytes - 1);
}

static enum fault device_store(void *to, const struct key_rule *rule, const struct reading *reading, const char *path, const char *value)
{
    if (strlen(value) >= rule->to_bytes || !device_find(value))
        return config_wrong(reading, path, "expected cpu, ref, blas, opencl or auto, is '%.40s'", value);
    memcpy(to, value, strlen(value) + 1);
    return FAULT_NONE;
}

static enum fault level_store(void *to, const struct reading *reading, const char *path, const char *value)
{
    enum level *place = to;
    int level = value_choice(value, level_names_of_risk, LEVEL_COUNT);
    if (level < 0)
        return config_wrong(reading, path, "expected none, low, medium, high or critical, is '%.40s'", value);
    *place = (enum level)level;
    return FAULT_NONE;
}

static enum fault release_store(void *to, const struct reading *reading, const char *path, const char *value)
{
    static const char *const names[] = {[RELEASE_SETTLED] = "settled", [RELEASE_AT_ONCE] = "at_once", [RELEASE_PARTIAL] = "partial"};
    enum release_policy *place = to;
    int policy = value_choice(value, names, sizeof names / sizeof *names);
    if (policy < 0)
        return config_wrong(reading, path, "expected settled, at_once or partial, is '%.40s'", value);
    *place = (enum release_policy)policy;
    return FAULT_NONE;
}

static enum fault kind_store(void *to, const struct reading *reading, const char *path, const char *value)
{
    enum connector_kind *place = to;
    int kind = value_choice(value, connector_kind_names, CONNECTOR_KINDS);
    if (kind < 0)
        return config_wrong(reading, path, "expected mail, sms, webhook, oa or permission, is '%.40s'", value);
    *place = (enum connector_kind)kind;
    return FAULT_NONE;
}

static enum fault verdict_store(void *to, const struct reading *reading, const char *path, const char *value)
{
    int verdict = value_choice(value, verdict_names, VERDICT_INVALID);
    if (verdict < 0)
        return config_wrong(reading, path, "expected pass, hold or reject, is '%.40s'", value);
    *(uint8_t *)to = (uint8_t)(verdict + 1);
    return FAULT_NONE;
}

static enum fault language_store(void *to, const struct reading *reading, const char *path, const char *value)
{
    int language = value_choice(value, language_names, LANGUAGE_COUNT);
    if (language < 0)
        return config_wrong(reading, path, "expected en or zh, is '%.40s'", value);
    *(enum language *)to = (enum language)language;
    return FAULT_NONE;
}

static enum fault mode_store(void *to, const struct reading *reading, const char *path, const char *value)
{
    static const char *const names[] = {"enforce", "monitor"};
    int mode = value_choice(value, names, 2);
    if (mode < 0)
        return config_wrong(reading, path, "expected enforce or monitor, is '%.40s'", value);
    *(bool *)to = mode == 1;
    return FAULT_NONE;
}

static enum fault fallback_store(void *to, const struct reading *reading, const char *path, const char *value)
{
    static const char *const names[BRAKE_COUNT] = {"alarm", "monitor", "refuse"};
    int fallback = value_choice(value, names, BRAKE_COUNT);
    if (fallback < 0)
        return config_wrong(reading, path, "expected alarm, monitor or refuse, is '%.40s'", value);
    *(enum brake_fallback *)to = (enum brake_fallback)fallback;
    return FAULT_NONE;
}

static enum fault bool_store(void *to, const struct reading *reading, const char *path, const char *value)
{
    return value_bool(to, value) ? FAULT_NONE : config_wrong(reading, path, "expected true or false, is '%.40s'", value);
}

static void number_store(void *to, size_t to_bytes, int64_t number)
{
    uint32_t narrow = (uint32_t)number;
    MUST(to_bytes == sizeof number || to_bytes == sizeof narrow);
    memcpy(to, to_bytes == sizeof number ? (void *)&number : (void *)&narrow, to_bytes);
}

static bool whole_read(int64_t *out, enum form form, const char *value)
{
    uint64_t bytes = 0;
    int64_t us = 0, unit_us = form == AS_MS ? 1000 : form == AS_S ? 1000000 : 1;
    if (form == AS_COUNT)
        return value_integer(out, value);
    bool read = form == AS_SIZE ? value_bytes(&bytes, value) : value_duration_us(&us, value);
    *out = form == AS_SIZE ? (int64_t)bytes : us / unit_us;
    return read && us % unit_us == 0;
}

static enum fault whole_store(void *to, const struct key_rule *rule, const struct reading *reading, const char *path, const char *value)
{
    static const char *const wanted[] = {[AS_COUNT] = "a whole number",
                                         [AS_SIZE] = "a size such as 64KiB or 4GiB",
                                         [AS_MS] = "a time such as 500ms or 2s",
                                         [AS_S] = "a time such as 30s or 10m",
                                         [AS_US] = "a time such as 12h or 7d"};
    static const char *const units[] = {[AS_COUNT] = "", [AS_SIZE] = " bytes", [AS_MS] = " ms", [AS_S] = " s", [AS_US] = " us"};
    int64_t number;
    if (!whole_read(&number, rule->form, value))
        return config_wrong(reading, path, "expected %s, is '%.40s'", wanted[rule->form], value);
    if ((double)number < rule->least || (double)number > rule->most)
        return config_wrong(reading, path, "expected %.0f to %.0f%s, is '%.40s'", rule->least, rule->most, units[rule->form], value);
    number_store(to, rule->to_bytes, number);
    return FAULT_NONE;
}

static enum fault real_store(void *to, const struct key_rule *rule, const struct reading *reading, const char *path, const char *value)
{
    double number;
    if (!value_real(&number, value) || number < rule->least || number > rule->most)
        return config_wrong(reading, path, "expected a number from %g to %g, is '%.40s'", rule->least, rule->most, value);
    float narrow = (float)number;
    MUST(rule->to_bytes == sizeof narrow);
    memcpy(to, &narrow, sizeof narrow);
    return FAULT_NONE;
}

static enum fault key_store(void *to, const struct key_rule *rule, const struct reading *reading, const char *path, const char *value)
{
    switch (rule->form) {
    case AS_TEXT:
        return config_name(to, rule->to_bytes, reading, path, value);
    case AS_PATH:
        return path_store(to, rule, reading, path, value);
    case AS_HTTP:
        return http_store(to, rule, reading, path, value);
    case AS_DEVICE:
        return device_store(to, rule, reading, path, value);
    case AS_REAL:
        return real_store(to, rule, reading, path, value);
    case AS_VERDICT:
        return verdict_store(to, reading, path, value);
    case AS_LANGUAGE:
        return language_store(to, reading, path, value);
    case AS_MODE:
        return mode_store(to, reading, path, value);
    case AS_FALLBACK:
        return fallback_store(to, reading, path, value);
    case AS_BOOL:
        return bool_store(to, reading, path, value);
    case AS_LEVEL:
        return level_store(to, reading, path, value);
    case AS_RELEASE:
        return release_store(to, reading, path, value);
    case AS_KIND:
        return kind_store(to, reading, path, value);
    default:
        return whole_store(to, rule, reading, path, value);
    }
}

/* What the file leaves out gets its default; an empty default leaves the place as it is, unless the key is needed. */
static enum fault rules_read(void *target, const void *texts, const struct key_rule *rules, size_t count, const char *prefix,
                             const struct reading *reading)
{
    enum fault fault = FAULT_NONE;
    for (size_t i = 0; i < count && fault == FAULT_NONE; i++) {
        const struct key_rule *rule = &rules[i];
        char path[80];
        const char *value;
        memcpy(&value, (const char *)texts + rule->from, sizeof value);
        snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", rule->key);
        if (!value && rule->initial[0] == '\0' && (rule->form <= AS_PATH || rule->form == AS_KIND) && rule->least > 0)
            fault = config_wrong(reading, *prefix ? prefix : rule->key, "'%s' is needed and not there", rule->key);
        else if (value || rule->initial[0] != '\0')
            fault = key_store((char *)target + rule->to, rule, reading, path, value ? value : rule->initial);
    }
    return fault;
}

enum fault config_read_top(const struct reading *reading, const struct config_text *text)
{
    struct config *config = reading->config;
    enum fault fault = rules_read(config, text, top_rules, COUNT_OF(top_rules), "", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(config, &text->listen, listen_rules, COUNT_OF(listen_rules), "listen", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(config, &text->limits, limit_rules, COUNT_OF(limit_rules), "limits", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(config, &text->history, history_rules, COUNT_OF(history_rules), "history", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(config, &text->levels, level_rules, COUNT_OF(level_rules), "levels", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(config, &text->drift, drift_rules, COUNT_OF(drift_rules), "drift", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(config, &text->connect, connect_rules, COUNT_OF(connect_rules), "connect", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(config, &text->alarms, alarm_rules, COUNT_OF(alarm_rules), "alarms", reading);
    if (fault == FAULT_NONE)
        fault = rules_read(config, &text->sign_on, sign_on_rules, COUNT_OF(sign_on_rules), "sign_on", reading);
    return fault;
}

enum fault config_read_tenant(struct config_tenant *out, const struct reading *reading, const char *path, const struct tenant_text *text)
{
    return rules_read(out, text, tenant_rules, COUNT_OF(tenant_rules), path, reading);
}

enum fault config_read_connector(struct config_connector *out, const struct reading *reading, const char *path,
                                 const struct connector_text *text)
{
    return rules_read(out, text, connector_rules, COUNT_OF(connector_rules), path, reading);
}

enum fault config_read_system(struct config_associated *out, const struct reading *reading, const char *path,
                              const struct associated_text *text)
{
    return rules_read(out, text, associated_rules, COUNT_OF(associated_rules), path, reading);
}
