#ifndef SLUICE_PIPELINE_ALARMS_H
#define SLUICE_PIPELINE_ALARMS_H

#include <stdint.h>

#include "base/fault.h"
#include "pipeline/config.h"
#include "wire/wire.h"

/* The server watches itself: a brake that acts, drift, a ledger that cannot record, a connector that does not answer, a stage that
 * stands still. Each trouble is told once when it begins and once when it is over, to the connectors that `alarms` names,
 * also across restarts. A thread of its own; it starts when alarms names a connector. */

struct alarms;
struct pipeline;

enum fault alarms_open(struct alarms **out, struct pipeline *pipeline, const struct config *config, struct fault_note *note);
void alarms_close(struct alarms **alarms_p);                            /* before what leaves; NULL is fine */
void alarms_prometheus(struct alarms *alarms, struct wire_buffer *out); /* NULL is fine */

#endif
