/* 1 tile (4 vectors) × 4 clusters: 16 accumulators; with 5 clusters gcc 12 runs out of its 32 registers. Checked under
 * emulation, not yet timed. */
#include "arm/neon.inc"

enum { GROUP_TILES = 1, GROUP_CLUSTERS = 4, SINGLE_CLUSTERS = 4 };

#define ISA(name) name##_neon
#include "lanes/panel.inc"
