#ifndef TESTS_FAKE_PIPELINE_H
#define TESTS_FAKE_PIPELINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/must.h"
#include "pipeline/pipeline.h"
#include "wire/wire.h"

/* Stands in for the pipeline: a `query` whose id begins with "hold" is answered by a thread of its own when the test lets
 * it, everything else at once. It looks at the message again before it answers: the bytes must still be there. */

enum { FAKE_HELD_MAX = 256 };

static inline void sleep_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

struct fake_held {
    const void *message;
    size_t message_bytes;
    uint64_t hash;
    struct delivery delivery;
    char id[64];
};

struct pipeline {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fake_held held[FAKE_HELD_MAX];
    unsigned held_count, answered;
    bool letting_go, draining, closing, not_ready, standing;
    size_t limit;
    atomic_size_t reply_bytes;
    atomic_uint large_replies; /* with more than a few bytes */
    pthread_t thread;
};

static inline void fake_reply(const struct delivery *delivery, struct text id, const char *status, size_t filler)
{
    struct wire_buffer reply = {0};
    char *bytes = calloc(1, filler + 1);
    wire_pack_map(&reply, 4);
    wire_pack_text(&reply, "v");
    wire_pack_i64(&reply, 1);
    wire_pack_text(&reply, "id");
    wire_pack_str(&reply, id);
    wire_pack_text(&reply, "status");
    wire_pack_text(&reply, status);
    wire_pack_text(&reply, "filler");
    wire_pack_bin(&reply, bytes, filler);
    free(bytes);
    delivery->deliver(delivery->context, &reply);
    MUST(!reply.data); /* taken over */
}

static inline void *fake_run(void *argument)
{
    struct pipeline *pipeline = argument;
    pthread_mutex_lock(&pipeline->lock);
    for (;;) {
        while (!pipeline->closing && !(pipeline->letting_go && pipeline->held_count))
            pthread_cond_wait(&pipeline->changed, &pipeline->lock);
        if (pipeline->closing)
            break;
        struct fake_held held = pipeline->held[--pipeline->held_count];
        pthread_mutex_unlock(&pipeline->lock);
        MUST(hash64(7, held.message, held.message_bytes) == held.hash);
        fake_reply(&held.delivery, text_of(held.id), "ok", atomic_load(&pipeline->reply_bytes));
        pthread_mutex_lock(&pipeline->lock);
        pipeline->answered++;
        pthread_cond_broadcast(&pipeline->changed);
    }
    pthread_mutex_unlock(&pipeline->lock);
    return NULL;
}

static inline struct pipeline *fake_open(size_t limit)
{
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    pipeline->limit = limit;
    pthread_mutex_init(&pipeline->lock, NULL);
    pthread_cond_init(&pipeline->changed, NULL);
    MUST(pthread_create(&pipeline->thread, NULL, fake_run, pipeline) == 0);
    return pipeline;
}

static inline void fake_set(struct pipeline *pipeline, bool *flag, bool value)
{
    pthread_mutex_lock(&pipeline->lock);
    *flag = value;
    pthread_cond_broadcast(&pipeline->changed);
    pthread_mutex_unlock(&pipeline->lock);
}

static inline void fake_close(struct pipeline *pipeline)
{
    fake_set(pipeline, &pipeline->closing, true);
    pthread_join(pipeline->thread, NULL);
    pthread_mutex_destroy(&pipeline->lock);
    pthread_cond_destroy(&pipeline->changed);
    free(pipeline);
}

static inline unsigned fake_count(struct pipeline *pipeline, const unsigned *count)
{
    pthread_mutex_lock(&pipeline->lock);
    unsigned value = *count;
    pthread_mutex_unlock(&pipeline->lock);
    return value;
}

static inline void fake_fault(const struct delivery *delivery, struct text id, enum fault fault, uint32_t retry_after_ms)
{
    struct fault_note note = {.retry_after_ms = retry_after_ms};
    struct wire_buffer reply = {0};
    fault_set(&note, fault, ROW_NONE, COLUMN_NONE, "fake");
    wire_reply_fault(&reply, id, &note);
    delivery->deliver(delivery->context, &reply);
}

static inline bool fake_holds(struct pipeline *pipeline, const struct request *request, const struct delivery *delivery,
                              const void *message, size_t bytes)
{
    if (request->op != OP_query || request->id.bytes < 4 || memcmp(request->id.data, "hold", 4) != 0)
        return false;
    struct fake_held held = {.message = message, .message_bytes = bytes, .hash = hash64(7, message, bytes), .delivery = *delivery};
    text_copy(held.id, sizeof held.id, request->id);
    pthread_mutex_lock(&pipeline->lock);
    bool holds = !pipeline->draining && pipeline->held_count < FAKE_HELD_MAX;
    if (holds)
        pipeline->held[pipeline->held_count++] = held;
    pthread_cond_broadcast(&pipeline->changed);
    pthread_mutex_unlock(&pipeline->lock);
    return holds;
}

void pipeline_request(struct pipeline *pipeline, const void *message, size_t message_bytes, int64_t received_ns,
                      const struct delivery *delivery)
{
    struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    struct request request = {0};
    struct fault_note note = {0};
    MUST(received_ns > 0);
    if (message_bytes > pipeline->limit) {
        fake_fault(delivery, request.id, FAULT_limit, 0);
        return;
    }
    enum fault fault = wire_check(message, message_bytes, &note);
    if (fault == FAULT_NONE)
        fault = wire_request_read(&request, message, message_bytes, &limits, &note);
    if (fault != FAULT_NONE)
        fake_fault(delivery, request.id, fault, 0);
    else if (!fake_holds(pipeline, &request, delivery, message, message_bytes)) {
        pthread_mutex_lock(&pipeline->lock);
        bool draining = pipeline->draining && request.op == OP_query;
        pthread_mutex_unlock(&pipeline->lock);
        if (draining)
            fake_fault(delivery, request.id, FAULT_unavailable, 1000);
        else {
            size_t filler = atomic_load(&pipeline->reply_bytes);
            fake_reply(delivery, request.id, "ok", filler);
            atomic_fetch_add(&pipeline->large_replies, filler > 1000);
        }
    }
}

#define FAKE_TOKEN "token-of-the-fake"
bool pipeline_knows_token(struct pipeline *pipeline, struct text token)
{
    MUST(pipeline);
    return text_equal(token, text_of(FAKE_TOKEN));
}

void pipeline_drain(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->lock);
    pipeline->draining = true;
    unsigned all = pipeline->held_count + pipeline->answered;
    while (pipeline->answered < all)
        pthread_cond_wait(&pipeline->changed, &pipeline->lock);
    pthread_mutex_unlock(&pipeline->lock);
}

bool pipeline_ready(struct pipeline *pipeline, char *why, size_t why_bytes)
{
    pthread_mutex_lock(&pipeline->lock);
    bool ready = !pipeline->draining && !pipeline->not_ready;
    pthread_mutex_unlock(&pipeline->lock);
    snprintf(why, why_bytes, "%s", ready ? "" : "the fake is not ready");
    return ready;
}

bool pipeline_alive(struct pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->lock);
    bool alive = !pipeline->standing;
    pthread_mutex_unlock(&pipeline->lock);
    return alive;
}

uint64_t pipeline_reply_bytes_max(const struct config *config)
{
    (void)config;
    return 16 << 20;
}

enum fault pipeline_metrics(struct pipeline *pipeline, struct wire_buffer *out)
{
    static const char text[] = "# TYPE fake counter\nfake 1\n";
    (void)pipeline;
    out->data = memory_take(sizeof text - 1);
    MUST(out->data);
    out->bytes = out->capacity = sizeof text - 1;
    memcpy(out->data, text, out->bytes);
    return FAULT_NONE;
}

#endif
