/* Next-hop graphs: built from entries, sorted, searched for cycles.  Used by goal.c and order.c.
 *
 * Invariants
 *  1. first[] ascends from 0; every to[] is below n.
 *  2. No node has the same neighbour twice (parallel links give one edge).
 *
 * SPDX-License-Identifier: MIT */
#include "plan/planner.h"

#include <string.h>

void ferry_edges_clear(struct ferry_edges *edges)
{
    free(edges->first);
    free(edges->to);
    *edges = (struct ferry_edges){0};
}

void ferry_edges_build(struct ferry_edges *ret, const struct ferry_entry *const *forward, uint32_t n)
{
    size_t total = 0;
    for (uint32_t v = 0; v < n; v++)
        if (forward[v] && forward[v]->type == FERRY_UNICAST)
            total += forward[v]->n_nexthops;
    ret->n = n;
    ret->first = ferry_calloc((size_t)n + 1, sizeof *ret->first);
    ret->to = ferry_calloc(total, sizeof *ret->to);
    uint32_t end = 0;
    for (uint32_t v = 0; v < n; v++) {
        const struct ferry_entry *e = forward[v];
        ret->first[v] = end;
        for (uint16_t i = 0; e && e->type == FERRY_UNICAST && i < e->n_nexthops; i++) {
            uint32_t w = e->nexthops[i].router, k = ret->first[v];
            if (w >= n)
                continue;
            while (k < end && ret->to[k] != w)
                k++;
            if (k == end)
                ret->to[end++] = w;
        }
    }
    ret->first[n] = end;
}

bool ferry_edges_same(const struct ferry_edges *a, const struct ferry_edges *b, uint32_t v)
{
    if (a->first[v + 1] - a->first[v] != b->first[v + 1] - b->first[v])
        return false;
    for (uint32_t i = a->first[v]; i < a->first[v + 1]; i++) {
        uint32_t k = b->first[v];
        while (k < b->first[v + 1] && b->to[k] != a->to[i])
            k++;
        if (k == b->first[v + 1])
            return false;
    }
    return true;
}

uint32_t ferry_edges_sort(const struct ferry_edges *edges, uint32_t *order)
{
    uint32_t n = edges->n, done = 0;
    FERRY_AUTOFREE uint8_t *colour = ferry_calloc(n, 1); /* 0 unseen, 1 on the path, 2 left */
    FERRY_AUTOFREE uint32_t *path = ferry_calloc(n, sizeof *path);
    FERRY_AUTOFREE uint32_t *next = ferry_calloc(n, sizeof *next);
    for (uint32_t root = 0; root < n; root++) {
        uint32_t depth = 0;
        if (colour[root])
            continue;
        path[depth++] = root;
        colour[root] = 1;
        next[root] = edges->first[root];
        while (depth) {
            uint32_t v = path[depth - 1];
            if (next[v] == edges->first[v + 1]) {
                colour[v] = 2;
                order[done++] = v;
                depth--;
                continue;
            }
            uint32_t w = edges->to[next[v]++];
            if (colour[w] == 1) {
                uint32_t start = depth - 1;
                while (path[start] != w)
                    start--;
                memcpy(order, path + start, (depth - start) * sizeof *order);
                return depth - start;
            }
            if (colour[w] == 0) {
                colour[w] = 1;
                next[w] = edges->first[w];
                path[depth++] = w;
            }
        }
    }
    return 0;
}
