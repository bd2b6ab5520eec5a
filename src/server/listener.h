#ifndef SLUICE_SERVER_LISTENER_H
#define SLUICE_SERVER_LISTENER_H

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

/* One address of a socket. nng 1.5 has a trap: an ipc listener accepts nobody any more once a client left in the middle
 * of the handshake, and tells no one. So somebody must knock now and then, and renew it when nobody opens. */

enum { LISTENER_KNOCK_MS_MAX = 1000 };

struct server_listener {
    const char *url; /* borrowed */
    nng_socket socket;
    nng_tls_config *tls; /* for tls+tcp */
    size_t received_bytes_max;
    nng_listener listener;
    bool is_open, is_ipc;
};

enum fault server_listener_open(struct server_listener *listener, struct fault_note *note);
/* Its pipes are closed with it: clients connect again and send the same ids again. */
void server_listener_close(struct server_listener *listener);
/* Knocks at an ipc listener: nobody takes connections there. Blocks, 2 × LISTENER_KNOCK_MS_MAX at the most. */
bool server_listener_is_deaf(const struct server_listener *listener);

#endif
