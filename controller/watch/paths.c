/* Where live forwarding for a subnet leads.  See paths.h.
 *
 * A column is a graph: each router's best entry, or what it falls to, gives its next hops.  A router delivers
 * if every walk from it ends at a router where the subnet is attached.
 *
 * SPDX-License-Identifier: MIT */
#include "watch/paths.h"

#include "base/hash.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum verdict { UNSEEN, OPEN, DELIVERS, FAILS, UNJUDGED };

struct walk {
    const struct ferry_live *live;
    size_t column;
    enum verdict *verdict; /* [router] */
    const char **why;      /* [router], for FAILS; static */
    uint64_t *distance;    /* [router] to the nearest attached one; UINT64_MAX: none */
    const bool *judged;    /* ferry_tunnels_judged */
    struct ferry_path_drift *drift;
    size_t n_drift;
};

bool ferry_live_attached(const struct ferry_live *live, size_t router, size_t column)
{
    const struct ferry_stack *stack = live->stacks[router * live->n_subnets + column];
    const struct ferry_entry *best = ferry_stack_best(stack);
    return best && best->type == FERRY_GATEWAY;
}

uint32_t ferry_live_site(const struct ferry_live *live, size_t column, bool *ret_several)
{
    const struct ferry_topology *t = live->topology;
    const struct ferry_subnet *subnet = &t->subnets[live->subnets[column]];
    uint32_t site = FERRY_NONE;
    bool several = false, home = false;
    for (size_t r = 0; r < t->n_routers; r++) {
        const struct ferry_stack *stack = live->stacks[r * live->n_subnets + column];
        if (!stack || stack->entries[0]->type != FERRY_GATEWAY) /* an announcement alone is no attachment */
            continue;
        several |= site != FERRY_NONE && site != t->routers[r].site;
        home |= t->routers[r].site == subnet->home;
        site = t->routers[r].site;
    }
    *ret_several = several && !subnet->stretched;
    return *ret_several ? FERRY_NONE : several && home ? subnet->home : site;
}

/* What forwards on a router: the best entry, or what it falls to. */
static const struct ferry_entry *forwards(const struct walk *w, size_t router)
{
    size_t at = router * w->live->n_subnets + w->column;
    const struct ferry_entry *best = ferry_stack_best(w->live->stacks[at]);
    return best ? best : w->live->covers[at];
}

static enum verdict judge(struct walk *w, uint32_t router);

static enum verdict judge_hops(struct walk *w, uint32_t router, const struct ferry_entry *e)
{
    enum verdict worst = DELIVERS;
    for (size_t i = 0; i < e->n_nexthops; i++) {
        uint32_t next = e->nexthops[i].router;
        enum verdict v = next == FERRY_NO_ROUTER ? FAILS : judge(w, next);
        if (next == FERRY_NO_ROUTER)
            w->why[router] = "leaves the topology";
        else if (v == OPEN)
            w->why[router] = "loop", v = FAILS;
        else if (v == FAILS)
            w->why[router] = w->why[next] ? w->why[next] : "leads nowhere";
        if (v == FAILS || (v == UNJUDGED && worst == DELIVERS))
            worst = v;
    }
    return worst;
}

/* Depth first; networks are at most some thousand routers deep. */
static enum verdict judge(struct walk *w, uint32_t router)
{
    if (w->verdict[router] != UNSEEN)
        return w->verdict[router];
    const struct ferry_entry *e = forwards(w, router);
    enum verdict v = FAILS;
    w->verdict[router] = OPEN;
    if (w->live->unreachable[router])
        v = UNJUDGED;
    else if (!e)
        w->why[router] = "no route";
    else if (e->type == FERRY_GATEWAY)
        v = ferry_live_attached(w->live, router, w->column) ? DELIVERS : FAILS;
    else if (e->type != FERRY_UNICAST)
        w->why[router] = ferry_entry_type_name(e->type);
    else if (e->n_nexthops == 0)
        w->why[router] = "no next hop";
    else
        v = judge_hops(w, router, e);
    return w->verdict[router] = v;
}

/* Bellman-Ford in rounds: at most as many as the longest shortest path has links. */
static void distances(struct walk *w)
{
    const struct ferry_topology *t = w->live->topology;
    for (size_t r = 0; r < t->n_routers; r++)
        w->distance[r] = ferry_live_attached(w->live, r, w->column) ? 0 : UINT64_MAX;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < t->n_links; i++) {
            const struct ferry_link *l = &t->links[i];
            if (w->live->unreachable[l->a.router] || w->live->unreachable[l->b.router])
                continue; /* done without, for as long */
            uint64_t *a = &w->distance[l->a.router], *b = &w->distance[l->b.router];
            if (*b != UINT64_MAX && *b + l->cost_ab < *a)
                *a = *b + l->cost_ab, changed = true;
            if (*a != UINT64_MAX && *a + l->cost_ba < *b)
                *b = *a + l->cost_ba, changed = true;
        }
    }
}

static uint64_t hop_cost(const struct ferry_topology *t, uint32_t from, const struct ferry_nexthop *hop)
{
    uint64_t best = UINT64_MAX;
    for (size_t i = 0; i < t->n_links; i++) {
        const struct ferry_link *l = &t->links[i];
        bool forward = l->a.router == from && l->b.router == hop->router;
        bool backward = l->b.router == from && l->a.router == hop->router;
        uint32_t cost = forward ? l->cost_ab : l->cost_ba, end = forward ? l->a.interface : l->b.interface;
        if (!forward && !backward)
            continue;
        if (hop->dev[0] && strcmp(t->routers[from].interfaces[end].name, hop->dev) != 0)
            continue;
        if (cost < best)
            best = cost;
    }
    return best;
}

static bool shortest(const struct walk *w, uint32_t router)
{
    const struct ferry_entry *e = forwards(w, router);
    for (size_t i = 0; e && e->type == FERRY_UNICAST && i < e->n_nexthops; i++) {
        const struct ferry_nexthop *hop = &e->nexthops[i];
        uint64_t cost = hop_cost(w->live->topology, router, hop);
        if (cost == UINT64_MAX || w->distance[hop->router] == UINT64_MAX ||
            cost + w->distance[hop->router] != w->distance[router])
            return false;
    }
    return true;
}

static struct ferry_path_drift *add(struct walk *w, uint32_t router, const char *what)
{
    FERRY_GROW(w->drift, w->n_drift);
    struct ferry_path_drift *d = &w->drift[w->n_drift++];
    *d = (struct ferry_path_drift){.column = w->column, .router = router, .what = what};
    return d;
}

static void check_router(struct walk *w, uint32_t router)
{
    char entry[200];
    enum verdict v = judge(w, router);
    if (v == UNJUDGED || (v == DELIVERS && shortest(w, router)))
        return;
    struct ferry_path_drift *d = add(w, router, v == DELIVERS ? "other path" : "does not deliver");
    const struct ferry_entry *e = forwards(w, router);
    const char *why = v == DELIVERS    ? "not a shortest path"
                      : w->why[router] ? w->why[router]
                                       : "leads nowhere";
    snprintf(d->text, sizeof d->text, "%s%s%s", why, e ? ": " : "",
             e ? ferry_entry_text(e, entry, sizeof entry) : "");
}

/* Of the subnet's gateways at the site where it is active, all are attached; of one with host routes, all. */
static void check_gateways(struct walk *w)
{
    const struct ferry_topology *t = w->live->topology;
    const struct ferry_subnet *s = &t->subnets[w->live->subnets[w->column]];
    uint32_t site = FERRY_NONE;
    bool any = false, several = false, unread = false;
    for (size_t r = 0; r < t->n_routers; r++) {
        unread |= w->live->unreachable[r];
        if (!ferry_live_attached(w->live, r, w->column))
            continue;
        several |= any && t->routers[r].site != site;
        site = t->routers[r].site;
        any = true;
    }
    if (several && !s->stretched)
        snprintf(add(w, FERRY_NONE, FERRY_DRIFT_TWO_SITES)->text, sizeof w->drift->text,
                 "attached at more than one site");
    else if (!any && !unread)
        snprintf(add(w, FERRY_NONE, "nowhere")->text, sizeof w->drift->text, "attached at no site");
    for (size_t i = 0; any && (!several || s->host_routes) && i < s->n_gateways; i++) {
        uint32_t r = s->gateways[i].router;
        if ((t->routers[r].site == site || s->host_routes) && !w->live->unreachable[r] &&
            !ferry_live_attached(w->live, r, w->column))
            snprintf(add(w, r, "part")->text, sizeof w->drift->text,
                     "not attached, as other gateways of its site%s are", s->host_routes ? "s" : "");
    }
}

/* Columns that hold the same everywhere lead to the same places: each such class is judged once. */
struct alike {
    uint64_t hash;
    size_t column;               /* the first of it */
    size_t first_drift, n_drift; /* what was found for that one */
};

static uint64_t column_hash(const struct ferry_live *live, size_t column)
{
    uint64_t hash = 0;
    for (size_t r = 0; r < live->topology->n_routers; r++) {
        size_t at = r * live->n_subnets + column;
        hash = ferry_hash_u64(hash, (uintptr_t)live->stacks[at]);
        hash = ferry_hash_u64(hash, (uintptr_t)live->covers[at]);
    }
    return hash;
}

static bool same_column(const struct ferry_live *live, size_t a, size_t b)
{
    for (size_t r = 0; r < live->topology->n_routers; r++) {
        size_t row = r * live->n_subnets;
        if (live->stacks[row + a] != live->stacks[row + b] || live->covers[row + a] != live->covers[row + b])
            return false;
    }
    return true;
}

static void copy_drift(struct walk *w, const struct alike *alike)
{
    for (size_t i = 0; i < alike->n_drift; i++) {
        FERRY_GROW(w->drift, w->n_drift);
        w->drift[w->n_drift] = w->drift[alike->first_drift + i];
        w->drift[w->n_drift++].column = w->column;
    }
}

static void judge_column(struct walk *w)
{
    size_t n = w->live->topology->n_routers;
    memset(w->verdict, 0, n * sizeof *w->verdict);
    memset(w->why, 0, n * sizeof *w->why);
    distances(w);
    for (uint32_t r = 0; r < n; r++)
        check_router(w, r);
    ferry_tunnels_check(w->live, w->column, w->judged, &w->drift, &w->n_drift);
}

void ferry_paths_check(const struct ferry_live *live, struct ferry_path_drift **ret, size_t *ret_n)
{
    size_t n = live->topology->n_routers, n_classes = 0;
    FERRY_AUTOFREE enum verdict *verdict = ferry_calloc(n + 1, sizeof *verdict);
    FERRY_AUTOFREE const char **why = ferry_calloc(n + 1, sizeof *why);
    FERRY_AUTOFREE uint64_t *distance = ferry_calloc(n + 1, sizeof *distance);
    FERRY_AUTOFREE struct alike *classes = NULL;
    FERRY_AUTOFREE bool *judged = ferry_tunnels_judged(live);
    struct walk w = {.live = live, .verdict = verdict, .why = why, .distance = distance, .judged = judged};
    for (w.column = 0; w.column < live->n_subnets; w.column++) {
        uint64_t hash = column_hash(live, w.column);
        size_t c = 0;
        check_gateways(&w);
        while (c < n_classes && !(classes[c].hash == hash && same_column(live, classes[c].column, w.column)))
            c++;
        if (c < n_classes) {
            copy_drift(&w, &classes[c]);
            continue;
        }
        size_t before = w.n_drift;
        judge_column(&w);
        FERRY_GROW(classes, n_classes);
        classes[n_classes++] = (struct alike){hash, w.column, before, w.n_drift - before};
    }
    *ret = w.drift;
    *ret_n = w.n_drift;
}
