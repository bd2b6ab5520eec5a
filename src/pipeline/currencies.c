/* Rates are decimal text in the configuration and become whole factors once, here: amounts are integers from then on. */
#include "pipeline/currencies.h"

#include <string.h>

static double scaled(double factor, int exponent, int reference)
{
    for (; exponent < reference; exponent++)
        factor *= 10.0;
    for (; exponent > reference; exponent--)
        factor /= 10.0;
    return factor;
}

static enum fault rate_add(struct currency_table *out, const char *code, double per_reference, int reference, struct fault_note *note)
{
    struct currency_rate *rate = &out->rates[out->count];
    int exponent = currency_exponent(code);
    if (exponent < 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "currency %s is not in ISO 4217", code);
    double factor = scaled(1.0 / per_reference, exponent, reference);
    if (!(factor > 0.0 && factor < 1e9) || out->count == sizeof out->rates / sizeof *out->rates)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "rate of %s is out of range", code);
    memcpy(rate->code, code, sizeof rate->code);
    rate->factor_q32 = (uint64_t)(factor * 4294967296.0 + 0.5);
    out->count++;
    return FAULT_NONE;
}

enum fault currencies_from_config(struct currency_table *out, const struct config *config, struct fault_note *note)
{
    int reference = currency_exponent(config->reference_currency);
    bool listed = false;
    *out = (struct currency_table){0};
    if (reference < 0)
        return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_NONE, "reference currency %s is not in ISO 4217", config->reference_currency);
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; fault == FAULT_NONE && i < config->rate_count; i++) {
        listed |= strcmp(config->rates[i].currency, config->reference_currency) == 0;
        fault = rate_add(out, config->rates[i].currency, config->rates[i].per_reference, reference, note);
    }
    return fault != FAULT_NONE || listed ? fault : rate_add(out, config->reference_currency, 1.0, reference, note);
}
