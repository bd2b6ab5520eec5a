#ifndef SLUICE_PIPELINE_OUTWARD_H
#define SLUICE_PIPELINE_OUTWARD_H

#include "base/fault.h"
#include "pipeline/config.h"
#include "wire/wire.h"

/* What leaves: a sender for the second batches of every tenant that names a processor, and one for the messages of every connector.
 * Made at start, from the configuration then. */

struct outward;
struct pipeline;
struct posts;
struct connector;
struct connect_secret;
struct job;

enum fault outward_open(struct outward **out, struct pipeline *pipeline, const struct config *config, struct fault_note *note);
void outward_close(struct outward **outward_p); /* before the ledger; calls under way are cut short */
/* Tenants whose second batches are sent, at most most; borrowed until close. */
uint32_t outward_tenants(const struct outward *outward, const char **out, uint32_t most);
void outward_wake(struct outward *outward); /* something may have been released; never blocks; NULL is fine */
struct posts *outward_posts(struct outward *outward);
/* Processors first, then the connectors. */
uint32_t outward_count(const struct outward *outward);
struct connector *outward_connector(const struct outward *outward, uint32_t index);
const char *outward_kind(const struct outward *outward, uint32_t index);
/* A relative file lies beside the configuration; from empty: none. */
enum fault outward_secret(struct connect_secret *out, const struct config *config, const char *from, size_t least, struct fault_note *note);

/* outward_tell.c */
void outward_prometheus(struct pipeline *pipeline, struct wire_buffer *out);
void answer_connect(struct job *job); /* connect.list, connect.resend, connect.health */

#endif
