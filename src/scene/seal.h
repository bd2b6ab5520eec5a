#ifndef SLUICE_SCENE_SEAL_H
#define SLUICE_SCENE_SEAL_H

#include <stddef.h>

#include "base/fault.h"

/* The seal of a file of ours: `seal` in its JSON text is the SHA-256, 64 lower-case digits, over the whole file with these
 * digits as zeros. So it covers every byte: sizes, names, texts and tensors. Each function parses the text once. */

enum { SEAL_DIGITS = 64 };
extern const char seal_blank[SEAL_DIGITS + 1]; /* what stands in the text until seal_put */

/* Writes the digits over those that are there. FAULT_model: the text has no seal, or its digits are not in the header once. */
enum fault seal_put(void *bytes, size_t byte_count, const char *metadata, struct fault_note *note);
/* FAULT_model: no seal, or "checksum does not match". */
enum fault seal_check(const void *bytes, size_t byte_count, const char *metadata, struct fault_note *note);
/* The same file with its seal, verified as a container alone (out: memory_give); a text without one gets it as its first key. */
enum fault seal_add(char **out, size_t *out_bytes, const void *bytes, size_t byte_count, struct fault_note *note);

#endif
