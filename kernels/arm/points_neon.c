/* 1 tile (4 vectors) × 4 points: a segment of 8 points is two blocks; 16 accumulators. Checked under emulation, not yet timed. */
#include "arm/neon.inc"

enum { GROUP_TILES = 1, GROUP_VECTORS = 4, GROUP_POINTS = 4, SINGLE_POINTS = 4 };

#define ISA(name) name##_neon
#include "lanes/points.inc"
