#ifndef SLUICE_PIPELINE_CONFIG_TENANT_RULES_H
#define SLUICE_PIPELINE_CONFIG_TENANT_RULES_H

#include "pipeline/config_rules.h"

/* Rules of a tenant's own, behind its profiles and the strategy. */
enum fault config_read_tenant_rules(struct config_tenant *tenant, const struct reading *reading, const char *prefix,
                                    const struct tenant_text *text);

#endif
