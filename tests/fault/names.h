#ifndef SLUICE_TESTS_FAULT_NAMES_H
#define SLUICE_TESTS_FAULT_NAMES_H

/* Names that a folder has not kept yet. What was created, renamed or unlinked since the folder's last sync is undone by
 * names_forget, which a process calls just before it kills itself; a kill from outside leaves names as they are. */
void names_created(const char *path); /* before the open that may create it */
int names_rename(const char *from, const char *to);
int names_unlink(const char *path);
int names_sync(const char *folder);
void names_forget(void);

#endif
