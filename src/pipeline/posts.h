#ifndef SLUICE_PIPELINE_POSTS_H
#define SLUICE_PIPELINE_POSTS_H

#include "base/fault.h"
#include "connect/connector.h"
#include "pipeline/config.h"

/* The senders of messages: one for each of the configuration's connectors, made at start. */

struct posts;
struct pipeline;
struct http;

/* http: borrowed until close, NULL when the configuration has no connectors; *out is then NULL, which all here take. */
enum fault posts_open(struct posts **out, struct pipeline *pipeline, const struct config *config, struct http *http,
                      struct fault_note *note);
void posts_stop(struct posts *posts); /* calls under way are cut short */
void posts_close(struct posts **posts_p);
void posts_wake(struct posts *posts);
uint32_t posts_count(const struct posts *posts);
const struct config_connector *posts_config(const struct posts *posts, uint32_t index);
struct connector *posts_connector(const struct posts *posts, uint32_t index);
/* Past the outbox, for what the ledger cannot keep: one attempt for one recipient, with the id of the message that it is. */
enum connect_outcome posts_send_now(struct posts *posts, uint32_t index, const char *subject, const char *id, const char *recipient,
                                    const char *payload, struct fault_note *note);

#endif
