/* `sluice devices`: what can score here, and with a base how fast each is and what `device: auto` would take. */
#include <stdio.h>
#include <string.h>

#include "command/command.h"
#include "compute/device.h"
#include "compute/opencl.h"

struct devices {
    const char *base_path;
    struct scene_base *base;
    double seconds[MEMBER_COUNT][DEVICE_SIZES]; /* of what auto chooses among; 0: not there */
};

static const struct argp_option options[] = {
    {"base", 'b', "FILE", 0, "Time each device on this scene base", 1},
    {0},
};

static error_t option_parse(int key, char *argument, struct argp_state *state)
{
    struct devices *out = state->input;
    if (key == 'b')
        out->base_path = argument;
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "no arguments are taken, not '%s'", argument);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp devices_argp = {
    .options = options,
    .parser = option_parse,
    .doc = "Shows what can score on this machine.\v"
           "With a base, rates are in million rows per second on one worker, by rows of a slice; a device that computes on this "
           "processor's cores is charged for all that it takes. The last lines tell what `device: auto` would take here.",
};

static void rates_print(const double seconds[DEVICE_SIZES])
{
    for (unsigned i = 0; i < DEVICE_SIZES; i++)
        printf("  %10.3f", 1e-6 * device_sizes[i] / seconds[i]);
}

static enum fault rates_take(double seconds[DEVICE_SIZES], const struct devices *devices, const struct device_ops *ops,
                             struct device *device, struct fault_note *note)
{
    struct resident *resident = NULL;
    enum fault fault = ops->prepare(&resident, device, devices->base, note);
    if (fault == FAULT_NONE)
        fault = device_time(seconds, ops, resident, note);
    if (resident)
        ops->release(&resident);
    return fault;
}

static void device_print(struct devices *devices, const char *name)
{
    const struct device_options device_options = {.cpu_mask = CPU_MASK_ALL, .name = name};
    const struct device_ops *ops = device_find(name);
    struct device *device = NULL;
    struct fault_note note = {0};
    double seconds[DEVICE_SIZES] = {0};
    if (!ops)
        return;
    enum fault fault = ops->open(&device, &device_options, &note);
    if (fault == FAULT_NONE && devices->base)
        fault = rates_take(seconds, devices, ops, device, &note);
    printf("%-10s", name);
    if (fault == FAULT_NONE && devices->base)
        rates_print(seconds);
    printf("  %s\n", fault == FAULT_NONE ? ops->describe(device) : note.text);
    for (unsigned m = 0; m < MEMBER_COUNT && fault == FAULT_NONE; m++)
        if (device_members[m] == ops && devices->seconds[m][0] == 0)
            memcpy(devices->seconds[m], seconds, sizeof seconds);
    if (device)
        ops->close(&device);
}

static void opencl_print(struct devices *devices)
{
    struct opencl_info infos[OPENCL_DEVICES_MAX];
    char why[80], name[16];
    uint32_t count = opencl_list(infos, why);
    if (count == 0)
        printf("%-10s  none: %s\n", "opencl", why);
    for (uint32_t i = 0; i < count; i++) {
        const struct opencl_info *info = &infos[i];
        snprintf(name, sizeof name, "opencl:%u", i);
        if (info->refused[0])
            printf("%-10s  refused: %s\n", name, info->refused);
        else
            device_print(devices, name);
        printf("%-10s  %s of platform %s: %s, driver %s, %s, %u compute units, %.1f GiB, fma %s, subnormals %s\n", "", info->name,
               info->platform, info->version, info->driver, info->type, info->compute_units, (double)info->memory_bytes / (1 << 30),
               info->has_fma ? "yes" : "no", info->has_denormals ? "yes" : "no");
    }
}

static void choice_print(const struct devices *devices)
{
    uint8_t choice[DEVICE_SIZES];
    device_choose(choice, devices->seconds);
    for (unsigned i = 0; i < DEVICE_SIZES; i++)
        printf("auto: slices of about %u rows go to %s, the fastest here\n", device_sizes[i], device_members[choice[i]]->name);
}

int command_devices(int argc, char **argv)
{
    static const char *const own[] = {"cpu", "ref", "blas"};
    struct devices devices = {0};
    struct fault_note note = {0};
    argp_parse(&devices_argp, argc, argv, 0, NULL, &devices);
    if (devices.base_path && scene_base_open(&devices.base, devices.base_path, &note) != FAULT_NONE)
        return command_fail(COMMAND_REFUSED, "devices", "%s", note.text);
    if (devices.base)
        printf("%-10s  %10u  %10u  %10u  million rows/s by rows of a slice\n", "", device_sizes[0], device_sizes[1], device_sizes[2]);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        device_print(&devices, own[i]);
    opencl_print(&devices);
    if (devices.base)
        choice_print(&devices);
    scene_base_close(&devices.base);
    return COMMAND_DONE;
}
