/* nng gives messages to contexts in the order in which these began to receive, but its callbacks run on several threads and
 * may overtake each other. So every context takes a serial with its receive, and what comes is ready in order of serials: the
 * callback of an earlier one has begun by then. */
#include "server/receipt.h"

#include "base/memory.h"
#include "base/must.h"

bool receipts_init(struct receipts *receipts, uint32_t context_count)
{
    *receipts = (struct receipts){.place_count = context_count};
    receipts->ring = memory_take_zeroed(context_count, sizeof(struct receipt *));
    if (!receipts->ring)
        return false;
    pthread_mutex_init(&receipts->lock, NULL);
    pthread_cond_init(&receipts->changed, NULL);
    return true;
}

void receipts_fini(struct receipts *receipts)
{
    if (!receipts->ring)
        return;
    pthread_mutex_destroy(&receipts->lock);
    pthread_cond_destroy(&receipts->changed);
    memory_give(receipts->ring);
    receipts->ring = NULL;
}

void receipts_listen(struct receipts *receipts, struct receipt *receipt, nng_ctx context, nng_aio *aio)
{
    pthread_mutex_lock(&receipts->lock); /* no callback runs within nng_ctx_recv */
    receipt->serial = receipts->listening++;
    nng_ctx_recv(context, aio);
    pthread_mutex_unlock(&receipts->lock);
}

static void ready_append(struct receipts *receipts, uint64_t serial)
{
    struct receipt **place = &receipts->ring[serial % receipts->place_count], *receipt = *place;
    *place = NULL;
    receipt->next = NULL;
    *(receipts->last ? &receipts->last->next : &receipts->first) = receipt;
    receipts->last = receipt;
    pthread_cond_signal(&receipts->changed);
}

bool receipts_put(struct receipts *receipts, struct receipt *receipt, uint32_t connection)
{
    pthread_mutex_lock(&receipts->lock);
    bool put = !receipts->closed;
    if (put) {
        struct receipt **place = &receipts->ring[receipt->serial % receipts->place_count];
        MUST(*place == NULL);
        *place = receipt;
        receipt->connection = connection;
        for (; receipts->ring[receipts->next % receipts->place_count]; receipts->next++)
            ready_append(receipts, receipts->next);
    }
    pthread_mutex_unlock(&receipts->lock);
    return put;
}

static bool is_dispatched(const struct receipts *receipts, uint32_t connection)
{
    for (uint32_t i = 0; i < DISPATCHERS_MAX; i++)
        if (connection && receipts->dispatched[i] == connection)
            return true;
    return false;
}

/* The first whose connection is not at work. */
static struct receipt *ready_remove(struct receipts *receipts)
{
    struct receipt *before = NULL, *receipt = receipts->first;
    while (receipt && is_dispatched(receipts, receipt->connection)) {
        before = receipt;
        receipt = receipt->next;
    }
    if (!receipt)
        return NULL;
    *(before ? &before->next : &receipts->first) = receipt->next;
    if (receipts->last == receipt)
        receipts->last = before;
    return receipt;
}

struct receipt *receipts_take(struct receipts *receipts, uint32_t dispatcher)
{
    struct receipt *receipt;
    pthread_mutex_lock(&receipts->lock);
    receipts->dispatched[dispatcher] = 0;
    while (!(receipt = ready_remove(receipts)) && !(receipts->closed && !receipts->first))
        pthread_cond_wait(&receipts->changed, &receipts->lock);
    if (receipt)
        receipts->dispatched[dispatcher] = receipt->connection;
    if (receipts->closed)
        pthread_cond_broadcast(&receipts->changed);
    pthread_mutex_unlock(&receipts->lock);
    return receipt;
}

void receipts_close(struct receipts *receipts)
{
    pthread_mutex_lock(&receipts->lock);
    receipts->closed = true;
    for (; receipts->next < receipts->listening; receipts->next++) /* what stands behind a serial that never came */
        if (receipts->ring[receipts->next % receipts->place_count])
            ready_append(receipts, receipts->next);
    pthread_cond_broadcast(&receipts->changed);
    pthread_mutex_unlock(&receipts->lock);
}
