/* device: auto. Every device that is there is timed on the base's shapes when the base is made ready, and each size of slice
 * goes where it is cheapest. The bits are the same on all, so the choice may differ from start to start. */
#include "compute/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"

const struct device_ops *const device_members[MEMBER_COUNT] = {&device_cpu, &device_blas, &device_opencl};
enum { MEMBER_CPU };

/* --- the device: all members that can be opened -------------------------------------------------------------------------- */

static void auto_close(struct device **device_p)
{
    struct device *device = *device_p;
    *device_p = NULL;
    if (!device)
        return;
    MUST(device->magic == (unsigned)DEVICE_MAGIC);
    for (unsigned m = 0; m < MEMBER_COUNT; m++)
        if (device->members[m])
            device_members[m]->close(&device->members[m]);
    device->magic = 0;
    memory_give(device);
}

static enum fault auto_open(struct device **out, const struct device_options *options, struct fault_note *note)
{
    struct device *device = memory_take_zeroed(1, sizeof *device);
    if (!device)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the compute device");
    device->magic = (unsigned)DEVICE_MAGIC;
    snprintf(device->description, sizeof device->description, "auto");
    enum fault fault = FAULT_NONE;
    for (unsigned m = 0; m < MEMBER_COUNT && fault == FAULT_NONE; m++) {
        struct device_options own = {.cpu_mask = options->cpu_mask};
        struct fault_note why = {0};
        enum fault here = device_members[m]->open(&device->members[m], &own, &why);
        if (here == FAULT_device)
            log_line(LOG_INFO, "compute", "device auto: without %s: %s", device_members[m]->name, why.text);
        else if (here != FAULT_NONE)
            fault = fault_set(note, here, ROW_NONE, COLUMN_NONE, "%s", why.text);
    }
    if (fault == FAULT_NONE)
        *out = device;
    else
        auto_close(&device);
    return fault;
}

static const char *auto_describe(const struct device *device)
{
    MUST(device->magic == (unsigned)DEVICE_MAGIC);
    return device->description;
}

static const struct kernels *auto_kernels(const struct device *device)
{
    MUST(device->magic == (unsigned)DEVICE_MAGIC);
    return device_members[MEMBER_CPU]->kernels(device->members[MEMBER_CPU]);
}

/* --- a base: prepared on every member, timed, kept where it is chosen ----------------------------------------------------- */

static void auto_release(struct resident **resident_p)
{
    struct resident *resident = *resident_p;
    *resident_p = NULL;
    if (!resident)
        return;
    MUST(resident->magic == (unsigned)RESIDENT_MAGIC);
    for (unsigned m = 0; m < MEMBER_COUNT; m++)
        if (resident->members[m])
            device_members[m]->release(&resident->members[m]);
    resident->magic = 0;
    memory_give(resident);
}

void device_choose(uint8_t out[DEVICE_SIZES], const double seconds[MEMBER_COUNT][DEVICE_SIZES])
{
    for (unsigned i = 0; i < DEVICE_SIZES; i++) {
        out[i] = MEMBER_CPU;
        for (unsigned m = 0; m < MEMBER_COUNT; m++)
            if (seconds[m][i] > 0 && seconds[m][i] < 0.95 * seconds[out[i]][i])
                out[i] = (uint8_t)m;
    }
}

static void choice_say(const struct resident *resident, const double seconds[MEMBER_COUNT][DEVICE_SIZES])
{
    for (unsigned i = 0; i < DEVICE_SIZES; i++) {
        char line[256] = "";
        for (unsigned m = 0; m < MEMBER_COUNT; m++)
            if (seconds[m][i] > 0)
                snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s %.3g", line[0] ? ", " : "", device_members[m]->name,
                         1e-6 * device_sizes[i] / seconds[m][i]);
        log_line(LOG_INFO, "compute", "device auto: slices of about %u rows go to %s (million rows/s: %s)", device_sizes[i],
                 device_members[resident->choice[i]]->name, line);
    }
}

/* "auto: cpu avx512", or "auto: cpu avx512, opencl …": members in use, the smallest slices' first. */
static void choice_describe(struct device *device, const struct resident *resident)
{
    char *text = device->description;
    const size_t bytes = sizeof device->description;
    int used = snprintf(text, bytes, "auto");
    for (unsigned i = 0; i < DEVICE_SIZES; i++) {
        bool told = false;
        for (unsigned before = 0; before < i; before++)
            told |= resident->choice[before] == resident->choice[i];
        const unsigned m = resident->choice[i];
        if (!told && (size_t)used < bytes)
            used += snprintf(text + used, bytes - (size_t)used, "%s%s", i ? ", " : ": ", device_members[m]->describe(device->members[m]));
    }
}

static enum fault member_time(double seconds[DEVICE_SIZES], struct resident *resident, unsigned m, struct device *member,
                              struct fault_note *note)
{
    struct fault_note why = {0};
    enum fault fault = device_members[m]->prepare(&resident->members[m], member, resident->base, &why);
    if (fault == FAULT_NONE)
        fault = device_time(seconds, device_members[m], resident->members[m], &why);
    if (fault != FAULT_device)
        return fault == FAULT_NONE ? fault : fault_set(note, fault, ROW_NONE, COLUMN_NONE, "%s", why.text);
    log_line(LOG_WARN, "compute", "device auto: without %s: %s", device_members[m]->name, why.text);
    if (resident->members[m])
        device_members[m]->release(&resident->members[m]);
    memset(seconds, 0, DEVICE_SIZES * sizeof *seconds);
    return FAULT_NONE;
}

static enum fault auto_prepare(struct resident **out, struct device *device, const struct scene_base *base, struct fault_note *note)
{
    MUST(device->magic == (unsigned)DEVICE_MAGIC);
    struct resident *resident = memory_take_zeroed(1, sizeof *resident);
    double seconds[MEMBER_COUNT][DEVICE_SIZES] = {0};
    if (!resident)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to make scene base %s ready", base->name);
    *resident = (struct resident){.magic = (unsigned)RESIDENT_MAGIC, .device = device, .base = base};
    enum fault fault = FAULT_NONE;
    for (unsigned m = 0; m < MEMBER_COUNT && fault == FAULT_NONE; m++)
        if (device->members[m])
            fault = member_time(seconds[m], resident, m, device->members[m], note);
    if (fault != FAULT_NONE)
        return auto_release(&resident), fault;
    device_choose(resident->choice, (const double(*)[DEVICE_SIZES])seconds);
    choice_say(resident, (const double(*)[DEVICE_SIZES])seconds);
    choice_describe(device, resident);
    for (unsigned m = 0; m < MEMBER_COUNT; m++)
        if (resident->members[m] && !memchr(resident->choice, (int)m, DEVICE_SIZES))
            device_members[m]->release(&resident->members[m]);
    *out = resident;
    return FAULT_NONE;
}

/* --- a thread -------------------------------------------------------------------------------------------------------------- */

static void auto_scratch_give(struct scratch **scratch_p)
{
    struct scratch *scratch = *scratch_p;
    *scratch_p = NULL;
    if (!scratch)
        return;
    MUST(scratch->magic == (unsigned)SCRATCH_MAGIC);
    for (unsigned m = 0; m < MEMBER_COUNT; m++)
        if (scratch->members[m])
            device_members[m]->scratch_give(&scratch->members[m]);
    scratch->magic = 0;
    memory_give(scratch);
}

static enum fault auto_scratch_take(struct scratch **out, const struct resident *resident, struct fault_note *note)
{
    MUST(resident->magic == (unsigned)RESIDENT_MAGIC);
    struct scratch *scratch = memory_take_zeroed(1, sizeof *scratch);
    if (!scratch)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to score with");
    scratch->magic = (unsigned)SCRATCH_MAGIC;
    enum fault fault = FAULT_NONE;
    for (unsigned m = 0; m < MEMBER_COUNT && fault == FAULT_NONE; m++)
        if (resident->members[m])
            fault = device_members[m]->scratch_take(&scratch->members[m], resident->members[m], note);
    if (fault == FAULT_NONE)
        *out = scratch;
    else
        auto_scratch_give(&scratch);
    return fault;
}

/* The size that is nearest by ratio. */
static unsigned size_of(uint32_t row_count)
{
    unsigned i = 0;
    while (i + 1 < DEVICE_SIZES && (uint64_t)row_count * row_count > (uint64_t)device_sizes[i] * device_sizes[i + 1])
        i++;
    return i;
}

static enum fault auto_score(struct scores *out, struct scratch *scratch, const struct resident *resident,
                             const struct feature_block *features, struct fault_note *note)
{
    MUST(scratch->magic == (unsigned)SCRATCH_MAGIC && resident->magic == (unsigned)RESIDENT_MAGIC);
    const unsigned m = resident->choice[size_of(features->row_count)];
    return device_members[m]->score(out, scratch->members[m], resident->members[m], features, note);
}

const struct device_ops device_auto = {.name = "auto",
                                       .open = auto_open,
                                       .close = auto_close,
                                       .describe = auto_describe,
                                       .kernels = auto_kernels,
                                       .prepare = auto_prepare,
                                       .release = auto_release,
                                       .scratch_take = auto_scratch_take,
                                       .scratch_give = auto_scratch_give,
                                       .score = auto_score};
