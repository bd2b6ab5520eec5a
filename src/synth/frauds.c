/* Frauds, each with evidence in several dimensions and none that is always there: about every fifth piece is missing, and
 * for every piece there are honest people (decoys.c, everyday rows) who show it too. */
#include "synth/story.h"

/* Mostly the crew's device and line; else the victim is led to do it by himself. */
static void thief_acts(struct synth_row *row, const struct story *story, const struct world *world, struct random *random, uint32_t percent)
{
    row_payer(row, world, random, story->payer);
    if (random_percent(random, percent))
        row_payer_at(row, story->device, story->place);
}

static void crew_meet(struct story *story, const struct world *world)
{
    bool fresh = mix64(story->mark + 1) % 100 < 65; /* mostly a device that nobody has seen */
    story->device = fresh ? mix64(story->mark) | 1 : crew_device(world, story->crew, story->mark, story->due_us);
    story->place = crew_place(world, story->crew, mix64(story->mark), story->due_us);
}

/* Somebody whose secrets are known, else somebody who hardly looks, else anybody. */
static uint32_t victim_find(const struct story *story, const struct world *world, struct random *random)
{
    uint32_t how = random_below(random, 100);
    if (how < 60)
        return crew_victim(world, story->crew, random_next(random));
    return how < 90 ? world_anybody(world, random) : world_person(world, random, story->due_us);
}

static uint32_t mule_of(const struct story *story, const struct world *world, uint64_t bits, int64_t time_us)
{
    uint32_t mule = crew_mule(world, story->crew, bits, time_us);
    return mule == story->payer ? world_neighbour(world, mule, bits) : mule;
}

STORY_BEGIN(account_takeover)
{
    story->payer = victim_find(story, world, random);
    story->payee = mule_of(story, world, story->mark, story->due_us);
    crew_meet(story, world);
}

STORY_TELL(account_takeover)
{
    uint32_t payee = story->payee;
    if (random_percent(random, 35))
        payee = random_percent(random, 50) ? world_shop(world, random) : mule_of(story, world, random_next(random), row->time_us);
    thief_acts(row, story, world, random, 70);
    row_payee(row, world, random, payee);
    row->amount = world_amount(world, random, row->payer, payee, 0.6 + 1.8 * unit(random_next(random)));
    if (story->told == 0 && random_percent(random, 85))
        observe_change(row, row->payer);
    else if (story->told == 0 && random_percent(random, 40))
        observe_contact(row, row->payer, payee);
}

STORY_BEGIN(mule_fan_in)
{
    (void)random;
    story->payer = world->account_count;
    story->payee = mule_of(story, world, story->mark, story->due_us);
    crew_meet(story, world);
}

STORY_TELL(mule_fan_in)
{
    uint32_t payer = world_person(world, random, row->time_us);
    row_payer(row, world, random, payer == story->payee ? world_neighbour(world, payer, story->mark) : payer);
    row_payee(row, world, random, story->payee);
    if (story->mark % 100 < 50) {
        row->payee_device = story->device;
        row->payee_address = story->place.address;
        row->payee_network = story->place.network;
    }
    row->amount = world_amount(world, random, row->payer, row->payee, 0.3 + 2.0 * unit(random_next(random)));
}

STORY_BEGIN(fan_out)
{
    story->payer = crew_mule(world, story->crew, story->mark, story->due_us);
    story->amount = world_amount(world, random, story->payer, story->payer, 0.5);
    crew_meet(story, world);
}

/* Where no money is known to have come in, its first row brings some. */
STORY_TELL(fan_out)
{
    if (story->told == 0 && story->sum == 0) {
        uint32_t source = world_person(world, random, row->time_us);
        row_payer(row, world, random, source == story->payer ? world_neighbour(world, source, story->mark) : source);
        row_payee(row, world, random, story->payer);
        row->amount = amount_rounded(story->amount * story->left);
        return;
    }
    uint32_t payee = random_percent(random, 45) ? mule_of(story, world, random_next(random), row->time_us) : world_anybody(world, random);
    thief_acts(row, story, world, random, 40);
    row_payee(row, world, random, payee == story->payer ? world_neighbour(world, payee, story->mark) : payee);
    row->amount = amount_scaled(story->amount, 0.8 * bell(random_next(random)));
}

STORY_BEGIN(card_testing)
{
    crew_meet(story, world);
    for (story->member_count = 0; story->member_count < 3; story->member_count++)
        story->members[story->member_count] = world_shop(world, random);
}

STORY_TELL(card_testing)
{
    story->payer = random_percent(random, 60) ? crew_victim(world, story->crew, random_next(random)) : world_anybody(world, random);
    thief_acts(row, story, world, random, 60);
    if (random_percent(random, 25))
        row->payer_address = crew_place(world, story->crew, random_next(random), row->time_us).address;
    row_payee(row, world, random, story->members[random_below(random, story->member_count)]);
    row->amount = amount_scaled(220, 1.1 * bell(random_next(random)));
}

STORY_BEGIN(split_payments)
{
    static const int64_t limits[] = {10000, 20000, 50000, 100000, 200000, 500000};
    story->payer = victim_find(story, world, random);
    story->payee = random_percent(random, 60) ? mule_of(story, world, story->mark, story->due_us) : world_anybody(world, random);
    if (story->payee == story->payer)
        story->payee = world_neighbour(world, story->payer, story->mark);
    int64_t usual = world_amount(world, random, story->payer, story->payee, 1.0);
    story->amount = limits[0];
    for (unsigned i = 1; i < sizeof limits / sizeof *limits && limits[i] < usual; i++)
        story->amount = limits[i];
    crew_meet(story, world);
}

STORY_TELL(split_payments)
{
    thief_acts(row, story, world, random, story->mark % 100 < 35 ? 90 : 5);
    row_payee(row, world, random, story->payee);
    row->amount = story->amount - 1 - (int64_t)(unit(random_next(random)) * 0.12 * (double)story->amount);
    if (random_percent(random, 50))
        row->amount = row->amount / 500 * 500;
    if (story->told == 0 && random_percent(random, 55))
        observe_change(row, row->payer);
}

STORY_BEGIN(compromised_terminal)
{
    story->payee = world_shop(world, random);
    for (int i = 0; i < 3 && story->payee < world->person_count + 8; i++) /* the best known watch their terminals */
        story->payee = world_shop(world, random);
    crew_meet(story, world);
}

STORY_TELL(compromised_terminal)
{
    row_payer(row, world, random, world_person(world, random, row->time_us));
    row_payee(row, world, random, story->payee);
    if (random_percent(random, 50)) {
        row->payee_device = story->device;
        row->payee_address = story->place.address;
        row->payee_network = story->place.network;
    }
    row->amount = world_amount(world, random, row->payer, row->payee, 0.5 + 1.5 * unit(random_next(random)));
}

STORY_BEGIN(new_device_large)
{
    story->payer = victim_find(story, world, random);
    story->payee = random_percent(random, 60) ? mule_of(story, world, story->mark, story->due_us) : world_anybody(world, random);
    if (story->payee == story->payer || random_percent(random, 15))
        story->payee = world_shop(world, random);
    crew_meet(story, world);
}

STORY_TELL(new_device_large)
{
    thief_acts(row, story, world, random, 85);
    row_payee(row, world, random, story->payee);
    row->amount = world_amount(world, random, row->payer, row->payee, 1.8 + 2.0 * unit(random_next(random)));
    if (random_percent(random, 65))
        observe_change(row, row->payer);
    else if (random_percent(random, 40))
        observe_use(row, row->payer);
}

STORY_BEGIN(circular_flow)
{
    uint32_t wanted = random_between(random, 3, MEMBERS_MAX);
    for (uint64_t bits = story->mark; story->member_count < wanted; bits = mix64(bits)) {
        uint32_t next = bits % 100 < 60 ? crew_mule(world, story->crew, bits, story->due_us) : world_anybody(world, random);
        bool known = false;
        for (uint32_t i = 0; i < story->member_count; i++)
            known |= story->members[i] == next;
        if (!known)
            story->members[story->member_count++] = next;
    }
    story->amount = world_amount(world, random, story->members[0], story->members[1], 1.5);
    crew_meet(story, world);
}

STORY_TELL(circular_flow)
{
    story->payer = story->members[story->told % story->member_count];
    thief_acts(row, story, world, random, 35);
    row_payee(row, world, random, story->members[(story->told + 1) % story->member_count]);
    if (random_percent(random, 30))
        row->payee_device = story->device;
    story->amount -= (int64_t)(unit(random_next(random)) * 0.04 * (double)story->amount);
    row->amount = random_percent(random, 40) ? amount_rounded(story->amount) : amount_scaled(story->amount, 0.0);
}
