/* The file is read twice: once as a whole, so that nothing of it is sent when its schema or its sums do not hold, then row by row. */
#include "wire/iso20022/pain001.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

enum { PAYMENTS_FIRST = 64, ROW_TEXT_BYTES = 8 * ISO_ID_BYTES };

/* Columns of the rows, in the order of their sinks. */
enum { SINK_TRANSFER, SINK_PAYER, SINK_PAYEE, SINK_AMOUNT, SINK_CURRENCY, SINK_ORDER, SINK_MEMO, SINK_DATE, SINK_COUNT };
static const char *const sink_names[SINK_COUNT] = {"transfer_id", "payer_id", "payee_id", "amount",
                                                   "currency",    "order_id", "memo",     "execution_date"};

/* --- the first pass: is it so ----------------------------------------------------------------------------------------------- */

struct check {
    struct pain001 *of;
    struct told group, payment;
};

enum fault told_read_count(struct told *told, struct walk *walk, struct text value)
{
    told->has_count = true;
    told->line_of_count = iso_walk_line(walk);
    told->count = 0;
    for (uint32_t i = 0; i < value.bytes; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return iso_walk_fault(walk, FAULT_schema, "must be a number, is %.*s", (int)value.bytes, value.data);
        told->count = 10 * told->count + (uint64_t)(value.data[i] - '0');
    }
    return FAULT_NONE;
}

enum fault told_read_sum(struct told *told, struct walk *walk, struct text value)
{
    told->has_sum = true;
    told->line_of_sum = iso_walk_line(walk);
    if (decimal_read(&told->sum, value))
        return FAULT_NONE;
    return iso_walk_fault(walk, FAULT_schema, "must be a sum with at most 5 decimal places, is %.*s", (int)value.bytes, value.data);
}

enum fault amount_read(struct decimal *out, struct walk *walk, struct text value)
{
    const char *currency = walk->currency;
    for (int i = 0; i < 3; i++)
        if (currency[i] < 'A' || currency[i] > 'Z')
            return iso_walk_fault(walk, FAULT_schema, "needs Ccy, three capital letters");
    if (decimal_read(out, value))
        return FAULT_NONE;
    return iso_walk_fault(walk, FAULT_schema, "must be an amount with at most 18 digits and 5 decimal places, is %.*s", (int)value.bytes,
                          value.data);
}

static enum fault told_compare(const struct told *told, struct walk *walk, const char *where)
{
    char is[DECIMAL_BYTES], said[DECIMAL_BYTES];
    if (told->has_count && told->count != told->counted)
        return fault_set(walk->note, FAULT_schema, told->line_of_count, COLUMN_NONE,
                         "%s/NbOfTxs: tells of %llu transactions, %llu are there", where, (unsigned long long)told->count,
                         (unsigned long long)told->counted);
    if (!told->has_sum || decimal_equal(&told->sum, &told->summed))
        return FAULT_NONE;
    decimal_print(is, &told->summed);
    decimal_print(said, &told->sum);
    return fault_set(walk->note, FAULT_schema, told->line_of_sum, COLUMN_NONE, "%s/CtrlSum: tells of %s, the amounts make %s", where, said,
                     is);
}

static enum fault check_enter(void *context, struct walk *walk, enum part part)
{
    struct check *check = context;
    (void)walk;
    if (part == PART_CstmrCdtTrfInitn_PmtInf)
        check->payment = (struct told){0};
    return FAULT_NONE;
}

static enum fault check_amount(struct check *check, struct walk *walk, struct text value)
{
    struct decimal amount;
    enum fault fault = amount_read(&amount, walk, value);
    if (fault == FAULT_NONE && (!decimal_add(&check->payment.summed, &amount) || !decimal_add(&check->group.summed, &amount)))
        fault = iso_walk_fault(walk, FAULT_limit, "the amounts so far make more than 18 digits");
    return fault;
}

static enum fault check_text(void *context, struct walk *walk, enum part part, struct text value)
{
    struct check *check = context;
    struct pain001 *of = check->of;
    switch (part) {
    case PART_GrpHdr_MsgId:
        text_copy(of->message_id, sizeof of->message_id, value);
        return FAULT_NONE;
    case PART_GrpHdr_CreDtTm:
        text_copy(of->created, sizeof of->created, value);
        return FAULT_NONE;
    case PART_GrpHdr_NbOfTxs:
        return told_read_count(&check->group, walk, value);
    case PART_GrpHdr_CtrlSum:
        text_copy(of->control_sum, sizeof of->control_sum, value);
        return told_read_sum(&check->group, walk, value);
    case PART_PmtInf_NbOfTxs:
        return told_read_count(&check->payment, walk, value);
    case PART_PmtInf_CtrlSum:
        return told_read_sum(&check->payment, walk, value);
    default:
        return part_is_amount(part) ? check_amount(check, walk, value) : FAULT_NONE;
    }
}

static enum fault payment_ends(struct pain001 *of, struct walk *walk)
{
    if (of->payment_count == of->payment_capacity) {
        uint32_t capacity = of->payment_capacity ? 2 * of->payment_capacity : PAYMENTS_FIRST;
        uint32_t *ends = memory_resize(of->payment_ends, sizeof *ends * capacity);
        if (!ends)
            return iso_walk_fault(walk, FAULT_memory, "no memory for %u of them", capacity);
        of->payment_ends = ends;
        of->payment_capacity = capacity;
    }
    of->payment_ends[of->payment_count++] = of->transaction_count;
    return FAULT_NONE;
}

static enum fault check_leave(void *context, struct walk *walk, enum part part)
{
    struct check *check = context;
    if (part == PART_PmtInf_CdtTrfTxInf) {
        check->payment.counted++;
        check->group.counted++;
        if (++check->of->transaction_count > ISO_TRANSACTIONS_MAX)
            return iso_walk_fault(walk, FAULT_limit, "more than %d transactions", ISO_TRANSACTIONS_MAX);
    }
    if (part != PART_CstmrCdtTrfInitn_PmtInf)
        return FAULT_NONE;
    enum fault fault = told_compare(&check->payment, walk, "PmtInf");
    return fault == FAULT_NONE ? payment_ends(check->of, walk) : fault;
}

static enum fault file_check(struct pain001 *of, struct fault_note *note)
{
    static const struct walk_eyes eyes = {check_enter, check_text, check_leave};
    struct check check = {.of = of};
    struct walk *walk = &of->walk;
    enum fault fault = iso_walk_init(walk, of->bytes, of->byte_count, &eyes, &check, note);
    if (fault == FAULT_NONE)
        fault = iso_walk_run(walk, note);
    of->version = walk->version;
    memcpy(of->message_name, walk->message_name, sizeof of->message_name);
    if (fault == FAULT_NONE)
        fault = told_compare(&check.group, walk, "GrpHdr");
    iso_walk_fini(walk);
    return fault;
}

/* --- the second: its rows --------------------------------------------------------------------------------------------------- */

static enum fault rows_enter(void *context, struct walk *walk, enum part part)
{
    struct pain001 *of = context;
    (void)walk;
    if (part == PART_CstmrCdtTrfInitn_PmtInf) {
        of->payer[0] = of->order[0] = of->date[0] = '\0';
        of->place = 0;
    } else if (part == PART_PmtInf_CdtTrfTxInf) {
        of->instruction[0] = of->end_to_end[0] = of->payee[0] = of->amount[0] = of->currency[0] = '\0';
        of->memo_bytes = 0;
        of->place++;
    }
    return FAULT_NONE;
}

/* One text behind the other; what is beyond text_max stays away. */
static void memo_add(struct pain001 *of, struct text value)
{
    size_t most = of->limits.text_bytes_max;
    if (of->memo_bytes && of->memo_bytes < most)
        of->memo[of->memo_bytes++] = ' ';
    size_t left = most - of->memo_bytes;
    text_copy(of->memo + of->memo_bytes, left + 1, value);
    of->memo_bytes += strlen(of->memo + of->memo_bytes);
}

static char *account_of(struct pain001 *of, const struct walk *walk)
{
    for (uint32_t i = 0; i < walk->depth; i++) {
        if (walk->frames[i].part == PART_PmtInf_DbtrAcct)
            return of->payer;
        if (walk->frames[i].part == PART_CdtTrfTxInf_CdtrAcct)
            return of->payee;
    }
    return of->payee;
}

static char *place_of(struct pain001 *of, const struct walk *walk, enum part part)
{
    switch (part) {
    case PART_PmtInf_PmtInfId:
        return of->order;
    case PART03_PmtInf_ReqdExctnDt:
    case PART09_ReqdExctnDt_Dt:
    case PART09_ReqdExctnDt_DtTm:
        return of->date;
    case PART_AccountId_IBAN:
    case PART_OtherId_Id:
        return account_of(of, walk);
    case PART_PmtId_InstrId:
        return of->instruction;
    case PART_PmtId_EndToEndId:
        return of->end_to_end;
    default:
        return part_is_amount(part) ? of->amount : NULL;
    }
}

/* An account is one, however its IBAN is written: lists and history go by its electronic form (ISO 13616). */
static void iban_settle(char *iban)
{
    char *to = iban;
    for (const char *from = iban; *from; from++)
        if (*from != ' ')
            *to++ = *from >= 'a' && *from <= 'z' ? (char)(*from - 'a' + 'A') : *from;
    *to = 0;
}

static enum fault rows_text(void *context, struct walk *walk, enum part part, struct text value)
{
    struct pain001 *of = context;
    char *place = place_of(of, walk, part);
    if (place)
        text_copy(place, ISO_ID_BYTES, value);
    if (place && part == PART_AccountId_IBAN)
        iban_settle(place);
    if (part_is_amount(part)) {
        memcpy(of->currency, walk->currency, sizeof of->currency);
        of->amount_line = iso_walk_line(walk);
    }
    if (part == PART_RmtInf_Ustrd || part == PART_CdtrRefInf_Ref)
        memo_add(of, value);
    return FAULT_NONE;
}

static enum fault put_amount(struct pain001 *of, struct sink *sink)
{
    struct decimal amount;
    int64_t minor;
    int exponent = currency_exponent(of->currency);
    const struct text text = text_of(of->amount);
    MUST(decimal_read(&amount, text)); /* the first pass saw to it */
    if (exponent < 0)
        return sink_put_wrong(&of->rows, sink, text, "%s %s: that currency has no minor unit in ISO 4217", of->amount, of->currency);
    if (!decimal_to_minor(&minor, &amount, exponent))
        return sink_put_wrong(&of->rows, sink, text, "%s has %d decimal places, not as many as %.30s", of->currency, exponent, of->amount);
    sink_put_i64(sink, minor);
    return FAULT_NONE;
}

static enum fault put_text(struct pain001 *of, unsigned sink, const char *text, size_t bytes)
{
    if (bytes > 0)
        return sink_put_text(&of->rows, &of->rows.sinks[sink], text, bytes);
    sink_put_null(&of->rows.sinks[sink]);
    return FAULT_NONE;
}

/* The id under which the submitter knows the transfer; where none is given, its part and its place there. */
static enum fault put_id(struct pain001 *of)
{
    char made[ISO_ID_BYTES + 16];
    const char *id = of->end_to_end;
    if (strcmp(id, "NOTPROVIDED") == 0 && of->instruction[0])
        id = of->instruction;
    else if (strcmp(id, "NOTPROVIDED") == 0)
        id = (snprintf(made, sizeof made, "%s/%u", of->order, of->place), made);
    return put_text(of, SINK_TRANSFER, id, strlen(id));
}

static enum fault rows_put(struct pain001 *of)
{
    const char *const texts[SINK_COUNT] = {[SINK_PAYER] = of->payer,
                                           [SINK_PAYEE] = of->payee,
                                           [SINK_CURRENCY] = of->currency,
                                           [SINK_ORDER] = of->order,
                                           [SINK_DATE] = of->date};
    enum fault fault = put_id(of);
    for (unsigned i = 0; i < SINK_COUNT && fault == FAULT_NONE; i++)
        if (texts[i])
            fault = put_text(of, i, texts[i], strlen(texts[i]));
    if (fault == FAULT_NONE)
        fault = put_text(of, SINK_MEMO, of->memo, of->memo_bytes);
    return fault == FAULT_NONE ? put_amount(of, &of->rows.sinks[SINK_AMOUNT]) : fault;
}

static enum fault rows_leave(void *context, struct walk *walk, enum part part)
{
    struct pain001 *of = context;
    struct csv_reader *rows = &of->rows;
    if (part != PART_PmtInf_CdtTrfTxInf)
        return FAULT_NONE;
    struct batch *batch = rows->batch;
    rows->line = of->amount_line; /* of what may be wrong with it */
    rows->row = batch->row_count++;
    enum fault fault = rows_put(of);
    size_t left = batch->arena.size - batch->arena.used;
    if (batch->row_count == rows->rows_max || rows->text_bytes + ROW_TEXT_BYTES + of->limits.text_bytes_max > left)
        iso_walk_pause(walk);
    return fault;
}

static const struct walk_eyes rows_eyes = {rows_enter, rows_text, rows_leave};

static enum fault rows_begin(struct pain001 *of, struct fault_note *note)
{
    struct csv_reader *rows = &of->rows;
    *rows = (struct csv_reader){.fd = -1, .columns_max = SINK_COUNT, .notes_max = of->limits.notes_max, .note = note};
    enum fault fault = iso_walk_init(&of->walk, of->bytes, of->byte_count, &rows_eyes, of, note);
    for (unsigned i = 0; i < SINK_COUNT && fault == FAULT_NONE; i++)
        fault = sink_add(rows, text_of(sink_names[i]));
    if (fault == FAULT_NONE)
        rows->sinks[SINK_DATE].form = FORM_STR;
    return fault;
}

/* --- what others call ----------------------------------------------------------------------------------------------------- */

enum fault pain001_open(struct pain001 **out, const void *bytes, size_t byte_count, const struct batch_limits *limits,
                        struct fault_note *note)
{
    struct pain001 *of = memory_take_zeroed(1, sizeof *of);
    *out = of;
    if (!of)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read XML");
    of->magic = PAIN001_MAGIC;
    of->bytes = bytes;
    of->byte_count = byte_count;
    of->limits = *limits;
    of->memo = memory_take((size_t)limits->text_bytes_max + 1);
    enum fault fault = of->memo ? file_check(of, note) : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read XML");
    if (fault == FAULT_NONE)
        fault = rows_begin(of, note);
    if (fault != FAULT_NONE)
        pain001_close(out);
    return fault;
}

enum fault pain001_read(struct pain001 *of, struct batch *batch, uint32_t rows_max, struct fault_note *note)
{
    struct csv_reader *rows = &of->rows;
    MUST(of->magic == PAIN001_MAGIC && batch->magic == (unsigned)BATCH_MAGIC && rows_max > 0);
    memset(batch->columns, 0, sizeof batch->columns);
    batch->other_count = batch->row_count = 0;
    batch->wrong = NULL;
    rows->batch = batch;
    rows->rows_max = rows_max;
    rows->text_bytes = 0;
    rows->note = note;
    rows->wrong_end = &batch->wrong;
    enum fault fault = FAULT_NONE;
    for (unsigned i = 0; i < SINK_COUNT && fault == FAULT_NONE; i++)
        fault = sink_open(rows, &rows->sinks[i]);
    if (fault == FAULT_NONE)
        fault = iso_walk_run(&of->walk, note);
    if (fault == FAULT_NONE)
        fault = sinks_finish(rows, batch->row_count);
    rows->batch = NULL;
    rows->note = NULL;
    return fault;
}

void pain001_close(struct pain001 **pain001_p)
{
    struct pain001 *of = *pain001_p;
    *pain001_p = NULL;
    if (!of)
        return;
    MUST(of->magic == PAIN001_MAGIC);
    iso_walk_fini(&of->walk);
    sinks_fini(&of->rows);
    memory_give(of->payment_ends);
    memory_give(of->memo);
    of->magic = 0;
    memory_give(of);
}

uint32_t pain001_transactions(const struct pain001 *of)
{
    return of->transaction_count;
}

const char *pain001_message_id(const struct pain001 *of)
{
    return of->message_id;
}
