/* A segment is written at its tail only, by one thread; a committed byte is never written again. */
#include "ledger/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"

struct segment_path segment_path(const char *folder, const char *kind, uint32_t segment)
{
    struct segment_path path;
    snprintf(path.text, sizeof path.text, "%s/%s-%08u", folder, kind, segment);
    return path;
}

static bool disk_is_full(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
}

static enum fault segment_fault(struct fault_note *note, const char *verb, uint32_t segment)
{
    if (disk_is_full())
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "disk full: cannot %s segment %u", verb, segment);
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "cannot %s segment %u: %s", verb, segment, strerror(errno));
}

static enum fault writer_fault(struct segment_writer *writer, struct fault_note *note, const char *verb)
{
    writer->saw_full |= disk_is_full();
    return segment_fault(note, verb, writer->segment);
}

static enum fault writer_file_open(struct segment_writer *writer, uint32_t segment, struct fault_note *note)
{
    writer->segment = segment;
    writer->fd = file_ops->open(segment_path(writer->folder, "frames", segment).text, O_RDWR | O_CREAT, 0600);
    if (writer->fd < 0)
        return writer_fault(writer, note, "open");
    return file_ops->sync_folder(writer->folder) == 0 ? FAULT_NONE : writer_fault(writer, note, "keep the name of");
}

static void remove_later(const char *folder, uint32_t segment)
{
    while (file_ops->unlink(segment_path(folder, "frames", ++segment).text) == 0)
        log_line(LOG_WARN, "ledger", "segment %u was never committed and is removed", segment);
}

bool segment_remove(const char *folder, uint32_t segment)
{
    return file_ops->unlink(segment_path(folder, "frames", segment).text) == 0;
}

static enum fault segment_cut(struct segment_writer *writer, struct fault_note *note)
{
    int64_t size = file_ops->size(writer->fd);
    if (size < 0)
        return writer_fault(writer, note, "measure");
    if ((uint64_t)size < writer->tail)
        return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "segment %u ends at %lld, committed frames reach to %llu",
                         writer->segment, (long long)size, (unsigned long long)writer->tail);
    if ((uint64_t)size == writer->tail)
        return FAULT_NONE;
    log_line(LOG_WARN, "ledger", "segment %u: %llu bytes behind the last commit are cut", writer->segment,
             (unsigned long long)((uint64_t)size - writer->tail));
    if (file_ops->truncate(writer->fd, (int64_t)writer->tail) != 0 || file_ops->sync(writer->fd) != 0)
        return writer_fault(writer, note, "cut");
    return FAULT_NONE;
}

enum fault segment_writer_open(struct segment_writer *out, const char *folder, uint64_t bytes_max, struct segment_place tail,
                               struct fault_note *note)
{
    *out = (struct segment_writer){.fd = -1, .bytes_max = bytes_max, .tail = tail.start + tail.bytes};
    snprintf(out->folder, sizeof out->folder, "%s", folder);
    remove_later(folder, tail.segment);
    enum fault fault = writer_file_open(out, tail.segment, note);
    return fault == FAULT_NONE ? segment_cut(out, note) : fault;
}

void segment_writer_close(struct segment_writer *writer)
{
    if (writer->segment && writer->fd >= 0)
        file_ops->close(writer->fd);
    *writer = (struct segment_writer){.fd = -1};
}

static enum fault segment_next(struct segment_writer *writer, struct fault_note *note)
{
    FAILPOINT(ledger_rotate_before_sync);
    enum fault fault = segment_sync(writer, note);
    if (fault != FAULT_NONE)
        return fault;
    FAILPOINT(ledger_rotate_after_sync);
    file_ops->close(writer->fd);
    fault = writer_file_open(writer, writer->segment + 1, note);
    FAILPOINT(ledger_rotate_after_open);
    if (fault == FAULT_NONE)
        writer->tail = 0;
    return fault;
}

enum fault segment_append(struct segment_writer *writer, struct segment_place *out, const void *frame, size_t bytes,
                          struct fault_note *note)
{
    enum fault fault = writer->fd < 0 ? writer_file_open(writer, writer->segment, note) : FAULT_NONE;
    if (fault == FAULT_NONE && writer->tail && writer->tail + bytes > writer->bytes_max)
        fault = segment_next(writer, note);
    if (fault != FAULT_NONE)
        return fault;
    if (file_ops->write_at(writer->fd, frame, bytes, (int64_t)writer->tail) != (int64_t)bytes)
        return writer_fault(writer, note, "append to");
    *out = (struct segment_place){.segment = writer->segment, .start = writer->tail, .bytes = bytes};
    writer->tail += bytes;
    return FAULT_NONE;
}

enum fault segment_sync(struct segment_writer *writer, struct fault_note *note)
{
    return file_ops->sync(writer->fd) == 0 ? FAULT_NONE : writer_fault(writer, note, "sync");
}

void segment_retreat(struct segment_writer *writer, uint32_t segment, uint64_t tail)
{
    MUST(writer->segment >= segment && segment);
    if (writer->segment != segment || writer->fd < 0) {
        if (writer->fd >= 0)
            file_ops->close(writer->fd);
        remove_later(writer->folder, segment);
        writer->segment = segment;
        writer->fd = file_ops->open(segment_path(writer->folder, "frames", segment).text, O_RDWR, 0);
    }
    writer->tail = tail;
    if (writer->fd < 0 || file_ops->truncate(writer->fd, (int64_t)tail) != 0)
        log_line(LOG_WARN, "ledger", "segment %u cannot be cut: %s", segment, strerror(errno));
}

void segment_reader_init(struct segment_reader *reader)
{
    *reader = (struct segment_reader){.fd = -1};
}

void segment_reader_fini(struct segment_reader *reader)
{
    if (reader->fd >= 0)
        file_ops->close(reader->fd);
    segment_reader_init(reader);
}

static bool reader_turn(struct segment_reader *reader, const char *folder, uint32_t segment)
{
    if (reader->fd >= 0 && reader->segment == segment)
        return true;
    segment_reader_fini(reader);
    reader->fd = file_ops->open(segment_path(folder, "frames", segment).text, O_RDONLY, 0);
    reader->segment = segment;
    if (reader->fd >= 0)
        posix_fadvise(reader->fd, 0, 0, POSIX_FADV_RANDOM);
    return reader->fd >= 0;
}

void segment_read_ahead(struct segment_reader *reader, const char *folder, uint32_t segment, uint64_t start, size_t bytes)
{
    if (reader_turn(reader, folder, segment))
        posix_fadvise(reader->fd, (off_t)start, (off_t)bytes, POSIX_FADV_WILLNEED);
}

enum fault segment_read(struct segment_reader *reader, const char *folder, uint32_t segment, uint64_t start, void *out, size_t bytes,
                        struct fault_note *note)
{
    if (!reader_turn(reader, folder, segment))
        return segment_fault(note, "open", segment);
    if (file_ops->read_at(reader->fd, out, bytes, (int64_t)start) == (int64_t)bytes)
        return FAULT_NONE;
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "segment %u cannot be read at offset %llu", segment,
                     (unsigned long long)start);
}
