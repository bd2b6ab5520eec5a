#ifndef SLUICE_PIPELINE_CONFIG_CREDENTIALS_H
#define SLUICE_PIPELINE_CONFIG_CREDENTIALS_H

#include "pipeline/config_rules.h"

/* A tenant's credentials: the list, or the one that its own token_hash, token_file and rights make. At least one token. */
enum fault config_read_credentials(struct config_tenant *out, const struct reading *reading, const char *path,
                                   const struct tenant_text *text);

/* Bits of enum right; prefix names the place in faults. */
enum fault config_read_rights(unsigned *out, const struct reading *reading, const char *prefix, char *const *rights, uint32_t count);

#endif
