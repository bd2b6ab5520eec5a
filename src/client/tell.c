/* What a processor asks and tells of a second batch. */
#include "client/client.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "wire/json_wire.h"
#include "wire/pack.h"

/* The value of `fields` as a message; `whole` holds it. */
static int fields_read(struct wire_buffer *whole, struct wire_value *out, const char *fields)
{
    static const char before[] = "{\"fields\":";
    const struct batch_limits limits = {.message_bytes_max = SIZE_MAX / 2};
    size_t bytes = strlen(fields), room = bytes + sizeof before + 1;
    char *json = memory_take(room);
    struct wire_value top;
    if (!json)
        return SLUICE_MEMORY;
    snprintf(json, room, "%s%s}", before, fields);
    enum fault fault = wire_json_request(whole, text_of("consolidate"), text_of(""), json, room - 1, &limits, NULL);
    memory_give(json);
    if (whole->failed)
        return SLUICE_MEMORY;
    const unsigned char *at = (const unsigned char *)whole->data;
    bool found = fault == FAULT_NONE && wire_check(whole->data, whole->bytes, NULL) == FAULT_NONE &&
                 wire_next(&top, &at, at + whole->bytes) && wire_find(out, &top, "fields");
    return found ? SLUICE_OK : SLUICE_ARGUMENT;
}

static void pair_pack(struct wire_buffer *out, const char *key, const char *value)
{
    if (value) {
        wire_pack_text(out, key);
        wire_pack_text(out, value);
    }
}

int sluice_tell(struct sluice_client *client, const char *op, const struct sluice_told *told, struct sluice_reply **out)
{
    struct wire_buffer request = {0}, whole = {0};
    struct wire_value fields = {0};
    if (!client || !op || !told || !told->id || !told->batch || !out || (told->transfer_count > 0 && !told->transfers))
        return SLUICE_ARGUMENT;
    *out = NULL;
    const struct call_wish wish = {.pinned = true, .timeout_ms = client->timeout_ms};
    int error = told->fields ? fields_read(&whole, &fields, told->fields) : SLUICE_OK;
    if (error == SLUICE_OK) {
        wire_pack_map(&request, 5U + (client->token != NULL) + (told->state != NULL) + (told->why != NULL) + (told->transfers != NULL) +
                                    (told->fields != NULL));
        wire_pack_text(&request, "v");
        wire_pack_i64(&request, SLUICE_PROTOCOL);
        const char *const pairs[][2] = {{"op", op},        {"tenant", client->tenant}, {"token", client->token},
                                        {"id", told->id},  {"batch", told->batch},     {"state", told->state},
                                        {"why", told->why}};
        for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++)
            pair_pack(&request, pairs[i][0], pairs[i][1]);
        if (told->transfers) {
            wire_pack_text(&request, "part");
            wire_pack_array(&request, told->transfer_count);
            for (uint32_t i = 0; i < told->transfer_count; i++)
                wire_pack_text(&request, told->transfers[i]);
        }
        if (told->fields) {
            wire_pack_text(&request, "fields");
            pack_bytes(&request, (const char *)fields.at, (size_t)(fields.end - fields.at));
        }
        error = call_run(client, &request, &wish, out);
    }
    wire_buffer_fini(&whole);
    return error;
}
