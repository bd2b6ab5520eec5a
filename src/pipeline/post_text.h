#ifndef SLUICE_PIPELINE_POST_TEXT_H
#define SLUICE_PIPELINE_POST_TEXT_H

#include "base/fault.h"
#include "connect/letter.h"
#include "pipeline/config.h"

/* The bytes of what leaves: made from its parts alone, so that they are the same for every attempt. */

enum { POST_PARTS_MAX = 500 }; /* messages of one digest */

struct post_part {
    char subject[32], id[161];
    struct text payload;
    int64_t made_us;
};
struct post_parts { /* starts as zeros; oldest first */
    struct post_part *parts;
    uint32_t count, capacity;
    bool failed;
};
bool post_parts_add(void *parts, struct text subject, struct text id, struct text payload, int64_t made_us); /* copies; false: no memory */
void post_parts_fini(struct post_parts *parts);

/* To one recipient. A mail, a text, or {"id", "subject", "made", "data"} of the others. */
enum fault post_text_write(struct letter_text *out, const struct config_connector *connector, const char *recipient,
                           const struct post_parts *parts, struct fault_note *note);

#endif
