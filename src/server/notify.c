/* sd_notify fails quietly outside systemd, which is as it should be. */
#include "server/notify.h"

#include <systemd/sd-daemon.h>

#include "base/clock.h"

void server_notify_ready(const char *status)
{
    sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void server_notify_stopping(void)
{
    sd_notify(0, "STOPPING=1\nSTATUS=draining");
}

void server_notify_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_steady_ns() / 1000));
}

void server_notify_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

int64_t server_notify_watchdog_ms(void)
{
    uint64_t us = 0;
    return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)(us / 1000) : 0;
}
