#ifndef SLUICE_BASE_FAULT_H
#define SLUICE_BASE_FAULT_H

#include <stdint.h>

/* The world's faults. The list is faults.tbl; names on the wire are the names there. */
enum fault {
    FAULT_NONE,
#define FAULT(name, text, transient) FAULT_##name,
#include "base/faults.tbl"
#undef FAULT
    FAULT_COUNT
};

#define ROW_NONE    UINT32_MAX
#define COLUMN_NONE UINT16_MAX

/* Travels with the caller, never in a thread-local. Zero it before use. */
struct fault_note {
    enum fault fault;
    uint32_t row;            /* ROW_NONE: the whole request */
    uint16_t column;         /* COLUMN_NONE, or an enum column_id */
    uint32_t retry_after_ms; /* 0: no hint */
    char text[160];
};

/* Fills the note (may be NULL) and returns fault, so that `return fault_set(...)` reads as one thing. */
enum fault fault_set(struct fault_note *note, enum fault fault, uint32_t row, uint16_t column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

const char *fault_name(enum fault fault);     /* "none", "syntax", ... never NULL */
const char *fault_meaning(enum fault fault);  /* one sentence */
int fault_is_transient(enum fault fault);     /* the same request may succeed later */
enum fault fault_from_name(const char *name); /* FAULT_COUNT when unknown */

#endif
