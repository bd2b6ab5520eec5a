#ifndef SLUICE_HISTORY_STATE_H
#define SLUICE_HISTORY_STATE_H

#include "history/history.h"
#include "history/table.h"

/* How history lies in memory; only this room includes it. One block, taken at open: a head of counters, then tables and
 * pools. What is saved and digested is that block as it is, so nothing in it may depend on an address or on a clock. */

enum {
    HOUR_S = 3600,
    HOUR_OFFSET = 5040, /* added to hours since the epoch: all bucket numbers stay above zero and keep their phase */
    HOUR_LAST = (1 << 20) - 1,
    WINDOW_COUNT = 3, /* 1, 7 and 30 days */
    WINDOW_BUCKETS = 24,
    RISK_HOURS = 6,
    RISK_BUCKETS = 182,   /* 30 days and HISTORY_DELAY_MAX_US, and what rounding down to whole buckets adds */
    IDLE_HOURS = 76 * 24, /* no late row looks back further: 46 days and the 30 that a row may be late */
    BUSY_IDLE_HOURS = 24, /* a bucket record idle for so long gives way when there is none left */
    RECENT_EVENTS = 8,
    RING_CLASSES = 6,
    RING_UNIT_EVENTS = 4,
    RING_EVENTS_MAX = RING_UNIT_EVENTS << (RING_CLASSES - 1),
    RING_CHUNK_UNITS = 1 << (RING_CLASSES - 1),
};
extern const uint32_t risk_window_buckets[WINDOW_COUNT];

enum side_form { SIDE_EMPTY = 0, SIDE_RING = 1 /* + class */, SIDE_BUSY = 255 };

/* The transfers that an account sent, or received. */
struct side {
    uint32_t at; /* first unit of the ring, or index of the bucket record */
    uint8_t form;
    uint8_t event_count;  /* in the ring */
    uint16_t risky_count; /* events in the ring that are labelled risky */
};

struct account {
    uint64_t hash;
    uint32_t since;  /* first seen or opened; times are seconds since the epoch, 0: never */
    uint32_t active; /* last seen */
    uint32_t changed;
    uint32_t network;         /* last known */
    uint32_t last[2];         /* sent, received */
    uint64_t device, address; /* last used or registered */
    struct side sides[2];
};
enum { SENT, RECEIVED };

struct link { /* payer → payee (first: stood in the address book), account → device, account → address */
    uint32_t id, last;
    uint32_t first, count;
    uint64_t sum;
};

enum { PLACE_BAD_DAYS = 16 };
struct place { /* a device or an address */
    uint64_t hash;
    uint32_t first, last, count;
    uint32_t bad_before;         /* risky transfers on days before the days below */
    uint64_t accounts, networks; /* sketches */
    uint32_t bad_day;            /* newest of the days below */
    uint8_t bad[PLACE_BAD_DAYS]; /* day d at d % 16 */
    uint32_t network;            /* a device was last used from; 0: not known */
};

struct recent { /* one of the newest transfers of a side */
    uint32_t hour;
    float amount;
};

/* Running totals at the end of each bucket: a window's figure is a difference, whatever lies between. What belongs to the
 * newest buckets lies in front, so that most transfers touch nothing else. */
struct busy {
    uint32_t account; /* slot */
    uint32_t is_received;
    uint32_t newest;    /* hour */
    uint32_t next_free; /* index + 1 */
    uint32_t count_before[WINDOW_COUNT], count_all[WINDOW_COUNT];
    uint64_t sum_before[WINDOW_COUNT], sum_all[WINDOW_COUNT];
    uint64_t peers_all[WINDOW_COUNT], peers_newest[WINDOW_COUNT]; /* of the window up to the newest bucket, of that bucket */
    uint64_t max_all, max_newest;                                 /* 30 days */
    struct risk_total {
        uint32_t known, bad;
    } risk_before, risk_all;
    struct recent recent[RECENT_EVENTS];          /* of what was sent: in the order of a ring, hour 0: none */
    uint32_t count[WINDOW_COUNT][WINDOW_BUCKETS]; /* of buckets before the newest */
    uint64_t sum[WINDOW_COUNT][WINDOW_BUCKETS];
    uint64_t peers[WINDOW_COUNT][WINDOW_BUCKETS]; /* of the bucket alone */
    uint64_t max[WINDOW_BUCKETS];                 /* of the bucket alone */
    struct risk_total risk[RISK_BUCKETS];
};

/* A label of an imported transfer that is not known yet at the time history has come to. */
struct waiting {
    uint64_t hash;
    uint32_t due, after;
    uint64_t payer, payee, payer_device, payee_device;
    int64_t time_us, amount;
};
struct due {
    uint64_t hash;
    uint32_t second, slot;
};

struct seen { /* a transfer's id, of one tenant */
    uint64_t hash;
    int64_t last_us; /* now of the newest batch that had it */
};

struct listed {                 /* by linear probing; what has no list left is taken out */
    uint64_t key;               /* of tenant, kind and what is listed; 0: free */
    uint32_t until[LIST_COUNT]; /* second at which it ends; 0: not on that list, UINT32_MAX: for ever */
    uint32_t unused;
};

struct history_head {
    uint32_t clock; /* newest second of an added row */
    uint32_t sweep; /* account slot looked at next for what is long idle */
    uint32_t busy_probe, busy_fresh, busy_free;
    uint32_t ring_fresh, ring_free[RING_CLASSES]; /* unit + 1 */
    uint32_t due_count;
    uint32_t added; /* rows, for the pace of the sweep */
    uint64_t listed_used;
    uint64_t busy_used, ring_units_used, events, dropped;
    struct table_counts accounts, links, places, waiting, seen;
};

struct buckets { /* the ones that an hour lies in, of each window */
    uint32_t of[WINDOW_COUNT];
};

struct side_question { /* what an account's side is asked: see sides.h */
    uint32_t hour;
    uint32_t risk_end; /* the first bucket of 6 hours that is not known yet */
    struct buckets buckets;
    uint32_t first_hours[WINDOW_COUNT], risk_first_hours[WINDOW_COUNT]; /* where windows begin, unless the row is late */
};

enum row_place { PAYER_DEVICE, PAYER_ADDRESS, PAYEE_DEVICE, PAYEE_ADDRESS, ROW_PLACES, PAYER_PLACES = PAYEE_DEVICE };

struct row_keys {                 /* of one row, computed ahead */
    uint32_t second, networks[2]; /* of payer, payee; 0: absent */
    uint32_t last_networks[2];    /* the accounts' last known; 0: none */
    uint64_t network_bits[2];
    struct side_question question;    /* of both accounts */
    uint32_t known_by;                /* second up to which labels of transfers act for it */
    struct lookup accounts[2];        /* payer, payee; hash 0: absent */
    struct lookup pair, back;         /* links */
    uint64_t named[ROW_PLACES];       /* keys as given, 0: absent */
    uint64_t key[ROW_PLACES];         /* named, or last used by the account, 0: neither */
    struct lookup places[ROW_PLACES]; /* of key */
    struct lookup uses[ROW_PLACES];   /* links of the account to them; those of the payee are only read */
};

enum { AT_KEYS = 24, AT_RECORDS = 16, AT_SIDES = 10, AT_REST = 4 }; /* rows ahead */
enum { AHEAD = 32, BLOCK_ROWS = 16 };                               /* a row's keys stay in their place until it has been related */

struct history {
    unsigned magic;
    struct history_limits limits;
    unsigned char *memory; /* as taken; state is its first aligned byte */
    unsigned char *state;
    size_t state_bytes;
    struct history_head *head;
    struct table accounts, links, places, waiting, seen;
    struct listed *listed;
    uint64_t listed_slots; /* a power of two, at least twice listed_max; 0: there are none */
    uint64_t *ring_events;
    uint8_t *ring_free_heads; /* class + 1 at the first unit of a free block */
    uint32_t ring_units;
    struct busy *busies;
    uint32_t busy_max;
    struct due *dues; /* a heap, the next due one on top */
    uint32_t due_max;
    struct row_keys ahead[AHEAD];
    float block[FIGURE_COUNT][BLOCK_ROWS]; /* a row is a lane */
};
enum { HISTORY_MAGIC = 0x1415704e };

static inline uint32_t second_of(int64_t time_us)
{
    const int64_t last = (HOUR_LAST - HOUR_OFFSET) * (int64_t)HOUR_S;
    int64_t second = time_us / 1000000;
    return (uint32_t)(second < 1 ? 1 : second > last ? last : second);
}

static inline uint32_t hour_of(uint32_t second)
{
    return second / HOUR_S + HOUR_OFFSET;
}

static inline uint32_t window_hours(unsigned w) /* of one bucket */
{
    return w == 0 ? 1 : w == 1 ? 7 : 30;
}

static inline struct buckets buckets_of(uint32_t hour)
{
    return (struct buckets){.of = {hour / window_hours(0), hour / window_hours(1), hour / window_hours(2)}};
}

static inline uint32_t popcount64(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (uint32_t)(((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}

static inline struct account *account_at(const struct history *history, uint32_t slot)
{
    return record_at(&history->accounts, slot, sizeof(struct account));
}

static inline uint32_t account_find(const struct history *history, struct lookup *lookup)
{
    return lookup->hash ? table_find(&history->accounts, lookup, sizeof(struct account), true) : SLOT_NONE;
}

/* Found, or made; one that gives way takes its transfers with it. hash is not 0. Slots stay, pointers may be reused by
 * the next make. */
struct account *account_make(struct history *history, struct lookup *lookup, uint32_t second);
void account_seen(struct history *history, const struct lookup *lookup, uint32_t second); /* found or made; moves since and active */
/* Of the next slots those accounts whose sides were idle for so long lose their transfers; not the account in except. */
void history_sweep(struct history *history, uint32_t slot_count, uint32_t idle_hours, uint32_t except);

/* history/links.c */
enum link_kind { LINK_PAIR = 1, LINK_DEVICE, LINK_ADDRESS };
uint64_t link_hash(enum link_kind kind, uint64_t from, uint64_t to);
const struct link *link_find(const struct history *history, struct lookup *lookup); /* NULL: none */
struct link *link_make(struct history *history, struct lookup *lookup, uint32_t second);
void link_use(struct history *history, struct lookup *lookup, uint32_t second);
void link_meet(struct history *history, struct lookup *lookup, uint32_t second); /* known from then on, not used */

/* history/places.c */
enum place_kind { PLACE_DEVICE = 0x51, PLACE_ADDRESS = 0xa3 };
uint64_t place_hash(enum place_kind kind, uint64_t key);
const struct place *place_find(const struct history *history, struct lookup *lookup);
struct place *place_use(struct history *history, struct lookup *lookup, uint64_t account, uint64_t network_bit, uint32_t second,
                        bool is_counted);
void place_network(struct place *place, uint32_t network, uint32_t second); /* of the use just told; 0: not named */
static inline uint64_t network_bit(uint32_t network)                        /* in the sketch of a place */
{
    return network ? 1ull << (hash_mix(network) >> 58) : 0;
}
void place_label(struct history *history, struct lookup *lookup, uint32_t second, int change);
/* Risky transfers on whole days that ended at or before the second; -1: no longer known. */
int64_t place_bad(const struct place *place, uint32_t second);

/* history/waiting.c */
void waiting_add(struct history *history, const struct history_label *label, uint32_t due);
bool waiting_take(struct history *history, const struct history_label *label); /* true: it waited, and no longer does */
void waiting_fire(struct history *history);                                    /* all that are due at head->clock */

void label_apply(struct history *history, const struct history_label *label, uint8_t before);

/* history/seen.c: flags of rows of screen and score whose id came before, and, when add, their ids from then on */
void seen_relate(struct history *history, const struct batch *batch, uint32_t first, uint32_t count, bool add);

/* history/lists.c */
uint64_t lists_slots(uint64_t listed_max);
uint32_t lists_edit(struct history *history, struct batch *batch);
void lists_relate(const struct history *history, const struct batch *batch, uint32_t first, uint32_t count); /* flags of rows */
bool lists_hold(const struct history *history);

/* history/snapshot.c */
enum { SNAPSHOT_ROOM_BYTES = (1 << 18) + (1 << 10) }; /* taken while one is saved or loaded */
struct digest history_state_digest(const struct history *history);
enum fault history_save(const struct history *history, uint64_t sequence, const char *path, struct fault_note *note);
enum fault history_load(struct history *history, uint64_t *sequence, const char *path, struct fault_note *note);

/* history/ahead.c: a row comes nearer, and what is known of it by then is used to fetch what will be needed */
struct walk { /* over rows of one batch */
    struct history *history;
    const struct batch *batch;
    uint32_t first, end;
    int64_t delay_us;
    bool adds, reads;
};
void ahead_begin(const struct walk *walk);
void ahead_keys(const struct walk *walk, uint32_t row); /* its keys; fetches the sets that they belong to */
void ahead_records(const struct walk *walk, uint32_t row);
void ahead_sides(const struct walk *walk, uint32_t row);
void ahead_rest(const struct walk *walk, uint32_t row);
/* Sets key and what follows from it to what the accounts (NULL: not known) used last, where the row names nothing. */
void keys_complete(struct row_keys *keys, const struct account *payer, const struct account *payee);

/* history/relate.c, history/observe.c */
void history_relate(struct history *history, const struct batch *batch, uint32_t first, uint32_t count, int64_t delay_us, bool add,
                    struct figures *out);
void history_observe(struct history *history, const struct batch *batch);

#endif
