#ifndef SLUICE_BASE_THREAD_H
#define SLUICE_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_ANY (-1)

struct thread {
    pthread_t handle;
    bool started;
};

/* name: at most 15 characters are kept. cpu: pinned there, or CPU_ANY. false: the system refused. */
bool thread_start(struct thread *thread, const char *name, int cpu, void (*run)(void *), void *argument);
void thread_join(struct thread *thread); /* safe on zeroed memory and twice */

/* A bounded queue of pointers, for whole batches and slices, never rows. Many producers, many consumers. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    void **items;
    size_t capacity, head, count;
    bool closed;
};

bool queue_init(struct queue *queue, size_t capacity);
void queue_fini(struct queue *queue);                          /* safe on zeroed memory */
bool queue_push(struct queue *queue, void *item);              /* waits for room; false: closed */
bool queue_try_push(struct queue *queue, void *item);          /* false: full or closed */
void *queue_pop(struct queue *queue);                          /* waits; NULL: closed and empty */
void *queue_try_pop(struct queue *queue);                      /* NULL: empty */
void *queue_pop_until(struct queue *queue, int64_t steady_ns); /* NULL: time is up, or closed and empty */
void queue_close(struct queue *queue);                         /* what is in it is still popped */
size_t queue_count(struct queue *queue);
bool queue_is_closed(struct queue *queue); /* and empty */

#endif
