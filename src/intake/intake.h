#ifndef SLUICE_INTAKE_INTAKE_H
#define SLUICE_INTAKE_INTAKE_H

#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"

/* check: which rows may go on; fill: the facts that every later room reads. Pure; any thread. */

/* ISO 4217 exponents and rates into factors. A currency without a rate is a row fault. */
struct currency_rate {
    char code[4];
    uint64_t factor_q32;
}; /* reference minor units per minor unit, × 2^32 */
struct currency_table {
    uint32_t count;
    struct currency_rate rates[64];
};

struct profile;

struct intake_rules {
    struct batch_limits limits;
    struct currency_table currencies;
    uint64_t key_seed;             /* of the tenant's namespace: hash64(secret, namespace) */
    const struct profile *profile; /* columns that its finish makes are checked by intake_check_made; NULL: none */
};

/* Batch's own columns: missing needed columns are FAULT_schema; wrong cells make their row invalid with a note:
 * missing, out of range, too long, not UTF-8, unknown currency, duplicate transfer_id in the batch. */
enum fault intake_check(struct batch *batch, const struct intake_rules *rules, struct fault_note *note);
/* After profile_finish: the columns that it made. */
enum fault intake_check_made(struct batch *batch, const struct intake_rules *rules, struct fault_note *note);
/* Keys, reference amounts, times (default now), labels into batch->facts. Rows too far ahead or too old become invalid.
 * now_us is the sequence lock's: fill's clock-dependent part runs inside it as one pass over times. */
enum fault intake_fill(struct batch *batch, const struct intake_rules *rules, struct fault_note *note);
void intake_fill_times(struct batch *batch, int64_t now_us);

#endif
