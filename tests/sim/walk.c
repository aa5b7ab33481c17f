/* The packet walker: after every change of any router it asks, for every subnet that the change can matter to:
 *
 *  W1. Does a packet go round in circles?
 *  W2. Is the subnet attached, or announced, at two sites?
 *  W3. Is a router that held the subnet left with nothing, so that its packets fall to a covering prefix?
 *  W4. Outside of detach and attach: does every router that had service still have it?
 *
 * It looks at tables alone: nothing of what the program believes.  What a stranger or a restart did is not
 * held against the program, nor what it then did to routers that they had been to (counted as excused);
 * everything else is a violation.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include "base/hash.h"
#include "txn/place.h"

#include <string.h>
#include <sys/socket.h>

/* ---- Values. ---- */

static uint64_t sum_of_hops(uint64_t h, const struct ferry_entry *e)
{
    for (size_t i = 0; i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        h = ferry_hash(h, hop->via.bytes, sizeof hop->via.bytes);
        h = ferry_hash(h, hop->dev, strnlen(hop->dev, sizeof hop->dev));
        h = ferry_hash_u64(h, (uint64_t)hop->weight << 1 | hop->onlink);
    }
    return h;
}

/* Of one entry under its key; 0 for nothing and for what a protocol makes.  Sums are over entries, in any order. */
static uint64_t sum_of_any(const struct ferry_prefix *prefix, const struct ferry_entry *e, uint32_t table)
{
    bool route = ferry_entry_kind(e) == FERRY_KIND_ROUTE;
    uint64_t h = ferry_hash(prefix->len, prefix->addr.bytes, sizeof prefix->addr.bytes);
    h = ferry_hash_u64(h, (uint64_t)e->type << 32 | (route ? table : 0));
    h = ferry_hash_u64(h, route ? (uint64_t)e->metric << 8 | e->protocol : 0);
    if (route)
        h = sum_of_hops(h, e);
    return e->native_len ? ferry_hash(h, e->native, e->native_len) : h;
}

uint64_t sum_of_entry(const struct ferry_prefix *prefix, const struct ferry_entry *e, uint32_t table)
{
    return !e || ferry_entry_dynamic(e) ? 0 : sum_of_any(prefix, e, table);
}

uint64_t sum_of_table(const struct ferry_sim_table *table)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < table->n; i++) {
        const struct ferry_sim_slot *s = table->slots[i];
        for (size_t k = 0; k < s->n_routes; k++)
            sum += sum_of_entry(&s->prefix, &s->routes[k], s->routes[k].table);
        if (s->attached)
            sum += sum_of_entry(&s->prefix, &s->attachment, 0);
        if (s->announced)
            sum += sum_of_entry(&s->prefix, &s->announcement, 0);
    }
    return sum;
}

bool value_same(const struct ferry_entry *a, const struct ferry_entry *b)
{
    static const struct ferry_prefix none;
    return a == b || (a && b && sum_of_any(&none, a, a->table) == sum_of_any(&none, b, b->table));
}

/* ---- Where packets go. ---- */

static const struct ferry_entry *best_route(const struct ferry_sim_slot *s, uint32_t table)
{
    for (size_t i = 0; s && i < s->n_routes; i++)
        if (s->routes[i].table == table)
            return &s->routes[i];
    return NULL;
}

static const struct ferry_entry *covering(const struct router *r, const struct ferry_prefix *prefix,
                                          uint32_t table)
{
    for (int len = prefix->len - 1; len >= 0; len--) {
        if (!r->table.lengths[prefix->addr.family == AF_INET6][len])
            continue;
        struct ferry_prefix shorter = {.addr = prefix->addr, .len = (uint8_t)len};
        shorter = ferry_prefix_network(&shorter);
        const struct ferry_entry *e = best_route(ferry_sim_table_find(&r->table, &shorter), table);
        if (e)
            return e;
    }
    return NULL;
}

static void look(struct world *w, uint32_t r, uint32_t s)
{
    struct router *router = &w->routers[r];
    const struct ferry_subnet *subnet = &w->topology->subnets[s];
    uint32_t table = ferry_topology_table(w->topology, r, s);
    const struct ferry_sim_slot *slot = ferry_sim_table_find(&router->table, &subnet->prefix);
    const struct ferry_entry *e = best_route(slot, table);
    struct hop_set f = {.kind = FALLS_NOWHERE};
    router->attached[s] = slot && (slot->attached || slot->announced);
    if (!router->attached[s])
        router->by_world[s] = false;
    router->exact[s] = slot && (slot->attached || e);
    if (slot && slot->attached)
        f.kind = ARRIVES;
    else if (!e)
        e = covering(router, &subnet->prefix, table);
    if (f.kind != ARRIVES && e && e->type != FERRY_UNICAST)
        f.kind = DROPS;
    for (size_t i = 0; f.kind != ARRIVES && f.kind != DROPS && e && i < e->n_nexthops && f.n < sizeof f.to;
         i++) {
        uint32_t next = ferry_topology_next(w->topology, r, &e->nexthops[i]);
        f.kind = next == FERRY_NO_ROUTER ? LEAVES : FORWARDS;
        if (next != FERRY_NO_ROUTER)
            f.to[f.n++] = (uint8_t)next;
    }
    router->forward[s] = f;
}

void walk_refresh(struct world *w, uint32_t r)
{
    for (uint32_t s = 0; s < w->topology->n_subnets; s++)
        look(w, r, s);
}

/* ---- W1. ---- */

static bool returns_to(const struct world *w, uint32_t start, uint32_t at_router, uint32_t s, bool *seen,
                       bool *met)
{
    const struct hop_set *f = &w->routers[at_router].forward[s];
    for (uint8_t i = 0; f->kind == FORWARDS && i < f->n; i++) {
        if (f->to[i] == start ||
            (!seen[f->to[i]] && (seen[f->to[i]] = true) && returns_to(w, start, f->to[i], s, seen, met))) {
            *met |= w->routers[at_router].met;
            return true;
        }
    }
    return false;
}

static void ask_circles(struct world *w, uint32_t r, uint32_t s)
{
    bool seen[SIM_ROUTERS] = {false}, met = w->routers[r].met;
    if (!returns_to(w, r, r, s, seen, &met))
        return;
    if (met)
        w->counts->excused++;
    else
        violation(w, "%s: packets to %s go round in circles", w->topology->routers[r].name,
                  w->topology->subnets[s].name);
}

/* ---- W2. ---- */

static void ask_sites(struct world *w, uint32_t r, uint32_t s, bool was)
{
    const struct ferry_topology *t = w->topology;
    if (!w->routers[r].attached[s] || was)
        return;
    for (uint32_t o = 0; o < w->n_routers; o++) {
        if (!w->routers[o].attached[s] || t->routers[o].site == t->routers[r].site)
            continue;
        if (w->routers[o].by_world[s])
            w->counts->excused++;
        else
            violation(w, "%s is at two sites: %s and %s", t->subnets[s].name, t->routers[r].name,
                      t->routers[o].name);
    }
}

/* ---- W4. ---- */

static bool arrives(const struct world *w, uint32_t r, uint32_t s, uint8_t *known)
{
    const struct hop_set *f = &w->routers[r].forward[s];
    if (known[r])
        return known[r] == 1;
    known[r] = 2; /* on the way: a circle does not arrive */
    bool all = f->kind == ARRIVES || (f->kind == FORWARDS && f->n);
    for (uint8_t i = 0; all && f->kind == FORWARDS && i < f->n; i++)
        all = arrives(w, f->to[i], s, known);
    known[r] = all ? 1 : 2;
    return all;
}

static bool in_outage(const struct planned *p)
{
    return p->phase == FERRY_DETACH || p->phase == FERRY_ATTACH;
}

/* Whether the key of change `i` now has a value that it had before the first change of detach and attach
 * (`old`), or after the last one, and none that it has between: a pin that is laid and taken goes nothing,
 * route, nothing. */
static bool fits(const struct world *w, size_t i, bool old)
{
    const struct planned *p = &w->plan[i];
    const struct ferry_entry *now = router_key(&w->routers[p->router], &p->op);
    bool good = false, before_outage = true;
    for (size_t k = 0; k < w->n_plan; k++) {
        const struct planned *q = &w->plan[k];
        if (q->key != p->key)
            continue;
        if (old ? q->phase == FERRY_DETACH && value_same(now, q->op.after)
                : q->phase == FERRY_ATTACH && value_same(now, q->op.before))
            return false;
        if (old && before_outage)
            good |= value_same(now, q->op.before);
        if (!old && k >= i)
            good |= value_same(now, q->op.after);
        before_outage &= !in_outage(q);
    }
    return good;
}

static bool all_keys(const struct world *w, uint32_t s, bool old)
{
    for (size_t i = 0; i < w->n_plan; i++)
        if (w->plan[i].subnet == s && in_outage(&w->plan[i]) && !fits(w, i, old))
            return false;
    return true;
}

static bool is_moving(const struct world *w, uint32_t s)
{
    for (size_t i = 0; i < w->n_plan; i++)
        if (w->plan[i].subnet == s)
            return true;
    return false;
}

static void ask_service(struct world *w, uint32_t s)
{
    uint8_t known[SIM_ROUTERS] = {0};
    if (w->meddled || !w->planned || !is_moving(w, s) || (!all_keys(w, s, true) && !all_keys(w, s, false)))
        return;
    w->counts->whole_checks++;
    for (uint32_t r = 0; r < w->n_routers; r++)
        if (w->routers[r].served[s] && !arrives(w, r, s, known)) {
            violation(w, "%s has lost %s outside of detach and attach", w->topology->routers[r].name,
                      w->topology->subnets[s].name);
            return;
        }
}

/* ---- Asking. ---- */

void walk_after(struct world *w, uint32_t r, const struct ferry_prefix *prefix, enum cause cause)
{
    struct router *router = &w->routers[r];
    for (uint32_t s = 0; s < w->topology->n_subnets; s++) {
        if (prefix && !ferry_prefix_covers(prefix, &w->topology->subnets[s].prefix))
            continue;
        bool was = router->attached[s];
        look(w, r, s);
        w->counts->walks++;
        if (cause == BY_WORLD) {
            if (!was && router->attached[s])
                router->by_world[s] = true;
            continue;
        }
        ask_circles(w, r, s);
        ask_sites(w, r, s, was);
        if (w->planned && !w->meddled && router->held[s] && !router->exact[s])
            violation(w, "%s holds nothing for %s any more", w->topology->routers[r].name,
                      w->topology->subnets[s].name);
        ask_service(w, s);
    }
}

void walk_begin_move(struct world *w)
{
    for (uint32_t s = 0; s < w->topology->n_subnets; s++) {
        uint8_t known[SIM_ROUTERS] = {0};
        for (uint32_t r = 0; r < w->n_routers; r++)
            w->routers[r].served[s] = arrives(w, r, s, known);
        for (uint32_t r = 0; r < w->n_routers; r++)
            w->routers[r].held[s] = w->routers[r].exact[s];
    }
}
