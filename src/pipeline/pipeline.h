#ifndef SLUICE_PIPELINE_PIPELINE_H
#define SLUICE_PIPELINE_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "pipeline/config.h"
#include "wire/wire.h"

/* The way of a batch, from bytes to a durable reply. Owns workers, the history thread, the ledger thread, epochs. */

struct pipeline;

/* One request on its way. The caller gives message bytes (kept until deliver has run) and gets the reply once. */
struct delivery {
    /* Runs on a pipeline thread, exactly once per accepted request; takes over reply (wire_buffer_fini). */
    void (*deliver)(void *context, struct wire_buffer *reply);
    void *context;
};

enum fault pipeline_open(struct pipeline **out, const struct config *config,
                         struct fault_note *note); /* history is rebuilt: may take long */
/* No new batches; returns when every batch that was taken is answered. Questions are answered still. */
void pipeline_drain(struct pipeline *pipeline);
void pipeline_close(struct pipeline **pipeline_p); /* drains, and saves history */

/* Admission: checks bytes, credentials, limits, in-flight and queue; answers through deliver in every case but never
 * blocks and never computes. message stays the caller's and must live until deliver has run. received_ns: steady clock. */
void pipeline_request(struct pipeline *pipeline, const void *message, size_t message_bytes, int64_t received_ns,
                      const struct delivery *delivery);

/* Whether it is the token of some tenant, which says nothing of the request that it came with. Any thread, never blocks. */
bool pipeline_knows_token(struct pipeline *pipeline, struct text token);

/* A new configuration and base for batches from now on (SIGHUP); a broken one is refused and nothing changes. FAULT_limit:
 * a key is another that only a start reads; FAULT_busy: batches under the configuration before the running one have not
 * ended for seconds. One thread calls it, and may wait. */
enum fault pipeline_reload(struct pipeline *pipeline, const struct config *config, struct fault_note *note);

/* Counters and latency histograms, in Prometheus text; also the numbers behind `stats` and `health`. */
enum fault pipeline_metrics(struct pipeline *pipeline, struct wire_buffer *out);
bool pipeline_ready(struct pipeline *pipeline, char *why, size_t why_bytes);
bool pipeline_alive(struct pipeline *pipeline); /* the watchdog's question: no stage has stood still with work waiting */
uint32_t pipeline_worker_count(const struct config *config);
uint64_t pipeline_reply_bytes_max(const struct config *config); /* of one reply */
uint64_t pipeline_memory_total(const struct config *config);    /* computed upper bound, printed at start */
/* Within memory_max, or what the machine has, with room for the largest batch of the limits; parts says of what it consists, note what
 * is too much. */
enum { PARTS_BYTES = 400 };
bool pipeline_memory_fits(const struct config *config, char *parts, size_t parts_bytes, struct fault_note *note);

#endif
