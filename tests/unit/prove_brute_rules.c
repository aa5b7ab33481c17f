/* Brute force, the rules: what must hold when, from docs/prover.md, and whether a state keeps to it.  See
 * prove_brute_parts.h.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_brute_parts.h"

#include "base/mem.h"

#include <string.h>
#include <sys/socket.h>

static bool two_sites(const struct brute_state *s, uint32_t group)
{
    if (s->plan->groups[group].stretched)
        return false;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < i; k++)
            if (s->v[i].kind != FERRY_KIND_ROUTE && s->v[i].entry && s->v[i].group == group &&
                s->v[k].kind != FERRY_KIND_ROUTE && s->v[k].entry && s->v[k].group == group &&
                strcmp(brute_site(s->plan, group, s->v[i].router),
                       brute_site(s->plan, group, s->v[k].router)))
                return true;
    return false;
}

static bool beaten(const struct brute_state *s, uint32_t group)
{
    const struct ferry_plan_subnet *subnet = &s->plan->groups[group].subnets[0];
    bool v4 = subnet->prefix.addr.family == AF_INET;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->n; k++) {
            const struct brute_held *g = &s->v[i], *r = &s->v[k];
            const char *driver = s->plan->routers[g->router].driver.type;
            /* A connected route: in IPv4 of metric 0, in IPv6 256; in tables other than main it is Ferry's
             * own. */
            uint32_t limit = v4 ? 0 : r->entry && r->entry->table == FERRY_TABLE_MAIN ? 256 : 1;
            if (g->kind == FERRY_KIND_GATEWAY && g->entry && r->kind == FERRY_KIND_ROUTE && r->entry &&
                g->group == group && r->group == group && g->router == r->router && r->metric <= limit &&
                driver && strcmp(driver, "netlink") == 0)
                return true;
        }
    return false;
}

enum ferry_violation brute_judge(const struct brute_state *s, uint32_t group, const struct brute_rules *rules)
{
    bool lost = beaten(s, group), falls = false, unpinned = false, astray = rules->open;
    for (uint32_t r = 0; r < s->plan->n_routers; r++) {
        bool own;
        int fate = brute_fate(s, group, r);
        if (fate & BRUTE_CIRCLES)
            return FERRY_LOOP;
        lost |= rules->must[r] && fate != BRUTE_ARRIVES;
        const struct ferry_entry *e = brute_forwards(s, group, r, &own);
        falls |= !own && !rules->may_fall[r];
        for (size_t i = 0;
             rules->fence && !s->plan->routers[r].lost && e && e->type == FERRY_UNICAST && i < e->n_nexthops;
             i++)
            astray |=
                e->nexthops[i].router == FERRY_NO_ROUTER || s->plan->routers[e->nexthops[i].router].lost;
        unpinned |= own && e->type != FERRY_GATEWAY && rules->exposed_from[r] != UINT32_MAX &&
                    (e->metric >= rules->exposed_from[r] || ferry_entry_dynamic(e));
    }
    return two_sites(s, group) ? FERRY_TWO_SITES
           : lost              ? FERRY_LOST
           : falls             ? FERRY_FALLS
           : unpinned          ? FERRY_UNPINNED
           : astray            ? FERRY_LOST_SITE
                               : FERRY_SAFE;
}

/* ---- The course of a plan for one group. ---- */

static bool ends_in_own_drop(const struct brute_state *s, uint32_t group, uint32_t router)
{
    bool own, any = false;
    const struct ferry_entry *e = brute_forwards(s, group, router, &own);
    for (size_t i = 0; e && e->type == FERRY_UNICAST && i < e->n_nexthops; i++)
        any |= e->nexthops[i].router != FERRY_NO_ROUTER && ends_in_own_drop(s, group, e->nexthops[i].router);
    return any || (e && own && e->type > FERRY_UNICAST && e->protocol == FERRY_PROTOCOL);
}

static void look(const struct brute_state *s, uint32_t group, struct brute_course *c, size_t boundary)
{
    for (uint32_t r = 0; r < s->plan->n_routers; r++) {
        c->delivered[boundary][r] = brute_fate(s, group, r) == BRUTE_ARRIVES;
        brute_forwards(s, group, r, &c->held[boundary][r]);
    }
}

static bool circles(const struct brute_state *s, uint32_t group)
{
    for (uint32_t r = 0; r < s->plan->n_routers; r++)
        if (brute_fate(s, group, r) & BRUTE_CIRCLES)
            return true;
    return false;
}

void brute_run(const struct ferry_plan *plan, uint32_t group, struct brute_course *c)
{
    FERRY_AUTOFREE struct brute_state *s = brute_state_new(plan);
    look(s, group, c, 0);
    c->attached = plan->n_stages;
    for (size_t i = 0; i < plan->n_stages; i++) {
        for (size_t k = 0; k < plan->stages[i].n_changes; k++)
            brute_fire(s, &plan->stages[i].changes[k]);
        look(s, group, c, i + 1);
        if (plan->stages[i].phase == FERRY_PREPARE)
            c->prepared = i + 1;
        if (plan->stages[i].phase == FERRY_SETTLE && c->attached > i)
            c->attached = i;
    }
    for (uint32_t r = 0; r < plan->n_routers && !circles(s, group); r++)
        c->own_drop[r] = ends_in_own_drop(s, group, r);
}

static bool moves_protocol(const struct ferry_plan *plan, uint32_t group, size_t stage)
{
    for (size_t i = 0; i < plan->stages[stage].n_changes; i++) {
        const struct ferry_change *c = &plan->stages[stage].changes[i];
        if (c->group == group &&
            (c->kind != FERRY_KIND_ROUTE || ferry_entry_dynamic(c->before) || ferry_entry_dynamic(c->after)))
            return true;
    }
    return false;
}

static void expose(const struct ferry_entry *e, uint32_t *from)
{
    if (ferry_entry_dynamic(e) && e->metric < *from)
        *from = e->metric;
}

/* Between the first and the last stage that move what protocols know, nothing of theirs may be followed. */
static void expose_all(const struct ferry_plan *plan, uint32_t group, size_t stage, struct brute_rules *rules)
{
    bool before = false, after = false;
    for (size_t i = 0; i < plan->n_stages; i++) {
        before |= i <= stage && moves_protocol(plan, group, i);
        after |= i >= stage && moves_protocol(plan, group, i);
    }
    for (uint32_t r = 0; r < plan->n_routers; r++) {
        const struct ferry_stack *stack = plan->groups[group].initial[r];
        enum ferry_routing routing = plan->routers[r].driver.routing;
        uint32_t *from = &rules->exposed_from[r];
        *from = routing == FERRY_ROUTING_BGP ? 20 : routing == FERRY_ROUTING_OSPF ? 110 : UINT32_MAX;
        for (uint32_t i = 0; stack && i < stack->n; i++)
            expose(stack->entries[i], from);
        for (size_t i = 0; i < plan->n_stages; i++)
            for (size_t k = 0; k < plan->stages[i].n_changes; k++) {
                const struct ferry_change *c = &plan->stages[i].changes[k];
                if (c->group != group || c->router != r)
                    continue;
                expose(c->before, from);
                expose(c->after, from);
            }
        if (!before || !after)
            *from = UINT32_MAX;
    }
}

/* A lost router of this site has a neighbour that is lost too, at another one. */
static bool leaks(const struct ferry_plan *plan, uint32_t group, const char *site)
{
    for (uint32_t r = 0; r < plan->n_routers; r++)
        for (size_t i = 0; plan->routers[r].lost && !strcmp(brute_site(plan, group, r), site) &&
                           i < plan->routers[r].n_neighbours;
             i++) {
            uint32_t n = plan->routers[r].neighbours[i];
            if (plan->routers[n].lost && strcmp(brute_site(plan, group, n), site))
                return true;
        }
    return false;
}

/* From the first stage on that attaches while a lost router elsewhere may be attached; backwards for an undo. */
static void fence_rules(const struct ferry_plan *plan, uint32_t group, size_t stage,
                        struct brute_rules *rules)
{
    bool undo = strcmp(plan->mode, "undo") == 0;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (c->group != group || c->kind == FERRY_KIND_ROUTE || !(undo ? c->before : c->after))
                continue;
            for (uint32_t r = 0; r < plan->n_routers; r++) {
                if (!brute_may_attach(plan, group, r) ||
                    !strcmp(brute_site(plan, group, r), brute_site(plan, group, c->router)))
                    continue;
                rules->fence |= undo ? stage <= s : stage >= s;
                rules->open |= !stage && !plan->attest && leaks(plan, group, brute_site(plan, group, r));
            }
        }
}

struct brute_rules brute_rules_of(const struct ferry_plan *plan, uint32_t group, const struct brute_course *c,
                                  size_t stage)
{
    struct brute_rules rules = {.must = {false}};
    expose_all(plan, group, stage, &rules);
    fence_rules(plan, group, stage, &rules);
    bool undo = strcmp(plan->mode, "undo") == 0;
    enum ferry_phase phase = plan->n_stages ? plan->stages[stage].phase : FERRY_PREPARE;
    for (uint32_t r = 0; r < plan->n_routers; r++) {
        bool kept = c->delivered[0][r] && (!undo || c->delivered[plan->n_stages][r]);
        bool before = true, after = true; /* never held until this stage; never again after it */
        for (size_t b = 0; b <= plan->n_stages; b++) {
            before &= b > stage || !c->held[b][r];
            after &= b <= stage || !c->held[b][r];
        }
        rules.may_fall[r] = before || (undo && after);
        if (plan->groups[group].stretched) /* whatever the phase */
            rules.must[r] = kept;
        if (phase == FERRY_PREPARE)
            rules.must[r] = kept || (undo && c->delivered[c->prepared][r]);
        if (phase == FERRY_SETTLE)
            rules.must[r] = kept || (!undo && c->delivered[c->attached][r]);
    }
    return rules;
}
