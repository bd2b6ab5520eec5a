/* `sluice release`, `cancel` and `status`: the life of one batch. */
#include <string.h>

#include "command/command.h"
#include "command/show.h"

struct living {
    struct connect_options connect;
    const char *batch, *id;
    bool as_json;
};

static const struct argp_option options[] = {
    {"id", 'i', "ID", 0, "Names the change: the same again tells what was recorded; VERB-BATCH when left out", 1},
    {"json", 'j', NULL, 0, "As one line of JSON", 1},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct living *out = state->input;
    if (key == ARGP_KEY_INIT)
        state->child_inputs[0] = &out->connect;
    else if (key == 'i')
        out->id = argument;
    else if (key == 'j')
        out->as_json = true;
    else if (key == ARGP_KEY_ARG && !out->batch)
        out->batch = argument;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};

static void reply_print(const struct living *living, const struct sluice_reply *reply, bool is_status)
{
    struct wire_value top;
    if (living->as_json && show_reply_top(&top, reply)) {
        show_json(stdout, &top, -1);
        putchar('\n');
    } else if (is_status) {
        const char *life = sluice_reply_string(reply, "life"), *state = sluice_reply_string(reply, "state");
        printf("%s: %s, %lld rows, %lld second batches\n", living->batch,
               life    ? life
               : state ? state
                       : "",
               (long long)sluice_reply_integer(reply, "rows", 0), (long long)sluice_reply_integer(reply, "releases", 0));
    } else {
        printf("%s: %s\n", living->batch, sluice_reply_text(reply));
    }
}

static int life_ask(const char *verb, const char *doc, int argc, char **argv)
{
    const struct argp argp = {.options = options, .parser = option_parse, .args_doc = "BATCH", .doc = doc, .children = children};
    struct living living = {.batch = NULL};
    struct sluice_client *client = NULL;
    struct sluice_reply *reply = NULL;
    bool is_status = strcmp(verb, "status") == 0;
    char id[256];
    argp_parse(&argp, argc, argv, 0, NULL, &living);
    if (!living.batch)
        return command_fail(COMMAND_REFUSED, verb, "needs the name of a batch");
    int status = connect_open(&client, verb, &living.connect);
    if (status != COMMAND_DONE)
        return status;
    snprintf(id, sizeof id, "%s-%s", verb, living.batch);
    int error = is_status ? sluice_ask(client, verb, living.batch, &reply)
                          : sluice_change(client, verb, living.id ? living.id : id, living.batch, &reply);
    if (error != SLUICE_OK)
        status = connect_failed(verb, error, reply);
    else
        reply_print(&living, reply, is_status);
    sluice_reply_free(&reply);
    sluice_close(&client);
    return status;
}

int command_release(int argc, char **argv)
{
    return life_ask("release", "Release what passed of a batch as a second batch.", argc, argv);
}

int command_cancel(int argc, char **argv)
{
    return life_ask("cancel", "Cancel a batch that was not released.", argc, argv);
}

int command_status(int argc, char **argv)
{
    return life_ask("status", "Tell how far a batch is.", argc, argv);
}
