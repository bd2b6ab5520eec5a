#ifndef SLUICE_SCENE_TEAM_H
#define SLUICE_SCENE_TEAM_H

#include <stdint.h>

/* Threads that share the parts of one job after another. Which of them does a part is open, so a part's result may depend on its
 * number alone. The caller does parts too, and never waits for a thread that has begun none. */
struct team;
enum { TEAM_THREADS_MAX = 16 };
typedef void team_work(void *context, uint32_t part, uint32_t thread); /* thread: below team_threads, whose scratch is its own */

/* threads: with the caller; 0: one for each processor. As many as the system gives. NULL: the caller alone, which team_run takes. */
struct team *team_open(uint32_t threads);
void team_close(struct team **team_p); /* safe on NULL */
uint32_t team_threads(const struct team *team);
/* Every part from 0 to part_count - 1 once; blocks until all are done. One caller. */
void team_run(struct team *team, uint32_t part_count, team_work *work, void *context);

#endif
