/* Shortest paths towards a set of gateways: Dijkstra from all of them at once over the links backwards.
 *
 * Costs are positive, so every next hop is strictly nearer and the result is free of loops, with ECMP too.
 * Distances are unique whatever the order of equals in the heap, and next hops are chosen in the order of the
 * links: deterministic.
 *
 * SPDX-License-Identifier: MIT */
#include <ferry/topology.h>

#include "base/mem.h"
#include "model/topology_index.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Graphs. ---- */

static void add_arc(struct ferry_graph *graph, const struct ferry_topology *t, const struct ferry_end *from,
                    const struct ferry_end *to, uint32_t cost, uint8_t family)
{
    const struct ferry_addr *via = ferry_link_via(t, from, to, family);
    if (!via)
        return;
    FERRY_GROW(graph->arcs, graph->n_arcs);
    graph->arcs[graph->n_arcs++] = (struct ferry_arc){
        .from = from->router,
        .to = to->router,
        .cost = cost,
        .dev = t->routers[from->router].interfaces[from->interface].name,
        .via = via,
    };
}

/* Counting sort of the arcs' numbers by one of their ends; keeps their order. */
static void group_arcs(const struct ferry_graph *graph, size_t n_routers, bool by_from, uint32_t *first,
                       uint32_t *order)
{
    for (uint32_t i = 0; i < graph->n_arcs; i++)
        first[(by_from ? graph->arcs[i].from : graph->arcs[i].to) + 1]++;
    for (size_t r = 0; r < n_routers; r++)
        first[r + 1] += first[r];
    FERRY_AUTOFREE uint32_t *next = ferry_calloc(n_routers + 1, sizeof *next);
    memcpy(next, first, (n_routers + 1) * sizeof *next);
    for (uint32_t i = 0; i < graph->n_arcs; i++)
        order[next[by_from ? graph->arcs[i].from : graph->arcs[i].to]++] = i;
}

void ferry_graph_init(struct ferry_graph *graph, const struct ferry_topology *t, uint8_t family)
{
    *graph = (struct ferry_graph){0};
    for (size_t i = 0; i < t->n_links; i++) {
        const struct ferry_link *link = &t->links[i];
        add_arc(graph, t, &link->a, &link->b, link->cost_ab, family);
        add_arc(graph, t, &link->b, &link->a, link->cost_ba, family);
    }
    graph->out = ferry_calloc(t->n_routers + 1, sizeof *graph->out);
    graph->in_first = ferry_calloc(t->n_routers + 1, sizeof *graph->in_first);
    graph->in = ferry_calloc(graph->n_arcs, sizeof *graph->in);
    FERRY_AUTOFREE uint32_t *order = ferry_calloc(graph->n_arcs, sizeof *order);
    struct ferry_arc *sorted = ferry_calloc(graph->n_arcs, sizeof *sorted);
    group_arcs(graph, t->n_routers, true, graph->out, order);
    for (uint32_t i = 0; i < graph->n_arcs; i++)
        sorted[i] = graph->arcs[order[i]];
    free(graph->arcs);
    graph->arcs = sorted;
    group_arcs(graph, t->n_routers, false, graph->in_first, graph->in);
}

void ferry_graph_clear(struct ferry_graph *graph)
{
    free(graph->arcs);
    free(graph->out);
    free(graph->in);
    free(graph->in_first);
    *graph = (struct ferry_graph){0};
}

/* ---- A binary heap; an entry whose distance is out of date is skipped when it comes up. ---- */

struct item {
    uint64_t distance;
    uint32_t router;
};

struct heap {
    struct item *v;
    size_t n;
};

static void push(struct heap *heap, uint64_t distance, uint32_t router)
{
    FERRY_GROW(heap->v, heap->n);
    size_t i = heap->n++;
    for (; i && heap->v[(i - 1) / 2].distance > distance; i = (i - 1) / 2)
        heap->v[i] = heap->v[(i - 1) / 2];
    heap->v[i] = (struct item){distance, router};
}

static struct item pop(struct heap *heap)
{
    struct item top = heap->v[0], last = heap->v[--heap->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap->n; i = child) {
        child += child + 1 < heap->n && heap->v[child + 1].distance < heap->v[child].distance;
        if (last.distance <= heap->v[child].distance)
            break;
        heap->v[i] = heap->v[child];
    }
    if (heap->n)
        heap->v[i] = last;
    return top;
}

/* ---- Shortest paths. ---- */

/* `distance`: UINT64_MAX everywhere but 0 at the gateways. */
static void distances(const struct ferry_graph *graph, const uint32_t *gateways, size_t n_gateways,
                      uint64_t *distance)
{
    struct heap heap = {0};
    for (size_t i = 0; i < n_gateways; i++)
        push(&heap, 0, gateways[i]);
    while (heap.n) {
        struct item item = pop(&heap);
        if (item.distance != distance[item.router])
            continue;
        for (uint32_t i = graph->in_first[item.router]; i < graph->in_first[item.router + 1]; i++) {
            const struct ferry_arc *arc = &graph->arcs[graph->in[i]];
            uint64_t d = item.distance + arc->cost;
            if (d < distance[arc->from]) {
                distance[arc->from] = d;
                push(&heap, d, arc->from);
            }
        }
    }
    free(heap.v);
}

/* The shortest arcs of a router as next hops; how many. */
static uint16_t next_hops(const struct ferry_graph *graph, const uint64_t *distance, uint32_t router,
                          bool ecmp, struct ferry_nexthop *hops)
{
    uint16_t n = 0;
    for (uint32_t i = graph->out[router]; i < graph->out[router + 1] && n < UINT16_MAX; i++) {
        const struct ferry_arc *arc = &graph->arcs[i];
        if (distance[arc->to] == UINT64_MAX || distance[arc->to] + arc->cost != distance[router])
            continue;
        hops[n] = (struct ferry_nexthop){.router = arc->to, .via = *arc->via, .weight = 1};
        memcpy(hops[n++].dev, arc->dev, strlen(arc->dev) + 1);
        if (!ecmp)
            break;
    }
    return n;
}

static uint32_t most_arcs(const struct ferry_graph *graph, size_t n_routers)
{
    uint32_t most = 0;
    for (size_t r = 0; r < n_routers; r++)
        if (graph->out[r + 1] - graph->out[r] > most)
            most = graph->out[r + 1] - graph->out[r];
    return most;
}

int ferry_spf(const struct ferry_topology *t, const uint32_t *gateways, size_t n_gateways, uint8_t family,
              uint32_t table, uint32_t metric, uint8_t protocol, struct ferry_pool *pool,
              const struct ferry_entry **ret_entries, struct ferry_err *err)
{
    FERRY_CLEANUP(ferry_graph_clear) struct ferry_graph own = {0};
    const struct ferry_graph *graph = &own;
    for (size_t i = 0; i < n_gateways; i++)
        if (gateways[i] >= t->n_routers)
            return ferry_error(err, FERRY_EINPUT, "gateway router %" PRIu32 " is not one of %zu routers",
                               gateways[i], t->n_routers);
    if (t->index)
        graph = family == AF_INET ? &t->index->graph4 : &t->index->graph6;
    else
        ferry_graph_init(&own, t, family);

    FERRY_AUTOFREE uint64_t *distance = ferry_calloc(t->n_routers, sizeof *distance);
    FERRY_AUTOFREE struct ferry_nexthop *hops = ferry_calloc(most_arcs(graph, t->n_routers), sizeof *hops);
    memset(distance, 0xff, t->n_routers * sizeof *distance);
    for (size_t i = 0; i < n_gateways; i++)
        distance[gateways[i]] = 0;
    distances(graph, gateways, n_gateways, distance);
    const struct ferry_entry *gateway = ferry_pool_entry(pool, &(struct ferry_entry){.type = FERRY_GATEWAY});
    for (uint32_t r = 0; r < t->n_routers; r++) {
        struct ferry_entry e = {
            .type = FERRY_UNICAST, .metric = metric, .protocol = protocol, .nexthops = hops};
        e.table = table ? table : t->routers[r].table;
        e.n_nexthops =
            distance[r] && distance[r] != UINT64_MAX ? next_hops(graph, distance, r, t->ecmp, hops) : 0;
        ret_entries[r] = distance[r] == 0 ? gateway : e.n_nexthops ? ferry_pool_entry(pool, &e) : NULL;
    }
    return 0;
}
