/* One request until its answer. The bytes, and with them the id, stay the same over every resend, so that a resend is
 * harmless. Network steps (send, receive, pause) run on nng's threads and only chain; what to do with their outcome is
 * decided by call_step, on the blocked caller's thread or, for asynchronous calls, on the client's own. nng 1.5 does not
 * bear a socket closed beside an operation on one of its contexts: closing aborts every call and waits for its end first. */
#include "client/client.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"

enum call_state { CALL_NEW, CALL_SEND, CALL_RECEIVE, CALL_PAUSE };
/* What is being sent: the request; behind its time-out the question how it stands, then the recorded reply or the request again. */
enum call_phase { PHASE_REQUEST, PHASE_STATUS, PHASE_RESULT, PHASE_AGAIN };

struct call {
    struct sluice_client *client;
    struct server *server; /* where this attempt went; NULL before the first */
    nng_ctx context;
    nng_aio *aio;
    nng_aio *pause; /* of its own: a sleep leaves an aio that ends its next time-out with success and no message */
    struct wire_buffer request, question;
    struct call_wish wish;
    int64_t deadline_ns, end_ns; /* end: of all phases behind the first */
    enum call_phase phase;
    unsigned disconnects;
    enum call_state state;
    bool ready;                             /* of a blocking call: its network step is over */
    struct call *next;                      /* of an asynchronous one that is ready */
    struct call *live_next, *live_previous; /* of all asynchronous ones */
    int error;
    struct sluice_reply *reply;
};

static _Thread_local bool on_call_thread;

static int64_t call_left_until_ms(int64_t until_ns)
{
    int64_t left = (until_ns - clock_steady_ns() + 999999) / 1000000;
    return left > 0 ? left : 0;
}

static int64_t call_left_ms(const struct call *call)
{
    return call_left_until_ms(call->deadline_ns);
}

static void call_is_ready(struct call *call)
{
    struct sluice_client *client = call->client;
    pthread_mutex_lock(&client->lock);
    if (!call->wish.done)
        call->ready = true;
    else if (client->ready_last)
        client->ready_last->next = call;
    else
        client->ready_first = call;
    if (call->wish.done)
        client->ready_last = call;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

static void call_abort(struct call *call)
{
    nng_aio_abort(call->aio, NNG_ECLOSED);
    nng_aio_abort(call->pause, NNG_ECLOSED);
}

/* After every beginning of a network step: one that began beside calls_abort sees that the client closes. */
static void call_abort_if_closing(struct call *call)
{
    if (atomic_load(&call->client->closing))
        call_abort(call);
}

static void network_step_over(void *argument) /* nng's thread */
{
    struct call *call = argument;
    if (call->state != CALL_SEND || nng_aio_result(call->aio) != 0) {
        call_is_ready(call);
        return;
    }
    call->state = CALL_RECEIVE;
    nng_aio_set_timeout(call->aio, (nng_duration)call_left_ms(call));
    nng_ctx_recv(call->context, call->aio);
    call_abort_if_closing(call);
}

static void call_leave_server(struct call *call)
{
    if (!call->server)
        return;
    nng_ctx_close(call->context);
    atomic_fetch_sub(&call->server->in_flight, 1);
    call->server = NULL;
}

static int call_enter_server(struct call *call, struct server *server)
{
    if (call->server == server)
        return SLUICE_OK;
    call_leave_server(call);
    int failed = nng_ctx_open(&call->context, server->socket);
    if (failed != 0)
        return failed == NNG_ENOMEM ? SLUICE_MEMORY : SLUICE_UNREACHABLE;
    atomic_fetch_add(&server->in_flight, 1);
    call->server = server;
    return SLUICE_OK;
}

static bool may_move(const struct call *call) /* to another server */
{
    return !call->wish.server && !call->wish.pinned && call->client->server_count > 1;
}

static int64_t send_wait_ms(const struct call *call)
{
    int64_t left = call_left_ms(call);
    return may_move(call) && left > MOVE_MS ? MOVE_MS : left;
}

/* 0: under way, network_step_over will follow. Otherwise nothing is under way. */
static int call_attempt(struct call *call, struct server *server)
{
    nng_msg *message = NULL;
    const struct wire_buffer *bytes = call->phase == PHASE_STATUS || call->phase == PHASE_RESULT ? &call->question : &call->request;
    int error = call_enter_server(call, server);
    if (error != SLUICE_OK)
        return error;
    if (nng_msg_alloc(&message, bytes->bytes) != 0)
        return SLUICE_MEMORY;
    memcpy(nng_msg_body(message), bytes->data, bytes->bytes);
    call->state = CALL_SEND;
    nng_aio_set_msg(call->aio, message);
    nng_aio_set_timeout(call->aio, (nng_duration)send_wait_ms(call));
    nng_ctx_send(call->context, call->aio);
    call_abort_if_closing(call);
    return SLUICE_OK;
}

static int call_again(struct call *call)
{
    return call_attempt(call, call->wish.server ? call->wish.server : server_pick(call->client, call->wish.pinned));
}

static int call_disconnected(struct call *call)
{
    if (++call->disconnects >= DISCONNECTS_MAX)
        return SLUICE_UNREACHABLE;
    return call_again(call);
}

/* --- behind a time-out ------------------------------------------------------------------------------------------------ */

/* The request's own bytes say whose it is and what it is called. */
static struct wire_value request_value(const struct call *call, const char *key)
{
    struct wire_value map, value = {0};
    const unsigned char *at = (const unsigned char *)call->request.data;
    MUST(wire_next(&map, &at, at + call->request.bytes) && wire_find(&value, &map, key));
    return value;
}

static int call_question(struct call *call, enum call_phase phase)
{
    static const char *const keys[] = {"tenant", "token", "batch"};
    struct wire_buffer *out = &call->question;
    sluice_reply_free(&call->reply);
    out->bytes = 0;
    wire_pack_map(out, 2 + sizeof keys / sizeof *keys);
    wire_pack_text(out, "v");
    wire_pack_i64(out, SLUICE_PROTOCOL);
    wire_pack_text(out, "op");
    wire_pack_text(out, op_names[phase == PHASE_STATUS ? OP_status : OP_result]);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        wire_pack_text(out, keys[i]);
        wire_pack_str(out, request_value(call, keys[i]).text);
    }
    call->phase = phase;
    return out->failed ? SLUICE_MEMORY : call_again(call);
}

static int call_repeat(struct call *call)
{
    sluice_reply_free(&call->reply);
    call->phase = PHASE_AGAIN;
    call->deadline_ns = call->end_ns;
    return call_again(call);
}

/* Half of what is added goes to the question, so that a server that says nothing to it still gets the request again. */
static int call_timed_out(struct call *call)
{
    if (call->phase == PHASE_STATUS || call->phase == PHASE_RESULT)
        return call_left_until_ms(call->end_ns) > 0 ? call_repeat(call) : SLUICE_TIMEOUT;
    if (!call->wish.is_recorded || call->phase == PHASE_AGAIN)
        return SLUICE_TIMEOUT;
    int64_t now_ns = clock_steady_ns(), added_ms = call->wish.timeout_ms / RECOVER_PART;
    added_ms = added_ms < RECOVER_MS_MAX ? added_ms : RECOVER_MS_MAX;
    call->end_ns = now_ns + added_ms * 1000000;
    call->deadline_ns = now_ns + added_ms * 500000;
    return call_question(call, PHASE_STATUS);
}

/* Its name may stand for another op's batch, and its id may have been used before: such a reply is not this call's. */
static bool is_own_result(const struct call *call)
{
    const char *id = sluice_reply_string(call->reply, "id"), *op = sluice_reply_string(call->reply, "op");
    return !sluice_reply_fault(call->reply) && id && op && text_equal(text_of(id), request_value(call, "id").text) &&
           text_equal(text_of(op), request_value(call, "op").text) && sluice_reply_rows(call->reply) == call->wish.row_count;
}

static int call_recovers(struct call *call, bool *out_over)
{
    const char *state = sluice_reply_fault(call->reply) ? NULL : sluice_reply_string(call->reply, "state");
    *out_over = call->phase == PHASE_RESULT && is_own_result(call);
    if (*out_over)
        return SLUICE_OK;
    bool is_recorded = call->phase == PHASE_STATUS && state && strcmp(state, "recorded") == 0;
    return is_recorded ? call_question(call, PHASE_RESULT) : call_repeat(call);
}

/* false in *out_over: another step is under way. */
static int call_answered(struct call *call, bool *out_over)
{
    struct fault_note note = {0};
    *out_over = true;
    nng_msg *message = nng_aio_get_msg(call->aio);
    nng_aio_set_msg(call->aio, NULL);
    sluice_reply_free(&call->reply);
    enum fault fault = reply_read(&call->reply, message, &note);
    if (fault != FAULT_NONE)
        return fault == FAULT_memory ? SLUICE_MEMORY : SLUICE_PROTOCOL_ERROR;
    if (call->phase == PHASE_STATUS || call->phase == PHASE_RESULT)
        return call_recovers(call, out_over);
    if (!sluice_reply_fault(call->reply))
        return SLUICE_OK;
    int64_t pause_ms = sluice_reply_retry_after_ms(call->reply);
    if (!reply_says_come_again(call->reply) || pause_ms >= call_left_ms(call))
        return SLUICE_FAULT;
    *out_over = false;
    call->state = CALL_PAUSE;
    nng_sleep_aio((nng_duration)pause_ms, call->pause);
    call_abort_if_closing(call);
    return SLUICE_OK;
}

/* After a network step. false: another one is under way; true: it is over, error and reply are set. */
static bool call_step_over(struct call *call)
{
    nng_aio *aio = call->state == CALL_PAUSE ? call->pause : call->aio;
    nng_aio_wait(aio); /* network_step_over has returned */
    int result = nng_aio_result(aio);
    enum call_state state = call->state;
    if (state == CALL_SEND) { /* only failures come here */
        nng_msg_free(nng_aio_get_msg(call->aio));
        nng_aio_set_msg(call->aio, NULL);
        call->error = result == NNG_ENOMEM ? SLUICE_MEMORY : SLUICE_UNREACHABLE;
        if (result == NNG_ETIMEDOUT && may_move(call) && call_left_ms(call) > 0)
            call->error = call_again(call);
    } else if (state == CALL_PAUSE) {
        call->error = result == 0 ? call_again(call) : SLUICE_UNREACHABLE;
    } else if (result == 0) {
        bool over;
        call->error = call_answered(call, &over);
        return over || call->error != SLUICE_OK;
    } else if (result == NNG_ECONNRESET) {
        call->error = call_disconnected(call);
    } else {
        call->error = result == NNG_ETIMEDOUT ? call_timed_out(call) : result == NNG_ENOMEM ? SLUICE_MEMORY : SLUICE_UNREACHABLE;
    }
    return call->error != SLUICE_OK;
}

/* Behind a time-out the first sending may have been recorded, whatever the later ones met: only a lasting refusal is an answer. */
static bool is_unknown(const struct call *call)
{
    if (call->phase == PHASE_REQUEST || atomic_load(&call->client->closing))
        return false;
    return call->error == SLUICE_UNREACHABLE ||
           (call->error == SLUICE_FAULT && fault_is_transient(fault_from_name(sluice_reply_fault(call->reply))));
}

static bool call_step(struct call *call)
{
    bool over = call_step_over(call);
    if (over && is_unknown(call)) {
        sluice_reply_free(&call->reply);
        call->error = SLUICE_TIMEOUT;
    }
    return over;
}

static void call_give(struct call *call)
{
    if (!call)
        return;
    nng_aio_free(call->aio);
    nng_aio_free(call->pause);
    call_leave_server(call);
    wire_buffer_fini(&call->request);
    wire_buffer_fini(&call->question);
    memory_give(call);
}

static void call_wait(struct call *call)
{
    struct sluice_client *client = call->client;
    do {
        pthread_mutex_lock(&client->lock);
        while (!call->ready)
            pthread_cond_wait(&client->changed, &client->lock);
        call->ready = false;
        pthread_mutex_unlock(&client->lock);
    } while (!call_step(call));
}

static int call_new(struct call **out, struct sluice_client *client, struct wire_buffer *request, const struct call_wish *wish)
{
    struct call *call = memory_take_zeroed(1, sizeof *call);
    if (!call || nng_aio_alloc(&call->aio, network_step_over, call) != 0 || nng_aio_alloc(&call->pause, network_step_over, call) != 0) {
        if (call)
            nng_aio_free(call->aio);
        memory_give(call);
        return SLUICE_MEMORY;
    }
    call->client = client;
    call->wish = *wish;
    call->request = *request;
    call->deadline_ns = clock_steady_ns() + wish->timeout_ms * 1000000;
    *request = (struct wire_buffer){0};
    *out = call;
    return SLUICE_OK;
}

/* What the server would answer by closing the connection is told before sending. */
static int call_fits(const struct call *call, const struct server *server, struct sluice_reply **out)
{
    struct fault_note note = {0};
    if (call->wish.server) /* hello */
        return SLUICE_OK;
    if (call->request.bytes > server->message_bytes_max)
        fault_set(&note, FAULT_limit, ROW_NONE, COLUMN_NONE, "a message of %zu bytes; the server takes %zu", call->request.bytes,
                  server->message_bytes_max);
    else if (call->wish.row_count > server->rows_max)
        fault_set(&note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%u rows; the server takes %u", call->wish.row_count, server->rows_max);
    return note.fault == FAULT_NONE ? SLUICE_OK : reply_refusal(out, &note);
}

/* The first attempt. 0: under way. */
static int call_begin(struct call *call)
{
    struct server *server = call->wish.server ? call->wish.server : server_pick(call->client, call->wish.pinned);
    int error = call_fits(call, server, &call->reply);
    return error == SLUICE_OK ? call_attempt(call, server) : error;
}

static int call_run_blocking(struct call *call, struct sluice_reply **out)
{
    call->error = call_begin(call);
    if (call->error == SLUICE_OK)
        call_wait(call);
    int error = call->error;
    *out = call->reply;
    call_give(call);
    return error;
}

void client_room_wait(struct sluice_client *client)
{
    pthread_mutex_lock(&client->lock);
    while (client->in_flight >= client->in_flight_max)
        pthread_cond_wait(&client->changed, &client->lock);
    pthread_mutex_unlock(&client->lock);
}

static void room_enter(struct call *call)
{
    struct sluice_client *client = call->client;
    pthread_mutex_lock(&client->lock);
    while (client->in_flight >= client->in_flight_max && !on_call_thread)
        pthread_cond_wait(&client->changed, &client->lock);
    client->in_flight++;
    client->pending++;
    call->live_next = client->live_first;
    if (call->live_next)
        call->live_next->live_previous = call;
    client->live_first = call;
    pthread_mutex_unlock(&client->lock);
}

static void live_remove(struct call *call)
{
    pthread_mutex_lock(&call->client->lock);
    if (call->live_next)
        call->live_next->live_previous = call->live_previous;
    if (call->live_previous)
        call->live_previous->live_next = call->live_next;
    else
        call->client->live_first = call->live_next;
    pthread_mutex_unlock(&call->client->lock);
}

static void room_leave(struct sluice_client *client, size_t in_flight, size_t pending)
{
    pthread_mutex_lock(&client->lock);
    client->in_flight -= in_flight;
    client->pending -= pending;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

static void call_finish(struct call *call) /* an asynchronous one: its room first, so that done may begin the next */
{
    struct sluice_client *client = call->client;
    sluice_done_fn *done = call->wish.done;
    void *context = call->wish.context;
    struct sluice_reply *reply = call->reply;
    int error = call->error;
    live_remove(call);
    call_give(call);
    room_leave(client, 1, 0);
    done(context, error, reply);
    room_leave(client, 0, 1);
}

/* The first attempt is the client's thread's too: an asynchronous call has one owner at a time. */
static void call_run_async(struct call *call)
{
    room_enter(call);
    call->deadline_ns = clock_steady_ns() + call->wish.timeout_ms * 1000000;
    call_is_ready(call);
}

int call_run(struct sluice_client *client, struct wire_buffer *request, const struct call_wish *wish, struct sluice_reply **out)
{
    struct call *call = NULL;
    MUST(client->magic == CLIENT_MAGIC);
    int error = request->failed ? SLUICE_MEMORY : SLUICE_OK;
    if (error == SLUICE_OK && !wish->server && !on_call_thread)
        error = servers_ready(client, wish->pinned, wish->timeout_ms);
    if (error == SLUICE_OK)
        error = call_new(&call, client, request, wish);
    if (error != SLUICE_OK) {
        wire_buffer_fini(request);
        return error;
    }
    if (!wish->done)
        return call_run_blocking(call, out);
    call_run_async(call);
    return SLUICE_OK;
}

void calls_abort(struct sluice_client *client)
{
    pthread_mutex_lock(&client->lock);
    atomic_store(&client->closing, true);
    for (struct call *call = client->live_first; call; call = call->live_next)
        call_abort(call);
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

static struct call *ready_pop(struct sluice_client *client) /* NULL: the client closes and nothing is left */
{
    pthread_mutex_lock(&client->lock);
    while (!client->ready_first && !(atomic_load(&client->closing) && client->pending == 0))
        pthread_cond_wait(&client->changed, &client->lock);
    struct call *call = client->ready_first;
    if (call && !(client->ready_first = call->next))
        client->ready_last = NULL;
    pthread_mutex_unlock(&client->lock);
    if (call)
        call->next = NULL;
    return call;
}

void call_thread_run(void *argument)
{
    struct sluice_client *client = argument;
    struct call *call;
    on_call_thread = true;
    while ((call = ready_pop(client)) != NULL) {
        bool is_new = call->state == CALL_NEW;
        if (is_new)
            call->error = call_begin(call);
        if (is_new ? call->error != SLUICE_OK : call_step(call))
            call_finish(call);
    }
}
