/* What is computed once of a loaded topology: lookups by name and address, links by interface, graphs.
 * SPDX-License-Identifier: MIT */
#ifndef FERRY_MODEL_TOPOLOGY_INDEX_H
#define FERRY_MODEL_TOPOLOGY_INDEX_H

#include <ferry/topology.h>

#include "model/map.h"

/* From one router over one link to the next, in one family. */
struct ferry_arc {
    uint32_t from, to; /* routers */
    uint32_t cost;
    const char *dev; /* of `from` */
    const struct ferry_addr *via;
};

/* Both directions of the links that a family can cross. */
struct ferry_graph {
    struct ferry_arc *arcs; /* by `from`, then in the order of the links */
    uint32_t n_arcs;
    uint32_t *out;      /* [n_routers + 1]: where a router's arcs begin */
    uint32_t *in;       /* [n_arcs]: arcs by `to` */
    uint32_t *in_first; /* [n_routers + 1]: where a router's part of `in` begins */
};

struct ferry_topology_index {
    struct ferry_map sites, routers, subnets;
    struct ferry_map owners;  /* routers by address; FERRY_NO_ROUTER where several have it */
    uint32_t *interface_base; /* [n_routers + 1] */
    uint32_t *links;          /* [interface_base[router] + interface]: link, or FERRY_NONE */
    struct ferry_graph graph4, graph6;
};

struct ferry_topology_index *ferry_topology_index_new(const struct ferry_topology *t);
void ferry_topology_index_free(struct ferry_topology_index *index);

void ferry_graph_init(struct ferry_graph *graph, const struct ferry_topology *t, uint8_t family);
void ferry_graph_clear(struct ferry_graph *graph);

#endif
