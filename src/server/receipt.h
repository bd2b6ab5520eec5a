#ifndef SLUICE_SERVER_RECEIPT_H
#define SLUICE_SERVER_RECEIPT_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Order of receipt between nng's callbacks and the dispatchers. Messages of one connection are dispatched one behind the
 * other, as they came; those of others beside them. Any thread. */

enum { DISPATCHERS_MAX = 2 };

struct receipt { /* of a context; its owner's but for the time between listen and take */
    uint64_t serial;
    uint32_t connection;
    struct receipt *next;
};

struct receipts {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct receipt **ring; /* by serial: a place for every context */
    uint32_t place_count;
    uint64_t listening, next;             /* serials: the next to listen, the next to become ready */
    struct receipt *first, *last;         /* ready, in order */
    uint32_t dispatched[DISPATCHERS_MAX]; /* connection of what each dispatcher works on; 0: none */
    bool closed;
};

bool receipts_init(struct receipts *receipts, uint32_t context_count);
void receipts_fini(struct receipts *receipts); /* safe on zeroed memory */
void receipts_listen(struct receipts *receipts, struct receipt *receipt, nng_ctx context, nng_aio *aio);
/* The context's receive is over; connection 0: with nothing. false: closed, it stays the caller's. */
bool receipts_put(struct receipts *receipts, struct receipt *receipt, uint32_t connection);
struct receipt *receipts_take(struct receipts *receipts, uint32_t dispatcher); /* waits; NULL: closed and empty */
void receipts_close(struct receipts *receipts);                                /* what was put is still taken */

#endif
