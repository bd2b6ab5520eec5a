#ifndef SLUICE_PIPELINE_ASSOCIATES_H
#define SLUICE_PIPELINE_ASSOCIATES_H

#include <stdbool.h>

#include "base/fault.h"
#include "pipeline/config.h"
#include "wire/wire.h"

/* Associated systems on a batch's way, between check and fill: a batch whose profile asks one waits outside the workers, a thread of that
 * system's asks, and the batch goes on with the next or to fill. Systems are those of the configuration at start. */

struct associates;
struct pipeline;
struct job;

enum fault associates_open(struct associates **out, struct pipeline *pipeline, const struct config *config, struct fault_note *note);
void associates_stop(struct associates *associates);     /* no batch waits any more; joins the threads; NULL is fine */
void associates_close(struct associates **associates_p); /* NULL is fine */
bool associates_park(struct job *job);                   /* true: it waits, and is its thread's until it comes back by worker_give_encode */
void associates_expire(struct associates *associates);   /* those whose time is over leave, to be refused; NULL is fine */
uint64_t associates_bytes(const struct config *config);  /* what they keep, and what their calls take */
size_t associates_scratch_bytes(const struct profile *profile, uint32_t row_count); /* of a batch's arena, while it asks */
void associates_prometheus(struct associates *associates, struct wire_buffer *out); /* NULL is fine */

/* The way of a batch with answers at hand: text is {"<system>": {"answers": [...]}, ...}; a system that it lacks is silent, as all are
 * with NULL. show is told what each would be asked. Needs associates_scratch_bytes of the arena for every system. */
typedef void associates_show_fn(const char *system, const char *request);
enum fault associates_try(struct batch *batch, const struct profile *profile, const char *text, size_t bytes, associates_show_fn *show,
                          struct fault_note *note);

#endif
