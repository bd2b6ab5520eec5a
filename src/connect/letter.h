#ifndef SLUICE_CONNECT_LETTER_H
#define SLUICE_CONNECT_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"

/* What people read: texts made from a template and the fields of a message, and the mail around them. Nothing that a field holds
 * can become a header, an address or a line of its own where one line is wanted. Pure. */

enum { LETTER_FIELD_BYTES_MAX = 31, LETTER_BYTES_MAX = 1 << 20 };

struct letter_text { /* grows; starts as zeros, memory_give(data) at the end */
    char *data;      /* with an end mark; NULL: empty */
    size_t bytes, capacity;
    bool failed; /* no memory, or longer than LETTER_BYTES_MAX */
};
void letter_append(struct letter_text *out, const char *data, size_t bytes);

/* {field} stands for a field, {{ and }} for braces. false: *out_why says what is wrong. */
bool letter_template_is_good(const char *template, const char **out_why);
bool letter_is_address(const char *text); /* NAME@HOST of printable ASCII that needs no quotes */
bool letter_is_number(const char *text);  /* 3 to 20 digits, a + before them allowed */

/* fields: a JSON object; texts, numbers and booleans stand as they are, what is not there as nothing. one_line: every control
 * character is a blank; else line ends stay and other control characters go. Bytes that are no UTF-8 never come out. */
enum fault letter_fill(struct letter_text *out, const char *template, struct text fields, bool one_line, struct fault_note *note);
/* At most so many characters, the last one … when it was cut. */
void letter_cut(struct letter_text *text, uint32_t characters_max);

struct letter_mail {
    const char *from, *to, *id; /* id: of the message; becomes Message-ID and is the same for every attempt */
    int64_t made_us;
    const struct letter_text *subject, *body;
};
/* A whole message of RFC 5322, lines ended by CRLF, base64 inside. */
enum fault letter_mail_write(struct letter_text *out, const struct letter_mail *mail, struct fault_note *note);

#endif
