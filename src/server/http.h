#ifndef SLUICE_SERVER_HTTP_H
#define SLUICE_SERVER_HTTP_H

#include "base/fault.h"
#include "pipeline/pipeline.h"
#include "server/server.h"

/* /healthz, /readyz and /metrics for probes and Prometheus, GET and HEAD alone; and, where the configuration says so, the ops (http_ops.h).
 * One thread of its own, bounded connections, time and memory. It opens before the pipeline does, so that a start can be watched. */

struct server_http;
struct http_patience;

/* At config->http_listen. */
enum fault server_http_open(struct server_http **out, const struct config *config, struct fault_note *note);
enum fault server_http_open_with(struct server_http **out, const struct config *config, const struct http_patience *patience,
                                 struct fault_note *note);
/* From now on they are asked; both must outlive the http. front may be NULL. */
void server_http_serve(struct server_http *http, struct pipeline *pipeline, struct server_front *front);
/* Answers what is under way, then closes; the pipeline must still be there. */
void server_http_close(struct server_http **http_p);

#endif
