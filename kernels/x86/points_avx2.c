/* 1 tile (2 vectors) × 4 points: a segment of 8 points is two blocks; 8 accumulators, 2 vectors of rows and a weight. */
#include "x86/avx2.inc"

enum { GROUP_TILES = 3, GROUP_VECTORS = 3, GROUP_POINTS = 4, SINGLE_POINTS = 4 };

#define ISA(name) name##_avx2
#include "lanes/points.inc"
