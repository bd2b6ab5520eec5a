#ifndef SLUICE_CONNECT_SMTP_H
#define SLUICE_CONNECT_SMTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "connect/connector.h"

/* Mail over SMTP through libcurl: STARTTLS or TLS with a certificate that is trusted, AUTH, one recipient a message. The message's
 * body is the whole mail (letter.h). */

struct http;
struct smtp;

struct smtp_options {
    struct http *http; /* whose hosts and CA file hold here too; borrowed */
    const char *url, *user, *from;
    const struct connect_secret *password; /* copied, as all texts */
    bool tls;                              /* false: smtp:// goes without */
    int64_t connect_ms, total_ms;
};

/* FAULT_denied: the host is not on the allow list. http was opened before. */
enum fault smtp_open(struct smtp **out, const struct smtp_options *options, struct fault_note *note);
connect_send_fn smtp_send;         /* context: the struct smtp. Keeps its connection for the next one; one call at a time */
void smtp_stop(struct smtp *smtp); /* the call under way ends soon, those that begin at once; any thread; NULL is fine */
void smtp_close(struct smtp **smtp_p);

#endif
