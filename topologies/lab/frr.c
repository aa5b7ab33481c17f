/* The frr.conf that an administrator would have written.  Neighbours: layout.h (addresses and routes of the place),
 * machine.c (who puts it on a disk).
 *
 *  1. Static routes are `ip route P GATEWAY` of the default distance; an interface is named only where the gateway
 *     alone does not say enough.
 *  2. BGP: one AS a site, 65001 and on in the file's order; eBGP over the links between sites, iBGP over those inside
 *     one.  OSPF: all in one area, a link costs what the topology says.
 *     A host with `bird` is a neighbour of the router on whose LAN it is.
 *  3. What a router originates is what it has: the networks of its interfaces, and the subnets that are attached at
 *     home.
 *
 * SPDX-License-Identifier: MIT */
#include "machine.h"

#include "base/mem.h"
#include <netinet/in.h>
#include <string.h>

struct writer {
    const struct ferry_topology *t;
    const struct ferry_lab_place *place;
    uint32_t router; /* index */
    FILE *out;
};

static const struct ferry_driver_config *driver(const struct writer *w)
{
    return &w->place->router->driver;
}

static bool has_family(const struct writer *w, uint8_t family)
{
    for (size_t i = 0; i < w->place->n_addresses; i++) {
        if (w->place->addresses[i].address.addr.family == family) {
            return true;
        }
    }
    return false;
}

/* ---- Static routes ---- */

static void write_leg(const struct writer *w, const struct ferry_lab_route *route,
                      const struct ferry_nexthop *nh)
{
    char prefix[FERRY_PREFIX_STRLEN], via[FERRY_ADDR_STRLEN];
    bool v6 = route->prefix.addr.family == AF_INET6;
    bool link_local = v6 && nh->via.family && nh->via.bytes[0] == 0xfe && (nh->via.bytes[1] & 0xc0) == 0x80;
    fprintf(w->out, "%s route %s", v6 ? "ipv6" : "ip", ferry_prefix_text(&route->prefix, prefix));
    if (nh->via.family) {
        fprintf(w->out, " %s", ferry_addr_text(&nh->via, via));
    }
    if (!nh->via.family || link_local) {
        fprintf(w->out, " %s", nh->dev);
    }
    if (route->entry->table != FERRY_TABLE_MAIN) {
        fprintf(w->out, " table %u", route->entry->table);
    }
    fputc('\n', w->out);
}

static void write_statics(const struct writer *w)
{
    for (size_t i = 0; i < w->place->n_routes; i++) {
        const struct ferry_lab_route *route = &w->place->routes[i];
        for (uint16_t n = 0; !route->dynamic && n < route->entry->n_nexthops; n++) {
            write_leg(w, route, &route->entry->nexthops[n]);
        }
    }
}

/* ---- Who speaks with whom ---- */

/* Calls `work` for each link of this router to one that speaks the same protocol. */
static void each_peer(const struct writer *w,
                      void (*work)(const struct writer *w, const struct ferry_end *own,
                                   const struct ferry_end *peer, uint32_t cost))
{
    for (size_t i = 0; i < w->t->n_links; i++) {
        const struct ferry_link *link = &w->t->links[i];
        bool forward = link->a.router == w->router;
        if (!forward && link->b.router != w->router) {
            continue;
        }
        const struct ferry_end *own = forward ? &link->a : &link->b, *peer = forward ? &link->b : &link->a;
        const struct ferry_router *other = &w->t->routers[peer->router];
        if (other->driver.routing == driver(w)->routing && ferry_lab_router_netns(other)) {
            work(w, own, peer, forward ? link->cost_ab : link->cost_ba);
        }
    }
}

static const char *interface_name(const struct writer *w, const struct ferry_end *end)
{
    return w->t->routers[end->router].interfaces[end->interface].name;
}

/* Calls `work` for each network that the router originates, once.  `subnets`: those that are attached here. */
static void each_network(const struct writer *w, uint8_t family, bool subnets,
                         void (*work)(const struct writer *w, const struct ferry_prefix *network))
{
    for (uint32_t s = 0; subnets && s < w->t->n_subnets; s++) {
        const struct ferry_subnet *subnet = &w->t->subnets[s];
        bool here = false;
        for (size_t g = 0; g < subnet->n_gateways; g++) {
            here |= subnet->gateways[g].router == w->router;
        }
        if (here && subnet->home == w->place->router->site && subnet->prefix.addr.family == family) {
            work(w, &subnet->prefix);
        }
    }
    for (size_t i = 0; i < w->place->router->n_interfaces; i++) {
        const struct ferry_interface *interface = &w->place->router->interfaces[i];
        for (size_t a = 0; a < interface->n_addresses; a++) {
            struct ferry_prefix network = ferry_prefix_network(&interface->addresses[a]);
            if (network.addr.family == family) {
                work(w, &network);
            }
        }
    }
}

static void write_router_id(const struct writer *w, const char *what)
{
    char text[FERRY_ADDR_STRLEN];
    for (size_t i = 0; i < w->place->n_addresses; i++) {
        if (w->place->addresses[i].address.addr.family == AF_INET) {
            fprintf(w->out, " %s %s\n", what, ferry_addr_text(&w->place->addresses[i].address.addr, text));
            return;
        }
    }
    fprintf(w->out, " %s 0.0.%u.%u\n", what, (w->router + 1) >> 8 & 255, (w->router + 1) & 255);
}

/* ---- BGP ---- */

uint32_t ferry_lab_as(const struct ferry_router *router)
{
    return FERRY_LAB_FIRST_AS + router->site;
}

static void write_neighbour(const struct writer *w, const struct ferry_end *own, const struct ferry_end *peer,
                            uint32_t cost)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    (void)cost;
    for (size_t f = 0; f < FERRY_COUNT(families); f++) {
        char text[FERRY_ADDR_STRLEN];
        const struct ferry_addr *address = ferry_link_via(w->t, own, peer, families[f]);
        if (address) {
            ferry_addr_text(address, text);
            fprintf(w->out, " neighbor %s remote-as %u\n neighbor %s timers connect 1\n", text,
                    ferry_lab_as(&w->t->routers[peer->router]), text);
        }
    }
}

static void activate(const struct writer *w, const struct ferry_end *own, const struct ferry_end *peer,
                     uint8_t family)
{
    char text[FERRY_ADDR_STRLEN];
    const struct ferry_addr *address = ferry_link_via(w->t, own, peer, family);
    if (!address) {
        return;
    }
    ferry_addr_text(address, text);
    fprintf(w->out, "  neighbor %s activate\n", text);
    if (w->t->routers[peer->router].site == w->place->router->site) {
        fprintf(w->out, "  neighbor %s next-hop-self\n", text);
    }
}

/* Calls `work` for each address of a host with `bird` on a LAN of this router. */
static void each_bird(const struct writer *w,
                      void (*work)(const struct writer *w, const struct ferry_lab_host *bird,
                                   const struct ferry_addr *address))
{
    for (size_t h = 0; h < w->t->n_lab_hosts; h++) {
        const struct ferry_lab_host *host = &w->t->lab_hosts[h];
        for (size_t i = 0; host->bird_as && i < host->n_at; i++) {
            for (size_t a = 0; host->at[i].router == w->router && a < host->n_addresses; a++) {
                work(w, host, &host->addresses[a].addr);
            }
        }
    }
}

static void write_bird(const struct writer *w, const struct ferry_lab_host *bird,
                       const struct ferry_addr *address)
{
    char text[FERRY_ADDR_STRLEN];
    ferry_addr_text(address, text);
    fprintf(w->out, " neighbor %s remote-as %u\n neighbor %s timers connect 1\n", text, bird->bird_as, text);
}

static void activate_bird_v4(const struct writer *w, const struct ferry_lab_host *bird,
                             const struct ferry_addr *address)
{
    char text[FERRY_ADDR_STRLEN];
    (void)bird;
    if (address->family == AF_INET) {
        fprintf(w->out, "  neighbor %s activate\n", ferry_addr_text(address, text));
    }
}

static void activate_bird_v6(const struct writer *w, const struct ferry_lab_host *bird,
                             const struct ferry_addr *address)
{
    char text[FERRY_ADDR_STRLEN];
    (void)bird;
    if (address->family == AF_INET6) {
        fprintf(w->out, "  neighbor %s activate\n", ferry_addr_text(address, text));
    }
}

static void activate_v4(const struct writer *w, const struct ferry_end *own, const struct ferry_end *peer,
                        uint32_t cost)
{
    (void)cost;
    activate(w, own, peer, AF_INET);
}

static void activate_v6(const struct writer *w, const struct ferry_end *own, const struct ferry_end *peer,
                        uint32_t cost)
{
    (void)cost;
    activate(w, own, peer, AF_INET6);
}

static void write_bgp_network(const struct writer *w, const struct ferry_prefix *network)
{
    char text[FERRY_PREFIX_STRLEN];
    fprintf(w->out, "  network %s\n", ferry_prefix_text(network, text));
}

static void write_bgp(const struct writer *w)
{
    const char *list = driver(w)->prefix_list;
    fprintf(w->out, "router bgp %u\n", ferry_lab_as(w->place->router));
    write_router_id(w, "bgp router-id");
    /* Of equal paths the same one always wins, not the one that came first. */
    fputs(" no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n timers bgp 3 9\n"
          " bgp bestpath compare-routerid\n",
          w->out);
    each_peer(w, write_neighbour);
    each_bird(w, write_bird);
    for (int v6 = 0; v6 < 2; v6++) {
        uint8_t family = v6 ? AF_INET6 : AF_INET;
        if (!has_family(w, family)) {
            continue;
        }
        fprintf(w->out, " address-family %s unicast\n", v6 ? "ipv6" : "ipv4");
        each_network(w, family, v6 || !list, write_bgp_network);
        if (list && !v6) {
            fprintf(w->out, "  redistribute connected route-map %s\n", list);
        }
        if (!w->t->ecmp) {
            fputs("  maximum-paths 1\n", w->out);
        }
        each_peer(w, v6 ? activate_v6 : activate_v4);
        each_bird(w, v6 ? activate_bird_v6 : activate_bird_v4);
        fputs(" exit-address-family\n", w->out);
    }
    fputs("exit\n", w->out);
}

/* ---- OSPF ---- */

static void write_ospf_network(const struct writer *w, const struct ferry_prefix *network)
{
    char text[FERRY_PREFIX_STRLEN];
    fprintf(w->out, " network %s area %s\n", ferry_prefix_text(network, text),
            driver(w)->area ? driver(w)->area : "0.0.0.0");
}

static void write_ospf(const struct writer *w)
{
    fputs("router ospf\n", w->out);
    write_router_id(w, "ospf router-id");
    fputs(" timers throttle spf 0 50 1000\n timers throttle lsa all 0\n timers lsa min-arrival 0\n", w->out);
    each_network(w, AF_INET, !driver(w)->prefix_list, write_ospf_network);
    if (driver(w)->prefix_list) {
        fprintf(w->out, " redistribute connected route-map %s\n", driver(w)->prefix_list);
    }
    if (!w->t->ecmp) {
        fputs(" maximum-paths 1\n", w->out);
    }
    fputs("exit\n", w->out);
}

/* Nobody speaks OSPF on a LAN of hosts. */
static void write_passive(const struct writer *w)
{
    for (uint32_t i = 0; i < w->place->router->n_interfaces; i++) {
        bool active = false;
        for (size_t l = 0; l < w->t->n_links; l++) {
            const struct ferry_link *link = &w->t->links[l];
            active |= link->a.router == w->router && link->a.interface == i;
            active |= link->b.router == w->router && link->b.interface == i;
        }
        if (!active) {
            fprintf(w->out, "interface %s\n ip ospf passive\nexit\n", w->place->router->interfaces[i].name);
        }
    }
}

static void write_ospf_interface(const struct writer *w, const struct ferry_end *own,
                                 const struct ferry_end *peer, uint32_t cost)
{
    (void)peer;
    fprintf(w->out,
            "interface %s\n ip ospf network point-to-point\n ip ospf cost %u\n ip ospf hello-interval 1\n"
            " ip ospf dead-interval 4\n ip ospf retransmit-interval 1\nexit\n",
            interface_name(w, own), cost > 65535 ? 65535 : cost);
}

/* ---- The whole ---- */

/* A prefix-list and the route-map of the same name that redistributes what it permits. */
static void write_permit(const struct writer *w, const struct ferry_prefix *network)
{
    char text[FERRY_PREFIX_STRLEN];
    fprintf(w->out, "ip prefix-list %s permit %s\n", driver(w)->prefix_list,
            ferry_prefix_text(network, text));
}

static void write_prefix_list(const struct writer *w)
{
    const struct ferry_subnet *subnets = w->t->subnets;
    for (size_t s = 0; s < w->t->n_subnets; s++) {
        for (size_t g = 0; g < subnets[s].n_gateways; g++) {
            if (subnets[s].gateways[g].router == w->router && subnets[s].home == w->place->router->site &&
                subnets[s].prefix.addr.family == AF_INET) {
                write_permit(w, &subnets[s].prefix);
                break;
            }
        }
    }
    fprintf(w->out, "route-map %s permit 10\n match ip address prefix-list %s\nexit\n",
            driver(w)->prefix_list, driver(w)->prefix_list);
}

static void write_interface(const struct writer *w, const char *name)
{
    char text[FERRY_PREFIX_STRLEN];
    bool opened = false;
    for (size_t i = 0; i < w->place->n_addresses; i++) {
        const struct ferry_lab_address *a = &w->place->addresses[i];
        if (!strcmp(a->dev, name)) {
            fprintf(w->out, "%s%s%s %s address %s\n", opened ? "" : "interface ", opened ? "" : name,
                    opened ? "" : "\n", a->address.addr.family == AF_INET6 ? "ipv6" : "ip",
                    ferry_prefix_text(&a->address, text));
            opened = true;
        }
    }
    fputs(opened ? "exit\n" : "", w->out);
}

void ferry_lab_frr_config(const struct ferry_topology *t, const struct ferry_lab_place *place, FILE *out)
{
    struct writer w = {.t = t, .place = place, .router = (uint32_t)(place->router - t->routers), .out = out};
    fprintf(out, "frr defaults traditional\nhostname %s\nservice integrated-vtysh-config\n", place->of);
    for (size_t i = 0; i < place->n_interfaces; i++) {
        write_interface(&w, place->interfaces[i]);
    }
    write_statics(&w);
    if (driver(&w)->routing != FERRY_ROUTING_STATIC && driver(&w)->prefix_list) {
        write_prefix_list(&w);
    }
    if (driver(&w)->routing == FERRY_ROUTING_BGP) {
        write_bgp(&w);
    }
    if (driver(&w)->routing == FERRY_ROUTING_OSPF) {
        each_peer(&w, write_ospf_interface);
        write_passive(&w);
        write_ospf(&w);
    }
}
