#ifndef SLUICE_PIPELINE_CONFIG_STRATEGY_H
#define SLUICE_PIPELINE_CONFIG_STRATEGY_H

#include "pipeline/config_rules.h"

/* Keys strategy and countermeasures. */
enum fault config_read_strategy(const struct reading *reading, const struct config_text *text);

#endif
