/* The ledger's messages as the senders see them. What is to go as one digest is closed before the first attempt. */
#include "pipeline/posts.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "connect/http.h"
#include "connect/release_answer.h"
#include "connect/sender.h"
#include "connect/sms.h"
#include "connect/smtp.h"
#include "pipeline/internal.h"
#include "pipeline/outward.h"
#include "pipeline/post_text.h"

enum { ANSWER_BYTES_MAX = 64 << 10 };

struct post { /* of one connector */
    const struct ledger_message_ops *ops;
    struct ledger *ledger;
    struct config_connector config;
    struct smtp *smtp;
    struct sms *sms;
    struct connector *connector;
    struct sender *sender;
    int64_t since_us; /* the sender's: of the entry that it has in hand */
};

struct posts {
    uint32_t count;
    struct post posts[];
};

static enum fault post_next(void *context, struct outbox_entry *out, uint64_t after, int64_t now_us, struct fault_note *note)
{
    struct post *post = context;
    struct ledger_letter letter;
    bool letters = post->config.kind == CONNECTOR_MAIL || post->config.kind == CONNECTOR_SMS;
    int64_t quiet_us = letters ? post->config.digest_us : 0;
    enum fault fault = post->ops->next(post->ledger, &letter, text_of(post->config.name), after, now_us, quiet_us, note);
    if (fault == FAULT_NONE && quiet_us > 0 && letter.attempts == 0)
        fault = post->ops->close(post->ledger, letter.entry, POST_PARTS_MAX - 1, note);
    *out = (struct outbox_entry){.entry = letter.entry, .attempts = letter.attempts};
    snprintf(out->subject, sizeof out->subject, "%s", letter.subject);
    snprintf(out->recipient, sizeof out->recipient, "%s", letter.recipient);
    snprintf(out->id, sizeof out->id, "%s", letter.id);
    snprintf(out->name, sizeof out->name, "%s", letter.id);
    post->since_us = letter.since_us;
    return fault;
}

static enum fault post_payload(void *context, const struct outbox_entry *entry, char **out, size_t *out_bytes, struct fault_note *note)
{
    struct post *post = context;
    struct post_parts parts = {.connector = &post->config};
    struct letter_text text = {0};
    enum fault fault = post->ops->read(post->ledger, entry->entry, post_parts_add, &parts, note);
    if (fault == FAULT_NONE)
        fault = post_text_write(&text, entry->recipient, &parts, note);
    post_parts_fini(&parts);
    if (fault != FAULT_NONE) {
        memory_give(text.data);
        return fault;
    }
    *out = text.data;
    *out_bytes = text.bytes;
    return FAULT_NONE;
}

static enum fault post_mark(void *context, const struct outbox_entry *entry, enum outbox_mark mark, uint32_t attempts, int64_t due_us,
                            const char *why, struct fault_note *note)
{
    static const enum outbox_state states[] = {
        [OUTBOX_MARK_DONE] = OUTBOX_ACKNOWLEDGED, [OUTBOX_MARK_AGAIN] = OUTBOX_WAITING, [OUTBOX_MARK_REFUSED] = OUTBOX_DEAD};
    struct post *post = context;
    int64_t now_us = clock_wall_us();
    bool gives_up = mark == OUTBOX_MARK_AGAIN && post->config.give_up_us > 0 && now_us - post->since_us >= post->config.give_up_us;
    if (gives_up)
        log_line(LOG_ERROR, "connect", "%s: %s %s is a dead letter behind %u attempts: %s", post->config.name, entry->subject, entry->name,
                 attempts, why);
    return post->ops->mark(post->ledger, entry->entry, gives_up ? OUTBOX_DEAD : states[mark], attempts, due_us, now_us,
                           mark == OUTBOX_MARK_DONE ? "" : why, note);
}

static const struct outbox_ops post_ops = {.next = post_next, .payload = post_payload, .mark = post_mark};

/* --- opening ----------------------------------------------------------------------------------------------------------- */

static enum fault answer_read(bool *out_refused, const struct outbox_entry *entry, const struct connect_answer *answer,
                              struct fault_note *note)
{
    struct release_answer read;
    enum fault fault = release_answer_read(&read, entry->id, answer->body, answer->body_bytes, note);
    *out_refused = fault == FAULT_NONE && read.status == RELEASE_REFUSED;
    if (*out_refused)
        fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "refused: %s", read.reason);
    return fault;
}

static enum fault transport_open(struct post *post, struct http *http, const struct connect_secret *password, int64_t timeout_ms,
                                 struct fault_note *note)
{
    const struct config_connector *config = &post->config;
    const struct smtp_options mail = {.http = http,
                                      .url = config->url,
                                      .user = config->user,
                                      .from = config->from,
                                      .password = password,
                                      .tls = config->tls,
                                      .connect_ms = timeout_ms,
                                      .total_ms = timeout_ms};
    const struct sms_options sms = {.http = http,
                                    .url = config->url,
                                    .user = config->user,
                                    .from = config->from,
                                    .password = password,
                                    .connect_ms = timeout_ms,
                                    .total_ms = timeout_ms};
    return config->kind == CONNECTOR_MAIL  ? smtp_open(&post->smtp, &mail, note)
           : config->kind == CONNECTOR_SMS ? sms_open(&post->sms, &sms, note)
                                           : FAULT_NONE;
}

static enum fault connector_make(struct post *post, struct http *http, const struct connect_settings *settings,
                                 const struct connect_secret secrets[3], struct fault_note *note)
{
    const struct config_connector *config = &post->config;
    int64_t timeout_ms = config->timeout_ms ? config->timeout_ms : settings->timeout_ms;
    enum fault fault = transport_open(post, http, &secrets[2], timeout_ms, note);
    const struct connector_options options = {.name = config->name,
                                              .url = config->url,
                                              .key = &secrets[0],
                                              .token = &secrets[1],
                                              .connect_ms = timeout_ms,
                                              .total_ms = timeout_ms,
                                              .answer_bytes_max = ANSWER_BYTES_MAX,
                                              .calls_max = 1,
                                              .retry = {.first_ms = settings->retry_first_ms, .most_ms = settings->retry_most_ms},
                                              .failures_max = settings->breaker_failures,
                                              .open_ms = settings->breaker_open_ms,
                                              .send = post->smtp  ? smtp_send
                                                      : post->sms ? sms_send
                                                                  : NULL,
                                              .send_context = post->smtp ? (void *)post->smtp : (void *)post->sms};
    return fault == FAULT_NONE ? connector_open(&post->connector, http, &options, note) : fault;
}

static enum fault post_open(struct post *post, struct http *http, const struct config *config, struct fault_note *note)
{
    struct connect_secret secrets[3] = {{0}}; /* key, token, password */
    const char *const from[3] = {post->config.key, post->config.token, post->config.password};
    enum fault fault = FAULT_NONE;
    for (unsigned i = 0; i < 3 && fault == FAULT_NONE; i++)
        fault = outward_secret(&secrets[i], config, from[i], i == 2 ? 1 : CONNECT_SECRET_BYTES_MIN, note);
    if (fault == FAULT_NONE)
        fault = connector_make(post, http, &config->connect, secrets, note);
    for (unsigned i = 0; i < 3; i++)
        connect_secret_wipe(&secrets[i]);
    bool answers = post->config.kind == CONNECTOR_OA || post->config.kind == CONNECTOR_PERMISSION;
    const struct sender_options sending = {.subject = connector_kind_names[post->config.kind],
                                           .content_type = "application/json",
                                           .connector = post->connector,
                                           .outbox = &post_ops,
                                           .context = post,
                                           .answer = answers ? answer_read : NULL};
    return fault == FAULT_NONE ? sender_open(&post->sender, &sending, note) : fault;
}

enum fault posts_open(struct posts **out, struct pipeline *pipeline, const struct config *config, struct http *http,
                      struct fault_note *note)
{
    *out = NULL;
    if (config->connector_count == 0)
        return FAULT_NONE;
    struct posts *posts = memory_take_zeroed(1, sizeof *posts + config->connector_count * sizeof *posts->posts);
    if (!posts)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for connectors");
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < config->connector_count && fault == FAULT_NONE; i++) {
        struct post *post = &posts->posts[posts->count++];
        post->ops = pipeline->ledger_ops->messages;
        post->ledger = pipeline->ledger;
        post->config = config->connectors[i];
        fault = post_open(post, http, config, note);
    }
    *out = posts; /* closed by the caller when it is half open */
    return fault;
}

void posts_stop(struct posts *posts)
{
    for (uint32_t i = 0; posts && i < posts->count; i++)
        smtp_stop(posts->posts[i].smtp);
}

void posts_close(struct posts **posts_p)
{
    struct posts *posts = *posts_p;
    *posts_p = NULL;
    for (uint32_t i = 0; posts && i < posts->count; i++) {
        struct post *post = &posts->posts[i];
        sender_close(&post->sender);
        connector_close(&post->connector);
        smtp_close(&post->smtp);
        sms_close(&post->sms);
    }
    memory_give(posts);
}

void posts_wake(struct posts *posts)
{
    for (uint32_t i = 0; posts && i < posts->count; i++)
        sender_wake(posts->posts[i].sender);
}

uint32_t posts_count(const struct posts *posts)
{
    return posts ? posts->count : 0;
}

const struct config_connector *posts_config(const struct posts *posts, uint32_t index)
{
    return &posts->posts[index].config;
}

struct connector *posts_connector(const struct posts *posts, uint32_t index)
{
    return posts->posts[index].connector;
}

enum connect_outcome posts_send_now(struct posts *posts, uint32_t index, const char *subject, const char *id, const char *recipient,
                                    const char *payload, struct fault_note *note)
{
    struct post *post = &posts->posts[index];
    struct post_parts parts = {.connector = &post->config};
    struct letter_text text = {0};
    struct connect_answer answer = {0};
    enum connect_outcome outcome = CONNECT_AGAIN;
    post_parts_add(&parts, text_of(subject), text_of(id), text_of(payload), clock_wall_us());
    if (post_text_write(&text, recipient, &parts, note) == FAULT_NONE) {
        const struct connect_message message = {.recipient = recipient,
                                                .subject = subject,
                                                .id = id,
                                                .content_type = "application/json",
                                                .body = text.data,
                                                .body_bytes = text.bytes};
        outcome = connector_call(post->connector, &message, &answer, note);
    }
    connect_answer_give(&answer);
    memory_give(text.data);
    post_parts_fini(&parts);
    return outcome;
}
