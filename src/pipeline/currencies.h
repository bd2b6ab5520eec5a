#ifndef SLUICE_PIPELINE_CURRENCIES_H
#define SLUICE_PIPELINE_CURRENCIES_H

#include "base/fault.h"
#include "intake/intake.h"
#include "pipeline/config.h"

/* Reference minor units per minor unit of every currency of the configuration: its rate, moved by the difference of the two
 * ISO 4217 exponents; the reference currency itself where it is not listed. FAULT_schema: a code that is not in ISO 4217, a rate out of
 * range. */
enum fault currencies_from_config(struct currency_table *out, const struct config *config, struct fault_note *note);

#endif
