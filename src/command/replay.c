/* `sluice replay`: a ledger's traffic once more, to verify what was recorded or to try another base. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command/command.h"
#include "command/feed.h"
#include "command/replay.h"
#include "command/show.h"
#include "command/verdicts.h"
#include "kernels.h"
#include "pipeline/replay.h"

enum {
    KEY_VERIFY = 0x900,
    KEY_BASE,
    KEY_STRATEGY,
    KEY_FROM,
    KEY_TO,
    KEY_FROM_BATCH,
    KEY_TO_BATCH,
    KEY_SWITCHED,
    KEY_DEVICE,
    KEY_CPU_MASK,
    KEY_WORKERS,
    KEY_JSON
};

static const struct argp_option options[] = {
    {"verify", KEY_VERIFY, NULL, 0, "Give every stored figure and verdict again and compare them, bit for bit", 1},
    {"base", KEY_BASE, "FILE", 0, "Screen the same traffic under this scene base and set it against what was recorded", 1},
    {"strategy", KEY_STRATEGY, "FILE", 0,
     "Levels, strategy and countermeasures (as in sluice.yaml) that hold instead; of a whole sluice.yaml also classes and rules of its "
     "tenants",
     1},
    {"switched", KEY_SWITCHED, "FILE", 0, "With --base: write the rows whose verdict is another one, as CSV, or JSON lines (.jsonl)", 1},
    {"json", KEY_JSON, NULL, 0, "What was found, as JSON", 1},
    {0, 0, 0, 0, "Which batches (default: all that can be replayed):", 2},
    {"from", KEY_FROM, "DATE", 0, "From this time on", 2},
    {"to", KEY_TO, "DATE", 0, "Before this time", 2},
    {"from-batch", KEY_FROM_BATCH, "N", 0, "From the batch of this sequence number on", 2},
    {"to-batch", KEY_TO_BATCH, "N", 0, "Up to the batch of this sequence number", 2},
    {0, 0, 0, 0, "How:", 3},
    {"device", KEY_DEVICE, "NAME", 0, "What scores (default cpu); the bits are the same on all", 3},
    {"cpu-mask", KEY_CPU_MASK, "LIST", 0, "Instruction sets to use, with commas; none: the reference (default: all)", 3},
    {"workers", KEY_WORKERS, "N", 0, "Threads that score (default: one per processor)", 3},
    {"quiet", 'q', NULL, 0, "No progress", 3},
    {0},
};

static unsigned mask_read(struct argp_state *state, const char *text)
{
    static const struct {
        const char *name;
        unsigned bits;
    } sets[] = {{"all", CPU_MASK_ALL}, {"none", 0}, {"avx2", CPU_AVX2}, {"avx512", CPU_AVX512}, {"neon", CPU_NEON}};
    enum { SET_COUNT = sizeof sets / sizeof *sets };
    unsigned mask = 0;
    for (size_t bytes; *text; text += bytes + (text[bytes] == ',')) {
        size_t known = 0;
        bytes = strcspn(text, ",");
        while (known < SET_COUNT && (strlen(sets[known].name) != bytes || strncmp(text, sets[known].name, bytes) != 0))
            known++;
        if (known == SET_COUNT)
            argp_error(state, "--cpu-mask takes all, none, avx2, avx512 or neon, not '%.*s'", (int)bytes, text);
        mask |= sets[known].bits;
    }
    return mask;
}

static void check_arguments(struct replay_command *command, struct argp_state *state)
{
    struct replay_options *replay = &command->options;
    if (!replay->folder)
        argp_error(state, "no LEDGER given");
    if (command->verifies == !replay_verifies(replay))
        argp_error(state, "either --verify, or --base, --strategy or both");
    if (command->verifies && command->switched_path)
        argp_error(state, "--switched needs --base or --strategy");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct replay_command *command = state->input;
    struct replay_options *replay = &command->options;
    switch (key) {
    case KEY_VERIFY:
        return command->verifies = true, 0;
    case KEY_BASE:
        return replay->base_path = text, 0;
    case KEY_STRATEGY:
        return replay->strategy_path = text, 0;
    case KEY_SWITCHED:
        return command->switched_path = text, 0;
    case KEY_JSON:
        return command->json = true, 0;
    case KEY_FROM:
        return replay->from_us = command_time_us(state, "from", text), 0;
    case KEY_TO:
        return replay->to_us = command_time_us(state, "to", text), 0;
    case KEY_FROM_BATCH:
        return replay->from_sequence = (uint64_t)command_integer(state, "from-batch", text, 1, INT64_MAX), 0;
    case KEY_TO_BATCH:
        return replay->to_sequence = (uint64_t)command_integer(state, "to-batch", text, 1, INT64_MAX), 0;
    case KEY_DEVICE:
        return replay->device = text, 0;
    case KEY_CPU_MASK:
        return replay->cpu_mask = mask_read(state, text), 0;
    case KEY_WORKERS:
        return replay->workers = (uint32_t)command_integer(state, "workers", text, 1, 256), 0;
    case 'q':
        return command->quiet = true, 0;
    case ARGP_KEY_ARG:
        if (replay->folder)
            argp_error(state, "one LEDGER, not also '%s'", text);
        return replay->folder = text, 0;
    case ARGP_KEY_END:
        return check_arguments(command, state), 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- while it runs ---------------------------------------------------------------------------------------------------- */

static void progress_of(void *context, uint64_t rows, uint64_t rows_all)
{
    struct replay_command *command = context;
    command->progress.total = rows_all;
    progress_show(&command->progress, rows, false);
}

static const char *const label_names[] = {"", "good", "risky"};

static void switched_csv(FILE *out, const struct replay_row *row)
{
    fprintf(out, "%" PRIu64 ",", row->sequence);
    text_csv_print(out, text_of(row->tenant));
    fputc(',', out);
    text_csv_print(out, row->batch);
    fputc(',', out);
    text_csv_print(out, row->transfer);
    fprintf(out, ",%" PRId64 ",%" PRId64 ",%s,%s,", row->time_us, row->amount, verdict_names[row->recorded], verdict_names[row->again]);
    text_csv_print(out, text_of(row->recorded_scene));
    fputc(',', out);
    text_csv_print(out, text_of(row->again_scene));
    fprintf(out, ",%.9g,%.9g,%s\n", (double)row->recorded_risk, (double)row->again_risk, label_names[row->label]);
}

static void switched_json(FILE *out, const struct replay_row *row)
{
    fprintf(out, "{\"sequence\":%" PRIu64 ",\"tenant\":", row->sequence);
    text_json_print(out, text_of(row->tenant));
    fputs(",\"batch\":", out);
    text_json_print(out, row->batch);
    fputs(",\"transfer_id\":", out);
    text_json_print(out, row->transfer);
    fprintf(out, ",\"time\":%" PRId64 ",\"amount\":%" PRId64 ",\"recorded\":\"%s\",\"again\":\"%s\",\"recorded_scene\":", row->time_us,
            row->amount, verdict_names[row->recorded], verdict_names[row->again]);
    text_json_print(out, text_of(row->recorded_scene));
    fputs(",\"again_scene\":", out);
    text_json_print(out, text_of(row->again_scene));
    fprintf(out, ",\"recorded_risk\":%.9g,\"again_risk\":%.9g,\"label\":\"%s\"}\n", (double)row->recorded_risk, (double)row->again_risk,
            label_names[row->label]);
}

static void switched_print(void *context, const struct replay_row *row)
{
    struct replay_command *command = context;
    command->switched++;
    if (command->switched_out && command->as_lines)
        switched_json(command->switched_out, row);
    else if (command->switched_out)
        switched_csv(command->switched_out, row);
}

/* --- what was found --------------------------------------------------------------------------------------------------- */

static int verify_told(const struct replay_command *command, const struct replay_result *result)
{
    const struct replay_difference *first = &result->first;
    bool differs = result->batches_differ > 0;
    if (command->json)
        replay_print_verify_json(result);
    else
        replay_print_verify(result);
    if (!differs)
        return COMMAND_DONE;
    if (first->row == ROW_NONE)
        return command_fail(COMMAND_HELD, "replay", "batch %" PRIu64 " (tenant %s, id %s), checks of %s: recorded %s, again %s",
                            first->sequence, first->tenant, first->id, first->column, first->recorded, first->again);
    return command_fail(COMMAND_HELD, "replay", "batch %" PRIu64 " (tenant %s, id %s), row %u%s%s, %s: recorded %s, again %s",
                        first->sequence, first->tenant, first->id, first->row, first->transfer[0] ? ", transfer " : "", first->transfer,
                        first->column, first->recorded, first->again);
}

static int switched_close(struct replay_command *command, int status)
{
    if (!command->switched_out)
        return status;
    bool written = ferror(command->switched_out) == 0;
    written = fclose(command->switched_out) == 0 && written;
    command->switched_out = NULL;
    return written ? status : command_fail(COMMAND_REFUSED, "replay", "cannot write %s: %s", command->switched_path, strerror(errno));
}

static int switched_open(struct replay_command *command)
{
    const char *path = command->switched_path;
    if (!path)
        return COMMAND_DONE;
    size_t bytes = strlen(path);
    command->as_lines = bytes > 6 && strcmp(path + bytes - 6, ".jsonl") == 0;
    command->switched_out = fopen(path, "w");
    if (!command->switched_out)
        return command_fail(COMMAND_REFUSED, "replay", "cannot write %s: %s", path, strerror(errno));
    if (!command->as_lines)
        fputs("sequence,tenant,batch,transfer_id,time,amount,recorded,again,recorded_scene,again_scene,recorded_risk,again_risk,label\n",
              command->switched_out);
    return COMMAND_DONE;
}

static int replay_command_run(struct replay_command *command, struct replay_result *result)
{
    struct fault_note note = {.row = ROW_NONE};
    int status = switched_open(command);
    if (status != COMMAND_DONE)
        return status;
    progress_begin(&command->progress, 0, command->quiet);
    enum fault fault = replay_run(result, &command->options, &note);
    progress_show(&command->progress, 0, true);
    if (fault != FAULT_NONE)
        return switched_close(command, command_fail(COMMAND_REFUSED, "replay", "%s", note.text));
    if (command->verifies)
        return verify_told(command, result);
    if (command->json)
        replay_print_trial_json(result, command->switched);
    else
        replay_print_trial(result, command->switched);
    return switched_close(command, COMMAND_DONE);
}

int command_replay(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "LEDGER",
        .doc = "Replay what the ledger in folder LEDGER recorded, beside its server or of a copy: --verify gives every stored figure and "
               "verdict again, --base and --strategy tell what another scene base, or other levels, strategy and rules, would have held "
               "and passed. The ledger is only read.\v"
               "Exit status: 0 done, or all equal; 1 something differs; 2 refused.",
    };
    static struct replay_result result;
    static struct replay_command command;
    command = (struct replay_command){.options = {.from_us = INT64_MIN, .to_us = INT64_MAX, .device = "cpu", .cpu_mask = CPU_MASK_ALL}};
    command.options.progress = progress_of;
    command.options.switched = switched_print;
    command.options.context = &command;
    argp_parse(&argp, argc, argv, 0, NULL, &command);
    return replay_command_run(&command, &result);
}
