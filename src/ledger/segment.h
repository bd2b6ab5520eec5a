#ifndef SLUICE_LEDGER_SEGMENT_H
#define SLUICE_LEDGER_SEGMENT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* Segment files hold frames one behind the other: frames-00000001, frames-00000002, … The index says where each lies. */

struct segment_place {
    uint32_t segment; /* from 1 */
    uint64_t start, bytes;
};

/* "frames" is the segment itself; "filter" what is known of its ids. */
struct segment_path {
    char text[PATH_MAX + 32];
};
struct segment_path segment_path(const char *folder, const char *kind, uint32_t segment);

/* The one that appends. Where it writes is decided by the index alone: what lies behind the tail is overwritten. */
struct segment_writer {
    char folder[PATH_MAX];
    int fd; /* -1: none open */
    uint32_t segment;
    uint64_t tail, bytes_max;
    bool saw_full; /* the disk was full since this was cleared */
};

/* Cuts the segment at its tail, removes later ones. FAULT_ledger when it is shorter than the tail. */
enum fault segment_writer_open(struct segment_writer *out, const char *folder, uint64_t bytes_max, struct segment_place tail,
                               struct fault_note *note);
void segment_writer_close(struct segment_writer *writer); /* safe on zeroed memory */
/* Begins a new segment when this one is full; the old one is synced then. */
enum fault segment_append(struct segment_writer *writer, struct segment_place *out, const void *frame, size_t bytes,
                          struct fault_note *note);
enum fault segment_sync(struct segment_writer *writer, struct fault_note *note);
bool segment_remove(const char *folder, uint32_t segment); /* false: it was not there */
/* Gives up what was appended since the writer stood at (segment, tail), and its space. */
void segment_retreat(struct segment_writer *writer, uint32_t segment, uint64_t tail);

/* One thread's. Keeps the file it read last open. */
struct segment_reader {
    int fd; /* -1: none open */
    uint32_t segment;
};
void segment_reader_init(struct segment_reader *reader);
void segment_reader_fini(struct segment_reader *reader);
/* The system may begin to read these bytes; nothing is waited for and nothing can go wrong. */
void segment_read_ahead(struct segment_reader *reader, const char *folder, uint32_t segment, uint64_t start, size_t bytes);
/* Exactly so many bytes; FAULT_ledger names segment and offset. */
enum fault segment_read(struct segment_reader *reader, const char *folder, uint32_t segment, uint64_t start, void *out, size_t bytes,
                        struct fault_note *note);

#endif
