/* One message by the template of its subject, several as a digest: how many, the first, and a line for each. */
#include "pipeline/post_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"

static bool is_letter(const struct config_connector *connector)
{
    return connector->kind == CONNECTOR_MAIL || connector->kind == CONNECTOR_SMS;
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
static void line_add(struct post_parts *parts, const char *subject, struct text payload)
{
    const struct config_letter *letter = template_of(parts->connector, subject);
    struct letter_text line = {0};
    if (letter_fill(&line, parts->connector->kind == CONNECTOR_MAIL ? letter->subject : letter->body, payload, true, &parts->note) ==
        FAULT_NONE) {
        letter_cut(&line, POST_LINE_CHARACTERS);
        letter_append(&parts->lines, line.data ? line.data : "", line.bytes);
        letter_append(&parts->lines, "\n", 1);
    }
    memory_give(line.data);
}

bool post_parts_add(void *context, struct text subject, struct text id, struct text payload, int64_t made_us)
{
    struct post_parts *parts = context;
    char subject_text[sizeof parts->subject];
    text_copy(subject_text, sizeof subject_text, subject);
    if (parts->count++ == 0) {
        parts->payload = memory_take(payload.bytes + 1);
        if (!parts->payload)
            return fault_set(&parts->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for what leaves"), false;
        memcpy(parts->payload, payload.data, payload.bytes);
        parts->payload[payload.bytes] = 0;
        memcpy(parts->subject, subject_text, sizeof subject_text);
        text_copy(parts->id, sizeof parts->id, id);
        parts->made_us = made_us;
    }
    if (is_letter(parts->connector))
        line_add(parts, subject_text, payload);
    if (parts->lines.failed)
        fault_set(&parts->note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a digest");
    return parts->note.fault == FAULT_NONE;
}

void post_parts_fini(struct post_parts *parts)
{
    memory_give(parts->payload);
    memory_give(parts->lines.data);
    *parts = (struct post_parts){0};
}

/* {"count", "first", "lines"}: what a digest's template may name. */
static enum fault digest_fields(char **out, const struct post_parts *parts, struct fault_note *note)
{
    const char *lines = parts->lines.data;
    json_t *fields = json_pack("{s:i, s:s%, s:s}", "count", (int)parts->count, "first", lines, strcspn(lines, "\n"), "lines", lines);
    *out = json_text(fields, JSON_COMPACT);
    return *out ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a digest");
}

static enum fault letters_fill(struct letter_text *subject, struct letter_text *body, const struct post_parts *parts,
                               struct fault_note *note)
{
    const struct config_letter *letter = template_of(parts->connector, parts->count > 1 ? "digest" : parts->subject);
    struct text fields = text_of(parts->payload);
    char *made = NULL;
    enum fault fault = FAULT_NONE;
    bool mail = parts->connector->kind == CONNECTOR_MAIL;
    if (parts->count > 1) {
        static const struct config_letter digest_mail = {.subject = "{count} messages, the first: {first}", .body = "{lines}"},
                                          digest_sms = {.body = "{count} messages, the first: {first}"};
        fault = digest_fields(&made, parts, note);
        fields = text_of(made ? made : "");
        if (strcmp(letter->on, "digest") != 0)
            letter = mail ? &digest_mail : &digest_sms;
    }
    if (fault == FAULT_NONE && mail)
        fault = letter_fill(subject, letter->subject, fields, true, note);
    if (fault == FAULT_NONE)
        fault = letter_fill(body, letter->body, fields, false, note);
    json_text_give(made);
    return fault;
}

static enum fault mail_write(struct letter_text *out, const char *recipient, const struct post_parts *parts, struct fault_note *note)
{
    struct letter_text subject = {0}, body = {0};
    char id[400];
    snprintf(id, sizeof id, "%s %s +%" PRIu32, parts->id, recipient, parts->count - 1);
    enum fault fault = letters_fill(&subject, &body, parts, note);
    const struct letter_mail mail = {
        .from = parts->connector->from, .to = recipient, .id = id, .made_us = parts->made_us, .subject = &subject, .body = &body};
    if (fault == FAULT_NONE)
        fault = letter_mail_write(out, &mail, note);
    memory_give(subject.data);
    memory_give(body.data);
    return fault;
}

static enum fault sms_write(struct letter_text *out, const struct post_parts *parts, struct fault_note *note)
{
    struct letter_text none = {0};
    enum fault fault = letters_fill(&none, out, parts, note);
    while (out->bytes > 0 && out->data[out->bytes - 1] == '\n')
        out->data[--out->bytes] = 0;
    letter_cut(out, parts->connector->text_max);
    memory_give(none.data);
    return fault;
}

static enum fault json_write(struct letter_text *out, const struct post_parts *parts, struct fault_note *note)
{
    json_t *data = NULL;
    enum fault fault = json_read(&data, parts->payload, strlen(parts->payload), FAULT_schema, "a message", note);
    if (fault != FAULT_NONE)
        return fault;
    json_t *whole =
        json_pack("{s:s, s:s, s:I, s:o}", "id", parts->id, "subject", parts->subject, "made", (json_int_t)parts->made_us, "data", data);
    char *text = json_text(whole, JSON_COMPACT);
    if (text)
        letter_append(out, text, strlen(text));
    fault = text && !out->failed ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a message");
    json_text_give(text);
    return fault;
}

enum fault post_text_write(struct letter_text *out, const char *recipient, const struct post_parts *parts, struct fault_note *note)
{
    if (parts->note.fault != FAULT_NONE)
        return *note = parts->note, note->fault;
    if (parts->count == 0)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "what leaves is not there");
    if (parts->connector->kind == CONNECTOR_MAIL)
        return mail_write(out, recipient, parts, note);
    return parts->connector->kind == CONNECTOR_SMS ? sms_write(out, parts, note) : json_write(out, parts, note);
}
