/* Brute force, the ground it stands on: what routers hold, and where packets get to.  See prove_brute_parts.h.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_brute_parts.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct brute_held *brute_find(struct brute_state *s, uint32_t group, uint32_t router, enum ferry_kind kind,
                              uint32_t metric)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].group == group && s->v[i].router == router && s->v[i].kind == kind &&
            s->v[i].metric == metric)
            return &s->v[i];
    if (s->n == BRUTE_KEYS)
        abort();
    s->v[s->n] = (struct brute_held){group, router, kind, metric, NULL};
    return &s->v[s->n++];
}

struct brute_state *brute_state_new(const struct ferry_plan *plan)
{
    struct brute_state *s = ferry_calloc(1, sizeof *s);
    s->plan = plan;
    for (uint32_t g = 0; g < plan->n_groups; g++)
        for (uint32_t r = 0; r < plan->n_routers; r++)
            for (uint32_t i = 0; plan->groups[g].initial[r] && i < plan->groups[g].initial[r]->n; i++) {
                const struct ferry_entry *e = plan->groups[g].initial[r]->entries[i];
                brute_find(s, g, r, ferry_entry_kind(e), e->metric)->entry = e;
            }
    return s;
}

bool brute_fire(struct brute_state *s, const struct ferry_change *c)
{
    struct brute_held *h = brute_find(s, c->group, c->router, c->kind, c->metric);
    bool found = h->entry == c->before;
    h->entry = c->after;
    return found;
}

const struct ferry_entry *brute_forwards(const struct brute_state *s, uint32_t group, uint32_t router,
                                         bool *ret_own)
{
    const struct brute_held *best = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct brute_held *h = &s->v[i];
        if (h->group != group || h->router != router || !h->entry || h->kind == FERRY_KIND_ANNOUNCEMENT)
            continue;
        if (!best || h->kind == FERRY_KIND_GATEWAY ||
            (best->kind != FERRY_KIND_GATEWAY && h->metric < best->metric))
            best = h;
    }
    *ret_own = best;
    return best ? best->entry : s->plan->groups[group].covers[router].entry;
}

/* All that can become of a packet from path[n - 1]. */
static int follow(const struct brute_state *s, uint32_t group, uint32_t *path, size_t n)
{
    bool own;
    const struct ferry_entry *e = brute_forwards(s, group, path[n - 1], &own);
    int fate = 0;
    if (!e || e->type != FERRY_UNICAST)
        return e && own && e->type == FERRY_GATEWAY ? BRUTE_ARRIVES : BRUTE_STRAYS;
    for (size_t i = 0; i < e->n_nexthops; i++) {
        path[n] = e->nexthops[i].router;
        bool seen = false;
        for (size_t k = 0; k < n; k++)
            seen |= path[k] == path[n];
        fate |= path[n] == FERRY_NO_ROUTER ? BRUTE_STRAYS
                : seen                     ? BRUTE_CIRCLES
                                           : follow(s, group, path, n + 1);
    }
    return fate;
}

int brute_fate(const struct brute_state *s, uint32_t group, uint32_t router)
{
    uint32_t path[BRUTE_NODES + 1] = {router};
    return follow(s, group, path, 1);
}

const char *brute_site(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    const struct ferry_group *g = &plan->groups[group];
    const struct ferry_stack *stack = g->initial[router];
    bool first = stack && (stack->entries[0]->type == FERRY_GATEWAY ||
                           stack->entries[stack->n - 1]->type == FERRY_ANNOUNCEMENT);
    const char *side = first ? g->from : g->to;
    return plan->routers[router].site ? plan->routers[router].site : side ? side : "";
}

bool brute_may_attach(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    const struct ferry_group *g = &plan->groups[group];
    bool may = false;
    for (size_t s = 0; s < g->n_subnets; s++) {
        bool there = g->subnets[s].n_gateways == 0;
        for (size_t i = 0; i < g->subnets[s].n_gateways; i++)
            there |= g->subnets[s].gateways[i].gateway.router == router;
        may |= there;
    }
    return may && plan->routers[router].lost;
}

bool brute_same_key(const struct ferry_change *a, const struct ferry_change *b)
{
    return a->router == b->router && a->group == b->group && a->kind == b->kind && a->metric == b->metric;
}
