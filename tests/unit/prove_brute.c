/* Brute force for the prover's tests; see prove_brute.h.
 *
 * Written from the definitions of docs/prover.md, not from the prover: a state is a list of what is held
 * under which key, events are applied one by one, and packets are followed with their whole path in hand.
 *
 * SPDX-License-Identifier: MIT */
#include "prove_brute.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEYS  256
#define NODES 16
#define DEPTH 20

/* ---- States. ---- */

struct held {
    uint32_t group, router;
    enum ferry_kind kind;
    uint32_t metric;
    const struct ferry_entry *entry; /* NULL: nothing any more */
};

struct state {
    const struct ferry_plan *plan;
    struct held v[KEYS];
    size_t n;
};

static struct held *find(struct state *s, uint32_t group, uint32_t router, enum ferry_kind kind,
                         uint32_t metric)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].group == group && s->v[i].router == router && s->v[i].kind == kind &&
            s->v[i].metric == metric)
            return &s->v[i];
    if (s->n == KEYS)
        abort();
    s->v[s->n] = (struct held){group, router, kind, metric, NULL};
    return &s->v[s->n++];
}

static struct state *state_new(const struct ferry_plan *plan)
{
    struct state *s = ferry_calloc(1, sizeof *s);
    s->plan = plan;
    for (uint32_t g = 0; g < plan->n_groups; g++)
        for (uint32_t r = 0; r < plan->n_routers; r++)
            for (uint32_t i = 0; plan->groups[g].initial[r] && i < plan->groups[g].initial[r]->n; i++) {
                const struct ferry_entry *e = plan->groups[g].initial[r]->entries[i];
                find(s, g, r, ferry_entry_kind(e), e->metric)->entry = e;
            }
    return s;
}

static bool fire(struct state *s, const struct ferry_change *c)
{
    struct held *h = find(s, c->group, c->router, c->kind, c->metric);
    bool found = h->entry == c->before;
    h->entry = c->after;
    return found;
}

/* What forwards; *ret_own false where the router holds nothing. */
static const struct ferry_entry *forwards(const struct state *s, uint32_t group, uint32_t router,
                                          bool *ret_own)
{
    const struct held *best = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct held *h = &s->v[i];
        if (h->group != group || h->router != router || !h->entry || h->kind == FERRY_KIND_ANNOUNCEMENT)
            continue;
        if (!best || h->kind == FERRY_KIND_GATEWAY ||
            (best->kind != FERRY_KIND_GATEWAY && h->metric < best->metric))
            best = h;
    }
    *ret_own = best;
    return best ? best->entry : s->plan->groups[group].covers[router].entry;
}

/* ---- Packets. ---- */

enum { ARRIVES = 0, STRAYS = 1, CIRCLES = 2 };

/* All that can become of a packet from path[n - 1]. */
static int follow(const struct state *s, uint32_t group, uint32_t *path, size_t n)
{
    bool own;
    const struct ferry_entry *e = forwards(s, group, path[n - 1], &own);
    int fate = 0;
    if (!e || e->type != FERRY_UNICAST)
        return e && own && e->type == FERRY_GATEWAY ? ARRIVES : STRAYS;
    for (size_t i = 0; i < e->n_nexthops; i++) {
        path[n] = e->nexthops[i].router;
        bool seen = false;
        for (size_t k = 0; k < n; k++)
            seen |= path[k] == path[n];
        fate |= path[n] == FERRY_NO_ROUTER ? STRAYS : seen ? CIRCLES : follow(s, group, path, n + 1);
    }
    return fate;
}

static int fate_of(const struct state *s, uint32_t group, uint32_t router)
{
    uint32_t path[NODES + 1] = {router};
    return follow(s, group, path, 1);
}

/* ---- What is asked of a state. ---- */

struct rules {
    bool must[NODES], may_fall[NODES];
    bool fence;                   /* no live router may lead to a lost one, or nobody knows where */
    bool open;                    /* a fence cannot hold: in the first stage */
    uint32_t exposed_from[NODES]; /* the metric from which on a protocol's route can win; UINT32_MAX: none */
};

static const char *site_of(const struct ferry_plan *plan, uint32_t group, uint32_t router)
{
    const struct ferry_group *g = &plan->groups[group];
    const struct ferry_stack *stack = g->initial[router];
    bool first = stack && (stack->entries[0]->type == FERRY_GATEWAY ||
                           stack->entries[stack->n - 1]->type == FERRY_ANNOUNCEMENT);
    const char *side = first ? g->from : g->to;
    return plan->routers[router].site ? plan->routers[router].site : side ? side : "";
}

static bool two_sites(const struct state *s, uint32_t group)
{
    if (s->plan->groups[group].stretched)
        return false;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < i; k++)
            if (s->v[i].kind != FERRY_KIND_ROUTE && s->v[i].entry && s->v[i].group == group &&
                s->v[k].kind != FERRY_KIND_ROUTE && s->v[k].entry && s->v[k].group == group &&
                strcmp(site_of(s->plan, group, s->v[i].router), site_of(s->plan, group, s->v[k].router)))
                return true;
    return false;
}

static bool beaten(const struct state *s, uint32_t group)
{
    const struct ferry_plan_subnet *subnet = &s->plan->groups[group].subnets[0];
    bool v4 = subnet->prefix.addr.family == AF_INET;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->n; k++) {
            const struct held *g = &s->v[i], *r = &s->v[k];
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

static enum ferry_violation judge(const struct state *s, uint32_t group, const struct rules *rules)
{
    bool lost = beaten(s, group), falls = false, unpinned = false, astray = rules->open;
    for (uint32_t r = 0; r < s->plan->n_routers; r++) {
        bool own;
        int fate = fate_of(s, group, r);
        if (fate & CIRCLES)
            return FERRY_LOOP;
        lost |= rules->must[r] && fate != ARRIVES;
        const struct ferry_entry *e = forwards(s, group, r, &own);
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

/* ---- The course of a plan for one group: docs/prover.md, "What must hold when". ---- */

struct course {
    bool delivered[DEPTH + 1][NODES]; /* at each boundary between stages */
    bool held[DEPTH + 1][NODES];
    bool own_drop[NODES];      /* at the end: packets can end in a drop of Ferry's */
    size_t prepared, attached; /* boundaries: after the last prepare, before the first settle */
};

static bool ends_in_own_drop(const struct state *s, uint32_t group, uint32_t router)
{
    bool own, any = false;
    const struct ferry_entry *e = forwards(s, group, router, &own);
    for (size_t i = 0; e && e->type == FERRY_UNICAST && i < e->n_nexthops; i++)
        any |= e->nexthops[i].router != FERRY_NO_ROUTER && ends_in_own_drop(s, group, e->nexthops[i].router);
    return any || (e && own && e->type > FERRY_UNICAST && e->protocol == FERRY_PROTOCOL);
}

static void look(const struct state *s, uint32_t group, struct course *c, size_t boundary)
{
    for (uint32_t r = 0; r < s->plan->n_routers; r++) {
        c->delivered[boundary][r] = fate_of(s, group, r) == ARRIVES;
        forwards(s, group, r, &c->held[boundary][r]);
    }
}

static bool circles(const struct state *s, uint32_t group)
{
    for (uint32_t r = 0; r < s->plan->n_routers; r++)
        if (fate_of(s, group, r) & CIRCLES)
            return true;
    return false;
}

static void run_course(const struct ferry_plan *plan, uint32_t group, struct course *c)
{
    FERRY_AUTOFREE struct state *s = state_new(plan);
    look(s, group, c, 0);
    c->attached = plan->n_stages;
    for (size_t i = 0; i < plan->n_stages; i++) {
        for (size_t k = 0; k < plan->stages[i].n_changes; k++)
            fire(s, &plan->stages[i].changes[k]);
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
static void expose_all(const struct ferry_plan *plan, uint32_t group, size_t stage, struct rules *rules)
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

static bool may_attach(const struct ferry_plan *plan, uint32_t group, uint32_t router)
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

/* A lost router of this site has a neighbour that is lost too, at another one. */
static bool leaks(const struct ferry_plan *plan, uint32_t group, const char *site)
{
    for (uint32_t r = 0; r < plan->n_routers; r++)
        for (size_t i = 0; plan->routers[r].lost && !strcmp(site_of(plan, group, r), site) &&
                           i < plan->routers[r].n_neighbours;
             i++) {
            uint32_t n = plan->routers[r].neighbours[i];
            if (plan->routers[n].lost && strcmp(site_of(plan, group, n), site))
                return true;
        }
    return false;
}

/* From the first stage on that attaches while a lost router elsewhere may be attached; backwards for an undo. */
static void fence_rules(const struct ferry_plan *plan, uint32_t group, size_t stage, struct rules *rules)
{
    bool undo = strcmp(plan->mode, "undo") == 0;
    for (size_t s = 0; s < plan->n_stages; s++)
        for (size_t i = 0; i < plan->stages[s].n_changes; i++) {
            const struct ferry_change *c = &plan->stages[s].changes[i];
            if (c->group != group || c->kind == FERRY_KIND_ROUTE || !(undo ? c->before : c->after))
                continue;
            for (uint32_t r = 0; r < plan->n_routers; r++) {
                if (!may_attach(plan, group, r) ||
                    !strcmp(site_of(plan, group, r), site_of(plan, group, c->router)))
                    continue;
                rules->fence |= undo ? stage <= s : stage >= s;
                rules->open |= !stage && !plan->attest && leaks(plan, group, site_of(plan, group, r));
            }
        }
}

static struct rules rules_of(const struct ferry_plan *plan, uint32_t group, const struct course *c,
                             size_t stage)
{
    struct rules rules = {.must = {false}};
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

/* ---- One stage: breadth first over the order of its events. ---- */

static void play_stage(const struct state *start, size_t stage, uint32_t group, const struct rules *rules,
                       struct brute *ret)
{
    const struct ferry_plan *plan = start->plan;
    const struct ferry_change *events[DEPTH];
    size_t n = 0;
    for (size_t i = 0; plan->n_stages && i < plan->stages[stage].n_changes; i++)
        if (plan->stages[stage].changes[i].group == group) {
            if (n == DEPTH)
                abort();
            events[n++] = &plan->stages[stage].changes[i];
        }
    FERRY_AUTOFREE bool *seen = ferry_calloc((size_t)1 << n, sizeof *seen);
    FERRY_AUTOFREE uint32_t *queue = ferry_calloc((size_t)1 << n, sizeof *queue);
    FERRY_AUTOFREE struct state *s = ferry_calloc(1, sizeof *s);
    size_t tail = 1;
    for (size_t head = 0; head < tail; head++) {
        uint32_t done = queue[head];
        size_t n_done = (size_t)__builtin_popcount(done);
        if (ret->violation && n_done > ret->n_events)
            return;
        *s = *start;
        for (size_t i = 0; i < n; i++)
            if (done >> i & 1)
                fire(s, events[i]);
        enum ferry_violation v = judge(s, group, rules);
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

static bool was_origin(const struct ferry_plan *plan, uint32_t group, const struct held *h)
{
    const struct ferry_stack *stack = plan->groups[group].initial[h->router];
    for (uint32_t i = 0; stack && i < stack->n; i++)
        if (ferry_entry_kind(stack->entries[i]) == h->kind)
            return true;
    return false;
}

static bool finished(const struct state *s, uint32_t group, const struct course *c)
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
        if (!to || strcmp(site_of(s->plan, group, s->v[i].router), to))
            return false;
    }
    for (uint32_t r = 0; r < s->plan->n_routers; r++)
        if (c->delivered[0][r] && (undo ? c->own_drop[r] : !c->delivered[s->plan->n_stages][r]))
            return false;
    for (uint32_t r = 0; r < s->plan->n_routers; r++) {
        const struct ferry_stack *stack = s->plan->groups[group].initial[r];
        first |= stack && stack->entries[stack->n - 1]->type == FERRY_ANNOUNCEMENT;
        const struct ferry_entry *e = forwards(s, group, r, &own);
        follows |= own && ferry_entry_dynamic(e);
    }
    if (to && first && follows && !announced)
        return false;
    for (uint32_t r = 0; undo && to && r < s->plan->n_routers; r++)
        attached |= may_attach(s->plan, group, r) && !strcmp(site_of(s->plan, group, r), to);
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
    FERRY_AUTOFREE struct course *c = ferry_calloc(1, sizeof *c);
    FERRY_AUTOFREE struct state *s = state_new(plan);
    struct brute ret = {FERRY_SAFE, 0, 0, 0};
    run_course(plan, group, c);
    for (size_t stage = 0; stage < plan->n_stages || !stage; stage++) {
        struct rules rules = rules_of(plan, group, c, stage);
        if (!stage || changes_group(plan, stage, group))
            play_stage(s, stage, group, &rules, &ret);
        if (ret.violation)
            return ret;
        for (size_t i = 0; plan->n_stages && i < plan->stages[stage].n_changes; i++)
            fire(s, &plan->stages[stage].changes[i]);
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

static bool same_key(const struct ferry_change *a, const struct ferry_change *b)
{
    return a->router == b->router && a->group == b->group && a->kind == b->kind && a->metric == b->metric;
}

/* An announcement at a third site, or what is a protocol's and what is not under one key. */
static bool strange_protocol(const struct ferry_plan *plan, const struct ferry_change *c)
{
    const struct ferry_group *g = &plan->groups[c->group];
    const char *site = site_of(plan, c->group, c->router);
    if (c->kind == FERRY_KIND_ANNOUNCEMENT)
        return !(g->from && !strcmp(site, g->from)) && !(g->to && !strcmp(site, g->to));
    return c->before && c->after && ferry_entry_dynamic(c->before) != ferry_entry_dynamic(c->after);
}

/* A gateway where the plan knows none, or a route in another table than the router's others for the group. */
static bool out_of_place(const struct ferry_plan *plan, const struct ferry_change *c, uint32_t *tables)
{
    const struct ferry_group *g = &plan->groups[c->group];
    uint32_t *table = &tables[c->group * NODES + c->router];
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
    FERRY_AUTOFREE uint32_t *tables = ferry_calloc(plan->n_groups * NODES, sizeof *tables);
    FERRY_AUTOFREE struct state *s = state_new(plan);
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].kind == FERRY_KIND_ROUTE)
            tables[s->v[i].group * NODES + s->v[i].router] = s->v[i].entry->table;
    for (size_t i = 0; i < plan->n_stages; i++) {
        const struct ferry_stage *stage = &plan->stages[i];
        if (i && stage->phase < plan->stages[i - 1].phase)
            return false;
        for (size_t k = 0; k < stage->n_changes; k++) {
            const struct ferry_change *c = &stage->changes[k];
            for (size_t j = 0; j < k; j++)
                if (same_key(&stage->changes[j], c))
                    return false;
            if ((c->before && c->before->metric != c->metric) || (c->after && c->after->metric != c->metric))
                return false;
            if (touches_lost(plan, c) || strange_protocol(plan, c) || out_of_place(plan, c, tables) ||
                !fire(s, c))
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
    FERRY_AUTOFREE struct course *c = ferry_calloc(1, sizeof *c);
    FERRY_AUTOFREE struct state *s = state_new(plan);
    run_course(plan, bad->group, c);
    for (size_t i = 0; i < bad->stage; i++)
        for (size_t k = 0; k < plan->stages[i].n_changes; k++)
            fire(s, &plan->stages[i].changes[k]);
    for (size_t i = 0; i < bad->n_events; i++)
        if (bad->events[i].stage != bad->stage ||
            !fire(s, &plan->stages[bad->stage].changes[bad->events[i].change]))
            return false;
    if (bad->violation == FERRY_UNFINISHED)
        return !finished(s, bad->group, c);
    struct rules rules = rules_of(plan, bad->group, c, bad->stage);
    return judge(s, bad->group, &rules) == bad->violation;
}

/* ---- Spoiling plans. ---- */

unsigned dice_roll(struct dice *d, unsigned sides)
{
    d->seed = d->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((d->seed >> 33) % sides);
}

struct ferry_plan *brute_copy(const struct ferry_plan *plan)
{
    struct ferry_plan *copy = ferry_memdup(plan, sizeof *plan);
    copy->stages = ferry_calloc(plan->n_stages, sizeof *copy->stages);
    for (size_t i = 0; i < plan->n_stages; i++) {
        copy->stages[i] = plan->stages[i];
        copy->stages[i].changes = ferry_calloc(64, sizeof *copy->stages[i].changes);
        memcpy(copy->stages[i].changes, plan->stages[i].changes,
               plan->stages[i].n_changes * sizeof *copy->stages[i].changes);
    }
    return copy;
}

void brute_copy_free(struct ferry_plan *plan)
{
    for (size_t i = 0; i < plan->n_stages; i++)
        free(plan->stages[i].changes);
    free(plan->stages);
    free(plan);
}

static struct ferry_change take(struct ferry_stage *stage, size_t i)
{
    struct ferry_change c = stage->changes[i];
    memmove(stage->changes + i, stage->changes + i + 1, (--stage->n_changes - i) * sizeof c);
    return c;
}

static void give(struct ferry_stage *stage, struct ferry_change c)
{
    if (stage->n_changes == 64)
        abort();
    stage->changes[stage->n_changes++] = c;
}

static void retarget(struct ferry_plan *plan, struct ferry_change *c, struct dice *d)
{
    struct ferry_nexthop hops[NODES];
    struct ferry_entry e = *c->after;
    memcpy(hops, e.nexthops, e.n_nexthops * sizeof *hops);
    unsigned to = dice_roll(d, (unsigned)plan->n_routers + 1);
    struct ferry_nexthop *hop = &hops[dice_roll(d, e.n_nexthops)];
    hop->router = to == plan->n_routers ? FERRY_NO_ROUTER : to;
    hop->via.bytes[hop->via.family == AF_INET ? 2 : 14] = (uint8_t)(100 + to); /* its own address, too */
    e.nexthops = hops;
    c->after = ferry_pool_entry(plan->pool, &e);
}

static const struct ferry_entry *with_metric(struct ferry_plan *plan, const struct ferry_entry *e,
                                             uint32_t metric)
{
    if (!e)
        return NULL;
    struct ferry_entry copy = *e;
    copy.metric = metric;
    return ferry_pool_entry(plan->pool, &copy);
}

static void merge_stages(struct ferry_plan *plan, size_t into)
{
    while (plan->stages[into + 1].n_changes)
        give(&plan->stages[into], take(&plan->stages[into + 1], 0));
    free(plan->stages[into + 1].changes);
    memmove(plan->stages + into + 1, plan->stages + into + 2,
            (plan->n_stages - into - 2) * sizeof *plan->stages);
    plan->n_stages--;
}

/* The ways that need another stage. */
static const char *spoil_order(struct ferry_plan *plan, struct dice *d, struct ferry_stage *stage, size_t at,
                               size_t change)
{
    size_t other = dice_roll(d, 2) ? at + 1 : at - 1;
    unsigned way = dice_roll(d, 4);
    if (other >= plan->n_stages)
        return NULL;
    if (way == 0) {
        struct ferry_change *a = stage->changes, *b = plan->stages[other].changes;
        size_t n_a = stage->n_changes, n_b = plan->stages[other].n_changes;
        stage->changes = b;
        stage->n_changes = n_b;
        plan->stages[other].changes = a;
        plan->stages[other].n_changes = n_a;
        return "swap two stages";
    }
    if (way == 1 && stage->n_changes + plan->stages[other].n_changes <= 12) {
        merge_stages(plan, at < other ? at : other);
        return "merge two stages";
    }
    if (plan->stages[other].n_changes < 12)
        give(&plan->stages[other], take(stage, change));
    return "move a change to another stage";
}

const char *brute_spoil(struct ferry_plan *plan, struct dice *d)
{
    size_t at = dice_roll(d, (unsigned)plan->n_stages);
    struct ferry_stage *stage = &plan->stages[at];
    if (!stage->n_changes)
        return NULL;
    size_t i = dice_roll(d, (unsigned)stage->n_changes);
    struct ferry_change *c = &stage->changes[i];
    switch (dice_roll(d, 9)) {
    case 0:
        take(stage, i);
        return "drop a change";
    case 1:
        if (!c->after || c->after->type != FERRY_UNICAST)
            return NULL;
        retarget(plan, c, d);
        return "retarget a next hop";
    case 2:
        if (c->kind != FERRY_KIND_ROUTE)
            return NULL;
        c->metric = (uint32_t[]){5, 20, 30, 256, 2100, 3000}[dice_roll(d, 6)];
        c->before = with_metric(plan, c->before, c->metric);
        c->after = with_metric(plan, c->after, c->metric);
        return "change a metric";
    case 3:
        stage->phase = (enum ferry_phase)dice_roll(d, 4);
        return "change a phase";
    case 4:
        if (!c->after || c->after->type != FERRY_BLACKHOLE)
            return NULL;
        c->after = NULL;
        return "remove instead of dropping";
    case 5:
        if (stage->n_changes < 2)
            return NULL;
        struct ferry_change *b = &stage->changes[(i + 1) % stage->n_changes];
        uint32_t router = c->router;
        c->router = b->router;
        b->router = router;
        return "swap the routers of two changes";
    default:
        return spoil_order(plan, d, stage, at, i);
    }
}

void brute_mend(struct ferry_plan *plan)
{
    FERRY_AUTOFREE struct state *s = state_new(plan);
    for (size_t i = 0; i < plan->n_stages; i++) {
        if (i && plan->stages[i].phase < plan->stages[i - 1].phase)
            plan->stages[i].phase = plan->stages[i - 1].phase;
        for (size_t k = 0; k < plan->stages[i].n_changes; k++) {
            struct ferry_change *c = &plan->stages[i].changes[k];
            for (size_t j = 0; j < k; j++)
                if (same_key(&plan->stages[i].changes[j], c)) {
                    take(&plan->stages[i], k--);
                    goto next; /* a stage has each key once */
                }
            c->before = find(s, c->group, c->router, c->kind, c->metric)->entry;
            fire(s, c);
        next:;
        }
    }
}
