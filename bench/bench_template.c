/* The template engine, one core: three int64 columns with nulls, two comparisons, an addition with its overflow check, one `and`;
 * and further programs. usage: bench_template [ROWS] (default 100,000) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"
#include "intake/template.h"

enum { COLUMNS = 4, OUTPUTS = 2, ROUNDS = 31 };

static const struct template_column schema_columns[COLUMNS] = {
    {"a", TEMPLATE_EXACT, 0}, {"b", TEMPLATE_EXACT, 0}, {"c", TEMPLATE_EXACT, 0}, {"t", TEMPLATE_TEXT, 0}};

static double cpu_seconds(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

static int double_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct kernels *kernels, const char *name, const char *source, const struct column *const *views, uint32_t rows)
{
    struct template_program *program;
    struct fault_note note = {0};
    struct template_cells made[OUTPUTS];
    double seconds[ROUNDS];
    const struct template_schema schema = {schema_columns, COLUMNS, NULL, 0};
    size_t room = (rows + TEMPLATE_CHUNK - 1) / TEMPLATE_CHUNK * TEMPLATE_CHUNK * sizeof(struct text);
    if (template_open(&program, name, 1, source, strlen(source), &schema, &note) != FAULT_NONE) {
        fprintf(stderr, "bench_template: %s\n", note.text);
        exit(2);
    }
    void *scratch = memory_take_aligned(template_scratch_bytes(program), 64);
    for (int i = 0; i < OUTPUTS; i++) {
        char *block = memory_take_aligned(2 * room, 64);
        MUST(block && scratch);
        made[i] = (struct template_cells){.exacts = (void *)block,
                                          .floats = (void *)block,
                                          .texts = (void *)block,
                                          .bools = (void *)block,
                                          .valid = (void *)(block + room)};
    }
    for (int round = 0; round < ROUNDS; round++) {
        double began = cpu_seconds();
        template_run(program, views, rows, made, scratch, kernels, NULL, NULL);
        seconds[round] = cpu_seconds() - began;
    }
    qsort(seconds, ROUNDS, sizeof *seconds, double_order);
    printf("template.%s %.1f Mrows/s\n", name, 1e-6 * rows / seconds[ROUNDS / 2]);
    for (int i = 0; i < OUTPUTS; i++)
        memory_give(made[i].exacts);
    memory_give(scratch);
    template_close(&program);
}

/* The kernels alone, on columns that lie in the first cache. */
static void bench_kernels(const struct kernels *kernels)
{
    enum { WORDS = TEMPLATE_CHUNK / 64, CALLS = 20000 };
    static int64_t a[TEMPLATE_CHUNK], b[TEMPLATE_CHUNK], out[TEMPLATE_CHUNK];
    static uint64_t bits[WORDS];
    static const char *const names[] = {"columns_add",   "columns_subtract", "columns_less",
                                        "columns_least", "columns_equal",    "columns_choose"};
    for (int i = 0; i < TEMPLATE_CHUNK; i++)
        a[i] = i * 7 % 100, b[i] = i * 11 % 100;
    for (int kind = 0; kind < 6; kind++) {
        double began = cpu_seconds();
        for (int call = 0; call < CALLS; call++)
            switch (kind) {
            case 0:
                kernels->columns_add(out, bits, a, b, WORDS);
                break;
            case 1:
                kernels->columns_subtract(out, bits, a, b, WORDS);
                break;
            case 2:
                kernels->columns_less(bits, a, b, WORDS);
                break;
            case 3:
                kernels->columns_least(bits, a, b, WORDS);
                break;
            case 4:
                kernels->columns_equal(bits, a, b, WORDS);
                break;
            default:
                kernels->columns_choose(out, bits, a, b, WORDS);
            }
        printf("%s.%s %.3f ns/row\n", kernels->name, names[kind], 1e9 * (cpu_seconds() - began) / CALLS / TEMPLATE_CHUNK);
    }
}

int main(int argc, char **argv)
{
    uint32_t rows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
    struct column columns[COLUMNS] = {{0}};
    const struct column *views[COLUMNS];
    uint64_t state = 1;
    static const char *const words[] = {"DE", "FR", "account", ""};
    for (int i = 0; i < COLUMNS; i++) {
        int64_t *values = memory_take_zeroed(rows + 1, sizeof *values);
        uint32_t *offsets = memory_take_zeroed(rows + 1, sizeof *offsets);
        unsigned char *valid = memory_take_zeroed(rows / 8 + 1, 1);
        MUST(values && offsets && valid);
        for (uint32_t row = 0; row < rows; row++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            values[row] = (int64_t)(state >> 40);
            valid[row / 8] |= (unsigned char)((state >> 33 & 7) != 0) << row % 8;
            const char *word = words[state >> 35 & 3];
            if (i == COLUMNS - 1)
                memcpy((char *)values + offsets[row], word, strlen(word));
            offsets[row + 1] = offsets[row] + (uint32_t)strlen(word);
        }
        columns[i] = (struct column){.form = FORM_I64, .data = (void *)values, .valid = valid};
        if (i == COLUMNS - 1)
            columns[i] = (struct column){.form = FORM_STR, .data = (void *)values, .offsets = (void *)offsets, .valid = valid};
        views[i] = &columns[i];
    }
    struct kernels kernels;
    for (int wide = 0; wide < 3; wide++) {
        kernels_select(&kernels, wide == 0 ? 0 : wide == 1 ? CPU_AVX2 | CPU_NEON : CPU_MASK_ALL);
        bench_kernels(&kernels);
    }
    measure(&kernels, "goal", "x = a < b and a + b < c", views, rows);
    measure(&kernels, "sum", "x = a + b", views, rows);
    measure(&kernels, "choice", "x = if a < b then a - b else c + 1", views, rows);
    measure(&kernels, "product", "x = round(a * 0.015, 0)", views, rows);
    measure(&kernels, "division", "x = a / b", views, rows);
    measure(&kernels, "in", "x = a in [1, 5, 9, 200, 300]", views, rows);
    measure(&kernels, "text", "x = t == \"DE\"", views, rows);
    measure(&kernels, "text_in", "x = t in [\"DE\", \"FR\", \"IT\"]", views, rows);
    return 0;
}
