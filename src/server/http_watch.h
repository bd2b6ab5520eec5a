#ifndef SLUICE_SERVER_HTTP_WATCH_H
#define SLUICE_SERVER_HTTP_WATCH_H

#include <microhttpd.h>
#include <stdint.h>

#include "base/fault.h"

/* libmicrohttpd knows how long a connection may be silent, not how long it may drip. Each connection has a time until which what it
 * is at must be over; a thread shuts down the sockets of those that are late, and libmicrohttpd then ends them. */

struct http_watch;
struct http_watched; /* a connection */

struct http_patience {
    int64_t head_ms;     /* until a request's headers are there, the handshake and the wait for the request included */
    int64_t body_ms;     /* until its body is */
    int64_t stranger_ms; /* until the body of one that is refused for its token is */
    int64_t answer_ms;   /* until its answer is taken, and a second more for each answer_bytes_per_s of it */
    int64_t answer_bytes_per_s;
};
extern const struct http_patience http_patience_default;

enum fault http_watch_open(struct http_watch **out, const struct http_patience *patience, uint32_t connections_max,
                           struct fault_note *note);
void http_watch_close(struct http_watch **watch_p); /* behind MHD_stop_daemon; safe on NULL */

/* MHD_OPTION_NOTIFY_CONNECTION, with the watch as its context. */
void http_watch_connection(void *watch, struct MHD_Connection *connection, void **watched, enum MHD_ConnectionNotificationCode code);

/* On MHD's thread. */
void http_watch_head(struct MHD_Connection *connection);    /* the next request is waited for */
void http_watch_body(struct MHD_Connection *connection);    /* one has begun */
void http_watch_refused(struct MHD_Connection *connection); /* its body is thrown away: nobody is known to have sent it */
void http_watch_works(struct MHD_Connection *connection);   /* it is ours to answer, however long that takes */
void http_watch_answer(struct MHD_Connection *connection, uint64_t bytes);

#endif
