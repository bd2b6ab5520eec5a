/* columns_add, _subtract, _less, _least, _equal, _choose: every instruction set gives the twin's bits, the twin those of wide arithmetic.
 */
#include "kernel/check.h"

__extension__ typedef __int128 wide;

enum { ROWS = 64 };

static int64_t any_exact(struct check *check)
{
    static const int64_t edges[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1, INT64_C(1) << 62, -(INT64_C(1) << 62)};
    return check_below(check, 2) ? edges[check_below(check, sizeof edges / sizeof *edges)] : (int64_t)check_random(check);
}

/* a and b are often equal; operands lie at any multiple of 8. */
struct operands {
    struct guarded a, b, bits, out, out_bits, twin, twin_bits;
    int64_t *x, *y;
    size_t words;
};

static struct operands operands_take(struct check *check, size_t words)
{
    size_t floats = 2 * ROWS * words, shift = 2 * check_below(check, 8);
    struct operands o = {.a = guarded_take(floats, shift),
                         .b = guarded_take(floats, 2 * check_below(check, 8)),
                         .bits = guarded_take(2 * words, 0),
                         .out = guarded_take(floats, 2 * check_below(check, 8)),
                         .out_bits = guarded_take(2 * words, 0),
                         .twin = guarded_take(floats, 0),
                         .twin_bits = guarded_take(2 * words, 0),
                         .words = words};
    o.x = (int64_t *)(void *)o.a.data, o.y = (int64_t *)(void *)o.b.data;
    for (size_t i = 0; i < ROWS * words; i++) {
        o.x[i] = any_exact(check);
        o.y[i] = check_below(check, 3) ? any_exact(check) : o.x[i];
    }
    for (size_t i = 0; i < words; i++)
        ((uint64_t *)(void *)o.bits.data)[i] = check_random(check);
    return o;
}

static void operands_give(struct check *check, struct operands *o)
{
    struct guarded *all[] = {&o->a, &o->b, &o->bits, &o->out, &o->out_bits, &o->twin, &o->twin_bits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        check_that(check, guarded_intact(all[i]), "wrote outside of %zu words", o->words);
        guarded_give(all[i]);
    }
}

static void same(struct check *check, const struct operands *o, bool cells, bool bits, const char *what)
{
    if (cells)
        check_that(check, memcmp(o->out.data, o->twin.data, o->words * ROWS * sizeof(int64_t)) == 0, "%s: other cells, %zu words", what,
                   o->words);
    if (bits)
        check_that(check, memcmp(o->out_bits.data, o->twin_bits.data, o->words * sizeof(uint64_t)) == 0, "%s: other bits, %zu words", what,
                   o->words);
}

static void sum_check(struct check *check, const struct kernels *kernels, size_t words, bool is_add)
{
    struct operands o = operands_take(check, words);
    int64_t *out = (int64_t *)(void *)o.out.data, *twin = (int64_t *)(void *)o.twin.data;
    uint64_t *over = (uint64_t *)(void *)o.out_bits.data, *twin_over = (uint64_t *)(void *)o.twin_bits.data;
    (is_add ? kernels->columns_add : kernels->columns_subtract)(out, over, o.x, o.y, words);
    (is_add ? kernels_ref.columns_add : kernels_ref.columns_subtract)(twin, twin_over, o.x, o.y, words);
    same(check, &o, true, true, is_add ? "add" : "subtract");
    for (size_t i = 0; i < ROWS * words; i++) {
        wide sum = is_add ? (wide)o.x[i] + o.y[i] : (wide)o.x[i] - o.y[i];
        bool is_over = twin_over[i / 64] >> i % 64 & 1;
        check_that(check, is_over == (sum != (wide)(int64_t)sum) && twin[i] == (int64_t)sum, "row %zu: twin", i);
    }
    operands_give(check, &o);
}

static void compare_check(struct check *check, const struct kernels *kernels, size_t words, int kind)
{
    struct operands o = operands_take(check, words);
    uint64_t *out = (uint64_t *)(void *)o.out_bits.data, *twin = (uint64_t *)(void *)o.twin_bits.data;
    columns_compare_fn *const forms[] = {kernels->columns_less, kernels->columns_least, kernels->columns_equal};
    columns_compare_fn *const twins[] = {kernels_ref.columns_less, kernels_ref.columns_least, kernels_ref.columns_equal};
    forms[kind](out, o.x, o.y, words);
    twins[kind](twin, o.x, o.y, words);
    same(check, &o, false, true, "compare");
    for (size_t i = 0; i < ROWS * words; i++) {
        bool want = kind == 0 ? o.x[i] < o.y[i] : kind == 1 ? o.x[i] <= o.y[i] : o.x[i] == o.y[i];
        check_that(check, (bool)(twin[i / 64] >> i % 64 & 1) == want, "row %zu: twin", i);
    }
    operands_give(check, &o);
}

static void add_check(struct check *check, const struct kernels *kernels)
{
    for (size_t words = 0; words < 20; words++)
        sum_check(check, kernels, words, true);
}

static void subtract_check(struct check *check, const struct kernels *kernels)
{
    for (size_t words = 0; words < 20; words++)
        sum_check(check, kernels, words, false);
}

static void less_check(struct check *check, const struct kernels *kernels)
{
    for (size_t words = 0; words < 20; words++)
        compare_check(check, kernels, words, 0);
}

static void least_check(struct check *check, const struct kernels *kernels)
{
    for (size_t words = 0; words < 20; words++)
        compare_check(check, kernels, words, 1);
}

static void equal_check(struct check *check, const struct kernels *kernels)
{
    for (size_t words = 0; words < 20; words++)
        compare_check(check, kernels, words, 2);
}

static void choose_check(struct check *check, const struct kernels *kernels)
{
    for (size_t words = 0; words < 20; words++) {
        struct operands o = operands_take(check, words);
        const uint64_t *bits = (const uint64_t *)(const void *)o.bits.data;
        int64_t *twin = (int64_t *)(void *)o.twin.data;
        kernels->columns_choose((int64_t *)(void *)o.out.data, bits, o.x, o.y, words);
        kernels_ref.columns_choose(twin, bits, o.x, o.y, words);
        same(check, &o, true, false, "choose");
        for (size_t i = 0; i < ROWS * words; i++)
            check_that(check, twin[i] == (bits[i / 64] >> i % 64 & 1 ? o.x[i] : o.y[i]), "row %zu: twin", i);
        operands_give(check, &o);
    }
}

int main(int argc, char **argv)
{
    struct check check;
    check_open(&check, argc, argv);
    check_everywhere(&check, "columns_add", add_check);
    check_everywhere(&check, "columns_subtract", subtract_check);
    check_everywhere(&check, "columns_less", less_check);
    check_everywhere(&check, "columns_least", least_check);
    check_everywhere(&check, "columns_equal", equal_check);
    check_everywhere(&check, "columns_choose", choose_check);
    return check_close(&check);
}
