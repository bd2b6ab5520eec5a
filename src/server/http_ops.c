/* A post belongs to MHD's thread while its bytes come and again when it is resumed, and to ours or the pipeline's while its
 * connection is suspended: nobody else touches it then. MHD must not stop while one is suspended, so stopping waits for all. */
#include "server/http_ops.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/secret.h"
#include "base/thread.h"
#include "server/http_watch.h"
#include "wire/json_wire.h"

enum { OPS_MAGIC = 0x0b500001, BODY_BYTES_FIRST = 16 << 10, BUSY_RETRY_MS = 100, REPLY_FACTOR = 3, DRAIN_FACTOR = 4, STRANGERS_MAX = 16 };

static const char no_token[] = "Authorization must be Bearer and the tenant's token";
static const char too_large[] = "the request has more bytes than limits.message_max";

enum post_state { POST_READING, POST_REQUEST, POST_REPLY, POST_DONE };

struct post {
    struct http_ops *ops;
    struct MHD_Connection *connection;
    enum post_state state;
    enum op op;
    char token[SIGNED_TOKEN_BYTES_MAX + 1];
    char *body;
    size_t body_bytes, body_capacity;
    enum fault refused; /* FAULT_NONE: not; else the body is read and thrown away, and then told */
    const char *refused_text;
    bool is_stranger;                          /* its token is nobody's: it takes no place */
    struct wire_buffer message, reply, answer; /* as msgpack, as msgpack, as JSON */
    struct json_reply told;
};

struct http_ops {
    unsigned magic;
    struct batch_limits limits;
    size_t answer_bytes_max;
    _Atomic(struct pipeline *) pipeline;
    struct queue queue; /* of posts: room for all there may be */
    struct thread thread;
    atomic_bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t open, strangers, suspended; /* posts; under the lock */
    bool lock_ready;
};

/* --- answers ---------------------------------------------------------------------------------------------------------------- */

static unsigned status_of(enum fault fault)
{
    switch (fault) {
    case FAULT_NONE:
        return MHD_HTTP_OK;
    case FAULT_syntax:
    case FAULT_schema:
        return MHD_HTTP_BAD_REQUEST;
    case FAULT_auth:
        return MHD_HTTP_UNAUTHORIZED;
    case FAULT_denied:
        return MHD_HTTP_FORBIDDEN;
    case FAULT_not_found:
        return MHD_HTTP_NOT_FOUND;
    case FAULT_conflict:
        return MHD_HTTP_CONFLICT;
    case FAULT_limit:
        return MHD_HTTP_CONTENT_TOO_LARGE;
    case FAULT_busy:
        return MHD_HTTP_TOO_MANY_REQUESTS;
    case FAULT_deadline:
        return MHD_HTTP_GATEWAY_TIMEOUT;
    default:
        return fault_is_transient(fault) ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* The answer's bytes go to MHD. */
static enum MHD_Result answer_queue(struct MHD_Connection *connection, struct wire_buffer *answer, const struct json_reply *told)
{
    char seconds[24];
    uint64_t response_bytes = answer->bytes;
    struct MHD_Response *response = NULL;
    if (!answer->failed && answer->data)
        response = MHD_create_response_from_buffer_with_free_callback(answer->bytes, answer->data, memory_give);
    if (!response) {
        wire_buffer_fini(answer);
        return MHD_NO; /* closes the connection: whoever asked asks again with the same id */
    }
    *answer = (struct wire_buffer){0};
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (told->fault == FAULT_auth)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (told->retry_after_ms > 0) {
        snprintf(seconds, sizeof seconds, "%lld", (long long)(told->retry_after_ms + 999) / 1000);
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    http_watch_answer(connection, response_bytes);
    enum MHD_Result result = MHD_queue_response(connection, status_of(told->fault), response);
    MHD_destroy_response(response);
    return result;
}

static void fault_answer(struct wire_buffer *out, struct json_reply *told, const struct fault_note *note)
{
    struct wire_buffer reply = {0};
    struct fault_note again = {0};
    wire_buffer_fini(out);
    wire_reply_fault(&reply, text_of(""), note);
    if (reply.failed || wire_json_reply(out, told, reply.data, reply.bytes, SIZE_MAX, &again) != FAULT_NONE)
        out->failed = true;
    wire_buffer_fini(&reply);
}

/* Before a byte of the body is read: MHD then closes the connection behind the answer. */
static enum MHD_Result refuse(struct MHD_Connection *connection, enum fault fault, uint32_t retry_after_ms, const char *text)
{
    struct fault_note note = {.retry_after_ms = retry_after_ms};
    struct wire_buffer answer = {0};
    struct json_reply told;
    fault_set(&note, fault, ROW_NONE, COLUMN_NONE, "%s", text);
    fault_answer(&answer, &told, &note);
    return answer_queue(connection, &answer, &told);
}

/* --- what a request says before its body ------------------------------------------------------------------------------------- */

/* Empty: none that could be one. */
static struct text token_of(struct MHD_Connection *connection)
{
    static const char scheme[] = "Bearer ";
    const char *given = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (!given || strncasecmp(given, scheme, sizeof scheme - 1) != 0 || strlen(given + sizeof scheme - 1) > SIGNED_TOKEN_BYTES_MAX)
        return text_of("");
    return text_of(given + sizeof scheme - 1);
}

static bool is_json(struct MHD_Connection *connection)
{
    static const char json[] = "application/json";
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    return type && strncasecmp(type, json, sizeof json - 1) == 0 && strchr("; ", type[sizeof json - 1]);
}

/* As Content-Length tells it; 0: nothing is told. */
static uint64_t body_bytes_told(struct MHD_Connection *connection)
{
    const char *told = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return !told ? 0 : strlen(told) > 18 ? UINT64_MAX : strtoull(told, NULL, 10);
}

static void post_refuse_behind_body(struct post *post, enum fault fault, const char *text)
{
    if (post->refused == FAULT_NONE) {
        post->refused = fault;
        post->refused_text = text;
    }
    memory_give(post->body);
    post->body = NULL;
}

/* Whose token is known takes a place among HTTP_POSTS_MAX; strangers are so many at the most that are heard out. */
static struct post *post_open(struct http_ops *ops, struct MHD_Connection *connection, bool is_stranger)
{
    uint32_t *count = is_stranger ? &ops->strangers : &ops->open, most = is_stranger ? (uint32_t)STRANGERS_MAX : (uint32_t)HTTP_POSTS_MAX;
    pthread_mutex_lock(&ops->lock);
    bool fits = *count < most;
    *count += fits;
    pthread_mutex_unlock(&ops->lock);
    struct post *post = fits ? memory_take_zeroed(1, sizeof *post) : NULL;
    if (post) {
        post->ops = ops;
        post->connection = connection;
        post->is_stranger = is_stranger;
    } else if (fits) {
        pthread_mutex_lock(&ops->lock);
        --*count;
        pthread_mutex_unlock(&ops->lock);
    }
    return post;
}

static void post_close(struct post *post)
{
    struct http_ops *ops = post->ops;
    uint32_t *count = post->is_stranger ? &ops->strangers : &ops->open;
    secret_wipe(post->token, sizeof post->token);
    memory_give(post->body);
    wire_buffer_fini(&post->message);
    wire_buffer_fini(&post->reply);
    wire_buffer_fini(&post->answer);
    memory_give(post);
    pthread_mutex_lock(&ops->lock);
    --*count;
    pthread_mutex_unlock(&ops->lock);
}

static enum MHD_Result post_begin(struct http_ops *ops, struct MHD_Connection *connection, const char *path, const char *method,
                                  void **request)
{
    enum op op = op_find(text_of(path + sizeof "/v1/" - 1));
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return refuse(connection, FAULT_schema, 0, "an op is asked for with POST");
    if (op == OP_COUNT)
        return refuse(connection, FAULT_not_found, 0, "there is no such op");
    if (!is_json(connection))
        return refuse(connection, FAULT_schema, 0, "Content-Type must be application/json");
    if (atomic_load(&ops->stopping) || !atomic_load(&ops->pipeline))
        return refuse(connection, FAULT_unavailable, BUSY_RETRY_MS, "the server is starting or stopping");
    struct text token = token_of(connection);
    bool is_stranger = token.bytes == 0 || !pipeline_knows_token(atomic_load(&ops->pipeline), token);
    struct post *post = post_open(ops, connection, is_stranger);
    if (!post)
        return is_stranger ? refuse(connection, FAULT_auth, 0, no_token)
                           : refuse(connection, FAULT_busy, BUSY_RETRY_MS, "as many requests as are taken by HTTP are under way");
    post->op = op;
    *request = post; /* from here on http_ops_ended closes it */
    uint64_t told = body_bytes_told(connection), most = ops->limits.message_bytes_max;
    if (is_stranger) {
        post_refuse_behind_body(post, FAULT_auth, no_token);
        http_watch_refused(connection);
    } else {
        text_copy(post->token, sizeof post->token, token);
    }
    if (told > most)
        post_refuse_behind_body(post, FAULT_limit, too_large);
    return told / DRAIN_FACTOR > most ? refuse(connection, FAULT_limit, 0, too_large) : MHD_YES;
}

/* --- the body ----------------------------------------------------------------------------------------------------------------- */

/* MHD takes no answer in the middle of a body, and a client that is still sending may not see one: what is refused is read to its
 * end and thrown away, for as long as a body may take. */
static void body_add(struct post *post, const char *bytes, size_t byte_count)
{
    size_t most = post->ops->limits.message_bytes_max;
    if (post->refused == FAULT_NONE && byte_count > most - post->body_bytes)
        post_refuse_behind_body(post, FAULT_limit, too_large);
    if (post->refused != FAULT_NONE)
        return;
    if (post->body_bytes + byte_count > post->body_capacity) {
        size_t capacity = post->body_capacity ? 2 * post->body_capacity : BODY_BYTES_FIRST;
        capacity = capacity < post->body_bytes + byte_count ? post->body_bytes + byte_count : capacity > most ? most : capacity;
        char *body = memory_resize(post->body, capacity);
        if (!body) {
            post_refuse_behind_body(post, FAULT_memory, "no memory for the request");
            return;
        }
        post->body = body;
        post->body_capacity = capacity;
    }
    memcpy(post->body + post->body_bytes, bytes, byte_count);
    post->body_bytes += byte_count;
}

/* The connection sleeps until the answer is there. */
static enum MHD_Result post_send(struct post *post)
{
    struct http_ops *ops = post->ops;
    if (post->refused != FAULT_NONE)
        return refuse(post->connection, post->refused, 0, post->refused_text);
    pthread_mutex_lock(&ops->lock);
    bool goes = !atomic_load(&ops->stopping);
    ops->suspended += goes;
    pthread_mutex_unlock(&ops->lock);
    if (!goes)
        return refuse(post->connection, FAULT_unavailable, BUSY_RETRY_MS, "the server is stopping");
    post->state = POST_REQUEST;
    http_watch_works(post->connection);
    MHD_suspend_connection(post->connection);
    MUST(queue_try_push(&ops->queue, post));
    return MHD_YES;
}

enum MHD_Result http_ops_take(struct http_ops *ops, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *upload, size_t *upload_bytes, void **request)
{
    MUST(ops->magic == (unsigned)OPS_MAGIC);
    struct post *post = *request;
    if (!post)
        return post_begin(ops, connection, path, method, request);
    if (post->state == POST_DONE)
        return answer_queue(connection, &post->answer, &post->told);
    if (*upload_bytes == 0)
        return post_send(post);
    body_add(post, upload, *upload_bytes);
    *upload_bytes = 0;
    return MHD_YES;
}

void http_ops_ended(void **request)
{
    struct post *post = *request;
    *request = NULL;
    if (post)
        post_close(post);
}

/* --- our thread ---------------------------------------------------------------------------------------------------------------- */

static void post_done(struct post *post)
{
    struct http_ops *ops = post->ops;
    struct MHD_Connection *connection = post->connection;
    wire_buffer_fini(&post->message);
    wire_buffer_fini(&post->reply);
    post->state = POST_DONE;
    MHD_resume_connection(connection); /* the post is MHD's from here on */
    pthread_mutex_lock(&ops->lock);
    if (--ops->suspended == 0)
        pthread_cond_broadcast(&ops->changed);
    pthread_mutex_unlock(&ops->lock);
}

static void post_refuse(struct post *post, const struct fault_note *note)
{
    fault_answer(&post->answer, &post->told, note);
    post_done(post);
}

static void reply_came(void *context, struct wire_buffer *reply) /* a pipeline thread, or ours */
{
    struct post *post = context;
    post->reply = *reply;
    *reply = (struct wire_buffer){0};
    post->state = POST_REPLY;
    MUST(queue_try_push(&post->ops->queue, post));
}

static void post_request(struct post *post)
{
    struct http_ops *ops = post->ops;
    struct fault_note note = {0};
    const struct delivery delivery = {.deliver = reply_came, .context = post};
    enum fault fault = wire_json_request(&post->message, text_of(op_names[post->op]), text_of(post->token), post->body, post->body_bytes,
                                         &ops->limits, &note);
    memory_give(post->body);
    post->body = NULL;
    if (fault != FAULT_NONE)
        post_refuse(post, &note);
    else
        pipeline_request(atomic_load(&ops->pipeline), post->message.data, post->message.bytes, clock_steady_ns(), &delivery);
}

static void post_reply(struct post *post)
{
    struct fault_note note = {0};
    enum fault fault = FAULT_memory;
    if (post->reply.data && !post->reply.failed)
        fault = wire_json_reply(&post->answer, &post->told, post->reply.data, post->reply.bytes, post->ops->answer_bytes_max, &note);
    else
        fault_set(&note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the reply");
    if (fault != FAULT_NONE)
        post_refuse(post, &note);
    else
        post_done(post);
}

static void ops_run(void *argument)
{
    struct http_ops *ops = argument;
    for (struct post *post; (post = queue_pop(&ops->queue)) != NULL;) {
        if (post->state == POST_REQUEST)
            post_request(post);
        else
            post_reply(post);
    }
}

/* --- opening and closing ------------------------------------------------------------------------------------------------------- */

enum fault http_ops_open(struct http_ops **out, const struct config *config, struct fault_note *note)
{
    struct http_ops *ops = memory_take_zeroed(1, sizeof *ops);
    *out = ops;
    if (!ops)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for HTTP");
    ops->magic = (unsigned)OPS_MAGIC;
    ops->limits = config->limits;
    ops->answer_bytes_max = REPLY_FACTOR * pipeline_reply_bytes_max(config);
    pthread_mutex_init(&ops->lock, NULL);
    pthread_cond_init(&ops->changed, NULL);
    ops->lock_ready = true;
    if (queue_init(&ops->queue, HTTP_POSTS_MAX) && thread_start(&ops->thread, "http ops", CPU_ANY, ops_run, ops))
        return FAULT_NONE;
    http_ops_close(out);
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for HTTP");
}

void http_ops_serve(struct http_ops *ops, struct pipeline *pipeline)
{
    MUST(ops->magic == (unsigned)OPS_MAGIC);
    atomic_store(&ops->pipeline, pipeline);
}

void http_ops_stop(struct http_ops *ops)
{
    pthread_mutex_lock(&ops->lock);
    atomic_store(&ops->stopping, true);
    while (ops->suspended > 0)
        pthread_cond_wait(&ops->changed, &ops->lock);
    pthread_mutex_unlock(&ops->lock);
}

void http_ops_close(struct http_ops **ops_p)
{
    struct http_ops *ops = *ops_p;
    *ops_p = NULL;
    if (!ops)
        return;
    MUST(ops->magic == (unsigned)OPS_MAGIC && ops->open == 0 && ops->strangers == 0);
    if (ops->queue.items)
        queue_close(&ops->queue);
    thread_join(&ops->thread);
    queue_fini(&ops->queue);
    pthread_cond_destroy(&ops->changed);
    pthread_mutex_destroy(&ops->lock);
    ops->magic = 0;
    memory_give(ops);
}
