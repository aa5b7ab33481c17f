/* Routes that BGP and OSPF make, and what those protocols must not take from Ferry.  SPDX-License-Identifier: MIT */
#include "internal.h"

#include <linux/rtnetlink.h>
#include <stdio.h>

/* ---- Routes. ---- */

static uint32_t table_of(const struct ferry_frr_static *s)
{
    return s->table ? s->table : FERRY_TABLE_MAIN;
}

/* The distance by which the planner knows such routes, unless that would put it on the other side of a static one. */
static uint32_t metric(const struct ferry_frr_config *running, const struct ferry_frr_route *route,
                       uint32_t usual)
{
    for (size_t i = 0; running && i < running->n_statics; i++) {
        const struct ferry_frr_static *s = &running->statics[i];
        if (table_of(s) == route->table && ferry_frr_static_counts(running, s) &&
            ferry_prefix_equal(&s->prefix, &route->prefix) &&
            (s->distance < usual) != (s->distance < route->distance))
            return route->distance;
    }
    return usual;
}

/* Adds a leg, once: two next hops of BGP may resolve to the same. */
static void add_hop(struct ferry_nexthop *hops, uint16_t *n, const struct ferry_frr_leg *leg)
{
    struct ferry_nexthop hop = {
        .router = FERRY_NO_ROUTER, .via = leg->via, .weight = leg->weight, .onlink = leg->onlink};
    snprintf(hop.dev, sizeof hop.dev, "%s", leg->dev);
    for (uint16_t i = 0; i < *n; i++)
        if (ferry_addr_equal(&hops[i].via, &hop.via) && strcmp(hops[i].dev, hop.dev) == 0)
            return;
    hops[(*n)++] = hop;
}

bool ferry_frr_protocol_entry(const struct ferry_frr_config *running, const struct ferry_frr_route *route,
                              struct ferry_entry *ret)
{
    bool bgp = strcmp(route->protocol, "bgp") == 0;
    if ((!bgp && strcmp(route->protocol, "ospf") != 0) || route->n_legs > UINT16_MAX)
        return false;
    FERRY_AUTOFREE struct ferry_nexthop *hops = ferry_calloc(route->n_legs + 1, sizeof *hops);
    uint16_t n = 0;
    enum ferry_entry_type drop = FERRY_UNICAST;
    for (size_t i = 0; i < route->n_legs; i++) {
        const struct ferry_frr_leg *leg = &route->legs[i];
        if (leg->recursive || !leg->active)
            continue;
        if (leg->type != FERRY_UNICAST)
            drop = leg->type;
        else if (!leg->via.family)
            return false; /* OSPF's own network: the attachment */
        else
            add_hop(hops, &n, leg);
    }
    if (!n && drop == FERRY_UNICAST)
        return false;
    *ret = (struct ferry_entry){
        .type = n ? FERRY_UNICAST : drop,
        .table = route->table,
        .metric = metric(running, route, bgp ? FERRY_DISTANCE_BGP : FERRY_DISTANCE_OSPF),
        .protocol = bgp ? RTPROT_BGP : RTPROT_OSPF,
        .n_nexthops = n,
        .nexthops = n ? FERRY_STEAL(hops) : NULL,
    };
    return true;
}

int ferry_frr_protocol_op_check(const struct ferry_op *op, struct ferry_err *err)
{
    const struct ferry_entry *e = op->before;
    if (!ferry_entry_dynamic(e) || !ferry_entry_dynamic(op->after) || op->prefix.addr.family != AF_INET6)
        return 0;
    for (uint16_t i = 0; i < e->n_nexthops; i++) {
        const uint8_t *b = e->nexthops[i].via.bytes;
        if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
            return ferry_refuse(
                err, "frr-link-local",
                "BGP prefers link-local next hops here, which no plan can foresee: give its IPv6 "
                "neighbours a 'route-map … in' with 'set ipv6 next-hop prefer-global'");
    }
    return 0;
}

/* ---- Redistribution of static routes. ---- */

/* "route-map NAME permit 10": its name, action and place. */
static bool clause(const char *header, const char *name, char action[static 8])
{
    char of[128], number[16];
    return sscanf(header, "route-map %127s %7s %15s", of, action, number) == 3 && strcmp(of, name) == 0;
}

/* Whether a route-map surely denies routes of Ferry's tag: a clause that does so, before any that might let them
 * through. What other clauses match beside a tag is not looked into. */
static bool denies_pins(const struct ferry_frr_config *running, const char *name)
{
    for (size_t i = 0; i < running->n_blocks; i++) {
        const struct ferry_frr_block *b = &running->blocks[i];
        char action[8];
        if (!clause(b->header, name, action))
            continue;
        unsigned long tag = 0;
        size_t others = 0;
        for (size_t k = 0; k < b->n_lines; k++) {
            if (strncmp(b->lines[k], "match tag ", 10) == 0)
                tag = strtoul(b->lines[k] + 10, NULL, 10);
            else if (strncmp(b->lines[k], "match ", 6) == 0)
                others++;
        }
        if (strcmp(action, "deny") == 0) {
            if ((tag == FERRY_FRR_TAG || !tag) && !others)
                return true;
        } else if (!tag || tag == FERRY_FRR_TAG) {
            return false;
        }
    }
    return true; /* none lets them through: a route-map ends with a denial, and a missing one denies as well */
}

/* The route-map of a line "redistribute … route-map NAME …", into `name`; "" where there is none. */
static void route_map_of(const char *line, char name[static 128])
{
    const char *map = strstr(line, " route-map ");
    *name = '\0';
    if (map && sscanf(map, " route-map %127s", name) != 1)
        *name = '\0';
}

static int check_line(const struct ferry_frr_config *running, const char *header, const char *line,
                      struct ferry_err *err)
{
    char name[128];
    line += strspn(line, " ");
    if (strncmp(line, "redistribute ", 13) != 0 || !strstr(line, " static"))
        return 0;
    route_map_of(line, name);
    if (*name && denies_pins(running, name))
        return 0;
    const char *map = *name ? name : "STATIC";
    return ferry_refuse(err, "frr-redistribute",
                        "'%s' has '%s': Ferry's static routes (tag %d) would be announced from every router "
                        "that it moves traffic on.  Add 'route-map %s deny 1', 'match tag %d'%s%s%s",
                        header, line, (int)FERRY_FRR_TAG, map, (int)FERRY_FRR_TAG,
                        *name ? ""
                              : ", 'route-map STATIC permit 2', and end that line with 'route-map STATIC'",
                        *name ? " (before its other clauses)" : "",
                        *name ? "" : "; a prefix that is meant to be announced needs no tag");
}

int ferry_frr_protocol_check(const struct ferry_frr *d, const struct ferry_frr_config *running,
                             struct ferry_err *err)
{
    if (d->config.routing == FERRY_ROUTING_STATIC)
        return 0;
    for (size_t i = 0; i < running->n_blocks; i++) {
        const struct ferry_frr_block *b = &running->blocks[i];
        if (strncmp(b->header, "router ", 7) != 0)
            continue;
        for (size_t k = 0; k < b->n_lines; k++) {
            int r = check_line(running, b->header, b->lines[k], err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}
