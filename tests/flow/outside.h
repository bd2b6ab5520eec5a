#ifndef SLUICE_TESTS_FLOW_OUTSIDE_H
#define SLUICE_TESTS_FLOW_OUTSIDE_H

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/must.h"
#include "flow/harness.h"

/* Real services outside of the server: processes of their own, with state in SQLite that outlives them. */

extern char **environ;

#define OUTSIDE_PYTHON "/usr/bin/python3" /* Debian's: it has what Debian's packages bring */

static inline pid_t outside_start(const char *const *arguments)
{
    pid_t pid;
    MUST(posix_spawnp(&pid, arguments[0], NULL, NULL, (char *const *)arguments, environ) == 0);
    return pid;
}
#define OUTSIDE_START(...) outside_start((const char *const[]){__VA_ARGS__, NULL})

static inline void outside_kill(pid_t *pid)
{
    if (*pid <= 0)
        return;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}

/* The first cell that the query gives, "" when there is no table yet. */
static inline const char *outside_cell(const char *database, const char *query)
{
    static char text[65536];
    setenv("OUTSIDE_DATABASE", database, 1);
    setenv("OUTSIDE_QUERY", query, 1);
    static const char script[] =
        OUTSIDE_PYTHON " -c \"\nimport os, sqlite3\ntry:\n r = "
                       "sqlite3.connect(os.environ['OUTSIDE_DATABASE']).execute(os.environ['OUTSIDE_QUERY']).fetchone()\n"
                       " print(r[0] if r and r[0] is not None else '', end='')\nexcept sqlite3.OperationalError:\n pass\n\"";
    FILE *pipe = popen(script, "r");
    MUST(pipe);
    size_t bytes = fread(text, 1, sizeof text - 1, pipe);
    text[bytes] = 0;
    pclose(pipe);
    return text;
}

static inline unsigned long long outside_count(const char *database, const char *query)
{
    return strtoull(outside_cell(database, query), NULL, 10);
}

/* Until the query gives at least so many; what it gave last. */
static inline unsigned long long outside_await(const char *database, const char *query, unsigned long long wanted, int limit_ms)
{
    unsigned long long count = 0;
    for (int waited = 0; (count = outside_count(database, query)) < wanted && waited < limit_ms; waited += 150)
        sleep_ms(100);
    return count;
}

/* Whether something listens there, within the limit. */
static inline bool outside_listens(int port, int limit_ms)
{
    char command[128];
    snprintf(command, sizeof command, "timeout 1 bash -c '</dev/tcp/127.0.0.1/%d' 2>/dev/null", port);
    for (int waited = 0; waited < limit_ms; waited += 100) {
        if (system(command) == 0)
            return true;
        sleep_ms(100);
    }
    return false;
}

#endif
