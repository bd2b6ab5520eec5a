/* Filters of segments and the index: a filter counts only when the index agrees about where its segment begins and ends. */
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "ledger/frame.h"
#include "ledger/sqlite.h"

void summaries_follow(struct ledger *ledger, const struct ledger_entry *entries, uint32_t entry_count)
{
    struct summary *summary = &ledger->summary;
    for (uint32_t i = 0; i < entry_count; i++) {
        const struct frame *frame = entries[i].frame;
        uint64_t sequence = entries[i].batch->sequence;
        if (frame->segment != summary->segment) {
            summary_write(summary, ledger->folder);
            summary_begin(summary, frame->segment, sequence);
        }
        summary_add(summary, sequence, frame->tenant, &frame->keys);
    }
}

static enum fault line_add(struct ledger *ledger, struct reader *reader, const struct index_line *line, struct fault_note *note)
{
    struct batch batch;
    struct filter_keys keys;
    if (line->filter_blocks == 0)
        return summary_add(&ledger->summary, line->sequence, line->tenant, &(struct filter_keys){0}), FAULT_NONE;
    enum fault fault = frame_load(ledger, reader, &batch, line, note);
    if (fault != FAULT_NONE)
        return fault;
    void *room = memory_take(filter_keys_bytes(&batch) + 1);
    if (room) {
        filter_collect(&keys, room, &batch);
        summary_add(&ledger->summary, line->sequence, line->tenant, &keys);
    }
    memory_give(room);
    batch_fini(&batch);
    return room ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the ids of a frame");
}

/* A frame that is damaged leaves the segment without a filter. */
static enum fault line_try(struct ledger *ledger, struct reader *reader, const struct index_line *line, struct fault_note *note)
{
    struct fault_note why = {0};
    enum fault fault = line_add(ledger, reader, line, &why);
    if (fault == FAULT_ledger) {
        log_line(LOG_WARN, "ledger", "segment %u gets no filter: %s", line->place.segment, why.text);
        ledger->summary.is_partial = true;
        ledger->summary.last_sequence = line->sequence;
        return FAULT_NONE;
    }
    return fault == FAULT_NONE ? FAULT_NONE : fault_set(note, fault, ROW_NONE, COLUMN_NONE, "%s", why.text);
}

/* From the frames of the segment; *from: its first sequence, afterwards the next segment's. */
static enum fault summary_make(struct ledger *ledger, struct reader *reader, uint32_t segment, uint64_t *from, struct fault_note *note)
{
    uint32_t count = LINES_PER_STEP;
    enum fault fault = FAULT_NONE;
    summary_begin(&ledger->summary, segment, *from);
    while (fault == FAULT_NONE && count == LINES_PER_STEP) {
        fault = lines_from(reader, &count, *from, note);
        for (uint32_t i = 0; i < count && fault == FAULT_NONE; i++) {
            if (reader->lines[i].place.segment != segment)
                return FAULT_NONE;
            *from = reader->lines[i].sequence + 1;
            fault = line_try(ledger, reader, &reader->lines[i], note);
        }
    }
    return fault;
}

/* Where the segment begins and ends is what the index says. */
static bool summary_is_sound(struct ledger *ledger, struct reader *reader, uint32_t segment, uint64_t *from)
{
    struct summary_view view;
    uint32_t count;
    if (!summary_view_open(&view, ledger->folder, ledger->secret, segment))
        return false;
    uint64_t first = view.header.first_sequence, last = view.header.last_sequence;
    summary_view_close(&view);
    bool is_sound = first >= *from && lines_from(reader, &count, last, NULL) == FAULT_NONE && count >= 2 &&
                    reader->lines[0].sequence == last && reader->lines[0].place.segment == segment &&
                    reader->lines[1].place.segment > segment;
    if (is_sound)
        *from = last + 1;
    return is_sound;
}

static enum fault summary_ensure(struct ledger *ledger, struct reader *reader, uint32_t segment, uint64_t *from, struct fault_note *note)
{
    if (summary_is_sound(ledger, reader, segment, from))
        return FAULT_NONE;
    summary_remove(ledger->folder, segment);
    enum fault fault = summary_make(ledger, reader, segment, from, note);
    if (fault == FAULT_NONE && ledger->summary.last_sequence)
        summary_write(&ledger->summary, ledger->folder);
    if (fault == FAULT_NONE)
        log_line(LOG_INFO, "ledger", "the filter of segment %u is made again", segment);
    return fault;
}

enum fault summaries_open(struct ledger *ledger, struct fault_note *note)
{
    uint32_t last = ledger->segments.segment, count;
    uint64_t from = atomic_load(&ledger->kept_from);
    enum fault fault = summary_init(&ledger->summary, ledger->secret, ledger->segments.bytes_max, note);
    if (fault != FAULT_NONE)
        return fault;
    struct reader *reader = reader_take(ledger);
    fault = lines_from(reader, &count, from, note);
    uint32_t segment = fault == FAULT_NONE && count ? reader->lines[0].place.segment : last;
    for (; segment < last && fault == FAULT_NONE; segment++)
        fault = summary_ensure(ledger, reader, segment, &from, note);
    summary_remove(ledger->folder, last);
    if (fault == FAULT_NONE)
        fault = summary_make(ledger, reader, last, &from, note);
    reader_give(ledger, reader);
    return fault;
}
