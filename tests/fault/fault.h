#ifndef SLUICE_TESTS_FAULT_FAULT_H
#define SLUICE_TESTS_FAULT_FAULT_H

#include <stdint.h>

#include "base/file.h"

/* Faults put under a program that is built from rooms_faulty (cmake/faults.cmake). At its start, from the environment:
 *   SLUICE_FAULT_FORGET=1         what was not synced is lost when the process is killed: file_ops and SQLite's files
 *   SLUICE_FAULT_SQLITE_MEMORY=1  SQLite allocates through base/memory.h, so that its n-th allocation can fail too
 *   SLUICE_FAULT_OPENCL=nth:count  calls to an OpenCL device from the nth on (0 = the first), so many, fail
 *   SLUICE_FAILPOINT=name:nth     the process kills itself (SIGKILL) when it passes that failpoint the nth time, from 1
 *   SLUICE_FAILPOINT_COUNTS=path  every failpoint passed is appended there, a name a line */
void fault_install_from_environment(void); /* called by a constructor; a second call adds nothing */

/* The same by calls, before the first use of file_ops and of SQLite. */
extern const struct file_ops file_ops_forget;
void fault_forget_install(void);
void fault_sqlite_memory_install(void);
void fault_failpoint_set(const char *name, uint64_t nth); /* NULL: none */

/* A disk of so many bytes under file_ops: writes beyond fail with ENOSPC, truncation gives bytes back. */
extern const struct file_ops file_ops_full;
void fault_disk_bytes_set(int64_t bytes);

#endif
