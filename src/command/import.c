/* `sluice import`, `sluice observe`, `sluice label`: rows that are taken, not screened. */
#include <stdio.h>
#include <string.h>

#include "command/feed.h"
#include "command/show.h"

static void invalid_count(void *context, const struct feed_answer *answer) /* why, is told by feed */
{
    struct wire_value top, counts, invalid;
    uint64_t *total = context;
    if (show_reply_top(&top, answer->reply) && wire_find(&counts, &top, "counts") && counts.type == WIRE_MAP &&
        wire_find(&invalid, &counts, "invalid") && invalid.type == WIRE_INT)
        *total += (uint64_t)invalid.integer;
}

int feed_hand_over(struct feed_options *feed)
{
    struct feed_totals totals = {0};
    uint64_t invalid = 0;
    int status = feed_run(feed, invalid_count, &invalid, &totals);
    if (!feed->save_path && totals.batches > 0)
        printf("%llu rows in %llu batches taken, %llu invalid, %.0f rows/s\n", (unsigned long long)(totals.rows - invalid),
               (unsigned long long)totals.batches, (unsigned long long)invalid,
               totals.seconds > 0 ? (double)totals.rows / totals.seconds : 0.0);
    return status;
}

static error_t feed_parse(int key, char *argument, struct argp_state *state)
{
    (void)argument;
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    state->child_inputs[0] = state->input;
    return 0;
}

static const struct argp_child feed_children[] = {{.argp = &feed_argp}, {0}};

int command_import(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = feed_parse,
        .args_doc = "FILE",
        .doc = "Hand over past transfers, with their labels where known: they fill the history; there are no verdicts.\vExit status: "
               "0 taken, 2 refused, 3 could not reach the server.",
        .children = feed_children,
    };
    struct feed_options feed = FEED_OPTIONS_DEFAULT;
    feed.name = "import";
    feed.op = OP_import;
    argp_parse(&argp, argc, argv, 0, NULL, &feed);
    return feed_hand_over(&feed);
}

int command_label(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = feed_parse,
        .args_doc = "FILE",
        .doc = "Confirm transfers: FILE has transfer_id and label (good, or the name of a scene). A label acts from its arrival on, and "
               "not before the "
               "feedback delay of the transfer is over.\vExit status: 0 taken, 2 refused, 3 could not reach the server.",
        .children = feed_children,
    };
    struct feed_options feed = FEED_OPTIONS_DEFAULT;
    feed.name = "label";
    feed.op = OP_label;
    argp_parse(&argp, argc, argv, 0, NULL, &feed);
    return feed_hand_over(&feed);
}

/* The first argument is the kind, the rest is feed's. */
static error_t observe_parse(int key, char *argument, struct argp_state *state)
{
    struct feed_options *feed = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = feed;
        return 0;
    }
    if (key != ARGP_KEY_ARG || feed->observe_kind != OBSERVE_NONE)
        return ARGP_ERR_UNKNOWN;
    for (int i = OBSERVE_NONE + 1; i < OBSERVE_COUNT; i++)
        if (strcmp(argument, observe_names[i]) == 0)
            feed->observe_kind = (enum observe_kind)i;
    if (feed->observe_kind == OBSERVE_NONE)
        argp_error(state, "KIND is attribute, contact, registration or use, not '%s'", argument);
    return 0;
}

int command_observe(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = observe_parse,
        .args_doc = "KIND FILE",
        .doc = "Hand over what is known beside the transfers. KIND attribute: account_id, opened_time, changed_time; contact: account_id, "
               "contact_id; registration: account_id, device_id; use: account_id, device_id, address, network; each with time where known."
               "\vExit status: 0 taken, 2 refused, 3 could not reach the server.",
        .children = feed_children,
    };
    struct feed_options feed = FEED_OPTIONS_DEFAULT;
    feed.name = "observe";
    feed.op = OP_observe;
    argp_parse(&argp, argc, argv, 0, NULL, &feed);
    return feed_hand_over(&feed);
}
