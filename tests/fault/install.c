/* Puts the faults that the environment asks for under the program, before main. */
#include "fault.h"

#include <stdlib.h>

#include "forget_vfs.h"

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
}
