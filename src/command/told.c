/* `sluice consolidate` and `report`: what a processor asks and tells of a second batch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/command.h"
#include "command/show.h"

enum { PART_MAX = 1000, KEY_WHY = 0x200 };

struct telling {
    struct connect_options connect;
    struct sluice_told told;
    const char *part[PART_MAX];
    bool as_json, reports;
};

static const struct argp_option check_options[] = {
    {"fields", 'f', "JSON", 0, "Merged fields: {\"count\": 2, \"sums\": {\"EUR\": 2100}, \"payees\": [\"b\", \"c\"]}", 1},
    {"id", 'i', "ID", 0, "Names the check: the same again tells what was found; consolidate-RELEASE when left out", 1},
    {"part", 'p', "TRANSFER", 0, "About this transfer alone; again for more; all when left out", 1},
    {"json", 'j', NULL, 0, "As one line of JSON", 1},
    {0},
};
static const struct argp_option report_options[] = {
    {"failed", 'F', NULL, 0, "They failed; executed when left out", 1},
    {"why", KEY_WHY, "TEXT", 0, "Why they failed", 1},
    {"id", 'i', "ID", 0, "Names the report: the same again changes nothing; report-RELEASE-STATE when left out", 1},
    {"part", 'p', "TRANSFER", 0, "About this transfer alone; again for more; all when left out", 1},
    {"json", 'j', NULL, 0, "As one line of JSON", 1},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct telling *out = state->input;
    if (key == ARGP_KEY_INIT)
        state->child_inputs[0] = &out->connect;
    else if (key == 'i')
        out->told.id = argument;
    else if (key == 'f')
        out->told.fields = argument;
    else if (key == 'F')
        out->told.state = "failed";
    else if (key == KEY_WHY)
        out->told.why = argument;
    else if (key == 'j')
        out->as_json = true;
    else if (key == 'p' && out->told.transfer_count == PART_MAX)
        argp_error(state, "at most %d transfers of a part", PART_MAX);
    else if (key == 'p')
        out->part[out->told.transfer_count++] = argument;
    else if (key == ARGP_KEY_ARG && !out->told.batch)
        out->told.batch = argument;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};

/* A check that sends transfers back ends with COMMAND_HELD. */
static int reply_print(const struct telling *telling, const struct sluice_reply *reply)
{
    struct wire_value top;
    const char *verdict = sluice_reply_string(reply, "verdict");
    bool returns = verdict && strcmp(verdict, "return") == 0;
    if (telling->as_json && show_reply_top(&top, reply)) {
        show_json(stdout, &top, -1);
        putchar('\n');
    } else if (verdict) {
        printf("%s: %s: %s\n", telling->told.batch, verdict, sluice_reply_text(reply));
    } else {
        printf("%s: %s\n", telling->told.batch, sluice_reply_text(reply));
    }
    return returns ? COMMAND_HELD : COMMAND_DONE;
}

static int told_ask(const char *op, const struct argp *argp, int argc, char **argv)
{
    struct telling *telling = calloc(1, sizeof *telling);
    struct sluice_client *client = NULL;
    struct sluice_reply *reply = NULL;
    char id[256];
    if (!telling)
        return command_fail(COMMAND_REFUSED, op, "no memory");
    telling->reports = strcmp(op, "report") == 0;
    telling->told.state = telling->reports ? "executed" : NULL;
    argp_parse(argp, argc, argv, 0, NULL, telling);
    int status = COMMAND_DONE;
    if (!telling->told.batch)
        status = command_fail(COMMAND_REFUSED, op, "needs the id of a second batch, BATCH/rN");
    else if (!telling->reports && !telling->told.fields)
        status = command_fail(COMMAND_REFUSED, op, "needs --fields");
    if (status == COMMAND_DONE)
        status = connect_open(&client, op, &telling->connect);
    if (status == COMMAND_DONE) {
        snprintf(id, sizeof id, "%s-%.128s%s%s", op, telling->told.batch, telling->reports ? "-" : "",
                 telling->reports ? telling->told.state : "");
        telling->told.id = telling->told.id ? telling->told.id : id;
        telling->told.transfers = telling->told.transfer_count ? telling->part : NULL;
        int error = sluice_tell(client, op, &telling->told, &reply);
        status = error != SLUICE_OK ? connect_failed(op, error, reply) : reply_print(telling, reply);
    }
    sluice_reply_free(&reply);
    sluice_close(&client);
    free(telling);
    return status;
}

int command_consolidate(int argc, char **argv)
{
    static const struct argp argp = {.options = check_options,
                                     .parser = option_parse,
                                     .args_doc = "RELEASE",
                                     .doc = "Ask whether a second batch may be executed as its fields were merged.",
                                     .children = children};
    return told_ask("consolidate", &argp, argc, argv);
}

int command_report(int argc, char **argv)
{
    static const struct argp argp = {.options = report_options,
                                     .parser = option_parse,
                                     .args_doc = "RELEASE",
                                     .doc = "Tell that transfers of a second batch were executed, or failed.",
                                     .children = children};
    return told_ask("report", &argp, argc, argv);
}
