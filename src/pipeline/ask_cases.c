/* case.list and case.show: what abnormal results opened, and the transfers of one case, page by page. */
#include "pipeline/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/pack.h"

enum { CASES_DEFAULT = 1000, CASES_MAX = 10000, CASES_BYTES_MAX = 1 << 20, CASE_PAIRS = 7, TRANSFER_PAIRS = 5, NUMBER_BYTES = 24 };

struct cases {
    struct wire_buffer rows, head; /* head: of case.show, the case itself */
    uint32_t count, count_max;
    char cursor[2 * NUMBER_BYTES];
    bool full;
};

/* A number of decimal digits at the text's begin, what stands behind it; false: there is none, or it is too large. */
static bool number_read(uint64_t *out, struct text *text)
{
    uint64_t number = 0;
    uint32_t digits = 0;
    for (; digits < text->bytes && text->data[digits] >= '0' && text->data[digits] <= '9'; digits++) {
        if (digits == 18)
            return false;
        number = 10 * number + (uint64_t)(text->data[digits] - '0');
    }
    *out = number;
    *text = (struct text){.data = text->data + digits, .bytes = text->bytes - digits};
    return digits > 0;
}

static bool number_is(uint64_t *out, struct text text)
{
    return number_read(out, &text) && text.bytes == 0 && *out > 0;
}

static void page_count(struct cases *page)
{
    page->full = ++page->count == page->count_max || page->rows.bytes >= CASES_BYTES_MAX;
}

static void case_write(struct wire_buffer *out, const struct ledger_case *one)
{
    char entry[NUMBER_BYTES];
    snprintf(entry, sizeof entry, "%" PRIu64, one->entry);
    wire_pack_map(out, CASE_PAIRS);
    pack_key_text(out, "entry", entry);
    pack_key_str(out, "account", one->account);
    pack_key_str(out, "scene", one->scene);
    pack_key_text(out, "level", level_names_of_risk[one->level]);
    pack_key_i64(out, "transfers", (int64_t)one->transfers);
    pack_key_i64(out, "opened", one->opened_us);
    pack_key_i64(out, "last", one->last_us);
}

static bool case_pack(void *context, const struct ledger_case *one)
{
    struct cases *page = context;
    case_write(&page->rows, one);
    page_count(page);
    if (page->full)
        snprintf(page->cursor, sizeof page->cursor, "%" PRIu64, one->entry);
    return !page->full && !page->rows.failed;
}

static bool head_pack(void *context, const struct ledger_case *one)
{
    struct cases *page = context;
    case_write(&page->head, one);
    return false;
}

static bool transfer_pack(void *context, const struct ledger_case_transfer *one)
{
    struct cases *page = context;
    struct wire_buffer *out = &page->rows;
    wire_pack_map(out, TRANSFER_PAIRS);
    pack_key_str(out, "transfer_id", one->transfer);
    pack_key_text(out, "verdict", verdict_names[one->verdict]);
    pack_key_text(out, "level", level_names_of_risk[one->level]);
    pack_key_i64(out, "sequence", (int64_t)one->sequence);
    pack_key_i64(out, "row", one->row);
    page_count(page);
    if (page->full)
        snprintf(page->cursor, sizeof page->cursor, "%" PRIu64 ":%u", one->sequence, one->row);
    return !page->full && !out->failed;
}

static enum fault rows_read(struct cases *out, const struct job *job, struct fault_note *note)
{
    int64_t most = job->request.rows_max;
    if (most < 0 || most > CASES_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "rows_max is 1 to %d", CASES_MAX);
    out->count_max = most ? (uint32_t)most : CASES_DEFAULT;
    return FAULT_NONE;
}

static enum fault cursor_refuse(struct fault_note *note)
{
    return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "cursor is not one that this server gave");
}

static enum fault cases_list(struct cases *page, struct job *job)
{
    const struct request *request = &job->request;
    struct ledger_case_query query = {.tenant = request->tenant, .account = request->account, .rows_max = page->count_max};
    if (request->cursor.bytes && !number_is(&query.below, request->cursor))
        return cursor_refuse(&job->note);
    return job->pipeline->ledger_ops->cases->list(job->pipeline->ledger, &query, case_pack, page, &job->note);
}

static enum fault cases_show(struct cases *page, struct job *job)
{
    const struct ledger_case_ops *ops = job->pipeline->ledger_ops->cases;
    struct ledger_case_query query = {.tenant = job->request.tenant, .rows_max = 1};
    struct text cursor = job->request.cursor;
    uint64_t sequence = 0, row = 0;
    bool continues = cursor.bytes > 0;
    if (!number_is(&query.entry, job->request.entry))
        return fault_set(&job->note, FAULT_schema, ROW_NONE, COLUMN_NONE, "entry is the number of a case, as case.list tells it");
    if (continues) {
        bool begins = number_read(&sequence, &cursor) && cursor.bytes > 1 && cursor.data[0] == ':';
        cursor = begins ? (struct text){.data = cursor.data + 1, .bytes = cursor.bytes - 1} : cursor;
        if (!begins || !number_read(&row, &cursor) || cursor.bytes > 0)
            return cursor_refuse(&job->note);
    }
    enum fault fault = ops->list(job->pipeline->ledger, &query, head_pack, page, &job->note);
    if (fault == FAULT_NONE && page->head.bytes == 0 && !page->head.failed)
        fault = fault_set(&job->note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "this tenant has no case %" PRIu64, query.entry);
    return fault != FAULT_NONE ? fault
                               : ops->transfers(job->pipeline->ledger, query.entry, sequence, continues ? (int64_t)row : -1,
                                                page->count_max, transfer_pack, page, &job->note);
}

void answer_cases(struct job *job)
{
    bool shows = job->request.op == OP_case_show;
    struct cases page = {0};
    struct wire_buffer *out = &job->reply;
    if (rows_read(&page, job, &job->note) == FAULT_NONE && (shows ? cases_show : cases_list)(&page, job) == FAULT_NONE) {
        wire_pack_map(out, shows ? 6 : 5);
        pack_key_i64(out, "v", 1);
        pack_key_str(out, "id", job->request.id);
        pack_key_text(out, "status", "ok");
        pack_key_text(out, "cursor", page.full ? page.cursor : "");
        if (shows) {
            wire_pack_text(out, "case");
            buffer_append(out, page.head.data, page.head.bytes);
        }
        wire_pack_text(out, shows ? "transfers" : "cases");
        wire_pack_array(out, page.count);
        buffer_append(out, page.rows.data, page.rows.bytes);
        out->failed |= page.rows.failed | page.head.failed;
    }
    wire_buffer_fini(&page.rows);
    wire_buffer_fini(&page.head);
}
