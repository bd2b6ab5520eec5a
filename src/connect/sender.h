#ifndef SLUICE_CONNECT_SENDER_H
#define SLUICE_CONNECT_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "connect/connector.h"

/* One thread that takes what waits in the outbox for one connector and sends it, until it is acknowledged or refused. At least
 * once: after a crash, or when the mark could not be made, the same bytes leave under the same id again. */

struct sender;

struct outbox_entry {
    uint64_t entry; /* ascending */
    uint32_t attempts;
    char subject[32], recipient[256];    /* empty: the sender's; none */
    char id[CONNECT_ID_BYTES_MAX + 1];   /* what the other side deduplicates by */
    char name[CONNECT_ID_BYTES_MAX + 1]; /* as the answer names it, and the log */
};

enum outbox_mark {
    OUTBOX_MARK_DONE,    /* acknowledged */
    OUTBOX_MARK_AGAIN,   /* not before due_us */
    OUTBOX_MARK_REFUSED, /* a dead letter: kept, and sent again when someone asks for that */
};

/* How the sender sees the outbox; the pipeline hands it in. Called by the sender's thread alone. */
struct outbox_ops {
    /* The first entry behind after that waits and is due; FAULT_not_found: none. */
    enum fault (*next)(void *context, struct outbox_entry *out, uint64_t after, int64_t now_us, struct fault_note *note);
    /* Its bytes, the same for every attempt; given back by give, or where that is NULL by memory_give. FAULT_limit: they can never be
     * sent, which makes it a dead letter. */
    enum fault (*payload)(void *context, const struct outbox_entry *entry, char **out, size_t *out_bytes, struct fault_note *note);
    void (*give)(void *context, char *bytes, size_t byte_count);
    /* Durable when it returns. why: of a refusal or a failure. */
    enum fault (*mark)(void *context, const struct outbox_entry *entry, enum outbox_mark mark, uint32_t attempts, int64_t due_us,
                       const char *why, struct fault_note *note);
};

/* What a 2xx answer means; NULL in the options: it is enough. */
typedef enum fault sender_answer_fn(bool *out_refused, const struct outbox_entry *entry, const struct connect_answer *answer,
                                    struct fault_note *note);
enum fault sender_release_answer(bool *out_refused, const struct outbox_entry *entry, const struct connect_answer *answer,
                                 struct fault_note *note); /* release_answer.h */

struct sender_options {
    const char *subject, *content_type; /* borrowed until close, as all here */
    struct connector *connector;
    const struct outbox_ops *outbox;
    void *context;
    sender_answer_fn *answer;
    int64_t look_ms; /* the outbox is looked at so often beside sender_wake, default 500 */
};

enum fault sender_open(struct sender **out, const struct sender_options *options, struct fault_note *note);
void sender_close(struct sender **sender_p); /* waits for the call under way; do http_close before to cut it short */
void sender_wake(struct sender *sender);     /* something was put into the outbox; any thread, never blocks */

#endif
