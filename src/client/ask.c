/* Requests without rows: a small map each. What does not narrow is left out. */
#include "client/client.h"

enum { FIELDS_MAX = 16 };

struct field {
    const char *key, *text; /* text NULL: number */
    int64_t number;
};

static void request_write(struct wire_buffer *out, const struct field *fields, uint32_t count)
{
    wire_pack_map(out, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_pack_text(out, fields[i].key);
        if (fields[i].text)
            wire_pack_text(out, fields[i].text);
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
    const struct field texts[] = {{.key = "batch", .text = query->batch},           {.key = "transfer", .text = query->transfer},
                                  {.key = "account", .text = query->account},       {.key = "scene", .text = query->scene},
                                  {.key = "best_scene", .text = query->best_scene}, {.key = "verdict", .text = query->verdict},
                                  {.key = "cursor", .text = query->cursor}};
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
