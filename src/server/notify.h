#ifndef SLUICE_SERVER_NOTIFY_H
#define SLUICE_SERVER_NOTIFY_H

#include <stdint.h>

/* What systemd wants to hear (Type=notify); all do nothing where nobody listens. The only user of libsystemd. */

void server_notify_ready(const char *status); /* READY=1, and the line that systemctl status shows */
void server_notify_stopping(void);
void server_notify_reloading(void);      /* until the next ready */
void server_notify_alive(void);          /* the watchdog's ping */
int64_t server_notify_watchdog_ms(void); /* the longest pause between pings; 0: no watchdog */

#endif
