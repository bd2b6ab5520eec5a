/* The twin of the points kernels: every operation of the specification, one after the other, in its order. */
#include "kernels.h"

#include <math.h>

#include "implementations.h"

float kernel_point(const float *z, size_t z_stride, const struct points *points, uint32_t point)
{
    const float *weight = points->weight + (size_t)points->column_count * point;
    float product = points->start[point];
    for (uint32_t j = 0; j < points->column_count; j++)
        product = fmaf(z[j * z_stride], weight[j], product);
    return product;
}

static float norm_of(const float *z, uint32_t column_count)
{
    float norm = 0;
    for (uint32_t j = 0; j < column_count; j++)
        norm = fmaf(z[j * TILE_ROWS], z[j * TILE_ROWS], norm);
    return norm;
}

static float root_of(float least, float norm)
{
    float square = least + norm;
    return sqrtf(square > 0 ? square : 0);
}

static float share_of(size_t segment_count)
{
    return segment_count ? 1.0f / (float)segment_count : 0;
}

POINTS_MEAN_FN(points_mean_ref)
{
    for (size_t row = 0; row < tiles * TILE_ROWS; row++) {
        const float *first = z + row / TILE_ROWS * points->column_count * TILE_ROWS + row % TILE_ROWS;
        float norm = norm_of(first, points->column_count), sum = 0;
        for (uint32_t segment = 0; segment < points->segment_count; segment++) {
            float least = INFINITY;
            for (uint32_t p = points->segment_first[segment]; p < points->segment_first[segment + 1]; p++) {
                float product = kernel_point(first, TILE_ROWS, points, p);
                least = least < product ? least : product;
            }
            sum += root_of(least, norm);
        }
        out[row] = sum * share_of(points->segment_count);
    }
}

SQRT_MEAN_FN(sqrt_mean_ref)
{
    for (size_t row = 0; row < row_count; row++) {
        float sum = 0;
        for (size_t segment = 0; segment < segment_count; segment++)
            sum += root_of(min[segment * stride + row], norm[row]);
        out[row] = sum * share_of(segment_count);
    }
}

ROW_NORM_FN(row_norm_ref)
{
    for (size_t row = 0; row < tiles * TILE_ROWS; row++)
        norm[row] = norm_of(z + row / TILE_ROWS * column_count * TILE_ROWS + row % TILE_ROWS, column_count);
}

POINTS_NEAREST_FN(points_nearest_ref)
{
    for (size_t row = 0; row < tiles * TILE_ROWS; row++) {
        const float *first = z + row / TILE_ROWS * points->column_count * TILE_ROWS + row % TILE_ROWS;
        uint32_t nearest = 0;
        float least = INFINITY;
        for (uint32_t p = 0; p < points->point_count; p++) {
            float product = kernel_point(first, TILE_ROWS, points, p);
            nearest = product < least ? p : nearest;
            least = product < least ? product : least;
        }
        least += norm_of(first, points->column_count);
        index[row] = nearest;
        square[row] = least > 0 ? least : 0;
    }
}

POINT_SHARES_FN(point_shares_ref)
{
    for (size_t j = 0; j < stride; j++)
        out[j] = 0.0f;
    for (size_t t = 0; t < count; t++) {
        const float *point = points + index[t] * stride;
        float part[16] = {0};
        for (size_t j = 0; j < stride; j++) {
            float d = line[j] - point[j];
            part[j % 16] = fmaf(d, d, part[j % 16]);
        }
        for (size_t n = 8; n > 0; n /= 2)
            for (size_t i = 0; i < n; i++)
                part[i] += part[i + n];
        float scale = part[0] > 0.0f ? share_of(count) / sqrtf(part[0]) : 0.0f;
        for (size_t j = 0; j < stride; j++) {
            float d = line[j] - point[j];
            out[j] = fmaf(d * d, scale, out[j]);
        }
    }
}
