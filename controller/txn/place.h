/* Which changes make packets come to a router, or leave off doing so.  SPDX-License-Identifier: MIT */
#ifndef FERRY_TXN_PLACE_H
#define FERRY_TXN_PLACE_H

#include <ferry/driver.h>

/* A gateway or an announcement; routes and tunnels' selectors only lead there. */
static inline bool ferry_kind_is_place(enum ferry_kind kind)
{
    return kind == FERRY_KIND_GATEWAY || kind == FERRY_KIND_ANNOUNCEMENT;
}

#endif
