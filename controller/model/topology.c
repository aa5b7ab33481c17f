/* A loaded topology: lookups and its end.  The loader is load.c, shortest paths are spf.c.
 * Without an index (a topology that was put together by hand) lookups walk the arrays.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/networks.h>
#include <ferry/recovery.h>

#include "base/mem.h"
#include "model/test.h"
#include "model/topology_index.h"

#include <stdlib.h>
#include <string.h>

#define SEVERAL (FERRY_NONE - 1) /* links on one interface: a LAN */

/* ---- The index. ---- */

static void index_interfaces(struct ferry_topology_index *index, const struct ferry_topology *t)
{
    index->interface_base = ferry_calloc(t->n_routers + 1, sizeof *index->interface_base);
    for (uint32_t r = 0; r < t->n_routers; r++) {
        const struct ferry_router *router = &t->routers[r];
        index->interface_base[r + 1] = index->interface_base[r] + (uint32_t)router->n_interfaces;
        for (size_t i = 0; i < router->n_interfaces; i++) {
            for (size_t j = 0; j < router->interfaces[i].n_addresses; j++) {
                const struct ferry_addr *a = &router->interfaces[i].addresses[j].addr;
                uint32_t other = ferry_map_add(&index->owners, a, sizeof *a, r);
                if (other != FERRY_MAP_NONE && other != r)
                    ferry_map_set(&index->owners, a, sizeof *a, FERRY_NO_ROUTER);
            }
        }
    }
    uint32_t n = index->interface_base[t->n_routers];
    index->links = ferry_calloc(n, sizeof *index->links);
    for (uint32_t i = 0; i < n; i++)
        index->links[i] = FERRY_NONE;
    for (uint32_t i = 0; i < t->n_links; i++) {
        const struct ferry_end *a = &t->links[i].a, *b = &t->links[i].b;
        uint32_t *slots[] = {&index->links[index->interface_base[a->router] + a->interface],
                             &index->links[index->interface_base[b->router] + b->interface]};
        for (size_t s = 0; s < 2; s++)
            *slots[s] = *slots[s] == FERRY_NONE ? i : SEVERAL;
    }
}

struct ferry_topology_index *ferry_topology_index_new(const struct ferry_topology *t)
{
    struct ferry_topology_index *index = ferry_calloc(1, sizeof *index);
    for (uint32_t i = 0; i < t->n_sites; i++)
        ferry_map_add(&index->sites, t->sites[i].name, strlen(t->sites[i].name), i);
    for (uint32_t i = 0; i < t->n_routers; i++)
        ferry_map_add(&index->routers, t->routers[i].name, strlen(t->routers[i].name), i);
    for (uint32_t i = 0; i < t->n_subnets; i++) {
        const struct ferry_subnet *s = &t->subnets[i];
        ferry_map_add(&index->subnets, s->name, strlen(s->name), i);
        ferry_map_add(&index->subnets, &s->prefix, sizeof s->prefix, i);
    }
    index_interfaces(index, t);
    ferry_graph_init(&index->graph4, t, AF_INET);
    ferry_graph_init(&index->graph6, t, AF_INET6);
    return index;
}

void ferry_topology_index_free(struct ferry_topology_index *index)
{
    if (!index)
        return;
    ferry_map_clear(&index->sites);
    ferry_map_clear(&index->routers);
    ferry_map_clear(&index->subnets);
    ferry_map_clear(&index->owners);
    free(index->interface_base);
    free(index->links);
    ferry_graph_clear(&index->graph4);
    ferry_graph_clear(&index->graph6);
    free(index);
}

/* ---- The end. ---- */

static void free_router(struct ferry_router *router)
{
    for (size_t i = 0; i < router->n_interfaces; i++)
        free(router->interfaces[i].addresses);
    free(router->interfaces);
    free(router->name);
    ferry_driver_config_clear(&router->driver);
}

static void free_link(struct ferry_link *link)
{
    for (size_t end = 0; end < 2; end++) {
        for (size_t i = 0; i < link->n_local_networks[end]; i++)
            free(link->local_networks[end][i].where);
        free(link->local_networks[end]);
        free(link->tunnel[end]);
    }
}

void ferry_topology_free(struct ferry_topology *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_sites; i++)
        free(t->sites[i].name);
    for (size_t i = 0; i < t->n_routers; i++)
        free_router(&t->routers[i]);
    for (size_t i = 0; i < t->n_links; i++)
        free_link(&t->links[i]);
    for (size_t i = 0; i < t->n_subnets; i++) {
        free(t->subnets[i].name);
        free(t->subnets[i].gateways);
        ferry_test_free(t->subnets[i].test);
    }
    for (size_t i = 0; i < t->n_lab_hosts; i++) {
        free(t->lab_hosts[i].name);
        free(t->lab_hosts[i].addresses);
        free(t->lab_hosts[i].via);
        free(t->lab_hosts[i].at);
        free(t->lab_hosts[i].bird_networks);
    }
    for (size_t i = 0; i < t->n_name_servers; i++) {
        free(t->name_servers[i].name);
        ferry_driver_config_clear(&t->name_servers[i].driver);
    }
    free(t->name_servers);
    ferry_topology_index_free(t->index);
    free(t->sites);
    free(t->routers);
    free(t->links);
    free(t->subnets);
    free(t->lab_hosts);
    ferry_hooks_clear(&t->hooks);
    ferry_networks_free(t->networks);
    ferry_recovery_plans_free(t->recovery);
    free(t->name);
    free(t);
}

/* ---- Lookups. ---- */

uint32_t ferry_topology_site(const struct ferry_topology *t, const char *name)
{
    if (t->index)
        return ferry_map_get(&t->index->sites, name, strlen(name));
    for (uint32_t i = 0; i < t->n_sites; i++)
        if (strcmp(t->sites[i].name, name) == 0)
            return i;
    return FERRY_NONE;
}

uint32_t ferry_topology_router(const struct ferry_topology *t, const char *name)
{
    if (t->index)
        return ferry_map_get(&t->index->routers, name, strlen(name));
    for (uint32_t i = 0; i < t->n_routers; i++)
        if (strcmp(t->routers[i].name, name) == 0)
            return i;
    return FERRY_NONE;
}

uint32_t ferry_topology_subnet(const struct ferry_topology *t, const char *name_or_prefix)
{
    struct ferry_prefix p;
    struct ferry_err why;
    bool is_prefix = strchr(name_or_prefix, '/') != NULL;
    if (is_prefix && ferry_prefix_parse(name_or_prefix, &p, &why) < 0)
        return FERRY_NONE;
    if (t->index)
        return is_prefix ? ferry_map_get(&t->index->subnets, &p, sizeof p)
                         : ferry_map_get(&t->index->subnets, name_or_prefix, strlen(name_or_prefix));
    for (uint32_t i = 0; i < t->n_subnets; i++)
        if (is_prefix ? ferry_prefix_equal(&t->subnets[i].prefix, &p)
                      : strcmp(t->subnets[i].name, name_or_prefix) == 0)
            return i;
    return FERRY_NONE;
}

uint32_t ferry_topology_table(const struct ferry_topology *t, uint32_t router, uint32_t subnet)
{
    return t->subnets[subnet].table ? t->subnets[subnet].table : t->routers[router].table;
}

static bool is_link_local(const struct ferry_addr *a)
{
    return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool router_has(const struct ferry_router *router, const struct ferry_addr *a)
{
    for (size_t i = 0; i < router->n_interfaces; i++)
        for (size_t j = 0; j < router->interfaces[i].n_addresses; j++)
            if (ferry_addr_equal(&router->interfaces[i].addresses[j].addr, a))
                return true;
    return false;
}

uint32_t ferry_topology_owner(const struct ferry_topology *t, const struct ferry_addr *a)
{
    uint32_t owner = FERRY_NO_ROUTER;
    if (is_link_local(a))
        return FERRY_NO_ROUTER;
    if (t->index)
        return ferry_map_get(&t->index->owners, a, sizeof *a);
    for (uint32_t r = 0; r < t->n_routers; r++) {
        if (!router_has(&t->routers[r], a))
            continue;
        if (owner != FERRY_NO_ROUTER)
            return FERRY_NO_ROUTER;
        owner = r;
    }
    return owner;
}

/* The link on an interface; FERRY_NONE; or SEVERAL. */
static uint32_t link_on(const struct ferry_topology *t, uint32_t router, uint32_t interface)
{
    if (t->index)
        return t->index->links[t->index->interface_base[router] + interface];
    uint32_t found = FERRY_NONE;
    for (uint32_t i = 0; i < t->n_links; i++)
        if ((t->links[i].a.router == router && t->links[i].a.interface == interface) ||
            (t->links[i].b.router == router && t->links[i].b.interface == interface))
            found = found == FERRY_NONE ? i : SEVERAL;
    return found;
}

uint32_t ferry_topology_neighbour(const struct ferry_topology *t, uint32_t router, const char *interface,
                                  struct ferry_end *ret_end)
{
    const struct ferry_router *self = &t->routers[router];
    for (uint32_t i = 0; i < self->n_interfaces; i++) {
        if (strcmp(self->interfaces[i].name, interface) != 0)
            continue;
        uint32_t index = link_on(t, router, i);
        if (index == FERRY_NONE || index == SEVERAL)
            return FERRY_NO_ROUTER;
        const struct ferry_link *link = &t->links[index];
        const struct ferry_end *end =
            link->a.router == router && link->a.interface == i ? &link->b : &link->a;
        if (ret_end)
            *ret_end = *end;
        return end->router;
    }
    return FERRY_NO_ROUTER;
}

const struct ferry_addr *ferry_link_via(const struct ferry_topology *t, const struct ferry_end *from,
                                        const struct ferry_end *to, uint8_t family)
{
    const struct ferry_interface *here = &t->routers[from->router].interfaces[from->interface];
    const struct ferry_interface *there = &t->routers[to->router].interfaces[to->interface];
    for (size_t i = 0; i < there->n_addresses; i++) {
        const struct ferry_prefix *a = &there->addresses[i];
        if (a->addr.family != family)
            continue;
        for (size_t j = 0; j < here->n_addresses; j++) {
            const struct ferry_prefix *b = &here->addresses[j];
            if (a->len == b->len && ferry_prefix_contains(b, &a->addr) &&
                !ferry_addr_equal(&a->addr, &b->addr))
                return &a->addr;
        }
    }
    return NULL;
}
