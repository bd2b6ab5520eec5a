/* 1 tile (2 vectors) × 5 clusters: 10 accumulators, 2 vectors of rows, a, b and u in 15 of 16 registers. */
#include "x86/avx2.inc"

enum { GROUP_TILES = 1, GROUP_CLUSTERS = 5, SINGLE_CLUSTERS = 5 };

#define ISA(name) name##_avx2
#include "lanes/panel.inc"
