#ifndef SLUICE_CHECK_H
#define SLUICE_CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"
#include "kernels.h"

/* What the kernel checks share: options, seeds, extreme floats, guarded memory, one line of counts at the end.
 *     check_panel [--only NAME] [--seed N] [--soak]
 * A check's name is kernel_isa; --only takes a part of it. The same seed gives the same inputs. */

struct check {
    const char *only;
    uint64_t seed, state;
    bool soak;
    unsigned passed, failed, skipped;
    uint64_t digest; /* of the twins' results: the same seed gives the same on every processor */
    char name[64];   /* of the check that runs */
    unsigned complaints;
};

/* --- random -------------------------------------------------------------------------------------------------------- */

static inline uint64_t check_random(struct check *check) /* splitmix64 */
{
    uint64_t x = check->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint32_t check_below(struct check *check, uint32_t end)
{
    return (uint32_t)((check_random(check) >> 32) * end >> 32);
}

static inline float check_uniform(struct check *check, float low, float high)
{
    return low + (high - low) * (float)(check_random(check) >> 40) * 0x1p-24f;
}

static inline float check_float_of(uint32_t bits)
{
    float x;
    return memcpy(&x, &bits, sizeof x), x;
}

static inline uint32_t check_bits_of(float x)
{
    uint32_t bits;
    return memcpy(&bits, &x, sizeof bits), bits;
}

/* Any finite float: every exponent is as likely. */
static inline float check_any_float(struct check *check)
{
    uint32_t bits = (uint32_t)(check_random(check) >> 32);
    return check_float_of((bits & 0x7f800000u) == 0x7f800000u ? bits & 0xbfffffffu : bits);
}

enum check_fill { FILL_USUAL, FILL_CLIPPED, FILL_ZEROS, FILL_SUBNORMAL, FILL_TINY, FILL_HUGE, FILL_ANY, FILL_COUNT };

static inline float check_filled(struct check *check, enum check_fill fill)
{
    float sign = check_random(check) >> 63 ? -1.0f : 1.0f;
    switch (fill) {
    case FILL_CLIPPED:
        return check_below(check, 2) ? 12.0f : -6.0f;
    case FILL_ZEROS:
        return sign * (check_below(check, 3) ? 0.0f : 1.0f);
    case FILL_SUBNORMAL:
        return sign * check_float_of(check_below(check, 1u << 23));
    case FILL_TINY:
        return sign * check_uniform(check, 0x1p-80f, 0x1p-70f);
    case FILL_HUGE:
        return sign * check_uniform(check, 0x1p60f, 0x1p66f);
    case FILL_ANY:
        return check_any_float(check);
    default:
        return check_uniform(check, -4.0f, 4.0f);
    }
}

/* --- guarded memory ------------------------------------------------------------------------------------------------- */

enum { GUARD_BYTES = 256, GUARD_BYTE = 0xa5 };

struct guarded {
    unsigned char *block;
    float *data; /* 64-byte aligned, plus the offset asked for; all bytes GUARD_BYTE at first */
    size_t bytes, shift;
};

static inline struct guarded guarded_take(size_t floats, size_t shift_floats)
{
    struct guarded guarded = {.bytes = floats * sizeof(float), .shift = shift_floats * sizeof(float)};
    size_t whole = 2 * (size_t)GUARD_BYTES + guarded.bytes + guarded.shift;
    guarded.block = memory_take_aligned(whole, 64);
    MUST(guarded.block);
    memset(guarded.block, GUARD_BYTE, whole);
    guarded.data = (float *)(void *)(guarded.block + GUARD_BYTES + guarded.shift);
    return guarded;
}

static inline bool guard_whole(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != GUARD_BYTE)
            return false;
    return true;
}

static inline bool guarded_intact(const struct guarded *guarded)
{
    return guard_whole(guarded->block, GUARD_BYTES + guarded->shift) &&
           guard_whole(guarded->block + GUARD_BYTES + guarded->shift + guarded->bytes, GUARD_BYTES);
}

static inline void guarded_give(struct guarded *guarded)
{
    memory_give(guarded->block);
    *guarded = (struct guarded){0};
}

/* --- running -------------------------------------------------------------------------------------------------------- */

static inline void check_open(struct check *check, int argc, char **argv)
{
    const char *seed = getenv("SLUICE_SEED");
    *check = (struct check){.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL)};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--soak") == 0)
            check->soak = true;
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            check->only = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            check->seed = strtoull(argv[++i], NULL, 10);
        else {
            fprintf(stderr, "usage: %s [--only NAME] [--seed N] [--soak]\n", argv[0]);
            exit(2);
        }
    }
    printf("seed %llu\n", (unsigned long long)check->seed);
}

/* True when this one is to run; every one starts from the seed, so that --only repeats what it saw. */
static inline bool check_begin(struct check *check, const char *kernel, const char *isa)
{
    snprintf(check->name, sizeof check->name, "%s_%s", kernel, isa);
    check->state = check->seed;
    check->complaints = 0;
    return !check->only || strstr(check->name, check->only);
}

/* Says what is wrong, a few times; check_end counts. */
__attribute__((format(printf, 3, 4))) static inline bool check_that(struct check *check, bool holds, const char *format, ...)
{
    if (holds)
        return true;
    if (check->complaints++ < 5) {
        va_list arguments;
        va_start(arguments, format);
        printf("%s: ", check->name);
        vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
    return false;
}

/* FNV-1a over the bits of results; NULL: not of the twin. */
static inline void check_digest(struct check *check, const float *results, size_t count)
{
    for (size_t i = 0; i < count && results; i++)
        check->digest = (check->digest ^ check_bits_of(results[i])) * 0x100000001b3u;
}

static inline void check_end(struct check *check)
{
    if (check->complaints)
        printf("%s: failed, %u times\n", check->name, check->complaints);
    check->complaints ? check->failed++ : check->passed++;
}

static inline int check_close(const struct check *check)
{
    if (check->digest)
        printf("twin %016llx\n", (unsigned long long)check->digest);
    printf("%u passed, %u failed, %u skipped\n", check->passed, check->failed, check->skipped);
    return check->failed || !(check->passed + check->skipped) ? 1 : 0;
}

/* --- instruction sets ----------------------------------------------------------------------------------------------- */

struct check_isa {
    const char *name;
    unsigned mask;
};
static const struct check_isa check_isas[] = {
    {"ref", 0},
#if defined __x86_64__
    {"avx2", CPU_AVX2},
    {"avx512", CPU_AVX2 | CPU_AVX512},
#elif defined __aarch64__
    {"neon", CPU_NEON},
#endif
};
enum { CHECK_ISA_COUNT = sizeof check_isas / sizeof *check_isas };

/* The kernels of one instruction set by forced mask; false, counted and said: this machine lacks it. */
static inline bool check_select(struct check *check, struct kernels *out, const struct check_isa *isa)
{
    kernels_select(out, isa->mask);
    if (strcmp(out->name, isa->name) == 0)
        return true;
    printf("%s_%s: skipped, this machine lacks it\n", check->name, isa->name);
    check->skipped++;
    return false;
}

/* Runs one check on every instruction set. */
static inline void check_everywhere(struct check *check, const char *kernel, void (*run)(struct check *, const struct kernels *))
{
    for (size_t i = 0; i < CHECK_ISA_COUNT; i++) {
        struct kernels kernels;
        if (!check_begin(check, kernel, check_isas[i].name) || !check_select(check, &kernels, &check_isas[i]))
            continue;
        run(check, &kernels);
        check_end(check);
    }
}

#endif
