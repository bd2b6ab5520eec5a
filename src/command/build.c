/* `sluice build`: labelled past transfers into a scene base. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "command/build_progress.h"
#include "command/command.h"
#include "command/figures.h"
#include "pipeline/build_file.h"
#include "pipeline/past_ledger.h"

enum {
    KEY_NAME = 0x600,
    KEY_VERSION,
    KEY_SEED,
    KEY_OUT,
    KEY_CONFIG,
    KEY_SERVER_CONFIG,
    KEY_VALIDATE_TO,
    KEY_FEATURES,
    KEY_WITHOUT,
    KEY_PASSES,
    KEY_PATIENCE,
    KEY_LABELLED,
    KEY_RATE,
    KEY_DECAY,
    KEY_ALERT_COST,
    KEY_TENANT,
    KEY_LEDGER,
    KEY_TRAIN_FROM,
    KEY_TRAIN_TO,
    KEY_TRAIN_DAYS,
    KEY_UNTIL,
    KEY_DELAY,
    KEY_OBSERVE,
    KEY_RISK_TYPE,
    KEY_BATCH_ROWS,
    KEY_CLUSTERS,
    KEY_BACKGROUND,
    KEY_ROWS_MAX,
    KEY_ALERTS,
    KEY_PRECISION,
    KEY_ANOMALIES,
    KEY_REPORT,
    KEY_QUIET
};
enum { NAME_BYTES = 64, BATCH_ROWS_DEFAULT = 1024, SCENE_ROWS_LEAST = 20, LATER_PERCENT = 20 };
#define UNSET INT64_MIN

struct build_command {
    struct build_plan plan;
    const char *config_path, *report;
    char name[NAME_BYTES];
    bool quiet, is_read;                       /* is_read: the build file has been read, what is parsed goes over it */
    bool path_told, seeds_told, features_told; /* on the command line: no longer those of the file */
};

static const struct argp_option options[] = {
    {"out", KEY_OUT, "PATH", 0,
     "The base to write, NAME.safetensors, or the folder to write base.safetensors into; golden distances and a card go beside it", 1},
    {"name", KEY_NAME, "NAME", 0, "Name kept in the base (default: that of PATH)", 1},
    {"version", KEY_VERSION, "TEXT", 0, "Version kept in the base (default 1)", 1},
    {"seed", KEY_SEED, "N", 0,
     "The same seed, options and file give the same base on any machine (default 1); of several, the best on the rows to validate is kept",
     1},
    {"config", KEY_CONFIG, "FILE", 0, "Build file (YAML) with all of this; what the command line names goes over it", 1},
    {"report", KEY_REPORT, "DIR", 0,
     "Measure the base on the rows behind the training and write DIR/index.html with figures and plots, as `sluice eval --report` does", 1},
    {"quiet", KEY_QUIET, NULL, 0, "No progress on standard error", 1},
    {0, 0, 0, 0, "Which rows:", 2},
    {"ledger", KEY_LEDGER, "DIR", 0,
     "Instead of FILE: what the ledger in folder DIR recorded, with the labels that have arrived; its server may run", 2},
    {"train-from", KEY_TRAIN_FROM, "DATE", 0, "Learn from rows of this time on (default: the first); earlier ones only fill the history",
     2},
    {"train-to", KEY_TRAIN_TO, "DATE", 0,
     "Learn from rows before this time (default: the first four fifths of the time); those from then on set thresholds", 2},
    {"train-days", KEY_TRAIN_DAYS, "N", 0, "Instead of --train-from: the last N days before --train-to", 2},
    {"validate-to", KEY_VALIDATE_TO, "DATE", 0,
     "Rows from --train-to to this time choose the seed and make the match as sure as it is right (default: none)", 2},
    {"until", KEY_UNTIL, "DATE", 0, "Leave out rows from this time on (default: none)", 2},
    {"labelled-only", KEY_LABELLED, NULL, 0, "Rows without a label are not learned from as good ones; they only fill the history", 2},
    {"rows-max", KEY_ROWS_MAX, "N", 0, "Rows of either part held in memory; beyond, good ones are thinned (default 500000)", 2},
    {0, 0, 0, 0, "How they are read:", 3},
    {"server-config", KEY_SERVER_CONFIG, "FILE", 0,
     "The server's configuration: currencies, limits, size of the history (default: amounts in EUR)", 3},
    {"tenant", KEY_TENANT, "NAME", 0, "Tenant of the configuration whose feedback delay holds (default: the first)", 3},
    {"delay-days", KEY_DELAY, "N", 0, "Days until a label is known (default: the tenant's, or 7)", 3},
    {"observe", KEY_OBSERVE, "KIND:FILE", 0,
     "What was observed beside the transfers (attribute, contact, registration, use); may be repeated", 3},
    {"batch-rows", KEY_BATCH_ROWS, "N", 0,
     "Learn features across the rows of a batch too; the file's rows come in batches of N, as the submitters' do", 3},
    {0, 0, 0, 0, "How it learns:", 4},
    {"features", KEY_FEATURES, "LIST", 0, "Learn from these alone: features and dimensions, with commas between (default: all)", 4},
    {"without", KEY_WITHOUT, "LIST", 0, "Leave these features or dimensions out", 4},
    {"passes", KEY_PASSES, "N", 0, "Times that training goes over the rows (default 30)", 4},
    {"patience", KEY_PATIENCE, "N", 0,
     "End training when the loss on the rows to validate has not fallen for N passes, and keep the best pass (default 10; 0: never)", 4},
    {"rate", KEY_RATE, "SHARE", 0, "Learning rate at the start (default 0.05)", 4},
    {"decay", KEY_DECAY, "SHARE", 0, "How fast columns that tell nothing apart fade (default 0.07)", 4},
    {"risk-type", KEY_RISK_TYPE, "SCENE=TYPE", 0, "Risk type of a scene (default: the scene's name); may be repeated", 4},
    {"clusters", KEY_CLUSTERS, "N", 0, "Clusters per scene and dimension at most (default 6)", 4},
    {"background-clusters", KEY_BACKGROUND, "N", 0, "Clusters of normal traffic per dimension at most (default 16)", 4},
    {"alert-rate", KEY_ALERTS, "SHARE", 0, "Share of rows that scenes may keep from passing (default 0.005)", 4},
    {"precision", KEY_PRECISION, "SHARE", 0, "Instead: share of a scene's alerts that are to be right, by the labels behind the training",
     4},
    {"alert-cost", KEY_ALERT_COST, "AMOUNT", 0,
     "Instead: what a wrong alert costs, in minor units; a missed fraud costs its amount, and least is what thresholds are for", 4},
    {"anomaly-rate", KEY_ANOMALIES, "SHARE", 0, "Share of rows that each anomaly degree may keep from passing (default 0.001)", 4},
    {0},
};

static double share_read(struct argp_state *state, const char *option, const char *text)
{
    char *end;
    double share = strtod(text, &end);
    if (end == text || *end || !(share > 0.0 && share <= 1.0))
        argp_error(state, "--%s takes a share above 0, at most 1, not '%s'", option, text);
    return share;
}

/* The part before the mark, kept for the life of the command; *rest: the part behind it. */
static const char *split(struct build_command *command, struct argp_state *state, const char *option, const char *text, char mark,
                         const char **rest)
{
    const char *at = strchr(text, mark);
    size_t bytes = at ? (size_t)(at - text) : 0;
    if (bytes == 0 || at[1] == '\0')
        argp_error(state, "--%s takes two parts with '%c' between them, not '%s'", option, mark, text);
    const char *part = build_plan_keep(&command->plan, text, bytes);
    if (!part)
        argp_error(state, "--%s: too many of them", option);
    *rest = at + 1;
    return part;
}

static void features_read(struct feature_set *set, struct argp_state *state, const char *option, const char *text)
{
    for (const char *at = text;; at++) {
        size_t bytes = strcspn(at, ",");
        if (!base_features_add(set, at, bytes))
            argp_error(state, "--%s: no feature or dimension '%.*s'", option, (int)bytes, at);
        at += bytes;
        if (!*at)
            return;
    }
}

/* The first on the command line takes the place of those in the build file. */
static void seed_read(struct build_command *command, struct argp_state *state, const char *text)
{
    struct base_build_options *build = &command->plan.options;
    if (!command->seeds_told)
        build->seed_count = 0;
    command->seeds_told = true;
    if (build->seed_count == SEEDS_MAX)
        argp_error(state, "--seed: more than %d of them", SEEDS_MAX);
    build->seeds[build->seed_count++] = (uint64_t)command_integer(state, "seed", text, 0, INT64_MAX);
}

static void observe_read(struct build_command *command, struct argp_state *state, const char *text)
{
    struct past_options *past = &command->plan.options.past;
    const char *path, *kind = split(command, state, "observe", text, ':', &path);
    if (past->observation_count == PAST_OBSERVATIONS_MAX)
        argp_error(state, "--observe: more than %d files", PAST_OBSERVATIONS_MAX);
    struct past_observations *observations = &past->observations[past->observation_count++];
    observations->path = path;
    for (int i = OBSERVE_NONE + 1; i < OBSERVE_COUNT; i++)
        if (strcmp(kind, observe_names[i]) == 0)
            observations->kind = (enum observe_kind)i;
    if (observations->kind == OBSERVE_NONE)
        argp_error(state, "--observe takes attribute, contact, registration or use before the file, not '%s'", kind);
}

static void risk_type_read(struct build_command *command, struct argp_state *state, const char *text)
{
    struct base_build_options *build = &command->plan.options;
    if (build->risk_type_count == SCENES_MAX)
        argp_error(state, "--risk-type: more than %d of them", SCENES_MAX);
    const char *scene = split(command, state, "risk-type", text, '=', &build->risk_types[build->risk_type_count].risk_type);
    build->risk_types[build->risk_type_count++].scene = scene;
}

static void past_name(struct build_command *command, struct argp_state *state, const char *text)
{
    if (command->path_told)
        argp_error(state, "one FILE or one --ledger, not also '%s'", text);
    command->path_told = true;
    command->plan.path = text;
}

/* A ledger knows these itself. */
static void ledger_check(const struct build_command *command, struct argp_state *state)
{
    const struct past_options *past = &command->plan.options.past;
    if (past->is_ledger && (command->plan.server_config || past->observation_count || past->delay_us != UNSET))
        argp_error(state, "--ledger takes no --server-config, --delay-days or --observe: they are the ledger's own");
}

static error_t parse_rows(int key, char *text, struct argp_state *state)
{
    struct build_command *command = state->input;
    struct base_build_options *build = &command->plan.options;
    switch (key) {
    case KEY_LEDGER:
        past_name(command, state, text);
        build->past.is_ledger = true;
        break;
    case KEY_TRAIN_FROM:
        build->train_from_us = command_time_us(state, "train-from", text);
        break;
    case KEY_TRAIN_TO:
        build->train_to_us = command_time_us(state, "train-to", text);
        break;
    case KEY_TRAIN_DAYS:
        command->plan.train_days = command_integer(state, "train-days", text, 1, 36500);
        break;
    case KEY_LABELLED:
        build->labelled_only = true;
        break;
    case KEY_UNTIL:
        build->until_us = command_time_us(state, "until", text);
        break;
    case KEY_ROWS_MAX:
        build->rows_max = (uint32_t)command_integer(state, "rows-max", text, 10000, 100000000);
        break;
    case KEY_CONFIG:
        command->config_path = text;
        break;
    case KEY_SERVER_CONFIG:
        command->plan.server_config = text;
        break;
    case KEY_VALIDATE_TO:
        build->validate_to_us = command_time_us(state, "validate-to", text);
        break;
    case KEY_TENANT:
        command->plan.tenant = text;
        break;
    case KEY_DELAY:
        build->past.delay_us = command_integer(state, "delay-days", text, 0, HISTORY_DELAY_MAX_US / US_PER_DAY) * US_PER_DAY;
        break;
    case KEY_OBSERVE:
        observe_read(command, state, text);
        break;
    case KEY_BATCH_ROWS:
        command->plan.batch_rows = (uint32_t)command_integer(state, "batch-rows", text, 1, 1000000);
        break;
    case ARGP_KEY_ARG:
        past_name(command, state, text);
        break;
    case ARGP_KEY_END:
        if (command->config_path && !command->is_read)
            break;
        if (!command->plan.path)
            argp_error(state, "FILE of labelled transfers is missing, or --ledger");
        ledger_check(command, state);
        if (!command->plan.out)
            argp_error(state, "--out is missing");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_thresholds(int key, char *text, struct argp_state *state)
{
    struct build_command *command = state->input;
    struct build_options *build = &command->plan.options.build;
    switch (key) {
    case KEY_ALERTS:
        build->alert_rate = share_read(state, "alert-rate", text);
        break;
    case KEY_PRECISION:
        build->precision = share_read(state, "precision", text);
        break;
    case KEY_ALERT_COST:
        build->alert_cost = (double)command_integer(state, "alert-cost", text, 1, 1000000000000);
        break;
    case KEY_ANOMALIES:
        build->anomaly_rate = share_read(state, "anomaly-rate", text);
        break;
    default:
        return parse_rows(key, text, state);
    }
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct build_command *command = state->input;
    struct build_options *build = &command->plan.options.build;
    switch (key) {
    case KEY_OUT:
        command->plan.out = text;
        break;
    case KEY_NAME:
        command->plan.name = text;
        break;
    case KEY_VERSION:
        command->plan.version = text;
        break;
    case KEY_SEED:
        seed_read(command, state, text);
        break;
    case KEY_QUIET:
        command->quiet = true;
        break;
    case KEY_REPORT:
        command->report = text;
        break;
    case KEY_RISK_TYPE:
        risk_type_read(command, state, text);
        break;
    case KEY_CLUSTERS:
        build->scene_clusters = (uint32_t)command_integer(state, "clusters", text, 1, 64);
        break;
    case KEY_BACKGROUND:
        build->background_clusters = (uint32_t)command_integer(state, "background-clusters", text, 1, 256);
        break;
    case KEY_FEATURES:
        if (!command->features_told)
            command->plan.options.include = (struct feature_set){0};
        command->features_told = true;
        features_read(&command->plan.options.include, state, "features", text);
        break;
    case KEY_WITHOUT:
        features_read(&command->plan.options.exclude, state, "without", text);
        break;
    case KEY_PASSES:
        build->passes = (uint32_t)command_integer(state, "passes", text, 1, 1000);
        break;
    case KEY_PATIENCE:
        build->patience = (uint32_t)command_integer(state, "patience", text, 0, 1000);
        break;
    case KEY_RATE:
        build->rate = share_read(state, "rate", text);
        break;
    case KEY_DECAY:
        build->decay = share_read(state, "decay", text);
        break;
    default:
        return parse_thresholds(key, text, state);
    }
    return 0;
}
/* models/x/y.safetensors or models/x: the stem of the files to write, and the name. */
static bool place(struct build_command *command, char *stem, size_t stem_bytes)
{
    static const char ending[] = ".safetensors";
    size_t bytes = strlen(command->plan.out);
    while (bytes > 1 && command->plan.out[bytes - 1] == '/')
        bytes--;
    bool is_file = bytes > sizeof ending - 1 && memcmp(command->plan.out + bytes - (sizeof ending - 1), ending, sizeof ending - 1) == 0;
    bytes -= is_file ? sizeof ending - 1 : 0;
    const char *name = command->plan.out + bytes;
    while (name > command->plan.out && name[-1] != '/')
        name--;
    snprintf(command->name, sizeof command->name, "%.*s", (int)(command->plan.out + bytes - name), name);
    command->plan.options.build.name = command->plan.name ? command->plan.name : command->name;
    if (command->plan.version)
        command->plan.options.build.version = command->plan.version;
    command->plan.options.folder = is_file ? NULL : command->plan.out;
    return (size_t)snprintf(stem, stem_bytes, "%.*s%s", (int)bytes, command->plan.out, is_file ? "" : "/base") < stem_bytes;
}

/* The feedback delay of the tenant, where none was given. */
static bool delay_find(struct build_command *command, const struct config *config)
{
    const struct config_tenant *tenant = config ? &config->tenants[0] : NULL;
    for (uint32_t i = 0; config && command->plan.tenant && i <= config->tenant_count; i++) {
        if (i == config->tenant_count)
            return false;
        tenant = &config->tenants[i];
        if (strcmp(tenant->name, command->plan.tenant) == 0)
            break;
    }
    if (command->plan.options.past.delay_us == UNSET)
        command->plan.options.past.delay_us = tenant ? tenant->feedback_delay_us : 7 * US_PER_DAY;
    return true;
}

/* Windows that were not given, from the times in the file. */
static enum fault windows_find(struct build_command *command, struct fault_note *note)
{
    struct base_build_options *build = &command->plan.options;
    int64_t first_us, last_us;
    if (build->train_to_us != UNSET) {
        if (command->plan.train_days)
            build->train_from_us = build->train_to_us - command->plan.train_days * US_PER_DAY;
        return FAULT_NONE;
    }
    if (strcmp(build->past.path, "-") == 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "standard input is read once: name --train-to");
    enum fault fault = build->past.is_ledger ? past_ledger_span(&first_us, &last_us, build->past.path, note)
                                             : past_span(&first_us, &last_us, build->past.path, note);
    if (fault != FAULT_NONE)
        return fault;
    first_us = build->train_from_us != UNSET ? build->train_from_us : first_us;
    last_us = build->until_us < last_us ? build->until_us : last_us;
    build->train_to_us = last_us - (last_us - first_us) / 100 * LATER_PERCENT;
    if (command->plan.train_days)
        build->train_from_us = build->train_to_us - command->plan.train_days * US_PER_DAY;
    return FAULT_NONE;
}

/* DIR/index.html as seen from the folder of the card, where DIR lies in it; otherwise as it was given. */
static void page_find(char *out, size_t out_bytes, const char *report, const char *stem)
{
    const char *slash = strrchr(stem, '/');
    size_t bytes = slash ? (size_t)(slash - stem) + 1 : 0;
    bool is_inside = bytes > 0 && strncmp(report, stem, bytes) == 0;
    snprintf(out, out_bytes, "%s/index.html", report + (is_inside ? bytes : 0));
}

/* The rows behind those that it was made from once more, through the new base. */
static enum fault report_write(const struct build_command *command, struct fault_note *note)
{
    static struct evaluation evaluation;
    const struct base_build_options *build = &command->plan.options;
    char path[600], title[160];
    snprintf(path, sizeof path, "%s.safetensors", build->stem);
    snprintf(title, sizeof title, "Scene base %.60s, rows behind its training", build->build.name);
    struct evaluate_options eval = {.past = build->past,
                                    .base_paths = {path},
                                    .from_us = build->validate_to_us > build->train_to_us ? build->validate_to_us : build->train_to_us,
                                    .to_us = build->until_us,
                                    .device = "cpu",
                                    .top = EVALUATE_TOP_DEFAULT};
    enum fault fault = evaluate_run(&evaluation, &eval, note);
    if (fault == FAULT_NONE)
        fault = figures_report(&evaluation, command->report, title, note);
    evaluation_fini(&evaluation);
    return fault;
}

static enum fault build_run(struct build_command *command, struct fault_note *note)
{
    struct config *config = NULL;
    char stem[512], page[600];
    enum fault fault = FAULT_NONE;
    if (command->report && strcmp(command->plan.path, "-") == 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "standard input is read once: no --report of it");
    if (!place(command, stem, sizeof stem))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "path too long: %.100s", command->plan.out);
    command->plan.options.stem = stem;
    if (command->report) {
        page_find(page, sizeof page, command->report, stem);
        command->plan.options.page = page;
    }
    command->plan.options.past.path = command->plan.path;
    command->plan.options.past.batch_rows = command->plan.batch_rows ? command->plan.batch_rows : BATCH_ROWS_DEFAULT;
    command->plan.options.batch_features = command->plan.batch_rows > 0;
    if (command->plan.server_config)
        fault = config_open(&config, command->plan.server_config, note);
    if (fault == FAULT_NONE && !delay_find(command, config))
        fault = fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "no tenant %.60s in %.60s", command->plan.tenant,
                          command->plan.server_config);
    if (fault == FAULT_NONE)
        fault = windows_find(command, note);
    command->plan.options.past.config = config;
    if (command->plan.options.validate_to_us == UNSET)
        command->plan.options.validate_to_us = command->plan.options.train_to_us;
    if (fault == FAULT_NONE)
        fault = base_build(&command->plan.options, note);
    if (fault == FAULT_NONE && command->report)
        fault = report_write(command, note);
    if (config)
        config_close(&config);
    return fault;
}

static const struct build_command defaults = {
    .plan = {.options = {.build = BUILD_OPTIONS_DEFAULT,
                         .past = {.delay_us = UNSET},
                         .train_from_us = UNSET,
                         .train_to_us = UNSET,
                         .validate_to_us = UNSET,
                         .until_us = INT64_MAX,
                         .rows_max = BASE_ROWS_MAX_DEFAULT,
                         .scene_rows_least = SCENE_ROWS_LEAST}},
};

int command_build(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "FILE",
        .doc = "Build a scene base from FILE (.csv with a header line, or .jsonl): past transfers in the order of time, with columns time "
               "and label (good, or the name of a scene).\vExit status: 0 built, 2 refused.",
    };
    static struct build_command command;
    struct fault_note note = {.row = ROW_NONE, .column = COLUMN_NONE};
    command = defaults;
    argp_parse(&argp, argc, argv, 0, NULL, &command);
    if (command.config_path) { /* once more, over what the file says */
        const char *path = command.config_path;
        command = defaults;
        if (build_file_read(&command.plan, path, &note) != FAULT_NONE)
            return command_note_fail("build", &note);
        command.is_read = true;
        argp_parse(&argp, argc, argv, 0, NULL, &command);
    }
    build_progress_begin(&command.plan.options, command.quiet);
    if (build_run(&command, &note) == FAULT_NONE)
        return COMMAND_DONE;
    return command_note_fail("build", &note);
}
