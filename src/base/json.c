#include "base/json.h"

#include <stdbool.h>

#include "base/memory.h"

/* jansson tells a text that it had no memory for as a wrong one, and a value that did not fit may just be left out: false
 * but between a first failure and the end of the reading or writing. */
static _Thread_local bool is_starved;

static void *take(size_t bytes)
{
    void *block = memory_take(bytes);
    is_starved |= !block;
    return block;
}

void json_use_memory(void)
{
    json_set_alloc_funcs(take, memory_give);
}

uint32_t json_depth(const char *text, size_t bytes)
{
    uint32_t depth = 0, deepest = 0;
    int in_text = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (in_text && c == '\\')
            i++;
        else if (c == '"')
            in_text = !in_text;
        else if (!in_text && (c == '{' || c == '['))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!in_text && (c == '}' || c == ']') && depth)
            depth--;
    }
    return deepest;
}

enum fault json_read(json_t **out, const char *text, size_t bytes, enum fault wrong, const char *what, struct fault_note *note)
{
    json_error_t error;
    *out = NULL;
    if (json_depth(text, bytes) > JSON_DEPTH_MAX)
        return fault_set(note, wrong, ROW_NONE, COLUMN_NONE, "%s: nested deeper than %d", what, JSON_DEPTH_MAX);
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (*out)
        return FAULT_NONE;
    bool was_starved = is_starved;
    is_starved = false;
    if (was_starved)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "%s: no memory to read it", what);
    return fault_set(note, wrong, ROW_NONE, COLUMN_NONE, "%s: %.100s at byte %d", what, error.text, error.position);
}

char *json_text(json_t *root, size_t flags)
{
    char *text = root && !is_starved ? json_dumps(root, flags) : NULL;
    json_decref(root);
    is_starved = false;
    return text;
}

void json_text_give(char *text)
{
    json_free_t give;
    json_get_alloc_funcs(NULL, &give);
    if (text)
        give(text);
}
