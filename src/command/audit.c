/* `sluice audit`: the audit log of a ledger's folder, beside a running server or of a copy. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "command/command.h"
#include "command/show.h"
#include "command/verdicts.h"
#include "ledger/audit.h"

enum { KEY_WHO = 0x900, KEY_ACTION, KEY_FROM, KEY_TO, KEY_AFTER, KEY_HEAD };
enum { HASH_DIGITS = 2 * AUDIT_HASH_BYTES, LINES_MAX = 1000000000 };

struct auditing {
    const char *verb, *path;
    bool as_json;
    struct ledger_audit_query query;
    struct ledger_audit_head known;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "As JSON lines", 1},
    {"rows", 'n', "N", 0, "list: at most N entries (default: all)", 1},
    {"after", KEY_AFTER, "N", 0, "list: those behind entry N", 1},
    {"who", KEY_WHO, "NAME", 0, "list: of that actor, TENANT or TENANT/CREDENTIAL", 1},
    {"action", KEY_ACTION, "NAME", 0, "list: of that action, as base.activate, list.put or reload", 1},
    {"from", KEY_FROM, "TIME", 0, "list: not before TIME", 1},
    {"to", KEY_TO, "TIME", 0, "list: before TIME", 1},
    {"head", KEY_HEAD, "N:HASH", 0, "verify: entry N must still have that hash, as an earlier `verify` printed it", 1},
    {0},
};

static void head_parse(struct argp_state *state, struct ledger_audit_head *out, const char *argument)
{
    char *end = NULL;
    out->entry = strtoull(argument, &end, 10);
    if (out->entry == 0 || *end != ':' || !secret_from_hex(out->hash, sizeof out->hash, end + 1))
        argp_error(state, "--head wants N:HASH with %d hexadecimal digits, not '%s'", HASH_DIGITS, argument);
}

static void word_parse(struct argp_state *state, struct auditing *out, const char *argument)
{
    if (!out->verb && (strcmp(argument, "list") == 0 || strcmp(argument, "verify") == 0))
        out->verb = argument;
    else if (!out->verb)
        argp_error(state, "list or verify, not '%s'", argument);
    else if (!out->path)
        out->path = argument;
    else
        argp_error(state, "one LEDGER, not '%s' as well", argument);
}

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct auditing *out = state->input;
    if (key == 'j')
        out->as_json = true;
    else if (key == 'n')
        out->query.rows_max = (uint32_t)command_integer(state, "rows", argument, 1, LINES_MAX);
    else if (key == KEY_AFTER)
        out->query.after = (uint64_t)command_integer(state, "after", argument, 0, INT64_MAX);
    else if (key == KEY_WHO)
        out->query.who = text_of(argument);
    else if (key == KEY_ACTION)
        out->query.action = text_of(argument);
    else if (key == KEY_FROM)
        out->query.from_us = command_time_us(state, "from", argument);
    else if (key == KEY_TO)
        out->query.to_us = command_time_us(state, "to", argument);
    else if (key == KEY_HEAD)
        head_parse(state, &out->known, argument);
    else if (key == ARGP_KEY_ARG)
        word_parse(state, out, argument);
    else if (key == ARGP_KEY_END && !out->path)
        argp_error(state, "list or verify, and the LEDGER's folder, are needed");
    else if (key != ARGP_KEY_END)
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static void pair_print(const char *name, const char *value)
{
    printf(",\"%s\":", name);
    text_json_print(stdout, text_of(value));
}

static bool line_print(void *context, const struct ledger_audit *line)
{
    const struct auditing *auditing = context;
    char hash[HASH_DIGITS + 1], time[32];
    if (auditing->as_json) {
        secret_to_hex(hash, line->hash, sizeof line->hash);
        printf("{\"entry\":%" PRIu64 ",\"time\":%" PRId64 ",\"sequence\":%" PRIu64, line->entry, line->now_us, line->sequence);
        pair_print("who", line->who);
        pair_print("action", line->action);
        pair_print("object", line->object);
        pair_print("before", line->before);
        pair_print("after", line->after);
        pair_print("hash", hash);
        puts("}");
        return true;
    }
    show_time(time, sizeof time, line->now_us);
    printf("%6" PRIu64 "  %s  %-24s %-14s %-28s %s%s%s\n", line->entry, time, line->who, line->action, line->object, line->before,
           line->before[0] ? " -> " : "", line->after);
    return true;
}

static enum fault verify(const struct auditing *auditing, struct ledger *ledger, struct fault_note *note)
{
    struct ledger_audit_head head;
    char hash[HASH_DIGITS + 1];
    enum fault fault = ledger_sqlite.audit->verify(ledger, &head, auditing->known.entry ? &auditing->known : NULL, note);
    secret_to_hex(hash, head.hash, sizeof head.hash);
    if (fault == FAULT_NONE && auditing->as_json)
        printf("{\"verified\":%" PRIu64 ",\"head\":\"%s\"}\n", head.entry, hash);
    else if (fault == FAULT_NONE)
        printf("verified: %" PRIu64 " entr%s\n%" PRIu64 ":%s\n", head.entry, head.entry == 1 ? "y" : "ies", head.entry, hash);
    return fault;
}

int command_audit(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .args_doc = "list LEDGER\nverify LEDGER",
        .doc = "Show the audit log in the folder LEDGER, or check that nothing of it was changed. A server may have the ledger open."
               "\vKeep what verify prints last, and give it to --head later: so what was cut off or written anew since then shows."
               "\nExit status: 0 shown or as it was written, 2 refused or not as it was written.",
    };
    struct auditing auditing = {.query.rows_max = LINES_MAX};
    struct ledger *ledger = NULL;
    struct fault_note note = {.row = ROW_NONE};
    argp_parse(&argp, argc, argv, 0, NULL, &auditing);
    const struct ledger_options with = {.folder = auditing.path, .reads_only = true};
    if (ledger_sqlite.open(&ledger, &with, &note) != FAULT_NONE) /* which names the folder */
        return command_fail(COMMAND_REFUSED, "audit", "%s", note.text);
    enum fault fault = strcmp(auditing.verb, "list") == 0 ? ledger_sqlite.audit->list(ledger, &auditing.query, line_print, &auditing, &note)
                                                          : verify(&auditing, ledger, &note);
    ledger_sqlite.close(&ledger);
    return fault == FAULT_NONE ? COMMAND_DONE : command_fail(COMMAND_REFUSED, "audit", "%s: %s", auditing.path, note.text);
}
