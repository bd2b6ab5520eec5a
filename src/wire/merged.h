#ifndef SLUICE_WIRE_MERGED_H
#define SLUICE_WIRE_MERGED_H

#include "batch/merged.h"
#include "wire/wire.h"

/* part and fields of consolidate and report, of checked bytes; texts stay borrowed. seed: of the digests. What was taken is given back with
 * merged_fini, on a fault too. docs/protocol.md */
enum fault wire_merged_read(struct merged *out, const struct request *request, const struct batch_limits *limits, uint64_t seed,
                            struct fault_note *note);

#endif
