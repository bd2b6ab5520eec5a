#ifndef SLUICE_INTAKE_TEMPLATE_STEPS_H
#define SLUICE_INTAKE_TEMPLATE_STEPS_H

#include "intake/template_internal.h"
#include "kernels.h"

/* The loops of the steps, over words of 64 rows. out never lies where an operand does. */

void steps_arithmetic(struct lane *out, const struct step *step, const void *a, const void *b, const struct kernels *kernels,
                      uint32_t words);
void steps_in(struct lane *out, const void *a, const struct list *list, uint32_t words);
void steps_lookup(void *out, const void *a, const struct template_table *table, uint32_t words);
void steps_choose(void *out, const struct lane *condition, const void *yes, const void *no, enum template_type type,
                  const struct kernels *kernels, uint32_t words);
void steps_default(void *out, const void *a, const void *b, enum template_type type, const struct kernels *kernels, uint32_t words);
void steps_truth(uint64_t *out, const int64_t *values, uint32_t words);   /* out may be values */
void steps_finite(uint64_t *valid, const double *values, uint32_t words); /* what is not finite is null */

#endif
