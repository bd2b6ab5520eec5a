/* Columns of whole numbers, row by row. */
#include "implementations.h"

COLUMNS_SUM_FN(columns_add_ref)
{
    for (size_t word = 0; word < word_count; word++) {
        over[word] = 0;
        for (size_t bit = 0; bit < 64; bit++) {
            size_t i = 64 * word + bit;
            over[word] |= (uint64_t)__builtin_add_overflow(a[i], b[i], &out[i]) << bit;
        }
    }
}

COLUMNS_SUM_FN(columns_subtract_ref)
{
    for (size_t word = 0; word < word_count; word++) {
        over[word] = 0;
        for (size_t bit = 0; bit < 64; bit++) {
            size_t i = 64 * word + bit;
            over[word] |= (uint64_t)__builtin_sub_overflow(a[i], b[i], &out[i]) << bit;
        }
    }
}

COLUMNS_COMPARE_FN(columns_less_ref)
{
    for (size_t word = 0; word < word_count; word++) {
        out[word] = 0;
        for (size_t bit = 0; bit < 64; bit++)
            out[word] |= (uint64_t)(a[64 * word + bit] < b[64 * word + bit]) << bit;
    }
}

COLUMNS_COMPARE_FN(columns_least_ref)
{
    for (size_t word = 0; word < word_count; word++) {
        out[word] = 0;
        for (size_t bit = 0; bit < 64; bit++)
            out[word] |= (uint64_t)(a[64 * word + bit] <= b[64 * word + bit]) << bit;
    }
}

COLUMNS_COMPARE_FN(columns_equal_ref)
{
    for (size_t word = 0; word < word_count; word++) {
        out[word] = 0;
        for (size_t bit = 0; bit < 64; bit++)
            out[word] |= (uint64_t)(a[64 * word + bit] == b[64 * word + bit]) << bit;
    }
}

COLUMNS_CHOOSE_FN(columns_choose_ref)
{
    for (size_t i = 0; i < 64 * word_count; i++)
        out[i] = bits[i / 64] >> i % 64 & 1 ? a[i] : b[i];
}
