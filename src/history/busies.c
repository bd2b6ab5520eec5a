/* Bucket b of a window lies at b % 24. For b in (newest - 24, newest) the entry is the total up to the end of b; count_all
 * is the total up to now, count_before that up to the end of newest - 24. An entry is written when its bucket ends. */
#include "history/sides.h"

#include "base/must.h"

const uint32_t risk_window_buckets[WINDOW_COUNT] = {4, 28, 120};

/* --- the pool ------------------------------------------------------------------------------------------------------- */

static struct side *busy_side(const struct history *history, const struct busy *busy)
{
    return &account_at(history, busy->account)->sides[busy->is_received];
}

/* Of the next eight the one idle for longest, if it is idle at all. */
static struct busy *busy_give_way(struct history *history, uint32_t hour)
{
    struct history_head *head = history->head;
    struct busy *oldest = NULL;
    for (unsigned i = 0; i < 8 && i < history->busy_max; i++) {
        struct busy *busy = &history->busies[head->busy_probe];
        head->busy_probe = (head->busy_probe + 1) % history->busy_max;
        if (busy->newest && (!oldest || busy->newest < oldest->newest))
            oldest = busy;
    }
    if (!oldest || oldest->newest + BUSY_IDLE_HOURS > hour)
        return NULL;
    side_release(history, busy_side(history, oldest));
    head->dropped++;
    return oldest;
}

struct busy *busy_take(struct history *history, uint32_t slot, int which, uint32_t hour)
{
    struct history_head *head = history->head;
    if (!head->busy_free && head->busy_fresh == history->busy_max && !busy_give_way(history, hour))
        return NULL;
    struct busy *busy;
    if (head->busy_free) {
        busy = &history->busies[head->busy_free - 1];
        head->busy_free = busy->next_free;
    } else {
        busy = &history->busies[head->busy_fresh++];
    }
    *busy = (struct busy){.account = slot, .is_received = (uint32_t)which, .newest = hour};
    head->busy_used++;
    return busy;
}

void busy_give(struct history *history, struct busy *busy)
{
    struct history_head *head = history->head;
    MUST(busy->newest && head->busy_used > 0);
    *busy = (struct busy){.next_free = head->busy_free};
    head->busy_free = (uint32_t)(busy - history->busies) + 1;
    head->busy_used--;
}

/* --- time goes on --------------------------------------------------------------------------------------------------- */

static uint64_t peers_between(const uint64_t *peers, uint32_t first, uint32_t end)
{
    uint64_t all = 0;
    for (uint32_t i = first % WINDOW_BUCKETS; first < end; first++, i = i + 1 < WINDOW_BUCKETS ? i + 1 : 0)
        all |= peers[i];
    return all;
}

static uint64_t max_between(const uint64_t *max, uint32_t first, uint32_t end)
{
    uint64_t most = 0;
    for (uint32_t i = first % WINDOW_BUCKETS; first < end; first++, i = i + 1 < WINDOW_BUCKETS ? i + 1 : 0)
        most = max[i] > most ? max[i] : most;
    return most;
}

static void max_advance(struct busy *busy, uint32_t from, uint32_t to)
{
    busy->max[from % WINDOW_BUCKETS] = busy->max_newest;
    busy->max_newest = 0;
    uint32_t first = to + 1 - WINDOW_BUCKETS;
    for (uint32_t b = from + 1 > first ? from + 1 : first; b < to; b++)
        busy->max[b % WINDOW_BUCKETS] = 0;
    busy->max_all = max_between(busy->max, first, to);
}

/* The newest bucket was from and is to: from gets its entry, those between theirs, and what falls out of the window moves
 * into what was before. */
static void window_advance(struct busy *busy, unsigned w, uint32_t from, uint32_t to)
{
    uint32_t first = to + 1 - WINDOW_BUCKETS, oldest = to % WINDOW_BUCKETS;
    busy->count[w][from % WINDOW_BUCKETS] = busy->count_all[w];
    busy->sum[w][from % WINDOW_BUCKETS] = busy->sum_all[w];
    busy->peers[w][from % WINDOW_BUCKETS] = busy->peers_newest[w];
    busy->peers_newest[w] = 0;
    busy->count_before[w] = from < first ? busy->count_all[w] : busy->count[w][oldest];
    busy->sum_before[w] = from < first ? busy->sum_all[w] : busy->sum[w][oldest];
    for (uint32_t b = from + 1 > first ? from + 1 : first; b < to; b++) {
        busy->count[w][b % WINDOW_BUCKETS] = busy->count_all[w];
        busy->sum[w][b % WINDOW_BUCKETS] = busy->sum_all[w];
        busy->peers[w][b % WINDOW_BUCKETS] = 0;
    }
    busy->peers_all[w] = peers_between(busy->peers[w], first, to);
    if (w == WINDOW_COUNT - 1)
        max_advance(busy, from, to);
}

static void risk_advance(struct busy *busy, uint32_t from, uint32_t to)
{
    uint32_t first = to + 1 - RISK_BUCKETS;
    busy->risk[from % RISK_BUCKETS] = busy->risk_all;
    busy->risk_before = from < first ? busy->risk_all : busy->risk[to % RISK_BUCKETS];
    for (uint32_t b = from + 1 > first ? from + 1 : first; b < to; b++)
        busy->risk[b % RISK_BUCKETS] = busy->risk_all;
}

static void busy_advance(struct busy *busy, uint32_t hour)
{
    const struct buckets from = buckets_of(busy->newest), to = buckets_of(hour);
    for (unsigned w = 0; w < WINDOW_COUNT; w++)
        if (to.of[w] > from.of[w])
            window_advance(busy, w, from.of[w], to.of[w]);
    if (hour / RISK_HOURS > busy->newest / RISK_HOURS)
        risk_advance(busy, busy->newest / RISK_HOURS, hour / RISK_HOURS);
    busy->newest = hour;
}

/* --- events and labels ---------------------------------------------------------------------------------------------- */

static void window_add(struct busy *busy, unsigned w, const struct event *event, uint32_t bucket, uint32_t newest)
{
    if (bucket + WINDOW_BUCKETS <= newest)
        return;
    for (uint32_t b = bucket; b < newest; b++) {
        busy->count[w][b % WINDOW_BUCKETS]++;
        busy->sum[w][b % WINDOW_BUCKETS] += event->amount;
    }
    busy->count_all[w]++;
    busy->sum_all[w] += event->amount;
    busy->peers_all[w] |= 1ull << event->peer;
    *(bucket == newest ? &busy->peers_newest[w] : &busy->peers[w][bucket % WINDOW_BUCKETS]) |= 1ull << event->peer;
    if (w < WINDOW_COUNT - 1)
        return;
    uint64_t *max = bucket == newest ? &busy->max_newest : &busy->max[bucket % WINDOW_BUCKETS];
    *max = event->amount > *max ? event->amount : *max;
    busy->max_all = event->amount > busy->max_all ? event->amount : busy->max_all;
}

/* Adds to the totals at the end of the bucket and of every later one. */
static void risk_change(struct busy *busy, uint32_t bucket, uint32_t known, uint32_t bad)
{
    for (uint32_t b = bucket; b < busy->newest / RISK_HOURS; b++) {
        busy->risk[b % RISK_BUCKETS].known += known;
        busy->risk[b % RISK_BUCKETS].bad += bad;
    }
    busy->risk_all.known += known;
    busy->risk_all.bad += bad;
}

/* As in a ring: behind those of its hour; the oldest goes, or itself where it is older. */
static void recent_add(struct recent *recent, const struct event *event)
{
    unsigned i = 0;
    if (event->hour < recent[0].hour)
        return;
    for (; i + 1 < RECENT_EVENTS && recent[i + 1].hour <= event->hour; i++)
        recent[i] = recent[i + 1];
    recent[i] = (struct recent){.hour = event->hour, .amount = (float)event->amount};
}

void busy_add(struct busy *busy, const struct event *event)
{
    if (!busy->is_received)
        recent_add(busy->recent, event);
    if (event->hour > busy->newest)
        busy_advance(busy, event->hour);
    const struct buckets buckets = buckets_of(event->hour), newests = buckets_of(busy->newest);
    for (unsigned w = 0; w < WINDOW_COUNT; w++)
        window_add(busy, w, event, buckets.of[w], newests.of[w]);
    risk_change(busy, event->hour / RISK_HOURS, 1, event->label == 2);
}

/* Total up to the end of bucket; newest: that of busy->newest. */
static inline struct risk_total risk_until(const struct busy *busy, uint32_t bucket, uint32_t newest)
{
    return bucket >= newest ? busy->risk_all : bucket + RISK_BUCKETS <= newest ? busy->risk_before : busy->risk[bucket % RISK_BUCKETS];
}

void busy_label(struct busy *busy, const struct event *event, uint8_t before)
{
    uint32_t bucket = event->hour / RISK_HOURS, newest = busy->newest / RISK_HOURS;
    if (bucket > newest || bucket + RISK_BUCKETS <= newest)
        return;
    struct risk_total start = risk_until(busy, bucket - 1, newest), end = risk_until(busy, bucket, newest);
    uint32_t bad = end.bad - start.bad, known = end.known - start.known;
    if (event->label == 2 && bad < known)
        risk_change(busy, bucket, 0, 1);
    else if (before == 2 && bad > 0)
        risk_change(busy, bucket, 0, UINT32_MAX);
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

/* A window that does not end with the newest bucket: later, or of a late row; what is newer than newest is empty. */
static void window_read_apart(struct side_answer *out, const struct busy *busy, unsigned w, uint32_t bucket, uint32_t newest,
                              unsigned peers_left_out)
{
    uint32_t first = (bucket > newest ? bucket : newest) + 1 - WINDOW_BUCKETS;
    bool has_newest = bucket > newest, from_start = first + WINDOW_BUCKETS == newest + 1;
    uint32_t end = has_newest ? newest : bucket + 1; /* of those with an entry */
    if (first > newest || bucket < first)
        return;
    uint32_t i = (first - 1) % WINDOW_BUCKETS, j = (end - 1) % WINDOW_BUCKETS;
    out->count[w] = (has_newest ? busy->count_all[w] : busy->count[w][j]) - (from_start ? busy->count_before[w] : busy->count[w][i]);
    out->sum[w] = (has_newest ? busy->sum_all[w] : busy->sum[w][j]) - (from_start ? busy->sum_before[w] : busy->sum[w][i]);
    if (w != peers_left_out)
        out->peers[w] = peers_between(busy->peers[w], first, end) | (has_newest ? busy->peers_newest[w] : 0);
    if (w < WINDOW_COUNT - 1)
        return;
    out->max = max_between(busy->max, first, end);
    if (has_newest && busy->max_newest > out->max)
        out->max = busy->max_newest;
}

static void window_read(struct side_answer *out, const struct busy *busy, unsigned w, uint32_t bucket, uint32_t newest,
                        unsigned peers_left_out)
{
    if (bucket != newest) {
        window_read_apart(out, busy, w, bucket, newest, peers_left_out);
        return;
    }
    out->count[w] = busy->count_all[w] - busy->count_before[w];
    out->sum[w] = busy->sum_all[w] - busy->sum_before[w];
    out->peers[w] = busy->peers_all[w];
    if (w == WINDOW_COUNT - 1)
        out->max = busy->max_all;
}

static uint32_t bad_hour_find(const struct busy *busy, uint32_t last) /* there is one, up to bucket last */
{
    const uint32_t newest = busy->newest / RISK_HOURS, total = risk_until(busy, last, newest).bad;
    while (risk_until(busy, last - 1, newest).bad == total)
        last--;
    return (last + 1) * RISK_HOURS;
}

/* The newest buckets first, until nothing that is asked for can be left; the window's totals are in out. */
static void run_read(struct side_answer *out, const struct busy *busy, uint32_t end, uint32_t newest)
{
    unsigned bad_left = out->bad[WINDOW_COUNT - 1], known_left = out->known[WINDOW_COUNT - 1];
    struct risk_total total = risk_until(busy, end - 1, newest);
    bool is_run = true;
    for (uint32_t bucket = end - 1; known_left && (bad_left || !out->good_hour); bucket--) {
        const struct risk_total start = risk_until(busy, bucket - 1, newest);
        unsigned bad = total.bad - start.bad, known = total.known - start.known;
        total = start;
        known_left -= known;
        bad_left -= bad;
        is_run = is_run && bad == known;
        out->bad_run += is_run ? bad : 0;
        if (bad)
            out->bad_since_hour = (bucket + 1) * RISK_HOURS;
        if (bad < known && !out->good_hour)
            out->good_hour = (bucket + 1) * RISK_HOURS;
    }
}

static void risk_read(struct side_answer *out, const struct busy *busy, uint32_t end)
{
    const uint32_t newest = busy->newest / RISK_HOURS;
    const struct risk_total total = risk_until(busy, end - 1, newest);
    for (unsigned w = 0; w < WINDOW_COUNT; w++) {
        struct risk_total start = risk_until(busy, end - 1 - risk_window_buckets[w], newest);
        out->known[w] = total.known - start.known;
        out->bad[w] = total.bad - start.bad;
    }
    if (out->bad[WINDOW_COUNT - 1])
        out->bad_hour = bad_hour_find(busy, end - 1);
    run_read(out, busy, end, newest);
}

void busy_read(struct side_answer *out, const struct busy *busy, const struct side_question *question, enum side_depth depth)
{
    unsigned window_count = (unsigned)depth, peers_left_out = depth == SIDE_WHOLE ? 1 : 0;
    const struct buckets newests = buckets_of(busy->newest);
    for (unsigned w = 0; w < window_count; w++)
        window_read(out, busy, w, question->buckets.of[w], newests.of[w], peers_left_out);
    if (depth == SIDE_WHOLE)
        risk_read(out, busy, question->risk_end);
}

/* --- ahead of use --------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void span_fetch(const void *from, size_t bytes) /* see record_fetch */
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)from + i);
}

void busy_fetch(const struct busy *busy)
{
    span_fetch(busy, offsetof(struct busy, count));
}

void busy_fetch_rest(const struct busy *busy, const struct side_question *question)
{
    const struct buckets newests = buckets_of(busy->newest);
    for (unsigned w = 0; w < WINDOW_COUNT; w++) {
        uint32_t bucket = question->buckets.of[w], before = (bucket - WINDOW_BUCKETS) % WINDOW_BUCKETS;
        if (bucket == newests.of[w])
            continue;
        __builtin_prefetch(&busy->count[w][before]);
        __builtin_prefetch(&busy->sum[w][before]);
        if (w != 1)
            span_fetch(busy->peers[w], sizeof busy->peers[w]);
    }
    __builtin_prefetch(&busy->risk[(question->risk_end - 1) % RISK_BUCKETS]);
    for (unsigned w = 0; w < WINDOW_COUNT; w++)
        __builtin_prefetch(&busy->risk[(question->risk_end - 1 - risk_window_buckets[w]) % RISK_BUCKETS]);
}
