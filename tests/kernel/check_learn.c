/* offset_sums, residuals, adam, panel_pack: every instruction set gives the twin's bits; the twin is what the contract says in double. */
#include "kernel/check.h"

static bool same_bits(const float *a, const float *b, size_t count)
{
    return count == 0 || memcmp(a, b, count * sizeof *a) == 0;
}

static struct guarded filled_take(struct check *check, size_t floats, enum check_fill fill)
{
    struct guarded out = guarded_take(floats, 0);
    for (size_t i = 0; i < floats; i++)
        out.data[i] = check_filled(check, fill);
    return out;
}

static struct guarded copy_take(const struct guarded *from, size_t floats)
{
    struct guarded out = guarded_take(floats, 0);
    memcpy(out.data, from->data, floats * sizeof(float));
    return out;
}

static enum check_fill usual_fill(struct check *check)
{
    return check_below(check, 3) ? FILL_USUAL : (enum check_fill)check_below(check, FILL_COUNT);
}

/* What overflowed may be NaN, whose sign is each processor's own. */
static void finite_digest(struct check *check, const float *results, size_t count)
{
    for (size_t i = 0; i < count && results; i++)
        if (isfinite(results[i]))
            check_digest(check, &results[i], 1);
}

/* --- offset_sums --------------------------------------------------------------------------------------------------------- */

/* Sets of some clusters each; rows of whole lines, so that every float counts. */
static void sums_shape(struct check *check, const struct kernels *kernels, size_t rows, size_t lines, size_t sets)
{
    size_t stride = lines * TILE_ROWS, set_stride = rows + check_below(check, 3);
    uint32_t set_first[68] = {0};
    for (size_t t = 0; t < sets; t++)
        set_first[t + 1] = set_first[t] + 1 + check_below(check, 7);
    size_t cells = set_first[sets] * stride;
    struct guarded centre = filled_take(check, cells, usual_fill(check)), z = filled_take(check, rows * stride, usual_fill(check));
    struct guarded first = filled_take(check, cells, FILL_USUAL), second = filled_take(check, cells, FILL_USUAL);
    struct guarded twin_first = copy_take(&first, cells), twin_second = copy_take(&second, cells);
    struct guarded index = guarded_take(sets * set_stride, 1), weight = filled_take(check, sets * set_stride, usual_fill(check));
    double whole = 0, want = 0, reach = 0;
    for (size_t t = 0; t < sets; t++)
        for (size_t i = 0; i < set_stride; i++) {
            uint32_t k = check_below(check, set_first[t + 1] - set_first[t]);
            memcpy(&index.data[t * set_stride + i], &k, sizeof k);
            if (i >= rows || stride == 0)
                continue;
            double d = (double)z.data[i * stride] - (double)centre.data[(set_first[t] + k) * stride];
            want += (double)weight.data[t * set_stride + i] * d;
            reach += fabs((double)weight.data[t * set_stride + i]) * (fabs((double)z.data[i * stride]) + fabs(d));
        }
    for (size_t k = 0; stride && k < set_first[sets]; k++)
        whole -= (double)first.data[k * stride], reach += fabs((double)first.data[k * stride]);
    kernels->offset_sums(first.data, second.data, centre.data, z.data, stride, rows, (uint32_t *)(void *)index.data, weight.data, set_first,
                         sets, set_stride);
    kernels_ref.offset_sums(twin_first.data, twin_second.data, centre.data, z.data, stride, rows, (uint32_t *)(void *)index.data,
                            weight.data, set_first, sets, set_stride);
    finite_digest(check, kernels->offset_sums == kernels_ref.offset_sums ? first.data : NULL, cells);
    finite_digest(check, kernels->offset_sums == kernels_ref.offset_sums ? second.data : NULL, cells);
    check_that(check, same_bits(first.data, twin_first.data, cells) && same_bits(second.data, twin_second.data, cells),
               "%zu rows x %zu, %zu sets differ from the twin", rows, stride, sets);
    for (size_t k = 0; stride && k < set_first[sets]; k++)
        whole += (double)first.data[k * stride];
    check_that(check, reach > 0x1p100 || fabs(whole - want) <= 0x1p-23 * (double)(rows * sets + 2) * reach + 0x1p-120,
               "%zu rows, %zu sets: sums %.9g, want %.9g", rows, sets, whole, want);
    check_that(check, guarded_intact(&first) && guarded_intact(&second), "%zu rows x %zu: written outside", rows, stride);
    struct guarded *all[] = {&centre, &z, &first, &second, &twin_first, &twin_second, &index, &weight};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        guarded_give(all[i]);
}

static void sums_check(struct check *check, const struct kernels *kernels)
{
    for (int round = 0; round < (check->soak ? 100 : 3); round++)
        for (uint32_t n = 0; n <= 67; n++) {
            const uint32_t rows = 1 + check_below(check, 67), lines = 1 + check_below(check, 4), sets = 1 + check_below(check, 9);
            sums_shape(check, kernels, n, lines, sets);
            sums_shape(check, kernels, rows, lines, n);
            sums_shape(check, kernels, rows, n % 9, sets);
        }
}

/* --- residuals ----------------------------------------------------------------------------------------------------------- */

static double evidence_of(const float *const *distance, size_t dimensions, float bias, size_t at)
{
    double evidence = (double)bias;
    for (size_t g = 0; g < dimensions; g++)
        evidence -= (double)distance[g][at];
    return evidence;
}

/* Of usual values, near the derivative of cross-entropy in double, and over all scenes they are nothing. */
static void residuals_judge(struct check *check, const float *out, size_t stride, size_t row, const float *const *distance,
                            size_t dimensions, const float *bias, size_t scenes, float label, float weight)
{
    double sum = 0, all = 0, first = evidence_of(distance, dimensions, bias[0], row);
    for (size_t s = 0; s < scenes; s++)
        sum += exp(fmin(80, fmax(-80, evidence_of(distance, dimensions, bias[s], s * stride + row) - first)));
    for (size_t s = 0; s < scenes; s++) {
        double share = exp(fmin(80, fmax(-80, evidence_of(distance, dimensions, bias[s], s * stride + row) - first))) / sum;
        double want = (double)weight * (share - ((float)s == label)), got = (double)out[s * stride + row];
        all += got;
        check_that(check, fabs(got - want) <= 1e-4 * fabs((double)weight), "scene %zu of %zu: %.9g, want %.9g", s, scenes, got, want);
    }
    check_that(check, fabs(all) <= 1e-5 * fabs((double)weight), "%zu scenes: together %.9g", scenes, all);
}

static void residuals_shape(struct check *check, const struct kernels *kernels, size_t tiles, size_t scenes, size_t dimensions)
{
    size_t rows = tiles * TILE_ROWS, stride = rows + check_below(check, 3) * TILE_ROWS, cells = scenes * stride;
    enum check_fill fill = usual_fill(check);
    struct guarded all = filled_take(check, (dimensions + 1) * cells, fill), bias = filled_take(check, scenes, FILL_USUAL);
    struct guarded label = guarded_take(rows, 0), weight = filled_take(check, rows, FILL_USUAL);
    struct guarded out = guarded_take(cells, 0), twin = guarded_take(cells, 0);
    const float *distance[8];
    for (size_t g = 0; g < dimensions; g++)
        distance[g] = all.data + g * cells;
    for (size_t row = 0; row < rows; row++)
        label.data[row] = (float)check_below(check, (uint32_t)scenes);
    kernels->residuals(out.data, stride, rows, distance, dimensions, bias.data, scenes, label.data, weight.data);
    kernels_ref.residuals(twin.data, stride, rows, distance, dimensions, bias.data, scenes, label.data, weight.data);
    for (size_t s = 0; s < scenes; s++) {
        finite_digest(check, kernels->residuals == kernels_ref.residuals ? out.data + s * stride : NULL, rows);
        check_that(check, same_bits(out.data + s * stride, twin.data + s * stride, rows), "%zu rows, %zu scenes, %zu dimensions differ",
                   rows, scenes, dimensions);
        check_that(check, guard_whole((unsigned char *)(out.data + s * stride + rows), (stride - rows) * sizeof(float)),
                   "%zu rows, %zu scenes: written between", rows, scenes);
    }
    for (size_t row = 0; fill == FILL_USUAL && row < rows; row++)
        residuals_judge(check, out.data, stride, row, distance, dimensions, bias.data, scenes, label.data[row], weight.data[row]);
    check_that(check, guarded_intact(&out), "%zu rows, %zu scenes: written outside", rows, scenes);
    struct guarded *taken[] = {&all, &bias, &label, &weight, &out, &twin};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        guarded_give(taken[i]);
}

static void residuals_check(struct check *check, const struct kernels *kernels)
{
    for (int round = 0; round < (check->soak ? 200 : 5); round++)
        for (uint32_t n = 0; n <= 33; n++) {
            const uint32_t tiles = check_below(check, 9), scenes = 1 + check_below(check, 8), dimensions = check_below(check, 9);
            residuals_shape(check, kernels, tiles, 1 + n, dimensions);
            residuals_shape(check, kernels, n / 4, scenes, dimensions);
        }
}

/* --- adam ---------------------------------------------------------------------------------------------------------------- */

static struct adam adam_draw(struct check *check)
{
    struct adam adam = {.keep_first = 0.9f, .keep_second = 0.999f, .small = 1e-8f};
    adam.factor = check_below(check, 2) ? 1.0f : -0.5f;
    adam.rate = check_uniform(check, 0.0f, 0.5f);
    adam.second_scale = check_uniform(check, 1.0f, 1000.0f);
    adam.shift = check_uniform(check, 0.0f, 0.01f);
    adam.low = check_below(check, 2) ? -INFINITY : -1.0f;
    adam.high = check_below(check, 2) ? INFINITY : 2.0f;
    return adam;
}

/* The step in double, where nothing overflows. */
static void adam_judge(struct check *check, const struct adam *adam, float x, float m, float v, double g, float got)
{
    double first = (double)adam->keep_first * (double)m + (1 - (double)adam->keep_first) * g;
    double second = (double)adam->keep_second * (double)v + (1 - (double)adam->keep_second) * g * g;
    double root = sqrt(second * (double)adam->second_scale) + (double)adam->small;
    double want = fmin(fmax((double)x - (double)adam->rate * first / root - (double)adam->shift, (double)adam->low), (double)adam->high);
    double reach = 1 + fabs((double)x) + fabs((double)adam->rate * (fabs((double)m) + fabs(g)) / root);
    check_that(check, fabs((double)got - want) <= 1e-4 * reach, "x %.9g: %.9g, want %.9g", (double)x, (double)got, want);
}

static void adam_shape(struct check *check, const struct kernels *kernels, size_t tiles, size_t parts)
{
    size_t count = tiles * TILE_ROWS, part_stride = count + check_below(check, 3) * TILE_ROWS;
    const struct adam adam = adam_draw(check);
    enum check_fill fill = usual_fill(check);
    struct guarded x = filled_take(check, count, FILL_USUAL), m = filled_take(check, count, fill), v = filled_take(check, count, fill);
    struct guarded gradient = filled_take(check, parts * part_stride, fill), scale = filled_take(check, count, FILL_USUAL);
    for (size_t i = 0; i < count; i++)
        v.data[i] = fabsf(v.data[i]);
    struct guarded was = copy_take(&x, count), was_m = copy_take(&m, count), was_v = copy_take(&v, count);
    struct guarded twin_x = copy_take(&x, count), twin_m = copy_take(&m, count), twin_v = copy_take(&v, count);
    kernels->adam(x.data, m.data, v.data, gradient.data, parts, part_stride, scale.data, count, &adam);
    kernels_ref.adam(twin_x.data, twin_m.data, twin_v.data, gradient.data, parts, part_stride, scale.data, count, &adam);
    finite_digest(check, kernels->adam == kernels_ref.adam ? x.data : NULL, count);
    for (size_t i = 0; i < count; i++) /* what overflowed may be NaN of any sign */
        check_that(check,
                   (isnan(x.data[i]) && isnan(twin_x.data[i])) ||
                       (same_bits(&x.data[i], &twin_x.data[i], 1) && same_bits(&m.data[i], &twin_m.data[i], 1) &&
                        same_bits(&v.data[i], &twin_v.data[i], 1)),
                   "%zu parameters, %zu parts: %zu differs from the twin", count, parts, i);
    for (size_t i = 0; fill == FILL_USUAL && i < count; i++) {
        double g = 0;
        for (size_t p = 0; p < parts; p++)
            g += (double)gradient.data[p * part_stride + i];
        adam_judge(check, &adam, was.data[i], was_m.data[i], was_v.data[i], g * (double)scale.data[i] * (double)adam.factor, x.data[i]);
    }
    check_that(check, guarded_intact(&x) && guarded_intact(&m) && guarded_intact(&v), "%zu parameters: written outside", count);
    struct guarded *taken[] = {&x, &m, &v, &gradient, &scale, &was, &was_m, &was_v, &twin_x, &twin_m, &twin_v};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        guarded_give(taken[i]);
}

static void adam_check(struct check *check, const struct kernels *kernels)
{
    for (int round = 0; round < (check->soak ? 500 : 20); round++)
        for (uint32_t tiles = 0; tiles <= 9; tiles++)
            adam_shape(check, kernels, tiles, 1 + check_below(check, 5));
}

/* --- panel_pack ---------------------------------------------------------------------------------------------------------- */

static void pack_shape(struct check *check, const struct kernels *kernels, uint32_t columns, uint32_t clusters)
{
    size_t stride = tile_count(columns) * TILE_ROWS, cells = stride * clusters, floats = 2 * (size_t)columns * clusters;
    enum check_fill fill = usual_fill(check);
    struct guarded centre = filled_take(check, cells, fill), precision = filled_take(check, cells, fill);
    struct guarded ab = guarded_take(floats, check_below(check, 2)), twin = guarded_take(floats, 0);
    for (size_t i = 0; i < cells; i++)
        precision.data[i] = fabsf(precision.data[i]);
    kernels->panel_pack(ab.data, centre.data, precision.data, stride, columns, clusters);
    kernels_ref.panel_pack(twin.data, centre.data, precision.data, stride, columns, clusters);
    finite_digest(check, kernels->panel_pack == kernels_ref.panel_pack ? ab.data : NULL, floats);
    check_that(check, same_bits(ab.data, twin.data, floats), "%u x %u differ from the twin", columns, clusters);
    for (uint32_t k = 0; fill == FILL_USUAL && k < clusters; k++)
        for (uint32_t j = 0; j < columns; j++) {
            double a = sqrt(0.5 * (double)precision.data[k * stride + j]), b = -(double)centre.data[k * stride + j] * a;
            const float *got = ab.data + 2 * ((size_t)k * columns + j);
            check_that(check, fabs((double)got[0] - a) <= 1e-6 * a && fabs((double)got[1] - b) <= 1e-6 * fabs(b), "%u x %u: a %.9g b %.9g",
                       columns, clusters, (double)got[0], (double)got[1]);
        }
    check_that(check, guarded_intact(&ab), "%u x %u: written outside", columns, clusters);
    struct guarded *taken[] = {&centre, &precision, &ab, &twin};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        guarded_give(taken[i]);
}

static void pack_check(struct check *check, const struct kernels *kernels)
{
    for (uint32_t columns = 0; columns <= 67; columns++)
        for (uint32_t clusters = 0; clusters <= 9; clusters++)
            pack_shape(check, kernels, columns, clusters);
}

int main(int argc, char **argv)
{
    struct check check;
    check_open(&check, argc, argv);
    check_everywhere(&check, "offset_sums", sums_check);
    check_everywhere(&check, "residuals", residuals_check);
    check_everywhere(&check, "adam", adam_check);
    check_everywhere(&check, "panel_pack", pack_check);
    return check_close(&check);
}
