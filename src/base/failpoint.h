#ifndef SLUICE_BASE_FAILPOINT_H
#define SLUICE_BASE_FAILPOINT_H

/* Places where a test may kill the process. Nothing at all unless built with SLUICE_FAILPOINTS (tests/fault/failpoint.c). */
#ifdef SLUICE_FAILPOINTS
void failpoint_pass(const char *name);
#define FAILPOINT(name) failpoint_pass(#name)
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif
