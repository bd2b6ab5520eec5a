#ifndef SLUICE_BATCH_LIMITS_H
#define SLUICE_BATCH_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a request may ask for at the most. Each has its own fault text; the configuration may lower or raise them. */
struct batch_limits {
    size_t message_bytes_max;
    uint32_t rows_max;
    uint32_t columns_max;    /* known and other columns of one batch */
    uint32_t text_bytes_max; /* one text value */
    uint32_t id_bytes_max;   /* transfer, account, device and request ids, batch names, tenants */
    uint32_t dict_values_max;
    uint32_t notes_max; /* notes in one reply; counts go on beyond */
};

#define BATCH_LIMITS_DEFAULT \
    ((struct batch_limits){.message_bytes_max = 128u << 20, \
                           .rows_max = 1000000, \
                           .columns_max = 64, \
                           .text_bytes_max = 1024, \
                           .id_bytes_max = 128, \
                           .dict_values_max = 65536, \
                           .notes_max = 1000})

enum {
    SLICE_ROWS = 1024, /* rows that the steps relate … decide take at once; a multiple of 16 */
    REASONS_MAX = 5,   /* top features told for a row that did not pass */
    OTHER_COLUMNS_MAX = 64,
    DEADLINE_MS_MAX = 86400000,
    SCRATCH_ROW_BYTES = 48, /* per row, what digest and intake together take from the arena to work with */
};

#define AMOUNT_MAX            1000000000000000LL   /* minor units, of a transfer and in the reference currency */
#define TIME_US_MAX           253402300799999999LL /* the last microsecond of the year 9999 */
#define TRANSFER_AGE_US_MAX   (30 * 86400000000LL) /* of a transfer that is screened or scored: the longest window */
#define TRANSFER_AHEAD_US_MAX (5 * 60000000LL)     /* of any row's time, ahead of now */

/* Bytes of arena that a batch of row_count rows may need: asked at admission, promised to suffice for
 * decode … reply of a batch within the limits (wire_bytes: size of its message), but for what feature_in_batch_bytes
 * tells of its own. */
size_t batch_arena_bytes(const struct batch_limits *limits, uint32_t row_count, size_t wire_bytes);
/* The part of it that does not depend on the message: all but decode. Decode's part of one request: struct request. */
size_t batch_work_bytes(const struct batch_limits *limits, uint32_t row_count);
/* Decode's part at the most, for a batch in columns (dictionaries) and in rows (whole columns). */
size_t batch_decode_bytes(const struct batch_limits *limits, uint32_t row_count, size_t wire_bytes, size_t dict_values, bool in_rows);

#endif
