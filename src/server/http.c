/* With http_ops.c the only user of libmicrohttpd. Its callbacks run on its one thread, read counters and build a short text: none
 * waits for the pipeline. A path is taken as it came, undecoded, and must equal one of three, or be an op below /v1/. */
#include "server/http.h"

#include <microhttpd.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/secret.h"
#include "server/http_ops.h"
#include "server/http_watch.h"

enum { HTTP_MAGIC = 0x477b0001, CONNECTIONS_MAX = 32, CONNECTION_BYTES_MAX = 16 << 10, IDLE_S_MAX = 10, TEXT_BYTES_MAX = 1024 };
enum { OPS_CONNECTIONS_MAX = 64, PEM_BYTES_MAX = 256 << 10 };

struct server_http {
    unsigned magic;
    struct MHD_Daemon *daemon;
    struct http_watch *watch;
    struct http_ops *ops; /* NULL: off */
    char *certificate, *key;
    _Atomic(struct pipeline *) pipeline; /* NULL: still starting */
    _Atomic(struct server_front *) front;
};

/* --- what is told ------------------------------------------------------------------------------------------------------- */

static unsigned tell_health(struct server_http *http, char *out, size_t out_bytes)
{
    struct pipeline *pipeline = atomic_load(&http->pipeline);
    bool is_alive = !pipeline || pipeline_alive(pipeline);
    snprintf(out, out_bytes, "%s\n", is_alive ? "ok" : "a stage of the pipeline stands still with work waiting");
    return is_alive ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned tell_ready(struct server_http *http, char *out, size_t out_bytes)
{
    struct pipeline *pipeline = atomic_load(&http->pipeline);
    char why[160] = "starting: history is being rebuilt";
    bool is_ready = pipeline && pipeline_ready(pipeline, why, sizeof why);
    snprintf(out, out_bytes, "%s\n", is_ready ? "ready" : why);
    return is_ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static size_t front_text(struct server_front *front, char *out, size_t out_bytes)
{
    struct server_front_counts counts;
    server_front_count(front, &counts);
    return (size_t)snprintf(
        out, out_bytes,
        "# HELP sluice_connections Open connections.\n# TYPE sluice_connections gauge\nsluice_connections %u\n"
        "# HELP sluice_requests_working Requests taken and not yet answered.\n# TYPE sluice_requests_working gauge\n"
        "sluice_requests_working %u\n"
        "# HELP sluice_connections_refused_total Connections over the cap.\n# TYPE sluice_connections_refused_total counter\n"
        "sluice_connections_refused_total %llu\n"
        "# HELP sluice_requests_refused_total Requests that the sockets refused.\n# TYPE sluice_requests_refused_total counter\n"
        "sluice_requests_refused_total %llu\n"
        "# HELP sluice_replies_not_taken_total Connections closed for not taking replies.\n"
        "# TYPE sluice_replies_not_taken_total counter\nsluice_replies_not_taken_total %llu\n",
        counts.connections, counts.working, (unsigned long long)counts.connections_refused, (unsigned long long)counts.requests_refused,
        (unsigned long long)counts.replies_not_taken);
}

/* The pipeline's text with the sockets' behind it, for libmicrohttpd to free; NULL: memory ran out. */
static struct MHD_Response *metrics_response(struct server_http *http)
{
    struct pipeline *pipeline = atomic_load(&http->pipeline);
    struct server_front *front = atomic_load(&http->front);
    struct wire_buffer text = {0};
    char sockets[TEXT_BYTES_MAX] = "";
    struct MHD_Response *response = NULL;
    size_t sockets_bytes = front ? front_text(front, sockets, sizeof sockets) : 0;
    MUST(sockets_bytes < sizeof sockets);
    if (!pipeline || pipeline_metrics(pipeline, &text) == FAULT_NONE) {
        char *both = memory_take(text.bytes + sockets_bytes);
        if (both && text.bytes)
            memcpy(both, text.data, text.bytes);
        if (both)
            memcpy(both + text.bytes, sockets, sockets_bytes);
        if (both && !(response = MHD_create_response_from_buffer_with_free_callback(text.bytes + sockets_bytes, both, memory_give)))
            memory_give(both);
    }
    wire_buffer_fini(&text);
    return response;
}

/* --- requests ------------------------------------------------------------------------------------------------------------- */

static struct MHD_Response *text_response(const char *text)
{
    return MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response, const char *type)
{
    if (!response)
        return MHD_NO; /* closes the connection */
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    http_watch_answer(connection, 0);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path, const char *method, const char *version,
                              const char *upload, size_t *upload_bytes, void **request)
{
    static const char plain[] = "text/plain; charset=utf-8", prometheus[] = "text/plain; version=0.0.4; charset=utf-8";
    struct server_http *http = context;
    char text[TEXT_BYTES_MAX];
    unsigned status = MHD_HTTP_NOT_FOUND;
    (void)version;
    if (!*request && *upload_bytes == 0)
        http_watch_body(connection);
    if (http->ops && strncmp(path, "/v1/", 4) == 0)
        return http_ops_take(http->ops, connection, path, method, upload, upload_bytes, request);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, text_response("GET and HEAD alone\n"), plain);
    if (strcmp(path, "/metrics") == 0)
        return respond(connection, MHD_HTTP_OK, metrics_response(http), prometheus);
    if (strcmp(path, "/healthz") == 0)
        status = tell_health(http, text, sizeof text);
    else if (strcmp(path, "/readyz") == 0)
        status = tell_ready(http, text, sizeof text);
    else
        snprintf(text, sizeof text, "there are /healthz, /readyz and /metrics\n");
    return respond(connection, status, text_response(text), plain);
}

static size_t leave_encoded(void *context, struct MHD_Connection *connection, char *path)
{
    (void)context;
    (void)connection;
    return strlen(path);
}

static void log_quietly(void *context, const char *format, va_list arguments)
{
    char text[256];
    (void)context;
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_line(LOG_DEBUG, "http", "%s", text);
}

/* --- opening -------------------------------------------------------------------------------------------------------------- */

static int address_find(struct addrinfo **out, const char *listen)
{
    const struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    char host[64];
    const char *colon = strrchr(listen, ':');
    bool is_bracketed = listen[0] == '[' && colon && colon[-1] == ']';
    *out = NULL;
    if (!colon || (size_t)(colon - listen) >= sizeof host)
        return EAI_NONAME;
    snprintf(host, sizeof host, "%.*s", (int)(colon - listen) - 2 * is_bracketed, listen + is_bracketed);
    return getaddrinfo(host, colon + 1, &wanted, out);
}

static void request_ended(void *context, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode why)
{
    (void)context;
    (void)why;
    http_ops_ended(request);
    http_watch_head(connection);
}

static uint32_t connections_most(const struct config *config)
{
    return CONNECTIONS_MAX + (config->http_ops ? (uint32_t)OPS_CONNECTIONS_MAX : 0);
}

static struct MHD_Daemon *daemon_start(struct server_http *http, uint32_t connections_max, const struct addrinfo *address)
{
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG | (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    flags |= http->ops ? MHD_ALLOW_SUSPEND_RESUME : 0;
    flags |= http->key ? MHD_USE_TLS : 0;
    const struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)connections_max, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, (intptr_t)connections_max / 4 * 3, NULL}, /* the others find room */
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES_MAX, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S_MAX, NULL},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_encoded, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_ended, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)http_watch_connection, http->watch},
        {MHD_OPTION_SOCK_ADDR, 0, address->ai_addr},
        {http->key ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, http->certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, http->key},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(flags, 0, NULL, NULL, answer, http, MHD_OPTION_EXTERNAL_LOGGER, log_quietly, NULL, MHD_OPTION_ARRAY, options,
                            MHD_OPTION_END);
}

static enum fault tls_read(struct server_http *http, const struct config *config, struct fault_note *note)
{
    size_t bytes;
    if (!config->http_tls)
        return FAULT_NONE;
    enum fault fault = file_read_all(&http->certificate, &bytes, config->tls_certificate, PEM_BYTES_MAX, note);
    return fault == FAULT_NONE ? file_read_all(&http->key, &bytes, config->tls_key, PEM_BYTES_MAX, note) : fault;
}

static enum fault daemon_open(struct server_http *http, uint32_t connections_max, const char *listen, struct fault_note *note)
{
    struct addrinfo *address;
    int result = address_find(&address, listen);
    if (result == 0)
        http->daemon = daemon_start(http, connections_max, address);
    if (address)
        freeaddrinfo(address);
    if (http->daemon)
        return FAULT_NONE;
    return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "cannot listen for HTTP at %s: %s", listen,
                     result      ? gai_strerror(result)
                     : http->key ? "is the port in use, is the certificate one?"
                                 : "is the port in use?");
}

enum fault server_http_open(struct server_http **out, const struct config *config, struct fault_note *note)
{
    return server_http_open_with(out, config, &http_patience_default, note);
}

enum fault server_http_open_with(struct server_http **out, const struct config *config, const struct http_patience *patience,
                                 struct fault_note *note)
{
    struct server_http *http = memory_take_zeroed(1, sizeof *http);
    *out = http;
    if (!http)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for HTTP");
    http->magic = (unsigned)HTTP_MAGIC;
    enum fault fault = tls_read(http, config, note);
    if (fault == FAULT_NONE && config->http_ops)
        fault = http_ops_open(&http->ops, config, note);
    if (fault == FAULT_NONE)
        fault = http_watch_open(&http->watch, patience, connections_most(config), note);
    if (fault == FAULT_NONE)
        fault = daemon_open(http, connections_most(config), config->http_listen, note);
    if (fault != FAULT_NONE)
        server_http_close(out);
    return fault;
}

void server_http_serve(struct server_http *http, struct pipeline *pipeline, struct server_front *front)
{
    MUST(http->magic == (unsigned)HTTP_MAGIC);
    atomic_store(&http->front, front);
    atomic_store(&http->pipeline, pipeline);
    if (http->ops)
        http_ops_serve(http->ops, pipeline);
}

void server_http_close(struct server_http **http_p)
{
    struct server_http *http = *http_p;
    *http_p = NULL;
    if (!http)
        return;
    MUST(http->magic == (unsigned)HTTP_MAGIC);
    if (http->ops)
        http_ops_stop(http->ops);
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    http_watch_close(&http->watch);
    http_ops_close(&http->ops);
    if (http->key)
        secret_wipe(http->key, strlen(http->key));
    memory_give(http->key);
    memory_give(http->certificate);
    memory_give(http);
}
