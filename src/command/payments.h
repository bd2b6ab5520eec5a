#ifndef SLUICE_COMMAND_PAYMENTS_H
#define SLUICE_COMMAND_PAYMENTS_H

#include <stdbool.h>

#include "base/file.h"
#include "command/feed.h"
#include "wire/iso20022/iso20022.h"

/* What became of every transaction of a pain.001, and the files that tell it: pain.002, and the pain.001 of what passed. */

struct payments {
    struct file_map map;
    struct pain001 *pain001;
    uint8_t *verdicts;
    uint32_t *reasons;
    struct iso_reason *reason_list;
    uint32_t reason_count, reason_capacity, answered;
    bool broken;
};

int payments_open(struct payments *payments, const char *name, const char *path);
void payments_take(struct payments *payments, const struct feed_answer *answer);
/* After the last answer; paths may be NULL. A file is there as a whole or not at all. */
int payments_write(struct payments *payments, const char *name, const char *pain002_path, const char *released_path);
void payments_close(struct payments *payments); /* safe on zeroed memory */

#endif
