#include <arm_neon.h>

#define I                    int64x2_t
#define I_LANES              2
#define I_LOAD(p)            vld1q_s64(p)
#define I_STORE(p, x)        vst1q_s64(p, x)
#define I_ADD(x, y)          vaddq_s64(x, y)
#define I_SUBTRACT(x, y)     vsubq_s64(x, y)
#define I_XOR(x, y)          veorq_s64(x, y)
#define I_AND(x, y)          vandq_s64(x, y)
#define I_SIGNS(x)           neon_signs(vreinterpretq_u64_s64(x))
#define I_LESS(x, y)         neon_signs(vcltq_s64(x, y))
#define I_EQUAL(x, y)        neon_signs(vceqq_s64(x, y))
#define I_CHOOSE(bits, x, y) vbslq_s64(vtstq_u64(vdupq_n_u64(bits), vcombine_u64(vcreate_u64(1), vcreate_u64(2))), x, y)

static inline uint64_t neon_signs(uint64x2_t x)
{
    return vgetq_lane_u64(x, 0) >> 63 | vgetq_lane_u64(x, 1) >> 63 << 1;
}

#define ISA(name) name##_neon
#include "lanes/columns.inc"
