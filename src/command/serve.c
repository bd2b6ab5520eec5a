/* `sluice serve`. The main thread hears signals and feeds the watchdog; a second one, the life thread, opens, reloads and
 * drains, since each of these may take long. What the main thread reads of it is published by the phase. */
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/thread.h"
#include "command/command.h"
#include "compute/opencl.h"
#include "kernels.h"
#include "pipeline/config.h"
#include "pipeline/pipeline.h"
#include "scene/scene_base.h"
#include "server/http.h"
#include "server/notify.h"
#include "server/server.h"

enum serve_status {                         /* exit statuses beside those of every command */
                    SERVE_CANNOT_START = 3, /* ledger, base, device, listeners */
                    SERVE_CUT_SHORT = 4,    /* a second signal ended the drain */
};

enum serve_phase { PHASE_STARTING, PHASE_SERVING, PHASE_DRAINING, PHASE_STOPPED, PHASE_FAILED };

struct serve {
    const char *path;
    bool check_only;
    struct config *config;     /* the running one: the life thread's from its start on */
    struct server_http *http;  /* NULL: off */
    struct pipeline *pipeline; /* from PHASE_SERVING on */
    struct server_front *front;
    struct queue orders; /* of char: to the life thread */
    struct thread life;
    atomic_int phase;
};
static char order_reload, order_drain;

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "The configuration, sluice.yaml by default", 0},
    {"check", 'k', NULL, 0, "Read the configuration and what it names, say what it would do, and end", 0},
    {"verbose", 'v', NULL, 0, "Log more", 0},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct serve *serve = state->input;
    if (key == ARGP_KEY_ARG)
        argp_error(state, "no argument is taken");
    if (key == 'c')
        serve->path = argument;
    else if (key == 'k')
        serve->check_only = true;
    else if (key == 'v')
        log_level_set(LOG_DEBUG);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp serve_argp = {
    .options = options,
    .parser = option_parse,
    .doc = "Screens batches of transfers until it is told to stop.\v"
           "SIGTERM and SIGINT drain: what was taken is answered, then it ends; a second one ends it at once. SIGHUP reads the "
           "configuration and the scene base again. Exit status: 0 stopped, 2 wrong usage or configuration, 3 could not start, "
           "4 a second signal cut the drain short.",
};

/* --- what is said ------------------------------------------------------------------------------------------------------- */

static void say_listeners(const struct config *config)
{
    for (uint32_t i = 0; i < config->data_listen_count; i++)
        log_line(LOG_INFO, "serve", "data listener %s", config->data_listen[i]);
    for (uint32_t i = 0; i < config->admin_listen_count; i++)
        log_line(LOG_INFO, "serve", "admin listener %s", config->admin_listen[i]);
    if (config->admin_listen_count == 0)
        log_line(LOG_WARN, "serve", "no admin listener: hello, health and stats share the data listeners");
    if (config->http_listen[0])
        log_line(LOG_INFO, "serve", "http%s://%s with /healthz, /readyz and /metrics%s", config->http_tls ? "s" : "", config->http_listen,
                 config->http_ops ? ", ops below /v1/" : "");
    else
        log_line(LOG_WARN, "serve", "no listen.http: no /healthz, /readyz, /metrics");
}

static void say_memory(const struct config *config)
{
    log_line(LOG_INFO, "serve", "memory: at most %.2f GiB, computed from the configuration",
             (double)pipeline_memory_total(config) / (1 << 30));
}

static void say_what_is_on(const struct config *config)
{
    struct kernels kernels;
    char digest[33];
    kernels_select(&kernels, config->cpu_mask);
    digest_to_hex(digest, config->digest);
    log_line(LOG_INFO, "serve", "sluice %s, configuration %s, digest %s", SLUICE_VERSION, config->source, digest);
    say_memory(config);
    say_listeners(config);
    log_line(LOG_INFO, "serve", "device %s, kernels %s; ledger %s; tenants: %u", config->device,
             strcmp(config->device, "ref") == 0 ? "ref" : kernels.name, config->ledger_folder, config->tenant_count);
    if (config->base_path[0])
        log_line(LOG_INFO, "serve", "scene base %s", config->base_path);
    else
        log_line(LOG_WARN, "serve", "no scene base: only the checks decide");
}

/* --- the life thread ------------------------------------------------------------------------------------------------------ */

static void serve_begin(struct serve *serve)
{
    struct fault_note note = {0};
    enum fault fault = pipeline_open(&serve->pipeline, serve->config, &note);
    if (fault == FAULT_NONE)
        fault = server_front_open(&serve->front, serve->config, serve->pipeline, &note);
    if (fault != FAULT_NONE) {
        log_line(LOG_ERROR, "serve", "cannot start: %s (%s)", note.text, fault_name(fault));
        atomic_store(&serve->phase, PHASE_FAILED);
        return;
    }
    if (serve->http)
        server_http_serve(serve->http, serve->pipeline, serve->front);
    atomic_store(&serve->phase, PHASE_SERVING);
    log_line(LOG_INFO, "serve", "ready");
    server_notify_ready("ready");
}

/* A key that is only read at start: the running value goes into next. */
#define KEEP(member, name) kept |= keep(&next->member, &serve->config->member, sizeof next->member, name)

static bool keep(void *next, const void *running, size_t bytes, const char *name)
{
    if (memcmp(next, running, bytes) == 0)
        return false;
    log_line(LOG_WARN, "serve", "%s changed: it is read at start alone, the running value stays", name);
    memcpy(next, running, bytes);
    return true;
}

static void keep_what_start_fixed(struct serve *serve, struct config *next)
{
    bool kept = false;
    KEEP(data_listen_count, "listen.data");
    KEEP(data_listen, "listen.data");
    KEEP(admin_listen_count, "listen.admin");
    KEEP(admin_listen, "listen.admin");
    KEEP(http_listen, "listen.http");
    KEEP(http_ops, "listen.http_ops");
    KEEP(http_tls, "listen.http_tls");
    KEEP(tls_certificate, "listen.tls_certificate");
    KEEP(tls_key, "listen.tls_key");
    KEEP(ledger_folder, "ledger");
    KEEP(limits, "limits");
    KEEP(history, "history");
    KEEP(workers, "workers");
    KEEP(pin_workers, "pin_workers");
    KEEP(in_flight_max, "in_flight_max");
    KEEP(connections_max, "connections_max");
    KEEP(queue_wait_ms_max, "queue_wait_max");
    KEEP(memory_max, "memory_max");
    KEEP(snapshot_interval_s, "snapshot_interval");
    KEEP(retention_s, "retention");
    KEEP(commit_batches_max, "commit_batches_max");
    if (kept)
        log_line(LOG_WARN, "serve", "restart for the rest of the changes");
}

static void serve_reload(struct serve *serve)
{
    struct fault_note note = {0};
    struct config *next;
    server_notify_reloading();
    enum fault fault = config_open(&next, serve->path, &note);
    if (fault == FAULT_NONE) {
        keep_what_start_fixed(serve, next);
        fault = pipeline_reload(serve->pipeline, next, &note);
    }
    if (fault == FAULT_NONE) {
        config_close(&serve->config);
        serve->config = next;
        log_line(LOG_INFO, "serve", "configuration read again; tenants: %u; base %s", next->tenant_count,
                 next->base_path[0] ? next->base_path : "none");
    } else {
        config_close(&next);
        log_line(LOG_ERROR, "serve", "configuration refused, the running one stays: %s (%s)", note.text, fault_name(fault));
    }
    server_notify_ready(fault == FAULT_NONE ? "ready" : "ready; the last configuration was refused");
}

static void serve_drain(struct serve *serve)
{
    int64_t begin_ns = clock_steady_ns();
    log_line(LOG_INFO, "serve", "draining: new requests are answered with unavailable");
    server_front_drain(serve->front);
    log_line(LOG_INFO, "serve", "drained in %lld ms", (long long)((clock_steady_ns() - begin_ns) / 1000000));
    atomic_store(&serve->phase, PHASE_STOPPED);
}

static void life_run(void *argument)
{
    struct serve *serve = argument;
    serve_begin(serve);
    while (atomic_load(&serve->phase) == PHASE_SERVING || atomic_load(&serve->phase) == PHASE_DRAINING) {
        void *order = queue_pop(&serve->orders);
        if (order == &order_reload)
            serve_reload(serve);
        else
            serve_drain(serve);
    }
}

/* --- the main thread ------------------------------------------------------------------------------------------------------ */

/* A signal while starting ends the process as it is: nothing has been taken yet, and the ledger stands a kill. */
static void stop_ordered(struct serve *serve)
{
    int phase = atomic_load(&serve->phase);
    if (phase == PHASE_DRAINING || phase == PHASE_STOPPED) {
        log_line(LOG_WARN, "serve", "second signal: the drain is cut short");
        _exit(SERVE_CUT_SHORT);
    }
    if (phase == PHASE_STARTING) {
        log_line(LOG_INFO, "serve", "stopped while starting");
        _exit(COMMAND_DONE);
    }
    if (phase == PHASE_SERVING && atomic_compare_exchange_strong(&serve->phase, &phase, PHASE_DRAINING)) {
        server_notify_stopping();
        queue_push(&serve->orders, &order_drain);
    }
}

static void watchdog_feed(const struct serve *serve, int64_t watchdog_ms, int64_t *due_ns)
{
    int64_t now_ns = clock_steady_ns();
    int phase = atomic_load(&serve->phase);
    bool has_pipeline = phase == PHASE_SERVING || phase == PHASE_DRAINING;
    if (watchdog_ms == 0 || now_ns < *due_ns || (has_pipeline && !pipeline_alive(serve->pipeline)))
        return;
    server_notify_alive();
    *due_ns = now_ns + watchdog_ms * 1000000 / 3;
}

static void signals_hear(struct serve *serve, const sigset_t *signals)
{
    const struct timespec patience = {.tv_nsec = 50000000};
    int64_t watchdog_ms = server_notify_watchdog_ms(), due_ns = 0;
    for (int phase; (phase = atomic_load(&serve->phase)) != PHASE_STOPPED && phase != PHASE_FAILED;) {
        int signal = sigtimedwait(signals, NULL, &patience);
        if (signal == SIGTERM || signal == SIGINT)
            stop_ordered(serve);
        else if (signal == SIGHUP && queue_count(&serve->orders) == 0)
            queue_push(&serve->orders, &order_reload); /* one that waits reads what is newest anyway */
        watchdog_feed(serve, watchdog_ms, &due_ns);
    }
}

static void signals_block(sigset_t *out)
{
    sigemptyset(out);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGINT);
    sigaddset(out, SIGHUP);
    pthread_sigmask(SIG_BLOCK, out, NULL); /* every later thread inherits this */
    signal(SIGPIPE, SIG_IGN);
}

static int memory_refuse(const struct config *config)
{
    char parts[PARTS_BYTES];
    struct fault_note note = {0};
    if (pipeline_memory_fits(config, parts, sizeof parts, &note))
        return COMMAND_DONE;
    log_line(LOG_ERROR, "serve", "%s", parts);
    return command_fail(COMMAND_REFUSED, "serve", "memory: %s", note.text);
}

/* --check goes as far as a start does without touching the ledger or a port. */
static int serve_check(const struct config *config)
{
    struct scene_base *base = NULL;
    struct fault_note note = {0};
    if (config->base_path[0] && scene_base_open(&base, config->base_path, &note) != FAULT_NONE)
        return command_fail(COMMAND_REFUSED, "serve", "%s", note.text);
    if (base)
        log_line(LOG_INFO, "serve", "scene base %s %s, %u scenes", base->name, base->version, base->scene_count - 1);
    scene_base_close(&base);
    return COMMAND_DONE;
}

static enum fault serve_open(struct serve *serve, struct fault_note *note)
{
    enum fault fault = FAULT_NONE;
    if (serve->config->http_listen[0])
        fault = server_http_open(&serve->http, serve->config, note);
    if (fault == FAULT_NONE && (!queue_init(&serve->orders, 4) || !thread_start(&serve->life, "life", CPU_ANY, life_run, serve)))
        fault = fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to start");
    return fault;
}

/* What the drain left is closed; a signal now ends the process by itself. */
static void serve_close(struct serve *serve, const sigset_t *signals)
{
    signal(SIGHUP, SIG_IGN);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    thread_join(&serve->life);
    server_http_close(&serve->http);
    server_front_close(&serve->front);
    pipeline_close(&serve->pipeline);
    queue_fini(&serve->orders);
}

static int serve_run(struct serve *serve)
{
    sigset_t signals;
    struct fault_note note = {0};
    signals_block(&signals);
    if (serve_open(serve, &note) == FAULT_NONE)
        signals_hear(serve, &signals);
    else
        command_fail(SERVE_CANNOT_START, "serve", "%s", note.text);
    serve_close(serve, &signals);
    if (atomic_load(&serve->phase) != PHASE_STOPPED)
        return SERVE_CANNOT_START;
    log_line(LOG_INFO, "serve", "stopped");
    return COMMAND_DONE;
}

int command_serve(int argc, char **argv)
{
    struct serve serve = {.path = "sluice.yaml"};
    struct fault_note note = {0};
    argp_parse(&serve_argp, argc, argv, 0, NULL, &serve);
    if (!secret_open())
        return command_fail(SERVE_CANNOT_START, "serve", "this system gives no random numbers");
    if (config_open(&serve.config, serve.path, &note) != FAULT_NONE)
        return command_fail(COMMAND_REFUSED, "serve", "%s", note.text);
    opencl_threads_limit(pipeline_worker_count(serve.config));
    say_what_is_on(serve.config);
    int status = memory_refuse(serve.config);
    if (status == COMMAND_DONE)
        status = serve.check_only ? serve_check(serve.config) : serve_run(&serve);
    config_close(&serve.config);
    return status;
}
