/* A lane is one nng context with its aio and at most one request: it listens, then a dispatcher gives the request to the
 * pipeline, then the reply is sent, and it listens again. nng's callbacks only move a lane on; nothing is computed there.
 * A lane belongs to whoever moves it next: nng while listening and sending, the queue, then the pipeline while working.
 * No lane calls into nng while or after its socket closes (nng 1.5 then reads freed memory): see nng_enter. */
#include "server/server.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/secret.h"
#include "base/thread.h"
#include "server/listener.h"
#include "server/receipt.h"
#include "wire/wire.h"

enum { FRONT_MAGIC = 0x5e4f4001, WATCH_MS = 100, PEEK_BYTES_MAX = 64 << 10, PEM_BYTES_MAX = 256 << 10 };

enum lane_state { LANE_NEW, LANE_LISTENING, LANE_WORKING, LANE_SENDING, LANE_CLOSED };

struct lane {
    struct receipt receipt; /* first: a receipt is its lane */
    struct group *group;
    nng_ctx context;
    nng_aio *aio;
    nng_msg *message; /* the request, kept until its reply is there */
    nng_pipe pipe;    /* where it came from */
    int64_t received_ns;
    bool counted;     /* in the group's working */
    atomic_int state; /* enum lane_state */
};

struct group { /* listeners that share a socket, its contexts and its dispatchers */
    struct server_front *front;
    bool is_admin, is_open;
    nng_socket socket;
    size_t message_bytes_max;
    uint32_t connections_max, working_max, lane_count, dispatcher_count, listener_count;
    struct server_listener listeners[LISTEN_MAX];
    char urls[LISTEN_MAX][256];
    struct lane *lanes;
    struct receipts receipts;
    struct dispatcher {
        struct group *group;
        struct thread thread;
    } dispatchers[DISPATCHERS_MAX];
    atomic_uint connections, inside; /* inside: lanes within a call of nng_ctx_recv or nng_ctx_send */
    atomic_bool closing;
    pthread_mutex_t lock; /* working, mean_us */
    uint32_t working;
    int64_t mean_us; /* from receipt to reply, for the hint in refusals */
    bool lock_ready;
};

struct server_front {
    unsigned magic;
    struct pipeline *pipeline;
    struct batch_limits limits;
    nng_tls_config *tls;
    struct group data, admin;
    struct thread watch;    /* knocks at the ipc listeners */
    struct queue watch_end; /* closed: it ends */
    atomic_bool draining, watch_ends, knocks;
    atomic_uint_fast64_t connections_refused, requests_refused, replies_not_taken;
};

/* --- lanes ---------------------------------------------------------------------------------------------------------- */

/* Either close sees the lane inside and waits, or the lane sees the closing and stays out. */
static bool nng_enter(struct lane *lane, enum lane_state state)
{
    atomic_fetch_add(&lane->group->inside, 1);
    bool enters = !atomic_load(&lane->group->closing);
    if (!enters)
        atomic_fetch_sub(&lane->group->inside, 1);
    atomic_store(&lane->state, enters ? state : LANE_CLOSED);
    return enters;
}

static void nng_leave(struct group *group)
{
    atomic_fetch_sub(&group->inside, 1);
}

static void lane_listen(struct lane *lane)
{
    struct group *group = lane->group;
    if (!nng_enter(lane, LANE_LISTENING))
        return;
    nng_aio_set_timeout(lane->aio, NNG_DURATION_INFINITE);
    receipts_listen(&group->receipts, &lane->receipt, lane->context, lane->aio);
    nng_leave(group);
}

static void lane_received(struct lane *lane, int result)
{
    if (result == NNG_ECLOSED || result == NNG_ECANCELED) {
        atomic_store(&lane->state, LANE_CLOSED);
        return;
    }
    lane->message = result == 0 ? nng_aio_get_msg(lane->aio) : NULL;
    if (lane->message)
        lane->pipe = nng_msg_get_pipe(lane->message);
    lane->received_ns = clock_steady_ns();
    atomic_store(&lane->state, LANE_WORKING);
    if (!receipts_put(&lane->group->receipts, &lane->receipt, lane->message ? lane->pipe.id : 0)) {
        nng_msg_free(lane->message);
        atomic_store(&lane->state, LANE_CLOSED);
    }
}

static void lane_sent(struct lane *lane, int result)
{
    if (result != 0) {
        nng_msg_free(nng_aio_get_msg(lane->aio));
        if (result != NNG_ECLOSED) {
            atomic_fetch_add(&lane->group->front->replies_not_taken, 1);
            nng_pipe_close(lane->pipe);
        }
    }
    lane_listen(lane);
}

static void lane_step(void *argument) /* nng's thread */
{
    struct lane *lane = argument;
    int result = nng_aio_result(lane->aio);
    if (atomic_load(&lane->state) == LANE_SENDING)
        lane_sent(lane, result);
    else
        lane_received(lane, result);
}

static void lane_uncount(struct lane *lane)
{
    struct group *group = lane->group;
    if (!lane->counted)
        return;
    int64_t took_us = (clock_steady_ns() - lane->received_ns) / 1000;
    lane->counted = false;
    pthread_mutex_lock(&group->lock);
    group->mean_us += (took_us - group->mean_us) / 8;
    group->working--;
    pthread_mutex_unlock(&group->lock);
}

/* The reply is copied once into a message of nng's: a reply is a few bytes a row, and building it in place would bring
 * nng into wire/. Without memory for it the connection is closed, so that the client asks again and is not left waiting. */
static void lane_reply(struct lane *lane, const struct wire_buffer *reply)
{
    struct group *group = lane->group;
    nng_msg *message = NULL;
    nng_msg_free(lane->message);
    lane->message = NULL;
    lane_uncount(lane);
    if (!reply->data || reply->failed || nng_msg_alloc(&message, reply->bytes) != 0) {
        nng_pipe_close(lane->pipe);
        lane_listen(lane);
        return;
    }
    memcpy(nng_msg_body(message), reply->data, reply->bytes);
    if (!nng_enter(lane, LANE_SENDING)) {
        nng_msg_free(message);
        return;
    }
    nng_aio_set_msg(lane->aio, message);
    nng_aio_set_timeout(lane->aio, FRONT_SEND_MS_MAX);
    nng_ctx_send(lane->context, lane->aio);
    nng_leave(group);
}

static void lane_deliver(void *argument, struct wire_buffer *reply) /* a pipeline thread, or the dispatcher itself */
{
    lane_reply(argument, reply);
    wire_buffer_fini(reply);
}

/* --- dispatchers ---------------------------------------------------------------------------------------------------- */

static void lane_refuse(struct lane *lane, const struct request *request, enum fault fault, const char *text, uint32_t retry_after_ms)
{
    struct wire_buffer reply = {0};
    struct fault_note note = {.retry_after_ms = retry_after_ms};
    fault_set(&note, fault, ROW_NONE, COLUMN_NONE, "%s", text);
    atomic_fetch_add(&lane->group->front->requests_refused, 1);
    wire_reply_fault(&reply, request->id, &note);
    lane_deliver(lane, &reply);
}

/* The envelope of a small message; false: too large to look into here, or not one. The id is found all the same, so that a
 * refusal can name it. */
static bool lane_peek(struct request *out, const struct lane *lane)
{
    const void *bytes = nng_msg_body(lane->message);
    size_t count = nng_msg_len(lane->message);
    struct fault_note note = {0};
    const struct batch_limits *limits = &lane->group->front->limits;
    *out = (struct request){0};
    if (count <= PEEK_BYTES_MAX || (lane->group->is_admin && count <= FRONT_ADMIN_BYTES_MAX))
        return wire_check(bytes, count, &note) == FAULT_NONE && wire_request_read(out, bytes, count, limits, &note) == FAULT_NONE;
    out->id = wire_peek_id(bytes, count, limits);
    return false;
}

static bool op_is_at_once(enum op op)
{
    return op == OP_hello || op == OP_health || op == OP_stats;
}

/* Counts the request in, unless the group has its fill. */
static bool lane_count_in(struct lane *lane, uint32_t *out_retry_after_ms)
{
    struct group *group = lane->group;
    pthread_mutex_lock(&group->lock);
    lane->counted = group->working < group->working_max;
    group->working += lane->counted;
    *out_retry_after_ms = group->mean_us < 5000 ? 5 : group->mean_us > 5000000 ? 5000 : (uint32_t)(group->mean_us / 1000);
    pthread_mutex_unlock(&group->lock);
    return lane->counted;
}

static void lane_request(struct lane *lane)
{
    struct server_front *front = lane->group->front; /* the lane may be anywhere once the pipeline has it */
    const struct delivery delivery = {.deliver = lane_deliver, .context = lane};
    pipeline_request(front->pipeline, nng_msg_body(lane->message), nng_msg_len(lane->message), lane->received_ns, &delivery);
}

/* hello, health and stats are answered at once by the pipeline, so they pass where everything else is refused. */
static void lane_dispatch(struct lane *lane)
{
    struct group *group = lane->group;
    struct request request;
    uint32_t retry_after_ms;
    if (group->is_admin) {
        bool is_known = lane_peek(&request, lane);
        if (nng_msg_len(lane->message) > group->message_bytes_max)
            lane_refuse(lane, &request, FAULT_limit, "an admin listener takes requests of at most 1 MiB", 0);
        else if (is_known && !op_is_at_once(request.op) && !op_is_of_models(request.op))
            lane_refuse(lane, &request, FAULT_denied, "an admin listener takes hello, health, stats and what is about bases alone", 0);
        else
            lane_request(lane);
    } else if (lane_count_in(lane, &retry_after_ms) || (lane_peek(&request, lane) && op_is_at_once(request.op))) {
        lane_request(lane);
    } else {
        lane_refuse(lane, &request, FAULT_busy, "as many requests as the server takes are in flight", retry_after_ms);
    }
}

static void dispatcher_run(void *argument)
{
    struct dispatcher *dispatcher = argument;
    struct group *group = dispatcher->group;
    for (struct receipt *receipt; (receipt = receipts_take(&group->receipts, (uint32_t)(dispatcher - group->dispatchers))) != NULL;) {
        struct lane *lane = (struct lane *)receipt;
        if (lane->message)
            lane_dispatch(lane);
        else
            lane_listen(lane); /* a receive that failed */
    }
}

/* --- connections ------------------------------------------------------------------------------------------------------ */

static void pipe_comes(nng_pipe pipe, nng_pipe_ev event, void *argument) /* nng's thread, before any byte is read */
{
    struct group *group = argument;
    (void)event;
    unsigned connections = atomic_fetch_add(&group->connections, 1) + 1;
    bool knocks = atomic_load(&group->front->knocks); /* the watch's own connection is one of them, most likely */
    if (connections <= group->connections_max + knocks && !atomic_load(&group->front->draining))
        return;
    nng_pipe_close(pipe);
    if (!knocks)
        atomic_fetch_add(&group->front->connections_refused, 1);
}

static void pipe_goes(nng_pipe pipe, nng_pipe_ev event, void *argument) /* also for a pipe that was refused */
{
    struct group *group = argument;
    (void)pipe;
    (void)event;
    atomic_fetch_sub(&group->connections, 1);
}

/* --- opening ---------------------------------------------------------------------------------------------------------- */

static enum fault nng_fault(struct fault_note *note, const char *what, const char *which, int result)
{
    return fault_set(note, result == NNG_ENOMEM ? FAULT_memory : FAULT_unavailable, ROW_NONE, COLUMN_NONE, "cannot %s %s: %s", what, which,
                     nng_strerror(result));
}

static enum fault lane_open(struct lane *lane, struct group *group, struct fault_note *note)
{
    lane->group = group;
    int result = nng_ctx_open(&lane->context, group->socket);
    if (result == 0)
        result = nng_aio_alloc(&lane->aio, lane_step, lane);
    return result == 0 ? FAULT_NONE : nng_fault(note, "open", "a context", result);
}

static enum fault group_take(struct group *group, uint32_t lane_count, uint32_t dispatcher_count, struct fault_note *note)
{
    group->lock_ready = pthread_mutex_init(&group->lock, NULL) == 0;
    group->lanes = memory_take_zeroed(lane_count, sizeof *group->lanes);
    if (!group->lock_ready || !group->lanes || !receipts_init(&group->receipts, lane_count))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for %u contexts", lane_count);
    int result = nng_rep0_open(&group->socket);
    if (result != 0)
        return nng_fault(note, "open", "a socket", result);
    group->is_open = true;
    nng_pipe_notify(group->socket, NNG_PIPE_EV_ADD_PRE, pipe_comes, group);
    nng_pipe_notify(group->socket, NNG_PIPE_EV_REM_POST, pipe_goes, group);
    enum fault fault = FAULT_NONE;
    for (; group->lane_count < lane_count && fault == FAULT_NONE; group->lane_count++)
        fault = lane_open(&group->lanes[group->lane_count], group, note);
    for (; group->dispatcher_count < dispatcher_count && fault == FAULT_NONE; group->dispatcher_count++) {
        struct dispatcher *dispatcher = &group->dispatchers[group->dispatcher_count];
        dispatcher->group = group;
        if (!thread_start(&dispatcher->thread, "dispatch", CPU_ANY, dispatcher_run, dispatcher))
            fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "cannot start a thread");
    }
    return fault;
}

static enum fault group_listen(struct group *group, const char (*urls)[256], uint32_t url_count, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < group->lane_count; i++)
        lane_listen(&group->lanes[i]);
    for (; group->listener_count < url_count && fault == FAULT_NONE; group->listener_count++) {
        uint32_t i = group->listener_count;
        memcpy(group->urls[i], urls[i], sizeof group->urls[i]);
        group->listeners[i] = (struct server_listener){
            .url = group->urls[i], .socket = group->socket, .tls = group->front->tls, .received_bytes_max = 2 * group->message_bytes_max};
        fault = server_listener_open(&group->listeners[i], note);
    }
    return fault;
}

static enum fault data_open(struct server_front *front, const struct config *config, struct fault_note *note)
{
    struct group *group = &front->data;
    *group = (struct group){.front = front,
                            .message_bytes_max = config->limits.message_bytes_max,
                            .connections_max = config->connections_max,
                            .working_max = config->in_flight_max};
    enum fault fault = group_take(group, config->in_flight_max + FRONT_REFUSING_CONTEXTS, DISPATCHERS_MAX, note);
    return fault == FAULT_NONE ? group_listen(group, config->data_listen, config->data_listen_count, note) : fault;
}

static enum fault admin_open(struct server_front *front, const struct config *config, struct fault_note *note)
{
    struct group *group = &front->admin;
    *group = (struct group){
        .front = front, .is_admin = true, .message_bytes_max = FRONT_ADMIN_BYTES_MAX, .connections_max = FRONT_ADMIN_CONNECTIONS};
    if (config->admin_listen_count == 0)
        return FAULT_NONE;
    enum fault fault = group_take(group, FRONT_ADMIN_CONTEXTS, 1, note);
    return fault == FAULT_NONE ? group_listen(group, config->admin_listen, config->admin_listen_count, note) : fault;
}

static enum fault tls_open(struct server_front *front, const struct config *config, struct fault_note *note)
{
    char *certificate = NULL, *key = NULL;
    size_t certificate_bytes, key_bytes = 0;
    if (config->tls_certificate[0] == '\0' || config->tls_key[0] == '\0')
        return FAULT_NONE;
    enum fault fault = file_read_all(&certificate, &certificate_bytes, config->tls_certificate, PEM_BYTES_MAX, note);
    if (fault == FAULT_NONE)
        fault = file_read_all(&key, &key_bytes, config->tls_key, PEM_BYTES_MAX, note);
    if (fault == FAULT_NONE) {
        int result = nng_tls_config_alloc(&front->tls, NNG_TLS_MODE_SERVER);
        if (result == 0)
            result = nng_tls_config_own_cert(front->tls, certificate, key, NULL);
        if (result != 0)
            fault = nng_fault(note, "use", config->tls_certificate, result);
    }
    if (key)
        secret_wipe(key, key_bytes);
    memory_give(key);
    memory_give(certificate);
    return fault;
}

/* --- watching the ipc listeners -------------------------------------------------------------------------------------- */

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* Deaf twice: a busy machine may miss one knock. */
static void listener_watch(struct server_front *front, struct server_listener *listener)
{
    struct fault_note note = {0};
    atomic_store(&front->knocks, true);
    bool is_deaf = listener->is_ipc && server_listener_is_deaf(listener) && server_listener_is_deaf(listener);
    atomic_store(&front->knocks, false);
    if (!is_deaf)
        return;
    server_listener_close(listener);
    if (server_listener_open(listener, &note) == FAULT_NONE)
        log_line(LOG_WARN, "server", "%s took no connections any more and was opened again", listener->url);
    else
        log_line(LOG_ERROR, "server", "%s", note.text);
}

static void watch_run(void *argument)
{
    struct server_front *front = argument;
    while (!atomic_load(&front->watch_ends)) {
        for (uint32_t i = 0; i < front->data.listener_count; i++)
            listener_watch(front, &front->data.listeners[i]);
        for (uint32_t i = 0; i < front->admin.listener_count; i++)
            listener_watch(front, &front->admin.listeners[i]);
        queue_pop_until(&front->watch_end, clock_steady_ns() + WATCH_MS * 1000000LL);
    }
}

static enum fault watch_open(struct server_front *front, struct fault_note *note)
{
    if (queue_init(&front->watch_end, 1) && thread_start(&front->watch, "watch", CPU_ANY, watch_run, front))
        return FAULT_NONE;
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "cannot start a thread");
}

static void watch_close(struct server_front *front)
{
    atomic_store(&front->watch_ends, true);
    if (front->watch_end.items)
        queue_close(&front->watch_end);
    thread_join(&front->watch);
    queue_fini(&front->watch_end);
}

enum fault server_front_open(struct server_front **out, const struct config *config, struct pipeline *pipeline, struct fault_note *note)
{
    struct server_front *front = memory_take_zeroed(1, sizeof *front);
    *out = NULL;
    if (!front)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the server");
    front->magic = (unsigned)FRONT_MAGIC;
    front->pipeline = pipeline;
    front->limits = config->limits;
    enum fault fault = tls_open(front, config, note);
    if (fault == FAULT_NONE)
        fault = admin_open(front, config, note);
    if (fault == FAULT_NONE)
        fault = data_open(front, config, note);
    if (fault == FAULT_NONE)
        fault = watch_open(front, note);
    if (fault != FAULT_NONE)
        server_front_close(&front);
    *out = front;
    return fault;
}

/* --- leaving ---------------------------------------------------------------------------------------------------------- */

/* No request on its way; and when the socket is closed, no lane that could get one. */
static bool group_is_quiet(const struct group *group, bool is_closed)
{
    for (uint32_t i = 0; i < group->lane_count; i++) {
        int state = atomic_load(&group->lanes[i].state);
        if (state == LANE_WORKING || state == LANE_SENDING || (is_closed && state == LANE_LISTENING))
            return false;
    }
    return true;
}

void server_front_drain(struct server_front *front)
{
    enum { GRACE_MS = 200 }; /* nng tells when it has a reply, not when it is out */
    MUST(front->magic == (unsigned)FRONT_MAGIC);
    atomic_store(&front->draining, true);
    pipeline_drain(front->pipeline);
    int64_t until_ns = clock_steady_ns() + FRONT_LEAVE_MS_MAX * 1000000LL;
    while (!(group_is_quiet(&front->data, false) && group_is_quiet(&front->admin, false)) && clock_steady_ns() < until_ns)
        pause_ms(1);
    pause_ms(GRACE_MS);
}

/* After the socket no lane gets a request; after the dispatchers none is on its way to the pipeline. */
static void group_close(struct group *group)
{
    atomic_store(&group->closing, true);
    while (atomic_load(&group->inside) > 0)
        pause_ms(1);
    if (group->is_open)
        nng_close(group->socket);
    if (group->receipts.ring)
        receipts_close(&group->receipts);
    for (uint32_t i = 0; i < group->dispatcher_count; i++)
        thread_join(&group->dispatchers[i].thread);
    while (!group_is_quiet(group, true))
        pause_ms(1);
    for (uint32_t i = 0; i < group->lane_count; i++)
        if (group->lanes[i].aio) {
            nng_aio_stop(group->lanes[i].aio);
            nng_aio_free(group->lanes[i].aio);
        }
    receipts_fini(&group->receipts);
    memory_give(group->lanes);
    if (group->lock_ready)
        pthread_mutex_destroy(&group->lock);
}

void server_front_close(struct server_front **front_p)
{
    struct server_front *front = *front_p;
    if (!front)
        return;
    MUST(front->magic == (unsigned)FRONT_MAGIC);
    watch_close(front);
    group_close(&front->data);
    group_close(&front->admin);
    if (front->tls)
        nng_tls_config_free(front->tls);
    memory_give(front);
    *front_p = NULL;
}

void server_front_count(struct server_front *front, struct server_front_counts *out)
{
    MUST(front->magic == (unsigned)FRONT_MAGIC);
    *out = (struct server_front_counts){
        .connections = atomic_load(&front->data.connections) + atomic_load(&front->admin.connections),
        .connections_refused = atomic_load(&front->connections_refused),
        .requests_refused = atomic_load(&front->requests_refused),
        .replies_not_taken = atomic_load(&front->replies_not_taken),
    };
    pthread_mutex_lock(&front->data.lock);
    out->working = front->data.working;
    pthread_mutex_unlock(&front->data.lock);
}
