#ifndef SLUICE_CLIENT_CLIENT_H
#define SLUICE_CLIENT_CLIENT_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/thread.h"
#include "batch/batch.h"
#include "client/sluice.h"
#include "wire/wire.h"

/* Inside libsluice, and what the subcommands use beyond sluice.h. */

enum {
    GREETING_MS = 5000,       /* longest wait for an answer to `hello` */
    DISCONNECTS_MAX = 3,      /* of one call without an answer: then it is given up */
    RECOVER_PART = 4,         /* of the time of a call, spent once more on what became of it */
    RECOVER_MS_MAX = 5000,    /* and no more than this */
    MOVE_MS = 500,            /* longest wait for a connection before another server is tried */
    REPLY_BYTES_MAX = 1 << 30 /* a larger answer closes the connection */
};

struct server {
    char *url;
    nng_socket socket;
    atomic_uint in_flight, connections;
    atomic_bool greeted;
    atomic_llong shunned_until_ns;    /* after a failed greeting */
    size_t message_bytes_max;         /* of its hello; read once greeted */
    uint32_t rows_max, in_flight_max; /* of one tenant; 0: not told */
};

struct sluice_client {
    unsigned magic; /* CLIENT_MAGIC */
    struct server *servers;
    size_t server_count;
    char *tenant, *token;
    int64_t timeout_ms;
    size_t in_flight_max;
    pthread_mutex_t lock, greet_lock;      /* lock: all below */
    pthread_cond_t changed;                /* a call is ready, gone, or the client closes */
    struct call *ready_first, *ready_last; /* asynchronous calls whose network step is over */
    struct call *live_first;               /* asynchronous calls */
    size_t in_flight, pending;             /* asynchronous: begun; begun and done not yet run */
    atomic_bool closing;
    struct thread thread; /* steps asynchronous calls and runs done */
    atomic_uint_fast64_t turn;
};
enum { CLIENT_MAGIC = 0x5111ce01 };

/* server.c: sockets. */
int server_open(struct server *server, const char *url, const struct sluice_options *options, char *error, size_t error_bytes);
void server_close(struct server *server); /* safe on zeroed memory */
/* hello once; 0 or an enum sluice_error with its reason in error (may be NULL). Blocks up to wait_ms. */
int server_greet(struct sluice_client *client, struct server *server, int64_t wait_ms, char *error, size_t error_bytes);
/* Greets who is new: a call may be begun after it. Blocks up to wait_ms, as long as nobody it could go to is known. */
int servers_ready(struct sluice_client *client, bool pinned, int64_t wait_ms);
/* Where a call goes: urls[0], or the least loaded of those that are connected. */
struct server *server_pick(struct sluice_client *client, bool pinned);

/* call.c: one request until its answer. Takes over request's bytes in every case. done NULL: blocks and gives *out. */
struct call_wish {
    bool pinned;
    bool is_recorded; /* it changes state: after a time-out the server can be asked what became of it */
    uint32_t row_count;
    struct server *server; /* NULL: chosen */
    int64_t timeout_ms;
    sluice_done_fn *done;
    void *context;
};
int call_run(struct sluice_client *client, struct wire_buffer *request, const struct call_wish *wish, struct sluice_reply **out);
void call_thread_run(void *client);
void calls_abort(struct sluice_client *client); /* no new ones from now on; call_thread_run ends after the last */

/* reply.c */
/* Takes over the message in every case. FAULT_NONE also for a reply that tells a fault. */
enum fault reply_read(struct sluice_reply **out, nng_msg *message, struct fault_note *note);
/* A reply that the library itself gives: a refusal before sending. */
int reply_refusal(struct sluice_reply **out, const struct fault_note *note);
bool reply_says_come_again(const struct sluice_reply *reply); /* transient, with a hint when */
const struct wire_value *reply_top(const struct sluice_reply *reply);

/* A decoded batch of the caller's (op, id, name and observe_kind set) instead of a sluice_batch. done NULL: blocks. */
int client_send(struct sluice_client *client, struct batch *batch, int64_t deadline_ms, sluice_done_fn *done, void *context,
                struct sluice_reply **out);
void client_room_wait(struct sluice_client *client); /* until an asynchronous call would not have to wait */
/* Batches that change state and that the server takes from one tenant at once; 0: it does not tell. */
uint32_t client_server_in_flight(const struct sluice_client *client);

#endif
