/* The order is always: bytes, call, mark. A failed entry waits until it is due; those behind it are not kept waiting by it, but
 * when the connector itself is closed by its breaker nobody is tried. */
#include "connect/sender.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "base/thread.h"
#include "connect/release_answer.h"

enum { SENDER_MAGIC = 0x53454e44, LOOK_MS = 500 };

struct sender {
    unsigned magic;
    struct sender_options options;
    struct thread thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake, closing;
};

enum fault sender_release_answer(bool *out_refused, const struct outbox_entry *entry, const struct connect_answer *answer,
                                 struct fault_note *note)
{
    struct release_answer read;
    enum fault fault = release_answer_read(&read, entry->name, answer->body, answer->body_bytes, note);
    *out_refused = fault == FAULT_NONE && read.status == RELEASE_REFUSED;
    if (*out_refused)
        fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "refused by the processor: %s", read.reason);
    return fault;
}

/* false: it is closing. */
static bool sender_pause(struct sender *sender, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&sender->lock);
    for (int result = 0; !sender->wake && !sender->closing && result == 0;)
        result = pthread_cond_timedwait(&sender->woken, &sender->lock, &until);
    sender->wake = false;
    bool goes_on = !sender->closing;
    pthread_mutex_unlock(&sender->lock);
    return goes_on;
}

static bool sender_is_closing(struct sender *sender)
{
    pthread_mutex_lock(&sender->lock);
    bool closing = sender->closing;
    pthread_mutex_unlock(&sender->lock);
    return closing;
}

struct entry_reading {
    const struct sender_options *options;
    const struct outbox_entry *entry;
};

static enum connect_outcome entry_read(void *context, const struct connect_answer *answer, struct fault_note *note)
{
    const struct entry_reading *reading = context;
    bool refused = false;
    if (reading->options->answer(&refused, reading->entry, answer, note) != FAULT_NONE)
        return CONNECT_AGAIN;
    return refused ? CONNECT_REFUSED : CONNECT_DONE;
}

static const char *subject_of(const struct sender_options *options, const struct outbox_entry *entry)
{
    return entry->subject[0] ? entry->subject : options->subject;
}

static enum connect_outcome entry_call(struct sender *sender, const struct outbox_entry *entry, struct connect_answer *answer,
                                       struct fault_note *note)
{
    const struct sender_options *options = &sender->options;
    char *body = NULL;
    size_t body_bytes = 0;
    enum fault fault = options->outbox->payload(options->context, entry, &body, &body_bytes, note);
    if (fault != FAULT_NONE)
        return fault == FAULT_limit ? CONNECT_REFUSED : CONNECT_AGAIN;
    struct entry_reading reading = {options, entry};
    const struct connect_message message = {.recipient = entry->recipient,
                                            .subject = subject_of(options, entry),
                                            .id = entry->id,
                                            .content_type = options->content_type,
                                            .body = body,
                                            .body_bytes = body_bytes,
                                            .read = options->answer ? entry_read : NULL,
                                            .context = &reading};
    enum connect_outcome outcome = connector_call(options->connector, &message, answer, note);
    if (options->outbox->give)
        options->outbox->give(options->context, body, body_bytes);
    else
        memory_give(body);
    return outcome;
}

static void entry_send(struct sender *sender, const struct outbox_entry *entry)
{
    const struct sender_options *options = &sender->options;
    struct connect_answer answer = {0};
    struct fault_note note = {0}, mark_note = {0};
    enum connect_outcome outcome = entry_call(sender, entry, &answer, &note);
    uint32_t attempts = entry->attempts < UINT32_MAX ? entry->attempts + 1 : UINT32_MAX;
    enum outbox_mark mark = outcome == CONNECT_DONE      ? OUTBOX_MARK_DONE
                            : outcome == CONNECT_REFUSED ? OUTBOX_MARK_REFUSED
                                                         : OUTBOX_MARK_AGAIN;
    int64_t due_us = 0;
    if (mark == OUTBOX_MARK_AGAIN)
        due_us = clock_wall_us() + 1000 * connector_wait_ms(options->connector, attempts, answer.retry_after_ms);
    connect_answer_give(&answer);
    if (mark == OUTBOX_MARK_AGAIN && sender_is_closing(sender))
        return; /* nothing is lost: the next start tries it */
    if (mark == OUTBOX_MARK_REFUSED)
        log_line(LOG_ERROR, "connect", "%s: %s %s is a dead letter: %s", connector_name(options->connector), subject_of(options, entry),
                 entry->name, note.text);
    else if (mark == OUTBOX_MARK_AGAIN)
        log_line(LOG_WARN, "connect", "%s: %s %s, attempt %u: %s", connector_name(options->connector), subject_of(options, entry),
                 entry->name, attempts, note.text);
    if (options->outbox->mark(options->context, entry, mark, attempts, due_us, note.text, &mark_note) != FAULT_NONE) {
        log_line(LOG_ERROR, "connect", "%s: %s %s goes again, the ledger could not note what became of it: %s",
                 connector_name(options->connector), subject_of(options, entry), entry->name, mark_note.text);
        sender_pause(sender, connector_wait_ms(options->connector, 1, 0));
    }
}

static void sender_run(void *context)
{
    struct sender *sender = context;
    const struct sender_options *options = &sender->options;
    for (bool goes_on = true; goes_on;) {
        uint64_t after = 0;
        struct outbox_entry entry;
        struct fault_note note = {0};
        while (!sender_is_closing(sender) && options->outbox->next(options->context, &entry, after, clock_wall_us(), &note) == FAULT_NONE) {
            int64_t closed_ms = connector_closed_ms(options->connector);
            if (closed_ms > 0) {
                if (!sender_pause(sender, closed_ms))
                    return;
                break;
            }
            entry_send(sender, &entry);
            after = entry.entry;
        }
        goes_on = sender_pause(sender, options->look_ms);
    }
}

enum fault sender_open(struct sender **out, const struct sender_options *options, struct fault_note *note)
{
    *out = NULL;
    struct sender *sender = memory_take_zeroed(1, sizeof *sender);
    if (!sender)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a sender");
    sender->magic = SENDER_MAGIC;
    sender->options = *options;
    if (sender->options.look_ms <= 0)
        sender->options.look_ms = LOOK_MS;
    pthread_mutex_init(&sender->lock, NULL);
    pthread_cond_init(&sender->woken, NULL);
    if (thread_start(&sender->thread, connector_name(options->connector), CPU_ANY, sender_run, sender))
        return *out = sender, FAULT_NONE;
    sender_close(&sender);
    return fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "no thread for a sender");
}

void sender_close(struct sender **sender_p)
{
    struct sender *sender = *sender_p;
    *sender_p = NULL;
    if (!sender)
        return;
    MUST(sender->magic == SENDER_MAGIC);
    pthread_mutex_lock(&sender->lock);
    sender->closing = true;
    pthread_cond_broadcast(&sender->woken);
    pthread_mutex_unlock(&sender->lock);
    thread_join(&sender->thread);
    pthread_cond_destroy(&sender->woken);
    pthread_mutex_destroy(&sender->lock);
    sender->magic = 0;
    memory_give(sender);
}

void sender_wake(struct sender *sender)
{
    pthread_mutex_lock(&sender->lock);
    sender->wake = true;
    pthread_cond_signal(&sender->woken);
    pthread_mutex_unlock(&sender->lock);
}
