/* `sluice explain`: why a recorded transfer got its verdict. */
#include <string.h>

#include "command/command.h"
#include "command/show.h"

enum { KEY_BATCH = 0x500 };

struct explain {
    struct connect_options connect;
    const char *batch, *transfer;
    bool as_json;
};

static const struct argp_option options[] = {
    {"batch", KEY_BATCH, "NAME", 0, "The transfer of this batch (default: the newest with that id)", 1},
    {"json", 'j', NULL, 0, "As one line of JSON", 1},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct explain *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->connect;
        return 0;
    case KEY_BATCH:
        out->batch = argument;
        return 0;
    case 'j':
        out->as_json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (out->transfer)
            argp_error(state, "one TRANSFER, not '%s' as well", argument);
        out->transfer = argument;
        return 0;
    case ARGP_KEY_END:
        if (!out->transfer)
            argp_error(state, "no TRANSFER given: its transfer_id");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A line for each single value; times are told as such. */
static void values_print(const struct wire_value *top)
{
    struct wire_value key, value;
    const unsigned char *at = top->inside;
    for (uint32_t i = 0; i < top->count && wire_next(&key, &at, top->end) && wire_next(&value, &at, top->end); i++) {
        char time[32];
        bool is_time = text_equal(key.text, text_of("time")) || text_equal(key.text, text_of("recorded"));
        if (i < 4 || value.type == WIRE_ARRAY) /* v, id, status, op */
            continue;
        printf("%-26.*s ", (int)key.text.bytes, key.text.data);
        if (is_time && value.type == WIRE_INT) {
            show_time(time, sizeof time, value.integer);
            fputs(time, stdout);
        } else if (value.type == WIRE_STR) {
            fwrite(value.text.data, 1, value.text.bytes, stdout);
        } else {
            show_json(stdout, &value, -1);
        }
        putchar('\n');
    }
}

static void explanation_print(const struct wire_value *top)
{
    static const char *const of_reasons[] = {"feature", "dimension", "value", "unit", "share", NULL};
    static const char *const of_notes[] = {"column", "text", NULL};
    struct wire_value list;
    values_print(top);
    if (wire_find(&list, top, "reasons") && list.count > 0)
        putchar('\n'), show_table(stdout, &list, of_reasons);
    if (wire_find(&list, top, "notes") && list.count > 0)
        putchar('\n'), show_table(stdout, &list, of_notes);
}

int command_explain(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .args_doc = "TRANSFER",
        .doc = "Tell why a recorded transfer got its verdict: scenes with threshold and margin, anomaly, distances, and each feature's "
               "value and share. Needs the right explain.\vExit status: 0 done, 2 refused, 3 could not reach the server.",
        .children = children,
    };
    struct explain explain = {0};
    struct sluice_client *client = NULL;
    struct sluice_reply *reply = NULL;
    struct wire_value top;
    argp_parse(&argp, argc, argv, 0, NULL, &explain);
    int status = connect_open(&client, "explain", &explain.connect);
    if (status != COMMAND_DONE)
        return status;
    int error = sluice_explain(client, explain.batch, explain.transfer, &reply);
    if (error != SLUICE_OK)
        status = connect_failed("explain", error, reply);
    else if (!show_reply_top(&top, reply))
        status = command_fail(COMMAND_REFUSED, "explain", "the answer cannot be read");
    else if (explain.as_json)
        show_json(stdout, &top, -1), putchar('\n');
    else
        explanation_print(&top);
    sluice_reply_free(&reply);
    sluice_close(&client);
    return status;
}
