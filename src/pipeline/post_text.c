/* One message by the template of its subject, several as a digest: how many, the first, and a line for each. */
#include "pipeline/post_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"

static const char digest_subject[] = "{count} messages, the first: {first}", digest_body[] = "{lines}";

bool post_parts_add(void *context, struct text subject, struct text id, struct text payload, int64_t made_us)
{
    struct post_parts *parts = context;
    if (parts->count == parts->capacity) {
        uint32_t capacity = 2 * parts->capacity + 4;
        struct post_part *grown = memory_resize(parts->parts, capacity * sizeof *grown);
        if (!grown)
            return parts->failed = true, false;
        parts->parts = grown;
        parts->capacity = capacity;
    }
    char *copy = memory_take(payload.bytes + 1);
    if (!copy)
        return parts->failed = true, false;
    memcpy(copy, payload.data, payload.bytes);
    struct post_part *part = &parts->parts[parts->count++];
    *part = (struct post_part){.payload = {.data = copy, .bytes = payload.bytes}, .made_us = made_us};
    text_copy(part->subject, sizeof part->subject, subject);
    text_copy(part->id, sizeof part->id, id);
    return true;
}

void post_parts_fini(struct post_parts *parts)
{
    for (uint32_t i = 0; i < parts->count; i++)
        memory_give((void *)parts->parts[i].payload.data);
    memory_give(parts->parts);
    *parts = (struct post_parts){0};
}

static const struct config_letter *template_of(const struct config_connector *connector, const char *subject)
{
    static const struct config_letter mail = {.subject = "{title}", .body = "{text}\n"}, sms = {.body = "{title}"};
    for (uint32_t i = 0; i < connector->template_count; i++)
        if (strcmp(connector->templates[i].on, subject) == 0)
            return &connector->templates[i];
    return connector->kind == CONNECTOR_MAIL ? &mail : &sms;
}

/* The one line that stands for it in a digest. */
static enum fault line_write(struct letter_text *out, const struct config_connector *connector, const struct post_part *part,
                             struct fault_note *note)
{
    const struct config_letter *letter = template_of(connector, part->subject);
    return letter_fill(out, connector->kind == CONNECTOR_MAIL ? letter->subject : letter->body, part->payload, true, note);
}

/* {"count", "first", "lines"}: what a digest's template may name. */
static enum fault digest_fields(char **out, const struct config_connector *connector, const struct post_parts *parts,
                                struct fault_note *note)
{
    struct letter_text first = {0}, lines = {0};
    enum fault fault = line_write(&first, connector, &parts->parts[0], note);
    for (uint32_t i = 0; i < parts->count && fault == FAULT_NONE; i++) {
        fault = line_write(&lines, connector, &parts->parts[i], note);
        letter_append(&lines, "\n", 1);
    }
    json_t *fields = fault == FAULT_NONE && !lines.failed ? json_pack("{s:i, s:s, s:s}", "count", (int)parts->count, "first",
                                                                      first.data ? first.data : "", "lines", lines.data ? lines.data : "")
                                                          : NULL;
    *out = json_text(fields, JSON_COMPACT);
    memory_give(first.data);
    memory_give(lines.data);
    return fault == FAULT_NONE && !*out ? fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a digest") : fault;
}

static enum fault letters_fill(struct letter_text *subject, struct letter_text *body, const struct config_connector *connector,
                               const struct post_parts *parts, struct fault_note *note)
{
    const struct config_letter *letter = template_of(connector, parts->count > 1 ? "digest" : parts->parts[0].subject);
    struct text fields = parts->parts[0].payload;
    struct config_letter own;
    char *made = NULL;
    enum fault fault = FAULT_NONE;
    bool mail = connector->kind == CONNECTOR_MAIL;
    if (parts->count > 1) {
        fault = digest_fields(&made, connector, parts, note);
        fields = text_of(made ? made : "");
        if (strcmp(letter->on, "digest") != 0) {
            own = (struct config_letter){0};
            snprintf(own.subject, sizeof own.subject, "%s", digest_subject);
            snprintf(own.body, sizeof own.body, "%s", mail ? digest_body : digest_subject);
            letter = &own;
        }
    }
    if (fault == FAULT_NONE && mail)
        fault = letter_fill(subject, letter->subject, fields, true, note);
    if (fault == FAULT_NONE)
        fault = letter_fill(body, letter->body, fields, false, note);
    json_text_give(made);
    return fault;
}

static enum fault mail_write(struct letter_text *out, const struct config_connector *connector, const char *recipient,
                             const struct post_parts *parts, struct fault_note *note)
{
    struct letter_text subject = {0}, body = {0};
    char id[400];
    snprintf(id, sizeof id, "%s %s +%" PRIu32, parts->parts[0].id, recipient, parts->count - 1);
    enum fault fault = letters_fill(&subject, &body, connector, parts, note);
    const struct letter_mail mail = {
        .from = connector->from, .to = recipient, .id = id, .made_us = parts->parts[0].made_us, .subject = &subject, .body = &body};
    if (fault == FAULT_NONE)
        fault = letter_mail_write(out, &mail, note);
    memory_give(subject.data);
    memory_give(body.data);
    return fault;
}

static enum fault sms_write(struct letter_text *out, const struct config_connector *connector, const struct post_parts *parts,
                            struct fault_note *note)
{
    struct letter_text none = {0};
    enum fault fault = letters_fill(&none, out, connector, parts, note);
    while (out->bytes > 0 && out->data[out->bytes - 1] == '\n')
        out->data[--out->bytes] = 0;
    letter_cut(out, connector->text_max);
    memory_give(none.data);
    return fault;
}

static enum fault json_write(struct letter_text *out, const struct post_part *part, struct fault_note *note)
{
    json_t *data = NULL;
    enum fault fault = json_read(&data, part->payload.data, part->payload.bytes, FAULT_schema, "a message", note);
    if (fault != FAULT_NONE)
        return fault;
    json_t *whole =
        json_pack("{s:s, s:s, s:I, s:o}", "id", part->id, "subject", part->subject, "made", (json_int_t)part->made_us, "data", data);
    char *text = json_text(whole, JSON_COMPACT);
    if (text)
        letter_append(out, text, strlen(text));
    fault = text && !out->failed ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a message");
    json_text_give(text);
    return fault;
}

enum fault post_text_write(struct letter_text *out, const struct config_connector *connector, const char *recipient,
                           const struct post_parts *parts, struct fault_note *note)
{
    if (parts->failed)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for what leaves");
    if (parts->count == 0)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "what leaves is not there");
    if (connector->kind == CONNECTOR_MAIL)
        return mail_write(out, connector, recipient, parts, note);
    if (connector->kind == CONNECTOR_SMS)
        return sms_write(out, connector, parts, note);
    return json_write(out, &parts->parts[0], note);
}
