/* A template and the fields of a message, from the first line and the rest of the bytes: whatever they hold, the mail has the headers that
 * it should have and no other, no line is too long, and nothing but its own lines ends with CRLF. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "connect/letter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void lines_check(const struct letter_text *mail)
{
    static const char *const headers[] = {"From: <",
                                          "To: <",
                                          "Subject: ",
                                          "Date: ",
                                          "Message-ID: <",
                                          "Auto-Submitted: ",
                                          "MIME-Version: ",
                                          "Content-Type: ",
                                          "Content-Transfer-Encoding: ",
                                          ""};
    unsigned header = 0;
    for (const char *line = mail->data, *end = line + mail->bytes; line < end;) {
        const char *stop = strstr(line, "\r\n");
        MUST(stop && stop - line <= 76);
        for (const char *at = line; at < stop; at++)
            MUST(*at >= ' ' && *at <= '~');
        if (header < sizeof headers / sizeof *headers && line[0] != ' ') {
            MUST(strncmp(line, headers[header], strlen(headers[header])) == 0);
            header++;
        }
        line = stop + 2;
    }
    MUST(header == sizeof headers / sizeof *headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char template[512];
    const uint8_t *newline = memchr(data, '\n', size);
    size_t bytes = newline ? (size_t)(newline - data) : 0;
    const char *why = NULL;
    uint64_t live = memory_live_count();
    if (!newline || bytes >= sizeof template || memchr(data, 0, bytes))
        return 0;
    memcpy(template, data, bytes);
    template[bytes] = 0;
    if (!letter_template_is_good(template, &why)) {
        MUST(why && *why);
        return 0;
    }
    const struct text fields = {.data = (const char *)newline + 1, .bytes = (uint32_t)(size - bytes - 1)};
    struct letter_text subject = {0}, body = {0}, mail = {0};
    struct fault_note note = {0};
    const struct letter_mail of = {.from = "a@b", .to = "c@d", .id = "x", .made_us = 1, .subject = &subject, .body = &body};
    if (letter_fill(&subject, template, fields, true, &note) == FAULT_NONE &&
        letter_fill(&body, template, fields, false, &note) == FAULT_NONE) {
        MUST(!subject.data || !strpbrk(subject.data, "\r\n"));
        letter_cut(&subject, 100);
        if (letter_mail_write(&mail, &of, &note) == FAULT_NONE)
            lines_check(&mail);
    }
    MUST(note.fault == FAULT_NONE || note.text[0]);
    memory_give(subject.data);
    memory_give(body.data);
    memory_give(mail.data);
    MUST(memory_live_count() == live);
    return 0;
}
