#ifndef SLUICE_WIRE_ISO20022_PAIN001_H
#define SLUICE_WIRE_ISO20022_PAIN001_H

#include "wire/csv.h"
#include "wire/iso20022/decimal.h"
#include "wire/iso20022/iso20022.h"
#include "wire/iso20022/walk.h"

/* What the reader of pain.001 and those who answer it share. */

struct told { /* NbOfTxs and CtrlSum of the group or of a part of it, as they stand there, and what was counted */
    bool has_count, has_sum;
    uint64_t count, counted;
    struct decimal sum, summed;
    uint32_t line_of_count, line_of_sum;
};

struct pain001 {
    unsigned magic;
    const void *bytes;
    size_t byte_count;
    unsigned version;
    char message_name[36], message_id[ISO_ID_BYTES], created[ISO_ID_BYTES], control_sum[64]; /* control_sum "": none */
    uint32_t transaction_count, payment_count, payment_capacity;
    uint32_t *payment_ends; /* of each PmtInf: the transaction behind its last */
    struct batch_limits limits;

    struct walk walk; /* of pain001_read */
    struct csv_reader rows;
    char payer[ISO_ID_BYTES], order[ISO_ID_BYTES], date[ISO_ID_BYTES]; /* of the PmtInf that is read */
    uint32_t place;                                                    /* in it, of the transaction that is read */
    char instruction[ISO_ID_BYTES], end_to_end[ISO_ID_BYTES], payee[ISO_ID_BYTES];
    char amount[ISO_ID_BYTES], currency[4];
    uint32_t amount_line;
    char *memo;
    size_t memo_bytes;
};

enum { PAIN001_MAGIC = 0x150a1001 };

/* The amount of a transaction, wherever it stands. */
static inline bool part_is_amount(enum part part)
{
    return part == PART_Amt_InstdAmt || part == PART_EqvtAmt_Amt;
}

/* Counts and sums up; a fault where the value is none. */
enum fault told_read_count(struct told *told, struct walk *walk, struct text value);
enum fault told_read_sum(struct told *told, struct walk *walk, struct text value);
enum fault amount_read(struct decimal *out, struct walk *walk, struct text value);

#endif
