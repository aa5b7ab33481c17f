/* What is asked of a stage, of all its states at once: each check looks at the graph, or at pairs of keys,
 * and offers the fault of fewest changes.  See prove_parts.h; docs/prover.md, "What must hold when", has the
 * rules one by one.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <string.h>

static void check_loop(struct prover *p, const struct prove_graph *g)
{
    FERRY_AUTOFREE struct prove_pick *picks = ferry_calloc(g->n, sizeof *picks);
    size_t n = prove_graph_cycle(g, picks);
    if (!n)
        return;
    struct ferry_counterexample c = prove_bad_new(p, FERRY_LOOP);
    prove_bad_say(&c, "packets go round and round: ");
    for (size_t i = 0; i < n; i++) {
        const struct prove_option *o = &g->options[picks[i].option];
        prove_bad_router(&c, picks[i].router);
        prove_bad_events(p, &c, picks[i].router, o->top, o->fired);
        prove_bad_say(&c, "%s -> ", prove_name(p, picks[i].router));
    }
    prove_bad_say(&c, "%s", prove_name(p, picks[0].router));
    prove_bad_offer(p, &c);
}

static const struct prove_slot *gateway_slot(const struct prover *p, uint32_t router)
{
    return prove_slot_of(p, router, PROVE_GATEWAY);
}

/* What makes packets come here, the gateway or the announcement, whichever is there after fewer changes; or
 * NULL. */
static const struct prove_slot *origin_slot(const struct prover *p, uint32_t router)
{
    const struct prove_slot *best = NULL;
    for (uint32_t i = 0; i < 2; i++) {
        const struct prove_slot *slot = prove_slot_of(p, router, i ? PROVE_ANNOUNCEMENT : PROVE_GATEWAY);
        if (slot && (slot->now || slot->after) && (!best || (slot->now && !best->now)))
            best = slot;
    }
    return best;
}

/* A stretched subnet is at two sites on purpose; nothing else about it is excepted. */
static void check_two_sites(struct prover *p)
{
    size_t n = 0;
    if (prove_stretched(p))
        return;
    FERRY_AUTOFREE uint32_t *at = ferry_calloc(p->plan->n_routers, sizeof *at);
    for (uint32_t r = 0; r < p->plan->n_routers; r++)
        if (origin_slot(p, r))
            at[n++] = r;
    uint32_t best[2] = {0, 0}, best_cost = PROVE_NONE;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            uint32_t cost = (uint32_t)!origin_slot(p, at[i])->now + (uint32_t)!origin_slot(p, at[k])->now;
            if (cost >= best_cost || strcmp(prove_site(p->plan, p->class->group, at[i]),
                                            prove_site(p->plan, p->class->group, at[k])) == 0)
                continue;
            if (p->reconcile && cost == 0) /* what it is for */
                continue;
            best_cost = cost;
            best[0] = at[k];
            best[1] = at[i];
        }
    if (best_cost == PROVE_NONE)
        return;
    struct ferry_counterexample c = prove_bad_new(p, FERRY_TWO_SITES);
    for (size_t i = 0; i < 2; i++) {
        const struct prove_slot *slot = origin_slot(p, best[i]);
        bool announced = slot->rank == PROVE_ANNOUNCEMENT;
        prove_bad_router(&c, best[i]);
        if (!slot->now)
            prove_bad_event(p, &c, slot->change);
        prove_bad_say(&c, "%s%s %s (%s)",
                      i           ? " and"
                      : announced ? "announced at"
                                  : "attached at",
                      i && announced ? " announced at" : "", prove_site(p->plan, p->class->group, best[i]),
                      prove_name(p, best[i]));
    }
    prove_bad_say(&c, " at once");
    prove_bad_offer(p, &c);
}

static const char *stray_why(const struct prove_option *o)
{
    if (!o->entry)
        return "has no route that the plan knows";
    if (o->entry->type == FERRY_GATEWAY)
        return "delivers to another subnet";
    if (o->entry->type != FERRY_UNICAST)
        return "drops it";
    return "sends it to a next hop outside of the plan";
}

static void check_lost(struct prover *p, struct prove_graph *g)
{
    if (!p->must)
        return;
    prove_graph_measure(g);
    uint32_t worst = PROVE_NONE;
    for (uint32_t r = 0; r < g->n; r++)
        if (p->must[r] && g->far[r] != PROVE_FAR && (worst == PROVE_NONE || g->far[r] < g->far[worst]))
            worst = r;
    if (worst == PROVE_NONE)
        return;
    FERRY_AUTOFREE struct prove_pick *picks = ferry_calloc(g->n, sizeof *picks);
    size_t n = prove_graph_way(g, worst, picks);
    struct ferry_counterexample c = prove_bad_new(p, FERRY_LOST);
    prove_bad_say(&c, "%s is no longer delivered: ", prove_name(p, worst));
    for (size_t i = 0; i < n; i++) {
        const struct prove_option *o = &g->options[picks[i].option];
        prove_bad_router(&c, picks[i].router);
        prove_bad_events(p, &c, picks[i].router, o->top, o->fired);
        prove_bad_say(&c, "%s%s", i ? " -> " : "", prove_name(p, picks[i].router));
    }
    prove_bad_say(&c, " %s", stray_why(&g->options[picks[n - 1].option]));
    prove_bad_offer(p, &c);
}

/* A route that a kernel prefers to the attachment: the router does not deliver although it is attached. */
static void check_beaten(struct prover *p)
{
    for (uint32_t r = 0; r < p->plan->n_routers; r++) {
        const struct prove_slot *gateway = gateway_slot(p, r);
        if (!gateway || !(gateway->now || gateway->after))
            continue;
        for (size_t i = 1; i < p->rows[r].n; i++) {
            const struct prove_slot *s = &p->rows[r].slots[i];
            if (!(s->now || s->after) || !prove_beats_gateway(p, r, s))
                continue;
            struct ferry_counterexample c = prove_bad_new(p, FERRY_LOST);
            prove_bad_say(&c, "%s is attached, but its route of metric %u wins over the attachment",
                          prove_name(p, r), s->metric);
            prove_bad_router(&c, r);
            if (!gateway->now)
                prove_bad_event(p, &c, gateway->change);
            if (!s->now)
                prove_bad_event(p, &c, s->change);
            prove_bad_offer(p, &c);
        }
    }
}

static void check_falls(struct prover *p, const struct prove_graph *g)
{
    for (uint32_t r = 0; r < g->n; r++) {
        if (g->empty_cost[r] == PROVE_NONE || p->may_fall[r] ||
            (p->found && p->bad.stage == p->stage && p->bad.n_events < g->empty_cost[r]))
            continue;
        uint32_t own = 0;
        while (own < p->rows[r].n && p->rows[r].slots[own].layer == 0)
            own++;
        struct ferry_counterexample c = prove_bad_new(p, FERRY_FALLS);
        prove_bad_say(&c, "%s holds nothing for the prefix and falls to what covers it", prove_name(p, r));
        prove_bad_router(&c, r);
        prove_bad_events(p, &c, r, own, false);
        prove_bad_offer(p, &c);
    }
}

static void check_unpinned(struct prover *p, const struct prove_graph *g)
{
    char text[160];
    for (uint32_t r = 0; r < g->n; r++)
        for (uint32_t i = g->first[r]; i < g->first[r + 1]; i++) {
            const struct prove_option *o = &g->options[i];
            if (o->layer != 0 || !prove_exposed(p, r, o->entry))
                continue;
            struct ferry_counterexample c = prove_bad_new(p, FERRY_UNPINNED);
            prove_bad_say(&c, "%s is not held still while its routing protocol changes: %s", prove_name(p, r),
                          ferry_entry_text(o->entry, text, sizeof text));
            prove_bad_router(&c, r);
            prove_bad_events(p, &c, r, o->top, o->fired);
            prove_bad_offer(p, &c);
        }
}

static void check_astray(struct prover *p, const struct prove_graph *g)
{
    char text[160];
    for (uint32_t r = 0; r < g->n; r++)
        for (uint32_t i = g->first[r]; i < g->first[r + 1]; i++) {
            const struct prove_option *o = &g->options[i];
            if (!prove_leads_astray(p, r, o->entry))
                continue;
            struct ferry_counterexample c = prove_bad_new(p, FERRY_LOST_SITE);
            prove_bad_say(&c, "%s is not fenced off from a site that is lost and may be active: %s",
                          prove_name(p, r), ferry_entry_text(o->entry, text, sizeof text));
            prove_bad_router(&c, r);
            prove_bad_events(p, &c, r, o->top, o->fired);
            prove_bad_offer(p, &c);
        }
}

static void check_local_network(struct prover *p)
{
    const struct prove_slot *selector, *gateway;
    uint32_t router, attached;
    char text[256];
    if (prove_local_network(p, &selector, &router, &gateway, &attached) == PROVE_NONE)
        return;
    struct ferry_counterexample c = prove_bad_new(p, FERRY_LOCAL_NETWORK);
    prove_bad_say(&c, "attached at %s (%s), while a tunnel takes it away from there: %s holds %s",
                  p->plan->routers[attached].site, prove_name(p, attached), prove_name(p, router),
                  ferry_entry_text(selector->now ? selector->now : selector->after, text, sizeof text));
    prove_bad_router(&c, attached);
    prove_bad_router(&c, router);
    if (!gateway->now)
        prove_bad_event(p, &c, gateway->change);
    if (!selector->now)
        prove_bad_event(p, &c, selector->change);
    prove_bad_offer(p, &c);
}

void prove_open(struct prover *p)
{
    uint32_t rival, neighbour;
    if (!prove_lost_open(p, &rival, &neighbour))
        return;
    struct ferry_counterexample c = prove_bad_new(p, FERRY_LOST_SITE);
    c.stage = 0;
    prove_bad_say(
        &c,
        "%s, which is lost, may be attached, and %s, which is not under control either, may lead there; "
        "nobody "
        "vouches that it is dead",
        prove_name(p, rival), prove_name(p, neighbour));
    prove_bad_router(&c, rival);
    prove_bad_router(&c, neighbour);
    prove_bad_offer(p, &c);
}

void prove_stage(struct prover *p, struct prove_graph *g)
{
    prove_graph_build(p, g);
    check_loop(p, g);
    check_two_sites(p);
    check_lost(p, g);
    check_beaten(p);
    check_falls(p, g);
    check_unpinned(p, g);
    check_astray(p, g);
    check_local_network(p);
}
