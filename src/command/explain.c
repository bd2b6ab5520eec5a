/* `sluice explain`: why a recorded transfer got its verdict. */
#include <math.h>
#include <string.h>

#include "command/command.h"
#include "command/show.h"

enum { KEY_BATCH = 0x500, NAME_BYTES = 256 };

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
        if (i < 4 || value.type == WIRE_ARRAY || value.type == WIRE_MAP ||
            text_equal(key.text, text_of("passes_if"))) /* v, id, status, op; and tables, below */
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

static void table_print(const struct wire_value *map, const char *key, const char *title, const char *const *wanted)
{
    struct wire_value list;
    if (!wire_find(&list, map, key) || list.type != WIRE_ARRAY || list.count == 0)
        return;
    printf("\n%s\n", title);
    show_table(stdout, &list, wanted);
}

static const char *const of_shares[] = {"feature", "dimension", "value",  "unit",      "z",    "share",
                                        "source",  "source_id", "target", "target_id", "edge", NULL};

static void anomalies_print(const struct wire_value *top)
{
    struct wire_value list, set, name;
    if (!wire_find(&list, top, "anomalies") || list.type != WIRE_ARRAY)
        return;
    const unsigned char *at = list.inside;
    for (uint32_t i = 0; i < list.count && wire_next(&set, &at, list.end) && set.type == WIRE_MAP; i++) {
        char title[96];
        bool named = wire_find(&name, &set, "anomaly") && name.type == WIRE_STR;
        snprintf(title, sizeof title, "Shares of the raw anomaly degree, %.*s", named ? (int)name.text.bytes : 0,
                 named ? name.text.data : "");
        table_print(&set, "shares", title, of_shares);
    }
}

static double real_of(const struct wire_value *map, const char *key)
{
    struct wire_value value;
    return wire_find(&value, map, key) && value.type == WIRE_FLOAT ? value.real : 0.0;
}

/* Logarithms are told as what they are of, and the others as they are. */
static void value_print(const char *before, double value, struct text unit)
{
    const char *of_log = "log ";
    size_t bytes = strlen(of_log);
    bool is_log = unit.bytes > bytes && memcmp(unit.data, of_log, bytes) == 0, is_ratio = text_equal(unit, text_of("log ratio"));
    if (is_log && is_ratio)
        printf("%s%.4g times", before, exp(value));
    else if (is_log)
        printf("%s%.10g %.*s", before, round(expm1(value)), (int)(unit.bytes - bytes), unit.data + bytes);
    else
        printf("%s%.4g", before, value);
}

static void change_print(const struct wire_value *top)
{
    struct wire_value change, feature, unit;
    if (!wire_find(&change, top, "passes_if") || change.type == WIRE_NIL)
        return;
    if (change.type != WIRE_MAP || !wire_find(&feature, &change, "feature") || !wire_find(&unit, &change, "unit")) {
        puts("\nNo change of one feature alone would have let it pass.");
        return;
    }
    printf("\nIt would have passed with %.*s at %.9g", (int)feature.text.bytes, feature.text.data, real_of(&change, "to"));
    value_print(" (", real_of(&change, "to"), unit.text);
    printf(") instead of %.9g", real_of(&change, "from"));
    value_print(" (", real_of(&change, "from"), unit.text);
    printf("), %.3g away: match %.4g, anomaly %.4g and %.4g.\n", real_of(&change, "away"), real_of(&change, "match"),
           real_of(&change, "anomaly_own"), real_of(&change, "anomaly_linked"));
}

static void explanation_print(const struct wire_value *top)
{
    static const char *const of_reasons[] = {"feature", "dimension", "value", "unit", "share", NULL};
    static const char *const of_notes[] = {"column", "text", NULL};
    static const char *const of_dimensions[] = {"dimension", "share", "distance", NULL};
    static const char *const of_scenes[] = {
        "scene",           "match", "threshold", "margin", "evidence", "distance_transaction", "distance_device", "distance_behaviour",
        "distance_social", NULL};
    values_print(top);
    table_print(top, "reasons", "Reasons", of_reasons);
    table_print(top, "notes", "What is wrong with it", of_notes);
    table_print(top, "scenes", "Scenes, the best first", of_scenes);
    table_print(top, "dimensions", "Shares of the evidence against background, by dimension", of_dimensions);
    table_print(top, "shares", "and by feature, with the relation behind each", of_shares);
    anomalies_print(top);
    change_print(top);
}

/* BATCH/TRANSFER names the batch as well; an id that holds a / is tried as a whole first. */
static int ask(struct sluice_reply **out, struct sluice_client *client, const struct explain *explain)
{
    char batch[NAME_BYTES];
    const char *slash = explain->batch ? NULL : strchr(explain->transfer, '/');
    int error = sluice_explain(client, explain->batch, explain->transfer, out);
    const char *fault = error != SLUICE_OK && *out ? sluice_reply_string(*out, "fault") : NULL;
    if (!slash || slash == explain->transfer || !fault || strcmp(fault, "not_found") != 0 ||
        (size_t)(slash - explain->transfer) >= sizeof batch)
        return error;
    sluice_reply_free(out);
    snprintf(batch, sizeof batch, "%.*s", (int)(slash - explain->transfer), explain->transfer);
    return sluice_explain(client, batch, slash + 1, out);
}

int command_explain(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &connect_argp, .header = "Server:", .group = 10}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .args_doc = "[BATCH/]TRANSFER",
        .doc = "Tell why a recorded transfer got its verdict: scenes with match, threshold and margin, shares of every dimension and "
               "feature, anomaly, and the nearest change of one feature that would have let it pass. Without the right explain: the "
               "verdict and the names of its reasons.\vExit status: 0 done, 2 refused, 3 could not reach the server.",
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
    int error = ask(&reply, client, &explain);
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
