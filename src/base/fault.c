#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *meaning;
    int transient;
} faults[FAULT_COUNT] = {
    [FAULT_NONE] = {"none", "no fault", 0},
#define FAULT(name, text, transient) [FAULT_##name] = {#name, text, transient},
#include "base/faults.tbl"
#undef FAULT
};

enum fault fault_set(struct fault_note *note, enum fault fault, uint32_t row, uint16_t column, const char *format, ...)
{
    if (!note)
        return fault;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(note->text, sizeof note->text, format, arguments);
    va_end(arguments);
    note->fault = fault;
    note->row = row;
    note->column = column;
    return fault;
}

const char *fault_name(enum fault fault)
{
    return (unsigned)fault < FAULT_COUNT ? faults[fault].name : "unknown";
}

const char *fault_meaning(enum fault fault)
{
    return (unsigned)fault < FAULT_COUNT ? faults[fault].meaning : "unknown fault";
}

int fault_is_transient(enum fault fault)
{
    return (unsigned)fault < FAULT_COUNT && faults[fault].transient;
}

enum fault fault_from_name(const char *name)
{
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        if (strcmp(name, faults[i].name) == 0)
            return (enum fault)i;
    return FAULT_COUNT;
}
