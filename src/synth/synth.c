/* Rows are slots in time: the hour of the week says how many an hour has, a row lies somewhere in its slot. A slot goes to
 * the story that has been due longest, else to somebody's everyday. Every kind of story earns credit with each slot and
 * begins a new case when that pays for it, so that rates hold for any number of rows. */
#include "synth/synth.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/must.h"
#include "synth/story.h"

enum { SYNTH_MAGIC = 0x5e47be01, HOURS_PER_WEEK = 168, STORIES_MAX = 8192, USE_NEWS_PERCENT = 6 };

const char *const synth_scene_names[SYNTH_SCENE_COUNT] = {
    "good",
#define SCENE(name, rate, text) #name,
#define DECOY(name, rate, text)
#include "synth/scenes.tbl"
#undef SCENE
#undef DECOY
};
const char *const synth_scene_meanings[SYNTH_SCENE_COUNT] = {
    "nothing wrong",
#define SCENE(name, rate, text) text,
#define DECOY(name, rate, text)
#include "synth/scenes.tbl"
#undef SCENE
#undef DECOY
};
const uint32_t synth_rates_default[SYNTH_SCENE_COUNT] = {
    0,
#define SCENE(name, rate, text) rate,
#define DECOY(name, rate, text)
#include "synth/scenes.tbl"
#undef SCENE
#undef DECOY
};
static const uint32_t story_rates[STORY_COUNT] = {
#define SCENE(name, rate, text) rate,
#define DECOY(name, rate, text) rate,
#include "synth/scenes.tbl"
#undef SCENE
#undef DECOY
};
static const enum synth_scene story_scenes[STORY_COUNT] = {
#define SCENE(name, rate, text) SYNTH_##name,
#define DECOY(name, rate, text) SYNTH_GOOD,
#include "synth/scenes.tbl"
#undef SCENE
#undef DECOY
};
const char *const synth_types[SYNTH_TYPES] = {"purchase", "transfer", "standing_order", "salary"};
const char *const synth_channels[SYNTH_CHANNELS] = {"app", "web", "batch", "terminal"};

/* least rows, most rows, least and most seconds between two */
const struct story_actions story_actions[STORY_COUNT] = {
#define ACTIONS(name, rows_least, rows_most, gap_s_least, gap_s_most) \
    [STORY_##name] = {rows_least, rows_most, gap_s_least, gap_s_most, name##_begin, name##_tell}
    ACTIONS(account_takeover, 2, 6, 60, 2400),  ACTIONS(mule_fan_in, 8, 24, 300, 9000),
    ACTIONS(fan_out, 6, 16, 120, 1800),         ACTIONS(card_testing, 12, 40, 20, 300),
    ACTIONS(split_payments, 4, 9, 60, 900),     ACTIONS(compromised_terminal, 20, 60, 600, 40000),
    ACTIONS(new_device_large, 1, 1, 60, 60),    ACTIONS(circular_flow, 6, 16, 600, 7200),
    ACTIONS(new_phone, 2, 7, 60, 4000),         ACTIONS(shopping, 4, 10, 300, 4000),
    ACTIONS(collection, 8, 20, 300, 9000),      ACTIONS(new_shop, 10, 30, 600, 12000),
    ACTIONS(payroll, 8, 32, 10, 120),           ACTIONS(share_out, 5, 11, 120, 1800),
    ACTIONS(shared_device, 10, 26, 120, 7200),  ACTIONS(instalments, 3, 8, 60, 900),
    ACTIONS(new_terminal, 20, 40, 1800, 40000), ACTIONS(large, 1, 1, 60, 60),
    ACTIONS(pass_on, 2, 4, 600, 7200),          ACTIONS(give_and_take, 5, 11, 600, 20000),
#undef ACTIONS
};

struct synth {
    unsigned magic;
    struct world world;
    struct random random;
    char currency[4];
    uint64_t row_count, row, hour_end_row; /* rows in all, given, given when the hour ends */
    uint64_t hour, hour_count, hour_first_row, weight_sum, weight_done;
    int64_t credit[STORY_COUNT]; /* millionths of rows */
    uint32_t rates[STORY_COUNT];
    uint32_t story_count;
    struct story *stories;                                       /* STORIES_MAX places */
    uint32_t heap[STORIES_MAX], spare[STORIES_MAX], spare_count; /* heap of story indices by due_us */
};

/* Transfers of an hour in relation to others; the week begins on Monday. */
static uint64_t hour_weight(int64_t time_us)
{
    static const uint8_t of_hour[24] = {8, 5, 3, 2, 2, 4, 12, 28, 45, 55, 60, 62, 66, 60, 55, 54, 56, 62, 66, 60, 48, 36, 24, 14};
    static const uint8_t of_day[7] = {10, 10, 10, 10, 11, 9, 7};
    int64_t hours = time_us / (3600 * US_PER_SECOND);
    return (uint64_t)of_hour[hours % 24] * of_day[(hours / 24 + 3) % 7]; /* the epoch was a Thursday */
}

static int64_t hour_time_us(const struct synth *synth, uint64_t hour)
{
    return synth->world.from_us + (int64_t)hour * 3600 * US_PER_SECOND;
}

/* Moves on to the hour in which the next row lies. */
static void hour_find(struct synth *synth)
{
    while (synth->row >= synth->hour_end_row) {
        synth->hour_first_row = synth->hour_end_row;
        synth->weight_done += hour_weight(hour_time_us(synth, synth->hour));
        synth->hour++;
        double share = (double)synth->weight_done / (double)synth->weight_sum;
        synth->hour_end_row = synth->hour == synth->hour_count ? synth->row_count : (uint64_t)(share * (double)synth->row_count);
    }
}

static int64_t slot_time_us(struct synth *synth)
{
    uint64_t slots = synth->hour_end_row - synth->hour_first_row, slot = synth->row - synth->hour_first_row;
    double within = ((double)slot + unit(random_next(&synth->random))) / (double)slots;
    return hour_time_us(synth, synth->hour - 1) + (int64_t)(within * 3600e6);
}

/* --- stories ---------------------------------------------------------------------------------------------------- */

static int64_t due_of(const struct synth *synth, uint32_t place)
{
    return synth->stories[synth->heap[place]].due_us;
}

static void heap_swap(struct synth *synth, uint32_t a, uint32_t b)
{
    uint32_t index = synth->heap[a];
    synth->heap[a] = synth->heap[b];
    synth->heap[b] = index;
}

static void heap_rise(struct synth *synth, uint32_t place)
{
    for (; place > 0 && due_of(synth, place) < due_of(synth, (place - 1) / 2); place = (place - 1) / 2)
        heap_swap(synth, place, (place - 1) / 2);
}

static void heap_sink(struct synth *synth)
{
    for (uint32_t place = 0, child; (child = 2 * place + 1) < synth->story_count; place = child) {
        if (child + 1 < synth->story_count && due_of(synth, child + 1) < due_of(synth, child))
            child++;
        if (due_of(synth, place) <= due_of(synth, child))
            return;
        heap_swap(synth, place, child);
    }
}

static struct story *story_begin(struct synth *synth, enum story_kind kind, uint32_t crew, int64_t time_us)
{
    const struct story_actions *actions = &story_actions[kind];
    uint32_t index = synth->spare[--synth->spare_count];
    struct story *story = &synth->stories[index];
    *story = (struct story){.kind = kind, .due_us = time_us, .crew = crew, .mark = random_next(&synth->random)};
    story->left = random_between(&synth->random, actions->rows_least, actions->rows_most);
    actions->begin(story, &synth->world, &synth->random);
    synth->credit[kind] -= (int64_t)story->left * 1000000;
    synth->heap[synth->story_count++] = index;
    heap_rise(synth, synth->story_count - 1);
    return story;
}

/* A mule that has collected pays out, if that is a thing to happen here. */
static void story_end(struct synth *synth, struct story *story, int64_t time_us)
{
    const struct story ended = *story;
    synth->spare[synth->spare_count++] = synth->heap[0];
    synth->heap[0] = synth->heap[--synth->story_count];
    heap_sink(synth);
    if (ended.kind != STORY_mule_fan_in || synth->rates[STORY_fan_out] == 0 || synth->credit[STORY_fan_out] < 0)
        return;
    struct story *next = story_begin(synth, STORY_fan_out, ended.crew, time_us + 600 * US_PER_SECOND);
    next->payer = ended.payee;
    next->sum = ended.sum;
    next->amount = ended.sum / (next->left + 1);
}

static void story_tell(struct synth *synth, struct synth_row *row)
{
    struct story *story = &synth->stories[synth->heap[0]];
    const struct story_actions *actions = &story_actions[story->kind];
    actions->tell(row, story, &synth->world, &synth->random);
    row->scene = story_scenes[story->kind];
    story->sum += row->amount;
    story->told++;
    if (--story->left == 0) {
        story_end(synth, story, row->time_us);
        return;
    }
    story->due_us = row->time_us + random_between(&synth->random, actions->gap_s_least, actions->gap_s_most) * US_PER_SECOND;
    heap_sink(synth);
}

static void stories_begin(struct synth *synth, int64_t time_us)
{
    for (unsigned kind = 0; kind < STORY_COUNT; kind++) {
        synth->credit[kind] += synth->rates[kind];
        int64_t cost = (int64_t)story_actions[kind].rows_most * 1000000;
        if (synth->credit[kind] >= cost && synth->spare_count > 1)
            story_begin(synth, (enum story_kind)kind, random_below(&synth->random, CREW_COUNT), time_us);
    }
}

/* --- news -------------------------------------------------------------------------------------------------------- */

static void observe(struct synth_row *row, enum observe_kind kind, uint32_t account, int64_t before_s)
{
    row->observation = (struct synth_observation){.kind = kind, .account = account, .time_us = row->time_us - before_s * US_PER_SECOND};
}

void observe_change(struct synth_row *row, uint32_t account)
{
    observe(row, OBSERVE_ATTRIBUTE, account, 1200);
}

void observe_contact(struct synth_row *row, uint32_t account, uint32_t contact)
{
    observe(row, OBSERVE_CONTACT, account, 120);
    row->observation.contact = contact;
}

void observe_use(struct synth_row *row, uint32_t account)
{
    observe(row, OBSERVE_USE, account, 90);
    row->observation.device = row->payer_device;
    row->observation.address = row->payer_address;
    row->observation.network = row->payer_network;
}

void observe_registration(struct synth_row *row, uint32_t account, uint64_t device)
{
    observe(row, OBSERVE_REGISTRATION, account, 300);
    row->observation.device = device;
}

/* What systems tell of honest people day by day. */
static void everyday_news(struct synth *synth, struct synth_row *row)
{
    uint32_t what = random_below(&synth->random, 1000);
    if (what < 10 * USE_NEWS_PERCENT)
        observe_use(row, row->payer);
    else if (what < 10 * USE_NEWS_PERCENT + 3)
        observe_change(row, row->payer);
    else if (what < 10 * USE_NEWS_PERCENT + 13)
        observe_contact(row, row->payer, row->payee);
}

/* ------------------------------------------------------------------------------------------------------------------- */

bool synth_row_next(struct synth *synth, struct synth_row *out)
{
    MUST(synth->magic == SYNTH_MAGIC);
    if (synth->row == synth->row_count)
        return false;
    hour_find(synth);
    *out = (struct synth_row){.number = synth->row, .time_us = slot_time_us(synth)};
    stories_begin(synth, out->time_us);
    if (synth->story_count > 0 && due_of(synth, 0) <= out->time_us) {
        story_tell(synth, out);
    } else {
        row_everyday(out, &synth->world, &synth->random);
        everyday_news(synth, out);
    }
    synth->row++;
    return true;
}

const char *synth_currency(const struct synth *synth)
{
    return synth->currency;
}

uint32_t synth_person_count(const struct synth *synth)
{
    return synth->world.person_count;
}

int64_t synth_opened_us(const struct synth *synth, uint32_t person)
{
    return world_opened_us(&synth->world, person);
}

uint64_t synth_device(const struct synth *synth, uint32_t person)
{
    return world_device(&synth->world, person, synth->world.from_us);
}

uint32_t synth_contacts(const struct synth *synth, uint32_t person, uint32_t out[SYNTH_CONTACTS_MAX])
{
    uint32_t count = 0, slots = world_slot_count(&synth->world, person);
    for (uint32_t slot = 0; slot < slots && count < SYNTH_CONTACTS_MAX; slot++) {
        uint32_t payee = world_slot_payee(&synth->world, person, slot);
        if (!world_is_shop(&synth->world, payee) && slot % 4 != 3)
            out[count++] = payee;
    }
    return count;
}

static enum fault options_check(const struct synth_options *options, struct fault_note *note)
{
    uint64_t rates = 0;
    for (int i = 0; i < SYNTH_SCENE_COUNT; i++)
        rates += options->rates[i];
    if (options->account_count < SYNTH_ACCOUNTS_MIN || options->account_count > SYNTH_ACCOUNTS_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "accounts: %d to %d", SYNTH_ACCOUNTS_MIN, SYNTH_ACCOUNTS_MAX);
    if (options->day_count < 1 || options->day_count > SYNTH_DAYS_MAX)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "days: 1 to %d", SYNTH_DAYS_MAX);
    if (options->from_us < 4000 * US_PER_DAY || options->from_us > 100000 * US_PER_DAY)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "from: a day between 1981 and 2243");
    if (options->row_count < 1 || options->row_count > 1000000000000)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "rows: 1 to 10^12");
    if (rates > 500000)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "rates of all scenes together: at most half of the rows");
    return FAULT_NONE;
}

static void synth_fill(struct synth *synth, const struct synth_options *options)
{
    synth->magic = SYNTH_MAGIC;
    synth->row_count = options->row_count;
    synth->hour_count = 24u * (uint64_t)options->day_count;
    world_init(&synth->world, options);
    random_seed(&synth->random, options->seed);
    memcpy(synth->currency, options->currency, sizeof synth->currency);
    for (uint64_t hour = 0; hour < synth->hour_count; hour++)
        synth->weight_sum += hour_weight(hour_time_us(synth, hour));
    for (unsigned kind = 0; kind < STORY_COUNT; kind++) {
        synth->rates[kind] = story_scenes[kind] == SYNTH_GOOD ? story_rates[kind] : options->rates[story_scenes[kind]];
        synth->credit[kind] = random_below(&synth->random, story_actions[kind].rows_most * 1000000);
    }
    while (synth->spare_count < STORIES_MAX) {
        synth->spare[synth->spare_count] = synth->spare_count;
        synth->spare_count++;
    }
}

enum fault synth_open(struct synth **out, const struct synth_options *options, struct fault_note *note)
{
    enum fault fault = options_check(options, note);
    if (fault != FAULT_NONE)
        return fault;
    struct synth *synth = memory_take_zeroed(1, sizeof *synth);
    if (!synth || !(synth->stories = memory_take_zeroed(STORIES_MAX, sizeof *synth->stories))) {
        memory_give(synth);
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for a generator");
    }
    synth_fill(synth, options);
    *out = synth;
    return FAULT_NONE;
}

void synth_close(struct synth **synth_p)
{
    struct synth *synth = *synth_p;
    *synth_p = NULL;
    if (!synth)
        return;
    MUST(synth->magic == SYNTH_MAGIC);
    synth->magic = 0;
    memory_give(synth->stories);
    memory_give(synth);
}
