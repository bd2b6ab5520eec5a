/* One REQ socket per server, dialled for as long as the client lives. RESENDTIME is infinite: nng then tells a lost
 * connection to the call (NNG_ECONNRESET) instead of sending again by itself, and call.c decides. */
#include "client/client.h"

#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

enum { REDIAL_MS_MIN = 20, REDIAL_MS_MAX = 500, SHUN_MS = 2000 };

static void pipe_changed(nng_pipe pipe, nng_pipe_ev event, void *argument)
{
    struct server *server = argument;
    (void)pipe;
    if (event == NNG_PIPE_EV_ADD_POST)
        atomic_fetch_add(&server->connections, 1);
    else if (event == NNG_PIPE_EV_REM_POST)
        atomic_fetch_sub(&server->connections, 1);
}

/* The host of "tls+tcp://HOST:PORT", without brackets. */
static void host_of(char *out, size_t out_bytes, const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    const char *end = *host == '[' ? strchr(host, ']') : strrchr(host, ':');
    host += *host == '[';
    snprintf(out, out_bytes, "%.*s", (int)(end && end > host ? (size_t)(end - host) : strlen(host)), host);
}

/* nng checks no name unless it is told one. */
static int tls_set_up(nng_dialer dialer, const char *url, const struct sluice_options *options)
{
    char host[256];
    nng_tls_config *tls = NULL;
    host_of(host, sizeof host, url);
    int failed = nng_tls_config_alloc(&tls, NNG_TLS_MODE_CLIENT);
    if (failed != 0)
        return failed;
    if ((failed = nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_REQUIRED)) == 0 &&
        (failed = nng_tls_config_server_name(tls, options->tls_server_name ? options->tls_server_name : host)) == 0 &&
        (!options->tls_ca_file || (failed = nng_tls_config_ca_file(tls, options->tls_ca_file)) == 0))
        failed = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls);
    nng_tls_config_free(tls); /* the dialer holds its own */
    return failed;
}

static int socket_set_up(struct server *server, const struct sluice_options *options)
{
    nng_dialer dialer;
    int failed;
    if ((failed = nng_socket_set_ms(server->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE)) != 0 ||
        (failed = nng_socket_set_ms(server->socket, NNG_OPT_RECONNMINT, REDIAL_MS_MIN)) != 0 ||
        (failed = nng_socket_set_ms(server->socket, NNG_OPT_RECONNMAXT, REDIAL_MS_MAX)) != 0 ||
        (failed = nng_socket_set_size(server->socket, NNG_OPT_RECVMAXSZ, REPLY_BYTES_MAX)) != 0 ||
        (failed = nng_pipe_notify(server->socket, NNG_PIPE_EV_ADD_POST, pipe_changed, server)) != 0 ||
        (failed = nng_pipe_notify(server->socket, NNG_PIPE_EV_REM_POST, pipe_changed, server)) != 0 ||
        (failed = nng_dialer_create(&dialer, server->socket, server->url)) != 0)
        return failed;
    if (strncmp(server->url, "tls", 3) == 0 && (failed = tls_set_up(dialer, server->url, options)) != 0)
        return failed;
    return nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
}

int server_open(struct server *server, const char *url, const struct sluice_options *options, char *error, size_t error_bytes)
{
    if (!(server->url = memory_copy_text(url)))
        return SLUICE_MEMORY;
    int failed = nng_req0_open(&server->socket);
    if (failed == 0)
        failed = socket_set_up(server, options);
    if (failed == 0)
        return SLUICE_OK;
    snprintf(error, error_bytes, "cannot dial %s: %s", url, nng_strerror(failed));
    return failed == NNG_ENOMEM ? SLUICE_MEMORY : SLUICE_ARGUMENT;
}

void server_close(struct server *server)
{
    if (server->socket.id)
        nng_close(server->socket);
    server->socket = (nng_socket)NNG_SOCKET_INITIALIZER;
    memory_give(server->url);
    server->url = NULL;
}

static int64_t hello_integer(const struct sluice_reply *reply, const char *key, int64_t fallback)
{
    struct wire_value limits, value;
    if (!wire_find(&limits, reply_top(reply), "limits") || limits.type != WIRE_MAP || !wire_find(&value, &limits, key) ||
        value.type != WIRE_INT || value.integer <= 0)
        return fallback;
    return value.integer;
}

static int hello_take(struct server *server, const struct sluice_reply *reply, char *error, size_t error_bytes)
{
    int64_t version = sluice_reply_integer(reply, "v", 0);
    if (version != SLUICE_PROTOCOL) {
        snprintf(error, error_bytes, "%s speaks protocol %lld, not %d", server->url, (long long)version, SLUICE_PROTOCOL);
        return SLUICE_PROTOCOL_ERROR;
    }
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    int64_t rows_max = hello_integer(reply, "rows", limits.rows_max);
    server->message_bytes_max = (size_t)hello_integer(reply, "message_bytes", (int64_t)limits.message_bytes_max);
    server->rows_max = rows_max < UINT32_MAX ? (uint32_t)rows_max : UINT32_MAX;
    server->in_flight_max = (uint32_t)hello_integer(reply, "in_flight", 0) & INT32_MAX;
    atomic_store(&server->greeted, true);
    return SLUICE_OK;
}

static void hello_write(struct wire_buffer *out, const struct sluice_client *client)
{
    wire_pack_map(out, 4);
    wire_pack_text(out, "v");
    wire_pack_i64(out, SLUICE_PROTOCOL);
    wire_pack_text(out, "op");
    wire_pack_text(out, "hello");
    wire_pack_text(out, "tenant");
    wire_pack_text(out, client->tenant);
    wire_pack_text(out, "token");
    wire_pack_text(out, client->token);
}

static int hello_ask(struct sluice_client *client, struct server *server, int64_t wait_ms, char *error, size_t error_bytes)
{
    struct wire_buffer request = {0};
    struct sluice_reply *reply = NULL;
    const struct call_wish wish = {.server = server, .timeout_ms = wait_ms < GREETING_MS ? wait_ms : GREETING_MS};
    hello_write(&request, client);
    int result = call_run(client, &request, &wish, &reply);
    if (result == SLUICE_OK)
        result = hello_take(server, reply, error, error_bytes);
    else if (reply)
        snprintf(error, error_bytes, "%s refuses: %s: %s", server->url, sluice_reply_fault(reply), sluice_reply_text(reply));
    else
        snprintf(error, error_bytes, "%s: %s%s", server->url, sluice_error_name(result),
                 strncmp(server->url, "tls", 3) == 0 ? " (or its certificate is not trusted)" : "");
    sluice_reply_free(&reply);
    return result;
}

int server_greet(struct sluice_client *client, struct server *server, int64_t wait_ms, char *error, size_t error_bytes)
{
    char unread[1];
    if (atomic_load(&server->greeted))
        return SLUICE_OK;
    int result = SLUICE_OK;
    pthread_mutex_lock(&client->greet_lock);
    if (!atomic_load(&server->greeted))
        result = hello_ask(client, server, wait_ms, error ? error : unread, error ? error_bytes : sizeof unread);
    if (result != SLUICE_OK)
        atomic_store(&server->shunned_until_ns, clock_steady_ns() + SHUN_MS * 1000000LL);
    pthread_mutex_unlock(&client->greet_lock);
    return result;
}

static bool server_answers(const struct server *server)
{
    return atomic_load(&server->greeted) && atomic_load(&server->connections) > 0;
}

/* Of those that answer; equals take turns. NULL: none. */
static struct server *least_loaded(struct sluice_client *client)
{
    struct server *best = NULL;
    size_t first = client->server_count > 1 ? (size_t)(atomic_fetch_add(&client->turn, 1) % client->server_count) : 0;
    for (size_t i = 0; i < client->server_count; i++) {
        struct server *server = &client->servers[(first + i) % client->server_count];
        if (server_answers(server) && (!best || atomic_load(&server->in_flight) < atomic_load(&best->in_flight)))
            best = server;
    }
    return best;
}

static void greet_newcomers(struct sluice_client *client, int64_t wait_ms)
{
    for (size_t i = 0; i < client->server_count; i++) {
        struct server *server = &client->servers[i];
        if (!atomic_load(&server->greeted) && atomic_load(&server->connections) > 0 &&
            clock_steady_ns() > atomic_load(&server->shunned_until_ns))
            server_greet(client, server, wait_ms, NULL, 0);
    }
}

int servers_ready(struct sluice_client *client, bool pinned, int64_t wait_ms)
{
    if (!pinned && client->server_count > 1)
        greet_newcomers(client, wait_ms);
    for (size_t i = 1; !pinned && i < client->server_count; i++)
        if (server_answers(&client->servers[i]))
            return SLUICE_OK;
    return server_greet(client, &client->servers[0], wait_ms, NULL, 0);
}

struct server *server_pick(struct sluice_client *client, bool pinned)
{
    struct server *best = pinned || client->server_count == 1 ? NULL : least_loaded(client);
    return best ? best : &client->servers[0];
}
