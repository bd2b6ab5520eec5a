/* The oracle: the distances in double by the plainest formula. It bounds the error of the twin and of every
 * approximate device; nothing recorded comes from it. */
#include "kernels.h"

double oracle_distance(const float *z, size_t z_stride, const struct panel *panel, uint32_t cluster)
{
    const float *ab = panel->ab + 2 * (size_t)panel->column_count * cluster;
    double sum = panel->start[cluster];
    for (uint32_t j = 0; j < panel->column_count; j++) {
        double u = (double)z[j * z_stride] * ab[2 * j] + ab[2 * j + 1];
        sum += u * u;
    }
    return sum;
}

double oracle_point(const float *z, size_t z_stride, const struct points *points, uint32_t point)
{
    const float *weight = points->weight + (size_t)points->column_count * point;
    double sum = 0;
    for (uint32_t j = 0; j < points->column_count; j++) {
        double offset = (double)z[j * z_stride] + 0.5 * (double)weight[j];
        sum += offset * offset;
    }
    return sum;
}
