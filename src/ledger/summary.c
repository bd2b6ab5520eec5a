/* The filter of a whole segment. It is filled as frames are committed; when the segment is full it is folded to the size
 * that its ids need and written beside it. */
#include "ledger/summary.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/must.h"
#include "ledger/segment.h"

enum { SUMMARY_MAGIC = 0x46465153 /* "SQFF" */, SUMMARY_VERSION = 1, SEGMENT_SHARE = 8, BLOCKS_MIN = 16, BLOCKS_MAX = 1 << 20 };
enum { BLOCK_IDS = 448 / SUMMARY_KEY_BITS, AHEAD = 16 };

static uint32_t blocks_of(uint64_t segment_bytes)
{
    uint32_t count = BLOCKS_MIN;
    while (count < BLOCKS_MAX && (uint64_t)count * FILTER_BLOCK_BYTES * SEGMENT_SHARE < segment_bytes)
        count *= 2;
    return count;
}

enum fault summary_init(struct summary *out, uint64_t secret, uint64_t segment_bytes, struct fault_note *note)
{
    *out = (struct summary){.secret = secret, .block_count = blocks_of(segment_bytes)};
    out->blocks = memory_take((size_t)out->block_count * FILTER_BLOCK_BYTES);
    return out->blocks ? FAULT_NONE : fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the filter of a segment");
}

void summary_fini(struct summary *summary)
{
    memory_give(summary->blocks);
    *summary = (struct summary){0};
}

void summary_begin(struct summary *summary, uint32_t segment, uint64_t first_sequence)
{
    summary->segment = segment;
    summary->first_sequence = first_sequence;
    summary->id_count = summary->last_sequence = summary->pair_count = 0;
    summary->is_partial = false;
    memset(summary->blocks, 0, (size_t)summary->block_count * FILTER_BLOCK_BYTES);
}

static void pair_add(struct summary *summary, int64_t tenant, uint64_t key_seed)
{
    for (uint32_t i = summary->pair_count; i-- > 0;)
        if (summary->pairs[i].tenant == tenant && summary->pairs[i].key_seed == key_seed)
            return;
    if (summary->pair_count == SUMMARY_PAIRS_MAX)
        summary->is_partial = true;
    else
        summary->pairs[summary->pair_count++] = (struct summary_pair){tenant, key_seed};
}

static uint64_t *block_at(const struct summary *summary, uint32_t index)
{
    return (uint64_t *)(void *)(summary->blocks + (size_t)index * FILTER_BLOCK_BYTES);
}

static void keys_add(struct summary *summary, enum filter_kind kind, const uint64_t *hashes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            __builtin_prefetch(block_at(summary, filter_block_of(filter_key_of(kind, hashes[i + AHEAD]), summary->block_count)), 1);
        uint64_t key = filter_key_of(kind, hashes[i]);
        if (hashes[i])
            summary->id_count += filter_block_add(block_at(summary, filter_block_of(key, summary->block_count)), key);
    }
}

void summary_add(struct summary *summary, uint64_t sequence, int64_t tenant, const struct filter_keys *keys)
{
    summary->last_sequence = sequence;
    if (keys->total)
        pair_add(summary, tenant, keys->seed);
    for (unsigned i = 0; i < FILTER_COLUMNS; i++)
        keys_add(summary, filter_kinds[i], keys->keys[i], keys->counts[i]);
}

/* --- the file -------------------------------------------------------------------------------------------------------- */

static size_t blocks_start(uint32_t pair_count)
{
    size_t bytes = sizeof(struct summary_header) + pair_count * sizeof(struct summary_pair);
    return (bytes + FILTER_BLOCK_BYTES - 1) / FILTER_BLOCK_BYTES * FILTER_BLOCK_BYTES;
}

static uint64_t header_checksum(const struct summary_header *header, uint64_t secret)
{
    return hash64(secret ^ SUMMARY_MAGIC, header, offsetof(struct summary_header, checksum));
}

/* A block is the first bits of its keys: two neighbours are one block of a filter of half the size. */
static uint32_t fold(struct summary *summary)
{
    uint32_t count = summary->block_count;
    while (count > BLOCKS_MIN && summary->id_count <= (uint64_t)(count / 2) * BLOCK_IDS) {
        count /= 2;
        for (uint32_t i = 0; i < count; i++)
            for (unsigned word = 0; word < FILTER_BLOCK_BYTES / 8; word++)
                block_at(summary, i)[word] = block_at(summary, 2 * i)[word] | block_at(summary, 2 * i + 1)[word];
    }
    return count;
}

static struct summary_header summary_seal(struct summary *summary)
{
    struct summary_header header = {.magic = SUMMARY_MAGIC,
                                    .version = SUMMARY_VERSION,
                                    .segment = summary->segment,
                                    .block_count = fold(summary),
                                    .first_sequence = summary->first_sequence,
                                    .last_sequence = summary->last_sequence,
                                    .pair_count = summary->pair_count};
    header.pairs_hash = hash64(summary->segment, summary->pairs, summary->pair_count * sizeof *summary->pairs);
    header.checksum = header_checksum(&header, summary->secret);
    for (uint32_t i = 0; i < header.block_count; i++)
        filter_block_seal(block_at(summary, i), i, header.checksum);
    return header;
}

/* The header last: whoever reads meanwhile finds none. */
static bool file_fill(int fd, const struct summary *summary, const struct summary_header *header)
{
    int64_t pairs = (int64_t)(header->pair_count * sizeof *summary->pairs);
    int64_t blocks = (int64_t)header->block_count * FILTER_BLOCK_BYTES;
    return file_ops->write_at(fd, summary->blocks, (size_t)blocks, (int64_t)blocks_start(header->pair_count)) == blocks &&
           file_ops->write_at(fd, summary->pairs, (size_t)pairs, sizeof *header) == pairs &&
           file_ops->write_at(fd, header, sizeof *header, 0) == sizeof *header;
}

void summary_write(struct summary *summary, const char *folder)
{
    struct segment_path path = segment_path(folder, "filter", summary->segment);
    if (summary->is_partial)
        return;
    struct summary_header header = summary_seal(summary);
    int fd = file_ops->open(path.text, O_RDWR | O_CREAT | O_TRUNC, 0600);
    bool is_there = fd >= 0 && file_fill(fd, summary, &header);
    if (!is_there)
        log_line(LOG_WARN, "ledger", "segment %u has no filter and is searched without: %s", summary->segment, strerror(errno));
    if (fd >= 0)
        file_ops->close(fd);
    if (fd >= 0 && !is_there)
        file_ops->unlink(path.text);
}

void summary_remove(const char *folder, uint32_t segment)
{
    file_ops->unlink(segment_path(folder, "filter", segment).text);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

bool summary_view_open(struct summary_view *out, const char *folder, uint64_t secret, uint32_t segment)
{
    struct summary_header *header = &out->header;
    out->fd = file_ops->open(segment_path(folder, "filter", segment).text, O_RDONLY, 0);
    if (out->fd < 0)
        return false;
    posix_fadvise(out->fd, 0, 0, POSIX_FADV_RANDOM);
    if (file_ops->read_at(out->fd, header, sizeof *header, 0) == sizeof *header && header->magic == SUMMARY_MAGIC &&
        header->version == SUMMARY_VERSION && header->segment == segment && header->pair_count <= SUMMARY_PAIRS_MAX &&
        header->block_count && header->checksum == header_checksum(header, secret))
        return true;
    summary_view_close(out);
    return false;
}

void summary_view_close(struct summary_view *view)
{
    file_ops->close(view->fd);
    view->fd = -1;
}

static bool block_may_have(const struct summary_view *view, uint64_t key)
{
    const struct summary_header *header = &view->header;
    unsigned char block[FILTER_BLOCK_BYTES];
    uint32_t index = filter_block_of(key, header->block_count);
    int64_t start = (int64_t)(blocks_start(header->pair_count) + (size_t)index * FILTER_BLOCK_BYTES);
    return file_ops->read_at(view->fd, block, sizeof block, start) != sizeof block || filter_block_has(block, index, header->checksum, key);
}

bool summary_may_have(const struct summary_view *view, int64_t tenant, enum filter_kind kind, const struct text *ids, uint32_t id_count)
{
    struct summary_pair pairs[SUMMARY_PAIRS_MAX];
    size_t bytes = view->header.pair_count * sizeof *pairs;
    if (file_ops->read_at(view->fd, pairs, bytes, sizeof view->header) != (int64_t)bytes ||
        hash64(view->header.segment, pairs, bytes) != view->header.pairs_hash)
        return true;
    for (uint32_t i = 0; i < view->header.pair_count; i++) {
        if (tenant && pairs[i].tenant != tenant)
            continue;
        for (uint32_t j = 0; j < id_count; j++)
            if (block_may_have(view, filter_key(pairs[i].key_seed, kind, ids[j])))
                return true;
    }
    return false;
}
