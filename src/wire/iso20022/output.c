#include "wire/iso20022/output.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

void xml_raw(struct xml *xml, const char *bytes, size_t byte_count)
{
    if (byte_count > 0 && !xml->failed)
        xml->failed = !xml->out->put(xml->out->context, bytes, byte_count);
}

static void xml_words(struct xml *xml, const char *words)
{
    xml_raw(xml, words, strlen(words));
}

void xml_text(struct xml *xml, struct text text)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        const char *entity = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c < 0x20 && c != '\t' ? "?" : NULL;
        if (!entity)
            continue;
        xml_raw(xml, text.data + from, i - from);
        xml_words(xml, entity);
        from = i + 1;
    }
    xml_raw(xml, text.data + from, text.bytes - from);
}

static void xml_line(struct xml *xml)
{
    static const char blanks[] = "\n                        ";
    uint32_t bytes = 1 + 2 * xml->depth;
    xml_raw(xml, blanks, bytes < sizeof blanks ? bytes : sizeof blanks - 1);
}

void xml_begin(struct xml *xml, const char *element)
{
    xml_line(xml);
    xml_words(xml, "<");
    xml_words(xml, element);
    xml_words(xml, ">");
    xml->depth++;
}

void xml_end(struct xml *xml, const char *element)
{
    xml->depth--;
    xml_line(xml);
    xml_words(xml, "</");
    xml_words(xml, element);
    xml_words(xml, ">");
}

void xml_leaf(struct xml *xml, const char *element, struct text text)
{
    xml_begin(xml, element);
    xml_text(xml, text);
    xml->depth--;
    xml_words(xml, "</");
    xml_words(xml, element);
    xml_words(xml, ">");
}

void xml_number(struct xml *xml, const char *element, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    xml_leaf(xml, element, text_of(text));
}

void xml_document(struct xml *xml, const char *message, const char *root)
{
    char head[160];
    snprintf(head, sizeof head, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:%s\">",
             message);
    xml_words(xml, head);
    xml->depth = 1;
    xml_begin(xml, root);
}

void xml_document_end(struct xml *xml, const char *root)
{
    xml_end(xml, root);
    xml_words(xml, "\n</Document>\n");
}

void iso_time_print(char out[32], int64_t time_us)
{
    const time_t seconds = (time_t)((time_us < 0 ? 0 : time_us > TIME_US_MAX ? TIME_US_MAX : time_us) / US_PER_SECOND);
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

enum fault xml_done(const struct xml *xml, struct fault_note *note)
{
    return xml->failed ? fault_set(note, FAULT_unavailable, ROW_NONE, COLUMN_NONE, "cannot be written") : FAULT_NONE;
}
