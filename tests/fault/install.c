/* Puts the faults that the environment asks for under the program, before main. */
#include "fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "forget_vfs.h"

/* Not there in a program without devices. */
__attribute__((weak)) void opencl_fail_at(uint64_t nth, uint64_t count);

void fault_forget_install(void)
{
    file_ops = &file_ops_forget;
    forget_vfs_register();
}

__attribute__((constructor)) void fault_install_from_environment(void)
{
    static int done;
    if (done++)
        return;
    if (getenv("SLUICE_FAULT_SQLITE_MEMORY"))
        fault_sqlite_memory_install();
    if (getenv("SLUICE_FAULT_FORGET"))
        fault_forget_install();
    const char *calls = getenv("SLUICE_FAULT_OPENCL"), *colon = calls ? strchr(calls, ':') : NULL;
    if (colon && opencl_fail_at)
        opencl_fail_at(strtoull(calls, NULL, 10), strtoull(colon + 1, NULL, 10));
}
