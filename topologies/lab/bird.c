/* bird.conf of a router that no topology controls: a BGP neighbour that takes what it is told and originates its own
 * networks.  Neighbours: frr.c (the other end).  SPDX-License-Identifier: MIT */
#include "machine.h"

#include "base/mem.h"
#include <netinet/in.h>

static void write_network(const struct ferry_lab_host *host, uint8_t family, FILE *out)
{
    const char *name = family == AF_INET6 ? "ipv6" : "ipv4";
    char text[FERRY_PREFIX_STRLEN];
    fprintf(out, "protocol direct direct_%s { %s; }\n", name, name);
    fprintf(out, "protocol kernel kernel_%s { %s { export where source = RTS_BGP; }; }\n", name, name);
    fprintf(out, "protocol static own_%s {\n  %s;\n", name, name);
    for (size_t i = 0; i < host->n_bird_networks; i++) {
        if (host->bird_networks[i].addr.family == family) {
            fprintf(out, "  route %s blackhole;\n", ferry_prefix_text(&host->bird_networks[i], text));
        }
    }
    fputs("}\n", out);
}

/* A session with the router, from each address of the host to the one of the router in the same network. */
static void write_session(const struct ferry_lab_place *place, const struct ferry_router *router,
                          const struct ferry_prefix *own, FILE *out)
{
    const struct ferry_interface *interface = &router->interfaces[place->at->interface];
    const char *name = own->addr.family == AF_INET6 ? "ipv6" : "ipv4";
    char local[FERRY_ADDR_STRLEN], remote[FERRY_ADDR_STRLEN];
    for (size_t i = 0; i < interface->n_addresses; i++) {
        const struct ferry_addr *peer = &interface->addresses[i].addr;
        if (ferry_prefix_contains(own, peer)) {
            fprintf(out,
                    "protocol bgp router_%s {\n"
                    "  local %s as %u;\n  neighbor %s as %u;\n"
                    "  hold time 9; keepalive time 3;\n"
                    "  connect delay time 1; connect retry time 1; error wait time 1, 2;\n"
                    "  %s { import all; export where source = RTS_STATIC; };\n"
                    "}\n",
                    name, ferry_addr_text(&own->addr, local), place->host->bird_as,
                    ferry_addr_text(peer, remote), ferry_lab_as(router), name);
            return;
        }
    }
}

char *ferry_lab_bird_config(const struct ferry_topology *t, const struct ferry_lab_place *place)
{
    const struct ferry_lab_host *host = place->host;
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    fprintf(out, "router id 0.0.255.%zu;\nprotocol device {}\n", (size_t)(host - t->lab_hosts + 1) & 255);
    for (size_t i = 0; i < host->n_addresses; i++) {
        write_network(host, host->addresses[i].addr.family, out);
        write_session(place, &t->routers[place->at->router], &host->addresses[i], out);
    }
    fclose(out);
    return text;
}
