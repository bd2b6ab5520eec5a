/* log, log1p, exp, standardise: every instruction set gives the twin's bits, writes only its output, and the
 * twin stays within its stated error. --soak tries every float there is. */
#include <float.h>

#include "kernel/check.h"

enum { CHUNK = 1 << 12 };

/* --- maps ----------------------------------------------------------------------------------------------------------- */

static const float specials[] = {0.0f,         -0.0f,         1.0f,        -1.0f,    2.0f,     0.5f,      FLT_MIN,  -FLT_MIN,
                                 FLT_TRUE_MIN, -FLT_TRUE_MIN, FLT_MAX,     -FLT_MAX, INFINITY, -INFINITY, 88.7228f, 88.72283f,
                                 88.72284f,    -103.9f,       -104.1f,     -87.3f,   0.99999f, 1.00001f,  1e-8f,    -1e-8f,
                                 0x1p-24f,     -0x1p-24f,     -0.9999999f, 1.33333f, 0.66667f, 3e38f};

static void map_compare(struct check *check, map_fn *map, map_fn *twin, const float *x, size_t count)
{
    static float out[CHUNK], wanted[CHUNK];
    map(out, x, count);
    twin(wanted, x, count);
    check_digest(check, map == twin ? wanted : NULL, count);
    for (size_t i = 0; i < count; i++)
        check_that(check, check_bits_of(out[i]) == check_bits_of(wanted[i]), "of %a: %a, twin %a", x[i], out[i], wanted[i]);
}

/* Every count up to 67, at odd places, in place too; nothing past the count is touched. */
static void map_tails(struct check *check, map_fn *map, map_fn *twin)
{
    for (size_t count = 0; count <= 67; count++) {
        struct guarded x = guarded_take(count, 1), out = guarded_take(count, 3), wanted = guarded_take(count, 0);
        for (size_t i = 0; i < count; i++)
            x.data[i] = check_any_float(check);
        twin(wanted.data, x.data, count);
        map(out.data, x.data, count);
        map(x.data, x.data, count);
        check_that(check, count == 0 || memcmp(out.data, wanted.data, count * sizeof(float)) == 0, "%zu floats differ from the twin",
                   count);
        check_that(check, count == 0 || memcmp(x.data, wanted.data, count * sizeof(float)) == 0, "%zu floats in place differ", count);
        check_that(check, guarded_intact(&x) && guarded_intact(&out), "%zu floats: written outside", count);
        guarded_give(&x);
        guarded_give(&out);
        guarded_give(&wanted);
    }
}

static void map_check(struct check *check, map_fn *map, map_fn *twin)
{
    static float x[CHUNK];
    map_tails(check, map, twin);
    map_compare(check, map, twin, specials, sizeof specials / sizeof *specials);
    for (int chunk = 0; chunk < 64; chunk++) {
        for (size_t i = 0; i < CHUNK; i++)
            x[i] = chunk & 1 ? check_any_float(check) : check_uniform(check, -110.0f, 110.0f);
        map_compare(check, map, twin, x, CHUNK);
    }
    for (uint64_t bits = 0; check->soak && map != twin && bits <= UINT32_MAX; bits += CHUNK) {
        for (size_t i = 0; i < CHUNK; i++)
            x[i] = check_float_of((uint32_t)(bits + i));
        if (!isnan(x[CHUNK - 1])) /* NaN is not in the contract; infinity is among the specials */
            map_compare(check, map, twin, x, CHUNK);
    }
}

static void log_check(struct check *check, const struct kernels *kernels)
{
    map_check(check, kernels->log, kernels_ref.log);
}

static void log1p_check(struct check *check, const struct kernels *kernels)
{
    map_check(check, kernels->log1p, kernels_ref.log1p);
}

static void exp_check(struct check *check, const struct kernels *kernels)
{
    map_check(check, kernels->exp, kernels_ref.exp);
}

/* --- the twins against the true functions ----------------------------------------------------------------------------- */

static double ulp_error(float got, double wanted)
{
    int exponent;
    frexp(wanted, &exponent);
    return fabs((double)got - wanted) / ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

static void true_check(struct check *check, const char *name, float (*twin)(float), double (*function)(double), float low, float high,
                       double ulp_most)
{
    if (!check_begin(check, name, "ulp"))
        return;
    double worst = 0;
    uint64_t step = check->soak ? 1 : 1021;
    for (uint64_t bits = check->soak ? 0 : check_below(check, 1021); bits <= UINT32_MAX; bits += step) {
        float x = check_float_of((uint32_t)bits);
        if (!(x >= low && x <= high))
            continue;
        double error = ulp_error(twin(x), function((double)x));
        worst = error > worst ? error : worst;
        check_that(check, error <= ulp_most, "of %a: %.3f ulp, at most %.2f", x, error, ulp_most);
    }
    printf("%s: %.4f ulp at most\n", check->name, worst);
    check_end(check);
}

static void edges_check(struct check *check)
{
    if (!check_begin(check, "map_edges", "ref"))
        return;
    const float least = kernel_log(FLT_TRUE_MIN), least1 = kernel_log1p(-0x1.fffffep-1f), most = kernel_exp(88.72283f);
    check_that(check, kernel_log(0) == least && kernel_log(-0.0f) == least && kernel_log(-INFINITY) == least, "log at and below 0");
    check_that(check, fabsf(kernel_log(INFINITY) - 88.72284f) < 1e-4f, "log of infinity");
    check_that(check, kernel_log(1) == 0 && kernel_log1p(0) == 0 && kernel_exp(0) == 1 && kernel_exp(-0.0f) == 1, "exact points");
    check_that(check, kernel_log1p(-1) == least1 && kernel_log1p(-INFINITY) == least1, "log1p at and below -1");
    check_that(check, kernel_log1p(INFINITY) == kernel_log1p(FLT_MAX), "log1p of infinity");
    check_that(check, kernel_exp(-INFINITY) == 0 && kernel_exp(-104) == 0 && kernel_exp(-103) > 0, "exp of little");
    check_that(check, isfinite(most) && kernel_exp(INFINITY) == most && kernel_exp(1e9f) == most && most > 3.4e38f, "exp of much");
    check_end(check);
}

/* --- standardise ------------------------------------------------------------------------------------------------------ */

static void standardise_shape(struct check *check, const struct kernels *kernels, size_t rows)
{
    size_t tiles = tile_count(rows), columns = 1 + check_below(check, 5), column = check_below(check, (uint32_t)columns);
    enum check_fill fill = (enum check_fill)check_below(check, FILL_COUNT);
    struct guarded x = guarded_take(rows, check_below(check, 2)), z = guarded_take(tiles * columns * TILE_ROWS, 0),
                   twin = guarded_take(tiles * columns * TILE_ROWS, 0);
    for (size_t i = 0; i < rows; i++)
        x.data[i] = check_filled(check, fill);
    float mean = check_below(check, 2) ? check_filled(check, FILL_USUAL) : 0.0f;
    float rscale = check_below(check, 3) ? check_uniform(check, 0.01f, 10.0f) : 0x1p-100f; /* the last: values down to ±0 */
    float low = check_below(check, 2) ? -6.0f : 0.0f, high = check_below(check, 2) ? 12.0f : -0.0f;
    kernels->standardise(z.data + column * TILE_ROWS, columns * TILE_ROWS, x.data, rows, mean, rscale, low, high);
    kernels_ref.standardise(twin.data + column * TILE_ROWS, columns * TILE_ROWS, x.data, rows, mean, rscale, low, high);
    check_that(check, memcmp(z.data, twin.data, z.bytes) == 0, "%zu rows differ from the twin, or other columns were written", rows);
    for (size_t row = rows; row < tiles * TILE_ROWS; row++)
        check_that(check, z.data[(row / TILE_ROWS * columns + column) * TILE_ROWS + row % TILE_ROWS] == 0, "lane %zu is not 0", row);
    check_that(check, guarded_intact(&z) && guarded_intact(&x), "%zu rows: written outside", rows);
    guarded_give(&x);
    guarded_give(&z);
    guarded_give(&twin);
}

static void standardise_check(struct check *check, const struct kernels *kernels)
{
    for (size_t rows = 0; rows <= 67; rows++)
        for (int i = 0; i < 10; i++)
            standardise_shape(check, kernels, rows);
    static const float x[] = {-1e30f, -3.0f, 5.0f, 1e30f};
    _Alignas(64) float z[TILE_ROWS];
    kernels->standardise(z, TILE_ROWS, x, 4, 1.0f, 2.0f, -6.0f, 12.0f);
    check_that(check, z[0] == -6.0f && z[1] == -6.0f && z[2] == 8.0f && z[3] == 12.0f && z[4] == 0.0f, "plain numbers");
}

int main(int argc, char **argv)
{
    struct check check;
    check_open(&check, argc, argv);
    check_everywhere(&check, "log", log_check);
    check_everywhere(&check, "log1p", log1p_check);
    check_everywhere(&check, "exp", exp_check);
    check_everywhere(&check, "standardise", standardise_check);
    true_check(&check, "log", kernel_log, log, FLT_TRUE_MIN, FLT_MAX, 0.94);
    true_check(&check, "log1p", kernel_log1p, log1p, -0x1.fffffep-1f, FLT_MAX, 1.55);
    true_check(&check, "exp", kernel_exp, exp, -200.0f, 88.72283f, 0.90);
    edges_check(&check);
    return check_close(&check);
}
