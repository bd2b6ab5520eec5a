/* `sluice eval`: how well scores agree with labels. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "command/command.h"
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
    KEY_SERVER_KEYS
};
enum { BATCH_ROWS_DEFAULT = 1024, CARD_K = 100, KIND_BYTES = 16 };
#define UNSET INT64_MIN

struct eval_command {
    struct evaluate_options options;
    const char *write_path, *config_path, *tenant;
    bool json;
};

static const struct argp_option options[] = {
    {"base", KEY_BASE, "FILE", 0, "Score with this scene base, offline, the way that a server does", 1},
    {"scores", KEY_SCORES, "FILE", 0, "Instead: scores that `sluice submit --scores` wrote", 1},
    {"write-scores", KEY_WRITE, "FILE", 0, "With --base: write transfer_id,risk,scene,match,anomaly of the measured rows", 1},
    {"json", KEY_JSON, NULL, 0, "Figures as JSON", 1},
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
    if (!eval->base_path == !eval->scores_path)
        argp_error(state, "either --base or --scores");
    if (eval->past.server_keys && !command->config_path)
        argp_error(state, "--server-keys needs --config");
    if (command->write_path && !eval->base_path)
        argp_error(state, "--write-scores needs --base");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct eval_command *command = state->input;
    struct evaluate_options *eval = &command->options;
    switch (key) {
    case KEY_BASE:
        eval->base_path = text;
        break;
    case KEY_SCORES:
        eval->scores_path = text;
        break;
    case KEY_WRITE:
        command->write_path = text;
        break;
    case KEY_JSON:
        command->json = true;
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
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void score_print(void *context, const struct evaluated_row *row)
{
    FILE *out = context;
    text_csv_print(out, row->transfer);
    fprintf(out, ",%.9g,%s,%.9g,%.9g\n", (double)row->risk, row->scene, (double)row->match, (double)row->anomaly);
}

static void figure_print(const char *name, double value)
{
    if (isfinite(value))
        printf("%-24s %.4f\n", name, value);
    else
        printf("%-24s -\n", name);
}

static void scenes_print(const struct evaluation *evaluation, bool with_alerts)
{
    const struct metrics *metrics = &evaluation->metrics;
    printf("\n%-24s %9s %9s %12s", "scene", "rows", "precision", "named right");
    printf(with_alerts ? " %9s\n" : "\n", "alerted");
    for (uint32_t s = 1; s < evaluation->scene_count; s++) {
        const struct metrics_scene *scene = &metrics->scenes[s];
        printf("%-24s %9llu %9.4f %12llu", evaluation->scene_names[s], (unsigned long long)scene->rows,
               isfinite(scene->average_precision) ? scene->average_precision : 0.0, (unsigned long long)scene->named_right);
        if (with_alerts)
            printf(" %9llu", (unsigned long long)scene->alerted);
        printf("\n");
    }
    if (with_alerts)
        printf("%-24s %9llu %9s %12s %9llu\n", "good", (unsigned long long)metrics->scenes[0].rows, "", "",
               (unsigned long long)metrics->scenes[0].alerted);
}

static void table_print(const struct evaluation *evaluation)
{
    const struct metrics *metrics = &evaluation->metrics;
    bool with_alerts = evaluation->base_name[0] != '\0';
    if (with_alerts)
        printf("base %s, version %s, %s\n", evaluation->base_name, evaluation->base_version, evaluation->base_digest);
    printf("%llu rows, %llu labelled, %llu risky", (unsigned long long)metrics->rows, (unsigned long long)metrics->labelled,
           (unsigned long long)metrics->risky);
    if (with_alerts)
        printf(", %llu did not pass, %llu of them rightly", (unsigned long long)metrics->alerts, (unsigned long long)metrics->alerts_right);
    printf("\n\n");
    figure_print("auc_roc", metrics->auc_roc);
    figure_print("average_precision", metrics->average_precision);
    figure_print("card_precision_100", metrics->card_precision);
    figure_print("scene_named_right", metrics->named_right);
    scenes_print(evaluation, with_alerts);
}

static int evaluation_print(const struct evaluation *evaluation, bool json)
{
    const char *names[SCENES_MAX];
    if (!json)
        return table_print(evaluation), COMMAND_DONE;
    for (uint32_t s = 0; s < evaluation->scene_count; s++)
        names[s] = evaluation->scene_names[s];
    char *text = metrics_text(&evaluation->metrics, names, evaluation->scene_count);
    if (!text)
        return command_fail(COMMAND_REFUSED, "eval", "no memory for the figures");
    printf("%s\n", text);
    json_text_give(text);
    return COMMAND_DONE;
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
    enum fault fault = command->config_path ? config_open(&config, command->config_path, note) : FAULT_NONE;
    command->options.past.config = config;
    if (fault == FAULT_NONE)
        fault = tenant_find(command, note);
    if (fault == FAULT_NONE && command->write_path && !(scores = fopen(command->write_path, "w")))
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "cannot write %.120s", command->write_path);
    if (scores) {
        fprintf(scores, "transfer_id,risk,scene,match,anomaly\n");
        command->options.each = score_print;
        command->options.context = scores;
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
                                               .card_k = CARD_K}};
    struct fault_note note = {.row = ROW_NONE, .column = COLUMN_NONE};
    argp_parse(&argp, argc, argv, 0, NULL, &command);
    if (eval_run(&command, &evaluation, &note) == FAULT_NONE)
        return evaluation_print(&evaluation, command.json);
    return command_note_fail("eval", &note);
}
