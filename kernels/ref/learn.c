/* The twin of the learning kernels: every operation of the specification, one after the other, in its order. */
#include "kernels.h"

#include <math.h>

#include "implementations.h"
#include "learn.h"

OFFSET_SUMS_FN(offset_sums_ref)
{
    for (size_t i = 0; i < row_count; i++)
        for (size_t t = 0; t < set_count; t++) {
            size_t at = (set_first[t] + index[t * set_stride + i]) * stride;
            float w = weight[t * set_stride + i];
            for (size_t j = 0; w != 0.0f && j < stride; j++) {
                float d = rows[i * stride + j] - centre[at + j], p = w * d;
                first[at + j] += p;
                second[at + j] = fmaf(p, d, second[at + j]);
            }
        }
}

static float evidence_of(const float *const *distance, size_t dimension_count, float bias, size_t at)
{
    for (size_t g = 0; g < dimension_count; g++)
        bias -= distance[g][at];
    return bias;
}

/* 0 where |x| is less than the limit, as the lanes tell it. */
static float not_below(float x, float limit)
{
    float negative = 0.0f - x, absolute = x > negative ? x : negative;
    return absolute < limit ? 0.0f : x;
}

RESIDUALS_FN(residuals_ref)
{
    for (size_t row = 0; row < row_count; row++) {
        float first = evidence_of(distance, dimension_count, bias[0], row), sum = 0.0f, others = 0.0f;
        for (size_t s = 0; s < scene_count; s++) {
            float x = evidence_of(distance, dimension_count, bias[s], s * stride + row) - first;
            x = x > -EVIDENCE_MOST ? x : -EVIDENCE_MOST;
            x = x < EVIDENCE_MOST ? x : EVIDENCE_MOST;
            out[s * stride + row] = x = s ? kernel_exp(x) : 1.0f;
            sum += x;
            others += (float)s == label[row] ? 0.0f : x;
        }
        float q = weight[row] / sum;
        for (size_t s = 0; s < scene_count; s++) {
            float x = (float)s == label[row] ? 0.0f - others * q : out[s * stride + row] * q;
            out[s * stride + row] = not_below(x, weight[row] * RESIDUAL_LEAST);
        }
    }
}

ADAM_FN(adam_ref)
{
    const float take_first = 1.0f - adam->keep_first, take_second = 1.0f - adam->keep_second;
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i];
        for (size_t p = 1; p < part_count; p++)
            g += gradient[p * part_stride + i];
        g = not_below(g * scale[i] * adam->factor, GRADIENT_LEAST);
        m[i] = not_below(fmaf(adam->keep_first, m[i], take_first * g), FIRST_LEAST);
        v[i] = not_below(fmaf(adam->keep_second, v[i], take_second * (g * g)), SECOND_LEAST);
        float value = x[i] - adam->rate * m[i] / (sqrtf(v[i] * adam->second_scale) + adam->small) - adam->shift;
        value = value > adam->low ? value : adam->low;
        x[i] = value < adam->high ? value : adam->high;
    }
}

PANEL_PACK_FN(panel_pack_ref)
{
    for (size_t k = 0; k < cluster_count; k++)
        for (size_t j = 0; j < column_count; j++) {
            float a = sqrtf(precision[k * stride + j] * 0.5f);
            ab[2 * (k * column_count + j)] = a;
            ab[2 * (k * column_count + j) + 1] = (0.0f - centre[k * stride + j]) * a;
        }
}
