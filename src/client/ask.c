/* Requests without rows: a small map each. What does not narrow is left out. */
#include "client/client.h"

#include <string.h>

#include "base/hash.h"

enum { FIELDS_MAX = 20, PAGE_TEXTS = 3 };

struct field {
    const char *key, *text; /* text NULL: bytes, or a number */
    int64_t number;
    const void *bytes;
    size_t byte_count;
};
enum { PIECE_BYTES = 512 << 10 };

static void request_write(struct wire_buffer *out, const struct field *fields, uint32_t count)
{
    wire_pack_map(out, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_pack_text(out, fields[i].key);
        if (fields[i].text)
            wire_pack_text(out, fields[i].text);
        else if (fields[i].bytes)
            wire_pack_bin(out, fields[i].bytes, fields[i].byte_count);
        else
            wire_pack_i64(out, fields[i].number);
    }
}

static uint32_t envelope_fill(struct field fields[4], const struct sluice_client *client, const char *op)
{
    fields[0] = (struct field){.key = "v", .number = SLUICE_PROTOCOL};
    fields[1] = (struct field){.key = "op", .text = op};
    fields[2] = (struct field){.key = "tenant", .text = client->tenant};
    fields[3] = (struct field){.key = "token", .text = client->token};
    return 4;
}

static int fields_send(struct sluice_client *client, const struct field *fields, uint32_t count, struct sluice_reply **out)
{
    struct wire_buffer request = {0};
    const struct call_wish wish = {.pinned = true, .timeout_ms = client->timeout_ms};
    request_write(&request, fields, count);
    return call_run(client, &request, &wish, out);
}

int sluice_ask(struct sluice_client *client, const char *op, const char *name, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !op || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    enum op code = op_find(text_of(op));
    if (code == OP_COUNT || op_carries_rows(code))
        return SLUICE_ARGUMENT;
    uint32_t count = envelope_fill(fields, client, op);
    if (name)
        fields[count++] = (struct field){.key = "batch", .text = name};
    return fields_send(client, fields, count, out);
}

int sluice_query(struct sluice_client *client, const struct sluice_query *query, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !query || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    const struct field texts[] = {{.key = "batch", .text = query->batch},
                                  {.key = "transfer", .text = query->transfer},
                                  {.key = "account", .text = query->account},
                                  {.key = "scene", .text = query->scene},
                                  {.key = "best_scene", .text = query->best_scene},
                                  {.key = "verdict", .text = query->verdict},
                                  {.key = "cursor", .text = query->cursor},
                                  {.key = "state", .text = query->state},
                                  {.key = "level", .text = query->level}};
    const struct field numbers[] = {{.key = "from_us", .number = query->from_us},
                                    {.key = "to_us", .number = query->to_us},
                                    {.key = "rows_max", .number = query->rows_max}};
    uint32_t count = envelope_fill(fields, client, "query");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text)
            fields[count++] = texts[i];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].number)
            fields[count++] = numbers[i];
    return fields_send(client, fields, count, out);
}

/* The fields, which have room for it, and what of a page's narrowing is given. */
static int page_send(struct sluice_client *client, struct field *fields, uint32_t count, const struct field texts[PAGE_TEXTS],
                     uint32_t rows_max, struct sluice_reply **out)
{
    for (size_t i = 0; i < PAGE_TEXTS; i++)
        if (texts[i].text)
            fields[count++] = texts[i];
    if (rows_max)
        fields[count++] = (struct field){.key = "rows_max", .number = rows_max};
    return fields_send(client, fields, count, out);
}

int sluice_lists(struct sluice_client *client, const struct sluice_list_query *query, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !query || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    const struct field texts[PAGE_TEXTS] = {
        {.key = "list", .text = query->list}, {.key = "account", .text = query->value}, {.key = "cursor", .text = query->cursor}};
    uint32_t count = envelope_fill(fields, client, op_names[OP_list_list]);
    return page_send(client, fields, count, texts, query->rows_max, out);
}

int sluice_cases(struct sluice_client *client, const struct sluice_case_query *query, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !query || (query->entry && query->account) || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    const struct field texts[PAGE_TEXTS] = {
        {.key = "entry", .text = query->entry}, {.key = "account", .text = query->account}, {.key = "cursor", .text = query->cursor}};
    uint32_t count = envelope_fill(fields, client, op_names[query->entry ? OP_case_show : OP_case_list]);
    return page_send(client, fields, count, texts, query->rows_max, out);
}

int sluice_outbox(struct sluice_client *client, const struct sluice_outbox_query *query, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !query || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    const struct field texts[PAGE_TEXTS] = {
        {.key = "connector", .text = query->connector}, {.key = "state", .text = query->state}, {.key = "cursor", .text = query->cursor}};
    uint32_t count = envelope_fill(fields, client, op_names[OP_connect_list]);
    return page_send(client, fields, count, texts, query->rows_max, out);
}

int sluice_resend(struct sluice_client *client, const char *connector, const char *entry, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || (!connector && !entry) || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    uint32_t count = envelope_fill(fields, client, op_names[OP_connect_resend]);
    if (connector)
        fields[count++] = (struct field){.key = "connector", .text = connector};
    if (entry)
        fields[count++] = (struct field){.key = "entry", .text = entry};
    return fields_send(client, fields, count, out);
}

int sluice_explain(struct sluice_client *client, const char *batch, const char *transfer, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !transfer || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    uint32_t count = envelope_fill(fields, client, op_names[OP_explain]);
    fields[count++] = (struct field){.key = "transfer", .text = transfer};
    if (batch)
        fields[count++] = (struct field){.key = "batch", .text = batch};
    return fields_send(client, fields, count, out);
}

int sluice_change(struct sluice_client *client, const char *op, const char *id, const char *batch, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !op || !id || !batch || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    uint32_t count = envelope_fill(fields, client, op);
    fields[count++] = (struct field){.key = "id", .text = id};
    fields[count++] = (struct field){.key = "batch", .text = batch};
    return fields_send(client, fields, count, out);
}

/* --- scene bases ----------------------------------------------------------------------------------------------------- */

static size_t piece_bytes(const struct sluice_client *client)
{
    size_t most = client->servers[0].message_bytes_max / 2;
    return most > 0 && most < PIECE_BYTES ? most : PIECE_BYTES;
}

/* What goes with the whole: golden distances and the signature. */
static uint32_t beside_fill(struct field *fields, const struct sluice_base *base)
{
    uint32_t count = 0;
    if (base->golden)
        fields[count++] = (struct field){.key = "golden", .bytes = base->golden, .byte_count = base->golden_bytes};
    if (base->signature)
        fields[count++] = (struct field){.key = "signature", .text = base->signature};
    return count;
}

static int piece_send(struct sluice_client *client, const struct sluice_base *base, const char *digest, size_t offset,
                      struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    size_t left = base->byte_count - offset, bytes = left < piece_bytes(client) ? left : piece_bytes(client);
    uint32_t count = envelope_fill(fields, client, op_names[OP_base_put]);
    fields[count++] = (struct field){.key = "id", .text = base->id};
    fields[count++] = (struct field){.key = "digest", .text = digest};
    fields[count++] = (struct field){.key = "bytes", .number = (int64_t)base->byte_count};
    fields[count++] = (struct field){.key = "offset", .number = (int64_t)offset};
    fields[count++] = (struct field){.key = "data", .bytes = (const char *)base->bytes + offset, .byte_count = bytes};
    if (bytes == left)
        count += beside_fill(fields + count, base);
    return fields_send(client, fields, count, out);
}

/* The server says where the next piece begins: behind what it has, also of a put before this one. */
static int pieces_send(struct sluice_client *client, const struct sluice_base *base, struct sluice_reply **out)
{
    char digest[33];
    digest_to_hex(digest, hash128(0, base->bytes, base->byte_count));
    for (size_t offset = 0;;) {
        int error = piece_send(client, base, digest, offset, out);
        const char *state = error == SLUICE_OK ? sluice_reply_string(*out, "state") : NULL;
        if (!state || strcmp(state, "wanted") != 0)
            return error;
        int64_t next = sluice_reply_integer(*out, "offset", -1);
        if (next < 0 || (uint64_t)next > base->byte_count || (size_t)next == offset)
            return SLUICE_PROTOCOL_ERROR;
        offset = (size_t)next;
        sluice_reply_free(out);
    }
}

int sluice_base_put(struct sluice_client *client, const struct sluice_base *base, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !base || !out || !base->id || (!base->path && (!base->bytes || base->byte_count == 0)))
        return SLUICE_ARGUMENT;
    *out = NULL;
    if (!base->path)
        return pieces_send(client, base, out);
    uint32_t count = envelope_fill(fields, client, op_names[OP_base_put]);
    fields[count++] = (struct field){.key = "id", .text = base->id};
    fields[count++] = (struct field){.key = "path", .text = base->path};
    return fields_send(client, fields, count, out);
}

int sluice_base_activate(struct sluice_client *client, const char *id, const char *base, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !id || !base || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    uint32_t count = envelope_fill(fields, client, op_names[OP_base_activate]);
    fields[count++] = (struct field){.key = "id", .text = id};
    fields[count++] = (struct field){.key = "base", .text = base};
    return fields_send(client, fields, count, out);
}

int sluice_base_rollback(struct sluice_client *client, const char *id, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !id || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    uint32_t count = envelope_fill(fields, client, op_names[OP_base_rollback]);
    fields[count++] = (struct field){.key = "id", .text = id};
    return fields_send(client, fields, count, out);
}

int sluice_base_challenger(struct sluice_client *client, const char *base, struct sluice_reply **out)
{
    struct field fields[FIELDS_MAX];
    if (!client || !out)
        return SLUICE_ARGUMENT;
    *out = NULL;
    uint32_t count = envelope_fill(fields, client, op_names[OP_base_challenger]);
    if (base)
        fields[count++] = (struct field){.key = "base", .text = base};
    return fields_send(client, fields, count, out);
}
