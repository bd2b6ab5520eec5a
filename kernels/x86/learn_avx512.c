#include "x86/avx512.inc"

#define ISA(name) name##_avx512
#include "lanes/learn.inc"
