#ifndef SLUICE_COMMAND_COMMAND_H
#define SLUICE_COMMAND_COMMAND_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "client/sluice.h"

/* The room of subcommands, one file each; src/main.c holds the table. A command parses its own arguments with argp
 * (argv[0] is already "sluice NAME", wrong usage ends the process with COMMAND_REFUSED) and returns the exit status. */

enum command_status {
    COMMAND_DONE = 0,        /* done; of submit: every transfer passed */
    COMMAND_HELD = 1,        /* of submit: some transfers did not pass */
    COMMAND_REFUSED = 2,     /* wrong usage, bad input, a fault */
    COMMAND_UNREACHABLE = 3, /* nobody answered in time */
};

int command_serve(int argc, char **argv);
int command_token(int argc, char **argv);
int command_submit(int argc, char **argv);
int command_import(int argc, char **argv);
int command_observe(int argc, char **argv);
int command_label(int argc, char **argv);
int command_list(int argc, char **argv);
int command_case(int argc, char **argv);
int command_query(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_release(int argc, char **argv);
int command_cancel(int argc, char **argv);
int command_consolidate(int argc, char **argv);
int command_report(int argc, char **argv);
int command_status(int argc, char **argv);
int command_connect(int argc, char **argv);
int command_health(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_synth(int argc, char **argv);
int command_build(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_audit(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_base(int argc, char **argv);
int command_devices(int argc, char **argv);
int command_tune(int argc, char **argv);
int command_check_profile(int argc, char **argv);
int command_template(int argc, char **argv);

/* `sluice inspect` of a scene base: prints it (as JSON when json), returns the exit status. */
int command_inspect_base(const char *path, int json);
/* `sluice inspect --seal`: verifies a scene base in all but its checksum, then writes that into it. */
int command_seal_base(const char *path);

/* What every command needs to be done before it: jansson on our memory. Once, first of all. */
void command_begin(void);

/* Says "sluice NAME: text" on stderr; returns status, so that `return command_fail(...)` reads as one thing. */
int command_fail(int status, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same of a note, with the line and the column that it names; returns COMMAND_REFUSED. */
int command_note_fail(const char *name, const struct fault_note *note);
/* Whole numbers in options, "1000000" or "1e6" or "1_000_000"; ends the process through argp_error when wrong. */
int64_t command_integer(struct argp_state *state, const char *option, const char *text, int64_t least, int64_t most);
/* A day or a moment, UTC: "2026-11-21", "2026-11-21T08:30:00", or whole microseconds since the epoch. */
int64_t command_time_us(struct argp_state *state, const char *option, const char *text);

/* Options of every command that talks to a server: --connect (repeatable), --tenant, --token-file, --timeout, --ca-file,
 * --server-name. Put connect_argp among the children and the struct at the child's input. */
enum { CONNECT_URLS_MAX = 16 };
struct connect_options {
    const char *urls[CONNECT_URLS_MAX];
    size_t url_count;
    const char *tenant, *token_file, *ca_file, *server_name;
    int64_t timeout_ms;
    size_t in_flight;
    char token[4100]; /* a signed one has up to 4096 bytes */
};
extern const struct argp connect_argp;
/* Opens the client (0) or says why not and returns the exit status. */
int connect_open(struct sluice_client **out, const char *name, struct connect_options *options);
/* Exit status of a failed call, said on stderr: fault, first note, retry hint. reply may be NULL. */
int connect_failed(const char *name, int error, const struct sluice_reply *reply);

#endif
