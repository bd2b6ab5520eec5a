/* Every value is made safe where it is put in: what a template's author wrote stands, what a field holds cannot leave its place. */
#include "connect/letter.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"

enum { ADDRESS_BYTES_MAX = 254, ENCODED_BYTES = 39, LINE_BYTES = 57 };

void letter_append(struct letter_text *out, const char *data, size_t bytes)
{
    if (out->failed || bytes == 0)
        return;
    if (out->bytes + bytes + 1 > out->capacity) {
        size_t capacity = 2 * out->capacity + bytes + 256;
        char *grown = out->bytes + bytes <= LETTER_BYTES_MAX ? memory_resize(out->data, capacity) : NULL;
        if (!grown) {
            out->failed = true;
            return;
        }
        out->data = grown;
        out->capacity = capacity;
    }
    memcpy(out->data + out->bytes, data, bytes);
    out->bytes += bytes;
    out->data[out->bytes] = 0;
}

static void append_text(struct letter_text *out, const char *text)
{
    letter_append(out, text, strlen(text));
}

/* --- templates --------------------------------------------------------------------------------------------------------- */

static bool is_field_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* Behind the brace: the bytes of the name, 0 when it is none. */
static size_t field_bytes(const char *at)
{
    size_t bytes = 0;
    while (is_field_byte(at[bytes]))
        bytes++;
    return bytes <= LETTER_FIELD_BYTES_MAX && at[bytes] == '}' ? bytes : 0;
}

bool letter_template_is_good(const char *template, const char **out_why)
{
    for (const char *at = template; *at; at++) {
        if (*at != '{' && *at != '}')
            continue;
        if (at[1] == *at) {
            at++;
            continue;
        }
        if (*at == '}') {
            *out_why = "a } without its {; }} stands for a brace";
            return false;
        }
        size_t bytes = field_bytes(at + 1);
        if (bytes == 0) {
            *out_why = "expected {field} of at most 31 of a-z, 0-9, _ and . behind a {; {{ stands for a brace";
            return false;
        }
        at += bytes + 1;
    }
    return true;
}

/* Bytes of the character, 0: no UTF-8. */
static size_t character_bytes(const unsigned char *at, size_t left)
{
    size_t bytes = at[0] < 0x80                    ? 1
                   : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                   : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                   : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                   : 0;
    if (bytes == 0 || bytes > left)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool beyond = (at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf4 && at[1] >= 0x90);
    return overlong || beyond ? 0 : bytes;
}

/* C0, DEL, C1, and the line and paragraph separators. */
static bool is_control(const unsigned char *at, size_t bytes)
{
    return (bytes == 1 && (at[0] < 0x20 || at[0] == 0x7f)) || (bytes == 2 && at[0] == 0xc2 && at[1] < 0xa0) ||
           (bytes == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9));
}

static void append_safely(struct letter_text *out, const char *data, size_t bytes, bool one_line)
{
    const unsigned char *at = (const unsigned char *)data;
    for (size_t i = 0, width; i < bytes; i += width) {
        width = character_bytes(at + i, bytes - i);
        if (width == 0) {
            letter_append(out, "?", 1);
            width = 1;
        } else if (!is_control(at + i, width) || (!one_line && at[i] == '\n'))
            letter_append(out, data + i, width);
        else if (one_line || at[i] == '\t')
            letter_append(out, " ", 1);
    }
}

static void append_value(struct letter_text *out, const json_t *value, bool one_line)
{
    char number[40];
    if (json_is_string(value))
        append_safely(out, json_string_value(value), json_string_length(value), one_line);
    else if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        append_text(out, number);
    } else if (json_is_real(value)) {
        snprintf(number, sizeof number, "%g", json_real_value(value));
        append_text(out, number);
    } else if (json_is_boolean(value))
        append_text(out, json_is_true(value) ? "true" : "false");
}

static void template_fill(struct letter_text *out, const char *template, const json_t *fields, bool one_line)
{
    for (const char *at = template; *at;) {
        size_t plain = strcspn(at, "{}");
        append_safely(out, at, plain, one_line);
        at += plain;
        if (*at == 0)
            return;
        if (at[1] == at[0]) {
            letter_append(out, at, 1);
            at += 2;
            continue;
        }
        char name[LETTER_FIELD_BYTES_MAX + 1] = "";
        size_t bytes = *at == '{' ? field_bytes(at + 1) : 0;
        memcpy(name, at + 1, bytes);
        append_value(out, json_object_get(fields, name), one_line);
        at += bytes ? bytes + 2 : 1;
    }
}

enum fault letter_fill(struct letter_text *out, const char *template, struct text fields, bool one_line, struct fault_note *note)
{
    json_t *object = NULL;
    enum fault fault = json_read(&object, fields.data, fields.bytes, FAULT_schema, "the fields of a message", note);
    if (fault != FAULT_NONE)
        return fault;
    if (json_is_object(object))
        template_fill(out, template, object, one_line);
    else
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "the fields of a message are no object");
    json_decref(object);
    return fault == FAULT_NONE && out->failed ? fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE,
                                                          "a message of more than %d bytes, or no memory for it", LETTER_BYTES_MAX)
                                              : fault;
}

void letter_cut(struct letter_text *text, uint32_t characters_max)
{
    static const char dots[] = "\xe2\x80\xa6";
    size_t at = 0, last = 0;
    for (uint32_t count = 0; at < text->bytes; count++) {
        if (count == characters_max) {
            text->bytes = last;
            letter_append(text, dots, sizeof dots - 1);
            return;
        }
        size_t width = character_bytes((const unsigned char *)text->data + at, text->bytes - at);
        last = at;
        at += width ? width : 1;
    }
}

/* --- addresses --------------------------------------------------------------------------------------------------------- */

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

bool letter_is_address(const char *text)
{
    const char *at = strchr(text, '@');
    if (!at || at == text || strlen(text) > ADDRESS_BYTES_MAX || at[1] == '\0' || at[1] == '.' || at[1] == '-')
        return false;
    for (const char *c = text; c < at; c++)
        if (!is_host_byte(*c) && !strchr("!#$%&'*+/=?^_`{|}~", *c))
            return false;
    for (const char *c = at + 1; *c; c++)
        if (!is_host_byte(*c))
            return false;
    return text[0] != '.' && at[-1] != '.';
}

bool letter_is_number(const char *text)
{
    size_t digits = strspn(text += *text == '+', "0123456789");
    return digits >= 3 && digits <= 20 && text[digits] == '\0';
}

/* --- the mail ---------------------------------------------------------------------------------------------------------- */

static void append_base64(struct letter_text *out, const unsigned char *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t left = (uint32_t)(bytes - i), three = (uint32_t)data[i] << 16;
        three |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        three |= left > 2 ? data[i + 2] : 0;
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
                        left > 2 ? digits[three & 63] : '='};
        letter_append(out, four, sizeof four);
    }
}

/* Encoded words of RFC 2047, each of whole characters. */
static void append_words(struct letter_text *out, const struct letter_text *text)
{
    const unsigned char *data = (const unsigned char *)text->data;
    for (size_t from = 0; from < text->bytes;) {
        size_t to = from, width;
        while (to < text->bytes &&
               (width = character_bytes(data + to, text->bytes - to), width += width == 0, to + width - from <= ENCODED_BYTES))
            to += width;
        append_text(out, from ? "\r\n =?UTF-8?B?" : "=?UTF-8?B?");
        append_base64(out, data + from, to - from);
        append_text(out, "?=");
        from = to;
    }
}

/* Line ends become CRLF before the body is encoded. */
static void append_body(struct letter_text *out, const struct letter_text *body)
{
    unsigned char line[LINE_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < body->bytes; i++) {
        bool end = body->data[i] == '\n';
        for (int half = end ? 0 : 1; half < 2; half++) {
            line[used++] = half == 0 ? '\r' : (unsigned char)body->data[i];
            if (used == LINE_BYTES) {
                append_base64(out, line, used);
                append_text(out, "\r\n");
                used = 0;
            }
        }
    }
    append_base64(out, line, used);
    append_text(out, "\r\n");
}

static void append_date(struct letter_text *out, int64_t us)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char text[64];
    time_t seconds = (time_t)(us / US_PER_SECOND);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof text, "%s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday % 7], tm.tm_mday, months[tm.tm_mon % 12],
             1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
    append_text(out, text);
}

enum fault letter_mail_write(struct letter_text *out, const struct letter_mail *mail, struct fault_note *note)
{
    char id[33];
    struct digest digest = hash128(0, mail->id, strlen(mail->id));
    digest_to_hex(id, digest);
    if (!letter_is_address(mail->from) || !letter_is_address(mail->to))
        return fault_set(note, FAULT_denied, ROW_NONE, COLUMN_NONE, "no address that mail could go to: %.60s", mail->to);
    append_text(out, "From: <");
    append_text(out, mail->from);
    append_text(out, ">\r\nTo: <");
    append_text(out, mail->to);
    append_text(out, ">\r\nSubject: ");
    append_words(out, mail->subject);
    append_text(out, "\r\nDate: ");
    append_date(out, mail->made_us);
    append_text(out, "Message-ID: <");
    append_text(out, id);
    append_text(out, strchr(mail->from, '@'));
    append_text(out, ">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Transfer-Encoding: base64\r\n\r\n");
    append_body(out, mail->body);
    return out->failed ? fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a mail") : FAULT_NONE;
}
