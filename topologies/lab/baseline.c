/* The routes that an administrator would have made: each subnet attached at home (one with host routes: at all its
 * sites) and routed there by shortest paths, and every other network of the topology reachable from everywhere, so
 * that answers come back.
 * Neighbours: layout.c (calls it), model/ (ferry_spf).
 *
 *  1. Baseline routes are `protocol static metric 20` with nothing else set, gateways the plain attachment:
 *     what the drivers report with native length 0.
 *  2. A table other than main holds the subnets' routes alone and has a policy rule before main's.
 *
 * SPDX-License-Identifier: MIT */
#include "layout.h"

#include "base/mem.h"
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

struct baseline {
    const struct ferry_topology *t;
    const uint32_t *place_of;
    struct ferry_lab_layout *layout;
    const struct ferry_entry **entries; /* [router], of one ferry_spf */
};

static void add_route(struct ferry_lab_place *p, const struct ferry_prefix *prefix,
                      const struct ferry_entry *e, bool dynamic)
{
    FERRY_GROW(p->routes, p->n_routes);
    p->routes[p->n_routes++] = (struct ferry_lab_route){.prefix = *prefix, .entry = e, .dynamic = dynamic};
}

static void use_table(struct ferry_lab_place *p, uint32_t table)
{
    if (table == FERRY_TABLE_MAIN) {
        return;
    }
    for (size_t i = 0; i < p->n_tables; i++) {
        if (p->tables[i] == table) {
            return;
        }
    }
    FERRY_GROW(p->tables, p->n_tables);
    p->tables[p->n_tables++] = table;
}

/* Attaches a subnet at one of its gateways. */
static void attach(struct baseline *b, const struct ferry_subnet *subnet, const struct ferry_gateway *g,
                   uint32_t table)
{
    struct ferry_lab_place *p = &b->layout->places[b->place_of[g->router]];
    const char *dev =
        g->interface == FERRY_NONE ? "" : b->t->routers[g->router].interfaces[g->interface].name;
    bool connected = g->address.addr.family != 0;
    if (connected) {
        FERRY_GROW(p->addresses, p->n_addresses);
        struct ferry_lab_address *a = &p->addresses[p->n_addresses++];
        *a = (struct ferry_lab_address){.address = g->address, .noprefixroute = table != FERRY_TABLE_MAIN};
        ferry_lab_set_dev(a->dev, dev);
        if (table == FERRY_TABLE_MAIN) {
            return; /* the kernel adds the route */
        }
    }
    struct ferry_nexthop nh = {.router = FERRY_NO_ROUTER, .via = g->via, .weight = 1};
    ferry_lab_set_dev(nh.dev, dev);
    struct ferry_entry e = {.type = FERRY_UNICAST,
                            .table = table,
                            .metric = subnet->prefix.addr.family == AF_INET6 ? 1 : 0,
                            .protocol = RTPROT_STATIC,
                            .n_nexthops = 1,
                            .nexthops = &nh};
    if (p->machine == FERRY_LAB_FRR) {
        e.metric = FERRY_METRIC_ROUTE; /* zebra's, of every route that it makes */
    }
    add_route(p, &subnet->prefix, ferry_pool_entry(b->layout->pool, &e), false);
}

/* Whether a router learns of a network: it and all that have the network speak the same protocol. */
static bool is_dynamic(const struct ferry_topology *t, size_t router, const struct ferry_prefix *prefix,
                       const uint32_t *gateways, size_t n)
{
    enum ferry_routing routing = t->routers[router].driver.routing;
    bool same =
        routing == FERRY_ROUTING_BGP || (routing == FERRY_ROUTING_OSPF && prefix->addr.family == AF_INET);
    for (size_t i = 0; i < n; i++) {
        same &= t->routers[gateways[i]].driver.routing == routing;
    }
    return same;
}

/* Routes for `prefix` on every router that has a path to one of `gateways`. */
static int route_to(struct baseline *b, const struct ferry_prefix *prefix, const uint32_t *gateways, size_t n,
                    uint32_t subnet, struct ferry_err *err)
{
    bool main_only = subnet == FERRY_NONE;
    uint32_t table = main_only ? FERRY_TABLE_MAIN : b->t->subnets[subnet].table;
    int r = ferry_spf(b->t, gateways, n, prefix->addr.family, table, FERRY_METRIC_ROUTE, RTPROT_STATIC,
                      b->layout->pool, b->entries, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < b->t->n_routers; i++) {
        const struct ferry_entry *e = b->entries[i];
        if (b->place_of[i] == FERRY_NONE || !e || e->type != FERRY_UNICAST) {
            continue;
        }
        bool dynamic = is_dynamic(b->t, i, prefix, gateways, n);
        if (dynamic) {
            struct ferry_entry learnt = *e;
            learnt.protocol = b->t->routers[i].driver.routing == FERRY_ROUTING_BGP ? RTPROT_BGP : RTPROT_OSPF;
            e = ferry_pool_entry(b->layout->pool, &learnt);
        }
        add_route(&b->layout->places[b->place_of[i]], prefix, e, dynamic);
    }
    return 0;
}

static int add_subnet(struct baseline *b, uint32_t index, struct ferry_err *err)
{
    const struct ferry_subnet *subnet = &b->t->subnets[index];
    FERRY_AUTOFREE uint32_t *gateways = ferry_calloc(subnet->n_gateways + 1, sizeof *gateways);
    size_t n = 0;
    for (size_t g = 0; g < subnet->n_gateways; g++) {
        const struct ferry_gateway *gateway = &subnet->gateways[g];
        if (b->t->routers[gateway->router].site != subnet->home && !subnet->host_routes) {
            continue;
        }
        gateways[n++] = gateway->router;
        if (b->place_of[gateway->router] != FERRY_NONE) {
            attach(b, subnet, gateway, ferry_topology_table(b->t, gateway->router, index));
        }
    }
    for (uint32_t r = 0; r < b->t->n_routers; r++) {
        if (b->place_of[r] != FERRY_NONE) {
            use_table(&b->layout->places[b->place_of[r]], ferry_topology_table(b->t, r, index));
        }
    }
    return route_to(b, &subnet->prefix, gateways, n, index, err);
}

/* ---- Every other network: links, and LANs with an address of their own ---- */

struct network {
    struct ferry_prefix prefix;
    uint32_t router;
};

static int network_compare(const void *a, const void *b)
{
    const struct network *x = a, *y = b;
    int c = ferry_prefix_compare(&x->prefix, &y->prefix);
    return c ? c : (x->router > y->router) - (x->router < y->router);
}

static bool is_subnet(const struct ferry_topology *t, const struct ferry_prefix *prefix)
{
    for (size_t i = 0; i < t->n_subnets; i++) {
        if (ferry_prefix_equal(&t->subnets[i].prefix, prefix)) {
            return true;
        }
    }
    return false;
}

static struct network *networks(const struct ferry_topology *t, size_t *ret_n)
{
    struct network *v = NULL;
    size_t n = 0;
    for (uint32_t r = 0; r < t->n_routers; r++) {
        for (size_t i = 0; i < t->routers[r].n_interfaces; i++) {
            const struct ferry_interface *interface = &t->routers[r].interfaces[i];
            for (size_t a = 0; a < interface->n_addresses; a++) {
                struct ferry_prefix net = ferry_prefix_network(&interface->addresses[a]);
                if (!is_subnet(t, &net)) {
                    FERRY_GROW(v, n);
                    v[n++] = (struct network){.prefix = net, .router = r};
                }
            }
        }
    }
    if (n) {
        qsort(v, n, sizeof *v, network_compare);
    }
    *ret_n = n;
    return v;
}

static int add_networks(struct baseline *b, struct ferry_err *err)
{
    size_t n;
    FERRY_AUTOFREE struct network *v = networks(b->t, &n);
    FERRY_AUTOFREE uint32_t *gateways = ferry_calloc(b->t->n_routers + 1, sizeof *gateways);
    for (size_t i = 0; i < n;) {
        size_t n_gateways = 0, first = i;
        for (; i < n && ferry_prefix_equal(&v[i].prefix, &v[first].prefix); i++) {
            if (n_gateways == 0 || gateways[n_gateways - 1] != v[i].router) {
                gateways[n_gateways++] = v[i].router;
            }
        }
        int r = route_to(b, &v[first].prefix, gateways, n_gateways, FERRY_NONE, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int ferry_lab_baseline(const struct ferry_topology *t, const uint32_t *place_of,
                       struct ferry_lab_layout *layout, struct ferry_err *err)
{
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(t->n_routers + 1, sizeof *entries);
    struct baseline b = {.t = t, .place_of = place_of, .layout = layout, .entries = entries};
    for (uint32_t i = 0; i < t->n_subnets; i++) {
        int r = add_subnet(&b, i, err);
        if (r < 0) {
            return r;
        }
    }
    return add_networks(&b, err);
}
