/* Which namespaces a lab has and how they are wired.  Neighbours: layout.h (the result), baseline.c
 * (addresses and routes), script.c (as commands).
 *
 *  1. A router is its driver's namespace; what a link joins is a veth pair named as the interfaces.
 *  2. Every other interface of a router is a port of a bridge in the namespace "<topology>-lan".  A bridge is
 *     a LAN: the interfaces of one site on which the same subnet can be attached, or which have addresses of
 *     the same network, share it; any other has one of its own.
 *  3. A host is a namespace "<host>.<router>" a place, with an interface eth0 on that LAN, once a LAN.
 *
 * SPDX-License-Identifier: MIT */
#include "layout.h"

#include "base/mem.h"
#include <netinet/in.h>
#include <string.h>

/* An interface that no link of the lab uses. */
struct lan_end {
    struct ferry_end end;
    uint32_t lan;    /* the LAN's first member (union-find) */
    uint32_t bridge; /* number of its bridge, once known */
};

struct builder {
    const struct ferry_topology *t;
    struct ferry_lab_layout *layout;
    uint32_t *place_of; /* [router] */
    struct lan_end *ends;
    size_t n_ends;
    uint32_t lan_place;
};

static void builder_clear(struct builder *b)
{
    ferry_lab_layout_free(b->layout);
    free(b->place_of);
    free(b->ends);
}

static uint32_t add_place(struct ferry_lab_layout *layout, enum ferry_lab_role role, char *netns,
                          const char *of)
{
    FERRY_GROW(layout->places, layout->n_places);
    struct ferry_lab_place *p = &layout->places[layout->n_places];
    *p = (struct ferry_lab_place){
        .netns = netns, .role = role, .of = ferry_strdup(of), .forwards = role == FERRY_LAB_ROUTER};
    return (uint32_t)layout->n_places++;
}

static void add_interface(struct ferry_lab_place *p, const char *name)
{
    FERRY_GROW(p->interfaces, p->n_interfaces);
    ferry_lab_set_dev(p->interfaces[p->n_interfaces++], name);
}

static void add_address(struct ferry_lab_place *p, const struct ferry_prefix *address, const char *dev)
{
    FERRY_GROW(p->addresses, p->n_addresses);
    struct ferry_lab_address *a = &p->addresses[p->n_addresses++];
    *a = (struct ferry_lab_address){.address = *address};
    ferry_lab_set_dev(a->dev, dev);
}

static void add_wire(struct ferry_lab_layout *layout, uint32_t a, const char *a_name, uint32_t b,
                     const char *b_name)
{
    FERRY_GROW(layout->wires, layout->n_wires);
    struct ferry_lab_wire *w = &layout->wires[layout->n_wires++];
    *w = (struct ferry_lab_wire){.place = {a, b}};
    ferry_lab_set_dev(w->name[0], a_name);
    ferry_lab_set_dev(w->name[1], b_name);
}

static const struct ferry_interface *end_interface(const struct ferry_topology *t, const struct ferry_end *e)
{
    return &t->routers[e->router].interfaces[e->interface];
}

/* ---- Routers and links ---- */

static int add_routers(struct builder *b, struct ferry_err *err)
{
    const struct ferry_topology *t = b->t;
    for (size_t r = 0; r < t->n_routers; r++) {
        const struct ferry_router *router = &t->routers[r];
        b->place_of[r] = FERRY_NONE;
        const char *netns = ferry_lab_router_netns(router);
        if (!netns) {
            b->layout->n_left_out++;
            continue;
        }
        uint32_t place = add_place(b->layout, FERRY_LAB_ROUTER, ferry_strdup(netns), router->name);
        b->place_of[r] = place;
        ferry_lab_set_machine(&b->layout->places[place], router);
        for (size_t i = 0; i < router->n_interfaces; i++) {
            const struct ferry_interface *interface = &router->interfaces[i];
            if (interface->make[0]) {
                continue; /* its gateway brings it along */
            }
            add_interface(&b->layout->places[place], interface->name);
            for (size_t a = 0; a < interface->n_addresses; a++) {
                add_address(&b->layout->places[place], &interface->addresses[a], interface->name);
            }
        }
    }
    if (b->layout->n_places == 0) {
        return ferry_refuse(
            err, "no-netns",
            "no router of %s is a namespace of this machine (driver netlink with a netns, frr or "
            "iproute over SSH with one): nothing to build",
            t->name);
    }
    return 0;
}

static int add_links(struct builder *b, bool **wired, struct ferry_err *err)
{
    const struct ferry_topology *t = b->t;
    for (size_t i = 0; i < t->n_links; i++) {
        const struct ferry_end *x = &t->links[i].a, *y = &t->links[i].b;
        if (b->place_of[x->router] == FERRY_NONE || b->place_of[y->router] == FERRY_NONE) {
            continue; /* the end that is in the lab becomes a LAN of its own: it has a carrier */
        }
        if (wired[x->router][x->interface] || wired[y->router][y->interface]) {
            return ferry_refuse(err, "lab-lan",
                                "link %s:%s - %s:%s: an interface has several links; the lab builds "
                                "cables between two interfaces alone",
                                t->routers[x->router].name, end_interface(t, x)->name,
                                t->routers[y->router].name, end_interface(t, y)->name);
        }
        add_wire(b->layout, b->place_of[x->router], end_interface(t, x)->name, b->place_of[y->router],
                 end_interface(t, y)->name);
        wired[x->router][x->interface] = wired[y->router][y->interface] = true;
    }
    return 0;
}

/* ---- LANs ---- */

static uint32_t find_end(const struct builder *b, uint32_t router, uint32_t interface)
{
    for (size_t i = 0; i < b->n_ends; i++) {
        if (b->ends[i].end.router == router && b->ends[i].end.interface == interface) {
            return (uint32_t)i;
        }
    }
    return FERRY_NONE;
}

static uint32_t lan_of(struct builder *b, uint32_t end)
{
    while (b->ends[end].lan != end) {
        end = b->ends[end].lan = b->ends[b->ends[end].lan].lan;
    }
    return end;
}

static void join(struct builder *b, uint32_t x, uint32_t y)
{
    if (x == FERRY_NONE || y == FERRY_NONE || b->ends[x].end.router == b->ends[y].end.router) {
        return;
    }
    if (b->t->routers[b->ends[x].end.router].site != b->t->routers[b->ends[y].end.router].site) {
        return;
    }
    x = lan_of(b, x);
    y = lan_of(b, y);
    b->ends[x > y ? x : y].lan = x > y ? y : x;
}

static bool share_network(const struct ferry_interface *x, const struct ferry_interface *y)
{
    for (size_t i = 0; i < x->n_addresses; i++) {
        struct ferry_prefix net = ferry_prefix_network(&x->addresses[i]);
        for (size_t j = 0; j < y->n_addresses; j++) {
            struct ferry_prefix other = ferry_prefix_network(&y->addresses[j]);
            if (ferry_prefix_equal(&net, &other)) {
                return true;
            }
        }
    }
    return false;
}

static void join_lans(struct builder *b)
{
    const struct ferry_topology *t = b->t;
    for (size_t s = 0; s < t->n_subnets; s++) {
        const struct ferry_subnet *subnet = &t->subnets[s];
        for (size_t i = 0; i < subnet->n_gateways; i++) {
            for (size_t j = i + 1; j < subnet->n_gateways; j++) {
                const struct ferry_gateway *x = &subnet->gateways[i], *y = &subnet->gateways[j];
                if (x->interface != FERRY_NONE && y->interface != FERRY_NONE) {
                    join(b, find_end(b, x->router, x->interface), find_end(b, y->router, y->interface));
                }
            }
        }
    }
    for (uint32_t i = 0; i < b->n_ends; i++) {
        for (uint32_t j = i + 1; j < b->n_ends; j++) {
            if (share_network(end_interface(t, &b->ends[i].end), end_interface(t, &b->ends[j].end))) {
                join(b, i, j);
            }
        }
    }
}

/* Plugs an interface into a bridge.  Places may move in memory: only indices are kept. */
static void plug(struct builder *b, uint32_t place, const char *interface, uint32_t bridge)
{
    struct ferry_lab_place *lan = &b->layout->places[b->lan_place];
    FERRY_GROW(lan->ports, lan->n_ports);
    struct ferry_lab_port *port = &lan->ports[lan->n_ports];
    snprintf(port->name, sizeof port->name, "p%u", (unsigned)(lan->n_ports % 10000000));
    port->bridge = bridge;
    port->alias = ferry_asprintf("%s:%s", b->layout->places[place].netns, interface);
    lan->n_ports++;
    add_wire(b->layout, b->lan_place, port->name, place, interface);
}

static void add_lans(struct builder *b, bool **wired)
{
    const struct ferry_topology *t = b->t;
    for (uint32_t r = 0; r < t->n_routers; r++) {
        for (uint32_t i = 0; b->place_of[r] != FERRY_NONE && i < t->routers[r].n_interfaces; i++) {
            if (!wired[r][i] && !t->routers[r].interfaces[i].make[0]) {
                FERRY_GROW(b->ends, b->n_ends);
                b->ends[b->n_ends] =
                    (struct lan_end){.end = {.router = r, .interface = i}, .lan = (uint32_t)b->n_ends};
                b->n_ends++;
            }
        }
    }
    if (b->n_ends == 0) {
        return;
    }
    join_lans(b);
    b->lan_place = add_place(b->layout, FERRY_LAB_LAN, ferry_asprintf("%s-lan", t->name), t->name);
    for (uint32_t i = 0; i < b->n_ends; i++) {
        uint32_t first = lan_of(b, i);
        b->ends[i].bridge = first == i ? b->layout->places[b->lan_place].n_bridges++ : b->ends[first].bridge;
        plug(b, b->place_of[b->ends[i].end.router], end_interface(t, &b->ends[i].end)->name,
             b->ends[i].bridge);
    }
}

/* ---- Hosts ---- */

/* Where a host sends what is not for its LAN: what the file says; else the gateway of its LAN. */
static struct ferry_addr host_gateway(const struct ferry_topology *t, const struct ferry_lab_host *h,
                                      const struct ferry_prefix *own, const struct ferry_end *at)
{
    for (size_t i = 0; i < h->n_via; i++) {
        if (h->via[i].family == own->addr.family) {
            return h->via[i];
        }
    }
    for (size_t s = 0; s < t->n_subnets; s++) {
        if (!ferry_prefix_contains(&t->subnets[s].prefix, &own->addr)) {
            continue;
        }
        for (size_t g = 0; g < t->subnets[s].n_gateways; g++) {
            const struct ferry_gateway *gateway = &t->subnets[s].gateways[g];
            if (gateway->router == at->router && gateway->interface == at->interface) {
                return gateway->address.addr.family ? gateway->address.addr : gateway->via;
            }
        }
    }
    const struct ferry_interface *interface = end_interface(t, at);
    for (size_t i = 0; i < interface->n_addresses; i++) {
        if (ferry_prefix_contains(own, &interface->addresses[i].addr)) {
            return interface->addresses[i].addr;
        }
    }
    return (struct ferry_addr){0};
}

static void add_host_route(struct builder *b, struct ferry_lab_place *p, const struct ferry_prefix *prefix,
                           const struct ferry_addr *via, bool onlink)
{
    struct ferry_nexthop nh = {
        .router = FERRY_NO_ROUTER, .via = *via, .dev = "eth0", .weight = 1, .onlink = onlink};
    struct ferry_entry e = {.type = FERRY_UNICAST,
                            .table = FERRY_TABLE_MAIN,
                            .metric =
                                prefix->addr.family == AF_INET6 ? 1024 : 0, /* the kernel's own default */
                            .protocol = 4 /* RTPROT_STATIC, linux/rtnetlink.h */,
                            .n_nexthops = 1,
                            .nexthops = &nh};
    FERRY_GROW(p->routes, p->n_routes);
    p->routes[p->n_routes++] =
        (struct ferry_lab_route){.prefix = *prefix, .entry = ferry_pool_entry(b->layout->pool, &e)};
}

/* Gives the device behind which a routed subnet sits the addresses that hosts of that subnet have as their
 * gateway. */
static bool serve_subnet(struct builder *b, struct ferry_lab_place *p, const struct ferry_prefix *subnet,
                         const struct ferry_end *at)
{
    bool served = false;
    for (size_t i = 0; i < b->t->n_lab_hosts && !served; i++) {
        const struct ferry_lab_host *h = &b->t->lab_hosts[i];
        bool here = false;
        for (size_t j = 0; j < h->n_at; j++) {
            here |= h->at[j].router == at->router && h->at[j].interface == at->interface;
        }
        for (size_t j = 0; here && j < h->n_via; j++) {
            if (ferry_prefix_contains(subnet, &h->via[j])) {
                add_address(p, &(struct ferry_prefix){.addr = h->via[j], .len = subnet->len}, "eth0");
                served = true;
                break;
            }
        }
    }
    return served;
}

/* A host whose address is the `via` of a routed gateway is that device: it forwards. */
static void make_inner_device(struct builder *b, struct ferry_lab_place *p, const struct ferry_prefix *own,
                              const struct ferry_end *at)
{
    for (size_t s = 0; s < b->t->n_subnets; s++) {
        const struct ferry_subnet *subnet = &b->t->subnets[s];
        for (size_t g = 0; g < subnet->n_gateways; g++) {
            const struct ferry_gateway *gateway = &subnet->gateways[g];
            if (gateway->router == at->router && gateway->via.family &&
                ferry_addr_equal(&gateway->via, &own->addr)) {
                p->forwards = true;
                if (!serve_subnet(b, p, &subnet->prefix, at)) {
                    add_host_route(b, p, &subnet->prefix, &(struct ferry_addr){0}, false);
                }
                break;
            }
        }
    }
}

static void add_host_at(struct builder *b, const struct ferry_lab_host *h, const struct ferry_end *at,
                        uint32_t bridge)
{
    const struct ferry_topology *t = b->t;
    uint32_t place = add_place(b->layout, FERRY_LAB_HOST,
                               ferry_asprintf("%s.%s", h->name, t->routers[at->router].name), h->name);
    struct ferry_lab_place *p = &b->layout->places[place];
    p->host = h;
    p->at = at;
    p->machine = h->bird_as ? FERRY_LAB_BIRD : FERRY_LAB_KERNEL;
    p->forwards = p->machine == FERRY_LAB_BIRD;
    add_interface(p, "eth0");
    for (size_t i = 0; i < h->n_addresses; i++) {
        const struct ferry_prefix *own = &h->addresses[i];
        add_address(p, own, "eth0");
        make_inner_device(b, p, own, at);
        struct ferry_addr via = host_gateway(t, h, own, at);
        if (via.family && !ferry_addr_equal(&via, &own->addr) && !h->bird_as) { /* BIRD learns its way */
            struct ferry_prefix any = {.addr = {.family = own->addr.family}};
            add_host_route(b, p, &any, &via, !ferry_prefix_contains(own, &via));
        }
    }
    plug(b, place, "eth0", bridge);
}

static int add_hosts(struct builder *b, struct ferry_err *err)
{
    for (size_t i = 0; i < b->t->n_lab_hosts; i++) {
        const struct ferry_lab_host *h = &b->t->lab_hosts[i];
        FERRY_AUTOFREE uint32_t *used = ferry_calloc(h->n_at + 1, sizeof *used);
        size_t n_used = 0;
        for (size_t j = 0; j < h->n_at; j++) {
            uint32_t end = find_end(b, h->at[j].router, h->at[j].interface);
            if (b->place_of[h->at[j].router] == FERRY_NONE) {
                continue;
            }
            if (end == FERRY_NONE) {
                return ferry_error(err, FERRY_EINPUT, "host %s: %s:%s is a link to another router, not a LAN",
                                   h->name, b->t->routers[h->at[j].router].name,
                                   end_interface(b->t, &h->at[j])->name);
            }
            bool again = false;
            for (size_t k = 0; k < n_used; k++) {
                again |= used[k] == b->ends[end].bridge;
            }
            if (!again) {
                used[n_used++] = b->ends[end].bridge;
                add_host_at(b, h, &h->at[j], b->ends[end].bridge);
            }
        }
    }
    return 0;
}

static int check_names(const struct ferry_lab_layout *layout, struct ferry_err *err)
{
    for (size_t i = 0; i < layout->n_places; i++) {
        for (size_t j = 0; j < i; j++) {
            if (!strcmp(layout->places[i].netns, layout->places[j].netns)) {
                return ferry_refuse(err, "netns-shared",
                                    "two parts of the lab (%s, %s) want the namespace %s",
                                    layout->places[j].of, layout->places[i].of, layout->places[i].netns);
            }
        }
    }
    return 0;
}

int ferry_lab_layout_new(const struct ferry_topology *t, struct ferry_lab_layout **ret, struct ferry_err *err)
{
    FERRY_CLEANUP(builder_clear)
    struct builder b = {.t = t,
                        .layout = ferry_calloc(1, sizeof *b.layout),
                        .place_of = ferry_calloc(t->n_routers + 1, sizeof *b.place_of)};
    b.layout->pool = ferry_pool_new();
    int r = add_routers(&b, err);
    if (r < 0) {
        return r;
    }
    size_t total = 0;
    for (size_t i = 0; i < t->n_routers; i++) {
        total += t->routers[i].n_interfaces;
    }
    FERRY_AUTOFREE bool *flags = ferry_calloc(total + 1, sizeof *flags);
    FERRY_AUTOFREE bool **wired = ferry_calloc(t->n_routers + 1, sizeof *wired);
    for (size_t i = 0, at = 0; i < t->n_routers; at += t->routers[i++].n_interfaces) {
        wired[i] = flags + at;
    }
    if ((r = add_links(&b, wired, err)) < 0) {
        return r;
    }
    add_lans(&b, wired);
    if ((r = add_hosts(&b, err)) < 0 || (r = check_names(b.layout, err)) < 0 ||
        (r = ferry_lab_baseline(t, b.place_of, b.layout, err)) < 0) {
        return r;
    }
    *ret = FERRY_STEAL(b.layout);
    return 0;
}

void ferry_lab_layout_free(struct ferry_lab_layout *layout)
{
    if (!layout) {
        return;
    }
    for (size_t i = 0; i < layout->n_places; i++) {
        struct ferry_lab_place *p = &layout->places[i];
        for (size_t j = 0; j < p->n_ports; j++) {
            free(p->ports[j].alias);
        }
        free(p->netns);
        free(p->of);
        free(p->interfaces);
        free(p->addresses);
        free(p->routes);
        free(p->tables);
        free(p->ports);
    }
    free(layout->places);
    free(layout->wires);
    ferry_pool_free(layout->pool);
    free(layout);
}
