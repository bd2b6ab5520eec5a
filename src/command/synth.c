/* `sluice synth`: labelled transfers into files, and what associated systems would tell about their parties. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/memory.h"
#include "command/feed.h"
#include "command/verdicts.h"
#include "synth/synth.h"

enum {
    KEY_ROWS = 0x500,
    KEY_SEED,
    KEY_FROM,
    KEY_DAYS,
    KEY_ACCOUNTS,
    KEY_OUT,
    KEY_LATER,
    KEY_LATER_SHARE,
    KEY_RATES,
    KEY_OBSERVATIONS,
    KEY_FORMAT,
    KEY_CURRENCY
};
enum { CHUNK_ROWS = 4096, ROWS_PER_ACCOUNT = 25, ACCOUNTS_DEFAULT_MAX = 1000000, DAYS_DEFAULT = 28, LATER_DEFAULT = 30, PATH_BYTES = 512 };

struct making {
    struct synth_options options;
    const char *out_path, *later_path, *observations;
    uint32_t later_percent;
    bool as_json;
    FILE *out, *later, *news[OBSERVE_COUNT][2]; /* [kind][later] */
    uint64_t scenes[SYNTH_SCENE_COUNT];
    struct progress progress;
};

static const struct argp_option options[] = {
    {"rows", KEY_ROWS, "N", 0, "Transfers to make (default 100000)", 1},
    {"seed", KEY_SEED, "N", 0, "The same seed and options give the same rows (default 1)", 1},
    {"from", KEY_FROM, "DATE", 0, "First day (default: so that the last day was yesterday)", 1},
    {"days", KEY_DAYS, "N", 0, "Days that the rows spread over (default 28)", 1},
    {"accounts", KEY_ACCOUNTS, "N", 0, "Accounts (default: a twenty-fifth of the rows, 1000 to 1000000)", 1},
    {"currency", KEY_CURRENCY, "CODE", 0, "Currency of the amounts (default EUR)", 1},
    {"rates", KEY_RATES, "SCENE=R,…", 0, "Share of a scene's rows, as 0.002; `all` stands for every scene (default 0.00125 each)", 1},
    {"out", KEY_OUT, "FILE", 0, "Where to: .csv or .jsonl, - for standard output (the default)", 1},
    {"later", KEY_LATER, "FILE", 0, "The newest rows go there instead", 1},
    {"later-share", KEY_LATER_SHARE, "PERCENT", 0, "How many those are (default 30)", 1},
    {"format", KEY_FORMAT, "csv|jsonl", 0, "Instead of what the ending of FILE says", 1},
    {"observations", KEY_OBSERVATIONS, "DIR", 0,
     "Write attribute.csv, contact.csv, registration.csv and use.csv for `sluice observe`; with "
     "--later also attribute-later.csv and so on",
     1},
    {0},
};

/* "0.002" into millionths. */
static uint32_t rate_read(struct argp_state *state, const char *text)
{
    char *end;
    double share = strtod(text, &end);
    if (end == text || *end || !(share >= 0.0 && share <= 0.5))
        argp_error(state, "--rates takes shares of 0 to 0.5, not '%s'", text);
    return (uint32_t)(share * 1e6 + 0.5);
}

static void rates_read(struct argp_state *state, uint32_t rates[SYNTH_SCENE_COUNT], const char *argument)
{
    char text[1024], *rest = NULL;
    snprintf(text, sizeof text, "%s", argument);
    for (char *item = strtok_r(text, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(item, '=');
        bool found = false;
        if (!equals)
            argp_error(state, "--rates takes SCENE=SHARE, not '%s'", item);
        *equals = '\0';
        uint32_t rate = rate_read(state, equals + 1);
        for (int i = SYNTH_GOOD + 1; i < SYNTH_SCENE_COUNT; i++)
            if (strcmp(item, synth_scene_names[i]) == 0 || strcmp(item, "all") == 0)
                rates[i] = rate, found = true;
        if (!found)
            argp_error(state,
                       "no scene '%s'; there are account_takeover, mule_fan_in, fan_out, card_testing, split_payments, "
                       "compromised_terminal, new_device_large, circular_flow and all",
                       item);
    }
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct making *out = state->input;
    struct synth_options *to = &out->options;
    switch (key) {
    case KEY_ROWS:
        to->row_count = (uint64_t)command_integer(state, "rows", argument, 1, 1000000000000);
        return 0;
    case KEY_SEED:
        to->seed = (uint64_t)command_integer(state, "seed", argument, 0, INT64_MAX);
        return 0;
    case KEY_FROM:
        to->from_us = command_time_us(state, "from", argument);
        return 0;
    case KEY_DAYS:
        to->day_count = (uint32_t)command_integer(state, "days", argument, 1, SYNTH_DAYS_MAX);
        return 0;
    case KEY_ACCOUNTS:
        to->account_count = (uint32_t)command_integer(state, "accounts", argument, SYNTH_ACCOUNTS_MIN, SYNTH_ACCOUNTS_MAX);
        return 0;
    case KEY_CURRENCY:
        if (strlen(argument) != 3)
            argp_error(state, "--currency takes three letters");
        memcpy(to->currency, argument, 4);
        return 0;
    case KEY_RATES:
        rates_read(state, to->rates, argument);
        return 0;
    case KEY_OUT:
        out->out_path = argument;
        return 0;
    case KEY_LATER:
        out->later_path = argument;
        return 0;
    case KEY_LATER_SHARE:
        out->later_percent = (uint32_t)command_integer(state, "later-share", argument, 1, 99);
        return 0;
    case KEY_FORMAT:
        out->as_json = strcmp(argument, "jsonl") == 0;
        if (!out->as_json && strcmp(argument, "csv") != 0)
            argp_error(state, "--format takes csv or jsonl, not '%s'", argument);
        return 0;
    case KEY_OBSERVATIONS:
        out->observations = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- transfers ------------------------------------------------------------------------------------------------------ */

static void cell_print(FILE *out, const struct column *column, uint32_t row, bool quoted)
{
    if (column->form == FORM_I64) {
        fprintf(out, "%lld", (long long)column_i64(column, row));
        return;
    }
    struct text text = column_text(column, row); /* letters, digits, _ and . alone */
    if (quoted)
        fputc('"', out);
    fwrite(text.data, 1, text.bytes, out);
    if (quoted)
        fputc('"', out);
}

static void header_print(FILE *out, const struct batch *batch)
{
    const char *comma = "";
    for (uint16_t i = 0; i < COLUMN_COUNT; i++)
        if (batch->columns[i].form != FORM_ABSENT)
            fprintf(out, "%s%s", comma, column_name(i)), comma = ",";
    fputc('\n', out);
}

static void row_print(FILE *out, const struct batch *batch, uint32_t row, bool as_json)
{
    bool first = true;
    for (uint16_t i = 0; i < COLUMN_COUNT; i++) {
        const struct column *column = &batch->columns[i];
        bool valid = column_is_valid(column, row);
        if (column->form == FORM_ABSENT || (as_json && !valid))
            continue;
        fputs(first ? as_json ? "{" : "" : ",", out);
        if (as_json)
            fprintf(out, "\"%s\":", column_name(i));
        if (valid)
            cell_print(out, column, row, as_json && column->form != FORM_I64);
        first = false;
    }
    fputs(as_json ? "}\n" : "\n", out);
}

/* --- observations ---------------------------------------------------------------------------------------------------- */

static const char *const news_headers[OBSERVE_COUNT] = {
    [OBSERVE_ATTRIBUTE] = "account_id,time,opened_time,changed_time",
    [OBSERVE_CONTACT] = "account_id,time,contact_id",
    [OBSERVE_REGISTRATION] = "account_id,time,device_id",
    [OBSERVE_USE] = "account_id,time,device_id,address,network",
};

static int news_open(struct making *making)
{
    char path[PATH_BYTES];
    if (!making->observations)
        return COMMAND_DONE;
    mkdir(making->observations, 0777);
    for (int kind = OBSERVE_NONE + 1; kind < OBSERVE_COUNT; kind++)
        for (int later = 0; later < (making->later ? 2 : 1); later++) {
            snprintf(path, sizeof path, "%s/%s%s.csv", making->observations, observe_names[kind], later ? "-later" : "");
            if (!(making->news[kind][later] = fopen(path, "w")))
                return command_fail(COMMAND_REFUSED, "synth", "cannot write %s: %s", path, strerror(errno));
            fprintf(making->news[kind][later], "%s\n", news_headers[kind]);
        }
    return COMMAND_DONE;
}

static void news_start_print(FILE *out, uint32_t account, int64_t time_us)
{
    char text[SYNTH_TEXT_BYTES];
    fwrite(text, 1, synth_account_text(text, account), out);
    fprintf(out, ",%lld,", (long long)time_us);
}

/* What is known on the first day. */
static void news_print_known(struct making *making, const struct synth *synth)
{
    char text[SYNTH_TEXT_BYTES];
    uint32_t contacts[SYNTH_CONTACTS_MAX];
    for (uint32_t person = 0; making->observations && person < synth_person_count(synth); person++) {
        int64_t opened_us = synth_opened_us(synth, person), from_us = making->options.from_us;
        if (opened_us > from_us)
            continue;
        news_start_print(making->news[OBSERVE_ATTRIBUTE][0], person, from_us);
        fprintf(making->news[OBSERVE_ATTRIBUTE][0], "%lld,\n", (long long)opened_us);
        news_start_print(making->news[OBSERVE_REGISTRATION][0], person, from_us);
        fprintf(making->news[OBSERVE_REGISTRATION][0], "%.*s\n", (int)synth_device_text(text, synth_device(synth, person)), text);
        for (uint32_t i = 0, count = synth_contacts(synth, person, contacts); i < count; i++) {
            news_start_print(making->news[OBSERVE_CONTACT][0], person, from_us);
            fprintf(making->news[OBSERVE_CONTACT][0], "%.*s\n", (int)synth_account_text(text, contacts[i]), text);
        }
    }
}

static void news_print(struct making *making, const struct synth_observation *news, bool later)
{
    char text[SYNTH_TEXT_BYTES], address[SYNTH_TEXT_BYTES], network[SYNTH_TEXT_BYTES];
    FILE *out = making->news[news->kind][later];
    if (news->kind == OBSERVE_NONE || !out)
        return;
    news_start_print(out, news->account, news->time_us);
    if (news->kind == OBSERVE_ATTRIBUTE)
        fprintf(out, ",%lld\n", (long long)news->time_us);
    else if (news->kind == OBSERVE_CONTACT)
        fprintf(out, "%.*s\n", (int)synth_account_text(text, news->contact), text);
    else if (news->kind == OBSERVE_REGISTRATION)
        fprintf(out, "%.*s\n", (int)synth_device_text(text, news->device), text);
    else
        fprintf(out, "%.*s,%.*s,%.*s\n", (int)synth_device_text(text, news->device), text, (int)synth_address_text(address, news->address),
                address, (int)synth_network_text(network, news->network), network);
}

/* A second generator of the same rows tells the news, so that the columns stay what they are for everybody else. */
static enum fault news_print_all(struct making *making, struct fault_note *note)
{
    struct synth *synth = NULL;
    struct synth_row row;
    uint64_t later_from = making->options.row_count - making->options.row_count * making->later_percent / 100;
    if (!making->observations)
        return FAULT_NONE;
    enum fault fault = synth_open(&synth, &making->options, note);
    if (fault != FAULT_NONE)
        return fault;
    news_print_known(making, synth);
    while (synth_row_next(synth, &row))
        news_print(making, &row.observation, making->later && row.number >= later_from);
    synth_close(&synth);
    return FAULT_NONE;
}

/* ------------------------------------------------------------------------------------------------------------------------ */

static int file_open(FILE **out, const char *path)
{
    enum { BUFFER_BYTES = 1 << 20 };
    *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (!*out)
        return command_fail(COMMAND_REFUSED, "synth", "cannot write %s: %s", path, strerror(errno));
    setvbuf(*out, NULL, _IOFBF, BUFFER_BYTES);
    return COMMAND_DONE;
}

static bool file_finish(FILE *file)
{
    return !file || (fflush(file) == 0 && !ferror(file) && (file == stdout || fclose(file) == 0));
}

static int files_finish(struct making *making)
{
    int failed = !file_finish(making->out) + !file_finish(making->later);
    for (int kind = 0; kind < OBSERVE_COUNT; kind++)
        failed += !file_finish(making->news[kind][0]) + !file_finish(making->news[kind][1]);
    return failed ? command_fail(COMMAND_REFUSED, "synth", "cannot write everything") : COMMAND_DONE;
}

static void chunk_print(struct making *making, const struct batch *batch, uint64_t first_row)
{
    uint64_t later_from = making->options.row_count - making->options.row_count * making->later_percent / 100;
    for (uint32_t i = 0; i < batch->row_count; i++) {
        FILE *out = making->later && first_row + i >= later_from ? making->later : making->out;
        row_print(out, batch, i, making->as_json);
        making->scenes[column_code(&batch->columns[COLUMN_label], i)]++;
    }
}

static enum fault rows_print(struct making *making, struct fault_note *note)
{
    struct synth *synth = NULL;
    struct batch batch = {0};
    uint64_t rows = 0;
    enum fault fault = synth_open(&synth, &making->options, note);
    if (fault == FAULT_NONE)
        fault = batch_init(&batch, synth_arena_bytes(CHUNK_ROWS), note);
    progress_begin(&making->progress, making->options.row_count, false);
    while (fault == FAULT_NONE && (fault = synth_next(synth, &batch, CHUNK_ROWS, note)) == FAULT_NONE && batch.row_count > 0) {
        if (rows == 0 && !making->as_json) {
            header_print(making->out, &batch);
            if (making->later)
                header_print(making->later, &batch);
        }
        chunk_print(making, &batch, rows);
        rows += batch.row_count;
        progress_show(&making->progress, rows, false);
    }
    progress_show(&making->progress, rows, true);
    batch_fini(&batch);
    synth_close(&synth);
    return fault;
}

static void defaults_fill(struct making *making)
{
    struct synth_options *of = &making->options;
    uint64_t accounts = of->row_count / ROWS_PER_ACCOUNT;
    const char *ending = making->out_path ? strrchr(making->out_path, '.') : NULL;
    if (of->account_count == 0)
        of->account_count = accounts < SYNTH_ACCOUNTS_MIN     ? SYNTH_ACCOUNTS_MIN
                            : accounts > ACCOUNTS_DEFAULT_MAX ? ACCOUNTS_DEFAULT_MAX
                                                              : (uint32_t)accounts;
    if (of->from_us == 0)
        of->from_us = (clock_wall_us() / US_PER_DAY - of->day_count) * US_PER_DAY;
    if (ending && strcmp(ending, ".jsonl") == 0)
        making->as_json = true;
    if (!making->out_path)
        making->out_path = "-";
}

int command_synth(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .doc =
            "Make labelled transfers: people, shops, their habits, and eight kinds of fraud among honest people who do what looks alike.",
    };
    struct making making = {.options = {.seed = 1, .row_count = 100000, .day_count = DAYS_DEFAULT, .currency = "EUR"},
                            .later_percent = LATER_DEFAULT};
    struct fault_note note = {.row = ROW_NONE};
    memcpy(making.options.rates, synth_rates_default, sizeof making.options.rates);
    argp_parse(&argp, argc, argv, 0, NULL, &making);
    defaults_fill(&making);
    int status = file_open(&making.out, making.out_path);
    if (status == COMMAND_DONE && making.later_path)
        status = file_open(&making.later, making.later_path);
    if (status == COMMAND_DONE)
        status = news_open(&making);
    if (status == COMMAND_DONE && (rows_print(&making, &note) != FAULT_NONE || news_print_all(&making, &note) != FAULT_NONE))
        status = command_fail(COMMAND_REFUSED, "synth", "%s", note.text);
    int finished = files_finish(&making);
    for (int i = 0; status == COMMAND_DONE && i < SYNTH_SCENE_COUNT; i++)
        fprintf(stderr, "%-22s %llu\n", synth_scene_names[i], (unsigned long long)making.scenes[i]);
    return status == COMMAND_DONE ? finished : status;
}
