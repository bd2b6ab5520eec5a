/* Cases: abnormal rows of a screening, grouped by payer and scene, in the screening's own transaction. A batch's rows of one group are
 * looked up and counted once, as long as few groups are mixed; what a batch without abnormal rows costs is a walk over its flags. */
#include <string.h>

#include "base/must.h"
#include "ledger/sqlite.h"

enum { GROUPS = 64 }; /* of one batch at once; a further one takes the place of another, which is found again in the index */

struct group {
    struct text account, scene;
    int64_t entry; /* 0: this place is free */
    uint32_t count;
    uint8_t level;
};

struct grouping {
    struct connection *writer;
    const struct ledger_entry *entry;
    int64_t tenant;
    struct group groups[GROUPS];
};

static struct text scene_of(const struct ledger_entry *entry, uint32_t row)
{
    uint8_t code = entry->batch->results.scene[row];
    return code > 0 && entry->scenes && code < entry->scene_count ? text_of(entry->scenes[code]) : text_of("");
}

static struct text cell(const struct batch *batch, enum column_id id, uint32_t row)
{
    const struct column *column = &batch->columns[id];
    return column_is_valid(column, row) ? column_text(column, row) : text_of("");
}

static enum fault group_grow(struct grouping *grouping, struct group *group, struct fault_note *note)
{
    if (group->count == 0)
        return FAULT_NONE;
    sqlite3_stmt *statement = statement_take(grouping->writer, STATEMENT_case_grow);
    sqlite3_bind_int64(statement, 1, group->entry);
    sqlite3_bind_int(statement, 2, group->level);
    sqlite3_bind_int64(statement, 3, group->count);
    sqlite3_bind_int64(statement, 4, grouping->entry->batch->now_us);
    group->count = 0;
    return statement_run(grouping->writer, statement, "record how a case grew", note);
}

/* The case that the group's rows join, or a new one. */
static enum fault group_find(struct grouping *grouping, struct group *group, struct fault_note *note)
{
    int64_t now_us = grouping->entry->batch->now_us;
    sqlite3_stmt *statement = statement_take(grouping->writer, STATEMENT_case_find);
    sqlite3_bind_int64(statement, 1, grouping->tenant);
    statement_bind_text(statement, 2, group->account);
    statement_bind_text(statement, 3, group->scene);
    sqlite3_bind_int64(statement, 4, now_us - grouping->entry->case_window_us);
    enum fault fault = statement_integer(grouping->writer, statement, &group->entry, "look up a case", note);
    if (fault != FAULT_not_found)
        return fault;
    statement = statement_take(grouping->writer, STATEMENT_case_put);
    sqlite3_bind_int64(statement, 1, grouping->tenant);
    statement_bind_text(statement, 2, group->account);
    statement_bind_text(statement, 3, group->scene);
    sqlite3_bind_int64(statement, 4, now_us);
    return statement_integer(grouping->writer, statement, &group->entry, "open a case", note);
}

static enum fault group_take(struct grouping *grouping, struct group **out, uint32_t row, struct fault_note *note)
{
    struct text account = cell(grouping->entry->batch, COLUMN_payer_id, row), scene = scene_of(grouping->entry, row);
    struct group *group = &grouping->groups[hash64(hash64(0, scene.data, scene.bytes), account.data, account.bytes) % GROUPS];
    *out = group;
    if (group->entry && text_equal(group->account, account) && text_equal(group->scene, scene))
        return FAULT_NONE;
    enum fault fault = group_grow(grouping, group, note);
    *group = (struct group){.account = account, .scene = scene};
    return fault == FAULT_NONE ? group_find(grouping, group, note) : fault;
}

static enum fault row_add(struct grouping *grouping, uint32_t row, struct fault_note *note)
{
    struct group *group;
    const struct batch *batch = grouping->entry->batch;
    enum fault fault = group_take(grouping, &group, row, note);
    if (fault != FAULT_NONE)
        return fault;
    group->count++;
    if (batch->results.level[row] > group->level)
        group->level = batch->results.level[row];
    sqlite3_stmt *statement = statement_take(grouping->writer, STATEMENT_case_transfer_put);
    sqlite3_bind_int64(statement, 1, group->entry);
    sqlite3_bind_int64(statement, 2, (int64_t)batch->sequence);
    sqlite3_bind_int64(statement, 3, row);
    statement_bind_text(statement, 4, cell(batch, COLUMN_transfer_id, row));
    sqlite3_bind_int(statement, 5, batch->results.level[row]);
    sqlite3_bind_int(statement, 6, batch->results.verdict[row]);
    return statement_run(grouping->writer, statement, "record a transfer of a case", note);
}

enum fault cases_insert(struct connection *writer, const struct ledger_entry *entry, int64_t tenant, struct fault_note *note)
{
    const struct batch *batch = entry->batch;
    struct grouping grouping = {.writer = writer, .entry = entry, .tenant = tenant};
    enum fault fault = FAULT_NONE;
    if (batch->op != OP_screen || entry->case_window_us <= 0 || !batch->facts.flags || !batch->results.verdict)
        return FAULT_NONE;
    for (uint32_t row = 0; row < batch->row_count && fault == FAULT_NONE; row++)
        if (batch->facts.flags[row] & FLAG_ABNORMAL)
            fault = row_add(&grouping, row, note);
    for (uint32_t i = 0; i < GROUPS && fault == FAULT_NONE; i++)
        fault = group_grow(&grouping, &grouping.groups[i], note);
    return fault;
}

/* --- questions ---------------------------------------------------------------------------------------------------------- */

static struct text text_at(sqlite3_stmt *statement, int column)
{
    return (struct text){.data = (const char *)sqlite3_column_text(statement, column),
                         .bytes = (uint32_t)sqlite3_column_bytes(statement, column)};
}

static bool case_of(struct ledger_case *out, sqlite3_stmt *statement)
{
    int level = sqlite3_column_int(statement, 3);
    *out = (struct ledger_case){.entry = (uint64_t)sqlite3_column_int64(statement, 0),
                                .account = text_at(statement, 1),
                                .scene = text_at(statement, 2),
                                .level = (enum level)level,
                                .transfers = (uint64_t)sqlite3_column_int64(statement, 4),
                                .opened_us = sqlite3_column_int64(statement, 5),
                                .last_us = sqlite3_column_int64(statement, 6)};
    return level >= 0 && level < LEVEL_COUNT;
}

static bool transfer_of(struct ledger_case_transfer *out, sqlite3_stmt *statement)
{
    int level = sqlite3_column_int(statement, 3), verdict = sqlite3_column_int(statement, 4);
    *out = (struct ledger_case_transfer){.sequence = (uint64_t)sqlite3_column_int64(statement, 0),
                                         .row = (uint32_t)sqlite3_column_int64(statement, 1),
                                         .transfer = text_at(statement, 2),
                                         .level = (enum level)level,
                                         .verdict = (uint8_t)verdict};
    return level >= 0 && level < LEVEL_COUNT && verdict >= 0 && verdict < VERDICT_COUNT;
}

static enum fault read_end(struct reader *reader, sqlite3_stmt *statement, int code, struct fault_note *note)
{
    enum fault fault =
        code == SQLITE_DONE || code == SQLITE_ROW ? FAULT_NONE : connection_fault(&reader->connection, code, "read the cases", note);
    sqlite3_reset(statement);
    return fault;
}

static enum fault case_list(struct ledger *ledger, const struct ledger_case_query *query, ledger_case_fn *each, void *context,
                            struct fault_note *note)
{
    struct ledger_case one;
    int64_t tenant;
    MUST(ledger->magic == LEDGER_MAGIC);
    struct reader *reader = reader_take(ledger);
    enum fault fault = tenant_find(&reader->connection, &tenant, query->tenant, note);
    if (fault == FAULT_NONE) {
        bool narrows = query->account.bytes > 0;
        sqlite3_stmt *statement = statement_take(&reader->connection, narrows ? STATEMENT_case_list_account : STATEMENT_case_list);
        int code;
        sqlite3_bind_int64(statement, 1, tenant);
        sqlite3_bind_int64(statement, 2, query->below ? (int64_t)query->below : INT64_MAX);
        sqlite3_bind_int64(statement, 3, (int64_t)query->entry);
        sqlite3_bind_int64(statement, 4, query->rows_max);
        if (narrows)
            statement_bind_text(statement, 5, query->account);
        while ((code = sqlite3_step(statement)) == SQLITE_ROW && case_of(&one, statement) && each(context, &one))
            ;
        fault = read_end(reader, statement, code, note);
    }
    reader_give(ledger, reader);
    if (fault == FAULT_not_found) /* nothing was recorded of that tenant yet */
        *note = (struct fault_note){.row = ROW_NONE, .column = COLUMN_NONE}, fault = FAULT_NONE;
    return fault;
}

static enum fault case_transfers(struct ledger *ledger, uint64_t entry, uint64_t after_sequence, int64_t after_row, uint32_t rows_max,
                                 ledger_case_transfer_fn *each, void *context, struct fault_note *note)
{
    struct ledger_case_transfer one;
    int code;
    MUST(ledger->magic == LEDGER_MAGIC);
    struct reader *reader = reader_take(ledger);
    sqlite3_stmt *statement = statement_take(&reader->connection, STATEMENT_case_transfers);
    sqlite3_bind_int64(statement, 1, (int64_t)entry);
    sqlite3_bind_int64(statement, 2, (int64_t)after_sequence);
    sqlite3_bind_int64(statement, 3, after_row);
    sqlite3_bind_int64(statement, 4, rows_max);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && transfer_of(&one, statement) && each(context, &one))
        ;
    enum fault fault = read_end(reader, statement, code, note);
    reader_give(ledger, reader);
    return fault;
}

const struct ledger_case_ops sqlite_case_ops = {.list = case_list, .transfers = case_transfers};
