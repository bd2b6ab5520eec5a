/* Messages of one change, each with its texts in one piece of memory. */
#include "pipeline/outbox.h"

#include <string.h>

#include "base/memory.h"
#include "connect/letter.h"

struct outbox_text {
    struct outbox_text *next;
    char data[];
};

enum { SUBJECT_BYTES_MAX = 31, RECIPIENT_BYTES_MAX = 254 };

const char *outbox_connector(const struct config *config, enum connector_kind kind)
{
    for (uint32_t i = 0; i < config->connector_count; i++)
        if (config->connectors[i].kind == kind)
            return config->connectors[i].name;
    return NULL;
}

static bool room_make(struct outbox *outbox)
{
    if (outbox->count < outbox->capacity)
        return true;
    uint32_t capacity = 2 * outbox->capacity + 4;
    struct ledger_message *grown = memory_resize(outbox->messages, capacity * sizeof *grown);
    if (!grown)
        return false;
    outbox->messages = grown;
    outbox->capacity = capacity;
    return true;
}

static struct text text_put(char **at, const char *text)
{
    size_t bytes = strlen(text);
    struct text put = {.data = memcpy(*at, text, bytes + 1), .bytes = (uint32_t)bytes};
    *at += bytes + 1;
    return put;
}

static enum fault message_add(struct outbox *outbox, const char *connector, const char *subject, const char *id, const char *recipient,
                              const char *payload, struct fault_note *note)
{
    size_t bytes = strlen(connector) + strlen(subject) + strlen(id) + strlen(recipient) + strlen(payload) + 5;
    struct outbox_text *text = room_make(outbox) ? memory_take(sizeof *text + bytes) : NULL;
    if (!text)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for what is to leave");
    char *at = text->data;
    text->next = outbox->texts;
    outbox->texts = text;
    struct ledger_message *message = &outbox->messages[outbox->count++];
    message->connector = text_put(&at, connector);
    message->subject = text_put(&at, subject);
    message->id = text_put(&at, id);
    message->recipient = text_put(&at, recipient);
    message->payload = text_put(&at, payload);
    return FAULT_NONE;
}

static enum fault message_check(const struct config_connector *to, const char *connector, const char *subject, const char *id,
                                const char *recipient, const char *payload, struct fault_note *note)
{
    if (!to)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "'%.60s' is not among connectors", connector);
    if (strlen(subject) == 0 || strlen(subject) > SUBJECT_BYTES_MAX || strlen(id) == 0 || strlen(id) > LETTER_ID_BYTES_MAX ||
        strlen(payload) > LETTER_PAYLOAD_BYTES_MAX || (recipient && strlen(recipient) > RECIPIENT_BYTES_MAX))
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "%.40s: a subject has 1 to %d bytes, an id %d, a payload at most %d",
                         connector, SUBJECT_BYTES_MAX, LETTER_ID_BYTES_MAX, LETTER_PAYLOAD_BYTES_MAX);
    bool good = to->kind == CONNECTOR_MAIL  ? recipient ? letter_is_address(recipient) : to->to_count > 0
                : to->kind == CONNECTOR_SMS ? recipient ? letter_is_number(recipient) : to->to_count > 0
                                            : true;
    return good ? FAULT_NONE
                : fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "%.40s: nobody to send it to: '%.60s'", connector,
                            recipient ? recipient : "");
}

enum fault outbox_add(struct outbox *outbox, const struct config *config, const char *connector, const char *subject, const char *id,
                      const char *recipient, const char *payload, struct fault_note *note)
{
    const struct config_connector *to = config_connector_find(config, text_of(connector));
    enum fault fault = message_check(to, connector, subject, id, recipient, payload, note);
    if (fault != FAULT_NONE)
        return fault;
    if (recipient || (to->kind != CONNECTOR_MAIL && to->kind != CONNECTOR_SMS))
        return message_add(outbox, connector, subject, id, recipient ? recipient : id, payload, note);
    for (uint32_t i = 0; i < to->to_count && fault == FAULT_NONE; i++)
        fault = message_add(outbox, connector, subject, id, to->to[i], payload, note);
    return fault;
}

void outbox_fini(struct outbox *outbox)
{
    while (outbox->texts) {
        struct outbox_text *next = outbox->texts->next;
        memory_give(outbox->texts);
        outbox->texts = next;
    }
    memory_give(outbox->messages);
    *outbox = (struct outbox){0};
}
