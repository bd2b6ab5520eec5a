/* A bare nng echo over ipc, the least that any request costs: a thread that answers with the bytes it got, and one that asks, one
 * request at a time. One figure a line: name, value, unit. usage: bench_echo [BYTES [ROUNDS]] */
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"

enum { ROUNDS_MOST = 1000000, WARM_UP = 1000 };

static void *answer(void *context)
{
    nng_msg *message;
    while (nng_recvmsg(*(nng_socket *)context, &message, 0) == 0)
        if (nng_sendmsg(*(nng_socket *)context, message, 0) != 0)
            nng_msg_free(message);
    return NULL;
}

static double ask(nng_socket socket, size_t bytes)
{
    nng_msg *message;
    int64_t start_ns = clock_steady_ns();
    MUST(nng_msg_alloc(&message, bytes) == 0);
    memset(nng_msg_body(message), 1, bytes);
    MUST(nng_sendmsg(socket, message, 0) == 0 && nng_recvmsg(socket, &message, 0) == 0 && nng_msg_len(message) == bytes);
    nng_msg_free(message);
    return 1e-6 * (double)(clock_steady_ns() - start_ns);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double times[ROUNDS_MOST];
    size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 1148;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 20000;
    char url[64];
    nng_socket asker, answerer;
    pthread_t thread;
    MUST(bytes > 0 && rounds > 0 && rounds <= ROUNDS_MOST);
    snprintf(url, sizeof url, "ipc:///tmp/bench-echo-%d.ipc", (int)getpid());
    MUST(nng_rep0_open(&answerer) == 0 && nng_req0_open(&asker) == 0);
    MUST(nng_listen(answerer, url, NULL, 0) == 0 && nng_dial(asker, url, NULL, 0) == 0);
    MUST(pthread_create(&thread, NULL, answer, &answerer) == 0);
    for (unsigned i = 0; i < WARM_UP; i++)
        ask(asker, bytes);
    for (unsigned i = 0; i < rounds; i++)
        times[i] = ask(asker, bytes);
    qsort(times, rounds, sizeof *times, compare);
    printf("p50 %.4f ms\np99 %.4f ms\n", times[rounds / 2], times[(size_t)rounds * 99 / 100]);
    nng_close(asker);
    nng_close(answerer);
    pthread_join(thread, NULL);
    return 0;
}
