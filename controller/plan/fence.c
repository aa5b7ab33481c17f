/* Routers that are not under control: a site that is lost, a router that does not answer and may be left out, one that
 * is deferred.  Nothing is known of what such a router holds, now or later, and nothing is written to it.
 *
 * The plan without it: everybody who changes drops the subnet first, all at once (the fence), then the new gateways
 * attach, then all take the new ways, which avoid lost routers.  docs/planner.md has the argument.
 *
 * Invariants
 *  1. A change never makes a live router forward to a lost one.
 *  2. Where a lost router may be attached at another site, every live router whose packets could get there, or
 *     nobody knows where, drops them before anything is attached.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include "model/live_routing.h"

#include <string.h>

/* The gateway of a lost router that may be attached elsewhere than at the new site, after `from`; or NULL. */
static const struct ferry_gateway *astray(const struct ferry_work *work, const struct ferry_gateway *from)
{
    const struct ferry_subnet *s = work->subnet;
    for (size_t i = from ? (size_t)(from - s->gateways) + 1 : 0; i < s->n_gateways; i++)
        if (work->live->lost[s->gateways[i].router] &&
            work->t->routers[s->gateways[i].router].site != work->class->to)
            return &s->gateways[i];
    return NULL;
}

/* A router that is not under control, next to one of a lost site: it may lead packets there. */
static int check_neighbours(const struct ferry_work *work, uint32_t site, struct ferry_err *err)
{
    const struct ferry_topology *t = work->t;
    for (size_t i = 0; i < t->n_links; i++)
        for (int side = 0; side < 2; side++) {
            uint32_t a = side ? t->links[i].b.router : t->links[i].a.router;
            uint32_t b = side ? t->links[i].a.router : t->links[i].b.router;
            if (work->live->lost[a] && t->routers[a].site == site && work->live->lost[b] &&
                t->routers[b].site != site)
                return ferry_refuse(
                    err, "lost-site",
                    "%s may still be attached at %s, and %s, which may lead there, is not under control "
                    "either: nobody can fence it off; if a person knows that %s is dead: --attest TEXT",
                    work->subject, t->sites[site].name, t->routers[b].name, t->sites[site].name);
        }
    return 0;
}

/* Where it comes from: what is seen attached, else its home if that is lost, else the first lost site. */
static void find_from(struct ferry_work *work)
{
    const struct ferry_gateway *g = astray(work, NULL);
    if (work->class->from != FERRY_NONE || !g)
        return;
    work->class->from = work->t->routers[g->router].site;
    for (; g; g = astray(work, g))
        if (work->t->routers[g->router].site == work->subnet->home)
            work->class->from = work->subnet->home;
}

int ferry_work_lost(struct ferry_work *work, struct ferry_plan *plan, struct ferry_err *err)
{
    const struct ferry_topology *t = work->t;
    if (!work->fence)
        return 0;
    for (const struct ferry_gateway *g = astray(work, NULL); g; g = astray(work, g)) {
        uint32_t site = t->routers[g->router].site;
        work->exclusive = true;
        if (strcmp(work->terms->mode, "disaster") != 0)
            return ferry_refuse(err, "lost-site",
                                "%s may be attached at %s, on %s, which is not under control: a move without "
                                "it takes --mode disaster",
                                work->subject, t->sites[site].name, t->routers[g->router].name);
        int r = work->terms->attest ? 0 : check_neighbours(work, site, err);
        if (r < 0)
            return r;
    }
    find_from(work);
    for (size_t i = 0; i < work->subnet->n_gateways; i++) {
        uint32_t v = work->subnet->gateways[i].router;
        if (work->live->lost[v] && t->routers[v].site == work->class->to)
            ferry_plan_warn(plan, "%s: %s is not under control: %s takes it up without", work->subject,
                            t->routers[v].name, t->sites[work->class->to].name);
    }
    return 0;
}

/* Whether a router that has no way to the new gateways has to drop: invariant 2. */
static bool leads_astray(const struct ferry_work *work, uint32_t v)
{
    return work->exclusive && work->old[v] && work->old[v]->type == FERRY_UNICAST;
}

void ferry_work_fence(struct ferry_work *work)
{
    for (uint32_t v = 0; v < work->n; v++) {
        struct ferry_node *node = &work->nodes[v];
        work->round[v] = FERRY_NONE;
        work->whole[v] = work->mid[v] = work->old[v];
        if (node->is_old || work->live->lost[v])
            continue;
        node->critical =
            node->is_new ||
            (node->fresh ? !node->stack || !ferry_entry_equal(work->old[v], node->fresh, FERRY_CMP_FORWARDING)
                         : leads_astray(work, v));
    }
    work->n_rounds = 0;
}

bool ferry_work_idle(const struct ferry_work *work)
{
    bool idle = work->n_rounds == 0;
    for (uint32_t v = 0; v < work->n; v++) {
        const struct ferry_node *node = &work->nodes[v];
        idle &= !node->critical;
        for (uint32_t i = 1; node->stack && i < node->stack->n; i++)
            idle &= node->stack->entries[i]->type != FERRY_BLACKHOLE ||
                    node->stack->entries[i]->protocol != FERRY_PROTOCOL;
    }
    return idle;
}

/* ---- What is owed. ---- */

static void owe(struct ferry_work *work, struct ferry_plan *plan, const struct ferry_change *c, char *why)
{
    FERRY_GROW(plan->debts, plan->n_debts);
    plan->debts[plan->n_debts] = *c;
    plan->debts[plan->n_debts].why = ferry_plan_string(plan, why);
    if (!c->table)
        plan->debts[plan->n_debts].table =
            ferry_topology_table(work->t, c->router, work->live->subnets[work->class->column]);
    plan->n_debts++;
}

static void owe_gateway(struct ferry_work *work, struct ferry_plan *plan, uint32_t group, uint32_t v,
                        bool here)
{
    static const struct ferry_entry plain = {.type = FERRY_GATEWAY};
    const struct ferry_entry *gateway = ferry_pool_entry(work->pool, &plain);
    struct ferry_change c = {.router = v, .group = group, .kind = FERRY_KIND_GATEWAY};
    *(here ? &c.after : &c.before) = gateway;
    owe(work, plan, &c, ferry_asprintf(here ? "take up %s" : "let go of %s", work->subject));
}

static void owe_route(struct ferry_work *work, struct ferry_plan *plan, uint32_t group, uint32_t v,
                      const struct ferry_entry *way)
{
    struct ferry_entry e = *way;
    if (ferry_driver_has_distances(&work->t->routers[v].driver))
        e.metric = FERRY_DISTANCE_ROUTE;
    struct ferry_change c = {.router = v, .group = group, .kind = FERRY_KIND_ROUTE, .metric = e.metric};
    c.table = e.table;
    c.after = ferry_pool_entry(work->pool, &e);
    owe(work, plan, &c,
        ferry_asprintf("reach %s at %s", work->subject, work->t->sites[work->class->to].name));
}

int ferry_work_debts(struct ferry_work *work, struct ferry_goals *whole, struct ferry_plan *plan,
                     uint32_t group, struct ferry_err *err)
{
    const struct ferry_entry *const *ways;
    FERRY_AUTOFREE bool *gateways = ferry_calloc(work->n, sizeof *gateways);
    FERRY_AUTOFREE bool *others = ferry_calloc(work->n, sizeof *others);
    for (size_t i = 0; i < work->subnet->n_gateways; i++) {
        uint32_t v = work->subnet->gateways[i].router;
        *(work->t->routers[v].site == work->class->to ? &gateways[v] : &others[v]) = true;
    }
    int r =
        ferry_goals_get(whole, gateways, work->subnet->prefix.addr.family, work->subnet->table, &ways, err);
    for (uint32_t v = 0; r == 0 && v < work->n; v++) {
        bool lost = work->live->lost[v], cut_off = work->nodes[v].critical && !work->nodes[v].fresh;
        if (!lost && !cut_off)
            continue;
        if (lost && (gateways[v] || others[v]))
            owe_gateway(work, plan, group, v, gateways[v]);
        if (!gateways[v] && ways[v])
            owe_route(work, plan, group, v, ways[v]);
    }
    return r;
}
