/* The twin of the maps: own polynomials in fmaf, so that no machine's libm is ever asked on a recorded path.
 * Greatest errors against the true function, every float tried (check_maps --soak):
 *   log    0.94 ulp
 *   log1p  1.55 ulp
 *   exp    0.90 ulp (of the subnormal spacing below 2^-126)
 * Outside the domain: log(x <= 0) = log(2^-149) = -103.27893; log(+inf) = 128·ln 2; log1p(x <= -1) = -24·ln 2;
 * log1p(+inf) = log1p(largest finite); log1p(-0) = +0; exp(x > 88.72283) = 3.4027985e38; exp(x < -103.97) = 0. */
#include "kernels.h"

#include <math.h>
#include <string.h>

#include "implementations.h"
#include "maps.h"

static uint32_t bits_of(float x)
{
    uint32_t bits;
    return memcpy(&bits, &x, sizeof bits), bits;
}

static float float_of(uint32_t bits)
{
    float x;
    return memcpy(&x, &bits, sizeof x), x;
}

/* e·ln 2 + log(1 + f) */
static float log_reduced(float f, float e)
{
    float p = fmaf(LOG_L10, f, LOG_L9);
    p = fmaf(p, f, LOG_L8);
    p = fmaf(p, f, LOG_L7);
    p = fmaf(p, f, LOG_L6);
    p = fmaf(p, f, LOG_L5);
    p = fmaf(p, f, LOG_L4);
    p = fmaf(p, f, LOG_L3);
    p = fmaf(p, f, LOG_L2);
    p = fmaf(p, f * f, f);
    return fmaf(e, LN2, p);
}

float kernel_log(float x)
{
    x = x > LOG_LEAST ? x : LOG_LEAST;
    float below = x < LOG_NORMAL ? -23.0f : 0.0f;
    x = x < LOG_NORMAL ? x * 0x1p23f : x;
    uint32_t offset = bits_of(x) - BITS_TWO_THIRDS;
    float f = float_of(bits_of(x) - (offset & BITS_EXPONENT)) - 1.0f;
    return log_reduced(f, (float)((int32_t)offset >> 23) + below);
}

/* With 1 + x = 2^e·m, f = 2^-e·x + (2^-e - 1) loses nothing of a small x. */
float kernel_log1p(float x)
{
    x = x > LOG1P_LEAST ? x : LOG1P_LEAST;
    x = x < LOG1P_MOST ? x : LOG1P_MOST;
    uint32_t offset = bits_of(1.0f + x) - BITS_TWO_THIRDS, exponent = offset & BITS_EXPONENT;
    float scaled = float_of(bits_of(x) - exponent), four_scaled = float_of(bits_of(4.0f) - exponent);
    float f = scaled + fmaf(0.25f, four_scaled, -1.0f);
    return log_reduced(f, (float)((int32_t)offset >> 23));
}

/* exp(x) = 2^n·exp(r), 2^n in two factors so that subnormal results round once. */
float kernel_exp(float x)
{
    x = x < EXP_MOST ? x : EXP_MOST;
    x = x > EXP_LEAST ? x : EXP_LEAST;
    float shifted = fmaf(x, LOG2_E, ROUND_MAGIC), n = shifted - ROUND_MAGIC;
    float r = fmaf(n, -LN2_LOW, fmaf(n, -LN2_HIGH, x));
    float p = fmaf(EXP_E6, r, EXP_E5);
    p = fmaf(p, r, EXP_E4);
    p = fmaf(p, r, EXP_E3);
    p = fmaf(p, r, EXP_E2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    int32_t exponent = (int32_t)(bits_of(shifted) - bits_of(ROUND_MAGIC)), half = exponent >> 1;
    return p * float_of((uint32_t)(half + 127) << 23) * float_of((uint32_t)(exponent - half + 127) << 23);
}

MAP_FN(log_ref)
{
    for (size_t i = 0; i < count; i++)
        out[i] = kernel_log(x[i]);
}

MAP_FN(log1p_ref)
{
    for (size_t i = 0; i < count; i++)
        out[i] = kernel_log1p(x[i]);
}

MAP_FN(exp_ref)
{
    for (size_t i = 0; i < count; i++)
        out[i] = kernel_exp(x[i]);
}

STANDARDISE_FN(standardise_ref)
{
    for (size_t row = 0; row < tile_count(row_count) * TILE_ROWS; row++) {
        float value = 0;
        if (row < row_count) {
            value = (x[row] - mean) * rscale;
            value = value > low ? value : low;
            value = value < high ? value : high;
        }
        z[row / TILE_ROWS * tile_stride + row % TILE_ROWS] = value;
    }
}
