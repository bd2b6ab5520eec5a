/* The only file that knows every instruction set. An instruction set counts when both the processor and the
 * operating system offer it: a kernel that does not save the wide registers leaves their bits in XCR0 unset. */
#include "kernels.h"

#include "implementations.h"

const struct kernels kernels_ref = KERNELS_TABLE(ref);

#if defined __x86_64__
#include <cpuid.h>

enum { LEAF1_FMA = 1 << 12, LEAF1_OSXSAVE = 1 << 27, LEAF1_AVX = 1 << 28 };                                /* ecx */
enum { LEAF7_AVX2 = 1 << 5, LEAF7_AVX512F = 1 << 16, LEAF7_AVX512DQ = 1 << 17, LEAF7_AVX512BW = 1 << 30 }; /* ebx */
#define LEAF7_AVX512VL (1u << 31)
enum { XCR0_YMM = 0x06, XCR0_ZMM = 0xe6 };

static const struct kernels kernels_avx2 = KERNELS_TABLE(avx2), kernels_avx512 = KERNELS_TABLE(avx512);

static unsigned xcr0_read(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has_all(unsigned value, unsigned bits)
{
    return (value & bits) == bits;
}

unsigned cpu_detect(void)
{
    unsigned eax, ebx, ecx, edx, found = 0;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has_all(ecx, LEAF1_FMA | LEAF1_OSXSAVE | LEAF1_AVX))
        return 0;
    unsigned saved = xcr0_read();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    if (has_all(saved, XCR0_YMM) && has_all(ebx, LEAF7_AVX2))
        found |= CPU_AVX2;
    if (found && has_all(saved, XCR0_ZMM) && has_all(ebx, LEAF7_AVX512F | LEAF7_AVX512DQ | LEAF7_AVX512BW | LEAF7_AVX512VL))
        found |= CPU_AVX512;
    return found;
}

void kernels_select(struct kernels *out, unsigned cpu_mask)
{
    unsigned cpu = cpu_detect() & cpu_mask;
    *out = cpu & CPU_AVX512 ? kernels_avx512 : cpu & CPU_AVX2 ? kernels_avx2 : kernels_ref;
}

#elif defined __aarch64__

static const struct kernels kernels_neon = KERNELS_TABLE(neon);

unsigned cpu_detect(void)
{
    return CPU_NEON; /* part of the architecture's base */
}

void kernels_select(struct kernels *out, unsigned cpu_mask)
{
    *out = cpu_detect() & cpu_mask & CPU_NEON ? kernels_neon : kernels_ref;
}

#else

unsigned cpu_detect(void)
{
    return 0;
}

void kernels_select(struct kernels *out, unsigned cpu_mask)
{
    (void)cpu_mask;
    *out = kernels_ref;
}

#endif
