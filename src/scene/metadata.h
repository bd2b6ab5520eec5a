#ifndef SLUICE_SCENE_METADATA_H
#define SLUICE_SCENE_METADATA_H

#include "base/fault.h"
#include "scene/scene_base.h"

/* The JSON text of a scene base, between text and struct scene_base. */

extern const char *const scene_form_names[FORM_ABOVE + 1];

/* What the text says: name, version, scenes, columns without their mean and rscale (columns from base->arena), anomaly
 * thresholds. FAULT_model names the place: "scenes[2].weights.device: not a number". */
enum fault metadata_read(struct scene_base *base, const char *text, struct fault_note *note);
/* The text of base, its seal blank (json_text_give). provenance and metrics: JSON objects as text, or NULL. NULL: memory, or no JSON. */
char *metadata_write(const struct scene_base *base, const char *provenance, const char *metrics);

#endif
