/* The gateway has no word for "sent before": an answer that is lost may bring the text twice, one that is none never does. */
#include "connect/sms.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "base/secret.h"
#include "connect/http.h"
#include "connect/letter.h"

enum { SMS_MAGIC = 0x534d5331, HEADER_BYTES = 320, HEADERS_MAX = 8, ANSWER_BYTES_MAX = 8 << 10, USER_BYTES = 129, FROM_BYTES = 64 };

struct sms {
    unsigned magic;
    struct http *http;
    char url[HTTP_URL_BYTES_MAX + 1], user[USER_BYTES], from[FROM_BYTES];
    struct connect_secret password;
    int64_t connect_ms, total_ms;
};

static bool is_header_text(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    return true;
}

enum fault sms_open(struct sms **out, const struct sms_options *options, struct fault_note *note)
{
    *out = NULL;
    enum fault fault = http_url_check(options->http, options->url, note);
    if (fault != FAULT_NONE)
        return fault;
    if (strlen(options->from) >= FROM_BYTES || !is_header_text(options->from, strlen(options->from)) ||
        !is_header_text(options->user, strlen(options->user)) ||
        !is_header_text((const char *)options->password->data, options->password->bytes))
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE,
                         "sms: user, password and from are printable ASCII, from at most %d bytes", FROM_BYTES - 1);
    struct sms *sms = memory_take_zeroed(1, sizeof *sms);
    if (!sms)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for SMS");
    sms->magic = SMS_MAGIC;
    sms->http = options->http;
    snprintf(sms->url, sizeof sms->url, "%s", options->url);
    snprintf(sms->user, sizeof sms->user, "%s", options->user);
    snprintf(sms->from, sizeof sms->from, "%s", options->from);
    sms->password = *options->password;
    sms->connect_ms = options->connect_ms;
    sms->total_ms = options->total_ms;
    *out = sms;
    return FAULT_NONE;
}

void sms_close(struct sms **sms_p)
{
    struct sms *sms = *sms_p;
    *sms_p = NULL;
    if (!sms)
        return;
    MUST(sms->magic == SMS_MAGIC);
    connect_secret_wipe(&sms->password);
    sms->magic = 0;
    memory_give(sms);
}

bool sms_is_accepted(const char *body, size_t bytes)
{
    return bytes >= 2 && (body[0] == '0' || body[0] == '3') && body[1] == ':';
}

static bool is_ascii(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

static enum fault ask(struct sms *sms, const struct connect_message *message, struct http_answer *answer, struct fault_note *note)
{
    char text[HEADERS_MAX][HEADER_BYTES];
    const char *headers[HEADERS_MAX];
    uint32_t count = 0;
    snprintf(text[count++], HEADER_BYTES, "Content-Type: text/plain; charset=UTF-8");
    snprintf(text[count++], HEADER_BYTES, "Expect:");
    snprintf(text[count++], HEADER_BYTES, "X-Kannel-To: %s", message->recipient);
    snprintf(text[count++], HEADER_BYTES, "X-Kannel-Coding: %d", is_ascii(message->body, message->body_bytes) ? 0 : 2);
    if (sms->from[0])
        snprintf(text[count++], HEADER_BYTES, "X-Kannel-From: %s", sms->from);
    if (sms->user[0]) {
        snprintf(text[count++], HEADER_BYTES, "X-Kannel-Username: %s", sms->user);
        snprintf(text[count++], HEADER_BYTES, "X-Kannel-Password: %.*s", (int)sms->password.bytes, (const char *)sms->password.data);
    }
    for (uint32_t i = 0; i < count; i++)
        headers[i] = text[i];
    const struct http_request request = {.url = sms->url,
                                         .headers = headers,
                                         .header_count = count,
                                         .body = message->body,
                                         .body_bytes = message->body_bytes,
                                         .connect_ms = sms->connect_ms,
                                         .total_ms = sms->total_ms,
                                         .answer_bytes_max = ANSWER_BYTES_MAX};
    enum fault fault = http_call(sms->http, &request, answer, note);
    secret_wipe(text, sizeof text);
    return fault;
}

enum connect_outcome sms_send(void *context, const struct connect_message *message, struct connect_answer *out, struct fault_note *note)
{
    struct sms *sms = context;
    struct http_answer answer = {0};
    MUST(sms->magic == SMS_MAGIC);
    *out = (struct connect_answer){0};
    if (!letter_is_number(message->recipient)) {
        fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "no number that a text could go to: %.40s", message->recipient);
        return CONNECT_REFUSED;
    }
    if (ask(sms, message, &answer, note) != FAULT_NONE)
        return CONNECT_AGAIN;
    *out = (struct connect_answer){.body = answer.body, .body_bytes = answer.body_bytes, .retry_after_ms = answer.retry_after_ms};
    enum connect_outcome outcome = connect_status_outcome(answer.status);
    if (outcome == CONNECT_DONE && !sms_is_accepted(answer.body ? answer.body : "", answer.body_bytes))
        outcome = CONNECT_AGAIN;
    if (outcome != CONNECT_DONE)
        fault_set(note, outcome == CONNECT_REFUSED ? FAULT_denied : FAULT_unavailable, ROW_NONE, COLUMN_NONE,
                  "sms: HTTP status %u, '%.60s'", answer.status, answer.body ? answer.body : "");
    return outcome;
}
