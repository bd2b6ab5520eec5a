/* How a command finds its server and says who it is. The token never stands on a command line. */
#include "command/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_TENANT = 0x100, KEY_TOKEN_FILE, KEY_TIMEOUT, KEY_CA_FILE, KEY_SERVER_NAME };
enum { TIMEOUT_MS_MAX = 86400000 };

static const char url_default[] = "ipc:///run/sluice/sluice.ipc";

static const struct argp_option options[] = {
    {"connect", 'c', "URL", 0,
     "Server: ipc://, tcp:// or tls+tcp://; again for more servers, which share scoring "
     "(default: $SLUICE_CONNECT, else ipc:///run/sluice/sluice.ipc)",
     10},
    {"tenant", KEY_TENANT, "NAME", 0, "Who sends (default: $SLUICE_TENANT, else \"default\")", 10},
    {"token-file", KEY_TOKEN_FILE, "FILE", 0, "File with the tenant's token (default: $SLUICE_TOKEN holds the token itself)", 10},
    {"timeout", KEY_TIMEOUT, "MS", 0, "Longest wait for one answer, resends included (default 60000)", 10},
    {"ca-file", KEY_CA_FILE, "FILE", 0, "Certificates to trust, PEM, for tls+tcp://", 10},
    {"server-name", KEY_SERVER_NAME, "NAME", 0, "Name that the server's certificate must bear", 10},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct connect_options *out = state->input;
    switch (key) {
    case 'c':
        if (out->url_count == CONNECT_URLS_MAX)
            argp_error(state, "at most %d servers", CONNECT_URLS_MAX);
        out->urls[out->url_count++] = argument;
        return 0;
    case KEY_TENANT:
        out->tenant = argument;
        return 0;
    case KEY_TOKEN_FILE:
        out->token_file = argument;
        return 0;
    case KEY_TIMEOUT:
        out->timeout_ms = command_integer(state, "timeout", argument, 1, TIMEOUT_MS_MAX);
        return 0;
    case KEY_CA_FILE:
        out->ca_file = argument;
        return 0;
    case KEY_SERVER_NAME:
        out->server_name = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp connect_argp = {.options = options, .parser = option_parse};

static int token_read(const char *name, struct connect_options *options_of)
{
    const char *given = getenv("SLUICE_TOKEN");
    char *token = options_of->token;
    if (!options_of->token_file) {
        if ((size_t)snprintf(token, sizeof options_of->token, "%s", given ? given : "") >= sizeof options_of->token)
            return command_fail(COMMAND_REFUSED, name, "SLUICE_TOKEN is longer than %zu bytes", sizeof options_of->token - 1);
        return COMMAND_DONE;
    }
    FILE *file = fopen(options_of->token_file, "r");
    if (!file)
        return command_fail(COMMAND_REFUSED, name, "cannot open %s: %s", options_of->token_file, strerror(errno));
    bool read = fgets(token, sizeof options_of->token, file) != NULL;
    fclose(file);
    if (!read)
        return command_fail(COMMAND_REFUSED, name, "%s holds no token", options_of->token_file);
    token[strcspn(token, "\r\n")] = '\0';
    return COMMAND_DONE;
}

static void defaults_fill(struct connect_options *options_of)
{
    const char *url = getenv("SLUICE_CONNECT"), *tenant = getenv("SLUICE_TENANT");
    if (options_of->url_count == 0)
        options_of->urls[options_of->url_count++] = url && *url ? url : url_default;
    if (!options_of->tenant)
        options_of->tenant = tenant && *tenant ? tenant : "default";
}

int connect_open(struct sluice_client **out, const char *name, struct connect_options *options_of)
{
    char error[256];
    defaults_fill(options_of);
    int status = token_read(name, options_of);
    if (status != COMMAND_DONE)
        return status;
    if (options_of->ca_file && access(options_of->ca_file, R_OK) != 0)
        return command_fail(COMMAND_REFUSED, name, "cannot read %s: %s", options_of->ca_file, strerror(errno));
    const struct sluice_options to = {
        .urls = options_of->urls,
        .url_count = options_of->url_count,
        .tenant = options_of->tenant,
        .token = options_of->token,
        .timeout_ms = options_of->timeout_ms,
        .in_flight_max = options_of->in_flight,
        .tls_ca_file = options_of->ca_file,
        .tls_server_name = options_of->server_name,
    };
    int result = sluice_open(out, &to, error, sizeof error);
    if (result == SLUICE_OK)
        return COMMAND_DONE;
    status = result == SLUICE_UNREACHABLE || result == SLUICE_TIMEOUT ? COMMAND_UNREACHABLE : COMMAND_REFUSED;
    return command_fail(status, name, "%s", *error ? error : sluice_error_name(result));
}

int connect_failed(const char *name, int error, const struct sluice_reply *reply)
{
    const char *fault = reply ? sluice_reply_fault(reply) : NULL;
    if (error == SLUICE_UNREACHABLE || error == SLUICE_TIMEOUT)
        return command_fail(COMMAND_UNREACHABLE, name, "%s; whether it was taken is not known: run the same again",
                            sluice_error_name(error));
    if (!fault)
        return command_fail(COMMAND_REFUSED, name, "%s", sluice_error_name(error));
    if (sluice_reply_retry_after_ms(reply) > 0)
        return command_fail(COMMAND_REFUSED, name, "%s: %s (come again in %lld ms)", fault, sluice_reply_text(reply),
                            (long long)sluice_reply_retry_after_ms(reply));
    return command_fail(COMMAND_REFUSED, name, "%s: %s", fault, sluice_reply_text(reply));
}
