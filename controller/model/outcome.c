/* The names of outcomes (contract §4).  SPDX-License-Identifier: MIT */
#include <ferry/driver.h>

const char *ferry_outcome_name(enum ferry_outcome outcome)
{
    switch (outcome) {
    case FERRY_DONE:
        return "done";
    case FERRY_REFUSED:
        return "refused";
    case FERRY_STALE:
        return "stale";
    case FERRY_UNKNOWN:
        break;
    }
    return "unknown";
}
