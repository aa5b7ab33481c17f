/* How routers learn where a subnet is; see live_routing.h.  Used by live.c and by the planner.
 * SPDX-License-Identifier: MIT */
#include "model/live_routing.h"

#include <linux/rtnetlink.h>
#include <string.h>

uint8_t ferry_routing_protocol(enum ferry_routing routing)
{
    return routing == FERRY_ROUTING_BGP ? RTPROT_BGP : routing == FERRY_ROUTING_OSPF ? RTPROT_OSPF : 0;
}

uint32_t ferry_routing_distance(enum ferry_routing routing)
{
    return routing == FERRY_ROUTING_BGP    ? FERRY_DISTANCE_BGP
           : routing == FERRY_ROUTING_OSPF ? FERRY_DISTANCE_OSPF
                                           : UINT32_MAX;
}

bool ferry_driver_has_distances(const struct ferry_driver_config *config)
{
    return config->routing != FERRY_ROUTING_STATIC || (config->type && strcmp(config->type, "frr") == 0);
}

const struct ferry_stack *ferry_live_expected(struct ferry_live *live, uint32_t router,
                                              const struct ferry_entry *way, const bool spoken[3])
{
    const struct ferry_driver_config *config = &live->topology->routers[router].driver;
    enum ferry_routing routing = config->routing;
    const struct ferry_entry *entries[2] = {way};
    uint32_t n = 1;
    if (!way)
        return NULL;
    if (way->type == FERRY_GATEWAY && routing != FERRY_ROUTING_STATIC) {
        struct ferry_entry e = {.type = FERRY_ANNOUNCEMENT, .protocol = ferry_routing_protocol(routing)};
        entries[n++] = ferry_pool_entry(live->pool, &e);
    } else if (way->type != FERRY_GATEWAY && ferry_driver_has_distances(config)) {
        struct ferry_entry e = *way;
        bool dynamic = routing != FERRY_ROUTING_STATIC && spoken[routing];
        e.metric = dynamic ? ferry_routing_distance(routing) : FERRY_DISTANCE_ROUTE;
        e.protocol = dynamic ? ferry_routing_protocol(routing) : way->protocol;
        entries[0] = ferry_pool_entry(live->pool, &e);
    }
    return ferry_pool_stack(live->pool, entries, n);
}
