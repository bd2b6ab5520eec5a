#ifndef SLUICE_COMMAND_BUILD_PROGRESS_H
#define SLUICE_COMMAND_BUILD_PROGRESS_H

#include "pipeline/build.h"

/* Sets who is told how a build goes: standard error, nobody when quiet. One build at a time. */
void build_progress_begin(struct base_build_options *options, bool quiet);

#endif
