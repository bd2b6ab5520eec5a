#ifndef SLUICE_SYNTH_STORY_H
#define SLUICE_SYNTH_STORY_H

#include "synth/world.h"

/* A story is a case that takes several rows over minutes to weeks: a fraud, or honest people doing what looks alike. */

enum story_kind {
#define SCENE(name, rate, text) STORY_##name,
#define DECOY(name, rate, text) STORY_##name,
#include "synth/scenes.tbl"
#undef SCENE
#undef DECOY
    STORY_COUNT
};

enum { MEMBERS_MAX = 5 };

struct story {
    int64_t due_us; /* of its next row */
    enum story_kind kind;
    uint32_t crew, left, told; /* rows to come, rows given */
    uint32_t payer, payee;
    uint32_t members[MEMBERS_MAX], member_count;
    int64_t amount, sum; /* of one row where all are alike; given so far */
    uint64_t device;
    struct place place;
    uint64_t mark; /* a random number of its own */
};

struct story_actions {
    uint32_t rows_least, rows_most;
    uint32_t gap_s_least, gap_s_most;                                                     /* between its rows */
    void (*begin)(struct story *story, const struct world *world, struct random *random); /* kind, due_us, left, crew, mark are set */
    void (*tell)(struct synth_row *row, struct story *story, const struct world *world, struct random *random); /* row's time is set */
};
extern const struct story_actions story_actions[STORY_COUNT];

/* For frauds.c and decoys.c. */
#define STORY_BEGIN(name) void name##_begin(struct story *story, const struct world *world, struct random *random)
#define STORY_TELL(name)  void name##_tell(struct synth_row *row, struct story *story, const struct world *world, struct random *random)
#define SCENE(name, rate, text) \
    STORY_BEGIN(name); \
    STORY_TELL(name);
#define DECOY(name, rate, text) SCENE(name, rate, text)
#include "synth/scenes.tbl"
#undef SCENE
#undef DECOY

/* An associated system's news, told shortly before the row. */
void observe_change(struct synth_row *row, uint32_t account);
void observe_contact(struct synth_row *row, uint32_t account, uint32_t contact);
void observe_use(struct synth_row *row, uint32_t account);
void observe_registration(struct synth_row *row, uint32_t account, uint64_t device);

#endif
