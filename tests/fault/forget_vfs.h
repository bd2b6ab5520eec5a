#ifndef SLUICE_TESTS_FAULT_FORGET_VFS_H
#define SLUICE_TESTS_FAULT_FORGET_VFS_H

void forget_vfs_register(void); /* as SQLite's default, before the first connection */

#endif
