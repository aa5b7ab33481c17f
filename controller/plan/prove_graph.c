/* All states of a stage as one graph; see prove_parts.h and docs/prover.md.
 *
 * On a router the slots are scanned best first.  A slot that this stage changes may hold either value,
 * whatever the others hold, so the set of entries that may be on top, and the changes each needs, is exact:
 *
 *  1. An option's events are forced: every slot before it that holds something must have been emptied, and
 *     every other change of this router before it must not have happened yet.
 *  2. Options of different routers are independent.  A simple cycle or way uses one option a router, so it is
 *     a reachable state, and its events are the sum of its options' costs.
 *
 * SPDX-License-Identifier: MIT */
#include "plan/prove_parts.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

struct prove_graph *prove_graph_new(size_t n)
{
    struct prove_graph *g = ferry_calloc(1, sizeof *g);
    g->n = n;
    g->first = ferry_calloc(n + 1, sizeof *g->first);
    g->empty_cost = ferry_calloc(n, sizeof *g->empty_cost);
    g->order = ferry_calloc(n, sizeof *g->order);
    g->far = ferry_calloc(n, sizeof *g->far);
    return g;
}

void prove_graph_free(struct prove_graph *g)
{
    if (!g)
        return;
    free(g->first);
    free(g->options);
    free(g->empty_cost);
    free(g->order);
    free(g->far);
    free(g);
}

static void add_option(struct prove_graph *g, uint32_t *n, struct prove_option option)
{
    option.stale = g->stale && option.entry && option.entry->type == FERRY_GATEWAY;
    if (*n == g->room) {
        g->room = g->room ? 2 * g->room : 64;
        g->options = ferry_realloc(g->options, g->room, sizeof *g->options);
    }
    g->options[(*n)++] = option;
}

static void router_options(const struct prover *p, struct prove_graph *g, uint32_t r, uint32_t *n)
{
    const struct prove_row *row = &p->rows[r];
    uint32_t cost = 0;
    g->stale = prove_stale(p, r);
    bool own = true; /* still among the keys of the prefix itself */
    g->empty_cost[r] = PROVE_NONE;
    for (uint32_t i = 0; i < row->n; i++) {
        const struct prove_slot *s = &row->slots[i];
        if (s->layer && own) {
            own = false;
            g->empty_cost[r] = cost;
        }
        if (!prove_slot_visible(p, r, s))
            break;
        if (s->rank >= PROVE_ANNOUNCEMENT)
            continue;
        if (s->now)
            add_option(g, n, (struct prove_option){s->now, cost, i, s->layer, false, false});
        if (s->change != PROVE_NONE && s->after && s->after != s->now)
            add_option(g, n, (struct prove_option){s->after, cost + 1, i, s->layer, true, false});
        if (s->now && s->after)
            return; /* never empty: nothing below it can forward */
        cost += s->now != NULL;
    }
    if (own)
        g->empty_cost[r] = cost;
    add_option(
        g, n,
        (struct prove_option){prove_static_cover(p, r), cost, (uint32_t)row->n, PROVE_NONE, false, false});
}

/* The router behind a next hop, or PROVE_NONE. */
static uint32_t option_next(const struct prove_option *o, size_t i)
{
    return o->entry->nexthops[i].router == FERRY_NO_ROUTER ? PROVE_NONE : o->entry->nexthops[i].router;
}

static size_t option_n_next(const struct prove_option *o)
{
    return o->entry && o->entry->type == FERRY_UNICAST ? o->entry->n_nexthops : 0;
}

bool prove_option_stray(const struct prove_option *o)
{
    if (!o->entry)
        return true;
    if (o->entry->type == FERRY_GATEWAY)
        return o->layer != 0 || o->stale; /* attached, but another subnet, or where it does not belong */
    for (size_t i = 0; i < option_n_next(o); i++)
        if (option_next(o, i) == PROVE_NONE)
            return true;
    return option_n_next(o) == 0;
}

#define EACH_NEXT(g, r, o, i)                                                                                \
    for (uint32_t o = (g)->first[r]; o < (g)->first[(r) + 1]; o++)                                           \
        for (size_t i = 0; i < option_n_next(&(g)->options[o]); i++)                                         \
            if (option_next(&(g)->options[o], i) != PROVE_NONE)

/* Kahn: routers without packets from others first.  Deterministic. */
static void sort(struct prove_graph *g)
{
    FERRY_AUTOFREE uint32_t *in = ferry_calloc(g->n, sizeof *in);
    for (uint32_t r = 0; r < g->n; r++)
        EACH_NEXT(g, r, o, i)
    in[option_next(&g->options[o], i)]++;
    g->n_order = 0;
    for (uint32_t r = 0; r < g->n; r++)
        if (!in[r])
            g->order[g->n_order++] = r;
    for (size_t done = 0; done < g->n_order; done++)
        EACH_NEXT(g, g->order[done], o, i)
    if (--in[option_next(&g->options[o], i)] == 0)
        g->order[g->n_order++] = option_next(&g->options[o], i);
}

void prove_graph_build(const struct prover *p, struct prove_graph *g)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < g->n; r++) {
        g->first[r] = n;
        router_options(p, g, r, &n);
    }
    g->first[g->n] = n;
    sort(g);
}

/* ---- The cheapest cycle: Dijkstra from each router, among those that can lie on one. ---- */

struct search {
    const struct prove_graph *g;
    bool *alive;
    uint64_t *dist;
    struct prove_pick *by; /* how each router was reached: from where, by which option */
    uint64_t best;
    struct {
        uint64_t dist;
        uint32_t router;
    } * heap;
    size_t n, room;
};

static void heap_push(struct search *s, uint64_t dist, uint32_t router)
{
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->heap = ferry_realloc(s->heap, s->room, sizeof *s->heap);
    }
    size_t i = s->n++;
    for (; i && s->heap[(i - 1) / 2].dist > dist; i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i].dist = dist;
    s->heap[i].router = router;
}

static uint32_t heap_pop(struct search *s, uint64_t *ret_dist)
{
    uint32_t top = s->heap[0].router;
    *ret_dist = s->heap[0].dist;
    __typeof__(s->heap[0]) last = s->heap[--s->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->n; i = child) {
        child += child + 1 < s->n && s->heap[child + 1].dist < s->heap[child].dist;
        if (s->heap[child].dist >= last.dist)
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return top;
}

/* Leaves alive only routers from which, and to which, endless ways lead. */
static void trim(struct search *s)
{
    for (uint32_t r = 0; r < s->g->n; r++)
        s->alive[r] = true;
    for (size_t i = 0; i < s->g->n_order; i++)
        s->alive[s->g->order[i]] = false;
    for (bool again = true; again;) {
        again = false;
        for (uint32_t r = 0; r < s->g->n; r++) {
            bool on = false;
            if (s->alive[r])
                EACH_NEXT(s->g, r, o, i)
            on |= s->alive[option_next(&s->g->options[o], i)];
            again |= s->alive[r] && !on;
            s->alive[r] = s->alive[r] && on;
        }
    }
}

/* Whether a cycle through `start` and higher routers beats the best; `by` then tells it. */
static bool search_from(struct search *s, uint32_t start)
{
    bool better = false;
    for (uint32_t r = 0; r < s->g->n; r++)
        s->dist[r] = PROVE_FAR;
    s->n = 0;
    heap_push(s, 0, start);
    while (s->n) {
        uint64_t dist;
        uint32_t r = heap_pop(s, &dist);
        if (dist >= s->best)
            break;
        if (dist > s->dist[r])
            continue;
        EACH_NEXT(s->g, r, o, i)
        {
            const struct prove_option *option = &s->g->options[o];
            uint32_t to = option_next(option, i);
            uint64_t way = dist + PROVE_EVENTS(option->cost) + 1;
            if (!s->alive[to] || to < start || way >= s->best || way >= s->dist[to])
                continue;
            s->dist[to] = way;
            s->by[to] = (struct prove_pick){r, o};
            if (to == start) {
                s->best = way;
                better = true;
            } else {
                heap_push(s, way, to);
            }
        }
    }
    return better;
}

size_t prove_graph_cycle(const struct prove_graph *g, struct prove_pick *ret)
{
    if (g->n_order == g->n)
        return 0;
    FERRY_AUTOFREE bool *alive = ferry_calloc(g->n, sizeof *alive);
    FERRY_AUTOFREE uint64_t *dist = ferry_calloc(g->n, sizeof *dist);
    FERRY_AUTOFREE struct prove_pick *by = ferry_calloc(g->n, sizeof *by);
    struct search s = {.g = g, .alive = alive, .dist = dist, .by = by, .best = PROVE_FAR};
    size_t n = 0;
    trim(&s);
    for (uint32_t start = 0; start < g->n; start++) {
        if (!alive[start] || !search_from(&s, start))
            continue;
        n = (uint32_t)s.best; /* hops */
        uint32_t r = start;
        for (size_t i = n; i-- > 0; r = by[r].router)
            ret[i] = by[r];
        assert(r == start);
    }
    free(s.heap);
    assert(n);
    return n;
}

/* ---- The nearest place where packets end undelivered. ---- */

/* The better of an option's own end and its next hops' ends. */
static uint64_t option_far(const struct prove_graph *g, const struct prove_option *o)
{
    uint64_t far = PROVE_FAR;
    if (prove_option_stray(o))
        return PROVE_EVENTS(o->cost);
    for (size_t i = 0; i < option_n_next(o); i++) {
        uint64_t next = g->far[option_next(o, i)];
        if (next != PROVE_FAR && next + PROVE_EVENTS(o->cost) + 1 < far)
            far = next + PROVE_EVENTS(o->cost) + 1;
    }
    return far;
}

static bool relax(struct prove_graph *g, uint32_t r)
{
    uint64_t far = g->far[r];
    for (uint32_t o = g->first[r]; o < g->first[r + 1]; o++) {
        uint64_t by = option_far(g, &g->options[o]);
        far = by < far ? by : far;
    }
    bool better = far < g->far[r];
    g->far[r] = far;
    return better;
}

void prove_graph_measure(struct prove_graph *g)
{
    for (uint32_t r = 0; r < g->n; r++)
        g->far[r] = PROVE_FAR;
    for (size_t i = g->n_order; i-- > 0;)
        relax(g, g->order[i]);
    /* With a cycle one pass does not do. */
    for (bool again = g->n_order < g->n; again;) {
        again = false;
        for (uint32_t r = 0; r < g->n; r++)
            again |= relax(g, r);
    }
}

size_t prove_graph_way(const struct prove_graph *g, uint32_t router, struct prove_pick *ret)
{
    size_t n = 0;
    for (uint32_t r = router;;) {
        uint32_t o = g->first[r];
        while (option_far(g, &g->options[o]) != g->far[r])
            o++;
        const struct prove_option *option = &g->options[o];
        ret[n++] = (struct prove_pick){r, o};
        if (prove_option_stray(option))
            return n;
        for (size_t i = 0; i < option_n_next(option); i++)
            if (g->far[option_next(option, i)] != PROVE_FAR &&
                g->far[option_next(option, i)] + PROVE_EVENTS(option->cost) + 1 == g->far[r]) {
                r = option_next(option, i);
                break;
            }
    }
}
