/* A reply is read once: names, tables and notes become C strings in one arena sized from the bytes that hold them; byte
 * columns stay where they lie in the message, floats too unless they are unaligned there. After that nothing is written. */
#include "client/client.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

enum {
    REPLY_MAGIC = 0x5111ce9e,
    COLUMNS_MAX = 64,
    TABLES_MAX = 32,
    TABLE_TEXTS_MAX = 65536,
    STRINGS_MAX = 64,
    NOTES_MAX = 65536,
    ARENA_BYTES_PER_BYTE = 32 /* what one byte of tables, notes and strings may become: a pointer or a note and an end mark */
};

struct reply_column {
    const char *name;
    bool is_float;
    const void *data;
};
struct reply_table {
    const char *name;
    uint32_t count;
    const char **texts;
};
struct reply_string {
    const char *key, *text;
};
struct reply_note {
    uint32_t row;
    const char *column, *text;
};
struct reply_reasons { /* rows ascending; reasons of the i-th row are first[i] to first[i + 1] */
    uint32_t row_count;
    uint32_t *first;
    const unsigned char *rows, *feature, *value, *share; /* u32, u16, f32, f32, unaligned; value, share NULL: not told */
};

struct sluice_reply {
    unsigned magic;
    nng_msg *message;
    struct wire_buffer own; /* instead of message: the library's own refusal */
    struct wire_value top;
    uint32_t row_count, column_count, table_count, string_count, note_count;
    const char *fault, *text;
    int64_t retry_after_ms;
    struct reply_column columns[COLUMNS_MAX];
    struct reply_table tables[TABLES_MAX];
    struct reply_string strings[STRINGS_MAX];
    struct reply_note *notes;
    struct reply_reasons reasons;
    struct arena arena;
};

static enum fault refuse(struct fault_note *note, const char *text)
{
    return fault_set(note, FAULT_syntax, ROW_NONE, COLUMN_NONE, "%s", text);
}

static const char *text_keep(struct sluice_reply *reply, struct text text)
{
    char *copy = arena_take(&reply->arena, (size_t)text.bytes + 1, 1);
    if (!copy)
        return "";
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    return copy;
}

static size_t value_bytes(const struct wire_value *value)
{
    return (size_t)(value->end - value->at);
}

static bool find_typed(struct wire_value *out, const struct wire_value *map, const char *key, enum wire_type type)
{
    return wire_find(out, map, key) && out->type == type;
}

/* What read_* below take, at the most. */
static size_t arena_bytes_needed(const struct wire_value *top)
{
    struct wire_value key, value;
    const unsigned char *at = top->inside;
    size_t texts = 0, blobs = 0;
    for (uint32_t i = 0; i < top->count && wire_next(&key, &at, top->end) && wire_next(&value, &at, top->end); i++) {
        if (key.type != WIRE_STR)
            continue;
        if (text_equal(key.text, text_of("columns")) || text_equal(key.text, text_of("reasons")))
            blobs += value_bytes(&value);
        else if (value.type == WIRE_STR || text_equal(key.text, text_of("tables")) || text_equal(key.text, text_of("notes")))
            texts += value_bytes(&key) + value_bytes(&value);
    }
    return ARENA_BYTES_PER_BYTE * texts + blobs + COLUMNS_MAX * 128;
}

static enum fault read_strings(struct sluice_reply *reply, struct fault_note *note)
{
    struct wire_value key, value;
    const unsigned char *at = reply->top.inside;
    for (uint32_t i = 0; i < reply->top.count && wire_next(&key, &at, reply->top.end) && wire_next(&value, &at, reply->top.end); i++) {
        if (key.type != WIRE_STR || value.type != WIRE_STR)
            continue;
        if (reply->string_count == STRINGS_MAX)
            return refuse(note, "the reply has too many texts");
        reply->strings[reply->string_count++] = (struct reply_string){text_keep(reply, key.text), text_keep(reply, value.text)};
    }
    return FAULT_NONE;
}

/* Items are texts, or maps of texts of which the one under `part` is taken. */
static enum fault read_table(struct sluice_reply *reply, const char *name, const struct wire_value *list, const char *part,
                             struct fault_note *note)
{
    struct wire_value item, inner;
    const unsigned char *at = list->inside;
    if (list->type != WIRE_ARRAY || list->count > TABLE_TEXTS_MAX || reply->table_count == TABLES_MAX)
        return refuse(note, "the reply's tables are not lists of texts");
    struct reply_table *table = &reply->tables[reply->table_count++];
    *table = (struct reply_table){.name = name};
    table->texts = arena_take(&reply->arena, sizeof(char *) * (list->count + 1), sizeof(char *));
    for (uint32_t i = 0; table->texts && i < list->count && wire_next(&item, &at, list->end); i++) {
        if (item.type == WIRE_MAP && find_typed(&inner, &item, part, WIRE_STR))
            item = inner;
        if (item.type != WIRE_STR)
            return refuse(note, "the reply's tables are not lists of texts");
        table->texts[table->count++] = text_keep(reply, item.text);
    }
    return FAULT_NONE;
}

static enum fault read_tables(struct sluice_reply *reply, struct fault_note *note)
{
    struct wire_value tables, name, list;
    enum fault fault = FAULT_NONE;
    if (!find_typed(&tables, &reply->top, "tables", WIRE_MAP))
        return FAULT_NONE;
    const unsigned char *at = tables.inside;
    for (uint32_t i = 0; i < tables.count && fault == FAULT_NONE; i++) {
        if (!wire_next(&name, &at, tables.end) || !wire_next(&list, &at, tables.end))
            return refuse(note, "the reply's tables are cut off");
        if (name.type != WIRE_STR)
            return refuse(note, "the reply's tables have no names");
        fault = read_table(reply, text_keep(reply, name.text), &list, "name", note);
        if (fault == FAULT_NONE && text_equal(name.text, text_of("countermeasure")))
            fault = read_table(reply, "countermeasure_text", &list, "text", note);
    }
    return fault;
}

static void read_note(struct sluice_reply *reply, const struct wire_value *map)
{
    struct wire_value value;
    struct reply_note *note = &reply->notes[reply->note_count++];
    *note = (struct reply_note){.row = ROW_NONE, .column = "", .text = ""};
    if (map->type != WIRE_MAP)
        return;
    if (find_typed(&value, map, "row", WIRE_INT) && value.integer >= 0 && value.integer < ROW_NONE)
        note->row = (uint32_t)value.integer;
    if (find_typed(&value, map, "column", WIRE_STR))
        note->column = text_keep(reply, value.text);
    if (find_typed(&value, map, "text", WIRE_STR))
        note->text = text_keep(reply, value.text);
}

static enum fault read_notes(struct sluice_reply *reply, struct fault_note *note)
{
    struct wire_value list, item;
    if (!find_typed(&list, &reply->top, "notes", WIRE_ARRAY) || list.count == 0)
        return FAULT_NONE;
    if (list.count > NOTES_MAX)
        return refuse(note, "the reply has too many notes");
    const unsigned char *at = list.inside;
    reply->notes = arena_take(&reply->arena, sizeof *reply->notes * list.count, 8);
    for (uint32_t i = 0; reply->notes && i < list.count && wire_next(&item, &at, list.end); i++)
        read_note(reply, &item);
    return FAULT_NONE;
}

static const void *floats_aligned(struct sluice_reply *reply, struct text data)
{
    if ((uintptr_t)data.data % sizeof(float) == 0)
        return data.data;
    void *copy = arena_take(&reply->arena, data.bytes, 64);
    return copy ? memcpy(copy, data.data, data.bytes) : NULL;
}

static enum fault read_column(struct sluice_reply *reply, const struct wire_value *name, const struct wire_value *map,
                              struct fault_note *note)
{
    struct wire_value type, data;
    if (name->type != WIRE_STR || map->type != WIRE_MAP || !find_typed(&type, map, "type", WIRE_STR) ||
        !find_typed(&data, map, "data", WIRE_BIN))
        return FAULT_NONE; /* hello's list of columns, or of a newer server: reply_bytes has it */
    bool is_float = text_equal(type.text, text_of("f32"));
    if (!is_float && !text_equal(type.text, text_of("u8")))
        return FAULT_NONE;
    if (reply->column_count == COLUMNS_MAX || data.text.bytes != (is_float ? sizeof(float) : 1) * (size_t)reply->row_count)
        return refuse(note, "a column of the reply has not as many values as the reply has rows");
    reply->columns[reply->column_count++] = (struct reply_column){
        .name = text_keep(reply, name->text),
        .is_float = is_float,
        .data = is_float ? floats_aligned(reply, data.text) : data.text.data,
    };
    return FAULT_NONE;
}

static enum fault read_columns(struct sluice_reply *reply, struct fault_note *note)
{
    struct wire_value columns, name, map;
    enum fault fault = FAULT_NONE;
    if (!find_typed(&columns, &reply->top, "columns", WIRE_MAP))
        return FAULT_NONE;
    const unsigned char *at = columns.inside;
    for (uint32_t i = 0; i < columns.count && fault == FAULT_NONE; i++) {
        if (!wire_next(&name, &at, columns.end) || !wire_next(&map, &at, columns.end))
            return refuse(note, "the reply's columns are cut off");
        fault = read_column(reply, &name, &map, note);
    }
    return fault;
}

static bool blob_find(const unsigned char **out, const struct wire_value *map, const char *key, size_t byte_count)
{
    struct wire_value blob;
    if (!find_typed(&blob, map, key, WIRE_BIN) || blob.text.bytes != byte_count)
        return false;
    *out = (const unsigned char *)blob.text.data;
    return true;
}

static enum fault read_reasons(struct sluice_reply *reply, struct fault_note *note)
{
    struct reply_reasons *reasons = &reply->reasons;
    struct wire_value map, rows;
    const unsigned char *counts;
    size_t total = 0;
    if (!find_typed(&map, &reply->top, "reasons", WIRE_MAP))
        return FAULT_NONE;
    if (!find_typed(&rows, &map, "rows", WIRE_BIN) || rows.text.bytes % sizeof(uint32_t) != 0 ||
        !blob_find(&counts, &map, "count", rows.text.bytes / sizeof(uint32_t)))
        return refuse(note, "the reply's reasons are not of one length");
    reasons->row_count = (uint32_t)(rows.text.bytes / sizeof(uint32_t));
    reasons->rows = (const unsigned char *)rows.text.data;
    reasons->first = arena_take(&reply->arena, sizeof(uint32_t) * ((size_t)reasons->row_count + 1), sizeof(uint32_t));
    if (!reasons->first)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the reply's reasons");
    for (uint32_t i = 0; i < reasons->row_count; total += counts[i], i++)
        reasons->first[i] = (uint32_t)total;
    reasons->first[reasons->row_count] = (uint32_t)total;
    if (!blob_find(&reasons->feature, &map, "feature", total * sizeof(uint16_t)))
        return refuse(note, "the reply's reasons are not of one length");
    blob_find(&reasons->value, &map, "value", total * sizeof(float));
    blob_find(&reasons->share, &map, "share", total * sizeof(float));
    return FAULT_NONE;
}

static enum fault read_status(struct sluice_reply *reply, struct fault_note *note)
{
    const char *status = sluice_reply_string(reply, "status");
    int64_t rows = sluice_reply_integer(reply, "rows", 0);
    if (!status || rows < 0 || rows >= ROW_NONE)
        return refuse(note, "the reply has no status");
    reply->row_count = (uint32_t)rows;
    if (strcmp(status, "ok") == 0)
        return FAULT_NONE;
    reply->fault = sluice_reply_string(reply, "fault");
    reply->retry_after_ms = sluice_reply_integer(reply, "retry_after_ms", 0);
    return reply->fault ? FAULT_NONE : refuse(note, "the reply tells an error and no fault");
}

static enum fault reply_fill(struct sluice_reply *reply, const unsigned char *bytes, size_t byte_count, struct fault_note *note)
{
    const unsigned char *at = bytes;
    enum fault fault = wire_check(bytes, byte_count, note);
    if (fault != FAULT_NONE)
        return fault;
    if (!wire_next(&reply->top, &at, bytes + byte_count) || reply->top.type != WIRE_MAP)
        return refuse(note, "the reply is not a map");
    if (!arena_init(&reply->arena, arena_bytes_needed(&reply->top)))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read a reply of %zu bytes", byte_count);
    if ((fault = read_strings(reply, note)) == FAULT_NONE && (fault = read_status(reply, note)) == FAULT_NONE &&
        (fault = read_notes(reply, note)) == FAULT_NONE && (fault = read_tables(reply, note)) == FAULT_NONE &&
        (fault = read_columns(reply, note)) == FAULT_NONE)
        fault = read_reasons(reply, note);
    MUST(fault != FAULT_NONE || !arena_overflowed(&reply->arena));
    return fault;
}

enum fault reply_read(struct sluice_reply **out, nng_msg *message, struct fault_note *note)
{
    struct sluice_reply *reply = memory_take_zeroed(1, sizeof *reply);
    if (!reply) {
        nng_msg_free(message);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a reply");
    }
    reply->magic = REPLY_MAGIC;
    reply->message = message;
    enum fault fault = reply_fill(reply, nng_msg_body(message), nng_msg_len(message), note);
    *out = reply;
    if (fault != FAULT_NONE)
        sluice_reply_free(out);
    return fault;
}

int reply_refusal(struct sluice_reply **out, const struct fault_note *note)
{
    struct fault_note unread = {0};
    struct sluice_reply *reply = memory_take_zeroed(1, sizeof *reply);
    if (!reply)
        return SLUICE_MEMORY;
    reply->magic = REPLY_MAGIC;
    wire_reply_fault(&reply->own, text_of(""), note);
    enum fault fault = reply->own.failed ? FAULT_memory : reply_fill(reply, (unsigned char *)reply->own.data, reply->own.bytes, &unread);
    MUST(fault == FAULT_NONE || fault == FAULT_memory);
    *out = reply;
    if (fault == FAULT_NONE)
        return SLUICE_FAULT;
    sluice_reply_free(out);
    return SLUICE_MEMORY;
}

void sluice_reply_free(struct sluice_reply **reply_p)
{
    struct sluice_reply *reply = *reply_p;
    *reply_p = NULL;
    if (!reply)
        return;
    MUST(reply->magic == REPLY_MAGIC);
    if (reply->message)
        nng_msg_free(reply->message);
    wire_buffer_fini(&reply->own);
    arena_fini(&reply->arena);
    reply->magic = 0;
    memory_give(reply);
}

const struct wire_value *reply_top(const struct sluice_reply *reply)
{
    return &reply->top;
}

bool reply_says_come_again(const struct sluice_reply *reply)
{
    return reply->fault && reply->retry_after_ms > 0 && fault_is_transient(fault_from_name(reply->fault));
}

const char *sluice_reply_fault(const struct sluice_reply *reply)
{
    return reply->fault;
}

const char *sluice_reply_text(const struct sluice_reply *reply)
{
    return reply->note_count > 0 ? reply->notes[0].text : "";
}

int64_t sluice_reply_retry_after_ms(const struct sluice_reply *reply)
{
    return reply->retry_after_ms;
}

uint32_t sluice_reply_rows(const struct sluice_reply *reply)
{
    return reply->row_count;
}

static const void *column_data(const struct sluice_reply *reply, const char *name, bool is_float)
{
    for (uint32_t i = 0; i < reply->column_count; i++)
        if (reply->columns[i].is_float == is_float && strcmp(reply->columns[i].name, name) == 0)
            return reply->columns[i].data;
    return NULL;
}

const uint8_t *sluice_reply_u8(const struct sluice_reply *reply, const char *column)
{
    return column_data(reply, column, false);
}

const float *sluice_reply_f32(const struct sluice_reply *reply, const char *column)
{
    return column_data(reply, column, true);
}

const char *sluice_reply_name(const struct sluice_reply *reply, const char *table, uint32_t code)
{
    for (uint32_t i = 0; i < reply->table_count; i++)
        if (strcmp(reply->tables[i].name, table) == 0)
            return code < reply->tables[i].count ? reply->tables[i].texts[code] : NULL;
    return NULL;
}

size_t sluice_reply_note_count(const struct sluice_reply *reply)
{
    return reply->note_count;
}

int sluice_reply_note(const struct sluice_reply *reply, size_t index, uint32_t *row, const char **column, const char **text)
{
    if (index >= reply->note_count)
        return SLUICE_ARGUMENT;
    *row = reply->notes[index].row;
    *column = reply->notes[index].column;
    *text = reply->notes[index].text;
    return SLUICE_OK;
}

/* Place of the row among those with reasons; row_count: it has none. */
static uint32_t reasons_place(const struct reply_reasons *reasons, uint32_t row)
{
    uint32_t low = 0, high = reasons->row_count, at;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        memcpy(&at, reasons->rows + sizeof at * (size_t)middle, sizeof at);
        if (at == row)
            return middle;
        if (at < row)
            low = middle + 1;
        else
            high = middle;
    }
    return reasons->row_count;
}

static float float_at(const unsigned char *floats, uint32_t index)
{
    float value = NAN;
    if (floats)
        memcpy(&value, floats + sizeof value * (size_t)index, sizeof value);
    return value;
}

int sluice_reply_reason(const struct sluice_reply *reply, uint32_t row, size_t index, const char **feature, float *value, float *share)
{
    const struct reply_reasons *reasons = &reply->reasons;
    uint32_t place = reasons_place(reasons, row);
    if (place == reasons->row_count || index >= reasons->first[place + 1] - reasons->first[place])
        return 0;
    uint32_t at = reasons->first[place] + (uint32_t)index;
    uint16_t code;
    memcpy(&code, reasons->feature + sizeof code * (size_t)at, sizeof code);
    *feature = sluice_reply_name(reply, "feature", code);
    *value = float_at(reasons->value, at);
    *share = float_at(reasons->share, at);
    if (!*feature)
        *feature = "?";
    return 1;
}

const char *sluice_reply_string(const struct sluice_reply *reply, const char *key)
{
    for (uint32_t i = 0; i < reply->string_count; i++)
        if (strcmp(reply->strings[i].key, key) == 0)
            return reply->strings[i].text;
    return NULL;
}

int64_t sluice_reply_integer(const struct sluice_reply *reply, const char *key, int64_t fallback)
{
    struct wire_value value;
    return find_typed(&value, &reply->top, key, WIRE_INT) ? value.integer : fallback;
}

const void *sluice_reply_bytes(const struct sluice_reply *reply, size_t *byte_count)
{
    *byte_count = value_bytes(&reply->top);
    return reply->top.at;
}
