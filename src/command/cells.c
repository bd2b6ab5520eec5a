#include "command/cells.h"

#include <stdio.h>

void cells_print_exact(int64_t value, unsigned scale)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value, power = 1;
    for (unsigned i = 0; i < scale; i++)
        power *= 10;
    printf("%s%llu", value < 0 ? "-" : "", (unsigned long long)(magnitude / power));
    if (scale)
        printf(".%0*llu", (int)scale, (unsigned long long)(magnitude % power));
}

void cells_print_text(struct text text)
{
    putchar('"');
    for (uint32_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == '"')
            putchar('"');
        putchar(text.data[i]);
    }
    putchar('"');
}
