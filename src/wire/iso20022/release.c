/* What is left of a pain.001: its own bytes, without the transactions that did not pass and the parts that hold none any more. */
#include "wire/iso20022/output.h"
#include "wire/iso20022/pain001.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

struct release {
    const struct pain001 *of;
    const uint8_t *verdicts;
    const char *message_id;
    struct told *payments, group; /* counted and summed: what passes */
    uint32_t transaction, payment;
    bool is_counting; /* the first of two passes */
    struct xml xml;
    size_t copied; /* up to here the bytes are out, or left out */
};

static bool transaction_passes(const struct release *release)
{
    return release->verdicts[release->transaction] == VERDICT_PASS;
}

/* Up to `end`, and on behind it. */
static void bytes_copy(struct release *release, size_t end)
{
    if (end > release->copied)
        xml_raw(&release->xml, (const char *)release->of->bytes + release->copied, end - release->copied);
    release->copied = end;
}

/* An element that begins here is left out, with the blanks before it. */
static void element_drop(struct release *release, const struct walk *walk)
{
    const char *bytes = release->of->bytes;
    size_t end = walk->tag_from;
    while (end > release->copied && strchr(" \t\r\n", bytes[end - 1]))
        end--;
    bytes_copy(release, end);
}

static enum fault release_enter(void *context, struct walk *walk, enum part part)
{
    struct release *release = context;
    if (release->is_counting)
        return FAULT_NONE;
    bool payment_is_kept = release->payment < release->of->payment_count && release->payments[release->payment].counted > 0;
    if (part == PART_CstmrCdtTrfInitn_PmtInf && !payment_is_kept)
        element_drop(release, walk);
    if (part == PART_PmtInf_CdtTrfTxInf && payment_is_kept && !transaction_passes(release))
        element_drop(release, walk);
    return FAULT_NONE;
}

static void text_replace(struct release *release, const struct walk *walk, struct text text)
{
    bytes_copy(release, walk->text_from);
    xml_text(&release->xml, text);
    release->copied = walk->tag_from; /* of its end */
}

static void told_replace(struct release *release, const struct walk *walk, enum part part)
{
    bool is_group = part == PART_GrpHdr_NbOfTxs || part == PART_GrpHdr_CtrlSum;
    const struct told *told = is_group ? &release->group : &release->payments[release->payment];
    char text[DECIMAL_BYTES];
    if (told->counted == 0) /* left out with its PmtInf */
        return;
    if (part == PART_GrpHdr_NbOfTxs || part == PART_PmtInf_NbOfTxs)
        snprintf(text, sizeof text, "%llu", (unsigned long long)told->counted);
    else
        decimal_print(text, &told->summed);
    text_replace(release, walk, text_of(text));
}

static enum fault amount_count(struct release *release, struct walk *walk, struct text value)
{
    struct decimal amount;
    enum fault fault = amount_read(&amount, walk, value);
    if (fault != FAULT_NONE || !transaction_passes(release))
        return fault;
    MUST(decimal_add(&release->group.summed, &amount)); /* of fewer than were summed before */
    decimal_add(&release->payments[release->payment].summed, &amount);
    return FAULT_NONE;
}

static enum fault release_text(void *context, struct walk *walk, enum part part, struct text value)
{
    struct release *release = context;
    if (release->is_counting)
        return part_is_amount(part) ? amount_count(release, walk, value) : FAULT_NONE;
    if (part == PART_GrpHdr_MsgId)
        text_replace(release, walk, text_of(release->message_id));
    else if (part == PART_GrpHdr_NbOfTxs || part == PART_GrpHdr_CtrlSum || part == PART_PmtInf_NbOfTxs || part == PART_PmtInf_CtrlSum)
        told_replace(release, walk, part);
    return FAULT_NONE;
}

static enum fault release_leave(void *context, struct walk *walk, enum part part)
{
    struct release *release = context;
    struct told *payment = &release->payments[release->payment];
    bool ends_transaction = part == PART_PmtInf_CdtTrfTxInf, ends_payment = part == PART_CstmrCdtTrfInitn_PmtInf;
    if (release->is_counting && ends_transaction && transaction_passes(release)) {
        payment->counted++;
        release->group.counted++;
    }
    if (!release->is_counting && ((ends_transaction && !transaction_passes(release)) || (ends_payment && payment->counted == 0)))
        release->copied = walk->tag_to;
    release->transaction += ends_transaction;
    release->payment += ends_payment;
    return FAULT_NONE;
}

static enum fault pass_run(struct release *release, bool is_counting, struct fault_note *note)
{
    static const struct walk_eyes eyes = {release_enter, release_text, release_leave};
    struct walk walk;
    release->is_counting = is_counting;
    release->transaction = release->payment = 0;
    enum fault fault = iso_walk_init(&walk, release->of->bytes, release->of->byte_count, &eyes, release, note);
    if (fault == FAULT_NONE)
        fault = iso_walk_run(&walk, note);
    iso_walk_fini(&walk);
    return fault;
}

enum fault pain001_release(const struct iso_output *out, const struct pain001 *of, const uint8_t *verdicts, const char *message_id,
                           struct fault_note *note)
{
    struct release release = {.of = of, .verdicts = verdicts, .message_id = message_id, .xml = {.out = out}};
    release.payments = memory_take_zeroed((size_t)of->payment_count + 1, sizeof *release.payments);
    if (!release.payments)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for %u parts of a file", of->payment_count);
    enum fault fault = pass_run(&release, true, note);
    if (fault == FAULT_NONE && release.group.counted == 0)
        fault = fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "no transaction passed: a pain.001 has one at least");
    if (fault == FAULT_NONE)
        fault = pass_run(&release, false, note);
    if (fault == FAULT_NONE) {
        bytes_copy(&release, of->byte_count);
        fault = xml_done(&release.xml, note);
    }
    memory_give(release.payments);
    return fault;
}
