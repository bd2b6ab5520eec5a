#ifndef SLUICE_PIPELINE_CHALLENGER_H
#define SLUICE_PIPELINE_CHALLENGER_H

#include "pipeline/internal.h"

/* What the files of the challenger share. It compares itself with one running epoch, its champion: a reload or another base ends it. */

enum { REMEMBERED_ROWS = 1 << 17, SWITCHED_MAX = 256, SWITCHED_ID_BYTES = 65, RISK_BINS = 1024 };
enum { SIDE_CHAMPION, SIDE_CHALLENGER, SIDE_COUNT };

struct tally { /* one worker's: only it writes */
    atomic_uint_fast64_t rows, skipped;
    atomic_uint_fast64_t verdicts[VERDICT_COUNT][VERDICT_COUNT]; /* [champion's][challenger's] */
    atomic_uint_fast64_t scenes[SCENES_MAX][SCENES_MAX];         /* by scene whose threshold the match reaches; 0: none */
    atomic_uint_fast64_t tenant_rows[TENANTS_MAX], tenant_held[TENANTS_MAX][SIDE_COUNT];
};

struct switched { /* a row with another verdict */
    char id[SWITCHED_ID_BYTES];
    uint64_t sequence;
    uint32_t row, tenant;
    uint8_t verdict[SIDE_COUNT], scene[SIDE_COUNT];
    float match[SIDE_COUNT];
};

struct remembered { /* a row until its label comes; check: key ^ scores, so that halves of two rows are no row */
    atomic_uint_fast64_t check, scores;
};

struct challenger {
    atomic_uint users;
    struct epoch *champion, *epoch; /* held */
    int64_t since_us;
    uint32_t worker_count;
    struct tally *tallies;
    pthread_mutex_t lock; /* of switched: once a slice that has some */
    struct switched switched[SWITCHED_MAX];
    uint64_t switched_count;
    struct remembered *remembered;
    atomic_uint_fast64_t labelled[2], alerted[SIDE_COUNT][2]; /* good, bad; of these not passed */
    atomic_uint_fast64_t risks[SIDE_COUNT][2][RISK_BINS];
};

struct challenger *challenger_hold(struct pipeline *pipeline); /* NULL: there is none */
void challenger_release(struct challenger **challenger_p);

#endif
