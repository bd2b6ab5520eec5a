/* `sluice check-profile`: checks a tenant's profile, and shows what it makes of sample rows. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "command/cells.h"
#include "command/command.h"
#include "command/source.h"
#include "intake/intake.h"
#include "pipeline/associates.h"
#include "pipeline/config.h"
#include "wire/wire.h"

enum { ROWS_AT_ONCE = 16 * TEMPLATE_CHUNK, NOTES_MAX = 8 * ROWS_AT_ONCE, WHY_BYTES = 1024, ANSWERS_BYTES_MAX = 64 << 20 };

struct options {
    const char *path, *rows, *associated;
};

static const struct argp_option argp_options[] = {
    {"rows", 'r', "FILE", 0, "Print what the profile makes of these transfers (CSV, JSON lines or columns; - is standard input), as CSV",
     0},
    {"associated", 'a', "FILE", 0,
     "With --rows: what associated systems answer, as JSON: {\"bank\": {\"answers\": [...]}}; without it they are silent", 0},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct options *out = state->input;
    if (key == 'r')
        out->rows = argument;
    else if (key == 'a')
        out->associated = argument;
    else if (key == ARGP_KEY_ARG && !out->path)
        out->path = argument;
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "one PROFILE, not '%s' as well", argument);
    else if (key == ARGP_KEY_END && !out->path)
        argp_error(state, "no PROFILE given");
    else if (key == ARGP_KEY_END && out->associated && !out->rows)
        argp_error(state, "--associated needs --rows");
    else if (key != ARGP_KEY_END)
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp check_profile_argp = {
    .options = argp_options,
    .parser = option_parse,
    .args_doc = "PROFILE",
    .doc = "Checks a profile of a tenant and says which columns its templates make; with --rows, what they compute for each row, and of "
           "each invalid row why it is.",
};

/* --- what it makes ----------------------------------------------------------------------------------------------------- */

static void made_print(const struct profile *profile)
{
    printf("profile %s, %s%s\n", profile_name(profile), profile_product(profile)[0] ? "of product " : "of any product",
           profile_product(profile));
    for (uint32_t i = 0; i < profile_made_count(profile); i++) {
        const struct template_column *column = profile_made(profile, i);
        if (column->type == TEMPLATE_EXACT && column->scale)
            printf("  makes %-24s decimal of %u place%s\n", column->name, column->scale, column->scale > 1 ? "s" : "");
        else
            printf("  makes %-24s %s\n", column->name, column->type == TEMPLATE_EXACT ? "int" : template_type_names[column->type]);
    }
}

static void asked_print(const struct profile *profile)
{
    static const char *const silences[PROFILE_SILENCES] = {"held", "given defaults", "refused with their batch"};
    struct profile_ask ask;
    for (uint32_t i = 0; i < profile_ask_count(profile); i++) {
        profile_ask_of(&ask, profile, i);
        printf("  asks %s for %s:", ask.system, ask.key);
        for (uint32_t k = 0; k < ask.answer_count; k++)
            printf("%s %s", k ? "," : "", ask.answers[k].name);
        printf("; without an answer rows are %s\n", silences[ask.silence]);
    }
}

/* --- rows -------------------------------------------------------------------------------------------------------------- */

static const struct column *column_of(const struct batch *batch, const char *name)
{
    enum column_id known = column_find(text_of(name));
    if (known != COLUMN_COUNT)
        return &batch->columns[known];
    for (uint32_t i = 0; i < batch->other_count; i++)
        if (batch->others[i].form != FORM_ABSENT && text_equal(batch->others[i].name, text_of(name)))
            return &batch->others[i];
    return NULL;
}

static void cell_print(const struct column *column, uint32_t row, const struct template_column *type)
{
    double real;
    if (!column || !column_is_valid(column, row))
        return;
    if (column->form == FORM_F64)
        printf("%.17g", (memcpy(&real, column->data + 8 * (size_t)row, sizeof real), real));
    else if (column->form != FORM_I64)
        cells_print_text(column_text(column, row));
    else if (type && type->type == TEMPLATE_BOOL)
        printf("%s", column_i64(column, row) ? "true" : "false");
    else
        cells_print_exact(column_i64(column, row), type ? type->scale : 0);
}

/* Why a row is invalid, and what could not be computed. Notes stand by column; a row's are few. */
static void why_print(const struct batch *batch, uint32_t row)
{
    char why[WHY_BYTES];
    size_t used = 0;
    for (uint32_t i = 0; i < batch->note_count && used < sizeof why; i++) {
        const struct check_note *note = &batch->notes[i];
        struct text name = batch_column_name(batch, note->column);
        if (note->row == row)
            used += (size_t)snprintf(why + used, sizeof why - used, "%s%.*s: %s", used ? "; " : "", (int)name.bytes, name.data, note->text);
    }
    if (used)
        cells_print_text((struct text){.data = why, .bytes = (uint32_t)(used < sizeof why ? used : sizeof why - 1)});
}

static void head_print(const struct profile *profile)
{
    printf("row,transfer_id,status");
    for (uint32_t i = 0; i < profile_made_count(profile); i++)
        printf(",%s", profile_made(profile, i)->name);
    printf(",why\n");
}

static uint32_t rows_print(const struct batch *batch, const struct profile *profile, uint64_t first)
{
    uint32_t invalid = 0;
    for (uint32_t row = 0; row < batch->row_count; row++) {
        bool is_invalid = batch->facts.invalid[row];
        printf("%llu,", (unsigned long long)(first + row));
        cell_print(&batch->columns[COLUMN_transfer_id], row, NULL);
        printf(",%s", is_invalid ? "invalid" : "fine");
        for (uint32_t i = 0; i < profile_made_count(profile); i++) {
            const struct template_column *made = profile_made(profile, i);
            putchar(',');
            cell_print(column_of(batch, made->name), row, made);
        }
        putchar(',');
        why_print(batch, row);
        putchar('\n');
        invalid += is_invalid;
    }
    return invalid;
}

/* Rates are the server's; here a currency is right that has a minor unit. */
static void currencies_find(struct currency_table *out, const struct batch *batch)
{
    const struct column *codes = &batch->columns[COLUMN_currency];
    char code[4];
    for (uint32_t row = 0; row < batch->row_count && out->count < sizeof out->rates / sizeof *out->rates; row++) {
        uint32_t at = 0;
        if (!column_is_valid(codes, row) || column_text(codes, row).bytes != 3)
            continue;
        text_copy(code, sizeof code, column_text(codes, row));
        while (at < out->count && strcmp(out->rates[at].code, code) != 0)
            at++;
        if (at < out->count || currency_exponent(code) < 0)
            continue;
        memcpy(out->rates[out->count].code, code, sizeof code);
        out->rates[out->count++].factor_q32 = UINT64_C(1) << 32;
    }
}

struct answers { /* of the file; text NULL: none is given */
    char *text;
    size_t bytes;
};

/* Beside the rows, which are standard output's. */
static void request_print(const char *system, const char *request)
{
    fprintf(stderr, "%s would be asked: %s\n", system, request);
}

static enum fault batch_check(struct batch *batch, struct profile *profile, const struct answers *answers, struct fault_note *note)
{
    struct intake_rules rules = {.limits = BATCH_LIMITS_DEFAULT, .profile = profile};
    struct kernels kernels;
    kernels_select(&kernels, CPU_MASK_ALL);
    batch->op = OP_screen;
    rules.limits.notes_max = NOTES_MAX;
    enum fault fault = batch_take_checks(batch, NOTES_MAX, note);
    if (fault == FAULT_NONE)
        fault = profile_take(batch, profile, &kernels, note);
    currencies_find(&rules.currencies, batch);
    if (fault == FAULT_NONE)
        fault = intake_check(batch, &rules, note);
    if (fault == FAULT_NONE)
        fault = associates_try(batch, profile, answers->text, answers->bytes, request_print, note);
    if (fault == FAULT_NONE)
        fault = profile_finish(batch, profile, &kernels, note);
    return fault == FAULT_NONE ? intake_check_made(batch, &rules, note) : fault;
}

static enum fault rows_run(struct source *source, struct profile *profile, const struct answers *answers, struct fault_note *note)
{
    struct batch batch = {0};
    uint64_t first = 0, invalid = 0;
    uint32_t rows_max = source_batch_rows(source, ROWS_AT_ONCE);
    size_t bytes = source_arena_bytes(source, rows_max) + profile_arena_bytes(profile, rows_max) + NOTES_MAX * sizeof(struct check_note);
    bytes += PROFILE_ASKS_MAX * associates_scratch_bytes(profile, rows_max);
    enum fault fault = batch_init(&batch, bytes, note);
    if (fault == FAULT_NONE)
        fault = source_read(source, &batch, rows_max, note);
    if (fault == FAULT_NONE)
        head_print(profile);
    while (fault == FAULT_NONE && batch.row_count > 0) {
        fault = batch_check(&batch, profile, answers, note);
        if (fault == FAULT_NONE) {
            invalid += rows_print(&batch, profile, first);
            first += batch.row_count;
            fault = source_read(source, &batch, rows_max, note);
        }
    }
    if (fault == FAULT_NONE)
        fprintf(stderr, "%llu rows, %llu of them invalid\n", (unsigned long long)first, (unsigned long long)invalid);
    batch_fini(&batch);
    return fault;
}

int command_check_profile(int argc, char **argv)
{
    struct options options = {0};
    struct fault_note note = {0};
    struct config_profile *profile = NULL;
    struct source *source = NULL;
    struct answers answers = {0};
    argp_parse(&check_profile_argp, argc, argv, 0, NULL, &options);
    enum fault fault = config_profile_open(&profile, options.path, &note);
    if (fault == FAULT_NONE && options.rows) {
        fault =
            options.associated ? file_read_all(&answers.text, &answers.bytes, options.associated, ANSWERS_BYTES_MAX, &note) : FAULT_NONE;
        if (fault == FAULT_NONE)
            fault = source_open(&source, options.rows, &note);
        if (fault == FAULT_NONE)
            fault = rows_run(source, profile->profile, &answers, &note);
        csv_fault_of(&note, options.rows, fault);
    } else if (fault == FAULT_NONE) {
        made_print(profile->profile);
        asked_print(profile->profile);
    }
    source_close(&source);
    memory_give(answers.text);
    config_profile_close(&profile);
    return fault == FAULT_NONE ? COMMAND_DONE : command_note_fail("check-profile", &note);
}
