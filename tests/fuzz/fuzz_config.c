/* sluice.yaml: any bytes give a configuration or a fault with a text, and nothing is left behind. */
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/must.h"
#include "pipeline/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config;
    struct fault_note note = {0};
    uint64_t live = memory_live_count();
    enum fault fault = config_open_text(&config, "/nowhere/sluice.yaml", (const char *)data, size, &note);
    MUST((fault == FAULT_NONE) == (config != NULL) && (fault == FAULT_NONE || note.text[0]));
    MUST(!config || (config->tenant_count >= 1 && config->tenant_count <= TENANTS_MAX && config->data_listen_count <= LISTEN_MAX));
    config_close(&config);
    MUST(memory_live_count() == live);
    return 0;
}
