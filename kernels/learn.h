#ifndef SLUICE_LEARN_H
#define SLUICE_LEARN_H

/* Limits of the learning kernels, shared by the twin and every instruction set: rows that tell a scene nothing are left out, and
 * nothing gets near the subnormal numbers, whose arithmetic is slow. */
#define EVIDENCE_MOST  80.0f
#define RESIDUAL_LEAST 0x1p-64f
#define GRADIENT_LEAST 0x1p-50f
#define FIRST_LEAST    0x1p-100f
#define SECOND_LEAST   0x1p-120f

#endif
