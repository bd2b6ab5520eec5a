/* The template engine, one core: three int64 columns with nulls, two comparisons, an addition with its overflow check, one `and`;
 * and further programs; and a whole profile. usage: bench_template [ROWS] (default 100,000) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/must.h"
#include "intake/template.h"
#include "pipeline/config.h"

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

/* --- a whole profile: rename, convert, check, `fill`, `post` -------------------------------------------------------------- */

enum { CELL_BYTES = 24, TEXTS = 8, PROFILE_ROUNDS = 7 };

static const char profile_text[] = "name: salary\n"
                                   "require: [transaction_type]\n"
                                   "columns:\n"
                                   "  - {name: payer_id, from: debtor, pattern: '[A-Z]{2}[0-9]{4,20}'}\n"
                                   "  - {name: payee_id, from: creditor, pattern: '[A-Z]{2}[0-9]{4,20}'}\n"
                                   "  - {name: amount, from: sum, unit: major, least: 100, most: 2000000}\n"
                                   "  - {name: time, from: due, unit: iso}\n"
                                   "  - {name: transaction_type, one_of: [wage, bonus, advance]}\n"
                                   "  - {name: tax_rate, type: decimal, places: 4}\n"
                                   "  - {name: country, length_most: 2}\n"
                                   "tables: [{name: region, entries: [{key: DE, value: home}, {key: FR, value: near}]}]\n"
                                   "fill: |\n"
                                   "  tax = round(amount * tax_rate, 0)\n"
                                   "  reach = default(lookup(region, country), \"far\")\n"
                                   "post: |\n"
                                   "  unusual = amount > 500000 and reach == \"far\"\n";

/* Texts of a column one behind the other. */
static struct column texts_make(const char *name, const char *format, uint32_t rows, unsigned range)
{
    char *bytes = memory_take((size_t)rows * CELL_BYTES + 1);
    uint32_t *offsets = memory_take_zeroed(rows + 1, sizeof *offsets);
    MUST(bytes && offsets);
    for (uint32_t row = 0; row < rows; row++) {
        int used = snprintf(bytes + offsets[row], CELL_BYTES, format, row * 7919u % range);
        offsets[row + 1] = offsets[row] + (uint32_t)used;
    }
    return (struct column){.form = FORM_STR, .name = text_of(name), .data = (unsigned char *)bytes, .offsets = (unsigned char *)offsets};
}

static double profile_seconds(const struct profile *profile, const struct column *columns, uint32_t rows, const struct kernels *kernels)
{
    const struct batch_limits limits = BATCH_LIMITS_DEFAULT;
    struct batch batch;
    struct fault_note note = {0};
    size_t bytes = batch_arena_bytes(&limits, rows, (size_t)rows * TEXTS * CELL_BYTES) + profile_arena_bytes(profile, rows);
    MUST(batch_init(&batch, bytes, &note) == FAULT_NONE);
    batch.op = OP_screen, batch.row_count = rows;
    batch.columns[COLUMN_transfer_id] = columns[0];
    batch.columns[COLUMN_transaction_type] = columns[1];
    batch.columns[COLUMN_currency] = columns[2];
    for (uint32_t i = 3; i < TEXTS + 1; i++)
        batch.others[batch.other_count++] = columns[i];
    MUST(batch_take_checks(&batch, 10, &note) == FAULT_NONE);
    double began = cpu_seconds();
    enum fault fault = profile_take(&batch, profile, kernels, &note);
    if (fault == FAULT_NONE)
        fault = profile_finish(&batch, profile, kernels, &note);
    double spent = cpu_seconds() - began;
    uint32_t invalid = 0;
    for (uint32_t row = 0; row < rows; row++)
        invalid += batch.facts.invalid[row];
    if (fault != FAULT_NONE || invalid) {
        fprintf(stderr, "bench_template: %s %s; %u rows are invalid\n", note.text, batch.note_count ? batch.notes[0].text : "", invalid);
        exit(2);
    }
    batch_fini(&batch);
    return spent;
}

static void measure_profile(const struct kernels *kernels, uint32_t rows)
{
    const struct column columns[TEXTS + 1] = {texts_make("transfer_id", "t-%u", rows, UINT32_MAX),
                                              texts_make("transaction_type", "wage", rows, 10),
                                              texts_make("currency", "EUR", rows, 10),
                                              texts_make("debtor", "DE%05u", rows, 99999),
                                              texts_make("creditor", "FR%05u", rows, 99999),
                                              texts_make("sum", "1%u.50", rows, 9000),
                                              texts_make("due", "2026-01-31T08:30:%02uZ", rows, 60),
                                              texts_make("tax_rate", "0.%04u", rows, 9999),
                                              texts_make("country", "DE", rows, 10)};
    struct profile *profile;
    struct fault_note note = {0};
    double seconds[PROFILE_ROUNDS];
    if (config_profile_text(&profile, "profile.yaml", profile_text, sizeof profile_text - 1, &note) != FAULT_NONE) {
        fprintf(stderr, "bench_template: %s\n", note.text);
        exit(2);
    }
    for (int round = 0; round < PROFILE_ROUNDS; round++)
        seconds[round] = profile_seconds(profile, columns, rows, kernels);
    qsort(seconds, PROFILE_ROUNDS, sizeof *seconds, double_order);
    printf("template.profile %.2f Mrows/s\n", 1e-6 * rows / seconds[PROFILE_ROUNDS / 2]);
    profile_close(&profile);
    for (int i = 0; i <= TEXTS; i++) {
        memory_give((void *)(uintptr_t)columns[i].data);
        memory_give((void *)(uintptr_t)columns[i].offsets);
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
    measure_profile(&kernels, rows);
    return 0;
}
