/* A socket's number may be another's once it is closed, so it is shut down under the lock under which its connection is forgotten,
 * which libmicrohttpd does before it closes the socket. */
#include "server/http_watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/thread.h"

enum { WATCH_MAGIC = 0x3a7c0001, TICKS_PER_PATIENCE = 8, TICK_MS_MAX = 500, MS_PER_S = 1000 };

const struct http_patience http_patience_default = {
    .head_ms = 20000, .body_ms = 30000, .stranger_ms = 5000, .answer_ms = 30000, .answer_bytes_per_s = 1 << 20};

struct http_watched {
    struct http_watch *watch;
    int fd;                          /* -1: none; under the lock */
    atomic_int_fast64_t deadline_ns; /* 0: none */
};

struct http_watch {
    unsigned magic;
    struct http_patience patience;
    struct thread thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    uint32_t count;
    struct http_watched watched[];
};

static void late_shut(struct http_watch *watch)
{
    int64_t now_ns = clock_steady_ns();
    for (uint32_t i = 0; i < watch->count; i++) {
        struct http_watched *watched = &watch->watched[i];
        int64_t deadline_ns = atomic_load(&watched->deadline_ns);
        if (watched->fd < 0 || deadline_ns == 0 || now_ns < deadline_ns)
            continue;
        shutdown(watched->fd, SHUT_RDWR);
        atomic_store(&watched->deadline_ns, 0);
        log_line(LOG_DEBUG, "http", "a connection is closed: it took too long");
    }
}

static int64_t tick_ms_of(const struct http_patience *patience)
{
    int64_t least = patience->head_ms < patience->answer_ms ? patience->head_ms : patience->answer_ms;
    int64_t tick_ms = least / TICKS_PER_PATIENCE + 1;
    return tick_ms < TICK_MS_MAX ? tick_ms : TICK_MS_MAX;
}

static void watch_run(void *argument)
{
    struct http_watch *watch = argument;
    int64_t tick_ns = tick_ms_of(&watch->patience) * 1000000;
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        int64_t ns = until.tv_nsec + tick_ns;
        until.tv_sec += ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
        pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
        late_shut(watch);
    }
    pthread_mutex_unlock(&watch->lock);
}

enum fault http_watch_open(struct http_watch **out, const struct http_patience *patience, uint32_t connections_max, struct fault_note *note)
{
    struct http_watch *watch = memory_take_zeroed(1, sizeof *watch + connections_max * sizeof watch->watched[0]);
    *out = watch;
    if (!watch)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for HTTP");
    watch->magic = (unsigned)WATCH_MAGIC;
    watch->patience = *patience;
    watch->count = connections_max;
    for (uint32_t i = 0; i < connections_max; i++)
        watch->watched[i] = (struct http_watched){.watch = watch, .fd = -1};
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->changed, NULL);
    if (thread_start(&watch->thread, "http watch", CPU_ANY, watch_run, watch))
        return FAULT_NONE;
    http_watch_close(out);
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no thread for HTTP");
}

void http_watch_close(struct http_watch **watch_p)
{
    struct http_watch *watch = *watch_p;
    *watch_p = NULL;
    if (!watch)
        return;
    MUST(watch->magic == (unsigned)WATCH_MAGIC);
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    thread_join(&watch->thread);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    watch->magic = 0;
    memory_give(watch);
}

static void deadline_set(struct http_watched *watched, int64_t ms)
{
    if (watched)
        atomic_store(&watched->deadline_ns, clock_steady_ns() + ms * 1000000);
}

void http_watch_connection(void *context, struct MHD_Connection *connection, void **watched_p, enum MHD_ConnectionNotificationCode code)
{
    struct http_watch *watch = context;
    struct http_watched *watched = code == MHD_CONNECTION_NOTIFY_CLOSED ? *watched_p : NULL;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    pthread_mutex_lock(&watch->lock);
    if (watched)
        watched->fd = -1;
    for (uint32_t i = 0; i < watch->count && info && code == MHD_CONNECTION_NOTIFY_STARTED && !watched; i++)
        if (watch->watched[i].fd < 0) {
            watched = &watch->watched[i];
            watched->fd = info->connect_fd;
            deadline_set(watched, watch->patience.head_ms);
        }
    pthread_mutex_unlock(&watch->lock);
    *watched_p = code == MHD_CONNECTION_NOTIFY_STARTED ? watched : NULL;
}

/* NULL: it came when there was no place, and is not watched. */
static struct http_watched *watched_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

void http_watch_head(struct MHD_Connection *connection)
{
    struct http_watched *watched = watched_of(connection);
    deadline_set(watched, watched ? watched->watch->patience.head_ms : 0);
}

void http_watch_body(struct MHD_Connection *connection)
{
    struct http_watched *watched = watched_of(connection);
    deadline_set(watched, watched ? watched->watch->patience.body_ms : 0);
}

void http_watch_refused(struct MHD_Connection *connection)
{
    struct http_watched *watched = watched_of(connection);
    deadline_set(watched, watched ? watched->watch->patience.stranger_ms : 0);
}

void http_watch_works(struct MHD_Connection *connection)
{
    struct http_watched *watched = watched_of(connection);
    if (watched)
        atomic_store(&watched->deadline_ns, 0);
}

void http_watch_answer(struct MHD_Connection *connection, uint64_t bytes)
{
    struct http_watched *watched = watched_of(connection);
    const struct http_patience *patience = watched ? &watched->watch->patience : NULL;
    deadline_set(watched, patience ? patience->answer_ms + (int64_t)(bytes / (uint64_t)patience->answer_bytes_per_s) * MS_PER_S : 0);
}
