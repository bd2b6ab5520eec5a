#ifndef SLUICE_WIRE_ISO20022_OUTPUT_H
#define SLUICE_WIRE_ISO20022_OUTPUT_H

#include "wire/iso20022/iso20022.h"

/* XML in pieces; a failure is kept and asked for once. */
struct xml {
    const struct iso_output *out;
    uint32_t depth;
    bool failed;
};

void xml_raw(struct xml *xml, const char *bytes, size_t byte_count);
void xml_text(struct xml *xml, struct text text); /* with its &, < and > told as entities; what XML cannot hold becomes ? */
void xml_begin(struct xml *xml, const char *element);
void xml_end(struct xml *xml, const char *element);
void xml_leaf(struct xml *xml, const char *element, struct text text);
void xml_number(struct xml *xml, const char *element, uint64_t value);
void xml_document(struct xml *xml, const char *message, const char *root); /* declaration, Document and the message's element */
void xml_document_end(struct xml *xml, const char *root);
void iso_time_print(char out[32], int64_t time_us); /* 2026-11-21T10:00:00Z */
enum fault xml_done(const struct xml *xml, struct fault_note *note);

#endif
