/* With http.c the only user of libcurl. A refusal of the recipient or of the mail is for good; of the login, of TLS or of the
 * sender's right to send is put right by the operator, and the mail then goes. */
#include "connect/smtp.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "base/secret.h"
#include "connect/http.h"

enum { SMTP_MAGIC = 0x534d5450, USER_BYTES = 129, ADDRESS_BYTES = 260 };

struct smtp {
    unsigned magic;
    CURL *easy;
    const char *ca_file;
    char url[HTTP_URL_BYTES_MAX + 1], user[USER_BYTES], from[ADDRESS_BYTES];
    struct connect_secret password; /* with an end mark behind it: at most CONNECT_SECRET_BYTES_MAX - 1 bytes */
    bool tls;
    int64_t connect_ms, total_ms;
    atomic_bool stopped;
};

struct upload {
    const char *data;
    size_t left;
};

static size_t upload_read(char *out, size_t size, size_t count, void *context)
{
    struct upload *upload = context;
    size_t bytes = size * count < upload->left ? size * count : upload->left;
    memcpy(out, upload->data, bytes);
    upload->data += bytes;
    upload->left -= bytes;
    return bytes;
}

static int progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct smtp *smtp = context;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&smtp->stopped);
}

enum fault smtp_open(struct smtp **out, const struct smtp_options *options, struct fault_note *note)
{
    *out = NULL;
    enum fault fault = http_mail_url_check(options->http, options->url, note);
    if (fault != FAULT_NONE)
        return fault;
    if (options->password->bytes >= CONNECT_SECRET_BYTES_MAX || memchr(options->password->data, 0, options->password->bytes))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "a password for mail has at most %d bytes, none of them zero",
                         CONNECT_SECRET_BYTES_MAX - 1);
    struct smtp *smtp = memory_take_zeroed(1, sizeof *smtp);
    if (!smtp)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for mail");
    smtp->magic = SMTP_MAGIC;
    smtp->ca_file = http_ca_file(options->http);
    snprintf(smtp->url, sizeof smtp->url, "%s", options->url);
    snprintf(smtp->user, sizeof smtp->user, "%s", options->user);
    snprintf(smtp->from, sizeof smtp->from, "<%s>", options->from);
    smtp->password = *options->password;
    smtp->password.data[smtp->password.bytes] = 0;
    smtp->tls = options->tls;
    smtp->connect_ms = options->connect_ms;
    smtp->total_ms = options->total_ms;
    if (!(smtp->easy = curl_easy_init())) {
        smtp_close(&smtp);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for mail");
    }
    *out = smtp;
    return FAULT_NONE;
}

void smtp_stop(struct smtp *smtp)
{
    if (smtp)
        atomic_store(&smtp->stopped, true);
}

void smtp_close(struct smtp **smtp_p)
{
    struct smtp *smtp = *smtp_p;
    *smtp_p = NULL;
    if (!smtp)
        return;
    MUST(smtp->magic == SMTP_MAGIC);
    if (smtp->easy)
        curl_easy_cleanup(smtp->easy);
    connect_secret_wipe(&smtp->password);
    smtp->magic = 0;
    memory_give(smtp);
}

static bool way_set(struct smtp *smtp)
{
    CURL *easy = smtp->easy;
    bool good = curl_easy_setopt(easy, CURLOPT_URL, smtp->url) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_USE_SSL, (long)(smtp->tls ? CURLUSESSL_ALL : CURLUSESSL_NONE)) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)smtp->connect_ms) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)smtp->total_ms) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, progress) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_XFERINFODATA, smtp) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
    if (smtp->ca_file[0])
        good = good && curl_easy_setopt(easy, CURLOPT_CAINFO, smtp->ca_file) == CURLE_OK;
    if (smtp->user[0]) {
        good = good && curl_easy_setopt(easy, CURLOPT_USERNAME, smtp->user) == CURLE_OK;
        good = good && curl_easy_setopt(easy, CURLOPT_PASSWORD, (const char *)smtp->password.data) == CURLE_OK;
    }
    return good;
}

static bool mail_set(struct smtp *smtp, struct curl_slist **recipients, const char *recipient, struct upload *upload)
{
    char address[ADDRESS_BYTES];
    snprintf(address, sizeof address, "<%s>", recipient);
    CURL *easy = smtp->easy;
    *recipients = curl_slist_append(NULL, address);
    bool good = *recipients && curl_easy_setopt(easy, CURLOPT_MAIL_FROM, smtp->from) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, *recipients) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_READFUNCTION, upload_read) == CURLE_OK;
    return good && curl_easy_setopt(easy, CURLOPT_READDATA, upload) == CURLE_OK;
}

/* Replies that speak of the recipient or of the mail itself. */
static enum connect_outcome outcome_of(CURLcode result, long reply)
{
    if (result == CURLE_OK)
        return CONNECT_DONE;
    bool greets = result == CURLE_WEIRD_SERVER_REPLY || result == CURLE_REMOTE_ACCESS_DENIED || result == CURLE_LOGIN_DENIED;
    return reply >= 550 && reply <= 556 && !greets ? CONNECT_REFUSED : CONNECT_AGAIN;
}

enum connect_outcome smtp_send(void *context, const struct connect_message *message, struct connect_answer *out, struct fault_note *note)
{
    struct smtp *smtp = context;
    MUST(smtp->magic == SMTP_MAGIC);
    struct upload upload = {message->body, message->body_bytes};
    struct curl_slist *recipients = NULL;
    long reply = 0;
    *out = (struct connect_answer){0};
    curl_easy_reset(smtp->easy); /* keeps the connection */
    CURLcode result = CURLE_OUT_OF_MEMORY;
    if (way_set(smtp) && mail_set(smtp, &recipients, message->recipient, &upload))
        result = curl_easy_perform(smtp->easy);
    curl_easy_getinfo(smtp->easy, CURLINFO_RESPONSE_CODE, &reply);
    curl_slist_free_all(recipients);
    enum connect_outcome outcome = outcome_of(result, reply);
    if (outcome != CONNECT_DONE)
        fault_set(note, outcome == CONNECT_REFUSED ? FAULT_denied : FAULT_unavailable, ROW_NONE, COLUMN_NONE, "mail: %.60s (reply %ld)",
                  curl_easy_strerror(result), reply);
    return outcome;
}
