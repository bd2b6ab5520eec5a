/* The table of subcommands. A command gets its own arguments with argv[0] = "sluice NAME". */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/command.h"

static const struct entry {
    const char *name, *meaning;
    int (*run)(int argc, char **argv);
} entries[] = {
    {"serve", "run the server", command_serve},
    {"token", "make a token for a tenant, and what the configuration keeps of it", command_token},
    {"submit", "screen the transfers of a file and show the verdicts", command_submit},
    {"import", "hand over past transfers and their labels", command_import},
    {"observe", "hand over what is known beside the transfers: devices, contacts, attributes", command_observe},
    {"label", "confirm transfers as good or as a scene", command_label},
    {"list", "block, restrict or allow accounts, devices and addresses", command_list},
    {"case", "show the cases that abnormal results opened", command_case},
    {"release", "send what passed of a batch on as its second batch", command_release},
    {"cancel", "give up a batch that was not released", command_cancel},
    {"consolidate", "ask whether a second batch may be executed", command_consolidate},
    {"report", "tell that a second batch was executed, or failed", command_report},
    {"status", "tell how far a batch is", command_status},
    {"query", "find recorded transfers", command_query},
    {"explain", "tell why a recorded transfer got its verdict", command_explain},
    {"connect", "show what leaves for other systems, and send dead letters again", command_connect},
    {"health", "ask whether a server is well", command_health},
    {"stats", "show a server's counters", command_stats},
    {"synth", "make labelled transfers", command_synth},
    {"build", "build a scene base from labelled transfers", command_build},
    {"eval", "measure a scene base on labelled transfers", command_eval},
    {"replay", "verify what a ledger recorded, or try another base on it", command_replay},
    {"inspect", "show a scene base, a message or a ledger", command_inspect},
    {"audit", "show who changed what, or check that nothing of it was altered", command_audit},
    {"bench", "load a server and measure it", command_bench},
    {"base", "put, list, activate and sign scene bases of a running server", command_base},
    {"devices", "show what can score here, and how fast", command_devices},
    {"tune", "fit the OpenCL kernel to a device", command_tune},
    {"check-profile", "check a tenant's profile, and try it on rows", command_check_profile},
    {"template", "check a template of fill logic, and try it on rows", command_template},
};
enum { ENTRY_COUNT = sizeof entries / sizeof *entries };

static const struct entry *entry_find(const char *name)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (strcmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}

/* What was printed has gone out, or the status tells. */
static int output_end(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "sluice: cannot write standard output: %s\n", strerror(errno));
    return status == COMMAND_UNREACHABLE ? status : COMMAND_REFUSED;
}

static int usage_print(FILE *to)
{
    fprintf(to, "Usage: sluice COMMAND [ARGUMENT...]\n"
                "Screen batches of transfers for risk: one verdict per transfer.\n\n");
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        fprintf(to, "  %-9s %s\n", entries[i].name, entries[i].meaning);
    fprintf(to, "\n`sluice help COMMAND` tells its options; `man sluice` tells the rest.\n");
    return to == stdout ? output_end(COMMAND_DONE) : COMMAND_REFUSED;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to insert, drop or change, and neighbours to swap, from a to b; both below 32 letters. */
static size_t letters_apart(const char *a, const char *b)
{
    enum { LETTERS_MAX = 32 };
    size_t a_length = strlen(a), b_length = strlen(b), d[LETTERS_MAX][LETTERS_MAX];
    if (a_length >= LETTERS_MAX || b_length >= LETTERS_MAX)
        return LETTERS_MAX;
    for (size_t i = 0; i <= a_length; i++)
        for (size_t j = 0; j <= b_length; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] = least_of(least_of(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least_of(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[a_length][b_length];
}

static int unknown_print(const char *name)
{
    const struct entry *nearest = entries;
    for (size_t i = 1; i < ENTRY_COUNT; i++)
        if (letters_apart(name, entries[i].name) < letters_apart(name, nearest->name))
            nearest = &entries[i];
    fprintf(stderr, "sluice: no command '%s'", name);
    if (letters_apart(name, nearest->name) <= 2)
        fprintf(stderr, "; did you mean '%s'?", nearest->name);
    fprintf(stderr, "\n`sluice --help` lists the commands.\n");
    return COMMAND_REFUSED;
}

static int entry_run(const struct entry *entry, int argc, char **argv)
{
    static char name[64];
    snprintf(name, sizeof name, "sluice %s", entry->name);
    argv[0] = name;
    return output_end(entry->run(argc, argv));
}

static int help_run(int argc, char **argv)
{
    char help[] = "--help", *arguments[] = {argv[0], help, NULL};
    if (argc < 2)
        return usage_print(stdout);
    const struct entry *entry = entry_find(argv[1]);
    return entry ? entry_run(entry, 2, arguments) : unknown_print(argv[1]);
}

int main(int argc, char **argv)
{
    command_begin();
    argp_err_exit_status = COMMAND_REFUSED;
    argp_program_version = "sluice " SLUICE_VERSION;
    if (argc < 2)
        return usage_print(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return usage_print(stdout);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return printf("%s\n", argp_program_version) < 0;
    if (strcmp(argv[1], "help") == 0)
        return help_run(argc - 1, argv + 1);
    const struct entry *entry = entry_find(argv[1]);
    return entry ? entry_run(entry, argc - 1, argv + 1) : unknown_print(argv[1]);
}
