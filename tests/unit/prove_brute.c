/* Brute force for the prover's tests; see prove_brute.h, and prove_brute_parts.h for what it stands on.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_brute_parts.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- One stage: breadth first over the order of its events. ---- */

static void play_stage(const struct brute_state *start, size_t stage, uint32_t group,
                       const struct brute_rules *rules, struct brute *ret)
{
    const struct ferry_plan *plan = start->plan;
    const struct ferry_change *events[BRUTE_DEPTH];
    size_t n = 0;
    for (size_t i = 0; plan->n_stages && i < plan->stages[stage].n_changes; i++)
        if (plan->stages[stage].changes[i].group == group) {
            if (n == BRUTE_DEPTH)
                abort();
            events[n++] = &plan->stages[stage].changes[i];
        }
    FERRY_AUTOFREE bool *seen = ferry_calloc((size_t)1 << n, sizeof *seen);
    FERRY_AUTOFREE uint32_t *queue = ferry_calloc((size_t)1 << n, sizeof *queue);
    FERRY_AUTOFREE struct brute_state *s = ferry_calloc(1, sizeof *s);
    size_t tail = 1;
    for (size_t head = 0; head < tail; head++) {
        uint32_t done = queue[head];
        size_t n_done = (size_t)__builtin_popcount(done);
        if (ret->violation && n_done > ret->n_events)
            return;
        *s = *start;
        for (size_t i = 0; i < n; i++)
            if (done >> i & 1)
                brute_fire(s, events[i]);
        enum ferry_violation v = brute_judge(s, group, rules);
        ret->states++;
        if (v && (!ret->violation || v < ret->violation))
            *ret = (struct brute){v, (uint32_t)stage, n_done, ret->states};
        for (size_t i = 0; i < n; i++)
            if (!(done >> i & 1) && !seen[done | 1u << i]) {
                seen[done | 1u << i] = true;
                queue[tail++] = done | 1u << i;
            }
    }
}

static bool was_origin(const struct ferry_plan *plan, uint32_t group, const struct brute_held *h)
{
    const struct ferry_stack *stack = plan->groups[group].initial[h->router];
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if (ferry_entry_kind(stack->entries[i]) == h->kind)
            return true;
    return false;
}

static bool finished(const struct brute_state *s, uint32_t group, const struct brute_course *c)
{
    const char *to = s->plan->groups[group].to;
    bool attached = false, announced = false, undo = strcmp(s->plan->mode, "undo") == 0;
    bool first = false, follows = false, own;
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].kind == FERRY_KIND_ROUTE || !s->v[i].entry || s->v[i].group != group)
            continue;
        attached |= s->v[i].kind == FERRY_KIND_GATEWAY;
        announced |= s->v[i].kind == FERRY_KIND_ANNOUNCEMENT;
        if (undo && s->plan->groups[group].stretched && was_origin(s->plan, group, &s->v[i]))
            continue; /* it was at both sites before the move, too */
        if (!to || strcmp(brute_site(s->plan, group, s->v[i].router), to))
            return false;
    }
    for (uint32_t r = 0; r < s->plan->n_routers; r++)
        if (c->delivered[0][r] && (undo ? c->own_drop[r] : !c->delivered[s->plan->n_stages][r]))
            return false;
    for (uint32_t r = 0; r < s->plan->n_routers; r++) {
        const struct ferry_stack *stack = s->plan->groups[group].initial[r];
        first |= stack && stack->entries[stack->n - 1]->type == FERRY_ANNOUNCEMENT;
        const struct ferry_entry *e = brute_forwards(s, group, r, &own);
        follows |= own && ferry_entry_dynamic(e);
    }
    if (to && first && follows && !announced)
        return false;
    for (uint32_t r = 0; undo && to && r < s->plan->n_routers; r++)
        attached |= brute_may_attach(s->plan, group, r) && !strcmp(brute_site(s->plan, group, r), to);
    return attached || !to;
}

static bool changes_group(const struct ferry_plan *plan, size_t stage, uint32_t group)
{
    for (size_t i = 0; i < plan->stages[stage].n_changes; i++)
        if (plan->stages[stage].changes[i].group == group)
            return true;
    return false;
}

static struct brute prove_group(const struct ferry_plan *plan, uint32_t group)
{
    FERRY_AUTOFREE struct brute_course *c = ferry_calloc(1, sizeof *c);
    FERRY_AUTOFREE struct brute_state *s = brute_state_new(plan);
    struct brute ret = {FERRY_SAFE, 0, 0, 0};
    brute_run(plan, group, c);
    for (size_t stage = 0; stage < plan->n_stages || !stage; stage++) {
        struct brute_rules rules = brute_rules_of(plan, group, c, stage);
        if (!stage || changes_group(plan, stage, group))
            play_stage(s, stage, group, &rules, &ret);
        if (ret.violation)
            return ret;
        for (size_t i = 0; plan->n_stages && i < plan->stages[stage].n_changes; i++)
            brute_fire(s, &plan->stages[stage].changes[i]);
    }
    if (finished(s, group, c))
        return ret;
    ret =
        (struct brute){FERRY_UNFINISHED, (uint32_t)(plan->n_stages ? plan->n_stages - 1 : 0), 0, ret.states};
    for (size_t i = 0; plan->n_stages && i < plan->stages[ret.stage].n_changes; i++)
        ret.n_events += plan->stages[ret.stage].changes[i].group == group;
    return ret;
}

/* ---- The document. ---- */

/* An announcement at a third site, or what is a protocol's and what is not under one key. */
static bool strange_protocol(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_group *g = &plan->groups[c->group];
    const char *site = brute_site(plan, c->group, c->router);
    if (c->kind == FERRY_KIND_ANNOUNCEMENT)
        return !(g->from && !strcmp(site, g->from)) && !(g->to && !strcmp(site, g->to));
    return c->before && c->after && ferry_entry_dynamic(c->before) != ferry_entry_dynamic(c->after);
}

/* A gateway where the plan knows none, or a route in another table than the router's others for the group. */
static bool out_of_place(const struct ferry_plan *plan, const struct ferry_change *c, uint32_t *tables)
{
    const struct ferry_group *g = &plan->groups[c->group];
    uint32_t *table = &tables[c->group * BRUTE_NODES + c->router];
    bool other = *table && c->table && *table != c->table;
    *table = c->table ? c->table : *table;
    if (c->kind != FERRY_KIND_GATEWAY || other)
        return other;
    for (size_t s = 0; s < g->n_subnets; s++) {
        size_t i = 0;
        while (i < g->subnets[s].n_gateways && g->subnets[s].gateways[i].gateway.router != c->router)
            i++;
        if (g->subnets[s].n_gateways && i == g->subnets[s].n_gateways)
            return true;
    }
    return false;
}

/* Written to a lost router, or a new way to one. */
static bool touches_lost(const struct ferry_plan *plan, const struct ferry_change *c)
{
    bool undo = strcmp(plan->mode, "undo") == 0, before = false;
    const struct ferry_entry *made = undo ? c->before : c->after;
    const struct ferry_group *g = &plan->groups[c->group];
    const struct ferry_stack *stack = g->initial[c->router];
    const struct ferry_entry *first = stack ? ferry_stack_best(stack) : g->covers[c->router].entry;
    if (plan->routers[c->router].lost)
        return true;
    for (size_t i = 0; made && made->type == FERRY_UNICAST && i < made->n_nexthops; i++) {
        uint32_t to = made->nexthops[i].router;
        if (to == FERRY_NO_ROUTER || !plan->routers[to].lost)
            continue;
        before = false;
        for (size_t k = 0; !undo && first && k < first->n_nexthops; k++)
            before |= first->nexthops[k].router == to;
        if (!before)
            return true;
    }
    return false;
}

static bool well_formed(const struct ferry_plan *plan)
{
    FERRY_AUTOFREE uint32_t *tables = ferry_calloc(plan->n_groups * BRUTE_NODES, sizeof *tables);
    FERRY_AUTOFREE struct brute_state *s = brute_state_new(plan);
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].kind == FERRY_KIND_ROUTE)
            tables[s->v[i].group * BRUTE_NODES + s->v[i].router] = s->v[i].entry->table;
    for (size_t i = 0; i < plan->n_stages; i++) {
        const struct ferry_stage *stage = &plan->stages[i];
        if (i && stage->phase < plan->stages[i - 1].phase)
            return false;
        for (size_t k = 0; k < stage->n_changes; k++) {
            const struct ferry_change *c = &stage->changes[k];
            for (size_t j = 0; j < k; j++)
                if (brute_same_key(&stage->changes[j], c))
                    return false;
            if ((c->before && c->before->metric != c->metric) || (c->after && c->after->metric != c->metric))
                return false;
            if (touches_lost(plan, c) || strange_protocol(plan, c) || out_of_place(plan, c, tables) ||
                !brute_fire(s, c))
                return false;
        }
    }
    return true;
}

struct brute brute_prove(const struct ferry_plan *plan)
{
    struct brute best = {FERRY_SAFE, 0, 0, 0};
    uint64_t states = 0;
    if (!well_formed(plan))
        return (struct brute){FERRY_MISMATCH, 0, 0, 0};
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        struct brute b = prove_group(plan, g);
        states += b.states;
        if (!b.violation)
            continue;
        size_t late = b.stage * 2 + (b.violation == FERRY_UNFINISHED);
        size_t best_late = best.stage * 2 + (best.violation == FERRY_UNFINISHED);
        if (!best.violation || late < best_late || (late == best_late && b.n_events < best.n_events) ||
            (late == best_late && b.n_events == best.n_events && b.violation < best.violation))
            best = b;
    }
    best.states = states;
    return best;
}

bool brute_replay(const struct ferry_plan *plan, const struct ferry_counterexample *bad)
{
    FERRY_AUTOFREE struct brute_course *c = ferry_calloc(1, sizeof *c);
    FERRY_AUTOFREE struct brute_state *s = brute_state_new(plan);
    brute_run(plan, bad->group, c);
    for (size_t i = 0; i < bad->stage; i++)
        for (size_t k = 0; k < plan->stages[i].n_changes; k++)
            brute_fire(s, &plan->stages[i].changes[k]);
    for (size_t i = 0; i < bad->n_events; i++)
        if (bad->events[i].stage != bad->stage ||
            !brute_fire(s, &plan->stages[bad->stage].changes[bad->events[i].change]))
            return false;
    if (bad->violation == FERRY_UNFINISHED)
        return !finished(s, bad->group, c);
    struct brute_rules rules = brute_rules_of(plan, bad->group, c, bad->stage);
    return brute_judge(s, bad->group, &rules) == bad->violation;
}
