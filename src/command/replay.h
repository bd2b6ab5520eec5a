#ifndef SLUICE_COMMAND_REPLAY_H
#define SLUICE_COMMAND_REPLAY_H

#include "command/feed.h"
#include "pipeline/replay.h"

struct replay_command {
    struct replay_options options;
    const char *switched_path;
    bool verifies, json, quiet, as_lines;
    FILE *switched_out;
    uint64_t switched;
    struct progress progress;
};

/* What a replay found, for people and for programs, on standard output. */
void replay_print_verify(const struct replay_result *result);
void replay_print_verify_json(const struct replay_result *result);
void replay_print_trial(const struct replay_result *result, uint64_t switched);
void replay_print_trial_json(const struct replay_result *result, uint64_t switched);

#endif
