#ifndef SLUICE_TESTS_UNIT_LEDGER_RIG_H
#define SLUICE_TESTS_UNIT_LEDGER_RIG_H

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/frame.h"
#include "ledger/ledger.h"
#include "unit/ledger/sample.h"

/* Ledgers in a folder of their own, and groups of sample batches committed to them. */
static const char *const rig_scenes[SAMPLE_SCENES] = {"background", "takeover", "mule", "split", "fan", "other"};

struct rig {
    char folder[64];
    struct ledger *ledger;
    struct ledger_options options;
};

static inline void rig_init(struct rig *rig)
{
    *rig = (struct rig){.folder = "/tmp/sluice-ledger-XXXXXX", .options = {.reserve_bytes = 1 << 16}};
    if (access("/dev/shm", W_OK) == 0) /* no disk is waited for: what is lost at a kill is the shims' to say */
        snprintf(rig->folder, sizeof rig->folder, "/dev/shm/sluice-ledger-XXXXXX");
    MUST(mkdtemp(rig->folder));
    rig->options.folder = rig->folder;
}

static inline void rig_open(struct rig *rig)
{
    struct fault_note note = {0};
    if (ledger_sqlite.open(&rig->ledger, &rig->options, &note) != FAULT_NONE) {
        fprintf(stderr, "%s\n", note.text);
        MUST(rig->ledger);
    }
}

static inline void rig_close(struct rig *rig)
{
    ledger_sqlite.close(&rig->ledger);
}

static inline void rig_reopen(struct rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

static inline void rig_path(char out[128], const struct rig *rig, const char *name)
{
    snprintf(out, 128, "%s/%s", rig->folder, name);
}

static inline void rig_fini(struct rig *rig)
{
    char path[512];
    rig_close(rig);
    DIR *folder = opendir(rig->folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        snprintf(path, sizeof path, "%s/%s", rig->folder, entry->d_name);
        unlink(path);
    }
    if (folder)
        closedir(folder);
    rmdir(rig->folder);
}

/* The batch that stands for a sequence: its id is "r<sequence>", its seed the sequence. */
static inline struct sample rig_sample(uint64_t sequence, uint32_t rows, enum op op, char id[24])
{
    snprintf(id, 24, "r%llu", (unsigned long long)sequence);
    return (struct sample){.rows = rows,
                           .seed = sequence,
                           .op = op,
                           .plain = sequence % 2,
                           .dicts = sequence % 3 == 0,
                           .id = id,
                           .tenant = sequence % 2 ? "tenant a" : "tenant b",
                           .sequence = sequence,
                           .now_us = (int64_t)sequence * 1000};
}

/* Commits [first, first + count) as one group. */
enum { RIG_GROUP_MAX = 64 };
static inline enum fault rig_commit(struct rig *rig, uint64_t first, uint32_t count, uint32_t rows, enum op op, struct fault_note *note)
{
    static struct batch batches[RIG_GROUP_MAX];
    struct ledger_entry entries[RIG_GROUP_MAX];
    char ids[RIG_GROUP_MAX][24];
    for (uint32_t i = 0; i < count; i++) {
        struct sample sample = rig_sample(first + i, rows, op, ids[i]);
        sample_make(&batches[i], &sample);
        entries[i] = (struct ledger_entry){
            .batch = &batches[i], .base_digest = {1, 2}, .config_digest = {3, 4}, .scenes = rig_scenes, .scene_count = SAMPLE_SCENES};
        MUST(frame_encode(&entries[i].frame, &batches[i], NULL) == FAULT_NONE);
    }
    enum fault fault = ledger_sqlite.commit(rig->ledger, entries, count, note);
    for (uint32_t i = 0; i < count; i++) {
        MUST(entries[i].fault == fault);
        frame_give(&entries[i].frame);
        batch_fini(&batches[i]);
    }
    return fault;
}

/* What is read back under the sequence is what rig_commit put there; NULL: it is. */
static inline const char *rig_difference(struct rig *rig, uint64_t sequence, uint32_t rows, enum op op)
{
    char id[24];
    struct batch want, have;
    struct fault_note note = {0};
    struct sample sample = rig_sample(sequence, rows, op, id);
    if (ledger_sqlite.read(rig->ledger, &have, sequence, &note) != FAULT_NONE)
        return "it cannot be read";
    sample_make(&want, &sample);
    const char *difference = sample_difference(&want, &have);
    batch_fini(&want);
    batch_fini(&have);
    return difference;
}

#endif
