#ifndef SLUICE_PIPELINE_MACHINE_H
#define SLUICE_PIPELINE_MACHINE_H

#include <stdint.h>

/* Memory of the machine, or what a control group (container, service) leaves of it; UINT64_MAX: not known. */
uint64_t machine_memory_bytes(void);
/* The least limit of the groups named in a file such as /proc/self/cgroup and of those above them; UINT64_MAX: none. */
uint64_t machine_group_bytes(const char *groups_path, const char *mount_path);

#endif
