/* `sluice list`: who and what a tenant blocks, restricts or allows. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "command/feed.h"
#include "command/show.h"

enum { KEY_LIST = 0x400, KEY_VALUE, CURSOR_BYTES = 256, ID_BYTES = 64, PAGE_ROWS = 1000 };

struct listing {
    struct feed_options feed; /* of put and remove */
    const char *verb;
    struct sluice_list_query wanted;
    bool as_lines;
    char id[ID_BYTES];
};

static const struct argp_option options[] = {
    {"list", KEY_LIST, "block|restrict|allow", 0, "show: this list alone", 1},
    {"value", KEY_VALUE, "ID", 0, "show: entries of this account, device or address", 1},
    {"format", 'f', "table|jsonl", 0, "show: how entries are shown (default table)", 1},
    {0},
};

static bool verb_is(const struct listing *listing, const char *verb)
{
    return listing->verb && strcmp(listing->verb, verb) == 0;
}

static error_t argument_parse(struct listing *out, char *argument, struct argp_state *state)
{
    if (out->verb)
        return ARGP_ERR_UNKNOWN; /* the file: feed's */
    out->verb = argument;
    if (!verb_is(out, "put") && !verb_is(out, "remove") && !verb_is(out, "show"))
        argp_error(state, "expected put, remove or show, not '%s'", argument);
    if (verb_is(out, "show"))
        out->feed.path = "-"; /* none is needed */
    return 0;
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct listing *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->feed;
        return 0;
    case ARGP_KEY_ARG:
        return argument_parse(out, argument, state);
    case KEY_LIST:
        out->wanted.list = argument;
        return 0;
    case KEY_VALUE:
        out->wanted.value = argument;
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

/* --- show ------------------------------------------------------------------------------------------------------------ */

static void page_show(const struct listing *listing, const struct wire_value *entries)
{
    static const char *const wanted[] = {"list", "kind", "value", "until", "sequence", "memo", NULL};
    show_page(stdout, entries, wanted, listing->as_lines);
}

static int page_ask(struct listing *listing, struct sluice_client *client, char *cursor)
{
    struct wire_value top, entries;
    struct sluice_reply *reply = NULL;
    listing->wanted.cursor = *cursor ? cursor : NULL;
    int status = COMMAND_DONE, error = sluice_lists(client, &listing->wanted, &reply);
    const char *next = NULL;
    if (error != SLUICE_OK) {
        status = connect_failed("list", error, reply);
    } else if (!show_reply_top(&top, reply) || !wire_find(&entries, &top, "entries") || entries.type != WIRE_ARRAY) {
        status = command_fail(COMMAND_REFUSED, "list", "the answer has no entries");
    } else {
        page_show(listing, &entries);
        next = sluice_reply_string(reply, "cursor");
    }
    snprintf(cursor, CURSOR_BYTES, "%s", next ? next : "");
    sluice_reply_free(&reply);
    return status;
}

static int list_show(struct listing *listing)
{
    struct sluice_client *client = NULL;
    char cursor[CURSOR_BYTES] = "";
    listing->wanted.rows_max = PAGE_ROWS;
    int status = connect_open(&client, "list", &listing->feed.connect);
    if (status != COMMAND_DONE)
        return status;
    do {
        status = page_ask(listing, client, cursor);
    } while (status == COMMAND_DONE && *cursor);
    sluice_close(&client);
    return status;
}

/* --- put, remove ------------------------------------------------------------------------------------------------------ */

/* What was put, removed and is put again is a new edit: its id is not made of the content. */
static int list_edit(struct listing *listing)
{
    struct feed_options *feed = &listing->feed;
    feed->op = verb_is(listing, "put") ? OP_list_put : OP_list_remove;
    snprintf(listing->id, sizeof listing->id, "list-%lld-%d", (long long)clock_wall_us(), (int)getpid());
    if (!feed->id_prefix)
        feed->id_prefix = listing->id;
    return feed_hand_over(feed);
}

int command_list(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &feed_argp}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .args_doc = "put FILE\nremove FILE\nshow",
        .doc = "Who and what is blocked, restricted or allowed. FILE has the column list (block, restrict or allow), account_id, "
               "device_id or address, and where wanted until (microseconds since the epoch) and memo. An edit acts on transfers that are "
               "received after it.\vExit status: 0 done, 2 refused, 3 could not reach the server.",
        .children = children,
    };
    struct listing listing = {.feed = FEED_OPTIONS_DEFAULT};
    listing.feed.name = "list";
    argp_parse(&argp, argc, argv, 0, NULL, &listing);
    return verb_is(&listing, "show") ? list_show(&listing) : list_edit(&listing);
}
