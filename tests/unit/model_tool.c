/* Shortest paths for tests/scenario/test_spf.py: model-tool TOPOLOGY 4|6 GATEWAY… prints one line a router:
 * "ROUTER gateway", "ROUTER none" or "ROUTER DEV@ADDRESS@NEIGHBOUR …".
 *
 * SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include <ferry/topology.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_entry(const struct ferry_topology *t, uint32_t router, const struct ferry_entry *e)
{
    char buf[FERRY_ADDR_STRLEN];
    printf("%s", t->routers[router].name);
    if (!e || e->type == FERRY_GATEWAY)
        printf(" %s", e ? "gateway" : "none");
    for (size_t i = 0; e && i < e->n_nexthops; i++)
        printf(" %s@%s@%s", e->nexthops[i].dev, ferry_addr_text(&e->nexthops[i].via, buf),
               t->routers[e->nexthops[i].router].name);
    putchar('\n');
}

int main(int argc, char **argv)
{
    struct ferry_topology *t = NULL;
    struct ferry_err err;
    if (argc < 3)
        return 64;
    if (ferry_topology_load(argv[1], &t, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 65;
    }
    struct ferry_pool *pool = ferry_pool_new();
    FERRY_AUTOFREE uint32_t *gateways = ferry_calloc((size_t)argc, sizeof *gateways);
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(t->n_routers, sizeof *entries);
    for (int i = 3; i < argc; i++)
        gateways[i - 3] = ferry_topology_router(t, argv[i]);
    int r = ferry_spf(t, gateways, (size_t)argc - 3, argv[2][0] == '6' ? AF_INET6 : AF_INET, 0,
                      FERRY_METRIC_ROUTE, 4, pool, entries, &err);
    for (uint32_t i = 0; r == 0 && i < t->n_routers; i++)
        print_entry(t, i, entries[i]);
    ferry_pool_free(pool);
    ferry_topology_free(t);
    return r < 0;
}
