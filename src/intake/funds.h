#ifndef SLUICE_INTAKE_FUNDS_H
#define SLUICE_INTAKE_FUNDS_H

#include "intake/intake.h"

/* What check and fill share about money. */

#define CURRENCY_NONE UINT32_MAX

/* Place in the table; CURRENCY_NONE: it has no rate. */
uint32_t currency_find(const struct currency_table *table, struct text code);

/* Money is the kind of resource where none is named. */
static inline bool row_is_funds(const struct batch *batch, uint32_t row)
{
    const struct column *kinds = &batch->columns[COLUMN_resource_kind];
    if (!column_is_valid(kinds, row))
        return true;
    struct text kind = column_text(kinds, row);
    return kind.bytes == 0 || (kind.bytes == 5 && memcmp(kind.data, "funds", 5) == 0);
}

#endif
