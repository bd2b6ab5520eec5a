#ifndef SLUICE_WIRE_ISO20022_WALK_H
#define SLUICE_WIRE_ISO20022_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"

/* One pass over the bytes of a pain.001, element by element, in the order of its schema (elements.tbl). What does not follow it is a
 * fault that names line and element. A document type, an entity, another encoding than UTF-8 are refused; depth, texts and the memory
 * of the parser are bounded. The only user of expat. */

enum part {
#define PART(parent, element, content, least, most, characters)   PART_##parent##_##element,
#define PART03(parent, element, content, least, most, characters) PART03_##parent##_##element,
#define PART09(parent, element, content, least, most, characters) PART09_##parent##_##element,
#include "wire/iso20022/elements.tbl"
    PART_COUNT
};

enum { WALK_DEPTH_MAX = 16, WALK_TEXT_BYTES = 1024 };

struct walk;
/* What sees the elements; any may be NULL. A fault ends the pass. */
struct walk_eyes {
    enum fault (*enter)(void *context, struct walk *walk, enum part part);                   /* with parts of its own */
    enum fault (*text)(void *context, struct walk *walk, enum part part, struct text value); /* at its end; blanks around it are gone */
    enum fault (*leave)(void *context, struct walk *walk, enum part part);                   /* with parts of its own */
};

struct walk_frame {
    uint8_t content; /* whose parts come here */
    enum part part;  /* it is this one; PART_COUNT: the document */
    enum part last;  /* of its own parts that came; PART_COUNT: none yet */
    uint32_t last_count, children;
};

struct walk {
    const struct walk_eyes *eyes;
    void *context;
    const unsigned char *bytes;
    size_t byte_count, fed;
    void *parser;
    size_t parser_bytes;   /* that it has taken */
    unsigned version;      /* 3 or 9, once the document's element came */
    char space[96];        /* its namespace */
    char message_name[36]; /* pain.001.001.03 */
    struct walk_frame frames[WALK_DEPTH_MAX];
    uint32_t depth, passed_over; /* frames open; elements open inside one that is passed over */
    bool in_text, too_long;
    char text[WALK_TEXT_BYTES];
    uint32_t text_bytes;
    char currency[4];        /* of the element whose text comes: its Ccy, "" without */
    size_t text_from;        /* where the content of that element begins */
    size_t tag_from, tag_to; /* of the tag that is told */
    bool wants_pause, is_paused, is_done;
    enum fault fault;
    struct fault_note *note; /* row: the line */
};

/* The bytes must stay until iso_walk_fini. */
enum fault iso_walk_init(struct walk *walk, const void *bytes, size_t byte_count, const struct walk_eyes *eyes, void *context,
                         struct fault_note *note);
/* To the end, or to where an eye said iso_walk_pause; then it goes on from there. */
enum fault iso_walk_run(struct walk *walk, struct fault_note *note);
void iso_walk_pause(struct walk *walk);
void iso_walk_fini(struct walk *walk); /* safe on zeroed memory */

uint32_t iso_walk_line(const struct walk *walk);
/* "line" goes into the note's row, the element's path before the text. */
enum fault iso_walk_fault(struct walk *walk, enum fault fault, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *iso_part_name(enum part part);

#endif
