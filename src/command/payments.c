#include "command/payments.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "command/source.h"

enum { REASONS_FIRST = 256, REASONS_SEARCHED = 64, PATH_BYTES = 4096 };

int payments_open(struct payments *payments, const char *name, const char *path)
{
    struct fault_note note = {.row = ROW_NONE};
    enum fault fault = file_map_open(&payments->map, path, &note);
    if (fault == FAULT_NONE)
        fault = pain001_open(&payments->pain001, payments->map.data, payments->map.bytes, &BATCH_LIMITS_DEFAULT, &note);
    if (fault != FAULT_NONE)
        return source_refused(name, path, &note);
    size_t count = pain001_transactions(payments->pain001);
    payments->verdicts = memory_take_zeroed(count, sizeof *payments->verdicts);
    payments->reasons = memory_take_zeroed(count, sizeof *payments->reasons);
    if (!payments->verdicts || !payments->reasons)
        return command_fail(COMMAND_REFUSED, name, "no memory for the answers of %zu transactions", count);
    memset(payments->verdicts, VERDICT_INVALID, count);
    memset(payments->reasons, 0xff, sizeof *payments->reasons * count);
    return COMMAND_DONE;
}

/* Its place in the list; one that was there of late is taken again. */
static uint32_t reason_place(struct payments *payments, const struct iso_reason *reason)
{
    uint32_t count = payments->reason_count, from = count > REASONS_SEARCHED ? count - REASONS_SEARCHED : 0;
    for (uint32_t i = count; i-- > from;)
        if (memcmp(&payments->reason_list[i], reason, sizeof *reason) == 0)
            return i;
    if (count == payments->reason_capacity) {
        uint32_t capacity = count ? 2 * count : REASONS_FIRST;
        struct iso_reason *list = memory_resize(payments->reason_list, sizeof *list * capacity);
        if (!list) {
            payments->broken = true;
            return UINT32_MAX;
        }
        payments->reason_list = list;
        payments->reason_capacity = capacity;
    }
    payments->reason_list[count] = *reason;
    return payments->reason_count++;
}

/* ISO's external code for what is wrong with a column. */
static const char *code_of(struct text column)
{
    switch (column_find(column)) {
    case COLUMN_transfer_id:
        return "RF01";
    case COLUMN_payer_id:
        return "AC02";
    case COLUMN_payee_id:
        return "AC03";
    case COLUMN_amount:
        return "AM12";
    case COLUMN_currency:
        return "AM11";
    default:
        return "NARR";
    }
}

/* At most `bytes` bytes of it, which is as many characters or fewer. */
static void part_copy(char *out, size_t out_bytes, const char *text)
{
    text_copy(out, out_bytes, text_of(text ? text : ""));
}

static void note_take(struct payments *payments, uint64_t transaction, const char *column, const char *text)
{
    struct iso_reason reason;
    memset(&reason, 0, sizeof reason);
    if (transaction >= pain001_transactions(payments->pain001) || payments->reasons[transaction] != UINT32_MAX)
        return;
    if (payments->verdicts[transaction] != VERDICT_INVALID) /* a row that goes on may have notes as well */
        return;
    part_copy(reason.code, sizeof reason.code, code_of(text_of(column)));
    part_copy(reason.text, sizeof reason.text, text);
    payments->reasons[transaction] = reason_place(payments, &reason);
}

static void notes_take(struct payments *payments, const struct feed_answer *answer)
{
    const struct batch *batch = answer->batch;
    uint32_t row;
    const char *column, *text;
    for (uint32_t i = 0; i < batch->note_count; i++)
        note_take(payments, answer->first_row + batch->notes[i].row, column_name(batch->notes[i].column), batch->notes[i].text);
    for (size_t i = 0; sluice_reply_note(answer->reply, i, &row, &column, &text) == SLUICE_OK; i++)
        if (row < batch->row_count)
            note_take(payments, answer->first_row + row, column, text);
}

static void verdict_take(struct payments *payments, const struct feed_answer *answer, const uint8_t *risk_types, const uint8_t *measures,
                         uint32_t row)
{
    uint64_t transaction = answer->first_row + row;
    struct iso_reason reason;
    memset(&reason, 0, sizeof reason);
    uint8_t verdict = payments->verdicts[transaction];
    if (verdict == VERDICT_INVALID) {
        note_take(payments, transaction, "", "a check failed");
        return;
    }
    const char *text = sluice_reply_name(answer->reply, "countermeasure_text", measures[row]);
    if (!text || !*text)
        text = sluice_reply_name(answer->reply, "countermeasure", measures[row]);
    part_copy(reason.name, sizeof reason.name, sluice_reply_name(answer->reply, "risk_type", risk_types[row]));
    part_copy(reason.text, sizeof reason.text, text);
    if (reason.name[0] || reason.text[0])
        payments->reasons[transaction] = reason_place(payments, &reason);
}

void payments_take(struct payments *payments, const struct feed_answer *answer)
{
    uint32_t rows = answer->batch->row_count;
    const uint8_t *verdicts = sluice_reply_u8(answer->reply, "verdict"), *risk_types = sluice_reply_u8(answer->reply, "risk_type");
    const uint8_t *measures = sluice_reply_u8(answer->reply, "countermeasure");
    uint64_t end = answer->first_row + rows;
    if (!verdicts || !risk_types || !measures || sluice_reply_rows(answer->reply) != rows ||
        end > pain001_transactions(payments->pain001)) {
        payments->broken = true;
        return;
    }
    memcpy(payments->verdicts + answer->first_row, verdicts, rows);
    notes_take(payments, answer);
    for (uint32_t row = 0; row < rows; row++)
        if (verdicts[row] != VERDICT_PASS)
            verdict_take(payments, answer, risk_types, measures, row);
    payments->answered += rows;
}

/* --- the files -------------------------------------------------------------------------------------------------------------- */

static bool file_put(void *context, const char *bytes, size_t byte_count)
{
    return fwrite(bytes, 1, byte_count, context) == byte_count;
}

typedef enum fault payments_writer(const struct iso_output *out, struct payments *payments, struct fault_note *note);

/* Written beside, synced, and only then put at its path. */
static int file_write(struct payments *payments, const char *name, const char *path, payments_writer *writer)
{
    char beside[PATH_BYTES];
    struct fault_note note = {.row = ROW_NONE};
    if ((size_t)snprintf(beside, sizeof beside, "%s.part", path) >= sizeof beside)
        return command_fail(COMMAND_REFUSED, name, "%s is too long a path", path);
    FILE *file = fopen(beside, "w");
    if (!file)
        return command_fail(COMMAND_REFUSED, name, "cannot write %s: %s", beside, strerror(errno));
    const struct iso_output out = {.put = file_put, .context = file};
    enum fault fault = writer(&out, payments, &note);
    bool written = fault == FAULT_NONE && fflush(file) == 0 && fsync(fileno(file)) == 0;
    written = fclose(file) == 0 && written && rename(beside, path) == 0;
    if (written)
        return COMMAND_DONE;
    int error = errno;
    remove(beside);
    return command_fail(COMMAND_REFUSED, name, "cannot write %s: %s", path, fault == FAULT_NONE ? strerror(error) : note.text);
}

/* The same answers to the same file have the same id. */
static enum fault report_write(const struct iso_output *out, struct payments *payments, struct fault_note *note)
{
    const struct iso_decisions decisions = {
        .verdicts = payments->verdicts, .reasons = payments->reasons, .reason_list = payments->reason_list};
    const char *message = pain001_message_id(payments->pain001);
    char id[33];
    digest_to_hex(id, hash128(hash64(0, message, strlen(message)), payments->verdicts, payments->answered));
    return pain002_write(out, payments->pain001, &decisions, id, clock_wall_us(), note);
}

/* The message's own id with /r1 behind it; where that is too long, its head and a hash. */
static enum fault released_write(const struct iso_output *out, struct payments *payments, struct fault_note *note)
{
    const char *message = pain001_message_id(payments->pain001);
    char id[36], head[19];
    if (strlen(message) + 3 < sizeof id) {
        snprintf(id, sizeof id, "%s/r1", message);
    } else {
        text_copy(head, sizeof head, text_of(message));
        snprintf(id, sizeof id, "%s-%013llx/r1", head, (unsigned long long)(hash64(0, message, strlen(message)) >> 12));
    }
    return pain001_release(out, payments->pain001, payments->verdicts, id, note);
}

int payments_write(struct payments *payments, const char *name, const char *pain002_path, const char *released_path)
{
    uint32_t count = pain001_transactions(payments->pain001);
    if (payments->broken || payments->answered != count)
        return command_fail(COMMAND_REFUSED, name, "%u of %u transactions are answered: no file is written", payments->answered, count);
    int status = pain002_path ? file_write(payments, name, pain002_path, report_write) : COMMAND_DONE;
    if (status != COMMAND_DONE || !released_path)
        return status;
    if (memchr(payments->verdicts, VERDICT_PASS, count))
        return file_write(payments, name, released_path, released_write);
    remove(released_path); /* what lies there is of another time */
    return command_fail(COMMAND_DONE, name, "no transaction passed: there is no %s", released_path);
}

void payments_close(struct payments *payments)
{
    pain001_close(&payments->pain001);
    file_map_close(&payments->map);
    memory_give(payments->verdicts);
    memory_give(payments->reasons);
    memory_give(payments->reason_list);
}
