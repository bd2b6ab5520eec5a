/* Options are set before the start: what came in between would be without bounds. */
#include "server/listener.h"

#include <errno.h>
#include <nng/transport/ipc/ipc.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { IPC_PERMISSIONS = 0660, GREETING_BYTES = 8, HANG_UP_MS_MAX = 200 };

static int options_set(const struct server_listener *listener)
{
    int result = nng_listener_set_size(listener->listener, NNG_OPT_RECVMAXSZ, listener->received_bytes_max);
    if (result == 0 && listener->is_ipc)
        result = nng_listener_set_int(listener->listener, NNG_OPT_IPC_PERMISSIONS, IPC_PERMISSIONS);
    else if (result == 0)
        result = nng_listener_set_bool(listener->listener, NNG_OPT_TCP_KEEPALIVE, true);
    if (result == 0 && strncmp(listener->url, "tls+tcp:", 8) == 0)
        result = nng_listener_set_ptr(listener->listener, NNG_OPT_TLS_CONFIG, listener->tls);
    return result;
}

/* nng replaces whatever lies at the path of an ipc url. */
static bool path_is_taken(const char *url)
{
    struct stat status;
    return lstat(url + sizeof "ipc://" - 1, &status) == 0 && !S_ISSOCK(status.st_mode);
}

enum fault server_listener_open(struct server_listener *listener, struct fault_note *note)
{
    listener->is_ipc = strncmp(listener->url, "ipc://", 6) == 0;
    if (listener->is_ipc && path_is_taken(listener->url))
        return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "cannot listen at %s: a file that is no socket lies there",
                         listener->url);
    int result = nng_listener_create(&listener->listener, listener->socket, listener->url);
    listener->is_open = result == 0;
    if (result == 0 && (result = options_set(listener)) == 0)
        result = nng_listener_start(listener->listener, 0);
    if (result == 0)
        return FAULT_NONE;
    server_listener_close(listener);
    return fault_set(note, result == NNG_ENOMEM ? FAULT_memory : FAULT_unavailable, ROW_NONE, COLUMN_NONE, "cannot listen at %s: %s",
                     listener->url, nng_strerror(result));
}

void server_listener_close(struct server_listener *listener)
{
    if (listener->is_open)
        nng_listener_close(listener->listener);
    listener->is_open = false;
}

static void patience_set(int fd, int option, long ms)
{
    const struct timeval patience = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    setsockopt(fd, SOL_SOCKET, option, &patience, sizeof patience);
}

/* Greets as a replier, whom a replier has no use for: the listener greets back, and the socket behind it hangs up. A deaf
 * listener greets, too, but nothing comes behind. Who does not even greet in time is busy, which tells nothing. The whole
 * greeting goes out before anything is read, so that the server is never left in the middle of it. */
static bool greeted_is_deaf(int fd)
{
    static const unsigned char greeting[GREETING_BYTES] = {0, 'S', 'P', 0, 0, 0x31 /* REP */, 0, 0};
    unsigned char theirs[GREETING_BYTES];
    patience_set(fd, SO_RCVTIMEO, LISTENER_KNOCK_MS_MAX);
    if (send(fd, greeting, sizeof greeting, MSG_NOSIGNAL) != (ssize_t)sizeof greeting ||
        recv(fd, theirs, sizeof theirs, MSG_WAITALL) != (ssize_t)sizeof theirs)
        return false;
    patience_set(fd, SO_RCVTIMEO, HANG_UP_MS_MAX);
    return recv(fd, theirs, 1, 0) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool server_listener_is_deaf(const struct server_listener *listener)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!listener->is_open || strlen(listener->url) - 6 >= sizeof address.sun_path)
        return true;
    memcpy(address.sun_path, listener->url + 6, strlen(listener->url) - 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return false;                                     /* this process has no more files: no sign of the listener */
    patience_set(fd, SO_SNDTIMEO, LISTENER_KNOCK_MS_MAX); /* of connect as well */
    bool connects = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    bool is_deaf = connects ? greeted_is_deaf(fd) : errno == ECONNREFUSED || errno == ENOENT;
    close(fd);
    return is_deaf;
}
