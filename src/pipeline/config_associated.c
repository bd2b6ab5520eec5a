/* Systems that are asked on a batch's way, and the profiles that ask them. */
#include <stdio.h>
#include <string.h>

#include "pipeline/config_rules.h"

enum { PATH_BYTES = 64 };

static enum fault system_read(const struct reading *reading, uint32_t index, const struct associated_text *text)
{
    struct config_associated *system = &reading->config->associated[index];
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "associated[%u]", index);
    enum fault fault = config_read_system(system, reading, path, text);
    if (fault != FAULT_NONE)
        return fault;
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(reading->config->associated[i].name, system->name) == 0)
            return config_wrong(reading, path, "the name '%.40s' is given twice", system->name);
    bool is_plain = strncmp(system->url, "http://", 7) == 0 && reading->config->connect.plain;
    if (!is_plain && strncmp(system->url, "https://", 8) != 0)
        return config_wrong(reading, path, "url: expected https://…, or with connect.plain http://…, is '%.40s'", system->url);
    return FAULT_NONE;
}

enum fault config_read_associated(const struct reading *reading, const struct config_text *text)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < text->associated_count && fault == FAULT_NONE; i++)
        fault = system_read(reading, i, &text->associated[i]);
    reading->config->associated_count = text->associated_count;
    return fault;
}

static bool system_is_there(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->associated_count; i++)
        if (strcmp(config->associated[i].name, name) == 0)
            return true;
    return false;
}

enum fault config_check_asks(const struct reading *reading)
{
    const struct config *config = reading->config;
    for (uint32_t t = 0; t < config->tenant_count; t++)
        for (uint32_t i = 0; i < config->tenants[t].profile_count; i++) {
            const struct config_profile *profile = config->tenants[t].profiles[i];
            char path[PATH_BYTES];
            struct profile_ask ask;
            snprintf(path, sizeof path, "tenants[%u].profiles[%u]", t, i);
            for (uint32_t k = 0; profile && k < profile_ask_count(profile->profile); k++) {
                profile_ask_of(&ask, profile->profile, k);
                if (!system_is_there(config, ask.system))
                    return config_wrong(reading, path, "asks '%.50s', which is not among associated", ask.system);
            }
        }
    return FAULT_NONE;
}
