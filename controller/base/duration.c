/* Durations as people write them.  SPDX-License-Identifier: MIT */
#include "base/duration.h"

#include "base/mem.h"

#include <string.h>

bool ferry_duration_parse(const char *text, uint64_t *ret_us)
{
    static const struct {
        const char *unit;
        uint64_t us;
    } units[] = {{"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}};
    uint64_t n = 0;
    size_t digits = 0;
    while (text[digits] >= '0' && text[digits] <= '9' && digits < 9)
        n = n * 10 + (uint64_t)(text[digits++] - '0');
    for (size_t i = 0; digits && i < FERRY_COUNT(units); i++)
        if (strcmp(text + digits, units[i].unit) == 0) {
            *ret_us = n * units[i].us;
            return true;
        }
    return false;
}
