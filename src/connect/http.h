#ifndef SLUICE_CONNECT_HTTP_H
#define SLUICE_CONNECT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* HTTP through libcurl; http.c and smtp.c are its only users. One thread drives every transfer, connections are kept and used again.
 * Only schemes and hosts of the allow list are asked; no redirect is followed; no proxy, cookie or netrc is heeded. */

struct http;

enum { HTTP_HOSTS_MAX = 64, HTTP_HOST_BYTES_MAX = 255, HTTP_URL_BYTES_MAX = 1023 };

struct http_options {
    const char *const *hosts; /* "name" (any port) or "name:port"; copied */
    uint32_t host_count;
    bool plain;               /* http:// beside https:// */
    const char *ca_file;      /* PEM; NULL or empty: what the system trusts */
    uint32_t connections_max; /* open at once, default 32 */
};

struct http_request {
    const char *url;
    const char *const *headers; /* "Name: value" */
    uint32_t header_count;
    const void *body; /* sent by POST; NULL: GET. Borrowed until the call returns */
    size_t body_bytes;
    int64_t connect_ms, total_ms;
    size_t answer_bytes_max;
};

struct http_answer {
    uint32_t status;
    int64_t retry_after_ms; /* 0: not told */
    char *body;             /* with an end mark behind it */
    size_t body_bytes;
};

/* The first one before there are other threads. */
enum fault http_open(struct http **out, const struct http_options *options, struct fault_note *note);
void http_stop(struct http *http);     /* calls under way end with FAULT_unavailable, as do those that begin; NULL is fine */
void http_close(struct http **http_p); /* the same, and waits for them; nobody may begin one behind it */
/* FAULT_denied: the scheme or host is not allowed; FAULT_syntax: no URL. */
enum fault http_url_check(const struct http *http, const char *url, struct fault_note *note);
/* The same for mail: smtp:// and smtps://, on the same list of hosts. */
enum fault http_mail_url_check(const struct http *http, const char *url, struct fault_note *note);
const char *http_ca_file(const struct http *http); /* empty: what the system trusts */
/* Blocks. FAULT_NONE: there is an answer, whatever its status. FAULT_limit: it was too long. FAULT_unavailable, FAULT_deadline:
 * no answer came; the other side may have acted. Notes never hold a header, a body or more of the URL than its host. */
enum fault http_call(struct http *http, const struct http_request *request, struct http_answer *out, struct fault_note *note);
void http_answer_give(struct http_answer *answer);

#endif
