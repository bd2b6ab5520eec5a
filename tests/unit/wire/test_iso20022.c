/* pain.001 and its answers: what is read, what is refused with line and element, and that sums and amounts come out exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "unit/wire/message.h"
#include "wire/iso20022/decimal.h"
#include "wire/iso20022/iso20022.h"

enum { ARENA_BYTES = 1 << 20, TEXT_BYTES = 1 << 16 };

static const char *const head03 = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                  "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.03\">\n"
                                  "<CstmrCdtTrfInitn>\n"
                                  "<GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-11-21T10:00:00</CreDtTm>\n"
                                  "<NbOfTxs>3</NbOfTxs><CtrlSum>1247.808</CtrlSum>\n"
                                  "<InitgPty><Nm>Payer</Nm></InitgPty></GrpHdr>\n";
static const char *const payment03 =
    "<PmtInf><PmtInfId>P-1</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>2</NbOfTxs><CtrlSum>1246.34</CtrlSum>\n"
    "<ReqdExctnDt>2026-12-01</ReqdExctnDt><Dbtr><Nm>Payer</Nm></Dbtr><DbtrAcct><Id><IBAN>de02 1203 0000 0000 2020 "
    "51</IBAN></Id></DbtrAcct>\n"
    "<DbtrAgt><FinInstnId><BIC>BYLADEM1001</BIC></FinInstnId></DbtrAgt>\n"
    "<CdtTrfTxInf><PmtId><InstrId>I-1</InstrId><EndToEndId>E-1</EndToEndId></PmtId><Amt><InstdAmt Ccy=\"EUR\">12.34</InstdAmt></Amt>\n"
    "<Cdtr><Nm>M\xc3\xbcller &amp; Co</Nm></Cdtr><CdtrAcct><Id><IBAN>FR7630006000011234567890189</IBAN></Id></CdtrAcct>\n"
    "<RmtInf><Ustrd>one</Ustrd><Ustrd>two &lt;3</Ustrd></RmtInf></CdtTrfTxInf>\n"
    "<CdtTrfTxInf><PmtId><EndToEndId>NOTPROVIDED</EndToEndId></PmtId><Amt><InstdAmt Ccy=\"JPY\">1234.00</InstdAmt></Amt>\n"
    "<CdtrAcct><Id><Othr><Id>ACC 7</Id></Othr></Id></CdtrAcct></CdtTrfTxInf>\n"
    "</PmtInf>\n";
static const char *const tail03 =
    "<PmtInf><PmtInfId>P-2</PmtInfId><PmtMtd>TRF</PmtMtd>\n"
    "<ReqdExctnDt>2026-12-02</ReqdExctnDt><Dbtr/><DbtrAcct><Id><Othr><Id>A2</Id></Othr></Id></DbtrAcct><DbtrAgt/>\n"
    "<CdtTrfTxInf><PmtId><InstrId>I-3</InstrId><EndToEndId>NOTPROVIDED</EndToEndId></PmtId>\n"
    "<Amt><EqvtAmt><Amt Ccy=\"KWD\">1.468</Amt><CcyOfTrf>EUR</CcyOfTrf></EqvtAmt></Amt></CdtTrfTxInf>\n"
    "</PmtInf></CstmrCdtTrfInitn></Document>\n";

static char *message03(void)
{
    static char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%s%s%s", head03, payment03, tail03);
    return text;
}

/* The same with the first `what` replaced. */
static char *message_with(const char *what, const char *by)
{
    static char text[TEXT_BYTES];
    const char *whole = message03(), *at = strstr(whole, what);
    if (!at)
        fail_msg("%s is not in the message", what);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, by, at + strlen(what));
    return text;
}

static struct pain001 *opened(const char *text)
{
    struct pain001 *pain001;
    struct fault_note note = {0};
    if (pain001_open(&pain001, text, strlen(text), &LIMITS, &note) != FAULT_NONE)
        fail_msg("line %u: %s", note.row, note.text);
    return pain001;
}

static void batch_begin(struct batch *batch)
{
    struct fault_note note = {0};
    assert_int_equal(batch_init(batch, ARENA_BYTES, &note), FAULT_NONE);
    batch->op = OP_screen;
}

static void assert_cell(const struct batch *batch, uint16_t column, uint32_t row, const char *text)
{
    const struct column *of = column == COLUMN_COUNT ? &batch->others[0] : &batch->columns[column];
    if (!text) {
        assert_false(column_is_valid(of, row));
        return;
    }
    assert_true(column_is_valid(of, row));
    if (!text_equal(column_text(of, row), text_of(text)))
        fail_msg("%s of row %u is not %s", column_name(column), row, text);
}

static void test_rows(void **state)
{
    (void)state;
    struct pain001 *pain001 = opened(message03());
    struct batch batch;
    struct fault_note note = {0};
    batch_begin(&batch);
    assert_int_equal(pain001_transactions(pain001), 3);
    assert_string_equal(pain001_message_id(pain001), "M-1");
    assert_int_equal(pain001_read(pain001, &batch, 10, &note), FAULT_NONE);
    assert_int_equal(batch.row_count, 3);
    assert_int_equal(batch.note_count, 0);
    static const char *const ids[] = {"E-1", "P-1/2", "I-3"};
    static const char *const payers[] = {"DE02120300000000202051", "DE02120300000000202051", "A2"};
    static const char *const payees[] = {"FR7630006000011234567890189", "ACC 7", NULL};
    static const char *const orders[] = {"P-1", "P-1", "P-2"}, *const memos[] = {"one two <3", NULL, NULL};
    static const char *const currencies[] = {"EUR", "JPY", "KWD"}, *const dates[] = {"2026-12-01", "2026-12-01", "2026-12-02"};
    static const int64_t amounts[] = {1234, 1234, 1468};
    for (uint32_t row = 0; row < 3; row++) {
        assert_cell(&batch, COLUMN_transfer_id, row, ids[row]);
        assert_cell(&batch, COLUMN_payer_id, row, payers[row]);
        assert_cell(&batch, COLUMN_payee_id, row, payees[row]);
        assert_cell(&batch, COLUMN_order_id, row, orders[row]);
        assert_cell(&batch, COLUMN_memo, row, memos[row]);
        assert_cell(&batch, COLUMN_currency, row, currencies[row]);
        assert_cell(&batch, COLUMN_COUNT, row, dates[row]);
        assert_int_equal(column_i64(&batch.columns[COLUMN_amount], row), amounts[row]);
    }
    batch_fini(&batch);
    pain001_close(&pain001);
}

static void test_in_batches(void **state)
{
    (void)state;
    struct pain001 *pain001 = opened(message03());
    struct batch batch;
    struct fault_note note = {0};
    batch_begin(&batch);
    static const uint32_t counts[] = {2, 1, 0, 0};
    for (int i = 0; i < 4; i++) {
        struct arena arena = batch.arena;
        arena_reset(&arena);
        batch = (struct batch){.magic = BATCH_MAGIC, .arena = arena, .op = OP_screen};
        assert_int_equal(pain001_read(pain001, &batch, 2, &note), FAULT_NONE);
        assert_int_equal(batch.row_count, counts[i]);
        if (i == 1)
            assert_cell(&batch, COLUMN_transfer_id, 0, "I-3");
    }
    batch_fini(&batch);
    pain001_close(&pain001);
}

static void test_version_09(void **state)
{
    (void)state;
    static char text[TEXT_BYTES];
    char *at = message03(), *found;
    snprintf(text, sizeof text, "%s", at);
    while ((found = strstr(text, "pain.001.001.03")))
        memcpy(found, "pain.001.001.09", 15);
    struct pain001 *pain001;
    struct fault_note note = {0};
    assert_int_equal(pain001_open(&pain001, text, strlen(text), &LIMITS, &note), FAULT_schema);
    assert_non_null(strstr(note.text, "PmtInf/ReqdExctnDt: text where elements must be"));
    static char other[TEXT_BYTES];
    size_t used = 0;
    for (at = text; (found = strstr(at, "<ReqdExctnDt>")); at = found + 36) {
        used += (size_t)snprintf(other + used, sizeof other - used, "%.*s<ReqdExctnDt><Dt>%.10s</Dt></ReqdExctnDt>", (int)(found - at), at,
                                 found + 13);
        assert_memory_equal(found + 23, "</ReqdExctnDt>", 13);
        found++;
    }
    snprintf(other + used, sizeof other - used, "%s", at);
    pain001 = opened(other);
    assert_int_equal(pain001_transactions(pain001), 3);
    pain001_close(&pain001);
}

/* A community's own name of the message. */
static void test_swiss(void **state)
{
    (void)state;
    struct pain001 *pain001 = opened(message_with("urn:iso:std:iso:20022:tech:xsd:pain.001.001.03",
                                                  "http://www.six-interbank-clearing.com/de/pain.001.001.03.ch.02.xsd"));
    assert_int_equal(pain001_transactions(pain001), 3);
    pain001_close(&pain001);
}

static void assert_file_refused(const char *text, enum fault fault, uint32_t line, const char *words)
{
    struct pain001 *pain001;
    struct fault_note note = {0};
    enum fault got = pain001_open(&pain001, text, strlen(text), &LIMITS, &note);
    if (got != fault || (line && note.row != line) || !strstr(note.text, words))
        fail_msg("wanted %s line %u \"%s\", got %s line %u \"%s\"", fault_name(fault), line, words, fault_name(got), note.row, note.text);
    assert_null(pain001);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what, *by;
        enum fault fault;
        uint32_t line;
        const char *words;
    } cases[] = {
        {"<NbOfTxs>3<", "<NbOfTxs>4<", FAULT_schema, 5, "GrpHdr/NbOfTxs: tells of 4 transactions, 3 are there"},
        {"1247.808<", "1247.81<", FAULT_schema, 5, "GrpHdr/CtrlSum: tells of 1247.81, the amounts make 1247.808"},
        {"<NbOfTxs>2<", "<NbOfTxs>1<", FAULT_schema, 7, "PmtInf/NbOfTxs: tells of 1 transactions, 2 are there"},
        {"1246.34<", "1246.35<", FAULT_schema, 7, "PmtInf/CtrlSum: tells of 1246.35, the amounts make 1246.34"},
        {"<NbOfTxs>3</NbOfTxs>", "", FAULT_schema, 5, "GrpHdr: CtrlSum comes where NbOfTxs must"},
        {"<MsgId>M-1</MsgId><CreDtTm>2026-11-21T10:00:00</CreDtTm>", "<CreDtTm>2026-11-21T10:00:00</CreDtTm><MsgId>M-1</MsgId>",
         FAULT_schema, 4, "GrpHdr: CreDtTm comes where MsgId must"},
        {"<PmtMtd>TRF</PmtMtd>", "<PmtMtd>TRF</PmtMtd><PmtInfId>again</PmtInfId>", FAULT_schema, 7, "PmtInf: PmtInfId comes behind PmtMtd"},
        {"<PmtMtd>TRF</PmtMtd>", "<PmtMtd>TRF</PmtMtd><PmtMtd>TRF</PmtMtd>", FAULT_schema, 7, "PmtInf: PmtMtd more than 1 times"},
        {"<PmtMtd>", "<Colour/><PmtMtd>", FAULT_schema, 7, "PmtInf: Colour is no part of it"},
        {"<PmtMtd>TRF", "<PmtMtd>TRFX", FAULT_schema, 7, "PmtInf/PmtMtd: more than 3 characters"},
        {"<EndToEndId>E-1", "<EndToEndId> ", FAULT_schema, 10, "PmtInf/CdtTrfTxInf/PmtId/EndToEndId: is empty"},
        {"<EndToEndId>E-1</EndToEndId>", "", FAULT_schema, 10, "PmtInf/CdtTrfTxInf/PmtId: ends without EndToEndId"},
        {"12.34", "12,34", FAULT_schema, 10, "InstdAmt: must be an amount"},
        {"12.34", "-12.34", FAULT_schema, 10, "InstdAmt: must be an amount"},
        {"12.34", "1234567890123456789", FAULT_schema, 10, "InstdAmt: must be an amount"},
        {"Ccy=\"EUR\"", "Ccy=\"eur\"", FAULT_schema, 10, "InstdAmt: needs Ccy"},
        {"Ccy=\"EUR\"", "", FAULT_schema, 10, "InstdAmt: needs Ccy"},
        {"<IBAN>FR", "<Othr><Id>x</Id></Othr><IBAN>FR", FAULT_schema, 11, "CdtrAcct/Id: IBAN comes behind Othr"},
        {"</CdtrAcct>", "<Id/></CdtrAcct>", FAULT_schema, 11, "CdtrAcct: Id more than 1 times"},
        {"<Nm>Payer</Nm></InitgPty>", "<Nm>Payer</InitgPty>", FAULT_syntax, 6, "mismatched tag"},
        {"<Nm>Payer</Nm></InitgPty>", "&pound;</InitgPty>", FAULT_syntax, 6, "undefined entity"},
        {"<Document", "<!DOCTYPE Document [<!ENTITY a \"b\">]><Document", FAULT_syntax, 2, "DOCTYPE"},
        {"encoding=\"UTF-8\"", "encoding=\"ISO-8859-1\"", FAULT_syntax, 1, "encoding ISO-8859-1"},
        {"pain.001.001.03", "pain.001.001.12", FAULT_schema, 2, "pain.001.001.12 is not taken"},
        {"urn:iso:std:iso:20022:tech:xsd:pain.001.001.03", "urn:other", FAULT_schema, 2, "other is not taken"},
        {"pain.001.001.03", "pain.001.001.030", FAULT_schema, 2, "pain.001.001.030 is not taken"},
        {"<MsgId>", "<MsgId xmlns=\"urn:other\">", FAULT_schema, 4, "MsgId is no part of it"},
        {"</Document>", "</Document><more/>", FAULT_syntax, 20, "junk after document element"},
        {"</CstmrCdtTrfInitn>", "x</CstmrCdtTrfInitn>", FAULT_schema, 20, "text where elements must be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_file_refused(message_with(cases[i].what, cases[i].by), cases[i].fault, cases[i].line, cases[i].words);
    assert_file_refused("", FAULT_syntax, 1, "no element found");
    char *cut = message_with("<Dbtr/>", "");
    *strstr(cut, "<DbtrAgt/>") = '\0';
    assert_file_refused(cut, FAULT_schema, 17, "PmtInf: DbtrAcct comes where Dbtr must");
}

static void test_bounds(void **state)
{
    (void)state;
    enum { MANY = 3 << 20 };
    char *big = malloc(MANY + TEXT_BYTES), deep[2 * 40 * 4];
    size_t used = 0;
    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(deep + used, sizeof deep - used, "<a>");
    assert_file_refused(message_with("<Nm>Payer</Nm>", deep), FAULT_limit, 6, "GrpHdr/InitgPty: elements more than 32 deep");
    /* one tag of 3 MiB, and as many names that differ: neither takes the memory that it asks for */
    const char *whole = message03(), *at = strstr(whole, "<Nm>");
    for (int kind = 0; kind < 2; kind++) {
        used = (size_t)snprintf(big, TEXT_BYTES, "%.*s", (int)(at - whole), whole);
        if (kind == 0)
            used += (size_t)snprintf(big + used, 16, "<a b=\"");
        for (size_t i = 0; used < MANY; i++)
            used += (size_t)snprintf(big + used, 32, kind ? "<n%zu/>" : "%zu", i);
        snprintf(big + used, TEXT_BYTES, "%s%s", kind ? "" : "\"/>", at);
        assert_file_refused(big, FAULT_limit, 0, "need more than 2048 KiB");
    }
    free(big);
}

static void test_wrong_amounts_are_of_their_row(void **state)
{
    (void)state;
    static const struct {
        const char *what, *by, *words;
    } cases[] = {
        {"\"EUR\">12.34", "\"JPY\">12.34", "line 10: JPY has 0 decimal places, not as many as 12.34"},
        {"\"EUR\">12.34", "\"XAU\">12.34", "line 10: 12.34 XAU: that currency has no minor unit in ISO 4217"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pain001 *pain001 = opened(message_with(cases[i].what, cases[i].by));
        struct batch batch;
        struct fault_note note = {0};
        batch_begin(&batch);
        assert_int_equal(pain001_read(pain001, &batch, 10, &note), FAULT_NONE);
        assert_int_equal(batch.row_count, 3);
        assert_int_equal(batch.note_count, 1);
        assert_int_equal(batch.notes[0].row, 0);
        assert_int_equal(batch.notes[0].column, COLUMN_amount);
        assert_string_equal(batch.notes[0].text, cases[i].words);
        assert_int_equal(batch.facts.invalid[0], 1);
        assert_int_equal(batch.facts.invalid[1], 0);
        batch_fini(&batch);
        pain001_close(&pain001);
    }
}

struct gathered {
    char text[TEXT_BYTES];
    size_t bytes, bytes_max;
};

static bool gather(void *context, const char *bytes, size_t byte_count)
{
    struct gathered *gathered = context;
    if (gathered->bytes + byte_count > gathered->bytes_max)
        return false;
    memcpy(gathered->text + gathered->bytes, bytes, byte_count);
    gathered->bytes += byte_count;
    gathered->text[gathered->bytes] = '\0';
    return true;
}

static struct gathered gathered;

static struct iso_output output_begin(size_t bytes_max)
{
    gathered.bytes = 0;
    gathered.bytes_max = bytes_max;
    return (struct iso_output){.put = gather, .context = &gathered};
}

static void test_release(void **state)
{
    (void)state;
    struct pain001 *pain001 = opened(message03());
    struct fault_note note = {0};
    struct iso_output out = output_begin(TEXT_BYTES - 1);
    const uint8_t first[] = {VERDICT_PASS, VERDICT_HOLD, VERDICT_REJECT}, last[] = {VERDICT_INVALID, VERDICT_REJECT, VERDICT_PASS};
    assert_int_equal(pain001_release(&out, pain001, first, "M-1/r1", &note), FAULT_NONE);
    assert_non_null(strstr(gathered.text, "<MsgId>M-1/r1</MsgId>"));
    assert_non_null(strstr(gathered.text, "<NbOfTxs>1</NbOfTxs><CtrlSum>12.34</CtrlSum>\n<InitgPty>"));
    assert_non_null(strstr(gathered.text, "<PmtMtd>TRF</PmtMtd><NbOfTxs>1</NbOfTxs><CtrlSum>12.34</CtrlSum>\n<Reqd"));
    const char *from = strstr(payment03, "<CdtTrfTxInf>"), *to = strstr(from, "\n<CdtTrfTxInf>");
    char kept[2048];
    snprintf(kept, sizeof kept, "%.*s\n</PmtInf></CstmrCdtTrfInitn></Document>\n", (int)(to - from), from);
    assert_non_null(strstr(gathered.text, kept)); /* byte for byte */
    struct pain001 *again = opened(gathered.text);
    assert_int_equal(pain001_transactions(again), 1);
    pain001_close(&again);
    out = output_begin(TEXT_BYTES - 1);
    assert_int_equal(pain001_release(&out, pain001, last, "M<2", &note), FAULT_NONE);
    assert_non_null(strstr(gathered.text, "<MsgId>M&lt;2</MsgId>"));
    assert_non_null(strstr(gathered.text, "<NbOfTxs>1</NbOfTxs><CtrlSum>1.468</CtrlSum>"));
    assert_null(strstr(gathered.text, "P-1"));
    again = opened(gathered.text);
    assert_int_equal(pain001_transactions(again), 1);
    pain001_close(&again);
    const uint8_t all[3] = {0}, none[3] = {1, 1, 1};
    out = output_begin(TEXT_BYTES - 1);
    assert_int_equal(pain001_release(&out, pain001, all, "M-1", &note), FAULT_NONE);
    assert_string_equal(gathered.text, message03());
    assert_int_equal(pain001_release(&out, pain001, none, "M-1", &note), FAULT_schema);
    out = output_begin(100); /* a disk that is full */
    assert_int_equal(pain001_release(&out, pain001, all, "M-1", &note), FAULT_unavailable);
    pain001_close(&pain001);
}

static void test_status_report(void **state)
{
    (void)state;
    static const struct iso_reason reasons[] = {{.name = "account_takeover", .text = "confirm <by phone>"},
                                                {.code = "AC03", .text = "payee_id is missing"}};
    struct pain001 *pain001 = opened(message03());
    struct fault_note note = {0};
    struct iso_output out = output_begin(TEXT_BYTES - 1);
    const struct iso_decisions decisions = {.verdicts = (const uint8_t[]){VERDICT_PASS, VERDICT_HOLD, VERDICT_INVALID},
                                            .reasons = (const uint32_t[]){UINT32_MAX, 0, 1},
                                            .reason_list = reasons};
    assert_int_equal(pain002_write(&out, pain001, &decisions, "R-1", 1795305599123456, &note), FAULT_NONE);
    static const char *const parts[] = {
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.03\">",
        "<MsgId>R-1</MsgId>\n      <CreDtTm>2026-11-21T23:59:59Z</CreDtTm>",
        "<OrgnlMsgId>M-1</OrgnlMsgId>\n      <OrgnlMsgNmId>pain.001.001.03</OrgnlMsgNmId>",
        "<OrgnlNbOfTxs>3</OrgnlNbOfTxs>\n      <OrgnlCtrlSum>1247.808</OrgnlCtrlSum>\n      <GrpSts>PART</GrpSts>",
        "<OrgnlPmtInfId>P-1</OrgnlPmtInfId>\n      <OrgnlNbOfTxs>2</OrgnlNbOfTxs>\n      <PmtInfSts>PART</PmtInfSts>",
        "<OrgnlInstrId>I-1</OrgnlInstrId>\n        <OrgnlEndToEndId>E-1</OrgnlEndToEndId>\n        <TxSts>ACCP</TxSts>\n      </TxInf",
        "<OrgnlEndToEndId>NOTPROVIDED</OrgnlEndToEndId>\n        <TxSts>PDNG</TxSts>",
        "<Prtry>account_takeover</Prtry>\n          </Rsn>\n          <AddtlInf>confirm &lt;by phone&gt;</AddtlInf>",
        "<OrgnlPmtInfId>P-2</OrgnlPmtInfId>\n      <OrgnlNbOfTxs>1</OrgnlNbOfTxs>\n      <PmtInfSts>RJCT</PmtInfSts>",
        "<OrgnlInstrId>I-3</OrgnlInstrId>",
        "<TxSts>RJCT</TxSts>",
        "<Cd>AC03</Cd>",
        "</CstmrPmtStsRpt>\n</Document>\n",
    };
    const char *at = gathered.text;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        at = strstr(at, parts[i]);
        if (!at)
            fail_msg("%s is not there, or not in its place: %s", parts[i], gathered.text);
    }
    pain001_close(&pain001);
}

/* Rows with amounts of all exponents, as a pain.001 and back. */
static void test_rows_written_and_read(void **state)
{
    (void)state;
    static const char rows[] = "transfer_id,payer_id,payee_id,amount,currency,order_id,memo,execution_date\n"
                               "a,DE02120300000000202051,x1,1999,EUR,O1,lunch & more,2026-12-01\n"
                               "b,DE02120300000000202051,x2,1234,JPY,O1,,2026-12-01\n"
                               "c,DE02120300000000202051,x3,1234567,KWD,O2,,2026-12-01\n"
                               "d,p2,x4,5,EUR,O2,,2026-12-03\n"
                               "e,p2,x4,1,KWD,,,\n";
    struct csv_reader *reader;
    struct batch batch, again;
    struct fault_note note = {0};
    struct iso_output out = output_begin(TEXT_BYTES - 1);
    const uint8_t wanted[] = {1, 1, 1, 0, 1};
    batch_begin(&batch);
    batch_begin(&again);
    assert_int_equal(csv_open_bytes(&reader, rows, sizeof rows - 1, &LIMITS, &note), FAULT_NONE);
    assert_int_equal(csv_read(reader, &batch, 100, &note), FAULT_NONE);
    assert_int_equal(pain001_write(&out, &batch, wanted, "W-1", 1795305599123456, &note), FAULT_NONE);
    static const char *const amounts[] = {"\"EUR\">19.99<",
                                          "\"JPY\">1234<",
                                          "\"KWD\">1234.567<",
                                          "\"KWD\">0.001<",
                                          "<NbOfTxs>4</NbOfTxs>\n      <CtrlSum>2488.558</CtrlSum>",
                                          "<Dt>2026-11-21</Dt>"};
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++)
        if (!strstr(gathered.text, amounts[i]))
            fail_msg("%s is not in %s", amounts[i], gathered.text);
    struct pain001 *pain001 = opened(gathered.text);
    assert_int_equal(pain001_read(pain001, &again, 100, &note), FAULT_NONE);
    assert_int_equal(again.row_count, 4);
    for (uint32_t row = 0, of = 0; row < 4; row++, of++) {
        of += !wanted[of];
        for (uint16_t column = COLUMN_transfer_id; column <= COLUMN_payee_id; column++)
            assert_true(text_equal(column_text(&again.columns[column], row), column_text(&batch.columns[column], of)));
        assert_int_equal(column_i64(&again.columns[COLUMN_amount], row), column_i64(&batch.columns[COLUMN_amount], of));
    }
    assert_cell(&again, COLUMN_memo, 0, "lunch & more");
    assert_cell(&again, COLUMN_order_id, 2, "O2");
    const uint8_t none[5] = {0};
    assert_int_equal(pain001_write(&out, &batch, none, "W-1", 0, &note), FAULT_schema);
    batch_fini(&batch);
    batch_fini(&again);
    csv_close(&reader);
    pain001_close(&pain001);
}

static void test_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int exponent;
        int64_t minor; /* -1: none */
    } cases[] = {{"0", 2, 0},
                 {"0.01", 2, 1},
                 {".5", 2, 50},
                 {"5.", 2, 500},
                 {"1.005", 2, -1},
                 {"1.00500", 3, 1005},
                 {"7.0000000", 0, 7},
                 {"7.1", 0, -1},
                 {"+1", 0, 1},
                 {"999999999999999999", 0, 999999999999999999},
                 {"999999999999999999", 2, -1},
                 {"1.00001", 4, -1},
                 {"1.00001", 5, 100001}};
    static const char *const wrong[] = {"", ".", "-1", "1e3", " 1", "1 ", "1.000001", "1000000000000000000", "0x1", "1.2.3"};
    struct decimal value;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t minor = -1;
        assert_true(decimal_read(&value, text_of(cases[i].text)));
        bool fits = decimal_to_minor(&minor, &value, cases[i].exponent);
        if (fits != (cases[i].minor >= 0) || (fits && minor != cases[i].minor))
            fail_msg("%s is %lld", cases[i].text, (long long)minor);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (decimal_read(&value, text_of(wrong[i])))
            fail_msg("'%s' is taken", wrong[i]);
    for (int exponent = 0; exponent <= 4; exponent++)
        for (int64_t minor = 0; minor < 123456789; minor = 7 * minor + 3) {
            char text[DECIMAL_BYTES];
            int64_t again;
            decimal_from_minor(&value, minor, exponent);
            const struct text printed = {.data = text, .bytes = (uint32_t)decimal_print(text, &value)};
            assert_true(decimal_read(&value, printed) && decimal_to_minor(&again, &value, exponent) && again == minor);
        }
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    const char *text = message03();
    uint64_t live = memory_live_count();
    enum fault fault = FAULT_memory;
    for (uint64_t nth = 0; fault != FAULT_NONE; nth++) {
        struct pain001 *pain001 = NULL;
        struct fault_note note = {0};
        memory_fail_at(nth);
        fault = pain001_open(&pain001, text, strlen(text), &LIMITS, &note);
        memory_fail_at(UINT64_MAX);
        assert_true(fault == FAULT_NONE || fault == FAULT_memory || fault == FAULT_limit);
        pain001_close(&pain001);
        assert_int_equal(memory_live_count(), live);
        assert_true(nth < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_in_batches),
        cmocka_unit_test(test_version_09),
        cmocka_unit_test(test_swiss),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_wrong_amounts_are_of_their_row),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_status_report),
        cmocka_unit_test(test_rows_written_and_read),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
