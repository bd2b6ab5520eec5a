/* Honest people who do what frauds do, but for something. */
#include "synth/story.h"

static uint32_t own_payee(const struct story *story, const struct world *world, struct random *random, int64_t time_us)
{
    uint32_t payee = world_slot_payee(world, story->payer, world_slot(world, random, story->payer));
    bool usable = payee != story->payer && (world_is_shop(world, payee) || world_opened_us(world, payee) <= time_us);
    return usable ? payee : world_shop(world, random);
}

static uint32_t other_neighbour(const struct story *story, const struct world *world, struct random *random, uint32_t of)
{
    (void)story;
    uint32_t neighbour = world_neighbour(world, of, random_next(random));
    return neighbour == of ? world_neighbour(world, of, 0) : neighbour;
}

STORY_BEGIN(new_phone)
{
    story->payer = world_person(world, random, story->due_us);
    story->device = mix64(story->mark) | 1;
    story->place = random_percent(random, 50) ? world_home(world, story->payer, story->due_us) : world_foreign(world, story->mark);
}

STORY_TELL(new_phone)
{
    uint32_t payee = own_payee(story, world, random, row->time_us);
    row_payer(row, world, random, story->payer);
    row_payer_at(row, story->device, story->place);
    row_payee(row, world, random, payee);
    row->amount = world_amount(world, random, row->payer, payee, story->mark % 100 < 40 ? 1.2 : 0.0);
    if (story->told == 0 && random_percent(random, 40))
        observe_change(row, row->payer);
    else if (story->told == 0 && random_percent(random, 60))
        observe_registration(row, row->payer, story->device);
}

STORY_BEGIN(shopping)
{
    story->payer = world_person(world, random, story->due_us);
    story->device = world_device(world, story->payer, story->due_us);
    story->place = random_percent(random, 60) ? world_foreign(world, story->mark) : world_vpn(world, story->mark, story->due_us);
}

STORY_TELL(shopping)
{
    uint32_t payee = random_percent(random, 75) ? world_shop(world, random) : world_anybody(world, random);
    row_payer(row, world, random, story->payer);
    row_payer_at(row, story->device, story->place);
    row_payee(row, world, random, payee == story->payer ? world_shop(world, random) : payee);
    row->amount = world_amount(world, random, row->payer, row->payee, 1.2 * unit(random_next(random)));
}

STORY_BEGIN(collection)
{
    story->payee = world_person(world, random, story->due_us);
    story->amount = amount_rounded(world_amount(world, random, story->payee, story->payee, 0.0));
}

STORY_TELL(collection)
{
    uint32_t payer =
        random_percent(random, 60) ? other_neighbour(story, world, random, story->payee) : world_person(world, random, row->time_us);
    row_payer(row, world, random, payer == story->payee ? other_neighbour(story, world, random, payer) : payer);
    row_payee(row, world, random, story->payee);
    row->amount = random_percent(random, 70) ? story->amount : world_amount(world, random, row->payer, row->payee, 0.5);
}

STORY_BEGIN(new_shop)
{
    (void)random;
    story->payee = world_young(world, story->mark, story->due_us);
}

STORY_TELL(new_shop)
{
    uint32_t payer = world_person(world, random, row->time_us);
    row_payer(row, world, random, payer == story->payee ? world_neighbour(world, payer, story->mark) : payer);
    row_payee(row, world, random, story->payee);
    row->amount = world_amount(world, random, row->payer, row->payee, -0.4 + 1.5 * unit(random_next(random)));
}

STORY_BEGIN(payroll)
{
    story->payer = world_shop(world, random);
    story->payee = world_anybody(world, random);
}

STORY_TELL(payroll)
{
    uint64_t staff = mix64(story->payer * 64u + story->told % 40);
    uint32_t payee = below(staff, world->person_count);
    row_payer(row, world, random, story->payer);
    row_payee(row, world, random, world_opened_us(world, payee) <= row->time_us ? payee : story->payee);
    row->transaction_type = 3;
    row->channel = 2;
    row->amount = world_amount(world, random, row->payer, row->payee, 1.0);
}

STORY_BEGIN(share_out)
{
    story->payer = world_person(world, random, story->due_us);
    story->amount = world_amount(world, random, story->payer, story->payer, 0.5);
}

STORY_TELL(share_out)
{
    if (story->told == 0) {
        row_payer(row, world, random, other_neighbour(story, world, random, story->payer));
        row_payee(row, world, random, story->payer);
        row->amount = amount_rounded(story->amount * story->left);
        return;
    }
    uint32_t payee = random_percent(random, 65) ? other_neighbour(story, world, random, story->payer) : world_anybody(world, random);
    row_payer(row, world, random, story->payer);
    row_payee(row, world, random, payee == story->payer ? other_neighbour(story, world, random, payee) : payee);
    row->amount = amount_scaled(story->amount, 0.6 * bell(random_next(random)));
}

STORY_BEGIN(shared_device)
{
    story->payee = world_anybody(world, random);
    story->device = mix(world->seed, story->mark % (1 + world->person_count / 400), 77) | 1;
    story->place = world_home(world, below(story->device, world->person_count), story->due_us);
}

STORY_TELL(shared_device)
{
    story->payer =
        random_percent(random, 60) ? other_neighbour(story, world, random, story->payee) : world_person(world, random, row->time_us);
    row_payer(row, world, random, story->payer);
    row_payer_at(row, story->device, story->place);
    row_payee(row, world, random, random_percent(random, 60) ? own_payee(story, world, random, row->time_us) : world_shop(world, random));
    row->amount = world_amount(world, random, row->payer, row->payee, 0.0);
}

STORY_BEGIN(instalments)
{
    story->payer = world_person(world, random, story->due_us);
    story->payee = random_percent(random, 50) ? own_payee(story, world, random, story->due_us) : world_shop(world, random);
    story->amount = world_amount(world, random, story->payer, story->payee, 0.6);
}

STORY_TELL(instalments)
{
    row_payer(row, world, random, story->payer);
    row_payee(row, world, random, story->payee);
    row->amount = amount_scaled(story->amount, story->mark % 2 ? 0.0 : 0.08 * bell(random_next(random)));
}

STORY_BEGIN(new_terminal)
{
    story->payee = world_shop(world, random);
    story->device = mix64(story->mark) | 1;
}

STORY_TELL(new_terminal)
{
    row_payer(row, world, random, world_person(world, random, row->time_us));
    row_payee(row, world, random, story->payee);
    row->payee_device = story->device;
    row->amount = world_amount(world, random, row->payer, row->payee, 0.0);
}

STORY_BEGIN(large)
{
    story->payer = world_person(world, random, story->due_us);
}

STORY_TELL(large)
{
    uint32_t payee = random_percent(random, 60) ? world_anybody(world, random) : world_shop(world, random);
    row_payer(row, world, random, story->payer);
    row_payee(row, world, random, payee == story->payer ? world_shop(world, random) : payee);
    row->amount = world_amount(world, random, row->payer, row->payee, 1.5 + 2.2 * unit(random_next(random)));
    if (random_percent(random, 50))
        observe_contact(row, row->payer, row->payee);
}

STORY_BEGIN(pass_on)
{
    story->members[0] = world_person(world, random, story->due_us);
    for (uint32_t i = 1; i < 4; i++)
        story->members[i] = other_neighbour(story, world, random, story->members[i - 1]);
    story->amount = world_amount(world, random, story->members[0], story->members[1], 1.0);
}

STORY_TELL(pass_on)
{
    row_payer(row, world, random, story->members[story->told % 4]);
    row_payee(row, world, random, story->members[(story->told + 1) % 4]);
    if (row->payer == row->payee)
        row_payee(row, world, random, world_shop(world, random));
    row->amount = random_percent(random, 60) ? story->amount : amount_scaled(story->amount, -0.3 * unit(random_next(random)));
}

STORY_BEGIN(give_and_take)
{
    story->members[0] = world_person(world, random, story->due_us);
    for (uint32_t i = 1; i < 3; i++)
        story->members[i] = world_neighbour(world, story->members[0], mix64(story->members[0] + i));
    if (story->members[1] == story->members[2])
        story->members[2] = story->members[0];
    story->amount = world_amount(world, random, story->members[0], story->members[1], 0.5);
}

STORY_TELL(give_and_take)
{
    uint32_t from = random_below(random, 3), to = (from + random_between(random, 1, 2)) % 3;
    row_payer(row, world, random, story->members[from]);
    row_payee(row, world, random, story->members[to] == row->payer ? world_neighbour(world, row->payer, story->mark) : story->members[to]);
    row->amount = amount_scaled(story->amount, 0.4 * bell(random_next(random)));
}
