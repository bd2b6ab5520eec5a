#ifndef SLUICE_BASE_JSON_H
#define SLUICE_BASE_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/fault.h"

/* JSON that comes from outside; the only header that includes jansson's. Any thread, json_use_memory aside. */

enum { JSON_DEPTH_MAX = 16 };

/* jansson takes its memory from base/memory.h from now on: once, before anything else is asked of it. */
void json_use_memory(void);
/* Deepest nesting of brackets outside strings: asked before jansson, which recurses as deep as the text tells it to. */
uint32_t json_depth(const char *text, size_t bytes);
/* The value of the text. `wrong`: too deep, no JSON or a key twice, told with `what` and the place; FAULT_memory. */
enum fault json_read(json_t **out, const char *text, size_t bytes, enum fault wrong, const char *what, struct fault_note *note);
/* The text of a value made here, which is given back whatever happens (json_text_give). NULL: no value, or memory ran out
 * while it was made: parts of it may be missing. */
char *json_text(json_t *root, size_t flags);
void json_text_give(char *text); /* NULL is fine */

#endif
