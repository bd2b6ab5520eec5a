#ifndef SLUICE_PIPELINE_BUILD_FILE_H
#define SLUICE_PIPELINE_BUILD_FILE_H

#include "pipeline/build.h"

/* What `sluice build` is told, by a build file (YAML, build_keys.tbl) or on the command line. Texts live in the plan. */

enum { PLAN_TEXT_BYTES = 16384 };

struct build_plan {
    struct base_build_options options;
    const char *path, *out, *name, *version, *server_config, *tenant; /* NULL: not told */
    int64_t train_days;
    uint32_t batch_rows; /* 0: no features across the rows of a batch */
    size_t text_bytes;
    char texts[PLAN_TEXT_BYTES];
};

/* A copy of the first bytes of text, kept as long as the plan; NULL: no more room. */
const char *build_plan_keep(struct build_plan *plan, const char *text, size_t bytes);
/* What the file tells over what stands in the plan; lists are added to. FAULT_schema, FAULT_syntax "FILE:LINE: …". */
enum fault build_file_read(struct build_plan *plan, const char *path, struct fault_note *note);
enum fault build_file_read_text(struct build_plan *plan, const char *source, const char *text, size_t bytes, struct fault_note *note);

#endif
