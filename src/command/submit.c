/* `sluice submit`: a file's transfers are screened (or scored), the verdicts are shown in the order of the file. */
#include <errno.h>
#include <string.h>

#include "command/feed.h"
#include "command/payments.h"
#include "command/source.h"
#include "command/verdicts.h"

enum { KEY_OP = 0x300, KEY_SCORES, KEY_ONLY, KEY_HEAD, KEY_PAIN002, KEY_RELEASED };

struct submit {
    struct feed_options feed;
    struct verdicts verdicts;
    struct payments payments; /* of a pain.001 whose answers are wanted as files */
    const char *output_path, *scores_path, *pain002_path, *released_path;
    bool head_given, broken;
};

static const struct argp_option options[] = {
    {"op", KEY_OP, "screen|score", 0, "screen: recorded, part of the history; score: the same scores, nothing recorded (default screen)",
     1},
    {"format", 'f', "table|csv|jsonl", 0, "How verdicts are shown (default table)", 1},
    {"output", 'o', "FILE", 0, "Where to (default standard output)", 1},
    {"scores", KEY_SCORES, "FILE", 0, "Also write transfer_id,risk,scene,match,anomaly of every row to FILE", 1},
    {"only", KEY_ONLY, "held|passed|all", 0, "Show these transfers; held: all that did not pass (default all)", 1},
    {"head", KEY_HEAD, "N", 0, "Show at most N transfers, 0: all (default 50 in a table, all otherwise)", 1},
    {"status-report", KEY_PAIN002, "FILE", 0, "Of a pain.001 (.xml): also write its status report, pain.002, to FILE", 1},
    {"released", KEY_RELEASED, "FILE", 0, "Of a pain.001: also write a pain.001 with the transactions that passed to FILE", 1},
    {0},
};

static int choice_of(struct argp_state *state, const char *option, const char *text, const char *const *choices)
{
    for (int i = 0; choices[i]; i++)
        if (strcmp(text, choices[i]) == 0)
            return i;
    argp_error(state, "--%s takes %s%s%s or %s, not '%s'", option, choices[0], choices[2] ? ", " : "", choices[2] ? choices[1] : "",
               choices[2] ? choices[2] : choices[1], text);
    return 0;
}

/* ISO 20022 files are answers to one of their own, and only what was recorded is released. */
static void answers_check(struct argp_state *state, const struct submit *submit)
{
    if (!submit->pain002_path && !submit->released_path)
        return;
    if (!source_is_pain001(submit->feed.path) || submit->feed.save_path)
        argp_error(state, "--status-report and --released answer a pain.001 (.xml) that is sent");
    if (submit->released_path && submit->feed.op == OP_score)
        argp_error(state, "--released is of what was screened, not scored");
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    static const char *const ops[] = {"screen", "score", NULL};
    static const char *const formats[] = {"table", "csv", "jsonl", NULL};
    static const char *const choices[] = {"all", "held", "passed", NULL};
    struct submit *out = state->input;
    int choice;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->feed;
        return 0;
    case KEY_OP:
        out->feed.op = choice_of(state, "op", argument, ops) ? OP_score : OP_screen;
        return 0;
    case 'f':
        out->verdicts.format = (enum verdicts_format)choice_of(state, "format", argument, formats);
        return 0;
    case 'o':
        out->output_path = argument;
        return 0;
    case KEY_SCORES:
        out->scores_path = argument;
        return 0;
    case KEY_ONLY:
        choice = choice_of(state, "only", argument, choices);
        out->verdicts.all = choice == 0, out->verdicts.held = choice == 1, out->verdicts.passed = choice == 2;
        return 0;
    case KEY_HEAD:
        out->verdicts.rows_max = (uint64_t)command_integer(state, "head", argument, 0, INT64_MAX);
        out->head_given = true;
        return 0;
    case KEY_PAIN002:
        out->pain002_path = argument;
        return 0;
    case KEY_RELEASED:
        out->released_path = argument;
        return 0;
    case ARGP_KEY_SUCCESS:
        answers_check(state, out);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void answer_show(void *context, const struct feed_answer *answer)
{
    struct submit *submit = context;
    if (submit->payments.pain001)
        payments_take(&submit->payments, answer);
    if (!verdicts_print(&submit->verdicts, answer->batch, answer->reply))
        submit->broken = true;
}

static int files_open(struct submit *submit)
{
    struct verdicts *verdicts = &submit->verdicts;
    verdicts->out = submit->output_path ? fopen(submit->output_path, "w") : stdout;
    if (!verdicts->out)
        return command_fail(COMMAND_REFUSED, "submit", "cannot write %s: %s", submit->output_path, strerror(errno));
    if (submit->scores_path && !(verdicts->scores = fopen(submit->scores_path, "w")))
        return command_fail(COMMAND_REFUSED, "submit", "cannot write %s: %s", submit->scores_path, strerror(errno));
    if (verdicts->scores)
        fprintf(verdicts->scores, "transfer_id,risk,scene,match,anomaly\n");
    return COMMAND_DONE;
}

static int file_finish(FILE *file, const char *path)
{
    if (!file)
        return COMMAND_DONE;
    bool failed = fflush(file) != 0 || ferror(file) || (file != stdout && fclose(file) != 0);
    return failed ? command_fail(COMMAND_REFUSED, "submit", "cannot write %s", path ? path : "standard output") : COMMAND_DONE;
}

static int submit_finish(const struct submit *submit, int status, const struct feed_totals *totals)
{
    const struct verdicts *verdicts = &submit->verdicts;
    bool saved = submit->feed.save_path != NULL;
    if (submit->broken)
        status = command_fail(COMMAND_REFUSED, "submit", "the answer has no verdicts");
    if (!saved && totals->batches > 0)
        verdicts_summary(verdicts, verdicts->format == VERDICTS_TABLE ? verdicts->out : stderr, totals->rows, totals->seconds);
    if (status == COMMAND_DONE && verdicts->counts[VERDICT_PASS] != totals->rows)
        status = COMMAND_HELD;
    return status;
}

int command_submit(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &feed_argp}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .args_doc = "FILE",
        .doc =
            "Screen the transfers of FILE (.csv with a header line, .jsonl, .xml with a pain.001, .columns, or - for standard input) and "
            "show one verdict for each.\vExit status: 0 all passed, 1 some did not, 2 refused, 3 could not reach the server.",
        .children = children,
    };
    struct submit submit = {.feed = FEED_OPTIONS_DEFAULT, .verdicts = {.all = true}};
    struct feed_totals totals = {0};
    submit.feed.name = "submit";
    submit.feed.op = OP_screen;
    argp_parse(&argp, argc, argv, 0, NULL, &submit);
    if (!submit.head_given)
        submit.verdicts.rows_max = submit.verdicts.format == VERDICTS_TABLE ? VERDICTS_TABLE_ROWS : 0;
    int status = files_open(&submit);
    if (status == COMMAND_DONE && (submit.pain002_path || submit.released_path))
        status = payments_open(&submit.payments, "submit", submit.feed.path);
    if (submit.payments.pain001)
        submit.feed.held = &submit.payments.map; /* what is screened is what is answered, whatever becomes of the file */
    if (status == COMMAND_DONE) {
        status = feed_run(&submit.feed, answer_show, &submit, &totals);
        if (status == COMMAND_DONE && submit.payments.pain001)
            status = payments_write(&submit.payments, "submit", submit.pain002_path, submit.released_path);
        status = submit_finish(&submit, status, &totals);
    }
    payments_close(&submit.payments);
    int written = file_finish(submit.verdicts.out, submit.output_path);
    int scored = file_finish(submit.verdicts.scores, submit.scores_path);
    return written != COMMAND_DONE ? written : scored != COMMAND_DONE ? scored : status;
}
