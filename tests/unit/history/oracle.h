#ifndef SLUICE_TESTS_UNIT_HISTORY_ORACLE_H
#define SLUICE_TESTS_UNIT_HISTORY_ORACLE_H

#include "history/state.h"
#include "unit/history/world.h"

/* Every figure by its definition, from a list of all that was told, without any table, ring, bucket or total. */

struct told {
    uint64_t payer, payee, payer_device, payee_device, payer_address, payee_address;
    uint32_t payer_network, payee_network, second;
    uint64_t amount;
    int64_t time_us, exact_amount;
    uint8_t label, waiting; /* waiting: the label that acts from due on */
    uint32_t due;
};

struct noted { /* an observation */
    enum observe_kind kind;
    uint64_t account, contact, device, address;
    uint32_t network, second, opened, changed;
    uint32_t after_rows; /* how many rows had been told before it */
};

struct oracle {
    uint32_t count, noted_count, clock;
    struct told told[STREAM_MAX];
    struct noted noted[STREAM_MAX];
    uint32_t bad_day[64]; /* newest day of a transfer labelled risky, of each device */
};

enum { ORACLE_SENT, ORACLE_RECEIVED };

static inline uint64_t oracle_kept(int64_t amount) /* the leading 31 bits */
{
    uint64_t x = amount < 0 ? 0 : (uint64_t)amount, mask = ~0ull;
    if (x > 1000000000000000u)
        x = 1000000000000000u;
    while ((x & mask) >> 31 && (x >> 31) >= (~mask + 1))
        mask <<= 1;
    return x & mask;
}

static inline uint32_t floor_seconds(int64_t time_us)
{
    return (uint32_t)(time_us / 1000000);
}

struct side_sum {
    uint32_t count[3], peers[3], known[3], bad[3];
    uint64_t sum[3], max;
    uint32_t last, bad_end, bad_first_end, good_end, bad_run;
    float median, recent_max;
};

static inline bool is_of(const struct told *t, uint64_t account, int side)
{
    return (side == ORACLE_SENT ? t->payer : t->payee) == account;
}

/* Whether nothing but risky transfers is known of the account from the bucket of 6 hours on, up to end. */
static inline bool is_run(const struct oracle *oracle, uint64_t account, int side, int64_t from, int64_t end)
{
    for (uint32_t i = 0; i < oracle->count; i++) {
        const struct told *t = &oracle->told[i];
        int64_t bucket = t->second / 21600;
        if (is_of(t, account, side) && bucket >= from && bucket < end && t->label != 2)
            return false;
    }
    return true;
}

/* Amounts of the newest 8 sent: by the hour, of the same hour those told last. */
static inline void oracle_recent(struct side_sum *out, const struct oracle *oracle, uint64_t account, uint32_t second)
{
    float month[8];
    uint32_t months = 0;
    out->median = out->recent_max = -1.0f;
    for (uint32_t i = 0; i < oracle->count; i++) {
        const struct told *t = &oracle->told[i];
        uint32_t newer = 0;
        if (t->payer != account)
            continue;
        for (uint32_t k = 0; k < oracle->count; k++) {
            const struct told *o = &oracle->told[k];
            uint32_t hour = t->second / 3600, other = o->second / 3600;
            newer += o->payer == account && (other > hour || (other == hour && k > i));
        }
        int64_t week = 7 * 3600, day30 = 30 * 3600, now = second, last = out->last > second ? out->last : second;
        if (newer < 8 && t->second / week <= now / week && t->second / week > last / week - 24 && (float)t->amount > out->recent_max)
            out->recent_max = (float)t->amount;
        if (newer < 8 && t->second / day30 <= now / day30 && t->second / day30 > last / day30 - 24)
            month[months++] = (float)t->amount;
    }
    for (uint32_t i = 0; i < months; i++) {
        uint32_t before = 0;
        for (uint32_t k = 0; k < months; k++)
            before += month[k] < month[i] || (k < i && month[k] == month[i]);
        if (before == (months - 1) / 2)
            out->median = month[i];
    }
}

static inline struct side_sum oracle_side(const struct oracle *oracle, uint64_t account, int side, uint32_t second, uint32_t known_by)
{
    static const int64_t hours[3] = {1, 7, 30}, days[3] = {1, 7, 30};
    struct side_sum out = {0};
    uint64_t peers[3] = {0};
    for (uint32_t i = 0; i < oracle->count; i++)
        if (is_of(&oracle->told[i], account, side) && oracle->told[i].second > out.last)
            out.last = oracle->told[i].second;
    for (uint32_t i = 0; i < oracle->count; i++) {
        const struct told *t = &oracle->told[i];
        if (!is_of(t, account, side))
            continue;
        uint64_t peer = hash_mix(side == ORACLE_SENT ? t->payee : t->payer) >> 58;
        for (unsigned w = 0; w < 3; w++) {
            int64_t width = hours[w] * 3600, bucket = t->second / width, now = second / width, newest = out.last / width;
            if (bucket <= now && bucket > (now > newest ? now : newest) - 24) {
                out.count[w]++;
                out.sum[w] += t->amount;
                peers[w] |= 1ull << peer;
                if (w == 2 && t->amount > out.max)
                    out.max = t->amount;
            }
            int64_t end = known_by / 21600, risk_bucket = t->second / 21600;
            if (risk_bucket < end && risk_bucket >= end - 4 * days[w] && risk_bucket > (int64_t)(out.last / 21600) - RISK_BUCKETS) {
                out.known[w]++;
                out.bad[w] += t->label == 2;
                if (w == 2 && t->label == 2 && (risk_bucket + 1) * 21600 > out.bad_end)
                    out.bad_end = (uint32_t)((risk_bucket + 1) * 21600);
                if (w < 2)
                    continue;
                uint32_t bucket_end = (uint32_t)((risk_bucket + 1) * 21600);
                if (t->label == 2 && (!out.bad_first_end || bucket_end < out.bad_first_end))
                    out.bad_first_end = bucket_end;
                if (t->label != 2 && bucket_end > out.good_end)
                    out.good_end = bucket_end;
                out.bad_run += t->label == 2 && is_run(oracle, account, side, risk_bucket, end);
            }
        }
    }
    for (unsigned w = 0; w < 3; w++)
        out.peers[w] = (uint32_t)__builtin_popcountll(peers[w]);
    if (side == ORACLE_SENT)
        oracle_recent(&out, oracle, account, second);
    return out;
}

static inline float oracle_gap(uint32_t now, uint32_t then)
{
    return then == 0 ? -1.0f : now > then ? (float)(now - then) : 0.0f;
}

static inline void least(uint32_t *out, uint32_t second)
{
    if (*out == 0 || second < *out)
        *out = second;
}

struct account_facts {
    uint32_t since, changed, network;
    uint64_t device, address;
};

/* What an account is known by, in the order of telling. */
static inline void account_tell(struct account_facts *out, uint32_t *newest, uint32_t second, uint64_t device, uint64_t address,
                                uint32_t network)
{
    least(&out->since, second);
    if (second < *newest)
        return;
    *newest = second;
    out->device = device ? device : out->device;
    out->address = address ? address : out->address;
    out->network = network ? network : out->network;
}

static inline void account_note(struct account_facts *out, uint32_t *newest, const struct noted *n)
{
    bool is_use = n->kind == OBSERVE_USE, is_device = is_use || n->kind == OBSERVE_REGISTRATION;
    account_tell(out, newest, n->second, is_device ? n->device : 0, is_use ? n->address : 0, is_use ? n->network : 0);
    if (n->kind != OBSERVE_ATTRIBUTE)
        return;
    if (n->opened)
        least(&out->since, n->opened);
    uint32_t changed = n->changed < n->second ? n->changed : n->second;
    out->changed = changed > out->changed ? changed : out->changed;
}

static inline struct account_facts oracle_account(const struct oracle *oracle, uint64_t account)
{
    struct account_facts out = {0};
    uint32_t newest = 0, noted = 0;
    for (uint32_t i = 0; i <= oracle->count; i++) {
        for (; noted < oracle->noted_count && oracle->noted[noted].after_rows <= i; noted++)
            if (oracle->noted[noted].account == account)
                account_note(&out, &newest, &oracle->noted[noted]);
        const struct told *t = &oracle->told[i];
        if (i < oracle->count && t->payer == account)
            account_tell(&out, &newest, t->second, t->payer_device, t->payer_address, t->payer_network);
        if (i < oracle->count && t->payee == account)
            account_tell(&out, &newest, t->second, t->payee_device, t->payee_address, t->payee_network);
    }
    return out;
}

struct tie {
    uint32_t first, last, count;
    uint64_t sum;
};

static inline struct tie oracle_pair(const struct oracle *oracle, uint64_t payer, uint64_t payee)
{
    struct tie out = {0};
    for (uint32_t i = 0; i < oracle->count; i++) {
        const struct told *t = &oracle->told[i];
        if (t->payer != payer || t->payee != payee)
            continue;
        out.count++;
        out.sum += t->amount;
        out.last = t->second > out.last ? t->second : out.last;
    }
    for (uint32_t i = 0; i < oracle->noted_count; i++)
        if (oracle->noted[i].kind == OBSERVE_CONTACT && oracle->noted[i].account == payer && oracle->noted[i].contact == payee)
            least(&out.first, oracle->noted[i].second);
    return out;
}

static inline struct tie oracle_use(const struct oracle *oracle, uint64_t account, uint64_t key, bool is_device)
{
    struct tie out = {0};
    for (uint32_t i = 0; i < oracle->count; i++) {
        const struct told *t = &oracle->told[i];
        if (t->payer != account || (is_device ? t->payer_device : t->payer_address) != key)
            continue;
        out.count++;
        least(&out.first, t->second);
    }
    for (uint32_t i = 0; i < oracle->noted_count; i++) {
        const struct noted *n = &oracle->noted[i];
        bool is_use = n->kind == OBSERVE_USE, counts = is_device ? is_use || n->kind == OBSERVE_REGISTRATION : is_use;
        if (n->account != account || !counts || (is_device ? n->device : n->address) != key)
            continue;
        out.count += is_use;
        least(&out.first, n->second);
    }
    return out;
}

struct place_sum {
    bool is_known;
    uint32_t first, last, count;
    uint64_t accounts, networks;
    int64_t bad;
};

static inline void place_tell(struct place_sum *out, uint64_t account, uint32_t network, uint32_t second, bool is_counted)
{
    out->is_known = true;
    least(&out->first, second);
    out->last = second > out->last ? second : out->last;
    out->count += is_counted;
    out->accounts |= 1ull << (hash_mix(account) >> 58);
    if (network)
        out->networks |= 1ull << (hash_mix(network) >> 58);
}

static inline struct place_sum oracle_place(const struct oracle *oracle, uint64_t key, bool is_device, uint32_t known_by)
{
    struct place_sum out = {0};
    for (uint32_t i = 0; i < oracle->count; i++) {
        const struct told *t = &oracle->told[i];
        bool is_payer = (is_device ? t->payer_device : t->payer_address) == key;
        bool is_payee = (is_device ? t->payee_device : t->payee_address) == key;
        if (is_payer)
            place_tell(&out, t->payer, t->payer_network, t->second, true);
        if (is_payee)
            place_tell(&out, t->payee, t->payee_network, t->second, true);
        if (t->label == 2 && t->second / 86400 < known_by / 86400)
            out.bad += is_payer + is_payee;
    }
    for (uint32_t i = 0; i < oracle->noted_count; i++) {
        const struct noted *n = &oracle->noted[i];
        bool is_use = n->kind == OBSERVE_USE;
        if (is_device && n->device == key && (is_use || n->kind == OBSERVE_REGISTRATION))
            place_tell(&out, n->account, n->network, n->second, is_use);
        if (!is_device && n->address == key && is_use)
            place_tell(&out, n->account, n->network, n->second, true);
    }
    if (is_device && oracle->bad_day[key] && known_by / 86400 + 15 < oracle->bad_day[key])
        out.bad = -1;
    return out;
}

static inline void device_tell(uint32_t *network, uint32_t *newest, uint32_t named, uint32_t second, bool is_use)
{
    if (is_use && named && second >= *newest)
        *network = named;
    *newest = second > *newest ? second : *newest;
}

/* From which a device was used last, in the order of telling; 0: not known. */
static inline uint32_t oracle_network(const struct oracle *oracle, uint64_t device)
{
    uint32_t network = 0, newest = 0, noted = 0;
    for (uint32_t i = 0; device && i <= oracle->count; i++) {
        for (; noted < oracle->noted_count && oracle->noted[noted].after_rows <= i; noted++) {
            const struct noted *n = &oracle->noted[noted];
            if (n->device == device && (n->kind == OBSERVE_USE || n->kind == OBSERVE_REGISTRATION))
                device_tell(&network, &newest, n->network, n->second, n->kind == OBSERVE_USE);
        }
        const struct told *t = &oracle->told[i];
        if (i < oracle->count && t->payer_device == device)
            device_tell(&network, &newest, t->payer_network, t->second, true);
        if (i < oracle->count && t->payee_device == device)
            device_tell(&network, &newest, t->payee_network, t->second, true);
    }
    return network;
}

/* --- all figures of a row ------------------------------------------------------------------------------------------- */

static inline void oracle_accounts(float *row, const struct oracle *oracle, const struct told *t, uint32_t known_by)
{
    struct side_sum out = oracle_side(oracle, t->payer, ORACLE_SENT, t->second, known_by);
    struct side_sum in = oracle_side(oracle, t->payer, ORACLE_RECEIVED, t->second, known_by);
    struct account_facts account = oracle_account(oracle, t->payer);
    const float payer[] = {oracle_gap(t->second, account.since),
                           oracle_gap(t->second, account.changed),
                           oracle_gap(t->second, out.last),
                           oracle_gap(t->second, in.last),
                           (float)out.count[0],
                           (float)out.count[1],
                           (float)out.count[2],
                           (float)out.sum[0],
                           (float)out.sum[1],
                           (float)out.sum[2],
                           (float)out.peers[0],
                           (float)out.peers[2],
                           (float)in.sum[0],
                           (float)in.peers[1],
                           out.count[2] ? (float)out.max : -1.0f,
                           (float)out.bad[0],
                           (float)out.bad[1],
                           (float)out.bad[2],
                           (float)out.known[0],
                           (float)out.known[1],
                           (float)out.known[2],
                           oracle_gap(t->second, out.bad_end),
                           oracle_gap(t->second, out.good_end),
                           oracle_gap(t->second, out.bad_first_end),
                           (float)out.bad_run,
                           out.median,
                           out.recent_max};
    memcpy(row + FIGURE_payer_age, payer, sizeof payer);
    in = oracle_side(oracle, t->payee, ORACLE_RECEIVED, t->second, known_by);
    out = oracle_side(oracle, t->payee, ORACLE_SENT, t->second, known_by);
    account = oracle_account(oracle, t->payee);
    const float payee[] = {oracle_gap(t->second, account.since),
                           oracle_gap(t->second, account.changed),
                           oracle_gap(t->second, out.last),
                           (float)in.count[0],
                           (float)in.count[1],
                           (float)in.count[2],
                           (float)in.sum[1],
                           (float)in.sum[2],
                           (float)in.peers[0],
                           (float)in.peers[2],
                           in.count[2] ? (float)in.max : -1.0f,
                           (float)out.sum[0],
                           (float)in.bad[0],
                           (float)in.bad[1],
                           (float)in.bad[2],
                           (float)in.known[0],
                           (float)in.known[1],
                           (float)in.known[2],
                           oracle_gap(t->second, in.bad_end),
                           oracle_gap(t->second, in.good_end),
                           oracle_gap(t->second, in.bad_first_end),
                           (float)in.bad_run};
    memcpy(row + FIGURE_payee_age, payee, sizeof payee);
}

static inline void oracle_pairs(float *row, const struct oracle *oracle, const struct told *t)
{
    struct tie pair = oracle_pair(oracle, t->payer, t->payee), back = oracle_pair(oracle, t->payee, t->payer);
    row[FIGURE_pair_count] = (float)pair.count;
    row[FIGURE_pair_sum] = (float)pair.sum;
    row[FIGURE_pair_gap] = oracle_gap(t->second, pair.last);
    row[FIGURE_back_count] = (float)back.count;
    row[FIGURE_back_contact_age] = oracle_gap(t->second, back.first);
    row[FIGURE_contact_age] = oracle_gap(t->second, pair.first);
}

static inline void oracle_payer_places(float *row, const struct oracle *oracle, const struct told *t, uint64_t device, uint64_t address,
                                       uint32_t known_by)
{
    if (device) {
        struct place_sum place = oracle_place(oracle, device, true, known_by);
        struct tie tie = oracle_use(oracle, t->payer, device, true);
        row[FIGURE_payer_device_age] = oracle_gap(t->second, place.first);
        row[FIGURE_payer_device_gap] = oracle_gap(t->second, place.last);
        row[FIGURE_payer_device_count] = (float)place.count;
        row[FIGURE_payer_device_accounts] = (float)__builtin_popcountll(place.accounts);
        row[FIGURE_payer_device_networks] = (float)__builtin_popcountll(place.networks);
        row[FIGURE_payer_device_bad] = (float)place.bad;
        row[FIGURE_payer_device_link_age] = oracle_gap(t->second, tie.first);
        row[FIGURE_payer_device_link_count] = (float)tie.count;
    }
    if (address) {
        struct place_sum place = oracle_place(oracle, address, false, known_by);
        row[FIGURE_payer_address_age] = oracle_gap(t->second, place.first);
        row[FIGURE_payer_address_accounts] = (float)__builtin_popcountll(place.accounts);
        row[FIGURE_payer_address_count] = (float)place.count;
        row[FIGURE_payer_address_link_age] = oracle_gap(t->second, oracle_use(oracle, t->payer, address, false).first);
    }
}

static inline void oracle_payee_places(float *row, const struct oracle *oracle, const struct told *t, uint64_t device, uint64_t address,
                                       uint32_t known_by)
{
    if (device) {
        struct place_sum place = oracle_place(oracle, device, true, known_by);
        struct tie tie = oracle_use(oracle, t->payee, device, true);
        row[FIGURE_payee_device_age] = oracle_gap(t->second, place.first);
        row[FIGURE_payee_device_gap] = oracle_gap(t->second, place.last);
        row[FIGURE_payee_device_count] = (float)place.count;
        row[FIGURE_payee_device_accounts] = (float)__builtin_popcountll(place.accounts);
        row[FIGURE_payee_device_networks] = (float)__builtin_popcountll(place.networks);
        row[FIGURE_payee_device_bad] = (float)place.bad;
        row[FIGURE_payee_device_link_age] = oracle_gap(t->second, tie.first);
        row[FIGURE_payee_device_link_count] = (float)tie.count;
    }
    if (address) {
        struct place_sum place = oracle_place(oracle, address, false, known_by);
        row[FIGURE_payee_address_age] = oracle_gap(t->second, place.first);
        row[FIGURE_payee_address_accounts] = (float)__builtin_popcountll(place.accounts);
        row[FIGURE_payee_address_count] = (float)place.count;
        row[FIGURE_payee_address_link_age] = oracle_gap(t->second, oracle_use(oracle, t->payee, address, false).first);
    }
}

static inline void oracle_places(float *row, const struct oracle *oracle, const struct told *t, uint32_t known_by)
{
    struct account_facts payer = oracle_account(oracle, t->payer), payee = oracle_account(oracle, t->payee);
    uint64_t payer_device = t->payer_device ? t->payer_device : payer.device,
             payee_device = t->payee_device ? t->payee_device : payee.device;
    uint64_t payer_address = t->payer_address ? t->payer_address : payer.address;
    uint64_t payee_address = t->payee_address ? t->payee_address : payee.address;
    oracle_payer_places(row, oracle, t, payer_device, payer_address, known_by);
    oracle_payee_places(row, oracle, t, payee_device, payee_address, known_by);
    row[FIGURE_payer_network_new] = t->payer_network && payer.network ? t->payer_network != payer.network : -1.0f;
    row[FIGURE_payee_network_new] = t->payee_network && payee.network ? t->payee_network != payee.network : -1.0f;
    uint32_t payer_network = t->payer_network ? t->payer_network : oracle_network(oracle, payer_device);
    uint32_t payee_network = t->payee_network ? t->payee_network : oracle_network(oracle, payee_device);
    row[FIGURE_payer_network_change] = payer_network && payer.network ? payer_network != payer.network : -1.0f;
    row[FIGURE_payee_network_change] = payee_network && payee.network ? payee_network != payee.network : -1.0f;
    if (payer_device && payee_device)
        row[FIGURE_shared_device] = payer_device == payee_device;
    if (payer_address && payee_address)
        row[FIGURE_shared_address] = payer_address == payee_address;
}

static inline struct told told_of(const struct stream *stream, uint32_t row)
{
    return (struct told){
        .payer = stream->payer[row],
        .payee = stream->payee[row],
        .payer_device = stream->payer_device[row],
        .payee_device = stream->payee_device[row],
        .payer_address = stream->payer_address[row],
        .payee_address = stream->payee_address[row],
        .payer_network = stream->payer_network[row],
        .payee_network = stream->payee_network[row],
        .second = floor_seconds(stream->time_us[row]),
        .time_us = stream->time_us[row],
        .amount = oracle_kept(stream->amount[row]),
        .exact_amount = stream->amount[row],
    };
}

static inline void oracle_note_bad(struct oracle *oracle, const struct told *t)
{
    uint32_t day = t->second / 86400;
    if (t->payer_device && day > oracle->bad_day[t->payer_device])
        oracle->bad_day[t->payer_device] = day;
    if (t->payee_device && day > oracle->bad_day[t->payee_device])
        oracle->bad_day[t->payee_device] = day;
}

static inline void oracle_clock(struct oracle *oracle, uint32_t second)
{
    oracle->clock = second > oracle->clock ? second : oracle->clock;
    for (uint32_t i = 0; i < oracle->count; i++) {
        struct told *t = &oracle->told[i];
        if (!t->waiting || t->due > oracle->clock)
            continue;
        t->label = t->waiting;
        t->waiting = 0;
        if (t->label == 2)
            oracle_note_bad(oracle, t);
    }
}

/* Reads the row's figures, then tells the row. */
static inline void oracle_row(float *row, struct oracle *oracle, const struct stream *stream, uint32_t i, int64_t delay_us, bool is_import)
{
    for (unsigned f = 0; f < FIGURE_COUNT; f++)
        row[f] = -1.0f;
    if (stream->invalid[i])
        return;
    struct told t = told_of(stream, i);
    uint32_t known_by = floor_seconds(stream->time_us[i] - delay_us);
    oracle_clock(oracle, t.second);
    oracle_accounts(row, oracle, &t, known_by);
    oracle_pairs(row, oracle, &t);
    oracle_places(row, oracle, &t, known_by);
    uint8_t label = is_import ? stream->label[i] : 0;
    bool has_time = stream->label_time_valid[i / 8] >> i % 8 & 1;
    uint32_t due = (uint32_t)((stream->label_time[i] + 999999) / 1000000);
    if (label && has_time && stream->label_time[i] > stream->time_us[i] + delay_us && due > oracle->clock) {
        t.waiting = label;
        t.due = due;
    } else {
        t.label = label;
    }
    oracle->told[oracle->count++] = t;
    if (t.label == 2)
        oracle_note_bad(oracle, &t);
}

static inline void oracle_label(struct oracle *oracle, uint32_t told, uint8_t label)
{
    struct told *t = &oracle->told[told];
    t->waiting = 0;
    t->label = label;
    if (label == 2)
        oracle_note_bad(oracle, t);
}

#endif
