/* Failpoints of programs built with SLUICE_FAILPOINTS: counted, and the place where a process kills itself. */
#include "base/failpoint.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "names.h"

static char fatal_name[128];
static uint64_t fatal_nth;
static atomic_uint_fast64_t fatal_passed;
static int counts_fd = -1;

void fault_failpoint_set(const char *name, uint64_t nth)
{
    snprintf(fatal_name, sizeof fatal_name, "%s", name ? name : "");
    fatal_nth = name ? nth : 0;
    atomic_store(&fatal_passed, 0);
}

static void settings_read(void)
{
    const char *wanted = getenv("SLUICE_FAILPOINT"), *counts = getenv("SLUICE_FAILPOINT_COUNTS");
    const char *colon = wanted ? strrchr(wanted, ':') : NULL;
    if (colon) {
        fault_failpoint_set(wanted, strtoull(colon + 1, NULL, 10));
        fatal_name[(size_t)(colon - wanted) < sizeof fatal_name ? (size_t)(colon - wanted) : sizeof fatal_name - 1] = '\0';
    }
    if (counts)
        counts_fd = open(counts, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

void failpoint_pass(const char *name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, settings_read);
    if (counts_fd >= 0) {
        char line[140];
        int bytes = snprintf(line, sizeof line, "%s\n", name);
        if (write(counts_fd, line, (size_t)bytes) != bytes)
            abort();
    }
    if (fatal_nth && strcmp(name, fatal_name) == 0 && atomic_fetch_add(&fatal_passed, 1) + 1 == fatal_nth)
        names_forget(), raise(SIGKILL);
}
