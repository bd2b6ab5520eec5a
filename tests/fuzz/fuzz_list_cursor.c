/* The cursor of list.list: any bytes are refused, or name a place that is told again by the same bytes. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "pipeline/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ledger_list_query query = {.list = -1, .after_list = -1, .after_value = text_of("")};
    char head[16];
    if (size > 1024)
        return 0;
    if (!list_cursor_read(&query, (struct text){.data = (const char *)data, .bytes = (uint32_t)size}))
        return 0;
    if (size == 0) {
        MUST(query.after_list == -1 && query.after_value.bytes == 0);
        return 0;
    }
    MUST(query.after_list >= 0 && query.after_list < LIST_COUNT && query.after_kind >= 0 && query.after_kind < LISTED_COUNT);
    int bytes = snprintf(head, sizeof head, "%d:%d:", query.after_list, query.after_kind);
    MUST((size_t)bytes + query.after_value.bytes == size && memcmp(head, data, (size_t)bytes) == 0);
    MUST(query.after_value.bytes == 0 || memcmp(query.after_value.data, data + bytes, query.after_value.bytes) == 0);
    return 0;
}
