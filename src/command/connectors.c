/* `sluice connect`: what leaves for other systems, what is dead, and how each connector is. */
#include <stdio.h>
#include <string.h>

#include "command/command.h"
#include "command/show.h"

enum { KEY_CONNECTOR = 0x500, KEY_STATE, CURSOR_BYTES = 256, PAGE_ROWS = 500 };

struct outbox {
    struct connect_options connect;
    const char *verb, *entry;
    struct sluice_outbox_query wanted;
    bool as_lines;
};

static const struct argp_option options[] = {
    {"connector", KEY_CONNECTOR, "NAME", 0, "list, dead, resend: of this one alone", 1},
    {"state", KEY_STATE, "waiting|acknowledged|dead", 0, "list: in this state alone", 1},
    {"format", 'f', "table|jsonl", 0, "How entries are shown (default table)", 1},
    {0},
};

static bool verb_is(const struct outbox *outbox, const char *verb)
{
    return outbox->verb && strcmp(outbox->verb, verb) == 0;
}

static error_t argument_parse(struct outbox *out, char *argument, struct argp_state *state)
{
    if (out->verb) {
        if (!verb_is(out, "resend") || out->entry)
            return ARGP_ERR_UNKNOWN;
        out->entry = argument;
        return 0;
    }
    out->verb = argument;
    if (!verb_is(out, "list") && !verb_is(out, "dead") && !verb_is(out, "resend") && !verb_is(out, "health"))
        argp_error(state, "expected list, dead, resend or health, not '%s'", argument);
    return 0;
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct outbox *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->connect;
        return 0;
    case ARGP_KEY_ARG:
        return argument_parse(out, argument, state);
    case ARGP_KEY_END:
        if (!out->verb)
            argp_error(state, "expected list, dead, resend or health");
        if (verb_is(out, "resend") && !out->entry && !out->wanted.connector)
            argp_error(state, "resend takes an entry, or --connector for all of one");
        return 0;
    case KEY_CONNECTOR:
        out->wanted.connector = argument;
        return 0;
    case KEY_STATE:
        out->wanted.state = argument;
        return 0;
    case 'f':
        out->as_lines = strcmp(argument, "jsonl") == 0;
        if (!out->as_lines && strcmp(argument, "table") != 0)
            argp_error(state, "--format takes table or jsonl, not '%s'", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int rows_show(const struct outbox *outbox, int error, const struct sluice_reply *reply, const char *key, const char *const *wanted)
{
    struct wire_value top, rows;
    if (error != SLUICE_OK)
        return connect_failed("connect", error, reply);
    if (!show_reply_top(&top, reply) || !wire_find(&rows, &top, key) || rows.type != WIRE_ARRAY)
        return command_fail(COMMAND_REFUSED, "connect", "the answer has no %s", key);
    show_page(stdout, &rows, wanted, outbox->as_lines);
    return COMMAND_DONE;
}

static int pages_show(struct outbox *outbox, struct sluice_client *client)
{
    static const char *const wanted[] = {"entry", "connector", "subject", "recipient", "id", "state", "attempts", "why", NULL};
    char cursor[CURSOR_BYTES] = "";
    int status;
    outbox->wanted.rows_max = PAGE_ROWS;
    if (verb_is(outbox, "dead"))
        outbox->wanted.state = "dead";
    do {
        struct sluice_reply *reply = NULL;
        outbox->wanted.cursor = *cursor ? cursor : NULL;
        int error = sluice_outbox(client, &outbox->wanted, &reply);
        status = rows_show(outbox, error, reply, "messages", wanted);
        const char *next = status == COMMAND_DONE ? sluice_reply_string(reply, "cursor") : NULL;
        snprintf(cursor, sizeof cursor, "%s", next ? next : "");
        sluice_reply_free(&reply);
    } while (status == COMMAND_DONE && *cursor);
    return status;
}

static int health_show(struct outbox *outbox, struct sluice_client *client)
{
    static const char *const wanted[] = {"name", "kind", "breaker", "failures", "waiting", "dead", "delivered", "last_failure", NULL};
    struct sluice_reply *reply = NULL;
    int error = sluice_ask(client, "connect.health", NULL, &reply);
    int status = rows_show(outbox, error, reply, "connectors", wanted);
    sluice_reply_free(&reply);
    return status;
}

static int resend(const struct outbox *outbox, struct sluice_client *client)
{
    struct sluice_reply *reply = NULL;
    struct wire_value top, count;
    int error = sluice_resend(client, outbox->wanted.connector, outbox->entry, &reply), status = COMMAND_DONE;
    if (error != SLUICE_OK)
        status = connect_failed("connect", error, reply);
    else if (!show_reply_top(&top, reply) || !wire_find(&count, &top, "count") || count.type != WIRE_INT)
        status = command_fail(COMMAND_REFUSED, "connect", "the answer has no count");
    else
        printf("%lld wait again\n", (long long)count.integer);
    sluice_reply_free(&reply);
    return status;
}

int command_connect(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .args_doc = "list\ndead\nresend [ENTRY]\nhealth",
        .doc = "What leaves for processors, mail, SMS and other systems: what waits and what became of it, dead letters, and how each "
               "connector is. resend makes one dead letter wait again, or all of a connector.\vExit status: 0 done, 2 refused, 3 could not "
               "reach the server.",
        .children = children,
    };
    struct outbox outbox = {0};
    struct sluice_client *client = NULL;
    argp_parse(&argp, argc, argv, 0, NULL, &outbox);
    int status = connect_open(&client, "connect", &outbox.connect);
    if (status == COMMAND_DONE)
        status = verb_is(&outbox, "health")   ? health_show(&outbox, client)
                 : verb_is(&outbox, "resend") ? resend(&outbox, client)
                                              : pages_show(&outbox, client);
    sluice_close(&client);
    return status;
}
