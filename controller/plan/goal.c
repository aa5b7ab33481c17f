/* Where every router forwards a class of subnets: today, just before the hand-over, and after it.
 *
 * With p the old gateways and q the new ones:
 *   old    what forwards today: the best entry, or the covering one where there is none
 *   whole  old for those that deliver; for the rest the shortest path towards p
 *   mid    whole for the critical routers (q and all that lies between q and p in `whole`), new for the
 * others Every router that has a path delivers to p in `mid`.  docs/planner.md proves it.
 *
 * Invariants
 *  1. old, whole, mid and new are acyclic.
 *  2. In `mid` critical routers forward to critical routers and old gateways alone.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <stdio.h>
#include <string.h>

/* ---- Shortest paths, kept for the next class with the same gateways. ---- */

struct goal {
    bool *gateways;
    uint8_t family;
    uint32_t table;
    const struct ferry_entry **entries;
};

struct ferry_goals {
    const struct ferry_topology *t;
    struct ferry_pool *pool;
    struct goal *v;
    size_t n;
};

struct ferry_goals *ferry_goals_new(const struct ferry_topology *t, struct ferry_pool *pool)
{
    struct ferry_goals *goals = ferry_calloc(1, sizeof *goals);
    goals->t = t;
    goals->pool = pool;
    return goals;
}

void ferry_goals_free(struct ferry_goals *goals)
{
    if (!goals)
        return;
    for (size_t i = 0; i < goals->n; i++) {
        free(goals->v[i].gateways);
        free(goals->v[i].entries);
    }
    free(goals->v);
    free(goals);
}

int ferry_goals_get(struct ferry_goals *goals, const bool *gateways, uint8_t family, uint32_t table,
                    const struct ferry_entry *const **ret, struct ferry_err *err)
{
    uint32_t n = (uint32_t)goals->t->n_routers, k = 0;
    for (size_t i = 0; i < goals->n; i++) {
        const struct goal *g = &goals->v[i];
        if (g->family == family && g->table == table && !memcmp(g->gateways, gateways, n * sizeof(bool))) {
            *ret = g->entries;
            return 0;
        }
    }
    FERRY_AUTOFREE uint32_t *list = ferry_calloc(n, sizeof *list);
    for (uint32_t v = 0; v < n; v++)
        if (gateways[v])
            list[k++] = v;
    FERRY_AUTOFREE const struct ferry_entry **entries = ferry_calloc(n, sizeof *entries);
    int r = ferry_spf(goals->t, list, k, family, table, FERRY_METRIC_ROUTE, FERRY_PROTOCOL, goals->pool,
                      entries, err);
    if (r < 0)
        return r;
    FERRY_GROW(goals->v, goals->n);
    goals->v[goals->n++] = (struct goal){.gateways = ferry_memdup(gateways, n * sizeof(bool)),
                                         .family = family,
                                         .table = table,
                                         .entries = FERRY_STEAL(entries)};
    *ret = goals->v[goals->n - 1].entries;
    return 0;
}

/* ---- The forwardings. ---- */

static bool same_way(const struct ferry_entry *a, const struct ferry_entry *b)
{
    return ferry_entry_equal(a, b, FERRY_CMP_FORWARDING);
}

static int refuse_loop(const struct ferry_work *work, const uint32_t *cycle, uint32_t n,
                       struct ferry_err *err)
{
    char names[640];
    int at = 0;
    for (uint32_t i = 0; i < n && at < (int)sizeof names - 80; i++)
        at += snprintf(names + at, sizeof names - (size_t)at, "%s -> ", work->t->routers[cycle[i]].name);
    return ferry_refuse(err, "loop", "%s: packets loop already: %s%s", work->subject, names,
                        work->t->routers[cycle[0]].name);
}

static bool all_deliver(const struct ferry_work *work, const struct ferry_entry *e)
{
    if (!e || e->type != FERRY_UNICAST || !e->n_nexthops)
        return false;
    for (uint16_t i = 0; i < e->n_nexthops; i++)
        if (e->nexthops[i].router >= work->n || !work->nodes[e->nexthops[i].router].delivers)
            return false;
    return true;
}

static int find_delivering(struct ferry_work *work, const struct ferry_edges *old, struct ferry_err *err)
{
    FERRY_AUTOFREE uint32_t *order = ferry_calloc(work->n, sizeof *order);
    uint32_t cycle = ferry_edges_sort(old, order);
    if (cycle)
        return refuse_loop(work, order, cycle, err);
    for (uint32_t i = 0; i < work->n; i++) {
        struct ferry_node *node = &work->nodes[order[i]];
        node->delivers = node->is_old || all_deliver(work, work->old[order[i]]);
    }
    for (uint32_t v = 0; v < work->n; v++)
        if (work->nodes[v].delivers && !work->nodes[v].fresh)
            return ferry_refuse(err, "no-path", "%s: %s delivers now, but has no path to the gateways at %s",
                                work->subject, work->t->routers[v].name,
                                work->t->sites[work->class->to].name);
    return 0;
}

static int find_whole(struct ferry_work *work, struct ferry_err *err)
{
    const struct ferry_entry *const *towards_old = NULL;
    FERRY_AUTOFREE bool *gateways = ferry_calloc(work->n, sizeof *gateways);
    for (uint32_t v = 0; v < work->n; v++)
        gateways[v] = work->nodes[v].is_old;
    if (work->n_old) {
        int r = ferry_goals_get(work->goals, gateways, work->subnet->prefix.addr.family, work->subnet->table,
                                &towards_old, err);
        if (r < 0)
            return r;
    }
    for (uint32_t v = 0; v < work->n; v++)
        work->whole[v] =
            !work->nodes[v].delivers && towards_old && towards_old[v] ? towards_old[v] : work->old[v];
    return 0;
}

/* Marks the new gateways and what they forward to, old gateways excepted. */
static void find_critical(struct ferry_work *work)
{
    struct ferry_edges whole;
    uint32_t depth = 0;
    FERRY_AUTOFREE uint32_t *stack = ferry_calloc(work->n, sizeof *stack);
    ferry_edges_build(&whole, work->whole, work->n);
    for (uint32_t v = 0; v < work->n; v++)
        if (work->nodes[v].is_new && !work->nodes[v].is_old) {
            work->nodes[v].critical = true;
            stack[depth++] = v;
        }
    while (depth) {
        uint32_t v = stack[--depth];
        for (uint32_t i = whole.first[v]; i < whole.first[v + 1]; i++) {
            struct ferry_node *node = &work->nodes[whole.to[i]];
            if (node->critical || node->is_old)
                continue;
            node->critical = true;
            stack[depth++] = whole.to[i];
        }
    }
    ferry_edges_clear(&whole);
    /* Who forwards the same way before and after needs no pause; who will have no way keeps what it has. */
    for (uint32_t v = 0; v < work->n; v++) {
        struct ferry_node *node = &work->nodes[v];
        if (node->critical && !node->is_new && (!node->fresh || same_way(work->whole[v], node->fresh)))
            node->critical = false;
    }
}

static void find_mid(struct ferry_work *work)
{
    for (uint32_t v = 0; v < work->n; v++) {
        struct ferry_node *node = &work->nodes[v];
        const struct ferry_entry *way = work->whole[v];
        if (node->is_old)
            work->mid[v] = work->old[v];
        else if (node->critical)
            work->mid[v] = way;
        else
            work->mid[v] = node->fresh ? node->fresh : work->old[v];
        node->pinned = node->critical && !node->stack && way && way->type == FERRY_UNICAST;
    }
}

/* Whether the router's live route changes during prepare. */
static bool changes(const struct ferry_work *work, uint32_t v)
{
    const struct ferry_node *node = &work->nodes[v];
    if (node->is_old || (work->stretched && node->is_new))
        return false;
    if (node->critical)
        return !same_way(work->whole[v], work->old[v]);
    return node->fresh && (!node->stack || !same_way(work->old[v], node->fresh));
}

/* First those that do not deliver (nobody who delivers forwards to them), so that then all do; then the rest.
 */
static int find_rounds(struct ferry_work *work, struct ferry_err *err)
{
    uint32_t n = work->n, n_first, n_second;
    struct ferry_edges old, joined, mid;
    FERRY_AUTOFREE const struct ferry_entry **way = ferry_calloc(n, sizeof *way);
    FERRY_AUTOFREE bool *first = ferry_calloc(n, sizeof *first), *second = ferry_calloc(n, sizeof *second);
    FERRY_AUTOFREE uint32_t *round = ferry_calloc(n, sizeof *round);
    for (uint32_t v = 0; v < n; v++) {
        bool delivers = work->nodes[v].delivers;
        way[v] = delivers ? work->old[v] : work->mid[v];
        first[v] = !delivers && changes(work, v);
        second[v] = delivers && changes(work, v);
    }
    ferry_edges_build(&old, work->old, n);
    ferry_edges_build(&joined, way, n);
    ferry_edges_build(&mid, work->mid, n);
    n_first = ferry_rounds(&old, &joined, first, work->round);
    n_second = ferry_rounds(&joined, &mid, second, round);
    ferry_edges_clear(&old);
    ferry_edges_clear(&joined);
    ferry_edges_clear(&mid);
    if (n_first == UINT32_MAX || n_second == UINT32_MAX) /* invariant 1: only with one-way links */
        return ferry_refuse(err, "loop",
                            "%s: no forwarding without a loop leads from here to the new gateways",
                            work->subject);
    for (uint32_t v = 0; v < n; v++)
        if (second[v])
            work->round[v] = n_first + round[v];
    work->n_rounds = n_first + n_second;
    return 0;
}

/* A stretched subnet is taken up at the new gateways before anybody's way changes: they deliver from then on. */
static void attach_first(struct ferry_work *work)
{
    for (uint32_t v = 0; v < work->n; v++)
        if (work->nodes[v].is_new) {
            work->old[v] = work->nodes[v].fresh;
            work->nodes[v].delivers = true;
        }
}

int ferry_work_goal(struct ferry_work *work, struct ferry_err *err)
{
    const struct ferry_entry *const *fresh;
    struct ferry_edges old;
    FERRY_AUTOFREE bool *gateways = ferry_calloc(work->n, sizeof *gateways);
    for (uint32_t v = 0; v < work->n; v++)
        gateways[v] = work->nodes[v].is_new;
    int r = ferry_goals_get(work->goals, gateways, work->subnet->prefix.addr.family, work->subnet->table,
                            &fresh, err);
    if (r < 0)
        return r;
    for (uint32_t v = 0; v < work->n; v++) {
        struct ferry_node *node = &work->nodes[v];
        node->fresh = fresh[v];
        work->old[v] = node->stack ? node->stack->entries[0] : node->cover;
    }
    ferry_edges_build(&old, work->old, work->n);
    r = find_delivering(work, &old, err);
    ferry_edges_clear(&old);
    if (r < 0)
        return r;
    if (work->fence) {
        ferry_work_fence(work);
        return 0;
    }
    if (work->stretched)
        attach_first(work);
    r = find_whole(work, err);
    if (r < 0)
        return r;
    if (!work->stretched)
        find_critical(work);
    find_mid(work);
    r = find_rounds(work, err);
    if (r == 0 && work->stretched)
        ferry_work_stretch_rounds(work);
    return r;
}
