/* Who signs on through a provider, and what each of the provider's roles may do. */
#include <stdio.h>
#include <string.h>

#include "pipeline/config_credentials.h"
#include "pipeline/config_rules.h"

enum { PATH_BYTES = 64 };

/* Where the file names no roles. */
static const struct config_role usual[] = {
    {"submitter", RIGHT_SUBMIT | RIGHT_QUERY},
    {"analyst", RIGHT_QUERY | RIGHT_EXPLAIN | RIGHT_LABEL},
    {"supervisor", RIGHT_QUERY | RIGHT_EXPLAIN | RIGHT_LABEL | RIGHT_LIST},
    {"model_team", RIGHT_QUERY | RIGHT_EXPLAIN | RIGHT_SCORE | RIGHT_MODEL},
    {"operator", RIGHT_OPERATE},
    {"auditor", RIGHT_QUERY},
};

static enum fault role_read(const struct reading *reading, uint32_t index, const struct role_text *text)
{
    struct config_role *role = &reading->config->roles[index];
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "sign_on.roles[%u]", index);
    enum fault fault = config_name(role->name, sizeof role->name, reading, path, text->name ? text->name : "");
    for (uint32_t i = 0; i < index && fault == FAULT_NONE; i++)
        if (strcmp(reading->config->roles[i].name, role->name) == 0)
            fault = config_wrong(reading, path, "the role '%.40s' is given twice", role->name);
    if (fault == FAULT_NONE && text->rights_count == 0)
        fault = config_wrong(reading, path, "expected rights: a list of what this role may do");
    return fault == FAULT_NONE ? config_read_rights(&role->rights, reading, path, text->rights, text->rights_count) : fault;
}

static enum fault provider_check(const struct reading *reading)
{
    const struct config *config = reading->config;
    const struct config_sign_on *on = &config->sign_on;
    bool plain = config->connect.plain, known = on->tenant[0] == '\0';
    if (on->issuer[0] == '\0')
        return on->audience[0] || on->keys[0] ? config_wrong(reading, "sign_on", "expected issuer, or neither audience nor keys")
                                              : FAULT_NONE;
    if (on->audience[0] == '\0')
        return config_wrong(reading, "sign_on", "expected audience: what tokens for this server name");
    if (strncmp(on->keys, "https://", 8) != 0 && !(plain && strncmp(on->keys, "http://", 7) == 0))
        return config_wrong(reading, "sign_on.keys", "expected https://%s", plain ? "… or http://…" : "… (http:// needs connect.plain)");
    for (uint32_t i = 0; i < config->tenant_count; i++)
        known |= strcmp(config->tenants[i].name, on->tenant) == 0;
    return known ? FAULT_NONE : config_wrong(reading, "sign_on.tenant", "'%.40s' is not among tenants", on->tenant);
}

enum fault config_read_sign_on(const struct reading *reading, const struct config_text *text)
{
    struct config *config = reading->config;
    enum fault fault = provider_check(reading);
    for (uint32_t i = 0; i < text->sign_on.roles_count && fault == FAULT_NONE; i++)
        fault = role_read(reading, i, &text->sign_on.roles[i]);
    config->role_count = text->sign_on.roles_count;
    if (config->role_count > 0 || fault != FAULT_NONE)
        return fault;
    memcpy(config->roles, usual, sizeof usual);
    config->role_count = sizeof usual / sizeof usual[0];
    return FAULT_NONE;
}
