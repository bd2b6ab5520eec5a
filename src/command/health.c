/* `sluice health` and `sluice stats`: what a server tells of itself. */
#include <string.h>

#include "command/command.h"
#include "command/show.h"

struct asking {
    struct connect_options connect;
    bool as_json;
};

static const struct argp_option options[] = {{"json", 'j', NULL, 0, "As one line of JSON", 1}, {0}};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct asking *out = state->input;
    (void)argument;
    if (key == ARGP_KEY_INIT)
        state->child_inputs[0] = &out->connect;
    else if (key == 'j')
        out->as_json = true;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};

/* Nested maps as lines "a.b value". */
static void lines_print(const struct wire_value *map, const char *prefix)
{
    struct wire_value key, value;
    char name[256];
    const unsigned char *at = map->inside;
    for (uint32_t i = 0; i < map->count && wire_next(&key, &at, map->end) && wire_next(&value, &at, map->end); i++) {
        snprintf(name, sizeof name, "%s%s%.*s", prefix, *prefix ? "." : "", (int)(key.text.bytes < 64 ? key.text.bytes : 64),
                 key.text.data);
        if (value.type == WIRE_MAP) {
            lines_print(&value, name);
            continue;
        }
        printf("%-40s ", name);
        show_json(stdout, &value, -1);
        putchar('\n');
    }
}

static int server_ask(struct sluice_reply **out, const char *op, struct connect_options *connect)
{
    struct sluice_client *client = NULL;
    int status = connect_open(&client, op, connect);
    if (status != COMMAND_DONE)
        return status;
    int error = sluice_ask(client, op, NULL, out);
    if (error != SLUICE_OK)
        status = connect_failed(op, error, *out);
    sluice_close(&client);
    return status;
}

int command_stats(int argc, char **argv)
{
    static const struct argp argp = {.options = options, .parser = option_parse, .doc = "Show a server's counters.", .children = children};
    struct asking asking = {0};
    struct sluice_reply *reply = NULL;
    struct wire_value top, stats;
    argp_parse(&argp, argc, argv, 0, NULL, &asking);
    int status = server_ask(&reply, "stats", &asking.connect);
    if (status == COMMAND_DONE && show_reply_top(&top, reply) && wire_find(&stats, &top, "stats") && stats.type == WIRE_MAP) {
        if (asking.as_json)
            show_json(stdout, &stats, -1), putchar('\n');
        else
            lines_print(&stats, "");
    } else if (status == COMMAND_DONE) {
        status = command_fail(COMMAND_REFUSED, "stats", "the answer has no counters");
    }
    sluice_reply_free(&reply);
    return status;
}

static void health_print(bool well, const char *why, const char *drift)
{
    printf("%s%s%s\n", well ? "ready" : "not ready", why && *why ? ": " : "", why ? why : "");
    if (drift && strcmp(drift, "none") != 0)
        printf("drift: %s\n", drift);
}

int command_health(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .doc = "Ask whether a server is well.\vExit status: 0 ready, 1 not ready, 2 refused, 3 could not reach the server.",
        .children = children,
    };
    struct asking asking = {0};
    struct sluice_reply *reply = NULL;
    struct wire_value top, ready;
    argp_parse(&argp, argc, argv, 0, NULL, &asking);
    int status = server_ask(&reply, "health", &asking.connect);
    if (status == COMMAND_DONE && show_reply_top(&top, reply)) {
        bool well = wire_find(&ready, &top, "ready") && ready.type == WIRE_BOOL && ready.integer;
        const char *why = sluice_reply_string(reply, "why");
        if (asking.as_json)
            show_json(stdout, &top, -1), putchar('\n');
        else
            health_print(well, why, sluice_reply_string(reply, "drift"));
        status = well ? COMMAND_DONE : COMMAND_HELD;
    }
    sluice_reply_free(&reply);
    return status;
}
