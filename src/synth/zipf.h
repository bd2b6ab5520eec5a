#ifndef SLUICE_SYNTH_ZIPF_H
#define SLUICE_SYNTH_ZIPF_H

#include <stdint.h>

/* Ranks 0 … count - 1 with weight 1 / (rank + 1): the first by table, the tail by inverting the integral of 1/x between
 * half-integers, whose mass differs from 1/k by less than 1 / (12 k²). */
enum { ZIPF_HEAD = 1024 };
struct zipf {
    uint32_t count, head_count;
    double total, head[ZIPF_HEAD]; /* cumulative weights */
    double tail_log2;              /* log2((count + ½) / (ZIPF_HEAD + ½)) */
};

void zipf_init(struct zipf *zipf, uint32_t count);
uint32_t zipf_rank(const struct zipf *zipf, uint64_t bits);

#endif
