#include "arm/neon.inc"

#define ISA(name) name##_neon
#include "lanes/learn.inc"
