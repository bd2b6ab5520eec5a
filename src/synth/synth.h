#ifndef SLUICE_SYNTH_SYNTH_H
#define SLUICE_SYNTH_SYNTH_H

#include <stdint.h>

#include "base/fault.h"
#include "batch/batch.h"

/* Labelled transfers out of nothing but a seed: the same options give the same rows on any machine. Pure: no clock, no
 * file; what decides is integer arithmetic and doubles under + − × ÷ alone. Rows come in the order of time. */

enum synth_scene { /* of a row: SYNTH_GOOD, or the fraud that it belongs to */
                   SYNTH_GOOD,
#define SCENE(name, rate, text) SYNTH_##name,
#define DECOY(name, rate, text)
#include "synth/scenes.tbl"
#undef SCENE
#undef DECOY
                   SYNTH_SCENE_COUNT
};
extern const char *const synth_scene_names[SYNTH_SCENE_COUNT]; /* "good", then scenes.tbl's */
extern const char *const synth_scene_meanings[SYNTH_SCENE_COUNT];
extern const uint32_t synth_rates_default[SYNTH_SCENE_COUNT]; /* rows per million; 0 for good */

enum { SYNTH_ACCOUNTS_MIN = 1000, SYNTH_ACCOUNTS_MAX = 100000000, SYNTH_DAYS_MAX = 3660, SYNTH_CONTACTS_MAX = 16 };

struct synth_options {
    uint64_t seed, row_count;
    uint32_t account_count; /* a fiftieth of them sells, the rest are people; activity is Zipf 1.0 */
    int64_t from_us;        /* start of the first day */
    uint32_t day_count;
    uint32_t rates[SYNTH_SCENE_COUNT]; /* rows per million */
    char currency[4];
};

struct synth_row { /* accounts are numbers below account_count; 0 in device or address: none */
    uint64_t number;
    int64_t time_us, amount;
    uint32_t payer, payee;
    uint64_t payer_device, payee_device;
    uint32_t payer_address, payee_address; /* IPv4 */
    uint8_t payer_network, payee_network;  /* below SYNTH_NETWORKS; meaningless without address */
    uint8_t transaction_type, channel;     /* indices into synth_types, synth_channels */
    enum synth_scene scene;
    struct synth_observation {  /* what an associated system would tell just before the transfer */
        enum observe_kind kind; /* OBSERVE_NONE: nothing */
        int64_t time_us;
        uint32_t account, contact;
        uint64_t device;
        uint32_t address;
        uint8_t network;
    } observation;
};
enum { SYNTH_NETWORKS = 24, SYNTH_TYPES = 4, SYNTH_CHANNELS = 4 };
extern const char *const synth_types[SYNTH_TYPES], *const synth_channels[SYNTH_CHANNELS];

struct synth;

/* FAULT_limit names the option that is out of range. */
enum fault synth_open(struct synth **out, const struct synth_options *options, struct fault_note *note);
void synth_close(struct synth **synth_p); /* safe on NULL */
const char *synth_currency(const struct synth *synth);
bool synth_row_next(struct synth *synth, struct synth_row *out); /* false: all rows were given */

/* The next at most rows_max rows as columns in the batch's arena, with labels; 0 rows: the end. The batch is batch_init'ed
 * with synth_arena_bytes(rows_max) and emptied here. op, id and names are the caller's to set. */
enum fault synth_next(struct synth *synth, struct batch *batch, uint32_t rows_max, struct fault_note *note);
size_t synth_arena_bytes(uint32_t rows_max);

/* What is known before the first row of a person: when its account was opened, its device, the people in its address book. */
uint32_t synth_person_count(const struct synth *synth);
int64_t synth_opened_us(const struct synth *synth, uint32_t person);
uint64_t synth_device(const struct synth *synth, uint32_t person);
uint32_t synth_contacts(const struct synth *synth, uint32_t person, uint32_t out[SYNTH_CONTACTS_MAX]); /* their number */

/* How the numbers are written: "a000000017", "d0123456789", "10.1.2.3", "net07"; buffers of SYNTH_TEXT_BYTES. */
enum { SYNTH_TEXT_BYTES = 24 };
uint32_t synth_account_text(char *out, uint32_t account);
uint32_t synth_device_text(char *out, uint64_t device);
uint32_t synth_address_text(char *out, uint32_t address);
uint32_t synth_network_text(char *out, uint8_t network);

#endif
