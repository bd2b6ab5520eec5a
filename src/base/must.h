#ifndef SLUICE_BASE_MUST_H
#define SLUICE_BASE_MUST_H

/* A bug of ours stops the process, in every build. The world's faults are returned (base/fault.h). */
#define MUST(condition) ((condition) ? (void)0 : must_fail(#condition, __FILE__, __LINE__))

_Noreturn void must_fail(const char *condition, const char *file, int line);

#endif
