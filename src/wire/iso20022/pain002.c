#include "wire/iso20022/output.h"
#include "wire/iso20022/pain001.h"

#include <string.h>

enum status { STATUS_ACCP, STATUS_PDNG, STATUS_RJCT, STATUS_COUNT, STATUS_PART = STATUS_COUNT };
static const char *const status_names[] = {"ACCP", "PDNG", "RJCT", "PART"};

struct counts {
    uint64_t of[STATUS_COUNT], all;
};

struct report {
    const struct pain001 *of;
    const struct iso_decisions *decisions;
    struct xml xml;
    uint32_t transaction, payment;
    char instruction[ISO_ID_BYTES], end_to_end[ISO_ID_BYTES], unique[ISO_ID_BYTES];
};

static enum status status_of(uint8_t verdict)
{
    return verdict == VERDICT_PASS ? STATUS_ACCP : verdict == VERDICT_HOLD ? STATUS_PDNG : STATUS_RJCT;
}

static struct counts count(const struct report *report, uint32_t from, uint32_t to)
{
    struct counts counts = {.all = to - from};
    for (uint32_t i = from; i < to; i++)
        counts.of[status_of(report->decisions->verdicts[i])]++;
    return counts;
}

static const char *status_of_all(const struct counts *counts)
{
    for (int i = 0; i < STATUS_COUNT; i++)
        if (counts->of[i] == counts->all)
            return status_names[i];
    return status_names[STATUS_PART];
}

static void counts_write(struct xml *xml, const struct counts *counts)
{
    for (int i = 0; i < STATUS_COUNT; i++) {
        if (counts->of[i] == 0)
            continue;
        xml_begin(xml, "NbOfTxsPerSts");
        xml_number(xml, "DtldNbOfTxs", counts->of[i]);
        xml_leaf(xml, "DtldSts", text_of(status_names[i]));
        xml_end(xml, "NbOfTxsPerSts");
    }
}

static void head_write(struct report *report, const char *message_id, int64_t now_us)
{
    const struct pain001 *of = report->of;
    struct xml *xml = &report->xml;
    const struct counts counts = count(report, 0, of->transaction_count);
    char now[32];
    iso_time_print(now, now_us);
    xml_begin(xml, "GrpHdr");
    xml_leaf(xml, "MsgId", text_of(message_id));
    xml_leaf(xml, "CreDtTm", text_of(now));
    xml_end(xml, "GrpHdr");
    xml_begin(xml, "OrgnlGrpInfAndSts");
    xml_leaf(xml, "OrgnlMsgId", text_of(of->message_id));
    xml_leaf(xml, "OrgnlMsgNmId", text_of(of->message_name));
    xml_leaf(xml, "OrgnlCreDtTm", text_of(of->created));
    xml_number(xml, "OrgnlNbOfTxs", of->transaction_count);
    if (of->control_sum[0])
        xml_leaf(xml, "OrgnlCtrlSum", text_of(of->control_sum));
    xml_leaf(xml, "GrpSts", text_of(status_of_all(&counts)));
    counts_write(xml, &counts);
    xml_end(xml, "OrgnlGrpInfAndSts");
}

static void payment_write(struct report *report, struct text id)
{
    const uint32_t *ends = report->of->payment_ends;
    uint32_t from = report->payment ? ends[report->payment - 1] : 0;
    const struct counts counts = count(report, from, ends[report->payment]);
    xml_begin(&report->xml, "OrgnlPmtInfAndSts");
    xml_leaf(&report->xml, "OrgnlPmtInfId", id);
    xml_number(&report->xml, "OrgnlNbOfTxs", counts.all);
    xml_leaf(&report->xml, "PmtInfSts", text_of(status_of_all(&counts)));
    counts_write(&report->xml, &counts);
}

static void reason_write(struct xml *xml, const struct iso_reason *reason)
{
    xml_begin(xml, "StsRsnInf");
    if (reason->code[0] || reason->name[0]) {
        xml_begin(xml, "Rsn");
        if (reason->code[0])
            xml_leaf(xml, "Cd", text_of(reason->code));
        else
            xml_leaf(xml, "Prtry", text_of(reason->name));
        xml_end(xml, "Rsn");
    }
    if (reason->text[0])
        xml_leaf(xml, "AddtlInf", text_of(reason->text));
    xml_end(xml, "StsRsnInf");
}

static void transaction_write(struct report *report)
{
    struct xml *xml = &report->xml;
    uint32_t reason = report->decisions->reasons[report->transaction];
    xml_begin(xml, "TxInfAndSts");
    if (report->instruction[0])
        xml_leaf(xml, "OrgnlInstrId", text_of(report->instruction));
    xml_leaf(xml, "OrgnlEndToEndId", text_of(report->end_to_end));
    if (report->unique[0])
        xml_leaf(xml, "OrgnlUETR", text_of(report->unique));
    xml_leaf(xml, "TxSts", text_of(status_names[status_of(report->decisions->verdicts[report->transaction])]));
    if (reason != UINT32_MAX)
        reason_write(xml, &report->decisions->reason_list[reason]);
    xml_end(xml, "TxInfAndSts");
}

static enum fault report_enter(void *context, struct walk *walk, enum part part)
{
    struct report *report = context;
    (void)walk;
    if (part == PART_PmtInf_CdtTrfTxInf)
        report->instruction[0] = report->end_to_end[0] = report->unique[0] = '\0';
    return FAULT_NONE;
}

static enum fault report_text(void *context, struct walk *walk, enum part part, struct text value)
{
    struct report *report = context;
    (void)walk;
    if (part == PART_PmtInf_PmtInfId)
        payment_write(report, value);
    else if (part == PART_PmtId_InstrId)
        text_copy(report->instruction, sizeof report->instruction, value);
    else if (part == PART_PmtId_EndToEndId)
        text_copy(report->end_to_end, sizeof report->end_to_end, value);
    else if (part == PART09_PmtId_UETR)
        text_copy(report->unique, sizeof report->unique, value);
    return FAULT_NONE;
}

static enum fault report_leave(void *context, struct walk *walk, enum part part)
{
    struct report *report = context;
    (void)walk;
    if (part == PART_PmtInf_CdtTrfTxInf) {
        transaction_write(report);
        report->transaction++;
    } else if (part == PART_CstmrCdtTrfInitn_PmtInf) {
        xml_end(&report->xml, "OrgnlPmtInfAndSts");
        report->payment++;
    }
    return FAULT_NONE;
}

enum fault pain002_write(const struct iso_output *out, const struct pain001 *of, const struct iso_decisions *decisions,
                         const char *message_id, int64_t now_us, struct fault_note *note)
{
    static const struct walk_eyes eyes = {report_enter, report_text, report_leave};
    struct report report = {.of = of, .decisions = decisions, .xml = {.out = out}};
    struct walk walk;
    enum fault fault = iso_walk_init(&walk, of->bytes, of->byte_count, &eyes, &report, note);
    xml_document(&report.xml, of->version == 3 ? "pain.002.001.03" : "pain.002.001.10", "CstmrPmtStsRpt");
    head_write(&report, message_id, now_us);
    if (fault == FAULT_NONE)
        fault = iso_walk_run(&walk, note);
    iso_walk_fini(&walk);
    xml_document_end(&report.xml, "CstmrPmtStsRpt");
    return fault == FAULT_NONE ? xml_done(&report.xml, note) : fault;
}
