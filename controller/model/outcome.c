/* The names of a driver's outcomes, as the contract's documents have them.  SPDX-License-Identifier: MIT */
#include <ferry/driver.h>

const char *ferry_outcome_name(enum ferry_outcome outcome)
{
    switch (outcome) {
    case FERRY_UNKNOWN:
        return "unknown";
    case FERRY_DONE:
        return "done";
    case FERRY_REFUSED:
        return "refused";
    case FERRY_STALE:
        return "stale";
    }
    return "unknown";
}
