/* cpu_detect and kernels_select: the best of what is allowed, the reference when nothing is, and no more than there is. */
#include "kernel/check.h"

static const char *expected(unsigned cpu)
{
#if defined __x86_64__
    return cpu & CPU_AVX512 ? "avx512" : cpu & CPU_AVX2 ? "avx2" : "ref";
#else
    return cpu & CPU_NEON ? "neon" : "ref";
#endif
}

static bool complete(const struct kernels *kernels)
{
    return kernels->panel_min && kernels->panel_nearest && kernels->standardise && kernels->log && kernels->log1p && kernels->exp &&
           kernels->points_mean && kernels->sqrt_mean && kernels->row_norm;
}

int main(int argc, char **argv)
{
    struct check check;
    check_open(&check, argc, argv);
    if (check_begin(&check, "kernels_select", "masks")) {
        unsigned cpu = cpu_detect();
        printf("this machine: %s%s%s\n", cpu & CPU_AVX2 ? "avx2 " : "", cpu & CPU_AVX512 ? "avx512 " : "", cpu & CPU_NEON ? "neon" : "");
        for (unsigned mask = 0; mask <= 8; mask++) {
            struct kernels kernels;
            kernels_select(&kernels, mask == 8 ? CPU_MASK_ALL : mask);
            const char *wanted = expected(cpu & (mask == 8 ? CPU_MASK_ALL : mask));
            check_that(&check, strcmp(kernels.name, wanted) == 0, "mask %u gives %s, not %s", mask, kernels.name, wanted);
            check_that(&check, complete(&kernels), "%s lacks a kernel", kernels.name);
        }
        check_that(&check, complete(&kernels_ref) && strcmp(kernels_ref.name, "ref") == 0, "reference");
        check_end(&check);
    }
    return check_close(&check);
}
