/* Random programs against an oracle that walks each row by itself, in wide arithmetic. */
#include "unit/intake/templates.h"

static uint64_t random_state;

static uint64_t random64(void)
{
    uint64_t x = random_state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint32_t draw(uint32_t below)
{
    return (uint32_t)(random64() % below);
}

static int64_t random_exact(void)
{
    static const int64_t edges[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, 5, -5, 100, 99, 250, -250, 50, -50};
    switch (draw(4)) {
    case 0:
        return edges[draw(sizeof edges / sizeof *edges)];
    case 1:
        return (int64_t)random64();
    default:
        return (int64_t)(random64() % 2001) - 1000;
    }
}

static void rows_fill(struct rows *rows, uint32_t count)
{
    static const char *const texts[] = {"", "DE", "FR", "Iceland", "é", "DEX", "XDE"};
    *rows = (struct rows){.count = count};
    for (uint32_t row = 0; row < count; row++) {
        for (uint32_t i = 0; i < COLUMNS; i++) {
            rows->exacts[i][row] = random_exact();
            rows->valid[i][row / 8] |= (unsigned char)((draw(5) != 0) << row % 8);
        }
        rows->exacts[6][row] = draw(2);
        rows->floats[row] = draw(3) ? (double)(int64_t)(random64() % 20001) / 8.0 - 1000.0 : draw(2) ? 0.0 : 1e300;
        for (uint32_t i = 0; i < 2; i++) {
            const char *text = texts[draw(sizeof texts / sizeof *texts)];
            memcpy(rows->bytes[i] + rows->offsets[i][row], text, strlen(text));
            rows->offsets[i][row + 1] = rows->offsets[i][row] + (uint32_t)strlen(text);
        }
    }
    rows_bind(rows);
}

__extension__ typedef __int128 wide;

struct expr {
    char op; /* c column, k constant, + - * N negate, < = and & or | ! i if, d default, n is null, r round, f to float, / min m abs A */
    enum template_type type;
    uint8_t scale;
    uint32_t column;
    int64_t exact;
    struct expr *a, *b, *c;
};
struct cell {
    bool valid, over, by_zero;
    int64_t exact; /* bools too */
    double real;
};

static struct expr pool[400];
static uint32_t pool_count;

static struct expr *expr_new(char op, enum template_type type, uint8_t scale)
{
    MUST(pool_count < sizeof pool / sizeof *pool);
    pool[pool_count] = (struct expr){.op = op, .type = type, .scale = scale};
    return &pool[pool_count++];
}

static struct expr *expr_make(enum template_type type, uint8_t scale, unsigned depth);

static struct expr *expr_of(char op, enum template_type type, uint8_t scale, enum template_type of, uint8_t of_scale, unsigned depth,
                            bool two)
{
    struct expr *made = expr_new(op, type, scale);
    made->a = expr_make(of, of_scale, depth);
    made->b = two ? expr_make(of, of_scale, depth) : NULL;
    return made;
}

static struct expr *leaf(enum template_type type, uint8_t scale)
{
    bool constant = draw(3) == 0;
    struct expr *made = expr_new(constant ? 'k' : 'c', type, scale);
    if (type == TEMPLATE_BOOL)
        made->column = 6, made->exact = draw(2);
    else if (type == TEMPLATE_FLOAT)
        made->column = 3, made->exact = (int64_t)draw(2000);
    else
        made->column = scale ? 2 : draw(2), made->exact = (int64_t)draw(100000);
    return made;
}

static struct expr *choice(enum template_type type, uint8_t scale, unsigned depth)
{
    struct expr *made = expr_new('i', type, scale);
    made->a = expr_make(TEMPLATE_BOOL, 0, depth);
    made->b = expr_make(type, scale, depth);
    made->c = expr_make(type, scale, depth);
    return made;
}

static struct expr *expr_make(enum template_type type, uint8_t scale, unsigned depth)
{
    static const char exacts[] = "+-+-*NmA", floats[] = "+-*/f", bools[] = "<=&|!n<";
    if (depth == 0 || draw(6) == 0)
        return leaf(type, scale);
    depth--;
    if (draw(5) == 0)
        return draw(2) ? choice(type, scale, depth) : expr_of('d', type, scale, type, scale, depth, true);
    if (type == TEMPLATE_BOOL) {
        char op = bools[draw(sizeof bools - 1)];
        bool is_logic = op == '&' || op == '|' || op == '!';
        enum template_type of = is_logic ? TEMPLATE_BOOL : draw(2) ? TEMPLATE_EXACT : TEMPLATE_FLOAT;
        return expr_of(op, TEMPLATE_BOOL, 0, of, of == TEMPLATE_EXACT && draw(2) ? 2 : 0, depth, op != '!' && op != 'n');
    }
    if (type == TEMPLATE_FLOAT) {
        char op = floats[draw(sizeof floats - 1)];
        return expr_of(op, TEMPLATE_FLOAT, 0, op == 'f' ? TEMPLATE_EXACT : TEMPLATE_FLOAT, op == 'f' && draw(2) ? 2 : 0, depth, op != 'f');
    }
    char op = exacts[draw(sizeof exacts - 1)];
    if (scale == 0 && draw(5) == 0)
        return expr_of('r', TEMPLATE_EXACT, 0, draw(2) ? TEMPLATE_EXACT : TEMPLATE_FLOAT, 2, depth, false);
    if (op == '*' && scale == 2) {
        struct expr *made = expr_new('*', TEMPLATE_EXACT, 2);
        made->a = expr_make(TEMPLATE_EXACT, 2, depth);
        made->b = expr_make(TEMPLATE_EXACT, 0, depth);
        return made;
    }
    return expr_of(op, TEMPLATE_EXACT, scale, TEMPLATE_EXACT, scale, depth, op != 'N' && op != 'A');
}

static void print(char **at, const struct expr *e)
{
    static const char *const forms[][2] = {{"+", "(%a + %b)"},
                                           {"-", "(%a - %b)"},
                                           {"*", "(%a * %b)"},
                                           {"/", "(%a / %b)"},
                                           {"<", "(%a < %b)"},
                                           {"=", "(%a == %b)"},
                                           {"&", "(%a and %b)"},
                                           {"|", "(%a or %b)"},
                                           {"!", "(not %a)"},
                                           {"n", "(%a is null)"},
                                           {"N", "(-(%a))"},
                                           {"A", "abs(%a)"},
                                           {"m", "min(%a, %b)"},
                                           {"d", "default(%a, %b)"},
                                           {"f", "float(%a)"},
                                           {"r", "round(%a, 0)"},
                                           {"i", "(if %a then %b else %c)"}};
    if (e->op == 'c') {
        *at += sprintf(*at, "%s", schema_columns[e->column].name);
    } else if (e->op == 'k') {
        if (e->type == TEMPLATE_BOOL)
            *at += sprintf(*at, "%s", e->exact ? "true" : "false");
        else if (e->type == TEMPLATE_FLOAT)
            *at += sprintf(*at, "%llde0", (long long)e->exact);
        else if (e->scale)
            *at += sprintf(*at, "%lld.%02lld", (long long)e->exact / 100, (long long)e->exact % 100);
        else
            *at += sprintf(*at, "%lld", (long long)e->exact);
    } else {
        const char *form = NULL;
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
            form = forms[i][0][0] == e->op ? forms[i][1] : form;
        for (; *form; form++) {
            if (*form != '%') {
                *(*at)++ = *form;
                continue;
            }
            form++;
            print(at, *form == 'a' ? e->a : *form == 'b' ? e->b : e->c);
        }
        **at = '\0';
    }
}

static struct cell fit(struct cell cell, wide value)
{
    cell.exact = (int64_t)value;
    if (cell.valid && value != (wide)cell.exact)
        cell.valid = false, cell.over = true;
    return cell;
}

static struct cell fit_real(struct cell cell, double value)
{
    cell.real = value;
    if (cell.valid && !(value - value == 0.0))
        cell.valid = false, cell.over = true;
    return cell;
}

static struct cell oracle(const struct expr *e, const struct rows *rows, uint32_t row);

static struct cell oracle_logic(const struct expr *e, struct cell a, struct cell b)
{
    bool decides = e->op == '|';
    if ((a.valid && a.exact == decides) || (b.valid && b.exact == decides))
        return (struct cell){.valid = true, .exact = decides};
    struct cell made = {.valid = a.valid && b.valid, .over = a.over || b.over, .by_zero = a.by_zero || b.by_zero};
    made.exact = !decides;
    return made;
}

static struct cell oracle_round(const struct expr *e, struct cell a)
{
    if (e->a->type == TEMPLATE_EXACT) {
        wide value = a.exact, half = value < 0 ? -50 : 50;
        return fit(a, (value + half) / 100);
    }
    double x = a.real;
    if (!(x > -9.2e18 && x < 9.2e18))
        return fit(a, a.valid ? (wide)1 << 100 : 0);
    wide whole = (wide)x;
    double left = x - (double)whole;
    return fit(a, whole + (left >= 0.5) - (left <= -0.5));
}

static struct cell oracle_two(const struct expr *e, struct cell a, struct cell b)
{
    struct cell made = {.valid = a.valid && b.valid, .over = a.over || b.over, .by_zero = a.by_zero || b.by_zero};
    bool real = e->a->type == TEMPLATE_FLOAT;
    switch (e->op) {
    case '+':
        return real ? fit_real(made, a.real + b.real) : fit(made, (wide)a.exact + b.exact);
    case '-':
        return real ? fit_real(made, a.real - b.real) : fit(made, (wide)a.exact - b.exact);
    case '*':
        return real ? fit_real(made, a.real * b.real) : fit(made, (wide)a.exact * b.exact);
    case '/':
        if (made.valid && b.real == 0.0)
            made.valid = false, made.by_zero = true;
        return fit_real(made, made.valid ? a.real / b.real : 0.0);
    case 'm':
        return fit(made, a.exact < b.exact ? a.exact : b.exact);
    case '<':
        return made.exact = real ? a.real < b.real : a.exact < b.exact, made;
    default:
        return made.exact = real ? a.real == b.real : a.exact == b.exact, made;
    }
}

static struct cell oracle_leaf(const struct expr *e, const struct rows *rows, uint32_t row)
{
    if (e->op == 'k')
        return (struct cell){.valid = true, .exact = e->exact, .real = (double)e->exact};
    return (struct cell){
        .valid = rows->valid[e->column][row / 8] >> row % 8 & 1, .exact = rows->exacts[e->column][row], .real = rows->floats[row]};
}

static struct cell oracle(const struct expr *e, const struct rows *rows, uint32_t row)
{
    if (e->op == 'c' || e->op == 'k')
        return oracle_leaf(e, rows, row);
    struct cell a = oracle(e->a, rows, row);
    bool failed = a.over || a.by_zero;
    switch (e->op) {
    case 'N':
        return fit(a, -(wide)a.exact);
    case 'A':
        return fit(a, a.exact < 0 ? -(wide)a.exact : a.exact);
    case 'f':
        return a.real = (double)a.exact / (e->a->scale ? 100.0 : 1.0), a;
    case 'r':
        return oracle_round(e, a);
    case '!':
        return a.exact = !a.exact, a;
    case 'n':
        return a.exact = !a.valid, a.valid = !failed, a;
    case 'i': {
        if (failed)
            return a;
        return oracle(a.valid && a.exact ? e->b : e->c, rows, row);
    }
    case 'd':
        return a.valid || failed ? a : oracle(e->b, rows, row);
    default:
        break;
    }
    struct cell b = oracle(e->b, rows, row);
    return e->op == '&' || e->op == '|' ? oracle_logic(e, a, b) : oracle_two(e, a, b);
}

static void assert_cell(const struct made *made, const struct expr *e, const struct rows *rows, uint32_t row, const char *source)
{
    struct cell expected = oracle(e, rows, row);
    const struct template_cells *cells = &made->cells[0];
    bool valid = bit(cells->valid, row);
    uint8_t failed = expected.valid ? 0 : expected.by_zero ? 2 : expected.over ? 1 : 0;
    bool same = valid == expected.valid && made->failed[0][row] == failed;
    if (same && valid)
        same = e->type == TEMPLATE_FLOAT  ? cells->floats[row] == expected.real
               : e->type == TEMPLATE_BOOL ? bit(cells->bools, row) == (bool)expected.exact
                                          : cells->exacts[row] == expected.exact;
    if (!same) {
        char cell[64];
        cell_text(cell, made, 0, row);
        fail_msg("row %u: %s, expected valid %d exact %lld real %g failed %u\n%s", row, cell, expected.valid, (long long)expected.exact,
                 expected.real, failed, source);
    }
}

static void test_against_the_oracle(void **state)
{
    (void)state;
    static struct rows rows;
    static struct made made;
    static char source[1 << 16];
    static const enum template_type types[] = {TEMPLATE_EXACT, TEMPLATE_EXACT, TEMPLATE_FLOAT, TEMPLATE_BOOL};
    static const uint32_t counts[] = {1, 63, 64, 65, 1023, 1024, 1025, 2500};
    const char *wanted = getenv("SLUICE_SEED");
    random_state = wanted ? strtoull(wanted, NULL, 10) : (uint64_t)clock_wall_us();
    printf("SLUICE_SEED=%llu\n", (unsigned long long)random_state);
    for (uint32_t round = 0; round < 1500; round++) {
        char *at = source + sprintf(source, "x = ");
        uint32_t kind = draw(4);
        pool_count = 0;
        if (round % 25 == 0)
            rows_fill(&rows, counts[draw(8)]);
        struct expr *e = expr_make(types[kind], kind == 1 ? 2 : 0, 1 + draw(4));
        print(&at, e);
        made_run(&made, source, &rows);
        for (uint32_t row = 0; row < rows.count; row++)
            assert_cell(&made, e, &rows, row, source);
        made_free(&made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_the_oracle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
