/* The public calls. Everything a call sends is packed before it returns: nothing of the caller's is kept. */
#include "client/client.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "client/builder.h"

enum { TIMEOUT_MS_DEFAULT = 60000, IN_FLIGHT_DEFAULT = 16, SERVERS_MAX = 256 };

static int servers_open(struct sluice_client *client, const struct sluice_options *options, char *error, size_t error_bytes)
{
    int result = SLUICE_OK;
    if (!(client->servers = memory_take_zeroed(options->url_count, sizeof *client->servers)))
        result = SLUICE_MEMORY;
    for (size_t i = 0; i < options->url_count && result == SLUICE_OK; i++) {
        result = server_open(&client->servers[i], options->urls[i], options, error, error_bytes);
        client->server_count = i + 1;
    }
    return result;
}

static int client_fill(struct sluice_client *client, const struct sluice_options *options, char *error, size_t error_bytes)
{
    client->tenant = memory_copy_text(options->tenant ? options->tenant : "");
    client->token = memory_copy_text(options->token ? options->token : "");
    client->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS_DEFAULT;
    client->in_flight_max = options->in_flight_max ? options->in_flight_max : IN_FLIGHT_DEFAULT;
    if (!client->tenant || !client->token)
        return SLUICE_MEMORY;
    int result = servers_open(client, options, error, error_bytes);
    if (result == SLUICE_OK && !thread_start(&client->thread, "sluice-calls", CPU_ANY, call_thread_run, client))
        result = SLUICE_MEMORY;
    if (result == SLUICE_OK)
        result = server_greet(client, &client->servers[0], client->timeout_ms, error, error_bytes);
    return result;
}

int sluice_open(struct sluice_client **out, const struct sluice_options *options, char *error, size_t error_bytes)
{
    char unread[1];
    if (!error || error_bytes == 0)
        error = unread, error_bytes = sizeof unread;
    *error = '\0';
    if (!out || !options || !options->urls || options->url_count == 0 || options->url_count > SERVERS_MAX || options->timeout_ms < 0 ||
        options->timeout_ms > INT32_MAX) {
        snprintf(error, error_bytes, "options need 1 to %d urls and a timeout below 2^31 ms", SERVERS_MAX);
        return SLUICE_ARGUMENT;
    }
    struct sluice_client *client = memory_take_zeroed(1, sizeof *client);
    if (!client)
        return SLUICE_MEMORY;
    client->magic = CLIENT_MAGIC;
    pthread_mutex_init(&client->lock, NULL);
    pthread_mutex_init(&client->greet_lock, NULL);
    pthread_cond_init(&client->changed, NULL);
    int result = client_fill(client, options, error, error_bytes);
    if (result == SLUICE_OK)
        *out = client;
    else
        sluice_close(&client);
    return result;
}

void sluice_close(struct sluice_client **client_p)
{
    struct sluice_client *client = *client_p;
    *client_p = NULL;
    if (!client)
        return;
    MUST(client->magic == CLIENT_MAGIC);
    calls_abort(client);
    thread_join(&client->thread);
    for (size_t i = 0; i < client->server_count; i++)
        server_close(&client->servers[i]);
    memory_give(client->servers);
    memory_give(client->tenant);
    memory_give(client->token);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->greet_lock);
    pthread_mutex_destroy(&client->lock);
    client->magic = 0;
    memory_give(client);
}

/* "observe:use" → OP_observe, OBSERVE_use. */
static bool op_read(enum op *op, enum observe_kind *kind, const char *text)
{
    const char *colon = strchr(text, ':');
    *kind = OBSERVE_NONE;
    *op = op_find((struct text){.data = text, .bytes = (uint32_t)(colon ? (size_t)(colon - text) : strlen(text))});
    if (colon)
        for (int i = OBSERVE_NONE + 1; i < OBSERVE_COUNT; i++)
            if (strcmp(colon + 1, observe_names[i]) == 0)
                *kind = (enum observe_kind)i;
    return *op != OP_COUNT && op_carries_rows(*op) && (*op == OP_observe) == (colon != NULL) && (*kind != OBSERVE_NONE) == (colon != NULL);
}

int client_send(struct sluice_client *client, struct batch *batch, int64_t deadline_ms, sluice_done_fn *done, void *context,
                struct sluice_reply **out)
{
    struct wire_buffer request = {0};
    struct fault_note note = {0};
    batch->tenant = text_of(client->tenant);
    enum fault fault = wire_request_write(&request, batch, text_of(client->token), deadline_ms, &note);
    if (fault != FAULT_NONE) {
        wire_buffer_fini(&request);
        return fault == FAULT_memory ? SLUICE_MEMORY : SLUICE_ARGUMENT;
    }
    const struct call_wish wish = {.pinned = op_changes_state(batch->op),
                                   .is_recorded = op_changes_state(batch->op),
                                   .row_count = batch->row_count,
                                   .timeout_ms = client->timeout_ms,
                                   .done = done,
                                   .context = context};
    return call_run(client, &request, &wish, out);
}

uint32_t client_server_in_flight(const struct sluice_client *client)
{
    return client->servers[0].in_flight_max;
}

static int batch_send(struct sluice_client *client, const char *op, const struct sluice_batch *batch, int64_t deadline_ms,
                      sluice_done_fn *done, void *context, struct sluice_reply **out)
{
    struct batch *copy;
    enum op op_code;
    enum observe_kind kind;
    if (!client || !op || !batch || deadline_ms < 0 || !op_read(&op_code, &kind, op))
        return SLUICE_ARGUMENT;
    if (!(copy = memory_take(sizeof *copy)))
        return SLUICE_MEMORY;
    *copy = *builder_batch(batch); /* several calls may use one batch at once */
    copy->op = op_code;
    copy->observe_kind = kind;
    int result = client_send(client, copy, deadline_ms, done, context, out);
    memory_give(copy);
    return result;
}

int sluice_call(struct sluice_client *client, const char *op, const struct sluice_batch *batch, int64_t deadline_ms,
                struct sluice_reply **out)
{
    if (!out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    return batch_send(client, op, batch, deadline_ms, NULL, NULL, out);
}

int sluice_call_async(struct sluice_client *client, const char *op, const struct sluice_batch *batch, int64_t deadline_ms,
                      sluice_done_fn *done, void *context)
{
    return done ? batch_send(client, op, batch, deadline_ms, done, context, NULL) : SLUICE_ARGUMENT;
}

int sluice_wait_all(struct sluice_client *client)
{
    if (!client)
        return SLUICE_ARGUMENT;
    pthread_mutex_lock(&client->lock);
    while (client->pending > 0)
        pthread_cond_wait(&client->changed, &client->lock);
    pthread_mutex_unlock(&client->lock);
    return SLUICE_OK;
}

const char *sluice_error_name(int error)
{
    static const char *const names[] = {"ok",
                                        "the server refused",
                                        "nobody answered",
                                        "no answer in time",
                                        "memory ran out",
                                        "a wrong argument",
                                        "the answer is not of this protocol"};
    return error >= 0 && (size_t)error < sizeof names / sizeof *names ? names[error] : "unknown error";
}
