#ifndef SLUICE_PIPELINE_POST_TEXT_H
#define SLUICE_PIPELINE_POST_TEXT_H

#include "base/fault.h"
#include "connect/letter.h"
#include "pipeline/config.h"

/* The bytes of what leaves: made from its parts alone, so that they are the same for every attempt. */

enum { POST_PARTS_MAX = 500, POST_LINE_CHARACTERS = 300 }; /* messages of one digest, and what stands in it of each */
enum { POST_BYTES = 5 << 20 };                             /* that one takes while it is made and sent, at the most */

/* What one message is made of: the first whole, of all a line. Starts as zeros but for connector, which is borrowed. */
struct post_parts {
    const struct config_connector *connector;
    uint32_t count;
    char subject[32], id[161];
    char *payload; /* of the first, as these */
    int64_t made_us;
    struct letter_text lines; /* of mail and SMS */
    struct fault_note note;   /* of what failed */
};
bool post_parts_add(void *parts, struct text subject, struct text id, struct text payload, int64_t made_us); /* false: it failed */
void post_parts_fini(struct post_parts *parts);

/* To one recipient. A mail, a text, or {"id", "subject", "made", "data"} of the others. */
enum fault post_text_write(struct letter_text *out, const char *recipient, const struct post_parts *parts, struct fault_note *note);

#endif
