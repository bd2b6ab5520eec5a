#ifndef SLUICE_MAPS_H
#define SLUICE_MAPS_H

/* Coefficients of the maps, shared by the twin and every instruction set. Least maximum relative error, each
 * rounded to float in turn and the rest fitted again.
 *
 * log(1 + f) = f + f²·(L2 + L3·f + … + L10·f⁸) on [-1/3, 1/3], relative error 2^-27.7 before rounding.
 * exp(r) = 1 + r + r²·(E2 + E3·r + … + E6·r⁴) on [-0.34661, 0.34661], relative error 2^-28.2 before rounding. */
#define LOG_L2  (-0x1.000000p-1f)
#define LOG_L3  0x1.555506p-2f
#define LOG_L4  (-0x1.fffefap-3f)
#define LOG_L5  0x1.99d05ap-3f
#define LOG_L6  (-0x1.559c2ap-3f)
#define LOG_L7  0x1.1ed482p-3f
#define LOG_L8  (-0x1.f33d4cp-4f)
#define LOG_L9  0x1.1e718ep-3f
#define LOG_L10 (-0x1.07a796p-3f)

#define EXP_E2 0x1.fffffcp-2f
#define EXP_E3 0x1.555492p-3f
#define EXP_E4 0x1.5558aep-5f
#define EXP_E5 0x1.123980p-7f
#define EXP_E6 0x1.6a4f26p-10f

#define LN2         0x1.62e430p-1f
#define LN2_HIGH    0x1.62e400p-1f /* 16 bits: n·LN2_HIGH is exact for every n that occurs */
#define LN2_LOW     0x1.7f7d1cp-20f
#define LOG2_E      0x1.715476p+0f
#define ROUND_MAGIC 0x1.8p23f /* adding it leaves the nearest integer in the low bits */

#define LOG_LEAST   0x1p-149f         /* smallest positive float */
#define LOG_NORMAL  0x1p-126f         /* below it the exponent field says nothing: scaled by 2^23 first */
#define LOG1P_LEAST (-0x1.fffffep-1f) /* smallest float above -1 */
#define LOG1P_MOST  0x1.fffffep127f   /* largest finite float */
#define EXP_MOST    0x1.62e42ep+6f    /* largest x with a finite exp(x): 88.72283 */
#define EXP_LEAST   (-104.0f)         /* rounds to 0 */

#define BITS_TWO_THIRDS 0x3f2aaaab /* mantissas are taken to [2/3, 4/3) */
#define BITS_EXPONENT   0xff800000u

#endif
