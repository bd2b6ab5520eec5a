#ifndef SLUICE_TESTS_CONNECT_SERVICE_H
#define SLUICE_TESTS_CONNECT_SERVICE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* An HTTP service on a free port of the loopback that answers as it is told and keeps what it was last asked. */

struct service {
    struct MHD_Daemon *daemon;
    unsigned port;
    atomic_uint status, delay_ms, retry_after_s, fail_next; /* fail_next: so many calls get 503 */
    const char *answer, *location;
    size_t answer_bytes;
    pthread_mutex_t lock;
    atomic_uint calls, connections;
    unsigned at_once, at_once_most;
    char body[65536], key[512], signature[256], kind[64], token[128];
    size_t body_bytes;
};

struct service_call {
    char body[65536];
    size_t bytes;
};

static void service_header(char *out, size_t bytes, struct MHD_Connection *connection, const char *name)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
    snprintf(out, bytes, "%s", value ? value : "");
}

static void service_pause(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static enum MHD_Result service_reply(struct service *service, struct MHD_Connection *connection, struct service_call *call)
{
    pthread_mutex_lock(&service->lock);
    service->calls++;
    if (++service->at_once > service->at_once_most)
        service->at_once_most = service->at_once;
    memcpy(service->body, call->body, call->bytes);
    service->body_bytes = call->bytes;
    service_header(service->key, sizeof service->key, connection, "Idempotency-Key");
    service_header(service->signature, sizeof service->signature, connection, "Sluice-Signature");
    service_header(service->kind, sizeof service->kind, connection, "Content-Type");
    service_header(service->token, sizeof service->token, connection, "Authorization");
    unsigned status = service->fail_next > 0 ? 503 : service->status;
    if (service->fail_next > 0)
        service->fail_next--;
    const char *answer = service->answer, *location = service->location;
    size_t answer_bytes = service->answer_bytes;
    pthread_mutex_unlock(&service->lock);
    service_pause(service->delay_ms);
    struct MHD_Response *response = MHD_create_response_from_buffer(answer_bytes, (void *)answer, MHD_RESPMEM_PERSISTENT);
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", atomic_load(&service->retry_after_s));
    if (service->retry_after_s)
        MHD_add_response_header(response, "Retry-After", seconds);
    if (location)
        MHD_add_response_header(response, "Location", location);
    pthread_mutex_lock(&service->lock);
    service->at_once--;
    pthread_mutex_unlock(&service->lock);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result service_take(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                    const char *version, const char *data, size_t *data_bytes, void **state)
{
    (void)url, (void)method, (void)version;
    struct service_call *call = *state;
    if (!call) {
        *state = calloc(1, sizeof *call);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*data_bytes > 0) {
        if (*data_bytes > sizeof call->body - call->bytes)
            return MHD_NO;
        memcpy(call->body + call->bytes, data, *data_bytes);
        call->bytes += *data_bytes;
        *data_bytes = 0;
        return MHD_YES;
    }
    return service_reply(context, connection, call);
}

static void service_over(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    (void)context, (void)connection, (void)code;
    free(*state);
    *state = NULL;
}

static void service_connection(void *context, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code)
{
    (void)connection, (void)state;
    struct service *service = context;
    pthread_mutex_lock(&service->lock);
    service->connections += code == MHD_CONNECTION_NOTIFY_STARTED;
    pthread_mutex_unlock(&service->lock);
}

static void service_says(struct service *service, unsigned status, const char *answer)
{
    pthread_mutex_lock(&service->lock);
    service->status = status;
    service->answer = answer;
    service->answer_bytes = strlen(answer);
    pthread_mutex_unlock(&service->lock);
}

static bool service_start(struct service *service)
{
    memset(service, 0, sizeof *service);
    pthread_mutex_init(&service->lock, NULL);
    service_says(service, 200, "{}");
    service->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, service_take,
                                       service, MHD_OPTION_NOTIFY_COMPLETED, service_over, NULL, MHD_OPTION_NOTIFY_CONNECTION,
                                       service_connection, service, MHD_OPTION_END);
    if (!service->daemon)
        return false;
    service->port = MHD_get_daemon_info(service->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return true;
}

static void service_stop(struct service *service)
{
    MHD_stop_daemon(service->daemon);
    pthread_mutex_destroy(&service->lock);
}

#endif
