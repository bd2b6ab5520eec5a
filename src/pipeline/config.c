/* A configuration is whole and right when open returns it, or there is none and the note says which line is wrong. */
#include "pipeline/config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "kernels.h"
#include "pipeline/config_credentials.h"
#include "pipeline/config_profile.h"
#include "pipeline/config_rules.h"
#include "pipeline/config_strategy.h"
#include "pipeline/config_tenant_rules.h"
#include "pipeline/config_text.h"
#include "pipeline/config_value.h"
#include "pipeline/config_yaml.h"

enum { PREFIX_BYTES = 24, PATH_BYTES = 80, IPC_PATH_MAX = 107 /* of a Unix socket's address */ };

static enum fault listen_ipc(char *out, const struct reading *reading, const char *path, const char *name)
{
    char place[IPC_PATH_MAX + 1];
    if (*name == '\0' || !config_path(place, sizeof place, reading, name))
        return config_wrong(reading, path, "expected ipc://PATH with a path of 1 to %d bytes", IPC_PATH_MAX);
    snprintf(out, sizeof(reading->config->data_listen[0]), "ipc://%s", place);
    return FAULT_NONE;
}

static bool port_is_there(const char *address)
{
    const char *colon = strrchr(address, ':');
    int64_t port;
    return colon && colon != address && value_integer(&port, colon + 1) && port >= 1 && port <= 65535;
}

static enum fault listen_url(char *out, const struct reading *reading, const char *path, const char *url)
{
    const struct config *config = reading->config;
    bool is_tls = strncmp(url, "tls+tcp://", 10) == 0;
    const char *address = is_tls ? url + 10 : url + 6;
    if (strncmp(url, "ipc://", 6) == 0)
        return listen_ipc(out, reading, path, url + 6);
    if (!is_tls && strncmp(url, "tcp://", 6) != 0)
        return config_wrong(reading, path, "expected ipc://, tcp:// or tls+tcp://, is '%.40s'", url);
    if (!port_is_there(address) || strlen(url) >= sizeof config->data_listen[0])
        return config_wrong(reading, path, "expected ADDRESS:PORT behind the scheme, is '%.40s'", url);
    if (is_tls && (!config->tls_certificate[0] || !config->tls_key[0]))
        return config_wrong(reading, path, "tls+tcp needs listen.tls_certificate and listen.tls_key");
    snprintf(out, sizeof config->data_listen[0], "%s", url);
    return FAULT_NONE;
}

static enum fault listen_list(char (*out)[256], uint32_t *out_count, const struct reading *reading, const char *name, char *const *urls,
                              uint32_t count)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < count && fault == FAULT_NONE; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "listen.%s[%u]", name, i);
        fault = listen_url(out[i], reading, path, urls[i]);
    }
    *out_count = count;
    return fault;
}

static enum fault listen_read(const struct reading *reading, const struct listen_text *text)
{
    struct config *config = reading->config;
    if (text->data_count == 0)
        return config_wrong(reading, "listen.data", "expected at least one address, such as tcp://127.0.0.1:9170");
    if ((config->http_ops || config->http_tls) && !config->http_listen[0])
        return config_wrong(reading, config->http_ops ? "listen.http_ops" : "listen.http_tls", "listen.http is off");
    if (config->http_tls && (!config->tls_certificate[0] || !config->tls_key[0]))
        return config_wrong(reading, "listen.http_tls", "needs listen.tls_certificate and listen.tls_key");
    enum fault fault = listen_list(config->data_listen, &config->data_listen_count, reading, "data", text->data, text->data_count);
    if (fault == FAULT_NONE)
        fault = listen_list(config->admin_listen, &config->admin_listen_count, reading, "admin", text->admin, text->admin_count);
    return fault;
}

static enum fault cpu_mask_read(const struct reading *reading, const struct config_text *text)
{
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = {{"all", CPU_MASK_ALL}, {"none", 0}, {"avx2", CPU_AVX2}, {"avx512", CPU_AVX512}, {"neon", CPU_NEON}};
    enum { NAME_COUNT = sizeof names / sizeof names[0] };
    reading->config->cpu_mask = text->cpu_mask_count ? 0 : CPU_MASK_ALL;
    for (uint32_t i = 0; i < text->cpu_mask_count; i++) {
        char path[PATH_BYTES];
        size_t known = 0;
        while (known < NAME_COUNT && strcmp(text->cpu_mask[i], names[known].name) != 0)
            known++;
        snprintf(path, sizeof path, "cpu_mask[%u]", i);
        if (known == NAME_COUNT)
            return config_wrong(reading, path, "expected all, none, avx2, avx512 or neon, is '%.40s'", text->cpu_mask[i]);
        reading->config->cpu_mask |= names[known].bits;
    }
    return FAULT_NONE;
}

/* "NAME:HEX", as `sluice base keygen` prints it. */
static enum fault base_key_read(const struct reading *reading, uint32_t index, const char *text)
{
    struct config_base_key *key = &reading->config->base_keys[index];
    char path[PATH_BYTES], name[sizeof key->name] = "";
    const char *colon = strchr(text, ':');
    snprintf(path, sizeof path, "base_keys[%u]", index);
    if (!colon || (size_t)(colon - text) >= sizeof name || !secret_from_hex(key->key, sizeof key->key, colon + 1))
        return config_wrong(reading, path, "expected NAME:KEY with a public key of 64 hex digits, as sluice base keygen prints it");
    memcpy(name, text, (size_t)(colon - text));
    enum fault fault = config_name(key->name, sizeof key->name, reading, path, name);
    for (uint32_t i = 0; i < index && fault == FAULT_NONE; i++)
        if (strcmp(reading->config->base_keys[i].name, key->name) == 0)
            return config_wrong(reading, path, "the name '%.32s' is given twice", key->name);
    return fault;
}

static enum fault base_keys_read(const struct reading *reading, const struct config_text *text)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < text->base_keys_count && fault == FAULT_NONE; i++)
        fault = base_key_read(reading, i, text->base_keys[i]);
    reading->config->base_key_count = text->base_keys_count;
    if (fault == FAULT_NONE && reading->config->base_signed && text->base_keys_count == 0)
        fault = config_wrong(reading, "base_signed", "expected base_keys: without one no base could be signed");
    return fault;
}

static enum fault connect_read(const struct reading *reading, const struct connect_text *text)
{
    struct config *config = reading->config;
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < text->hosts_count && fault == FAULT_NONE; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "connect.hosts[%u]", i);
        fault = config_name(config->connect_hosts[i], sizeof config->connect_hosts[i], reading, path, text->hosts[i]);
    }
    config->connect_host_count = text->hosts_count;
    if (fault == FAULT_NONE && config->connect.retry_first_ms > config->connect.retry_most_ms)
        fault = config_wrong(reading, "connect.retry_first", "expected at most connect.retry_most");
    return fault;
}

static enum fault currency_read(char out[4], const struct reading *reading, const char *path, const char *value)
{
    bool fits = value && strlen(value) == 3 && isupper((unsigned char)value[0]) && isupper((unsigned char)value[1]) &&
                isupper((unsigned char)value[2]);
    if (!fits)
        return config_wrong(reading, path, "expected a currency of three capital letters, is '%.40s'", value ? value : "");
    memcpy(out, value, 4);
    return FAULT_NONE;
}

static enum fault rate_read(const struct reading *reading, uint32_t index, const struct rate_text *text)
{
    struct config_rate *rate = &reading->config->rates[index];
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "currencies.rates[%u].currency", index);
    enum fault fault = currency_read(rate->currency, reading, path, text->currency);
    if (fault != FAULT_NONE)
        return fault;
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(reading->config->rates[i].currency, rate->currency) == 0)
            return config_wrong(reading, path, "%s is given twice", rate->currency);
    snprintf(path, sizeof path, "currencies.rates[%u].per_reference", index);
    double most = 1e9, least = 1e-9;
    if (!text->per_reference || !value_real(&rate->per_reference, text->per_reference) || rate->per_reference < least ||
        rate->per_reference > most)
        return config_wrong(reading, path, "expected how many %s one unit of the reference currency is, 1e-9 to 1e9", rate->currency);
    return FAULT_NONE;
}

static enum fault currencies_read(const struct reading *reading, const struct currencies_text *text)
{
    struct config *config = reading->config;
    enum fault fault =
        currency_read(config->reference_currency, reading, "currencies.reference", text->reference ? text->reference : "EUR");
    for (uint32_t i = 0; i < text->rates_count && fault == FAULT_NONE; i++)
        fault = rate_read(reading, i, &text->rates[i]);
    config->rate_count = text->rates_count;
    return fault;
}

static enum fault levels_check(const struct reading *reading)
{
    const struct level_rules *levels = &reading->config->levels;
    return levels->low <= levels->medium ? FAULT_NONE : config_wrong(reading, "levels.low", "expected at most levels.medium");
}

static enum fault drift_check(const struct reading *reading)
{
    const struct drift_limits *limits = &reading->config->drift.limits;
    return limits->warn <= limits->alarm ? FAULT_NONE : config_wrong(reading, "drift.warn", "expected at most drift.alarm");
}

static enum fault tenant_read(const struct reading *reading, uint32_t index, const struct tenant_text *text)
{
    struct config_tenant *tenant = &reading->config->tenants[index];
    char path[PREFIX_BYTES];
    snprintf(path, sizeof path, "tenants[%u]", index);
    tenant->anomaly_cap = reading->config->levels.anomaly_cap;
    enum fault fault = config_read_tenant(tenant, reading, path, text);
    if (fault == FAULT_NONE)
        fault = config_read_credentials(tenant, reading, path, text);
    if (fault == FAULT_NONE)
        fault = config_read_profiles(tenant, reading, path, text);
    if (fault == FAULT_NONE)
        fault = config_read_tenant_rules(tenant, reading, path, text);
    if (fault == FAULT_NONE && tenant->namespace_name[0] == '\0')
        memcpy(tenant->namespace_name, tenant->name, sizeof tenant->name);
    for (uint32_t i = 0; i < index && fault == FAULT_NONE; i++)
        if (strcmp(reading->config->tenants[i].name, tenant->name) == 0)
            fault = config_wrong(reading, path, "the name '%.40s' is given twice", tenant->name);
    return fault;
}

static enum fault tenants_read(const struct reading *reading, const struct config_text *text)
{
    enum fault fault = FAULT_NONE;
    if (text->tenants_count == 0)
        return config_wrong(reading, "tenants", "expected at least one tenant");
    for (uint32_t i = 0; i < text->tenants_count && fault == FAULT_NONE; i++)
        fault = tenant_read(reading, i, &text->tenants[i]);
    reading->config->tenant_count = text->tenants_count;
    return fault;
}

static enum fault parts_read(const struct reading *reading, const struct config_text *text)
{
    enum fault fault = config_read_top(reading, text);
    if (fault == FAULT_NONE)
        fault = levels_check(reading);
    if (fault == FAULT_NONE)
        fault = drift_check(reading);
    if (fault == FAULT_NONE)
        fault = listen_read(reading, &text->listen);
    if (fault == FAULT_NONE)
        fault = cpu_mask_read(reading, text);
    if (fault == FAULT_NONE)
        fault = base_keys_read(reading, text);
    if (fault == FAULT_NONE)
        fault = connect_read(reading, &text->connect);
    if (fault == FAULT_NONE)
        fault = config_read_connectors(reading, text);
    if (fault == FAULT_NONE)
        fault = config_read_associated(reading, text);
    if (fault == FAULT_NONE)
        fault = currencies_read(reading, &text->currencies);
    if (fault == FAULT_NONE)
        fault = config_read_strategy(reading, text);
    if (fault == FAULT_NONE)
        fault = tenants_read(reading, text);
    if (fault == FAULT_NONE)
        fault = config_read_sign_on(reading, text);
    if (fault == FAULT_NONE)
        fault = config_check_asks(reading);
    return fault == FAULT_NONE ? config_check_webhooks(reading) : fault;
}

static enum fault text_read(struct reading *reading, size_t bytes)
{
    const char *text = reading->config->text;
    struct config_text *parts = NULL;
    enum fault fault = config_yaml_open(&reading->yaml, reading->source, text, bytes, reading->note);
    if (fault == FAULT_NONE)
        fault = config_text_open(&parts, text, (uint32_t)bytes, reading->source, reading->yaml, reading->note);
    if (fault == FAULT_NONE)
        fault = parts_read(reading, parts);
    config_text_close(&parts);
    config_yaml_close(&reading->yaml);
    return fault;
}

static enum fault folder_set(struct reading *reading)
{
    const char *slash = strrchr(reading->source, '/');
    size_t bytes = slash ? (size_t)(slash - reading->source) + 1 : 0;
    if (bytes >= sizeof reading->folder)
        return fault_set(reading->note, FAULT_limit, ROW_NONE, COLUMN_NONE, "path too long: %.100s", reading->source);
    memcpy(reading->folder, reading->source, bytes);
    reading->folder[bytes] = '\0';
    return FAULT_NONE;
}

/* Takes over text. */
static enum fault config_make(struct config **out, const char *source, char *text, size_t bytes, bool is_recorded, struct fault_note *note)
{
    struct reading reading = {.source = source, .note = note, .is_recorded = is_recorded};
    struct config *config = memory_take_zeroed(1, sizeof *config);
    enum fault fault = folder_set(&reading);
    *out = NULL;
    if (!config) {
        memory_give(text);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %.100s", source);
    }
    reading.config = config;
    config->text = text;
    config->digest = hash128(0, text, bytes);
    config->source = memory_copy_text(source);
    if (fault == FAULT_NONE && !config->source)
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %.100s", source);
    if (fault == FAULT_NONE)
        fault = text_read(&reading, bytes);
    if (fault == FAULT_NONE)
        fault = config_tell_profiles(config, note);
    if (fault != FAULT_NONE)
        config_close(&config);
    *out = config;
    return fault;
}

enum fault config_open(struct config **out, const char *path, struct fault_note *note)
{
    char *text;
    size_t bytes;
    *out = NULL;
    enum fault fault = file_read_all(&text, &bytes, path, CONFIG_BYTES_MAX, note);
    return fault == FAULT_NONE ? config_make(out, path, text, bytes, false, note) : fault;
}

static enum fault text_open(struct config **out, const char *source, const char *text, size_t bytes, bool is_recorded,
                            struct fault_note *note)
{
    *out = NULL;
    if (bytes > (is_recorded ? CONFIG_RECORDED_MAX : CONFIG_BYTES_MAX))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%.80s is larger than %d bytes", source, CONFIG_BYTES_MAX);
    char *copy = memory_take(bytes + 1);
    if (!copy)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %.100s", source);
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return config_make(out, source, copy, bytes, is_recorded, note);
}

enum fault config_open_text(struct config **out, const char *source, const char *text, size_t bytes, struct fault_note *note)
{
    return text_open(out, source, text, bytes, false, note);
}

enum fault config_open_recorded(struct config **out, const char *text, size_t bytes, struct fault_note *note)
{
    return text_open(out, "sluice.yaml", text, bytes, true, note);
}

void config_close(struct config **config_p)
{
    struct config *config = *config_p;
    if (!config)
        return;
    config_close_parts(config);
    memory_give(config->source);
    memory_give(config->text);
    memory_give(config);
    *config_p = NULL;
}

struct level_rules config_levels(const struct config *config, uint32_t tenant_index)
{
    const struct config_tenant *tenant = &config->tenants[tenant_index];
    struct level_rules levels = config->levels;
    if (tenant->anomaly_cap < levels.anomaly_cap)
        levels.anomaly_cap = tenant->anomaly_cap;
    memcpy(levels.verdict_of, tenant->verdict_of, sizeof levels.verdict_of);
    levels.abnormal = tenant->abnormal;
    return levels;
}
