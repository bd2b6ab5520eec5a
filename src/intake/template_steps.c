/* Arithmetic, comparisons, logic. Sums, differences and comparisons are what templates are made of: their loops have no branch. */
#include "intake/template_steps.h"

#include <string.h>

#include "base/clock.h"
#include "base/must.h"

/* --- heads ------------------------------------------------------------------------------------------------------------ */

static void head_of_one(struct lane_head *out, const struct lane_head *a)
{
    memcpy(out, a, sizeof *out);
}

static void head_of_two(struct lane_head *out, const struct lane_head *a, const struct lane_head *b)
{
    for (uint32_t word = 0; word < CHUNK_WORDS; word++) {
        out->valid[word] = a->valid[word] & b->valid[word];
        for (int k = 0; k < TEMPLATE_FAILURE_COUNT; k++)
            out->failed[k][word] = a->failed[k][word] | b->failed[k][word];
    }
}

/* Of those that were valid. */
static inline void fail_bits(struct lane_head *head, enum template_failure failure, uint32_t word, uint64_t bits)
{
    bits &= head->valid[word];
    head->failed[failure][word] |= bits;
    head->valid[word] &= ~bits;
}

#define EACH_WORD for (uint32_t word = 0; word < words; word++)
#define EACH_BIT  for (uint32_t bit = 0; bit < 64; bit++)

/* --- exact numbers ---------------------------------------------------------------------------------------------------- */

/* over: by row, what the kernel found. */
static void sum(struct lane *out, columns_sum_fn *kernel, const struct lane *a, const struct lane *b, uint32_t words)
{
    uint64_t over[CHUNK_WORDS];
    kernel(out->exacts, over, a->exacts, b->exacts, words);
    EACH_WORD fail_bits(&out->head, TEMPLATE_OVERFLOW, word, over[word]);
}

/* by: of each row, or the same for all where stride is 0. */
static void multiply(struct lane *out, const struct lane *a, const int64_t *by, uint32_t stride, uint32_t words)
{
    EACH_WORD
    {
        uint64_t over = 0;
        EACH_BIT
        {
            uint32_t i = 64 * word + bit;
            over |= (uint64_t)__builtin_mul_overflow(a->exacts[i], by[i * stride], &out->exacts[i]) << bit;
        }
        fail_bits(&out->head, TEMPLATE_OVERFLOW, word, over);
    }
}

static void negate(struct lane *out, const struct lane *a, bool only_negative, uint32_t words)
{
    EACH_WORD
    {
        uint64_t over = 0;
        EACH_BIT
        {
            uint32_t i = 64 * word + bit;
            int64_t x = a->exacts[i];
            over |= (uint64_t)(x == INT64_MIN) << bit;
            out->exacts[i] = only_negative && x >= 0 ? x : (int64_t)(0 - (uint64_t)x);
        }
        fail_bits(&out->head, TEMPLATE_OVERFLOW, word, over);
    }
}

/* Halves away from zero. */
static int64_t rounded(int64_t x, int64_t by)
{
    int64_t whole = x / by, left = x % by;
    return whole + (2 * left >= by) - (2 * left <= -by);
}

static void divide(struct lane *out, const struct lane *a, enum step_op op, int64_t by, uint32_t words)
{
    for (uint32_t i = 0; i < 64 * words; i++) {
        int64_t x = a->exacts[i];
        switch (op) {
        case STEP_ROUND:
            out->exacts[i] = by == 1 ? x : rounded(x, by);
            break;
        case STEP_FLOOR:
            out->exacts[i] = x / by - (x % by < 0);
            break;
        case STEP_CEILING:
            out->exacts[i] = x / by + (x % by > 0);
            break;
        default:
            out->exacts[i] = x / by;
        }
    }
}

static void extreme(struct lane *restrict out, const struct lane *restrict a, const struct lane *restrict b, bool is_min, uint32_t words)
{
    for (uint32_t i = 0; i < 64 * words; i++)
        out->exacts[i] = (a->exacts[i] < b->exacts[i]) == is_min ? a->exacts[i] : b->exacts[i];
}

static void to_float(struct lane *out, const struct lane *a, int64_t by, uint32_t words)
{
    for (uint32_t i = 0; i < 64 * words; i++)
        out->floats[i] = (double)a->exacts[i] / (double)by;
}

static void time_part(struct lane *out, const struct lane *a, enum step_op op, uint32_t words)
{
    for (uint32_t i = 0; i < 64 * words; i++) {
        struct civil civil = template_civil(a->exacts[i]);
        out->exacts[i] = op == STEP_YEAR      ? civil.year
                         : op == STEP_MONTH   ? civil.month
                         : op == STEP_DAY     ? civil.day
                         : op == STEP_WEEKDAY ? civil.weekday
                                              : civil.hour;
    }
}

/* --- floats ----------------------------------------------------------------------------------------------------------- */

static bool is_finite(double x)
{
    return x - x == 0.0;
}

void steps_finite(uint64_t *valid, const double *values, uint32_t words)
{
    EACH_WORD
    {
        uint64_t bits = 0;
        EACH_BIT bits |= (uint64_t)is_finite(values[64 * word + bit]) << bit;
        valid[word] &= bits;
    }
}

/* What is not finite did not fit. */
static void floats(struct lane *out, const struct lane *a, const struct lane *b, enum step_op op, uint32_t words)
{
    EACH_WORD
    {
        uint64_t over = 0, by_zero = 0;
        EACH_BIT
        {
            uint32_t i = 64 * word + bit;
            double x = a->floats[i], y = b->floats[i], made;
            switch (op) {
            case STEP_ADD_F:
                made = x + y;
                break;
            case STEP_SUBTRACT_F:
                made = x - y;
                break;
            case STEP_MULTIPLY_F:
                made = x * y;
                break;
            case STEP_MIN_F:
                made = x < y ? x : y;
                break;
            case STEP_MAX_F:
                made = x > y ? x : y;
                break;
            default:
                by_zero |= (uint64_t)(y == 0.0) << bit, made = y == 0.0 ? 0.0 : x / y;
            }
            out->floats[i] = made;
            over |= (uint64_t)!is_finite(made) << bit;
        }
        fail_bits(&out->head, TEMPLATE_BY_ZERO, word, by_zero);
        fail_bits(&out->head, TEMPLATE_OVERFLOW, word, over);
    }
}

static void floats_of_one(struct lane *out, const struct lane *a, bool only_negative, uint32_t words)
{
    for (uint32_t i = 0; i < 64 * words; i++)
        out->floats[i] = only_negative && a->floats[i] >= 0.0 ? a->floats[i] : -a->floats[i];
}

/* Whole numbers of a float: rounded after the multiplication, halves away from zero; floor; ceiling. */
static void to_exact(struct lane *out, const struct lane *a, enum step_op op, int64_t by, uint32_t words)
{
    EACH_WORD
    {
        uint64_t over = 0;
        EACH_BIT
        {
            uint32_t i = 64 * word + bit;
            double x = op == STEP_ROUND_F ? a->floats[i] * (double)by : a->floats[i];
            bool fits = x > -9.2e18 && x < 9.2e18;
            int64_t whole = fits ? (int64_t)x : 0;
            double left = x - (double)whole;
            over |= (uint64_t)!fits << bit;
            if (op == STEP_ROUND_F)
                whole += (left >= 0.5) - (left <= -0.5);
            else
                whole += op == STEP_FLOOR_F ? -(left < 0.0) : left > 0.0;
            out->exacts[i] = whole;
        }
        fail_bits(&out->head, TEMPLATE_OVERFLOW, word, over);
    }
}

/* --- comparisons and logic -------------------------------------------------------------------------------------------- */

#define COMPARISON(name, operator) \
    static void name(uint64_t *restrict out, const double *restrict a, const double *restrict b, uint32_t words) \
    { \
        EACH_WORD \
        { \
            out[word] = 0; \
            EACH_BIT out[word] |= (uint64_t)(a[64 * word + bit] operator b[64 * word + bit]) << bit; \
        } \
    }
COMPARISON(less_f, <)
COMPARISON(least_f, <=)
COMPARISON(equal_f, ==)

void steps_truth(uint64_t *out, const int64_t *values, uint32_t words)
{
    EACH_WORD
    {
        uint64_t bits = 0;
        EACH_BIT bits |= (uint64_t)(values[64 * word + bit] != 0) << bit;
        out[word] = bits;
    }
}

/* Where one side decides, the other need not be known, nor computed. */
static void logic(struct lane *out, const struct lane *a, const struct lane *b, bool is_and, uint32_t words)
{
    EACH_WORD
    {
        uint64_t x = a->bools[word], y = b->bools[word], va = a->head.valid[word], vb = b->head.valid[word];
        uint64_t decides = is_and ? (va & ~x) | (vb & ~y) : (va & x) | (vb & y);
        out->bools[word] = (is_and ? x & y : x | y) & ~(decides & (is_and ? UINT64_MAX : 0));
        out->bools[word] |= is_and ? 0 : decides;
        out->head.valid[word] = (va & vb) | decides;
        for (int k = 0; k < TEMPLATE_FAILURE_COUNT; k++)
            out->head.failed[k][word] = (a->head.failed[k][word] | b->head.failed[k][word]) & ~decides;
    }
}

static void negated(struct lane *out, const struct lane *a, uint32_t words)
{
    EACH_WORD out->bools[word] = ~a->bools[word];
}

static void equal_bools(struct lane *out, const struct lane *a, const struct lane *b, uint32_t words)
{
    EACH_WORD out->bools[word] = ~(a->bools[word] ^ b->bools[word]);
}

static void is_null(struct lane *out, const struct lane *a, uint32_t words)
{
    EACH_WORD
    {
        uint64_t failed = a->head.failed[TEMPLATE_OVERFLOW][word] | a->head.failed[TEMPLATE_BY_ZERO][word];
        out->bools[word] = ~a->head.valid[word];
        out->head.valid[word] = ~failed;
    }
}

/* --- texts ------------------------------------------------------------------------------------------------------------ */

static uint32_t characters(struct text text)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < text.bytes; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

static bool texts_compare(enum step_op op, struct text a, struct text b)
{
    if (op == STEP_EQUAL_TEXT)
        return text_equal(a, b);
    if (b.bytes > a.bytes)
        return false;
    return b.bytes == 0 || memcmp(op == STEP_STARTS ? a.data : a.data + (a.bytes - b.bytes), b.data, b.bytes) == 0;
}

static void texts(struct lane *out, const struct text_lane *a, const struct text_lane *b, enum step_op op, uint32_t words)
{
    EACH_WORD
    {
        uint64_t bits = 0;
        EACH_BIT bits |= (uint64_t)texts_compare(op, a->texts[64 * word + bit], b->texts[64 * word + bit]) << bit;
        out->bools[word] = bits;
    }
}

static void lengths(struct lane *out, const struct text_lane *a, uint32_t words)
{
    for (uint32_t i = 0; i < 64 * words; i++)
        out->exacts[i] = characters(a->texts[i]);
}

/* --- which loop ------------------------------------------------------------------------------------------------------- */

static bool takes_one(enum step_op op)
{
    switch (op) {
    case STEP_NEGATE:
    case STEP_ABS:
    case STEP_SCALE:
    case STEP_ROUND:
    case STEP_FLOOR:
    case STEP_CEILING:
    case STEP_DIVIDE_WHOLE:
    case STEP_TO_FLOAT:
    case STEP_NEGATE_F:
    case STEP_ABS_F:
    case STEP_ROUND_F:
    case STEP_FLOOR_F:
    case STEP_CEILING_F:
    case STEP_NOT:
    case STEP_IS_NULL:
    case STEP_LENGTH:
    case STEP_YEAR:
    case STEP_MONTH:
    case STEP_DAY:
    case STEP_WEEKDAY:
    case STEP_HOUR:
        return true;
    default:
        return false;
    }
}

static void comparison(struct lane *out, enum step_op op, const struct lane *a, const struct lane *b, const struct kernels *kernels,
                       uint32_t words)
{
    switch (op) {
    case STEP_LESS:
        kernels->columns_less(out->bools, a->exacts, b->exacts, words);
        break;
    case STEP_LEAST:
        kernels->columns_least(out->bools, a->exacts, b->exacts, words);
        break;
    case STEP_EQUAL:
        kernels->columns_equal(out->bools, a->exacts, b->exacts, words);
        break;
    case STEP_LESS_F:
        less_f(out->bools, a->floats, b->floats, words);
        break;
    case STEP_LEAST_F:
        least_f(out->bools, a->floats, b->floats, words);
        break;
    case STEP_EQUAL_F:
        equal_f(out->bools, a->floats, b->floats, words);
        break;
    case STEP_EQUAL_BOOL:
        equal_bools(out, a, b, words);
        break;
    case STEP_AND:
    case STEP_OR:
        logic(out, a, b, op == STEP_AND, words);
        break;
    default:
        texts(out, (const void *)a, (const void *)b, op, words);
    }
}

static void of_one(struct lane *out, const struct step *step, const struct lane *a, uint32_t words)
{
    switch (step->op) {
    case STEP_NEGATE:
    case STEP_ABS:
        negate(out, a, step->op == STEP_ABS, words);
        break;
    case STEP_SCALE:
        multiply(out, a, &step->exact, 0, words);
        break;
    case STEP_TO_FLOAT:
        to_float(out, a, step->exact, words);
        break;
    case STEP_NEGATE_F:
    case STEP_ABS_F:
        floats_of_one(out, a, step->op == STEP_ABS_F, words);
        break;
    case STEP_ROUND_F:
    case STEP_FLOOR_F:
    case STEP_CEILING_F:
        to_exact(out, a, step->op, step->exact, words);
        break;
    case STEP_NOT:
        negated(out, a, words);
        break;
    case STEP_IS_NULL:
        is_null(out, a, words);
        break;
    case STEP_LENGTH:
        lengths(out, (const void *)a, words);
        break;
    case STEP_ROUND:
    case STEP_FLOOR:
    case STEP_CEILING:
    case STEP_DIVIDE_WHOLE:
        divide(out, a, step->op, step->exact, words);
        break;
    default:
        time_part(out, a, step->op, words);
    }
}

void steps_arithmetic(struct lane *out, const struct step *step, const void *a, const void *b, const struct kernels *kernels,
                      uint32_t words)
{
    const struct lane *x = a, *y = b;
    if (takes_one(step->op)) {
        head_of_one(&out->head, a);
        of_one(out, step, a, words);
        return;
    }
    head_of_two(&out->head, a, b);
    switch (step->op) {
    case STEP_ADD:
        sum(out, kernels->columns_add, x, y, words);
        break;
    case STEP_SUBTRACT:
        sum(out, kernels->columns_subtract, x, y, words);
        break;
    case STEP_MULTIPLY:
        multiply(out, x, y->exacts, 1, words);
        break;
    case STEP_MIN:
    case STEP_MAX:
        extreme(out, x, y, step->op == STEP_MIN, words);
        break;
    case STEP_ADD_F:
    case STEP_SUBTRACT_F:
    case STEP_MULTIPLY_F:
    case STEP_DIVIDE_F:
    case STEP_MIN_F:
    case STEP_MAX_F:
        floats(out, x, y, step->op, words);
        break;
    default:
        comparison(out, step->op, x, y, kernels, words);
    }
}
