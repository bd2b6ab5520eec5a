#ifndef SLUICE_PIPELINE_CONFIG_PROFILE_H
#define SLUICE_PIPELINE_CONFIG_PROFILE_H

#include "pipeline/config_rules.h"

/* Profiles of a tenant: files beside sluice.yaml, whose texts are part of the configuration's digest. */

enum fault config_read_profiles(struct config_tenant *tenant, const struct reading *reading, const char *prefix,
                                const struct tenant_text *text);
/* Behind the configuration's text, as comments: which profiles it was read with. */
enum fault config_tell_profiles(struct config *config, struct fault_note *note);
void config_hold_parts(struct config *config); /* of a copy: profiles and rules */
void config_close_parts(struct config *config);

#endif
