/* What is refused before anything is planned: states that a plan could not make safe, by rule and by name.
 * Used by make.c, before goal.c.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include "model/live_routing.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PROTOCOL_KERNEL = 2 /* RTPROT_KERNEL, linux/rtnetlink.h */ };

void ferry_work_clear(struct ferry_work *work)
{
    free(work->nodes);
    free(work->old);
    free(work->whole);
    free(work->mid);
    free(work->round);
    free(work->subject);
    *work = (struct ferry_work){0};
}

uint32_t ferry_gateway_metric(const struct ferry_work *work, uint32_t router)
{
    enum { CONNECTED6 = 256 /* IP6_RT_PRIO_ADDRCONF, net/ip6_route.h */, LOWEST6 = 1 };
    bool distances = ferry_driver_has_distances(&work->t->routers[router].driver);
    if (!distances && work->subnet->prefix.addr.family == AF_INET)
        return 0;
    for (size_t i = 0; i < work->subnet->n_gateways; i++) {
        const struct ferry_gateway *g = &work->subnet->gateways[i];
        if (g->router == router && g->via.family)
            return LOWEST6;
    }
    if (distances) /* of what is connected */
        return 0;
    uint32_t table = ferry_topology_table(work->t, router, work->live->subnets[work->class->column]);
    return table == FERRY_TABLE_MAIN ? CONNECTED6 : LOWEST6;
}

/* The plan's own copy, with plain gateways (what an attachment looks like in detail differs from subnet to
 * subnet and is kept with the subnet) and without what a protocol changes by itself and nobody follows. */
static const struct ferry_stack *adopt(struct ferry_work *work, const struct ferry_stack *stack, bool all)
{
    static const struct ferry_entry plain = {.type = FERRY_GATEWAY};
    uint32_t n = 0;
    if (!stack)
        return NULL;
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(stack->n, sizeof *entries);
    for (uint32_t i = 0; i < stack->n; i++) {
        const struct ferry_entry *e = stack->entries[i];
        if ((i && ferry_entry_dynamic(e)) || (!all && !ferry_entry_forwards(e)))
            continue;
        entries[n++] = ferry_pool_entry(work->pool, e->type == FERRY_GATEWAY ? &plain : e);
    }
    return ferry_pool_stack(work->pool, entries, n);
}

static int check_reachable(const struct ferry_live *live, struct ferry_err *err)
{
    for (uint32_t v = 0; v < live->topology->n_routers; v++)
        if (live->unreachable[v] && !live->lost[v])
            return ferry_refuse(err, "unreachable", "%s cannot be read: %s", live->topology->routers[v].name,
                                live->unreachable_why[v].text[0] ? live->unreachable_why[v].text
                                                                 : "no answer");
    return 0;
}

/* Finds the gateways: attached now, and of the target site. */
static int check_sites(struct ferry_work *work, struct ferry_err *err)
{
    const struct ferry_topology *t = work->t;
    uint32_t first = FERRY_NONE, n_new = 0;
    for (uint32_t v = 0; v < work->n; v++) {
        struct ferry_node *node = &work->nodes[v];
        node->is_old = node->stack && node->stack->entries[0]->type == FERRY_GATEWAY;
        if (!node->is_old)
            continue;
        if (first == FERRY_NONE || (work->stretched && t->routers[first].site == work->class->to))
            first = v; /* of a stretched one: a site that is to be left, where there is one */
        else if (t->routers[v].site != t->routers[first].site && !work->reconcile && !work->stretched)
            return ferry_refuse(err, "two-sites", "%s is attached at two sites: %s (%s) and %s (%s)",
                                work->subject, t->routers[first].name, t->sites[t->routers[first].site].name,
                                t->routers[v].name, t->sites[t->routers[v].site].name);
        work->n_old++;
    }
    work->class->from = first == FERRY_NONE ? FERRY_NONE : t->routers[first].site;
    for (size_t i = 0; i < work->subnet->n_gateways; i++) {
        uint32_t v = work->subnet->gateways[i].router;
        if (t->routers[v].site == work->class->to && !work->live->lost[v]) {
            work->nodes[v].is_new = true;
            n_new++;
        }
    }
    if (!n_new && work->reconcile &&
        first != FERRY_NONE) /* a move is not refused for its debt then (journal_debt.c) */
        return ferry_refuse(
            err, "no-gateway",
            "%s belongs at %s, where no router that could have it answers: reconcile when one does; "
            "or give that up: `ferry apply --mode disaster --move %s=%s`",
            work->subject, t->sites[work->class->to].name, work->subnet->name,
            t->sites[t->routers[first].site].name);
    if (!n_new)
        return ferry_refuse(err, "no-gateway", "%s %s no gateway at %s%s", work->subject,
                            work->class->n_moves == 1 ? "has" : "have", t->sites[work->class->to].name,
                            work->fence ? " on a router that answers" : "");
    if (work->reconcile)
        work->class->from = work->class->to;
    return 0;
}

/* Reconciling: what is attached, or announced, where it does not belong is the business of plans that detach. */
static int check_belongs(struct ferry_work *work, struct ferry_err *err)
{
    const struct ferry_topology *t = work->t;
    for (uint32_t v = 0; v < work->n; v++) {
        struct ferry_node *node = &work->nodes[v];
        const struct ferry_entry *last = node->held ? node->held->entries[node->held->n - 1] : NULL;
        if (t->routers[v].site == work->class->to)
            continue;
        if (last && last->type == FERRY_ANNOUNCEMENT)
            node->announced = last;
        if ((node->is_old || node->announced) && !work->terms->detaching)
            return ferry_refuse(err, "two-sites", "%s is attached or announced at %s too, on %s",
                                work->subject, t->sites[t->routers[v].site].name, t->routers[v].name);
    }
    return 0;
}

static bool attaches(const struct ferry_entry *e)
{
    if (e->type != FERRY_UNICAST)
        return false;
    if (e->protocol == PROTOCOL_KERNEL)
        return true;
    for (uint16_t i = 0; i < e->n_nexthops; i++)
        if (!e->nexthops[i].via.family && e->nexthops[i].router == FERRY_NO_ROUTER)
            return true;
    return false;
}

static int check_stack(const struct ferry_work *work, uint32_t v, struct ferry_err *err)
{
    const struct ferry_stack *stack = work->nodes[v].stack;
    const char *router = work->t->routers[v].name;
    char text[256];
    for (uint32_t i = 0; stack && i < stack->n; i++) {
        const struct ferry_entry *e = stack->entries[i];
        if (e->type == FERRY_GATEWAY)
            continue;
        if (attaches(e))
            return ferry_refuse(
                err, "foreign-attachment",
                "%s: %s holds the subnet on a device that is not its gateway in the topology: %s",
                work->subject, router, ferry_entry_text(e, text, sizeof text));
        if (work->nodes[v].is_old && e->metric <= ferry_gateway_metric(work, v))
            return ferry_refuse(err, "gateway-beaten", "%s: on %s a route is stronger than the gateway: %s",
                                work->subject, router, ferry_entry_text(e, text, sizeof text));
        if (i && stack->entries[i - 1]->type != FERRY_GATEWAY && stack->entries[i - 1]->metric == e->metric)
            return ferry_refuse(err, "duplicate-key", "%s: %s holds two routes of the same metric %u",
                                work->subject, router, e->metric);
    }
    return 0;
}

/* Behind a device of its own, which is on no stretched LAN. */
static bool routed(const struct ferry_subnet *host, uint32_t router)
{
    for (size_t i = 0; i < host->n_gateways; i++)
        if (host->gateways[i].router == router)
            return !ferry_addr_equal(&host->gateways[i].via, &host->prefix.addr);
    return false;
}

/* Whether a router has the LAN that a host lies in.  Offline, unless that is a column too, it is taken for
 * granted. */
static bool on_lan(const struct ferry_work *work, uint32_t router)
{
    const struct ferry_live *live = work->live;
    const struct ferry_entry *lan = live->covers[(size_t)router * live->n_subnets + work->class->column];
    return lan ? attaches(lan) : live->offline;
}

/* Invariant 4 of model/load_hosts.c. */
static int check_hosts(const struct ferry_work *work, struct ferry_err *err)
{
    const struct ferry_topology *t = work->t;
    const struct ferry_subnet *subnet = work->subnet;
    if (subnet->host_routes && !work->reconcile)
        return ferry_refuse(
            err, "host-routes",
            "%s stays at all its sites, and its machines have routes of their own: move those, by "
            "their names or with their network",
            subnet->name);
    for (uint32_t v = 0; subnet->is_host && v < work->n; v++) {
        if (work->nodes[v].is_new && !work->nodes[v].is_old && !routed(subnet, v) && !on_lan(work, v))
            return ferry_refuse(err, "host-routes",
                                "%s cannot be at %s: %s has not attached %s, in which it lies", subnet->name,
                                t->sites[work->class->to].name, t->routers[v].name,
                                t->subnets[subnet->around].name);
    }
    return 0;
}

int ferry_work_check(struct ferry_work *work, struct ferry_err *err)
{
    const struct ferry_live *live = work->live;
    for (uint32_t v = 0; v < work->n; v++) {
        size_t at = (size_t)v * live->n_subnets + work->class->column;
        work->nodes[v].held = adopt(work, live->stacks[at], true);
        work->nodes[v].stack = adopt(work, live->stacks[at], false);
        if (!work->nodes[v].stack && live->covers[at])
            work->nodes[v].cover = ferry_pool_entry(work->pool, live->covers[at]);
    }
    int r = check_reachable(live, err);
    if (r < 0)
        return r;
    r = check_sites(work, err);
    if (r == 0 && work->reconcile)
        r = check_belongs(work, err);
    if (r == 0)
        r = check_hosts(work, err);
    if (r < 0 || work->terms->detaching || (work->class->from == work->class->to && !work->reconcile))
        return r;
    for (uint32_t v = 0; v < work->n; v++) {
        r = check_stack(work, v, err);
        if (r < 0)
            return r;
    }
    return ferry_work_protocols(work, err);
}
