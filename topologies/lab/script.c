/* A layout as lines for `ip -batch`.  Neighbours: layout.h (what is written), lab.c (who runs it).
 * SPDX-License-Identifier: MIT */
#include "layout.h"

#include <netinet/in.h>

void ferry_lab_script_wires(const struct ferry_lab_layout *layout, FILE *out)
{
    for (size_t i = 0; i < layout->n_wires; i++) {
        const struct ferry_lab_wire *w = &layout->wires[i];
        fprintf(out, "link add name %s netns %s type veth peer name %s netns %s\n", w->name[0],
                layout->places[w->place[0]].netns, w->name[1], layout->places[w->place[1]].netns);
    }
}

void ferry_lab_script_links(const struct ferry_lab_place *place, FILE *out)
{
    fputs("link set dev lo up\n", out);
    for (uint32_t i = 0; i < place->n_bridges; i++) {
        fprintf(out, "link add name br%u type bridge forward_delay 0 stp_state 0\nlink set dev br%u up\n", i,
                i);
    }
    for (size_t i = 0; i < place->n_ports; i++) {
        const struct ferry_lab_port *p = &place->ports[i];
        fprintf(out, "link set dev %s alias %s master br%u up\n", p->name, p->alias, p->bridge);
    }
    for (size_t i = 0; i < place->n_interfaces; i++) {
        fprintf(out, "link set dev %s up\n", place->interfaces[i]);
    }
}

static void script_route(const struct ferry_lab_route *route, FILE *out)
{
    const struct ferry_entry *e = route->entry;
    char prefix[FERRY_PREFIX_STRLEN], via[FERRY_ADDR_STRLEN], protocol[16];
    fprintf(out, "route add %s table %u protocol %s", ferry_prefix_text(&route->prefix, prefix), e->table,
            ferry_protocol_name(e->protocol, protocol));
    if (e->metric) {
        fprintf(out, " metric %u", e->metric);
    }
    for (uint16_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *nh = &e->nexthops[i];
        if (e->n_nexthops > 1) {
            fputs(" nexthop", out);
        }
        if (nh->via.family) {
            fprintf(out, " via %s", ferry_addr_text(&nh->via, via));
        } else if (route->prefix.addr.family == AF_INET) {
            fputs(" scope link", out);
        }
        if (nh->dev[0]) {
            fprintf(out, " dev %s", nh->dev);
        }
        if (e->n_nexthops > 1) {
            fprintf(out, " weight %u", nh->weight ? nh->weight : 1u);
        }
        if (nh->onlink) {
            fputs(" onlink", out);
        }
    }
    fputc('\n', out);
}

void ferry_lab_script_config(const struct ferry_lab_place *place, FILE *out)
{
    char text[FERRY_PREFIX_STRLEN];
    if (place->machine == FERRY_LAB_FRR) {
        return; /* its own daemons set them */
    }
    for (size_t i = 0; i < place->n_addresses; i++) {
        const struct ferry_lab_address *a = &place->addresses[i];
        fprintf(out, "address add %s dev %s%s%s\n", ferry_prefix_text(&a->address, text), a->dev,
                a->address.addr.family == AF_INET6 ? " nodad" : "", a->noprefixroute ? " noprefixroute" : "");
    }
    for (size_t i = 0; i < place->n_routes; i++) {
        script_route(&place->routes[i], out);
    }
}

void ferry_lab_script_rules(const struct ferry_lab_place *place, FILE *out)
{
    for (size_t i = 0; i < place->n_tables; i++) {
        fprintf(out, "rule add pref %zu lookup %u\n", 1000 + i, place->tables[i]);
    }
}
