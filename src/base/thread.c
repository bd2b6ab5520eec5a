#define _GNU_SOURCE
#include "base/thread.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"

struct start {
    void (*run)(void *);
    void *argument;
    char name[16];
};

static void *thread_main(void *argument)
{
    struct start start = *(struct start *)argument;
    memory_give(argument);
    pthread_setname_np(pthread_self(), start.name);
    start.run(start.argument);
    return NULL;
}

bool thread_start(struct thread *thread, const char *name, int cpu, void (*run)(void *), void *argument)
{
    struct start *start = memory_take(sizeof *start);
    if (!start)
        return false;
    *start = (struct start){.run = run, .argument = argument};
    snprintf(start->name, sizeof start->name, "%s", name);
    if (pthread_create(&thread->handle, NULL, thread_main, start) != 0) {
        memory_give(start);
        return false;
    }
    thread->started = true;
    if (cpu != CPU_ANY) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        pthread_setaffinity_np(thread->handle, sizeof set, &set); /* refused in a container: run unpinned */
    }
    return true;
}

void thread_join(struct thread *thread)
{
    if (thread->started)
        MUST(pthread_join(thread->handle, NULL) == 0);
    thread->started = false;
}

bool queue_init(struct queue *queue, size_t capacity)
{
    memset(queue, 0, sizeof *queue);
    queue->items = memory_take_zeroed(capacity, sizeof *queue->items);
    if (!queue->items)
        return false;
    queue->capacity = capacity;
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->not_empty, &steady);
    pthread_cond_init(&queue->not_full, &steady);
    pthread_condattr_destroy(&steady);
    return true;
}

void queue_fini(struct queue *queue)
{
    if (!queue->items)
        return;
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->not_empty);
    pthread_cond_destroy(&queue->not_full);
    memory_give(queue->items);
    memset(queue, 0, sizeof *queue);
}

static bool queue_put(struct queue *queue, void *item)
{
    if (queue->closed || queue->count == queue->capacity)
        return false;
    queue->items[(queue->head + queue->count++) % queue->capacity] = item;
    pthread_cond_signal(&queue->not_empty);
    return true;
}

static void *queue_take(struct queue *queue)
{
    if (queue->count == 0)
        return NULL;
    void *item = queue->items[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->count--;
    pthread_cond_signal(&queue->not_full);
    return item;
}

bool queue_push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    while (!queue->closed && queue->count == queue->capacity)
        pthread_cond_wait(&queue->not_full, &queue->lock);
    bool put = queue_put(queue, item);
    pthread_mutex_unlock(&queue->lock);
    return put;
}

bool queue_try_push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    bool put = queue_put(queue, item);
    pthread_mutex_unlock(&queue->lock);
    return put;
}

void *queue_pop(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (!queue->closed && queue->count == 0)
        pthread_cond_wait(&queue->not_empty, &queue->lock);
    void *item = queue_take(queue);
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void *queue_try_pop(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    void *item = queue_take(queue);
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void *queue_pop_until(struct queue *queue, int64_t steady_ns)
{
    struct timespec until = {.tv_sec = steady_ns / 1000000000, .tv_nsec = steady_ns % 1000000000};
    pthread_mutex_lock(&queue->lock);
    while (!queue->closed && queue->count == 0)
        if (pthread_cond_timedwait(&queue->not_empty, &queue->lock, &until) != 0)
            break;
    void *item = queue_take(queue);
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty);
    pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->lock);
}

size_t queue_count(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}

bool queue_is_closed(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool closed = queue->closed && queue->count == 0;
    pthread_mutex_unlock(&queue->lock);
    return closed;
}
