/* 4 tiles × 6 clusters: 24 accumulators, 4 vectors of rows, a, b and u in 31 of 32 registers. */
#include "x86/avx512.inc"

enum { GROUP_TILES = 4, GROUP_CLUSTERS = 6, SINGLE_CLUSTERS = 12 };

#define ISA(name) name##_avx512
#include "lanes/panel.inc"
