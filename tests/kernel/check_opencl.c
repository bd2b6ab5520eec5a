/* kernels/opencl/panel.cl on every OpenCL device there is that is not refused, with its own tunables and with others: the
 * twin's bits on random sets of panels and points, on empty ones, on every tail; nothing written outside. Tiny under oclgrind. */
#include "compute/opencl.h"
#include "kernel/check.h"
#include "kernel/panels.h"

enum { SETS_MAX = 6 };

static const struct opencl_tunables others[] = {{1, 1, 1, 1, 0}, {1, 3, 4, 16, 8}, {2, 1, 7, 2, 1},
                                                {4, 3, 2, 4, 8}, {8, 2, 5, 1, 0},  {16, 1, 3, 3, 1}};

struct mixed { /* panels, and the same numbers taken as points */
    struct panel_case cases[SETS_MAX];
    struct points points[SETS_MAX];
    struct opencl_set sets[SETS_MAX];
    uint32_t count, lines;
    size_t rows, floats; /* rows in whole tiles; floats of z */
    struct guarded z;
};

/* Sets of any shape over the same number of rows; one without clusters is left out, as a base's is. */
static void mixed_take(struct mixed *out, struct check *check, size_t rows, uint32_t count, uint32_t clusters_end)
{
    *out = (struct mixed){.count = count, .rows = tile_count(rows) * TILE_ROWS};
    for (uint32_t i = 0; i < count; i++) {
        out->cases[i] = panel_case_take(check, rows, check_below(check, 21), check_below(check, clusters_end));
        const struct panel *panel = &out->cases[i].panel;
        out->points[i] =
            (struct points){panel->column_count, panel->cluster_count, panel->segment_count, panel->segment_first, panel->ab, panel->start};
        out->sets[i] = check_below(check, 2) ? opencl_set_of_panel(panel) : opencl_set_of_points(&out->points[i]);
        out->lines += panel->cluster_count ? panel->segment_count : 0;
        out->floats += panel->cluster_count ? out->rows * panel->column_count : 0;
    }
    out->z = guarded_take(out->floats, 0);
    float *at = out->z.data;
    for (uint32_t i = 0; i < count; i++) {
        size_t floats = out->sets[i].count ? out->rows * out->sets[i].column_count : 0;
        if (floats)
            memcpy(at, out->cases[i].z.data, floats * sizeof *at);
        at += floats;
    }
}

static void mixed_give(struct mixed *mixed)
{
    for (uint32_t i = 0; i < mixed->count; i++)
        panel_case_give(&mixed->cases[i]);
    guarded_give(&mixed->z);
}

static float twin_of(const struct mixed *mixed, uint32_t i, uint32_t segment, size_t row)
{
    const struct panel_case *of = &mixed->cases[i];
    float least = INFINITY;
    for (uint32_t k = of->panel.segment_first[segment]; k < of->panel.segment_first[segment + 1]; k++) {
        float found = mixed->sets[i].is_product ? kernel_point(panel_case_row(of, row), TILE_ROWS, &mixed->points[i], k)
                                                : kernel_distance(panel_case_row(of, row), TILE_ROWS, &of->panel, k);
        least = least < found ? least : found;
    }
    return least;
}

static void mixed_compare(struct check *check, const struct mixed *mixed, const struct guarded *out, size_t stride, size_t rows)
{
    const float *got = out->data;
    for (uint32_t i = 0; i < mixed->count; i++) {
        const struct opencl_set *set = &mixed->sets[i];
        for (uint32_t s = 0; s < set->segment_count && set->count; s++, got += stride) {
            size_t row = 0;
            while (row < rows && check_bits_of(twin_of(mixed, i, s, row)) == check_bits_of(got[row]))
                row++;
            check_that(check, row == rows, "row %zu of %zu, set %u of %u (%u x %u%s), segment %u of %u differs from the twin", row, rows, i,
                       mixed->count, set->column_count, set->count, set->is_product ? ", points" : "", s, set->segment_count);
            check_that(check, guard_whole((const unsigned char *)(got + mixed->rows), (stride - mixed->rows) * sizeof *got),
                       "%zu rows, set %u: written past the tiles", rows, i);
        }
    }
    check_that(check, guarded_intact(out) && guarded_intact(&mixed->z), "%zu rows: written outside", rows);
}

static void mixed_check(struct check *check, struct opencl *opencl, size_t rows, uint32_t count, uint32_t clusters_end)
{
    struct mixed mixed;
    struct opencl_base *base = NULL;
    struct opencl_queue *queue = NULL;
    struct fault_note note = {0};
    mixed_take(&mixed, check, rows, count, clusters_end);
    size_t stride = mixed.rows + check_below(check, 3) * TILE_ROWS;
    struct guarded out = guarded_take(stride * mixed.lines, 0);
    bool made = opencl_base_put(&base, opencl, mixed.sets, mixed.count, &note) == FAULT_NONE &&
                opencl_queue_take(&queue, base, (uint32_t)rows + check_below(check, 40), &note) == FAULT_NONE;
    for (int again = 0; again < 2 && check_that(check, made, "%s", note.text); again++) {
        check_that(check, opencl_minima(queue, out.data, (uint32_t)stride, mixed.z.data, (uint32_t)rows), "%zu rows: the device failed",
                   rows);
        mixed_compare(check, &mixed, &out, stride, rows);
    }
    opencl_queue_give(&queue);
    opencl_base_drop(&base);
    guarded_give(&out);
    mixed_give(&mixed);
}

/* oclgrind walks through a work-item in seconds: few sets, small ones. */
static void device_check(struct check *check, struct opencl *opencl)
{
    bool tiny = strstr(opencl_info_of(opencl)->name, "Oclgrind");
    for (uint32_t rows = 0; rows <= (tiny ? 34 : 67); rows += tiny ? 5 : 1)
        mixed_check(check, opencl, rows, 1 + check_below(check, tiny ? 2 : SETS_MAX), tiny ? 9 : 80);
    if (tiny)
        return;
    mixed_check(check, opencl, 1024, 4, 200);
    mixed_check(check, opencl, 1000, SETS_MAX, 700);
}

static bool tunables_check(struct check *check, const char *name, int index, const struct opencl_tunables *tunables)
{
    struct opencl *opencl = NULL;
    struct fault_note note = {0};
    if (!check_begin(check, "panel_min", name))
        return false;
    if (check_that(check, opencl_open(&opencl, index, tunables, &note) == FAULT_NONE, "%s", note.text))
        device_check(check, opencl);
    opencl_close(&opencl);
    check_end(check);
    return true;
}

int main(int argc, char **argv)
{
    struct check check;
    struct opencl_info infos[OPENCL_DEVICES_MAX];
    char why[80], name[48];
    check_open(&check, argc, argv);
    uint32_t count = opencl_list(infos, why), used = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool simulated = strstr(infos[i].name, "Oclgrind"); /* says that it has no fma, and has it */
        if (infos[i].refused[0] && !simulated) {
            printf("opencl %s: skipped, %s\n", infos[i].name, infos[i].refused);
            continue;
        }
        printf("device %u: %s, %s\n", i, infos[i].name, infos[i].version);
        snprintf(name, sizeof name, "opencl_%u", i);
        used += tunables_check(&check, name, (int)i, simulated ? opencl_tunables_of(infos[i].name) : NULL);
        for (size_t t = 0; t < sizeof others / sizeof *others; t++) {
            snprintf(name, sizeof name, "opencl_%u_%u_%u_%u_%u", i, others[t].vector, others[t].vectors, others[t].clusters,
                     others[t].group);
            used += tunables_check(&check, name, (int)i, &others[t]);
        }
    }
    if (used == 0) {
        printf("skipped: no OpenCL device%s%s\n", why[0] ? ": " : "", why);
        return 77;
    }
    return check_close(&check);
}
