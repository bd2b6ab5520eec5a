#ifndef SLUICE_CLIENT_BUILDER_H
#define SLUICE_CLIENT_BUILDER_H

#include "batch/batch.h"
#include "client/sluice.h"

/* The batch behind a sluice_batch: columns are views of the caller's arrays; no arena, no op yet. */
const struct batch *builder_batch(const struct sluice_batch *batch);

#endif
