/* `sluice query`: recorded transfers, page by page. */
#include <string.h>

#include "base/must.h"
#include "command/show.h"
#include "command/verdicts.h"

enum {
    KEY_BATCH = 0x400,
    KEY_TRANSFER,
    KEY_ACCOUNT,
    KEY_VERDICT,
    KEY_SCENE,
    KEY_BEST_SCENE,
    KEY_STATE,
    KEY_LEVEL,
    KEY_FROM,
    KEY_TO,
    KEY_HEAD
};
enum { PAGE_ROWS = 1000, HEAD_DEFAULT = 100, CURSOR_BYTES = 128 };

struct query {
    struct sluice_query wanted;
    struct connect_options connect;
    bool as_lines, as_csv;
    uint64_t head, shown;
};

static const struct argp_option options[] = {
    {"batch", KEY_BATCH, "NAME", 0, "Of this batch", 1},
    {"transfer", KEY_TRANSFER, "ID", 0, "With this transfer_id", 1},
    {"account", KEY_ACCOUNT, "ID", 0, "From or to this account", 1},
    {"verdict", KEY_VERDICT, "pass|hold|reject|invalid", 0, "With this verdict", 1},
    {"state", KEY_STATE, "STATE", 0, "In this state: a verdict, released, expired, cancelled", 1},
    {"level", KEY_LEVEL, "none|low|medium|high|critical", 0, "With this risk level", 1},
    {"scene", KEY_SCENE, "NAME", 0, "That this scene kept from passing, alone or with the anomaly", 1},
    {"best-scene", KEY_BEST_SCENE, "NAME", 0, "Whose best scene is this, whatever its match and the verdict", 1},
    {"from", KEY_FROM, "TIME", 0, "Recorded at TIME (UTC: 2026-11-21 or 2026-11-21T08:30:00) or later", 1},
    {"to", KEY_TO, "TIME", 0, "Recorded before TIME", 1},
    {"format", 'f', "table|csv|jsonl", 0, "How rows are shown (default table)", 1},
    {"head", KEY_HEAD, "N", 0, "Show at most N rows, 0: all (default 100)", 1},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct query *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->connect;
        return 0;
    case KEY_BATCH:
        out->wanted.batch = argument;
        return 0;
    case KEY_TRANSFER:
        out->wanted.transfer = argument;
        return 0;
    case KEY_ACCOUNT:
        out->wanted.account = argument;
        return 0;
    case KEY_VERDICT:
        out->wanted.verdict = argument;
        return 0;
    case KEY_STATE:
        out->wanted.state = argument;
        return 0;
    case KEY_LEVEL:
        out->wanted.level = argument;
        return 0;
    case KEY_SCENE:
        out->wanted.scene = argument;
        return 0;
    case KEY_BEST_SCENE:
        out->wanted.best_scene = argument;
        return 0;
    case KEY_FROM:
        out->wanted.from_us = command_time_us(state, "from", argument);
        return 0;
    case KEY_TO:
        out->wanted.to_us = command_time_us(state, "to", argument);
        return 0;
    case KEY_HEAD:
        out->head = (uint64_t)command_integer(state, "head", argument, 0, INT64_MAX);
        return 0;
    case 'f':
        out->as_lines = strcmp(argument, "jsonl") == 0;
        out->as_csv = strcmp(argument, "csv") == 0;
        if (!out->as_lines && !out->as_csv && strcmp(argument, "table") != 0)
            argp_error(state, "--format takes table, csv or jsonl, not '%s'", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void csv_show(const struct query *query, const struct wire_value *rows)
{
    static const char *const columns[] = {
        "batch",     "sequence",     "row",     "op",          "time",           "transfer_id", "payer_id",       "payee_id",
        "amount",    "currency",     "verdict", "state",       "level",          "cause",       "scene",          "match",
        "runner_up", "runner_match", "risk",    "anomaly_own", "anomaly_linked", "risk_type",   "countermeasure", NULL};
    for (unsigned i = 0; query->shown == 0 && columns[i]; i++)
        printf("%s%s", i ? "," : "", columns[i]);
    if (query->shown == 0)
        putchar('\n');
    show_csv(stdout, rows, columns);
}

static void page_show(struct query *query, const struct wire_value *rows)
{
    static const char *const wanted[] = {"batch",   "time",  "transfer_id", "payer_id", "payee_id",       "amount", "currency",
                                         "verdict", "state", "scene",       "match",    "anomaly_linked", NULL};
    if (query->as_csv)
        csv_show(query, rows);
    else
        show_page(stdout, rows, wanted, query->as_lines);
    query->shown += rows->count;
}

/* One page; the cursor of the next, empty when it was the last. */
static int page_ask(struct query *query, struct sluice_client *client, char *cursor)
{
    struct wire_value top, rows;
    struct sluice_reply *reply = NULL;
    uint64_t left = query->head ? query->head - query->shown : PAGE_ROWS;
    query->wanted.rows_max = (uint32_t)(left < PAGE_ROWS ? left : PAGE_ROWS);
    query->wanted.cursor = *cursor ? cursor : NULL;
    int status = COMMAND_DONE, error = sluice_query(client, &query->wanted, &reply);
    const char *next = NULL;
    if (error != SLUICE_OK) {
        status = connect_failed("query", error, reply);
    } else if (!show_reply_top(&top, reply) || !wire_find(&rows, &top, "transfers") || rows.type != WIRE_ARRAY) {
        status = command_fail(COMMAND_REFUSED, "query", "the answer has no rows");
    } else {
        page_show(query, &rows);
        next = sluice_reply_string(reply, "cursor");
    }
    snprintf(cursor, CURSOR_BYTES, "%s", next ? next : "");
    sluice_reply_free(&reply);
    return status;
}

int command_query(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .doc = "Find recorded transfers, their verdicts and scenes. Choices narrow one another.\vExit status: 0 done, 2 refused, "
               "3 could not reach the server.",
        .children = children,
    };
    struct query query = {.head = HEAD_DEFAULT};
    struct sluice_client *client = NULL;
    char cursor[CURSOR_BYTES] = "";
    argp_parse(&argp, argc, argv, 0, NULL, &query);
    int status = connect_open(&client, "query", &query.connect);
    if (status != COMMAND_DONE)
        return status;
    do {
        status = page_ask(&query, client, cursor);
    } while (status == COMMAND_DONE && *cursor && (!query.head || query.shown < query.head));
    if (status == COMMAND_DONE && !query.as_lines && !query.as_csv)
        printf("%llu rows%s\n", (unsigned long long)query.shown, *cursor ? ", there are more (--head 0 shows all)" : "");
    sluice_close(&client);
    return status;
}
