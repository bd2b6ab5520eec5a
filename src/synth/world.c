#include "synth/world.h"

#include "base/clock.h"

enum about { /* what a number is made about */
             ABOUT_SHUFFLE = 1,
             ABOUT_OPENED,
             ABOUT_SLOTS,
             ABOUT_SLOT,
             ABOUT_LEVEL,
             ABOUT_SLOT_LEVEL,
             ABOUT_DEVICE,
             ABOUT_HOUSEHOLD,
             ABOUT_TERMINAL,
             ABOUT_HOME,
             ABOUT_NETWORK,
             ABOUT_MOBILE,
             ABOUT_VPN,
             ABOUT_SHOP,
             ABOUT_KNOWN,
             ABOUT_MULE,
             ABOUT_CREW_DEVICE,
             ABOUT_CREW_PLACE,
             ABOUT_VICTIM
};
enum { YOUNG_STEP = 16, YOUNG_AT = 7, NEIGHBOURS = 64, MULE_DAYS = 11, CREW_DAYS = 5, CREW_MULES = 5, CREW_DEVICES = 3 };
#define OCTAVES_USUAL 11.5 /* a median of about 29.00 */
#define AMOUNT_LEAST  50
#define AMOUNT_MOST   500000000

static uint64_t about(const struct world *world, enum about what, uint64_t who, uint64_t which)
{
    return mix(world->seed, (uint64_t)what << 40 | who, which);
}

static bool share_one_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b, b = rest;
    }
    return a == 1;
}

void world_init(struct world *world, const struct synth_options *options)
{
    *world = (struct world){.seed = mix64(options->seed), .account_count = options->account_count, .from_us = options->from_us};
    world->shop_count = options->account_count / 50;
    world->person_count = options->account_count - world->shop_count;
    world->until_us = options->from_us + options->day_count * US_PER_DAY;
    world->shuffle_offset = about(world, ABOUT_SHUFFLE, 0, 0) % world->person_count;
    world->shuffle_step = 1 + about(world, ABOUT_SHUFFLE, 0, 1) % (world->person_count - 1);
    while (!share_one_divisor(world->shuffle_step, world->person_count))
        world->shuffle_step++;
    zipf_init(&world->people, world->person_count);
    zipf_init(&world->shops, world->shop_count);
}

bool world_is_shop(const struct world *world, uint32_t account)
{
    return account >= world->person_count;
}

int64_t world_opened_us(const struct world *world, uint32_t account)
{
    uint64_t bits = about(world, ABOUT_OPENED, account, 0);
    if (!world_is_shop(world, account) && account % YOUNG_STEP == YOUNG_AT) {
        int64_t span_us = (world->until_us - world->from_us) / 10 * 7 + 60 * US_PER_DAY;
        return world->from_us - 60 * US_PER_DAY + (int64_t)(unit(bits) * (double)span_us);
    }
    return world->from_us - 90 * US_PER_DAY - (int64_t)(unit(bits) * 3600.0) * US_PER_DAY;
}

uint32_t world_person(const struct world *world, struct random *random, int64_t time_us)
{
    uint32_t person = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t rank = zipf_rank(&world->people, random_next(random));
        person = (uint32_t)((rank * world->shuffle_step + world->shuffle_offset) % world->person_count);
        if (person % YOUNG_STEP != YOUNG_AT || world_opened_us(world, person) <= time_us)
            return person;
    }
    return person % YOUNG_STEP == YOUNG_AT ? person - 1 : person;
}

uint32_t world_anybody(const struct world *world, struct random *random)
{
    uint32_t person = random_below(random, world->person_count);
    return person % YOUNG_STEP == YOUNG_AT ? person - 1 : person;
}

uint32_t world_shop(const struct world *world, struct random *random)
{
    return world->person_count + zipf_rank(&world->shops, random_next(random));
}

uint32_t world_neighbour(const struct world *world, uint32_t person, uint64_t bits)
{
    uint32_t first = person / NEIGHBOURS * NEIGHBOURS;
    uint32_t count = world->person_count - first < NEIGHBOURS ? world->person_count - first : NEIGHBOURS;
    uint32_t neighbour = first + below(bits, count);
    if (neighbour != person)
        return neighbour;
    return person + 1 < world->person_count ? person + 1 : person - 1;
}

uint32_t world_young(const struct world *world, uint64_t bits, int64_t time_us)
{
    uint32_t count = world->person_count / YOUNG_STEP, person = 0;
    for (int i = 0; i < 8; i++, bits = mix64(bits)) {
        person = below(bits, count) * YOUNG_STEP + YOUNG_AT;
        if (world_opened_us(world, person) <= time_us)
            return person;
    }
    return person - 1;
}

uint32_t world_slot_count(const struct world *world, uint32_t person)
{
    return 3 + below(about(world, ABOUT_SLOTS, person, 0), SLOTS_MAX - 2);
}

uint32_t world_slot_payee(const struct world *world, uint32_t person, uint32_t slot)
{
    uint64_t bits = about(world, ABOUT_SLOT, person, slot), more = mix64(bits);
    uint32_t kind = (uint32_t)(bits % 100);
    if (kind < 60)
        return world->person_count + zipf_rank(&world->shops, more);
    if (kind < 90)
        return world_neighbour(world, person, more);
    uint32_t other = below(more, world->person_count);
    return other == person ? world_neighbour(world, person, more) : other;
}

uint32_t world_slot(const struct world *world, struct random *random, uint32_t person)
{
    double u = unit(random_next(random));
    return (uint32_t)(u * u * world_slot_count(world, person)); /* the first are the dearest */
}

uint64_t world_device(const struct world *world, uint32_t person, int64_t time_us)
{
    uint64_t household = about(world, ABOUT_HOUSEHOLD, person / 2, 0), owner = household % 100 < 8 ? person / 2 + UINT32_MAX : person;
    uint64_t bits = about(world, ABOUT_DEVICE, owner, 0);
    int64_t life_us = (120 + below(bits, 600)) * US_PER_DAY, phase_us = (int64_t)(unit(mix64(bits)) * (double)life_us);
    return about(world, ABOUT_DEVICE, owner, 1 + (uint64_t)((time_us + phase_us) / life_us)) | 1;
}

uint64_t world_terminal(const struct world *world, uint32_t shop, uint64_t bits, int64_t time_us)
{
    uint64_t of_shop = about(world, ABOUT_TERMINAL, shop, 0);
    uint32_t terminal = below(bits, 1 + (uint32_t)(of_shop % 4));
    int64_t life_us = (90 + below(of_shop, 400)) * US_PER_DAY, phase_us = (int64_t)(unit(mix64(of_shop + terminal)) * (double)life_us);
    return about(world, ABOUT_TERMINAL, shop, 1 + terminal + 8 * (uint64_t)((time_us + phase_us) / life_us)) | 1;
}

static uint32_t address_of(uint64_t bits) /* 10.x.y.z and up to 99.x.y.z */
{
    return (10 + below(bits, 90)) << 24 | (uint32_t)(bits & 0xffffff);
}

struct place world_home(const struct world *world, uint32_t account, int64_t time_us)
{
    uint64_t bits = about(world, ABOUT_HOME, account, 0);
    double u = unit(about(world, ABOUT_NETWORK, account, 0));
    int64_t life_days = bits % 100 < 30 ? 7 : 300; /* lines with changing addresses */
    uint64_t period = (uint64_t)((time_us / US_PER_DAY + (int64_t)(bits >> 40) % life_days) / life_days);
    return (struct place){address_of(about(world, ABOUT_HOME, account, 1 + period)), (uint8_t)(u * u * MOBILE_NETWORK)};
}

struct place world_mobile(const struct world *world, uint32_t person, int64_t time_us)
{
    uint64_t bits = about(world, ABOUT_MOBILE, person, 0);
    uint8_t network = (uint8_t)(MOBILE_NETWORK + bits % 4);
    uint32_t gate = below(about(world, ABOUT_MOBILE, person, (uint64_t)(time_us / US_PER_DAY)), 1 + world->person_count / 50);
    return (struct place){address_of(about(world, ABOUT_MOBILE, (uint64_t)1 << 33 | network, gate)), network};
}

struct place world_vpn(const struct world *world, uint64_t bits, int64_t time_us)
{
    uint8_t network = (uint8_t)(VPN_NETWORK + bits % 4);
    uint64_t gate = below(bits, 24) + 32 * (uint64_t)(time_us / (14 * US_PER_DAY));
    return (struct place){address_of(about(world, ABOUT_VPN, network, gate)), network};
}

struct place world_foreign(const struct world *world, uint64_t bits)
{
    return world_home(world, below(bits, world->person_count), world->from_us);
}

int64_t amount_scaled(int64_t amount, double octaves)
{
    double scaled = (double)amount * exp2_plain(octaves);
    return scaled < AMOUNT_LEAST ? AMOUNT_LEAST : scaled > AMOUNT_MOST ? AMOUNT_MOST : (int64_t)scaled;
}

int64_t amount_rounded(int64_t amount)
{
    int64_t unit_of = amount >= 100000 ? 5000 : amount >= 20000 ? 1000 : amount >= 2000 ? 500 : 50;
    int64_t rounded = (amount + unit_of / 2) / unit_of * unit_of;
    return rounded < AMOUNT_LEAST ? AMOUNT_LEAST : rounded;
}

/* What this payer is used to, what this payee costs, and chance; kiosks are cheap for all. */
int64_t world_amount(const struct world *world, struct random *random, uint32_t payer, uint32_t payee, double octaves)
{
    uint64_t shop = about(world, ABOUT_SHOP, payee, 0), pair = about(world, ABOUT_SLOT_LEVEL, payer, payee), chance = random_next(random);
    bool is_shop = world_is_shop(world, payee);
    if (is_shop && shop % 8 == 0)
        return amount_scaled(200, bell(chance) + octaves);
    double level = OCTAVES_USUAL + bell(about(world, ABOUT_LEVEL, payer, 0)) + (is_shop ? bell(shop) : 1.0 + bell(pair));
    if (pair % 100 >= 20) /* the others pay the same every time */
        level += 0.6 * bell(chance);
    int64_t amount = amount_scaled(1, level + octaves);
    return (is_shop ? chance % 100 < 20 : chance % 100 < 60) ? amount_rounded(amount) : amount;
}

uint32_t crew_mule(const struct world *world, uint32_t crew, uint64_t bits, int64_t time_us)
{
    uint64_t period = (uint64_t)(time_us / (MULE_DAYS * US_PER_DAY));
    uint64_t mule = about(world, ABOUT_MULE, crew, period * CREW_MULES + below(bits, CREW_MULES));
    if (mule % 100 < 55)
        return world_young(world, mix64(mule), time_us);
    uint32_t person = below(mix64(mule), world->person_count);
    return person % YOUNG_STEP == YOUNG_AT ? person - 1 : person;
}

uint32_t crew_victim(const struct world *world, uint32_t crew, uint64_t bits)
{
    uint32_t known = 3 + world->person_count / 3000;
    uint32_t person = below(about(world, ABOUT_VICTIM, crew, below(bits, known)), world->person_count);
    return person % YOUNG_STEP == YOUNG_AT ? person - 1 : person;
}

uint64_t crew_device(const struct world *world, uint32_t crew, uint64_t bits, int64_t time_us)
{
    uint64_t period = (uint64_t)(time_us / (CREW_DAYS * US_PER_DAY));
    return about(world, ABOUT_CREW_DEVICE, crew, period * CREW_DEVICES + below(bits, CREW_DEVICES)) | 1;
}

struct place crew_place(const struct world *world, uint32_t crew, uint64_t bits, int64_t time_us)
{
    if (bits % 100 < 40)
        return world_vpn(world, mix64(bits), time_us);
    if (bits % 100 < 70)
        return world_foreign(world, mix64(bits));
    return world_home(world, below(about(world, ABOUT_CREW_PLACE, crew, 0), world->person_count), time_us);
}

void row_payer_at(struct synth_row *row, uint64_t device, struct place place)
{
    row->payer_device = device;
    row->payer_address = place.address;
    row->payer_network = place.network;
}

void row_payer(struct synth_row *row, const struct world *world, struct random *random, uint32_t payer)
{
    uint64_t bits = random_next(random);
    uint32_t where = (uint32_t)(bits % 100);
    bool is_shop = world_is_shop(world, payer);
    struct place place = where < 70 || is_shop ? world_home(world, payer, row->time_us)
                         : where < 95          ? world_mobile(world, payer, row->time_us)
                         : where < 97          ? world_vpn(world, bits, row->time_us)
                                               : world_foreign(world, bits);
    row->payer = payer;
    row_payer_at(row, is_shop ? world_terminal(world, payer, bits, row->time_us) : world_device(world, payer, row->time_us), place);
}

void row_payee(struct synth_row *row, const struct world *world, struct random *random, uint32_t payee)
{
    uint64_t bits = random_next(random);
    bool is_shop = world_is_shop(world, payee), known = is_shop || about(world, ABOUT_KNOWN, payee, 0) % 100 < 60;
    row->payee = payee;
    row->payee_device = row->payee_address = 0;
    row->transaction_type = is_shop ? 0 : bits % 100 < 85 ? 1 : 2;
    row->channel = (uint8_t)(is_shop ? (bits >> 8) % 100 < 60 ? 3 : (bits >> 8) % 2 : (bits >> 8) % 100 < 70 ? 0 : 1);
    if (!known)
        return;
    struct place place = world_home(world, payee, row->time_us);
    row->payee_device = is_shop ? world_terminal(world, payee, bits, row->time_us) : world_device(world, payee, row->time_us);
    row->payee_address = place.address;
    row->payee_network = place.network;
}

void row_everyday(struct synth_row *row, const struct world *world, struct random *random)
{
    uint32_t payer = world_person(world, random, row->time_us), how = random_below(random, 100), payee;
    if (how < 82)
        payee = world_slot_payee(world, payer, world_slot(world, random, payer));
    else if (how < 93)
        payee = world_shop(world, random);
    else if (how < 98)
        payee = world_neighbour(world, payer, random_next(random));
    else
        payee = world_anybody(world, random);
    if (payee == payer || (!world_is_shop(world, payee) && world_opened_us(world, payee) > row->time_us))
        payee = world_shop(world, random);
    row_payer(row, world, random, payer);
    row_payee(row, world, random, payee);
    row->amount = world_amount(world, random, payer, payee, 0.0);
}
