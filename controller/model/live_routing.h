/* How routers learn where a subnet is, for states that come from the topology alone.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_LIVE_ROUTING_H
#define FERRY_MODEL_LIVE_ROUTING_H

#include <ferry/fib.h>

/* RTPROT_BGP or RTPROT_OSPF; 0 of a static router. */
uint8_t ferry_routing_protocol(enum ferry_routing routing);
/* FERRY_DISTANCE_BGP, FERRY_DISTANCE_OSPF; UINT32_MAX of a static router: nothing comes by itself. */
uint32_t ferry_routing_distance(enum ferry_routing routing);
/* Whether `metric` is an administrative distance, 1 to 254, on such a router: FRR's, and simulated ones that
 * speak BGP or OSPF. */
bool ferry_driver_has_distances(const struct ferry_driver_config *config);
/* What a router holds where `way` (of shortest paths; NULL: none) is its way and gateways that speak `spoken`
 * (by enum ferry_routing) originate the subnet.  Interned in live->pool. */
const struct ferry_stack *ferry_live_expected(struct ferry_live *live, uint32_t router,
                                              const struct ferry_entry *way, const bool spoken[3]);

#endif
