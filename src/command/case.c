/* `sluice case`: what abnormal results opened. */
#include <stdio.h>
#include <string.h>

#include "command/command.h"
#include "command/show.h"

enum { KEY_ACCOUNT = 0xa00, CURSOR_BYTES = 64, PAGE_ROWS = 1000 };

struct casing {
    struct connect_options connect;
    const char *verb;
    struct sluice_case_query wanted;
    bool as_lines;
};

static const struct argp_option options[] = {
    {"account", KEY_ACCOUNT, "ID", 0, "list: cases of this payer alone", 1},
    {"format", 'f', "table|jsonl", 0, "How they are shown (default table)", 1},
    {0},
};

static void word_parse(struct argp_state *state, struct casing *out, const char *argument)
{
    if (!out->verb && (strcmp(argument, "list") == 0 || strcmp(argument, "show") == 0))
        out->verb = argument;
    else if (!out->verb)
        argp_error(state, "expected list or show, not '%s'", argument);
    else if (strcmp(out->verb, "list") == 0)
        argp_error(state, "list takes no CASE, not '%s'", argument);
    else if (out->wanted.entry)
        argp_error(state, "one CASE, not '%s' as well", argument);
    else
        out->wanted.entry = argument;
}

static void words_check(struct argp_state *state, const struct casing *casing)
{
    if (!casing->verb)
        argp_error(state, "list or show is needed");
    else if (strcmp(casing->verb, "show") == 0 && !casing->wanted.entry)
        argp_error(state, "which case is to be shown is needed");
    else if (casing->wanted.entry && casing->wanted.account)
        argp_error(state, "--account is of list");
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct casing *out = state->input;
    if (key == ARGP_KEY_INIT)
        state->child_inputs[0] = &out->connect;
    else if (key == ARGP_KEY_ARG)
        word_parse(state, out, argument);
    else if (key == ARGP_KEY_END)
        words_check(state, out);
    else if (key == KEY_ACCOUNT)
        out->wanted.account = argument;
    else if (key == 'f' && (strcmp(argument, "jsonl") == 0 || strcmp(argument, "table") == 0))
        out->as_lines = argument[0] == 'j';
    else if (key == 'f')
        argp_error(state, "--format takes table or jsonl, not '%s'", argument);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static int page_ask(struct casing *casing, struct sluice_client *client, char *cursor)
{
    static const char *const of_case[] = {"entry", "account", "scene", "level", "transfers", "opened", "last", NULL};
    static const char *const of_transfer[] = {"transfer_id", "verdict", "level", "sequence", "row", NULL};
    bool shows = casing->wanted.entry;
    struct wire_value top, rows;
    struct sluice_reply *reply = NULL;
    casing->wanted.cursor = *cursor ? cursor : NULL;
    int status = COMMAND_DONE, error = sluice_cases(client, &casing->wanted, &reply);
    const char *next = NULL;
    if (error != SLUICE_OK) {
        status = connect_failed("case", error, reply);
    } else if (!show_reply_top(&top, reply) || !wire_find(&rows, &top, shows ? "transfers" : "cases") || rows.type != WIRE_ARRAY) {
        status = command_fail(COMMAND_REFUSED, "case", "the answer has no cases");
    } else {
        show_page(stdout, &rows, shows ? of_transfer : of_case, casing->as_lines);
        next = sluice_reply_string(reply, "cursor");
    }
    snprintf(cursor, CURSOR_BYTES, "%s", next ? next : "");
    sluice_reply_free(&reply);
    return status;
}

int command_case(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .args_doc = "list\nshow CASE",
        .doc = "The cases that abnormal results opened, newest first, or the transfers of one. Needs the right query."
               "\vExit status: 0 done, 2 refused, 3 could not reach the server.",
        .children = children,
    };
    struct casing casing = {.wanted.rows_max = PAGE_ROWS};
    struct sluice_client *client = NULL;
    char cursor[CURSOR_BYTES] = "";
    argp_parse(&argp, argc, argv, 0, NULL, &casing);
    int status = connect_open(&client, "case", &casing.connect);
    if (status != COMMAND_DONE)
        return status;
    do {
        status = page_ask(&casing, client, cursor);
    } while (status == COMMAND_DONE && *cursor);
    sluice_close(&client);
    return status;
}
