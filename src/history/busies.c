/* Bucket b of a window lies at b % 24. For b in (newest - 24, newest] the entry is the total up to the end of b, and
 * count_before is the total up to the end of newest - 24; entries of time to come are overwritten when time comes. */
#include "history/sides.h"

#include "base/must.h"

const uint32_t window_hours[WINDOW_COUNT] = {1, 7, 30};
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

static void window_advance(struct busy *busy, unsigned w, uint32_t bucket, uint32_t jump)
{
    uint32_t steps = jump < WINDOW_BUCKETS ? jump : WINDOW_BUCKETS;
    for (uint32_t b = bucket - steps + 1; b <= bucket; b++) {
        uint32_t i = b % WINDOW_BUCKETS;
        busy->count_before[w] = busy->count[w][i];
        busy->sum_before[w] = busy->sum[w][i];
        busy->count[w][i] = busy->count_all[w];
        busy->sum[w][i] = busy->sum_all[w];
        busy->peers[w][i] = 0;
        if (w == WINDOW_COUNT - 1)
            busy->max[i] = 0;
    }
    if (jump >= WINDOW_BUCKETS) {
        busy->count_before[w] = busy->count_all[w];
        busy->sum_before[w] = busy->sum_all[w];
    }
    uint64_t peers = 0;
    for (unsigned i = 0; i < WINDOW_BUCKETS; i++)
        peers |= busy->peers[w][i];
    busy->peers_all[w] = peers;
}

static void max_advance(struct busy *busy)
{
    uint64_t max = 0;
    for (unsigned i = 0; i < WINDOW_BUCKETS; i++)
        max = busy->max[i] > max ? busy->max[i] : max;
    busy->max_all = max;
}

static void risk_advance(struct busy *busy, uint32_t bucket, uint32_t jump)
{
    struct risk_total all = busy->risk[(bucket - jump) % RISK_BUCKETS];
    uint32_t steps = jump < RISK_BUCKETS ? jump : RISK_BUCKETS;
    for (uint32_t b = bucket - steps + 1; b <= bucket; b++) {
        struct risk_total *total = &busy->risk[b % RISK_BUCKETS];
        busy->known_before = total->known;
        busy->bad_before = total->bad;
        *total = all;
    }
    if (jump >= RISK_BUCKETS) {
        busy->known_before = all.known;
        busy->bad_before = all.bad;
    }
}

static void busy_advance(struct busy *busy, uint32_t hour)
{
    for (unsigned w = 0; w < WINDOW_COUNT; w++) {
        uint32_t from = busy->newest / window_hours[w], to = hour / window_hours[w];
        if (to > from)
            window_advance(busy, w, to, to - from);
    }
    if (hour / window_hours[WINDOW_COUNT - 1] > busy->newest / window_hours[WINDOW_COUNT - 1])
        max_advance(busy);
    if (hour / RISK_HOURS > busy->newest / RISK_HOURS)
        risk_advance(busy, hour / RISK_HOURS, hour / RISK_HOURS - busy->newest / RISK_HOURS);
    busy->newest = hour;
}

/* --- events and labels ---------------------------------------------------------------------------------------------- */

static void window_add(struct busy *busy, unsigned w, const struct event *event)
{
    uint32_t bucket = event->hour / window_hours[w], newest = busy->newest / window_hours[w];
    if (bucket + WINDOW_BUCKETS <= newest)
        return;
    for (uint32_t b = bucket; b <= newest; b++) {
        busy->count[w][b % WINDOW_BUCKETS]++;
        busy->sum[w][b % WINDOW_BUCKETS] += event->amount;
    }
    busy->count_all[w]++;
    busy->sum_all[w] += event->amount;
    busy->peers[w][bucket % WINDOW_BUCKETS] |= 1ull << event->peer;
    busy->peers_all[w] |= 1ull << event->peer;
    if (w < WINDOW_COUNT - 1)
        return;
    uint64_t *max = &busy->max[bucket % WINDOW_BUCKETS];
    *max = event->amount > *max ? event->amount : *max;
    busy->max_all = event->amount > busy->max_all ? event->amount : busy->max_all;
}

void busy_add(struct busy *busy, const struct event *event)
{
    if (event->hour > busy->newest)
        busy_advance(busy, event->hour);
    for (unsigned w = 0; w < WINDOW_COUNT; w++)
        window_add(busy, w, event);
    uint32_t bucket = event->hour / RISK_HOURS, newest = busy->newest / RISK_HOURS;
    if (bucket + RISK_BUCKETS <= newest)
        return;
    for (uint32_t b = bucket; b <= newest; b++) {
        busy->risk[b % RISK_BUCKETS].known++;
        busy->risk[b % RISK_BUCKETS].bad += event->label == 2;
    }
}

static struct risk_total risk_before(const struct busy *busy, uint32_t bucket) /* total up to the end of bucket - 1 */
{
    uint32_t newest = busy->newest / RISK_HOURS;
    if (bucket + RISK_BUCKETS <= newest + 1)
        return (struct risk_total){.known = busy->known_before, .bad = busy->bad_before};
    return busy->risk[(bucket - 1) % RISK_BUCKETS];
}

void busy_label(struct busy *busy, const struct event *event, uint8_t before)
{
    uint32_t bucket = event->hour / RISK_HOURS, newest = busy->newest / RISK_HOURS;
    if (bucket > newest || bucket + RISK_BUCKETS <= newest)
        return;
    struct risk_total start = risk_before(busy, bucket), end = busy->risk[bucket % RISK_BUCKETS];
    uint32_t bad = end.bad - start.bad, known = end.known - start.known, change = 0;
    if (event->label == 2 && bad < known)
        change = 1;
    else if (before == 2 && bad > 0)
        change = UINT32_MAX;
    for (uint32_t b = bucket; change && b <= newest; b++)
        busy->risk[b % RISK_BUCKETS].bad += change;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

/* First and last bucket that a window at bucket still has, of those up to newest; last < first: none. */
static inline void window_bounds(uint32_t *first, uint32_t *last, uint32_t bucket, uint32_t newest)
{
    *first = (bucket > newest ? bucket : newest) - (WINDOW_BUCKETS - 1);
    *last = bucket < newest ? bucket : newest;
}

static uint64_t peers_between(const uint64_t *peers, uint32_t first, uint32_t last)
{
    uint64_t all = 0;
    for (uint32_t i = first % WINDOW_BUCKETS, left = last + 1 - first; left > 0; left--, i = i + 1 < WINDOW_BUCKETS ? i + 1 : 0)
        all |= peers[i];
    return all;
}

static uint64_t max_between(const uint64_t *max, uint32_t first, uint32_t last)
{
    uint64_t most = 0;
    for (uint32_t i = first % WINDOW_BUCKETS, left = last + 1 - first; left > 0; left--, i = i + 1 < WINDOW_BUCKETS ? i + 1 : 0)
        most = max[i] > most ? max[i] : most;
    return most;
}

static void window_read_apart(struct side_answer *out, const struct busy *busy, unsigned w, uint32_t bucket, unsigned peers_left_out)
{
    uint32_t newest = busy->newest / window_hours[w], first, last;
    window_bounds(&first, &last, bucket, newest);
    if (last < first)
        return;
    bool from_start = first + WINDOW_BUCKETS == newest + 1;
    uint32_t i = (first - 1) % WINDOW_BUCKETS, j = last % WINDOW_BUCKETS;
    out->count[w] = busy->count[w][j] - (from_start ? busy->count_before[w] : busy->count[w][i]);
    out->sum[w] = busy->sum[w][j] - (from_start ? busy->sum_before[w] : busy->sum[w][i]);
    if (w != peers_left_out)
        out->peers[w] = popcount64(peers_between(busy->peers[w], first, last));
    if (w == WINDOW_COUNT - 1)
        out->max = max_between(busy->max, first, last);
}

static void window_read(struct side_answer *out, const struct busy *busy, unsigned w, uint32_t hour, unsigned peers_left_out)
{
    uint32_t bucket = hour / window_hours[w];
    if (bucket != busy->newest / window_hours[w]) {
        window_read_apart(out, busy, w, bucket, peers_left_out);
        return;
    }
    out->count[w] = busy->count_all[w] - busy->count_before[w];
    out->sum[w] = busy->sum_all[w] - busy->sum_before[w];
    out->peers[w] = popcount64(busy->peers_all[w]);
    if (w == WINDOW_COUNT - 1)
        out->max = busy->max_all;
}

static uint32_t bad_hour_find(const struct busy *busy, uint32_t last) /* there is one, up to bucket last */
{
    uint32_t total = busy->risk[last % RISK_BUCKETS].bad;
    while (risk_before(busy, last).bad == total)
        last--;
    return (last + 1) * RISK_HOURS;
}

static void risk_read(struct side_answer *out, const struct busy *busy, uint32_t end)
{
    uint32_t newest = busy->newest / RISK_HOURS, oldest = newest + 1 - RISK_BUCKETS;
    uint32_t last = end - 1 < newest ? end - 1 : newest;
    if (last < oldest)
        return;
    struct risk_total total = busy->risk[last % RISK_BUCKETS];
    for (unsigned w = 0; w < WINDOW_COUNT; w++) {
        uint32_t first = end - risk_window_buckets[w];
        if (first > last)
            continue;
        struct risk_total before = risk_before(busy, first);
        out->known[w] = total.known - before.known;
        out->bad[w] = total.bad - before.bad;
    }
    if (out->bad[WINDOW_COUNT - 1])
        out->bad_hour = bad_hour_find(busy, last);
}

void busy_read(struct side_answer *out, const struct busy *busy, const struct side_question *question, enum side_depth depth)
{
    unsigned window_count = depth == SIDE_BRIEF ? WINDOW_COUNT - 1 : WINDOW_COUNT, peers_left_out = depth == SIDE_BRIEF ? 0 : 1;
    for (unsigned w = 0; w < window_count; w++)
        window_read(out, busy, w, question->hour, peers_left_out);
    if (depth == SIDE_WHOLE)
        risk_read(out, busy, question->risk_end);
}

/* --- ahead of use --------------------------------------------------------------------------------------------------- */

void busy_fetch(const struct busy *busy)
{
    __builtin_prefetch(busy);
    __builtin_prefetch((const char *)busy + 64);
}

static void span_fetch(const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)from + i);
}

void busy_fetch_rest(const struct busy *busy, const struct side_question *question)
{
    for (unsigned w = 0; w < WINDOW_COUNT; w++) {
        uint32_t bucket = question->hour / window_hours[w], before = (bucket - WINDOW_BUCKETS) % WINDOW_BUCKETS;
        if (bucket == busy->newest / window_hours[w])
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
