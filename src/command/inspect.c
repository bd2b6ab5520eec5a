/* `sluice inspect`: what a file of ours holds: a scene base, a message of the protocol, a ledger's folder. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "command/command.h"
#include "command/show.h"
#include "command/verdicts.h"
#include "ledger/ledger.h"
#include "scene/scene_base.h"

enum { SAFETENSORS_LEAD = 8, BATCHES_DEFAULT = 20, KEY_SEAL = 0x800 };

struct inspection {
    const char *path;
    bool as_json, verifies, seal;
    uint32_t head;
    uint64_t frames, frame_rows, bases, batches, rows, verdicts[VERDICT_COUNT];
    struct fault_note base_note; /* what is wrong with a base that was put */
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "As JSON", 1},
    {"head", 'n', "N", 0, "Of a ledger: show the newest N batches (default 20)", 1},
    {"verify", 'v', NULL, 0, "Of a ledger: read every batch whose rows are kept and every base that was put, and check them", 1},
    {"seal", KEY_SEAL, NULL, 0, "Of a scene base written by other hands: verify all of it, then put its checksum in", 1},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct inspection *out = state->input;
    switch (key) {
    case 'j':
        out->as_json = true;
        return 0;
    case 'v':
        out->verifies = true;
        return 0;
    case 'n':
        out->head = (uint32_t)command_integer(state, "head", argument, 0, INT32_MAX);
        return 0;
    case KEY_SEAL:
        out->seal = true;
        return 0;
    case ARGP_KEY_ARG:
        if (out->path)
            argp_error(state, "one FILE, not '%s' as well", argument);
        out->path = argument;
        return 0;
    case ARGP_KEY_END:
        if (!out->path)
            argp_error(state, "no FILE given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int refuse(const struct inspection *inspection, const struct fault_note *note)
{
    return command_fail(COMMAND_REFUSED, "inspect", "%s: %s", inspection->path, note->text);
}

/* --- ledger ------------------------------------------------------------------------------------------------------- */

static void batch_print(const struct inspection *inspection, const struct ledger_batch *batch)
{
    if (inspection->as_json) {
        printf("{\"sequence\":%" PRIu64 ",\"op\":\"%s\",\"tenant\":", batch->sequence, op_names[batch->op]);
        text_json_print(stdout, text_of(batch->tenant));
        printf(",\"batch\":");
        text_json_print(stdout, text_of(batch->name));
        printf(",\"time\":%" PRId64 ",\"rows\":%" PRIu32, batch->now_us, batch->row_count);
        for (int i = 0; i < VERDICT_COUNT; i++)
            printf(",\"%s\":%" PRIu32, verdict_names[i], batch->verdict_counts[i]);
        puts("}");
        return;
    }
    char time[32];
    show_time(time, sizeof time, batch->now_us);
    printf("%10" PRIu64 "  %-8s %-16s %-34s %s %8" PRIu32, batch->sequence, op_names[batch->op], batch->tenant, batch->name, time,
           batch->row_count);
    for (int i = 0; i < VERDICT_COUNT; i++)
        printf(" %8" PRIu32, batch->verdict_counts[i]);
    putchar('\n');
}

static bool batch_count(void *context, const struct ledger_batch *batch)
{
    struct inspection *inspection = context;
    if (inspection->batches++ < inspection->head)
        batch_print(inspection, batch);
    inspection->rows += batch->row_count;
    for (int i = 0; i < VERDICT_COUNT; i++)
        inspection->verdicts[i] += batch->verdict_counts[i];
    return true;
}

static enum fault frame_count(void *context, struct batch *batch, struct fault_note *note)
{
    struct inspection *inspection = context;
    (void)note;
    inspection->frames++;
    inspection->frame_rows += batch->row_count;
    return FAULT_NONE;
}

/* The file that the ledger keeps of a base is whole, and reads as one. */
static bool base_check(void *context, const struct ledger_base_change *put)
{
    struct inspection *inspection = context;
    struct scene_base *base = NULL;
    char hex[33], path[PATH_MAX], *bytes = NULL;
    size_t byte_count;
    struct fault_note why = {0};
    digest_to_hex(hex, put->digest);
    snprintf(path, sizeof path, "%s/bases/%s.safetensors", inspection->path, hex);
    enum fault fault = file_read_all(&bytes, &byte_count, path, SCENE_BASE_BYTES_MAX, &why);
    if (fault == FAULT_NONE && !digest_equal(hash128(0, bytes, byte_count), put->digest))
        fault = fault_set(&why, FAULT_model, ROW_NONE, COLUMN_NONE, "its bytes are not of that digest");
    if (fault == FAULT_NONE)
        fault = scene_base_read(&base, (const unsigned char *)bytes, byte_count, &why);
    if (fault != FAULT_NONE)
        fault_set(&inspection->base_note, fault, ROW_NONE, COLUMN_NONE, "scene base %s: %.180s", hex, why.text);
    scene_base_close(&base);
    memory_give(bytes);
    inspection->bases++;
    return fault == FAULT_NONE;
}

static enum fault ledger_verify(struct inspection *inspection, struct ledger *ledger, struct fault_note *note)
{
    uint64_t kept_from = ledger_sqlite.kept_from(ledger);
    enum fault fault = ledger_sqlite.replay(ledger, kept_from, frame_count, inspection, note);
    if (fault == FAULT_NONE)
        fault = ledger_sqlite.base_changes(ledger, true, base_check, inspection, note);
    if (fault == FAULT_NONE && inspection->base_note.fault != FAULT_NONE) {
        *note = inspection->base_note;
        fault = note->fault;
    }
    if (fault == FAULT_NONE && inspection->as_json)
        printf("{\"verified\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"kept_from\":%" PRIu64 ",\"bases\":%" PRIu64 "}\n", inspection->frames,
               inspection->frame_rows, kept_from, inspection->bases);
    else if (fault == FAULT_NONE)
        printf("verified: %" PRIu64 " batches, %" PRIu64 " rows, from batch %" PRIu64 " on; scene bases put: %" PRIu64 "\n",
               inspection->frames, inspection->frame_rows, kept_from, inspection->bases);
    return fault;
}

static int ledger_show(struct inspection *inspection)
{
    const struct ledger_options with = {.folder = inspection->path};
    const struct ledger_query all = {.verdict = -1};
    struct ledger *ledger = NULL;
    struct fault_note note = {.row = ROW_NONE};
    if (ledger_sqlite.open(&ledger, &with, &note) != FAULT_NONE)
        return refuse(inspection, &note);
    if (!inspection->as_json)
        printf("%10s  %-8s %-16s %-34s %-19s %8s %8s %8s %8s %8s\n", "sequence", "op", "tenant", "batch", "time", "rows", "pass", "hold",
               "reject", "invalid");
    enum fault fault = ledger_sqlite.batches(ledger, &all, batch_count, inspection, &note);
    if (fault == FAULT_NONE && !inspection->as_json)
        printf("\n%" PRIu64 " batches, %" PRIu64 " rows (%" PRIu64 " pass, %" PRIu64 " hold, %" PRIu64 " reject, %" PRIu64
               " invalid), last sequence %" PRIu64 ", %" PRIu64 " bytes\n",
               inspection->batches, inspection->rows, inspection->verdicts[VERDICT_PASS], inspection->verdicts[VERDICT_HOLD],
               inspection->verdicts[VERDICT_REJECT], inspection->verdicts[VERDICT_INVALID], ledger_sqlite.last_sequence(ledger),
               ledger_sqlite.disk_bytes(ledger));
    if (fault == FAULT_NONE && inspection->verifies)
        fault = ledger_verify(inspection, ledger, &note);
    ledger_sqlite.close(&ledger);
    return fault == FAULT_NONE ? COMMAND_DONE : refuse(inspection, &note);
}

/* --- files ----------------------------------------------------------------------------------------------------------- */

static int message_show(const struct inspection *inspection, const struct file_map *map)
{
    struct fault_note note = {.row = ROW_NONE};
    struct wire_value value;
    const unsigned char *at = map->data;
    if (wire_check(map->data, map->bytes, &note) != FAULT_NONE)
        return command_fail(COMMAND_REFUSED, "inspect", "%s is neither a scene base nor a message: %s", inspection->path, note.text);
    if (wire_next(&value, &at, map->data + map->bytes))
        show_json(stdout, &value, inspection->as_json ? -1 : 0);
    putchar('\n');
    return COMMAND_DONE;
}

/* A safetensors file begins with the length of its JSON header, which opens with a brace. */
static bool is_scene_base(const struct file_map *map)
{
    uint64_t header_bytes = 0;
    for (int i = SAFETENSORS_LEAD - 1; i >= 0 && map->bytes > SAFETENSORS_LEAD; i--)
        header_bytes = header_bytes << 8 | map->data[i];
    return header_bytes > 0 && header_bytes <= map->bytes - SAFETENSORS_LEAD && map->data[SAFETENSORS_LEAD] == '{';
}

static int file_show(const struct inspection *inspection)
{
    struct fault_note note = {.row = ROW_NONE};
    struct file_map map;
    if (file_map_open(&map, inspection->path, &note) != FAULT_NONE) /* which names the file */
        return command_note_fail("inspect", &note);
    int status = is_scene_base(&map) ? command_inspect_base(inspection->path, inspection->as_json) : message_show(inspection, &map);
    file_map_close(&map);
    return status;
}

int command_inspect(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = option_parse,
        .args_doc = "FILE",
        .doc = "Show what FILE holds: a scene base, a message (as `submit --save` writes it), or the folder of a ledger that no server "
               "has open.\vExit status: 0 shown, 2 refused.",
    };
    struct inspection inspection = {.head = BATCHES_DEFAULT};
    struct stat status;
    char index[PATH_MAX];
    argp_parse(&argp, argc, argv, 0, NULL, &inspection);
    if (inspection.seal)
        return command_seal_base(inspection.path);
    if (stat(inspection.path, &status) != 0 || !S_ISDIR(status.st_mode))
        return file_show(&inspection);
    snprintf(index, sizeof index, "%s/index.sqlite", inspection.path);
    if (stat(index, &status) != 0)
        return command_fail(COMMAND_REFUSED, "inspect", "%s holds no ledger", inspection.path);
    return ledger_show(&inspection);
}
