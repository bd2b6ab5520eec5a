#include "x86/avx2.inc"

#define ISA(name) name##_avx2
#include "lanes/learn.inc"
