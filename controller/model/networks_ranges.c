/* Ranges of addresses, and whether one DHCP server leases what another does; see ferry/networks.h.
 * SPDX-License-Identifier: MIT */
#include <ferry/networks.h>

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

bool ferry_range_contains(const struct ferry_range *range, const struct ferry_addr *a)
{
    return a->family == range->first.family && ferry_addr_compare(&range->first, a) <= 0 &&
           ferry_addr_compare(a, &range->last) <= 0;
}

const char *ferry_range_text(const struct ferry_range *range, char buf[static FERRY_RANGE_STRLEN])
{
    char last[FERRY_ADDR_STRLEN];
    ferry_addr_text(&range->first, buf);
    if (!ferry_addr_equal(&range->first, &range->last)) {
        size_t n = strlen(buf);
        snprintf(buf + n, FERRY_RANGE_STRLEN - n, "-%s", ferry_addr_text(&range->last, last));
    }
    return buf;
}

bool ferry_network_subnet_has(const struct ferry_network_subnet *subnet, const struct ferry_addr *a)
{
    for (size_t i = 0; i < subnet->n_prefixes; i++)
        if (ferry_prefix_contains(&subnet->prefixes[i], a))
            return true;
    return false;
}

bool ferry_ranges_contain(const struct ferry_range *ranges, size_t n, const struct ferry_addr *a)
{
    for (size_t i = 0; i < n; i++)
        if (ferry_range_contains(&ranges[i], a))
            return true;
    return false;
}

/* Whether `ranges` cover one; else the first part that they do not. */
static bool covers(const struct ferry_range *ranges, size_t n, const struct ferry_range *range,
                   struct ferry_range *ret_missing)
{
    struct ferry_addr at = range->first;
    for (;;) {
        const struct ferry_range *here = NULL;
        for (size_t i = 0; i < n && !here; i++)
            if (ferry_range_contains(&ranges[i], &at))
                here = &ranges[i];
        if (!here)
            break;
        at = here->last;
        if (ferry_addr_compare(&at, &range->last) >= 0 || !ferry_addr_next(&at))
            return true;
    }
    *ret_missing = (struct ferry_range){at, range->last};
    for (size_t i = 0; i < n; i++)
        if (ferry_range_contains(ret_missing, &ranges[i].first)) {
            ret_missing->last = ranges[i].first;
            ferry_addr_previous(&ret_missing->last);
        }
    return false;
}

bool ferry_dhcp_covers(const struct ferry_vm_network *source, uint32_t subnet,
                       const struct ferry_vm_network *target, uint32_t target_subnet,
                       struct ferry_range *ret_missing)
{
    FERRY_AUTOFREE struct ferry_range *there = ferry_calloc(target->n_dhcp, sizeof *there);
    size_t n = 0;
    for (size_t i = 0; i < target->n_dhcp; i++)
        if (ferry_network_subnet_has(&target->subnets[target_subnet], &target->dhcp[i].first))
            there[n++] = target->dhcp[i];
    for (size_t i = 0; i < source->n_dhcp; i++)
        if (ferry_network_subnet_has(&source->subnets[subnet], &source->dhcp[i].first) &&
            !covers(there, n, &source->dhcp[i], ret_missing))
            return false;
    return true;
}
