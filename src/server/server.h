#ifndef SLUICE_SERVER_SERVER_H
#define SLUICE_SERVER_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "pipeline/config.h"
#include "pipeline/pipeline.h"

/* The sockets of the server: bytes in, pipeline_request, bytes out. Data listeners share in_flight_max + 16 contexts, of
 * which 16 only refuse; admin listeners have contexts and a thread of their own, so that they answer under any load. */

enum {
    FRONT_REFUSING_CONTEXTS = 16,
    FRONT_ADMIN_CONTEXTS = 8,
    FRONT_ADMIN_CONNECTIONS = 32,
    FRONT_ADMIN_BYTES_MAX = 1 << 20, /* of a request to an admin listener */
    FRONT_SEND_MS_MAX = 10000,       /* a client that does not take its replies for so long loses its connection */
    FRONT_LEAVE_MS_MAX = 5000,       /* longest wait of a drain for replies on their way out */
};

struct server_front;

/* Listens on all of the configuration's urls, or none. config is not needed afterwards; pipeline must outlive the front. */
enum fault server_front_open(struct server_front **out, const struct config *config, struct pipeline *pipeline, struct fault_note *note);
/* New connections are refused, new requests answered with unavailable; returns when what was in flight has been answered. */
void server_front_drain(struct server_front *front);
/* Also without a drain: then what is in flight is waited for and its answer dropped. */
void server_front_close(struct server_front **front_p);

struct server_front_counts {
    uint32_t connections, working;
    uint64_t connections_refused, requests_refused, replies_not_taken;
};
void server_front_count(struct server_front *front, struct server_front_counts *out);

#endif
