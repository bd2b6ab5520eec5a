#ifndef SLUICE_SERVER_HTTP_OPS_H
#define SLUICE_SERVER_HTTP_OPS_H

#include <microhttpd.h>

#include "base/fault.h"
#include "pipeline/pipeline.h"

/* POST /v1/OP with JSON: every op as it is taken by the sockets. libmicrohttpd's thread only gathers bytes, up to the limit; a thread
 * of its own turns them into a message, which goes the way of all messages, and the reply into JSON, while the connection
 * is suspended. HTTP_POSTS_MAX at once, of those whose token is some tenant's; one more is busy. */

struct http_ops;

enum fault http_ops_open(struct http_ops **out, const struct config *config, struct fault_note *note);
/* From now on they are taken; pipeline must outlive http_ops_stop. */
void http_ops_serve(struct http_ops *ops, struct pipeline *pipeline);
/* New ones are refused; returns when those under way are answered and no connection is suspended any more. */
void http_ops_stop(struct http_ops *ops);
void http_ops_close(struct http_ops **ops_p); /* behind MHD_stop_daemon */

/* MHD's callbacks, on its thread: of a request whose path begins with /v1/, and of its end. */
enum MHD_Result http_ops_take(struct http_ops *ops, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *upload, size_t *upload_bytes, void **request);
void http_ops_ended(void **request);

#endif
