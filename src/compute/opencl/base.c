/* The sets of a base, packed for panel.cl: every part is a run of whole segments, its clusters in blocks, the last one
 * repeated to fill the last block (the minimum of a value and itself is that value, bit for bit). */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"
#include "compute/opencl/internal.h"

struct packing { /* counted first, with NULLs, then filled */
    const struct opencl_tunables *tunables;
    struct opencl_part *parts;
    float *values, *start;
    uint32_t *line, *empty;
    uint32_t columns, lines, part_count, block_count, empty_count;
    size_t value_count;
};

/* One cluster or point into its place of its block; line is its segment's. */
static void cluster_pack(struct packing *out, const struct opencl_set *set, uint32_t cluster, uint32_t place, uint32_t line)
{
    const uint32_t width = out->tunables->clusters, columns = set->column_count, each = set->is_product ? 1 : 2;
    const float *from = set->values + (size_t)each * columns * cluster;
    float *to = out->values + out->value_count + (size_t)each * (place / width) * columns * width + (size_t)each * (place % width);
    const size_t at = (size_t)out->block_count * width + place;
    for (uint32_t j = 0; j < columns; j++)
        memcpy(to + (size_t)each * j * width, from + (size_t)each * j, each * sizeof(float));
    out->start[at] = set->start[cluster];
    out->line[at] = line;
}

/* Segments [first, end), of which one at least is not empty. */
static void part_pack(struct packing *out, const struct opencl_set *set, uint32_t first, uint32_t end)
{
    const uint32_t width = out->tunables->clusters, from = set->segment_first[first], to = set->segment_first[end];
    const uint32_t blocks = (to - from + width - 1) / width;
    uint32_t segment = first;
    if (out->parts)
        out->parts[out->part_count] = (struct opencl_part){.columns = set->column_count,
                                                           .columns_before = out->columns,
                                                           .block_first = out->block_count,
                                                           .block_count = blocks,
                                                           .values_first = (uint32_t)out->value_count,
                                                           .is_product = set->is_product};
    for (uint32_t place = 0; out->parts && place < blocks * width; place++) {
        uint32_t cluster = from + place < to ? from + place : to - 1;
        while (cluster >= set->segment_first[segment + 1])
            segment++;
        cluster_pack(out, set, cluster, place, out->lines + segment);
    }
    out->part_count++;
    out->block_count += blocks;
    out->value_count += (set->is_product ? 1 : 2) * (size_t)blocks * width * set->column_count;
}

static void set_pack(struct packing *out, const struct opencl_set *set)
{
    const uint32_t *first_of = set->segment_first;
    uint32_t least = out->tunables->part_clusters ? out->tunables->part_clusters : UINT32_MAX, first = 0;
    for (uint32_t s = 0; s < set->segment_count; s++) {
        if (first_of[s] == first_of[s + 1]) {
            if (out->empty)
                out->empty[out->empty_count] = out->lines + s;
            out->empty_count++;
        }
        if (first_of[s + 1] - first_of[first] >= least || (s + 1 == set->segment_count && first_of[s + 1] > first_of[first])) {
            part_pack(out, set, first, s + 1);
            first = s + 1;
        }
    }
    out->columns += set->column_count;
    out->lines += set->segment_count;
}

static void all_pack(struct packing *out, const struct opencl_set *sets, uint32_t set_count)
{
    out->columns = out->lines = out->part_count = out->block_count = out->empty_count = 0;
    out->value_count = 0;
    for (uint32_t i = 0; i < set_count; i++)
        if (sets[i].count)
            set_pack(out, &sets[i]);
}

static cl_mem buffer_of(cl_context context, void *data, size_t bytes, cl_int *error)
{
    static float nothing;
    cl_int here = CL_SUCCESS;
    if (*error != CL_SUCCESS)
        return NULL;
    cl_mem buffer =
        clCreateBuffer(context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, bytes ? bytes : sizeof nothing, bytes ? data : &nothing, &here);
    *error = opencl_try(here);
    return buffer;
}

static enum fault base_upload(struct opencl_base *base, const struct packing *packed, struct fault_note *note)
{
    cl_context context = base->opencl->context;
    const size_t places = (size_t)packed->block_count * packed->tunables->clusters;
    cl_int error = CL_SUCCESS;
    base->parts = buffer_of(context, packed->parts, packed->part_count * sizeof *packed->parts, &error);
    base->values = buffer_of(context, packed->values, packed->value_count * sizeof(float), &error);
    base->start = buffer_of(context, packed->start, places * sizeof(float), &error);
    base->line = buffer_of(context, packed->line, places * sizeof(uint32_t), &error);
    return error == CL_SUCCESS ? FAULT_NONE : opencl_fault(note, "clCreateBuffer", error);
}

static bool packing_take(struct packing *packed)
{
    const size_t places = (size_t)packed->block_count * packed->tunables->clusters;
    packed->parts = memory_take_zeroed(packed->part_count + 1, sizeof *packed->parts);
    packed->values = memory_take_zeroed(packed->value_count + 1, sizeof(float));
    packed->start = memory_take_zeroed(places + 1, sizeof(float));
    packed->line = memory_take_zeroed(places + 1, sizeof(uint32_t));
    packed->empty = memory_take_zeroed(packed->empty_count + 1, sizeof(uint32_t));
    return packed->parts && packed->values && packed->start && packed->line && packed->empty;
}

enum fault opencl_base_put(struct opencl_base **out, struct opencl *opencl, const struct opencl_set *sets, uint32_t set_count,
                           struct fault_note *note)
{
    MUST(opencl->magic == (unsigned)OPENCL_MAGIC && set_count <= OPENCL_SETS_MAX);
    struct packing packed = {.tunables = &opencl->tunables};
    struct opencl_base *base = memory_take_zeroed(1, sizeof *base);
    enum fault fault = FAULT_memory;
    all_pack(&packed, sets, set_count);
    if (base && packing_take(&packed)) {
        all_pack(&packed, sets, set_count);
        *base = (struct opencl_base){.magic = (unsigned)OPENCL_BASE_MAGIC,
                                     .opencl = opencl,
                                     .columns = packed.columns,
                                     .lines = packed.lines,
                                     .part_count = packed.part_count,
                                     .empty = packed.empty,
                                     .empty_count = packed.empty_count};
        packed.empty = NULL;
        fault = base_upload(base, &packed, note);
    } else
        fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to pack a scene base");
    memory_give(packed.parts);
    memory_give(packed.values);
    memory_give(packed.start);
    memory_give(packed.line);
    memory_give(packed.empty);
    if (fault == FAULT_NONE)
        return *out = base, FAULT_NONE;
    if (base && base->magic)
        opencl_base_drop(&base);
    memory_give(base);
    return fault;
}

void opencl_base_drop(struct opencl_base **base_p)
{
    struct opencl_base *base = *base_p;
    *base_p = NULL;
    if (!base)
        return;
    MUST(base->magic == (unsigned)OPENCL_BASE_MAGIC);
    cl_mem buffers[] = {base->parts, base->values, base->start, base->line};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (buffers[i])
            clReleaseMemObject(buffers[i]);
    memory_give(base->empty);
    base->magic = 0;
    memory_give(base);
}
