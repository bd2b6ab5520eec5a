/* A snapshot is the state's block in chunks, each with its digest; neither chunks nor lines of zeros are written: tables are
 * strewn with them, so that the file is as large as what is used. Written beside, synced, renamed. What is read back is held to its digests
 * and then looked through: no index of it leads outside. */
#include "history/state.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/must.h"
#include "history/sides.h"

enum {
    SNAPSHOT_VERSION = 4,
    HEAD_SEED = 2,
    CHUNKS_SEED = 1,
    CHUNK_BYTES = 1 << 18,
    LINE_BYTES = 64,
    CHUNK_LINES = CHUNK_BYTES / LINE_BYTES
};
#define SNAPSHOT_MAGIC 0x31534948454c4c53ull
#define CHUNK_END      UINT64_MAX

struct snapshot_head {
    uint64_t magic, version, sequence, state_bytes, figure_layout;
    struct history_limits limits;
    struct digest digest; /* of what stands above */
};

struct chunk_head {
    uint64_t index;       /* CHUNK_END: the last one */
    struct digest digest; /* of the chunk; of the last one: of the whole state */
};

struct packed_chunk {
    struct chunk_head head;
    uint64_t used[CHUNK_LINES / 64]; /* a bit for every line that follows */
    unsigned char lines[CHUNK_BYTES];
};
_Static_assert(sizeof(struct packed_chunk) <= SNAPSHOT_ROOM_BYTES, "what history_bytes counts");

static struct snapshot_head snapshot_head_of(const struct history *history, uint64_t sequence)
{
    struct snapshot_head head = {
        .magic = SNAPSHOT_MAGIC,
        .version = SNAPSHOT_VERSION,
        .sequence = sequence,
        .state_bytes = history->state_bytes,
        .figure_layout = sizeof(struct busy) | (uint64_t)RING_CLASSES << 32 | (uint64_t)FIGURE_COUNT << 48,
        .limits = history->limits,
    };
    head.digest = hash128(HEAD_SEED, &head, offsetof(struct snapshot_head, digest));
    return head;
}

/* --- digests -------------------------------------------------------------------------------------------------------- */

static uint64_t chunk_count(const struct history *history)
{
    return (history->state_bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

static size_t chunk_bytes(const struct history *history, uint64_t index)
{
    size_t left = history->state_bytes - index * CHUNK_BYTES;
    return left < CHUNK_BYTES ? left : CHUNK_BYTES;
}

static bool is_zero(const unsigned char *data, size_t bytes) /* bytes: a multiple of 8 */
{
    uint64_t any = 0;
    for (size_t i = 0; i < bytes && !any; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, sizeof word);
        any |= word;
    }
    return !any;
}

static struct digest digest_chain(struct digest before, uint64_t index, struct digest chunk)
{
    const uint64_t all[5] = {before.low, before.high, index, chunk.low, chunk.high};
    return hash128(CHUNKS_SEED, all, sizeof all);
}

struct digest history_state_digest(const struct history *history)
{
    MUST(history->magic == (unsigned)HISTORY_MAGIC);
    struct digest all = {0};
    for (uint64_t i = 0; i < chunk_count(history); i++) {
        const unsigned char *chunk = history->state + i * CHUNK_BYTES;
        if (!is_zero(chunk, chunk_bytes(history, i)))
            all = digest_chain(all, i, hash128(0, chunk, chunk_bytes(history, i)));
    }
    return all;
}

/* --- saving --------------------------------------------------------------------------------------------------------- */

static bool write_next(int fd, const void *data, size_t bytes, int64_t *offset)
{
    bool written = file_ops->write_at(fd, data, bytes, *offset) == (int64_t)bytes;
    *offset += (int64_t)bytes;
    return written;
}

static size_t chunk_pack(struct packed_chunk *out, uint64_t index, const unsigned char *chunk, size_t bytes) /* 0: all zero */
{
    size_t packed = 0;
    memset(out->used, 0, sizeof out->used);
    for (size_t at = 0; at < bytes; at += LINE_BYTES) {
        if (is_zero(chunk + at, LINE_BYTES))
            continue;
        out->used[at / LINE_BYTES / 64] |= 1ull << at / LINE_BYTES % 64;
        memcpy(out->lines + packed, chunk + at, LINE_BYTES);
        packed += LINE_BYTES;
    }
    if (packed == 0)
        return 0;
    out->head = (struct chunk_head){.index = index, .digest = hash128(0, chunk, bytes)};
    return offsetof(struct packed_chunk, lines) + packed;
}

static bool snapshot_write(int fd, struct packed_chunk *room, const struct history *history, uint64_t sequence)
{
    const struct snapshot_head head = snapshot_head_of(history, sequence);
    struct digest all = {0};
    int64_t offset = 0;
    if (!write_next(fd, &head, sizeof head, &offset))
        return false;
    for (uint64_t i = 0; i < chunk_count(history); i++) {
        size_t packed = chunk_pack(room, i, history->state + i * CHUNK_BYTES, chunk_bytes(history, i));
        if (packed == 0)
            continue;
        all = digest_chain(all, i, room->head.digest);
        if (!write_next(fd, room, packed, &offset))
            return false;
    }
    const struct chunk_head end = {.index = CHUNK_END, .digest = all};
    if (!write_next(fd, &end, sizeof end, &offset))
        return false;
    FAILPOINT(snapshot_before_sync);
    return file_ops->sync(fd) == 0;
}

static enum fault snapshot_fault(struct fault_note *note, const char *verb, const char *path)
{
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "cannot %s %s: %s", verb, path, strerror(errno));
}

static bool snapshot_rename(const char *beside, const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    FAILPOINT(snapshot_before_rename);
    if (file_ops->rename(beside, path) != 0)
        return false;
    FAILPOINT(snapshot_before_folder_sync);
    if (file_ops->sync_folder(dirname(folder)) != 0)
        return false;
    FAILPOINT(snapshot_after_folder_sync);
    return true;
}

enum fault history_save(const struct history *history, uint64_t sequence, const char *path, struct fault_note *note)
{
    MUST(history->magic == (unsigned)HISTORY_MAGIC);
    char beside[PATH_MAX];
    if ((size_t)snprintf(beside, sizeof beside, "%s.new", path) >= sizeof beside)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "path too long: %.100s", path);
    struct packed_chunk *room = memory_take(sizeof *room);
    if (!room)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a snapshot's chunk");
    int fd = file_ops->open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = fd >= 0 && snapshot_write(fd, room, history, sequence);
    enum fault fault = written ? FAULT_NONE : snapshot_fault(note, fd < 0 ? "create" : "write", beside);
    if (fd >= 0)
        file_ops->close(fd);
    if (written && !snapshot_rename(beside, path))
        fault = snapshot_fault(note, "rename", beside);
    if (fd >= 0 && fault != FAULT_NONE)
        file_ops->unlink(beside);
    memory_give(room);
    return fault;
}

/* --- looking through what was read ---------------------------------------------------------------------------------- */

static bool table_counts_hold(const struct table *table)
{
    uint64_t used = 0;
    for (uint64_t slot = 0; slot < table->set_count * SET_SLOTS; slot++)
        used += table_is_used(table, (uint32_t)slot);
    return used == table->counts->used;
}

static bool accounts_hold(const struct history *history)
{
    uint64_t slots = history->accounts.set_count * SET_SLOTS, events = 0, units = 0, busy = 0;
    for (uint32_t slot = 0; slot < slots; slot++) {
        const struct account *account = account_at(history, slot);
        for (unsigned which = SENT; which <= RECEIVED; which++) {
            const struct side *side = &account->sides[which];
            if (!side_holds(history, side, slot, which))
                return false;
            events += side->event_count;
            busy += side->form == SIDE_BUSY;
            units += side->form != SIDE_BUSY && side->form != SIDE_EMPTY ? 1u << (side->form - (unsigned)SIDE_RING) : 0;
        }
    }
    const struct history_head *head = history->head;
    return events == head->events && units == head->ring_units_used && busy == head->busy_used;
}

static bool rings_hold(const struct history *history)
{
    const struct history_head *head = history->head;
    uint64_t free_units = 0, listed = 0;
    if (head->ring_fresh > history->ring_units || head->ring_fresh % RING_CHUNK_UNITS != 0)
        return false;
    for (uint32_t unit = 0; unit < history->ring_units; unit++) {
        unsigned mark = history->ring_free_heads[unit];
        if (mark > RING_CLASSES || (mark && (unit >= head->ring_fresh || unit % (1u << (mark - 1)) != 0)))
            return false;
        free_units += mark ? 1u << (mark - 1) : 0;
    }
    for (unsigned class = 0; class < RING_CLASSES; class ++) {
        uint32_t before = 0;
        for (uint32_t at = head->ring_free[class]; at; listed += 1u << class) {
            uint32_t links[2]; /* next, before */
            if (at > head->ring_fresh || history->ring_free_heads[at - 1] != class + 1 || listed > free_units)
                return false;
            memcpy(links, ring_at(history, at - 1), sizeof links);
            if (links[1] != before)
                return false;
            before = at;
            at = links[0];
        }
    }
    return listed == free_units && free_units + head->ring_units_used == head->ring_fresh;
}

static bool rest_holds(const struct history *history)
{
    const struct history_head *head = history->head;
    uint64_t free_count = 0;
    if (head->busy_fresh > history->busy_max || (history->busy_max && head->busy_probe >= history->busy_max) ||
        head->due_count > history->due_max || head->sweep >= history->accounts.set_count * SET_SLOTS ||
        head->clock > (uint32_t)(HOUR_LAST - HOUR_OFFSET) * HOUR_S)
        return false;
    for (uint32_t at = head->busy_free; at; at = history->busies[at - 1].next_free)
        if (at > head->busy_fresh || history->busies[at - 1].newest || ++free_count > head->busy_fresh)
            return false;
    for (uint32_t i = 0; i < head->due_count; i++)
        if (history->dues[i].slot >= history->waiting.set_count * SET_SLOTS)
            return false;
    return free_count + head->busy_used == head->busy_fresh;
}

static bool state_holds(const struct history *history)
{
    return rest_holds(history) && rings_hold(history) && accounts_hold(history) && table_counts_hold(&history->accounts) &&
           table_counts_hold(&history->links) && table_counts_hold(&history->places) && table_counts_hold(&history->waiting) &&
           table_counts_hold(&history->seen) && lists_hold(history);
}

/* --- loading -------------------------------------------------------------------------------------------------------- */

static bool read_next(int fd, void *out, size_t bytes, int64_t *offset)
{
    bool read = file_ops->read_at(fd, out, bytes, *offset) == (int64_t)bytes;
    *offset += (int64_t)bytes;
    return read;
}

static bool is_used(const struct packed_chunk *chunk, size_t line)
{
    return chunk->used[line / 64] >> line % 64 & 1;
}

/* Its head has been read. What was zero stays zero. */
static bool chunk_unpack(int fd, struct packed_chunk *chunk, unsigned char *out, size_t bytes, int64_t *offset)
{
    size_t used = 0, beyond = 0, taken = 0;
    if (!read_next(fd, chunk->used, sizeof chunk->used, offset))
        return false;
    for (size_t line = 0; line < CHUNK_LINES; line++) {
        used += is_used(chunk, line);
        beyond += line >= bytes / LINE_BYTES && is_used(chunk, line);
    }
    if (beyond || !read_next(fd, chunk->lines, used * LINE_BYTES, offset))
        return false;
    for (size_t line = 0; line < CHUNK_LINES; line++)
        if (is_used(chunk, line))
            memcpy(out + line * LINE_BYTES, chunk->lines + LINE_BYTES * taken++, LINE_BYTES);
    return true;
}

static const char *chunks_read(int fd, struct packed_chunk *chunk, struct history *history, int64_t offset) /* NULL: all went well */
{
    struct digest all = {0};
    for (uint64_t next = 0;;) {
        if (!read_next(fd, &chunk->head, sizeof chunk->head, &offset))
            return "it ends too early";
        const struct chunk_head head = chunk->head;
        if (head.index == CHUNK_END)
            return digest_equal(head.digest, all) && offset == file_ops->size(fd) ? NULL : "its chunks are not those that were written";
        if (head.index < next || head.index >= chunk_count(history))
            return "its chunks are out of order";
        unsigned char *out = history->state + head.index * CHUNK_BYTES;
        const size_t bytes = chunk_bytes(history, head.index);
        if (!chunk_unpack(fd, chunk, out, bytes, &offset))
            return "it ends too early, or a chunk holds more than it may";
        if (!digest_equal(head.digest, hash128(0, out, bytes)))
            return "a checksum is wrong";
        all = digest_chain(all, head.index, head.digest);
        next = head.index + 1;
    }
}

static const char *snapshot_read(int fd, struct packed_chunk *room, struct history *history, uint64_t *sequence)
{
    struct snapshot_head head;
    int64_t offset = 0;
    if (!read_next(fd, &head, sizeof head, &offset) || head.magic != SNAPSHOT_MAGIC)
        return "it is not a history snapshot";
    const struct snapshot_head expected = snapshot_head_of(history, head.sequence);
    if (!digest_equal(head.digest, hash128(HEAD_SEED, &head, offsetof(struct snapshot_head, digest))))
        return "its head is damaged";
    if (memcmp(&head, &expected, sizeof head) != 0)
        return "it was made with other limits or by another version";
    const char *wrong = chunks_read(fd, room, history, offset);
    if (!wrong && !state_holds(history))
        wrong = "its tables contradict each other";
    *sequence = head.sequence;
    return wrong;
}

bool history_snapshot_peek(uint64_t *sequence, struct history_limits *limits, const char *path)
{
    struct snapshot_head head;
    int64_t offset = 0;
    int fd = file_ops->open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool is_one = read_next(fd, &head, sizeof head, &offset) && head.magic == SNAPSHOT_MAGIC && head.version == SNAPSHOT_VERSION &&
                  digest_equal(head.digest, hash128(HEAD_SEED, &head, offsetof(struct snapshot_head, digest)));
    file_ops->close(fd);
    if (is_one)
        *sequence = head.sequence, *limits = head.limits;
    return is_one;
}

enum fault history_load(struct history *history, uint64_t *sequence, const char *path, struct fault_note *note)
{
    MUST(history->magic == (unsigned)HISTORY_MAGIC && history->head->clock == 0 && history->head->accounts.used == 0);
    int fd = file_ops->open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "cannot open %s: %s", path, strerror(errno));
    struct packed_chunk *room = memory_take(sizeof *room);
    const char *wrong = room ? snapshot_read(fd, room, history, sequence) : "no memory for a chunk";
    memory_give(room);
    file_ops->close(fd);
    if (!wrong)
        return FAULT_NONE;
    memset(history->state, 0, history->state_bytes);
    *sequence = 0;
    return fault_set(note, FAULT_ledger, ROW_NONE, COLUMN_NONE, "snapshot %s cannot be used: %s", path, wrong);
}
