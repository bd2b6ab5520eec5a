#ifndef SLUICE_PIPELINE_OUTWARD_H
#define SLUICE_PIPELINE_OUTWARD_H

#include "base/fault.h"
#include "pipeline/config.h"
#include "wire/wire.h"

/* What leaves: a sender for the second batches of every tenant that names a processor. Made at start, from the configuration then. */

struct outward;
struct pipeline;

enum fault outward_open(struct outward **out, struct pipeline *pipeline, const struct config *config, struct fault_note *note);
void outward_close(struct outward **outward_p); /* before the ledger; calls under way are cut short */
/* Tenants whose second batches are sent, at most most; borrowed until close. */
uint32_t outward_tenants(const struct outward *outward, const char **out, uint32_t most);
void outward_wake(struct outward *outward); /* something may have been released; never blocks; NULL is fine */
void outward_prometheus(struct outward *outward, struct wire_buffer *out);

#endif
