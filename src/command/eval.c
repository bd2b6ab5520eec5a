/* `sluice eval`: how well scores agree with labels. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "command/command.h"
#include "command/figures.h"
#include "command/verdicts.h"
#include "pipeline/evaluate.h"
#include "base/json.h"

enum {
    KEY_BASE = 0x700,
    KEY_SCORES,
    KEY_WRITE,
    KEY_FROM,
    KEY_TO,
    KEY_CONFIG,
    KEY_TENANT,
    KEY_DELAY,
    KEY_DEVICE,
    KEY_OBSERVE,
    KEY_BATCH_ROWS,
    KEY_JSON,
    KEY_REPORT,
    KEY_TOP,
    KEY_AGAINST,
    KEY_DRAWS,
    KEY_SEED,
    KEY_SERVER_KEYS
};
enum { BATCH_ROWS_DEFAULT = 1024, TOP_MOST = 1000000, DRAWS_DEFAULT = 400 };
#define UNSET INT64_MIN

struct eval_command {
    struct evaluate_options options;
    const char *write_path, *config_path, *tenant, *report_path;
    bool json;
};

static const struct argp_option options[] = {
    {"base", KEY_BASE, "FILE", 0, "Score with this scene base, offline, the way that a server does", 1},
    {"scores", KEY_SCORES, "FILE", 0, "Instead: scores that `sluice submit --scores` wrote", 1},
    {"write-scores", KEY_WRITE, "FILE", 0,
     "With --base: write transfer_id,risk,scene,match,anomaly of the measured rows, with --against of both bases", 1},
    {"json", KEY_JSON, NULL, 0, "Figures as JSON", 1},
    {"report", KEY_REPORT, "DIR", 0, "Also write DIR/index.html with plots, the plots as .svg, and figures.json", 1},
    {"top", KEY_TOP, "K", 0, "Rows and payers a day of the precision at the top (default 100)", 1},
    {0, 0, 0, 0, "Two bases:", 4},
    {"against", KEY_AGAINST, "FILE", 0, "Score with this base too, in the same pass, and tell the differences with 95 % intervals", 4},
    {"draws", KEY_DRAWS, "N", 0, "Draws of payers that the intervals come from (default 400)", 4},
    {"seed", KEY_SEED, "N", 0, "The same seed gives the same intervals (default 1)", 4},
    {0, 0, 0, 0, "Which rows:", 2},
    {"from", KEY_FROM, "DATE", 0, "Measure rows of this time on (default: all); earlier ones fill the history", 2},
    {"to", KEY_TO, "DATE", 0, "Measure rows before this time (default: all)", 2},
    {0, 0, 0, 0, "How they are read, with --base:", 3},
    {"config", KEY_CONFIG, "FILE", 0, "The server's configuration: currencies, limits, history, levels, strategy", 3},
    {"tenant", KEY_TENANT, "NAME", 0, "Tenant of the configuration whose feedback delay holds (default: the first)", 3},
    {"server-keys", KEY_SERVER_KEYS, NULL, 0,
     "Use the keys of the configuration's ledger, whose server must be stopped: scores are then that server's own, bit for bit", 3},
    {"delay-days", KEY_DELAY, "N", 0, "Days until a label is known (default: the tenant's, or 7)", 3},
    {"observe", KEY_OBSERVE, "KIND:FILE", 0,
     "What was observed beside the transfers (attribute, contact, registration, use); may be repeated", 3},
    {"batch-rows", KEY_BATCH_ROWS, "N", 0, "Rows that make one batch, for features across its rows (default 1024)", 3},
    {"device", KEY_DEVICE, "cpu|ref|blas|opencl|auto", 0, "What scores (default cpu)", 3},
    {0},
};

static void observe_read(struct past_options *past, struct argp_state *state, const char *text)
{
    const char *colon = strchr(text, ':');
    if (past->observation_count == PAST_OBSERVATIONS_MAX)
        argp_error(state, "--observe: more than %d files", PAST_OBSERVATIONS_MAX);
    struct past_observations *observations = &past->observations[past->observation_count++];
    for (int i = OBSERVE_NONE + 1; colon && i < OBSERVE_COUNT; i++)
        if (strncmp(text, observe_names[i], (size_t)(colon - text)) == 0 && observe_names[i][colon - text] == '\0')
            observations->kind = (enum observe_kind)i;
    if (observations->kind == OBSERVE_NONE)
        argp_error(state, "--observe takes KIND:FILE, KIND one of attribute, contact, registration, use; not '%s'", text);
    observations->path = colon + 1;
}

static void check_arguments(struct eval_command *command, struct argp_state *state)
{
    const struct evaluate_options *eval = &command->options;
    if (!eval->past.path)
        argp_error(state, "FILE of labelled transfers is missing");
    if (!eval->base_paths[0] == !eval->scores_path)
        argp_error(state, "either --base or --scores");
    if (eval->past.server_keys && !command->config_path)
        argp_error(state, "--server-keys needs --config");
    if (command->write_path && !eval->base_paths[0])
        argp_error(state, "--write-scores needs --base");
    if (eval->base_paths[1] && !eval->base_paths[0])
        argp_error(state, "--against needs --base");
}

static error_t parse_figures(int key, char *text, struct argp_state *state)
{
    struct eval_command *command = state->input;
    struct evaluate_options *eval = &command->options;
    switch (key) {
    case KEY_JSON:
        command->json = true;
        break;
    case KEY_REPORT:
        command->report_path = text;
        break;
    case KEY_TOP:
        eval->top = (uint32_t)command_integer(state, "top", text, 1, TOP_MOST);
        break;
    case KEY_AGAINST:
        eval->base_paths[1] = text;
        break;
    case KEY_DRAWS:
        eval->draws = (uint32_t)command_integer(state, "draws", text, 40, COMPARE_DRAWS_MAX);
        break;
    case KEY_SEED:
        eval->seed = (uint64_t)command_integer(state, "seed", text, 0, INT64_MAX);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct eval_command *command = state->input;
    struct evaluate_options *eval = &command->options;
    switch (key) {
    case KEY_BASE:
        eval->base_paths[0] = text;
        break;
    case KEY_SCORES:
        eval->scores_path = text;
        break;
    case KEY_WRITE:
        command->write_path = text;
        break;
    case KEY_FROM:
        eval->from_us = command_time_us(state, "from", text);
        break;
    case KEY_TO:
        eval->to_us = command_time_us(state, "to", text);
        break;
    case KEY_CONFIG:
        command->config_path = text;
        break;
    case KEY_TENANT:
        command->tenant = text;
        break;
    case KEY_DELAY:
        eval->past.delay_us = command_integer(state, "delay-days", text, 0, HISTORY_DELAY_MAX_US / US_PER_DAY) * US_PER_DAY;
        break;
    case KEY_DEVICE:
        eval->device = text;
        break;
    case KEY_SERVER_KEYS:
        eval->past.server_keys = true;
        break;
    case KEY_OBSERVE:
        observe_read(&eval->past, state, text);
        break;
    case KEY_BATCH_ROWS:
        eval->past.batch_rows = (uint32_t)command_integer(state, "batch-rows", text, 1, 1000000);
        break;
    case ARGP_KEY_ARG:
        if (eval->past.path)
            argp_error(state, "one FILE, not also '%s'", text);
        eval->past.path = text;
        break;
    case ARGP_KEY_END:
        check_arguments(command, state);
        break;
    default:
        return parse_figures(key, text, state);
    }
    return 0;
}

struct score_file {
    FILE *out;
    bool both;
};

static void score_print(void *context, const struct evaluated_row *row)
{
    const struct score_file *file = context;
    const struct evaluated_score *first = &row->scores[0], *second = &row->scores[1];
    text_csv_print(file->out, row->transfer);
    fprintf(file->out, ",%.9g,%s,%.9g,%.9g", (double)first->risk, first->scene, (double)first->match, (double)first->anomaly);
    if (file->both)
        fprintf(file->out, ",%.9g,%s,%.9g,%.9g,%d,%d", (double)second->risk, second->scene, (double)second->match, (double)second->anomaly,
                first->alerted, second->alerted);
    fprintf(file->out, "\n");
}

static enum fault evaluation_tell(const struct eval_command *command, const struct evaluation *evaluation, struct fault_note *note)
{
    if (command->report_path) {
        const struct evaluated *sides = evaluation->sides;
        char title[180];
        if (evaluation->side_count > 1)
            snprintf(title, sizeof title, "Scene base %s, against %s", sides[0].base_name, sides[1].base_name);
        else
            snprintf(title, sizeof title, "%s%s", sides[0].base_name[0] ? "Scene base " : "Scores of a file", sides[0].base_name);
        enum fault fault = figures_report(evaluation, command->report_path, title, note);
        if (fault != FAULT_NONE)
            return fault;
    }
    if (!command->json)
        return figures_print(stdout, evaluation), FAULT_NONE;
    char *text = figures_json(evaluation);
    if (!text)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the figures");
    printf("%s\n", text);
    json_text_give(text);
    return FAULT_NONE;
}

/* The tenant, and the feedback delay: as given, as the tenant's, or 7 days. */
static enum fault tenant_find(struct eval_command *command, struct fault_note *note)
{
    const struct config *config = command->options.past.config;
    uint32_t at = 0;
    while (config && command->tenant && at < config->tenant_count && strcmp(config->tenants[at].name, command->tenant) != 0)
        at++;
    if (config && at == config->tenant_count)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no tenant %.60s in %.60s", command->tenant, command->config_path);
    command->options.past.tenant_index = at;
    if (command->options.past.delay_us == UNSET)
        command->options.past.delay_us = config ? config->tenants[at].feedback_delay_us : 7 * US_PER_DAY;
    return FAULT_NONE;
}

static enum fault eval_run(struct eval_command *command, struct evaluation *evaluation, struct fault_note *note)
{
    struct config *config = NULL;
    FILE *scores = NULL;
    struct score_file file;
    enum fault fault = command->config_path ? config_open(&config, command->config_path, note) : FAULT_NONE;
    command->options.past.config = config;
    if (fault == FAULT_NONE)
        fault = tenant_find(command, note);
    if (fault == FAULT_NONE && command->write_path && !(scores = fopen(command->write_path, "w")))
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "cannot write %.120s", command->write_path);
    if (scores) {
        file = (struct score_file){.out = scores, .both = command->options.base_paths[1] != NULL};
        fprintf(scores, "transfer_id,risk,scene,match,anomaly%s\n",
                file.both ? ",against_risk,against_scene,against_match,against_anomaly,alerted,against_alerted" : "");
        command->options.each = score_print;
        command->options.context = &file;
    }
    if (fault == FAULT_NONE)
        fault = evaluate_run(evaluation, &command->options, note);
    if (scores && (ferror(scores) | fclose(scores)) && fault == FAULT_NONE)
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "cannot write %.120s", command->write_path);
    if (config)
        config_close(&config);
    return fault;
}

int command_eval(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "FILE",
        .doc = "Measure scores against the labels of FILE (.csv with a header line, or .jsonl), in the order of time.\v"
               "Exit status: 0 measured, 2 refused.",
    };
    static struct evaluation evaluation;
    struct eval_command command = {.options = {.past = {.delay_us = UNSET, .batch_rows = BATCH_ROWS_DEFAULT},
                                               .from_us = INT64_MIN,
                                               .to_us = INT64_MAX,
                                               .device = "cpu",
                                               .top = EVALUATE_TOP_DEFAULT,
                                               .draws = DRAWS_DEFAULT,
                                               .seed = 1}};
    struct fault_note note = {.row = ROW_NONE, .column = COLUMN_NONE};
    argp_parse(&argp, argc, argv, 0, NULL, &command);
    enum fault fault = eval_run(&command, &evaluation, &note);
    if (fault == FAULT_NONE)
        fault = evaluation_tell(&command, &evaluation, &note);
    evaluation_fini(&evaluation);
    return fault == FAULT_NONE ? COMMAND_DONE : command_note_fail("eval", &note);
}
