#ifndef SLUICE_CONNECT_SMS_H
#define SLUICE_CONNECT_SMS_H

#include <stdint.h>

#include "base/fault.h"
#include "connect/connector.h"

/* SMS by an HTTP gateway as Kannel's smsbox is one: POST to its sendsms with X-Kannel-* headers, the text as UTF-8. */

struct http;
struct sms;

struct sms_options {
    struct http *http; /* borrowed */
    const char *url, *user, *from;
    const struct connect_secret *password; /* copied, as all texts */
    int64_t connect_ms, total_ms;
};

enum fault sms_open(struct sms **out, const struct sms_options *options, struct fault_note *note);
connect_send_fn sms_send; /* context: the struct sms */
void sms_close(struct sms **sms_p);
/* What a 2xx answer says: "0: Accepted for delivery" and "3: Queued for later delivery" are what a gateway answers. */
bool sms_is_accepted(const char *body, size_t bytes);

#endif
