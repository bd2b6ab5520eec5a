#ifndef SLUICE_WIRE_ISO20022_ISO20022_H
#define SLUICE_WIRE_ISO20022_ISO20022_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"

/* ISO 20022 credit transfers: pain.001 (versions 03 and 09) into batches, pain.002 and a smaller pain.001 out of what was decided.
 * Pure functions over the file's bytes. A fault's note has the line in its row and names the element. docs/iso20022.md. */

enum { ISO_TRANSACTIONS_MAX = 10000000, ISO_ID_BYTES = 35 * 4 + 1 };

struct pain001;
/* Reads the whole file once: that it follows its schema, and that its numbers of transactions and control sums are so. The bytes
 * must stay until pain001_close. */
enum fault pain001_open(struct pain001 **out, const void *bytes, size_t byte_count, const struct batch_limits *limits,
                        struct fault_note *note);
/* The next at most rows_max transactions in batch (batch_init'ed, arena_reset by the caller), one a row; 0 rows: the end. What is
 * wrong with one alone makes its row invalid with a note, as in csv_read. */
enum fault pain001_read(struct pain001 *pain001, struct batch *batch, uint32_t rows_max, struct fault_note *note);
void pain001_close(struct pain001 **pain001_p); /* safe on NULL */

uint32_t pain001_transactions(const struct pain001 *pain001);
const char *pain001_message_id(const struct pain001 *pain001);

/* Where answers go, in pieces. false: it cannot be written, and nothing more comes. */
struct iso_output {
    bool (*put)(void *context, const char *bytes, size_t byte_count);
    void *context;
};

/* Why a transaction did not pass: a code of ISO's external list, or a name of ours; and a sentence. "" where there is none. */
struct iso_reason {
    char code[5];
    char name[36];
    char text[106];
};
struct iso_decisions {       /* of every transaction of the file, in its order */
    const uint8_t *verdicts; /* enum verdict */
    const uint32_t *reasons; /* which of reason_list; UINT32_MAX: none */
    const struct iso_reason *reason_list;
};

/* pain.002 (version 03 for 03, 10 for 09): pass is ACCP, hold PDNG, reject and invalid RJCT; the group and each of its parts ACCP,
 * PDNG or RJCT where all are, else PART. message_id: at most 35 characters. */
enum fault pain002_write(const struct iso_output *out, const struct pain001 *of, const struct iso_decisions *decisions,
                         const char *message_id, int64_t now_us, struct fault_note *note);
/* The same pain.001 with only the transactions whose verdict is pass: their bytes as they were, numbers and control sums of what is
 * left, message_id as its own. At least one must pass. */
enum fault pain001_release(const struct iso_output *out, const struct pain001 *of, const uint8_t *verdicts, const char *message_id,
                           struct fault_note *note);
/* A pain.001 (version 09) of the rows that `wanted` marks (NULL: all), of funds: a part of it for each run of rows with the same order,
 * payer and date. For rows that did not come as one. */
enum fault pain001_write(const struct iso_output *out, const struct batch *batch, const uint8_t *wanted, const char *message_id,
                         int64_t now_us, struct fault_note *note);

#endif
