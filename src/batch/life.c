#include "batch/life.h"

const char *const life_state_names[LIFE_COUNT] = {
    [LIFE_OPEN] = "open",           [LIFE_AWAITING] = "awaiting_corrections",
    [LIFE_RELEASED] = "released",   [LIFE_CONSOLIDATED] = "consolidated",
    [LIFE_EXECUTED] = "executed",   [LIFE_CLOSED] = "closed",
    [LIFE_CANCELLED] = "cancelled",
};

const char *const row_state_names[ROW_STATE_COUNT] = {
    [ROW_SCREENED] = "screened",         [ROW_CANCELLED] = "cancelled", [ROW_EXPIRED] = "expired",   [ROW_RELEASED] = "released",
    [ROW_CONSOLIDATED] = "consolidated", [ROW_RETURNED] = "returned",   [ROW_EXECUTED] = "executed", [ROW_FAILED] = "failed",
};

const char *const outbox_state_names[OUTBOX_COUNT] = {
    [OUTBOX_WAITING] = "waiting",
    [OUTBOX_ACKNOWLEDGED] = "acknowledged",
    [OUTBOX_CONSOLIDATED] = "consolidated",
    [OUTBOX_EXECUTED] = "executed",
    [OUTBOX_FAILED] = "failed",
    [OUTBOX_RETURNED] = "returned",
    [OUTBOX_DEAD] = "dead",
};

const struct consolidated_names consolidated_names[CONSOLIDATED_COUNT] = {
    [CONSOLIDATED_AGREES] = {"", ""},
    [CONSOLIDATED_LATE] = {"release_outdated", "submit_again"},
    [CONSOLIDATED_DIFFERS] = {"release_differs", "compare_and_submit_again"},
    [CONSOLIDATED_LISTED] = {"listed_party", "clear_or_replace_party"},
};
