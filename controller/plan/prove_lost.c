/* The prover and routers that are not under control.  See prove_parts.h; docs/prover.md has the argument.
 *
 * A lost router holds nothing that the document could know, and may do anything.  So nothing is written to
 * it, and where it may be attached at another site than the one that a plan attaches, no live router may lead
 * there once that can have happened: by any entry that can be on top in some state, by what covers the
 * prefix, or by a next hop that nobody knows.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include <stdio.h>
#include <string.h>

/* Whether the router can be attached for one of the group's subnets; a document that does not say: it can. */
static bool may_attach(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    const struct ferry_group *g = &plan->groups[group];
    for (size_t s = 0; s < g->n_subnets; s++) {
        if (!g->subnets[s].n_gateways)
            return true;
        for (size_t i = 0; i < g->subnets[s].n_gateways; i++)
            if (g->subnets[s].gateways[i].gateway.router == router)
                return true;
    }
    return false;
}

/* A lost router that may be attached elsewhere than at the site of `router`, or PROVE_NONE. */
static uint32_t rival(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    const char *site = prove_site(plan, group, router);
    for (uint32_t r = 0; r < plan->n_routers; r++)
        if (plan->routers[r].lost && may_attach(plan, group, r) &&
            strcmp(prove_site(plan, group, r), site) != 0)
            return r;
    return PROVE_NONE;
}

void prove_lost_load(struct prover *p)
{
    const struct ferry_plan *plan = p->plan;
    size_t at = (size_t)p->class->group * plan->n_stages;
    p->fence_first = PROVE_NONE;
    p->fence_last = 0;
    p->attaches = false;
    for (size_t i = plan->n_stages ? p->first[at] : 0; plan->n_stages && i < p->first[at + plan->n_stages];
         i++) {
        const struct prove_ref *ref = &p->refs[i];
        const struct ferry_change *c = &plan->stages[ref->stage].changes[ref->change];
        bool place = c->kind == FERRY_KIND_GATEWAY || c->kind == FERRY_KIND_ANNOUNCEMENT;
        if (!place || !(p->undo ? c->before : c->after))
            continue;
        p->attaches = true;
        if (rival(plan, p->class->group, ref->router) == PROVE_NONE)
            continue;
        /* An undo passes the same states backwards. */
        uint32_t first = p->undo ? 0 : ref->stage, last = p->undo ? ref->stage : PROVE_NONE - 1;
        p->fence_first = first < p->fence_first ? first : p->fence_first;
        p->fence_last = last > p->fence_last ? last : p->fence_last;
    }
}

bool prove_leads_astray(const struct prover *p, uint32_t router, const struct ferry_entry *e)
{
    if (p->stage < p->fence_first || p->stage > p->fence_last || p->plan->routers[router].lost || !e ||
        e->type != FERRY_UNICAST)
        return false;
    for (size_t i = 0; i < e->n_nexthops; i++)
        if (e->nexthops[i].router == FERRY_NO_ROUTER || p->plan->routers[e->nexthops[i].router].lost)
            return true;
    return false;
}

bool prove_stale(const struct prover *p, uint32_t router)
{
    const char *to = p->plan->groups[p->class->group].to;
    return p->reconcile && to && strcmp(prove_site(p->plan, p->class->group, router), to) != 0;
}

bool prove_lost_serves(const struct prover *p)
{
    const char *to = p->plan->groups[p->class->group].to;
    for (uint32_t r = 0; to && r < p->plan->n_routers; r++)
        if (p->plan->routers[r].lost && may_attach(p->plan, p->class->group, r) &&
            strcmp(prove_site(p->plan, p->class->group, r), to) == 0)
            return true;
    return false;
}

/* ---- The document. ---- */

static bool leads_to(const struct ferry_entry *e, uint32_t router)
{
    for (size_t i = 0; e && i < e->n_nexthops; i++)
        if (e->nexthops[i].router == router)
            return true;
    return false;
}

const char *prove_lost_fault(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_group *g = &plan->groups[c->group];
    bool undo = plan->mode && strcmp(plan->mode, "undo") == 0;
    const struct ferry_entry *made = undo ? c->before : c->after;
    const struct ferry_stack *stack = g->initial[c->router];
    if (plan->routers[c->router].lost)
        return "this router is lost: nothing may be written to it";
    for (size_t i = 0; made && made->type == FERRY_UNICAST && i < made->n_nexthops; i++) {
        uint32_t to = made->nexthops[i].router;
        if (to == FERRY_NO_ROUTER || !plan->routers[to].lost)
            continue;
        /* A pin over what goes there already changes nothing. */
        if (!undo && (leads_to(ferry_stack_best(stack), to) ||
                      (!stack && g->covers && leads_to(g->covers[c->router].entry, to))))
            continue;
        return undo ? "what it takes away leads to a lost router" : "it leads to a lost router";
    }
    return NULL;
}

/* A neighbour of a lost site that nobody controls may lead packets there. */
static bool open_side(const struct ferry_plan *plan, uint32_t group, uint32_t router, uint32_t *ret)
{
    const char *site = prove_site(plan, group, router);
    for (uint32_t r = 0; r < plan->n_routers; r++) {
        const struct ferry_plan_router *lost = &plan->routers[r];
        if (!lost->lost || strcmp(prove_site(plan, group, r), site) != 0)
            continue;
        for (size_t i = 0; i < lost->n_neighbours; i++) {
            uint32_t n = lost->neighbours[i];
            if (plan->routers[n].lost && strcmp(prove_site(plan, group, n), site) != 0) {
                *ret = n;
                return true;
            }
        }
    }
    return false;
}

bool prove_lost_open(const struct prover *p, uint32_t *ret_rival, uint32_t *ret_neighbour)
{
    const struct ferry_plan *plan = p->plan;
    size_t at = (size_t)p->class->group * plan->n_stages;
    if (plan->attest || p->fence_first == PROVE_NONE)
        return false;
    for (size_t i = p->first[at]; i < p->first[at + plan->n_stages]; i++) {
        const struct ferry_change *c = &plan->stages[p->refs[i].stage].changes[p->refs[i].change];
        const char *site = prove_site(plan, p->class->group, c->router);
        bool place = c->kind == FERRY_KIND_GATEWAY || c->kind == FERRY_KIND_ANNOUNCEMENT;
        if (!place || !(p->undo ? c->before : c->after))
            continue;
        for (uint32_t r = 0; r < plan->n_routers; r++)
            if (plan->routers[r].lost && may_attach(plan, p->class->group, r) &&
                strcmp(prove_site(plan, p->class->group, r), site) != 0 &&
                open_side(plan, p->class->group, r, ret_neighbour)) {
                *ret_rival = r;
                return true;
            }
    }
    return false;
}
