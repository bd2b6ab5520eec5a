/* Requests as nng's REQ sends them, over plain sockets: every byte is the test's, nothing is sent again, and a connection is
 * left only after the handshake. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "flow/harness.h"
#include "wire/wire.h"

enum { GREETING_BYTES = 8, REQUEST_ID_BYTES = 4, GREETING_NS = 2000000000 }; /* longest wait for the greeting, also when time is up */

static int connect_to(const char *url)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_ipc = strncmp(url, "ipc://", 6) == 0;
    MUST(is_ipc || strncmp(url, "tcp://127.0.0.1:", 16) == 0);
    int fd = socket(is_ipc ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0);
    if (is_ipc)
        snprintf(local.sun_path, sizeof local.sun_path, "%s", url + 6);
    else
        remote.sin_port = htons((uint16_t)atoi(url + 16));
    if (connect(fd, is_ipc ? (struct sockaddr *)&local : (struct sockaddr *)&remote, is_ipc ? sizeof local : sizeof remote) == 0)
        return fd;
    close(fd);
    return -1;
}

void raw_leave(const char *url, size_t greeting_bytes)
{
    int fd = connect_to(url);
    if (fd >= 0 && greeting_bytes > 0)
        (void)!send(fd, "\0SP\0\0\x30\0", greeting_bytes, MSG_NOSIGNAL);
    close(fd);
}

static bool send_all(int fd, const void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t sent = send(fd, (const char *)bytes + done, count - done, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        done += (size_t)sent;
    }
    return true;
}

/* 1: all there; 0: the other side closed; -1: time is up. */
static int receive_all(int fd, void *out, size_t count, int64_t until_ns)
{
    for (size_t done = 0; done < count;) {
        int64_t left_ms = (until_ns - clock_steady_ns()) / 1000000;
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0 || poll(&readable, 1, (int)left_ms + 1) == 0)
            return -1;
        ssize_t got = recv(fd, (char *)out + done, count - done, 0);
        if (got <= 0)
            return 0;
        done += (size_t)got;
    }
    return 1;
}

static void put_be64(unsigned char out[8], uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(value >> (56 - 8 * i));
}

static uint64_t get_be64(const unsigned char in[8])
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | in[i];
    return value;
}

static int receive_reply(int fd, bool is_ipc, unsigned char *reply, size_t reply_bytes, size_t *got, int64_t until_ns)
{
    unsigned char head[9 + REQUEST_ID_BYTES];
    size_t lead = is_ipc ? 9 : 8;
    int state = receive_all(fd, head, lead + REQUEST_ID_BYTES, until_ns);
    if (state != 1)
        return state;
    uint64_t bytes = get_be64(head + lead - 8);
    MUST(bytes >= REQUEST_ID_BYTES);
    *got = (size_t)bytes - REQUEST_ID_BYTES;
    MUST(*got <= reply_bytes);
    return receive_all(fd, reply, *got, until_ns);
}

int raw_open(const char *url)
{
    static const unsigned char greeting[GREETING_BYTES] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    unsigned char answer[GREETING_BYTES];
    int fd = connect_to(url);
    if (fd < 0)
        return -1;
    if (send_all(fd, greeting, sizeof greeting) && receive_all(fd, answer, sizeof answer, clock_steady_ns() + GREETING_NS) == 1)
        return fd;
    close(fd);
    return -1;
}

bool raw_send(int fd, const char *url, const void *message, size_t bytes)
{
    static const unsigned char request_id[REQUEST_ID_BYTES] = {0x80, 0, 0, 1};
    const bool is_ipc = url[0] == 'i';
    unsigned char head[9] = {1};
    put_be64(head + 1, bytes + REQUEST_ID_BYTES);
    return send_all(fd, head + !is_ipc, sizeof head - !is_ipc) && send_all(fd, request_id, sizeof request_id) &&
           send_all(fd, message, bytes);
}

size_t raw_receive(int fd, const char *url, unsigned char *reply, size_t reply_bytes, int timeout_ms)
{
    size_t got = 0;
    return receive_reply(fd, url[0] == 'i', reply, reply_bytes, &got, clock_steady_ns() + timeout_ms * 1000000LL) == 1 ? got : 0;
}

static int ask_once(const char *url, const void *message, size_t bytes, unsigned char *reply, size_t reply_bytes, size_t *got,
                    int64_t until_ns)
{
    int fd = raw_open(url), state = 0;
    if (fd < 0)
        return 0;
    /* A server that closes over a message too large may do so before all of it is sent. */
    if (raw_send(fd, url, message, bytes))
        state = receive_reply(fd, url[0] == 'i', reply, reply_bytes, got, until_ns);
    close(fd);
    return state;
}

static size_t flood_send(int fd, size_t bytes)
{
    enum { PIECE_BYTES = 1 << 20 };
    static const char piece[PIECE_BYTES];
    size_t done = 0;
    for (ssize_t sent = 1; done < bytes && sent > 0; done += sent > 0 ? (size_t)sent : 0)
        sent = send(fd, piece, bytes - done < sizeof piece ? bytes - done : sizeof piece, MSG_NOSIGNAL);
    return done;
}

size_t raw_flood(const char *url, size_t connections, size_t bytes)
{
    static const unsigned char greeting[GREETING_BYTES] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    const struct timeval patience = {.tv_sec = 1};
    unsigned char head[9] = {1}, answer[GREETING_BYTES];
    int *fds = calloc(connections, sizeof *fds);
    size_t done = 0;
    MUST(fds);
    put_be64(head + 1, bytes);
    for (size_t i = 0; i < connections; i++) {
        if ((fds[i] = connect_to(url)) < 0)
            continue;
        setsockopt(fds[i], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (send_all(fds[i], greeting, sizeof greeting) &&
            receive_all(fds[i], answer, sizeof answer, clock_steady_ns() + GREETING_NS) == 1 && send_all(fds[i], head, sizeof head))
            done += flood_send(fds[i], bytes - 1);
    }
    for (size_t i = 0; i < connections; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(fds);
    return done;
}

/* A server that has as many connections as it takes closes one more at once: then again, while there is time. */
size_t raw_ask(const char *url, const void *message, size_t bytes, unsigned char *reply, size_t reply_bytes, int timeout_ms)
{
    int64_t until_ns = clock_steady_ns() + timeout_ms * 1000000LL;
    size_t got = 0;
    for (int state; (state = ask_once(url, message, bytes, reply, reply_bytes, &got, until_ns)) != 1; sleep_ms(20))
        if (state < 0 || clock_steady_ns() >= until_ns)
            return 0;
    return got;
}

const char *raw_fault(const unsigned char *reply, size_t bytes)
{
    static char name[64];
    struct wire_value map, fault;
    const unsigned char *at = reply;
    if (wire_check(reply, bytes, NULL) != FAULT_NONE || !wire_next(&map, &at, reply + bytes) || map.type != WIRE_MAP)
        return "unreadable";
    if (!wire_find(&fault, &map, "fault"))
        return "ok";
    text_copy(name, sizeof name, fault.text);
    return name;
}

int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&address, bytes) == 0 && getsockname(fd, (struct sockaddr *)&address, &bytes) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

int http_get(int port, const char *path, char *body, size_t body_bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    struct timeval limit = {.tv_sec = 10};
    char request[512];
    int status = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    int bytes = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
    size_t used = 0;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && write(fd, request, (size_t)bytes) == bytes)
        for (ssize_t got; used < body_bytes - 1 && (got = read(fd, body + used, body_bytes - 1 - used)) > 0;)
            used += (size_t)got;
    close(fd);
    body[used] = '\0';
    if (sscanf(body, "HTTP/1.%*d %d", &status) != 1)
        return 0;
    char *content = strstr(body, "\r\n\r\n");
    if (content)
        memmove(body, content + 4, strlen(content + 4) + 1);
    return status;
}
