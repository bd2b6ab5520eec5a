#include <immintrin.h>

#define I                    __m512i
#define I_LANES              8
#define I_LOAD(p)            _mm512_loadu_si512((const void *)(p))
#define I_STORE(p, x)        _mm512_storeu_si512((void *)(p), x)
#define I_ADD(x, y)          _mm512_add_epi64(x, y)
#define I_SUBTRACT(x, y)     _mm512_sub_epi64(x, y)
#define I_XOR(x, y)          _mm512_xor_si512(x, y)
#define I_AND(x, y)          _mm512_and_si512(x, y)
#define I_SIGNS(x)           _mm512_movepi64_mask(x)
#define I_LESS(x, y)         _mm512_cmplt_epi64_mask(x, y)
#define I_EQUAL(x, y)        _mm512_cmpeq_epi64_mask(x, y)
#define I_CHOOSE(bits, x, y) _mm512_mask_blend_epi64((__mmask8)(bits), y, x)

#define ISA(name) name##_avx512
#include "lanes/columns.inc"
