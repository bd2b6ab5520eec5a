/* list.list: what is on a tenant's lists, page by page. */
#include "pipeline/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/pack.h"

enum { ENTRIES_DEFAULT = 1000, ENTRIES_MAX = 10000, PAGE_BYTES_MAX = 1 << 20, ENTRY_PAIRS = 6, CURSOR_BYTES = 200 };

struct listing {
    struct wire_buffer entries;
    uint32_t count, count_max;
    char cursor[CURSOR_BYTES];
    bool full;
};

static int list_named(struct text name)
{
    for (int i = 0; i < LIST_COUNT; i++)
        if (text_equal(name, text_of(list_names[i])))
            return i;
    return -1;
}

/* "list:kind:value" of the last one told. */
static bool cursor_read(struct ledger_list_query *out, struct text cursor)
{
    if (cursor.bytes == 0)
        return true;
    if (cursor.bytes < 4 || cursor.data[1] != ':' || cursor.data[3] != ':')
        return false;
    out->after_list = cursor.data[0] - '0';
    out->after_kind = cursor.data[2] - '0';
    out->after_value = (struct text){.data = cursor.data + 4, .bytes = cursor.bytes - 4};
    return out->after_list >= 0 && out->after_list < LIST_COUNT && out->after_kind >= 0 && out->after_kind < LISTED_COUNT;
}

static enum fault query_read(struct ledger_list_query *out, const struct job *job, struct fault_note *note)
{
    const struct request *request = &job->request;
    *out = (struct ledger_list_query){.tenant = request->tenant,
                                      .list = list_named(request->list),
                                      .value = request->account,
                                      .after_list = -1,
                                      .after_value = text_of("")};
    if (request->list.bytes && out->list < 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "list is block, restrict or allow");
    if (request->rows_max < 0 || request->rows_max > ENTRIES_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "rows_max is 1 to %d", ENTRIES_MAX);
    out->rows_max = request->rows_max ? (uint32_t)request->rows_max : ENTRIES_DEFAULT;
    if (!cursor_read(out, request->cursor))
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "cursor is not one that this server gave");
    return FAULT_NONE;
}

static bool entry_pack(void *context, const struct ledger_listed *entry)
{
    struct listing *listing = context;
    struct wire_buffer *out = &listing->entries;
    wire_pack_map(out, ENTRY_PAIRS);
    pack_key_text(out, "list", list_names[entry->list]);
    pack_key_text(out, "kind", listed_names[entry->kind]);
    pack_key_str(out, "value", entry->value);
    wire_pack_text(out, "until");
    entry->until_us ? wire_pack_i64(out, entry->until_us) : wire_pack_nil(out);
    pack_key_i64(out, "sequence", (int64_t)entry->sequence);
    pack_key_str(out, "memo", entry->memo);
    listing->full = ++listing->count == listing->count_max || out->bytes >= PAGE_BYTES_MAX;
    if (listing->full)
        snprintf(listing->cursor, sizeof listing->cursor, "%d:%d:%.*s", (int)entry->list, (int)entry->kind, (int)entry->value.bytes,
                 entry->value.data);
    return !listing->full && !out->failed;
}

void answer_lists(struct job *job)
{
    struct pipeline *pipeline = job->pipeline;
    struct ledger_list_query query;
    if (query_read(&query, job, &job->note) != FAULT_NONE)
        return;
    struct listing listing = {.count_max = query.rows_max};
    struct wire_buffer *out = &job->reply;
    if (pipeline->ledger_ops->listed(pipeline->ledger, &query, entry_pack, &listing, &job->note) == FAULT_NONE) {
        wire_pack_map(out, 5);
        pack_key_i64(out, "v", 1);
        pack_key_str(out, "id", job->request.id);
        pack_key_text(out, "status", "ok");
        pack_key_text(out, "cursor", listing.full ? listing.cursor : "");
        wire_pack_text(out, "entries");
        wire_pack_array(out, listing.count);
        buffer_append(out, listing.entries.data, listing.entries.bytes);
        out->failed |= listing.entries.failed;
    }
    wire_buffer_fini(&listing.entries);
}
