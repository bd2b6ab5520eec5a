#ifndef SLUICE_SCENE_GOLDEN_H
#define SLUICE_SCENE_GOLDEN_H

#include <stddef.h>

#include "base/fault.h"
#include "scene/build.h"
#include "scene/scene_base.h"

/* Golden distances: a few rows of features with the distances, matches and anomaly that double arithmetic gives for them
 * under one base. A file of the same container as the base; it names the base by digest. */

struct golden_errors { /* largest differences of the kernels' figures from the golden ones */
    double distance, match, anomaly;
    uint32_t rows; /* that were compared */
};

enum fault golden_write(char **out, size_t *out_bytes, const struct scene_base *base, const struct build_sample *sample, uint64_t seed,
                        struct fault_note *note);
/* FAULT_model: the file is of another base, damaged, or the kernels differ from it by more than their bound. */
enum fault golden_verify(struct golden_errors *out, const struct scene_base *base, const void *bytes, size_t byte_count,
                         const struct kernels *kernels, struct fault_note *note);

/* In double, from the base's own numbers: δ of one row (z[j · TILE_ROWS]) to a scene, anomaly of one row, match from evidence. */
double golden_distance(const float *z, const struct scene_dimension *dimension, uint32_t scene);
double golden_anomaly(const float *z, const struct anomaly_set *set);
double golden_match(double difference); /* of e_s − e_0 */

#endif
