/* Whether a plan that came from a file says of the network what the topology says.
 *
 * The prover judges a document by the document's own words: which site a router is at, which neighbour a next
 * hop leads to.  Before it runs, apply.c (ui) holds these words against the topology here: else a document
 * that calls a third site "recovery", or a next hop back to the old site one to the new, would be proven.
 *
 * Invariants
 *  1. Words that are there are never corrected, only refused.  What a hand-made document leaves out (sites,
 *     drivers, gateways) is filled in, so that the proof and the journal know it.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <ferry/dns.h>

#include <stdio.h>
#include <string.h>

static int fit_router(struct ferry_plan_router *p, const struct ferry_topology *t, size_t i,
                      struct ferry_err *err)
{
    bool router = i < t->n_routers;
    const char *site = t->sites[router ? t->routers[i].site : t->name_servers[i - t->n_routers].site].name;
    const struct ferry_driver_config *driver =
        router ? &t->routers[i].driver : &t->name_servers[i - t->n_routers].driver;
    if (!p->site)
        p->site = ferry_strdup(site);
    if (strcmp(p->site, site) != 0)
        return ferry_refuse(err, "topology", "the plan puts %s at %s, the topology at %s; plan again",
                            p->name, p->site, site);
    if (!p->driver.type) {
        ferry_driver_config_clear(&p->driver);
        p->driver = ferry_driver_config_copy(driver);
    }
    if (!ferry_driver_config_equal(&p->driver, driver))
        return ferry_refuse(err, "topology",
                            "the plan reaches %s by another driver than the topology; plan again", p->name);
    return 0;
}

static const struct ferry_gateway *find_gateway(const struct ferry_subnet *s, uint32_t router)
{
    for (size_t i = 0; i < s->n_gateways; i++)
        if (s->gateways[i].router == router)
            return &s->gateways[i];
    return NULL;
}

static const char *interface_name(const struct ferry_topology *t, const struct ferry_gateway *g)
{
    return g->interface == FERRY_NONE ? "" : t->routers[g->router].interfaces[g->interface].name;
}

static bool same_gateway(const struct ferry_topology *t, const struct ferry_plan_gateway *p,
                         const struct ferry_gateway *g)
{
    return g && ferry_prefix_equal(&p->gateway.address, &g->address) &&
           ferry_addr_equal(&p->gateway.via, &g->via) && strcmp(p->interface, interface_name(t, g)) == 0 &&
           strcmp(p->gateway.make, g->make) == 0 && p->gateway.rules == g->rules &&
           p->gateway.isolated == g->isolated;
}

static void fill_gateways(struct ferry_plan_subnet *p, const struct ferry_topology *t,
                          const struct ferry_subnet *s)
{
    p->gateways = ferry_calloc(s->n_gateways, sizeof *p->gateways);
    p->n_gateways = s->n_gateways;
    for (size_t i = 0; i < s->n_gateways; i++) {
        struct ferry_plan_gateway *g = &p->gateways[i];
        g->gateway = s->gateways[i];
        g->gateway.interface = FERRY_NONE;
        snprintf(g->interface, sizeof g->interface, "%s", interface_name(t, &s->gateways[i]));
    }
}

static int fit_subnet(struct ferry_plan *plan, struct ferry_plan_subnet *p, const struct ferry_topology *t,
                      struct ferry_err *err)
{
    char prefix[FERRY_PREFIX_STRLEN];
    uint32_t index = ferry_topology_subnet(t, p->name);
    const struct ferry_subnet *s = index == FERRY_NONE ? NULL : &t->subnets[index];
    if (!s || strcmp(s->name, p->name) != 0 || !ferry_prefix_equal(&s->prefix, &p->prefix))
        return ferry_refuse(err, "topology", "the plan moves %s (%s), which the topology does not have",
                            p->name, ferry_prefix_text(&p->prefix, prefix));
    if (!p->n_gateways)
        fill_gateways(p, t, s);
    for (size_t i = 0; i < p->n_gateways; i++) {
        const struct ferry_plan_gateway *g = &p->gateways[i];
        if (!same_gateway(t, g, find_gateway(s, g->gateway.router)))
            return ferry_refuse(err, "topology",
                                "the plan's gateway of %s on %s is not the topology's; plan again", p->name,
                                plan->routers[g->gateway.router].name);
    }
    return 0;
}

/* The router's next hops lead where the plan says that they lead. */
static int fit_entry(const struct ferry_plan *plan, uint32_t router, const struct ferry_entry *e,
                     const struct ferry_topology *t, struct ferry_err *err)
{
    char text[256];
    for (uint16_t i = 0; e && i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        uint32_t to = ferry_topology_next(t, router, hop);
        if (to != hop->router)
            return ferry_refuse(
                err, "topology", "on %s the plan takes %s for a way to %s, by the topology it leads to %s",
                plan->routers[router].name, ferry_entry_text(e, text, sizeof text),
                hop->router == FERRY_NO_ROUTER ? "no router" : plan->routers[hop->router].name,
                to == FERRY_NO_ROUTER ? "no router" : plan->routers[to].name);
    }
    return 0;
}

static int fit_stack(const struct ferry_plan *plan, uint32_t router, const struct ferry_stack *stack,
                     const struct ferry_topology *t, struct ferry_err *err)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && stack && i < stack->n; i++)
        r = fit_entry(plan, router, stack->entries[i], t, err);
    return r;
}

static int fit_group(struct ferry_plan *plan, struct ferry_group *g, const struct ferry_topology *t,
                     struct ferry_err *err)
{
    const char *sites[] = {g->from, g->to};
    int r = 0;
    for (size_t i = 0; i < FERRY_COUNT(sites); i++)
        if (sites[i] && ferry_topology_site(t, sites[i]) == FERRY_NONE)
            return ferry_refuse(err, "topology", "the plan names site %s, which the topology does not have",
                                sites[i]);
    for (size_t i = 0; r == 0 && !g->dns && i < g->n_subnets; i++)
        r = fit_subnet(plan, &g->subnets[i], t, err);
    for (size_t i = 0; r == 0 && g->stretched && i < g->n_subnets; i++)
        if (!t->subnets[ferry_topology_subnet(t, g->subnets[i].name)].stretched)
            return ferry_refuse(err, "topology",
                                "the plan takes %s for stretched, which the topology does not",
                                g->subnets[i].name);
    for (uint32_t v = 0; r == 0 && v < plan->n_routers; v++)
        r = fit_stack(plan, v, g->initial[v], t, err);
    return r;
}

/* The tunnel is the router's. */
static int fit_selector(const struct ferry_plan *plan, const struct ferry_change *c,
                        const struct ferry_topology *t, struct ferry_err *err)
{
    const struct ferry_entry *e = c->after ? c->after : c->before;
    for (size_t i = 0; i < t->n_links; i++)
        for (int end = 0; end < 2; end++) {
            const struct ferry_link *link = &t->links[i];
            const char *tunnel = link->tunnel[end];
            if (tunnel && (end ? link->b.router : link->a.router) == c->router &&
                strlen(tunnel) == e->native_len && memcmp(tunnel, e->native, e->native_len) == 0)
                return 0;
        }
    return ferry_refuse(err, "topology",
                        "the plan changes tunnel '%.*s' of %s, which the topology does not have",
                        (int)e->native_len, (const char *)e->native, plan->routers[c->router].name);
}

static int fit_change(const struct ferry_plan *plan, const struct ferry_change *c,
                      const struct ferry_topology *t, struct ferry_err *err)
{
    const struct ferry_group *g = &plan->groups[c->group];
    const char *router = plan->routers[c->router].name;
    size_t len;
    if (!g->dns && c->router >= t->n_routers)
        return ferry_refuse(err, "topology", "the plan changes %s on %s, which is a name server",
                            g->subnets[0].name, router);
    if (g->dns && (c->router < t->n_routers ||
                   !ferry_dns_zone(plan->routers[c->router].driver.zones, g->subnets[0].name, &len)))
        return ferry_refuse(err, "topology",
                            "the plan changes %s on %s, which has not its zone in the topology",
                            g->subnets[0].name, router);
    if (g->dns && !ferry_dns_is_known(t, g->subnets[0].name))
        return ferry_refuse(err, "topology",
                            "the plan changes %s, which is no machine's name in the topology",
                            g->subnets[0].name);
    for (size_t i = 0; !g->dns && i < g->n_subnets; i++) {
        const struct ferry_plan_subnet *p = &g->subnets[i];
        uint32_t subnet = ferry_topology_subnet(t, p->name);
        if (c->table != ferry_topology_table(t, c->router, subnet))
            return ferry_refuse(err, "topology", "the plan writes %s in table %u of %s, the topology has %u",
                                p->name, c->table, router, ferry_topology_table(t, c->router, subnet));
        if (c->kind != FERRY_KIND_GATEWAY)
            continue;
        bool known = false;
        for (size_t k = 0; k < p->n_gateways; k++)
            known = known || p->gateways[k].gateway.router == c->router;
        if (!known)
            return ferry_refuse(err, "topology", "%s has no gateway on %s in the topology", p->name, router);
    }
    if (c->kind == FERRY_KIND_SELECTOR)
        return fit_selector(plan, c, t, err);
    int r = fit_entry(plan, c->router, c->before, t, err);
    return r < 0 ? r : fit_entry(plan, c->router, c->after, t, err);
}

static bool names(const struct ferry_plan_router *r, uint32_t neighbour)
{
    for (size_t i = 0; i < r->n_neighbours; i++)
        if (r->neighbours[i] == neighbour)
            return true;
    return false;
}

/* What is owed keeps later plans off the router until it is delivered: only who is lost owes, and routes alone. */
static int fit_debts(const struct ferry_plan *plan, struct ferry_err *err)
{
    for (size_t i = 0; i < plan->n_debts; i++) {
        const struct ferry_change *c = &plan->debts[i];
        if (!plan->routers[c->router].lost || plan->groups[c->group].dns)
            return ferry_refuse(err, "topology",
                                "the plan says that %s owes something, but not that it is lost",
                                plan->routers[c->router].name);
    }
    return 0;
}

/* All neighbours of lost routers are named: the prover asks each whether it is fenced. */
static int fit_lost(const struct ferry_plan *plan, const struct ferry_topology *t, struct ferry_err *err)
{
    for (size_t i = 0; i < t->n_links; i++)
        for (int side = 0; side < 2; side++) {
            uint32_t a = side ? t->links[i].b.router : t->links[i].a.router;
            uint32_t b = side ? t->links[i].a.router : t->links[i].b.router;
            if (plan->routers[a].lost && !names(&plan->routers[a], b))
                return ferry_refuse(err, "topology",
                                    "%s is lost, and the plan does not name its neighbour %s; plan again",
                                    plan->routers[a].name, plan->routers[b].name);
        }
    return 0;
}

void ferry_plan_name_sites(struct ferry_plan *plan, const struct ferry_topology *t)
{
    for (size_t i = 0; i < plan->n_routers; i++) {
        struct ferry_plan_router *p = &plan->routers[i];
        uint32_t router = p->site ? FERRY_NONE : ferry_topology_router(t, p->name);
        if (router != FERRY_NONE)
            p->site = ferry_strdup(t->sites[t->routers[router].site].name);
    }
}

/* Programs run as whoever applies: a plan brings none of its own. */
static int fit_hooks(struct ferry_plan *plan, const struct ferry_topology *t, struct ferry_err *err)
{
    struct ferry_hooks back = ferry_hooks_reverse(&t->hooks);
    bool undo = !strcmp(plan->mode, "undo");
    if (ferry_plan_is_ttl_only(plan) && !plan->hooks.n)
        return 0;
    if (!plan->hooks.n && !ferry_plan_is_empty(plan))
        plan->hooks = ferry_hooks_copy(undo ? &back : &t->hooks);
    bool same = ferry_plan_is_empty(plan) || ferry_hooks_equal(&plan->hooks, undo ? &back : &t->hooks);
    ferry_hooks_clear(&back);
    return same ? 0
                : ferry_refuse(err, "topology", "the plan's hooks are not those of the topology; plan again");
}

int ferry_plan_fit(struct ferry_plan *plan, const struct ferry_topology *t, struct ferry_err *err)
{
    if (!strcmp(plan->mode, "test"))
        return ferry_refuse(err, "test-isolated",
                            "the plan is of a test failover, which is never applied as a move: `ferry "
                            "test-failover` plans and runs it");
    bool records = plan->n_routers == t->n_routers + t->n_name_servers;
    bool fits = plan->n_routers == t->n_routers || records;
    for (size_t i = 0; fits && i < plan->n_routers; i++)
        fits = strcmp(plan->routers[i].name,
                      i < t->n_routers ? t->routers[i].name : t->name_servers[i - t->n_routers].name) == 0;
    if (!fits)
        return ferry_refuse(err, "topology", "the plan's routers are not the topology's; plan again");
    int r = 0;
    for (size_t i = 0; r == 0 && i < plan->n_routers; i++)
        r = fit_router(&plan->routers[i], t, i, err);
    if (r == 0)
        r = fit_lost(plan, t, err);
    if (r == 0)
        r = fit_debts(plan, err);
    for (size_t i = 0; r == 0 && i < plan->n_groups; i++)
        r = fit_group(plan, &plan->groups[i], t, err);
    for (size_t i = 0; r == 0 && i < plan->n_stages; i++)
        for (size_t k = 0; r == 0 && k < plan->stages[i].n_changes; k++)
            r = fit_change(plan, &plan->stages[i].changes[k], t, err);
    if (r == 0)
        r = ferry_plan_fit_addresses(plan, t, err);
    if (r == 0)
        r = fit_hooks(plan, t, err);
    if (r == 0)
        ferry_plan_seal(plan);
    return r;
}
