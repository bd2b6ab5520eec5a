#include <immintrin.h>

#define I                __m256i
#define I_LANES          4
#define I_LOAD(p)        _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define I_STORE(p, x)    _mm256_storeu_si256((__m256i *)(void *)(p), x)
#define I_ADD(x, y)      _mm256_add_epi64(x, y)
#define I_SUBTRACT(x, y) _mm256_sub_epi64(x, y)
#define I_XOR(x, y)      _mm256_xor_si256(x, y)
#define I_AND(x, y)      _mm256_and_si256(x, y)
#define I_SIGNS(x)       (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(x))
#define I_LESS(x, y)     I_SIGNS(_mm256_cmpgt_epi64(y, x))
#define I_EQUAL(x, y)    I_SIGNS(_mm256_cmpeq_epi64(x, y))
#define I_CHOOSE(bits, x, y) \
    _mm256_castpd_si256(_mm256_blendv_pd( \
        _mm256_castsi256_pd(y), _mm256_castsi256_pd(x), \
        _mm256_castsi256_pd(_mm256_sllv_epi64(_mm256_set1_epi64x((long long)(bits)), _mm256_set_epi64x(60, 61, 62, 63)))))

#define ISA(name) name##_avx2
#include "lanes/columns.inc"
