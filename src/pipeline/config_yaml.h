#ifndef SLUICE_PIPELINE_CONFIG_YAML_H
#define SLUICE_PIPELINE_CONFIG_YAML_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* The tree of a YAML text with the line of each key. It refuses what the schema loader reads without a word: a second
 * document, aliases, empty values, keys that are not plain text. */

struct config_yaml;

enum fault config_yaml_open(struct config_yaml **out, const char *source, const char *text, size_t bytes, struct fault_note *note);
void config_yaml_close(struct config_yaml **yaml_p);
/* Line, from 1, of "tenants[2].weight"; of as much of the path as there is. last: one more key, taken as it is, or NULL. */
unsigned config_yaml_line(const struct config_yaml *yaml, const char *path, const char *last);
/* Line where the text of that value begins: of a block (|, >) the one below. */
unsigned config_yaml_text_line(const struct config_yaml *yaml, const char *path);
/* The end of a path, short enough for a note. */
const char *config_source_tail(const char *source);

#endif
