#ifndef SLUICE_COMMAND_SOURCE_H
#define SLUICE_COMMAND_SOURCE_H

#include "base/file.h"
#include "batch/batch.h"

/* Rows out of a file: .csv and .jsonl (or "-") and .xml (pain.001) in batches of any size, .columns as the one request that it holds. */

struct source;
enum fault source_open(struct source **out, const char *path, struct fault_note *note);
/* Of a pain.001 whose bytes are there already, borrowed until close; NULL: source_open. */
enum fault source_open_held(struct source **out, const char *path, const struct file_map *held, struct fault_note *note);
bool source_is_pain001(const char *path);
void source_close(struct source **source_p); /* safe on NULL */
/* Empties the batch and reads the next rows into it; 0 rows: the end. */
enum fault source_read(struct source *source, struct batch *batch, uint32_t rows_max, struct fault_note *note);
uint32_t source_batch_rows(const struct source *source, uint32_t wanted); /* a saved request keeps its own number */
size_t source_arena_bytes(const struct source *source, uint32_t rows);    /* of the batch to read into */
uint64_t source_rows_expected(const struct source *source);               /* 0: not known */
/* Says "FILE, line L: text"; returns COMMAND_REFUSED. */
int source_refused(const char *name, const char *path, const struct fault_note *note);

#endif
