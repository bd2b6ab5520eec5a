#ifndef SLUICE_WIRE_ISO20022_DECIMAL_H
#define SLUICE_WIRE_ISO20022_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/batch.h"

/* Amounts and control sums as they are written: exact, no floats. Schema: at most 18 digits, 5 of them behind the point. */

enum { DECIMAL_PLACES_MAX = 5, DECIMAL_BYTES = 32, DECIMAL_UNIT = 100000 };

struct decimal {
    uint64_t whole;    /* below 10^18 */
    uint32_t fraction; /* in units of 10^-5 */
    uint32_t places;   /* digits behind the point as written, trailing zeros included; of a sum the most of its parts */
};

/* false: no plain decimal number from 0 on, more than 18 digits before the point, or digits other than 0 behind the fifth place. */
bool decimal_read(struct decimal *out, struct text text);
bool decimal_add(struct decimal *sum, const struct decimal *part); /* false: more than 18 digits; sum is then of no use */
bool decimal_equal(const struct decimal *a, const struct decimal *b);
size_t decimal_print(char out[DECIMAL_BYTES], const struct decimal *value); /* with `places` places */

/* Minor units of a currency with so many decimal places. false: more places than it has, or beyond int64. */
bool decimal_to_minor(int64_t *out, const struct decimal *value, int exponent);
void decimal_from_minor(struct decimal *out, int64_t minor, int exponent); /* minor ≥ 0; places: exponent */

#endif
