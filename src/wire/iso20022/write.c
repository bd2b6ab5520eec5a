/* Rows as a pain.001 of their own. What the schema needs and a row does not know is told in the way that is usual for it: a payer's
 * bank as NOTPROVIDED, a day as that of the writing. */
#include "wire/iso20022/decimal.h"
#include "wire/iso20022/output.h"

#include <stdio.h>
#include <string.h>

enum { ORDER_CHARACTERS = 35, MEMO_CHARACTERS = 140, IBAN_BYTES_MIN = 15, IBAN_BYTES_MAX = 34 };

struct rows_writer {
    const struct batch *batch;
    const uint8_t *wanted;
    const struct column *date; /* execution_date; NULL: none */
    char today[32];
    struct xml xml;
};

static struct text cell(const struct column *column, uint32_t row)
{
    bool is_text = column && column->form != FORM_I64 && column->form != FORM_F64 && column_is_valid(column, row);
    return is_text ? column_text(column, row) : (struct text){.data = "", .bytes = 0};
}

static struct text known(const struct rows_writer *writer, enum column_id column, uint32_t row)
{
    return cell(&writer->batch->columns[column], row);
}

static bool row_is_wanted(const struct rows_writer *writer, uint32_t row)
{
    return !writer->wanted || writer->wanted[row];
}

static struct text date_of(const struct rows_writer *writer, uint32_t row)
{
    struct text date = cell(writer->date, row);
    if (date.bytes < 10)
        date = text_of(writer->today);
    date.bytes = 10;
    return date;
}

static bool rows_are_together(const struct rows_writer *writer, uint32_t a, uint32_t b)
{
    return text_equal(known(writer, COLUMN_order_id, a), known(writer, COLUMN_order_id, b)) &&
           text_equal(known(writer, COLUMN_payer_id, a), known(writer, COLUMN_payer_id, b)) &&
           text_equal(date_of(writer, a), date_of(writer, b));
}

/* The next wanted row at or behind it. */
static uint32_t row_next(const struct rows_writer *writer, uint32_t row)
{
    while (row < writer->batch->row_count && !row_is_wanted(writer, row))
        row++;
    return row;
}

/* false: a row that has no amount, or whose id is too long for the schema. */
static enum fault row_amount(struct decimal *out, const struct rows_writer *writer, uint32_t row, struct fault_note *note)
{
    const struct column *amount = &writer->batch->columns[COLUMN_amount];
    char code[4];
    text_copy(code, sizeof code, known(writer, COLUMN_currency, row));
    int exponent = currency_exponent(code);
    if (amount->form != FORM_I64 || !column_is_valid(amount, row) || column_i64(amount, row) < 0 || exponent < 0)
        return fault_set(note, FAULT_schema, row, COLUMN_amount, "a pain.001 needs an amount and a currency of ISO 4217");
    if (known(writer, COLUMN_transfer_id, row).bytes > ORDER_CHARACTERS)
        return fault_set(note, FAULT_schema, row, COLUMN_transfer_id, "a pain.001 takes %d characters", ORDER_CHARACTERS);
    decimal_from_minor(out, column_i64(amount, row), exponent);
    return FAULT_NONE;
}

/* From `from` on while `all`, or while they are together: how many, and what they make. */
static enum fault rows_sum(uint64_t *out_count, struct decimal *out_sum, const struct rows_writer *writer, uint32_t from, bool all,
                           struct fault_note *note)
{
    *out_count = 0;
    *out_sum = (struct decimal){0};
    for (uint32_t row = from; row < writer->batch->row_count && (all || rows_are_together(writer, from, row));
         row = row_next(writer, row + 1)) {
        struct decimal amount;
        enum fault fault = row_amount(&amount, writer, row, note);
        if (fault == FAULT_NONE && !decimal_add(out_sum, &amount))
            fault = fault_set(note, FAULT_limit, row, COLUMN_amount, "the amounts so far make more than 18 digits");
        if (fault != FAULT_NONE)
            return fault;
        (*out_count)++;
    }
    return FAULT_NONE;
}

static void sums_write(struct xml *xml, uint64_t count, const struct decimal *sum)
{
    char text[DECIMAL_BYTES];
    decimal_print(text, sum);
    xml_number(xml, "NbOfTxs", count);
    xml_leaf(xml, "CtrlSum", text_of(text));
}

static bool is_iban(struct text id)
{
    bool is = id.bytes >= IBAN_BYTES_MIN && id.bytes <= IBAN_BYTES_MAX;
    for (uint32_t i = 0; i < id.bytes && is; i++) {
        bool is_digit = id.data[i] >= '0' && id.data[i] <= '9', is_letter = id.data[i] >= 'A' && id.data[i] <= 'Z';
        is = i < 2 ? is_letter : i < 4 ? is_digit : is_digit || is_letter;
    }
    return is;
}

static void account_write(struct xml *xml, const char *element, struct text id)
{
    xml_begin(xml, element);
    xml_begin(xml, "Id");
    if (is_iban(id)) {
        xml_leaf(xml, "IBAN", id);
    } else {
        xml_begin(xml, "Othr");
        xml_leaf(xml, "Id", id);
        xml_end(xml, "Othr");
    }
    xml_end(xml, "Id");
    xml_end(xml, element);
}

/* At most so many characters of it. */
static struct text text_head(struct text text, uint32_t characters)
{
    uint32_t bytes = 0;
    while (bytes < text.bytes && characters > 0) {
        bytes++;
        while (bytes < text.bytes && ((unsigned char)text.data[bytes] & 0xc0) == 0x80)
            bytes++;
        characters--;
    }
    text.bytes = bytes;
    return text;
}

static void row_write(struct rows_writer *writer, uint32_t row)
{
    struct xml *xml = &writer->xml;
    struct decimal amount;
    char open[40], text[DECIMAL_BYTES];
    struct text currency = known(writer, COLUMN_currency, row), memo = text_head(known(writer, COLUMN_memo, row), MEMO_CHARACTERS);
    xml_begin(xml, "CdtTrfTxInf");
    xml_begin(xml, "PmtId");
    xml_leaf(xml, "EndToEndId", known(writer, COLUMN_transfer_id, row));
    xml_end(xml, "PmtId");
    xml_begin(xml, "Amt");
    if (row_amount(&amount, writer, row, NULL) == FAULT_NONE) { /* it was summed */
        snprintf(open, sizeof open, "<InstdAmt Ccy=\"%.*s\">", (int)currency.bytes, currency.data);
        decimal_print(text, &amount);
        xml_raw(xml, open, strlen(open));
        xml_raw(xml, text, strlen(text));
        xml_raw(xml, "</InstdAmt>", 11);
    }
    xml_end(xml, "Amt");
    account_write(xml, "CdtrAcct", known(writer, COLUMN_payee_id, row));
    if (memo.bytes > 0) {
        xml_begin(xml, "RmtInf");
        xml_leaf(xml, "Ustrd", memo);
        xml_end(xml, "RmtInf");
    }
    xml_end(xml, "CdtTrfTxInf");
}

static void bank_write(struct xml *xml)
{
    xml_begin(xml, "DbtrAgt");
    xml_begin(xml, "FinInstnId");
    xml_begin(xml, "Othr");
    xml_leaf(xml, "Id", text_of("NOTPROVIDED"));
    xml_end(xml, "Othr");
    xml_end(xml, "FinInstnId");
    xml_end(xml, "DbtrAgt");
}

/* One part of it; *row goes behind its last. */
static enum fault payment_write(struct rows_writer *writer, uint32_t *row, uint32_t number, struct fault_note *note)
{
    struct xml *xml = &writer->xml;
    struct text order = text_head(known(writer, COLUMN_order_id, *row), ORDER_CHARACTERS);
    struct decimal sum;
    uint64_t count;
    char made[24];
    enum fault fault = rows_sum(&count, &sum, writer, *row, false, note);
    if (fault != FAULT_NONE)
        return fault;
    snprintf(made, sizeof made, "P%u", number);
    xml_begin(xml, "PmtInf");
    xml_leaf(xml, "PmtInfId", order.bytes ? order : text_of(made));
    xml_leaf(xml, "PmtMtd", text_of("TRF"));
    sums_write(xml, count, &sum);
    xml_begin(xml, "ReqdExctnDt");
    xml_leaf(xml, "Dt", date_of(writer, *row));
    xml_end(xml, "ReqdExctnDt");
    xml_begin(xml, "Dbtr");
    xml_end(xml, "Dbtr");
    account_write(xml, "DbtrAcct", known(writer, COLUMN_payer_id, *row));
    bank_write(xml);
    for (; count > 0; count--, *row = row_next(writer, *row + 1))
        row_write(writer, *row);
    xml_end(xml, "PmtInf");
    return FAULT_NONE;
}

enum fault pain001_write(const struct iso_output *out, const struct batch *batch, const uint8_t *wanted, const char *message_id,
                         int64_t now_us, struct fault_note *note)
{
    struct rows_writer writer = {.batch = batch, .wanted = wanted, .xml = {.out = out}};
    struct xml *xml = &writer.xml;
    struct decimal sum;
    uint64_t count;
    iso_time_print(writer.today, now_us);
    for (uint32_t i = 0; i < batch->other_count; i++)
        if (text_equal(batch->others[i].name, text_of("execution_date")))
            writer.date = &batch->others[i];
    uint32_t row = row_next(&writer, 0);
    enum fault fault = rows_sum(&count, &sum, &writer, row, true, note);
    if (fault == FAULT_NONE && count == 0)
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "no transaction: a pain.001 has one at least");
    if (fault != FAULT_NONE)
        return fault;
    xml_document(xml, "pain.001.001.09", "CstmrCdtTrfInitn");
    xml_begin(xml, "GrpHdr");
    xml_leaf(xml, "MsgId", text_of(message_id));
    xml_leaf(xml, "CreDtTm", text_of(writer.today));
    sums_write(xml, count, &sum);
    xml_begin(xml, "InitgPty");
    xml_end(xml, "InitgPty");
    xml_end(xml, "GrpHdr");
    for (uint32_t number = 1; row < batch->row_count && fault == FAULT_NONE; number++)
        fault = payment_write(&writer, &row, number, note);
    xml_document_end(xml, "CstmrCdtTrfInitn");
    return fault == FAULT_NONE ? xml_done(xml, note) : fault;
}
