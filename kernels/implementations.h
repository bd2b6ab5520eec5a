#ifndef SLUICE_IMPLEMENTATIONS_H
#define SLUICE_IMPLEMENTATIONS_H

#include "kernels.h"

/* Every implementation of every kernel, by the shape's prototype macro. Only select.c and the files that define them include this. */
#define KERNELS_OF(isa) \
    PANEL_MIN_FN(panel_min_##isa); \
    PANEL_NEAREST_FN(panel_nearest_##isa); \
    STANDARDISE_FN(standardise_##isa); \
    MAP_FN(log_##isa); \
    MAP_FN(log1p_##isa); \
    MAP_FN(exp_##isa); \
    POINTS_MEAN_FN(points_mean_##isa); \
    SQRT_MEAN_FN(sqrt_mean_##isa); \
    ROW_NORM_FN(row_norm_##isa); \
    POINTS_NEAREST_FN(points_nearest_##isa); \
    POINT_SHARES_FN(point_shares_##isa); \
    OFFSET_SUMS_FN(offset_sums_##isa); \
    RESIDUALS_FN(residuals_##isa); \
    ADAM_FN(adam_##isa); \
    PANEL_PACK_FN(panel_pack_##isa); \
    COLUMNS_SUM_FN(columns_add_##isa); \
    COLUMNS_SUM_FN(columns_subtract_##isa); \
    COLUMNS_COMPARE_FN(columns_less_##isa); \
    COLUMNS_COMPARE_FN(columns_least_##isa); \
    COLUMNS_COMPARE_FN(columns_equal_##isa); \
    COLUMNS_CHOOSE_FN(columns_choose_##isa);

#define KERNELS_TABLE(isa) \
    { \
        .name = #isa, .panel_min = panel_min_##isa, .panel_nearest = panel_nearest_##isa, .standardise = standardise_##isa, \
        .log = log_##isa, .log1p = log1p_##isa, .exp = exp_##isa, .points_mean = points_mean_##isa, .sqrt_mean = sqrt_mean_##isa, \
        .row_norm = row_norm_##isa, .points_nearest = points_nearest_##isa, .point_shares = point_shares_##isa, \
        .offset_sums = offset_sums_##isa, .residuals = residuals_##isa, .adam = adam_##isa, .panel_pack = panel_pack_##isa, \
        .columns_add = columns_add_##isa, .columns_subtract = columns_subtract_##isa, .columns_less = columns_less_##isa, \
        .columns_least = columns_least_##isa, .columns_equal = columns_equal_##isa, .columns_choose = columns_choose_##isa, \
    }

KERNELS_OF(ref)
#if defined __x86_64__
KERNELS_OF(avx2)
KERNELS_OF(avx512)
#elif defined __aarch64__
KERNELS_OF(neon)
#endif

#endif
