#ifndef SLUICE_SYNTH_WORLD_H
#define SLUICE_SYNTH_WORLD_H

#include "synth/random.h"
#include "synth/synth.h"
#include "synth/zipf.h"

/* Who lives there and what they are used to. Nothing is stored per account: every habit is a number made from the seed and
 * the account, and from the day where it changes with time. */

struct world {
    uint64_t seed;
    uint32_t account_count, person_count, shop_count; /* people are 0 … person_count - 1, shops follow */
    uint64_t shuffle_step, shuffle_offset;            /* rank → person */
    int64_t from_us, until_us;
    struct zipf people, shops;
};

enum { CREW_COUNT = 40, VPN_NETWORK = 20, MOBILE_NETWORK = 16, SLOTS_MAX = 16 };

void world_init(struct world *world, const struct synth_options *options);

uint32_t world_person(const struct world *world, struct random *random, int64_t time_us); /* by activity; opened by then */
uint32_t world_anybody(const struct world *world, struct random *random);                 /* uniformly */
uint32_t world_shop(const struct world *world, struct random *random);                    /* by popularity */
uint32_t world_neighbour(const struct world *world, uint32_t person, uint64_t bits);
uint32_t world_young(const struct world *world, uint64_t bits, int64_t time_us); /* opened not long before */
bool world_is_shop(const struct world *world, uint32_t account);
int64_t world_opened_us(const struct world *world, uint32_t account);

uint32_t world_slot_count(const struct world *world, uint32_t person); /* payees that it is used to */
uint32_t world_slot_payee(const struct world *world, uint32_t person, uint32_t slot);
uint32_t world_slot(const struct world *world, struct random *random, uint32_t person);

uint64_t world_device(const struct world *world, uint32_t person, int64_t time_us);
uint64_t world_terminal(const struct world *world, uint32_t shop, uint64_t bits, int64_t time_us);
struct place {
    uint32_t address;
    uint8_t network;
};
struct place world_home(const struct world *world, uint32_t account, int64_t time_us);
struct place world_mobile(const struct world *world, uint32_t person, int64_t time_us);
struct place world_vpn(const struct world *world, uint64_t bits, int64_t time_us);
struct place world_foreign(const struct world *world, uint64_t bits); /* as of a hotel, a stranger's line */

int64_t world_amount(const struct world *world, struct random *random, uint32_t payer, uint32_t payee, double octaves);
int64_t amount_scaled(int64_t amount, double octaves); /* amount · 2^octaves, at least 50 */
int64_t amount_rounded(int64_t amount);                /* to what people type */

/* Crews of thieves: what they use changes every few days. */
uint32_t crew_mule(const struct world *world, uint32_t crew, uint64_t bits, int64_t time_us);
uint32_t crew_victim(const struct world *world, uint32_t crew, uint64_t bits); /* one whose secrets they have: attacked again and again */
uint64_t crew_device(const struct world *world, uint32_t crew, uint64_t bits, int64_t time_us);
struct place crew_place(const struct world *world, uint32_t crew, uint64_t bits, int64_t time_us);

/* Both sides of a row as they are used to act. */
void row_payer(struct synth_row *row, const struct world *world, struct random *random, uint32_t payer);
void row_payee(struct synth_row *row, const struct world *world, struct random *random, uint32_t payee);
void row_payer_at(struct synth_row *row, uint64_t device, struct place place);
void row_everyday(struct synth_row *row, const struct world *world, struct random *random);

#endif
