/* Where messages go: connectors, and who is told of alarms. */
#include <stdio.h>
#include <string.h>

#include "connect/connector.h"
#include "connect/letter.h"
#include "pipeline/config_rules.h"

enum { PATH_BYTES = 80, PREFIX_BYTES = 32 };

const char *const connector_kind_names[CONNECTOR_KINDS] = {[CONNECTOR_MAIL] = "mail",
                                                           [CONNECTOR_SMS] = "sms",
                                                           [CONNECTOR_WEBHOOK] = "webhook",
                                                           [CONNECTOR_OA] = "oa",
                                                           [CONNECTOR_PERMISSION] = "permission"};

static enum fault template_text(char *out, size_t out_bytes, const struct reading *reading, const char *path, const char *text, bool needed)
{
    const char *why = NULL;
    if (!text)
        return needed ? config_wrong(reading, path, "is needed and not there") : FAULT_NONE;
    if (strlen(text) >= out_bytes)
        return config_wrong(reading, path, "expected at most %zu bytes, has %zu", out_bytes - 1, strlen(text));
    if (!letter_template_is_good(text, &why))
        return config_wrong(reading, path, "%s", why);
    memcpy(out, text, strlen(text) + 1);
    return FAULT_NONE;
}

static enum fault template_read(struct config_connector *connector, const struct reading *reading, const char *prefix, uint32_t index,
                                const struct letter_template_text *text)
{
    struct config_letter *letter = &connector->templates[index];
    bool mail = connector->kind == CONNECTOR_MAIL;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.templates[%u].on", prefix, index);
    enum fault fault = config_name(letter->on, sizeof letter->on, reading, path, text->on ? text->on : "");
    for (uint32_t i = 0; i < index && fault == FAULT_NONE; i++)
        if (strcmp(connector->templates[i].on, letter->on) == 0)
            fault = config_wrong(reading, path, "the template for '%s' is given twice", letter->on);
    snprintf(path, sizeof path, "%s.templates[%u].subject", prefix, index);
    if (fault == FAULT_NONE && text->subject && !mail)
        fault = config_wrong(reading, path, "only mail has a subject");
    if (fault == FAULT_NONE)
        fault = template_text(letter->subject, sizeof letter->subject, reading, path, text->subject, mail);
    snprintf(path, sizeof path, "%s.templates[%u].body", prefix, index);
    return fault == FAULT_NONE ? template_text(letter->body, sizeof letter->body, reading, path, text->body, true) : fault;
}

static enum fault recipients_read(struct config_connector *connector, const struct reading *reading, const char *prefix,
                                  const struct connector_text *text)
{
    enum fault fault = FAULT_NONE;
    bool mail = connector->kind == CONNECTOR_MAIL;
    for (uint32_t i = 0; i < text->to_count && fault == FAULT_NONE; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s.to[%u]", prefix, i);
        fault = config_name(connector->to[i], sizeof connector->to[i], reading, path, text->to[i]);
        if (fault == FAULT_NONE && !(mail ? letter_is_address(connector->to[i]) : letter_is_number(connector->to[i])))
            fault = config_wrong(reading, path, "expected %s, is '%.60s'",
                                 mail ? "an address NAME@HOST" : "a number of 3 to 20 digits, a + before them allowed", connector->to[i]);
    }
    connector->to_count = text->to_count;
    return fault;
}

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static enum fault kind_check(const struct config_connector *connector, const struct reading *reading, const char *prefix)
{
    bool mail = connector->kind == CONNECTOR_MAIL, letters = mail || connector->kind == CONNECTOR_SMS;
    bool plain = reading->config->connect.plain;
    if (mail && !begins_with(connector->url, "smtp://") && !begins_with(connector->url, "smtps://"))
        return config_wrong(reading, prefix, "expected url: smtp://HOST:PORT or smtps://HOST:PORT");
    if (!mail && !begins_with(connector->url, "https://") && !(plain && begins_with(connector->url, "http://")))
        return config_wrong(reading, prefix, "expected url: https://%s", plain ? "… or http://…" : "… (http:// needs connect.plain)");
    if (mail && !letter_is_address(connector->from))
        return config_wrong(reading, prefix, "expected from: the sender's address NAME@HOST");
    if (!connector->tls && (!mail || !plain))
        return config_wrong(reading, prefix, mail ? "tls: false needs connect.plain" : "tls is of mail alone");
    if (!letters && (connector->user[0] || connector->password[0] || connector->from[0]))
        return config_wrong(reading, prefix, "user, password and from are of mail and sms alone");
    if (letters && (connector->key[0] || connector->token[0]))
        return config_wrong(reading, prefix, "key and token are not of mail and sms: they log in by user and password");
    if ((connector->user[0] == 0) != (connector->password[0] == 0))
        return config_wrong(reading, prefix, "expected user and password, or none of them");
    return FAULT_NONE;
}

static enum fault connector_read(const struct reading *reading, uint32_t index, const struct connector_text *text)
{
    struct config_connector *connector = &reading->config->connectors[index];
    char prefix[PREFIX_BYTES];
    snprintf(prefix, sizeof prefix, "connectors[%u]", index);
    enum fault fault = config_read_connector(connector, reading, prefix, text);
    for (uint32_t i = 0; i < index && fault == FAULT_NONE; i++)
        if (strcmp(reading->config->connectors[i].name, connector->name) == 0)
            fault = config_wrong(reading, prefix, "the name '%.40s' is given twice", connector->name);
    if (fault == FAULT_NONE)
        fault = kind_check(connector, reading, prefix);
    bool letters = connector->kind == CONNECTOR_MAIL || connector->kind == CONNECTOR_SMS;
    if (fault == FAULT_NONE && !letters && (text->to_count || text->templates_count))
        fault = config_wrong(reading, prefix, "to and templates are of mail and sms alone");
    if (fault == FAULT_NONE)
        fault = recipients_read(connector, reading, prefix, text);
    for (uint32_t i = 0; i < text->templates_count && fault == FAULT_NONE; i++)
        fault = template_read(connector, reading, prefix, i, &text->templates[i]);
    connector->template_count = text->templates_count;
    return fault;
}

static enum fault alarm_connector_read(const struct reading *reading, uint32_t index, const char *name)
{
    struct config *config = reading->config;
    char path[PATH_BYTES];
    const struct config_connector *connector = config_connector_find(config, text_of(name));
    snprintf(path, sizeof path, "alarms.connectors[%u]", index);
    if (!connector)
        return config_wrong(reading, path, "'%.40s' is not among connectors", name);
    if ((connector->kind == CONNECTOR_MAIL || connector->kind == CONNECTOR_SMS) && connector->to_count == 0)
        return config_wrong(reading, path, "'%.40s' has no 'to': nobody would be told", name);
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(config->alarm_connectors[i], name) == 0)
            return config_wrong(reading, path, "'%.40s' is given twice", name);
    memcpy(config->alarm_connectors[index], name, strlen(name) + 1);
    return FAULT_NONE;
}

enum fault config_read_connectors(const struct reading *reading, const struct config_text *text)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < text->connectors_count && fault == FAULT_NONE; i++)
        fault = connector_read(reading, i, &text->connectors[i]);
    reading->config->connector_count = text->connectors_count;
    for (uint32_t i = 0; i < text->alarms.connectors_count && fault == FAULT_NONE; i++)
        fault = alarm_connector_read(reading, i, text->alarms.connectors[i]);
    reading->config->alarm_connector_count = text->alarms.connectors_count;
    return fault;
}

enum fault config_check_webhooks(const struct reading *reading)
{
    const struct config *config = reading->config;
    for (uint32_t i = 0; i < config->tenant_count; i++) {
        const char *name = config->tenants[i].webhook;
        const struct config_connector *connector = config_connector_find(config, text_of(name));
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "tenants[%u].webhook", i);
        if (name[0] && (!connector || connector->kind != CONNECTOR_WEBHOOK))
            return config_wrong(reading, path, "'%.40s' is no connector of kind webhook", name);
    }
    return FAULT_NONE;
}

const struct config_connector *config_connector_find(const struct config *config, struct text name)
{
    for (uint32_t i = 0; i < config->connector_count; i++)
        if (text_equal(text_of(config->connectors[i].name), name))
            return &config->connectors[i];
    return NULL;
}
