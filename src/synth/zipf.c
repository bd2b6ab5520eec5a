#include "synth/zipf.h"

#include <string.h>

#include "synth/random.h"

static const double ln_2 = 0.69314718055994530942;

double exp2_plain(double x)
{
    static const double factors[] = {1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
                                     1.0 / 24,      1.0 / 6,      0.5,         1.0,        1.0};
    int64_t whole = (int64_t)(x + 1024.5) - 1024; /* nearest: the rest is in [-½, ½] */
    double y = (x - (double)whole) * ln_2, sum = factors[0];
    for (unsigned i = 1; i < sizeof factors / sizeof *factors; i++)
        sum = sum * y + factors[i];
    uint64_t bits = (uint64_t)(1023 + whole) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

double log2_plain(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t exponent = (int64_t)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    memcpy(&x, &bits, sizeof x);
    double t = (x - 1.0) / (x + 1.0), square = t * t, sum = 0.0; /* atanh series; t in [0, ⅓) */
    for (int i = 21; i >= 1; i -= 2)
        sum = sum * square + 1.0 / i;
    return (double)exponent + 2.0 * t * sum / ln_2;
}

void zipf_init(struct zipf *zipf, uint32_t count)
{
    *zipf = (struct zipf){.count = count, .head_count = count < ZIPF_HEAD ? count : ZIPF_HEAD};
    for (uint32_t i = 0; i < zipf->head_count; i++)
        zipf->head[i] = zipf->total += 1.0 / (i + 1.0);
    if (count > ZIPF_HEAD) {
        zipf->tail_log2 = log2_plain((count + 0.5) / (ZIPF_HEAD + 0.5));
        zipf->total += zipf->tail_log2 * ln_2;
    }
}

static uint32_t head_rank(const struct zipf *zipf, double at)
{
    uint32_t low = 0, high = zipf->head_count - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (zipf->head[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t zipf_rank(const struct zipf *zipf, uint64_t bits)
{
    double at = unit(bits) * zipf->total, head = zipf->head[zipf->head_count - 1];
    if (at < head || zipf->count == zipf->head_count)
        return head_rank(zipf, at);
    double share = (at - head) / (zipf->total - head);
    uint32_t rank = (uint32_t)((ZIPF_HEAD + 0.5) * exp2_plain(share * zipf->tail_log2) + 0.5) - 1;
    return rank < zipf->count ? rank : zipf->count - 1;
}
