/* Patterns over whole values, with limits of steps and memory: what takes longer does not fit. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/memory.h"
#include "intake/profile_internal.h"

struct pattern {
    pcre2_general_context *memory;
    pcre2_code *code;
};

struct pattern_work {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static void *pattern_memory_take(PCRE2_SIZE bytes, void *context)
{
    (void)context;
    return memory_take(bytes);
}

static void pattern_memory_give(void *block, void *context)
{
    (void)context;
    memory_give(block);
}

enum fault pattern_open(struct pattern **out, const char *text, char *out_why, size_t why_bytes, size_t *out_offset)
{
    static const uint32_t options = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
    int error = 0;
    PCRE2_SIZE offset = 0;
    struct pattern *pattern = *out = memory_take_zeroed(1, sizeof *pattern);
    if (!pattern || !(pattern->memory = pcre2_general_context_create(pattern_memory_take, pattern_memory_give, NULL)))
        return pattern_close(out), FAULT_memory;
    pcre2_compile_context *limits = pcre2_compile_context_create(pattern->memory);
    if (!limits)
        return pattern_close(out), FAULT_memory;
    pattern->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &error, &offset, limits);
    pcre2_compile_context_free(limits);
    if (pattern->code)
        return FAULT_NONE;
    pcre2_get_error_message(error, (PCRE2_UCHAR *)out_why, why_bytes);
    *out_offset = offset;
    return pattern_close(out), FAULT_schema;
}

void pattern_close(struct pattern **pattern_p)
{
    struct pattern *pattern = *pattern_p;
    *pattern_p = NULL;
    if (!pattern)
        return;
    pcre2_code_free(pattern->code);
    pcre2_general_context_free(pattern->memory);
    memory_give(pattern);
}

struct pattern_work *pattern_work_take(const struct pattern *pattern)
{
    struct pattern_work *work = memory_take_zeroed(1, sizeof *work);
    if (!work)
        return NULL;
    work->data = pcre2_match_data_create(1, pattern->memory);
    work->limits = pcre2_match_context_create(pattern->memory);
    if (!work->data || !work->limits)
        return pattern_work_give(&work), NULL;
    pcre2_set_match_limit(work->limits, PATTERN_STEPS_MAX);
    pcre2_set_heap_limit(work->limits, PATTERN_MEMORY_KIB_MAX);
    return work;
}

void pattern_work_give(struct pattern_work **work_p)
{
    struct pattern_work *work = *work_p;
    *work_p = NULL;
    if (!work)
        return;
    pcre2_match_data_free(work->data);
    pcre2_match_context_free(work->limits);
    memory_give(work);
}

enum pattern_result pattern_match(const struct pattern *pattern, struct pattern_work *work, struct text text)
{
    int found = pcre2_match(pattern->code, (PCRE2_SPTR)text.data, text.bytes, 0, 0, work->data, work->limits);
    if (found >= 0)
        return PATTERN_FITS;
    if (found == PCRE2_ERROR_HEAPLIMIT || found == PCRE2_ERROR_NOMEMORY)
        return PATTERN_TAKES_MEMORY;
    return found == PCRE2_ERROR_MATCHLIMIT ? PATTERN_TAKES_LONG : PATTERN_DIFFERS; /* what is no UTF-8 differs */
}
