/* A profile and rows, with a line === between them: any bytes give a profile or a fault with a text; rows go its whole way within
 * the memory that it asks for, and nothing is left behind. */
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "intake/intake.h"
#include "intake/profile.h"
#include "pipeline/config.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ROWS_MAX = 100 };

static void columns_read(const struct batch *batch)
{
    uint64_t hashes[ROWS_MAX];
    for (uint32_t i = 0; i < BATCH_COLUMNS_MAX; i++) {
        const struct column *column = i < COLUMN_COUNT ? &batch->columns[i] : &batch->others[i - COLUMN_COUNT];
        if (i >= COLUMN_COUNT + batch->other_count || column->form == FORM_ABSENT)
            continue;
        MUST(column->name.data && column->name.bytes);
        for (uint32_t row = 0; row < batch->row_count && column->form >= FORM_DICT8; row++)
            MUST(!column_is_valid(column, row) || column_code(column, row) < column->value_count);
        if (column->form >= FORM_STR)
            column_hashes(column, batch->row_count, 1, hashes, NULL);
    }
    for (uint32_t i = 0; i < batch->note_count; i++)
        MUST(batch->notes[i].row < batch->row_count && batch->notes[i].text[0]);
}

static void rows_go(struct batch *batch, struct profile *profile, const struct batch_limits *limits)
{
    static const struct intake_rules plain = {.currencies = {.count = 2, .rates = {{"EUR", 1ull << 32}, {"JPY", 1ull << 25}}}};
    struct intake_rules rules = plain;
    struct fault_note note = {0};
    const struct profile *chosen;
    rules.limits = *limits;
    rules.profile = profile;
    batch->op = OP_screen;
    enum fault fault = batch_take_checks(batch, limits->notes_max, &note);
    MUST(profile_choose(&chosen, &profile, 1, batch, &note) == FAULT_NONE || note.text[0]);
    if (fault == FAULT_NONE)
        fault = profile_take(batch, profile, &kernels_ref, &note);
    if (fault == FAULT_NONE)
        fault = intake_check(batch, &rules, &note);
    if (fault == FAULT_NONE)
        fault = profile_finish(batch, profile, &kernels_ref, &note);
    if (fault == FAULT_NONE)
        fault = intake_check_made(batch, &rules, &note);
    if (fault == FAULT_NONE)
        fault = intake_fill(batch, &rules, &note);
    MUST(!arena_overflowed(&batch->arena));
    MUST(fault == FAULT_NONE || (note.text[0] && (fault == FAULT_schema || fault == FAULT_limit)));
    columns_read(batch);
}

static void rows_read(struct profile *profile, const uint8_t *rows, size_t bytes)
{
    struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    struct csv_reader *reader;
    struct batch batch = {0};
    struct fault_note note = {0};
    limits.notes_max = 50;
    if (csv_open_bytes(&reader, rows, bytes, &limits, &note) != FAULT_NONE)
        return;
    MUST(batch_init(&batch, batch_arena_bytes(&limits, ROWS_MAX, bytes) + profile_arena_bytes(profile, ROWS_MAX), &note) == FAULT_NONE);
    if (csv_read(reader, &batch, ROWS_MAX, &note) == FAULT_NONE && batch.row_count > 0)
        rows_go(&batch, profile, &limits);
    batch_fini(&batch);
    csv_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char cut[] = "\n===\n";
    struct profile *profile;
    struct fault_note note = {0};
    uint64_t live = memory_live_count();
    size_t end = 0;
    while (end + sizeof cut - 1 < bytes && memcmp(data + end, cut, sizeof cut - 1) != 0)
        end++;
    bool has_rows = end + sizeof cut - 1 < bytes;
    enum fault fault = config_profile_text(&profile, "f", (const char *)data, has_rows ? end : bytes, &note);
    MUST((fault == FAULT_NONE) == (profile != NULL) && (fault == FAULT_NONE || note.text[0]));
    if (profile && has_rows)
        rows_read(profile, data + end + sizeof cut - 1, bytes - end - (sizeof cut - 1));
    profile_close(&profile);
    MUST(memory_live_count() == live);
    return 0;
}
