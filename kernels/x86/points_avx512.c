/* 3 tiles × 8 points: a segment of 8 points is one block; 24 accumulators, 3 vectors of rows and a weight in 28 of 32 registers. */
#include "x86/avx512.inc"

enum { GROUP_TILES = 3, GROUP_VECTORS = 3, GROUP_POINTS = 8, SINGLE_POINTS = 8 };

#define ISA(name) name##_avx512
#include "lanes/points.inc"
